/* near_walk.h - what a tier's invalidations do to the cache: one key, all keys of
 * the tier, or all of them stale (doc/near.md).
 *
 * All of this is called on one loop, the one that hears the channels. */
#ifndef PANNIER_STORE_NEAR_WALK_H
#define PANNIER_STORE_NEAR_WALK_H

#include "base/buf.h"
#include "store/near.h"
#include "store/store.h"

#define NEAR_WALKS 16

/* Walks that are still to be done for a tier, one after the other: each entry is met by
 * the oldest loss first, so that none gets more time than its own loss gives it. */
struct near_walk {
	int origin; /* its stats_id */
	struct near_loss losses[NEAR_WALKS];
	unsigned n_losses;
	bool drops;      /* first of all, everything goes */
	uint64_t cursor; /* of the walk that is under way */
	struct buf keys;
};

void near_walk_init(struct near_walk *w, int origin);
void near_walk_fini(struct near_walk *w);
/* What is there now, and is meant by it, is stale from l->lost_ms on (see near.h). */
void near_walk_soften(struct near_walk *w, const struct near_loss *l);
/* What is there now goes; fetches under way are not stored. */
void near_walk_drop(struct near_walk *w, struct store_loop *sl);
bool near_walk_is_done(const struct near_walk *w);
/* One short hold of one shard's lock, and one for each key found there. True: there is
 * more to do. */
bool near_walk_step(struct near_walk *w, struct store_loop *sl);

/* The tier says that a key has changed. False: it is none of this tier's. */
bool near_invalidate(struct store_loop *sl, int origin, struct slice key);

#endif
