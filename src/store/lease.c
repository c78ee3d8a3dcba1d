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
 * Where the cache still has a value whose time is over, by the namespace's
 * grace, nobody waits: while one loads, the others get that.
 *
 * Who asks by PANNIER.LEASE gets a token, in any namespace. Its SET is done
 * only where the lease with this token still stands, so that a load that
 * began before an invalidation stores nothing after it.
 *
 * A lease stands in the table under its stripe's lock. Its timer and its place
 * in the holder's list belong to its home, the holder's loop. Who takes it out
 * of the table elsewhere sends it home to be freed. */
#include "config.h"

#include <assert.h>
#include <sys/random.h>

#include "base/mem.h"
#include "store/internal.h"

struct lease {
	struct pending p;
	uint64_t token; /* 0: nobody was told; under the stripe */
	struct store_loop *home;
	struct store_holder *holder; /* only compared, but at home */
	const struct config_namespace *ns;
	struct routes *routes; /* holds ns */
	/* At home: */
	bool awaited;     /* a promoted waiter brings it: set before it stands in the table */
	bool over;        /* its end came before that waiter did */
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

/* For the client that asks so; `ns` and `routes` are those that it goes by, of a
 * loop that may not be the caller's. NULL: no memory. In no table and no list
 * yet. */
static struct lease *
lease_new(struct store_loop *home, const struct store_waiter *w,
    const struct config_namespace *ns, struct routes *routes, struct slice key, uint64_t hash)
{
	struct lease *le = mem_alloc(sizeof *le + key.len);

	if (le == NULL)
		return NULL;
	memcpy(le->key, key.ptr, key.len);
	pending_init(&le->p, home->store, slice_of(le->key, key.len), hash);
	le->p.is_lease = true;
	le->token = w->wants_token ? w->token : 0;
	le->home = home;
	le->holder = w->holder;
	le->ns = ns;
	le->routes = routes_ref(routes);
	le->awaited = le->over = false;
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

/* Somebody may end it as soon as it stands in the table, and his news may overtake
 * the waiter that is to get it, which another loop sends. */
static void
lease_ended_elsewhere(struct loop *l, struct loop_task *t)
{
	struct lease *le = container_of(t, struct lease, task);

	(void)l;
	if (le->awaited)
		le->over = true;
	else
		lease_free(le);
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

	if (list_empty(&old->waiters)) {
		pending_unlink_locked(link);
		return NULL;
	}
	/* Writes must not take the stripe for an idle one in between. */
	pending_announce_locked(old->stripe);
	pending_unlink_locked(link);
	w = waiters_take_first_locked(old);
	next = lease_new(w->sl, w, w->ns, w->routes, old->key, old->hash);
	w->status = FILL_NOT_FOUND;
	w->lease = next;
	if (next == NULL) {
		pending_withdraw_locked(old->stripe);
		waiters_take_locked(old, rest);
		return w;
	}
	next->awaited = true;
	waiters_move_locked(old, &next->p);
	pending_link_locked(link, &next->p);
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
		if (!lease_end(le))
			continue;
		counter_inc(&store_ns_stats(le->home, le->ns)->lease_voided);
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
	le->awaited = false;
	if (w->left == NULL) {
		counter_inc(&store_ns_stats(w->sl, w->ns)->lease_promoted);
		w->granted = true;
		lease_begin(le);
	}
	if (le->over || (w->left != NULL && lease_end(le)))
		lease_free(le);
}

/* --- asking --------------------------------------------------------------------------- */

/* Somebody asks for a key. `granted` is to be begun when the stripe is let go. */
struct seek {
	struct store_loop *sl;
	const struct config_namespace *ns;
	struct stats_ns *stats;
	struct stripe *st;
	struct store_cursor *cur;
	struct store_waiter *w;
	struct lease *granted;
};

/* The cursor's value is of use though its time is over. */
static enum store_answer
answer_stale(struct seek *k)
{
	counter_inc(&k->stats->hits);
	counter_inc(&k->stats->stale_served);
	return STORE_STALE;
}

/* The lease is the caller's: who sees its token is shown the stale value too,
 * others get nil. The cursor stands on it, or on nothing. */
static enum store_answer
answer_granted(struct seek *k, bool stale)
{
	k->w->granted = true;
	if (stale && k->w->wants_token)
		return STORE_STALE;
	cache_close(&k->cur->c);
	return STORE_MISS;
}

/* Nobody loads the key yet, which was announced. */
static enum store_answer
grant_locked(struct seek *k, struct pending **link, bool stale)
{
	const struct cache_cursor *c = &k->cur->c;

	counter_inc(&k->stats->misses);
	k->granted = lease_new(k->sl, k->w, k->ns, k->sl->origins->routes, c->key, c->hash);
	if (k->granted == NULL) {
		pending_withdraw_locked(k->st);
		cache_close(&k->cur->c);
		return STORE_MISS;
	}
	pending_link_locked(link, &k->granted->p);
	return answer_granted(k, stale);
}

/* A cache that can't make it wait lets it load by itself. */
static enum store_answer
wait_locked(struct seek *k, struct lease *le)
{
	struct store_waiter *w = k->w;
	int64_t now_ms = loop_now_ms(k->sl->loop);

	counter_inc(&k->stats->misses);
	if (w->deadline_ms == 0)
		w->deadline_ms = now_ms + k->ns->lease_ms;
	else if (w->deadline_ms <= now_ms)
		return STORE_MISS;
	if (waiter_admit(w, k->sl, k->ns, k->st) != NULL) {
		counter_inc(&k->stats->wait_refused);
		return STORE_MISS;
	}
	counter_inc(&k->stats->lease_waits);
	waiter_add_locked(&le->p, w);
	return STORE_WAITING;
}

/* Somebody loads it already, maybe the caller's own connection, or a fetch of
 * an earlier configuration. */
static enum store_answer
follow_locked(struct seek *k, struct pending *p, bool stale)
{
	struct lease *le = p->is_lease ? lease_of(p) : NULL;
	bool own = le != NULL && le->holder == k->w->holder;

	if (own && k->w->wants_token && le->token == 0) {
		counter_inc(&k->stats->misses);
		le->token = k->w->token;
		return answer_granted(k, stale);
	}
	if (stale)
		return answer_stale(k);
	cache_close(&k->cur->c);
	if (le != NULL && (!own || k->w->follows_own))
		return wait_locked(k, le);
	counter_inc(&k->stats->misses);
	return STORE_MISS;
}

static enum store_answer
seek_locked(struct seek *k, struct slice key, uint64_t hash)
{
	struct pending **link = pending_find_locked(k->st, hash, key);
	struct cache_cursor *c = &k->cur->c;
	bool first = *link == NULL, stale;

	if (first)
		pending_announce_locked(k->st);
	/* Between the miss and the stripe it may have been set. */
	if (cache_open(k->sl->store->cache, &k->sl->thread, key, hash, CACHE_TOUCH, c) ==
	    CACHE_HIT) {
		if (first)
			pending_withdraw_locked(k->st);
		counter_inc(&k->stats->hits);
		return STORE_HIT;
	}
	stale = take_stale_value(c);
	return first ? grant_locked(k, link, stale) : follow_locked(k, *link, stale);
}

/* From the kernel, so that nobody can guess one from another. */
static bool
draw_token(uint64_t *token)
{
	do {
		if (getrandom(token, sizeof *token, 0) != sizeof *token)
			return false;
	} while (*token == 0);
	return true;
}

enum store_answer
lease_seek(struct store_loop *sl, const struct config_namespace *ns, struct slice key,
    uint64_t hash, struct store_cursor *cur, struct store_waiter *w)
{
	struct seek k = { .sl = sl, .ns = ns, .stats = store_ns_stats(sl, ns),
		.st = pending_stripe(sl->store, hash), .cur = cur, .w = w };
	enum store_answer answer;

	if (w->wants_token && !draw_token(&w->token)) {
		counter_inc(&k.stats->misses);
		return waiter_refuse(w, sl, ns, "the system gives no random numbers");
	}
	lock_acquire(&k.st->lock);
	answer = seek_locked(&k, key, hash);
	lock_release(&k.st->lock);
	if (answer == STORE_WAITING)
		waiter_start(w, w->deadline_ms);
	if (k.granted != NULL)
		lease_begin(k.granted);
	return answer;
}

/* --- writing --------------------------------------------------------------------------- */

void
news_init(struct store_news *news, struct store_loop *sl)
{
	news->sl = sl;
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

static void
news_add_ended(struct store_news *news, struct pending *p)
{
	p->next = news->ended;
	news->ended = p;
}

static void
count_voided(struct store_news *news, struct pending *p)
{
	counter_inc(&store_ns_stats(news->sl, lease_of(p)->ns)->lease_voided);
}

/* The lease ends, and its first waiter gets another. */
static struct store_waiter *
pass_on_locked(struct pending **link, struct store_news *news)
{
	struct pending *p = *link;
	struct store_waiter *w;
	struct list rest;

	list_init(&rest);
	count_voided(news, p);
	w = promote_locked(link, &rest);
	if (w != NULL)
		list_push_tail(&news->waiters, &w->link);
	news_add_waiters(news, &rest, FILL_NOT_FOUND);
	news_add_ended(news, p);
	return w;
}

/* All who wait hear of it. */
static void
end_locked(struct pending **link, enum fill_status status, struct store_news *news)
{
	struct pending *p = *link;
	struct list waiters;

	list_init(&waiters);
	waiters_take_locked(p, &waiters);
	news_add_waiters(news, &waiters, status);
	pending_unlink_locked(link);
	news_add_ended(news, p);
}

void
lease_settle_locked(struct stripe *st, uint64_t hash, struct slice key, enum lease_end how,
    struct store_news *news)
{
	struct pending **link = pending_find_locked(st, hash, key), *p = *link;

	if (p == NULL || !p->is_lease)
		return;
	switch (how) {
	case LEASE_STAYS:
		break;
	case LEASE_SET:
		end_locked(link, FILL_AGAIN, news);
		break;
	case LEASE_VOID:
		pass_on_locked(link, news);
		break;
	case LEASE_USELESS:
		count_voided(news, p);
		end_locked(link, FILL_NOT_FOUND, news);
		break;
	}
}

void
lease_void_locked(struct stripe *st, pending_which_fn *which, void *arg, struct store_news *news)
{
	for (unsigned b = 0; b < STRIPE_BUCKETS; b++) {
		struct pending **link = &st->buckets[b];

		while (*link != NULL) {
			struct store_waiter *w = NULL;
			bool stays = !(*link)->is_lease || (which != NULL && !which(arg, *link));

			if (!stays)
				w = pass_on_locked(link, news);
			if (stays || (w != NULL && w->lease != NULL))
				link = &(*link)->next;
		}
	}
}

/* --- tokens ----------------------------------------------------------------------------- */

static bool
token_fits_locked(struct pending *p, uint64_t token)
{
	return p != NULL && p->is_lease && token != 0 && lease_of(p)->token == token;
}

/* Where nothing is pending the cursor has no stripe. */
bool
store_lease_stands(const struct store_cursor *cur, uint64_t token)
{
	return cur->stripe != NULL &&
	    token_fits_locked(*pending_find_locked(cur->stripe, cur->c.hash, cur->c.key), token);
}

bool
store_lease_release(struct store_loop *sl, struct slice key, uint64_t hash, uint64_t token)
{
	struct stripe *st = pending_stripe(sl->store, hash);
	struct store_news news;
	bool stands;

	news_init(&news, sl);
	lock_acquire(&st->lock);
	stands = token_fits_locked(*pending_find_locked(st, hash, key), token);
	if (stands)
		lease_settle_locked(st, hash, key, LEASE_VOID, &news);
	lock_release(&st->lock);
	news_tell(&news);
	return stands;
}
