/* sketch.h - the percentiles of recent durations in 1.2 KiB: log-linear counts,
 * eight steps to a power of two (so at most 6 % off), which fade. Each half-life
 * that passes, and each time that SKETCH_FULL is reached, all counts are halved. (The
 * histograms of src/stats are exact to 1 %, take 15 KiB, and never forget.)
 * Pure: the clock is an argument; the caller locks. */
#ifndef PANNIER_RESIL_SKETCH_H
#define PANNIER_RESIL_SKETCH_H

#include <stdint.h>

#include "base/loglin.h"

#define SKETCH_SUB_BITS 3
#define SKETCH_MAX_BITS 37 /* durations from 2^37 us (38 hours) on count as the last */
#define SKETCH_BUCKETS LOGLIN_BUCKETS(SKETCH_SUB_BITS, SKETCH_MAX_BITS)
#define SKETCH_UNIT 256 /* what a fresh sample counts, so that it can fade */
#define SKETCH_FULL 4096

struct sketch {
	int64_t half_life_us; /* 0: only by SKETCH_FULL */
	int64_t faded_us;     /* when it was halved last */
	uint32_t total; /* in 1/SKETCH_UNIT, as the counts */
	uint32_t count[SKETCH_BUCKETS];
};

void sketch_init(struct sketch *s, int64_t half_life_us, int64_t now_us);
void sketch_clear(struct sketch *s, int64_t now_us);
/* Below 0 counts as 0. */
void sketch_add(struct sketch *s, int64_t took_us, int64_t now_us);
uint32_t sketch_samples(const struct sketch *s);
/* Forgets what is due to be forgotten. */
void sketch_fade(struct sketch *s, int64_t now_us);
/* What a share q (0 to 1) does not exceed, as the middle of its step; 0: no samples. */
int64_t sketch_quantile(const struct sketch *s, double q);

#endif
