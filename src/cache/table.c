#include "config.h"

#include "cache/table.h"

#include <string.h>

#include "cache/impl.h"

/* Buckets split or joined at a time: as many as entries leave at a time. */
#define STEPS_MAX 8

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

/* The link that names ref. */
static uint32_t *
link_to(const struct shard *sh, uint64_t hash, uint32_t ref)
{
	uint32_t *link = table_chain(sh, hash);

	while (*link != ref) {
		assert(*link != 0);
		link = &at(sh, *link)->chain;
	}
	return link;
}

/* Buckets, unlike links between entries, are also read by a prefetch. */
void
table_insert(struct shard *sh, uint64_t hash, uint32_t ref)
{
	uint32_t *bucket = table_chain(sh, hash);

	at(sh, ref)->chain = *bucket;
	link_set(bucket, ref);
}

void
table_remove(struct shard *sh, uint64_t hash, uint32_t ref)
{
	link_set(link_to(sh, hash, ref), at(sh, ref)->chain);
}

void
table_replace(struct shard *sh, uint64_t hash, uint32_t ref, uint32_t by)
{
	at(sh, by)->chain = at(sh, ref)->chain;
	link_set(link_to(sh, hash, ref), by);
}

/* --- growing and shrinking ------------------------------------------------------------ */

/* The page that bucket n starts. Growing can wait: without a page the chains
 * become longer for a while. */
static bool
reach_page(struct shard *sh, uint32_t n)
{
	uint32_t page = n / TABLE_PAGE_BUCKETS;

	if (page < sh->table_pages) {
		memset(table_bucket(sh, n), 0, PAGE_BYTES); /* left by a flush */
		return true;
	}
	if (sh->trimming)
		return false;
	if (!arena_take(&sh->cache->arena, 1)) {
		atomic_store_explicit(&sh->cache->wants_page, true, memory_order_relaxed);
		return false;
	}
	sh->table_pages++;
	return true;
}

static bool
grow(struct shard *sh)
{
	const struct cache *c = sh->cache;
	uint32_t n = table_size(sh), bit = 1u << table_level(n);
	uint32_t *stay = table_bucket(sh, n - bit), *move;

	if (n % TABLE_PAGE_BUCKETS == 0 && !reach_page(sh, n))
		return false;
	move = table_bucket(sh, n);
	while (*stay != 0) {
		struct entry *e = at(sh, *stay);
		uint64_t hash = key_hash(c->seed, entry_key(c, e, entry_word(e)));

		if (hash & bit) {
			link_set(move, *stay);
			link_set(stay, e->chain);
			move = &e->chain;
			*move = 0;
		} else {
			stay = &e->chain;
		}
	}
	atomic_store_explicit(&sh->head->n_buckets, n + 1, memory_order_relaxed);
	return true;
}

static void
shrink(struct shard *sh)
{
	uint32_t last = table_size(sh) - 1, *from = table_bucket(sh, last), *end = from;
	uint32_t *to = table_bucket(sh, last - (1u << table_level(last)));

	while (*end != 0)
		end = &at(sh, *end)->chain;
	link_set(end, *to);
	link_set(to, *from);
	link_set(from, 0);
	atomic_store_explicit(&sh->head->n_buckets, last, memory_order_relaxed);
}

void
table_step(struct shard *sh)
{
	uint64_t count = shard_get(&sh->count);

	assert(lock_held(&sh->lock));
	for (int steps = 0; steps < STEPS_MAX; steps++) {
		uint64_t n = table_size(sh);
		bool full = 2 * count > 3 * n;

		if (likely(!full && (count >= n || n == TABLE_PAGE_BUCKETS)))
			return;
		shard_write_begin(sh);
		if (!full)
			shrink(sh);
		else if (!grow(sh))
			steps = STEPS_MAX;
		shard_write_end(sh);
	}
}

/* One page is left beyond need, or a table at an edge would punch for ever.
 * It is punched without the lock: only growing would touch it, and waits. */
bool
table_trim(struct shard *sh)
{
	uint32_t need, page = 0;

	lock_acquire(&sh->lock);
	need = (table_size(sh) + TABLE_PAGE_BUCKETS - 1) / TABLE_PAGE_BUCKETS + 1;
	if (!sh->trimming && sh->table_pages > need) {
		sh->trimming = true;
		page = --sh->table_pages;
	}
	lock_release(&sh->lock);
	if (page == 0)
		return false;
	arena_punch(&sh->cache->arena, table_bucket(sh, page * TABLE_PAGE_BUCKETS), PAGE_BYTES);
	arena_give(&sh->cache->arena, 1);
	lock_acquire(&sh->lock);
	sh->trimming = false;
	lock_release(&sh->lock);
	return true;
}
