#include "config.h"

#include "resil/outlier.h"

#include <errno.h>

#include "resil/span.h"

#define S 1000000

void
outlier_defaults(struct outlier_cfg *cfg)
{
	*cfg = (struct outlier_cfg){
		.consecutive = 5,
		.base_us = 30 * S,
		.max_us = (int64_t)300 * S,
		.jitter_pct = 10,
		.max_pct = 50,
	};
}

int
outlier_init(struct outlier *o, const struct outlier_cfg *cfg, uint32_t n, int64_t now_us)
{
	if (n < 1 || n > OUTLIER_MAX || cfg->base_us < 1 || cfg->max_us < cfg->base_us ||
	    cfg->max_us > SPAN_MAX_US || cfg->jitter_pct > 100 || cfg->max_pct > 100)
		return -EINVAL;
	*o = (struct outlier){ .cfg = *cfg, .n = n };
	for (uint32_t i = 0; i < n; i++)
		o->endpoint[i].returned_us = now_us;
	return 0;
}

/* One may always be out, never all. */
static uint32_t
out_max(const struct outlier *o)
{
	return MIN(MAX(o->n * o->cfg.max_pct / 100, 1), o->n - 1);
}

static void
take_back(struct outlier *o, struct outlier_endpoint *e, int64_t at_us)
{
	e->out = false;
	e->on_trial = true;
	e->failures = 0;
	e->returned_us = at_us;
	o->n_out--;
	o->returns++;
}

/* Back since its time was over, not since somebody looked. */
static void
returns_due(struct outlier *o, int64_t now_us)
{
	for (uint32_t i = 0; i < o->n && o->n_out > 0; i++) {
		struct outlier_endpoint *e = &o->endpoint[i];

		if (e->out && now_us >= e->until_us)
			take_back(o, e, e->until_us);
	}
}

/* base times the ejections in a row; each base that it stayed in forgives one. */
static int64_t
length_us(const struct outlier *o, struct outlier_endpoint *e, int64_t now_us)
{
	int64_t forgiven = span_us(e->returned_us, now_us) / o->cfg.base_us;

	e->times = (forgiven >= e->times ? 0 : e->times - (uint32_t)forgiven) + 1;
	/* Before it could pass 32 bits. */
	e->times = (uint32_t)MIN(e->times, 1 + o->cfg.max_us / o->cfg.base_us);
	return MIN(o->cfg.base_us * e->times, o->cfg.max_us);
}

static void
eject(struct outlier *o, struct outlier_endpoint *e, int64_t now_us, uint64_t random)
{
	int64_t us = span_jitter(length_us(o, e, now_us), o->cfg.jitter_pct, random);

	e->out = true;
	e->on_trial = false;
	e->failures = 0;
	e->until_us = span_after(now_us, MAX(us, 1));
	o->n_out++;
	o->ejections++;
}

static enum outlier_event
report_ok(struct outlier_endpoint *e)
{
	bool cleared = e->on_trial;

	e->failures = 0;
	e->on_trial = false;
	return cleared ? OUTLIER_CLEARED : OUTLIER_NOTHING;
}

enum outlier_event
outlier_report(struct outlier *o, uint32_t i, bool ok, int64_t now_us, uint64_t random)
{
	struct outlier_endpoint *e = &o->endpoint[i];

	returns_due(o, now_us);
	if (e->out)
		return OUTLIER_NOTHING;
	if (ok)
		return report_ok(e);
	if (e->failures < UINT32_MAX)
		e->failures++;
	if (o->cfg.consecutive == 0 || (!e->on_trial && e->failures < o->cfg.consecutive))
		return OUTLIER_NOTHING;
	if (o->n_out >= out_max(o)) {
		o->spared++;
		return OUTLIER_SPARED;
	}
	eject(o, e, now_us, random);
	return OUTLIER_EJECTED;
}

uint64_t
outlier_usable(struct outlier *o, int64_t now_us)
{
	uint64_t mask = UINT64_MAX >> (64 - o->n);

	returns_due(o, now_us);
	for (uint32_t i = 0; i < o->n && o->n_out > 0; i++)
		if (o->endpoint[i].out)
			mask &= ~((uint64_t)1 << i);
	return mask;
}

void
outlier_restore(struct outlier *o, uint32_t i, int64_t now_us)
{
	if (o->endpoint[i].out)
		take_back(o, &o->endpoint[i], now_us);
}

int64_t
outlier_left_us(const struct outlier *o, uint32_t i, int64_t now_us)
{
	return o->endpoint[i].out ? span_us(now_us, o->endpoint[i].until_us) : 0;
}
