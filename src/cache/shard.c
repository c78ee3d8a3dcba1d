#include "config.h"

#include "cache/shard.h"

#include <string.h>

#include "cache/impl.h"

static void
queues_reset(struct shard *sh)
{
	for (unsigned q = 0; q < SHARD_QUEUES; q++) {
		struct entry *head = &sh->head->queues[q];
		uint32_t ref = arena_ref(&sh->cache->arena, head);

		link_set(&head->newer, ref);
		link_set(&head->older, ref);
		__atomic_store_n(&sh->queue_bytes[q], 0, __ATOMIC_RELAXED);
	}
	sh->markers_in = 0;
	sh->bookmarked = false;
}

void
shard_attach(struct shard *sh, struct cache *c, struct shard_head *head, char *table,
    unsigned stride_shift)
{
	memset(sh, 0, sizeof *sh);
	lock_init(&sh->lock);
	sh->cache = c;
	sh->head = head;
	sh->table = table;
	sh->stride_shift = stride_shift;
	sh->table_pages = 1;
	sh->map_point = SCAN_END;
	sh->entries_from = c->pool.first_slot << c->pool.shift;
}

void
shard_init(struct shard *sh, struct cache *c, struct shard_head *head, char *table,
    unsigned stride_shift)
{
	shard_attach(sh, c, head, table, stride_shift);
	atomic_store(&head->n_buckets, TABLE_PAGE_BUCKETS);
	queues_reset(sh);
}

void
shard_reset_locked(struct shard *sh, uint32_t gen, uint32_t time)
{
	assert(lock_held(&sh->lock));
	if (sh->n_watches != 0)
		watch_flushed_locked(sh);
	protect_forget_locked(sh);
	quota_forget_locked(sh);
	shard_write_begin(sh);
	for (uint32_t i = 0; i < TABLE_PAGE_BUCKETS; i++)
		link_set(table_bucket(sh, i), 0);
	atomic_store_explicit(&sh->head->n_buckets, TABLE_PAGE_BUCKETS, memory_order_relaxed);
	queues_reset(sh);
	shard_write_end(sh);
	atomic_store_explicit(&sh->count, 0, memory_order_relaxed);
	atomic_store_explicit(&sh->expiring, 0, memory_order_relaxed);
	atomic_store_explicit(&sh->user_bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&sh->oldest, time, memory_order_relaxed);
	sh->marked = time;
	atomic_store_explicit(&sh->gen, gen, memory_order_release);
}

void
shard_follow_locked(struct shard *sh, uint32_t gen)
{
	shard_reset_locked(sh, gen, pool_time(&sh->cache->pool));
}

bool
work_lock_shard(const struct work *w, struct shard *sh)
{
	if (sh == w->mine || hold_has(w->t->hold, sh))
		return true;
	if (!lock_try(&sh->lock))
		return false;
	shard_catch_up(sh);
	return true;
}

void
work_unlock_shard(const struct work *w, struct shard *sh)
{
	if (sh != w->mine && !hold_has(w->t->hold, sh))
		lock_release(&sh->lock);
}
