/* segment.h - the log that entries lie in: a pool of segments of equal size.
 *
 * An entry goes behind the last one of an open segment; it never moves but by
 * the cleaner's hand. A segment knows how many of its bytes are live, and is
 * listed by that (its class), so that the emptiest is found at once. One that
 * has nothing live is free again, with its pages.
 *
 * New entries and moved ones fill different segments (lanes), so that what has
 * lived long lies together. A lane keeps the last few segments open that an
 * entry did not fit into: smaller ones fill their tails.
 *
 * One segment is kept back for the cleaner: it can always finish.
 *
 * Thread-safe. pool.lock is the last one in the order: nothing is locked under
 * it. Live bytes are atomics, for a death rarely needs more than those. */
#ifndef PANNIER_CACHE_SEGMENT_H
#define PANNIER_CACHE_SEGMENT_H

#include "base/lock.h"
#include "cache/arena.h"
#include "cache/entry.h"

#define SEG_BLOCKS 4  /* parts with a least expiry of their own */
#define SEG_CLASS_BITS 6
#define SEG_CLASSES (1u << SEG_CLASS_BITS)
#define SEG_LANES 4
#define HOLE_UNITS_MAX 128 /* 1 KiB */
#define SEG_NO_ENTRY 0xffffu
#define TICK_SHIFT 6  /* expiry by segment is kept in units of 64 ms */
#define TICK_NEVER UINT32_MAX

enum seg_list { LIST_FREE = SEG_CLASSES, LIST_BARE, LIST_STALE, LIST_HELD, SEG_LISTS };

enum seg_state {
	SEG_BARE,   /* an address without pages */
	SEG_FREE,   /* pages, no entries */
	SEG_OPEN,   /* in a lane */
	SEG_CLOSED,
	SEG_VICTIM, /* being emptied */
};

enum seg_kind { SEG_NEW, SEG_MOVED, SEG_KINDS };

/* In the arena, one for each slot of addresses. The first SEG_LISTS slots are
 * never used as segments: their structs are the heads of lists. */
struct segment {
	_Atomic(uint32_t) live;  /* bytes of entries, pending ones included */
	_Atomic(uint32_t) time;  /* when its content was written, see pool_time() */
	uint32_t used;
	uint32_t gen;            /* of the flush that it was opened after */
	uint32_t next, prev;
	uint16_t pins;
	uint16_t holes;          /* on offer, see hole.h */
	uint8_t state;
	uint8_t class;
	bool busy;               /* the crawler is in it: do not reuse */
	uint16_t first[SEG_BLOCKS];           /* first entry, in units of refs */
	_Atomic(uint32_t) least[SEG_BLOCKS];  /* no entry expires before */
};

struct lane {
	uint32_t seg[SEG_LANES];  /* 0: none */
	uint32_t room[SEG_LANES];
	unsigned newest;          /* the others' room counts as waste */
	uint32_t most_behind;     /* the most room among those others */
};

struct pool {
	struct lock lock;
	struct arena *arena;
	struct segment *segs;
	unsigned shift;           /* a segment has 1 << shift references */
	uint32_t seg_bytes;
	uint32_t seg_pages;
	uint32_t first_slot, n_slots;
	_Atomic(uint32_t) next_slot; /* those before have been used */
	uint32_t meta_pages;      /* of segs, taken so far */
	struct lane lanes[SEG_KINDS];
	uint32_t reserve;         /* free, for the cleaner alone; 0: spent */
	uint64_t classes;         /* which lists of classes hold any */
	uint32_t moved_time;      /* what the next segment of moved ones gets */
	_Atomic(uint32_t) n_segs; /* with pages, of whatever state */
	_Atomic(uint32_t) n_free;
	_Atomic(bool) has_stale;  /* maybe: flushed segments to be emptied */
	_Atomic(uint64_t) written; /* bytes: whole segments, holes, extents */
	_Atomic(uint64_t) filled;  /* bytes of those, in holes */
	_Atomic(bool) filling;     /* holes are kept and used */
	uint32_t holes[HOLE_UNITS_MAX + 1]; /* lists by size, in units of refs */
	_Atomic(uint32_t) gen;    /* flushes */
	/* By the lowest bit of gen: a flush starts both from zero, and what
	 * dies afterwards counts where it was counted before. */
	_Atomic(int64_t) live[2];
	_Atomic(int64_t) waste[2]; /* tails that nothing will fill */
	_Atomic(int64_t) pinned_bytes;
};

/* Bytes of meta for so many slots. */
#define POOL_META_BYTES(n_slots) ((uint64_t)(n_slots) * sizeof(struct segment))

/* `segs` is zeroed room in the arena; slots from first_slot on. False: the
 * budget does not hold the reserve. */
bool pool_init(struct pool *p, struct arena *a, struct segment *segs, unsigned shift,
    uint32_t first_slot, uint32_t n_slots) MUST_CHECK;
/* The same of one that another process has filled; nothing of it is touched. */
void pool_attach(struct pool *p, struct arena *a, struct segment *segs, unsigned shift,
    uint32_t first_slot, uint32_t n_slots);
void pool_fini(struct pool *p);

/* Room for an entry of such a word, which is written with the state PENDING.
 * 0: no segment is free. The entry is counted live from now on. */
uint32_t pool_alloc(struct pool *p, enum seg_kind kind, uint32_t word, int64_t expires_ms);
/* The entry's bytes are dead; its word says so already. Where holes are kept,
 * for each entry by itself; else a call may stand for several in one segment. */
void pool_free(struct pool *p, uint32_t ref, uint32_t bytes);
/* An entry there may expire earlier than it was allocated for. */
void pool_expiry(struct pool *p, uint32_t ref, int64_t expires_ms);

/* --- cleaning and crawling; one thread at a time (the work lock) ---------- */

/* The segment with the fewest live bytes among those that may be emptied, and
 * flushed ones before all; 0: none. It is VICTIM until pool_release(). */
uint32_t pool_victim(struct pool *p, bool stale_only);
/* Least share of live bytes that a victim would have, of SEG_CLASSES, and
 * which it is; that number itself where there is none. */
unsigned pool_best_class(struct pool *p, uint32_t *seg);
/* What dies in open segments cannot be cleaned up: closes those where that is
 * much. */
void pool_close_lanes(struct pool *p);
void pool_release(struct pool *p, uint32_t seg);
/* An entry of the victim that was a hole when it was looked at. */
void pool_drop_hole(struct pool *p, uint32_t ref);
/* Entries moved from now on are as old as this segment's. */
void pool_inherit(struct pool *p, uint32_t seg);
/* The part of the segment to crawl; its least expiry starts anew. False: there
 * is nothing in it. Otherwise it is busy until pool_crawl_end(), which is told
 * the least expiry of what is left. */
bool pool_crawl_begin(struct pool *p, uint32_t seg, unsigned block, uint32_t *from, uint32_t *to);
void pool_crawl_end(struct pool *p, uint32_t seg, unsigned block, uint32_t least);

/* --- pages ----------------------------------------------------------------- */

/* Punches one free segment. False: none is free but the reserve. */
bool pool_punch(struct pool *p);
/* Segments that could still be opened for new entries. */
uint32_t pool_available(const struct pool *p);

/* --- the rest -------------------------------------------------------------- */

/* Keeps the segment's memory from being reused; false where it is being
 * emptied, or more than max_bytes would be pinned. */
bool pool_pin(struct pool *p, uint32_t ref, uint64_t max_bytes);
void pool_unpin(struct pool *p, uint32_t seg);
bool pool_pinned(struct pool *p, uint32_t ref);
/* What lies in any segment now is stale: to be dropped, not moved. Returns
 * the new generation. */
uint32_t pool_flush(struct pool *p);

static inline uint32_t
pool_seg_of(const struct pool *p, uint32_t ref)
{
	return ref >> p->shift;
}

static inline uint32_t
pool_gen(const struct pool *p)
{
	return atomic_load_explicit(&p->gen, memory_order_acquire);
}

static inline bool
pool_filling(const struct pool *p)
{
	return atomic_load_explicit(&p->filling, memory_order_relaxed);
}

/* Under pool.lock: whether new entries may be written into the segment. */
static inline bool
pool_holes_ok(const struct pool *p, uint32_t seg)
{
	const struct segment *s = &p->segs[seg];

	return (s->state == SEG_CLOSED || s->state == SEG_OPEN) && !s->busy && s->pins == 0 &&
	    s->gen == pool_gen(p);
}

static inline uint32_t
pool_gen_of(const struct pool *p, uint32_t ref)
{
	return p->segs[pool_seg_of(p, ref)].gen;
}

/* The cache's own time, by which ages are compared: in segments written. */
static inline uint32_t
pool_time(const struct pool *p)
{
	return (uint32_t)(atomic_load_explicit(&p->written, memory_order_relaxed) >>
	    (p->shift + REF_SHIFT));
}

static inline void
pool_advance(struct pool *p, uint64_t bytes)
{
	atomic_fetch_add_explicit(&p->written, bytes, memory_order_relaxed);
}

static inline uint32_t
pool_time_of(const struct pool *p, uint32_t ref)
{
	return atomic_load_explicit(&p->segs[pool_seg_of(p, ref)].time, memory_order_relaxed);
}

static inline int64_t
pool_live(const struct pool *p)
{
	return atomic_load_explicit(&p->live[pool_gen(p) & 1], memory_order_relaxed);
}

static inline int64_t
pool_waste(const struct pool *p)
{
	return atomic_load_explicit(&p->waste[pool_gen(p) & 1], memory_order_relaxed);
}

static inline uint32_t
tick_of(int64_t expires_ms)
{
	int64_t tick = expires_ms >> TICK_SHIFT;

	return expires_ms == 0 || tick >= TICK_NEVER ? TICK_NEVER : (uint32_t)tick;
}

#endif
