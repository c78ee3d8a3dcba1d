/* guards.c - the guards of a process: found by name, made from the configuration, shown
 * and told what to do. */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "origin/guard_impl.h"
#include "origin/transport.h"

struct guards {
	struct lock lock;
	struct list all; /* by guard.link, each with a reference of the list's */
};

/* --- from the configuration ------------------------------------------------------- */

static int64_t
us(int64_t ms)
{
	return ms * US_PER_MS;
}

static int
rate_init(struct guard *g)
{
	const __typeof__(g->cfg.guard.rate) *c = &g->cfg.guard.rate;

	if (c->limit == 0)
		return 0;
	return bucket_init(&g->rate, c->limit, us(c->period),
	    c->burst == CONFIG_AUTO ? c->limit : c->burst);
}

/* Without a limit of its own it measures how long requests take all the same. */
static int
limit_set_up(struct guard *g, int64_t now_us)
{
	const __typeof__(g->cfg.guard.concurrency) *c = &g->cfg.guard.concurrency;
	struct limit_cfg l;

	limit_defaults(&l, c->adaptive);
	if (c->adaptive) {
		l.min = c->min;
		l.max = c->max;
		l.limit = c->limit != 0 ? c->limit : MIN(MAX(l.limit, l.min), l.max);
	} else {
		l.limit = c->limit != 0 ? c->limit : LIMIT_MAX;
	}
	return limit_init(&g->limit, &l, now_us);
}

static int
breaker_set_up(struct guard *g, int64_t now_us)
{
	const __typeof__(g->cfg.guard.breaker) *c = &g->cfg.guard.breaker;
	struct breaker_cfg b;

	breaker_defaults(&b);
	if (c->enabled) {
		b.window = c->window == GUARD_BY_TIME ? BREAKER_TIME : BREAKER_COUNT;
		b.window_calls = c->window_calls;
		b.window_us = us(c->window_time);
		b.min_calls = c->min_calls;
		b.failure_pct = c->failure_rate;
		b.slow_us = us(c->slow_call);
		b.slow_pct = c->slow_rate;
		b.open_us = us(c->open_time);
		b.open_max_us = us(c->open_time_max);
		b.probes = c->half_open_calls;
		b.probe_lease_us = us(c->half_open_time);
	}
	return breaker_init(&g->breaker, &b, now_us);
}

static int
retry_set_up(struct guard *g, int64_t now_us)
{
	struct budget_cfg b;

	budget_defaults(&b);
	b.pct = g->cfg.guard.retry.budget;
	b.min_per_s = g->cfg.guard.retry.min_per_second;
	return budget_init(&g->retries, &b, now_us);
}

static int
hedge_set_up(struct guard *g, int64_t now_us)
{
	struct hedge_cfg h;

	hedge_defaults(&h);
	if (g->cfg.guard.hedge.enabled) {
		h.percentile = g->cfg.guard.hedge.percentile;
		h.min_delay_us = us(g->cfg.guard.hedge.min_delay);
		h.budget.pct = g->cfg.guard.hedge.budget;
	}
	return hedge_init(&g->hedge, &h, now_us);
}

static int
balance_set_up(struct guard *g)
{
	static const enum balance_kind kinds[] = { [GUARD_ROUND_ROBIN] = BALANCE_ROUND_ROBIN,
		[GUARD_LEAST_CONNECTIONS] = BALANCE_LEAST_CONNECTIONS,
		[GUARD_TWO_CHOICES] = BALANCE_TWO_CHOICES };
	const __typeof__(g->cfg.guard.balance) *c = &g->cfg.guard.balance;

	return balance_init(&g->balance, kinds[c->policy], g->n_endpoints, c->panic);
}

static int
outlier_set_up(struct guard *g, int64_t now_us)
{
	const __typeof__(g->cfg.guard.ejection) *c = &g->cfg.guard.ejection;
	struct outlier_cfg o;

	outlier_defaults(&o);
	if (c->enabled && g->n_endpoints > 1) {
		o.consecutive = c->failures;
		o.base_us = us(c->time);
		o.max_us = us(c->time_max);
		o.max_pct = c->max_share;
	} else {
		o.consecutive = 0;
	}
	return outlier_init(&g->outlier, &o, g->n_endpoints, now_us);
}

static int
health_set_up(struct guard *g, int64_t now_us)
{
	const __typeof__(g->cfg.guard.health) *c = &g->cfg.guard.health;
	struct health_cfg h;
	int rc = 0;

	if (!config_has_checks(&g->cfg.guard))
		return 0;
	g->health = mem_calloc(g->n_endpoints, sizeof *g->health);
	if (g->health == NULL)
		return -ENOMEM;
	health_defaults(&h);
	h.interval_us = us(c->interval);
	h.timeout_us = us(c->timeout);
	h.rise = c->rise;
	h.fall = c->fall;
	h.slow_start_us = us(g->cfg.guard.balance.slow_start);
	for (unsigned i = 0; i < g->n_endpoints && rc == 0; i++)
		rc = health_init(&g->health[i], &h, now_us, draw_next(&g->draw));
	return rc;
}

static int
guard_set_up(struct guard *g)
{
	int64_t now_us = clock_mono_us();
	int rc = rate_init(g);

	if (getrandom(&g->draw.state, sizeof g->draw.state, GRND_NONBLOCK) < 0)
		g->draw.state = (uint64_t)now_us ^ (uintptr_t)g;
	if (rc == 0)
		rc = limit_set_up(g, now_us);
	if (rc == 0)
		rc = breaker_set_up(g, now_us);
	if (rc == 0)
		rc = retry_set_up(g, now_us);
	if (rc == 0)
		rc = hedge_set_up(g, now_us);
	if (rc == 0)
		rc = balance_set_up(g);
	if (rc == 0)
		rc = outlier_set_up(g, now_us);
	if (rc == 0)
		rc = health_set_up(g, now_us);
	return rc;
}

static void
guard_free(struct guard *g)
{
	mem_free(g->health);
	config_origin_fini(&g->cfg);
	lock_fini(&g->lock);
	mem_free(g);
}

/* One reference is the caller's. */
struct guard *
guard_new(const struct config_origin *cfg)
{
	struct guard *g = mem_zalloc(sizeof *g);
	int rc;

	if (g == NULL)
		return NULL;
	if (config_origin_copy(&g->cfg, cfg) != 0) {
		mem_free(g);
		return NULL;
	}
	atomic_init(&g->refs, 1);
	lock_init(&g->lock);
	list_init(&g->link);
	list_init(&g->members);
	g->n_endpoints = MIN(MAX(transport_of(cfg)->endpoints(cfg), 1), BALANCE_MAX);
	rc = guard_set_up(g);
	assert(rc == 0 || rc == -ENOMEM); /* the ranges of guard.def see to it */
	if (rc == 0)
		return g;
	guard_free(g);
	return NULL;
}

void
guard_unref(struct guard *g)
{
	if (g != NULL && atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1)
		guard_free(g);
}

static struct guard *
guard_ref(struct guard *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

/* --- by name --------------------------------------------------------------------------- */

struct guards *
guards_new(void)
{
	struct guards *gs = mem_zalloc(sizeof *gs);

	if (gs == NULL)
		return NULL;
	lock_init(&gs->lock);
	list_init(&gs->all);
	return gs;
}

static void
guards_drop(struct guard *g)
{
	list_del(&g->link);
	guard_unref(g);
}

void
guards_free(struct guards *gs)
{
	if (gs == NULL)
		return;
	list_foreach_safe (it, &gs->all)
		guards_drop(list_entry(it, struct guard, link));
	lock_fini(&gs->lock);
	mem_free(gs);
}

static struct guard *
guards_find_locked(struct guards *gs, const char *name)
{
	assert(lock_held(&gs->lock));
	list_foreach (it, &gs->all) {
		struct guard *g = list_entry(it, struct guard, link);

		if (strcmp(g->cfg.name, name) == 0)
			return g;
	}
	return NULL;
}

/* A reference, or NULL. */
static struct guard *
guards_find(struct guards *gs, const char *name)
{
	struct guard *g;

	lock_acquire(&gs->lock);
	g = guards_find_locked(gs, name);
	if (g != NULL)
		guard_ref(g);
	lock_release(&gs->lock);
	return g;
}

static void
guards_put(struct guards *gs, struct guard *g)
{
	struct guard *old;

	lock_acquire(&gs->lock);
	old = guards_find_locked(gs, g->cfg.name);
	if (old != NULL)
		list_del(&old->link);
	list_push_tail(&gs->all, &g->link);
	lock_release(&gs->lock);
	guard_unref(old);
}

/* Those whose origin is gone would be found again with what they knew long ago. */
static void
guards_sweep(struct guards *gs, const struct config *cfg)
{
	struct list gone;
	struct list *it;

	list_init(&gone);
	lock_acquire(&gs->lock);
	list_foreach_safe (at, &gs->all) {
		struct guard *g = list_entry(at, struct guard, link);
		bool found = false;

		for (unsigned i = 0; i < cfg->n_origins; i++)
			found |= strcmp(g->cfg.name, cfg->origins[i].name) == 0;
		if (!found) {
			list_del(at);
			list_push_tail(&gone, at);
		}
	}
	lock_release(&gs->lock);
	while ((it = list_pop_head(&gone)) != NULL)
		guard_unref(list_entry(it, struct guard, link));
}

int
guards_configure(struct guards *gs, const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->n_origins; i++) {
		struct guard *g = guards_find(gs, cfg->origins[i].name);
		bool same = g != NULL && config_origin_same(&g->cfg, &cfg->origins[i]);

		guard_unref(g);
		if (same)
			continue;
		g = guard_new(&cfg->origins[i]);
		if (g == NULL)
			return -ENOMEM;
		guards_put(gs, g);
	}
	guards_sweep(gs, cfg);
	return 0;
}

struct guard *
guard_get(struct guards *gs, const struct config_origin *cfg)
{
	struct guard *g = gs != NULL ? guards_find(gs, cfg->name) : NULL;

	if (g != NULL && config_origin_same(&g->cfg, cfg))
		return g;
	guard_unref(g);
	return guard_new(cfg);
}

/* --- what people ask and tell -------------------------------------------------------------- */

static void
view_locked(struct guard *g, int64_t now_us, struct guard_view *out)
{
	uint64_t usable = guard_usable_locked(g, now_us);

	*out = (struct guard_view){
		.breaker = breaker_state(&g->breaker),
		.force = g->breaker.force,
		.breaker_counts = g->breaker.counts,
		.breaker_enabled = g->cfg.guard.breaker.enabled,
		.panic = balance_is_panic(&g->balance, usable),
		.in_flight = g->limit.in_flight,
		.waiting = g->waiting,
		.service_us = limit_service_us(&g->limit),
		.hedge_us = -1,
		.retries_left = budget_left(&g->retries, now_us),
		.n_endpoints = g->n_endpoints,
		.n_out = g->n_endpoints - (unsigned)__builtin_popcountll(usable),
	};
	breaker_view(&g->breaker, now_us, &out->window);
	if (g->cfg.guard.concurrency.limit != 0 || g->cfg.guard.concurrency.adaptive)
		out->limit = limit_now(&g->limit);
	if (g->cfg.guard.hedge.enabled && hedge_quantile_us(&g->hedge, 0.5) != 0)
		out->hedge_us = MAX(hedge_quantile_us(&g->hedge, g->hedge.cfg.percentile / 100),
		    g->hedge.cfg.min_delay_us);
	if (g->cfg.guard.rate.limit != 0)
		out->rate_wait_us = bucket_wait_us(&g->rate, now_us);
}

int
guards_view(struct guards *gs, const char *name, int64_t now_us, struct guard_view *out)
{
	struct guard *g = guards_find(gs, name);

	if (g == NULL)
		return -ENOENT;
	lock_acquire(&g->lock);
	view_locked(g, now_us, out);
	lock_release(&g->lock);
	guard_unref(g);
	return 0;
}

const char *
guard_breaker_name(const struct guard_view *v)
{
	static const char *const names[] = { [BREAKER_CLOSED] = "closed", [BREAKER_OPEN] = "open",
		[BREAKER_HALF_OPEN] = "half-open" };

	return v->breaker_enabled || v->force != BREAKER_AUTO ? names[v->breaker] : "off";
}

static void
view_endpoint_locked(struct guard *g, unsigned i, int64_t now_us, struct guard_endpoint *out)
{
	*out = (struct guard_endpoint){
		.in_flight = g->balance.in_flight[i],
		.failures = g->outlier.endpoint[i].failures,
		.left_us = outlier_left_us(&g->outlier, i, now_us),
		.share_pct = g->balance.ramp_pct[i],
	};
	if (g->health != NULL) {
		out->checks_passed = g->health[i].passed;
		out->checks_failed = g->health[i].failed;
	}
	if ((g->out >> i & 1) != 0)
		out->state = GUARD_ENDPOINT_OUT;
	else if (g->health != NULL && !g->health[i].up)
		out->state = GUARD_ENDPOINT_DOWN;
	else if (out->left_us != 0)
		out->state = GUARD_ENDPOINT_EJECTED;
}

int
guards_view_endpoint(struct guards *gs, const char *name, unsigned endpoint, int64_t now_us,
    struct guard_endpoint *out)
{
	struct guard *g = guards_find(gs, name);
	int rc = 0;

	if (g == NULL)
		return -ENOENT;
	lock_acquire(&g->lock);
	guard_usable_locked(g, now_us);
	if (endpoint < g->n_endpoints)
		view_endpoint_locked(g, endpoint, now_us, out);
	else
		rc = -ERANGE;
	lock_release(&g->lock);
	guard_unref(g);
	return rc;
}

int
guards_force(struct guards *gs, const char *name, enum breaker_force force, int64_t now_us)
{
	struct guard *g = guards_find(gs, name);

	if (g == NULL)
		return -ENOENT;
	lock_acquire(&g->lock);
	breaker_force(&g->breaker, force, now_us);
	lock_release(&g->lock);
	guard_unref(g);
	return 0;
}

static int
endpoint_tell(struct guards *gs, const char *name, unsigned endpoint,
    void (*tell)(struct guard *g, unsigned i, int64_t now_us), int64_t now_us)
{
	struct guard *g = guards_find(gs, name);
	int rc = 0;

	if (g == NULL)
		return -ENOENT;
	lock_acquire(&g->lock);
	if (endpoint < g->n_endpoints)
		tell(g, endpoint, now_us);
	else
		rc = -ERANGE;
	lock_release(&g->lock);
	guard_unref(g);
	return rc;
}

static void
eject_locked(struct guard *g, unsigned i, int64_t now_us UNUSED)
{
	g->out |= UINT64_C(1) << i;
}

static void
restore_locked(struct guard *g, unsigned i, int64_t now_us)
{
	g->out &= ~(UINT64_C(1) << i);
	outlier_restore(&g->outlier, i, now_us);
}

int
guards_eject(struct guards *gs, const char *name, unsigned endpoint)
{
	return endpoint_tell(gs, name, endpoint, eject_locked, 0);
}

int
guards_restore(struct guards *gs, const char *name, unsigned endpoint, int64_t now_us)
{
	return endpoint_tell(gs, name, endpoint, restore_locked, now_us);
}
