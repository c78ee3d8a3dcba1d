/* Keys that somebody watches, for transactions that are to happen only where
 * none has changed. In tables of the shards, under their locks: writers, who
 * hold these, look only where their shard has any. And shards whose every change
 * somebody wants to hear of, for clients that keep values of their own. */
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
	*w = (struct cache_watch){ .next = *bucket, .hash = cur->hash,
		.present = cur->value.ptr != NULL };
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
watch_changed_locked(struct shard *sh, struct cache_thread *t, struct slice key, uint64_t hash,
    enum cache_change how)
{
	const struct cache *c = sh->cache;

	if (sh->n_notices != 0)
		c->changed(c->changed_arg, t, key, hash, how);
	/* Who began to watch a stale entry found nothing there, so nothing is lost. */
	for (struct cache_watch *w = *bucket_of(sh, hash); w != NULL; w = w->next)
		if (w->hash == hash)
			w->touched |= how == CACHE_WRITTEN || w->present;
}

/* What was not there is not changed by a flush. */
void
watch_flushed_locked(struct shard *sh)
{
	for (unsigned i = 0; i < SHARD_WATCH_BUCKETS; i++)
		for (struct cache_watch *w = sh->watches[i]; w != NULL; w = w->next)
			w->touched |= w->present;
}

/* --- every change ------------------------------------------------------------------ */

void
cache_on_change(struct cache *c, cache_changed_fn *fn, void *arg)
{
	c->changed = fn;
	c->changed_arg = arg;
}

void
cache_tell(struct cache_cursor *cur)
{
	const struct cache *c = cur->cache;

	if (cur->shard->n_notices != 0)
		c->changed(c->changed_arg, cur->thread, cur->key, cur->hash, CACHE_WRITTEN);
}

unsigned
cache_shards(const struct cache *c)
{
	return c->n_shards;
}

unsigned
cache_shard_index(const struct cache *c, uint64_t hash)
{
	return (unsigned)(shard_of(c, hash) - c->shards);
}

void
cache_notice_locked(struct cache *c, unsigned shard, bool on)
{
	struct shard *sh = &c->shards[shard];

	assert(lock_held(&sh->lock) && c->changed != NULL);
	sh->n_notices += on ? 1 : -1u;
	sh->n_watches += on ? 1 : -1u;
}

void
cache_with_shard(struct cache *c, struct cache_thread *t, unsigned shard,
    void (*fn)(void *arg, unsigned shard), void *arg)
{
	struct shard *sh = &c->shards[shard];

	shard_enter(t, sh);
	fn(arg, shard);
	shard_leave(t, sh);
}

/* --- keys that are sampled ----------------------------------------------------------- */

const _Atomic(uint32_t) sample_none = 0;

void
cache_on_sample(struct cache *c, const _Atomic(uint32_t) *below, cache_sampled_fn *fn, void *arg)
{
	c->sampled = fn;
	c->sampled_arg = arg;
	c->sample_below = below;
}

NOINLINE void
sample_tell_locked(const struct cache_cursor *cur, uint16_t class, bool there)
{
	const struct cache *c = cur->cache;

	assert(lock_held(&cur->shard->lock));
	c->sampled(c->sampled_arg, cur, class, there ? cache_footprint(cur) : 0);
}
