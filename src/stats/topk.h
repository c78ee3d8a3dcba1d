/* topk.h - which keys are read most, of a stream of sampled reads: Space-Saving (Metwally,
 * Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
 * Streams", ICDT 2005), with weights and with decay: what was read TOPK_HALF_LIFE_MS ago counts
 * half. A key whose share of all reads is above 1/counters is always among them, and its
 * count is never too low for what was told, and too high by `over` at most.
 *
 * A fixed number of counters, all memory allocated at the start. One thread at a time: the
 * caller locks. The clock is an argument: milliseconds, monotonic. */
#ifndef PANNIER_STATS_TOPK_H
#define PANNIER_STATS_TOPK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

#define TOPK_HALF_LIFE_MS 60000
#define TOPK_COUNTERS_MAX 4096
#define TOPK_KEY_BYTES 100 /* kept of a key; keys are told apart by their hashes */

struct topk;

struct topk_read {
	uint64_t hash; /* of the key, 64 bits that are spread well */
	struct slice key;
	uint16_t ns;
	unsigned weight; /* the read stands for so many */
	int64_t now_ms;
};

/* counters: 1 to TOPK_COUNTERS_MAX; groups: namespaces are below that. 0, -EINVAL or
 * -ENOMEM. */
int topk_new(unsigned counters, unsigned groups, int64_t now_ms, struct topk **out) MUST_CHECK;
void topk_free(struct topk *t); /* NULL is fine */
void topk_reset(struct topk *t, int64_t now_ms);

void topk_add(struct topk *t, const struct topk_read *r);

/* Reads, of which old ones count less. */
struct topk_item {
	uint64_t hash;
	double reads;
	double over;     /* of these, so many at most are other keys' */
	double variance; /* by the sampling, of reads squared */
	uint32_t key_len; /* of the whole key */
	uint16_t ns;
	char key[TOPK_KEY_BYTES]; /* its beginning */
};

unsigned topk_counters(const struct topk *t);
/* Copies what is there, in no order; how many of topk_counters() at most. */
unsigned topk_items(const struct topk *t, int64_t now_ms, struct topk_item *out);
/* The reads of one key; 0 where it is none of those that are followed. */
double topk_reads(const struct topk *t, uint64_t hash, int64_t now_ms);
/* What a key may have that is not followed. */
double topk_least(const struct topk *t, int64_t now_ms);
/* All of a namespace. */
struct topk_sum {
	double reads, samples; /* what was told stands for; how much was told */
};
struct topk_sum topk_sum(const struct topk *t, unsigned ns, int64_t now_ms);
/* The seconds that such counts are of: reads / seconds is a rate. At least 1. */
double topk_seconds(const struct topk *t, int64_t now_ms);

/* Redis's logarithmic counter of a key with so many reads, 0 to 255 (its evict.c,
 * LFULogIncr() with lfu-log-factor 10), as it would expect to be. Pure. */
unsigned topk_lfu(double reads);

#endif
