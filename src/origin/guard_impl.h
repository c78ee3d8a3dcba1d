/* guard_impl.h - what the files of the guard share. Nobody else includes it. */
#ifndef PANNIER_ORIGIN_GUARD_IMPL_H
#define PANNIER_ORIGIN_GUARD_IMPL_H

#include <stdatomic.h>

#include "base/draw.h"
#include "base/list.h"
#include "base/lock.h"
#include "origin/guard.h"
#include "resil/balance.h"
#include "resil/gcra.h"
#include "resil/hedge.h"
#include "resil/limit.h"
#include "resil/outlier.h"
#include "resil/retry.h"

#define US_PER_MS 1000

struct guard {
	atomic_uint refs;
	struct config_origin cfg; /* a copy of its own; immutable */
	unsigned n_endpoints;
	struct list link;         /* in guards.all, under that lock */

	struct lock lock;         /* of all below */
	struct draw draw;
	struct bucket rate;
	struct limit limit;
	struct breaker breaker;
	struct budget retries;
	struct hedge hedge;
	struct balance balance;
	struct outlier outlier;
	struct health *health;    /* [n_endpoints], or NULL: no checks */
	uint64_t out;             /* by command, a bit for each endpoint */
	uint32_t waiting;         /* in all loops' queues */
	struct list members;      /* by guard_member.link; who comes first is served next */
	struct guard_member *checker;
};

/* A place that becomes free while loops are starved goes to one of them at once: it stays
 * taken, is counted in `granted`, and the loop is woken. Otherwise the loop that freed it
 * would take it again for its own queue, each time. */
struct guard_member {
	struct loop_task task;
	struct list link;
	struct guard *guard;
	struct loop *loop;
	void (*wake)(void *arg);
	void *arg;
	uint32_t granted;
	bool starved; /* waits for a place and for nothing else */
	bool posted;  /* its task is on its way */
	bool gone;    /* ... and frees it when it arrives */
};

/* guard.c */
uint64_t guard_usable_locked(struct guard *g, int64_t now_us);
/* guards.c */
struct guard *guard_new(const struct config_origin *cfg);

#endif
