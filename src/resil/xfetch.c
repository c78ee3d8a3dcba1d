#include "config.h"

#include "resil/xfetch.h"

#include <math.h>

#include "base/draw.h"
#include "base/util.h"

bool
xfetch_due(int64_t left, int64_t delta, double beta, uint64_t random)
{
	if (left <= 0)
		return true;
	/* Of (0, 1]: the logarithm of 0 would be for ever. A NaN is never due. */
	return -beta * (double)delta * log(1 - draw_unit(random)) >= (double)left;
}

int64_t
ttl_jitter(int64_t ttl, uint32_t pct, uint64_t random)
{
	int64_t reach;

	if (ttl <= 0)
		return ttl;
	pct = MIN(pct, 100);
	reach = ttl / 100 * pct + ttl % 100 * pct / 100;
	return MAX(ttl - (int64_t)draw_below(random, (uint64_t)reach + 1), 1);
}
