#include "config.h"

#include "cache/entry.h"

#include <string.h>

#include "cache/impl.h"

uint64_t
entry_footprint(const struct entry *e, uint32_t word)
{
	uint64_t bytes = word_bytes(word);

	if (unlikely(word_is_large(word))) {
		const struct entry_large *l = entry_large(e, word);

		bytes += extent_pages(l->key_len + l->value_len) << PAGE_SHIFT;
	}
	return bytes;
}

/* --- making ------------------------------------------------------------------------ */

bool
entry_is_large(const struct cache *c, size_t key_len, uint64_t value_len)
{
	return value_len >= WORD_VALUE_MAX || key_len >= WORD_KEY_MAX ||
	    sizeof(struct entry) + EXPIRY_BYTES + key_len + value_len > c->small_max;
}

static uint32_t
alloc_large(struct cache *c, struct slice key, uint64_t value_len, uint32_t word,
    int64_t expires_ms)
{
	uint32_t extent = extent_alloc(&c->extents, key.len + value_len), ref;
	struct entry *e;

	if (extent == 0)
		return 0;
	ref = pool_alloc(&c->pool, SEG_NEW, word, expires_ms);
	if (ref == 0) {
		extent_free(&c->extents, extent);
		return 0;
	}
	pool_advance(&c->pool, key.len + value_len);
	e = arena_at(&c->arena, ref);
	*entry_large(e, word) = (struct entry_large){ .extent = extent,
		.key_len = (uint32_t)key.len, .value_len = value_len };
	return ref;
}

uint32_t
entry_alloc(struct cache *c, struct slice key, uint64_t value_len, int64_t expires_ms)
{
	uint32_t word = word_of_key_len(key.len) | (expires_ms != CACHE_NEVER ? WORD_TTL : 0);
	struct entry *e;
	uint32_t ref;

	if (likely(!entry_is_large(c, key.len, value_len))) {
		word |= (uint32_t)value_len;
		ref = pool_alloc(&c->pool, SEG_NEW, word, expires_ms);
	} else {
		word |= WORD_VALUE_MAX;
		ref = alloc_large(c, key, value_len, word, expires_ms);
	}
	if (unlikely(ref == 0))
		return 0;
	e = arena_at(&c->arena, ref);
	if (expires_ms != CACHE_NEVER)
		entry_set_expiry(e, expires_ms);
	if (key.len != 0)
		memcpy((char *)(uintptr_t)entry_key(c, e, word).ptr, key.ptr, key.len);
	return ref;
}

void
entry_free(struct cache *c, uint32_t ref)
{
	struct entry *e = arena_at(&c->arena, ref);
	uint32_t word = entry_word(e);

	if (unlikely(word_is_large(word)))
		extent_free(&c->extents, entry_large(e, word)->extent);
	entry_set_word(e, word_with_state(word, ENTRY_DEAD));
	pool_free(&c->pool, ref, word_bytes(word));
}

/* --- counting and leaving ------------------------------------------------------------ */

struct cache_tally *
tally_of(const struct cache *c, struct cache_thread *t, struct slice key)
{
	return &t->tally[c->classify != NULL ? c->classify(c->classify_arg, key) : 0];
}

void
entry_count_locked(struct cache *c, struct cache_thread *t, struct shard *sh, uint32_t ref,
    int sign)
{
	const struct entry *e = arena_at(&c->arena, ref);
	uint32_t word = entry_word(e);
	struct slice key = entry_key(c, e, word);
	struct cache_tally *tally = tally_of(c, t, key);

	counter_add(&tally->entries, sign);
	counter_add(&tally->bytes, sign * (int64_t)entry_footprint(e, word));
	shard_add(&sh->count, sign);
	shard_add(&sh->user_bytes, sign * (int64_t)(key.len + entry_value(c, e, word).len));
	if (entry_expiry(e, word) != CACHE_NEVER)
		shard_add(&sh->expiring, sign);
}

void
entry_leave_locked(struct cache *c, struct cache_thread *t, struct shard *sh, uint32_t ref,
    uint64_t hash, enum leave why)
{
	const struct entry *e = arena_at(&c->arena, ref);

	assert(lock_held(&sh->lock));
	entry_count_locked(c, t, sh, ref, -1);
	if (why == LEAVE_EVICTED) {
		counter_inc(&tally_of(c, t, entry_key(c, e, entry_word(e)))->evicted);
		shard_add(&sh->evicted, 1);
		sh->policy->evict(sh, ref, hash);
	} else {
		if (why == LEAVE_EXPIRED) {
			counter_inc(&tally_of(c, t, entry_key(c, e, entry_word(e)))->expired);
			shard_add(&sh->expired, 1);
		}
		sh->policy->remove(sh, ref);
	}
	shard_write_begin(sh);
	table_remove(sh, hash, ref);
	shard_write_end(sh);
	entry_free(c, ref);
}

/* --- walking ---------------------------------------------------------------------------- */

bool
walk_next(const struct cache *c, struct walk *w, uint32_t *ref, uint32_t *word)
{
	if (w->at >= w->end)
		return false;
	*ref = w->at;
	*word = entry_word(arena_at(&c->arena, w->at));
	w->at += word_bytes(*word) >> REF_SHIFT;
	return true;
}
