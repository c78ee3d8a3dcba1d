/* pace.h - how much may be sampled: so many references a second, and a credit of more
 * that may come at once. Of what is left of that each share of the keys spends a quarter
 * before it is to be lowered, so that a stream is sampled all along however fast it
 * comes. Pure; the clock is an argument, in milliseconds. */
#ifndef PANNIER_STATS_PACE_H
#define PANNIER_STATS_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

#define PACE_CHECK_EVERY 256 /* references, until the clock is looked at */
#define PACE_SPENT_BY_A_SHARE 0.25

struct pace {
	double per_second, credit_max;
	double credit;  /* references that may still come at once */
	double least;   /* the share is lowered there */
	unsigned unchecked;
	int64_t checked_ms;
};

static inline void
pace_begin(struct pace *p, double per_second, double credit, int64_t now_ms)
{
	*p = (struct pace){ .per_second = per_second, .credit_max = credit, .credit = credit,
		.least = credit * (1 - PACE_SPENT_BY_A_SHARE), .checked_ms = now_ms };
}

/* The share has been lowered. */
static inline void
pace_lowered(struct pace *p)
{
	p->least = p->credit * (1 - PACE_SPENT_BY_A_SHARE);
}

/* A reference came. True: they are too many for their time. */
static inline bool
pace_is_over(struct pace *p, int64_t now_ms)
{
	if (++p->unchecked < PACE_CHECK_EVERY)
		return false;
	p->credit += (double)(now_ms - p->checked_ms) * p->per_second / 1e3;
	p->credit = MAX(MIN(p->credit, p->credit_max) - PACE_CHECK_EVERY, 0.0);
	p->unchecked = 0;
	p->checked_ms = now_ms;
	return p->credit <= p->least;
}

#endif
