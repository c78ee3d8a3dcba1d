/* internal.h - what the files of src/store share. Nobody else includes it. */
#ifndef PANNIER_STORE_INTERNAL_H
#define PANNIER_STORE_INTERNAL_H

#include <stdatomic.h>

#include "base/draw.h"
#include "base/htab.h"
#include "base/lock.h"
#include "origin/origin.h"
#include "stats/topk.h"
#include "store/meta.h"
#include "store/near.h"
#include "store/store.h"
#include "store/tier_fetch.h"
#include "store/walker.h"
#include "store/write.h"

#define STRIPES 64
#define STRIPE_BUCKETS 64

/* A key that somebody is about to fill, an origin's fetch or a client with a
 * lease, and the requests that wait for it. Belongs to its stripe's lock as
 * long as it stands in the table. */
struct pending {
	struct pending *next; /* in its bucket */
	struct stripe *stripe;
	struct list waiters;
	struct list late;   /* those who came when it was sealed */
	uint32_t n_waiters; /* of both */
	bool is_lease;
	bool detached; /* not in the table any more */
	bool in_turn;  /* a flight from a tier with invalidations: overruled, it stays, so
	                * that no other one of its key runs beside it; it is sealed then */
	bool sealed;   /* it has lost the right to store, and whoever comes now waits for
	                * its end only to ask again */
	uint64_t hash;
	struct slice key; /* lies behind the struct that embeds this */
};

/* Until then a fetch of such a key need not be tried again where there is a value. */
struct failure {
	uint64_t hash;
	int64_t until_ms;
};
#define FAILURES 32 /* of each stripe */

/* What is pending for the keys whose hash falls here. The lock is the outer
 * one: a shard's may be taken inside, never the other way round.
 *
 * n is how a write learns, under its shard's lock and without this one, that
 * nobody is filling its key: who begins to fill one counts himself here before
 * he looks into the shard. Either that look comes after the write, and finds
 * it, or the write finds n above 0. So it does not matter by which
 * configuration each of the two goes. */
struct stripe {
	struct lock lock;
	struct failure failures[FAILURES]; /* see ladder.c */
	_Atomic(uint32_t) n; /* written under the lock */
	struct pending *buckets[STRIPE_BUCKETS];
};

/* The writes behind of all loops. Its lock is the innermost: a shard's may be
 * held, and nothing is called within. */
struct behind {
	struct lock lock;
	struct htab writes; /* struct behind_write */
	struct store_behind origins[STATS_ORIGINS];
	uint64_t n;         /* of all */
	void (*empty)(void *arg);
	void *empty_arg;
};

/* Entries come back from a snapshot; see restore.h. Its lock is a leaf, for the bars. */
struct restore {
	_Atomic(bool) running;
	_Atomic(bool) stopped;
	_Atomic(_Atomic(uint64_t) *) filter;
	struct lock lock;
	struct invalidation **bars;
	unsigned n_bars;
};

struct store {
	struct cache *cache;
	struct guards *guards; /* of all origins */
	/* Read by classify() on loops' threads. An old one stays alive until each
	 * loop has let go of its own reference, which it does on its own thread:
	 * so none can still be reading it. What a loop has not taken up yet is held
	 * by the origin_set that is on its way there. */
	_Atomic(struct routes *) routes;
	_Atomic(int) saving; /* store_save() is under way; -1: store_freeze() */
	_Atomic(uint64_t) waiting;
	_Atomic(uint64_t) flights;
	store_changed_fn *changed;
	void *changed_arg;
	/* Keys that are sampled, by mrc_wants(). */
	_Atomic(uint32_t) sample_below;
	struct mrc *mrc; /* NULL: none */
	struct sims *sims; /* likewise */
	struct walker walker;
	struct restore restore;
	/* By the origin's stats_id; NULL where it has no tracking. What was made once stays
	 * until the store goes. */
	_Atomic(struct near *) nears[STATS_ORIGINS];
	struct near *near_kept[STATS_ORIGINS];
	struct tier_waits tier_waits;
	struct stripe stripes[STRIPES];
	/* write.c: the outermost of locks. */
	struct lock through_lock;
	struct htab through_keys; /* struct written_key */
	struct behind behind;
};

/* The origins of one configuration, on one loop. Outlives a reload until its
 * last fetch is done. */
struct origin_set {
	struct list link; /* in store_loop.retired, or in no list */
	struct routes *routes;
	unsigned fetches; /* under way */
	bool closing;     /* none is begun any more */
	struct list tier_waits; /* see tier_fetch.h */
	struct origin_client *clients[]; /* [n_origins], made at first use */
};

struct store_loop {
	struct store *store;
	struct loop *loop;
	struct stats_loop *stats;
	struct origin_set *origins; /* of the present configuration */
	const struct config_namespace *only; /* its one namespace; NULL: has several */
	struct list retired;        /* of earlier ones, with fetches under way */
	struct cache_thread thread;
	uint32_t sample_below;      /* the store's, as it was when the turn began: one load
	                             * less for each hit */
	struct draw draw; /* of XFetch and jitter */
	struct lock hot_lock;       /* of hot; innermost */
	struct topk *hot;           /* see hot.h; NULL: none */
	unsigned hot_weight;        /* of the reads that come now; 0: they are not told */
	struct store_atomic *atomic; /* the bracket that is open, else NULL */
	struct behind_lane *lanes[STATS_ORIGINS]; /* made at first use */
	bool hurried;               /* store_behind_hurry() */
	bool closing;
};

/* --- pending.c: the table --------------------------------------------------- */

static inline struct stripe *
pending_stripe(struct store *s, uint64_t hash)
{
	return &s->stripes[hash % STRIPES];
}

/* `key` must already lie behind the struct. */
void pending_init(struct pending *p, struct store *s, struct slice key, uint64_t hash);
/* The link that points to the key's, or the one at its bucket's end. */
struct pending **pending_find_locked(struct stripe *st, uint64_t hash, struct slice key);
/* Before the look into the shard: somebody may put a pending into this stripe.
 * Then either pending_link_locked() or pending_withdraw_locked(). */
void pending_announce_locked(struct stripe *st);
void pending_withdraw_locked(struct stripe *st);
void pending_link_locked(struct pending **link, struct pending *p);
void pending_unlink_locked(struct pending **link);
typedef bool pending_which_fn(void *arg, const struct pending *p);

/* Whether a write of such a key has to take the stripe. Final where the caller
 * holds the key's shard, else a hint. */
static inline bool
stripe_busy(const struct stripe *st)
{
	return atomic_load_explicit(&st->n, memory_order_relaxed) != 0;
}

/* --- waiter.c ---------------------------------------------------------------- */

/* Counts it against the limit on all that wait: NULL, or why it may not. */
const char *waiter_admit(struct store_waiter *w, struct store_loop *sl,
    const struct config_namespace *ns, struct stripe *st) MUST_CHECK;
/* Undoes waiter_admit() for one that need not wait after all. */
void waiter_dismiss(struct store_waiter *w);
void waiter_add_locked(struct pending *p, struct store_waiter *w);
void waiters_move_locked(struct pending *from, struct pending *to);
/* All of them, now the caller's to answer; those who came late are left. */
void waiters_take_locked(struct pending *p, struct list *to);
void waiters_take_late_locked(struct pending *p, struct list *to);
/* The first of them; there is one. */
struct store_waiter *waiters_take_first_locked(struct pending *p);
/* After waiter_add_locked(), with the stripe let go; deadline 0: none. */
void waiter_start(struct store_waiter *w, int64_t deadline_ms);
/* On the waiter's own loop, the last thing that happens to it: the callback
 * may free it. */
void waiter_finish(struct store_waiter *w);
enum store_answer waiter_refuse(struct store_waiter *w, struct store_loop *sl,
    const struct config_namespace *ns, const char *why);

/* --- flight.c ------------------------------------------------------------------ */

/* `ns` has an origin. The cursor is open on STORE_HIT. */
enum store_answer flight_join(struct store_loop *sl, const struct config_namespace *ns,
    struct slice key, uint64_t hash, struct store_cursor *cur, struct store_waiter *w);
/* It loses the right to store. The link that stands behind it then. */
struct pending **flight_overrule_locked(struct pending **link);
/* So do the flights of the stripe that `which` (NULL: all) says yes to. */
void flight_detach_locked(struct stripe *st, pending_which_fn *which, void *arg);

/* --- ladder.c -------------------------------------------------------------------- */

/* What waiters are told. */
struct answer {
	enum fill_status status;
	struct blob *value; /* FILL_VALUE: a reference */
	int64_t age_ms;
	bool stale, fallback;
	const char *error;  /* FILL_FAILED */
};

/* The fetch was in vain, and a->error says why: whatever is left stands in *a. */
void ladder_locked(struct store_loop *sl, const struct config_namespace *ns, struct pending *p,
    struct answer *a);
/* What the cache has left for the waiters of a flight; false: nothing, *a is as it was. */
bool spare_locked(struct store_loop *sl, const struct config_namespace *ns,
    const struct pending *p, struct answer *a);
/* The namespace's, if it has one. */
void fall_back(const struct config_namespace *ns, struct answer *a);
/* What the stale entry under the cursor is good for, and what is known of it. */
unsigned stale_uses(const struct store_loop *sl, const struct cache_cursor *cur,
    const struct config_namespace *ns, struct meta *m);
bool failed_lately_locked(struct stripe *st, uint64_t hash, int64_t now_ms);
/* cache_take_stale() for those who may answer with it whatever an origin says: of what it
 * forbids to serve, and of what is no value, false. */
bool take_stale_value(struct cache_cursor *cur);

/* --- lease.c ------------------------------------------------------------------- */

/* `ns` has leases. The cursor is open on STORE_HIT. */
enum store_answer lease_seek(struct store_loop *sl, const struct config_namespace *ns,
    struct slice key, uint64_t hash, struct store_cursor *cur, struct store_waiter *w);
/* The waiter is back on its loop, maybe with a lease: it begins, or it ends
 * where the client left. */
void lease_arrived(struct store_waiter *w);

/* What a write did to the key's lease. */
enum lease_end {
	LEASE_STAYS,   /* nothing: the key was not changed */
	LEASE_SET,     /* it has a value: who waits looks again */
	LEASE_VOID,    /* it was removed: the lease goes on to the first who waits */
	LEASE_USELESS, /* its value can't be stored: so all load it by themselves */
};

/* What it means for others goes to store_news, told when no lock is held any
 * more. */
void lease_settle_locked(struct stripe *st, uint64_t hash, struct slice key, enum lease_end how,
    struct store_news *news);
/* Those of the stripe that `which` (NULL: all) says yes to are void. */
void lease_void_locked(struct stripe *st, pending_which_fn *which, void *arg,
    struct store_news *news);
void news_init(struct store_news *news, struct store_loop *sl);
void news_tell(struct store_news *news);

/* --- write.c ------------------------------------------------------------------- */

/* What an origin is told of a time to live; 0: nothing. */
int64_t write_ttl_ms(const struct store_loop *sl, int64_t expires_ms);
/* Until when the cache shows what was written. */
int64_t write_shown_until(const struct store_loop *sl, const struct store_write *w);

/* It answered, and would answer the same again: nothing was changed. */
static inline bool
origin_refused_for_good(const struct origin_result *r)
{
	return r->status == ORIGIN_FAILED && r->final;
}

/* --- behind.c ------------------------------------------------------------------ */

enum behind_found { BEHIND_NONE, BEHIND_VALUE, BEHIND_REMOVED };
/* What the origin is yet to be told of this key. Of BEHIND_VALUE *value is a
 * reference, and *expires_ms what store_write said. */
enum behind_found behind_find(struct store *s, struct slice key, uint64_t hash,
    struct blob **value, int64_t *expires_ms);
/* What was not carried out is lost. Before the loop's origins go. */
void behind_loop_free(struct store_loop *sl);

/* --- atomic.c ------------------------------------------------------------------ */

/* Whether the bracket holds it. */
bool store_atomic_has(const struct store_atomic *a, const struct stripe *st);

/* --- restore.c ----------------------------------------------------------------- */

/* The key of this hash is about to get another value, or none; its stripe is held, and its
 * shard is taken after this, or held too. */
void restore_note(struct restore *r, uint64_t hash);
static inline void
restore_note_locked(struct store *s, uint64_t hash)
{
	if (unlikely(atomic_load_explicit(&s->restore.running, memory_order_relaxed)))
		restore_note(&s->restore, hash);
}
/* Before its walk begins. */
void restore_bar(struct restore *r, struct invalidation *inv);

/* --- sample.c ------------------------------------------------------------------ */

/* Whether what happens to the cursor's key is to be told. */
static inline bool
sample_wants(const struct store_cursor *cur)
{
	return unlikely((uint32_t)cur->c.hash < cur->sl->sample_below);
}

/* A read that is counted; on a hit the cursor is open. */
void sample_read(const struct store_cursor *cur, const struct config_namespace *ns, bool hit);
/* A flush. */
void sample_clear(struct store *s);

/* --- hot.c --------------------------------------------------------------------- */

/* 0 or -ENOMEM; hot_fini() is owed either way. */
int hot_init(struct store_loop *sl, unsigned counters) MUST_CHECK;
void hot_fini(struct store_loop *sl);
/* A read that is counted and sampled. */
void hot_read(const struct store_cursor *cur, const struct config_namespace *ns);

/* --- store.c ------------------------------------------------------------------- */

/* Frees those of earlier configurations whose last fetch is done. Not from
 * within a client's callback: it is still at work then. */
void origin_sets_sweep(struct store_loop *sl);
/* The client for an origin of os, made now if need be; NULL: it can't be. */
struct origin_client *origin_set_client(struct origin_set *os, struct store_loop *sl,
    const struct config_origin *cfg);

/* Most configurations that are only a cache have one namespace. */
static inline const struct config_namespace *
namespace_of(const struct store_loop *sl, struct slice key)
{
	return sl->only != NULL ? sl->only : routes_find(sl->origins->routes, key);
}

static inline bool
near_is_tracked(const struct config_origin *o)
{
	return o->kind == ORIGIN_REDIS && o->redis_tracking == REDIS_TRACKING_TRUE;
}

/* The origin whose invalidations keep the namespace true, if it has tracking; NULL:
 * there is none. */
static inline const struct config_origin *
near_tier_of(const struct config_namespace *ns)
{
	return ns->tier_cfg != NULL ? ns->tier_cfg : ns->origin_cfg;
}

/* NULL: what this namespace has is not tracked. */
static inline struct near *
near_of(const struct store *s, const struct config_namespace *ns)
{
	const struct config_origin *tier = near_tier_of(ns);

	return tier == NULL ? NULL :
	    atomic_load_explicit(&s->nears[tier->stats_id], memory_order_acquire);
}

/* The loop's, or later where a test says so: time never goes back. */
static inline int64_t
store_now_ms(const struct store_loop *sl)
{
	return MAX(loop_now_ms(sl->loop), sl->thread.now_ms);
}

static inline struct stats_ns *
store_ns_stats(struct store_loop *sl, const struct config_namespace *ns)
{
	return &sl->stats->ns[ns->stats_id];
}

#endif
