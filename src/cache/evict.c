/* Which entry goes when room is needed: the policy's next victim of the shard
 * that has waited longest.
 *
 * Shards evict for each other, for memory is one. Exact LRU over all of them
 * would need a lock over all; instead each shard can say about how old its end
 * is (policy_age), and evicting stays with the oldest until it passes the
 * second oldest, so that the shards are compared once in a while only. */
#include "config.h"

#include "cache/impl.h"

/* What the live bytes leave free, in segments: the reserve, two that can be
 * opened at once, and half of what the two kinds of lanes have open. */
#define SLACK_SEGMENTS 5

int64_t
evict_excess(const struct cache *c, uint64_t more)
{
	const struct pool *p = &c->pool;
	int64_t segs = atomic_load_explicit(&p->n_segs, memory_order_relaxed);
	int64_t others = arena_used(&c->arena) - segs * p->seg_pages -
	    atomic_load_explicit(&c->extents.released_pages, memory_order_relaxed);
	int64_t room = pages_bytes(arena_budget(&c->arena) - others);

	return pool_live(p) + pool_waste(p) + (int64_t)SLACK_SEGMENTS * p->seg_bytes +
	    atomic_load_explicit(&c->ahead, memory_order_relaxed) + (int64_t)more - room;
}

/* The oldest shard, and until which age it is. */
static unsigned
find_oldest(const struct cache *c, uint64_t *until)
{
	uint64_t least = UINT64_MAX, second = UINT64_MAX;
	unsigned best = 0;

	for (unsigned i = 0; i < c->n_shards; i++) {
		uint64_t age = policy_age(&c->shards[i]);

		if (age < least) {
			second = least;
			least = age;
			best = i;
		} else if (age < second) {
			second = age;
		}
	}
	*until = second;
	return best;
}

static struct shard *
pick(struct cache *c)
{
	unsigned i = atomic_load_explicit(&c->evict_shard, memory_order_relaxed);
	uint64_t until = atomic_load_explicit(&c->evict_until, memory_order_relaxed);

	if (policy_age(&c->shards[i]) > until) {
		i = find_oldest(c, &until);
		atomic_store_explicit(&c->evict_shard, i, memory_order_relaxed);
		atomic_store_explicit(&c->evict_until, until, memory_order_relaxed);
	}
	return &c->shards[i];
}

uint32_t
evict_next_segment(struct cache *c)
{
	return pool_seg_of(&c->pool, policy_next(pick(c)));
}

static uint64_t
evict_locked(const struct work *w, struct shard *sh)
{
	struct cache *c = w->c;
	uint32_t ref = sh->policy->victim(sh, w->keep), word;
	const struct entry *e, *after;
	uint64_t bytes;

	if (ref == 0)
		return 0;
	e = arena_at(&c->arena, ref);
	after = arena_at(&c->arena, e->newer);
	__builtin_prefetch(after); /* the next victim, as a rule */
	word = entry_word(e);
	bytes = entry_footprint(e, word);
	entry_leave_locked(c, w->t, sh, ref, key_hash(c->seed, entry_key(c, e, word)),
	    LEAVE_EVICTED);
	if (sh != w->mine)
		table_adjust(sh);
	return bytes;
}

/* With a cursor open, or the work lock held, any shard that can be had. */
static uint64_t
evict_anywhere(const struct work *w, struct shard *first)
{
	struct cache *c = w->c;
	unsigned start = (unsigned)(first - c->shards);

	for (unsigned k = 0; k < c->n_shards; k++) {
		struct shard *sh = &c->shards[(start + k) % c->n_shards];
		uint64_t bytes;

		if (!work_lock_shard(w, sh))
			continue;
		bytes = evict_locked(w, sh);
		work_unlock_shard(w, sh);
		if (bytes != 0)
			return bytes;
	}
	return 0;
}

uint64_t
evict_one(const struct work *w)
{
	struct shard *sh = pick(w->c);
	uint64_t bytes;

	if (w->mine != NULL || lock_held(&w->c->work))
		return evict_anywhere(w, sh);
	shard_lock(sh);
	bytes = evict_locked(w, sh);
	shard_unlock(sh);
	if (bytes == 0) /* an empty one came out oldest: compare again */
		atomic_store_explicit(&w->c->evict_until, 0, memory_order_relaxed);
	return bytes;
}
