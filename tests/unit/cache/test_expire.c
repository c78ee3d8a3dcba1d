#include "config.h"

#include "unit/cache/fixture.h"

/* Ticks over the next second, as a server that nobody asks does. */
static void
let_a_second_pass(struct cache *c)
{
	for (int i = 0; i < 10; i++) {
		fix_thread.now_ms += 100;
		settle(c);
	}
}

START_TEST(an_entry_is_there_until_its_time_and_not_at_it)
{
	struct cache *c = small_cache();

	put(c, "k", "v", 2000);
	fix_thread.now_ms = 1999;
	ck_assert(has(c, "k"));
	fix_thread.now_ms = 2000;
	ck_assert(!has(c, "k"));
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].expired), 1);
	cache_free(c);
}
END_TEST

START_TEST(an_expiry_that_is_not_in_the_future_removes)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	put(c, "a", "v", CACHE_NEVER);
	put(c, "b", "v", CACHE_NEVER);
	ck_assert_int_eq(put(c, "a", "w", 1000), 0);
	ck_assert(!has(c, "a"));
	open_at(c, SLICE("b"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 999), 0);
	ck_assert_uint_eq(cur.value.len, 0);
	cache_close(&cur);
	ck_assert(!has(c, "b"));
	ck_assert_int_eq(put(c, "new", "v", 1000), 0);
	ck_assert_int_eq(put(c, "new", "v", -5), 0);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(an_expiry_can_be_given_changed_and_taken_away)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	put(c, "k", "value", CACHE_NEVER);
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 5000), 0);
	ck_assert_int_eq(cur.expires_ms, 5000);
	ck_assert(slice_eq(cur.value, SLICE("value")));
	ck_assert_int_eq(cache_set_expiry(&cur, 3000), 0);
	cache_close(&cur);
	ck_assert(holds(c, "k", "value"));
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cur.expires_ms, 3000);
	ck_assert_int_eq(cache_set_expiry(&cur, CACHE_NEVER), 0);
	ck_assert_int_eq(cur.expires_ms, CACHE_NEVER);
	cache_close(&cur);
	fix_thread.now_ms = 10000;
	let_a_second_pass(c);
	ck_assert(holds(c, "k", "value"));
	cache_free(c);
}
END_TEST

START_TEST(setting_the_expiry_of_nothing_does_nothing)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 5000), 0);
	cache_close(&cur);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(a_very_distant_expiry_is_as_good_as_none)
{
	struct cache *c = small_cache();

	ck_assert_int_eq(put(c, "k", "v", INT64_MAX), 0);
	fix_thread.now_ms = (int64_t)1 << 46;
	let_a_second_pass(c);
	ck_assert(has(c, "k"));
	cache_free(c);
}
END_TEST

START_TEST(expired_bytes_come_back_within_a_second_without_a_read)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB });
	struct cache_stats s;
	char key[32];

	/* Ends are spread over a minute, so each segment has all of them. */
	for (int i = 0; i < 60000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		put(c, key, "0123456789012345678901234567890123456789",
		    2000 + (int64_t)i * 7919 % 60000);
	}
	for (int sec = 0; sec < 62; sec++) {
		int64_t ended = MAX(fix_thread.now_ms - 2000, 0);

		ck_assert_uint_le(cache_count(c), 60000u - (uint64_t)MIN(ended, 60000) + 1000);
		let_a_second_pass(c);
	}
	ck_assert_uint_eq(cache_count(c), 0);
	cache_stats(c, &s);
	ck_assert_uint_eq(s.expired, 60000);
	ck_assert_uint_eq(s.live_bytes, 0);
	cache_free(c);
}
END_TEST

START_TEST(many_that_end_together_come_back_in_bounded_ticks)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 64 * MIB });
	char key[32];
	struct cache_stats s;
	int ticks = 0;

	for (int i = 0; i < 300000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		put(c, key, "0123456789012345678901234567890123456789", 5000);
	}
	fix_thread.now_ms = 5100;
	/* A tick of no time still takes one step. */
	while (cache_tick(c, &fix_thread, 0)) {
		uint64_t before = cache_count(c);

		ticks++;
		ck_assert_uint_le(before - cache_count(c), 2048);
	}
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_gt(ticks, 100);
	settle(c);
	cache_stats(c, &s);
	ck_assert_uint_eq(s.live_bytes, 0);
	/* Its tables have shrunk, too. */
	ck_assert_uint_le(s.table_bytes, s.shards * PAGE_BYTES);
	for (int i = 0; i < 300000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		ck_assert_int_eq(put(c, key, "v", CACHE_NEVER), 0);
	}
	ck_assert_uint_eq(cache_count(c), 300000);
	cache_free(c);
}
END_TEST

START_TEST(an_expiry_brought_forward_is_not_overlooked)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	put(c, "k", "v", 600000);
	settle(c);
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 1500), 0);
	cache_close(&cur);
	let_a_second_pass(c);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(large_entries_expire_too_and_give_their_pages_back)
{
	struct cache *c = small_cache();
	char *mem = calloc(1, 400000), key[16];

	for (int i = 0; i < 5; i++) {
		snprintf(key, sizeof key, "k%d", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(mem, 400000), 1500), 0);
	}
	let_a_second_pass(c);
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_eq(atomic_load(&c->extents.live_pages), 0);
	free(mem);
	cache_free(c);
}
END_TEST

START_TEST(idle_ticks_end_soon)
{
	struct cache *c = small_cache();

	put(c, "k", "v", 600000);
	settle(c);
	ck_assert(!cache_tick(c, &fix_thread, 1000000));
	fix_thread.now_ms += 1000;
	settle(c);
	ck_assert(!cache_tick(c, &fix_thread, 1000000));
	ck_assert(has(c, "k"));
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("expire");

	SUITE_ADD(s, "edges", an_entry_is_there_until_its_time_and_not_at_it,
	    an_expiry_that_is_not_in_the_future_removes,
	    an_expiry_can_be_given_changed_and_taken_away,
	    setting_the_expiry_of_nothing_does_nothing,
	    a_very_distant_expiry_is_as_good_as_none);
	SUITE_ADD(s, "crawler", expired_bytes_come_back_within_a_second_without_a_read,
	    many_that_end_together_come_back_in_bounded_ticks,
	    an_expiry_brought_forward_is_not_overlooked,
	    large_entries_expire_too_and_give_their_pages_back, idle_ticks_end_soon);
	return suite_main(s);
}
