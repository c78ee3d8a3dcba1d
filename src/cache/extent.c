#include "config.h"

#include "cache/extent.h"

#include <assert.h>

#define PUNCH_PAGES 256
#define GRANULE_PAGES_SHIFT (GRANULE_SHIFT - PAGE_SHIFT)

/* Lists: bare blocks by order, then released ones by order. */
static uint32_t
head_bare(unsigned order)
{
	return order;
}

static uint32_t
head_released(unsigned order)
{
	return EXTENT_ORDERS + order;
}

static void
block_unlink(struct extents *x, uint32_t id)
{
	struct extent *e = &x->table[id];

	x->table[e->prev].next = e->next;
	x->table[e->next].prev = e->prev;
}

static void
block_link(struct extents *x, uint32_t id, uint32_t head)
{
	struct extent *e = &x->table[id];

	e->next = x->table[head].next;
	e->prev = head;
	x->table[e->next].prev = id;
	x->table[head].next = id;
}

static uint32_t
list_first(const struct extents *x, uint32_t head)
{
	uint32_t id = x->table[head].next;

	return id == head ? 0 : id;
}

static void
put_bare(struct extents *x, uint32_t id, unsigned order)
{
	x->table[id] = (struct extent){ .order = (uint8_t)order, .state = EXTENT_BARE };
	block_link(x, id, head_bare(order));
}

static void
block_merge(struct extents *x, uint32_t id, unsigned order)
{
	while (order + 1 < EXTENT_ORDERS) {
		uint32_t buddy = id ^ (1u << order);

		if (buddy < EXTENT_HEADS || buddy >= x->brk ||
		    x->table[buddy].state != EXTENT_BARE || x->table[buddy].order != order)
			break;
		block_unlink(x, buddy);
		x->table[MAX(id, buddy)].state = EXTENT_INSIDE;
		id = MIN(id, buddy);
		order++;
	}
	put_bare(x, id, order);
}

/* Structs up to the new brk may be touched from now on: count their pages. */
static bool
take_table(struct extents *x, uint64_t brk)
{
	uint32_t pages = (uint32_t)extent_pages(EXTENT_TABLE_BYTES(brk));

	if (brk > x->limit)
		return false;
	if (pages > x->table_pages) {
		if (!arena_take(x->arena, pages - x->table_pages))
			return false;
		x->table_pages = pages;
	}
	return true;
}

/* A block of that order from fresh addresses; those that are passed over to
 * align it become blocks of smaller orders. */
static uint32_t
block_fresh(struct extents *x, unsigned order)
{
	uint64_t size = 1ull << order, start = (x->brk + size - 1) & ~(size - 1);

	if (!take_table(x, start + size))
		return 0;
	while (x->brk < start) {
		unsigned gap = (unsigned)__builtin_ctz(x->brk);

		put_bare(x, x->brk, gap);
		x->brk += 1u << gap;
	}
	x->brk = (uint32_t)(start + size);
	return (uint32_t)start;
}

static uint32_t
block_take(struct extents *x, unsigned order)
{
	unsigned have = order;
	uint32_t id = 0;

	while (have < EXTENT_ORDERS && (id = list_first(x, head_bare(have))) == 0)
		have++;
	if (id == 0)
		return block_fresh(x, order);
	block_unlink(x, id);
	while (have > order) {
		have--;
		put_bare(x, id + (1u << have), have);
	}
	return id;
}

static void
count(_Atomic(int64_t) *n, int64_t by)
{
	atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

static unsigned
order_of(uint64_t pages)
{
	uint64_t granules = (pages + (1u << GRANULE_PAGES_SHIFT) - 1) >> GRANULE_PAGES_SHIFT;
	unsigned order = 0;

	while ((1ull << order) < granules)
		order++;
	return order;
}

/* A released one of that order: its pages stay, more are taken or the rest
 * goes back. */
static uint32_t
reuse(struct extents *x, unsigned order, uint32_t pages)
{
	uint32_t id = list_first(x, head_released(order));
	struct extent *e = &x->table[id];

	if (id == 0 || (e->pages < pages && !arena_take(x->arena, pages - e->pages)))
		return 0;
	block_unlink(x, id);
	count(&x->released_pages, -(int64_t)e->pages);
	return id;
}

static uint32_t
alloc_locked(struct extents *x, uint32_t pages, uint32_t *excess)
{
	unsigned order = order_of(pages);
	struct extent *e;
	uint32_t id;

	if (order >= EXTENT_ORDERS)
		return 0;
	id = reuse(x, order, pages);
	if (id != 0) {
		e = &x->table[id];
		*excess = e->pages > pages ? e->pages - pages : 0;
	} else {
		if (!arena_take(x->arena, pages))
			return 0;
		id = block_take(x, order);
		if (id == 0) {
			arena_give(x->arena, pages);
			return 0;
		}
		e = &x->table[id];
	}
	*e = (struct extent){ .pages = pages, .order = (uint8_t)order, .state = EXTENT_USED };
	count(&x->live_pages, pages);
	return id;
}

/* --- interface ----------------------------------------------------------------- */

void
extents_init(struct extents *x, struct arena *a, struct extent *table, char *base,
    uint32_t granules)
{
	*x = (struct extents){ .arena = a, .base = base, .table = table, .limit = granules,
		.brk = EXTENT_HEADS };
	lock_init(&x->lock);
}

void
extents_fini(struct extents *x)
{
	lock_fini(&x->lock);
}

/* The heads cost a page, which a cache without large entries never pays. */
static bool
heads_ready(struct extents *x)
{
	if (x->table_pages != 0)
		return true;
	if (!take_table(x, EXTENT_HEADS))
		return false;
	for (uint32_t i = 0; i < EXTENT_HEADS; i++)
		x->table[i].next = x->table[i].prev = i;
	return true;
}

uint32_t
extent_alloc(struct extents *x, uint64_t bytes)
{
	uint64_t pages = extent_pages(bytes);
	uint32_t excess = 0, id = 0;

	lock_acquire(&x->lock);
	if (pages < UINT32_MAX && heads_ready(x))
		id = alloc_locked(x, (uint32_t)pages, &excess);
	lock_release(&x->lock);
	if (excess != 0) {
		arena_punch(x->arena, extent_at(x, id) + (pages << PAGE_SHIFT),
		    (uint64_t)excess << PAGE_SHIFT);
		arena_give(x->arena, excess);
	}
	return id;
}

static void
release_locked(struct extents *x, uint32_t id)
{
	struct extent *e = &x->table[id];

	e->state = EXTENT_RELEASED;
	block_link(x, id, head_released(e->order));
	count(&x->released_pages, e->pages);
}

void
extent_free(struct extents *x, uint32_t id)
{
	struct extent *e = &x->table[id];

	lock_acquire(&x->lock);
	assert(e->state == EXTENT_USED);
	count(&x->live_pages, -(int64_t)e->pages);
	if (e->pins != 0)
		e->state = EXTENT_DOOMED;
	else
		release_locked(x, id);
	lock_release(&x->lock);
}

static uint32_t
released_any(struct extents *x)
{
	for (unsigned order = 0; order < EXTENT_ORDERS; order++) {
		uint32_t id = list_first(x, head_released(order));

		if (id != 0)
			return id;
	}
	return 0;
}

bool
extents_punch(struct extents *x)
{
	uint32_t id, pages, from;

	if (atomic_load_explicit(&x->released_pages, memory_order_relaxed) == 0)
		return false;
	lock_acquire(&x->lock);
	id = released_any(x);
	if (id == 0) {
		lock_release(&x->lock);
		return false;
	}
	block_unlink(x, id);
	x->table[id].state = EXTENT_PUNCHING;
	pages = MIN(x->table[id].pages, PUNCH_PAGES);
	from = x->table[id].pages - pages;
	count(&x->released_pages, -(int64_t)x->table[id].pages);
	lock_release(&x->lock);

	arena_punch(x->arena, extent_at(x, id) + ((uint64_t)from << PAGE_SHIFT),
	    (uint64_t)pages << PAGE_SHIFT);
	arena_give(x->arena, pages);

	lock_acquire(&x->lock);
	x->table[id].pages = from;
	if (from == 0)
		block_merge(x, id, x->table[id].order);
	else
		release_locked(x, id);
	lock_release(&x->lock);
	return true;
}

bool
extent_pin(struct extents *x, uint32_t id, uint64_t max_bytes)
{
	struct extent *e = &x->table[id];
	int64_t bytes = (int64_t)e->pages << PAGE_SHIFT;
	bool ok;

	lock_acquire(&x->lock);
	ok = e->pins != UINT16_MAX &&
	    (e->pins != 0 || atomic_load(&x->pinned_bytes) + bytes <= (int64_t)max_bytes);
	if (ok && e->pins++ == 0)
		count(&x->pinned_bytes, bytes);
	lock_release(&x->lock);
	return ok;
}

void
extent_unpin(struct extents *x, uint32_t id)
{
	struct extent *e = &x->table[id];

	lock_acquire(&x->lock);
	if (--e->pins == 0) {
		count(&x->pinned_bytes, -((int64_t)e->pages << PAGE_SHIFT));
		if (e->state == EXTENT_DOOMED)
			release_locked(x, id);
	}
	lock_release(&x->lock);
}

bool
extent_pinned(struct extents *x, uint32_t id)
{
	bool pinned;

	lock_acquire(&x->lock);
	pinned = x->table[id].pins != 0;
	lock_release(&x->lock);
	return pinned;
}
