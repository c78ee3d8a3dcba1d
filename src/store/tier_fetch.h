/* tier_fetch.h - a fetch where a shared tier stands in front of the origin, and, where the
 * namespace says so, one fetch for all who share it (doc/near.md).
 *
 *   READ the tier --value--> answer
 *     | none                                another has it
 *     +--> ACQUIRE the lease --------------------------------> WAIT, then READ again
 *     |      | got it                                            | for too long
 *     |      +--> READ once more --value--> answer               |
 *     |             | none                                       |
 *     +-------------+--> LOAD from the origin <------------------+
 *                          answer, and behind it FILL the tier or RELEASE the lease
 *
 * A tier that fails is left out; the origin is asked as if there were none. All of it ends
 * by the request's deadline. Belongs to one loop. */
#ifndef PANNIER_STORE_TIER_FETCH_H
#define PANNIER_STORE_TIER_FETCH_H

#include "base/lock.h"
#include "origin/origin.h"
#include "store/store.h"

struct origin_set;

/* As origin_fetch_start(), for a namespace with a tier. */
int tier_fetch_start(struct store_loop *sl, struct origin_set *os,
    const struct origin_request *rq, origin_done *done, void *arg) MUST_CHECK;
/* The clients of `os` go: those that wait fail now; the others do when their requests do. */
void tier_fetch_end_all(struct origin_set *os);

/* Who waits for a lease of another pannier, by the hash of the key: so that an
 * invalidation of the key, which may be the value's arrival, wakes them. */
#define TIER_WAIT_BUCKETS 64
struct tier_waits {
	struct lock lock;
	_Atomic(uint32_t) n;
	struct list buckets[TIER_WAIT_BUCKETS];
};
void tier_waits_init(struct tier_waits *w);
void tier_waits_fini(struct tier_waits *w);
/* Any thread. */
void tier_waits_wake(struct tier_waits *w, uint64_t hash);

#endif
