/* limit.h - how many requests may be at an origin at a time, and which of those
 * that wait for a place is given up.
 *
 * Fixed, or adaptive by latency gradient: the limit follows the ratio of the best
 * round trip (nobody else there) to the present one, plus head-room to explore:
 *
 *     gradient = clamp((1 + tolerance) * best / now, 0.5, 1)
 *     limit    = limit + smoothing * (limit * gradient + sqrt(limit) - limit)
 *
 * Sources: Netflix concurrency-limits, Gradient2Limit (smoothing, head-room, no growth
 * while the application does not use the limit); Envoy's adaptive concurrency
 * filter (best round trip measured by cutting the limit for some requests; 25 % of
 * tolerance, square root of the limit as head-room). Unlike there, the limit is only
 * cut when the best round trip was not seen again for a minute. More in doc/resilience.md.
 *
 * The queue's entries are the caller's (first in, first out); here are its decisions.
 *
 * Pure: the clock is an argument, nothing is allocated, the caller locks. Times are
 * microseconds of a monotonic clock. */
#ifndef PANNIER_RESIL_LIMIT_H
#define PANNIER_RESIL_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "resil/sketch.h"

#define LIMIT_MAX 100000

struct limit_cfg {
	bool adaptive;
	uint32_t limit; /* fixed, or to begin with; 1 to LIMIT_MAX; adaptive: min to max */

	/* The rest is for adaptive ones. */
	uint32_t min, max;      /* 1 to LIMIT_MAX */
	uint32_t tolerance_pct; /* so much slower than the best is no overload; 0 to 1000 */
	double smoothing;       /* share of each step that is taken; above 0, to 1 */
	int64_t sample_us;      /* the limit changes so often at most; at least 1 */
	uint32_t sample_calls;  /* ... and only after so many calls; 1 to 1000 */
	int64_t best_us;        /* a best round trip holds so long unless seen again; at least 1 */
	uint32_t measure_calls; /* to find a new one, at the limit `min`; 1 to 1000 */
	int64_t measure_max_us; /* ... but no longer than that, once any is known; at least 1 */
};

/* Adaptive: from 20, within 3 and 200; 25 %, 0.2, 100 ms and 10 calls; 60 s, 25 calls
 * and 1 s. Else fixed at 32. */
void limit_defaults(struct limit_cfg *cfg, bool adaptive);

enum limit_outcome {
	LIMIT_OK,      /* a real answer: its time counts */
	LIMIT_DROPPED, /* cut off by its deadline: its time counts, being at least that; the
	                * limit falls where more than a tenth of the calls of a sample end so */
	LIMIT_REFUSED, /* for overload (503, 429): as dropped, but its time says nothing */
	LIMIT_IGNORE,  /* its time says nothing: not reached, cancelled, another error */
};

struct limit {
	struct limit_cfg cfg;
	double limit;
	uint32_t in_flight;
	uint32_t most_in_flight; /* of this sample */
	uint32_t calls, dropped; /* likewise */
	int64_t sample_from_us;
	struct sketch sample;    /* of this sample */
	int64_t service_us;      /* median of the last whole sample; 0: none yet */
	int64_t best_us, best_seen_us; /* 0: none yet */
	bool measuring;
	int64_t measure_from_us;
	uint64_t measured;       /* how often, for statistics */
};

/* 0 or -EINVAL. */
int limit_init(struct limit *l, const struct limit_cfg *cfg, int64_t now_us) MUST_CHECK;
/* The present limit; while it measures, cfg.min. */
uint32_t limit_now(const struct limit *l);
/* True: there is a place, and it is taken; owes a limit_release(). */
bool limit_take(struct limit *l);
/* Goes out in spite of a full limit (dry run): counted in flight; owes likewise. */
void limit_take_over(struct limit *l);
/* took_us: from the take (not from the wait before it) to now. */
void limit_release(struct limit *l, enum limit_outcome outcome, int64_t took_us, int64_t now_us);
/* What a call takes, by the median of the last sample; 0: not known. */
int64_t limit_service_us(const struct limit *l);

/* --- the bounded queue before it ------------------------------------------------- */

/* How things stand. With limit L and service time S, places become free every S/L. */
struct queue_view {
	int64_t now_us;
	uint32_t waiting, capacity; /* a capacity of 0 is no queue */
	uint32_t limit;             /* limit_now() */
	int64_t service_us;         /* limit_service_us(); 0: unknown, as if it took no time */
};

enum queue_verdict {
	QUEUE_WAIT,        /* joins at the end */
	QUEUE_SHED_OLDEST, /* the oldest is given up (it would be too late), and this one joins */
	QUEUE_REFUSE_FULL, /* all who wait can still make it */
	QUEUE_REFUSE_LATE, /* by its place in the queue it cannot make its own deadline */
};

/* Expected time until the one in this place (0: the oldest) begins. */
int64_t queue_wait_us(const struct queue_view *q, uint32_t place);
/* Could it not be answered by its deadline any more, begun when its turn comes? */
bool queue_is_late(const struct queue_view *q, uint32_t place, int64_t deadline_us);
/* No place in the limit: what to do with a new request. oldest_deadline_us: of the one that
 * waits longest; anything where none does. */
enum queue_verdict queue_arrive(const struct queue_view *q, int64_t deadline_us,
    int64_t oldest_deadline_us);
/* A place is free: run the oldest (true), or shed it and ask for the next (false)? */
bool queue_may_run(const struct queue_view *q, int64_t deadline_us);

#endif
