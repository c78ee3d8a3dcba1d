/* flight.c - one fetch for a key at a time, however many ask.
 *
 * The first miss of a key makes a flight and starts the fetch on its own
 * loop: it is the leader. Later misses, on any loop, join as waiters. When
 * the fetch is done, the flight leaves the table and the waiters are handed
 * their answer: those of the leader's loop at once, others by loop_post().
 * The client that came first may leave: the fetch belongs to the loop.
 *
 * A write detaches the flight: it leaves the table and loses the right to
 * store. Its waiters asked before the write was done, so the old value is a
 * right answer for them; who asks later starts a new flight. */
#include "config.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"
#include "store/meta.h"

struct flight {
	struct pending p;
	struct store_loop *sl; /* the leader's */
	struct origin_set *origins;
	const struct config_namespace *ns;
	uint64_t near_begun; /* see near_begin() */
	int64_t begun_ms;
	struct loop_task failed; /* the fetch could not even begin */
	uint64_t tags_mark;      /* for walker_tags_since() */
	char key[];
};

static const char no_memory[] = "out of memory";

/* Two fetches of a key side by side may be executed in any order, and only an entry that
 * was told of can be compared with what was read: so where a tier tells of its
 * writes, one comes behind the other (doc/near.md). */
struct pending **
flight_overrule_locked(struct pending **link)
{
	if (!(*link)->in_turn) {
		pending_unlink_locked(link);
		return link;
	}
	(*link)->sealed = true;
	return &(*link)->next;
}

void
flight_detach_locked(struct stripe *st, pending_which_fn *which, void *arg)
{
	for (unsigned b = 0; b < STRIPE_BUCKETS; b++) {
		struct pending **link = &st->buckets[b];

		while (*link != NULL) {
			if ((*link)->is_lease || (which != NULL && !which(arg, *link)))
				link = &(*link)->next;
			else
				link = flight_overrule_locked(link);
		}
	}
}

/* --- the end of a flight --------------------------------------------------------- */

/* What is answered and not stored must not be kept by clients either: there is
 * nothing whose change they could be told of. */
static void
tell_unkept(struct flight *f)
{
	struct cache_cursor cur;

	/* Whoever gets this answer must not read a stale one behind it. */
	if (cache_open(f->sl->store->cache, &f->sl->thread, f->p.key, f->p.hash, 0, &cur) ==
	    CACHE_MISS && f->p.in_turn)
		cache_remove(&cur);
	cache_tell(&cur);
	cache_close(&cur);
}

/* Rule one: under the stripe, so that no write can come in between. */
static void
store_value_locked(struct flight *f, const struct origin_result *r)
{
	struct store_loop *sl = f->sl;
	struct slice body = blob_slice(r->body);
	int64_t ttl_ms = r->ttl_ms == ORIGIN_TTL_UNSAID ? f->ns->ttl_ms : r->ttl_ms;
	int64_t expires_ms = ttl_ms > 0 ? sl->thread.now_ms + ttl_ms : CACHE_NEVER;
	struct near *near = near_of(sl->store, f->ns);
	struct cache_cursor cur;

	assert(lock_held(&f->p.stripe->lock));
	if (r->ttl_ms == 0) {
		tell_unkept(f);
		return;
	}
	cache_open(sl->store->cache, &sl->thread, f->p.key, f->p.hash, 0, &cur);
	if (near != NULL && r->moved)
		near_moved(near);
	if (near != NULL)
		expires_ms = near_expiry(near, f->near_begun, f->begun_ms, expires_ms);
	/* A value that does not fit is still an answer. */
	if (cache_put(&cur, &body, 1, expires_ms) != 0) {
		counter_inc(&store_ns_stats(sl, f->ns)->fetch_discarded);
		if (f->p.in_turn)
			cache_remove(&cur);
		cache_tell(&cur);
	}
	cache_close(&cur);
}

/* A tag of what was fetched was invalidated since the fetch began. */
static bool
is_outdated_locked(const struct flight *f, const struct origin_validity *valid)
{
	uint32_t room[META_TAGS_MAX];
	struct meta m;

	assert(lock_held(&f->p.stripe->lock));
	if (valid == NULL || (valid->tags.len == 0 && !valid->any_tag))
		return false;
	meta_init(&m);
	meta_set_tags(&m, valid->tags, room);
	m.any_tag |= valid->any_tag;
	return walker_tags_since(&f->sl->store->walker, f->tags_mark, &m);
}

static void
flight_land(struct flight *f, const struct origin_result *r, struct list *waiters,
    struct list *late)
{
	struct pending *p = &f->p;
	bool may_store;

	if (r->status == ORIGIN_OK && r->ttl_ms != 0)
		store_make_room(f->sl, p->key.len + blob_slice(r->body).len);
	lock_acquire(&p->stripe->lock);
	may_store = !p->detached && !p->sealed && !is_outdated_locked(f, r->valid);
	if (may_store && r->status == ORIGIN_OK)
		store_value_locked(f, r);
	else if (!p->detached && r->status <= ORIGIN_NOT_FOUND)
		tell_unkept(f);
	if (!may_store && r->status == ORIGIN_OK)
		counter_inc(&store_ns_stats(f->sl, f->ns)->fetch_discarded);
	if (!p->detached)
		pending_unlink_locked(pending_find_locked(p->stripe, p->hash, p->key));
	waiters_take_locked(p, waiters);
	waiters_take_late_locked(p, late);
	lock_release(&p->stripe->lock);
}

static void
waiter_answer(struct store_waiter *w, const struct origin_result *r, struct blob *text)
{
	switch (r->status) {
	case ORIGIN_OK:
		w->status = FILL_VALUE;
		w->value = blob_ref(r->body);
		break;
	case ORIGIN_NOT_FOUND:
		w->status = FILL_NOT_FOUND;
		break;
	default:
		w->status = FILL_FAILED;
		w->error_text = text != NULL ? blob_ref(text) : NULL;
		w->error = text != NULL ? blob_slice(text).ptr : no_memory;
		break;
	}
}

/* Waiters of other loops first: theirs is the longer way. r NULL: they are to ask again. */
static void
answer_all(struct flight *f, const struct origin_result *r, struct list *waiters)
{
	struct blob *text = NULL;
	struct list here;
	struct list *it;

	if (r != NULL && r->error != NULL)
		text = blob_of(slice_of(r->error, strlen(r->error) + 1));
	list_init(&here);
	while ((it = list_pop_head(waiters)) != NULL) {
		struct store_waiter *w = list_entry(it, struct store_waiter, link);

		if (r != NULL)
			waiter_answer(w, r, text);
		else
			w->status = FILL_AGAIN;
		if (w->sl == f->sl)
			list_push_tail(&here, &w->link);
		else
			loop_post(w->sl->loop, &w->task);
	}
	while ((it = list_pop_head(&here)) != NULL)
		waiter_finish(list_entry(it, struct store_waiter, link));
	blob_unref(text);
}

static void
flight_done(void *arg, const struct origin_result *r)
{
	struct flight *f = arg;
	struct store_loop *sl = f->sl;
	struct list waiters, late;

	store_loop_set_now(sl, loop_now_ms(sl->loop));
	if (r->status >= ORIGIN_FAILED)
		counter_inc(&store_ns_stats(sl, f->ns)->fetch_errors);
	list_init(&waiters);
	list_init(&late);
	flight_land(f, r, &waiters, &late);
	atomic_fetch_sub(&sl->store->flights, 1);
	answer_all(f, r, &waiters);
	answer_all(f, NULL, &late);
	f->origins->fetches--;
	mem_free(f);
}

/* --- the start of a flight ----------------------------------------------------------- */

static void
flight_failed_to_start(struct loop *l, struct loop_task *t)
{
	(void)l;
	flight_done(container_of(t, struct flight, failed),
	    &(struct origin_result){ .status = ORIGIN_FAILED, .error = no_memory });
}

static struct flight *
flight_new(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash)
{
	struct flight *f = mem_alloc(sizeof *f + key.len);

	if (f == NULL)
		return NULL;
	memcpy(f->key, key.ptr, key.len);
	pending_init(&f->p, sl->store, slice_of(f->key, key.len), hash);
	f->sl = sl;
	f->origins = sl->origins;
	f->ns = ns;
	f->p.in_turn = near_of(sl->store, ns) != NULL;
	f->failed.run = flight_failed_to_start;
	f->tags_mark = walker_tags_mark(&sl->store->walker);
	return f;
}

/* Fetches for a flight that stands in the table already. When that can't even
 * begin, the waiters hear of it in a later turn, as of any failure. */
static void
flight_start(struct flight *f)
{
	struct store_loop *sl = f->sl;
	const struct config_origin *cfg = f->ns->origin_cfg;
	struct origin_client *client;
	struct origin_fetch *fetch;
	struct near *near = near_of(sl->store, f->ns);
	int rc = -ENOTSUP;

	origin_sets_sweep(sl);
	f->origins->fetches++;
	atomic_fetch_add(&sl->store->flights, 1);
	counter_inc(&store_ns_stats(sl, f->ns)->fetches);
	f->begun_ms = loop_now_ms(sl->loop);
	f->near_begun = near != NULL ? near_begin(near) : 0;
	client = origin_set_client(f->origins, sl, cfg);
	if (client != NULL)
		rc = origin_fetch_start(client, &(struct origin_request){ .ns = f->ns,
		    .key = f->p.key, .deadline_ms = f->begun_ms + cfg->deadline_ms },
		    flight_done, f, &fetch);
	if (rc != 0)
		loop_defer(sl->loop, &f->failed);
}

/* Under the stripe: the waiter gets on board of the key's flight, or of a new
 * one, which *started then is; or there is no need to wait. */
static enum store_answer
board_locked(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w, struct flight **started)
{
	struct pending **link = pending_find_locked(w->stripe, hash, key);
	struct stats_ns *stats = store_ns_stats(sl, ns);

	if (*link == NULL) {
		pending_announce_locked(w->stripe);
		/* Rule three: between the miss and the stripe a flight may have landed. */
		if (cache_open(sl->store->cache, &sl->thread, key, hash, CACHE_TOUCH, &cur->c) ==
		    CACHE_HIT) {
			pending_withdraw_locked(w->stripe);
			counter_inc(&stats->hits);
			return STORE_HIT;
		}
		cache_close(&cur->c);
		counter_inc(&stats->misses);
		*started = flight_new(sl, ns, key, hash);
		if (*started == NULL) {
			pending_withdraw_locked(w->stripe);
			return waiter_refuse(w, sl, ns, no_memory);
		}
		pending_link_locked(link, &(*started)->p);
	} else {
		counter_inc(&stats->misses);
		if ((*link)->n_waiters >= ns->origin_cfg->max_waiters)
			return waiter_refuse(w, sl, ns, "too many requests wait for this key");
		counter_inc(&stats->coalesced);
		w->joined = true;
	}
	waiter_add_locked(*link, w);
	return STORE_WAITING;
}

enum store_answer
flight_join(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w)
{
	struct stripe *st = pending_stripe(sl->store, hash);
	const char *refused = waiter_admit(w, sl, ns, st);
	struct flight *started = NULL;
	enum store_answer answer;
	struct store_news news;

	if (refused != NULL) {
		counter_inc(&store_ns_stats(sl, ns)->misses);
		return waiter_refuse(w, sl, ns, refused);
	}
	news_init(&news, sl);
	lock_acquire(&st->lock);
	/* A lease is one of an earlier configuration. Who waits for it asks again,
	 * and finds the flight. */
	lease_settle_locked(st, hash, key, LEASE_SET, &news);
	answer = board_locked(sl, ns, key, hash, cur, w, &started);
	lock_release(&st->lock);
	news_tell(&news);
	if (answer != STORE_WAITING) {
		waiter_dismiss(w);
		return answer;
	}
	if (started != NULL)
		flight_start(started);
	waiter_start(w, w->deadline_ms);
	return STORE_WAITING;
}
