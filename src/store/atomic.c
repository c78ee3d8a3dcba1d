/* Several keys at once: first the stripes of those that somebody may be
 * filling, then the shards, both in ascending order, as doc/threads.md says. */
#include "config.h"

#include <assert.h>

#include "store/internal.h"

void
store_atomic_init(struct store_atomic *a, struct store_loop *sl)
{
	a->sl = sl;
	a->nested = sl->atomic != NULL;
	a->stripes = 0;
	if (a->nested)
		return;
	cache_hold_init(&a->hold);
	news_init(&a->news);
}

void
store_atomic_add(struct store_atomic *a, struct slice key, uint64_t hash)
{
	struct store *s = a->sl->store;

	if (a->nested)
		return;
	if (is_filled(namespace_of(a->sl, key)))
		a->stripes |= (uint64_t)1 << (pending_stripe(s, hash) - s->stripes);
	cache_hold_add(s->cache, &a->hold, hash);
}

void
store_atomic_add_all(struct store_atomic *a)
{
	if (a->nested)
		return;
	a->stripes = UINT64_MAX;
	cache_hold_add_all(a->sl->store->cache, &a->hold);
}

static void
stripes_each(const struct store_atomic *a, void (*fn)(struct lock *l))
{
	_Static_assert(STRIPES == 64, "a bit for each stripe");

	for (uint64_t bits = a->stripes; bits != 0; bits &= bits - 1)
		fn(&a->sl->store->stripes[__builtin_ctzll(bits)].lock);
}

void
store_atomic_begin(struct store_atomic *a)
{
	if (a->nested)
		return;
	assert(a->sl->atomic == NULL);
	stripes_each(a, lock_acquire);
	cache_hold_begin(a->sl->store->cache, &a->sl->thread, &a->hold);
	a->sl->atomic = a;
}

/* The stripes go last: a write holds them until the shards are written. */
void
store_atomic_end(struct store_atomic *a)
{
	if (a->nested)
		return;
	a->sl->atomic = NULL;
	cache_hold_end(a->sl->store->cache, &a->sl->thread);
	stripes_each(a, lock_release);
	news_tell(&a->news);
}

bool
store_is_atomic(const struct store_loop *sl)
{
	return sl->atomic != NULL;
}

void
store_watch(struct store_loop *sl, struct slice key, struct cache_watch *w)
{
	struct store_cursor cur;

	store_open(sl, key, 0, &cur);
	cache_watch(&cur.c, w);
	store_close(&cur);
}

bool
store_watch_touched(struct store_loop *sl, struct slice key, const struct cache_watch *w)
{
	struct store_cursor cur;
	bool touched;

	store_open_hashed(sl, key, w->hash, 0, &cur);
	touched = w->touched;
	store_close(&cur);
	return touched;
}

void
store_unwatch(struct store_loop *sl, struct cache_watch *w)
{
	cache_unwatch(sl->store->cache, &sl->thread, w);
}
