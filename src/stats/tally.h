/* tally.h - what happened to cached entries, by class. The cache counts, the
 * statistics sum; it stands here so that who reads statistics (an origin)
 * need not know the cache. */
#ifndef PANNIER_STATS_TALLY_H
#define PANNIER_STATS_TALLY_H

#include "stats/counter.h"

/* Classes that tallies are kept for (the store maps namespaces to them). */
#define CACHE_CLASSES 256

/* What happened to entries of one class, by one thread's doing. Written by
 * that thread, read by any. Entries and bytes are signed: one thread may
 * remove what another stored; only their sums over threads mean something.
 * Bytes are keys, values and all overhead of an entry. */
struct cache_tally {
	struct counter stored;   /* entries put, replacements included */
	struct counter evicted;  /* to make room */
	struct counter over_max; /* of those, because its quota had its maximum */
	struct counter expired;  /* their time had come */
	struct counter refused;  /* not put: protected ones have all they may */
	struct counter entries;
	struct counter bytes;
};

#endif
