#include "config.h"

#include "cache/policy.h"

#include "cache/impl.h"

#define BYTES_STEP 14 /* 16 KiB */

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

static uint32_t
head_ref(const struct shard *sh, unsigned queue)
{
	return arena_ref(&sh->cache->arena, &sh->head->queues[queue]);
}

/* --- queues ---------------------------------------------------------------------- */

static void
link_in(const struct shard *sh, unsigned queue, uint32_t ref)
{
	struct entry *head = &sh->head->queues[queue], *e = at(sh, ref);
	uint32_t front = head->older;

	link_set(&e->newer, head_ref(sh, queue));
	link_set(&e->older, front);
	link_set(&at(sh, front)->newer, ref);
	link_set(&head->older, ref);
}

static void
link_out(const struct shard *sh, const struct entry *e)
{
	link_set(&at(sh, e->newer)->older, e->older);
	link_set(&at(sh, e->older)->newer, e->newer);
}

static int64_t
footprint(const struct shard *sh, uint32_t ref)
{
	const struct entry *e = at(sh, ref);

	return (int64_t)entry_footprint(e, entry_word(e));
}

/* Read without the lock by who compares shards. */
static void
count_bytes(struct shard *sh, unsigned queue, int64_t by)
{
	if (unlikely(queue > QUEUE_PROTECTED))
		quota_count(sh, queue, by);
	__atomic_store_n(&sh->queue_bytes[queue], sh->queue_bytes[queue] + (uint64_t)by,
	    __ATOMIC_RELAXED);
}

void
queue_push(struct shard *sh, unsigned queue, uint32_t ref)
{
	link_in(sh, queue, ref);
	count_bytes(sh, queue, footprint(sh, ref));
}

void
queue_remove(struct shard *sh, unsigned queue, uint32_t ref)
{
	link_out(sh, at(sh, ref));
	count_bytes(sh, queue, -footprint(sh, ref));
}

void
queue_relink(struct shard *sh, unsigned queue, uint32_t ref)
{
	link_out(sh, at(sh, ref));
	link_in(sh, queue, ref);
}

void
queue_moved(struct shard *sh, uint32_t ref, uint32_t by)
{
	const struct entry *e = at(sh, ref);
	struct entry *copy = at(sh, by);

	link_set(&copy->newer, e->newer);
	link_set(&copy->older, e->older);
	link_set(&at(sh, e->newer)->older, by);
	link_set(&at(sh, e->older)->newer, by);
}

/* --- markers ----------------------------------------------------------------------- */

#define MARKERS_ALL (SHARD_MARKERS + 1)
_Static_assert(offsetof(struct shard_head, bookmark) ==
    offsetof(struct shard_head, markers) + sizeof(struct entry) * SHARD_MARKERS,
    "the bookmark is the last of the markers");

/* Markers and heads of queues lie below all segments. */
static bool
is_marker(const struct shard *sh, uint32_t ref)
{
	uint32_t first;

	if (likely(ref >= sh->entries_from))
		return false;
	first = arena_ref(&sh->cache->arena, sh->head->markers);
	return ref >= first &&
	    ref < first + MARKERS_ALL * (sizeof(struct entry) >> REF_SHIFT);
}

static uint32_t
bookmark_ref(const struct shard *sh)
{
	return arena_ref(&sh->cache->arena, &sh->head->bookmark);
}

void
policy_mark(struct shard *sh, uint32_t time, uint32_t gap)
{
	struct entry *marker = &sh->head->markers[sh->marker_next];

	/* At the same times in all shards, so that they can be compared. */
	if (likely(time - sh->marked < gap) || sh->markers_in == SHARD_MARKERS ||
	    sh->policy->by_bytes)
		return;
	time -= time % gap;
	link_set(&marker->chain, time);
	link_in(sh, 0, arena_ref(&sh->cache->arena, marker));
	sh->marker_next = (sh->marker_next + 1) % SHARD_MARKERS;
	sh->markers_in++;
	sh->marked = time;
}

static void
drop_marker(struct shard *sh, uint32_t ref)
{
	const struct entry *marker = at(sh, ref);

	if (ref == bookmark_ref(sh)) {
		queue_unbookmark(sh);
		return;
	}
	atomic_store_explicit(&sh->oldest, marker->chain, memory_order_relaxed);
	link_out(sh, marker);
	sh->markers_in--;
}

uint32_t
queue_oldest(struct shard *sh, unsigned queue)
{
	uint32_t ref;

	while (is_marker(sh, ref = sh->head->queues[queue].newer))
		drop_marker(sh, ref);
	return likely(ref >= sh->entries_from) ? ref : 0;
}

uint32_t
queue_newer(struct shard *sh, unsigned queue, uint32_t ref)
{
	do {
		ref = at(sh, ref)->newer;
	} while (is_marker(sh, ref));
	(void)queue;
	return ref >= sh->entries_from ? ref : 0;
}

/* --- the bookmark: what is older than it was dumped ---------------------------------- */

uint32_t
queue_head(const struct shard *sh, unsigned queue)
{
	return head_ref(sh, queue);
}

bool
queue_is_marker(const struct shard *sh, uint32_t ref)
{
	return is_marker(sh, ref);
}

void
queue_unbookmark(struct shard *sh)
{
	if (sh->bookmarked)
		link_out(sh, &sh->head->bookmark);
	sh->bookmarked = false;
}

void
queue_bookmark(struct shard *sh, uint32_t newer)
{
	struct entry *mark = &sh->head->bookmark;
	uint32_t ref = bookmark_ref(sh), older;

	queue_unbookmark(sh);
	older = at(sh, newer)->older;
	link_set(&mark->newer, newer);
	link_set(&mark->older, older);
	link_set(&at(sh, older)->newer, ref);
	link_set(&at(sh, newer)->older, ref);
	sh->bookmarked = true;
}

uint32_t
policy_next(const struct shard *sh)
{
	uint32_t ref = link_get(&sh->head->queues[0].newer);

	for (int i = 0; i < MARKERS_ALL && is_marker(sh, ref); i++)
		ref = link_get(&at(sh, ref)->newer);
	return ref;
}

/* An entry was used last when or after it was written, which its segment tells,
 * and not before the marker behind it. Where nothing is read, the first is
 * exact; where all is, the second is about right. */
static uint64_t
age_by_bytes(const struct shard *sh)
{
	uint64_t bytes = 0;

	for (unsigned q = 0; q < POLICY_QUEUES; q++)
		bytes += __atomic_load_n(&sh->queue_bytes[q], __ATOMIC_RELAXED);
	bytes += __atomic_load_n(&sh->quota_bytes, __ATOMIC_RELAXED);
	/* In steps, so that the shards need not be compared for each entry. */
	return (UINT64_MAX / 2 - bytes) >> BYTES_STEP;
}

static uint64_t
age_by_time(const struct shard *sh)
{
	uint32_t ref = link_get(&sh->head->queues[0].newer);
	uint32_t time = atomic_load_explicit(&sh->oldest, memory_order_relaxed);

	for (int i = 0; i < MARKERS_ALL && is_marker(sh, ref); i++) {
		if (ref != bookmark_ref(sh))
			time = link_get(&at(sh, ref)->chain);
		ref = link_get(&at(sh, ref)->newer);
	}
	if (ref == head_ref(sh, 0)) /* nothing but quotas has any there */
		return shard_is_mapped(sh) ? UINT64_MAX - 1 : 0;
	return MAX(time, pool_time_of(&sh->cache->pool, ref));
}

uint64_t
policy_age(const struct shard *sh)
{
	if (shard_get(&sh->count) <= shard_get(&sh->n_protected))
		return UINT64_MAX;
	return sh->policy->by_bytes ? age_by_bytes(sh) : age_by_time(sh);
}

void
policy_set_bits(const struct shard *sh, uint32_t ref, unsigned bits)
{
	struct entry *e = at(sh, ref);

	entry_set_word(e, word_with_policy(entry_word(e), bits));
}

/* --- LRU, exact: one queue, whose bytes nobody asks for but where it is a quota's ----- */

static void
lru_insert(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	(void)hash;
	if (likely(base == 0)) {
		link_in(sh, 0, ref);
		return;
	}
	policy_set_bits(sh, ref, BITS_OWN);
	queue_push(sh, base, ref);
}

static void
lru_remove(struct shard *sh, unsigned base, uint32_t ref)
{
	if (likely(base == 0))
		link_out(sh, at(sh, ref));
	else
		queue_remove(sh, base, ref);
}

static void
lru_replace(struct shard *sh, unsigned base, uint32_t ref, uint32_t by, uint64_t hash)
{
	lru_remove(sh, base, ref);
	lru_insert(sh, base, by, hash);
}

static uint32_t
lru_victim(struct shard *sh, unsigned base, uint32_t keep)
{
	uint32_t ref = queue_oldest(sh, base);

	return ref != 0 && ref == keep ? queue_newer(sh, base, ref) : ref;
}

static void
lru_evict(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	(void)hash;
	lru_remove(sh, base, ref);
}

static const struct policy lru = {
	.name = "lru",
	.insert = lru_insert,
	.replace = lru_replace,
	.remove = lru_remove,
	.victim = lru_victim,
	.evict = lru_evict,
};

const struct policy *
policy_of(enum cache_policy which)
{
	switch (which) {
	case CACHE_LRU:
		return &lru;
	case CACHE_S3FIFO:
		return &policy_s3fifo;
	case CACHE_TINYLFU:
		return &policy_tinylfu;
	}
	return NULL;
}
