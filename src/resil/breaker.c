/* Results of calls that began before the state last changed are left out, by the
 * period in their permit: a slow failure from before the probes went out says
 * nothing about how the origin is now. (resilience4j counts them in whatever
 * state they find.)
 *
 * The probes are decided as early as they can be: open again as soon as the rate
 * is reached for sure, closed as soon as it cannot be reached any more. */
#include "config.h"

#include "resil/breaker.h"

#include <errno.h>
#include <string.h>

#include "resil/span.h"

#define MS 1000
#define S (1000 * MS)

/* What the window by time counts. */
enum { CALLS, FAILED, SLOW };

void
breaker_defaults(struct breaker_cfg *cfg)
{
	*cfg = (struct breaker_cfg){
		.window = BREAKER_COUNT,
		.window_calls = 100,
		.window_us = 10 * S,
		.min_calls = 20,
		.failure_pct = 50,
		.slow_pct = 100,
		.open_us = 2 * S,
		.growth_pct = 200,
		.open_max_us = 10 * S,
		.jitter_pct = 20,
		.probes = 5,
		.probe_lease_us = 10 * S,
	};
}

static bool
is_length(int64_t us)
{
	return us >= 1 && us <= SPAN_MAX_US;
}

static bool
cfg_is_valid(const struct breaker_cfg *c)
{
	if (c->window == BREAKER_COUNT) {
		if (c->window_calls < 1 || c->window_calls > BREAKER_CALLS_MAX ||
		    c->min_calls > c->window_calls)
			return false;
	} else if (!is_length(c->window_us)) {
		return false;
	}
	return c->min_calls >= 1 && c->failure_pct <= 100 && c->slow_pct <= 100 &&
	    c->slow_us >= 0 && is_length(c->open_us) && is_length(c->open_max_us) &&
	    c->open_max_us >= c->open_us &&
	    c->growth_pct >= 100 && c->growth_pct <= 1000 && c->jitter_pct <= 100 &&
	    c->probes >= 1 && c->probes <= BREAKER_PROBES_MAX && is_length(c->probe_lease_us);
}

/* --- the window of a closed breaker ---------------------------------------------- */

static void
window_clear(struct breaker *b, int64_t now_us)
{
	window_init(&b->by_time, b->cfg.window_us, now_us);
	b->ring_at = b->ring_len = b->ring_failed_n = b->ring_slow_n = 0;
	memset(b->ring_failed, 0, sizeof b->ring_failed);
	memset(b->ring_slow, 0, sizeof b->ring_slow);
}

/* Puts a bit in its place; what it does to the number of bits set. */
static int
bit_put(uint64_t *bits, uint32_t at, bool set)
{
	uint64_t mask = (uint64_t)1 << at % 64, *word = &bits[at / 64];
	int was = (*word & mask) != 0;

	*word = set ? *word | mask : *word & ~mask;
	return set - was;
}

/* A place that was never used holds no bits, so it need not be told from others. */
static void
ring_add(struct breaker *b, bool failed, bool slow)
{
	b->ring_failed_n += (uint32_t)bit_put(b->ring_failed, b->ring_at, failed);
	b->ring_slow_n += (uint32_t)bit_put(b->ring_slow, b->ring_at, slow);
	b->ring_at = (b->ring_at + 1) % b->cfg.window_calls;
	b->ring_len = MIN(b->ring_len + 1, b->cfg.window_calls);
}

static void
window_record(struct breaker *b, bool failed, bool slow, int64_t now_us)
{
	if (b->cfg.window == BREAKER_COUNT) {
		ring_add(b, failed, slow);
		return;
	}
	window_add(&b->by_time, CALLS, 1, now_us);
	window_add(&b->by_time, FAILED, failed, now_us);
	window_add(&b->by_time, SLOW, slow, now_us);
}

static void
window_view(const struct breaker *b, int64_t now_us, struct breaker_view *out)
{
	if (b->cfg.window == BREAKER_COUNT) {
		out->calls = b->ring_len;
		out->failed = b->ring_failed_n;
		out->slow = b->ring_slow_n;
		return;
	}
	out->calls = (uint32_t)MIN(window_peek(&b->by_time, CALLS, now_us), UINT32_MAX);
	out->failed = (uint32_t)MIN(window_peek(&b->by_time, FAILED, now_us), UINT32_MAX);
	out->slow = (uint32_t)MIN(window_peek(&b->by_time, SLOW, now_us), UINT32_MAX);
}

/* Is it pct percent of n? 0 percent is no threshold. */
static bool
reached(uint32_t part, uint32_t n, uint32_t pct)
{
	return pct > 0 && (uint64_t)part * 100 >= (uint64_t)n * pct;
}

/* --- states -------------------------------------------------------------------------- */

static void
enter(struct breaker *b, enum breaker_state state, int64_t now_us)
{
	b->state = state;
	b->since_us = now_us;
	b->period++;
}

/* A closed state that did not hold as long as it was open before has proven nothing. */
static int64_t
next_open_us(const struct breaker *b, int64_t now_us)
{
	int64_t grown;

	if (b->open_us == 0 ||
	    (b->state == BREAKER_CLOSED && span_us(b->since_us, now_us) >= b->open_us))
		return b->cfg.open_us;
	grown = b->open_us / 100 * b->cfg.growth_pct + b->open_us % 100 * b->cfg.growth_pct / 100;
	return MIN(grown, b->cfg.open_max_us);
}

static void
open_up(struct breaker *b, int64_t now_us, uint64_t random)
{
	int64_t wait_us;

	b->open_us = next_open_us(b, now_us);
	wait_us = span_jitter(b->open_us, b->cfg.jitter_pct, random);
	b->until_us = span_after(now_us, MAX(wait_us, 1));
	b->counts.opened++;
	enter(b, BREAKER_OPEN, now_us);
}

static void
close_down(struct breaker *b, int64_t now_us)
{
	b->counts.closed++;
	window_clear(b, now_us);
	enter(b, BREAKER_CLOSED, now_us);
}

static void
half_open(struct breaker *b, int64_t now_us)
{
	b->leased = b->done = 0;
	b->probes_failed = b->probes_slow = 0;
	b->counts.half_opened++;
	enter(b, BREAKER_HALF_OPEN, now_us);
}

static void
judge_window(struct breaker *b, int64_t now_us, uint64_t random)
{
	struct breaker_view v = { 0 };

	window_view(b, now_us, &v);
	if (v.calls >= b->cfg.min_calls && (reached(v.failed, v.calls, b->cfg.failure_pct) ||
	    reached(v.slow, v.calls, b->cfg.slow_pct)))
		open_up(b, now_us, random);
}

static void
judge_probes(struct breaker *b, int64_t now_us, uint64_t random)
{
	const struct breaker_cfg *c = &b->cfg;
	uint32_t open = c->probes - (uint32_t)__builtin_popcountll(b->done);

	if (reached(b->probes_failed, c->probes, c->failure_pct) ||
	    reached(b->probes_slow, c->probes, c->slow_pct))
		open_up(b, now_us, random);
	else if (!reached(b->probes_failed + open, c->probes, c->failure_pct) &&
	    !reached(b->probes_slow + open, c->probes, c->slow_pct))
		close_down(b, now_us);
}

/* --- probes ---------------------------------------------------------------------------- */

static void
probe_result(struct breaker *b, unsigned probe, bool failed, bool slow)
{
	b->leased &= ~((uint64_t)1 << probe);
	b->done |= (uint64_t)1 << probe;
	b->probes_failed += failed;
	b->probes_slow += slow;
}

/* A probe that never came back is no sign of health. */
static void
leases_end(struct breaker *b, int64_t now_us, uint64_t random)
{
	bool any = false;

	for (uint64_t out = b->leased; out != 0; out &= out - 1) {
		unsigned probe = (unsigned)__builtin_ctzll(out);

		if (b->lease_until_us[probe] > now_us)
			continue;
		probe_result(b, probe, true, b->cfg.slow_us > 0);
		b->counts.lost++;
		any = true;
	}
	if (any)
		judge_probes(b, now_us, random);
}

static int64_t
first_lease_end(const struct breaker *b)
{
	int64_t first_us = INT64_MAX;

	for (uint64_t out = b->leased; out != 0; out &= out - 1)
		first_us = MIN(first_us, b->lease_until_us[__builtin_ctzll(out)]);
	return first_us;
}

/* False: all are out. */
static bool
probe_take(struct breaker *b, int64_t now_us, struct breaker_permit *out)
{
	uint64_t all = UINT64_MAX >> (64 - b->cfg.probes), idle = all & ~(b->leased | b->done);

	if (idle == 0)
		return false;
	out->probe = (uint8_t)__builtin_ctzll(idle);
	b->leased |= (uint64_t)1 << out->probe;
	b->lease_until_us[out->probe] = span_after(now_us, b->cfg.probe_lease_us);
	return true;
}

/* --- the interface ----------------------------------------------------------------------- */

int
breaker_init(struct breaker *b, const struct breaker_cfg *cfg, int64_t now_us)
{
	if (!cfg_is_valid(cfg))
		return -EINVAL;
	*b = (struct breaker){ .cfg = *cfg, .state = BREAKER_CLOSED, .since_us = now_us };
	window_clear(b, now_us);
	return 0;
}

/* Without regard to what is forced: brings the state up to the time, and asks it. */
static enum breaker_verdict
ask(struct breaker *b, int64_t now_us, uint64_t random, struct breaker_permit *out,
    int64_t *retry_after_us)
{
	if (b->state == BREAKER_OPEN && now_us >= b->until_us)
		half_open(b, now_us);
	if (b->state == BREAKER_HALF_OPEN)
		leases_end(b, now_us, random);
	if (b->state == BREAKER_CLOSED)
		return BREAKER_PASS;
	if (b->state == BREAKER_OPEN) {
		*retry_after_us = MAX(span_us(now_us, b->until_us), 1);
		return BREAKER_REFUSED;
	}
	if (probe_take(b, now_us, out))
		return BREAKER_PROBE;
	*retry_after_us = MAX(span_us(now_us, first_lease_end(b)), 1);
	return BREAKER_REFUSED;
}

enum breaker_verdict
breaker_allow(struct breaker *b, int64_t now_us, uint64_t random, struct breaker_permit *out,
    int64_t *retry_after_us)
{
	enum breaker_verdict verdict = BREAKER_PASS;

	*out = (struct breaker_permit){ 0 };
	*retry_after_us = 0;
	if (b->force == BREAKER_FORCE_OPEN) {
		*retry_after_us = INT64_MAX;
		verdict = BREAKER_REFUSED;
	} else if (b->force == BREAKER_AUTO) {
		verdict = ask(b, now_us, random, out, retry_after_us);
	}
	b->counts.refused += verdict == BREAKER_REFUSED;
	out->verdict = (uint8_t)verdict;
	out->period = b->period;
	return verdict;
}

void
breaker_report(struct breaker *b, struct breaker_permit permit, enum breaker_outcome outcome,
    int64_t took_us, int64_t now_us, uint64_t random)
{
	bool failed = outcome == BREAKER_FAILED;
	bool slow = b->cfg.slow_us > 0 && took_us >= b->cfg.slow_us;

	if (permit.verdict == BREAKER_REFUSED || permit.period != b->period)
		return;
	if (permit.verdict == BREAKER_PROBE) {
		uint64_t bit = (uint64_t)1 << permit.probe % 64;

		if ((b->leased & bit) == 0)
			return;
		if (outcome == BREAKER_CANCELLED) {
			b->leased &= ~bit;
			return;
		}
		probe_result(b, permit.probe, failed, slow);
		judge_probes(b, now_us, random);
	} else if (outcome != BREAKER_CANCELLED) {
		window_record(b, failed, slow, now_us);
		if (b->force == BREAKER_AUTO)
			judge_window(b, now_us, random);
	}
}

void
breaker_force(struct breaker *b, enum breaker_force force, int64_t now_us)
{
	if (b->force == force)
		return;
	b->force = force;
	b->open_us = 0;
	window_clear(b, now_us);
	enter(b, BREAKER_CLOSED, now_us);
}

enum breaker_state
breaker_state(const struct breaker *b)
{
	if (b->force == BREAKER_FORCE_OPEN)
		return BREAKER_OPEN;
	return b->state;
}

void
breaker_view(const struct breaker *b, int64_t now_us, struct breaker_view *out)
{
	*out = (struct breaker_view){ 0 };
	if (b->state == BREAKER_CLOSED) {
		window_view(b, now_us, out);
	} else if (b->state == BREAKER_HALF_OPEN) {
		out->calls = (uint32_t)__builtin_popcountll(b->done);
		out->failed = b->probes_failed;
		out->slow = b->probes_slow;
	} else {
		out->open_left_us = span_us(now_us, b->until_us);
	}
}
