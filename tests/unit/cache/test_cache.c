#include "config.h"

#include "unit/cache/fixture.h"

START_TEST(what_was_put_is_found_and_what_was_removed_is_not)
{
	struct cache *c = small_cache();

	ck_assert(!has(c, "k"));
	ck_assert_int_eq(put(c, "k", "value", CACHE_NEVER), 0);
	ck_assert(holds(c, "k", "value"));
	ck_assert_uint_eq(cache_count(c), 1);
	ck_assert(remove_key(c, "k"));
	ck_assert(!remove_key(c, "k"));
	ck_assert(!has(c, "k"));
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(old_entries_make_room_for_new_ones_within_the_budget)
{
	struct cache *c = small_cache();
	char key[32], value[300];

	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "key:%d", i);
		fill_bytes(value, sizeof value, (uint64_t)i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, 40 + (size_t)i % 260),
		    CACHE_NEVER), 0);
		if (i % 512 == 0)
			never_over_budget(c);
	}
	ck_assert_uint_gt(cache_count(c), 10000);
	ck_assert(has(c, "key:99999"));
	ck_assert(!has(c, "key:0"));
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache");

	SUITE_ADD(s, "basics", what_was_put_is_found_and_what_was_removed_is_not,
	    old_entries_make_room_for_new_ones_within_the_budget);
	return suite_main(s);
}
