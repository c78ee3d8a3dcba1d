/* base.h - what a reset found. Only for the files of src/stats. */
#ifndef PANNIER_STATS_BASE_H
#define PANNIER_STATS_BASE_H

#include "base/lock.h"
#include "stats/stats.h"

/* A reset cannot write a loop's counters: they have one writer. It notes what
 * they were, and sums leave that out. The lock keeps a sum from subtracting
 * more than it read. Histograms are told to clear themselves instead, since a
 * maximum cannot be subtracted. */
struct stats_base {
	struct lock lock;
	struct stats_sum_loop loop;
	struct stats_sum_ns ns[STATS_NAMESPACES];
	struct stats_sum_origin origins[STATS_ORIGINS]; /* but for latency_us */
	struct stats_sum_command commands[STATS_COMMANDS];
	int64_t errors[STATS_ERRORS];
};

#endif
