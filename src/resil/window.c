#include "config.h"

#include "resil/window.h"

#include <string.h>

#include "resil/span.h"

void
window_init(struct window *w, int64_t length_us, int64_t now_us)
{
	memset(w, 0, sizeof *w);
	w->bucket_us = length_us / WINDOW_BUCKETS + (length_us % WINDOW_BUCKETS > 0);
	w->bucket_us = MAX(w->bucket_us, 1);
	w->start_us = now_us;
}

/* How many buckets have ended, all at most, since the newest one was begun. */
static unsigned
ended(const struct window *w, int64_t now_us)
{
	return (unsigned)MIN(span_us(w->start_us, now_us) / w->bucket_us, WINDOW_BUCKETS);
}

static void
advance(struct window *w, int64_t now_us)
{
	unsigned n = ended(w, now_us);

	for (unsigned i = 0; i < n; i++) {
		w->newest = (w->newest + 1) % WINDOW_BUCKETS;
		for (unsigned kind = 0; kind < WINDOW_KINDS; kind++) {
			w->sum[kind] -= w->bucket[w->newest][kind];
			w->bucket[w->newest][kind] = 0;
		}
	}
	/* After a long pause the grid of buckets need not go on. */
	w->start_us = n == WINDOW_BUCKETS ? now_us : w->start_us + n * w->bucket_us;
}

void
window_add(struct window *w, unsigned kind, int64_t n, int64_t now_us)
{
	advance(w, now_us);
	w->bucket[w->newest][kind] += n;
	w->sum[kind] += n;
}

void
window_undo(struct window *w, unsigned kind, int64_t now_us)
{
	advance(w, now_us);
	for (unsigned age = 0; age < WINDOW_BUCKETS; age++) {
		unsigned i = (w->newest + WINDOW_BUCKETS - age) % WINDOW_BUCKETS;

		if (w->bucket[i][kind] > 0) {
			w->bucket[i][kind]--;
			w->sum[kind]--;
			return;
		}
	}
}

int64_t
window_sum(struct window *w, unsigned kind, int64_t now_us)
{
	advance(w, now_us);
	return w->sum[kind];
}

int64_t
window_peek(const struct window *w, unsigned kind, int64_t now_us)
{
	int64_t sum = w->sum[kind];
	unsigned n = ended(w, now_us);

	for (unsigned i = 1; i <= n; i++)
		sum -= w->bucket[(w->newest + i) % WINDOW_BUCKETS][kind];
	return sum;
}
