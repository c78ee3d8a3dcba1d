#include "config.h"

#include "resil/hedge.h"

#include <errno.h>

#include "resil/span.h"

#define MS 1000
#define S (1000 * MS)
/* The percentile moves slowly; looking it up at each request would cost more than
 * it is worth. */
#define SAMPLES_BETWEEN 16

void
hedge_defaults(struct hedge_cfg *cfg)
{
	*cfg = (struct hedge_cfg){
		.percentile = 95,
		.min_delay_us = MS,
		.min_samples = 50,
		.half_life_us = 60 * S,
		.budget = { .pct = 5, .min_per_s = 0, .window_us = 10 * S },
	};
}

int
hedge_init(struct hedge *h, const struct hedge_cfg *cfg, int64_t now_us)
{
	if (!(cfg->percentile > 0 && cfg->percentile < 100) || cfg->min_delay_us < 0 ||
	    cfg->min_delay_us > SPAN_MAX_US || cfg->min_samples < 1 ||
	    cfg->min_samples > SKETCH_FULL / 2 || cfg->half_life_us < 1 ||
	    cfg->half_life_us > SPAN_MAX_US)
		return -EINVAL;
	*h = (struct hedge){ .cfg = *cfg };
	sketch_init(&h->times, cfg->half_life_us, now_us);
	return budget_init(&h->budget, &cfg->budget, now_us);
}

int64_t
hedge_begin(struct hedge *h, int64_t now_us)
{
	budget_request(&h->budget, now_us);
	sketch_fade(&h->times, now_us);
	if (sketch_samples(&h->times) < h->cfg.min_samples)
		return HEDGE_NEVER;
	if (h->fresh >= SAMPLES_BETWEEN || h->delay_us == 0) {
		h->delay_us = sketch_quantile(&h->times, h->cfg.percentile / 100);
		h->fresh = 0;
	}
	return MAX(h->delay_us, h->cfg.min_delay_us);
}

bool
hedge_take(struct hedge *h, int64_t now_us)
{
	bool may = budget_take(&h->budget, now_us);

	h->sent += may;
	h->capped += !may;
	return may;
}

void
hedge_sample(struct hedge *h, int64_t took_us, int64_t now_us)
{
	sketch_add(&h->times, took_us, now_us);
	h->fresh++;
}

int64_t
hedge_quantile_us(const struct hedge *h, double q)
{
	if (sketch_samples(&h->times) < h->cfg.min_samples)
		return 0;
	return sketch_quantile(&h->times, q);
}
