/* store.h - the only door for get, set, delete and invalidate: the cache, with
 * the flights that fill it in front.
 *
 * One struct store for the process, one struct store_loop for each loop, used
 * on that loop's thread alone.
 *
 * The three rules (doc/threads.md): a finished fetch stores while it holds
 * its flight's stripe; a write detaches the key's flight, whose waiters still
 * get their answer, and keeps the stripe until the shard is written; a new
 * leader looks into the cache once more before it fetches. Keys in namespaces
 * without an origin have no flights and pay for none of this. */
#ifndef PANNIER_STORE_STORE_H
#define PANNIER_STORE_STORE_H

#include "base/blob.h"
#include "base/list.h"
#include "cache/cache.h"
#include "config/config.h"
#include "net/loop.h"
#include "stats/stats.h"

struct store;
struct store_loop;
struct lease;
struct pending;
struct stripe;

/* What routes keys: immutable, counted, exchanged as a whole at a reload. */
struct routes;
struct routes *routes_new(struct config *cfg); /* takes cfg over; NULL: no memory */
struct routes *routes_ref(struct routes *r);
void routes_unref(struct routes *r);
const struct config *routes_config(const struct routes *r);
const struct config_namespace *routes_find(const struct routes *r, struct slice key);

/* `routes` is referenced. Namespaces are classified for the cache's tallies
 * by their stats_id. past: of another process, cache/pass.h; NULL: it begins empty. 0,
 * -ENOMEM, -EINVAL. */
struct cache_past;
int store_new_from(struct routes *routes, uint64_t cache_budget, const struct cache_past *past,
    struct store **out) MUST_CHECK;
static inline MUST_CHECK int
store_new(struct routes *routes, uint64_t cache_budget, struct store **out)
{
	return store_new_from(routes, cache_budget, NULL, out);
}
void store_free(struct store *s); /* after all of its loops */
struct cache *store_cache(struct store *s);
/* Makes an origin (its stats_id) one that is kept true by invalidations, or changes
 * how (near.h); without a channel it is not verified. One caller at a time. 0 or
 * -ENOMEM. */
struct near;
struct near_opts;
int store_near(struct store *s, int origin, const struct near_opts *o, struct near **out)
    MUST_CHECK;
/* It is none any more; its struct near stays until the store goes. */
void store_no_near(struct store *s, int origin);
/* NULL: it is none. Any thread. */
struct near *store_near_of(struct store *s, int origin);
struct guards;
struct guards *store_guards(struct store *s); /* of its origins: origin/guard.h */

int store_loop_new(struct store *s, struct loop *l, struct stats_loop *stats,
    struct store_loop **out) MUST_CHECK;
/* Fetches of this loop fail, their waiters on any loop are told. */
void store_loop_free(struct store_loop *sl);
/* A reload: first, for each loop, what it needs for these routes is made; then
 * the store gets them, and then each loop, on its own thread, what was made for
 * it. That takes it over, cannot fail, and is done for every loop: a
 * loop that did not follow would read routes that nobody holds for it. Flights
 * under way end by the old ones. */
struct origin_set;
struct origin_set *origin_set_new(struct routes *r); /* NULL: no memory */
void origin_set_free(struct origin_set *os);         /* NULL is fine */
/* Before that, the last thing that may fail: -ENOMEM. */
int store_prepare(struct store *s, const struct routes *r) MUST_CHECK;
void store_set_routes(struct store *s, struct routes *r);
void store_loop_set_routes(struct store_loop *sl, struct origin_set **os);
const struct routes *store_loop_routes(const struct store_loop *sl);
/* cache_tick() with this loop's thread. */
bool store_tick(struct store_loop *sl, int64_t budget_us);
/* Whether reads are no uses for the eviction policy; CLIENT NO-TOUCH. */
void store_loop_set_no_touch(struct store_loop *sl, bool no_touch);
/* The time by which entries expire; the caller sets it at each turn. */
void store_loop_set_now(struct store_loop *sl, int64_t now_ms);

/* What is learnt about more memory and less, and about other policies
 * (stats/{mrc,sims}.h): from now on, in so many bytes. Before its loops are made. 0,
 * -ENOMEM, -EINVAL. */
struct mrc;
int store_learn(struct store *s, uint64_t memory_bytes, uint64_t most_bytes) MUST_CHECK;
struct mrc *store_mrc(struct store *s); /* NULL: nothing is learnt */
struct sims;
struct sims *store_sims(struct store *s); /* likewise */

/* --- one key, in the cache only ------------------------------------------- */

struct store_cursor {
	struct cache_cursor c; /* value, expires_ms: see cache.h */
	struct store_loop *sl;
	struct stripe *stripe; /* held by a writer where somebody may be filling the
	                        * key, else NULL */
	unsigned flags;        /* of store_open(), where there is a stripe; or
	                        * STORE_EARLY */
};

enum {
	STORE_TOUCH = CACHE_TOUCH,
	STORE_COUNT = 1 << 8, /* count a hit or a miss for the namespace */
	STORE_WRITE = 1 << 9, /* a put, remove or expiry is to follow: detaches
	                       * the key's flight first */
	/* What it means for the key's lease where there is no value in the end: */
	STORE_VOIDS = 1 << 10, /* it is void (DEL, EXPIRE) */
	STORE_SETS = 1 << 11,  /* the value could not be stored, nor could another's */
	/* Neither: nothing, as of a condition that did not hold. */
	/* The store's own, from store_get_cached() to store_get_missed(): */
	STORE_EARLY = 1 << 12, /* a hit that is to be renewed before its end */
};

/* Between open and close the cursor holds locks: the rules of cache_open().
 * For writes use the cache_* calls on &cur->c. */
enum cache_result store_open(struct store_loop *sl, struct slice key, unsigned flags,
    struct store_cursor *cur);
void store_close_written(struct store_cursor *cur); /* store_close() calls it */

static inline void
store_close(struct store_cursor *cur)
{
	if (likely(cur->stripe == NULL))
		cache_close(&cur->c);
	else
		store_close_written(cur);
}

/* A condition held, and a put follows: as if STORE_SETS had been given. */
static inline void
store_will_put(struct store_cursor *cur)
{
	if (unlikely(cur->stripe != NULL))
		cur->flags |= STORE_SETS;
}

/* What a key is found by: cache_hash() of the store's cache. Calls that end in
 * _hashed take it from whoever has it already; it is the same for the life of
 * the store. */
uint64_t store_hash(const struct store_loop *sl, struct slice key);
enum cache_result store_open_hashed(struct store_loop *sl, struct slice key, uint64_t hash,
    unsigned flags, struct store_cursor *cur);

/* Before a store_open() that is to put so many bytes: room for large ones is made
 * here, while nobody waits behind a lock. */
#define STORE_LARGE_BYTES (64u << 10)
void store_make_room_now(struct store_loop *sl, size_t bytes);
static inline void
store_make_room(struct store_loop *sl, size_t bytes)
{
	if (unlikely(bytes > STORE_LARGE_BYTES))
		store_make_room_now(sl, bytes);
}

/* --- several keys at once ---------------------------------------------------- */

/* Who waits for what was written, to be told when no lock is held any more. */
struct store_news {
	struct store_loop *sl; /* who writes */
	struct list waiters;
	struct pending *ended; /* leases */
};

/* A bracket: nobody else sees or changes its keys between begin and end. Inside,
 * store_open() and all else here work as ever, one cursor at a time, on keys
 * that were added; reads of keys with an origin look into the cache only. One
 * bracket inside another does nothing: the outer one must have its keys. */
struct store_atomic {
	struct store_loop *sl;
	bool nested;
	uint64_t wanted;  /* the stripes of its keys, a bit for each */
	uint64_t stripes; /* of those, what it holds: the ones that were busy */
	struct cache_hold hold;
	struct store_news news;
};
void store_atomic_init(struct store_atomic *a, struct store_loop *sl);
void store_atomic_add(struct store_atomic *a, struct slice key, uint64_t hash);
void store_atomic_add_all(struct store_atomic *a); /* for flushes and walks */
void store_atomic_begin(struct store_atomic *a);
void store_atomic_end(struct store_atomic *a);
/* Whether a bracket is open on this loop. */
bool store_is_atomic(const struct store_loop *sl);

/* See struct cache_watch. Whether it was touched: looks at the key, which may have
 * expired; asked within a bracket, it stays true. */
void store_watch(struct store_loop *sl, struct slice key, struct cache_watch *w);
bool store_watch_touched(struct store_loop *sl, struct slice key, const struct cache_watch *w);
void store_unwatch(struct store_loop *sl, struct cache_watch *w);

/* How old the value of a hit, or of a stale one, is by its origin; -1: nobody knows. */
int64_t store_age_ms(const struct store_cursor *cur);

/* A short form of open, put, close. Results of cache_put(). */
int store_set(struct store_loop *sl, struct slice key, struct slice value, int64_t expires_ms)
    MUST_CHECK;
/* Whether it was there. */
bool store_delete(struct store_loop *sl, struct slice key);
/* Detaches all flights and empties the cache, atomically. */
void store_flush(struct store_loop *sl);
/* cache_scan() with this loop's thread. */
int store_scan(struct store_loop *sl, uint64_t *cursor, size_t count, struct buf *keys) MUST_CHECK;

/* cache_on_change() and cache_with_shard(); the loop is the one whose thread made
 * the change. A fetched value that was answered and not stored counts as changed:
 * nobody would hear of its next change. */
typedef void store_changed_fn(void *arg, struct loop *l, struct slice key, uint64_t hash,
    enum cache_change how);
void store_on_change(struct store *s, store_changed_fn *fn, void *arg);
void store_with_shard(struct store_loop *sl, unsigned shard,
    void (*fn)(void *arg, unsigned shard), void *arg);

/* --- reading through ------------------------------------------------------ */

enum store_answer {
	STORE_HIT,      /* the cursor is open: copy, then store_close() */
	STORE_STALE,    /* likewise, but the value's time is over: another client, or the
	                 * origin, is about to fill it, or, where w->granted, this one;
	                 * or the origin fails */
	STORE_MISS,     /* not there, and no origin for this key; the lease, where
	                 * there is one, is the caller's. Or, where w->negative, it is known
	                 * that the origin has none */
	STORE_WAITING,  /* done() of the waiter will be called */
	STORE_REFUSED,  /* too many wait already, or no memory: w->error says so */
};

enum fill_status {
	FILL_VALUE,     /* value holds it */
	FILL_NOT_FOUND, /* the origin has none; or: load it, the lease is yours */
	FILL_AGAIN,     /* it was set meanwhile: ask again, with the same waiter */
	FILL_FAILED,    /* error says why */
	FILL_TIMEOUT,   /* the waiter's own deadline passed */
};

/* Who may hold leases: a connection. Belongs to its loop. */
struct store_holder {
	struct list leases;
};
void store_holder_init(struct store_holder *h);
/* The connection is closed: its leases go to those who wait. */
void store_holder_gone(struct store_holder *h);

/* A request that waits for a flight or a lease; the caller's, untouched by the caller
 * between STORE_WAITING and done() or store_leave(). */
struct store_waiter {
	/* Set by the caller. Called once, on the waiter's loop, never from
	 * within store_get(). The waiter may be freed in it. */
	void (*done)(struct store_waiter *w);
	int64_t deadline_ms; /* 0: the origin's, or the lease's time */
	struct store_holder *holder; /* of leases; NULL: takes none, waits for none */
	bool wants_token; /* the explicit form: a lease in any namespace, with a token */
	bool follows_own; /* waits also for a lease of its holder: who answers out of
	                   * order does not wait for himself by that */
	/* For the caller, and for done(): */
	bool granted;        /* the key's lease is the caller's; its holder has it */
	uint64_t token;      /* of that lease, with wants_token */
	bool negative;       /* of STORE_MISS: the origin said so before */
	/* For done(): */
	bool joined;         /* what it waited for had begun for another */
	enum fill_status status;
	struct blob *value;  /* FILL_VALUE: a reference, unref'd after done() */
	bool stale;          /* its time is over; of FILL_NOT_FOUND: so is this */
	bool fallback;       /* neither the origin nor the cache, but the configuration says so */
	int64_t age_ms;      /* of the value: since the origin made it */
	const char *error;   /* FILL_FAILED and STORE_REFUSED: good until done()
	                      * returns; one line */
	/* The rest is the store's own. */
	struct list link;        /* in the list of what is pending, under its stripe */
	bool has_spare;          /* as it began to wait, there was what could be served */
	int64_t since_us;        /* when it began to; monotonic */
	struct stripe *stripe;
	struct pending *pending; /* under the stripe; NULL: the answer is on its way */
	struct store_loop *sl;
	const struct config_namespace *ns;
	struct routes *routes;   /* holds ns */
	struct loop_task task;
	struct timer timer;
	struct blob *error_text;
	struct lease *lease;     /* granted while it waited */
	void (*left)(struct store_waiter *w); /* set by store_leave() */
};

/* A get is a look into the cache, which is all of it where it hits: the cursor
 * is open then. After a miss it is closed and goes to store_get_missed() at
 * once, with a waiter. `key` is borrowed until both are done. */
enum cache_result store_get_cached(struct store_loop *sl, struct slice key, uint64_t hash,
    struct store_cursor *cur);
enum store_answer store_get_missed(struct store_cursor *cur, struct store_waiter *w);
/* Both. */
enum store_answer store_get(struct store_loop *sl, struct slice key, struct store_cursor *cur,
    struct store_waiter *w);
/* The explicit form of leases is store_get() with wants_token: the lease of a key
 * without an origin, in any namespace. Whoever has its token may write while it
 * stands, over whatever connection. */
/* Within a cursor that was opened to write: whether the lease still stands. If
 * not, nothing may be written. */
bool store_lease_stands(const struct store_cursor *cur, uint64_t token) MUST_CHECK;
/* Gives it up: the next one who waits gets it. False: it stood no more. */
bool store_lease_release(struct store_loop *sl, struct slice key, uint64_t hash, uint64_t token);
/* The caller no longer waits (its client left). `free_fn(w)` is called when
 * nothing refers to the waiter any more: at once, or after the answer that was
 * already on its way. done() is not called. */
void store_leave(struct store_waiter *w, void (*free_fn)(struct store_waiter *w));

/* Nothing is under way that would touch the cache or an origin later: no fetch, nobody who
 * waits, no write that its origin does not have, no invalidation. While no loop runs. */
bool store_is_quiet(struct store *s);
/* From now on no store_save() begins; false: one is under way. Undone by store_thaw(). */
bool store_freeze(struct store *s) MUST_CHECK;
void store_thaw(struct store *s);
/* All leases of now end, their waiters go on one after the other. */
void store_void_leases(struct store_loop *sl);
/* Waiters and flights under way, over all loops. */
uint64_t store_waiting(const struct store *s);
uint64_t store_flights(const struct store *s);

#endif
