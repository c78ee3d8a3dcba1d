/* breaker.h - a circuit breaker: stops asking an origin that fails or drags, and
 * finds out by a few probes whether it is back. The model is resilience4j's
 * CircuitBreaker (https://resilience4j.readme.io/docs/circuitbreaker); what
 * differs stands in doc/resilience.md.
 *
 *            rate reached                  open time over, and a call comes
 *   CLOSED ----------------> OPEN -------------------------------------> HALF_OPEN
 *      ^                      ^   probes failed: open longer than before    |  |
 *      |                      +---------------------------------------------+  |
 *      +--------------------------- probes went well --------------------------+
 *
 * Pure: clock and randomness are arguments, nothing is allocated, the caller
 * locks. Times are microseconds of one monotonic clock; a time that is a little
 * behind an earlier one (another loop's) is taken for that one. */
#ifndef PANNIER_RESIL_BREAKER_H
#define PANNIER_RESIL_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "resil/window.h"

#define BREAKER_CALLS_MAX 1024 /* of a count window */
#define BREAKER_PROBES_MAX 64

enum breaker_window {
	BREAKER_COUNT, /* the last window_calls calls */
	BREAKER_TIME,  /* the calls of the last window_us */
};

enum breaker_state {
	BREAKER_CLOSED, /* all pass */
	BREAKER_OPEN,   /* none */
	BREAKER_HALF_OPEN, /* cfg.probes of them */
};

enum breaker_force {
	BREAKER_AUTO,
	BREAKER_FORCE_CLOSED, /* all pass; results are counted and change nothing */
	BREAKER_FORCE_OPEN,   /* none pass */
};

struct breaker_cfg {
	enum breaker_window window;
	uint32_t window_calls;  /* 1 to BREAKER_CALLS_MAX */
	int64_t window_us;      /* at least 1 */
	uint32_t min_calls;     /* fewer in the window decide nothing; at least 1; of a count
	                         * window at most window_calls */
	uint32_t failure_pct;   /* of the calls, from which on it opens; 1 to 100, 0: off */
	uint32_t slow_pct;      /* likewise of slow calls, failed or not */
	int64_t slow_us;        /* a call that takes so long is slow; 0: none is */
	int64_t open_us;        /* at least 1 */
	uint32_t growth_pct;    /* of the last open time, the next one: 100 (no growth) to 1000;
	                         * who stayed closed for the last open time starts afresh */
	int64_t open_max_us;    /* at least open_us */
	uint32_t jitter_pct;    /* of the open time, either way; 0 to 100 */
	uint32_t probes;        /* 1 to BREAKER_PROBES_MAX */
	int64_t probe_lease_us; /* a probe without a result by then has failed; at least 1 */
};

/* Window of the last 100 calls, at least 20 of them; 50 %; slow calls off (100 % of slow_us 0);
 * open 2 s, doubled each time up to 10 s, give or take 20 %; 5 probes with 10 s each. */
void breaker_defaults(struct breaker_cfg *cfg);

enum breaker_verdict {
	BREAKER_PASS,
	BREAKER_PROBE,   /* passes, and decides with the others whether it closes */
	BREAKER_REFUSED, /* see retry_after_us */
};

/* What a call needs to report. Small, copied freely; not to be looked into. */
struct breaker_permit {
	uint32_t period; /* a result that belongs to an earlier period does not count */
	uint8_t verdict; /* enum breaker_verdict */
	uint8_t probe;   /* its place in the leases */
};

enum breaker_outcome {
	BREAKER_OK,
	BREAKER_FAILED,
	BREAKER_CANCELLED, /* says nothing about the origin: not counted; a probe's place is
	                    * free again */
};

struct breaker_counts {
	uint64_t opened, half_opened, closed; /* changes of state, forced ones left out */
	uint64_t refused;                     /* calls */
	uint64_t lost;                        /* probes whose lease ran out */
};

struct breaker {
	struct breaker_cfg cfg;
	enum breaker_state state;
	enum breaker_force force;
	uint32_t period;     /* goes on with each change of state */
	int64_t since_us;    /* of the state */
	int64_t open_us;     /* the last open time, without jitter; 0: none yet */
	int64_t until_us;    /* of BREAKER_OPEN */
	struct breaker_counts counts;

	/* The window by time, and by count: a ring of results, two bits each. */
	struct window by_time;
	uint32_t ring_at, ring_len;
	uint32_t ring_failed_n, ring_slow_n;
	uint64_t ring_failed[BREAKER_CALLS_MAX / 64], ring_slow[BREAKER_CALLS_MAX / 64];

	/* Half-open: which places are out, until when, and what came back. */
	uint64_t leased, done;
	int64_t lease_until_us[BREAKER_PROBES_MAX];
	uint32_t probes_failed, probes_slow;
};

/* Closed and empty. 0, or -EINVAL: a figure outside of its range above, or beyond
 * SPAN_MAX_US. */
int breaker_init(struct breaker *b, const struct breaker_cfg *cfg, int64_t now_us) MUST_CHECK;

/* May a call go out now? Each call that was asked for owes one breaker_report() with
 * the permit, a refused one too if it went out nevertheless (dry run): that
 * report changes nothing, so the breaker behaves as if it had been kept back.
 * *retry_after_us: 0 unless refused; then when to ask again, at least 1; where all
 * probes are out, the first end of a lease; INT64_MAX where it is forced open.
 * random: any 64 bits. */
enum breaker_verdict breaker_allow(struct breaker *b, int64_t now_us, uint64_t random,
    struct breaker_permit *out, int64_t *retry_after_us);

/* took_us: from the start of the call to its end. Once for each permit: a second
 * report of a probe may hit another one in its place. */
void breaker_report(struct breaker *b, struct breaker_permit permit, enum breaker_outcome outcome,
    int64_t took_us, int64_t now_us, uint64_t random);

/* BREAKER_AUTO after a forced state: closed and empty. */
void breaker_force(struct breaker *b, enum breaker_force force, int64_t now_us);

/* As calls see it: the forced state where it is forced. An open one stays open in
 * name until a call comes after its open time. */
enum breaker_state breaker_state(const struct breaker *b);

/* For statistics: the window (closed) or the probes (half-open). */
struct breaker_view {
	uint32_t calls, failed, slow;
	int64_t open_left_us; /* 0 unless open */
};
void breaker_view(const struct breaker *b, int64_t now_us, struct breaker_view *out);

#endif
