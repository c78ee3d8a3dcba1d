#include "config.h"

#include "resil/sketch.h"

#include <string.h>

#include "resil/span.h"

#define VALUE_MAX (((int64_t)1 << SKETCH_MAX_BITS) - 1)
/* After so many halvings nothing is left of any count. */
#define HALVINGS_MAX 32

void
sketch_init(struct sketch *s, int64_t half_life_us, int64_t now_us)
{
	s->half_life_us = half_life_us;
	sketch_clear(s, now_us);
}

void
sketch_clear(struct sketch *s, int64_t now_us)
{
	s->faded_us = now_us;
	s->total = 0;
	memset(s->count, 0, sizeof s->count);
}

static void
halve(struct sketch *s, unsigned times)
{
	s->total = 0;
	for (unsigned i = 0; i < SKETCH_BUCKETS; i++)
		s->total += s->count[i] >>= times;
}

void
sketch_fade(struct sketch *s, int64_t now_us)
{
	int64_t times;

	if (s->half_life_us <= 0)
		return;
	times = span_us(s->faded_us, now_us) / s->half_life_us;
	if (times >= HALVINGS_MAX) {
		sketch_clear(s, now_us);
	} else if (times > 0) {
		halve(s, (unsigned)times);
		s->faded_us += times * s->half_life_us;
	}
}

void
sketch_add(struct sketch *s, int64_t took_us, int64_t now_us)
{
	int64_t value = MIN(MAX(took_us, 0), VALUE_MAX);

	sketch_fade(s, now_us);
	if (s->total >= SKETCH_FULL * SKETCH_UNIT)
		halve(s, 1);
	s->count[loglin_bucket(value, SKETCH_SUB_BITS)] += SKETCH_UNIT;
	s->total += SKETCH_UNIT;
}

uint32_t
sketch_samples(const struct sketch *s)
{
	return s->total / SKETCH_UNIT;
}

int64_t
sketch_quantile(const struct sketch *s, double q)
{
	double rank = MIN(MAX(q, 0.0), 1.0) * (double)s->total;
	uint64_t seen = 0;
	unsigned last = 0;

	for (unsigned i = 0; i < SKETCH_BUCKETS; i++) {
		if (s->count[i] == 0)
			continue;
		last = i;
		seen += s->count[i];
		if ((double)seen >= rank)
			break;
	}
	return loglin_middle(last, SKETCH_SUB_BITS);
}
