#include "config.h"

#include "cache/segment.h"

#include <assert.h>

#include "cache/hole.h"

static int64_t
add(_Atomic(int64_t) *n, int64_t by)
{
	return atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

static uint32_t
load(const _Atomic(uint32_t) *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* Written under the pool's lock alone. */
static void
bump(_Atomic(uint32_t) *n, int32_t by)
{
	atomic_store_explicit(n, load(n) + (uint32_t)by, memory_order_relaxed);
}

/* --- lists of segments, each with a head in a slot of its own -------------- */

static void
seg_unlink(struct pool *p, uint32_t i)
{
	struct segment *s = &p->segs[i];

	p->segs[s->prev].next = s->next;
	p->segs[s->next].prev = s->prev;
	if (s->class < SEG_CLASSES && p->segs[s->class].next == s->class)
		p->classes &= ~(1ull << s->class);
	s->next = s->prev = i;
}

static void
seg_link(struct pool *p, uint32_t i, unsigned list)
{
	struct segment *s = &p->segs[i], *head = &p->segs[list];

	s->class = (uint8_t)list;
	s->next = list;
	s->prev = head->prev;
	p->segs[head->prev].next = i;
	head->prev = i;
	if (list < SEG_CLASSES)
		p->classes |= 1ull << list;
}

static uint32_t
list_first(const struct pool *p, unsigned list)
{
	uint32_t i = p->segs[list].next;

	return i == list ? 0 : i;
}

static unsigned
class_of(const struct pool *p, uint32_t live)
{
	return MIN(live >> (p->shift + REF_SHIFT - SEG_CLASS_BITS), SEG_CLASSES - 1);
}

/* --- life of a segment ------------------------------------------------------ */

static void
clear_times(struct segment *s)
{
	for (unsigned b = 0; b < SEG_BLOCKS; b++)
		atomic_store_explicit(&s->least[b], TICK_NEVER, memory_order_relaxed);
}

static void
seg_free(struct pool *p, uint32_t i)
{
	struct segment *s = &p->segs[i];

	assert(load(&s->live) == 0);
	add(&p->waste[s->gen & 1], (int64_t)s->used - p->seg_bytes);
	s->state = SEG_FREE;
	clear_times(s);
	if (p->reserve == 0) {
		p->reserve = i;
		return;
	}
	seg_link(p, i, LIST_FREE);
	bump(&p->n_free, 1);
}

/* Lists a closed segment by what may happen to it next. */
static void
seg_relist(struct pool *p, uint32_t i)
{
	struct segment *s = &p->segs[i];
	uint32_t live = load(&s->live);

	if (s->state != SEG_CLOSED)
		return;
	seg_unlink(p, i);
	if (s->gen != pool_gen(p))
		s->holes = 0; /* the flush has forgotten them */
	if (s->pins != 0 || s->busy) {
		seg_link(p, i, LIST_HELD);
	} else if (s->holes == 0 && atomic_load_explicit(&s->live, memory_order_acquire) == 0) {
		seg_free(p, i);
	} else if (s->gen != pool_gen(p)) {
		seg_link(p, i, LIST_STALE);
		atomic_store(&p->has_stale, true);
	} else {
		seg_link(p, i, class_of(p, live));
	}
}

static void
seg_close(struct pool *p, uint32_t i)
{
	p->segs[i].state = SEG_CLOSED;
	p->segs[i].class = LIST_HELD;
	seg_relist(p, i);
}

/* The struct of a slot used for the first time may need a page, too. */
static bool
take_slot(struct pool *p)
{
	uint32_t next = load(&p->next_slot);
	uint32_t pages = (uint32_t)((POOL_META_BYTES(next + 1) + PAGE_BYTES - 1) >> PAGE_SHIFT);
	uint32_t more = pages > p->meta_pages ? pages - p->meta_pages : 0;

	if (next == p->n_slots || !arena_take(p->arena, p->seg_pages + more))
		return false;
	p->meta_pages += more;
	return true;
}

static uint32_t
seg_with_pages(struct pool *p)
{
	uint32_t i = list_first(p, LIST_BARE);

	if (i != 0) {
		if (!arena_take(p->arena, p->seg_pages))
			return 0;
		seg_unlink(p, i);
	} else {
		if (!take_slot(p))
			return 0;
		i = load(&p->next_slot);
		clear_times(&p->segs[i]);
		bump(&p->next_slot, 1);
		p->segs[i].next = p->segs[i].prev = i;
	}
	bump(&p->n_segs, 1);
	return i;
}

static uint32_t
seg_acquire(struct pool *p, enum seg_kind kind)
{
	uint32_t i = list_first(p, LIST_FREE);

	if (i != 0) {
		seg_unlink(p, i);
		bump(&p->n_free, -1);
		return i;
	}
	i = seg_with_pages(p);
	if (i == 0 && kind == SEG_MOVED) {
		i = p->reserve;
		p->reserve = 0;
	}
	return i;
}

static void
seg_open(struct pool *p, uint32_t i, uint32_t time)
{
	struct segment *s = &p->segs[i];

	s->used = 0;
	s->holes = 0;
	s->gen = pool_gen(p);
	assert(s->pins == 0 && !s->busy);
	s->state = SEG_OPEN;
	s->class = LIST_HELD;
	atomic_store_explicit(&s->time, time, memory_order_relaxed);
	for (unsigned b = 0; b < SEG_BLOCKS; b++)
		s->first[b] = SEG_NO_ENTRY;
	clear_times(s);
}

/* --- lanes ------------------------------------------------------------------- */

/* The segment with the least room that is enough, or -1. */
static int
lane_fit(const struct lane *l, uint32_t bytes)
{
	uint32_t least = UINT32_MAX;
	int best = -1;

	if (likely(bytes > l->most_behind && bytes <= l->room[l->newest]))
		return (int)l->newest;
	for (int i = 0; i < SEG_LANES; i++) {
		if (l->room[i] >= bytes && l->room[i] < least) {
			least = l->room[i];
			best = i;
		}
	}
	return best;
}

static unsigned
lane_fullest(const struct lane *l)
{
	unsigned best = 0;

	for (unsigned i = 0; i < SEG_LANES; i++) {
		if (l->seg[i] == 0)
			return i;
		if (l->room[i] < l->room[best])
			best = i;
	}
	return best;
}

/* What the segments behind the newest have room for at most. */
static void
lane_look_behind(struct lane *l)
{
	l->most_behind = 0;
	for (unsigned i = 0; i < SEG_LANES; i++)
		if (i != l->newest)
			l->most_behind = MAX(l->most_behind, l->room[i]);
}

/* From now on what is left of the newest segment counts as waste. */
static void
lane_retire(struct pool *p, struct lane *l)
{
	if (l->seg[l->newest] != 0)
		add(&p->waste[p->segs[l->seg[l->newest]].gen & 1], l->room[l->newest]);
}

static void
lane_close_slot(struct pool *p, struct lane *l, unsigned slot)
{
	if (l->seg[slot] != 0)
		seg_close(p, l->seg[slot]);
	l->seg[slot] = 0;
	l->room[slot] = 0;
}

static int
lane_open(struct pool *p, enum seg_kind kind)
{
	struct lane *l = &p->lanes[kind];
	uint32_t i = seg_acquire(p, kind);
	unsigned slot;

	if (i == 0)
		return -1;
	lane_retire(p, l);
	slot = lane_fullest(l);
	lane_close_slot(p, l, slot);
	if (kind == SEG_NEW)
		pool_advance(p, p->seg_bytes);
	seg_open(p, i, kind == SEG_NEW ? pool_time(p) : p->moved_time);
	l->seg[slot] = i;
	l->room[slot] = p->seg_bytes;
	l->newest = slot;
	lane_look_behind(l);
	return (int)slot;
}

static void
lane_close(struct pool *p, struct lane *l)
{
	lane_retire(p, l);
	for (unsigned i = 0; i < SEG_LANES; i++)
		lane_close_slot(p, l, i);
	lane_look_behind(l);
}

static void
least_expiry(struct segment *s, unsigned block, uint32_t tick)
{
	uint32_t was = load(&s->least[block]);

	while (tick < was && !atomic_compare_exchange_weak(&s->least[block], &was, tick))
		;
}

static unsigned
block_of(const struct pool *p, uint32_t unit)
{
	return unit >> (p->shift - 2);
}

/* What alloc has in common for fresh room and for holes. */
static void
entry_comes(struct pool *p, uint32_t i, uint32_t unit, uint32_t bytes, int64_t expires_ms)
{
	struct segment *s = &p->segs[i];

	if (expires_ms != 0)
		least_expiry(s, block_of(p, unit), tick_of(expires_ms));
	atomic_fetch_add_explicit(&s->live, bytes, memory_order_relaxed);
	add(&p->live[s->gen & 1], bytes);
}

static uint32_t
hole_fill(struct pool *p, uint32_t word, uint32_t bytes, int64_t expires_ms)
{
	uint32_t ref = hole_take(p, bytes), i;

	if (ref == 0)
		return 0;
	i = pool_seg_of(p, ref);
	entry_set_word(arena_at(p->arena, ref), word_with_state(word, ENTRY_PENDING));
	entry_comes(p, i, ref & ((1u << p->shift) - 1), bytes, expires_ms);
	if (class_of(p, load(&p->segs[i].live)) != p->segs[i].class)
		seg_relist(p, i);
	pool_advance(p, bytes);
	atomic_fetch_add_explicit(&p->filled, bytes, memory_order_relaxed);
	return ref;
}

static uint32_t
lane_carve(struct pool *p, struct lane *l, unsigned slot, uint32_t word, uint32_t bytes,
    int64_t expires_ms)
{
	uint32_t i = l->seg[slot];
	struct segment *s = &p->segs[i];
	uint32_t unit = s->used >> REF_SHIFT, ref = (i << p->shift) + unit;
	unsigned block = block_of(p, unit);

	entry_set_word(arena_at(p->arena, ref), word_with_state(word, ENTRY_PENDING));
	s->used += bytes;
	l->room[slot] -= bytes;
	if (unlikely(slot != l->newest)) {
		add(&p->waste[s->gen & 1], -(int64_t)bytes);
		lane_look_behind(l);
	}
	if (s->first[block] == SEG_NO_ENTRY)
		s->first[block] = (uint16_t)unit;
	entry_comes(p, i, unit, bytes, expires_ms);
	return ref;
}

/* --- interface ---------------------------------------------------------------- */

void
pool_attach(struct pool *p, struct arena *a, struct segment *segs, unsigned shift,
    uint32_t first_slot, uint32_t n_slots)
{
	_Static_assert(SEG_BLOCKS == 4, "block_of");
	assert(first_slot >= SEG_LISTS);
	*p = (struct pool){ .arena = a, .segs = segs, .shift = shift,
		.seg_bytes = 1u << (shift + REF_SHIFT),
		.seg_pages = 1u << (shift + REF_SHIFT - PAGE_SHIFT),
		.first_slot = first_slot, .n_slots = n_slots, .next_slot = first_slot };
	lock_init(&p->lock);
}

bool
pool_init(struct pool *p, struct arena *a, struct segment *segs, unsigned shift,
    uint32_t first_slot, uint32_t n_slots)
{
	pool_attach(p, a, segs, shift, first_slot, n_slots);
	p->meta_pages = (uint32_t)((POOL_META_BYTES(SEG_LISTS) + PAGE_BYTES - 1) >> PAGE_SHIFT);
	if (!arena_take(a, p->meta_pages))
		return false;
	for (uint32_t i = 0; i < SEG_LISTS; i++) {
		segs[i].next = segs[i].prev = i;
		segs[i].class = LIST_HELD;
	}
	p->reserve = seg_with_pages(p);
	if (p->reserve == 0)
		return false;
	p->segs[p->reserve].state = SEG_FREE;
	return true;
}

void
pool_fini(struct pool *p)
{
	lock_fini(&p->lock);
}

uint32_t
pool_alloc(struct pool *p, enum seg_kind kind, uint32_t word, int64_t expires_ms)
{
	struct lane *l = &p->lanes[kind];
	uint32_t ref = 0, bytes = word_bytes(word);
	int slot;

	lock_acquire(&p->lock);
	if (kind == SEG_NEW && pool_filling(p) && bytes >> REF_SHIFT <= HOLE_UNITS_MAX)
		ref = hole_fill(p, word, bytes, expires_ms);
	if (ref != 0) {
		lock_release(&p->lock);
		return ref;
	}
	slot = lane_fit(l, bytes);
	if (unlikely(slot < 0))
		slot = lane_open(p, kind);
	if (likely(slot >= 0))
		ref = lane_carve(p, l, (unsigned)slot, word, bytes, expires_ms);
	lock_release(&p->lock);
	return ref;
}

/* The lock before the bytes: a segment without live bytes may be another's. */
static void
free_to_hole(struct pool *p, uint32_t ref, uint32_t bytes)
{
	uint32_t i = pool_seg_of(p, ref);
	struct segment *s = &p->segs[i];

	lock_acquire(&p->lock);
	if (pool_holes_ok(p, i))
		hole_add(p, ref);
	add(&p->live[s->gen & 1], -(int64_t)bytes);
	atomic_fetch_sub_explicit(&s->live, bytes, memory_order_acq_rel);
	if (class_of(p, load(&s->live)) != s->class)
		seg_relist(p, i);
	lock_release(&p->lock);
}

void
pool_drop_hole(struct pool *p, uint32_t ref)
{
	uint32_t i = pool_seg_of(p, ref);

	lock_acquire(&p->lock);
	if (p->segs[i].gen == pool_gen(p) &&
	    word_state(entry_word(arena_at(p->arena, ref))) == ENTRY_HOLE)
		hole_drop(p, ref);
	lock_release(&p->lock);
}

void
pool_free(struct pool *p, uint32_t ref, uint32_t bytes)
{
	uint32_t i = pool_seg_of(p, ref), was;
	struct segment *s = &p->segs[i];
	unsigned parity = s->gen & 1;

	if (pool_filling(p) && bytes >> REF_SHIFT <= HOLE_UNITS_MAX) {
		free_to_hole(p, ref, bytes);
		return;
	}
	add(&p->live[parity], -(int64_t)bytes);
	/* Acquire and release: whoever sees nothing live may reuse the memory. */
	was = atomic_fetch_sub_explicit(&s->live, bytes, memory_order_acq_rel);
	if (likely(class_of(p, was) == class_of(p, was - bytes) && was != bytes))
		return;
	lock_acquire(&p->lock);
	seg_relist(p, i);
	lock_release(&p->lock);
}

void
pool_expiry(struct pool *p, uint32_t ref, int64_t expires_ms)
{
	uint32_t unit = ref & ((1u << p->shift) - 1);

	least_expiry(&p->segs[pool_seg_of(p, ref)], block_of(p, unit), tick_of(expires_ms));
}

uint32_t
pool_victim(struct pool *p, bool stale_only)
{
	uint32_t i;

	lock_acquire(&p->lock);
	i = list_first(p, LIST_STALE);
	if (i == 0) {
		atomic_store(&p->has_stale, false);
		if (!stale_only && p->classes != 0)
			i = list_first(p, (unsigned)__builtin_ctzll(p->classes));
	}
	if (i != 0) {
		seg_unlink(p, i);
		p->segs[i].state = SEG_VICTIM;
		p->segs[i].class = LIST_HELD;
	}
	lock_release(&p->lock);
	return i;
}

unsigned
pool_best_class(struct pool *p, uint32_t *seg)
{
	unsigned best = SEG_CLASSES;

	*seg = 0;
	lock_acquire(&p->lock);
	if (p->classes != 0) {
		best = (unsigned)__builtin_ctzll(p->classes);
		*seg = list_first(p, best);
	}
	lock_release(&p->lock);
	return best;
}

void
pool_close_lanes(struct pool *p)
{
	lock_acquire(&p->lock);
	for (unsigned k = 0; k < SEG_KINDS; k++) {
		struct lane *l = &p->lanes[k];

		for (unsigned i = 0; i < SEG_LANES; i++) {
			const struct segment *s = &p->segs[l->seg[i]];

			if (l->seg[i] == 0 || s->used - load(&s->live) < p->seg_bytes / 4)
				continue;
			if (i == l->newest)
				lane_retire(p, l);
			lane_close_slot(p, l, i);
			lane_look_behind(l);
		}
	}
	lock_release(&p->lock);
}

void
pool_release(struct pool *p, uint32_t i)
{
	lock_acquire(&p->lock);
	assert(p->segs[i].state == SEG_VICTIM);
	seg_close(p, i);
	lock_release(&p->lock);
}

void
pool_inherit(struct pool *p, uint32_t i)
{
	lock_acquire(&p->lock);
	p->moved_time = load(&p->segs[i].time);
	lock_release(&p->lock);
}

bool
pool_crawl_begin(struct pool *p, uint32_t i, unsigned block, uint32_t *from, uint32_t *to)
{
	struct segment *s = &p->segs[i];
	uint32_t end = (block + 1) << (p->shift - 2);
	bool any;

	lock_acquire(&p->lock);
	any = (s->state == SEG_OPEN || s->state == SEG_CLOSED) && s->gen == pool_gen(p) &&
	    s->first[block] != SEG_NO_ENTRY;
	if (any) {
		s->busy = true;
		seg_relist(p, i);
		atomic_store(&s->least[block], TICK_NEVER);
		*from = (i << p->shift) + s->first[block];
		*to = (i << p->shift) + MIN(end, s->used >> REF_SHIFT);
	}
	lock_release(&p->lock);
	return any;
}

void
pool_crawl_end(struct pool *p, uint32_t i, unsigned block, uint32_t least)
{
	least_expiry(&p->segs[i], block, least);
	lock_acquire(&p->lock);
	p->segs[i].busy = false;
	seg_relist(p, i);
	lock_release(&p->lock);
}

bool
pool_punch(struct pool *p)
{
	uint32_t i;

	lock_acquire(&p->lock);
	i = list_first(p, LIST_FREE);
	if (i != 0) {
		seg_unlink(p, i);
		p->segs[i].state = SEG_BARE;
		bump(&p->n_free, -1);
		bump(&p->n_segs, -1);
	}
	lock_release(&p->lock);
	if (i == 0)
		return false;
	arena_punch(p->arena, arena_at(p->arena, i << p->shift), p->seg_bytes);
	arena_give(p->arena, p->seg_pages);
	lock_acquire(&p->lock);
	seg_link(p, i, LIST_BARE);
	lock_release(&p->lock);
	return true;
}

uint32_t
pool_available(const struct pool *p)
{
	int64_t pages = arena_budget(p->arena) - arena_used(p->arena);

	return load(&p->n_free) +
	    (pages > 0 ? (uint32_t)(pages >> (p->shift + REF_SHIFT - PAGE_SHIFT)) : 0);
}

bool
pool_pin(struct pool *p, uint32_t ref, uint64_t max_bytes)
{
	uint32_t i = pool_seg_of(p, ref);
	struct segment *s = &p->segs[i];
	bool ok;

	lock_acquire(&p->lock);
	ok = s->state != SEG_VICTIM && s->pins != UINT16_MAX &&
	    (s->pins != 0 || atomic_load(&p->pinned_bytes) + p->seg_bytes <= (int64_t)max_bytes);
	if (ok && s->pins++ == 0) {
		add(&p->pinned_bytes, p->seg_bytes);
		seg_relist(p, i);
	}
	lock_release(&p->lock);
	return ok;
}

void
pool_unpin(struct pool *p, uint32_t i)
{
	lock_acquire(&p->lock);
	if (--p->segs[i].pins == 0) {
		add(&p->pinned_bytes, -(int64_t)p->seg_bytes);
		seg_relist(p, i);
	}
	lock_release(&p->lock);
}

bool
pool_pinned(struct pool *p, uint32_t ref)
{
	bool pinned;

	lock_acquire(&p->lock);
	pinned = p->segs[pool_seg_of(p, ref)].pins != 0;
	lock_release(&p->lock);
	return pinned;
}

uint32_t
pool_flush(struct pool *p)
{
	struct segment *stale = &p->segs[LIST_STALE];
	uint32_t gen;

	lock_acquire(&p->lock);
	for (unsigned k = 0; k < SEG_KINDS; k++)
		lane_close(p, &p->lanes[k]);
	gen = pool_gen(p) + 1;
	atomic_store_explicit(&p->gen, gen, memory_order_release);
	for (unsigned list = 0; list < SEG_CLASSES; list++) {
		struct segment *head = &p->segs[list];

		if (head->next == list)
			continue;
		p->segs[stale->prev].next = head->next;
		p->segs[head->next].prev = stale->prev;
		p->segs[head->prev].next = LIST_STALE;
		stale->prev = head->prev;
		head->next = head->prev = list;
	}
	p->classes = 0;
	holes_reset(p);
	atomic_store(&p->has_stale, true);
	lock_release(&p->lock);
	return gen;
}
