/* A request passes, in this order: its turn by the rate limit, a place in the concurrency
 * limit, the breaker, the choice of an endpoint. What a refused one took before is given
 * back. Every part with `dry_run` is asked as ever, and its no becomes a yes that is told
 * to be one. */
#include "config.h"

#include "origin/guard.h"

#include "base/mem.h"
#include "origin/guard_impl.h"
#include "resil/span.h"

#define RAMP_FROM_PCT 10 /* of its share, with which an endpoint comes back */

/* --- loops that ask ------------------------------------------------------------------ */

static void
on_wake(struct loop *l UNUSED, struct loop_task *t)
{
	struct guard_member *m = container_of(t, struct guard_member, task);
	struct guard *g = m->guard;
	bool gone;

	lock_acquire(&g->lock);
	m->posted = false;
	gone = m->gone;
	lock_release(&g->lock);
	if (!gone) {
		m->wake(m->arg);
		return;
	}
	mem_free(m);
	guard_unref(g);
}

struct guard_member *
guard_join(struct guard *g, struct loop *l, void (*wake)(void *arg), void *arg)
{
	struct guard_member *m = mem_zalloc(sizeof *m);

	if (m == NULL)
		return NULL;
	*m = (struct guard_member){ .task.run = on_wake, .guard = g, .loop = l, .wake = wake,
		.arg = arg };
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	lock_acquire(&g->lock);
	list_push_tail(&g->members, &m->link);
	lock_release(&g->lock);
	return m;
}

static bool
has_limit(const struct guard *g)
{
	return g->cfg.guard.concurrency.limit != 0 || g->cfg.guard.concurrency.adaptive;
}

/* The next one that is starved, which goes to the end of the row; NULL: none. */
static struct guard_member *
next_starved_locked(struct guard *g)
{
	list_foreach (it, &g->members) {
		struct guard_member *m = list_entry(it, struct guard_member, link);

		if (!m->starved)
			continue;
		list_del(&m->link);
		list_push_tail(&g->members, &m->link);
		return m;
	}
	return NULL;
}

/* Places that are free go to starved loops, each gets one and asks for more by itself.
 * Those to be woken are gathered in `wake`: posting is a system call, and under a lock
 * there are none. */
struct wakes {
	struct guard_member *first[8];
	unsigned n;
};

static void
hand_out_locked(struct guard *g, struct wakes *w)
{
	struct guard_member *m;

	assert(lock_held(&g->lock));
	while (w->n < ARRAY_LEN(w->first) && limit_now(&g->limit) > g->limit.in_flight &&
	    (m = next_starved_locked(g)) != NULL && limit_take(&g->limit)) {
		m->granted++;
		m->starved = false;
		if (!m->posted)
			w->first[w->n++] = m;
		m->posted = true;
	}
}

/* After the lock is let go: whoever is posted stays alive until the task has run. */
static void
wake_all(struct wakes *w)
{
	for (unsigned i = 0; i < w->n; i++)
		loop_post(w->first[i]->loop, &w->first[i]->task);
}

static void
give_grants_back_locked(struct guard_member *m, int64_t now_us)
{
	for (; m->granted > 0; m->granted--)
		limit_release(&m->guard->limit, LIMIT_IGNORE, 0, now_us);
}

void
guard_leave(struct guard_member *m)
{
	struct guard *g = m->guard;
	struct wakes w = { .n = 0 };
	bool posted;

	lock_acquire(&g->lock);
	list_del(&m->link);
	m->gone = true;
	give_grants_back_locked(m, loop_now_us(m->loop));
	hand_out_locked(g, &w);
	if (g->checker == m)
		g->checker = NULL;
	posted = m->posted;
	lock_release(&g->lock);
	wake_all(&w);
	if (posted)
		return; /* on_wake() frees it */
	mem_free(m);
	guard_unref(g);
}

void
guard_rest(struct guard_member *m, bool starved, int64_t now_us)
{
	struct guard *g = m->guard;
	struct wakes w = { .n = 0 };

	if (!has_limit(g))
		return;
	lock_acquire(&g->lock);
	give_grants_back_locked(m, now_us);
	m->starved = starved;
	hand_out_locked(g, &w);
	lock_release(&g->lock);
	wake_all(&w);
}

/* --- endpoints -------------------------------------------------------------------------- */

/* A bit for each that may be asked, also by those parts that only run dry. */
uint64_t
guard_usable_locked(struct guard *g, int64_t now_us)
{
	uint64_t in = outlier_usable(&g->outlier, now_us);

	assert(lock_held(&g->lock));
	if (g->cfg.guard.ejection.dry_run)
		in = UINT64_MAX >> (64 - g->n_endpoints);
	for (unsigned i = 0; g->health != NULL && i < g->n_endpoints; i++)
		if (!g->health[i].up && !g->cfg.guard.health.dry_run)
			in &= ~(UINT64_C(1) << i);
	return in & ~g->out;
}

static void
set_ramps_locked(struct guard *g, int64_t now_us)
{
	int64_t length_us = g->cfg.guard.balance.slow_start * US_PER_MS;

	for (unsigned i = 0; length_us > 0 && i < g->n_endpoints; i++) {
		uint32_t pct = ramp_pct(g->outlier.endpoint[i].returned_us, length_us,
		    RAMP_FROM_PCT, now_us);

		if (g->health != NULL)
			pct = MIN(pct, health_ramp_pct(&g->health[i], now_us));
		balance_ramp(&g->balance, i, pct);
	}
}

/* Those by command are out in panic too, as long as there is any other. */
static unsigned
pick_locked(struct guard *g, uint64_t tried, int64_t now_us)
{
	uint64_t usable;
	int i;

	if (g->n_endpoints > 1)
		set_ramps_locked(g, now_us);
	usable = guard_usable_locked(g, now_us);
	i = balance_pick(&g->balance, usable, tried | g->out, draw_next(&g->draw));
	if (i == BALANCE_NONE)
		i = balance_pick(&g->balance, usable, g->out, draw_next(&g->draw));
	if (i == BALANCE_NONE)
		i = balance_pick(&g->balance, UINT64_MAX, 0, draw_next(&g->draw));
	assert(i != BALANCE_NONE);
	return (unsigned)i;
}

/* --- a request's way ---------------------------------------------------------------------- */

struct guard_answer
guard_look(struct guard *g, int64_t now_us)
{
	struct guard_answer a = { .verdict = GUARD_GO };
	struct breaker_view v;

	if (!g->cfg.guard.breaker.enabled || g->cfg.guard.breaker.dry_run)
		return a;
	lock_acquire(&g->lock);
	if (breaker_state(&g->breaker) == BREAKER_OPEN) {
		breaker_view(&g->breaker, now_us, &v);
		a.forced = g->breaker.force == BREAKER_FORCE_OPEN;
		a.retry_us = v.open_left_us;
		if (a.forced || a.retry_us > 0) {
			a.verdict = GUARD_NO;
			g->breaker.counts.refused++;
		}
	}
	lock_release(&g->lock);
	return a;
}

struct guard_answer
guard_turn(struct guard *g, int64_t now_us, int64_t deadline_us)
{
	struct guard_answer a = { .verdict = GUARD_GO };
	int64_t max_us = MIN(g->cfg.guard.rate.max_wait * US_PER_MS, span_us(now_us, deadline_us));

	if (g->cfg.guard.rate.limit == 0)
		return a;
	if (g->cfg.guard.rate.dry_run)
		max_us = 0;
	lock_acquire(&g->lock);
	a.wait_us = bucket_take(&g->rate, now_us, max_us, &a.retry_us);
	lock_release(&g->lock);
	if (a.wait_us > 0)
		a.verdict = GUARD_WAIT;
	if (a.wait_us >= 0)
		return a;
	a.dry = g->cfg.guard.rate.dry_run;
	a.verdict = a.dry ? GUARD_GO : GUARD_NO;
	return a;
}

/* In a dry run a turn may have been none; one more than there should be does no harm. */
void
guard_turn_back(struct guard *g)
{
	if (g->cfg.guard.rate.limit == 0 || g->cfg.guard.rate.dry_run)
		return;
	lock_acquire(&g->lock);
	bucket_return(&g->rate);
	lock_release(&g->lock);
}

/* False: none is free. */
static bool
take_place_locked(struct guard_member *m, struct guard_answer *a)
{
	struct guard *g = m->guard;

	if (m->granted > 0)
		m->granted--;
	else if (!limit_take(&g->limit)) {
		if (!g->cfg.guard.concurrency.dry_run)
			return false;
		limit_take_over(&g->limit);
		a->dry = true;
	}
	return true;
}

/* False: refused, and `a` says how. */
static bool
ask_breaker_locked(struct guard *g, int64_t now_us, struct guard_pass *p, struct guard_answer *a)
{
	int64_t retry_us;

	if (!g->cfg.guard.breaker.enabled)
		return true;
	p->has_permit = true;
	if (breaker_allow(&g->breaker, now_us, draw_next(&g->draw), &p->permit, &retry_us) !=
	    BREAKER_REFUSED)
		return true;
	a->dry_open = g->cfg.guard.breaker.dry_run;
	if (a->dry_open)
		return true;
	breaker_report(&g->breaker, p->permit, BREAKER_CANCELLED, 0, now_us, 0);
	a->verdict = GUARD_NO;
	a->forced = g->breaker.force == BREAKER_FORCE_OPEN;
	a->probing = breaker_state(&g->breaker) == BREAKER_HALF_OPEN;
	a->retry_us = retry_us;
	return false;
}

static void
enter_locked(struct guard_member *m, int64_t now_us, uint64_t tried, struct guard_pass *p,
    struct guard_answer *a, struct wakes *w)
{
	struct guard *g = m->guard;

	if (!take_place_locked(m, a)) {
		a->verdict = GUARD_WAIT;
	} else if (!ask_breaker_locked(g, now_us, p, a)) {
		limit_release(&g->limit, LIMIT_IGNORE, 0, now_us);
		hand_out_locked(g, w);
	} else {
		p->endpoint = pick_locked(g, tried, now_us);
		if (p->try == GUARD_FIRST)
			budget_request(&g->retries, now_us);
	}
}

struct guard_answer
guard_enter(struct guard_member *m, int64_t now_us, enum guard_try try, uint64_t tried,
    struct guard_pass *out)
{
	struct guard_answer a = { .verdict = GUARD_GO };
	struct wakes w = { .n = 0 };

	*out = (struct guard_pass){ .try = try, .from_us = now_us };
	lock_acquire(&m->guard->lock);
	enter_locked(m, now_us, tried, out, &a, &w);
	lock_release(&m->guard->lock);
	wake_all(&w);
	return a;
}

/* --- a request's end ------------------------------------------------------------------------ */

static const struct {
	enum breaker_outcome breaker;
	enum limit_outcome limit;
	bool counts, ok; /* for and against the endpoint */
} ends[] = {
	[GUARD_GOOD] = { BREAKER_OK, LIMIT_OK, true, true },
	[GUARD_BUSY] = { BREAKER_OK, LIMIT_REFUSED, true, true },
	[GUARD_BUSY_FAULT] = { BREAKER_FAILED, LIMIT_REFUSED, true, false },
	[GUARD_FAULT] = { BREAKER_FAILED, LIMIT_IGNORE, true, false },
	[GUARD_CUT] = { BREAKER_FAILED, LIMIT_DROPPED, true, false },
	[GUARD_UNREACHED] = { BREAKER_FAILED, LIMIT_IGNORE, true, false },
	[GUARD_PASSED_ON] = { BREAKER_CANCELLED, LIMIT_IGNORE, true, false },
	[GUARD_CANCELLED] = { BREAKER_CANCELLED, LIMIT_IGNORE, false, false },
};

static struct guard_news
report_locked(struct guard *g, const struct guard_pass *p, enum guard_end end, int64_t took_us,
    int64_t now_us)
{
	uint64_t opened = g->breaker.counts.opened, closed = g->breaker.counts.closed;
	struct guard_news news = { false, false, false };

	if (p->has_permit)
		breaker_report(&g->breaker, p->permit, ends[end].breaker, took_us, now_us,
		    draw_next(&g->draw));
	news.opened = g->breaker.counts.opened != opened;
	news.closed = g->breaker.counts.closed != closed;
	balance_done(&g->balance, p->endpoint);
	if (ends[end].counts)
		news.ejected = outlier_report(&g->outlier, p->endpoint, ends[end].ok, now_us,
		    draw_next(&g->draw)) == OUTLIER_EJECTED;
	if (end == GUARD_GOOD && p->try == GUARD_FIRST && g->cfg.guard.hedge.enabled)
		hedge_sample(&g->hedge, took_us, now_us);
	limit_release(&g->limit, ends[end].limit, took_us, now_us);
	return news;
}

struct guard_news
guard_done(struct guard_member *m, const struct guard_pass *p, enum guard_end end,
    int64_t took_us, int64_t now_us)
{
	struct guard *g = m->guard;
	struct wakes w = { .n = 0 };
	struct guard_news news;

	lock_acquire(&g->lock);
	news = report_locked(g, p, end, took_us, now_us);
	hand_out_locked(g, &w);
	lock_release(&g->lock);
	wake_all(&w);
	return news;
}

/* --- retries, hedges -------------------------------------------------------------------------- */

static struct guard_answer
retry_locked(struct guard *g, int64_t now_us, int64_t wait_us, int64_t deadline_us)
{
	struct guard_answer a = { .verdict = GUARD_NO, .dry = g->cfg.guard.retry.dry_run };

	if (!retry_fits(now_us, wait_us, limit_service_us(&g->limit), deadline_us)) {
		a.dry = false;
		return a;
	}
	/* retry_us tells those that the budget refuses from those without time. */
	if (!budget_take(&g->retries, now_us)) {
		a.dry = false;
		a.retry_us = 1;
		return a;
	}
	a.verdict = a.dry ? GUARD_NO : GUARD_GO;
	a.wait_us = wait_us;
	return a;
}

struct guard_answer
guard_retry(struct guard *g, int64_t now_us, unsigned n, int64_t *backoff_us,
    int64_t retry_after_us, int64_t deadline_us)
{
	struct backoff_cfg b;
	struct guard_answer a;

	backoff_defaults(&b);
	b.base_us = g->cfg.guard.retry.backoff * US_PER_MS;
	b.max_us = g->cfg.guard.retry.backoff_max * US_PER_MS;
	lock_acquire(&g->lock);
	*backoff_us = backoff_wait_us(&b, n, *backoff_us, draw_next(&g->draw));
	a = retry_locked(g, now_us, MAX(*backoff_us, retry_after_us), deadline_us);
	lock_release(&g->lock);
	return a;
}

int64_t
guard_hedge_delay(struct guard *g, int64_t now_us)
{
	int64_t delay_us;

	if (!g->cfg.guard.hedge.enabled)
		return HEDGE_NEVER;
	lock_acquire(&g->lock);
	delay_us = hedge_begin(&g->hedge, now_us);
	lock_release(&g->lock);
	return delay_us;
}

/* A second request is a luxury: only where nobody has to wait for it, and never as a
 * probe of the breaker's. */
static bool
may_hedge_locked(struct guard *g, int64_t now_us)
{
	return (!g->cfg.guard.breaker.enabled || breaker_state(&g->breaker) == BREAKER_CLOSED) &&
	    limit_now(&g->limit) > g->limit.in_flight &&
	    (g->cfg.guard.rate.limit == 0 || bucket_wait_us(&g->rate, now_us) == 0) &&
	    hedge_take(&g->hedge, now_us);
}

struct guard_answer
guard_hedge(struct guard_member *m, int64_t now_us, uint64_t tried, struct guard_pass *out)
{
	struct guard *g = m->guard;
	struct guard_answer a = { .verdict = GUARD_NO };
	struct wakes w = { .n = 0 };

	*out = (struct guard_pass){ .try = GUARD_HEDGE, .from_us = now_us };
	lock_acquire(&g->lock);
	if (may_hedge_locked(g, now_us)) {
		a.dry = g->cfg.guard.hedge.dry_run;
		if (!a.dry) {
			a.verdict = GUARD_GO;
			if (g->cfg.guard.rate.limit != 0)
				bucket_take(&g->rate, now_us, 0, NULL);
			enter_locked(m, now_us, tried, out, &a, &w);
		}
	}
	lock_release(&g->lock);
	wake_all(&w);
	return a;
}

void
guard_hedge_won(struct guard *g, int64_t first_took_us, int64_t now_us)
{
	lock_acquire(&g->lock);
	hedge_sample(&g->hedge, first_took_us, now_us);
	lock_release(&g->lock);
}

/* --- the queue ------------------------------------------------------------------------------ */

/* Without a limit of the origin's it is the loop's own connections that they wait for. */
static struct queue_view
queue_view_locked(const struct guard *g, int64_t now_us, uint32_t ahead, uint32_t room)
{
	struct queue_view q = { .now_us = now_us, .waiting = ahead, .limit = MAX(room, 1),
		.capacity = g->cfg.guard.concurrency.queue,
		.service_us = limit_service_us(&g->limit) };

	if (has_limit(g)) {
		q.waiting = g->waiting;
		q.limit = limit_now(&g->limit);
	}
	return q;
}

static enum guard_queue
queue_locked(struct guard *g, const struct queue_view *q, int64_t deadline_us,
    int64_t oldest_deadline_us)
{
	static const enum guard_queue verdicts[] = { [QUEUE_WAIT] = GUARD_QUEUE_WAIT,
		[QUEUE_SHED_OLDEST] = GUARD_QUEUE_SHED, [QUEUE_REFUSE_FULL] = GUARD_QUEUE_FULL,
		[QUEUE_REFUSE_LATE] = GUARD_QUEUE_LATE };
	enum guard_queue verdict = verdicts[queue_arrive(q, deadline_us, oldest_deadline_us)];

	if (g->cfg.guard.concurrency.dry_run)
		verdict = GUARD_QUEUE_WAIT;
	g->waiting += verdict == GUARD_QUEUE_WAIT || verdict == GUARD_QUEUE_SHED;
	return verdict;
}

enum guard_queue
guard_queue(struct guard_member *m, int64_t now_us, uint32_t ahead, uint32_t room,
    int64_t deadline_us, int64_t oldest_deadline_us, uint32_t *waiting)
{
	struct guard *g = m->guard;
	enum guard_queue verdict;
	struct queue_view q;

	lock_acquire(&g->lock);
	*waiting = g->waiting;
	q = queue_view_locked(g, now_us, ahead, room);
	/* What the origin's queue may hold counts for all loops together. */
	if (g->waiting >= q.capacity)
		q.waiting = MAX(q.waiting, q.capacity);
	verdict = queue_locked(g, &q, deadline_us, oldest_deadline_us);
	lock_release(&g->lock);
	return verdict;
}

void
guard_unqueue(struct guard_member *m)
{
	lock_acquire(&m->guard->lock);
	m->guard->waiting--;
	lock_release(&m->guard->lock);
}

bool
guard_in_time(struct guard *g, int64_t now_us, int64_t deadline_us)
{
	return g->cfg.guard.concurrency.dry_run ||
	    span_after(now_us, guard_service_us(g)) <= deadline_us;
}

int64_t
guard_service_us(struct guard *g)
{
	int64_t service_us;

	if (g->cfg.guard.concurrency.dry_run)
		return 0;
	lock_acquire(&g->lock);
	service_us = limit_service_us(&g->limit);
	lock_release(&g->lock);
	return service_us;
}

/* --- health checks ---------------------------------------------------------------------------- */

bool
guard_is_checker(struct guard_member *m)
{
	bool is;

	lock_acquire(&m->guard->lock);
	if (m->guard->checker == NULL)
		m->guard->checker = m;
	is = m->guard->checker == m;
	lock_release(&m->guard->lock);
	return is;
}

enum health_action
guard_check_poll(struct guard *g, unsigned endpoint, int64_t now_us, uint32_t *check,
    int64_t *wake_us, bool *changed)
{
	struct health *h = &g->health[endpoint];
	enum health_action action;
	bool up;

	lock_acquire(&g->lock);
	up = h->up;
	action = health_poll(h, now_us, draw_next(&g->draw), check, wake_us);
	*changed = h->up != up;
	lock_release(&g->lock);
	return action;
}

/* One that was ejected for its failures comes back when a check finds it well. */
bool
guard_check_report(struct guard *g, unsigned endpoint, uint32_t check, bool ok, int64_t now_us)
{
	bool changed;

	lock_acquire(&g->lock);
	changed = health_report(&g->health[endpoint], check, ok, now_us);
	if (changed && g->health[endpoint].up)
		outlier_restore(&g->outlier, endpoint, now_us);
	lock_release(&g->lock);
	return changed;
}
