/* Work that makes room: after each write, when a write finds none, and from
 * idle time. See impl.h for the locks. */
#include "config.h"

#include "base/clock.h"
#include "cache/impl.h"

/* Segments that writers find free to open. Below it the cleaner starts. */
#define KEEP_FREE 2
#define CLEAN_STEP_BYTES (32u << 10)
#define SHARE_MAX (512u << 10) /* bytes moved after one write */
/* A write that finds the cache full evicts a bit more than it needs, for the
 * next few writes; and where it is much too full, some more than it wrote. */
#define EVICT_MORE 1024
#define EVICT_LEAST (8u << 10)
#define EVICT_STEP (16u << 10) /* in the background */
#define ROOM_BATCHES 32
#define GIVE_BACK_MOST 64 /* segments, or parts of extents */
#define MAKE_ROOM_ROUNDS 4096
#define MOVE_MOST 6 /* bytes moved for a byte written, at most about */
#define CLASSES_BELOW 4
#define FILL_COST 192 /* of 256: bytes moved for a byte written */
#define FILL_BELOW (SEG_CLASSES / 8)
#define AHEAD_SHARE 4 /* of the budget, at most */

static bool
needs_cleaning(const struct cache *c)
{
	return pool_available(&c->pool) < KEEP_FREE ||
	    arena_used(&c->arena) > arena_budget(&c->arena);
}

/* Over budget (it was lowered), or a table asks for a page: gives pages back
 * that nothing lies in. False: there are none. */
static bool
punch(struct cache *c)
{
	return extents_punch(&c->extents) || pool_punch(&c->pool);
}

uint64_t
cache_give_back(struct cache *c)
{
	int64_t before = arena_used(&c->arena), after;
	unsigned n = 0;

	while (n < GIVE_BACK_MOST && punch(c))
		n++;
	after = arena_used(&c->arena);
	return before > after ? (uint64_t)pages_bytes(before - after) : 0;
}

static bool
wants_pages(struct cache *c)
{
	int64_t left = arena_budget(&c->arena) - arena_used(&c->arena);

	if (left > 0)
		atomic_store_explicit(&c->wants_page, false, memory_order_relaxed);
	return left < 0 || atomic_load_explicit(&c->wants_page, memory_order_relaxed);
}

/* Released extents first: their pages are free but for the punching. */
static enum clean
free_a_segment(const struct work *w, uint32_t bytes, bool urgent)
{
	if (extents_punch(&w->c->extents))
		return CLEAN_MORE;
	return clean_step(w, bytes, urgent);
}

static void
set_ahead(struct cache *c, int64_t ahead)
{
	int64_t most = pages_bytes(arena_budget(&c->arena)) / AHEAD_SHARE;

	atomic_store_explicit(&c->ahead, MAX(MIN(ahead, most), 0), memory_order_relaxed);
}

/* After a write of so many bytes: what is left free shrinks no faster than
 * cleaning refills it, and cleans the harder the less there is. */
static const unsigned shares[KEEP_FREE + 1] = { 24, 8, 2 };

static void
clean_after_write(const struct work *w, uint64_t bytes)
{
	struct cache *c = w->c;
	uint32_t avail = pool_available(&c->pool);
	uint64_t share = MIN(shares[MIN(avail, KEEP_FREE)] * (bytes + 1024), SHARE_MAX);

	if (!lock_try(&c->work))
		return;
	while (share != 0 && needs_cleaning(c)) {
		uint32_t step = (uint32_t)MIN(share, CLEAN_STEP_BYTES);
		enum clean did = free_a_segment(w, step, avail == 0);

		if (did == CLEAN_IDLE || did == CLEAN_STUCK)
			break;
		share -= step;
	}
	lock_release(&c->work);
}

/* A victim with a share u of live bytes costs u / (1 - u) bytes moved for each
 * byte won, and only what does not go to holes needs winning: this is the u
 * where that comes to MOVE_MOST. */
static unsigned
dear_class_at(uint32_t fresh_share)
{
	unsigned class = SEG_CLASSES * MOVE_MOST * 256 / (MOVE_MOST * 256 + fresh_share);

	return MIN(class, FULL_CLASS);
}

void
work_init(struct cache *c)
{
	atomic_store(&c->fresh_share, 256);
	atomic_store(&c->dear_class, dear_class_at(256));
}

static void
look_at_costs(struct cache *c)
{
	uint64_t written = atomic_load_explicit(&c->pool.written, memory_order_relaxed);
	uint64_t filled = atomic_load_explicit(&c->pool.filled, memory_order_relaxed);
	uint64_t more = written - atomic_exchange(&c->paced_written, written);
	uint64_t in_holes = filled - atomic_exchange(&c->paced_filled, filled);
	uint32_t share = atomic_load_explicit(&c->fresh_share, memory_order_relaxed);
	uint64_t now = more > in_holes ? (more - in_holes) * 256 / more : 0;
	int64_t moved = atomic_load_explicit(&c->cleaned_bytes, memory_order_relaxed);
	int64_t more_moved = moved - atomic_exchange(&c->paced_moved, moved);
	uint32_t cost = atomic_load_explicit(&c->move_cost, memory_order_relaxed);
	uint32_t dearer = (uint32_t)MIN((uint64_t)more_moved * 256 / MAX(more, 1), 1u << 20);

	share = (7 * share + (uint32_t)now + 7) / 8;
	cost = (15 * cost + dearer) / 16;
	atomic_store_explicit(&c->fresh_share, share, memory_order_relaxed);
	atomic_store_explicit(&c->move_cost, cost, memory_order_relaxed);
	atomic_store_explicit(&c->dear_class, dear_class_at(share), memory_order_relaxed);
}

/* Once for each segment written, or a run of small writes would evict far too
 * much before the first victim gets emptier. Where even the best victim is
 * dear, more is evicted than needed for a while; in calm times that is taken
 * back bit by bit. Where cleaning costs much, deaths are scattered: holes pay. */
static void
set_pace(struct cache *c)
{
	uint32_t now = pool_time(&c->pool), seg;
	uint32_t before = atomic_load_explicit(&c->paced, memory_order_relaxed);
	int64_t ahead = atomic_load_explicit(&c->ahead, memory_order_relaxed);
	bool short_of_room = pool_available(&c->pool) <= KEEP_FREE;
	unsigned class, dear, cost;

	if (likely(before == now) ||
	    !atomic_compare_exchange_strong(&c->paced, &before, now))
		return;
	look_at_costs(c);
	class = pool_best_class(&c->pool, &seg);
	dear = atomic_load_explicit(&c->dear_class, memory_order_relaxed);
	if (class >= dear && class != SEG_CLASSES && short_of_room)
		ahead += c->pool.seg_bytes;
	else if (class + CLASSES_BELOW < dear || !short_of_room)
		ahead -= c->pool.seg_bytes / 4;
	set_ahead(c, ahead);
	cost = atomic_load_explicit(&c->move_cost, memory_order_relaxed);
	if (cost > FILL_COST)
		atomic_store_explicit(&c->pool.filling, true, memory_order_relaxed);
	else if (class < FILL_BELOW)
		atomic_store_explicit(&c->pool.filling, false, memory_order_relaxed);
}

static bool
evict_excess_of(const struct work *w, uint64_t excess, uint64_t most)
{
	uint64_t want = MIN(excess + EVICT_MORE, most), evicted = 0;

	while (evicted < want) {
		uint64_t got = evict_some(w, want - evicted);

		if (got == 0)
			break;
		evicted += got;
	}
	return evicted != 0;
}

void
work_after_write(struct cache *c, struct cache_thread *t, uint64_t bytes)
{
	struct work w = { .c = c, .t = t };
	int64_t excess = evict_excess(c, 0);

	if (excess > 0) {
		evict_excess_of(&w, (uint64_t)excess, 2 * bytes + EVICT_LEAST);
		set_pace(c);
	}
	if (unlikely(wants_pages(c)))
		punch(c);
	if (unlikely(needs_cleaning(c)))
		clean_after_write(&w, bytes);
}

/* A large value's header goes to a segment: besides the value's own pages there must be
 * one free, or pages for one. Or else the pages that are won would go to the value and back
 * again, round after round, and the header would never find room. */
static bool
header_has_room(const struct cache *c, uint64_t bytes)
{
	int64_t left = arena_budget(&c->arena) - arena_used(&c->arena);

	return atomic_load_explicit(&c->pool.n_free, memory_order_relaxed) != 0 ||
	    left >= (int64_t)extent_pages(bytes) + c->pool.seg_pages;
}

/* A large value wants pages, which segments hold: after evicting, segments
 * are emptied and punched until there are as many. */
bool
work_make_room(const struct work *w, uint64_t bytes, bool large)
{
	struct cache *c = w->c;
	enum clean did = CLEAN_IDLE;
	unsigned evicted = 0;
	int64_t excess;

	lock_acquire(&c->work);
	while ((excess = evict_excess(c, bytes)) > 0 && evicted < ROOM_BATCHES &&
	    evict_some(w, (uint64_t)excess) != 0)
		evicted++;
	if (large && punch(c))
		did = CLEAN_FREED;
	if (did != CLEAN_FREED || !header_has_room(c, bytes))
		did = free_a_segment(w, 4 * CLEAN_STEP_BYTES, true);
	if (did == CLEAN_IDLE)
		set_ahead(c, atomic_load(&c->ahead) + c->pool.seg_bytes);
	lock_release(&c->work);
	return evicted != 0 || did == CLEAN_MORE || did == CLEAN_FREED;
}

void
cache_make_room(struct cache *c, struct cache_thread *t, uint64_t bytes)
{
	struct work w = { .c = c, .t = t };
	int64_t pages = (int64_t)extent_pages(bytes);

	if (!entry_is_large(c, 0, bytes) || bytes > cache_max_entry(c))
		return;
	for (unsigned i = 0; i < MAKE_ROOM_ROUNDS; i++) {
		int64_t released = atomic_load_explicit(&c->extents.released_pages,
		    memory_order_relaxed);
		int64_t left = arena_budget(&c->arena) - arena_used(&c->arena) + released;

		if (left >= pages || !work_make_room(&w, bytes, true))
			return;
	}
}

/* --- a flush ----------------------------------------------------------------- */

void
cache_flush(struct cache *c, struct cache_thread *t)
{
	pool_flush(&c->pool);
	for (unsigned i = 0; i < c->n_shards; i++) {
		shard_enter(t, &c->shards[i]); /* follows */
		shard_leave(t, &c->shards[i]);
	}
}

/* --- in the background ----------------------------------------------------------- */

static bool
clean_in_background(const struct work *w)
{
	struct cache *c = w->c;
	enum clean did;

	if (!atomic_load_explicit(&c->pool.has_stale, memory_order_relaxed) &&
	    pool_available(&c->pool) > KEEP_FREE && !needs_cleaning(c))
		return false;
	did = free_a_segment(w, CLEAN_STEP_BYTES / 2, false);
	return did == CLEAN_MORE || did == CLEAN_FREED;
}

/* Each does a bit, some tens of microseconds, and says whether there may be more. */
static bool
evict_in_background(const struct work *w)
{
	int64_t excess = evict_excess(w->c, 0);

	return excess > 0 && evict_excess_of(w, (uint64_t)excess, EVICT_STEP);
}

static bool
punch_in_background(const struct work *w)
{
	return wants_pages(w->c) && punch(w->c);
}

static bool (*const background[])(const struct work *w) = {
	expire_step, evict_in_background, protect_step, quota_step, clean_in_background,
	punch_in_background,
};

/* True: something was done, so that there may be more. */
static bool
step(const struct work *w, int64_t until_us)
{
	bool more = false;

	for (size_t i = 0; i < ARRAY_LEN(background); i++) {
		if (more && clock_mono_us() >= until_us)
			break;
		if (background[i](w))
			more = true;
	}
	return more;
}

/* Pages of tables that shrank, or that a flush left behind. */
static bool
trim(struct cache *c, int64_t until_us)
{
	bool any = false;

	for (unsigned i = 0; i < c->n_shards; i++) {
		while (table_trim(&c->shards[i])) {
			any = true;
			if (clock_mono_us() >= until_us)
				return true;
		}
	}
	return any;
}

bool
cache_tick(struct cache *c, struct cache_thread *t, int64_t budget_us)
{
	struct work w = { .c = c, .t = t };
	int64_t until_us = clock_mono_us() + budget_us;
	bool more;

	if (!lock_try(&c->work))
		return false; /* another loop is at it */
	do {
		more = step(&w, until_us);
	} while (more && clock_mono_us() < until_us);
	lock_release(&c->work);
	if (!more)
		more = trim(c, until_us);
	return more;
}
