/* Pins: values that are sent from where they lie. */
#include "config.h"

#include "cache/impl.h"

#define PIN_MIN (8u << 10) /* below, a copy is cheaper than a reference */
#define PIN_SHARE 8        /* of the budget may be pinned */
#define TOKEN_EXTENT ((uint64_t)1 << 32)

static void
unpin(void *owner, uint64_t token)
{
	struct cache *c = owner;

	if (token & TOKEN_EXTENT)
		extent_unpin(&c->extents, (uint32_t)token);
	else
		pool_unpin(&c->pool, (uint32_t)token);
}

bool
cache_pin(struct cache_cursor *cur, struct out_ref *ref)
{
	struct cache *c = cur->cache;
	const struct entry *e;
	uint32_t word;
	uint64_t most = (uint64_t)pages_bytes(arena_budget(&c->arena)) / PIN_SHARE;
	uint64_t token;

	assert(lock_held(&cur->shard->lock));
	if (cur->ref == 0 || cur->value.len < PIN_MIN)
		return false;
	e = arena_at(&c->arena, cur->ref);
	word = entry_word(e);
	if (word_is_large(word)) {
		uint32_t extent = entry_large(e, word)->extent;

		if (!extent_pin(&c->extents, extent, most))
			return false;
		token = TOKEN_EXTENT | extent;
	} else {
		if (!pool_pin(&c->pool, cur->ref, most))
			return false;
		token = pool_seg_of(&c->pool, cur->ref);
	}
	*ref = (struct out_ref){ .ptr = cur->value.ptr, .len = cur->value.len,
		.release = unpin, .owner = c, .token = token };
	return true;
}
