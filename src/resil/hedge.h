/* hedge.h - when to send a second request because the first one drags: after the
 * p95 of recent times, so that some 5 % of the requests are sent twice and the slow
 * tail goes (J. Dean, L. Barroso, "The Tail at Scale", CACM 2013), and never
 * more than a budget allows, since an origin that becomes slow for all makes
 * every request a candidate.
 *
 * Pure: the clock is an argument, nothing is allocated, the caller locks. Times are
 * microseconds of a monotonic clock. */
#ifndef PANNIER_RESIL_HEDGE_H
#define PANNIER_RESIL_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "resil/retry.h"
#include "resil/sketch.h"

#define HEDGE_NEVER (-1)

struct hedge_cfg {
	double percentile;        /* above 0, below 100 */
	int64_t min_delay_us;     /* at least 0 */
	uint32_t min_samples;     /* 1 to SKETCH_FULL / 2 */
	int64_t half_life_us;     /* of the samples; at least 1 */
	struct budget_cfg budget; /* extra requests for each 100 */
};

/* 95, 1 ms, 50 samples, 60 s, budget of 5 % and none a second beside it over 10 s. */
void hedge_defaults(struct hedge_cfg *cfg);

struct hedge {
	struct hedge_cfg cfg;
	struct sketch times;
	struct budget budget;
	int64_t delay_us;    /* worked out last */
	uint32_t fresh;      /* samples since */
	uint64_t sent, capped; /* hedged; not hedged for want of budget */
};

/* 0 or -EINVAL. */
int hedge_init(struct hedge *h, const struct hedge_cfg *cfg, int64_t now_us) MUST_CHECK;
/* A first request goes out: how long to wait for its answer before hedging, or
 * HEDGE_NEVER: too few samples. */
int64_t hedge_begin(struct hedge *h, int64_t now_us);
/* The wait is over, and no answer: may the second one go? Counted if so. In a dry run
 * ask likewise, and send nothing. */
bool hedge_take(struct hedge *h, int64_t now_us);
/* How long the first request took; where the second one won, how long the first had
 * been under way: less than the truth, but it lies behind the percentile as surely, and
 * that alone matters. Errors do not count. */
void hedge_sample(struct hedge *h, int64_t took_us, int64_t now_us);
/* The time that a share q (0 to 1) does not exceed; 0: too few samples. For statistics,
 * and for what an attempt is expected to take. */
int64_t hedge_quantile_us(const struct hedge *h, double q);

#endif
