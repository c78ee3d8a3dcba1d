/* memory.h - the limit is the process's: what of it each part may use.
 *
 * Resident memory is the store's arena and the rest: code, libraries, heap,
 * clients' buffers. The rest gets a share that is set aside at start; the
 * arena gets what is left, which it cannot exceed. memory_watch_look() then
 * compares with what the kernel counts, and takes from the arena what the rest
 * uses beyond its share (libraries loaded late, bodies in flight). */
#ifndef PANNIER_SERVER_MEMORY_H
#define PANNIER_SERVER_MEMORY_H

#include <stdint.h>

#include "cache/cache.h"

struct memory_plan {
	uint64_t limit_bytes;
	uint64_t base_bytes;    /* see memory_base() */
	uint64_t buffers_bytes; /* of all clients together */
	uint64_t margin_bytes;
	uint64_t arena_bytes;
};

/* Pure. limit 0 is no limit that anybody could mean: the caller resolves
 * "auto" first. buffers 0: a share of the limit. -EINVAL where the limit
 * leaves less than CACHE_BUDGET_MIN for the arena. */
int memory_plan(uint64_t limit_bytes, uint64_t base_bytes, uint64_t buffers_bytes,
    struct memory_plan *out) MUST_CHECK;

/* What the kernel counts as resident now (/proc/self/statm); 0: unknown. */
uint64_t memory_resident(void);

/* What the process itself needs, told at the end of starting. Most of what is resident then is
 * code and constants, of libraries too, that only starting used: their pages are
 * dropped, the kernel brings them back from the files when they are used again,
 * and what serving uses of them is known well enough. */
uint64_t memory_base(void);

struct memory_watch {
	struct memory_plan plan;
	int64_t next_drop_ms; /* code again, not before that */
	int64_t drop_gap_ms;
	uint64_t arena_bytes; /* as set now */
	uint64_t held_bytes;  /* of the arena's, kept back because memory is short */
	uint64_t above_bytes; /* that the plan's limit is still exceeded by, going down */
	int statm_fd;         /* kept open; -1: it can't be */
};

void memory_watch_init(struct memory_watch *w);
void memory_watch_fini(struct memory_watch *w);

/* Another plan, because the machine gives more or less: more is used at once, less is
 * reached by MEMORY_STEP_SHARE of it with each look. */
#define MEMORY_STEP_SHARE 16
void memory_watch_follow(struct memory_watch *w, struct cache *c, const struct memory_plan *plan);

/* Gives back what costs no hit: code, free pages of arena and heap. Some milliseconds. */
void memory_purge(struct cache *c);
/* From the next look on, the arena does without this much of what it could have: half of it
 * at most. */
void memory_watch_hold(struct memory_watch *w, uint64_t bytes);

/* Every 100 ms or so, on one loop. Before it takes from the arena it drops code
 * that was used since but need not be now: a second after the last time, then
 * two, at last every minute. */
void memory_watch_look(struct memory_watch *w, struct cache *c, int64_t now_ms);

#endif
