/* policy.h - which entry goes when room is needed.
 *
 * A policy keeps each shard's entries in up to POLICY_QUEUES queues, linked
 * through the entries, and has three bits in each entry's word, where it may
 * write anything but BITS_PROTECTED. It may keep more in the arena. Protected
 * entries are none of its business (protect.c), but that LRU moves those that
 * are used to its queue, so that a hit need not look. A shard's lock is held in
 * all of these calls. */
#ifndef PANNIER_CACHE_POLICY_H
#define PANNIER_CACHE_POLICY_H

#include "cache/cache.h"
#include "cache/shard.h"

/* The policy's bits of a protected entry. */
#define BITS_PROTECTED 3
/* LRU's bits of an entry in a quota's queues: a use must look for them. */
#define BITS_OWN 4u

/* The first of the queues of a quota. Each has its own, by the same policy, and so has what
 * is in none: the calls below say which by `base`. */
static inline unsigned
quota_base(unsigned quota)
{
	return quota == 0 ? 0 : 1 + POLICY_QUEUES * quota;
}

struct policy {
	const char *name;
	/* Shards are evicted from by how many bytes they hold, not by how long
	 * their first queue's end has waited. */
	bool by_bytes;
	/* What it wants beside the entries, in bytes for a budget; each shard gets
	 * its part as policy_mem, zeroed. NULL: nothing. */
	uint64_t (*memory)(uint64_t budget_bytes);
	/* A new entry; its word is set, its links are not. */
	void (*insert)(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash);
	/* An entry with the same key takes the place of `ref`: a use. */
	void (*replace)(struct shard *sh, unsigned base, uint32_t ref, uint32_t by,
	    uint64_t hash);
	/* A use. NULL: the queue is LRU, queue_touch() is all, and queue_relink() in the
	 * queues of a quota. */
	void (*touch)(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash);
	/* How often it was used lately, as far as that is counted. NULL: it is not. */
	unsigned (*frequency)(const struct shard *sh, uint32_t ref, uint64_t hash);
	/* Leaves for another reason than eviction. */
	void (*remove)(struct shard *sh, unsigned base, uint32_t ref);
	/* The next to go, never `keep`; 0: none. It stays linked. */
	uint32_t (*victim)(struct shard *sh, unsigned base, uint32_t keep);
	/* That one goes now. */
	void (*evict)(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash);
	/* The bits and the frequency that an entry had in another cache of this policy, for
	 * one that was just inserted. NULL: its place is all that it has. */
	void (*restore)(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash, unsigned bits,
	    unsigned frequency);
};

extern const struct policy policy_s3fifo, policy_tinylfu;

/* NULL: there is none of that number. */
const struct policy *policy_of(enum cache_policy which);

/* Puts a marker into the shard's first queue where it is time for one. */
void policy_mark(struct shard *sh, uint32_t time, uint32_t gap);
/* How long the next victim has waited, the smaller the longer; for comparing
 * shards, without their locks. In segments written; UINT64_MAX: it is empty. */
uint64_t policy_age(const struct shard *sh);

/* About which entry goes next, without the lock. */
uint32_t policy_next(const struct shard *sh);

void policy_set_bits(const struct shard *sh, uint32_t ref, unsigned bits);

/* --- queues, for policies and for whoever moves an entry -------------------- */

/* Bytes that count against a policy's queue: what lies in segments. */
void queue_push(struct shard *sh, unsigned queue, uint32_t ref);
void queue_remove(struct shard *sh, unsigned queue, uint32_t ref);
/* The oldest entry, markers taken out on the way; 0: empty. */
uint32_t queue_oldest(struct shard *sh, unsigned queue);
/* The next newer entry than `ref`, 0: none. */
uint32_t queue_newer(struct shard *sh, unsigned queue, uint32_t ref);
/* To the front of this queue, from wherever it is; its bytes count there already. */
void queue_relink(struct shard *sh, unsigned queue, uint32_t ref);
/* The shard's bookmark, a marker: to the next older place than `newer`, which may be a
 * queue's head or a marker. And out of its queue, if it is in one. */
void queue_bookmark(struct shard *sh, uint32_t newer);
void queue_unbookmark(struct shard *sh);
uint32_t queue_head(const struct shard *sh, unsigned queue);
bool queue_is_marker(const struct shard *sh, uint32_t ref);
/* `by` is a copy of `ref` and takes its place; whichever queue. */
void queue_moved(struct shard *sh, uint32_t ref, uint32_t by);

/* To the front of queue 0. In line, for it is done to every hit. `a` is the
 * shard's. */
static inline void
queue_touch(const struct arena *a, struct shard *sh, uint32_t ref)
{
	struct entry *head = &sh->head->queues[0], *e, *front;
	uint32_t front_ref = head->older, newer, older, head_ref;

	if (unlikely(front_ref == ref))
		return;
	e = arena_at(a, ref);
	front = arena_at(a, front_ref);
	newer = e->newer;
	older = e->older;
	head_ref = front->newer; /* e is not at the front, so this stays */
	link_set(&((struct entry *)arena_at(a, newer))->older, older);
	link_set(&((struct entry *)arena_at(a, older))->newer, newer);
	link_set(&e->newer, head_ref);
	link_set(&e->older, front_ref);
	link_set(&front->newer, ref);
	link_set(&head->older, ref);
}

#endif
