/* extent.h - where large entries keep key and value: runs of pages, contiguous
 * in an address space of their own behind the segments.
 *
 * Addresses are given out by a buddy system in granules of 16 KiB; only the
 * pages that are needed are taken from the budget. A freed extent keeps its
 * pages until somebody needs them: an entry of about the same size takes it
 * as it is, without the cost of punching and faulting in again.
 *
 * Thread-safe; extents.lock is as pool.lock: nothing is locked under it. */
#ifndef PANNIER_CACHE_EXTENT_H
#define PANNIER_CACHE_EXTENT_H

#include "base/lock.h"
#include "cache/arena.h"

#define GRANULE_SHIFT 14
#define EXTENT_ORDERS 22

enum extent_state {
	EXTENT_INSIDE,   /* not the first granule of a block */
	EXTENT_BARE,     /* free, no pages */
	EXTENT_RELEASED, /* free, pages still there */
	EXTENT_USED,
	EXTENT_DOOMED,   /* dead, but pinned */
	EXTENT_PUNCHING,
};

/* In the arena, one for each granule; the first of a block tells. */
struct extent {
	uint32_t next, prev; /* in a list by order */
	uint32_t pages;
	uint16_t pins;
	uint8_t order;
	uint8_t state;
};

struct extents {
	struct lock lock;
	struct arena *arena;
	char *base;           /* of the addresses */
	struct extent *table; /* [0 .. EXTENT_HEADS) are heads of lists */
	uint32_t limit, brk;  /* granules: of addresses, and given out so far */
	uint32_t table_pages;
	_Atomic(int64_t) live_pages;
	_Atomic(int64_t) released_pages;
	_Atomic(int64_t) pinned_bytes;
};

#define EXTENT_HEADS (2 * EXTENT_ORDERS)
#define EXTENT_TABLE_BYTES(granules) ((uint64_t)(granules) * sizeof(struct extent))

/* `table` and `base` are zeroed room in the arena, for so many granules; the
 * first EXTENT_HEADS of them are never given out. */
void extents_init(struct extents *x, struct arena *a, struct extent *table, char *base,
    uint32_t granules);
void extents_fini(struct extents *x);

/* An extent of so many bytes. 0: no pages or, hardly ever, no addresses. */
uint32_t extent_alloc(struct extents *x, uint64_t bytes);
void extent_free(struct extents *x, uint32_t id);

/* Punches pages of released extents, about 1 MiB at most; false: none. */
bool extents_punch(struct extents *x);

/* As pool_pin(). */
bool extent_pin(struct extents *x, uint32_t id, uint64_t max_bytes);
void extent_unpin(struct extents *x, uint32_t id);
bool extent_pinned(struct extents *x, uint32_t id);

static inline char *
extent_at(const struct extents *x, uint32_t id)
{
	return x->base + ((uint64_t)id << GRANULE_SHIFT);
}

static inline uint64_t
extent_pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

#endif
