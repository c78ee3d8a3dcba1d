/* Entries whose time is over and that are kept for a while all the same: absent
 * for everybody but who asks for them. Keys that begin with s have a grace. */
#include "config.h"

#include "unit/cache/fixture.h"

#define GRACE 5000
#define ENDS 2000

static struct cache_class
class_of_tests(void *arg, struct slice key)
{
	(void)arg;
	return (struct cache_class){ .grace_ms = key.ptr[0] == 's' ? GRACE : 0 };
}

static struct cache *
cache_with_grace(void)
{
	return cache_with((struct cache_opts){ .classify = class_of_tests,
		.budget_bytes = 16 * MIB });
}

/* The stale value of a key; "" where there is none. */
static const char *
stale_of(struct cache *c, const char *key)
{
	static char text[32];
	struct cache_cursor cur;

	text[0] = '\0';
	ck_assert_int_eq(open_at(c, slice_str(key), CACHE_TOUCH, &cur), CACHE_MISS);
	ck_assert_ptr_null(cur.value.ptr);
	ck_assert_int_eq(cur.expires_ms, CACHE_NEVER);
	if (cache_take_stale(&cur)) {
		ck_assert_int_eq(cur.expires_ms, ENDS);
		snprintf(text, sizeof text, "%.*s", (int)cur.value.len, cur.value.ptr);
	}
	cache_close(&cur);
	return text;
}

START_TEST(what_has_expired_is_absent_but_can_be_asked_for)
{
	struct cache *c = cache_with_grace();

	put(c, "s", "old", ENDS);
	put(c, "plain", "old", ENDS);
	fix_thread.now_ms = ENDS - 1;
	ck_assert(holds(c, "s", "old"));
	fix_thread.now_ms = ENDS;
	ck_assert(!has(c, "s"));
	ck_assert_str_eq(stale_of(c, "s"), "old");
	ck_assert_str_eq(stale_of(c, "plain"), "");
	ck_assert_str_eq(stale_of(c, "nothing"), "");
	cache_free(c);
}
END_TEST

START_TEST(what_has_not_expired_is_not_stale)
{
	struct cache *c = cache_with_grace();
	struct cache_cursor cur;

	put(c, "s", "v", ENDS);
	ck_assert_int_eq(open_at(c, SLICE("s"), 0, &cur), CACHE_HIT);
	ck_assert(!cache_take_stale(&cur));
	cache_close(&cur);
	cache_free(c);
}
END_TEST

START_TEST(bytes_come_back_when_the_grace_is_over_and_not_before)
{
	struct cache *c = cache_with_grace();

	put(c, "s", "old", ENDS);
	put(c, "plain", "old", ENDS);
	fix_thread.now_ms = ENDS + GRACE - 1;
	settle(c);
	ck_assert_uint_eq(cache_count(c), 1);
	ck_assert_str_eq(stale_of(c, "s"), "old");
	fix_thread.now_ms = ENDS + GRACE + GRACE / 1000 + 128;
	settle(c);
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].expired), 2);
	ck_assert_int_eq(counter_get(&fix_tally[0].entries), 0);
	cache_free(c);
}
END_TEST

START_TEST(a_put_replaces_it_whatever_its_length)
{
	static const char *const values[] = { "old", "", "longer than it was" };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct cache *c = cache_with_grace();

		fix_thread.now_ms = 1000;
		put(c, "s", i == 1 ? "" : "was", ENDS);
		fix_thread.now_ms = ENDS;
		ck_assert_int_eq(put(c, "s", values[i], CACHE_NEVER), 0);
		ck_assert(holds(c, "s", values[i]));
		ck_assert_uint_eq(cache_count(c), 1);
		fix_thread.now_ms = ENDS + 2 * GRACE;
		settle(c);
		ck_assert(holds(c, "s", values[i]));
		cache_free(c);
	}
}
END_TEST

START_TEST(a_remove_takes_it_away)
{
	struct cache *c = cache_with_grace();

	put(c, "s", "old", ENDS);
	fix_thread.now_ms = ENDS;
	ck_assert(!remove_key(c, "s"));
	ck_assert_str_eq(stale_of(c, "s"), "");
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(it_gets_no_other_expiry)
{
	struct cache *c = cache_with_grace();
	struct cache_cursor cur;

	put(c, "s", "old", ENDS);
	fix_thread.now_ms = ENDS;
	ck_assert_int_eq(open_at(c, SLICE("s"), 0, &cur), CACHE_MISS);
	ck_assert_int_eq(cache_set_expiry(&cur, 99000), 0);
	cache_close(&cur);
	ck_assert_str_eq(stale_of(c, "s"), "old");
	cache_free(c);
}
END_TEST

START_TEST(an_expiry_given_later_has_the_grace_too)
{
	struct cache *c = cache_with_grace();
	struct cache_cursor cur;

	put(c, "s", "v", CACHE_NEVER);
	open_at(c, SLICE("s"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 9000), 0);
	ck_assert_int_eq(cur.expires_ms, 9000);
	ck_assert_int_eq(cache_set_expiry(&cur, ENDS), 0);
	cache_close(&cur);
	fix_thread.now_ms = ENDS + 100;
	settle(c);
	ck_assert_str_eq(stale_of(c, "s"), "v");
	cache_free(c);
}
END_TEST

static int
put_graced(struct cache *c, const char *key, int64_t expires_ms, int64_t grace_ms)
{
	struct slice value = SLICE("v");
	struct cache_cursor cur;
	int rc;

	open_at(c, slice_str(key), 0, &cur);
	rc = cache_put_graced(&cur, &value, 1, expires_ms, grace_ms);
	cache_close(&cur);
	return rc;
}

START_TEST(a_grace_given_with_the_value_counts_more_than_the_class)
{
	struct cache *c = cache_with_grace();

	ck_assert_int_eq(put_graced(c, "plain", ENDS, 100), 0);
	ck_assert_int_eq(put_graced(c, "s", ENDS, 0), 0);
	fix_thread.now_ms = ENDS + 99;
	ck_assert_str_eq(stale_of(c, "plain"), "v");
	ck_assert_str_eq(stale_of(c, "s"), "");
	fix_thread.now_ms = ENDS + 100;
	ck_assert_str_eq(stale_of(c, "plain"), "");
	cache_free(c);
}
END_TEST

START_TEST(a_grace_stays_through_another_value_or_expiry)
{
	struct cache *c = cache_with_grace();
	struct slice value = SLICE("longer");
	struct cache_cursor cur;

	ck_assert_int_eq(put_graced(c, "plain", 7000, 100), 0);
	open_at(c, SLICE("plain"), 0, &cur);
	ck_assert_int_eq(cache_put(&cur, &value, 1, cur.expires_ms), 0);
	ck_assert_int_eq(cache_set_expiry(&cur, ENDS), 0);
	cache_close(&cur);
	fix_thread.now_ms = ENDS + 99;
	ck_assert_str_eq(stale_of(c, "plain"), "longer");
	cache_free(c);
}
END_TEST

START_TEST(a_put_is_of_the_class_again)
{
	struct cache *c = cache_with_grace();

	ck_assert_int_eq(put_graced(c, "plain", 7000, 100), 0);
	put(c, "plain", "v", ENDS);
	fix_thread.now_ms = ENDS;
	ck_assert_str_eq(stale_of(c, "plain"), "");
	cache_free(c);
}
END_TEST

START_TEST(a_scan_does_not_show_it)
{
	struct cache *c = cache_with_grace();
	uint64_t cursor = 0;
	struct buf keys;

	put(c, "s", "old", ENDS);
	fix_thread.now_ms = ENDS;
	buf_init(&keys);
	ck_assert_int_eq(cache_scan(c, &fix_thread, &cursor, 100, &keys), 0);
	ck_assert_uint_eq(buf_len(&keys), 0);
	buf_fini(&keys);
	cache_free(c);
}
END_TEST

static void
watch(struct cache *c, struct cache_watch *w)
{
	struct cache_cursor cur;

	open_at(c, SLICE("s"), 0, &cur);
	cache_watch(&cur, w);
	cache_close(&cur);
}

START_TEST(who_watches_sees_it_go_when_it_expires_and_no_second_time)
{
	struct cache *c = cache_with_grace();
	struct cache_watch before, after;

	put(c, "s", "old", ENDS);
	watch(c, &before);
	fix_thread.now_ms = ENDS;
	watch(c, &after);
	ck_assert(before.touched);
	ck_assert(!after.touched);
	remove_key(c, "s");
	ck_assert(!after.touched); /* it was absent then, and it is now */
	put(c, "s", "new", CACHE_NEVER);
	ck_assert(after.touched);
	cache_unwatch(c, &fix_thread, &before);
	cache_unwatch(c, &fix_thread, &after);
	cache_free(c);
}
END_TEST

START_TEST(large_values_become_stale_too_and_can_be_pinned)
{
	struct cache *c = cache_with_grace();
	struct cache_cursor cur;
	struct out_ref ref;
	char *value = malloc(300000);

	fill_bytes(value, 300000, 1);
	ck_assert_int_eq(put_slice(c, SLICE("s"), slice_of(value, 300000), ENDS), 0);
	fix_thread.now_ms = ENDS;
	ck_assert_int_eq(open_at(c, SLICE("s"), 0, &cur), CACHE_MISS);
	ck_assert(!cache_pin(&cur, &ref));
	ck_assert(cache_take_stale(&cur));
	ck_assert(slice_eq(cur.value, slice_of(value, 300000)));
	ck_assert(cache_pin(&cur, &ref));
	cache_close(&cur);
	remove_key(c, "s");
	ck_assert_int_eq(memcmp(ref.ptr, value, 300000), 0);
	ref.release(ref.owner, ref.token);
	free(value);
	cache_free(c);
}
END_TEST

START_TEST(moving_entries_together_keeps_their_grace)
{
	struct cache *c = cache_with((struct cache_opts){ .classify = class_of_tests });
	char key[32], value[200];

	memset(value, 'x', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	put(c, "s", "old", ENDS);
	/* Overwrites of other lengths leave dead bytes all over the log, for the
	 * cleaner; the one entry is used, so that it is not evicted. */
	for (int i = 0; i < 200000; i++) {
		snprintf(key, sizeof key, "k%d", i % 3000);
		ck_assert_int_eq(put(c, key, value + i % 150, CACHE_NEVER), 0);
		ck_assert(holds(c, "s", "old"));
	}
	fix_thread.now_ms = ENDS;
	settle(c);
	ck_assert_str_eq(stale_of(c, "s"), "old");
	fix_thread.now_ms = ENDS + GRACE + GRACE / 1000 + 128;
	settle(c);
	ck_assert_str_eq(stale_of(c, "s"), "");
	cache_free(c);
}
END_TEST

START_TEST(a_grace_is_kept_to_a_thousandth_and_never_shorter)
{
	for (int64_t grace = 1; grace > 0 && grace <= GRACE_MAX; grace += grace / 7 + 1) {
		uint64_t stamp = stamp_of(123456, grace);
		int64_t kept = stamp_end(stamp) - 123456;

		ck_assert_int_eq(stamp_expiry(stamp), 123456);
		ck_assert_int_ge(kept, grace);
		ck_assert_int_le(kept, grace + grace / 1000);
	}
	ck_assert_int_eq(stamp_end(stamp_of(5, 0)), 5);
	ck_assert_uint_eq(stamp_of(CACHE_NEVER, 1000), 0);
	ck_assert_int_eq(stamp_end(stamp_of(EXPIRY_MAX, INT64_MAX)), EXPIRY_MAX + GRACE_MAX);
}
END_TEST

/* --- softened --------------------------------------------------------------------- */

static bool
soften(struct cache *c, const char *key, int64_t stale_ms)
{
	struct cache_cursor cur;
	bool kept;

	open_at(c, slice_str(key), 0, &cur);
	kept = cache_soften(&cur, stale_ms);
	ck_assert_ptr_null(cur.value.ptr);
	ck_assert_int_eq(cur.expires_ms, CACHE_NEVER);
	cache_close(&cur);
	return kept;
}

/* It is stale from `from` on, and gone `stale_ms` later. */
static void
check_stale_for(struct cache *c, const char *key, const char *value, int64_t from,
    int64_t stale_ms)
{
	struct cache_cursor cur;

	fix_thread.now_ms = from + stale_ms - 1;
	settle(c);
	ck_assert(!has(c, key));
	open_at(c, slice_str(key), 0, &cur);
	ck_assert(cache_take_stale(&cur));
	ck_assert_int_eq(cur.expires_ms, from);
	ck_assert(slice_eq(cur.value, slice_str(value)));
	ck_assert(cache_soften(&cur, 99000)); /* nothing: it is stale already */
	cache_close(&cur);
	fix_thread.now_ms = from + stale_ms + stale_ms / 1000 + 128;
	settle(c);
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].entries), 0);
}

START_TEST(what_is_softened_is_stale_at_once_for_its_grace)
{
	static const int64_t expiries[] = { CACHE_NEVER, 99000 };

	for (size_t i = 0; i < ARRAY_LEN(expiries); i++) {
		struct cache *c = cache_with_grace();

		fix_thread.now_ms = 1000;
		put(c, "s", "old", expiries[i]);
		ck_assert(soften(c, "s", 0));
		check_stale_for(c, "s", "old", 1000, GRACE);
		cache_free(c);
	}
}
END_TEST

START_TEST(softened_for_longer_than_its_grace_it_stays_so_long)
{
	struct cache *c = cache_with_grace();

	fix_thread.now_ms = 1000;
	put(c, "s", "old", 99000);
	ck_assert(soften(c, "s", 3 * GRACE));
	check_stale_for(c, "s", "old", 1000, 3 * GRACE);
	fix_thread.now_ms = 80000;
	put(c, "plain", "old", CACHE_NEVER);
	ck_assert(soften(c, "plain", 10));
	check_stale_for(c, "plain", "old", 80000, 10);
	cache_free(c);
}
END_TEST

START_TEST(softened_without_any_grace_it_is_gone)
{
	struct cache *c = cache_with_grace();

	put(c, "plain", "old", 99000);
	ck_assert(!soften(c, "plain", 0));
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert(!soften(c, "nothing", 1000));
	cache_free(c);
}
END_TEST

START_TEST(softening_again_gives_no_more_time)
{
	struct cache *c = cache_with_grace();

	fix_thread.now_ms = 1000;
	put(c, "s", "old", CACHE_NEVER);
	ck_assert(soften(c, "s", 0));
	fix_thread.now_ms = 2000;
	ck_assert(soften(c, "s", 4 * GRACE));
	check_stale_for(c, "s", "old", 1000, GRACE);
	cache_free(c);
}
END_TEST

START_TEST(a_watch_is_touched_by_softening)
{
	struct cache *c = cache_with_grace();
	struct cache_watch w;

	put(c, "s", "old", CACHE_NEVER);
	watch(c, &w);
	soften(c, "s", 0);
	ck_assert(w.touched);
	cache_unwatch(c, &fix_thread, &w);
	cache_free(c);
}
END_TEST

START_TEST(a_softened_one_is_replaced_and_removed_as_any_stale_one)
{
	struct cache *c = cache_with_grace();

	put(c, "s", "old", CACHE_NEVER);
	soften(c, "s", 0);
	ck_assert_int_eq(put(c, "s", "new", CACHE_NEVER), 0);
	ck_assert(holds(c, "s", "new"));
	soften(c, "s", 0);
	remove_key(c, "s");
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(large_values_are_softened_in_place_or_moved)
{
	struct cache *c = cache_with_grace();
	char *value = malloc(300000);
	struct cache_cursor cur;

	fill_bytes(value, 300000, 1);
	for (int64_t expires_ms = 0; expires_ms <= 99000; expires_ms += 99000) {
		ck_assert_int_eq(put_slice(c, SLICE("s"), slice_of(value, 300000), expires_ms), 0);
		ck_assert(soften(c, "s", 0));
		open_at(c, SLICE("s"), 0, &cur);
		ck_assert(cache_take_stale(&cur));
		ck_assert(slice_eq(cur.value, slice_of(value, 300000)));
		cache_close(&cur);
	}
	free(value);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("stale");

	SUITE_ADD(s, "stale", what_has_expired_is_absent_but_can_be_asked_for,
	    what_has_not_expired_is_not_stale,
	    bytes_come_back_when_the_grace_is_over_and_not_before,
	    a_put_replaces_it_whatever_its_length, a_remove_takes_it_away,
	    it_gets_no_other_expiry, an_expiry_given_later_has_the_grace_too,
	    a_grace_given_with_the_value_counts_more_than_the_class,
	    a_grace_stays_through_another_value_or_expiry, a_put_is_of_the_class_again,
	    a_scan_does_not_show_it, who_watches_sees_it_go_when_it_expires_and_no_second_time,
	    large_values_become_stale_too_and_can_be_pinned,
	    moving_entries_together_keeps_their_grace,
	    a_grace_is_kept_to_a_thousandth_and_never_shorter);
	SUITE_ADD(s, "softened", what_is_softened_is_stale_at_once_for_its_grace,
	    softened_for_longer_than_its_grace_it_stays_so_long,
	    softened_without_any_grace_it_is_gone, softening_again_gives_no_more_time,
	    a_watch_is_touched_by_softening,
	    a_softened_one_is_replaced_and_removed_as_any_stale_one,
	    large_values_are_softened_in_place_or_moved);
	return suite_main(s);
}
