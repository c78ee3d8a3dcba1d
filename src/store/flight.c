/* flight.c - one fetch for a key at a time, however many ask.
 *
 * The first miss of a key makes a flight and starts the fetch on its own
 * loop: it is the leader. Later misses, on any loop, join as waiters. When
 * the fetch is done, the flight leaves the table and the waiters are handed
 * their answer: those of the leader's loop at once, others by loop_post().
 * The client that came first may leave: the fetch belongs to the loop.
 *
 * A flight's fields and its list of waiters belong to its stripe's lock, until
 * it is done: then to the leader's thread. A waiter in the list belongs to the
 * stripe; taken out (flight == NULL), to whoever took it out, until the task
 * arrives at its own loop. So a waiter's deadline and the answer cannot both
 * take it: whoever finds flight != NULL under the stripe has it.
 *
 * A write detaches the flight: it leaves the table and loses the right to
 * store. Its waiters asked before the write was done, so the old value is a
 * right answer for them; who asks later starts a new flight. */
#include "config.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

struct flight {
	struct flight *next; /* in its bucket */
	struct stripe *stripe;
	struct store_loop *sl; /* the leader's */
	struct origin_set *origins;
	const struct config_namespace *ns;
	struct list waiters;
	uint32_t n_waiters;
	bool started;  /* its leader fetches */
	bool detached; /* not in the table any more; must not store */
	struct loop_task failed; /* the fetch could not even begin */
	uint64_t hash;
	size_t key_len;
	char key[];
};

static const char no_memory[] = "out of memory";

struct stripe *
flight_stripe(struct store *s, uint64_t hash)
{
	return &s->stripes[hash % STRIPES];
}

static struct flight **
bucket_of(struct stripe *st, uint64_t hash)
{
	return &st->buckets[hash / STRIPES % STRIPE_BUCKETS];
}

static struct slice
flight_key(const struct flight *f)
{
	return slice_of(f->key, f->key_len);
}

/* The link that points to the key's flight, or the one at its bucket's end. */
static struct flight **
flight_find_locked(struct stripe *st, uint64_t hash, struct slice key)
{
	struct flight **link = bucket_of(st, hash);

	assert(lock_held(&st->lock));
	while (*link != NULL && !((*link)->hash == hash && slice_eq(flight_key(*link), key)))
		link = &(*link)->next;
	return link;
}

static void
flight_unlink_locked(struct flight **link)
{
	struct flight *f = *link;

	*link = f->next;
	f->next = NULL;
	f->detached = true;
}

void
flight_detach_locked(struct stripe *st, uint64_t hash, struct slice key)
{
	struct flight **link = flight_find_locked(st, hash, key);

	if (*link != NULL)
		flight_unlink_locked(link);
}

void
flight_detach_all(struct store *s)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *st = &s->stripes[i];

		lock_acquire(&st->lock);
		for (unsigned b = 0; b < STRIPE_BUCKETS; b++)
			while (st->buckets[b] != NULL)
				flight_unlink_locked(&st->buckets[b]);
		lock_release(&st->lock);
	}
}

/* --- waiters ------------------------------------------------------------------ */

static void
waiter_init(struct store_waiter *w, struct store_loop *sl, const struct config_namespace *ns,
    struct stripe *st)
{
	list_init(&w->link);
	w->stripe = st;
	w->flight = NULL;
	w->sl = sl;
	w->ns = ns;
	w->routes = routes_ref(sl->origins->routes);
	w->value = w->error_text = NULL;
	w->error = NULL;
	w->left = NULL;
}

/* On the waiter's own loop, the last thing that happens to it here: the
 * callback may free it. */
static void
waiter_finish(struct store_waiter *w)
{
	struct blob *value = w->value, *text = w->error_text;
	struct routes *routes = w->routes;

	timer_stop(&w->timer);
	atomic_fetch_sub(&w->sl->store->waiting, 1);
	if (w->left != NULL) {
		w->left(w);
	} else {
		if (w->status == FILL_VALUE)
			counter_inc(&store_ns_stats(w->sl, w->ns)->filled);
		w->done(w);
	}
	blob_unref(value);
	blob_unref(text);
	routes_unref(routes);
}

static void
waiter_arrived(struct loop *l, struct loop_task *t)
{
	(void)l;
	waiter_finish(container_of(t, struct store_waiter, task));
}

/* Whether the waiter was still in its flight, and is now taken out. */
static bool
waiter_take_out(struct store_waiter *w)
{
	struct flight *f;

	lock_acquire(&w->stripe->lock);
	f = w->flight;
	if (f != NULL) {
		list_del(&w->link);
		f->n_waiters--;
		w->flight = NULL;
	}
	lock_release(&w->stripe->lock);
	return f != NULL;
}

static void
waiter_timed_out(struct timer *t)
{
	struct store_waiter *w = container_of(t, struct store_waiter, timer);

	if (!waiter_take_out(w))
		return; /* the answer won; it is on its way */
	counter_inc(&store_ns_stats(w->sl, w->ns)->wait_timeouts);
	w->status = FILL_TIMEOUT;
	w->error = "no answer within the time that this request may wait";
	waiter_finish(w);
}

void
store_leave(struct store_waiter *w, void (*free_fn)(struct store_waiter *w))
{
	w->left = free_fn;
	if (waiter_take_out(w))
		waiter_finish(w);
}

/* --- the end of a flight --------------------------------------------------------- */

static bool
is_value(const struct origin_result *r)
{
	return r->status == ORIGIN_OK;
}

/* Rule one: under the stripe, so that no write can come in between. */
static void
store_value_locked(struct flight *f, const struct origin_result *r)
{
	struct store_loop *sl = f->sl;
	struct slice body = blob_slice(r->body);
	int64_t ttl_ms = r->ttl_ms == ORIGIN_TTL_UNSAID ? f->ns->ttl_ms : r->ttl_ms;
	struct cache_cursor cur;

	assert(lock_held(&f->stripe->lock));
	if (r->ttl_ms == 0)
		return;
	cache_open(sl->store->cache, &sl->thread, flight_key(f), f->hash, 0, &cur);
	/* A value that does not fit is still an answer. */
	if (cache_put(&cur, &body, 1, ttl_ms > 0 ? sl->thread.now_ms + ttl_ms : CACHE_NEVER) != 0)
		counter_inc(&store_ns_stats(sl, f->ns)->fetch_discarded);
	cache_close(&cur);
}

static void
flight_land(struct flight *f, const struct origin_result *r, struct list *waiters)
{
	lock_acquire(&f->stripe->lock);
	if (!f->detached) {
		if (is_value(r))
			store_value_locked(f, r);
		flight_unlink_locked(flight_find_locked(f->stripe, f->hash, flight_key(f)));
	} else if (is_value(r)) {
		counter_inc(&store_ns_stats(f->sl, f->ns)->fetch_discarded);
	}
	list_foreach(it, &f->waiters)
		list_entry(it, struct store_waiter, link)->flight = NULL;
	list_splice_tail(waiters, &f->waiters);
	lock_release(&f->stripe->lock);
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
	case ORIGIN_FAILED:
	case ORIGIN_TIMEOUT:
		w->status = FILL_FAILED;
		w->error_text = text != NULL ? blob_ref(text) : NULL;
		w->error = text != NULL ? blob_slice(text).ptr : no_memory;
		break;
	}
}

/* Waiters of other loops first: theirs is the longer way. */
static void
answer_all(struct flight *f, const struct origin_result *r, struct list *waiters)
{
	struct blob *text = NULL;
	struct list here;
	struct list *it;

	if (r->error != NULL)
		text = blob_of(slice_of(r->error, strlen(r->error) + 1));
	list_init(&here);
	while ((it = list_pop_head(waiters)) != NULL) {
		struct store_waiter *w = list_entry(it, struct store_waiter, link);

		waiter_answer(w, r, text);
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
	struct list waiters;

	store_loop_set_now(sl, loop_now_ms(sl->loop));
	if (r->status == ORIGIN_FAILED || r->status == ORIGIN_TIMEOUT)
		counter_inc(&store_ns_stats(sl, f->ns)->fetch_errors);
	list_init(&waiters);
	flight_land(f, r, &waiters);
	atomic_fetch_sub(&sl->store->flights, 1);
	answer_all(f, r, &waiters);
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
	*f = (struct flight){
		.stripe = flight_stripe(sl->store, hash),
		.sl = sl,
		.origins = sl->origins,
		.ns = ns,
		.hash = hash,
		.key_len = key.len,
		.failed.run = flight_failed_to_start,
	};
	list_init(&f->waiters);
	memcpy(f->key, key.ptr, key.len);
	return f;
}

static enum store_answer
refuse(struct store_loop *sl, const struct config_namespace *ns, struct store_waiter *w,
    const char *why)
{
	counter_inc(&store_ns_stats(sl, ns)->wait_refused);
	w->error = why;
	return STORE_REFUSED;
}

static void
add_waiter_locked(struct flight *f, struct store_waiter *w)
{
	assert(lock_held(&f->stripe->lock));
	w->flight = f;
	list_push_tail(&f->waiters, &w->link);
	f->n_waiters++;
}

/* The waiter is in its flight, or the flight is over already; its own timer
 * and task belong to this loop alone. */
static enum store_answer
start_waiting(struct store_loop *sl, struct store_waiter *w)
{
	if (w->deadline_ms != 0)
		timer_start(&w->timer, MAX(w->deadline_ms - loop_now_ms(sl->loop), 0));
	return STORE_WAITING;
}

/* Fetches for a flight that stands in the table already. When that can't even
 * begin, the waiters hear of it in a later turn, as of any failure. */
static void
flight_start(struct flight *f)
{
	struct store_loop *sl = f->sl;
	const struct config_origin *cfg = f->ns->origin_cfg;
	struct origin_client *client = origin_set_client(f->origins, sl, cfg);
	int64_t deadline_ms = loop_now_ms(sl->loop) + cfg->deadline_ms;
	struct origin_fetch *fetch;
	int rc = -ENOTSUP;

	counter_inc(&store_ns_stats(sl, f->ns)->fetches);
	if (client != NULL)
		rc = origin_fetch_start(client, f->ns, flight_key(f), deadline_ms, flight_done, f,
		    &fetch);
	if (rc != 0)
		loop_defer(sl->loop, &f->failed);
}

/* Under the stripe: the key's flight to join, made now if there is none. NULL
 * with *answer set where there is nothing to wait for. */
static struct flight *
board_locked(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w, enum store_answer *answer)
{
	struct stripe *st = w->stripe;
	struct flight **link = flight_find_locked(st, hash, key);
	struct stats_ns *stats = store_ns_stats(sl, ns);

	if (*link != NULL) {
		counter_inc(&stats->misses);
		if ((*link)->n_waiters >= ns->origin_cfg->max_waiters) {
			*answer = refuse(sl, ns, w, "too many requests wait for this key");
			return NULL;
		}
		counter_inc(&stats->coalesced);
		return *link;
	}
	/* Rule three: between the miss and the stripe a flight may have landed. */
	if (cache_open(sl->store->cache, &sl->thread, key, hash, CACHE_TOUCH, &cur->c) ==
	    CACHE_HIT) {
		counter_inc(&stats->hits);
		*answer = STORE_HIT;
		return NULL;
	}
	cache_close(&cur->c);
	counter_inc(&stats->misses);
	*link = flight_new(sl, ns, key, hash);
	if (*link == NULL)
		*answer = refuse(sl, ns, w, no_memory);
	return *link;
}

enum store_answer
flight_join(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w)
{
	uint64_t limit = routes_config(sl->origins->routes)->wait_limit;
	enum store_answer answer = STORE_WAITING;
	struct flight *f;
	bool leader;

	if (atomic_fetch_add(&sl->store->waiting, 1) >= limit) {
		atomic_fetch_sub(&sl->store->waiting, 1);
		counter_inc(&store_ns_stats(sl, ns)->misses);
		return refuse(sl, ns, w, "too many requests wait for origins");
	}
	waiter_init(w, sl, ns, flight_stripe(sl->store, hash));
	timer_init(&w->timer, sl->loop, waiter_timed_out);
	w->task.run = waiter_arrived;
	lock_acquire(&w->stripe->lock);
	f = board_locked(sl, ns, key, hash, cur, w, &answer);
	leader = f != NULL && !f->started;
	if (f != NULL)
		add_waiter_locked(f, w);
	if (leader)
		f->started = true;
	lock_release(&w->stripe->lock);
	if (f == NULL) {
		atomic_fetch_sub(&sl->store->waiting, 1);
		routes_unref(w->routes);
		return answer;
	}
	if (leader) {
		origin_sets_sweep(sl);
		sl->origins->fetches++;
		atomic_fetch_add(&sl->store->flights, 1);
		flight_start(f);
	}
	return start_waiting(sl, w);
}
