/* Quotas: the least and the most that the keys of a namespace may have.
 *
 * The entries of each quota lie in queues of its own in each shard, by the same policy as
 * all others, so that its next victim is at hand however few of the entries are its. The
 * bytes in these queues are counted as they are linked and unlinked, under the shard's lock,
 * and summed in one counter for each quota: exact at any time, and no background.
 *
 * A maximum holds by what comes being counted before it is there (`coming`): where that is
 * too much, entries of the same quota go first, of the writer's shard, else of another. A minimum
 * holds by what is about to go being counted before it has gone (`leaving`). Both err on the
 * safe side for the moment in which an entry is counted twice.
 *
 * Which quota an entry counts against is nowhere written, that would cost bytes: its key
 * tells, by a map that is constant. With another map a walk goes through each shard in
 * the order of the table (scan.c): what lies before its point counts by the new one. A hit of LRU
 * must know whether the entry lies in the first queue: one bit of its word, BITS_OWN.
 *
 * When room is needed for all, each gives by turns, as often as it has bytes above its
 * minimum. Rejected: to compare ages, for which each queue of each shard would need
 * markers (policy.h). */
#include "config.h"

#include <errno.h>
#include <sched.h>

#include "cache/impl.h"

#define HOPELESS_MAX 64
#define ENTRY_ABOUT 24      /* bytes of an entry that are not the user's */
#define SHRINK_STEP (16u << 10)
#define MIN_SHARE 2         /* of the budget, for all minimums together */
#define WALK_BUCKETS 64     /* at one hold of a shard's lock */

static struct quota *
quota_at(const struct cache *c, unsigned quota)
{
	assert(quota >= 1 && quota <= CACHE_QUOTAS);
	return &c->quotas[quota - 1];
}

/* --- what they may have -------------------------------------------------------------- */

static uint64_t
budget_bytes(const struct cache *c)
{
	return (uint64_t)pages_bytes(arena_budget(&c->arena));
}

static uint64_t
amount_bytes(const struct cache *c, uint64_t amount)
{
	return amount >> 63 ? budget_bytes(c) / 100 * (amount & 0xff) : amount;
}

static uint64_t
all_minimums(const struct cache *c)
{
	uint64_t all = 0;

	for (unsigned q = 1; q <= CACHE_QUOTAS; q++)
		all += amount_bytes(c, atomic_load_explicit(&quota_at(c, q)->min,
		    memory_order_relaxed));
	return all;
}

/* Minimums and protected entries must leave room for the cleaner to work: five eighths
 * at most are theirs. */
static uint64_t
minimums_allowed(const struct cache *c)
{
	uint64_t budget = budget_bytes(c), most = budget / 8 * 5;
	int64_t others = atomic_load_explicit(&c->protected_bytes, memory_order_relaxed);
	uint64_t taken = others > 0 ? (uint64_t)others : 0;

	return MIN(budget / MIN_SHARE, most - MIN(most, taken));
}

static int64_t
quota_min(const struct cache *c, const struct quota *q)
{
	uint64_t min = amount_bytes(c, atomic_load_explicit(&q->min, memory_order_relaxed));
	uint64_t all, allowed;

	if (min == 0)
		return 0;
	all = all_minimums(c);
	allowed = minimums_allowed(c);
	if (all > allowed)
		min = (uint64_t)((double)min * ((double)allowed / (double)all));
	return (int64_t)min;
}

static int64_t
quota_max(const struct cache *c, const struct quota *q)
{
	uint64_t max = atomic_load_explicit(&q->max, memory_order_relaxed);

	return max == 0 ? INT64_MAX : (int64_t)amount_bytes(c, max);
}

void
cache_set_quota(struct cache *c, unsigned quota, const struct cache_quota *set)
{
	struct quota *q = quota_at(c, quota);

	atomic_store(&q->min, set->min_bytes);
	atomic_store(&q->max, set->max_bytes);
}

void
cache_quota_stats(const struct cache *c, unsigned quota, struct cache_quota_stats *out)
{
	const struct quota *q = quota_at(c, quota);
	int64_t bytes = atomic_load(&q->bytes), max = quota_max(c, q);

	*out = (struct cache_quota_stats){
		.bytes = bytes > 0 ? (uint64_t)bytes : 0,
		.min_bytes = (uint64_t)quota_min(c, q),
		.max_bytes = max == INT64_MAX ? 0 : (uint64_t)max,
	};
}

/* --- counting ------------------------------------------------------------------------- */

static int64_t
add(_Atomic(int64_t) *n, int64_t by)
{
	return atomic_fetch_add(n, by) + by;
}

static struct quota *
quota_of_queue(const struct cache *c, unsigned queue)
{
	return quota_at(c, (queue - 1) / POLICY_QUEUES);
}

bool
quota_has_any(const struct cache *c, unsigned queue)
{
	return atomic_load_explicit(&quota_of_queue(c, queue)->bytes, memory_order_relaxed) != 0;
}

void
quota_count(struct shard *sh, unsigned queue, int64_t by)
{
	add(&quota_of_queue(sh->cache, queue)->bytes, by);
	__atomic_store_n(&sh->quota_bytes, sh->quota_bytes + (uint64_t)by, __ATOMIC_RELAXED);
}

static uint64_t
bytes_in(const struct shard *sh, unsigned quota)
{
	const uint64_t *bytes = &sh->queue_bytes[quota_base(quota)];
	uint64_t sum = 0;

	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		sum += __atomic_load_n(&bytes[i], __ATOMIC_RELAXED);
	return sum;
}

void
quota_forget_locked(struct shard *sh)
{
	for (unsigned q = 1; q <= CACHE_QUOTAS; q++)
		add(&quota_at(sh->cache, q)->bytes, -(int64_t)bytes_in(sh, q));
	__atomic_store_n(&sh->quota_bytes, 0, __ATOMIC_RELAXED);
}

bool
quota_lend(const struct cache *c, unsigned quota, uint64_t bytes)
{
	struct quota *q = quota_at(c, quota);
	int64_t leaving = add(&q->leaving, (int64_t)bytes);

	if (atomic_load(&q->bytes) - leaving >= quota_min(c, q))
		return true;
	quota_lent(c, quota, bytes);
	return false;
}

void
quota_lent(const struct cache *c, unsigned quota, uint64_t bytes)
{
	add(&quota_at(c, quota)->leaving, -(int64_t)bytes);
}

/* --- whose an entry is ------------------------------------------------------------------- */

static unsigned
look_in(const struct cache *c, const void *map, struct slice key)
{
	return map == NULL ? 0 : c->quota_of(map, key);
}

unsigned
quota_look(const struct shard *sh, struct slice key, uint64_t hash)
{
	const struct cache *c = sh->cache;

	if (unlikely(sh->map_point != SCAN_END) && scan_point(hash) >= sh->map_point)
		return look_in(c, sh->map_old, key);
	return look_in(c, sh->map, key);
}

/* --- the maximum ---------------------------------------------------------------------------- */

static uint64_t
evict_of(const struct work *w, unsigned quota, uint64_t want)
{
	struct cache *c = w->c;
	unsigned start = atomic_fetch_add_explicit(&quota_at(c, quota)->hand, 1,
	    memory_order_relaxed);

	if (w->mine != NULL) {
		uint64_t bytes = evict_quota_locked(w, w->mine, quota, want);

		if (bytes != 0)
			return bytes;
	}
	for (unsigned k = 0; k < c->n_shards; k++) {
		struct shard *sh = &c->shards[(start + k) & (c->n_shards - 1)];
		uint64_t bytes;

		if (bytes_in(sh, quota) == 0 || !work_lock_shard(w, sh))
			continue;
		bytes = evict_quota_locked(w, sh, quota, want);
		work_unlock_shard(w, sh);
		if (bytes != 0)
			return bytes;
	}
	return 0;
}

/* Until it fits; an entry that is replaced counts no more. */
static bool
make_place(const struct work *w, unsigned quota, int64_t max, uint64_t has)
{
	struct quota *q = quota_at(w->c, quota);
	unsigned hopeless = 0;

	while (hopeless < HOPELESS_MAX) {
		/* In this order: what is linked meanwhile counts twice, never not at all. */
		int64_t coming = atomic_load(&q->coming);
		int64_t over = atomic_load(&q->bytes) + coming - (int64_t)has - max;

		if (over <= 0)
			return true;
		if (evict_of(w, quota, (uint64_t)over) != 0) {
			hopeless = 0;
		} else {
			hopeless++; /* others hold the shards where they are */
			sched_yield();
		}
	}
	return false;
}

int
quota_admit(struct cache_cursor *cur, unsigned quota, uint64_t bytes, uint64_t has)
{
	struct work w = { .c = cur->cache, .t = cur->thread, .mine = cur->shard,
		.keep = cur->ref };
	struct quota *q = quota_at(cur->cache, quota);
	int64_t max = quota_max(cur->cache, q);

	assert(lock_held(&cur->shard->lock));
	if ((int64_t)bytes > max)
		return -EDQUOT;
	add(&q->coming, (int64_t)bytes);
	if (max == INT64_MAX || make_place(&w, quota, max, has))
		return 0;
	quota_came(cur->cache, quota, bytes);
	return -ENOMEM;
}

void
quota_came(const struct cache *c, unsigned quota, uint64_t bytes)
{
	add(&quota_at(c, quota)->coming, -(int64_t)bytes);
}

/* One that was lowered, or taken over by a walk with more than it may have. */
static bool
shrink_step(const struct work *w)
{
	struct cache *c = w->c;
	bool any = false;

	for (unsigned q = 1; q <= CACHE_QUOTAS; q++) {
		struct quota *quota = quota_at(c, q);
		int64_t over = atomic_load_explicit(&quota->bytes, memory_order_relaxed);

		if (over == 0)
			continue;
		over -= quota_max(c, quota);
		if (over > 0 && evict_of(w, q, MIN((uint64_t)over, SHRINK_STEP)) != 0)
			any = true;
	}
	return any;
}

/* --- room for all ---------------------------------------------------------------------------- */

/* What it could give here: its part of what it has above its minimum. */
static uint64_t
spare_in(const struct shard *sh, unsigned quota)
{
	const struct quota *q = quota_at(sh->cache, quota);
	uint64_t here = bytes_in(sh, quota);
	int64_t all = atomic_load_explicit(&q->bytes, memory_order_relaxed);
	int64_t over = all - quota_min(sh->cache, q);

	if (here == 0 || over <= 0)
		return 0;
	return over >= all ? here : (uint64_t)((double)here * ((double)over / (double)all));
}

static uint64_t
common_bytes(const struct shard *sh)
{
	uint64_t all = shard_get(&sh->user_bytes) + ENTRY_ABOUT * shard_get(&sh->count);
	uint64_t others = sh->quota_bytes + sh->queue_bytes[QUEUE_PROTECTED];

	return all > others ? all - others : 0;
}

unsigned
quota_turn_locked(struct shard *sh)
{
	uint64_t spare[CACHE_QUOTAS + 1], sum, at;
	unsigned q = 0;

	sum = spare[0] = common_bytes(sh);
	for (unsigned i = 1; i <= CACHE_QUOTAS; i++)
		sum += spare[i] = spare_in(sh, i);
	if (sum == 0)
		return 0;
	sh->draws = sh->draws * 1664525u + 1013904223u;
	at = (uint64_t)((double)sum * (sh->draws / 4294967296.0));
	while (q < CACHE_QUOTAS && at >= spare[q])
		at -= spare[q++];
	return q;
}

/* --- another map --------------------------------------------------------------------- */

void
cache_remap(struct cache *c, const void *map)
{
	const void *unused = NULL;

	lock_acquire(&c->remap_lock);
	if (c->remap_asked)
		unused = c->map_next; /* nobody has seen it */
	c->map_next = map;
	atomic_store(&c->remap_asked, true);
	atomic_store(&c->has_quotas, true);
	lock_release(&c->remap_lock);
	if (unused != NULL)
		c->unmap(unused);
}

static bool
take_next(struct cache *c)
{
	struct remap *r = &c->remap;

	if (!atomic_load_explicit(&c->remap_asked, memory_order_relaxed))
		return false;
	lock_acquire(&c->remap_lock);
	r->to = c->map_next;
	c->map_next = NULL;
	atomic_store(&c->remap_asked, false);
	lock_release(&c->remap_lock);
	r->shard = 0;
	r->running = true;
	return true;
}

/* From the queues by the old map to those by the new one. */
static void
relink(struct shard *sh, uint32_t ref)
{
	const struct cache *c = sh->cache;
	const struct entry *e = arena_at(&c->arena, ref);
	uint32_t word = entry_word(e);
	struct slice key = entry_key(c, e, word);
	uint64_t hash = key_hash(c->seed, key);
	unsigned from, to;

	if (word_is_protected(word) || scan_point(hash) < sh->map_point)
		return;
	from = look_in(c, sh->map_old, key);
	to = look_in(c, sh->map, key);
	if (from == to)
		return;
	sh->policy->remove(sh, quota_base(from), ref);
	policy_set_bits(sh, ref, 0);
	sh->policy->insert(sh, quota_base(to), ref, hash);
}

static void
walk_locked(struct shard *sh)
{
	shard_write_begin(sh);
	for (unsigned k = 0; k < WALK_BUCKETS && sh->map_point < SCAN_END; k++) {
		uint64_t end;
		uint32_t i = scan_bucket(table_size(sh), sh->map_point, &end);

		for (uint32_t ref = *table_bucket(sh, i); ref != 0;
		     ref = ((const struct entry *)arena_at(&sh->cache->arena, ref))->chain)
			relink(sh, ref);
		sh->map_point = end;
	}
	shard_write_end(sh);
}

/* The shard's walk begins where it has another map still. */
static void
follow_map_locked(struct shard *sh, const void *to)
{
	if (sh->map_point == SCAN_END && sh->map != to) {
		sh->map_old = sh->map;
		sh->map = to;
		sh->map_point = 0;
		atomic_store_explicit(&sh->mapped, true, memory_order_relaxed);
	}
	walk_locked(sh);
	if (sh->map_point == SCAN_END) {
		sh->map_old = NULL;
		atomic_store_explicit(&sh->mapped, to != NULL, memory_order_relaxed);
	}
}

static bool
remap_step(const struct work *w)
{
	struct cache *c = w->c;
	struct remap *r = &c->remap;
	struct shard *sh;

	if (!r->running && !take_next(c))
		return false;
	sh = &c->shards[r->shard];
	if (!work_lock_shard(w, sh))
		return true;
	follow_map_locked(sh, r->to);
	if (sh->map_point == SCAN_END)
		r->shard++;
	work_unlock_shard(w, sh);
	if (r->shard == c->n_shards) {
		r->running = false;
		if (r->now != NULL)
			c->unmap(r->now);
		r->now = r->to;
	}
	return true;
}

bool
quota_step(const struct work *w)
{
	assert(lock_held(&w->c->work));
	if (likely(!atomic_load_explicit(&w->c->has_quotas, memory_order_relaxed)))
		return false;
	return remap_step(w) || shrink_step(w);
}

void
quota_fini(struct cache *c)
{
	const struct remap *r = &c->remap;

	if (r->now != NULL)
		c->unmap(r->now);
	if (r->running && r->to != NULL)
		c->unmap(r->to);
	if (c->remap_asked && c->map_next != NULL)
		c->unmap(c->map_next);
	lock_fini(&c->remap_lock);
}
