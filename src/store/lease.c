/* lease.c - one client loads a key, however many ask: cache-aside code is
 * protected from stampedes without a change to it.
 *
 * In a namespace with `coalesce: lease`, the first GET that misses is answered
 * nil, and its client holds the lease from then on. The GETs of others wait.
 * When a value is set, by whomever, they look again and find it. When the
 * holder's connection closes, when its time is over, or when the key is
 * deleted, the next waiter is promoted: it gets its nil, and the lease. (The
 * idea is of "Scaling Memcache at Facebook", NSDI 2013, where clients poll;
 * here nobody polls and nobody needs to know.)
 *
 * A holder that asks again for its own key gets nil at once: a connection that
 * many callers share must not wait for itself. Two holders that wait for each
 * other's keys are parted when the lease time is over: no waiting is longer.
 *
 * A lease stands in the table under its stripe's lock. Its timer and its place
 * in the holder's list belong to its home, the holder's loop. Who takes it out
 * of the table elsewhere sends it home to be freed. */
#include "config.h"

#include <assert.h>

#include "base/mem.h"
#include "store/internal.h"

struct lease {
	struct pending p;
	uint64_t token;
	struct store_loop *home;
	struct store_holder *holder; /* only compared, but at home */
	const struct config_namespace *ns;
	struct routes *routes; /* holds ns */
	/* At home: */
	struct list link; /* in the holder's list */
	struct timer timer;
	struct loop_task task;
	char key[];
};

static void lease_ended_elsewhere(struct loop *l, struct loop_task *t);
static void lease_time_over(struct timer *t);

void
store_holder_init(struct store_holder *h)
{
	list_init(&h->leases);
}

/* NULL: no memory. In no table and no list yet. */
static struct lease *
lease_new(struct store_loop *home, struct store_holder *holder, const struct config_namespace *ns,
    struct slice key, uint64_t hash)
{
	struct lease *le = mem_alloc(sizeof *le + key.len);

	if (le == NULL)
		return NULL;
	memcpy(le->key, key.ptr, key.len);
	pending_init(&le->p, home->store, slice_of(le->key, key.len), hash);
	le->p.is_lease = true;
	le->token = atomic_fetch_add(&home->store->next_token, 1) + 1;
	le->home = home;
	le->holder = holder;
	le->ns = ns;
	le->routes = routes_ref(home->origins->routes);
	list_init(&le->link);
	le->task.run = lease_ended_elsewhere;
	timer_init(&le->timer, home->loop, lease_time_over);
	return le;
}

/* At home. */
static void
lease_free(struct lease *le)
{
	timer_stop(&le->timer);
	list_del(&le->link);
	routes_unref(le->routes);
	mem_free(le);
}

static void
lease_ended_elsewhere(struct loop *l, struct loop_task *t)
{
	(void)l;
	lease_free(container_of(t, struct lease, task));
}

/* At home: from now on the holder has it. */
static void
lease_begin(struct lease *le)
{
	timer_start(&le->timer, le->ns->lease_ms);
	list_push_tail(&le->holder->leases, &le->link);
	counter_inc(&store_ns_stats(le->home, le->ns)->leases);
}

static struct lease *
lease_of(struct pending *p)
{
	return container_of(p, struct lease, p);
}

/* The first waiter becomes the holder of a new lease, which the others wait
 * for; answers it, to be sent to its loop. NULL: nobody waits (any more), and
 * nothing is left in the table. Without memory for a new lease all of them go
 * without: *rest gets them. */
static struct store_waiter *
promote_locked(struct pending **link, struct list *rest)
{
	struct pending *old = *link;
	struct store_waiter *w;
	struct lease *next;

	pending_unlink_locked(link);
	if (list_empty(&old->waiters))
		return NULL;
	w = waiters_take_first_locked(old);
	next = lease_new(w->sl, w->holder, w->ns, old->key, old->hash);
	w->status = FILL_NOT_FOUND;
	w->lease = next;
	if (next == NULL) {
		waiters_take_locked(old, rest);
		return w;
	}
	waiters_move_locked(old, &next->p);
	next->p.next = *link;
	*link = &next->p;
	return w;
}

/* By post, also at home: their callbacks must not run within a command. */
static void
send_all(struct list *waiters, enum fill_status status)
{
	struct list *it;

	while ((it = list_pop_head(waiters)) != NULL) {
		struct store_waiter *w = list_entry(it, struct store_waiter, link);

		w->status = status;
		loop_post(w->sl->loop, &w->task);
	}
}

static void
send_promoted(struct store_waiter *w, struct list *rest)
{
	if (w != NULL)
		loop_post(w->sl->loop, &w->task);
	send_all(rest, FILL_NOT_FOUND);
}

/* At home. Its next waiter is promoted, unless somebody took it out of the
 * table meanwhile: then it is on its way home, and freed when it arrives. */
static bool
lease_end(struct lease *le)
{
	struct stripe *st = le->p.stripe;
	struct store_waiter *w;
	struct list rest;

	list_init(&rest);
	lock_acquire(&st->lock);
	if (le->p.detached) {
		lock_release(&st->lock);
		return false;
	}
	w = promote_locked(pending_find_locked(st, le->p.hash, le->p.key), &rest);
	lock_release(&st->lock);
	send_promoted(w, &rest);
	return true;
}

static void
lease_time_over(struct timer *t)
{
	struct lease *le = container_of(t, struct lease, timer);

	if (!lease_end(le))
		return;
	counter_inc(&store_ns_stats(le->home, le->ns)->lease_expired);
	lease_free(le);
}

void
store_holder_gone(struct store_holder *h)
{
	list_foreach_safe(it, &h->leases) {
		struct lease *le = list_entry(it, struct lease, link);

		/* One that is on its way must not look for its holder any more. */
		list_del(&le->link);
		if (lease_end(le))
			lease_free(le);
	}
}

void
lease_arrived(struct store_waiter *w)
{
	struct lease *le = w->lease;

	w->lease = NULL;
	if (le == NULL)
		return;
	if (w->left == NULL) {
		counter_inc(&store_ns_stats(w->sl, w->ns)->lease_promoted);
		lease_begin(le);
	} else if (lease_end(le)) {
		lease_free(le);
	}
}

/* --- asking --------------------------------------------------------------------------- */

/* Under the stripe: a hit after all, or nil with a lease or without, or a wait.
 * *granted is to be begun when the stripe is let go. */
static enum store_answer
seek_locked(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w, struct lease **granted)
{
	struct pending **link = pending_find_locked(w->stripe, hash, key);
	struct stats_ns *stats = store_ns_stats(sl, ns);

	if (*link == NULL) {
		/* Between the miss and the stripe it may have been set. */
		if (cache_open(sl->store->cache, &sl->thread, key, hash, CACHE_TOUCH, &cur->c) ==
		    CACHE_HIT) {
			counter_inc(&stats->hits);
			return STORE_HIT;
		}
		cache_close(&cur->c);
		counter_inc(&stats->misses);
		*granted = lease_new(sl, w->holder, ns, key, hash);
		if (*granted != NULL)
			*link = &(*granted)->p;
		return STORE_MISS;
	}
	counter_inc(&stats->misses);
	if (!(*link)->is_lease || lease_of(*link)->holder == w->holder)
		return STORE_MISS;
	counter_inc(&stats->lease_waits);
	waiter_add_locked(*link, w);
	return STORE_WAITING;
}

enum store_answer
lease_seek(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w)
{
	struct stripe *st = pending_stripe(sl->store, hash);
	struct lease *granted = NULL;
	enum store_answer answer;

	/* A cache that can't make it wait lets it load by itself. */
	if (waiter_admit(w, sl, ns, st) != NULL) {
		counter_inc(&store_ns_stats(sl, ns)->misses);
		counter_inc(&store_ns_stats(sl, ns)->wait_refused);
		return STORE_MISS;
	}
	if (w->deadline_ms == 0)
		w->deadline_ms = loop_now_ms(sl->loop) + ns->lease_ms;
	lock_acquire(&st->lock);
	answer = seek_locked(sl, ns, key, hash, cur, w, &granted);
	lock_release(&st->lock);
	if (answer != STORE_WAITING)
		waiter_dismiss(w);
	else
		waiter_start(w, w->deadline_ms);
	if (granted != NULL)
		lease_begin(granted);
	return answer;
}

/* --- writing --------------------------------------------------------------------------- */

void
news_init(struct store_news *news)
{
	list_init(&news->waiters);
	news->ended = NULL;
}

/* A waiter that gets a lease comes to its loop before the lease's end does,
 * should there be news of both. */
void
news_tell(struct store_news *news)
{
	struct list *it;

	while ((it = list_pop_head(&news->waiters)) != NULL) {
		struct store_waiter *w = list_entry(it, struct store_waiter, link);

		loop_post(w->sl->loop, &w->task);
	}
	while (news->ended != NULL) {
		struct lease *le = lease_of(news->ended);

		news->ended = le->p.next;
		loop_post(le->home->loop, &le->task);
	}
}

static void
news_add_waiters(struct store_news *news, struct list *waiters, enum fill_status status)
{
	struct list *it;

	while ((it = list_pop_head(waiters)) != NULL) {
		list_entry(it, struct store_waiter, link)->status = status;
		list_push_tail(&news->waiters, it);
	}
}

/* The lease ends, and its first waiter gets another. */
static struct store_waiter *
pass_on_locked(struct pending **link, struct store_news *news)
{
	struct pending *p = *link;
	struct store_waiter *w;
	struct list rest;

	list_init(&rest);
	w = promote_locked(link, &rest);
	if (w != NULL)
		list_push_tail(&news->waiters, &w->link);
	news_add_waiters(news, &rest, FILL_NOT_FOUND);
	p->next = news->ended;
	news->ended = p;
	return w;
}

void
lease_settle_locked(struct stripe *st, uint64_t hash, struct slice key, bool present,
    struct store_news *news)
{
	struct pending **link = pending_find_locked(st, hash, key), *p = *link;
	struct list waiters;

	if (p == NULL || !p->is_lease)
		return;
	if (!present) {
		pass_on_locked(link, news);
		return;
	}
	list_init(&waiters);
	waiters_take_locked(p, &waiters);
	news_add_waiters(news, &waiters, FILL_AGAIN);
	pending_unlink_locked(link);
	p->next = news->ended;
	news->ended = p;
}

void
lease_void_all_locked(struct stripe *st, struct store_news *news)
{
	for (unsigned b = 0; b < STRIPE_BUCKETS; b++) {
		struct pending **link = &st->buckets[b];

		while (*link != NULL) {
			struct store_waiter *w = NULL;
			bool stays = !(*link)->is_lease;

			if (!stays)
				w = pass_on_locked(link, news);
			if (stays || (w != NULL && w->lease != NULL))
				link = &(*link)->next;
		}
	}
}
