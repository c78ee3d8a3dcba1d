/* counter.h - a number that one thread writes and any thread reads.
 *
 * A plain load and store, relaxed: no locked instruction on the hot path.
 * Sums over threads are therefore of slightly different moments, which is
 * fine for statistics and nothing else. */
#ifndef PANNIER_STATS_COUNTER_H
#define PANNIER_STATS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
	_Atomic(int64_t) n;
};

static inline void
counter_add(struct counter *c, int64_t n)
{
	atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

static inline void
counter_inc(struct counter *c)
{
	counter_add(c, 1);
}

static inline int64_t
counter_get(const struct counter *c)
{
	return atomic_load_explicit(&c->n, memory_order_relaxed);
}

#endif
