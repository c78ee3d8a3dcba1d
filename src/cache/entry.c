#include "config.h"

#include "cache/entry.h"

#include <string.h>

#include "cache/impl.h"

/* --- making ------------------------------------------------------------------------ */

bool
entry_is_large(const struct cache *c, size_t key_len, uint64_t value_len)
{
	return value_len >= WORD_VALUE_MAX || key_len >= WORD_KEY_MAX ||
	    sizeof(struct entry) + EXPIRY_BYTES + key_len + value_len > c->small_max;
}

static uint32_t
alloc_large(struct cache *c, struct slice key, uint64_t value_len, uint32_t word,
    int64_t end_ms)
{
	uint32_t extent = extent_alloc(&c->extents, key.len + value_len), ref;
	struct entry *e;

	if (extent == 0)
		return 0;
	ref = pool_alloc(&c->pool, SEG_NEW, word, end_ms);
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

/* Most keys are short, and a call of memcpy() costs more than they. */
static inline void
copy_key(char *to, struct slice key)
{
	uint64_t word;

	if (unlikely(key.len < 8 || key.len > 32)) {
		if (key.len != 0)
			memcpy(to, key.ptr, key.len);
		return;
	}
	for (size_t i = 0; i + 8 < key.len; i += 8) {
		memcpy(&word, key.ptr + i, 8);
		memcpy(to + i, &word, 8);
	}
	memcpy(&word, key.ptr + key.len - 8, 8);
	memcpy(to + key.len - 8, &word, 8);
}

uint32_t
entry_alloc(struct cache *c, struct slice key, uint64_t value_len, uint64_t stamp)
{
	uint32_t word = word_of_key_len(key.len) | (stamp != 0 ? WORD_TTL : 0);
	struct entry *e;
	uint32_t ref;

	if (likely(!entry_is_large(c, key.len, value_len))) {
		word |= (uint32_t)value_len;
		ref = pool_alloc(&c->pool, SEG_NEW, word, stamp_end(stamp));
	} else {
		word |= WORD_VALUE_MAX;
		ref = alloc_large(c, key, value_len, word, stamp_end(stamp));
	}
	if (unlikely(ref == 0))
		return 0;
	e = arena_at(&c->arena, ref);
	if (stamp != 0)
		entry_set_stamp(e, stamp);
	copy_key((char *)(uintptr_t)entry_key(c, e, word).ptr, key);
	return ref;
}

void
entry_free(struct cache *c, uint32_t ref, struct entry *e, uint32_t word)
{
	pool_free(&c->pool, ref, entry_kill(c, e, word));
}

/* --- counting and leaving ------------------------------------------------------------ */

void
entry_leave_locked(struct cache *c, struct cache_thread *t, struct shard *sh, uint32_t ref,
    uint64_t hash, enum leave why)
{
	struct entry *e = arena_at(&c->arena, ref);
	uint32_t word = entry_word(e);
	struct slice key = entry_key(c, e, word);
	struct cache_tally *tally = tally_of(c, t, key);

	assert(lock_held(&sh->lock));
	shard_changed(sh, t, key, hash, why == LEAVE_REMOVED ? CACHE_WRITTEN : CACHE_LOST);
	entry_count_locked(tally, sh, e, word, -1);
	if (why == LEAVE_EXPIRED) {
		counter_inc(&tally->expired);
		shard_add(&sh->expired, 1);
	} else if (why == LEAVE_EVICTED) {
		counter_inc(&tally->evicted);
		shard_add(&sh->evicted, 1);
	}
	entry_delist_locked(sh, base_of_key(sh, key, hash), ref);
	shard_write_begin(sh);
	table_remove(sh, hash, ref);
	shard_write_end(sh);
	entry_free(c, ref, e, word);
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

/* --- the entry that a cursor stands on -------------------------------------------------- */

static const struct entry *
under(const struct cache_cursor *cur)
{
	return arena_at(&cur->cache->arena, cur->ref);
}

uint64_t
cache_footprint(const struct cache_cursor *cur)
{
	const struct entry *e = under(cur);

	return entry_footprint(e, entry_word(e)) + sizeof(uint32_t);
}

int
cache_frequency(const struct cache_cursor *cur)
{
	const struct shard *sh = cur->shard;

	assert(lock_held(&sh->lock));
	if (sh->policy->frequency == NULL || word_is_protected(entry_word(under(cur))))
		return -1;
	return (int)sh->policy->frequency(sh, cur->ref, cur->hash);
}
