/* saved.h - the time of origins that was saved, by namespace: reads that were answered without
 * a fetch of their own (hits, stale ones too, and those that waited for another's fetch), times
 * what a fetch of the namespace took in the mean lately. Not by value: a key that
 * takes longer than others counts like them.
 *
 * One for the daemon, thread-safe: a lock of its own, under which nothing is locked but what
 * sums of statistics take. */
#ifndef PANNIER_SERVER_SAVED_H
#define PANNIER_SERVER_SAVED_H

#include <stdint.h>

#include "base/lock.h"
#include "stats/stats.h"

struct server;

struct saved_ns {
	int64_t reads;              /* answered without a fetch, as it was last seen */
	int64_t fetches, fetch_us;  /* likewise */
	double recent, recent_us;   /* fetches and their time, old ones counted for less */
	double us;                  /* saved */
};

struct saved {
	struct lock lock;
	int64_t counted_ms;
	struct saved_ns ns[STATS_NAMESPACES];
};

void saved_init(struct saved *s);
void saved_fini(struct saved *s);
/* Adds what came since the last time. Once a second, and before it is asked. */
void saved_count(struct server *s, int64_t now_ms);
/* Microseconds that a namespace saved, since the start or the last reset. */
int64_t saved_us(struct server *s, unsigned ns);
/* What a fetch of the namespace took in the mean lately; 0: there was none. */
double saved_fetch_us(struct server *s, unsigned ns);
/* After stats_reset(). */
void saved_reset(struct server *s);

#endif
