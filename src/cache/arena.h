/* arena.h - the one region that everything the cache keeps lies in: a memfd,
 * mapped once, sparse, with a budget of pages.
 *
 * Pages are counted before they are touched, so what is resident is never more
 * than what is counted. A page goes back by punching a hole, and only then is
 * given to the budget again. No pointer is kept inside the region: entries name
 * each other by 32-bit references in units of 8 bytes from its start, so that
 * another process could map it.
 *
 * Taking and giving are thread-safe and lock nothing. */
#ifndef PANNIER_CACHE_ARENA_H
#define PANNIER_CACHE_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

#define PAGE_SHIFT 12
#define PAGE_BYTES (1u << PAGE_SHIFT)
#define REF_SHIFT 3
#define REF_REACH ((uint64_t)1 << (32 + REF_SHIFT))

struct arena {
	char *base;
	uint64_t bytes; /* of address space */
	int fd;
	_Atomic(int64_t) budget_pages;
	_Atomic(int64_t) used_pages;
};

/* 0, -ENOMEM, or -EINVAL where pages have another size than PAGE_BYTES. */
int arena_init(struct arena *a, uint64_t bytes, uint64_t budget_pages) MUST_CHECK;
/* Maps the region that another process has made, from a duplicate of fd, and touches
 * nothing in it; used_pages is for the caller to set. 0, -ENOMEM, or -EINVAL where it is
 * of another size. */
int arena_attach(struct arena *a, int fd, uint64_t bytes, uint64_t budget_pages) MUST_CHECK;
void arena_fini(struct arena *a);

/* False: not so many are left. */
bool arena_take(struct arena *a, uint64_t pages) MUST_CHECK;
void arena_give(struct arena *a, uint64_t pages);
/* Whole pages go back to the system and read as zero from now on. A system
 * call: not under a shard's lock. */
void arena_punch(struct arena *a, void *at, uint64_t bytes);
/* What the system says is resident; for tests. */
uint64_t arena_resident(const struct arena *a);

static inline int64_t
arena_used(const struct arena *a)
{
	return atomic_load_explicit(&a->used_pages, memory_order_relaxed);
}

static inline int64_t
arena_budget(const struct arena *a)
{
	return atomic_load_explicit(&a->budget_pages, memory_order_relaxed);
}

static inline int64_t
pages_bytes(int64_t pages)
{
	return pages * (int64_t)PAGE_BYTES;
}

static inline void *
arena_at(const struct arena *a, uint32_t ref)
{
	return a->base + ((uint64_t)ref << REF_SHIFT);
}

static inline uint32_t
arena_ref(const struct arena *a, const void *at)
{
	return (uint32_t)((uint64_t)((const char *)at - a->base) >> REF_SHIFT);
}

#endif
