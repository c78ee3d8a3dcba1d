/* dump.h - all entries out of a cache, and into another one.
 *
 * They come in the order in which eviction would take them, so that who puts them back
 * in that order has the same cache again: the policy's queues one after the other, each
 * from its oldest end. Shards take turns, a sixty-fourth of each at a time, since the
 * other cache spreads the keys over its shards in another way. Protected entries come
 * first.
 *
 * The cache goes on meanwhile. What is there from begin to end is met, and what is used or
 * written meanwhile may be met twice, the later time as it is then: who puts back
 * lets the later one win. (An entry that a policy moves back to a queue which was walked
 * already, as W-TinyLFU does with what is protected no more, may be missed.)
 *
 * Thread-safe: any thread may dump, one at a time. */
#ifndef PANNIER_CACHE_DUMP_H
#define PANNIER_CACHE_DUMP_H

#include "cache/cache.h"

struct cache_dumped {
	struct slice key, value;
	struct slice record;   /* {NULL, 0}: none */
	int64_t expires_ms;    /* CACHE_NEVER, or it may have passed: stale until */
	int64_t end_ms;        /* when its grace is over too; CACHE_NEVER */
	uint64_t footprint;    /* cache_footprint() */
	bool is_protected;
	uint8_t bits;          /* the policy's, of that entry, */
	uint8_t frequency;     /* and how often it was used, as it counts */
	/* Of cache_dump_step(), for cache_dump_pin(): */
	struct cache *cache;
	uint32_t ref;
};

/* Under the shard's lock: copies what it needs, and neither waits, locks nor calls the
 * cache but by cache_dump_pin(). False: it has no room now, and gets the same entry
 * with the next step, or what has become of it. */
typedef bool cache_dump_fn(void *arg, const struct cache_dumped *d);

/* Its value stays where it is until ref->release(); as cache_pin(), which see. */
bool cache_dump_pin(const struct cache_dumped *d, struct out_ref *ref);

struct cache_dump {
	struct cache *cache;
	unsigned stage; /* which queue */
	unsigned shard;
	uint64_t left;  /* of this shard's turn */
	uint64_t tired; /* steps of this turn of all shards that are to come at most */
	uint64_t open[CACHE_SHARDS_MAX / 64]; /* shards that have more in this stage */
};

void cache_dump_begin(struct cache *c, struct cache_dump *d);
/* One short hold of a shard's lock: DUMP_STEP entries at most, those that have ended by
 * now_ms passed over. False: that was all. */
#define DUMP_STEP 128
bool cache_dump_step(struct cache_dump *d, int64_t now_ms, cache_dump_fn *fn, void *arg);
/* However far it has come. */
void cache_dump_end(struct cache_dump *d);

/* In the other cache: puts what was dumped where the cursor stands, over what is there,
 * with the rank that it had where the policy is the same (`same_policy`). Of *d, `key` is
 * not looked at. The results of cache_put(). What has ended by now is not put:
 * -ETIME. */
int cache_restore(struct cache_cursor *cur, const struct cache_dumped *d, bool same_policy)
    MUST_CHECK;

#endif
