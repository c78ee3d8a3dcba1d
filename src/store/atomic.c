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
	a->wanted = a->stripes = 0;
	if (a->nested)
		return;
	cache_hold_init(&a->hold);
	news_init(&a->news, sl);
}

void
store_atomic_add(struct store_atomic *a, struct slice key, uint64_t hash)
{
	if (a->nested)
		return;
	(void)key; /* its stripe and its shard are the hash's */
	a->wanted |= (uint64_t)1 << hash % STRIPES;
	cache_hold_add(a->sl->store->cache, &a->hold, hash);
}

void
store_atomic_add_all(struct store_atomic *a)
{
	if (a->nested)
		return;
	a->wanted = a->stripes = UINT64_MAX;
	cache_hold_add_all(a->sl->store->cache, &a->hold);
}

static void
stripes_each(const struct store_atomic *a, void (*fn)(struct lock *l))
{
	_Static_assert(STRIPES == 64, "a bit for each stripe");

	for (uint64_t bits = a->stripes; bits != 0; bits &= bits - 1)
		fn(&a->sl->store->stripes[__builtin_ctzll(bits)].lock);
}

bool
store_atomic_has(const struct store_atomic *a, const struct stripe *st)
{
	return (a->stripes >> (st - a->sl->store->stripes) & 1) != 0;
}

/* Those of its stripes where somebody may be filling a key. */
static uint64_t
busy_stripes(const struct store_atomic *a)
{
	uint64_t busy = 0;

	for (uint64_t bits = a->wanted; bits != 0; bits &= bits - 1) {
		int i = __builtin_ctzll(bits);

		if (stripe_busy(&a->sl->store->stripes[i]))
			busy |= (uint64_t)1 << i;
	}
	return busy;
}

/* A stripe that got busy before the shards were held is seen then, and all is
 * taken again, with it. That adds one each time, so it ends. */
void
store_atomic_begin(struct store_atomic *a)
{
	struct store_loop *sl = a->sl;
	uint64_t busy;

	if (a->nested)
		return;
	assert(sl->atomic == NULL);
	for (busy = busy_stripes(a);; busy = busy_stripes(a)) {
		a->stripes |= busy;
		stripes_each(a, lock_acquire);
		cache_hold_begin(sl->store->cache, &sl->thread, &a->hold);
		if ((busy_stripes(a) & ~a->stripes) == 0)
			break;
		cache_hold_end(sl->store->cache, &sl->thread);
		stripes_each(a, lock_release);
	}
	sl->atomic = a;
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
