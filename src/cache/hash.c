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
	return XXH3_64bits_withSeed(key.ptr, key.len, c->seed);
}
