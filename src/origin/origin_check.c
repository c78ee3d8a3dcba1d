/* Active health checks. One loop does them for the whole process, the first that has a
 * client of the origin; when that leaves, another takes over within an interval. Each
 * endpoint has a state machine in the guard (resil/health.h), which is polled by a timer here. */
#include "config.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "origin/origin_impl.h"

struct check {
	struct origin_checks *all;
	struct attempt *attempt; /* NULL: none is under way */
	uint32_t number;
};

struct origin_checks {
	struct origin_client *oc;
	struct timer timer;
	unsigned n;
	struct check of[];
};

static unsigned
endpoint_of(const struct check *c)
{
	return (unsigned)(c - c->all->of);
}

static void
tell_change(const struct check *c, bool up, const char *why)
{
	const struct origin_client *oc = c->all->oc;
	const char *name = oc->ops->endpoint_name(oc->cfg, endpoint_of(c));

	if (up)
		log_info("origin %s: endpoint %s is up", oc->cfg->name, name);
	else
		log_warn("origin %s: endpoint %s is down: health check: %s", oc->cfg->name, name,
		    why);
}

static void
on_checked(void *arg, const struct attempt_answer *a)
{
	struct check *c = arg;
	struct origin_client *oc = c->all->oc;
	bool ok = a->end == ATTEMPT_ANSWERED && a->result.status < ORIGIN_FAILED;

	c->attempt = NULL;
	counter_add(&oc->stats->check_failures, !ok);
	if (guard_check_report(oc->guard, endpoint_of(c), c->number, ok, loop_now_us(oc->loop)))
		tell_change(c, ok, ok ? "" : a->result.error);
}

/* Without memory for it there is no check: it then counts as one that took too long. */
static void
check_start(struct check *c, uint32_t number)
{
	struct origin_client *oc = c->all->oc;

	c->number = number;
	if (oc->ops->probe(oc->transport, endpoint_of(c), oc->cfg->guard.health.path, on_checked, c,
	    &c->attempt) != 0)
		c->attempt = NULL;
}

static void
check_stop(struct check *c)
{
	if (c->attempt != NULL)
		c->all->oc->ops->cancel(c->attempt);
	c->attempt = NULL;
}

/* Does what is due, and says when to come again. */
static int64_t
check_poll(struct check *c, int64_t now_us)
{
	struct origin_client *oc = c->all->oc;
	bool changed;
	uint32_t number;
	int64_t wake_us;

	for (;;) {
		switch (guard_check_poll(oc->guard, endpoint_of(c), now_us, &number, &wake_us,
		    &changed)) {
		case HEALTH_START:
			check_start(c, number);
			break;
		case HEALTH_STOP:
			check_stop(c);
			counter_inc(&oc->stats->check_failures);
			if (changed)
				tell_change(c, false, "no answer in time");
			break;
		case HEALTH_WAIT:
			return wake_us;
		}
	}
}

static void
on_tick(struct timer *t)
{
	struct origin_checks *all = container_of(t, struct origin_checks, timer);
	struct origin_client *oc = all->oc;
	int64_t now_us = loop_now_us(oc->loop);
	int64_t wake_us = now_us + oc->cfg->guard.health.interval * 1000;

	if (guard_is_checker(oc->member))
		for (unsigned i = 0; i < all->n; i++)
			wake_us = MIN(wake_us, check_poll(&all->of[i], now_us));
	timer_start(&all->timer, (MAX(wake_us - now_us, 0) + 999) / 1000);
}

int
origin_checks_new(struct origin_client *oc, struct origin_checks **out)
{
	struct origin_checks *all;

	*out = NULL;
	if (!config_has_checks(&oc->cfg->guard) || oc->ops->probe == NULL)
		return 0;
	all = mem_zalloc(sizeof *all + oc->n_endpoints * sizeof all->of[0]);
	if (all == NULL)
		return -ENOMEM;
	all->oc = oc;
	all->n = oc->n_endpoints;
	for (unsigned i = 0; i < all->n; i++)
		all->of[i].all = all;
	timer_init(&all->timer, oc->loop, on_tick);
	timer_start(&all->timer, 0);
	*out = all;
	return 0;
}

void
origin_checks_free(struct origin_checks *all)
{
	if (all == NULL)
		return;
	timer_stop(&all->timer);
	for (unsigned i = 0; i < all->n; i++)
		check_stop(&all->of[i]);
	mem_free(all);
}
