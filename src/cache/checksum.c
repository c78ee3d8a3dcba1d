#include "config.h"

#include "cache/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct checksum), "the state has room");

static XXH3_state_t *
state_of(struct checksum *c)
{
	return (XXH3_state_t *)(void *)c->state;
}

uint64_t
checksum_of(const void *data, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, n, seed);
}

void
checksum_init(struct checksum *c, uint64_t seed)
{
	XXH3_INITSTATE(state_of(c));
	XXH3_64bits_reset_withSeed(state_of(c), seed);
}

void
checksum_add(struct checksum *c, const void *data, size_t n)
{
	if (n != 0)
		XXH3_64bits_update(state_of(c), data, n);
}

uint64_t
checksum_end(const struct checksum *c)
{
	return XXH3_64bits_digest((const XXH3_state_t *)(const void *)c->state);
}
