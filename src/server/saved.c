/* The mean changes as time goes by, and what was saved before must not: so it is added up in
 * steps, each by the mean of then. */
#include "config.h"

#include "server/saved.h"

#include <math.h>

#include "server/server.h"

#define HALF_LIFE_MS 300000.0 /* of fetches, for their mean */

void
saved_init(struct saved *s)
{
	lock_init(&s->lock);
	s->counted_ms = 0;
	for (unsigned i = 0; i < STATS_NAMESPACES; i++)
		s->ns[i] = (struct saved_ns){ 0 };
}

void
saved_fini(struct saved *s)
{
	lock_fini(&s->lock);
}

/* A count that is smaller than it was has begun anew. */
static int64_t
grown(int64_t *seen, int64_t now)
{
	int64_t by = now < *seen ? now : now - *seen;

	*seen = now;
	return by;
}

static void
look(struct server *s, unsigned id, int64_t *reads, int64_t *fetches, int64_t *fetch_us)
{
	struct stats_sum_ns n;

	stats_sum_ns(s->stats, s->n_loops, id, &n);
	*reads = n.hits + n.coalesced;
	stats_sum_time_totals(s->stats, s->n_loops, id, STATS_FETCH_US, fetches, fetch_us);
}

static void
count_locked(struct server *s, unsigned id, double fade)
{
	struct saved_ns *n = &s->saved.ns[id];
	int64_t reads, fetches, fetch_us;

	assert(lock_held(&s->saved.lock));
	look(s, id, &reads, &fetches, &fetch_us);
	n->recent = n->recent * fade + (double)grown(&n->fetches, fetches);
	n->recent_us = n->recent_us * fade + (double)grown(&n->fetch_us, fetch_us);
	/* Until something is known of fetches, reads wait to be counted. */
	if (n->recent > 0)
		n->us += (double)grown(&n->reads, reads) * n->recent_us / n->recent;
}

void
saved_count(struct server *s, int64_t now_ms)
{
	struct saved *v = &s->saved;
	unsigned n = stats_ns_count(s->names);
	double fade;

	lock_acquire(&v->lock);
	fade = exp2(-(double)MAX(now_ms - v->counted_ms, 0) / HALF_LIFE_MS);
	v->counted_ms = now_ms;
	for (unsigned id = 0; id < n; id++)
		count_locked(s, id, fade);
	lock_release(&v->lock);
}

int64_t
saved_us(struct server *s, unsigned ns)
{
	double us;

	lock_acquire(&s->saved.lock);
	us = s->saved.ns[ns].us;
	lock_release(&s->saved.lock);
	return (int64_t)us;
}

double
saved_fetch_us(struct server *s, unsigned ns)
{
	const struct saved_ns *n = &s->saved.ns[ns];
	double us;

	lock_acquire(&s->saved.lock);
	us = n->recent > 0 ? n->recent_us / n->recent : 0;
	lock_release(&s->saved.lock);
	return us;
}

void
saved_reset(struct server *s)
{
	lock_acquire(&s->saved.lock);
	for (unsigned id = 0; id < STATS_NAMESPACES; id++) {
		struct saved_ns *n = &s->saved.ns[id];

		n->reads = n->fetches = n->fetch_us = 0;
		n->us = 0;
	}
	lock_release(&s->saved.lock);
}
