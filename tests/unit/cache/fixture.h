/* fixture.h - a small cache, and one-line forms of its calls, for the tests
 * of this layer. */
#ifndef PANNIER_TESTS_CACHE_FIXTURE_H
#define PANNIER_TESTS_CACHE_FIXTURE_H

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/impl.h"
#include "cache/pass.h"

#define MIB ((uint64_t)1 << 20)

/* One for the whole test program: tests run in processes of their own. */
static struct cache_tally fix_tally[CACHE_CLASSES];
static struct cache_thread fix_thread = { .now_ms = 1000, .tally = fix_tally };

static inline struct cache *
cache_with(struct cache_opts o)
{
	struct cache *c = NULL;

	if (o.budget_bytes == 0)
		o.budget_bytes = CACHE_BUDGET_MIN;
	if (o.reserve_bytes == 0)
		o.reserve_bytes = MAX(o.budget_bytes, 64 * MIB);
	o.seed = 7;
	ck_assert_int_eq(cache_new(&o, &c), 0);
	return c;
}

static inline struct cache *
small_cache(void)
{
	return cache_with((struct cache_opts){ 0 });
}

static inline enum cache_result
open_at(struct cache *c, struct slice key, unsigned flags, struct cache_cursor *cur)
{
	return cache_open(c, &fix_thread, key, cache_hash(c, key), flags, cur);
}

static inline int
put_slice(struct cache *c, struct slice key, struct slice value, int64_t expires_ms)
{
	struct cache_cursor cur;
	int rc;

	open_at(c, key, 0, &cur);
	rc = cache_put(&cur, &value, 1, expires_ms);
	cache_close(&cur);
	return rc;
}

static inline int
put(struct cache *c, const char *key, const char *value, int64_t expires_ms)
{
	return put_slice(c, slice_str(key), slice_str(value), expires_ms);
}

/* Whether it is there, without a use. */
static inline bool
has_slice(struct cache *c, struct slice key)
{
	struct cache_cursor cur;
	enum cache_result got = open_at(c, key, 0, &cur);

	cache_close(&cur);
	return got == CACHE_HIT;
}

static inline bool
has(struct cache *c, const char *key)
{
	return has_slice(c, slice_str(key));
}

static inline bool
holds_slice(struct cache *c, struct slice key, struct slice value)
{
	struct cache_cursor cur;
	bool same = open_at(c, key, CACHE_TOUCH, &cur) == CACHE_HIT && slice_eq(cur.value, value);

	cache_close(&cur);
	return same;
}

static inline bool
holds(struct cache *c, const char *key, const char *value)
{
	return holds_slice(c, slice_str(key), slice_str(value));
}

static inline bool
remove_key(struct cache *c, const char *key)
{
	struct cache_cursor cur;
	bool was = open_at(c, slice_str(key), 0, &cur) == CACHE_HIT;

	cache_remove(&cur);
	cache_close(&cur);
	return was;
}

/* Ticks until nothing is left to do. */
static inline void
settle(struct cache *c)
{
	for (int i = 0; i < 100000 && cache_tick(c, &fix_thread, 1000); i++)
		;
}

/* All of c in a cache of its own, as another process would have it; c is gone. */
static inline struct cache *
passed_on(struct cache *c, struct cache_opts o)
{
	struct cache_past past;
	struct cache *next = NULL;
	struct buf told;
	struct packer p = { .to = &told };
	struct unpacker u;

	buf_init(&told);
	cache_pass_begin(c, &past);
	o.past = &past;
	if (o.budget_bytes == 0)
		o.budget_bytes = CACHE_BUDGET_MIN;
	ck_assert_int_eq(cache_new(&o, &next), 0);
	ck_assert(cache_pass_end(c, &p));
	ck_assert(!p.failed);
	u = (struct unpacker){ .from = buf_slice(&told) };
	ck_assert_int_eq(cache_pass_take(next, &u), 0);
	ck_assert_uint_eq(u.from.len, 0);
	cache_free(c);
	buf_fini(&told);
	return next;
}

/* Any bytes, the same for the same seed. */
static inline void
fill_bytes(char *to, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		to[i] = (char)(seed >> 56);
	}
}

static inline void
never_over_budget(const struct cache *c)
{
	ck_assert_int_le(arena_used(&c->arena), arena_budget(&c->arena));
	ck_assert_uint_le(arena_resident(&c->arena), (uint64_t)arena_used(&c->arena) << PAGE_SHIFT);
}

#endif
