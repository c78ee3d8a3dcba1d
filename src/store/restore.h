/* restore.h - what a snapshot brings goes into the store while that serves.
 *
 * Whatever a client or an origin says of a key while entries are put back is newer than
 * what the snapshot says, and wins: also where it is that the key is gone, or where what
 * was written has left the cache again. So each key that is written, removed, invalidated
 * or fetched meanwhile is noted, and what the snapshot has of it is passed over. The notes
 * are a Bloom filter: they take the same memory however many keys there are, and at worst
 * they cost a value that could have been put back (1 % after 160,000 keys).
 * Invalidations by prefix and tag are kept, and asked for each entry. After a flush, or
 * more invalidations than are kept, nothing more is put back.
 *
 * To writes it costs nothing when none is under way: while one is, each stripe of the
 * table of flights counts as busy, so that writes come by there (hold_stripe()). */
#ifndef PANNIER_STORE_RESTORE_H
#define PANNIER_STORE_RESTORE_H

#include "cache/dump.h"
#include "store/store.h"

/* Before its loops run: what they do from now on is noted. 0; -ENOMEM; -EBUSY. */
int store_restore_begin(struct store *s) MUST_CHECK;
/* No store_restore() is under way or comes. Any thread; twice does no harm. */
void store_restore_end(struct store *s);
bool store_is_restoring(const struct store *s);
/* Memory that it takes from begin to end. */
#define STORE_RESTORE_BYTES ((uint64_t)256 << 10)

enum restored {
	RESTORED,
	RESTORED_NEWER,    /* not: it was written, removed or fetched since */
	RESTORED_EXPIRED,  /* not: its time is over */
	RESTORED_TIER,     /* not: it is kept true by a tier, which nobody heard meanwhile */
	RESTORED_REFUSED,  /* not: it is too large, or protected entries have all they may */
	RESTORED_NO_MEMORY,
	RESTORED_STOPPED,  /* nothing more is: there was a flush */
	RESTORED_KINDS
};

/* On the loop's thread. What is there of the same snapshot already gives way. */
enum restored store_restore(struct store_loop *sl, const struct cache_dumped *d,
    bool same_policy);

#endif
