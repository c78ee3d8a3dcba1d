/* waiter.c - requests that wait until somebody has filled their key.
 *
 * A waiter in a list belongs to the list's stripe. Taken out (pending ==
 * NULL), it belongs to whoever took it out, until its task arrives at its own
 * loop. So its deadline, its client's leaving and the answer cannot all take
 * it: whoever finds pending != NULL under the stripe has it. */
#include "config.h"

#include <assert.h>

#include "base/clock.h"
#include "store/internal.h"

static void waiter_arrived(struct loop *l, struct loop_task *t);
static void waiter_timed_out(struct timer *t);

const char *
waiter_admit(struct store_waiter *w, struct store_loop *sl, const struct config_namespace *ns,
    struct stripe *st)
{
	struct store *s = sl->store;

	if (atomic_fetch_add(&s->waiting, 1) >= routes_config(sl->origins->routes)->wait_limit) {
		atomic_fetch_sub(&s->waiting, 1);
		return "too many requests wait already";
	}
	list_init(&w->link);
	w->stripe = st;
	w->pending = NULL;
	w->sl = sl;
	w->ns = ns;
	w->routes = routes_ref(sl->origins->routes);
	w->value = w->error_text = NULL;
	w->error = NULL;
	w->left = NULL;
	w->lease = NULL;
	w->joined = w->stale = w->fallback = w->has_spare = false;
	w->age_ms = 0;
	w->since_us = clock_mono_us();
	w->task.run = waiter_arrived;
	timer_init(&w->timer, sl->loop, waiter_timed_out);
	return NULL;
}

void
waiter_dismiss(struct store_waiter *w)
{
	atomic_fetch_sub(&w->sl->store->waiting, 1);
	routes_unref(w->routes);
}

enum store_answer
waiter_refuse(struct store_waiter *w, struct store_loop *sl, const struct config_namespace *ns,
    const char *why)
{
	counter_inc(&store_ns_stats(sl, ns)->wait_refused);
	w->error = why;
	return STORE_REFUSED;
}

void
waiter_add_locked(struct pending *p, struct store_waiter *w)
{
	assert(lock_held(&p->stripe->lock));
	w->pending = p;
	list_push_tail(p->sealed ? &p->late : &p->waiters, &w->link);
	p->n_waiters++;
}

static void
take_locked(struct store_waiter *w)
{
	list_del(&w->link);
	w->pending->n_waiters--;
	w->pending = NULL;
}

static void
take_all_locked(struct pending *p, struct list *from, struct list *to)
{
	assert(lock_held(&p->stripe->lock));
	list_foreach(it, from) {
		list_entry(it, struct store_waiter, link)->pending = NULL;
		p->n_waiters--;
	}
	list_splice_tail(to, from);
}

void
waiters_take_locked(struct pending *p, struct list *to)
{
	take_all_locked(p, &p->waiters, to);
}

void
waiters_take_late_locked(struct pending *p, struct list *to)
{
	take_all_locked(p, &p->late, to);
}

void
waiters_move_locked(struct pending *from, struct pending *to)
{
	assert(lock_held(&from->stripe->lock) && from->stripe == to->stripe);
	list_foreach(it, &from->waiters)
		list_entry(it, struct store_waiter, link)->pending = to;
	list_splice_tail(&to->waiters, &from->waiters);
	to->n_waiters += from->n_waiters;
	from->n_waiters = 0;
}

struct store_waiter *
waiters_take_first_locked(struct pending *p)
{
	struct store_waiter *w = list_entry(p->waiters.next, struct store_waiter, link);

	assert(lock_held(&p->stripe->lock));
	take_locked(w);
	return w;
}

void
waiter_start(struct store_waiter *w, int64_t deadline_ms)
{
	/* The answer may be on its way already; its arrival stops the timer. */
	if (deadline_ms != 0)
		timer_start(&w->timer, MAX(deadline_ms - loop_now_ms(w->sl->loop), 0));
}

static void
count_answer(const struct store_waiter *w)
{
	struct stats_ns *stats = store_ns_stats(w->sl, w->ns);

	stats_ns_time(w->sl->stats, (unsigned)w->ns->stats_id, STATS_WAIT_US,
	    clock_mono_us() - w->since_us);
	if (w->fallback)
		counter_inc(&stats->fallbacks);
	else if (w->stale)
		counter_inc(&stats->stale_on_error);
	else if (w->status == FILL_VALUE)
		counter_inc(&stats->filled);
	else if (w->status == FILL_FAILED || w->status == FILL_TIMEOUT)
		counter_inc(&stats->read_errors);
}

void
waiter_finish(struct store_waiter *w)
{
	struct blob *value = w->value, *text = w->error_text;
	struct routes *routes = w->routes;

	timer_stop(&w->timer);
	atomic_fetch_sub(&w->sl->store->waiting, 1);
	lease_arrived(w);
	if (w->left != NULL) {
		w->left(w);
	} else {
		count_answer(w);
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

enum was { WAS_TAKEN, WAS_FOR_FLIGHT, WAS_FOR_LEASE };

/* Takes the waiter out of its list, if it still was in one. */
static enum was
waiter_take_out(struct store_waiter *w)
{
	enum was was = WAS_TAKEN;

	lock_acquire(&w->stripe->lock);
	if (w->pending != NULL) {
		was = w->pending->is_lease ? WAS_FOR_LEASE : WAS_FOR_FLIGHT;
		take_locked(w);
	}
	lock_release(&w->stripe->lock);
	return was;
}

/* It waits for a flight and its time is over, or so much of it that what the cache has
 * will do. False: it goes on waiting, or has its answer already. */
static bool
waiter_rescue(struct store_waiter *w, bool is_over, struct answer *a)
{
	bool out = false;

	lock_acquire(&w->stripe->lock);
	if (w->pending != NULL) {
		out = spare_locked(w->sl, w->ns, w->pending, a);
		if (!out && is_over)
			fall_back(w->ns, a);
		out |= is_over;
		if (out)
			take_locked(w);
	}
	lock_release(&w->stripe->lock);
	return out;
}

static bool
waits_for_lease(struct store_waiter *w)
{
	bool yes;

	lock_acquire(&w->stripe->lock);
	yes = w->pending != NULL && w->pending->is_lease;
	lock_release(&w->stripe->lock);
	return yes;
}

/* Who waited for a lease can still load by itself. */
static void
waiter_timed_out_of_lease(struct store_waiter *w)
{
	if (waiter_take_out(w) == WAS_TAKEN)
		return; /* the answer won; it is on its way */
	counter_inc(&store_ns_stats(w->sl, w->ns)->wait_timeouts);
	w->status = FILL_NOT_FOUND;
	waiter_finish(w);
}

static void
waiter_timed_out(struct timer *t)
{
	struct store_waiter *w = container_of(t, struct store_waiter, timer);
	int64_t now_ms = loop_now_ms(w->sl->loop);
	bool is_over = w->deadline_ms != 0 && w->deadline_ms <= now_ms;
	struct answer a = { .status = FILL_TIMEOUT };

	if (waits_for_lease(w)) {
		waiter_timed_out_of_lease(w);
		return;
	}
	store_loop_set_now(w->sl, store_now_ms(w->sl));
	if (!waiter_rescue(w, is_over, &a)) {
		if (!is_over)
			waiter_start(w, w->deadline_ms);
		return;
	}
	if (a.status == FILL_TIMEOUT)
		counter_inc(&store_ns_stats(w->sl, w->ns)->wait_timeouts);
	w->status = a.status;
	w->value = a.value;
	w->stale = a.stale && a.status != FILL_TIMEOUT;
	w->fallback = a.fallback;
	w->age_ms = a.age_ms;
	w->error = "no answer within the time that this request may wait";
	waiter_finish(w);
}

void
store_leave(struct store_waiter *w, void (*free_fn)(struct store_waiter *w))
{
	w->left = free_fn;
	if (waiter_take_out(w) != WAS_TAKEN)
		waiter_finish(w);
}
