/* cache.h - the sharded store. Knows no sockets, protocols or libev.
 *
 * Everything that is kept, entries and tables, lies in one arena of a fixed
 * budget (shared/STORE.md), so memory in use cannot exceed it: what does not
 * fit makes room by evicting. Keys and values are any bytes.
 *
 * Threads: any thread may call, each with a cache_thread of its own. A cursor
 * holds its shard's lock from cache_open() to cache_close(): copy what is
 * needed and close at once; never call out, block, or open a second cursor in
 * between. All other calls lock what they need and return holding nothing.
 *
 * Times are milliseconds on the monotonic clock, passed in by now_ms. An
 * entry whose time has come is never seen again, even before its bytes are
 * back; but one with a grace stays for so long as a stale one, which only
 * cache_take_stale() shows. All else treats it as absent. */
#ifndef PANNIER_CACHE_CACHE_H
#define PANNIER_CACHE_CACHE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/out.h"
#include "base/slice.h"
#include "base/util.h"
#include "stats/tally.h"

#define CACHE_NEVER 0 /* expires_ms of an entry that does not expire */
#define CACHE_SHARDS_MAX 1024
/* Beside its number: a class whose entries are protected. They are never evicted;
 * they leave when they are removed, expire or are flushed. All together they take
 * at most protected_bytes: a cache_put() beyond is refused. */
#define CACHE_PROTECTED 0x8000
/* Quotas: numbers 1 to CACHE_QUOTAS; keys of number 0 have none. See cache_set_quota(). */
#define CACHE_QUOTAS 32

/* Shards that a thread holds together; see cache_hold_begin(). */
struct cache_hold {
	uint64_t shards[CACHE_SHARDS_MAX / 64]; /* a bit for each */
	uint64_t owed; /* bytes written, to be paid for at the end */
};

/* One for each thread that calls in; zeroed, then the two fields are set. */
struct cache_thread {
	int64_t now_ms;            /* the caller keeps it current */
	struct cache_tally *tally; /* [CACHE_CLASSES], the caller's */
	bool no_touch;             /* CACHE_TOUCH is no use meanwhile; the caller sets it */
	struct cache_hold *hold;   /* the cache's own */
};

/* What is the same for all keys of a kind. */
struct cache_class {
	uint16_t tally;   /* where they are counted: below CACHE_CLASSES; with
	                   * CACHE_PROTECTED, where they are that */
	int64_t grace_ms; /* how long what expires is kept as stale */
};

enum cache_policy { CACHE_LRU, CACHE_S3FIFO, CACHE_TINYLFU };

typedef unsigned cache_quota_of_fn(const void *map, struct slice key);
struct cache_past;

struct cache_opts {
	uint64_t budget_bytes;  /* of the arena; at least CACHE_BUDGET_MIN */
	uint64_t reserve_bytes; /* address space, the most cache_resize() can
	                         * ever give; 0: what 32-bit references reach */
	unsigned shards;        /* a power of two; 0: by the budget */
	enum cache_policy policy;
	uint64_t seed;          /* of XXH3, from getrandom() */
	/* The class of a key; pure, fast, may run under a shard's lock. What it
	 * says of the grace counts when the key is written. NULL: all 0. */
	struct cache_class (*classify)(void *arg, struct slice key);
	void *classify_arg;
	uint64_t protected_bytes; /* see cache_protect() */
	/* Which quota a key counts against; pure, fast, under a shard's lock. A map is the
	 * caller's, constant; unmap says that the cache will not use it any more. */
	cache_quota_of_fn *quota_of;
	void (*unmap)(const void *map);
	const struct cache_past *past; /* of another process, to be taken: pass.h. Shards and
	                           * seed are its; NULL: begins empty */
};

#define CACHE_BUDGET_MIN (4u << 20)

struct cache;

/* 0, -ENOMEM, -EINVAL (budget or shards out of range; a past that cannot be taken). */
int cache_new(const struct cache_opts *o, struct cache **out) MUST_CHECK;
void cache_free(struct cache *c); /* NULL is fine; no pins may be left */

/* --- one key ----------------------------------------------------------- */

uint64_t cache_hash(const struct cache *c, struct slice key);
/* For who knows several keys ahead: the first hashes, and brings the key's bucket
 * near; the second, once that has had time (after other keys, or a system call),
 * the entry; the third does it for many keys, and then brings near what a use of
 * the entries writes to. None of them locks; then come the cache_open() calls. */
uint64_t cache_hash_near(const struct cache *c, struct slice key, const void **bucket);
void cache_prefetch_entry(const struct cache *c, const void *bucket);
void cache_prefetch_entries(const struct cache *c, const void *const *buckets, unsigned n);
/* The bucket of a key whose hash is known already. */
void cache_prefetch(const struct cache *c, uint64_t hash);
/* Optional, before a cache_open() that a cache_put() of about so many bytes is
 * to follow: makes room while nobody waits behind a lock. Only worth it for
 * values over 64 KiB; small ones find room kept for them. */
void cache_make_room(struct cache *c, struct cache_thread *t, uint64_t bytes);

enum cache_result {
	CACHE_MISS,
	CACHE_HIT,
	CACHE_HIT_RECORD, /* a hit whose entry has a record; only where asked for */
};

enum {
	CACHE_TOUCH = 1 << 0,  /* a use, for the eviction policy */
	CACHE_RECORD = 1 << 1, /* say CACHE_HIT_RECORD */
};

struct cache_cursor {
	/* On a hit, good until the next call on this cursor. */
	struct slice value;
	int64_t expires_ms; /* CACHE_NEVER, or later than now */
	/* The rest is the cache's own. */
	struct cache *cache;
	struct cache_thread *thread;
	struct shard *shard;
	struct slice key; /* the caller's bytes, good until cache_close() */
	uint64_t hash;
	uint32_t ref;
	uint32_t changed;
};

/* Locks the key's shard and looks. On a miss too the cursor is open, for
 * cache_put(). Borrows key until cache_close(). */
enum cache_result cache_open(struct cache *c, struct cache_thread *t, struct slice key,
    uint64_t hash, unsigned flags, struct cache_cursor *cur);
/* Replaces or inserts; the value is the parts one behind the other, which may
 * lie in cur->value itself. Counts as a use. Afterwards the cursor stands on
 * the new entry. 0; -E2BIG: larger than cache_max_entry(); -ENOMEM: no room
 * could be made; -EDQUOT: protected entries have all that they may. On failure
 * the old entry stands untouched. An expiry that is not in the future removes.
 * grace_ms: how long it is kept as stale after its expiry. */
int cache_put_graced(struct cache_cursor *cur, const struct slice *parts, unsigned n_parts,
    int64_t expires_ms, int64_t grace_ms) MUST_CHECK;
/* With the grace of the entry where its expiry stays the same, else of its class. */
#define CACHE_USUAL_GRACE (-1)
#define CACHE_GRACE_MOST ((int64_t)1 << 47)
static inline MUST_CHECK int
cache_put(struct cache_cursor *cur, const struct slice *parts, unsigned n_parts,
    int64_t expires_ms)
{
	return cache_put_graced(cur, parts, n_parts, expires_ms, CACHE_USUAL_GRACE);
}
/* The same with a record, which is no part of the value: only cache_record() shows it.
 * Any cache_put() drops it, another expiry does not. The entry is kept as stale for
 * stale_ms, whatever its class says; so its expiry may have passed already: then it is
 * there only for cache_take_stale(). `value` may be that of the cursor, `record`
 * may not; it has at most CACHE_RECORD_MAX bytes. */
#define CACHE_RECORD_MAX 4096
int cache_put_record(struct cache_cursor *cur, struct slice value, int64_t expires_ms,
    int64_t stale_ms, struct slice record) MUST_CHECK;
/* Of the entry that the cursor stands on, good as long as its value; {NULL, 0}: none. */
struct slice cache_record(const struct cache_cursor *cur);
/* A hit's entry gets another expiry; its grace, if it has one, stays. 0, or -ENOMEM as
 * above. */
int cache_set_expiry(struct cache_cursor *cur, int64_t expires_ms) MUST_CHECK;
/* A hit's entry is stale from now on: for its own grace (its class's, where it never
 * expired), for stale_ms where that is longer. The cursor then stands as after a
 * miss. Watches and cache_on_change() are told, as of a write. False: there is
 * none any more, because both are 0, or because there was no room for its end
 * in time; it never stays fresh. One that is stale already keeps its time. */
bool cache_soften(struct cache_cursor *cur, int64_t stale_ms);
/* The same for one that has been stale since ended_ms, about now, from when stale_ms
 * counts: so that who made it stale can be told by its expires_ms. */
bool cache_soften_at(struct cache_cursor *cur, int64_t ended_ms, int64_t stale_ms);
/* After a miss: if there is a stale entry, the cursor stands on it as on a hit,
 * and its expires_ms has passed. It may be replaced, with its own value too; that it
 * gets another expiry would not bring it back. Counts as a use. */
bool cache_take_stale(struct cache_cursor *cur);
/* Removes a hit's entry, and a stale one; on a miss does nothing else. */
void cache_remove(struct cache_cursor *cur);
void cache_close(struct cache_cursor *cur);

/* How often a hit's entry was used lately, as its policy counts; -1: it does not, or
 * the entry is protected. */
int cache_frequency(const struct cache_cursor *cur);

/* Bytes of the arena that a hit's entry takes: header, key, value, what rounds
 * them up, and its link in the table. */
uint64_t cache_footprint(const struct cache_cursor *cur);

/* A large value can be sent from where it lies: on true, *ref holds the value
 * past cache_close(), until its release() is called (on any thread). False
 * where it is small, or too many bytes are pinned already: copy it then. */
bool cache_pin(struct cache_cursor *cur, struct out_ref *ref);

/* --- several keys at once ------------------------------------------------- */

/* Between begin and end nobody else sees or changes a key of the shards that
 * were added: cursors on them are opened and closed as ever, one at a time, but
 * their locks stay taken. A cursor on another shard may not be opened. */
void cache_hold_init(struct cache_hold *h);
void cache_hold_add(const struct cache *c, struct cache_hold *h, uint64_t hash);
void cache_hold_add_all(const struct cache *c, struct cache_hold *h);
void cache_hold_begin(struct cache *c, struct cache_thread *t, struct cache_hold *h);
void cache_hold_end(struct cache *c, struct cache_thread *t);

/* Learns whether a key is changed, removed, evicted, expired or flushed. The
 * caller's; belongs to the shard from cache_watch() to cache_unwatch(). */
struct cache_watch {
	struct cache_watch *next;
	uint64_t hash; /* stands for the key: 64 bits, with a seed nobody knows */
	bool present;
	bool touched;  /* read it under a cursor of the same key */
};
/* From now on, for the key of an open cursor. */
void cache_watch(struct cache_cursor *cur, struct cache_watch *w);
void cache_unwatch(struct cache *c, struct cache_thread *t, struct cache_watch *w);

/* --- every change ------------------------------------------------------ */

/* What a key was changed by: a put, another expiry or a removal by the caller;
 * or its eviction, or its end in time. A flush is told to nobody. */
enum cache_change { CACHE_WRITTEN, CACHE_LOST };

/* Called for each change in a shard that cache_notice_locked() was asked for, under
 * its lock, by whoever made it: takes notes, and neither locks, waits nor calls
 * the cache. `key` is good until it returns. */
typedef void cache_changed_fn(void *arg, struct cache_thread *t, struct slice key, uint64_t hash,
    enum cache_change how);
/* One only, before other threads call. */
void cache_on_change(struct cache *c, cache_changed_fn *fn, void *arg);
/* As if the key of an open cursor had changed, for who would hear of it no more. */
void cache_tell(struct cache_cursor *cur);
/* For tables beside the shards, under their locks: how many there are, where a
 * hash belongs. */
unsigned cache_shards(const struct cache *c);
unsigned cache_shard_index(const struct cache *c, uint64_t hash);
/* Counted. The caller holds the shard: by a cursor, in cache_with_shard(), or as
 * it is told of a change. */
void cache_notice_locked(struct cache *c, unsigned shard, bool on);
/* fn under the shard's lock, in a hold too if it has that shard; the rules of
 * cache_changed_fn. */
void cache_with_shard(struct cache *c, struct cache_thread *t, unsigned shard,
    void (*fn)(void *arg, unsigned shard), void *arg);

/* A key was put or got another expiry: `bytes` is its footprint, and the cursor stands on
 * it; or the caller removed it (0). Told of keys of which the lower half of the hash is
 * below *below; `class` as classify() says. The rules of cache_changed_fn. */
typedef void cache_sampled_fn(void *arg, const struct cache_cursor *cur, uint16_t class,
    uint64_t bytes);
/* One only, before other threads call. */
void cache_on_sample(struct cache *c, const _Atomic(uint32_t) *below, cache_sampled_fn *fn,
    void *arg);

/* --- all of it --------------------------------------------------------- */

/* Key and value of the largest entry that fits, at the present budget. */
uint64_t cache_max_entry(const struct cache *c);
/* Entries, expired ones that are not yet back included. */
uint64_t cache_count(const struct cache *c);

/* Removes everything: entries that stood before the call are not seen after
 * it. Bounded work here; the memory comes back by cache_tick(). */
void cache_flush(struct cache *c, struct cache_thread *t);

/* Walks: appends at least one and about `count` keys to `keys`, each as a
 * uint32_t length (host order) and its bytes, and moves *cursor on; 0 starts,
 * and 0 comes back at the end. A key that is there from start to end is met
 * at least once, while tables grow and shrink too. 0 or -ENOMEM. */
int cache_scan(struct cache *c, struct cache_thread *t, uint64_t *cursor, size_t count,
    struct buf *keys) MUST_CHECK;
/* The same for entries that `wants` says yes to, those included that are stale, and whose
 * time is over. One step is one short hold of a shard's lock, under which `wants` is
 * called: it neither locks nor calls the cache. */
typedef bool cache_wanted_fn(void *arg, struct slice key, struct slice record);
int cache_scan_wanted(struct cache *c, struct cache_thread *t, uint64_t *cursor,
    cache_wanted_fn *wants, void *arg, struct buf *keys) MUST_CHECK;
/* Takes the next key off the front of what they wrote, which is not empty. */
struct slice cache_scan_next(struct slice *run);
/* A cursor somewhere in the middle, as the random number says. */
uint64_t cache_scan_start(const struct cache *c, uint64_t random);

/* Another budget, from now on; down, it is reached by steps of cache_tick().
 * 0 or -EINVAL. Thread-safe. */
int cache_resize(struct cache *c, uint64_t budget_bytes) MUST_CHECK;

/* Free pages go back to the system, a few MiB at most; the next writes take them again.
 * The bytes. Thread-safe; some milliseconds at most. */
uint64_t cache_give_back(struct cache *c);

/* How many bytes protected entries may take; 0: a quarter of the budget. It is
 * never more than half of it. Fewer than there are now: those stay, and what
 * is new is refused until they are gone. Thread-safe. */
void cache_protect(struct cache *c, uint64_t bytes);
/* Classes changed what they are: protected entries that no longer are so go back to
 * the others by steps of cache_tick(); others become protected when they are
 * written, or when it is their turn to go. Thread-safe. */
void cache_reclassify(struct cache *c);

/* --- quotas ------------------------------------------------------------ */

/* A share of the budget, from 1 to 100 percent, in place of bytes. */
#define CACHE_SHARE(pct) ((uint64_t)1 << 63 | (uint64_t)(pct))

struct cache_quota {
	uint64_t min_bytes; /* below that, entries of it are not evicted for others; 0: none */
	uint64_t max_bytes; /* it never holds more: its own entries go; 0: no maximum */
};
/* Of entries, headers and all. A cache_put() in a quota that has its maximum evicts others
 * of it first, and is refused by -EDQUOT only where the entry alone is larger. A lower maximum
 * is reached by steps of cache_tick(). Minimums together get half of the budget at most, and
 * less where protected entries have more than an eighth: beyond, each gets its part.
 * Thread-safe. */
void cache_set_quota(struct cache *c, unsigned quota, const struct cache_quota *q);

/* Keys belong to quotas as `map` says, which the cache owns from now on; NULL: to none. What is
 * there is counted anew by steps of cache_tick(), shard by shard; what is written
 * meanwhile counts where its shard is. Thread-safe. */
void cache_remap(struct cache *c, const void *map);

struct cache_quota_stats {
	uint64_t bytes;              /* now */
	uint64_t min_bytes, max_bytes; /* as they are at this budget; 0: none */
};
void cache_quota_stats(const struct cache *c, unsigned quota, struct cache_quota_stats *out);

/* Does work in the background for about `budget_us` (expiry, cleaning,
 * shrinking, flushed memory). True: more is waiting, call again soon. Every
 * loop calls it when idle, and one of them at least every 100 ms. */
bool cache_tick(struct cache *c, struct cache_thread *t, int64_t budget_us);

/* Sums, each read without stopping the others. */
struct cache_stats {
	uint64_t budget_bytes;   /* as set */
	uint64_t used_bytes;     /* pages of the arena that are resident */
	uint64_t live_bytes;     /* entries, overhead included */
	uint64_t user_bytes;     /* keys and values */
	uint64_t table_bytes;
	uint64_t dead_bytes;     /* freed, not yet cleaned */
	uint64_t free_bytes;
	uint64_t pinned_bytes;
	uint64_t protected_bytes; /* of protected entries, overhead included */
	uint64_t protected_limit; /* what they may have */
	uint64_t protected_entries;
	uint64_t entries;
	uint64_t expiring;       /* entries that have an expiry */
	uint64_t evicted, expired;
	uint64_t cleaned_bytes;  /* moved by the cleaner so far */
	unsigned shards;
};
void cache_stats(const struct cache *c, struct cache_stats *out);

#endif
