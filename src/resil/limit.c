/* The limit follows the latency gradient. Two things that the papers' loops
 * stumble over, and what is done about them here:
 *
 * The best round trip must be one without a queue at the origin. One taken while
 * the limit was too high is too long, lets the limit grow, and is "seen again" for
 * ever. So the first thing is to measure it at the limit `min`, and it is measured
 * again when nothing came near it for best_us, as Envoy does on a clock whether needed or
 * not. An origin that became slower for good is believed then.
 *
 * Errors end quickly and would look like a fast origin: only answers count, and
 * those cut off, with the time that they had. */
#include "config.h"

#include "resil/limit.h"

#include <errno.h>
#include <math.h>

#include "resil/span.h"

#define MS 1000
#define S (1000 * MS)
#define GRADIENT_MIN 0.5
#define DROP_FACTOR 0.9 /* Netflix's AIMDLimit */
#define DROP_SHARE 10   /* one in so many */

void
limit_defaults(struct limit_cfg *cfg, bool adaptive)
{
	*cfg = (struct limit_cfg){
		.adaptive = adaptive,
		.limit = adaptive ? 20 : 32,
		.min = 3,
		.max = 200,
		.tolerance_pct = 25,
		.smoothing = 0.2,
		.sample_us = 100 * MS,
		.sample_calls = 10,
		.best_us = 60 * S,
		.measure_calls = 25,
		.measure_max_us = S,
	};
}

static bool
within(int64_t n, int64_t low, int64_t high)
{
	return n >= low && n <= high;
}

/* What every limit needs: a fixed one, too, tells how long a call takes. */
static bool
sampling_is_valid(const struct limit_cfg *c)
{
	return within(c->sample_us, 1, SPAN_MAX_US) && within(c->sample_calls, 1, 1000);
}

static bool
adaptive_is_valid(const struct limit_cfg *c)
{
	return within(c->min, 1, LIMIT_MAX) && within(c->max, c->min, LIMIT_MAX) &&
	    within(c->limit, c->min, c->max) && c->tolerance_pct <= 1000 &&
	    c->smoothing > 0 && c->smoothing <= 1 && within(c->best_us, 1, SPAN_MAX_US) &&
	    within(c->measure_calls, 1, 1000) && within(c->measure_max_us, 1, SPAN_MAX_US);
}

int
limit_init(struct limit *l, const struct limit_cfg *cfg, int64_t now_us)
{
	if (!within(cfg->limit, 1, LIMIT_MAX) || !sampling_is_valid(cfg) ||
	    (cfg->adaptive && !adaptive_is_valid(cfg)))
		return -EINVAL;
	*l = (struct limit){ .cfg = *cfg, .limit = cfg->limit, .sample_from_us = now_us,
		.measuring = cfg->adaptive, .measure_from_us = now_us };
	sketch_init(&l->sample, 0, now_us);
	return 0;
}

uint32_t
limit_now(const struct limit *l)
{
	uint32_t limit = (uint32_t)l->limit;

	return l->measuring ? MIN(limit, l->cfg.min) : limit;
}

bool
limit_take(struct limit *l)
{
	if (l->in_flight >= limit_now(l))
		return false;
	limit_take_over(l);
	return true;
}

void
limit_take_over(struct limit *l)
{
	l->in_flight++;
	l->most_in_flight = MAX(l->most_in_flight, l->in_flight);
}

/* --- adaptation ---------------------------------------------------------------- */

static void
sample_begin(struct limit *l, int64_t now_us)
{
	sketch_clear(&l->sample, now_us);
	l->calls = l->dropped = 0;
	l->most_in_flight = l->in_flight;
	l->sample_from_us = now_us;
}

static void
measure_begin(struct limit *l, int64_t now_us)
{
	l->measuring = true;
	l->measure_from_us = now_us;
}

static void
best_set(struct limit *l, int64_t rtt_us, int64_t now_us)
{
	l->best_us = rtt_us;
	l->best_seen_us = now_us;
}

/* Where no call told anything, an older best one has to do; without one it goes on. */
static void
measure_step(struct limit *l, int64_t now_us)
{
	bool over = span_us(l->measure_from_us, now_us) >= l->cfg.measure_max_us;
	bool any = sketch_samples(&l->sample) > 0;

	if (sketch_samples(&l->sample) < l->cfg.measure_calls &&
	    !(over && (any || l->best_us > 0)))
		return;
	if (any)
		l->service_us = MAX(sketch_quantile(&l->sample, 0.5), 1);
	best_set(l, any ? l->service_us : l->best_us, now_us);
	l->measuring = false;
	l->measured++;
	sample_begin(l, now_us);
}

static void
best_update(struct limit *l, int64_t now_us)
{
	double near_us = (double)l->best_us * (1 + l->cfg.tolerance_pct / 200.0);

	if (l->service_us <= l->best_us)
		best_set(l, l->service_us, now_us);
	else if ((double)l->service_us <= near_us)
		l->best_seen_us = now_us;
	if (span_us(l->best_seen_us, now_us) >= l->cfg.best_us)
		measure_begin(l, now_us);
}

static double
gradient(const struct limit *l)
{
	double g = (1 + l->cfg.tolerance_pct / 100.0) * (double)l->best_us / (double)l->service_us;

	return MIN(MAX(g, GRADIENT_MIN), 1.0);
}

static void
limit_follow(struct limit *l)
{
	double to = l->limit * gradient(l) + sqrt(l->limit);

	/* Who does not use what he has learns nothing from having more. */
	if (to > l->limit && l->most_in_flight < l->limit / 2)
		return;
	l->limit += l->cfg.smoothing * (to - l->limit);
}

static void
adapt(struct limit *l, bool any, int64_t now_us)
{
	if (any) {
		best_update(l, now_us);
		limit_follow(l);
	}
	if (l->dropped > l->calls / DROP_SHARE)
		l->limit *= DROP_FACTOR;
	l->limit = MIN(MAX(l->limit, l->cfg.min), l->cfg.max);
}

static void
sample_step(struct limit *l, int64_t now_us)
{
	bool any = sketch_samples(&l->sample) > 0;

	if (l->calls < l->cfg.sample_calls || span_us(l->sample_from_us, now_us) < l->cfg.sample_us)
		return;
	if (any)
		l->service_us = MAX(sketch_quantile(&l->sample, 0.5), 1);
	if (l->cfg.adaptive)
		adapt(l, any, now_us);
	sample_begin(l, now_us);
}

/* While it measures, calls that began with others around them are no measure. */
static bool
is_sample(const struct limit *l, int64_t took_us, int64_t now_us)
{
	return !l->measuring || took_us <= span_us(l->measure_from_us, now_us);
}

void
limit_release(struct limit *l, enum limit_outcome outcome, int64_t took_us, int64_t now_us)
{
	if (l->in_flight > 0)
		l->in_flight--;
	if (outcome != LIMIT_IGNORE) {
		l->calls++;
		l->dropped += outcome != LIMIT_OK;
		if (outcome != LIMIT_REFUSED && is_sample(l, took_us, now_us))
			sketch_add(&l->sample, took_us, now_us);
	}
	if (l->measuring)
		measure_step(l, now_us);
	else
		sample_step(l, now_us);
}

int64_t
limit_service_us(const struct limit *l)
{
	return l->service_us;
}

/* --- the queue before it --------------------------------------------------------- */

int64_t
queue_wait_us(const struct queue_view *q, uint32_t place)
{
	/* In 128 bits no product of the two passes the end. */
	unsigned __int128 wait = (unsigned __int128)((uint64_t)place + 1) *
	    (uint64_t)MAX(q->service_us, 0) / MAX(q->limit, 1);

	return wait > INT64_MAX ? INT64_MAX : (int64_t)wait;
}

static bool
is_late(const struct queue_view *q, int64_t wait_us, int64_t deadline_us)
{
	int64_t begin_us = span_after(q->now_us, wait_us);

	return deadline_us <= q->now_us ||
	    span_after(begin_us, MAX(q->service_us, 0)) > deadline_us;
}

bool
queue_is_late(const struct queue_view *q, uint32_t place, int64_t deadline_us)
{
	return is_late(q, queue_wait_us(q, place), deadline_us);
}

enum queue_verdict
queue_arrive(const struct queue_view *q, int64_t deadline_us, int64_t oldest_deadline_us)
{
	if (q->capacity == 0)
		return QUEUE_REFUSE_FULL;
	if (q->waiting < q->capacity)
		return queue_is_late(q, q->waiting, deadline_us) ? QUEUE_REFUSE_LATE : QUEUE_WAIT;
	if (!queue_is_late(q, 0, oldest_deadline_us))
		return QUEUE_REFUSE_FULL;
	return queue_is_late(q, q->waiting - 1, deadline_us) ? QUEUE_REFUSE_LATE :
	    QUEUE_SHED_OLDEST;
}

bool
queue_may_run(const struct queue_view *q, int64_t deadline_us)
{
	return !is_late(q, 0, deadline_us);
}
