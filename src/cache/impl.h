/* impl.h - what the files of the cache share. Nobody outside includes it.
 *
 * Locks, in the order in which one may wait for them:
 *
 *   1  shard.lock   one at a time, a second one only by trylock; or several, as
 *                   cache_hold_begin() takes them, in the order of their index
 *   2  cache.work   the cleaner and the crawler: one thread at a time. Its
 *                   holder takes shards by trylock alone, so that a cursor's
 *                   holder, who needs room, may wait for it
 *   3  pool.lock, extents.lock   short, nothing is locked under them
 *
 * What flows: a writer takes room in the log (pool_alloc) under its shard's
 * lock, and pays for it after cache_close(), without any lock held: evicts
 * (work_after_write) and cleans. What is kept free between suffices for what
 * several writers can take at once; only where it does not (a large value, a
 * long cursor) room is made inside cache_put(), with trylocks
 * (work_make_room).
 *
 * Generations: a flush counts pool.gen up, and each shard forgets its entries
 * when it is locked next. An entry is published in a segment of its shard's
 * generation or not at all; so whatever lies in segments of older ones is
 * garbage as soon as every shard has followed. */
#ifndef PANNIER_CACHE_IMPL_H
#define PANNIER_CACHE_IMPL_H

#include "cache/cache.h"
#include "cache/extent.h"
#include "cache/policy.h"
#include "cache/segment.h"
#include "cache/shard.h"
#include "cache/table.h"

/* At the start of the arena. */
struct region_head {
	char magic[8];
	uint32_t version;
	uint32_t shards;
	uint32_t seg_shift;
	uint32_t first_slot, n_slots;
	uint32_t stride_shift;
	uint64_t seed;
	uint64_t shards_at, segs_at, extents_at, tables_at, values_at;
};

/* A walk over the entries of a part of a segment. */
struct walk {
	uint32_t at, end;
};

struct cleaner {
	uint32_t victim; /* 0: none */
	uint32_t rewinds;
	bool drop; /* what lies there is not moved but goes */
	struct walk walk;
};

struct crawler {
	int64_t swept_ms;  /* when the last round began */
	bool sweeping;     /* a round is under way */
	bool inside;       /* `seg` is busy by us */
	uint32_t seg;
	unsigned block;
	struct walk walk;
	uint32_t least;    /* of what the walk left behind */
};

/* Looks at protected entries again, see cache_reclassify(). */
struct reclass {
	unsigned shard;
	uint64_t left; /* entries of that shard */
	bool running;
};

/* See quota.c. Each on a cache line of its own: every write of its keys changes it. */
struct quota {
	_Atomic(int64_t) bytes;
	_Atomic(int64_t) coming, leaving;
	_Atomic(uint64_t) min, max; /* as set: bytes, or CACHE_SHARE() */
	_Atomic(uint32_t) hand;     /* the shard to be evicted from next */
} __attribute__((aligned(64)));

/* Goes through the shards, to count by another map. */
struct remap {
	const void *now, *to; /* owned */
	unsigned shard;
	bool running;
};

struct cache {
	struct arena arena;
	struct pool pool;
	struct extents extents;
	struct shard *shards;
	void *shards_mem;
	unsigned n_shards, shard_shift;
	uint64_t seed;
	struct cache_class (*classify)(void *arg, struct slice key);
	void *classify_arg;
	cache_changed_fn *changed;
	void *changed_arg;
	const _Atomic(uint32_t) *sample_below; /* never NULL */
	cache_sampled_fn *sampled;
	void *sampled_arg;
	uint32_t small_max;       /* bytes of the largest entry in a segment */
	uint64_t reserve_pages;   /* the most that the budget may be */
	uint64_t least_pages;     /* and the least */
	struct lock work;
	struct cleaner cleaner;   /* under work */
	struct crawler crawler;   /* under work */
	struct reclass reclass;   /* under work */
	_Atomic(bool) reclassify; /* asked for */
	_Atomic(bool) has_quotas; /* or had some: quota_step() has to look */
	struct quota *quotas;     /* [CACHE_QUOTAS], owned */
	void *quotas_mem;
	cache_quota_of_fn *quota_of;
	void (*unmap)(const void *map);
	struct remap remap;       /* under work */
	struct lock remap_lock;   /* nothing is locked under it; of the next two */
	const void *map_next;
	_Atomic(bool) remap_asked;
	_Atomic(int64_t) protected_bytes;
	_Atomic(uint64_t) protected_limit; /* as set, 0: auto */
	_Atomic(int64_t) ahead;   /* evicted beyond need, to ease cleaning */
	_Atomic(uint32_t) dear_class; /* the fullest victim worth its cost */
	_Atomic(uint32_t) paced;      /* when these two were looked at last */
	_Atomic(uint64_t) paced_written, paced_filled; /* of the pool, then */
	_Atomic(int64_t) paced_moved;
	_Atomic(uint32_t) move_cost;  /* bytes moved for each written, times 256 */
	_Atomic(uint32_t) fresh_share; /* of what is written, not in holes; of 256 */
	_Atomic(int64_t) cleaned_bytes;
	_Atomic(bool) wants_page; /* a table could not grow */
	uint8_t *policy_mem; /* of all shards, owned; NULL: it needs none */
	uint64_t policy_shard_bytes;
	_Atomic(uint32_t) mark_gap; /* segments between markers, see policy.h */
	_Atomic(uint32_t) evict_shard;
	_Atomic(uint64_t) evict_until;
};

/* Who works for room. With a cursor open: its shard, whose lock is held, and
 * the entry that must stay where it is. */
struct work {
	struct cache *c;
	struct cache_thread *t;
	struct shard *mine;
	uint32_t keep;
	bool in_need; /* the cursor waits for no more than a segment */
};

/* --- hash.c ------------------------------------------------------------------ */
uint64_t key_hash(uint64_t seed, struct slice key);

static inline struct shard *
shard_of(const struct cache *c, uint64_t hash)
{
	return &c->shards[c->shard_shift == 64 ? 0 : hash >> c->shard_shift];
}

/* --- shard.c: locking, with the flush that the shard may have missed ---------- */
void shard_follow_locked(struct shard *sh, uint32_t gen);

static inline uint32_t
shard_gen(const struct shard *sh)
{
	return atomic_load_explicit(&sh->gen, memory_order_relaxed);
}

static inline bool
shard_follows(const struct shard *sh, uint32_t gen)
{
	return shard_gen(sh) == gen;
}

static inline void
shard_catch_up(struct shard *sh)
{
	uint32_t gen = pool_gen(&sh->cache->pool);

	if (unlikely(!shard_follows(sh, gen)))
		shard_follow_locked(sh, gen);
}

static inline void
shard_lock(struct shard *sh)
{
	lock_acquire(&sh->lock);
	shard_catch_up(sh);
}

static inline void
shard_unlock(struct shard *sh)
{
	lock_release(&sh->lock);
}

/* For a thread that may hold its shards together (hold.c) already. */
static inline bool
hold_has(const struct cache_hold *h, const struct shard *sh)
{
	unsigned i = (unsigned)(sh - sh->cache->shards);

	return h != NULL && (h->shards[i / 64] >> i % 64 & 1) != 0;
}

static inline void
shard_enter(const struct cache_thread *t, struct shard *sh)
{
	if (likely(t->hold == NULL)) {
		shard_lock(sh);
		return;
	}
	assert(hold_has(t->hold, sh) && lock_held(&sh->lock));
	shard_catch_up(sh);
}

static inline void
shard_leave(const struct cache_thread *t, struct shard *sh)
{
	if (t->hold == NULL)
		shard_unlock(sh);
}

/* Also true where the worker's cursor, or its thread, holds it already. */
bool work_lock_shard(const struct work *w, struct shard *sh) MUST_CHECK;
void work_unlock_shard(const struct work *w, struct shard *sh);

/* --- cursor.c ---------------------------------------------------------------------- */

/* An entry of this class takes the place of what is there, or is new: what cache_put() ends
 * with, after it has looked whether it may. */
int cursor_put(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, uint64_t stamp) MUST_CHECK;

/* --- entry.c: content ----------------------------------------------------------- */
static inline struct slice
entry_key(const struct cache *c, const struct entry *e, uint32_t word)
{
	if (unlikely(word_is_large(word))) {
		const struct entry_large *l = entry_large(e, word);

		return slice_of(extent_at(&c->extents, l->extent), l->key_len);
	}
	return slice_of(entry_body(e, word), word_key_len(word));
}

static inline struct slice
entry_value(const struct cache *c, const struct entry *e, uint32_t word)
{
	if (unlikely(word_is_large(word))) {
		const struct entry_large *l = entry_large(e, word);

		return slice_of(extent_at(&c->extents, l->extent) + l->key_len, l->value_len);
	}
	return slice_of(entry_body(e, word) + word_key_len(word), word_value_len(word));
}

/* What ends the value of an entry that has one: the record, and its length in two
 * bytes. */
static inline struct slice
record_of(struct slice raw)
{
	uint16_t len;

	memcpy(&len, raw.ptr + raw.len - sizeof len, sizeof len);
	return slice_of(raw.ptr + raw.len - sizeof len - len, len);
}

static inline struct slice
entry_record(const struct cache *c, const struct entry *e, uint32_t word)
{
	if (!stamp_has_record(entry_stamp(e, word)))
		return (struct slice){ NULL, 0 };
	return record_of(entry_value(c, e, word));
}

/* Key and value. */
static inline uint64_t
entry_user_bytes(const struct entry *e, uint32_t word)
{
	if (unlikely(word_is_large(word)))
		return entry_large(e, word)->key_len + entry_large(e, word)->value_len;
	return word_key_len(word) + word_value_len(word);
}

/* All that it takes, for tallies and for policies. */
static inline uint64_t
entry_footprint(const struct entry *e, uint32_t word)
{
	uint64_t bytes = word_bytes(word);

	if (unlikely(word_is_large(word)))
		bytes += extent_pages(entry_user_bytes(e, word)) << PAGE_SHIFT;
	return bytes;
}

/* Whether it goes to an extent. */
bool entry_is_large(const struct cache *c, size_t key_len, uint64_t value_len);
/* Memory for an entry, its key filled in; PENDING. 0: no room. */
uint32_t entry_alloc(struct cache *c, struct slice key, uint64_t value_len, uint64_t stamp);
/* Not linked any more, or never was: the first says so and gives the extent
 * back, and answers the bytes of its segment, for pool_free(); the second does
 * both. */
static inline uint32_t
entry_kill(struct cache *c, struct entry *e, uint32_t word)
{
	if (unlikely(word_is_large(word)))
		extent_free(&c->extents, entry_large(e, word)->extent);
	entry_set_word(e, word_with_state(word, ENTRY_DEAD));
	return word_bytes(word);
}

void entry_free(struct cache *c, uint32_t ref, struct entry *e, uint32_t word);

enum leave { LEAVE_REMOVED, LEAVE_EXPIRED, LEAVE_STALE, LEAVE_EVICTED };
/* Out of the shard, for this reason, with its memory. Whose turn it is to be
 * evicted leaves another way, in batches: evict.c. */
void entry_leave_locked(struct cache *c, struct cache_thread *t, struct shard *sh, uint32_t ref,
    uint64_t hash, enum leave why);

static inline struct cache_class
class_of(const struct cache *c, struct slice key)
{
	if (likely(c->classify != NULL))
		return c->classify(c->classify_arg, key);
	return (struct cache_class){ .tally = 0 };
}

static inline struct cache_tally *
tally_of_class(struct cache_thread *t, uint16_t class)
{
	return &t->tally[class & ~CACHE_PROTECTED];
}

static inline struct cache_tally *
tally_of(const struct cache *c, struct cache_thread *t, struct slice key)
{
	return tally_of_class(t, class_of(c, key).tally);
}

/* Counts it in or out. */
static inline void
entry_count_locked(struct cache_tally *tally, struct shard *sh, const struct entry *e,
    uint32_t word, int sign)
{
	counter_add(&tally->entries, sign);
	counter_add(&tally->bytes, sign * (int64_t)entry_footprint(e, word));
	shard_add(&sh->count, sign);
	shard_add(&sh->user_bytes, sign * (int64_t)entry_user_bytes(e, word));
	if (entry_expiry(e, word) != CACHE_NEVER)
		shard_add(&sh->expiring, sign);
}

/* The next entry of the walk, in any state. False: at its end. */
bool walk_next(const struct cache *c, struct walk *w, uint32_t *ref, uint32_t *word);

/* --- protect.c: entries that are not evicted ------------------------------------------ */
static inline bool
word_is_protected(uint32_t word)
{
	return word_policy(word) == BITS_PROTECTED;
}

/* Into the queues, out of them, or in another's place: the policy's, of the key's quota, or
 * that of protected entries. Links change: within shard_write_begin(). */
void entry_enlist_locked(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash,
    uint16_t class);
void entry_delist_locked(struct shard *sh, unsigned base, uint32_t ref);
void entry_relist_locked(struct shard *sh, unsigned base, uint32_t ref, uint32_t by,
    uint64_t hash, uint16_t class);
/* The footprint that such an entry would have. */
uint64_t footprint_of(const struct cache *c, uint64_t key_len, uint64_t len, bool expires);
/* In bytes, at the present budget. */
uint64_t protect_limit(const struct cache *c);
/* Whether the cursor's key, of a protected class, may have a value so long. */
bool protect_admits(const struct cache_cursor *cur, uint64_t len, int64_t expires_ms);
/* The policy's victim is or was protected: whether it stays. */
bool protect_spares_locked(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash,
    uint16_t class);
/* All entries of the shard are forgotten. */
void protect_forget_locked(struct shard *sh);
/* One step; false: nothing is to be done. The work lock is held. */
bool protect_step(const struct work *w);

/* --- quota.c -------------------------------------------------------------------------- */
/* The quota of a key of the shard, 0: none. */
unsigned quota_look(const struct shard *sh, struct slice key, uint64_t hash);

static inline unsigned
quota_of_key(const struct shard *sh, struct slice key, uint64_t hash)
{
	return likely(!shard_is_mapped(sh)) ? 0 : quota_look(sh, key, hash);
}

static inline unsigned
base_of_key(const struct shard *sh, struct slice key, uint64_t hash)
{
	return quota_base(quota_of_key(sh, key, hash));
}

/* Whether the quota that the queue belongs to has any entries. */
bool quota_has_any(const struct cache *c, unsigned queue);
/* Bytes come to one of its queues, or leave it. */
void quota_count(struct shard *sh, unsigned queue, int64_t by);
/* An entry so large is to come, where the cursor's key has one of `has` bytes: makes
 * place. 0, and then quota_came() is owed once it is linked, or will not be; -EDQUOT: it alone
 * is too large; -ENOMEM: others held on to what there was. */
int quota_admit(struct cache_cursor *cur, unsigned quota, uint64_t bytes, uint64_t has);
void quota_came(const struct cache *c, unsigned quota, uint64_t bytes);
/* An entry so large is to go for others' sake; false: it must stay. Else quota_lent() is
 * owed once it has gone. */
bool quota_lend(const struct cache *c, unsigned quota, uint64_t bytes);
void quota_lent(const struct cache *c, unsigned quota, uint64_t bytes);
/* Whose turn it is to give room in that shard. */
unsigned quota_turn_locked(struct shard *sh);
/* All entries of the shard are forgotten. */
void quota_forget_locked(struct shard *sh);
void quota_fini(struct cache *c);
/* One step; false: nothing is to be done. The work lock is held. */
bool quota_step(const struct work *w);

/* --- scan.c: the order of the table ------------------------------------------------------ */
#define SCAN_POINT_BITS 40
#define SCAN_END ((uint64_t)1 << SCAN_POINT_BITS)
/* The bucket of a table of n that the point lies in, and where its interval ends. */
uint32_t scan_bucket(uint32_t n, uint64_t point, uint64_t *end);
/* Where a key is met. */
uint64_t scan_point(uint64_t hash);

/* --- watch.c: keys that are sampled ----------------------------------------------------- */
extern const _Atomic(uint32_t) sample_none;

static inline bool
is_sampled(const struct cache_cursor *cur)
{
	return unlikely((uint32_t)cur->hash <
	    atomic_load_explicit(cur->cache->sample_below, memory_order_relaxed));
}

void sample_tell_locked(const struct cache_cursor *cur, uint16_t class, bool there);

/* --- evict.c ---------------------------------------------------------------------- */
/* Bytes by which the cache is over what it may hold, with room for `more`. */
int64_t evict_excess(const struct cache *c, uint64_t more);
/* Evicts some entries, where the oldest are, until about so many bytes are
 * free; their footprint, or 0: none could be had. */
uint64_t evict_some(const struct work *w, uint64_t want);
/* The same of one quota and one shard, because the quota has too much. */
uint64_t evict_quota_locked(const struct work *w, struct shard *sh, unsigned quota,
    uint64_t want);
/* Whether eviction goes in the order of the log, and has come to about that
 * segment. */
bool evict_is_at(const struct cache *c, uint32_t seg);

/* --- clean.c, expire.c: the work lock is held ---------------------------------------- */
enum clean { CLEAN_IDLE, CLEAN_MORE, CLEAN_FREED, CLEAN_STUCK };
/* A victim fuller than that is not emptied even in need: there is nothing to
 * be won. */
#define FULL_CLASS (SEG_CLASSES - 2)
/* One step, of at most about `bytes` moved or dropped. Urgent: whatever it costs. */
enum clean clean_step(const struct work *w, uint32_t bytes, bool urgent);
/* One step; false: nothing is due now. */
bool expire_step(const struct work *w);

/* --- work.c ---------------------------------------------------------------------------- */
void work_init(struct cache *c);
void work_after_write(struct cache *c, struct cache_thread *t, uint64_t bytes);
/* Some work towards room for so many bytes, in pages of their own if `large`;
 * false: nothing could be done. */
bool work_make_room(const struct work *w, uint64_t bytes, bool large);

#endif
