/* The table of keys that clients have read, beside the shards of the cache and
 * under their locks; and what happens when a key changes. */
#include "config.h"

#include "server/tracking.h"

#include <errno.h>

#include "base/mem.h"
#include "server/tracking_impl.h"
#include "server/transaction.h"

#define HEAP_BYTES 24   /* of each, for the allocator and its slot in the table */
#define SHED_MAX 128    /* forgotten after one command */
#define SWEEP_SLOTS 256 /* looked at under one hold of a shard's lock */
#define SWEEP_STEPS 64

static uint64_t
tracked_bytes(const struct tracked *k)
{
	return sizeof *k + k->len + HEAP_BYTES;
}

static struct tracked *
tracked_new(struct tracker *t, struct slice key)
{
	struct tracked *k = mem_alloc(sizeof *k + key.len);

	if (k == NULL)
		return NULL;
	k->tracker = t;
	k->len = (uint32_t)key.len;
	if (key.len != 0)
		memcpy(k->key, key.ptr, key.len);
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->home->all->bytes, tracked_bytes(k), memory_order_relaxed);
	return k;
}

void
tracked_free(struct tracked *k)
{
	struct tracker *t = k->tracker;

	atomic_fetch_sub_explicit(&t->home->all->bytes, tracked_bytes(k), memory_order_relaxed);
	mem_free(k);
	tracker_unref(t);
}

static struct tracked *
tracked_of(struct htab_node *node)
{
	return container_of(node, struct tracked, node);
}

/* --- the table ------------------------------------------------------------------ */

static void
notice_locked(struct tracking *tr, unsigned shard, bool on)
{
	struct track_shard *ts = &tr->shards[shard];

	if (ts->noticed != on)
		cache_notice_locked(tr->cache, shard, on);
	ts->noticed = on;
}

static struct tracked *
find_locked(const struct track_shard *ts, uint64_t hash, const struct tracker *t)
{
	for (struct htab_node *it = htab_first(&ts->keys, hash); it != NULL; it = htab_next(it))
		if (tracked_of(it)->tracker == t)
			return tracked_of(it);
	return NULL;
}

/* 0, -EEXIST, or -ENOMEM; but for 0 it is still the caller's. */
static int
add_locked(struct tracking *tr, struct tracked *k, uint64_t hash)
{
	unsigned shard = cache_shard_index(tr->cache, hash);
	struct track_shard *ts = &tr->shards[shard];
	bool first = htab_first(&ts->keys, hash) == NULL;

	if (!first && find_locked(ts, hash, k->tracker) != NULL)
		return -EEXIST;
	if (htab_add(&ts->keys, &k->node, hash) != 0)
		return -ENOMEM;
	notice_locked(tr, shard, true);
	atomic_fetch_add_explicit(&tr->n_keys, first, memory_order_relaxed);
	atomic_fetch_add_explicit(&tr->n_items, 1, memory_order_relaxed);
	return 0;
}

/* In the order of a list of tasks. */
static void
pend(struct tracking_loop *tl, struct tracked *k)
{
	k->task.next = NULL;
	*tl->last = &k->task;
	tl->last = &k->task.next;
	tracking_due(tl);
}

static void
remove_locked(struct tracking *tr, unsigned shard, struct tracked *k)
{
	struct track_shard *ts = &tr->shards[shard];

	htab_del(&ts->keys, &k->node);
	atomic_fetch_sub_explicit(&tr->n_items, 1, memory_order_relaxed);
	if (ts->keys.n != 0)
		return;
	htab_fini(&ts->keys);
	ts->hand = ts->swept = 0;
	notice_locked(tr, shard, false);
}

/* All that is remembered of a key goes to those who read it; but not to the
 * one who has changed it himself and wants to hear of others alone. */
static void
take_locked(struct tracking_loop *tl, unsigned shard, uint64_t hash, enum cache_change how)
{
	struct tracking *tr = tl->all;
	const struct htab *keys = &tr->shards[shard].keys;
	struct htab_node *it = htab_first(keys, hash);

	if (it == NULL)
		return;
	atomic_fetch_sub_explicit(&tr->n_keys, 1, memory_order_relaxed);
	for (; it != NULL; it = htab_first(keys, hash)) {
		struct tracked *k = tracked_of(it);

		remove_locked(tr, shard, k);
		if (how == CACHE_WRITTEN && k->tracker == tl->actor &&
		    (tl->actor->flags & TRACK_NOLOOP))
			tracked_free(k);
		else
			pend(tl, k);
	}
}

static void
on_change(void *arg, struct loop *l, struct slice key, uint64_t hash, enum cache_change how)
{
	struct tracking *tr = arg;
	struct tracking_loop *tl = tracking_loop_of(tr, l);
	unsigned shard = cache_shard_index(tr->cache, hash);

	take_locked(tl, shard, hash, how);
	if (tr->shards[shard].n_bcast != 0)
		bcast_note(tl, key, how);
}

/* --- around a command --------------------------------------------------------------- */

static int
remember(struct call *c, struct tracker *t, struct slice key)
{
	struct tracked *k = tracked_new(t, key);
	struct store_cursor cur;
	int rc;

	if (k == NULL)
		return -ENOMEM;
	store_open(c->store, key, 0, &cur);
	rc = add_locked(t->home->all, k, cur.c.hash);
	store_close(&cur);
	if (rc != 0)
		tracked_free(k);
	return rc == -EEXIST ? 0 : rc;
}

static bool
remembers(const struct tracker *t, const struct command *cmd)
{
	bool said = t->flags & TRACK_CACHING;

	if ((t->flags & TRACK_BCAST) || !(cmd->flags & CMD_READONLY))
		return false;
	return !((t->flags & TRACK_OPTIN) && !said) && !((t->flags & TRACK_OPTOUT) && said);
}

bool
tracking_before(struct call *c)
{
	struct tracker *t = c->session->tracker;
	struct command_keys keys;

	t->home->actor = t;
	if (!remembers(t, c->cmd))
		return true;
	keys = command_keys(c->cmd, c->argv, c->argc);
	for (uint32_t i = 0; i < keys.n; i++)
		if (remember(c, t, c->argv[keys.first + i * keys.step]) != 0) {
			call_put_failed(c, -ENOMEM);
			return false;
		}
	return true;
}

/* CLIENT CACHING is for the next command, or the next transaction. */
void
tracking_refused(struct session *s, const struct command *cmd)
{
	if (transaction_queued(s) < 0 && (cmd == NULL || cmd->parent != CMD_ID_client))
		s->tracker->flags &= ~(unsigned)TRACK_CACHING;
}

static bool
over_limits(const struct tracking *tr)
{
	uint64_t max_keys = atomic_load_explicit(&tr->max_keys, memory_order_relaxed);
	uint64_t max_bytes = atomic_load_explicit(&tr->max_bytes, memory_order_relaxed);

	return (max_keys != 0 &&
	    atomic_load_explicit(&tr->n_keys, memory_order_relaxed) > max_keys) ||
	    atomic_load_explicit(&tr->bytes, memory_order_relaxed) > max_bytes;
}

static void
forget_one_locked(void *arg, unsigned shard)
{
	struct tracking_loop *tl = arg;
	struct track_shard *ts = &tl->all->shards[shard];
	struct htab_node *it = htab_any(&ts->keys, &ts->hand);

	if (it == NULL)
		return;
	ts->hand++;
	take_locked(tl, shard, it->hash, CACHE_LOST);
}

/* From each shard in turn, as any one is as good as another. */
static void
shed(struct tracking_loop *tl)
{
	struct tracking *tr = tl->all;

	for (unsigned i = 0; i < SHED_MAX && over_limits(tr); i++)
		store_with_shard(tl->sl->store, atomic_fetch_add(&tr->next_shard, 1) % tr->n_shards,
		    forget_one_locked, tl);
}

void
tracking_after(struct call *c)
{
	struct session *s = c->session;
	struct tracking_loop *tl = c->sl->tracking;

	tl->actor = NULL;
	if (s->tracker != NULL)
		tracking_refused(s, c->cmd);
	if (store_is_atomic(c->store))
		return;
	if (unlikely(over_limits(tl->all)))
		shed(tl);
	if (c->sl->tracking_due)
		tracking_tell_keys(tl);
}

/* --- telling ---------------------------------------------------------------------- */

void
tracking_due(struct tracking_loop *tl)
{
	tl->sl->tracking_due = true;
	if (tl->settle_deferred)
		return;
	tl->settle_deferred = true;
	loop_defer(tl->sl->loop, &tl->settle);
}

void
tracking_settle(struct server_loop *sl)
{
	sl->tracking_due = false;
	tracking_tell_keys(sl->tracking);
	bcast_settle(sl->tracking);
}

static void
settle_run(struct loop *l UNUSED, struct loop_task *t)
{
	struct tracking_loop *tl = container_of(t, struct tracking_loop, settle);

	tl->settle_deferred = false;
	tracking_settle(tl->sl);
}

/* --- flushes ----------------------------------------------------------------------- */

struct taken {
	struct tracking *tr;
	struct htab keys;
};

static void
take_all_locked(void *arg, unsigned shard)
{
	struct taken *all = arg;
	struct track_shard *ts = &all->tr->shards[shard];

	all->keys = ts->keys;
	ts->keys = (struct htab){ 0 };
	ts->hand = ts->swept = 0;
	notice_locked(all->tr, shard, false);
}

static void
count_off(struct tracking *tr, struct htab *keys, struct htab_node *node)
{
	atomic_fetch_sub_explicit(&tr->n_items, 1, memory_order_relaxed);
	if (htab_first(keys, node->hash) == node && htab_next(node) == NULL)
		atomic_fetch_sub_explicit(&tr->n_keys, 1, memory_order_relaxed);
}

static void
free_all(struct tracking *tr, struct htab *keys)
{
	struct htab_node *node;
	size_t hand = 0;

	while ((node = htab_any(keys, &hand)) != NULL) {
		count_off(tr, keys, node);
		htab_del(keys, node);
		tracked_free(tracked_of(node));
	}
	htab_fini(keys);
}

/* Not at once with the flush itself, which need not be: what is read in between
 * is told too, since the message comes later. */
void
tracking_flushed(struct server_loop *sl)
{
	struct tracking_loop *tl = sl->tracking;
	struct taken all = { .tr = tl->all };
	struct tracked *mark;

	if (atomic_load(&tl->all->n_clients) == 0 && atomic_load(&tl->all->n_items) == 0)
		return;
	for (unsigned i = 0; i < tl->all->n_shards; i++) {
		store_with_shard(sl->store, i, take_all_locked, &all);
		free_all(tl->all, &all.keys);
	}
	mark = mem_zalloc(sizeof *mark);
	if (mark == NULL && !tl->flushed_used) {
		mark = &tl->flushed;
		mark->tracker = NULL;
		tl->flushed_used = true;
	}
	if (mark != NULL)
		pend(tl, mark);
}

/* --- those who are gone --------------------------------------------------------------- */

static void
sweep_locked(void *arg, unsigned shard)
{
	struct tracking *tr = arg;
	struct track_shard *ts = &tr->shards[shard];

	for (unsigned i = 0; i < SWEEP_SLOTS && ts->swept < ts->keys.n_slots; i++, ts->swept++) {
		struct htab_node *it = ts->keys.slots[ts->swept], *next;

		for (; it != NULL && ts->keys.n != 0; it = next) {
			struct tracked *k = tracked_of(it);
			bool last;

			next = it->next;
			if (!atomic_load_explicit(&k->tracker->gone, memory_order_relaxed))
				continue;
			last = htab_first(&ts->keys, it->hash) == it && htab_next(it) == NULL;
			atomic_fetch_sub_explicit(&tr->n_keys, last, memory_order_relaxed);
			remove_locked(tr, shard, k);
			tracked_free(k);
		}
	}
}

void
tracking_tick(struct server_loop *sl)
{
	struct tracking *tr = sl->tracking->all;

	if (over_limits(tr))
		shed(sl->tracking);
	for (unsigned i = 0; i < SWEEP_STEPS && atomic_load(&tr->n_gone) != 0; i++) {
		struct track_shard *ts = &tr->shards[tr->sweep_shard];

		store_with_shard(sl->store, tr->sweep_shard, sweep_locked, tr);
		if (ts->swept < ts->keys.n_slots)
			continue;
		ts->swept = 0;
		tr->sweep_shard = (tr->sweep_shard + 1) % tr->n_shards;
	}
}

/* --- the daemon's part ------------------------------------------------------------------ */

void
tracking_set_limits(struct tracking *tr, uint64_t max_keys, uint64_t max_bytes)
{
	atomic_store(&tr->max_keys, max_keys);
	atomic_store(&tr->max_bytes, max_bytes);
}

const _Atomic(uint64_t) *
tracking_bytes(const struct tracking *tr)
{
	return &tr->bytes;
}

void
tracking_counts(struct tracking *tr, struct tracking_counts *out)
{
	out->clients = atomic_load(&tr->n_clients);
	out->keys = atomic_load(&tr->n_keys);
	out->items = atomic_load(&tr->n_items);
	pthread_mutex_lock(&tr->lock);
	out->prefixes = tr->names.n;
	pthread_mutex_unlock(&tr->lock);
}

static void
tracking_loop_init(struct tracking_loop *tl, struct tracking *tr, struct server_loop *sl)
{
	tl->all = tr;
	tl->sl = sl;
	list_init(&tl->trackers);
	list_init(&tl->prefixes);
	tl->last = &tl->first;
	buf_init(&tl->changed);
	tl->settle.run = settle_run;
	tl->everything.run = tracking_everything_run;
	sl->tracking = tl;
}

int
tracking_new(struct server *s)
{
	struct tracking *tr = mem_zalloc(sizeof *tr + s->n_loops * sizeof tr->loops[0]);

	if (tr == NULL)
		return -ENOMEM;
	tr->cache = store_cache(s->store);
	tr->n_loops = s->n_loops;
	tr->n_shards = cache_shards(tr->cache);
	tr->shards_mem = mem_zalloc(tr->n_shards * sizeof tr->shards[0] + 63);
	if (tr->shards_mem == NULL) {
		mem_free(tr);
		return -ENOMEM;
	}
	/* The heap gives 16 bytes of alignment; shards want cache lines of their own. */
	tr->shards = (void *)(((uintptr_t)tr->shards_mem + 63) & ~(uintptr_t)63);
	pthread_mutex_init(&tr->lock, NULL);
	for (unsigned i = 0; i < s->n_loops; i++)
		tracking_loop_init(&tr->loops[i], tr, &s->loops[i]);
	store_on_change(s->store, on_change, tr);
	s->tracking = tr;
	return 0;
}

static void
tracking_loop_fini(struct tracking_loop *tl)
{
	while (tl->first != NULL) {
		struct tracked *k = container_of(tl->first, struct tracked, task);

		tl->first = tl->first->next;
		if (k->tracker != NULL)
			tracked_free(k);
		else if (k != &tl->flushed)
			mem_free(k);
	}
	buf_fini(&tl->changed);
}

void
tracking_free(struct tracking *tr)
{
	if (tr == NULL)
		return;
	for (unsigned i = 0; i < tr->n_loops; i++)
		tracking_loop_fini(&tr->loops[i]);
	for (unsigned i = 0; i < tr->n_shards; i++)
		free_all(tr, &tr->shards[i].keys);
	htab_fini(&tr->ids);
	htab_fini(&tr->names);
	pthread_mutex_destroy(&tr->lock);
	mem_free(tr->shards_mem);
	mem_free(tr);
}
