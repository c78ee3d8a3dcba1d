/* internal.h - what store.c and flight.c share. Nobody else includes it. */
#ifndef PANNIER_STORE_INTERNAL_H
#define PANNIER_STORE_INTERNAL_H

#include <stdatomic.h>

#include "base/lock.h"
#include "origin/origin.h"
#include "store/store.h"

#define STRIPES 64
#define STRIPE_BUCKETS 64

/* Flights of the keys whose hash falls here. The lock is the outer one: a
 * shard's may be taken inside, never the other way round. */
struct stripe {
	struct lock lock;
	struct flight *buckets[STRIPE_BUCKETS];
};

struct store {
	struct cache *cache;
	/* Read by classify() on loops' threads. An old one stays alive until each
	 * loop has let go of its own reference, which it does on its own thread:
	 * so none can still be reading it. */
	_Atomic(struct routes *) routes;
	_Atomic(uint64_t) waiting;
	_Atomic(uint64_t) flights;
	struct stripe stripes[STRIPES];
};

/* The origins of one configuration, on one loop. Outlives a reload until its
 * last fetch is done. */
struct origin_set {
	struct list link; /* in store_loop.retired, or in no list */
	struct routes *routes;
	unsigned fetches; /* under way */
	struct origin_client *clients[]; /* [n_origins], made at first use */
};

struct store_loop {
	struct store *store;
	struct loop *loop;
	struct stats_loop *stats;
	struct origin_set *origins; /* of the present configuration */
	struct list retired;        /* of earlier ones, with fetches under way */
	struct cache_thread thread;
};

/* flight.c; `ns` has an origin. The cursor is open on STORE_HIT. */
enum store_answer flight_join(struct store_loop *sl, const struct config_namespace *ns,
    struct slice key, uint64_t hash, struct store_cursor *cur, struct store_waiter *w);
struct stripe *flight_stripe(struct store *s, uint64_t hash);
/* The key's flight, if there is one, stores nothing any more. */
void flight_detach_locked(struct stripe *st, uint64_t hash, struct slice key);
void flight_detach_all(struct store *s);

/* store.c */
int origin_set_new(struct routes *r, struct origin_set **out) MUST_CHECK;
/* Frees those of earlier configurations whose last fetch is done. Not from
 * within a client's callback: it is still at work then. */
void origin_sets_sweep(struct store_loop *sl);
/* The client for an origin of os, made now if need be; NULL: it can't be. */
struct origin_client *origin_set_client(struct origin_set *os, struct store_loop *sl,
    const struct config_origin *cfg);
struct stats_ns *store_ns_stats(struct store_loop *sl, const struct config_namespace *ns);

#endif
