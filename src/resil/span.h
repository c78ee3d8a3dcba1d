/* span.h - sums and differences of times that stay within 64 bits, whatever the
 * clock says. Times of src/resil are microseconds of the monotonic clock. */
#ifndef PANNIER_RESIL_SPAN_H
#define PANNIER_RESIL_SPAN_H

#include <stdint.h>

#include "base/draw.h"
#include "base/util.h"

/* Years of microseconds: no length that a configuration gives may be longer, so
 * that a few of them can be added or multiplied by 100. */
#define SPAN_MAX_US (INT64_MAX / 1024)

/* From `from` to `to`; 0 where that lies before it. Loops read the clock once a
 * turn, so one may be a little behind what another has written down. */
static inline int64_t
span_us(int64_t from_us, int64_t to_us)
{
	int64_t n;

	if (to_us <= from_us)
		return 0;
	return __builtin_sub_overflow(to_us, from_us, &n) ? INT64_MAX : n;
}

/* by_us: at least 0 */
static inline int64_t
span_after(int64_t from_us, int64_t by_us)
{
	int64_t at;

	return __builtin_add_overflow(from_us, by_us, &at) ? INT64_MAX : at;
}

/* A length of 0 to SPAN_MAX_US, made longer or shorter by up to pct (0 to 100)
 * percent, evenly. */
static inline int64_t
span_jitter(int64_t us, uint32_t pct, uint64_t random)
{
	int64_t reach = us / 100 * pct + us % 100 * pct / 100;

	return us - reach + (int64_t)draw_below(random, 2 * (uint64_t)reach + 1);
}

#endif
