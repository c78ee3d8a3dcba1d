/* pressure.h - what to do when memory is short around the process: decisions only, over
 * what was read (config/machine.h) and the time that is passed in.
 *
 * Signs of it are
 *  - stalls (PSI, https://docs.kernel.org/accounting/psi.html): the share of time in which
 *    some task waited for memory. PRESSED_PCT over two looks in a row is pressure;
 *  - version 2's memory.high: what cannot be reclaimed comes up to it, and then the
 *    kernel throttles each allocation.
 *
 * First comes a purge, which costs no hit: what allocator, arena and code hold without
 * need. If that was not enough after SETTLE_MS, the cache gives up a step of its memory,
 * then another, down to half of it at most; the usual eviction does the work. Whose
 * stalls they are matters: where only the machine's can be read, its other processes may be
 * what is too large, and then there are purges alone.
 *
 * No see-saw: steps are given back one by one, after CALM_MS without pressure, and
 * where pressure follows on that, the next one waits twice as long, up to CALM_MOST_MS.
 * Between CALM_PCT and PRESSED_PCT nothing changes. Rejected: to follow the averages
 * avg10 and avg60 of PSI, which still tell of pressure long after the purge. */
#ifndef PANNIER_SERVER_PRESSURE_H
#define PANNIER_SERVER_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/machine.h"

#define PRESSED_PCT 10
#define CALM_PCT 1
#define HIGH_PRESSED_PCT 98 /* of memory.high */
#define HIGH_CALM_PCT 90
#define SETTLE_MS 2000
#define CALM_MS 10000
#define CALM_MOST_MS (10 * 60 * 1000)
#define PURGE_GAP_MS 30000 /* between two purges */
#define PRESSURE_STEPS 32  /* the limit has so many, */
#define PRESSURE_MOST 16   /* of which so many may go */

enum pressure_act {
	PRESSURE_NONE,
	PRESSURE_PURGE,
	PRESSURE_TAKE, /* one more step from the cache: `steps` has them all */
	PRESSURE_GIVE, /* one less */
};

/* Zeroed is the start. */
struct pressure {
	unsigned steps;         /* that the cache does without now */
	bool pressed;           /* at the last look */
	int64_t stalled_ms;     /* since the look before */
	/* Its own. */
	bool any;               /* there was a look */
	bool stalls;            /* the last look's share was over PRESSED_PCT */
	bool purged;            /* in this time of pressure */
	uint64_t stall_us;      /* at the last look */
	int64_t look_ms, act_ms, purge_ms, calm_ms, gave_ms; /* 0: not yet */
	int64_t wait_ms;        /* calm before the next step back; 0: CALM_MS */
};

/* At each look, a second or so after the last; now_ms is monotonic and above 0. Does
 * nothing where neither can be read. */
enum pressure_act pressure_decide(struct pressure *p, const struct machine *m, int64_t now_ms);

#endif
