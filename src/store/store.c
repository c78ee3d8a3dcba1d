#include "config.h"

#include "store/store.h"

#include <errno.h>
#include <sys/random.h>

#include "base/mem.h"
#include "origin/guard.h"
#include "store/fresh.h"
#include "stats/mrc.h"
#include "stats/sims.h"
#include "store/internal.h"
#include "store/quotas.h"
#include "store/restore.h"

/* --- the process's part ---------------------------------------------------- */

static struct cache_class
classify(void *arg, struct slice key)
{
	struct store *s = arg;
	const struct routes *r = atomic_load_explicit(&s->routes, memory_order_acquire);
	const struct config_namespace *ns = routes_find(r, key);

	return (struct cache_class){
		.tally = (uint16_t)(ns->stats_id |
		    (ns->class == CLASS_PROTECTED ? CACHE_PROTECTED : 0)),
		.grace_ms = near_of(s, ns) != NULL ? 0 : fresh_grace_ms(ns),
	};
}

static int
random_seed(uint64_t *out)
{
	return getrandom(out, sizeof *out, 0) == sizeof *out ? 0 : -EIO;
}

/* Where address space is limited (ulimit -v, valgrind) it must do with less,
 * which is a lower ceiling for a later CONFIG SET maxmemory. */
static int
make_cache(struct cache_opts *o, struct cache **out)
{
	int rc = cache_new(o, out);

	for (unsigned times = 16; rc == -ENOMEM && times > 0; times /= 4) {
		o->reserve_bytes = o->budget_bytes * times;
		rc = cache_new(o, out);
	}
	return rc;
}

static int
make_guards(const struct config *cfg, struct guards **out)
{
	struct guards *gs = guards_new();
	int rc = gs != NULL ? guards_configure(gs, cfg) : -ENOMEM;

	if (rc != 0)
		guards_free(gs);
	else
		*out = gs;
	return rc;
}

int
store_new_from(struct routes *routes, uint64_t cache_budget, const struct cache_past *past,
    struct store **out)
{
	struct cache_opts opts = {
		.budget_bytes = cache_budget,
		.policy = (enum cache_policy)routes_config(routes)->eviction,
		.classify = classify,
		.protected_bytes = routes_config(routes)->protected_limit,
		.quota_of = quotas_find, .unmap = quotas_unmap, .past = past,
	};
	struct store *s;
	int rc = random_seed(&opts.seed);

	if (rc != 0)
		return rc;
	s = mem_zalloc(sizeof *s);
	if (s == NULL)
		return -ENOMEM;
	opts.classify_arg = s;
	rc = make_guards(routes_config(routes), &s->guards);
	if (rc == 0)
		rc = make_cache(&opts, &s->cache);
	if (rc != 0) {
		guards_free(s->guards);
		mem_free(s);
		return rc;
	}
	for (unsigned i = 0; i < STRIPES; i++)
		lock_init(&s->stripes[i].lock);
	walker_init(&s->walker);
	lock_init(&s->restore.lock);
	tier_waits_init(&s->tier_waits);
	lock_init(&s->through_lock);
	lock_init(&s->behind.lock);
	atomic_init(&s->routes, routes_ref(routes));
	quotas_set(s->cache, NULL, routes);
	*out = s;
	return 0;
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	store_restore_end(s);
	lock_fini(&s->restore.lock);
	walker_fini(&s->walker);
	tier_waits_fini(&s->tier_waits);
	mrc_free(s->mrc);
	sims_free(s->sims);
	cache_free(s->cache);
	guards_free(s->guards);
	for (unsigned i = 0; i < STRIPES; i++)
		lock_fini(&s->stripes[i].lock);
	for (unsigned i = 0; i < STATS_ORIGINS; i++)
		near_free(s->near_kept[i]);
	htab_fini(&s->through_keys);
	htab_fini(&s->behind.writes);
	routes_unref(atomic_load(&s->routes));
	mem_free(s);
}

int
store_near(struct store *s, int origin, const struct near_opts *o, struct near **out)
{
	struct near *n = s->near_kept[origin];

	if (n == NULL) {
		n = near_new(o);
		if (n == NULL)
			return -ENOMEM;
		s->near_kept[origin] = n;
	}
	near_configure(n, o);
	atomic_store_explicit(&s->nears[origin], n, memory_order_release);
	*out = n;
	return 0;
}

void
store_no_near(struct store *s, int origin)
{
	atomic_store_explicit(&s->nears[origin], NULL, memory_order_release);
}

struct near *
store_near_of(struct store *s, int origin)
{
	return atomic_load_explicit(&s->nears[origin], memory_order_acquire);
}

struct guards *
store_guards(struct store *s)
{
	return s->guards;
}

int
store_prepare(struct store *s, const struct routes *r)
{
	return guards_configure(s->guards, routes_config(r));
}

struct cache *
store_cache(struct store *s)
{
	return s->cache;
}

void
store_set_routes(struct store *s, struct routes *r)
{
	quotas_set(s->cache, atomic_load(&s->routes), r);
	routes_unref(atomic_exchange(&s->routes, routes_ref(r)));
	cache_protect(s->cache, routes_config(r)->protected_limit);
	cache_reclassify(s->cache);
}

/* --- origins of a loop ------------------------------------------------------- */

struct origin_set *
origin_set_new(struct routes *r)
{
	unsigned n = routes_config(r)->n_origins;
	struct origin_set *os = mem_zalloc(sizeof *os + n * sizeof os->clients[0]);

	if (os == NULL)
		return NULL;
	list_init(&os->link);
	list_init(&os->tier_waits);
	os->routes = routes_ref(r);
	return os;
}

/* Fetches that are still under way fail now, and look at the set while they
 * do: it counts as one of them, so as not to vanish under itself. */
static void
origin_set_close(struct origin_set *os)
{
	os->fetches++;
	os->closing = true;
	tier_fetch_end_all(os);
	for (unsigned i = 0; i < routes_config(os->routes)->n_origins; i++) {
		struct origin_client *oc = os->clients[i];

		os->clients[i] = NULL;
		if (oc != NULL)
			origin_client_free(oc);
	}
	os->fetches--;
}

void
origin_set_free(struct origin_set *os)
{
	if (os == NULL)
		return;
	origin_set_close(os);
	list_del(&os->link);
	routes_unref(os->routes);
	mem_free(os);
}

void
origin_sets_sweep(struct store_loop *sl)
{
	list_foreach_safe(it, &sl->retired) {
		struct origin_set *os = list_entry(it, struct origin_set, link);

		if (os->fetches == 0)
			origin_set_free(os);
	}
}

struct origin_client *
origin_set_client(struct origin_set *os, struct store_loop *sl, const struct config_origin *cfg)
{
	struct origin_client **slot = &os->clients[cfg->index];

	if (*slot == NULL && origin_client_new(sl->loop, sl->store->guards, cfg,
	    &sl->stats->origins[cfg->stats_id], slot) != 0)
		*slot = NULL;
	return *slot;
}

/* Clients are made at the first fetch, but health checks do not wait for that. The first
 * loop does them; where it has no memory for them now, the first fetch tries again. */
static void
origin_set_check(struct origin_set *os, struct store_loop *sl)
{
	const struct config *cfg = routes_config(os->routes);

	for (unsigned i = 0; i < cfg->n_origins && loop_index(sl->loop) == 0; i++)
		if (config_has_checks(&cfg->origins[i].guard))
			(void)origin_set_client(os, sl, &cfg->origins[i]);
}

/* --- a loop's part ------------------------------------------------------------ */

static const struct config_namespace *
only_namespace(const struct routes *r)
{
	const struct config *cfg = routes_config(r);

	return cfg->n_namespaces == 1 ? &cfg->namespaces[0] : NULL;
}

int
store_loop_new(struct store *s, struct loop *l, struct stats_loop *stats, struct store_loop **out)
{
	struct store_loop *sl = mem_zalloc(sizeof *sl);

	if (sl == NULL)
		return -ENOMEM;
	sl->store = s;
	sl->loop = l;
	sl->stats = stats;
	sl->thread.tally = stats->tally;
	if (random_seed(&sl->draw.state) != 0)
		sl->draw.state = (uint64_t)(uintptr_t)sl; /* it is only chance */
	list_init(&sl->retired);
	sl->origins = origin_set_new(atomic_load(&s->routes));
	if (sl->origins == NULL ||
	    hot_init(sl, (unsigned)routes_config(sl->origins->routes)->hot_keys) != 0) {
		origin_set_free(sl->origins);
		mem_free(sl);
		return -ENOMEM;
	}
	sl->only = only_namespace(sl->origins->routes);
	origin_set_check(sl->origins, sl);
	*out = sl;
	return 0;
}

void
store_loop_free(struct store_loop *sl)
{
	if (sl == NULL)
		return;
	walker_leave(&sl->store->walker, sl);
	sl->closing = true;
	list_foreach(it, &sl->retired)
		origin_set_close(list_entry(it, struct origin_set, link));
	origin_set_close(sl->origins);
	behind_loop_free(sl);
	list_foreach_safe(it, &sl->retired)
		origin_set_free(list_entry(it, struct origin_set, link));
	origin_set_free(sl->origins);
	hot_fini(sl);
	mem_free(sl);
}

void
store_loop_set_routes(struct store_loop *sl, struct origin_set **os)
{
	list_push_tail(&sl->retired, &sl->origins->link);
	sl->origins = *os;
	sl->only = only_namespace(sl->origins->routes);
	*os = NULL;
	origin_sets_sweep(sl);
	origin_set_check(sl->origins, sl);
}

const struct routes *
store_loop_routes(const struct store_loop *sl)
{
	return sl->origins->routes;
}

bool
store_tick(struct store_loop *sl, int64_t budget_us)
{
	return cache_tick(sl->store->cache, &sl->thread, budget_us);
}

void
store_loop_set_no_touch(struct store_loop *sl, bool no_touch)
{
	sl->thread.no_touch = no_touch;
}

void
store_loop_set_now(struct store_loop *sl, int64_t now_ms)
{
	sl->thread.now_ms = now_ms;
	sl->sample_below = atomic_load_explicit(&sl->store->sample_below, memory_order_relaxed);
}

/* --- one key -------------------------------------------------------------------- */

static void
count_read(struct store_cursor *cur, const struct config_namespace *ns, enum cache_result res)
{
	struct stats_ns *st = store_ns_stats(cur->sl, ns);

	counter_inc(res == CACHE_HIT ? &st->hits : &st->misses);
	if (sample_wants(cur))
		sample_read(cur, ns, res == CACHE_HIT);
}

uint64_t
store_hash(const struct store_loop *sl, struct slice key)
{
	return cache_hash(sl->store->cache, key);
}

/* Rule two: a write first detaches the key's flight, and keeps the stripe until
 * the shard is written. A bracket has taken the stripes that were busy when it
 * got its shards; who came later has yet to look into these. */
static NOINLINE void
hold_stripe(struct store_cursor *cur, struct stripe *st, uint64_t hash, struct slice key,
    unsigned flags)
{
	struct pending **link;

	if (cur->sl->atomic == NULL)
		lock_acquire(&st->lock);
	else if (!store_atomic_has(cur->sl->atomic, st))
		return;
	restore_note_locked(cur->sl->store, hash);
	link = pending_find_locked(st, hash, key);
	if (*link != NULL && !(*link)->is_lease)
		flight_overrule_locked(link);
	cur->stripe = st;
	cur->flags = flags;
}

enum cache_result
store_open(struct store_loop *sl, struct slice key, unsigned flags, struct store_cursor *cur)
{
	return store_open_hashed(sl, key, store_hash(sl, key), flags, cur);
}

/* Somebody began to fill such a key, before he could see the shard taken. */
static NOINLINE enum cache_result
open_again(struct store_cursor *cur, struct stripe *st, unsigned flags, enum cache_result res)
{
	struct store_loop *sl = cur->sl;
	struct slice key = cur->c.key;
	uint64_t hash = cur->c.hash;

	if (sl->atomic != NULL)
		return res; /* he has yet to look into the bracket's shards */
	cache_close(&cur->c);
	hold_stripe(cur, st, hash, key, flags);
	return cache_open(sl->store->cache, &sl->thread, key, hash, flags & CACHE_TOUCH, &cur->c);
}

enum cache_result
store_open_hashed(struct store_loop *sl, struct slice key, uint64_t hash, unsigned flags,
    struct store_cursor *cur)
{
	struct cache *cache = sl->store->cache;
	struct stripe *st = pending_stripe(sl->store, hash);
	enum cache_result res;

	cur->sl = sl;
	cur->stripe = NULL;
	if ((flags & STORE_WRITE) && unlikely(stripe_busy(st)))
		hold_stripe(cur, st, hash, key, flags);
	res = cache_open(cache, &sl->thread, key, hash, flags & CACHE_TOUCH, &cur->c);
	if ((flags & STORE_WRITE) && unlikely(stripe_busy(st)) && cur->stripe == NULL)
		res = open_again(cur, st, flags, res);
	if (flags & STORE_COUNT)
		count_read(cur, namespace_of(sl, key), res);
	return res;
}

static enum lease_end
lease_end_of(const struct store_cursor *cur)
{
	if (cur->c.value.ptr != NULL)
		return LEASE_SET;
	if (cur->flags & STORE_VOIDS)
		return LEASE_VOID;
	return cur->flags & STORE_SETS ? LEASE_USELESS : LEASE_STAYS;
}

/* A write where somebody may be filling the key: leases end with it. */
void
store_close_written(struct store_cursor *cur)
{
	struct store_atomic *a = cur->sl->atomic;
	struct store_news news;
	struct slice key = cur->c.key;
	enum lease_end how = lease_end_of(cur);

	cache_close(&cur->c);
	if (a != NULL) {
		lease_settle_locked(cur->stripe, cur->c.hash, key, how, &a->news);
		return;
	}
	news_init(&news, cur->sl);
	lease_settle_locked(cur->stripe, cur->c.hash, key, how, &news);
	lock_release(&cur->stripe->lock);
	news_tell(&news);
}

void
store_make_room_now(struct store_loop *sl, size_t bytes)
{
	cache_make_room(sl->store->cache, &sl->thread, bytes);
}

int
store_set(struct store_loop *sl, struct slice key, struct slice value, int64_t expires_ms)
{
	struct store_cursor cur;
	int rc;

	if (!store_is_atomic(sl))
		store_make_room(sl, key.len + value.len);
	store_open(sl, key, STORE_WRITE | STORE_SETS, &cur);
	rc = cache_put(&cur.c, &value, 1, expires_ms);
	store_close(&cur);
	return rc;
}

bool
store_delete(struct store_loop *sl, struct slice key)
{
	struct store_cursor cur;
	bool there = store_open(sl, key, STORE_WRITE | STORE_VOIDS, &cur) == CACHE_HIT;

	cache_remove(&cur.c);
	store_close(&cur);
	return there;
}

void
store_flush(struct store_loop *sl)
{
	struct stripe *stripes = sl->store->stripes;
	struct store_atomic a;

	store_atomic_init(&a, sl);
	store_atomic_add_all(&a);
	store_atomic_begin(&a);
	for (unsigned i = 0; i < STRIPES; i++)
		flight_detach_locked(&stripes[i], NULL, NULL);
	/* All shards are held: what is put back next sees it. */
	atomic_store(&sl->store->restore.stopped, true);
	cache_flush(sl->store->cache, &sl->thread);
	sample_clear(sl->store);
	for (unsigned i = 0; i < STRIPES; i++)
		lease_void_locked(&stripes[i], NULL, NULL, &sl->atomic->news);
	store_atomic_end(&a);
}

int
store_scan(struct store_loop *sl, uint64_t *cursor, size_t count, struct buf *keys)
{
	return cache_scan(sl->store->cache, &sl->thread, cursor, count, keys);
}

static void
on_change(void *arg, struct cache_thread *t, struct slice key, uint64_t hash,
    enum cache_change how)
{
	struct store *s = arg;

	s->changed(s->changed_arg, container_of(t, struct store_loop, thread)->loop, key, hash,
	    how);
}

void
store_on_change(struct store *s, store_changed_fn *fn, void *arg)
{
	s->changed = fn;
	s->changed_arg = arg;
	cache_on_change(s->cache, on_change, s);
}

void
store_with_shard(struct store_loop *sl, unsigned shard, void (*fn)(void *arg, unsigned shard),
    void *arg)
{
	cache_with_shard(sl->store->cache, &sl->thread, shard, fn, arg);
}

/* No plain hit: none at all, or one of a fetched value, which may be renewed before its
 * end. In a bracket nothing is fetched. */
static NOINLINE enum cache_result
get_recorded(struct store_cursor *cur, const struct config_namespace *ns, enum cache_result res)
{
	struct store_loop *sl = cur->sl;
	struct cache_cursor *c = &cur->c;

	cur->flags = 0;
	if (res == CACHE_HIT_RECORD &&
	    (c->expires_ms == CACHE_NEVER || sl->atomic != NULL ||
	        !fresh_early(ns, cache_record(c), c->expires_ms - sl->thread.now_ms,
	            draw_next(&sl->draw)))) {
		counter_inc(&store_ns_stats(sl, ns)->hits);
		if (sample_wants(cur))
			sample_read(cur, ns, true);
		return CACHE_HIT;
	}
	if (res == CACHE_HIT_RECORD && sample_wants(cur))
		sample_read(cur, ns, true);
	if (res == CACHE_HIT_RECORD)
		cur->flags = STORE_EARLY;
	cache_close(c);
	return CACHE_MISS;
}

static ALWAYS_INLINE enum cache_result
get_cached(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur)
{
	enum cache_result res;

	cur->sl = sl;
	cur->stripe = NULL;
	res = cache_open(sl->store->cache, &sl->thread, key, hash, CACHE_TOUCH | CACHE_RECORD,
	    &cur->c);
	if (unlikely(res != CACHE_HIT))
		return get_recorded(cur, ns, res);
	counter_inc(&store_ns_stats(sl, ns)->hits);
	if (sample_wants(cur))
		sample_read(cur, ns, true);
	return CACHE_HIT;
}

/* A call at the end, so that the other way, with one namespace, need not keep
 * its arguments. */
static NOINLINE enum cache_result
get_cached_routed(struct store_loop *sl, struct slice key, uint64_t hash,
    struct store_cursor *cur)
{
	return get_cached(sl, routes_find(sl->origins->routes, key), key, hash, cur);
}

enum cache_result
store_get_cached(struct store_loop *sl, struct slice key, uint64_t hash, struct store_cursor *cur)
{
	if (unlikely(sl->only == NULL))
		return get_cached_routed(sl, key, hash, cur);
	return get_cached(sl, sl->only, key, hash, cur);
}

/* What was written behind, and is in the cache no more: the origin may not have it
 * yet. STORE_REFUSED: no memory to show it; STORE_WAITING: nothing, ask the origin. */
static enum store_answer
look_behind(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur)
{
	enum store_answer answer = STORE_WAITING;
	struct store_write w = { .ns = ns };
	struct blob *blob = NULL;

	if (cache_open(sl->store->cache, &sl->thread, key, hash, CACHE_TOUCH, &cur->c) == CACHE_HIT)
		return STORE_HIT;
	switch (behind_find(sl->store, key, hash, &blob, &w.expires_ms)) {
	case BEHIND_NONE:
		break;
	case BEHIND_REMOVED:
		answer = STORE_MISS;
		break;
	case BEHIND_VALUE:
		w.value = blob_slice(blob);
		answer = cache_put(&cur->c, &w.value, 1, write_shown_until(sl, &w)) == 0 ?
		    STORE_HIT : STORE_REFUSED;
		break;
	}
	if (answer != STORE_HIT)
		cache_close(&cur->c);
	blob_unref(blob);
	return answer;
}

/* True: there is an answer; else the origin is to be asked. */
static bool
answered_behind(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w, enum store_answer *answer)
{
	struct stats_ns *stats = store_ns_stats(sl, ns);

	*answer = look_behind(sl, ns, key, hash, cur);
	if (*answer == STORE_WAITING)
		return false;
	counter_inc(*answer == STORE_HIT ? &stats->hits : &stats->misses);
	if (*answer == STORE_REFUSED)
		*answer = waiter_refuse(w, sl, ns, "out of memory");
	return true;
}

enum store_answer
store_get_missed(struct store_cursor *cur, struct store_waiter *w)
{
	struct store_loop *sl = cur->sl;
	struct slice key = cur->c.key;
	uint64_t hash = cur->c.hash;
	const struct config_namespace *ns = namespace_of(sl, key);
	enum store_answer answer;

	w->granted = w->negative = false;
	if (sample_wants(cur) && !(cur->flags & STORE_EARLY))
		sample_read(cur, ns, false);
	if (unlikely(sl->atomic != NULL)) {
		counter_inc(&store_ns_stats(sl, ns)->misses);
		return STORE_MISS;
	}
	if (ns->write == WRITE_BEHIND && answered_behind(sl, ns, key, hash, cur, w, &answer))
		return answer;
	if (ns->origin_cfg != NULL)
		return flight_join(sl, ns, key, hash, cur, w);
	if ((ns->coalesce == COALESCE_LEASE || w->wants_token) && w->holder != NULL)
		return lease_seek(sl, ns, key, hash, cur, w);
	counter_inc(&store_ns_stats(sl, ns)->misses);
	return STORE_MISS;
}

enum store_answer
store_get(struct store_loop *sl, struct slice key, struct store_cursor *cur,
    struct store_waiter *w)
{
	if (store_get_cached(sl, key, store_hash(sl, key), cur) == CACHE_HIT)
		return STORE_HIT;
	return store_get_missed(cur, w);
}
