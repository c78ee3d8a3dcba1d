/* A herd: all connections GET one cold key at once, as after a deploy or the
 * end of a hot key's time. Each that gets nothing loads the value, as the
 * application would, and SETs it. Without protection all of them load; with a
 * lease one does, and with an origin behind the server none. */
#include "config.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/bench_run.h"

#define EVENTS_MAX 256
#define LOOK_MS 100

struct herd {
	struct bench_worker *worker;
	uint64_t id;
	int64_t *load_done_us; /* [n_conns]; 0: not loading. owned */
	unsigned loading;
	unsigned open;         /* connections that are not done */
	int64_t loads;
};

static int
ask(struct herd *h, struct bench_conn *c, bool set)
{
	int64_t now_us = clock_mono_us();
	struct bench_op op = { .id = h->id, .start_us = now_us, .set = set, .owed = set };
	int rc = bench_ask(h->worker, c, &op, now_us);

	return rc == 0 ? bench_flush(h->worker, c) : rc;
}

static void
begin_load(struct herd *h, struct bench_conn *c, int64_t now_us)
{
	const struct bench_span *span = &h->worker->run->opts->load_time;
	uint64_t spread = (uint64_t)(span->max_ms - span->min_ms);
	int64_t ms = span->min_ms +
	    (int64_t)draw_below(draw_next(&h->worker->rng), spread + 1);

	h->loads++;
	h->loading++;
	h->load_done_us[c - h->worker->conns] = now_us + ms * 1000;
}

/* SETs of those whose load is over; *next_us: when the next one is. */
static int
end_loads(struct herd *h, int64_t now_us, int64_t *next_us)
{
	struct bench_worker *w = h->worker;
	int rc = 0;

	*next_us = INT64_MAX;
	for (unsigned i = 0; rc == 0 && h->loading > 0 && i < w->n_conns; i++) {
		int64_t at_us = h->load_done_us[i];

		if (at_us == 0)
			continue;
		if (at_us > now_us) {
			*next_us = MIN(*next_us, at_us);
			continue;
		}
		h->load_done_us[i] = 0;
		h->loading--;
		rc = ask(h, &w->conns[i], true);
	}
	return rc;
}

static void
told(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op UNUSED,
    enum bench_answer answer)
{
	if (answer == BENCH_NOTHING)
		begin_load(w->herd, c, w->to_us);
	else
		w->herd->open--;
}

static int
event(struct herd *h, struct bench_conn *c)
{
	int rc = bench_flush(h->worker, c);

	if (rc == 0)
		rc = bench_receive(h->worker, c);
	return rc == -EAGAIN ? 0 : rc;
}

static int
wait_ms(int64_t next_us, int64_t now_us)
{
	if (next_us - now_us >= LOOK_MS * 1000)
		return LOOK_MS;
	return (int)MAX((next_us - now_us + 999) / 1000, 0);
}

/* Until every connection has the value or has set it. */
static int
gather(struct herd *h)
{
	struct bench_worker *w = h->worker;
	struct epoll_event events[EVENTS_MAX];
	int64_t last_us = clock_mono_us();
	int rc = 0;

	while (rc == 0 && h->open > 0 && !atomic_load(&w->run->stop)) {
		int64_t now_us = clock_mono_us(), next_us;
		int n;

		rc = end_loads(h, now_us, &next_us);
		if (rc != 0)
			break;
		n = epoll_wait(w->epoll, events, EVENTS_MAX, wait_ms(next_us, now_us));
		for (int i = 0; rc == 0 && i < n; i++)
			rc = event(h, events[i].data.ptr);
		if (n > 0 || h->loading > 0)
			last_us = clock_mono_us();
		else if (clock_mono_us() - last_us > (int64_t)(w->run->opts->timeout * 1e6))
			rc = bench_fault(w, -ETIMEDOUT, "%u of the herd had no reply for %g s",
			    h->open, w->run->opts->timeout);
	}
	return rc;
}

static int
one_herd(struct herd *h)
{
	struct bench_worker *w = h->worker;
	int rc = 0;

	h->loads = 0;
	h->open = w->n_conns;
	for (unsigned i = 0; rc == 0 && i < w->n_conns; i++)
		rc = ask(h, &w->conns[i], false);
	if (rc == 0)
		rc = gather(h);
	w->loads += h->loads;
	w->loads_max = MAX(w->loads_max, h->loads);
	return rc;
}

int
bench_herd(struct bench_worker *w)
{
	const struct bench_opts *o = w->run->opts;
	struct herd h = { .worker = w };
	/* Cold also when the same server is asked twice. */
	uint64_t first = o->first_key != 0 ? o->first_key :
	    (uint64_t)clock_wall_ms() % (UINT32_MAX / 2);
	int rc = 0;

	h.load_done_us = mem_calloc(w->n_conns, sizeof *h.load_done_us);
	if (h.load_done_us == NULL)
		return bench_fault(w, -ENOMEM, "no memory for a herd");
	w->told = told;
	/* cppcheck-suppress autoVariables ; forgotten again below */
	w->herd = &h;
	w->from_us = w->to_us = clock_mono_us();
	while (rc == 0 && w->left > 0 && clock_mono_us() < w->run->end_us &&
	    !atomic_load(&w->run->stop)) {
		h.id = first + w->herds;
		rc = one_herd(&h);
		w->left--;
		w->herds += rc == 0;
	}
	w->herd = NULL;
	mem_free(h.load_done_us);
	return rc;
}
