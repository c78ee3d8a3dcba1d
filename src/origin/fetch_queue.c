/* The way of a fetch to an attempt: the breaker's first look, its turn by the rate limit, the
 * loop's queue, and through the guard. */
#include "config.h"

#include "origin/fetch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* --- refused ---------------------------------------------------------------------------------- */

void
fetch_refuse(struct origin_fetch *f, struct counter *which, const char *fmt, ...)
{
	va_list ap;

	counter_inc(which);
	if (!f->failed) {
		counter_inc(&f->oc->stats->refused);
		f->status = ORIGIN_REFUSED;
		va_start(ap, fmt);
		vsnprintf(f->why, sizeof f->why, fmt, ap);
		va_end(ap);
	}
	fetch_doom(f);
}

static void
refuse_by_breaker(struct origin_fetch *f, const struct guard_answer *a)
{
	struct counter *n = &f->oc->stats->breaker_refused;

	if (a->forced)
		fetch_refuse(f, n, "circuit open by command");
	else if (a->probing)
		fetch_refuse(f, n, "circuit half open, and its probes are under way");
	else
		fetch_refuse(f, n, "circuit open for %" PRId64 " ms more", ms_up(a->retry_us));
}

/* --- the queue ---------------------------------------------------------------------------- */

/* Has the guard let it pass? If so it is sent, and if not refused; GUARD_WAIT: neither. */
static enum guard_verdict
fetch_enter(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	enum guard_try try = f->sent == 0 ? GUARD_FIRST : GUARD_AGAIN;
	struct guard_answer a = guard_enter(oc->member, fetch_now_us(f), try, f->tried,
	    &f->legs[0].pass);

	counter_add(&oc->stats->limited,
	    a.dry || (a.verdict == GUARD_WAIT && f->state != FETCH_QUEUED));
	counter_add(&oc->stats->breaker_refused, a.dry_open);
	if (a.verdict == GUARD_WAIT)
		return a.verdict;
	fetch_unqueue(f);
	if (a.verdict == GUARD_GO)
		fetch_send(f);
	else
		refuse_by_breaker(f, &a);
	return a.verdict;
}

void
fetch_unqueue(struct origin_fetch *f)
{
	if (list_empty(&f->queue_link))
		return;
	list_del(&f->queue_link);
	f->oc->n_queued[f->request.background ? QUEUE_BACK : QUEUE_FRONT]--;
	guard_unqueue(f->oc->member);
}

static struct origin_fetch *
queue_head(struct origin_client *oc, unsigned which)
{
	if (list_empty(&oc->queue[which]))
		return NULL;
	return list_entry(oc->queue[which].next, struct origin_fetch, queue_link);
}

void
fetch_pump(struct origin_client *oc)
{
	bool starved = false;

	while (!oc->closing && !starved && oc->ops->has_room(oc->transport)) {
		struct origin_fetch *f = queue_head(oc, QUEUE_FRONT);

		if (f == NULL)
			f = queue_head(oc, QUEUE_BACK);
		if (f == NULL)
			break;
		if (f->request.deadline_ms <= loop_now_ms(oc->loop))
			fetch_unqueue(f); /* left to its timer */
		else if (!guard_in_time(oc->guard, fetch_now_us(f), fetch_deadline_us(f)))
			fetch_refuse(f, &oc->stats->shed,
			    "overloaded: its turn came too late for its deadline");
		else
			starved = fetch_enter(f) == GUARD_WAIT;
	}
	if (!oc->closing)
		guard_rest(oc->member, starved, loop_now_us(oc->loop));
}

/* Who leaves the queue first where it is full: refreshes, oldest first; then, for a request
 * that somebody waits for, the oldest one. */
static struct origin_fetch *
queue_victim(const struct origin_fetch *f)
{
	struct origin_fetch *v = queue_head(f->oc, QUEUE_BACK);

	return v == NULL && !f->request.background ? queue_head(f->oc, QUEUE_FRONT) : v;
}

/* A refresh makes way for a request whether it would be late or not. */
static int64_t
victim_deadline_us(const struct origin_fetch *f, const struct origin_fetch *victim)
{
	if (victim == NULL)
		return INT64_MAX;
	return victim->request.background && !f->request.background ? 0 : fetch_deadline_us(victim);
}

static void
queue_push(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	unsigned which = f->request.background ? QUEUE_BACK : QUEUE_FRONT;
	int64_t left_ms = f->request.deadline_ms - loop_now_ms(oc->loop);
	int64_t service_ms = guard_service_us(oc->guard) / 1000;

	f->state = FETCH_QUEUED;
	oc->n_queued[which]++;
	list_push_tail(&oc->queue[which], &f->queue_link);
	/* When it can no more be answered in time, it is told so. */
	timer_start(&f->timer, service_ms < left_ms ? left_ms - service_ms : left_ms);
}

/* How many requests this loop may have under way. */
static uint32_t
room_of(const struct config_origin *cfg)
{
	return cfg->kind == ORIGIN_REDIS ? cfg->redis_connections * cfg->redis_pipeline :
	    cfg->max_connections;
}

static void
fetch_queue(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	struct origin_fetch *victim = queue_victim(f);
	uint32_t ahead = oc->n_queued[QUEUE_FRONT] +
	    (f->request.background ? oc->n_queued[QUEUE_BACK] : 0);
	uint32_t waiting;

	switch (guard_queue(oc->member, fetch_now_us(f), ahead, room_of(oc->cfg),
	    fetch_deadline_us(f), victim_deadline_us(f, victim), &waiting)) {
	case GUARD_QUEUE_SHED:
		fetch_refuse(victim, &oc->stats->shed, victim->request.background ?
		    "overloaded: this refresh made way for requests" :
		    "overloaded: given up for those that can still make their deadline");
		queue_push(f);
		break;
	case GUARD_QUEUE_WAIT:
		queue_push(f);
		break;
	case GUARD_QUEUE_FULL:
		fetch_refuse(f, &oc->stats->shed, "overloaded: %" PRIu32 " requests wait already",
		    waiting);
		break;
	case GUARD_QUEUE_LATE:
		fetch_refuse(f, &oc->stats->shed, "overloaded: behind %" PRIu32
		    " that wait, it could not be answered within %" PRId64 " ms", waiting,
		    f->request.deadline_ms - loop_now_ms(oc->loop));
		break;
	}
}

/* It has its turn: sent at once where nobody waits before it, else it queues. */
void
fetch_go(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	bool first = oc->n_queued[QUEUE_FRONT] == 0 &&
	    (!f->request.background || oc->n_queued[QUEUE_BACK] == 0);
	bool room = oc->ops->has_room(oc->transport);

	f->has_turn = true;
	if (first && room && fetch_enter(f) != GUARD_WAIT)
		return;
	fetch_queue(f);
	if (first && room)
		guard_rest(oc->member, f->state == FETCH_QUEUED, fetch_now_us(f));
}

/* --- turns ------------------------------------------------------------------------------ */

void
fetch_ask(struct origin_fetch *f)
{
	const struct config_guard *cfg = &f->oc->cfg->guard;
	struct counter *n = &f->oc->stats->rate_refused;
	struct guard_answer a = guard_look(f->oc->guard, fetch_now_us(f));

	if (a.verdict == GUARD_NO) {
		refuse_by_breaker(f, &a);
		return;
	}
	a = guard_turn(f->oc->guard, fetch_now_us(f), fetch_deadline_us(f));
	counter_add(n, a.dry);
	if (a.verdict == GUARD_NO) {
		fetch_refuse(f, n, "rate limit of %" PRIu32 " in %" PRId64
		    " ms reached, next turn in %" PRId64 " ms", cfg->rate.limit, cfg->rate.period,
		    ms_up(a.retry_us));
	} else if (a.verdict == GUARD_WAIT) {
		f->has_turn = true;
		f->state = FETCH_PAUSED;
		timer_start(&f->pause, ms_up(a.wait_us));
	} else {
		fetch_go(f);
	}
}
