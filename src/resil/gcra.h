/* gcra.h - the generic cell rate algorithm, as redis-cell answers it. Pure: the
 * clock and the state are arguments, but for the token bucket below, which keeps its own.
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

/* --- a token bucket, as a guard wants one: rate and burst, and its own state --- */

struct bucket {
	struct gcra gcra;
	int64_t tat_ns;
	uint64_t taken, refused;
};

/* `count` tokens every period_us, evenly; `burst` (at least 1) at once. Full at first. 0;
 * -EINVAL: a count, burst or period that is not positive; -ERANGE as gcra_init(). */
int bucket_init(struct bucket *b, int64_t count, int64_t period_us, int64_t burst) MUST_CHECK;
/* Takes a token that is there within max_wait_us (0: now), each wait for the next one
 * in line. Returns how long to wait for it, 0: go; or -1: none in time, and none taken;
 * then *retry_us (may be NULL) is when one could be there at once. now_us is positive. */
int64_t bucket_take(struct bucket *b, int64_t now_us, int64_t max_wait_us, int64_t *retry_us);
/* One that was taken is not needed after all. */
void bucket_return(struct bucket *b);
/* Until a token is there; 0: now. Takes none. */
int64_t bucket_wait_us(const struct bucket *b, int64_t now_us);

/* In seconds, as redis-cell rounds: up, but for less than a millisecond. */
int64_t gcra_seconds(int64_t ns);

#endif
