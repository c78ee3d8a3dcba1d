/* histogram.h - log-linear counts of durations: each power of two is cut into
 * 64 equal steps, so that a percentile, given as the middle of its step, is
 * off by at most 1 %. (The idea of HdrHistogram, http://hdrhistogram.org.)
 *
 * One thread adds to a histogram; any thread may sum or reset it. */
#ifndef PANNIER_STATS_HISTOGRAM_H
#define PANNIER_STATS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/loglin.h"
#include "base/util.h"
#include "stats/counter.h"

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_MAX_BITS 36 /* values from 2^36 (19 hours in us) on are counted as the last */
#define HISTOGRAM_BUCKETS LOGLIN_BUCKETS(HISTOGRAM_SUB_BITS, HISTOGRAM_MAX_BITS)

/* The steps of one power of two lie together, and take memory from its first value on: what
 * is measured spreads over a few of them. */
#define HISTOGRAM_PER_POWER (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_POWERS (HISTOGRAM_BUCKETS / HISTOGRAM_PER_POWER)

/* Zeroed is empty. */
struct histogram {
	_Atomic(struct counter *) powers[HISTOGRAM_POWERS]; /* [HISTOGRAM_PER_POWER] or NULL */
	struct counter count, sum, max;
	/* Resets asked for, and how many of them the writer has carried out. */
	atomic_uint resets_wanted, resets_done;
};

/* A sum over several writers. */
struct histogram_sum {
	uint64_t *buckets; /* [HISTOGRAM_BUCKETS], owned; NULL: no value */
	int64_t count, sum, max;
};

/* Values below 0 count as 0. A value for which there is no memory is only
 * counted and summed. */
void histogram_add(struct histogram *h, int64_t value);
/* Any thread: empty from now on. The writer clears at its next value. */
void histogram_reset(struct histogram *h);
void histogram_fini(struct histogram *h); /* the writer's; empty afterwards */

/* Adds its values' number and sum. */
void histogram_totals(const struct histogram *h, int64_t *count, int64_t *sum);
void histogram_sum_init(struct histogram_sum *s);
/* Without memory for buckets, only count, sum and max are added. */
void histogram_sum_add(struct histogram_sum *s, const struct histogram *h);
void histogram_sum_fini(struct histogram_sum *s);
/* The value that a share q (0 to 1) of all values does not exceed; 0: none. */
int64_t histogram_quantile(const struct histogram_sum *s, double q);
/* How many values, of those that there was memory for, are at most this one. */
uint64_t histogram_at_most(const struct histogram_sum *s, int64_t value);
int64_t histogram_max(const struct histogram_sum *s);

/* Coarser counts, for who draws them or subtracts earlier ones: each power of two is
 * cut into 8 steps, so that a percentile read from them is off by at most 6 %. */
#define HISTOGRAM_STEP_BITS 3
#define HISTOGRAM_STEPS LOGLIN_BUCKETS(HISTOGRAM_STEP_BITS, HISTOGRAM_MAX_BITS)
struct histogram_step {
	int64_t from, below; /* its values are at least the one and less than the other */
	uint64_t n;          /* not 0 */
};
/* Those that have any, in order; how many. */
unsigned histogram_steps(const struct histogram_sum *s, struct histogram_step out[HISTOGRAM_STEPS]);
double histogram_mean(const struct histogram_sum *s);

#endif
