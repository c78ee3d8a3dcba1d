#include "config.h"

#include "resil/gcra.h"

#include <errno.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000
#define NS_PER_US 1000
/* So that no sum of a time and this passes 64 bits, whatever the clock says. */
#define AHEAD_MAX (INT64_MAX / 4)

static int
init_ns(struct gcra *g, int64_t limit, int64_t count, int64_t period_ns)
{
	g->limit = limit;
	/* In floating point as in redis-cell, for the same last digits. */
	g->interval_ns = (int64_t)((double)period_ns / (double)count);
	if (g->interval_ns <= 0 ||
	    __builtin_mul_overflow(g->interval_ns, g->limit, &g->ahead_ns) ||
	    g->ahead_ns > AHEAD_MAX)
		return -ERANGE;
	return 0;
}

int
gcra_init(struct gcra *g, int64_t max_burst, int64_t count, int64_t period_s)
{
	int64_t period_ns;

	if (max_burst < 0 || count <= 0 || period_s <= 0)
		return -EINVAL;
	if (max_burst == INT64_MAX || __builtin_mul_overflow(period_s, NS_PER_S, &period_ns))
		return -ERANGE;
	return init_ns(g, max_burst + 1, count, period_ns);
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

/* --- token bucket ----------------------------------------------------------- */

int
bucket_init(struct bucket *b, int64_t count, int64_t period_us, int64_t burst)
{
	int64_t period_ns;

	*b = (struct bucket){ 0 };
	if (count <= 0 || period_us <= 0 || burst <= 0)
		return -EINVAL;
	if (__builtin_mul_overflow(period_us, NS_PER_US, &period_ns))
		return -ERANGE;
	return init_ns(&b->gcra, burst, count, period_ns);
}

/* Until the next token is there, and the state once it is taken. */
static int64_t
next_token_ns(const struct bucket *b, int64_t now_us, int64_t *tat_ns)
{
	int64_t now_ns, wait;

	if (__builtin_mul_overflow(now_us, NS_PER_US, &now_ns))
		now_ns = INT64_MAX;
	if (__builtin_add_overflow(MAX(b->tat_ns, now_ns), b->gcra.interval_ns, tat_ns))
		*tat_ns = INT64_MAX;
	wait = *tat_ns - b->gcra.ahead_ns - now_ns;
	return MAX(wait, 0);
}

/* Up: who comes back after it finds the token. */
static int64_t
us_of_ns(int64_t ns)
{
	return ns / NS_PER_US + (ns % NS_PER_US > 0);
}

int64_t
bucket_take(struct bucket *b, int64_t now_us, int64_t max_wait_us, int64_t *retry_us)
{
	int64_t tat_ns, wait_us = us_of_ns(next_token_ns(b, now_us, &tat_ns));
	bool taken = wait_us <= MAX(max_wait_us, 0);

	if (retry_us != NULL)
		*retry_us = taken ? 0 : wait_us;
	b->taken += taken;
	b->refused += !taken;
	if (!taken)
		return -1;
	b->tat_ns = tat_ns;
	return wait_us;
}

void
bucket_return(struct bucket *b)
{
	b->tat_ns -= b->gcra.interval_ns;
}

int64_t
bucket_wait_us(const struct bucket *b, int64_t now_us)
{
	int64_t tat_ns;

	return us_of_ns(next_token_ns(b, now_us, &tat_ns));
}

int64_t
gcra_seconds(int64_t ns)
{
	if (ns < 0)
		return -1;
	return ns / NS_PER_S + (ns % NS_PER_S / NS_PER_MS > 0);
}
