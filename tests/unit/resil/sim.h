/* sim.h - a simulated origin, and the events of a simulated time. */
#ifndef PANNIER_TESTS_RESIL_SIM_H
#define PANNIER_TESTS_RESIL_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/draw.h"
#include "unit/suite.h"

#define SIM_WORKERS_MAX 256
#define SIM_EVENTS_MAX 65536

/* So many workers, which take what comes one after the other. */
struct sim_origin {
	unsigned workers;
	int64_t service_us; /* each call takes 90 to 110 % of it */
	int64_t free_us[SIM_WORKERS_MAX];
	struct draw draw;
};

/* A call that arrives now: when it will be answered. */
static inline int64_t
sim_call(struct sim_origin *o, int64_t now_us)
{
	unsigned best = 0;
	int64_t tenth = o->service_us / 10, begin_us;

	for (unsigned i = 1; i < o->workers; i++)
		if (o->free_us[i] < o->free_us[best])
			best = i;
	begin_us = o->free_us[best] > now_us ? o->free_us[best] : now_us;
	o->free_us[best] = begin_us + o->service_us - tenth +
	    (int64_t)draw_below(draw_next(&o->draw), 2 * (uint64_t)tenth + 1);
	return o->free_us[best];
}

/* Forgets what it has not begun, as a restart does. */
static inline void
sim_restart(struct sim_origin *o, int64_t now_us)
{
	for (unsigned i = 0; i < o->workers; i++)
		o->free_us[i] = now_us;
}

struct sim_event {
	int64_t at_us, began_us;
	uint32_t kind, id;
};

/* A heap, the earliest on top. */
struct sim_events {
	uint32_t n;
	struct sim_event heap[SIM_EVENTS_MAX];
};

static inline void
sim_swap(struct sim_events *e, uint32_t i, uint32_t j)
{
	struct sim_event keep = e->heap[i];

	e->heap[i] = e->heap[j];
	e->heap[j] = keep;
}

static inline void
sim_push(struct sim_events *e, struct sim_event event)
{
	uint32_t i = e->n++;

	ck_assert_uint_lt(i, SIM_EVENTS_MAX);
	e->heap[i] = event;
	for (; i > 0 && e->heap[i].at_us < e->heap[(i - 1) / 2].at_us; i = (i - 1) / 2)
		sim_swap(e, i, (i - 1) / 2);
}

/* False: none before until_us. */
static inline bool
sim_pop(struct sim_events *e, int64_t until_us, struct sim_event *out)
{
	if (e->n == 0 || e->heap[0].at_us >= until_us)
		return false;
	*out = e->heap[0];
	e->heap[0] = e->heap[--e->n];
	for (uint32_t i = 0, child = 1; child < e->n; i = child, child = 2 * i + 1) {
		if (child + 1 < e->n && e->heap[child + 1].at_us < e->heap[child].at_us)
			child++;
		if (e->heap[i].at_us <= e->heap[child].at_us)
			break;
		sim_swap(e, i, child);
	}
	return true;
}

#endif
