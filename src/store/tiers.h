/* tiers.h - the shared tiers whose invalidations are heard: the channels of
 * src/origin, near.h and near_walk.h, put together for each origin with tracking.
 *
 * Belongs to one loop, loop 0's. */
#ifndef PANNIER_STORE_TIERS_H
#define PANNIER_STORE_TIERS_H

#include "origin/redis_tracker.h"
#include "store/near.h"
#include "store/store.h"

struct tiers;

/* Before a store gets these routes: nothing of an origin with tracking counts as
 * verified that no channel stands for, and it takes memory to know that. 0 or
 * -ENOMEM. One caller at a time. */
int tiers_prepare(struct store *s, const struct routes *r) MUST_CHECK;

/* On the thread of sl, or before it runs. NULL: no memory. */
struct tiers *tiers_new(struct store_loop *sl) MUST_CHECK;
void tiers_free(struct tiers *t); /* NULL is fine; before sl goes */
/* At start, and when sl has taken up other routes: channels that are wanted are opened,
 * others closed, and those of origins that stayed the same go on. What cannot be opened
 * for lack of memory is tried again, and not verified until then. */
void tiers_configure(struct tiers *t);

struct tier_status {
	bool verified;
	bool walking; /* what a loss or a flush does to the cache is not done yet */
	struct redis_tracker_state channels; /* its error is good until the next turn */
	struct near_counts counts;
};
/* Of an origin, by its stats_id. False: it has no tracking. */
bool tiers_status(const struct tiers *t, int origin, struct tier_status *out);

#endif
