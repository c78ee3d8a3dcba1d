/* retry.h - whether a failed request may be sent once more, and when.
 *
 * The budget: retries may be at most a share of the requests of the last seconds,
 * plus a few a second, so that retries cannot multiply the load of an origin that
 * is down (Finagle's RetryBudget, https://twitter.github.io/finagle/guide/Clients.html:
 * 20 % and 10 a second over 10 s; Envoy's retry_budget: 20 % and 3). The
 * back-off: exponential with jitter (M. Brooker, "Exponential Backoff And Jitter",
 * AWS Architecture Blog, 2015).
 *
 * Pure: clock and randomness are arguments, nothing is allocated, the caller
 * locks. Times are microseconds. */
#ifndef PANNIER_RESIL_RETRY_H
#define PANNIER_RESIL_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "resil/window.h"

/* --- budget: of retries, and of hedged requests (hedge.h) ------------------- */

struct budget_cfg {
	double pct;        /* extra requests for each 100 first ones; 0 to 1000 */
	double min_per_s;  /* and so many a second whatever the load; 0 to 1e6 */
	int64_t window_us; /* at least 10 */
};

/* 20 %, 3 a second, 10 s. */
void budget_defaults(struct budget_cfg *cfg);

struct budget {
	struct budget_cfg cfg;
	struct window window; /* of requests and of extra ones */
	uint64_t granted, refused;
};

/* 0 or -EINVAL. Full from the start: min_per_s * window_us are there at once. */
int budget_init(struct budget *b, const struct budget_cfg *cfg, int64_t now_us) MUST_CHECK;
/* A first attempt goes out. Extra ones are not told here. */
void budget_request(struct budget *b, int64_t now_us);
/* True: one extra request may go out, and has been counted. */
bool budget_take(struct budget *b, int64_t now_us);
/* One goes out although budget_take() said no: a dry run that counts it in. What is
 * left may become less than nothing; not to be called otherwise. */
void budget_overdraw(struct budget *b, int64_t now_us);
/* An extra request that was taken was not sent after all. */
void budget_return(struct budget *b, int64_t now_us);
/* How many could be taken now; can be negative. For statistics. */
double budget_left(const struct budget *b, int64_t now_us);

/* --- back-off ----------------------------------------------------------------- */

enum backoff_jitter {
	BACKOFF_FULL,         /* evenly from 0 to min(max, base * 2^(n-1)): the least load */
	BACKOFF_DECORRELATED, /* evenly from base to 3 * the last wait, at most max */
	BACKOFF_NONE,         /* min(max, base * 2^(n-1)) */
};

struct backoff_cfg {
	enum backoff_jitter jitter;
	int64_t base_us; /* at least 0: at once */
	int64_t max_us;  /* at least base_us, at most SPAN_MAX_US */
};

/* Full jitter, 10 ms, 1 s. */
void backoff_defaults(struct backoff_cfg *cfg);
bool backoff_is_valid(const struct backoff_cfg *cfg);
/* The wait before retry n (1: the first); any n. last_us: what it said for the retry
 * before, 0 for the first; only BACKOFF_DECORRELATED asks. 0 to max_us. */
int64_t backoff_wait_us(const struct backoff_cfg *cfg, uint32_t n, int64_t last_us,
    uint64_t random);

/* --- deadline ------------------------------------------------------------------ */

/* Is there time for an attempt that begins after wait_us and should take
 * expected_us (limit_service_us(), hedge_quantile_us(); 0: unknown) before deadline_us? */
bool retry_fits(int64_t now_us, int64_t wait_us, int64_t expected_us, int64_t deadline_us);

#endif
