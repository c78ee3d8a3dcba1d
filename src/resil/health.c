#include "config.h"

#include "resil/health.h"

#include <errno.h>

#include "resil/span.h"

#define S 1000000

void
health_defaults(struct health_cfg *cfg)
{
	*cfg = (struct health_cfg){
		.interval_us = 2 * S,
		.jitter_pct = 10,
		.timeout_us = S,
		.rise = 2,
		.fall = 3,
		.slow_start_us = 10 * S,
		.ramp_min_pct = 10,
	};
}

int
health_init(struct health *h, const struct health_cfg *cfg, int64_t now_us, uint64_t random)
{
	if (cfg->interval_us < 1 || cfg->interval_us > SPAN_MAX_US || cfg->jitter_pct > 100 ||
	    cfg->timeout_us < 1 || cfg->timeout_us > SPAN_MAX_US || cfg->rise < 1 ||
	    cfg->fall < 1 || cfg->slow_start_us < 0 || cfg->slow_start_us > SPAN_MAX_US ||
	    cfg->ramp_min_pct < 1 || cfg->ramp_min_pct > 100)
		return -EINVAL;
	*h = (struct health){ .cfg = *cfg, .up = true };
	h->next_us = span_after(now_us, (int64_t)draw_below(random, (uint64_t)cfg->interval_us));
	return 0;
}

/* Results against the state that it takes to change it. Nothing speaks for one that
 * never answered but the configuration, so one failure is enough then (HAProxy). */
static uint32_t
needed(const struct health *h)
{
	if (!h->up)
		return h->cfg.rise;
	return h->proven ? h->cfg.fall : 1;
}

static bool
result(struct health *h, bool ok, int64_t now_us)
{
	uint32_t need = needed(h);

	h->checking = false;
	h->passed += ok;
	h->failed += !ok;
	h->proven = h->proven || ok;
	h->streak = ok == h->up ? 0 : h->streak + 1;
	if (h->streak < need)
		return false;
	h->streak = 0;
	h->up = ok;
	h->ups += ok;
	h->downs += !ok;
	if (ok)
		h->up_since_us = now_us;
	return true;
}

enum health_action
health_poll(struct health *h, int64_t now_us, uint64_t random, uint32_t *check, int64_t *wake_us)
{
	int64_t interval_us;

	if (h->checking && span_us(h->started_us, now_us) >= h->cfg.timeout_us) {
		h->timed_out++;
		(void)result(h, false, now_us);
		*check = h->check;
		*wake_us = h->next_us;
		return HEALTH_STOP;
	}
	if (h->checking || now_us < h->next_us) {
		*wake_us = h->checking ? span_after(h->started_us, h->cfg.timeout_us) : h->next_us;
		return HEALTH_WAIT;
	}
	interval_us = span_jitter(h->cfg.interval_us, h->cfg.jitter_pct, random);
	h->checking = true;
	h->started_us = now_us;
	h->next_us = span_after(now_us, MAX(interval_us, 1));
	*check = ++h->check;
	*wake_us = span_after(now_us, h->cfg.timeout_us);
	return HEALTH_START;
}

bool
health_report(struct health *h, uint32_t check, bool ok, int64_t now_us)
{
	if (!h->checking || check != h->check)
		return false;
	return result(h, ok, now_us);
}

uint32_t
health_ramp_pct(const struct health *h, int64_t now_us)
{
	if (h->ups == 0)
		return 100;
	return ramp_pct(h->up_since_us, h->cfg.slow_start_us, h->cfg.ramp_min_pct, now_us);
}

uint32_t
ramp_pct(int64_t since_us, int64_t length_us, uint32_t min_pct, int64_t now_us)
{
	int64_t gone_us = span_us(since_us, now_us);

	if (gone_us >= length_us)
		return 100;
	/* Below SPAN_MAX_US, so no product passes the end. */
	return (uint32_t)MAX(gone_us * 100 / length_us, MAX(min_pct, 1));
}
