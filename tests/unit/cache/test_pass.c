#include "config.h"

#include "unit/cache/fixture.h"

#include "base/mem.h"

#define KEYS 5000

static char large[100000];

static void
fill(struct cache *c)
{
	char key[32];

	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "key:%u", i);
		ck_assert_int_eq(put(c, key, key, i % 3 == 0 ? 1000000 : CACHE_NEVER), 0);
	}
	memset(large, 'x', sizeof large);
	ck_assert_int_eq(put_slice(c, SLICE("large"), slice_of(large, sizeof large), 0), 0);
}

static void
has_all(struct cache *c)
{
	char key[32];

	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "key:%u", i);
		ck_assert(holds(c, key, key));
	}
	ck_assert(holds_slice(c, SLICE("large"), slice_of(large, sizeof large)));
}

START_TEST(what_was_there_is_there_at_the_same_addresses_with_the_same_counts)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB });
	struct cache_stats before, after;

	fill(c);
	cache_stats(c, &before);
	c = passed_on(c, (struct cache_opts){ .budget_bytes = 16 * MIB });
	cache_stats(c, &after);
	ck_assert_int_eq(memcmp(&before, &after, sizeof before), 0);
	has_all(c);
	never_over_budget(c);
	cache_free(c);
}
END_TEST

START_TEST(the_order_of_eviction_goes_along)
{
	struct cache *c = small_cache();
	char key[32];

	ck_assert_int_eq(put(c, "used", "v", 0), 0);
	for (unsigned i = 0; i < 400000; i++) {
		snprintf(key, sizeof key, "key:%u", i);
		ck_assert_int_eq(put(c, key, key, 0), 0);
		if (i % 500 == 0) {
			ck_assert(holds(c, "used", "v"));
			if (i % 50000 == 0)
				c = passed_on(c, (struct cache_opts){ 0 });
		}
	}
	ck_assert(!has(c, "key:1"));
	ck_assert(has(c, "key:399999"));
	cache_free(c);
}
END_TEST

START_TEST(a_smaller_budget_is_reached_in_steps_and_a_larger_one_is_used)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB });

	memset(large, 'x', sizeof large);
	for (unsigned i = 0; i < 250; i++) {
		char key[32];

		snprintf(key, sizeof key, "large:%u", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(large, sizeof large), 0), 0);
	}
	c = passed_on(c, (struct cache_opts){ .budget_bytes = 8 * MIB });
	ck_assert_int_gt(arena_used(&c->arena), arena_budget(&c->arena));
	ck_assert(has(c, "large:249"));
	settle(c);
	never_over_budget(c);
	ck_assert(has(c, "large:249"));
	ck_assert(!has(c, "large:0"));
	c = passed_on(c, (struct cache_opts){ .budget_bytes = 64 * MIB });
	fill(c);
	has_all(c);
	cache_free(c);
}
END_TEST

/* --- what cannot be taken --------------------------------------------------------- */

static struct buf told;

static void
tell(struct cache *c, struct cache_past *past)
{
	struct packer p = { .to = &told };

	buf_init(&told);
	fill(c);
	cache_pass_begin(c, past);
	ck_assert(cache_pass_end(c, &p));
}

static int
take(const struct cache_past *past, struct slice text)
{
	struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN, .past = past };
	struct unpacker u = { .from = text };
	struct cache *c = NULL;
	int rc;

	ck_assert_int_eq(cache_new(&o, &c), 0);
	rc = cache_pass_take(c, &u);
	cache_free(c);
	return rc;
}

START_TEST(a_description_that_is_cut_short_anywhere_is_refused_and_the_old_cache_goes_on)
{
	struct cache *c = cache_with((struct cache_opts){ .shards = 2 });
	struct cache_past past;

	tell(c, &past);
	for (size_t n = 0; n < buf_len(&told); n++)
		ck_assert_int_eq(take(&past, slice_of(buf_data(&told), n)), -EINVAL);
	ck_assert_int_eq(take(&past, buf_slice(&told)), 0);
	has_all(c);
	cache_free(c);
	buf_fini(&told);
}
END_TEST

START_TEST(another_layout_seed_or_number_of_shards_is_refused)
{
	struct cache *c = small_cache();
	struct cache_past past;

	tell(c, &past);
	for (size_t at = 0; at < 3 * sizeof(uint64_t); at += sizeof(uint64_t)) {
		buf_data(&told)[at] ^= 1;
		ck_assert_int_eq(take(&past, buf_slice(&told)), -EINVAL);
		buf_data(&told)[at] ^= 1;
	}
	cache_free(c);
	buf_fini(&told);
}
END_TEST

static void
must_refuse(struct cache_past past, enum cache_policy policy)
{
	struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN, .past = &past,
		.policy = policy };
	struct cache *c = NULL;

	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	ck_assert_ptr_null(c);
}

START_TEST(an_arena_that_is_not_as_was_told_is_refused)
{
	struct cache *c = small_cache();
	struct cache_past past, bad;

	cache_pass_begin(c, &past);
	must_refuse(past, CACHE_TINYLFU);
	bad = past;
	bad.bytes -= PAGE_BYTES;
	must_refuse(bad, CACHE_LRU);
	bad = past;
	bad.shards = 3;
	must_refuse(bad, CACHE_LRU);
	bad.shards = 2 * past.shards;
	must_refuse(bad, CACHE_LRU);
	bad.shards = 0;
	must_refuse(bad, CACHE_LRU);
	bad = past;
	bad.seed++;
	must_refuse(bad, CACHE_LRU);
	bad = past;
	bad.fd = -1;
	must_refuse(bad, CACHE_LRU);
	cache_free(c);
}
END_TEST

START_TEST(what_is_pinned_cannot_be_passed_on)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB });
	struct packer p = { .to = &told };
	struct cache_cursor cur;
	struct out_ref ref;

	fill(c);
	buf_init(&told);
	ck_assert_int_eq(open_at(c, SLICE("large"), 0, &cur), CACHE_HIT);
	ck_assert(cache_pin(&cur, &ref));
	cache_close(&cur);
	ck_assert(!cache_pass_end(c, &p));
	ref.release(ref.owner, ref.token);
	ck_assert(cache_pass_end(c, &p));
	cache_free(c);
	buf_fini(&told);
}
END_TEST

START_TEST(without_memory_the_old_cache_goes_on)
{
	struct cache *c = small_cache(), *next = NULL;
	struct cache_past past;
	struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN, .past = &past };
	unsigned long n = 0;
	int rc;

	tell(c, &past);
	do {
		mem_fail_nth(++n, 0);
		rc = cache_new(&o, &next);
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
	} while (rc != 0);
	ck_assert_uint_gt(n, 2);
	cache_free(next);
	has_all(c);
	cache_free(c);
	buf_fini(&told);
}
END_TEST

static struct cache_class
by_first_byte(void *arg, struct slice key)
{
	(void)arg;
	return (struct cache_class){ .tally = key.ptr[0] == 'l' ? 2 : 1 };
}

START_TEST(a_process_with_other_classes_counts_anew)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB });
	static struct cache_tally tally[CACHE_CLASSES];
	struct cache_thread t = { .now_ms = 1000, .tally = tally };

	fill(c);
	c = passed_on(c, (struct cache_opts){ .budget_bytes = 16 * MIB,
		.classify = by_first_byte });
	cache_recount(c, &t);
	ck_assert_int_eq(counter_get(&tally[1].entries), KEYS);
	ck_assert_int_eq(counter_get(&tally[2].entries), 1);
	ck_assert_int_eq(counter_get(&tally[1].bytes) + counter_get(&tally[2].bytes),
	    counter_get(&fix_tally[0].bytes));
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pass");

	SUITE_ADD(s, "pass", what_was_there_is_there_at_the_same_addresses_with_the_same_counts,
	    the_order_of_eviction_goes_along,
	    a_smaller_budget_is_reached_in_steps_and_a_larger_one_is_used,
	    a_description_that_is_cut_short_anywhere_is_refused_and_the_old_cache_goes_on,
	    another_layout_seed_or_number_of_shards_is_refused,
	    an_arena_that_is_not_as_was_told_is_refused, what_is_pinned_cannot_be_passed_on,
	    without_memory_the_old_cache_goes_on, a_process_with_other_classes_counts_anew);
	return suite_main(s);
}
