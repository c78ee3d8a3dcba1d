/* mrc.h - what the hit rate would be with more or less memory: miss-ratio curves,
 * of everything and by namespace, learnt from a sample of the requests while they
 * are served. doc/advice.md says how and how well.
 *
 * SHARDS: "Efficient MRC construction with SHARDS" (Waldspurger, Park, Garthwaite,
 * Ahmad; FAST 2015), of fixed size, with its correction of the mean error ("adj"). A key
 * is sampled by its hash, so that all its uses are seen or none; distances are in bytes,
 * ends in time and deletions are followed. All namespaces share one memory, so there is
 * one stack, and a namespace's curve says how its own hit rate depends on all of the
 * memory.
 *
 * The share that is sampled begins at 1 and falls: where more than MRC_CALM sampled
 * references come in a second, to no less than 1/MRC_LEAST_SHARE; and without bound so that
 * the keys fit into what memory there is. MRC_CREDIT more may come at once: of what is left
 * of it each share spends a quarter, so that short streams are learnt from well. One costs
 * about 400 instructions.
 *
 * Thread-safe: one lock, innermost, taken for sampled references only. The clock is an
 * argument: milliseconds, monotonic. */
#ifndef PANNIER_STATS_MRC_H
#define PANNIER_STATS_MRC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loglin.h"
#include "base/util.h"
#include "stats/tally.h"

#define MRC_MEMORY_MIN (32u << 10)
#define MRC_MEMORY_MAX (1u << 20)
#define MRC_CALM 100
#define MRC_CREDIT 32768
#define MRC_LEAST_SHARE 192

/* Cache sizes are told apart to an eighth of their power of two, small ones to 4 KiB. */
#define MRC_UNIT_BITS 12
#define MRC_SUB_BITS 3
#define MRC_MAX_BITS 29 /* 2^41 bytes */
#define MRC_BUCKETS LOGLIN_BUCKETS(MRC_SUB_BITS, MRC_MAX_BITS)

#define MRC_NAMESPACES CACHE_CLASSES
#define MRC_ALL MRC_NAMESPACES /* no namespace: everything */

struct mrc_opts {
	uint64_t memory_bytes; /* of all that it allocates, from MRC_MEMORY_MIN on */
	uint64_t most_bytes;   /* the largest cache that is told of; what is used less
	                        * often than that could hold is forgotten */
	int64_t half_life_ms;  /* what was seen so long ago counts half; 0: nothing fades */
	/* Where mrc_wants() looks, kept current; the caller's. */
	_Atomic(uint32_t) *below;
};

struct mrc;

/* 0, -ENOMEM, -EINVAL (memory_bytes out of range). */
int mrc_new(const struct mrc_opts *o, struct mrc **out) MUST_CHECK;
void mrc_free(struct mrc *m); /* NULL is fine; *below is 0 then */

/* Whether a key's references are to be told; *below is 0 where there is no mrc. */
static inline bool
mrc_wants(const _Atomic(uint32_t) *below, uint64_t hash)
{
	return (uint32_t)hash < atomic_load_explicit(below, memory_order_relaxed);
}

struct mrc_ref {
	uint64_t hash; /* of the key, 64 bits that are spread well */
	unsigned ns;   /* below MRC_NAMESPACES */
	uint64_t bytes;     /* that the entry takes, overhead included */
	int64_t expires_ms; /* 0: never */
	int64_t now_ms;
};

/* A read found the key, or did not (bytes and expires_ms are not looked at then). */
void mrc_hit(struct mrc *m, const struct mrc_ref *r);
void mrc_miss(struct mrc *m, const struct mrc_ref *r);
/* It was written, or got another expiry. */
void mrc_put(struct mrc *m, const struct mrc_ref *r);
/* It was removed, and not to make room. */
void mrc_drop(struct mrc *m, uint64_t hash);
/* So was everything. */
void mrc_clear(struct mrc *m);
/* Forgets all that was seen. */
void mrc_reset(struct mrc *m, int64_t now_ms);
void mrc_set_most(struct mrc *m, uint64_t most_bytes);

/* How many reads there were in all of a namespace, sampled or not: a count that only
 * grows (where it did not, it has begun anew), told once a second or so. */
void mrc_count(struct mrc *m, unsigned ns, uint64_t reads);
/* Behind these: lets fade what is old. */
void mrc_tick(struct mrc *m, int64_t now_ms);

/* A copy, of one moment. Counts are faded. */
struct mrc_curve {
	double reads;    /* of which it tells, scaled up from the sample where mrc_count()
	                  * was not called */
	double seconds;  /* in so many */
	double sampled;  /* references that it was learnt from */
	double hits[MRC_BUCKETS]; /* by the least memory that makes them hits; parts of
	                           * `expected`; may be below 0 */
	double expected; /* references in the sample as there should have been */
};
/* False: nothing is known of the namespace, and *out is zero. */
bool mrc_curve(struct mrc *m, unsigned ns, struct mrc_curve *out);
/* The hit rate with so many bytes of entries, 0 to 1. Pure. */
double mrc_hit_rate(const struct mrc_curve *c, uint64_t bytes);
/* The least memory that reaches the hit rate; 0: none up to most_bytes does. */
uint64_t mrc_bytes_for(const struct mrc_curve *c, double hit_rate, uint64_t most_bytes);

struct mrc_stats {
	uint64_t memory_bytes; /* all that it takes */
	uint32_t keys, keys_max;
	double share;          /* of the keys, that is sampled */
	uint64_t references;   /* sampled so far */
};
void mrc_stats(struct mrc *m, struct mrc_stats *out);

#endif
