#include "config.h"

#include "unit/cache/fixture.h"

static void
fill(struct cache *c, unsigned from, unsigned to, size_t len)
{
	static const char value[100000];
	char key[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof key, "k%u", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, len), CACHE_NEVER), 0);
	}
}

static bool
has_id(struct cache *c, unsigned i)
{
	char key[32];

	snprintf(key, sizeof key, "k%u", i);
	return has(c, key);
}

START_TEST(a_limit_below_what_is_in_use_is_reached_by_ticks)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });

	fill(c, 0, 100000, 200);
	ck_assert(has_id(c, 0));
	ck_assert_int_eq(cache_resize(c, 8 * MIB), 0);
	settle(c);
	never_over_budget(c);
	ck_assert_uint_le(arena_resident(&c->arena), 8 * MIB);
	ck_assert(!has_id(c, 0));
	/* The newest stay, and most of the new limit is used. */
	ck_assert(has_id(c, 99999));
	ck_assert(has_id(c, 99999 - 25000));
	cache_free(c);
}
END_TEST

START_TEST(a_limit_below_what_is_in_use_is_reached_by_writes)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });

	fill(c, 0, 100000, 200);
	ck_assert_int_eq(cache_resize(c, 8 * MIB), 0);
	fill(c, 100000, 200000, 200);
	never_over_budget(c);
	ck_assert_uint_le(arena_resident(&c->arena), 8 * MIB);
	cache_free(c);
}
END_TEST

START_TEST(a_lower_limit_is_reached_with_large_entries_too)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });

	fill(c, 0, 300, 90000);
	ck_assert_int_eq(cache_resize(c, 8 * MIB), 0);
	settle(c);
	never_over_budget(c);
	ck_assert(has_id(c, 299));
	ck_assert(!has_id(c, 0));
	cache_free(c);
}
END_TEST

START_TEST(a_higher_limit_is_used)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 4 * MIB,
		.reserve_bytes = 64 * MIB });
	struct cache_stats s;

	fill(c, 0, 50000, 200);
	ck_assert_int_eq(cache_resize(c, 32 * MIB), 0);
	fill(c, 50000, 200000, 200);
	cache_stats(c, &s);
	ck_assert_uint_gt(s.user_bytes, 27 * MIB);
	never_over_budget(c);
	cache_free(c);
}
END_TEST

START_TEST(up_and_down_many_times_under_load)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });
	static const uint8_t mib[] = { 5, 30, 4, 17, 9, 32, 6, 4, 24 };

	for (unsigned i = 0; i < 36; i++) {
		ck_assert_int_eq(cache_resize(c, mib[i % sizeof mib] * MIB), 0);
		if (i % 2)
			fill(c, i * 20000, (i + 1) * 20000, 40 + i * 20);
		else
			fill(c, i * 200, (i + 1) * 200, 30000 + i * 1000);
		settle(c);
		never_over_budget(c);
	}
	cache_free(c);
}
END_TEST

START_TEST(limits_out_of_range_are_refused)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 8 * MIB,
		.reserve_bytes = 16 * MIB });

	ck_assert_int_eq(cache_resize(c, 16 * MIB), 0);
	ck_assert_int_eq(cache_resize(c, 16 * MIB + PAGE_BYTES), -EINVAL);
	ck_assert_int_eq(cache_resize(c, CACHE_BUDGET_MIN), 0);
	ck_assert_int_eq(cache_resize(c, CACHE_BUDGET_MIN - 1), -EINVAL);
	cache_free(c);
}
END_TEST

START_TEST(the_largest_entry_follows_the_limit)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });
	uint64_t before = cache_max_entry(c);
	char *mem = calloc(1, before);

	ck_assert_int_eq(put_slice(c, SLICE("k"), slice_of(mem, before - 1), CACHE_NEVER), 0);
	ck_assert_int_eq(cache_resize(c, 8 * MIB), 0);
	ck_assert_uint_lt(cache_max_entry(c), before);
	ck_assert_int_eq(put_slice(c, SLICE("k"), slice_of(mem, before - 1), CACHE_NEVER), -E2BIG);
	settle(c);
	never_over_budget(c);
	free(mem);
	cache_free(c);
}
END_TEST

/* --- flush ----------------------------------------------------------------------- */

START_TEST(after_a_flush_nothing_is_left_and_memory_comes_back)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });
	struct cache_stats s;

	fill(c, 0, 100000, 200);
	fill(c, 100000, 100050, 90000);
	cache_flush(c, &fix_thread);
	ck_assert_uint_eq(cache_count(c), 0);
	for (unsigned i = 0; i < 100050; i += 50)
		ck_assert(!has_id(c, i));
	settle(c);
	cache_stats(c, &s);
	ck_assert_uint_eq(s.live_bytes, 0);
	ck_assert_uint_eq(s.user_bytes, 0);
	ck_assert_uint_gt(s.free_bytes, 31 * MIB);
	ck_assert_uint_le(s.table_bytes, s.shards * PAGE_BYTES);
	fill(c, 0, 100000, 200);
	ck_assert_uint_eq(cache_count(c), 100000);
	never_over_budget(c);
	cache_free(c);
}
END_TEST

START_TEST(writes_right_after_a_flush_find_room_without_a_tick)
{
	struct cache *c = small_cache();

	for (unsigned round = 0; round < 20; round++) {
		fill(c, 0, 30000, 100);
		fill(c, 30000, 30020, 80000);
		cache_flush(c, &fix_thread);
		ck_assert_uint_eq(cache_count(c), 0);
	}
	fill(c, 0, 1000, 100);
	ck_assert_uint_eq(cache_count(c), 1000);
	never_over_budget(c);
	cache_free(c);
}
END_TEST

/* As a command that reads, is overtaken by a flush, and writes. */
START_TEST(a_put_on_a_cursor_that_a_flush_overtook_comes_after_it)
{
	struct cache *c = cache_with((struct cache_opts){ .shards = 4 });
	struct cache_cursor cur;
	struct slice parts[2];

	fill(c, 0, 1000, 100);
	put(c, "key", "old", CACHE_NEVER);
	open_at(c, SLICE("key"), 0, &cur);
	pool_flush(&c->pool); /* what cache_flush() does before it needs the shard */
	parts[0] = cur.value;
	parts[1] = SLICE("+new");
	ck_assert_int_eq(cache_put(&cur, parts, 2, CACHE_NEVER), 0);
	cache_close(&cur);
	ck_assert(holds(c, "key", "old+new"));
	ck_assert(!has_id(c, 7));
	fill(c, 0, 40000, 100); /* sweeps */
	cache_flush(c, &fix_thread);
	settle(c);
	ck_assert_int_eq(pool_live(&c->pool), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].entries), 0);
	cache_free(c);
}
END_TEST

START_TEST(flushes_in_a_row_lose_nothing)
{
	struct cache *c = small_cache();

	for (unsigned i = 0; i < 50; i++) {
		fill(c, i * 100, i * 100 + 100, 100 + i);
		cache_flush(c, &fix_thread);
	}
	settle(c);
	ck_assert_int_eq(atomic_load(&c->pool.live[0]), 0);
	ck_assert_int_eq(atomic_load(&c->pool.live[1]), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].entries), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].bytes), 0);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resize");

	SUITE_ADD(s, "resize", a_limit_below_what_is_in_use_is_reached_by_ticks,
	    a_limit_below_what_is_in_use_is_reached_by_writes,
	    a_lower_limit_is_reached_with_large_entries_too, a_higher_limit_is_used,
	    up_and_down_many_times_under_load, limits_out_of_range_are_refused,
	    the_largest_entry_follows_the_limit);
	SUITE_ADD(s, "flush", after_a_flush_nothing_is_left_and_memory_comes_back,
	    writes_right_after_a_flush_find_room_without_a_tick,
	    a_put_on_a_cursor_that_a_flush_overtook_comes_after_it, flushes_in_a_row_lose_nothing);
	return suite_main(s);
}
