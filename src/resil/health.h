/* health.h - the active health check of one endpoint as a state machine, and the
 * slow start after it recovered. HAProxy's check (`inter 2s rise 2 fall 3`; until the
 * first success one failure is enough) and `slowstart`
 * (https://docs.haproxy.org/2.6/configuration.html#5.2).
 *
 * Pure: clock and randomness are arguments, nothing is allocated, the caller
 * locks. Times are microseconds of a monotonic clock. Who sends the check is the caller's
 * business: one loop polls when the time told has come, starts and stops as told,
 * and reports. Polls of several loops start it only once. */
#ifndef PANNIER_RESIL_HEALTH_H
#define PANNIER_RESIL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

struct health_cfg {
	int64_t interval_us;   /* from the start of a check to that of the next; at least 1 */
	uint32_t jitter_pct;   /* of the interval, either way; 0 to 100 */
	int64_t timeout_us;    /* at least 1; a check that takes longer has failed */
	uint32_t rise, fall;   /* successes to be up again, failures to be down; at least 1 */
	int64_t slow_start_us; /* 0: none */
	uint32_t ramp_min_pct; /* of its weight, with which a recovered endpoint begins; 1 to 100 */
};

/* 2 s, 10 %, 1 s, rise 2, fall 3, slow start 10 s from 10 %. */
void health_defaults(struct health_cfg *cfg);

struct health {
	struct health_cfg cfg;
	bool up;
	bool proven;         /* a check went well since the start */
	bool checking;
	uint32_t streak;     /* results in a row that speak against the state */
	uint32_t check;      /* the number of the last check */
	int64_t next_us;     /* when the next one starts */
	int64_t started_us;  /* of the one under way */
	int64_t up_since_us; /* of the last recovery, where ups is not 0 */
	uint64_t ups, downs; /* changes */
	uint64_t passed, failed, timed_out; /* checks; the last among the failed */
};

/* Up, unproven. The first check is due at a random moment of the first interval. 0 or -EINVAL. */
int health_init(struct health *h, const struct health_cfg *cfg, int64_t now_us, uint64_t random)
    MUST_CHECK;

enum health_action {
	HEALTH_WAIT,
	HEALTH_START, /* send a check now, to be reported with *check */
	HEALTH_STOP,  /* drop the one under way: too slow, counted as failed; poll again */
};

/* *wake_us: when to poll next at the latest (a report needs another poll, too). */
enum health_action health_poll(struct health *h, int64_t now_us, uint64_t random, uint32_t *check,
    int64_t *wake_us);
/* A result that comes after its timeout, or a second time, is ignored. True: up or
 * down has changed (of a HEALTH_STOP too, see health_poll(): compare h->up). */
bool health_report(struct health *h, uint32_t check, bool ok, int64_t now_us);
/* 1 to 100: the share of its weight that it should get, for balance_ramp(). */
uint32_t health_ramp_pct(const struct health *h, int64_t now_us);
/* Likewise for whatever came back at since_us, as after an ejection. */
uint32_t ramp_pct(int64_t since_us, int64_t length_us, uint32_t min_pct, int64_t now_us);

#endif
