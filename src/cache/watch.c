/* Keys that somebody watches, for transactions that are to happen only where
 * none has changed. In tables of the shards, under their locks: writers, who
 * hold these, look only where their shard has any. */
#include "config.h"

#include "cache/impl.h"

static struct cache_watch **
bucket_of(struct shard *sh, uint64_t hash)
{
	return &sh->watches[hash % SHARD_WATCH_BUCKETS];
}

void
cache_watch(struct cache_cursor *cur, struct cache_watch *w)
{
	struct shard *sh = cur->shard;
	struct cache_watch **bucket = bucket_of(sh, cur->hash);

	assert(lock_held(&sh->lock));
	*w = (struct cache_watch){ .next = *bucket, .hash = cur->hash, .present = cur->ref != 0 };
	*bucket = w;
	sh->n_watches++;
}

void
cache_unwatch(struct cache *c, struct cache_thread *t, struct cache_watch *w)
{
	struct shard *sh = shard_of(c, w->hash);
	struct cache_watch **link = bucket_of(sh, w->hash);

	shard_enter(t, sh);
	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	sh->n_watches--;
	shard_leave(t, sh);
}

void
watch_changed_locked(struct shard *sh, uint64_t hash)
{
	for (struct cache_watch *w = *bucket_of(sh, hash); w != NULL; w = w->next)
		if (w->hash == hash)
			w->touched = true;
}

/* What was not there is not changed by a flush. */
void
watch_flushed_locked(struct shard *sh)
{
	for (unsigned i = 0; i < SHARD_WATCH_BUCKETS; i++)
		for (struct cache_watch *w = sh->watches[i]; w != NULL; w = w->next)
			w->touched |= w->present;
}
