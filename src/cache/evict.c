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
/* Where entries go in the order of the log, all shards' ends lie within so many
 * segments of each other. */
#define FRONT_SEGMENTS 4
/* Entries that go at one hold of a shard's lock. */
#define EVICT_BATCH 8
#define SPARE_MOST 256 /* protected ones, likewise */

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

bool
evict_is_at(const struct cache *c, uint32_t seg)
{
	uint32_t time = atomic_load_explicit(&c->pool.segs[seg].time, memory_order_relaxed);
	unsigned near = 0;

	for (unsigned i = 0; i < c->n_shards; i++) {
		uint32_t end = pool_time_of(&c->pool, policy_next(&c->shards[i]));

		near += end - time + FRONT_SEGMENTS <= 2 * FRONT_SEGMENTS;
	}
	return 8 * near >= 7 * c->n_shards;
}

/* What a batch adds up, to be counted at its end: neighbours in age lie in the
 * same segment, as a rule. */
struct batch {
	uint32_t ref; /* of one in the segment that `bytes` lie in */
	uint32_t bytes;
	uint64_t footprint, user_bytes;
	unsigned n, expiring;
	unsigned spared; /* protected ones that came up */
	unsigned quota;  /* whose they are */
	bool own;        /* and for its own maximum's sake */
};

static void
free_batch(struct cache *c, struct batch *b)
{
	if (b->bytes != 0)
		pool_free(&c->pool, b->ref, b->bytes);
	b->bytes = 0;
}

static bool
evict_entry(const struct work *w, struct shard *sh, struct batch *b)
{
	struct cache *c = w->c;
	unsigned base = quota_base(b->quota);
	uint32_t ref = sh->policy->victim(sh, base, w->keep), word;
	struct cache_tally *tally;
	struct entry *e;
	struct slice key;
	uint64_t hash, bytes;
	uint16_t class;

	if (ref == 0)
		return false;
	e = arena_at(&c->arena, ref);
	__builtin_prefetch(arena_at(&c->arena, e->newer)); /* the next, as a rule */
	word = entry_word(e);
	key = entry_key(c, e, word);
	hash = key_hash(c->seed, key);
	class = class_of(c, key).tally;
	if (unlikely((class & CACHE_PROTECTED) || word_is_protected(word)) &&
	    protect_spares_locked(sh, base_of_key(sh, key, hash), ref, hash, class)) {
		b->spared++;
		return true;
	}
	bytes = entry_footprint(e, word);
	if (unlikely(b->quota != 0) && !b->own && !quota_lend(c, b->quota, bytes))
		return false;
	tally = tally_of_class(w->t, class);
	counter_add(&tally->entries, -1);
	counter_add(&tally->bytes, -(int64_t)bytes);
	counter_inc(&tally->evicted);
	counter_add(&tally->over_max, b->own);
	shard_changed(sh, w->t, key, hash, CACHE_LOST);
	b->n++;
	b->footprint += bytes;
	b->user_bytes += entry_user_bytes(e, word);
	b->expiring += entry_expiry(e, word) != CACHE_NEVER;
	sh->policy->evict(sh, base, ref, hash);
	if (unlikely(b->quota != 0) && !b->own)
		quota_lent(c, b->quota, bytes);
	table_remove(sh, hash, ref);
	if (pool_filling(&c->pool) ||
	    pool_seg_of(&c->pool, b->ref) != pool_seg_of(&c->pool, ref))
		free_batch(c, b);
	b->ref = ref;
	b->bytes += entry_kill(c, e, word);
	return true;
}

static uint64_t
evict_batch(const struct work *w, struct shard *sh, struct batch *b, uint64_t want)
{
	assert(lock_held(&sh->lock));
	shard_write_begin(sh);
	while (b->n < EVICT_BATCH && b->footprint < want && b->spared < SPARE_MOST &&
	    evict_entry(w, sh, b))
		;
	shard_write_end(sh);
	free_batch(w->c, b);
	shard_add(&sh->count, -(int64_t)b->n);
	shard_add(&sh->evicted, b->n);
	shard_add(&sh->user_bytes, -(int64_t)b->user_bytes);
	shard_add(&sh->expiring, -(int64_t)b->expiring);
	if (sh != w->mine)
		table_adjust(sh);
	return b->footprint;
}

uint64_t
evict_quota_locked(const struct work *w, struct shard *sh, unsigned quota, uint64_t want)
{
	struct batch b = { .quota = quota, .own = true };

	return evict_batch(w, sh, &b, want);
}

/* Of the one whose turn it is, or else of the first that can give any. */
static NOINLINE uint64_t
evict_in_turn(const struct work *w, struct shard *sh, uint64_t want)
{
	unsigned turn = quota_turn_locked(sh);
	uint64_t bytes = 0;

	for (unsigned k = 0; bytes == 0 && k <= CACHE_QUOTAS; k++) {
		struct batch b = { .quota = (turn + k) % (CACHE_QUOTAS + 1) };

		bytes = evict_batch(w, sh, &b, want);
	}
	return bytes;
}

static uint64_t
evict_locked(const struct work *w, struct shard *sh, uint64_t want)
{
	struct batch b = { 0 };

	if (unlikely(shard_is_mapped(sh)))
		return evict_in_turn(w, sh, want);
	return evict_batch(w, sh, &b, want);
}

/* With a cursor open, or the work lock held, any shard that can be had. */
static uint64_t
evict_anywhere(const struct work *w, struct shard *first, uint64_t want)
{
	struct cache *c = w->c;
	unsigned start = (unsigned)(first - c->shards);

	for (unsigned k = 0; k < c->n_shards; k++) {
		struct shard *sh = &c->shards[(start + k) & (c->n_shards - 1)];
		uint64_t bytes;

		if (!work_lock_shard(w, sh))
			continue;
		bytes = evict_locked(w, sh, want);
		work_unlock_shard(w, sh);
		if (bytes != 0)
			return bytes;
	}
	return 0;
}

uint64_t
evict_some(const struct work *w, uint64_t want)
{
	struct shard *sh = pick(w->c);
	uint64_t bytes;

	if (w->mine != NULL || lock_held(&w->c->work))
		return evict_anywhere(w, sh, want);
	shard_lock(sh);
	bytes = evict_locked(w, sh, want);
	shard_unlock(sh);
	if (likely(bytes != 0))
		return bytes;
	/* An empty one came out oldest: compare again. Where quotas keep what they have,
	 * somebody else may give some. */
	atomic_store_explicit(&w->c->evict_until, 0, memory_order_relaxed);
	return shard_is_mapped(sh) ? evict_anywhere(w, sh, want) : 0;
}
