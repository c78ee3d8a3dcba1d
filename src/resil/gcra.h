/* gcra.h - the generic cell rate algorithm, as redis-cell answers it. Pure: the
 * clock and the state are arguments.
 *
 * A key has one number, its theoretical arrival time (TAT): when it would be as
 * if never used. Each unit taken moves it on by the time between two units; it
 * may be ahead of the clock by what the burst allows, and no further. */
#ifndef PANNIER_RESIL_GCRA_H
#define PANNIER_RESIL_GCRA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct gcra {
	int64_t interval_ns; /* between two units */
	int64_t ahead_ns;    /* how far the TAT may be ahead of the clock */
	int64_t limit;       /* units that can be taken at once */
};

/* `count` units in `period_s` seconds, and max_burst more at once. 0; -EINVAL: a
 * negative burst, or a count or period that is not positive; -ERANGE: not to be counted in
 * nanoseconds, by too fine an interval or too long a time. */
int gcra_init(struct gcra *g, int64_t max_burst, int64_t count, int64_t period_s) MUST_CHECK;

struct gcra_answer {
	bool limited;
	int64_t remaining;
	int64_t retry_after_ns; /* -1: allowed, or more than could ever be */
	int64_t reset_after_ns; /* until it is as if never used */
	int64_t tat_ns;         /* the state from now on; as it was where limited */
};

/* Takes quantity units, at least 0, or none. tat_ns: the state, 0 for a new one.
 * now_ns is positive. */
void gcra_take(const struct gcra *g, int64_t tat_ns, int64_t now_ns, int64_t quantity,
    struct gcra_answer *out);

/* In seconds, as redis-cell rounds: up, but for less than a millisecond. */
int64_t gcra_seconds(int64_t ns);

#endif
