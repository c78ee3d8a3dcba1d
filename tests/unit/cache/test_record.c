/* Records: what the cache's user keeps of an entry beside its value. */
#include "config.h"

#include "base/mem.h"
#include "unit/cache/fixture.h"

#define ENDS 2000
#define STALE 5000

static int
put_record(struct cache *c, const char *key, struct slice value, int64_t expires_ms,
    int64_t stale_ms, struct slice record)
{
	struct cache_cursor cur;
	int rc;

	open_at(c, slice_str(key), 0, &cur);
	rc = cache_put_record(&cur, value, expires_ms, stale_ms, record);
	if (rc == 0 && cur.ref != 0) {
		ck_assert(slice_eq(cur.value, value));
		ck_assert(slice_eq(cache_record(&cur), record));
		ck_assert_int_eq(cur.expires_ms, expires_ms);
	}
	cache_close(&cur);
	return rc;
}

/* "value|record", of a hit, "(value|record)" of a stale one, "-" of none. */
static const char *
seen(struct cache *c, const char *key)
{
	static char text[256];
	struct cache_cursor cur;
	bool hit = open_at(c, slice_str(key), CACHE_TOUCH, &cur) == CACHE_HIT;
	struct slice record;

	if (!hit && !cache_take_stale(&cur)) {
		ck_assert_uint_eq(cache_record(&cur).len, 0);
		cache_close(&cur);
		return "-";
	}
	record = cache_record(&cur);
	snprintf(text, sizeof text, hit ? "%.*s|%.*s" : "(%.*s|%.*s)", (int)cur.value.len,
	    cur.value.ptr, (int)record.len, record.ptr);
	cache_close(&cur);
	return text;
}

START_TEST(a_record_is_no_part_of_the_value)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	ck_assert_int_eq(put_record(c, "k", SLICE("value"), ENDS, 0, SLICE("rec")), 0);
	ck_assert(holds(c, "k", "value"));
	ck_assert_str_eq(seen(c, "k"), "value|rec");
	ck_assert_int_eq(open_at(c, SLICE("k"), 0, &cur), CACHE_HIT);
	ck_assert_int_eq(cur.expires_ms, ENDS);
	cache_close(&cur);
	ck_assert_int_eq(open_at(c, SLICE("k"), CACHE_RECORD, &cur), CACHE_HIT_RECORD);
	cache_close(&cur);
	put(c, "plain", "value", ENDS);
	ck_assert_int_eq(open_at(c, SLICE("plain"), CACHE_RECORD, &cur), CACHE_HIT);
	ck_assert_ptr_null(cache_record(&cur).ptr);
	cache_close(&cur);
	cache_free(c);
}
END_TEST

START_TEST(an_empty_value_an_empty_record_and_no_expiry_are_fine)
{
	struct cache *c = small_cache();

	ck_assert_int_eq(put_record(c, "a", SLICE(""), CACHE_NEVER, 0, SLICE("rec")), 0);
	ck_assert_int_eq(put_record(c, "b", SLICE("v"), CACHE_NEVER, 99, SLICE("")), 0);
	fix_thread.now_ms = INT64_C(1) << 40;
	settle(c);
	ck_assert_str_eq(seen(c, "a"), "|rec");
	ck_assert_str_eq(seen(c, "b"), "v|");
	cache_free(c);
}
END_TEST

START_TEST(any_put_drops_it_whatever_its_length)
{
	struct cache *c = small_cache();

	for (size_t len = 0; len < 20; len++) {
		ck_assert_int_eq(put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec")), 0);
		ck_assert_int_eq(put_slice(c, SLICE("k"),
		    slice_of("01234567890123456789", len), ENDS + 7), 0);
		ck_assert(holds_slice(c, SLICE("k"), slice_of("01234567890123456789", len)));
		ck_assert_ptr_null(strchr(seen(c, "k"), 'r'));
	}
	ck_assert_uint_eq(cache_count(c), 1);
	cache_free(c);
}
END_TEST

START_TEST(a_record_can_replace_a_record_of_any_length)
{
	struct cache *c = small_cache();
	const char *text = "0123456789abcdefghijklmnopqrstuvwxyz";
	char want[64];

	for (size_t v = 0; v < 12; v++)
		for (size_t r = 0; r < 12; r++) {
			ck_assert_int_eq(put_record(c, "k", slice_of(text, v), ENDS, STALE,
			    slice_of(text + v, r)), 0);
			snprintf(want, sizeof want, "%.*s|%.*s", (int)v, text, (int)r, text + v);
			ck_assert_str_eq(seen(c, "k"), want);
		}
	cache_free(c);
}
END_TEST

START_TEST(another_expiry_keeps_it)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec"));
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, CACHE_NEVER), 0);
	cache_close(&cur);
	fix_thread.now_ms = ENDS + 1;
	ck_assert_str_eq(seen(c, "k"), "value|rec");
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cur.expires_ms, CACHE_NEVER);
	ck_assert_int_eq(cache_set_expiry(&cur, ENDS + 5), 0);
	cache_close(&cur);
	ck_assert_str_eq(seen(c, "k"), "value|rec");
	fix_thread.now_ms = ENDS + 5;
	ck_assert_str_eq(seen(c, "k"), "-");
	cache_free(c);
}
END_TEST

START_TEST(it_is_stale_for_the_time_that_was_said_and_then_gone)
{
	struct cache *c = small_cache();

	put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec"));
	fix_thread.now_ms = ENDS - 1;
	ck_assert_str_eq(seen(c, "k"), "value|rec");
	fix_thread.now_ms = ENDS;
	ck_assert(!has(c, "k"));
	ck_assert_str_eq(seen(c, "k"), "(value|rec)");
	fix_thread.now_ms = ENDS + STALE - 1;
	settle(c);
	ck_assert_str_eq(seen(c, "k"), "(value|rec)");
	fix_thread.now_ms = ENDS + STALE + STALE / 1000 + 128;
	settle(c);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(what_is_over_from_the_start_only_those_see_who_ask_for_it)
{
	struct cache *c = small_cache();
	struct cache_stats st;

	fix_thread.now_ms = 1000;
	ck_assert_int_eq(put_record(c, "k", SLICE(""), 1000, 500, SLICE("none")), 0);
	ck_assert(!has(c, "k"));
	ck_assert_str_eq(seen(c, "k"), "(|none)");
	ck_assert_int_eq(put_record(c, "gone", SLICE("v"), 900, 100, SLICE("r")), 0);
	ck_assert_str_eq(seen(c, "gone"), "-");
	cache_stats(c, &st);
	ck_assert_uint_eq(st.expiring, 1);
	ck_assert_int_eq(put(c, "k", "v", CACHE_NEVER), 0);
	ck_assert_str_eq(seen(c, "k"), "v|");
	cache_stats(c, &st);
	ck_assert_uint_eq(st.expiring, 0);
	cache_free(c);
}
END_TEST

START_TEST(a_stale_entry_can_be_renewed_with_its_own_value)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;
	const char *at;

	put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec1"));
	fix_thread.now_ms = ENDS + 10;
	ck_assert_int_eq(open_at(c, SLICE("k"), 0, &cur), CACHE_MISS);
	ck_assert(cache_take_stale(&cur));
	at = cur.value.ptr;
	ck_assert_int_eq(cache_put_record(&cur, cur.value, ENDS + 1000, STALE, SLICE("rec2")), 0);
	ck_assert_ptr_eq(cur.value.ptr, at); /* nothing was copied */
	cache_close(&cur);
	ck_assert_str_eq(seen(c, "k"), "value|rec2");
	fix_thread.now_ms = ENDS + 1000;
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert(cache_take_stale(&cur));
	ck_assert_int_eq(cache_put_record(&cur, cur.value, ENDS + 2000, STALE, SLICE("longer")), 0);
	cache_close(&cur);
	ck_assert_str_eq(seen(c, "k"), "value|longer");
	cache_free(c);
}
END_TEST

START_TEST(large_values_have_records_too)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 64 * MIB });
	size_t len = 3 * MIB;
	char *big = malloc(len);
	struct cache_cursor cur;
	struct out_ref ref;

	fill_bytes(big, len, 3);
	ck_assert_int_eq(put_record(c, "k", slice_of(big, len), ENDS, STALE, SLICE("rec")), 0);
	ck_assert_int_eq(open_at(c, SLICE("k"), 0, &cur), CACHE_HIT);
	ck_assert(slice_eq(cur.value, slice_of(big, len)));
	ck_assert(cache_pin(&cur, &ref));
	ck_assert_uint_eq(ref.len, len);
	/* What is being sent is not written over: that would be another's record. */
	ck_assert_int_eq(cache_put_record(&cur, cur.value, ENDS + 5, STALE, SLICE("new")), 0);
	ck_assert_ptr_ne(cur.value.ptr, ref.ptr);
	cache_close(&cur);
	ref.release(ref.owner, ref.token);
	fix_thread.now_ms = ENDS + 5;
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert(cache_take_stale(&cur));
	ck_assert(slice_eq(cur.value, slice_of(big, len)));
	ck_assert(slice_eq(cache_record(&cur), SLICE("new")));
	cache_close(&cur);
	ck_assert_int_eq(put_record(c, "huge", slice_of(big, 0), ENDS + 9, 0,
	    slice_of(big, CACHE_RECORD_MAX)), 0);
	ck_assert_int_eq(put_record(c, "over", slice_of(big, cache_max_entry(c) - 4), ENDS + 9, 0,
	    SLICE("rec")), -E2BIG);
	free(big);
	cache_free(c);
}
END_TEST

START_TEST(moving_and_evicting_entries_keeps_records_whole)
{
	struct cache *c = small_cache();
	char key[24], value[160], want[256];
	unsigned found = 0;

	fill_bytes(value, sizeof value, 5);
	for (int i = 0; i < 200000; i++) {
		snprintf(key, sizeof key, "k%d", i % 30000);
		if (i % 3 == 0)
			ck_assert_int_eq(put_slice(c, slice_str(key),
			    slice_of(value, (size_t)i % 150), CACHE_NEVER), 0);
		else
			ck_assert_int_eq(put_record(c, key, slice_str(key), ENDS, STALE,
			    slice_of(key, (size_t)i % strlen(key))), 0);
		if (i % 1000 == 0) {
			settle(c);
			never_over_budget(c);
		}
	}
	for (int i = 0; i < 30000; i++) {
		struct cache_cursor cur;
		struct slice record;

		snprintf(key, sizeof key, "k%d", i);
		if (open_at(c, slice_str(key), 0, &cur) == CACHE_HIT) {
			record = cache_record(&cur);
			if (record.ptr != NULL) {
				snprintf(want, sizeof want, "%.*s", (int)record.len, record.ptr);
				ck_assert(strncmp(want, key, record.len) == 0);
				ck_assert(slice_eq(cur.value, slice_str(key)));
				found++;
			}
		}
		cache_close(&cur);
	}
	ck_assert_uint_gt(found, 1000);
	cache_free(c);
}
END_TEST

START_TEST(without_room_the_old_entry_stands)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 4 * MIB });
	size_t len = cache_max_entry(c) - 64;
	char *big = malloc(len);
	struct cache_cursor cur;
	struct out_ref ref[8];
	unsigned n = 0;

	fill_bytes(big, len, 3);
	put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec"));
	put_slice(c, SLICE("pinned"), slice_of(big, 500000), CACHE_NEVER);
	open_at(c, SLICE("pinned"), 0, &cur);
	n = cache_pin(&cur, &ref[0]);
	cache_close(&cur);
	open_at(c, SLICE("k"), 0, &cur);
	if (cache_put_record(&cur, slice_of(big, len), ENDS, STALE, SLICE("new")) != 0) {
		ck_assert(slice_eq(cur.value, SLICE("value")));
		ck_assert(slice_eq(cache_record(&cur), SLICE("rec")));
	}
	cache_close(&cur);
	for (unsigned i = 0; i < n; i++)
		ref[i].release(ref[i].owner, ref[i].token);
	free(big);
	cache_free(c);
}
END_TEST

static uint16_t present_class;

static struct cache_class
class_now(void *arg, struct slice key)
{
	(void)arg;
	(void)key;
	return (struct cache_class){ .tally = present_class, .grace_ms = 7 };
}

START_TEST(protected_and_reclassified_entries_keep_theirs)
{
	struct cache *c = cache_with((struct cache_opts){ .classify = class_now,
		.budget_bytes = 16 * MIB });

	present_class = CACHE_PROTECTED;
	ck_assert_int_eq(put_record(c, "k", SLICE("value"), ENDS, STALE, SLICE("rec")), 0);
	present_class = 0;
	cache_reclassify(c);
	settle(c);
	ck_assert_str_eq(seen(c, "k"), "value|rec");
	fix_thread.now_ms = ENDS + STALE - 1; /* not the class's grace */
	ck_assert_str_eq(seen(c, "k"), "(value|rec)");
	cache_free(c);
}
END_TEST

START_TEST(softening_keeps_it_too)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;

	for (int64_t expires_ms = CACHE_NEVER; expires_ms <= ENDS; expires_ms += ENDS) {
		put_record(c, "k", SLICE("value"), expires_ms, STALE, SLICE("rec"));
		open_at(c, SLICE("k"), 0, &cur);
		ck_assert(cache_soften(&cur, STALE));
		ck_assert_ptr_null(cur.value.ptr);
		cache_close(&cur);
		ck_assert_str_eq(seen(c, "k"), "(value|rec)");
	}
	cache_free(c);
}
END_TEST

START_TEST(a_flush_a_removal_and_a_scan_treat_it_as_any_other)
{
	struct cache *c = small_cache();
	struct buf keys = { 0 };
	uint64_t cursor = 0;
	struct cache_cursor cur;

	put_record(c, "hit", SLICE("value"), ENDS, STALE, SLICE("rec"));
	put_record(c, "hidden", SLICE(""), 1000, STALE, SLICE("rec"));
	do
		ck_assert_int_eq(cache_scan(c, &fix_thread, &cursor, 10, &keys), 0);
	while (cursor != 0);
	ck_assert_uint_eq(buf_len(&keys), sizeof(uint32_t) + 3);
	buf_fini(&keys);
	open_at(c, SLICE("hidden"), 0, &cur);
	cache_remove(&cur);
	cache_close(&cur);
	ck_assert_str_eq(seen(c, "hidden"), "-");
	cache_flush(c, &fix_thread);
	ck_assert_str_eq(seen(c, "hit"), "-");
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("record");

	SUITE_ADD(s, "record", a_record_is_no_part_of_the_value,
	    an_empty_value_an_empty_record_and_no_expiry_are_fine,
	    any_put_drops_it_whatever_its_length, a_record_can_replace_a_record_of_any_length,
	    another_expiry_keeps_it, it_is_stale_for_the_time_that_was_said_and_then_gone,
	    what_is_over_from_the_start_only_those_see_who_ask_for_it,
	    a_stale_entry_can_be_renewed_with_its_own_value, large_values_have_records_too,
	    moving_and_evicting_entries_keeps_records_whole,
	    without_room_the_old_entry_stands, protected_and_reclassified_entries_keep_theirs, softening_keeps_it_too,
	    a_flush_a_removal_and_a_scan_treat_it_as_any_other);
	return suite_main(s);
}
