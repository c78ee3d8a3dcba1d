/* Several shards held together, for what must happen to several keys at once.
 *
 * They are taken in the order of their index, by everybody who takes more than
 * one and waits, so that no two can wait for each other. Whoever needs room
 * while he holds them takes others by trylock, as a cursor's holder does, and
 * may evict from his own: no cursor is open there but the one that needs it. */
#include "config.h"

#include <string.h>

#include "cache/impl.h"

void
cache_hold_init(struct cache_hold *h)
{
	memset(h, 0, sizeof *h);
}

static void
add(struct cache_hold *h, unsigned shard)
{
	h->shards[shard / 64] |= (uint64_t)1 << shard % 64;
}

void
cache_hold_add(const struct cache *c, struct cache_hold *h, uint64_t hash)
{
	add(h, (unsigned)(shard_of(c, hash) - c->shards));
}

void
cache_hold_add_all(const struct cache *c, struct cache_hold *h)
{
	for (unsigned i = 0; i < c->n_shards; i++)
		add(h, i);
}

/* Calls fn for each shard that is held, in ascending order. */
static void
for_each(struct cache *c, const struct cache_hold *h, void (*fn)(struct shard *sh))
{
	for (unsigned i = 0; i * 64 < c->n_shards; i++) {
		uint64_t bits = h->shards[i];

		for (; bits != 0; bits &= bits - 1)
			fn(&c->shards[i * 64 + (unsigned)__builtin_ctzll(bits)]);
	}
}

void
cache_hold_begin(struct cache *c, struct cache_thread *t, struct cache_hold *h)
{
	assert(t->hold == NULL);
	for_each(c, h, shard_lock);
	t->hold = h;
}

void
cache_hold_end(struct cache *c, struct cache_thread *t)
{
	struct cache_hold *h = t->hold;

	t->hold = NULL;
	for_each(c, h, shard_unlock);
	if (h->owed != 0)
		work_after_write(c, t, h->owed);
}
