/* shard.h - one of the parts that keys are spread over by the high bits of
 * their hash: a lock, a table, the policy's queues, counters.
 *
 * What another process would need to look up keys lies in the arena (struct
 * shard_head), with a sequence counter that is odd while links change: who
 * reads without the lock validates by it. The rest is on the heap.
 *
 * Everything here belongs to shard.lock but what is atomic. */
#ifndef PANNIER_CACHE_SHARD_H
#define PANNIER_CACHE_SHARD_H

#include "base/lock.h"
#include "cache/cache.h"
#include "cache/entry.h"

#define POLICY_QUEUES 3
#define QUEUE_PROTECTED POLICY_QUEUES /* of entries that no policy sees */
/* Then come those of each quota, see quota.c. */
#define SHARD_QUEUES (POLICY_QUEUES + 1 + CACHE_QUOTAS * POLICY_QUEUES)
#define SHARD_MARKERS 64
#define SHARD_WATCH_BUCKETS 16

struct shard_head {
	_Atomic(uint32_t) seq;
	_Atomic(uint32_t) n_buckets;
	uint32_t reserved[2];
	/* Heads of the queues, circular: `older` is the newest entry,
	 * `newer` the oldest. */
	struct entry queues[SHARD_QUEUES];
	/* Put into the first queue now and then, with the time in `chain`: the
	 * last one to drop out at the end tells how old the end is. */
	struct entry markers[SHARD_MARKERS];
	/* Where a dump of the shard has come to, in the queue that it walks (dump.c). */
	struct entry bookmark;
};

struct shard {
	struct lock lock;
	struct cache *cache;
	struct shard_head *head;
	char *table;             /* first page; pages of all shards alternate */
	const struct policy *policy;
	unsigned stride_shift;   /* distance of its pages */
	uint32_t table_pages;    /* taken */
	uint32_t entries_from;   /* references below are queues' heads and markers */
	bool trimming;           /* a page is being punched: do not grow */
	_Atomic(uint32_t) gen;   /* the flush that it has seen */
	_Atomic(uint32_t) oldest; /* time of the first queue's end, from markers */
	uint32_t marked;         /* time of the last marker put in */
	unsigned marker_next, markers_in;
	bool bookmarked;         /* the head's bookmark is in a queue */
	_Atomic(uint64_t) count;
	_Atomic(uint64_t) expiring; /* of those, with an expiry */
	_Atomic(uint64_t) n_protected; /* of those, that are not evicted */
	_Atomic(uint64_t) user_bytes;
	_Atomic(uint64_t) evicted, expired;
	uint64_t queue_bytes[SHARD_QUEUES];
	uint64_t quota_bytes;    /* of those, in queues of quotas */
	uint32_t slow_touch;     /* words with such bits are not just moved by a use */
	uint32_t draws;          /* quota.c: whose turn it is */
	_Atomic(bool) mapped;    /* there are quotas, by these maps */
	const void *map, *map_old; /* keys before map_point are counted by the first */
	uint64_t map_point;
	unsigned n_watches;      /* below, and what n_notices counts */
	unsigned n_notices;      /* who wants to hear of each change: cache_notice_locked() */
	struct cache_watch *watches[SHARD_WATCH_BUCKETS]; /* by the hash's low bits */
	uint8_t *policy_mem;     /* what the policy keeps beside the entries */
	uint64_t policy_bytes;
	uint64_t policy_counted, policy_hand; /* the policy's own */
} __attribute__((aligned(64)));

void shard_init(struct shard *sh, struct cache *c, struct shard_head *head, char *table,
    unsigned stride_shift);
/* The same of one that another process has filled; nothing of it is touched. */
void shard_attach(struct shard *sh, struct cache *c, struct shard_head *head, char *table,
    unsigned stride_shift);
/* Forgets all entries, in constant time: segments and tables are cleared by
 * others. The first page of the table must be there. */
void shard_reset_locked(struct shard *sh, uint32_t gen, uint32_t time);

/* watch.c: a key was changed; all are gone. */
void watch_changed_locked(struct shard *sh, struct cache_thread *t, struct slice key,
    uint64_t hash, enum cache_change how);
void watch_flushed_locked(struct shard *sh);

static inline void
shard_changed(struct shard *sh, struct cache_thread *t, struct slice key, uint64_t hash,
    enum cache_change how)
{
	if (unlikely(sh->n_watches != 0))
		watch_changed_locked(sh, t, key, hash, how);
}

/* Around every change of links or values. */
static inline void
shard_write_begin(struct shard *sh)
{
	uint32_t seq = atomic_load_explicit(&sh->head->seq, memory_order_relaxed);

	/* An exchange, for nothing written later may be seen before it. */
	atomic_exchange_explicit(&sh->head->seq, seq + 1, memory_order_acq_rel);
}

static inline void
shard_write_end(struct shard *sh)
{
	uint32_t seq = atomic_load_explicit(&sh->head->seq, memory_order_relaxed);

	atomic_store_explicit(&sh->head->seq, seq + 1, memory_order_release);
}

static inline void
shard_add(_Atomic(uint64_t) *n, int64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + (uint64_t)by,
	    memory_order_relaxed);
}

/* Written under the lock, read by who compares shards as well. */
static inline bool
shard_is_mapped(const struct shard *sh)
{
	return atomic_load_explicit(&sh->mapped, memory_order_relaxed);
}

static inline uint64_t
shard_get(const _Atomic(uint64_t) *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

#endif
