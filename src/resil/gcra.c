#include "config.h"

#include "resil/gcra.h"

#include <errno.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000
#define NS_PER_US 1000
/* So that no sum of a time and this passes 64 bits, whatever the clock says. */
#define AHEAD_MAX (INT64_MAX / 4)

int
gcra_init(struct gcra *g, int64_t max_burst, int64_t count, int64_t period_s)
{
	int64_t period_ns;

	if (max_burst < 0 || count <= 0 || period_s <= 0)
		return -EINVAL;
	if (max_burst == INT64_MAX || __builtin_mul_overflow(period_s, NS_PER_S, &period_ns))
		return -ERANGE;
	g->limit = max_burst + 1;
	/* In floating point as in redis-cell, for the same last digits. */
	g->interval_ns = (int64_t)((double)period_ns / (double)count);
	if (g->interval_ns <= 0 ||
	    __builtin_mul_overflow(g->interval_ns, g->limit, &g->ahead_ns) ||
	    g->ahead_ns > AHEAD_MAX)
		return -ERANGE;
	return 0;
}

/* What is left of the burst, in whole units; in microseconds, as there, which can
 * come out as more than there is. */
static int64_t
units_left(const struct gcra *g, int64_t reset_after_ns)
{
	int64_t left_ns = g->ahead_ns - reset_after_ns, n;
	int64_t left_us = left_ns / NS_PER_US, interval_us = g->interval_ns / NS_PER_US;

	if (left_ns <= 0)
		return 0;
	if (interval_us == 0)
		n = left_ns / g->interval_ns;
	else
		n = (int64_t)((double)left_us / (double)interval_us);
	return MIN(n, g->limit);
}

void
gcra_take(const struct gcra *g, int64_t tat_ns, int64_t now_ns, int64_t quantity,
    struct gcra_answer *out)
{
	int64_t from = MAX(tat_ns, now_ns), to, wait;
	bool possible = quantity <= g->limit;

	/* A state that was written for another limit, or by hand, can be anywhere. */
	if (!possible || __builtin_add_overflow(from, g->interval_ns * quantity, &to))
		to = INT64_MAX;
	wait = to - g->ahead_ns - now_ns;
	*out = (struct gcra_answer){ .limited = !possible || wait > 0, .retry_after_ns = -1 };
	if (out->limited && possible)
		out->retry_after_ns = wait;
	out->tat_ns = out->limited ? from : to;
	out->reset_after_ns = out->tat_ns - now_ns;
	out->remaining = units_left(g, out->reset_after_ns);
}

int64_t
gcra_seconds(int64_t ns)
{
	if (ns < 0)
		return -1;
	return ns / NS_PER_S + (ns % NS_PER_S / NS_PER_MS > 0);
}
