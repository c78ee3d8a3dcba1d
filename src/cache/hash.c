#include "config.h"

#define XXH_INLINE_ALL /* short keys: no call, no dispatch by length at run time */
#include <xxhash.h>

#include "cache/impl.h"

uint64_t
key_hash(uint64_t seed, struct slice key)
{
	return XXH3_64bits_withSeed(key.ptr, key.len, seed);
}

uint64_t
cache_hash(const struct cache *c, struct slice key)
{
	return key_hash(c->seed, key);
}

uint64_t
cache_hash_near(const struct cache *c, struct slice key, const void **bucket)
{
	uint64_t hash = key_hash(c->seed, key);
	const uint32_t *chain = table_chain(shard_of(c, hash), hash);

	__builtin_prefetch(chain);
	*bucket = chain;
	return hash;
}

/* The bucket is read without the lock, and may be another key's by now, or
 * nobody's: nothing but the address of what stands there is used. */
void
cache_prefetch_entry(const struct cache *c, const void *bucket)
{
	const uint32_t *chain = bucket;
	const char *e = arena_at(&c->arena, link_get(chain));

	__builtin_prefetch(e);
	__builtin_prefetch(e + 64);
}

/* As above: whatever lies there now is only taken for an address. Its writer may
 * be filling it with somebody's value, which the thread sanitizer minds. */
NO_TSAN void
cache_prefetch_entries(const struct cache *c, const void *const *buckets, unsigned n)
{
	const struct arena arena = c->arena;

	for (unsigned i = 0; i < n; i++) {
		const char *e = arena_at(&arena, *(const volatile uint32_t *)buckets[i]);

		__builtin_prefetch(e);
		__builtin_prefetch(e + 64);
	}
	for (unsigned i = 0; i < n; i++) {
		const volatile struct entry *e =
		    arena_at(&arena, *(const volatile uint32_t *)buckets[i]);

		__builtin_prefetch(arena_at(&arena, e->newer), 1);
		__builtin_prefetch(arena_at(&arena, e->older), 1);
		__builtin_prefetch(arena_at(&arena, e->chain));
	}
}
