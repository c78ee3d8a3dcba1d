/* mrc_stack.h - sampled keys in the order of their last use, with the bytes that
 * were used since: the stack of "Evaluation techniques for storage hierarchies"
 * (Mattson et al., IBM Systems Journal 1970), as a Fenwick tree over moments of use,
 * so that a use costs the logarithm of the number of keys. Not thread-safe. */
#ifndef PANNIER_STATS_MRC_STACK_H
#define PANNIER_STATS_MRC_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

#define MRC_KEYS_MAX 32767 /* moments have 16 bits */

/* Times are INT64_MAX for never. Caches that have kept the key since it was last written
 * go by far_ms; smaller ones than bucket `refilled` lost and refilled it, and
 * go by near_ms, which is never earlier. */
struct mrc_key {
	uint64_t hash;
	int64_t near_ms, far_ms;
	uint32_t bytes;
	uint16_t refilled;
	uint16_t missed; /* 1 + the bucket it was missed at, refilled next; 0: it was not */
	uint16_t slot;   /* its moment */
	uint16_t next;   /* in its chain, or of those that are free; 0: none */
};

struct mrc_stack {
	struct mrc_key *keys;  /* [max + 1], owned with all else; number 0 is none */
	uint64_t *tree;        /* [2 * max + 1], bytes by moment; from 1 on */
	uint16_t *slots;       /* [2 * max + 1], the key of a moment, 0: none */
	uint16_t *chains;      /* [n_chains] */
	uint32_t max, n, n_chains;
	uint32_t next_slot, oldest_slot; /* nobody is older than this */
	uint16_t spare;        /* first of those that are free */
	uint64_t bytes;        /* of all */
};

/* Bytes of memory for so many keys. */
uint64_t mrc_stack_memory(uint32_t keys);
/* keys: 2 to MRC_KEYS_MAX. 0 or -ENOMEM. */
int mrc_stack_init(struct mrc_stack *s, uint32_t keys) MUST_CHECK;
void mrc_stack_fini(struct mrc_stack *s); /* a zeroed one is fine */
void mrc_stack_clear(struct mrc_stack *s);

/* NULL: it is not there. */
struct mrc_key *mrc_stack_find(const struct mrc_stack *s, uint64_t hash);
/* Not there, and n is below max. Used just now. */
struct mrc_key *mrc_stack_add(struct mrc_stack *s, uint64_t hash, uint32_t bytes);
void mrc_stack_drop(struct mrc_stack *s, struct mrc_key *k);
/* Used just now, with so many bytes. */
void mrc_stack_use(struct mrc_stack *s, struct mrc_key *k, uint32_t bytes);
/* Bytes of all keys that were used after it. */
uint64_t mrc_stack_above(const struct mrc_stack *s, const struct mrc_key *k);
/* How many uses there were since, at most: that many keys were used after it. */
static inline uint32_t
mrc_stack_since(const struct mrc_stack *s, const struct mrc_key *k)
{
	return s->next_slot - k->slot - 1;
}
/* NULL: there is none. */
struct mrc_key *mrc_stack_oldest(struct mrc_stack *s);
/* A key number, 1 to max, that is in use; else NULL. */
struct mrc_key *mrc_stack_at(const struct mrc_stack *s, uint32_t i);

#endif
