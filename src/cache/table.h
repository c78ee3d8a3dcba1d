/* table.h - a shard's hash table: linear hashing (Litwin 1980), chains through
 * the entries.
 *
 * It grows and shrinks by one bucket at a time, and by one page at a time, in
 * a range of addresses that is never moved: no stop and no copy, and at 1.5
 * entries a bucket less than 3 bytes an entry. With n buckets, 2^L <= n <
 * 2^(L+1), a hash falls to its low L + 1 bits where such a bucket exists, else
 * to its low L bits.
 *
 * All calls: the shard's lock is held. */
#ifndef PANNIER_CACHE_TABLE_H
#define PANNIER_CACHE_TABLE_H

#include "cache/shard.h"

#define TABLE_PAGE_BUCKETS (PAGE_BYTES / sizeof(uint32_t))

static inline uint32_t
table_size(const struct shard *sh)
{
	return atomic_load_explicit(&sh->head->n_buckets, memory_order_relaxed);
}

/* The largest L with 2^L <= n. */
static inline unsigned
table_level(uint32_t n)
{
	return 31 - (unsigned)__builtin_clz(n);
}

static inline uint32_t
table_index(uint32_t n, uint64_t hash)
{
	uint32_t mask = (2u << table_level(n)) - 1;
	uint32_t i = (uint32_t)hash & mask;

	return i < n ? i : i & (mask >> 1);
}

static inline uint32_t *
table_bucket(const struct shard *sh, uint32_t i)
{
	char *page = sh->table + ((uint64_t)(i / TABLE_PAGE_BUCKETS) << sh->stride_shift);

	return (uint32_t *)(void *)page + i % TABLE_PAGE_BUCKETS;
}

static inline uint32_t *
table_chain(const struct shard *sh, uint64_t hash)
{
	return table_bucket(sh, table_index(table_size(sh), hash));
}

void table_insert(struct shard *sh, uint64_t hash, uint32_t ref);
/* The entry that is there leaves its chain, or another one takes its place. */
void table_remove(struct shard *sh, uint64_t hash, uint32_t ref);
void table_replace(struct shard *sh, uint64_t hash, uint32_t ref, uint32_t by);

void table_step(struct shard *sh);

/* Some steps of growing or shrinking, where the number of entries asks for
 * it. Links of other entries change: for when nobody holds any. */
static inline void
table_adjust(struct shard *sh)
{
	uint64_t count = shard_get(&sh->count), n = table_size(sh);

	if (unlikely(2 * count > 3 * n || (count < n && n > TABLE_PAGE_BUCKETS)))
		table_step(sh);
}
/* Gives back a page that the table no longer reaches; takes the lock itself.
 * False: there is none. */
bool table_trim(struct shard *sh);

#endif
