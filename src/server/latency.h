/* latency.h - when something took long, by kind, for the LATENCY commands. One
 * for the daemon, thread-safe: a lock of its own, under which nothing is locked. */
#ifndef PANNIER_SERVER_LATENCY_H
#define PANNIER_SERVER_LATENCY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LATENCY_SAMPLES 160 /* kept of each kind, as Redis */

/* What is watched; latency_names has them as clients see them. */
enum latency_event {
	LATENCY_COMMAND,      /* of those that Redis calls slow */
	LATENCY_FAST_COMMAND,
	LATENCY_CACHE_CYCLE,  /* expiry, cleaning and shrinking by the clock */
	LATENCY_LOOP_STALL,   /* one turn of a loop: all that its clients waited for */
	LATENCY_MEMORY_PRESSURE, /* in which tasks of the cgroup waited for memory */
	LATENCY_MEMORY_PURGE, /* what is given back then */
	LATENCY_ORIGIN_WAIT,  /* a read that waited for a fetch */
	LATENCY_LEASE_WAIT,   /* or for another client's lease */
	LATENCY_EVENTS
};

extern const char *const latency_names[LATENCY_EVENTS];

struct latency_sample {
	int64_t unix_s;
	int64_t ms;
};

struct latency_series {
	int64_t max_ms;  /* ever, or since the last reset */
	unsigned n, next; /* of samples; where the next one goes */
	struct latency_sample samples[LATENCY_SAMPLES];
};

struct latency {
	pthread_mutex_t lock;
	struct latency_series series[LATENCY_EVENTS];
};

void latency_init(struct latency *l);
void latency_fini(struct latency *l);
/* Two in the same second are one, the longer. */
void latency_add(struct latency *l, enum latency_event e, int64_t ms, int64_t unix_s);
/* A copy to work on; n is 0 where there was nothing. Sample i, oldest first. */
void latency_get(struct latency *l, enum latency_event e, struct latency_series *out);
const struct latency_sample *latency_sample(const struct latency_series *s, unsigned i);
/* Whether there was something. */
bool latency_reset(struct latency *l, enum latency_event e);

#endif
