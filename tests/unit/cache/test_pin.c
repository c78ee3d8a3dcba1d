#include "config.h"

#include "unit/cache/fixture.h"

#define LEN 12000

static char pattern[400000];

static void
put_pattern(struct cache *c, const char *key, size_t len)
{
	fill_bytes(pattern, sizeof pattern, 77);
	ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(pattern, len), CACHE_NEVER), 0);
}

static bool
pin(struct cache *c, const char *key, struct out_ref *ref)
{
	struct cache_cursor cur;
	bool ok;

	ck_assert_int_eq(open_at(c, slice_str(key), 0, &cur), CACHE_HIT);
	ok = cache_pin(&cur, ref);
	cache_close(&cur);
	return ok;
}

static void
check_and_release(const struct out_ref *ref, size_t len)
{
	ck_assert_uint_eq(ref->len, len);
	ck_assert_int_eq(memcmp(ref->ptr, pattern, len), 0);
	ref->release(ref->owner, ref->token);
}

/* Writes several times the budget. */
static void
churn(struct cache *c, size_t len)
{
	static const char zero[100000];
	char key[32];

	for (size_t i = 0; i * len < 4 * CACHE_BUDGET_MIN; i++) {
		snprintf(key, sizeof key, "churn%zu", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(zero, len), CACHE_NEVER), 0);
	}
	never_over_budget(c);
}

START_TEST(small_values_are_not_pinned)
{
	struct cache *c = small_cache();
	struct out_ref ref;
	struct cache_cursor cur;

	put(c, "k", "small", CACHE_NEVER);
	ck_assert(!pin(c, "k", &ref));
	open_at(c, SLICE("missing"), 0, &cur);
	ck_assert(!cache_pin(&cur, &ref));
	cache_close(&cur);
	cache_free(c);
}
END_TEST

static void
pinned_value_outlives(size_t len, void (*end)(struct cache *c))
{
	struct cache *c = small_cache();
	struct out_ref ref;
	struct cache_stats s;

	put_pattern(c, "k", len);
	ck_assert(pin(c, "k", &ref));
	cache_stats(c, &s);
	ck_assert_uint_ge(s.pinned_bytes, len);
	end(c);
	churn(c, 100);
	churn(c, 9000);
	churn(c, 100000);
	ck_assert(!has(c, "k"));
	settle(c);
	check_and_release(&ref, len);
	cache_stats(c, &s);
	ck_assert_uint_eq(s.pinned_bytes, 0);
	churn(c, 100);
	cache_flush(c, &fix_thread);
	settle(c);
	ck_assert_int_eq(pool_live(&c->pool), 0);
	ck_assert_int_eq(atomic_load(&c->extents.live_pages), 0);
	cache_free(c);
}

static void
end_by_eviction(struct cache *c)
{
	(void)c;
}

static void
end_by_removal(struct cache *c)
{
	ck_assert(remove_key(c, "k"));
}

static void
end_by_overwriting(struct cache *c)
{
	static const char zero[400000];
	struct cache_cursor cur;
	struct slice value = { zero, 0 };

	open_at(c, SLICE("k"), 0, &cur);
	value.len = cur.value.len; /* of the same length, so in place if it could */
	ck_assert_int_eq(cache_put(&cur, &value, 1, CACHE_NEVER), 0);
	cache_close(&cur);
}

static void
end_by_flush(struct cache *c)
{
	cache_flush(c, &fix_thread);
	settle(c);
}

START_TEST(a_pinned_value_outlives_its_eviction)
{
	pinned_value_outlives(LEN, end_by_eviction);
	pinned_value_outlives(300000, end_by_eviction);
}
END_TEST

START_TEST(a_pinned_value_outlives_its_removal)
{
	pinned_value_outlives(LEN, end_by_removal);
	pinned_value_outlives(300000, end_by_removal);
}
END_TEST

START_TEST(a_pinned_value_outlives_being_overwritten)
{
	pinned_value_outlives(LEN, end_by_overwriting);
	pinned_value_outlives(300000, end_by_overwriting);
}
END_TEST

START_TEST(a_pinned_value_outlives_a_flush)
{
	pinned_value_outlives(LEN, end_by_flush);
	pinned_value_outlives(300000, end_by_flush);
}
END_TEST

START_TEST(several_pins_on_one_value_end_one_by_one)
{
	struct cache *c = small_cache();
	struct out_ref a, b;

	put_pattern(c, "k", LEN);
	ck_assert(pin(c, "k", &a));
	ck_assert(pin(c, "k", &b));
	remove_key(c, "k");
	check_and_release(&a, LEN);
	churn(c, 9000);
	check_and_release(&b, LEN);
	cache_free(c);
}
END_TEST

START_TEST(pinned_bytes_are_capped)
{
	struct cache *c = small_cache();
	struct out_ref refs[200];
	unsigned n = 0, i;
	struct cache_stats s;
	char key[16];

	for (i = 0; i < 200; i++) {
		snprintf(key, sizeof key, "k%u", i);
		put_pattern(c, key, i % 2 ? LEN : 30000);
		if (pin(c, key, &refs[n]))
			n++;
	}
	ck_assert_uint_gt(n, 4);
	ck_assert_uint_lt(n, 200);
	cache_stats(c, &s);
	ck_assert_uint_le(s.pinned_bytes, CACHE_BUDGET_MIN / 4);
	/* With that much held, all sizes can still be written. */
	churn(c, 100);
	churn(c, 9000);
	churn(c, 100000);
	for (i = 0; i < n; i++)
		refs[i].release(refs[i].owner, refs[i].token);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pin");

	SUITE_ADD(s, "pin", small_values_are_not_pinned, a_pinned_value_outlives_its_eviction,
	    a_pinned_value_outlives_its_removal, a_pinned_value_outlives_being_overwritten,
	    a_pinned_value_outlives_a_flush, several_pins_on_one_value_end_one_by_one,
	    pinned_bytes_are_capped);
	return suite_main(s);
}
