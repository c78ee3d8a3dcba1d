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
 * right answer for them; who asks later starts a new flight.
 *
 * What a reader gets is decided in two places. board_locked(), before a fetch: a
 * fresh value; one whose time is over and that may be served while a flight without
 * waiters renews it; that there is none, where that is remembered; else it waits.
 * And at the end of a fetch in vain, ladder.c: what is left. What an entry is good
 * for is told by fresh.h.
 *
 * An answer that could not be kept is remembered for a while. Then requests do not wait
 * for the flight that is under way but fly alone: flights in no table, that store
 * nothing. */
#include "config.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/fresh.h"
#include "store/internal.h"

struct flight {
	struct pending p; /* alone: detached from the start */
	struct store_loop *sl; /* the leader's */
	struct origin_set *origins;
	const struct config_namespace *ns;
	struct loop_task task; /* to begin, or the fetch could not even begin */
	/* Of the present fetch: */
	uint64_t near_begun;   /* see near_begin() */
	uint64_t tags_mark;    /* for walker_tags_since() */
	int64_t begun_ms, begun_us;
	int64_t deadline_ms;
	bool background;
	size_t etag_len, date_len; /* behind the key: what it asks with */
	char text[];
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

/* --- what is stored --------------------------------------------------------------- */

static void
count_keep(struct flight *f, const struct origin_result *r, const struct fresh_keep *k)
{
	struct stats_ns *stats = store_ns_stats(f->sl, f->ns);

	if (r->status == ORIGIN_NOT_FOUND)
		return;
	if (!k->kept || k->meta.kind == META_UNCACHEABLE)
		counter_inc(&stats->uncacheable);
	if (r->valid != NULL && r->valid->vary_any)
		counter_inc(&stats->vary_refused);
}

/* With the shard held. What is answered and not stored must not be kept by clients
 * either: there is nothing whose change they could be told of. And what was there
 * before is no answer any more, not even a stale one. */
static void
put_kept(struct flight *f, struct cache_cursor *cur, struct slice value, const struct fresh_keep *k)
{
	unsigned char record[META_MAX];
	bool is_value = k->meta.kind == META_VALUE;
	bool put = k->kept && cache_put_record(cur, is_value ? value : SLICE(""), k->expires_ms,
	    k->stale_ms, slice_of(record, meta_encode(&k->meta, record))) == 0;

	if (put && is_value)
		return;
	/* A value that does not fit is still an answer. */
	if (k->kept && is_value)
		counter_inc(&store_ns_stats(f->sl, f->ns)->fetch_discarded);
	if (!put)
		cache_remove(cur);
	cache_tell(cur);
}

/* What is kept of the answer. With the shard held: else a loss of the channel, and its
 * walk, could come in between. Of what a tier tells of, only values: nobody could
 * tell that a key that was not there came. */
static void
decide_keep(struct flight *f, const struct origin_result *r, const struct meta *old,
    struct fresh_keep *k)
{
	struct store_loop *sl = f->sl;
	struct near *near = near_of(sl->store, f->ns);

	fresh_keep(f->ns, r, old, sl->thread.now_ms, draw_next(&sl->draw), k);
	count_keep(f, r, k);
	if (near == NULL)
		return;
	if (r->moved)
		near_moved(near);
	if (k->meta.kind != META_VALUE)
		k->kept = false;
	else
		k->expires_ms = near_expiry(near, f->near_begun, f->begun_ms, k->expires_ms);
	if (k->expires_ms == NEAR_NOT_KEPT)
		k->kept = false;
	k->stale_ms = 0; /* a loss gives it as much as is due */
}

/* Rule one: under the stripe, so that no write can come in between. */
static void
store_answer_locked(struct flight *f, const struct origin_result *r)
{
	struct store_loop *sl = f->sl;
	struct fresh_keep k;
	struct cache_cursor cur;

	assert(lock_held(&f->p.stripe->lock));
	restore_note_locked(sl->store, f->p.hash);
	cache_open(sl->store->cache, &sl->thread, f->p.key, f->p.hash, 0, &cur);
	decide_keep(f, r, NULL, &k);
	put_kept(f, &cur, r->body != NULL ? blob_slice(r->body) : SLICE(""), &k);
	cache_close(&cur);
}

/* It may not be stored, for it was overruled. What is there is another's, but whoever
 * gets this answer must not read a stale one behind it. */
static void
tell_unkept(struct flight *f)
{
	struct cache_cursor cur;

	if (cache_open(f->sl->store->cache, &f->sl->thread, f->p.key, f->p.hash, 0, &cur) ==
	    CACHE_MISS && f->p.in_turn)
		cache_remove(&cur);
	cache_tell(&cur);
	cache_close(&cur);
}

/* A tag of what was fetched was invalidated since the fetch began. */
static bool
is_outdated(const struct flight *f, const struct meta *m)
{
	return (m->n_tags != 0 || m->any_tag) &&
	    walker_tags_since(&f->sl->store->walker, f->tags_mark, m);
}

static bool
answer_is_outdated(const struct flight *f, const struct origin_validity *valid)
{
	uint32_t room[META_TAGS_MAX];
	struct meta m;

	if (valid == NULL || (valid->tags.len == 0 && !valid->any_tag))
		return false;
	meta_init(&m);
	meta_set_tags(&m, valid->tags, room);
	m.any_tag |= valid->any_tag;
	return is_outdated(f, &m);
}

/* What the condition spoke of: the cursor stands on it. */
static bool
find_asked(struct flight *f, struct cache_cursor *cur, struct meta *m)
{
	if (cache_open(f->sl->store->cache, &f->sl->thread, f->p.key, f->p.hash, 0, cur) !=
	        CACHE_HIT &&
	    !cache_take_stale(cur))
		return false;
	return meta_decode(cache_record(cur), m) && m->kind == META_VALUE;
}

/* It is still good: only its record is new. False: it is gone, or one of its tags was
 * invalidated, meanwhile. */
static bool
renew_locked(struct flight *f, const struct origin_result *r, struct answer *a)
{
	struct cache_cursor cur;
	struct fresh_keep k;
	struct meta old;
	bool found = find_asked(f, &cur, &old) && !is_outdated(f, &old);

	if (found && f->p.n_waiters != 0) {
		a->value = blob_of(cur.value);
		a->status = a->value != NULL ? FILL_VALUE : FILL_FAILED;
		a->error = no_memory;
	}
	if (found) {
		restore_note_locked(f->sl->store, f->p.hash);
		decide_keep(f, r, &old, &k);
		a->age_ms = fresh_age_ms(&k.meta, f->sl->thread.now_ms);
		put_kept(f, &cur, cur.value, &k);
	}
	cache_close(&cur);
	return found;
}

/* --- the end of a flight --------------------------------------------------------- */

static void
answer_of(struct flight *f, const struct origin_result *r, struct answer *a)
{
	if (r->status == ORIGIN_OK) {
		a->status = FILL_VALUE;
		a->value = blob_ref(r->body);
		a->age_ms = r->valid != NULL ? r->valid->age_ms : 0;
	} else if (r->status == ORIGIN_NOT_FOUND) {
		a->status = FILL_NOT_FOUND;
	} else {
		counter_inc(&store_ns_stats(f->sl, f->ns)->fetch_errors);
		a->status = FILL_FAILED;
		a->error = r->error != NULL ? r->error : "the origin's answer makes no sense";
	}
}

/* What it means for the cache. False: the answer spoke of a value that is gone, so it
 * must be asked for as a whole. */
static bool
take_in_locked(struct flight *f, const struct origin_result *r, struct answer *a)
{
	struct pending *p = &f->p;
	bool may_store = !p->detached && !p->sealed && !answer_is_outdated(f, r->valid);

	if (r->status == ORIGIN_NOT_MODIFIED)
		return may_store && renew_locked(f, r, a);
	if (a->status == FILL_FAILED) {
		ladder_locked(f->sl, f->ns, p, a);
		return true;
	}
	if (may_store)
		store_answer_locked(f, r);
	else if (!p->detached)
		tell_unkept(f);
	if (!may_store && r->status == ORIGIN_OK)
		counter_inc(&store_ns_stats(f->sl, f->ns)->fetch_discarded);
	return true;
}

static bool
flight_land(struct flight *f, const struct origin_result *r, struct answer *a,
    struct list *waiters, struct list *late)
{
	struct pending *p = &f->p;
	bool landed;

	if (r->status == ORIGIN_OK && r->ttl_ms != 0)
		store_make_room(f->sl, p->key.len + blob_slice(r->body).len);
	lock_acquire(&p->stripe->lock);
	landed = take_in_locked(f, r, a);
	if (landed) {
		if (!p->detached)
			pending_unlink_locked(pending_find_locked(p->stripe, p->hash, p->key));
		waiters_take_locked(p, waiters);
		waiters_take_late_locked(p, late);
	}
	lock_release(&p->stripe->lock);
	return landed;
}

static void
waiter_answer(struct store_waiter *w, const struct answer *a, struct blob *text)
{
	w->status = a->status;
	w->stale = a->stale;
	w->fallback = a->fallback;
	w->age_ms = a->age_ms;
	if (a->value != NULL)
		w->value = blob_ref(a->value);
	if (a->status != FILL_FAILED)
		return;
	w->error_text = text != NULL ? blob_ref(text) : NULL;
	w->error = text != NULL ? blob_slice(text).ptr : no_memory;
}

/* Waiters of other loops first: theirs is the longer way. */
static void
answer_all(struct flight *f, const struct answer *a, struct list *waiters)
{
	struct blob *text = NULL;
	struct list here;
	struct list *it;

	if (a->status == FILL_FAILED)
		text = blob_of(slice_of(a->error, strlen(a->error) + 1));
	list_init(&here);
	while ((it = list_pop_head(waiters)) != NULL) {
		struct store_waiter *w = list_entry(it, struct store_waiter, link);

		waiter_answer(w, a, text);
		if (w->sl == f->sl)
			list_push_tail(&here, &w->link);
		else
			loop_post(w->sl->loop, &w->task);
	}
	while ((it = list_pop_head(&here)) != NULL)
		waiter_finish(list_entry(it, struct store_waiter, link));
	blob_unref(text);
}

static void flight_fetch(struct flight *f);

static void
flight_done(void *arg, const struct origin_result *r)
{
	struct flight *f = arg;
	struct store_loop *sl = f->sl;
	struct answer a = { .status = FILL_NOT_FOUND };
	struct list waiters, late;

	store_loop_set_now(sl, store_now_ms(sl));
	list_init(&waiters);
	list_init(&late);
	if (r->status < ORIGIN_FAILED)
		stats_ns_time(sl->stats, (unsigned)f->ns->stats_id, STATS_FETCH_US,
		    clock_mono_us() - f->begun_us);
	if (r->status != ORIGIN_NOT_MODIFIED)
		answer_of(f, r, &a);
	else
		counter_inc(&store_ns_stats(sl, f->ns)->not_modified);
	if (!flight_land(f, r, &a, &waiters, &late)) {
		f->etag_len = f->date_len = 0;
		flight_fetch(f);
		return;
	}
	atomic_fetch_sub(&sl->store->flights, 1);
	answer_all(f, &a, &waiters);
	answer_all(f, &(struct answer){ .status = FILL_AGAIN }, &late);
	blob_unref(a.value);
	f->origins->fetches--;
	mem_free(f);
}

/* --- the start of a flight ----------------------------------------------------------- */

static void
flight_failed_to_start(struct loop *l, struct loop_task *t)
{
	(void)l;
	flight_done(container_of(t, struct flight, task),
	    &(struct origin_result){ .status = ORIGIN_FAILED, .error = no_memory });
}

static void
flight_begin(struct loop *l, struct loop_task *t)
{
	(void)l;
	flight_fetch(container_of(t, struct flight, task));
}

static int
begin_fetch(struct flight *f, const struct origin_request *rq)
{
	struct origin_client *client;
	struct origin_fetch *fetch;

	if (f->ns->tier_cfg != NULL)
		return tier_fetch_start(f->sl, f->origins, rq, flight_done, f);
	client = origin_set_client(f->origins, f->sl, f->ns->origin_cfg);
	if (client == NULL)
		return -ENOTSUP;
	return origin_fetch_start(client, rq, flight_done, f, &fetch);
}

/* Asks the origin, at first, or once more as a whole. When that can't even begin,
 * the waiters hear of it in a later turn, as of any failure. */
static void
flight_fetch(struct flight *f)
{
	struct store_loop *sl = f->sl;
	const char *etag = f->text + f->p.key.len;
	struct near *near = near_of(sl->store, f->ns);
	int rc;

	counter_inc(&store_ns_stats(sl, f->ns)->fetches);
	f->begun_ms = loop_now_ms(sl->loop);
	f->begun_us = clock_mono_us();
	f->near_begun = near != NULL ? near_begin(near) : 0;
	f->tags_mark = walker_tags_mark(&sl->store->walker);
	rc = begin_fetch(f, &(struct origin_request){ .ns = f->ns, .key = f->p.key,
	    .deadline_ms = f->deadline_ms, .background = f->background,
	    .etag = slice_of(etag, f->etag_len),
	    .last_modified = slice_of(etag + f->etag_len, f->date_len) });
	if (rc != 0) {
		f->task.run = flight_failed_to_start;
		loop_defer(sl->loop, &f->task);
	}
}

/* What it would be and what it asks with, where `m` has that. NULL: no memory. */
static struct flight *
flight_new(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, const struct meta *m)
{
	struct flight *f = mem_alloc(sizeof *f + key.len + m->etag.len + m->last_modified.len);

	if (f == NULL)
		return NULL;
	memcpy(f->text, key.ptr, key.len);
	pending_init(&f->p, sl->store, slice_of(f->text, key.len), hash);
	f->sl = sl;
	f->origins = sl->origins;
	f->ns = ns;
	f->p.in_turn = near_of(sl->store, ns) != NULL;
	f->task.run = flight_begin;
	f->deadline_ms = store_now_ms(sl) + ns->origin_cfg->deadline_ms;
	f->background = false;
	f->etag_len = m->etag.len;
	f->date_len = m->last_modified.len;
	if (f->etag_len != 0)
		memcpy(f->text + key.len, m->etag.ptr, f->etag_len);
	if (f->date_len != 0)
		memcpy(f->text + key.len + f->etag_len, m->last_modified.ptr, f->date_len);
	f->origins->fetches++;
	atomic_fetch_add(&sl->store->flights, 1);
	return f;
}

/* --- what a reader gets before any fetch ------------------------------------------------ */

/* One request that boards. */
struct boarding {
	struct store_loop *sl;
	const struct config_namespace *ns;
	struct stats_ns *stats;
	struct store_cursor *cur;
	struct store_waiter *w;
	struct slice key;
	uint64_t hash;
	struct pending **link; /* of the key's flight, or where it would be */
	struct meta meta;      /* of the stale entry; good while the shard is held */
	struct flight *begun;  /* to be started when the stripe is let go */
};

/* A flight that nobody waits for. Without memory there is none: the next reader
 * tries again. */
static void
renew_in_background(struct boarding *b, const struct meta *m)
{
	struct flight *f;

	if (*b->link != NULL)
		return;
	f = flight_new(b->sl, b->ns, b->key, b->hash, m);
	if (f == NULL)
		return;
	f->background = true;
	pending_announce_locked(b->w->stripe);
	pending_link_locked(b->link, &f->p);
	b->begun = f;
	counter_inc(&b->stats->refreshes);
}

static enum store_answer
board_fresh(struct boarding *b)
{
	struct meta m;

	counter_inc(&b->stats->hits);
	if (b->cur->flags & STORE_EARLY) {
		meta_decode(cache_record(&b->cur->c), &m);
		renew_in_background(b, &m);
		if (b->begun != NULL)
			counter_inc(&b->stats->early_refreshes);
	}
	return STORE_HIT;
}

/* The stale entry is an answer: the value, or that there is none. */
static enum store_answer
board_stale(struct boarding *b, struct counter *counted)
{
	counter_inc(&b->stats->hits);
	if (b->meta.kind == META_VALUE) {
		counter_inc(counted);
		return STORE_STALE;
	}
	counter_inc(&b->stats->negative_hits);
	cache_close(&b->cur->c);
	b->w->negative = true;
	return STORE_MISS;
}

/* It waits for a flight: the one under way, or one of its own. */
static enum store_answer
board_flight(struct boarding *b, unsigned uses)
{
	struct flight *f;

	b->w->has_spare = (uses & FRESH_SPARE) != 0;
	if (*b->link != NULL && (!(uses & FRESH_PASS) || (*b->link)->in_turn)) {
		if ((*b->link)->n_waiters >= b->ns->origin_cfg->max_waiters)
			return waiter_refuse(b->w, b->sl, b->ns,
			    "too many requests wait for this key");
		counter_inc(&b->stats->coalesced);
		b->w->joined = true;
		waiter_add_locked(*b->link, b->w);
		return STORE_WAITING;
	}
	f = flight_new(b->sl, b->ns, b->key, b->hash, &b->meta);
	if (f == NULL)
		return waiter_refuse(b->w, b->sl, b->ns, no_memory);
	if (*b->link != NULL) {
		f->p.detached = true;
		counter_inc(&b->stats->passed);
	} else {
		pending_announce_locked(b->w->stripe);
		pending_link_locked(b->link, &f->p);
	}
	b->begun = f;
	waiter_add_locked(&f->p, b->w);
	return STORE_WAITING;
}

/* Nothing that answers by itself; with a stale entry maybe, under the cursor. One
 * that is left is an answer where it may not even wait. */
static enum store_answer
board_missed(struct boarding *b, unsigned uses)
{
	enum store_answer answer;

	answer = board_flight(b, uses);
	if (answer == STORE_REFUSED && (uses & FRESH_SPARE))
		return board_stale(b, &b->stats->stale_on_error);
	counter_inc(&b->stats->misses);
	cache_close(&b->cur->c);
	return answer;
}

/* Under the stripe: the waiter gets on board of the key's flight, or of a new
 * one, which b->begun then is; or there is no need to wait. */
static enum store_answer
board_locked(struct boarding *b)
{
	struct stripe *st = b->w->stripe;
	struct cache_cursor *c = &b->cur->c;
	unsigned uses = 0;

	b->link = pending_find_locked(st, b->hash, b->key);
	meta_init(&b->meta);
	/* Rule three: between the miss and the stripe a flight may have landed. */
	if (cache_open(b->sl->store->cache, &b->sl->thread, b->key, b->hash, CACHE_TOUCH, c) ==
	    CACHE_HIT)
		return board_fresh(b);
	if (cache_take_stale(c))
		uses = stale_uses(b->sl, c, b->ns, &b->meta);
	if (uses & FRESH_FOUND)
		return board_stale(b, &b->stats->negative_hits);
	if (uses & FRESH_SERVE) {
		if (!(uses & FRESH_LOST) || near_may_refresh(near_of(b->sl->store, b->ns),
		    b->sl->thread.now_ms))
			renew_in_background(b, &b->meta);
		return board_stale(b, &b->stats->stale_refreshing);
	}
	if ((uses & FRESH_SPARE) && failed_lately_locked(st, b->hash, b->sl->thread.now_ms))
		return board_stale(b, &b->stats->stale_on_error);
	return board_missed(b, uses);
}

/* Too many wait: only what is there. */
static enum store_answer
board_refused(struct boarding *b, const char *why)
{
	struct cache_cursor *c = &b->cur->c;

	if (cache_open(b->sl->store->cache, &b->sl->thread, b->key, b->hash, CACHE_TOUCH, c) ==
	    CACHE_HIT) {
		counter_inc(&b->stats->hits);
		return STORE_HIT;
	}
	if (cache_take_stale(c) &&
	    (stale_uses(b->sl, c, b->ns, &b->meta) & (FRESH_FOUND | FRESH_SERVE | FRESH_SPARE)))
		return board_stale(b, &b->stats->stale_on_error);
	cache_close(c);
	counter_inc(&b->stats->misses);
	return waiter_refuse(b->w, b->sl, b->ns, why);
}

/* Until when it waits, before it looks what is left. */
static int64_t
patience(const struct store_waiter *w, const struct config_namespace *ns)
{
	int64_t stale_at = loop_now_ms(w->sl->loop) + ns->stale_after_ms;

	if (!w->has_spare || ns->stale_after_ms == 0)
		return w->deadline_ms;
	return w->deadline_ms != 0 ? MIN(w->deadline_ms, stale_at) : stale_at;
}

enum store_answer
flight_join(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w)
{
	struct stripe *st = pending_stripe(sl->store, hash);
	struct boarding b = { .sl = sl, .ns = ns, .stats = store_ns_stats(sl, ns), .cur = cur,
		.w = w, .key = key, .hash = hash };
	const char *refused = waiter_admit(w, sl, ns, st);
	enum store_answer answer;
	struct store_news news;

	if (refused != NULL)
		return board_refused(&b, refused);
	origin_sets_sweep(sl);
	news_init(&news, sl);
	lock_acquire(&st->lock);
	/* A lease is one of an earlier configuration. Who waits for it asks again,
	 * and finds the flight. */
	lease_settle_locked(st, hash, key, LEASE_SET, &news);
	answer = board_locked(&b);
	lock_release(&st->lock);
	news_tell(&news);
	if (answer != STORE_WAITING) {
		waiter_dismiss(w);
		/* The shard may be held: not now. */
		if (b.begun != NULL)
			loop_defer(sl->loop, &b.begun->task);
		return answer;
	}
	if (b.begun != NULL)
		flight_fetch(b.begun);
	waiter_start(w, patience(w, ns));
	return STORE_WAITING;
}
