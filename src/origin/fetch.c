/* The life of a fetch. It asks the guard for its turn, waits in the loop's queue while
 * there is no place for it, is sent, maybe sent once more after a pause, maybe twice at a
 * time, and ends: with the first good answer, the last failure, or its deadline.
 *
 *   begin --> turn by the rate --> queue --> place, breaker, endpoint --> sent --> end
 *               ^     (pause)                                              |
 *               +----- (back-off) <--- failed, and may be sent again <-----+
 *
 * The deadline is a timer of our own that runs over all of these, so that the answer comes
 * in time whatever the library below is waiting for. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "origin/fetch.h"

#define ERROR_MAX 512
/* --- ends ---------------------------------------------------------------------------- */

/* What comes from outside must not break the line that it is quoted in. */
static void
strip_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = ' ';
}

static void
log_news(const struct origin_client *oc, const struct guard_news *news, unsigned endpoint)
{
	counter_add(&oc->stats->breaker_opened, news->opened);
	counter_add(&oc->stats->ejections, news->ejected);
	if (news->opened)
		log_warn("origin %s: circuit open", oc->cfg->name);
	if (news->closed)
		log_info("origin %s: circuit closed", oc->cfg->name);
	if (news->ejected)
		log_warn("origin %s: endpoint %s ejected", oc->cfg->name,
		    oc->ops->endpoint_name(oc->cfg, endpoint));
}

static void
leg_done(struct leg *leg, enum guard_end end)
{
	struct origin_client *oc = leg->f->oc;
	int64_t now = loop_now_us(oc->loop);
	struct guard_news news =
	    guard_done(oc->member, &leg->pass, end, now - leg->started_us, now);

	log_news(oc, &news, leg->pass.endpoint);
}

static void
leg_cancel(struct leg *leg, enum guard_end end)
{
	if (leg->attempt == NULL)
		return;
	leg->f->oc->ops->cancel(leg->attempt);
	leg->attempt = NULL;
	leg_done(leg, end);
}

/* It leaves all lists and gives back what it holds. */
static void
fetch_stop(struct origin_fetch *f)
{
	timer_stop(&f->timer);
	timer_stop(&f->pause);
	list_del(&f->link);
	fetch_unqueue(f);
	for (unsigned i = 0; i < FETCH_LEGS; i++)
		leg_cancel(&f->legs[i], GUARD_CANCELLED);
	if (f->has_turn)
		guard_turn_back(f->oc->guard);
}

/* Answers and frees. It is stopped first: done() may start others. */
static void
fetch_finish(struct origin_fetch *f, const struct origin_result *r)
{
	struct origin_client *oc = f->oc;

	fetch_stop(f);
	f->done(f->arg, r);
	mem_free(f);
	fetch_pump(oc);
}

static void
fetch_fail(struct origin_fetch *f)
{
	struct origin_result r = { .status = f->status, .http_status = f->http_status,
		.ttl_ms = ORIGIN_TTL_UNSAID, .final = f->final };
	char text[ERROR_MAX], tail[48] = "";

	if (f->failed && f->failovers > 0)
		snprintf(tail, sizeof tail, " (the last of %u endpoints)", f->failovers + 1);
	else if (f->failed && f->retries > 0)
		snprintf(tail, sizeof tail, " (after %u attempts)", f->sent);
	snprintf(text, sizeof text, "origin %.48s: %s%s", f->oc->cfg->name, f->why, tail);
	strip_controls(text);
	r.error = text;
	fetch_finish(f, &r);
}

void
fetch_note(struct origin_fetch *f, enum origin_status status, int http_status, const char *fmt, ...)
{
	va_list ap;

	f->status = status;
	f->http_status = http_status;
	va_start(ap, fmt);
	vsnprintf(f->why, sizeof f->why, fmt, ap);
	va_end(ap);
}

/* It fails, in a turn of its own: also from where no done() may be called. */
void
fetch_doom(struct origin_fetch *f)
{
	fetch_unqueue(f);
	timer_stop(&f->pause);
	f->state = FETCH_DOOMED;
	timer_start(&f->timer, 0);
}

static void
fetch_doom_without_memory(struct origin_fetch *f)
{
	f->failed = f->final = false;
	fetch_note(f, ORIGIN_FAILED, 0, "no memory");
	fetch_doom(f);
}

/* --- attempts --------------------------------------------------------------------------- */

static void leg_settle(struct leg *leg, const struct attempt_answer *a);

static void
on_attempt_done(void *arg, const struct attempt_answer *a)
{
	struct leg *leg = arg;

	leg->attempt = NULL;
	leg_settle(leg, a);
}

/* 0, or -ENOMEM: nothing was sent, and what the leg held is given back. */
static int
leg_start(struct leg *leg)
{
	struct origin_fetch *f = leg->f;
	struct origin_client *oc = f->oc;
	int rc = oc->ops->start(oc->transport, leg->pass.endpoint, &f->request, on_attempt_done,
	    leg, &leg->attempt);

	leg->started_us = loop_now_us(oc->loop);
	if (rc != 0) {
		leg->attempt = NULL;
		leg_done(leg, GUARD_CANCELLED);
		return rc;
	}
	f->sent++;
	counter_inc(&oc->stats->requests);
	return 0;
}

void
fetch_send(struct origin_fetch *f)
{
	int64_t delay_us = -1;

	f->state = FETCH_SENT;
	f->has_turn = false;
	if (leg_start(&f->legs[0]) != 0) {
		guard_turn_back(f->oc->guard);
		fetch_doom_without_memory(f);
		return;
	}
	timer_start(&f->timer, f->request.deadline_ms - loop_now_ms(f->oc->loop));
	if (f->sent == 1 && f->request.op == ORIGIN_READ)
		delay_us = guard_hedge_delay(f->oc->guard, fetch_now_us(f));
	if (delay_us >= 0)
		timer_start(&f->pause, ms_up(delay_us));
}

static void
fetch_hedge(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	struct leg *first = &f->legs[0], *second = &f->legs[1];
	uint64_t tried = UINT64_C(1) << first->pass.endpoint;
	struct guard_answer a;

	if (first->attempt == NULL || f->sent != 1 || !oc->ops->has_room(oc->transport))
		return;
	a = guard_hedge(oc->member, fetch_now_us(f), tried, &second->pass);
	if (a.verdict == GUARD_GO || a.dry)
		counter_inc(&oc->stats->hedges);
	if (a.verdict == GUARD_GO && leg_start(second) != 0)
		guard_turn_back(oc->guard);
}

/* --- retries ------------------------------------------------------------------------------ */

/* False: it is not sent again. All that we send may be repeated: GET, PUT and DELETE are
 * idempotent, and so are Redis's GET, SET and DEL. A lease is not: asked for again, the
 * first of our own requests may have it. */
static bool
fetch_retry(struct origin_fetch *f, const struct attempt_answer *a)
{
	const struct config_guard *cfg = &f->oc->cfg->guard;
	struct stats_origin *stats = f->oc->stats;
	struct guard_answer r;

	if (!cfg->retry.enabled || f->retries + 1 >= cfg->retry.attempts ||
	    !((a->repeatable && f->request.op != ORIGIN_ACQUIRE) || a->end == ATTEMPT_UNREACHED) ||
	    f->request.deadline_ms <= loop_now_ms(f->oc->loop))
		return false;
	r = guard_retry(f->oc->guard, fetch_now_us(f), f->retries + 1, &f->backoff_us,
	    a->retry_after_ms * 1000, fetch_deadline_us(f));
	counter_add(&stats->retries, r.verdict == GUARD_GO || r.dry);
	counter_add(&stats->retries_refused, r.verdict == GUARD_NO && r.retry_us != 0);
	if (r.verdict != GUARD_GO)
		return false;
	f->retries++;
	f->state = FETCH_PAUSED;
	timer_start(&f->pause, ms_up(r.wait_us));
	return true;
}

static enum guard_end
end_of(const struct attempt_answer *a, bool elsewhere)
{
	if (a->end == ATTEMPT_UNREACHED)
		return elsewhere ? GUARD_PASSED_ON : GUARD_UNREACHED;
	if (a->end == ATTEMPT_ANSWERED && a->repeatable)
		return a->fault ? GUARD_BUSY_FAULT : GUARD_BUSY;
	if (a->fault)
		return GUARD_FAULT;
	return a->end == ATTEMPT_ANSWERED ? GUARD_GOOD : GUARD_CANCELLED;
}

/* An attempt failed: another endpoint, another attempt, or the end. While the other leg is
 * under way, there is hope. */
static void
leg_failed(struct leg *leg, const struct attempt_answer *a)
{
	struct origin_fetch *f = leg->f;
	bool alone = f->legs[0].attempt == NULL && f->legs[1].attempt == NULL;
	bool unreached = a->end == ATTEMPT_UNREACHED;
	bool elsewhere = unreached && alone && f->retries == 0 &&
	    f->failovers + 1 < f->oc->n_endpoints;

	f->failed = true;
	f->final = a->result.final;
	fetch_note(f, a->result.status, a->result.http_status, "%s", a->result.error);
	f->tried |= UINT64_C(1) << leg->pass.endpoint;
	if (unreached)
		guard_turn_back(f->oc->guard);
	leg_done(leg, end_of(a, elsewhere));
	if (!alone)
		return;
	timer_stop(&f->pause);
	if (elsewhere) {
		f->failovers++;
		fetch_ask(f);
	} else if (!fetch_retry(f, a)) {
		fetch_fail(f);
	}
}

static void
leg_settle(struct leg *leg, const struct attempt_answer *a)
{
	struct origin_fetch *f = leg->f;
	struct stats_origin *stats = f->oc->stats;
	int64_t now = fetch_now_us(f);

	if (a->end == ATTEMPT_ANSWERED)
		histogram_add(&stats->latency_us, now - leg->started_us);
	if (a->end != ATTEMPT_ANSWERED || a->result.status >= ORIGIN_FAILED) {
		counter_inc(&stats->errors);
		leg_failed(leg, a);
		return;
	}
	counter_add(&stats->not_found, a->result.status == ORIGIN_NOT_FOUND);
	if (leg == &f->legs[1]) {
		counter_inc(&stats->hedges_won);
		guard_hedge_won(f->oc->guard, now - f->legs[0].started_us, now);
	}
	leg_done(leg, GUARD_GOOD);
	fetch_finish(f, &a->result);
}

/* --- deadlines ------------------------------------------------------------------------------ */

/* True: a status is known of one whose body still comes, so that is its answer, and the
 * end of the fetch. */
static bool
settle_late(struct leg *leg, struct leg *other, char *text, size_t size, int *http_status)
{
	struct attempt_answer late = { .end = ATTEMPT_ANSWERED };

	if (leg->attempt == NULL)
		return false;
	if (!leg->f->oc->ops->cut_off(leg->attempt, &late, text, size)) {
		*http_status = late.result.http_status;
		return false;
	}
	leg->f->oc->ops->cancel(leg->attempt);
	leg->attempt = NULL;
	leg_cancel(other, GUARD_CUT);
	leg_settle(leg, &late);
	return true;
}

static void
fetch_cut_off(struct origin_fetch *f, const char *doing, int http_status, int64_t ms)
{
	for (unsigned i = 0; i < FETCH_LEGS; i++) {
		counter_add(&f->oc->stats->errors, f->legs[i].attempt != NULL);
		leg_cancel(&f->legs[i], GUARD_CUT);
	}
	f->failed = true;
	f->final = false;
	fetch_note(f, ORIGIN_TIMEOUT, http_status, "%s within %" PRId64 " ms", doing, ms);
	fetch_fail(f);
}

static void
fetch_time_out(struct origin_fetch *f)
{
	int64_t ms = f->request.deadline_ms - f->started_ms;
	char text[FETCH_WHY_MAX] = "no answer";
	int http_status = 0;

	for (unsigned i = FETCH_LEGS; i-- > 0;)
		if (settle_late(&f->legs[i], &f->legs[1 - i], text, sizeof text, &http_status))
			return;
	counter_inc(&f->oc->stats->timeouts);
	if (f->state == FETCH_SENT) {
		fetch_cut_off(f, text, http_status, ms);
		return;
	}
	if (ms <= 0)
		fetch_note(f, ORIGIN_TIMEOUT, 0, "the deadline was over before the fetch began");
	else if (!f->failed)
		fetch_note(f, ORIGIN_TIMEOUT, 0, "no connection free within %" PRId64 " ms", ms);
	fetch_fail(f);
}

static void
on_timer(struct timer *t)
{
	struct origin_fetch *f = container_of(t, struct origin_fetch, timer);

	if (f->state == FETCH_DOOMED) {
		fetch_fail(f);
	} else if (f->state == FETCH_QUEUED && f->request.deadline_ms > loop_now_ms(f->oc->loop)) {
		fetch_refuse(f, &f->oc->stats->shed,
		    "overloaded: after %" PRId64 " ms in the queue too late for its deadline",
		    loop_now_ms(f->oc->loop) - f->started_ms);
	} else {
		fetch_time_out(f);
	}
}

static void
on_pause(struct timer *t)
{
	struct origin_fetch *f = container_of(t, struct origin_fetch, pause);

	if (f->state == FETCH_SENT)
		fetch_hedge(f);
	else if (f->has_turn)
		fetch_go(f);
	else
		fetch_ask(f);
}

/* --- beginning ------------------------------------------------------------------------------- */

/* Copies what `s` points to and returns behind the copy. */
static char *
text_keep(char *to, struct slice *s)
{
	if (s->len != 0)
		memcpy(to, s->ptr, s->len);
	*s = slice_of(to, s->len);
	return to + s->len;
}

static void
request_keep(struct origin_request *rq, char *text)
{
	text = text_keep(text, &rq->key);
	text = text_keep(text, &rq->value);
	text = text_keep(text, &rq->etag);
	text_keep(text, &rq->last_modified);
}

struct origin_fetch *
fetch_new(struct origin_client *oc, const struct origin_request *rq, origin_done *done, void *arg)
{
	struct origin_fetch *f = mem_alloc(sizeof *f + rq->key.len + rq->value.len +
	    rq->etag.len + rq->last_modified.len);

	if (f == NULL)
		return NULL;
	*f = (struct origin_fetch){ .oc = oc, .request = *rq, .done = done, .arg = arg,
		.started_ms = loop_now_ms(oc->loop) };
	request_keep(&f->request, f->text);
	if (oc->cfg->deadline_ms > 0)
		f->request.deadline_ms = MIN(rq->deadline_ms, f->started_ms + oc->cfg->deadline_ms);
	timer_init(&f->timer, oc->loop, on_timer);
	timer_init(&f->pause, oc->loop, on_pause);
	list_init(&f->link);
	list_init(&f->queue_link);
	for (unsigned i = 0; i < FETCH_LEGS; i++)
		f->legs[i].f = f;
	return f;
}

void
fetch_begin(struct origin_fetch *f)
{
	const char *reject = f->oc->ops->check(f->oc->transport, &f->request);

	list_push_tail(&f->oc->open, &f->link);
	timer_start(&f->timer, f->request.deadline_ms - f->started_ms);
	if (reject != NULL) {
		fetch_note(f, ORIGIN_FAILED, 0, "%s", reject);
		fetch_doom(f);
	} else if (f->request.deadline_ms > f->started_ms) {
		fetch_ask(f);
	}
}

void
fetch_close(struct origin_fetch *f)
{
	f->failed = f->final = false;
	fetch_note(f, ORIGIN_FAILED, 0, "closed");
	fetch_fail(f);
}

struct origin_fetch *
fetch_first(struct origin_client *oc)
{
	return list_entry(oc->open.next, struct origin_fetch, link);
}

void
origin_fetch_cancel(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;

	fetch_stop(f);
	mem_free(f);
	fetch_pump(oc);
}
