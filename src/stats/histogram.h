/* histogram.h - log-linear counts of durations: each power of two is cut into
 * 64 equal steps, so that a percentile is off by at most 1 %. One writer, any
 * reader. (The idea of HdrHistogram, http://hdrhistogram.org.) */
#ifndef PANNIER_STATS_HISTOGRAM_H
#define PANNIER_STATS_HISTOGRAM_H

#include <stdint.h>

#include "base/util.h"
#include "stats/counter.h"

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_MAX_BITS 36 /* values from 2^36 (19 hours in us) on are counted as that */
#define HISTOGRAM_BUCKETS (((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS))

struct histogram {
	_Atomic(uint32_t) *buckets; /* [HISTOGRAM_BUCKETS], made at the first value */
	struct counter count, sum;
	struct counter max;
};

/* A sum over several writers. */
struct histogram_sum {
	uint64_t *buckets; /* [HISTOGRAM_BUCKETS], owned; NULL: no value */
	int64_t count, sum, max;
};

/* A value for which there is no memory is only counted and summed. */
void histogram_add(struct histogram *h, int64_t value);
void histogram_fini(struct histogram *h);

void histogram_sum_init(struct histogram_sum *s);
void histogram_sum_add(struct histogram_sum *s, const struct histogram *h);
void histogram_sum_fini(struct histogram_sum *s);
/* The value that a share q (0 to 1) of all values does not exceed; 0: none. */
int64_t histogram_quantile(const struct histogram_sum *s, double q);
int64_t histogram_max(const struct histogram_sum *s);
double histogram_mean(const struct histogram_sum *s);

#endif
