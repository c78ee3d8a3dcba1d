#include "config.h"

#include "resil/retry.h"

#include <errno.h>

#include "resil/span.h"

#define MS 1000
#define S (1000 * MS)
/* A fifth of five is one, whatever floating point makes of it. */
#define NEARLY_ONE (1 - 1e-9)

enum { REQUESTS, EXTRA };

/* --- budget ---------------------------------------------------------------------- */

void
budget_defaults(struct budget_cfg *cfg)
{
	*cfg = (struct budget_cfg){ .pct = 20, .min_per_s = 3, .window_us = 10 * S };
}

int
budget_init(struct budget *b, const struct budget_cfg *cfg, int64_t now_us)
{
	/* So written that no NaN passes. */
	if (!(cfg->pct >= 0 && cfg->pct <= 1000) ||
	    !(cfg->min_per_s >= 0 && cfg->min_per_s <= 1e6) ||
	    cfg->window_us < WINDOW_BUCKETS || cfg->window_us > SPAN_MAX_US)
		return -EINVAL;
	*b = (struct budget){ .cfg = *cfg };
	window_init(&b->window, cfg->window_us, now_us);
	return 0;
}

double
budget_left(const struct budget *b, int64_t now_us)
{
	double requests = (double)window_peek(&b->window, REQUESTS, now_us);
	double extra = (double)window_peek(&b->window, EXTRA, now_us);
	double least = b->cfg.min_per_s * (double)b->cfg.window_us / S;

	return requests * b->cfg.pct / 100 + least - extra;
}

void
budget_request(struct budget *b, int64_t now_us)
{
	window_add(&b->window, REQUESTS, 1, now_us);
}

bool
budget_take(struct budget *b, int64_t now_us)
{
	if (budget_left(b, now_us) < NEARLY_ONE) {
		b->refused++;
		return false;
	}
	budget_overdraw(b, now_us);
	b->granted++;
	return true;
}

void
budget_overdraw(struct budget *b, int64_t now_us)
{
	window_add(&b->window, EXTRA, 1, now_us);
}

void
budget_return(struct budget *b, int64_t now_us)
{
	window_undo(&b->window, EXTRA, now_us);
}

/* --- back-off -------------------------------------------------------------------- */

void
backoff_defaults(struct backoff_cfg *cfg)
{
	*cfg = (struct backoff_cfg){ .jitter = BACKOFF_FULL, .base_us = 10 * MS, .max_us = S };
}

bool
backoff_is_valid(const struct backoff_cfg *cfg)
{
	return cfg->base_us >= 0 && cfg->max_us >= cfg->base_us && cfg->max_us <= SPAN_MAX_US;
}

/* min(max, base * 2^(n-1)) */
static int64_t
exponential_us(const struct backoff_cfg *cfg, uint32_t n)
{
	uint32_t doublings = n > 0 ? n - 1 : 0;

	if (cfg->base_us == 0)
		return 0;
	if (doublings >= 62 || cfg->base_us > cfg->max_us >> doublings)
		return cfg->max_us;
	return cfg->base_us << doublings;
}

int64_t
backoff_wait_us(const struct backoff_cfg *cfg, uint32_t n, int64_t last_us, uint64_t random)
{
	int64_t most_us;

	if (cfg->jitter == BACKOFF_DECORRELATED) {
		most_us = MIN(MAX(last_us, cfg->base_us), cfg->max_us);
		most_us = MIN(most_us * 3, cfg->max_us);
		return cfg->base_us +
		    (int64_t)draw_below(random, (uint64_t)(most_us - cfg->base_us) + 1);
	}
	most_us = exponential_us(cfg, n);
	if (cfg->jitter == BACKOFF_NONE)
		return most_us;
	return (int64_t)draw_below(random, (uint64_t)most_us + 1);
}

/* --- deadline -------------------------------------------------------------------- */

bool
retry_fits(int64_t now_us, int64_t wait_us, int64_t expected_us, int64_t deadline_us)
{
	int64_t begin_us = span_after(now_us, MAX(wait_us, 0));

	return begin_us < deadline_us && span_after(begin_us, MAX(expected_us, 0)) <= deadline_us;
}
