/* Entries that are never evicted: locks and counters that must not go because a
 * cache beside them fills up.
 *
 * A protected entry has BITS_PROTECTED in its word and waits in a queue of its own,
 * where no policy looks. A hit does not ask: under LRU it moves the entry to the
 * policy's queue, as any other, and when it comes up there for eviction it is
 * put back. So a protected entry costs one move more for each time that it was used
 * since, and others cost nothing.
 *
 * Together they may take a share of the budget, so that the cache always has
 * room to work; who wants more is refused, for there is nobody whom he could push out.
 * Rejected: to evict protected entries by their own age then, as if they were a
 * cache of their own. A lock that is lost silently is worse than one that
 * cannot be had. */
#include "config.h"

#include "cache/impl.h"

/* Shares of the budget. Cleaning wants some of it free, and may evict ahead (work.c)
 * another quarter: with more than half the rest would be no cache any more. */
#define LIMIT_AUTO 4
#define LIMIT_MOST 2
#define STEP_ENTRIES 64

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

static bool
is_protected(const struct shard *sh, uint32_t ref)
{
	return word_is_protected(entry_word(at(sh, ref)));
}

static void
set_bits(const struct shard *sh, uint32_t ref, unsigned bits)
{
	struct entry *e = at(sh, ref);

	entry_set_word(e, word_with_policy(entry_word(e), bits));
}

static void
count(struct shard *sh, uint32_t ref, int sign)
{
	const struct entry *e = at(sh, ref);
	int64_t bytes = sign * (int64_t)entry_footprint(e, entry_word(e));

	shard_add(&sh->n_protected, sign);
	atomic_fetch_add_explicit(&sh->cache->protected_bytes, bytes, memory_order_relaxed);
}

static void
take_in(struct shard *sh, uint32_t ref)
{
	set_bits(sh, ref, BITS_PROTECTED);
	queue_push(sh, QUEUE_PROTECTED, ref);
	count(sh, ref, 1);
}

static void
let_go(struct shard *sh, uint32_t ref)
{
	queue_remove(sh, QUEUE_PROTECTED, ref);
	count(sh, ref, -1);
	set_bits(sh, ref, 0);
}

/* --- lists --------------------------------------------------------------------------- */

void
entry_enlist_locked(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash, uint16_t class)
{
	if (likely(!(class & CACHE_PROTECTED)))
		sh->policy->insert(sh, base, ref, hash);
	else
		take_in(sh, ref);
}

void
entry_delist_locked(struct shard *sh, unsigned base, uint32_t ref)
{
	if (likely(!is_protected(sh, ref)))
		sh->policy->remove(sh, base, ref);
	else
		let_go(sh, ref);
}

void
entry_relist_locked(struct shard *sh, unsigned base, uint32_t ref, uint32_t by, uint64_t hash,
    uint16_t class)
{
	if (likely(!(class & CACHE_PROTECTED) && !is_protected(sh, ref))) {
		sh->policy->replace(sh, base, ref, by, hash);
		return;
	}
	entry_delist_locked(sh, base, ref);
	entry_enlist_locked(sh, base, by, hash, class);
}

/* --- the limit ------------------------------------------------------------------------- */

void
cache_protect(struct cache *c, uint64_t bytes)
{
	atomic_store(&c->protected_limit, bytes);
}

uint64_t
protect_limit(const struct cache *c)
{
	uint64_t budget = (uint64_t)pages_bytes(arena_budget(&c->arena));
	uint64_t set = atomic_load_explicit(&c->protected_limit, memory_order_relaxed);

	return set == 0 ? budget / LIMIT_AUTO : MIN(set, budget / LIMIT_MOST);
}

/* Writers of other shards may come to the same answer at the same time: then the
 * limit is passed by their few entries. */
static bool
fits(const struct cache *c, uint64_t more, uint64_t less)
{
	int64_t now = atomic_load_explicit(&c->protected_bytes, memory_order_relaxed);

	return more <= less || now + (int64_t)(more - less) <= (int64_t)protect_limit(c);
}

uint64_t
footprint_of(const struct cache *c, uint64_t key_len, uint64_t len, bool expires)
{
	uint64_t bytes = sizeof(struct entry) + (expires ? EXPIRY_BYTES : 0);

	if (entry_is_large(c, key_len, len))
		bytes += sizeof(struct entry_large) + (extent_pages(key_len + len) << PAGE_SHIFT);
	else
		bytes += key_len + len;
	return (bytes + 7) & ~(uint64_t)7;
}

bool
protect_admits(const struct cache_cursor *cur, uint64_t len, int64_t expires_ms)
{
	const struct cache *c = cur->cache;
	uint64_t has = 0;

	if (cur->ref != 0 && is_protected(cur->shard, cur->ref)) {
		const struct entry *e = at(cur->shard, cur->ref);

		has = entry_footprint(e, entry_word(e));
	}
	return fits(c, footprint_of(c, cur->key.len, len, expires_ms != CACHE_NEVER), has);
}

/* --- who comes and goes without being written -------------------------------------------- */

bool
protect_spares_locked(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash,
    uint16_t class)
{
	const struct entry *e = at(sh, ref);

	assert(lock_held(&sh->lock));
	if (is_protected(sh, ref)) {
		if (class & CACHE_PROTECTED) {
			queue_relink(sh, QUEUE_PROTECTED, ref);
		} else {
			let_go(sh, ref);
			sh->policy->insert(sh, base, ref, hash);
		}
		return true;
	}
	if (!fits(sh->cache, entry_footprint(e, entry_word(e)), 0))
		return false;
	sh->policy->remove(sh, base, ref);
	take_in(sh, ref);
	return true;
}

void
protect_forget_locked(struct shard *sh)
{
	atomic_fetch_sub_explicit(&sh->cache->protected_bytes,
	    (int64_t)sh->queue_bytes[QUEUE_PROTECTED], memory_order_relaxed);
	atomic_store_explicit(&sh->n_protected, 0, memory_order_relaxed);
}

void
cache_reclassify(struct cache *c)
{
	atomic_store(&c->reclassify, true);
}

/* Goes through the queue once, from its oldest end: who stays is put in front. */
static void
look_again_locked(struct shard *sh, uint64_t *left)
{
	shard_write_begin(sh);
	for (unsigned i = 0; i < STEP_ENTRIES && *left > 0; i++, --*left) {
		uint32_t ref = queue_oldest(sh, QUEUE_PROTECTED);
		const struct entry *e;
		struct slice key;
		uint64_t hash;

		if (ref == 0) {
			*left = 0;
			break;
		}
		e = at(sh, ref);
		key = entry_key(sh->cache, e, entry_word(e));
		hash = key_hash(sh->cache->seed, key);
		protect_spares_locked(sh, base_of_key(sh, key, hash), ref, hash,
		    class_of(sh->cache, key).tally);
	}
	shard_write_end(sh);
}

bool
protect_step(const struct work *w)
{
	struct cache *c = w->c;
	struct reclass *r = &c->reclass;
	struct shard *sh;

	assert(lock_held(&c->work));
	if (unlikely(atomic_load_explicit(&c->reclassify, memory_order_relaxed)) &&
	    atomic_exchange(&c->reclassify, false)) {
		r->running = true;
		r->shard = 0;
		r->left = shard_get(&c->shards[0].n_protected);
	}
	if (likely(!r->running))
		return false;
	sh = &c->shards[r->shard];
	if (!work_lock_shard(w, sh))
		return true;
	look_again_locked(sh, &r->left);
	work_unlock_shard(w, sh);
	if (r->left == 0 && ++r->shard < c->n_shards)
		r->left = shard_get(&c->shards[r->shard].n_protected);
	r->running = r->shard < c->n_shards;
	return true;
}
