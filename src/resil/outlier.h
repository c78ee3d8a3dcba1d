/* outlier.h - passive ejection: an endpoint that fails several times in a row gets
 * no requests for a while, longer each time. Envoy's outlier detection (consecutive
 * 5xx), without its sweeps: an ejection ends on its own.
 * https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
 * Who is back is on trial: the first failure ejects it again, the first success
 * clears it.
 *
 * Pure: clock and randomness are arguments, nothing is allocated, the caller
 * locks. Times are microseconds of a monotonic clock. */
#ifndef PANNIER_RESIL_OUTLIER_H
#define PANNIER_RESIL_OUTLIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

#define OUTLIER_MAX 64 /* endpoints, as BALANCE_MAX */

struct outlier_cfg {
	uint32_t consecutive; /* failures in a row; 0: never */
	int64_t base_us;      /* of the first ejection, at least 1; the n-th in short order
	                       * lasts n times that */
	int64_t max_us;       /* at least base_us */
	uint32_t jitter_pct;  /* either way, 0 to 100: many sidecars must not come back at once */
	uint32_t max_pct;     /* of the endpoints out at a time, 0 to 100; one may always
	                       * be, all never */
};

/* 5 in a row, 30 s to 300 s, 10 % jitter, at most 50 %. */
void outlier_defaults(struct outlier_cfg *cfg);

struct outlier_endpoint {
	uint32_t failures;   /* in a row */
	uint32_t times;      /* ejected in short order */
	bool out, on_trial;
	int64_t until_us;    /* while it is out */
	int64_t returned_us; /* when it came back last */
};

struct outlier {
	struct outlier_cfg cfg;
	uint32_t n, n_out;
	struct outlier_endpoint endpoint[OUTLIER_MAX];
	uint64_t ejections, returns;
	uint64_t spared; /* ejections that max_pct forbade */
};

/* All in. n: 1 to OUTLIER_MAX. 0 or -EINVAL. */
int outlier_init(struct outlier *o, const struct outlier_cfg *cfg, uint32_t n, int64_t now_us)
    MUST_CHECK;

enum outlier_event {
	OUTLIER_NOTHING,
	OUTLIER_EJECTED,
	OUTLIER_SPARED, /* would have been ejected, but too many are */
	OUTLIER_CLEARED, /* its trial is over: it is trusted again */
};

/* The result of one request to endpoint i. What comes from one that is out (sent
 * before, or in panic) does not count. */
enum outlier_event outlier_report(struct outlier *o, uint32_t i, bool ok, int64_t now_us,
    uint64_t random);
/* Those that are in, as a mask; ends ejections whose time is over. Dry run: ignore
 * the mask; ejected ones then come back at their time all the same. */
uint64_t outlier_usable(struct outlier *o, int64_t now_us);
/* An active health check found it well: it comes back now, on trial. */
void outlier_restore(struct outlier *o, uint32_t i, int64_t now_us);
/* 0 where it is in. For statistics. */
int64_t outlier_left_us(const struct outlier *o, uint32_t i, int64_t now_us);

#endif
