/* sims.h - what the policies of eviction would give, with the memory there is, with less
 * and with more: miniature simulations ("Cache Modeling and Optimization using
 * Miniature Simulations", Waldspurger, Saemundsson, Ahmad, Park; ATC 2017). Keys are
 * sampled by their hash, as in mrc.h, and for each policy and size a cache of as
 * small a share of the bytes is simulated (sim.h).
 *
 * A few hundred keys make a hit rate that is off by several hundredths, but most of that is
 * which keys were drawn, and the same for all policies. So what is told is the
 * difference to LRU, which mrc.h knows much better.
 *
 * The share falls from 1 as that of mrc.h does, to 1/SIMS_LEAST_SHARE at least where it is
 * for the time, and further where the keys do not fit. A reference costs about 2,200
 * instructions. Thread-safe: one lock, innermost. */
#ifndef PANNIER_STATS_SIMS_H
#define PANNIER_STATS_SIMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "stats/mrc.h"
#include "stats/sim.h"

#define SIMS_MEMORY_MIN (16u << 10)
#define SIMS_CALM 25
#define SIMS_CREDIT 8192
#define SIMS_LEAST_SHARE 2048
/* Entries that a simulated cache must have held before it is believed, if it ever was
 * full; and reads. */
#define SIMS_ENTRIES_ENOUGH 50
#define SIMS_READS_ENOUGH 1000

struct sims;

/* In so many bytes, SIMS_MEMORY_MIN at least; half_life_ms as of mrc.h. 0, -ENOMEM,
 * -EINVAL. Until sims_resize() it learns nothing. */
int sims_new(uint64_t memory_bytes, int64_t half_life_ms, struct sims **out) MUST_CHECK;
void sims_free(struct sims *s); /* NULL is fine */

/* The bytes of entries that each size of cache has, smallest first; 0: it is not
 * simulated. Where they change by more than a twentieth, what was counted is forgotten; the
 * caches go on with what they hold. */
void sims_resize(struct sims *s, const uint64_t bytes[SIM_SIZES]);

/* Whether a key's references are to be told. */
bool sims_wants(const struct sims *s, uint64_t hash);
/* A read, a write, a removal, a flush: as of mrc.h. */
void sims_read(struct sims *s, const struct mrc_ref *r, bool hit);
void sims_put(struct sims *s, const struct mrc_ref *r);
void sims_drop(struct sims *s, uint64_t hash);
void sims_clear(struct sims *s);
/* How many reads there were in all, sampled or not: as of mrc_count(). */
void sims_count(struct sims *s, uint64_t reads);
/* Forgets all that was seen, and fades what is old. */
void sims_reset(struct sims *s, int64_t now_ms);
void sims_tick(struct sims *s, int64_t now_ms);

struct sims_result {
	uint64_t memory_bytes;
	uint32_t keys, keys_max;
	double share;
	double reads; /* that it was learnt from, faded */
	/* By how much the hit rate is above LRU's of the same size; only where `told`. */
	double above_lru[SIM_POLICIES][SIM_SIZES];
	bool told[SIM_SIZES];
};

void sims_result(struct sims *s, struct sims_result *out);

#endif
