/* Every change of a key is told, with what it was, to who asked to hear of it. */
#include "config.h"

#include "unit/cache/fixture.h"

struct heard {
	unsigned n;
	char key[32];
	enum cache_change how;
	bool of_k; /* one of them was about "k" */
};

static struct heard heard;

static void
on_change(void *arg, struct cache_thread *t, struct slice key, uint64_t hash,
    enum cache_change how)
{
	ck_assert_ptr_eq(arg, &heard);
	ck_assert_ptr_eq(t, &fix_thread);
	(void)hash;
	heard.n++;
	heard.how = how;
	heard.of_k |= slice_eq(key, SLICE("k"));
	snprintf(heard.key, sizeof heard.key, "%.*s", (int)key.len, key.ptr);
}

struct who {
	struct cache *c;
	bool on;
};

static void
notice(void *arg, unsigned shard)
{
	struct who *w = arg;

	cache_notice_locked(w->c, shard, w->on);
}

static void
listen_to_all(struct cache *c, bool on)
{
	struct who w = { c, on };

	for (unsigned i = 0; i < cache_shards(c); i++)
		cache_with_shard(c, &fix_thread, i, notice, &w);
}

static struct cache *
noticed_cache(void)
{
	struct cache *c = small_cache();

	cache_on_change(c, on_change, &heard);
	listen_to_all(c, true);
	return c;
}

static void
ck_heard(unsigned n, const char *key, enum cache_change how)
{
	ck_assert_uint_eq(heard.n, n);
	ck_assert_str_eq(heard.key, key);
	ck_assert_int_eq(heard.how, how);
}

START_TEST(puts_expiries_and_removals_are_written)
{
	struct cache *c = noticed_cache();
	struct cache_cursor cur;

	put(c, "k", "v", CACHE_NEVER);
	ck_heard(1, "k", CACHE_WRITTEN);
	put(c, "k", "w", CACHE_NEVER); /* in place */
	ck_heard(2, "k", CACHE_WRITTEN);
	put(c, "k", "longer", CACHE_NEVER);
	ck_heard(3, "k", CACHE_WRITTEN);
	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_set_expiry(&cur, 5000), 0);
	cache_close(&cur);
	ck_heard(4, "k", CACHE_WRITTEN);
	open_at(c, SLICE("k"), 0, &cur);
	cache_remove(&cur);
	cache_remove(&cur); /* nothing is there any more */
	cache_close(&cur);
	ck_heard(5, "k", CACHE_WRITTEN);
	listen_to_all(c, false);
	put(c, "k", "v", CACHE_NEVER);
	ck_assert_uint_eq(heard.n, 5);
	cache_free(c);
}
END_TEST

START_TEST(reading_is_no_change_and_an_end_in_time_is_nobodys)
{
	struct cache *c = noticed_cache();
	struct cache_cursor cur;

	put(c, "k", "v", 1500);
	ck_assert_int_eq(open_at(c, SLICE("k"), CACHE_TOUCH, &cur), CACHE_HIT);
	cache_close(&cur);
	ck_assert_uint_eq(heard.n, 1);
	fix_thread.now_ms = 2000;
	ck_assert_int_eq(open_at(c, SLICE("k"), 0, &cur), CACHE_MISS);
	cache_close(&cur);
	ck_heard(2, "k", CACHE_LOST);
	put(c, "j", "v", 2500);
	for (fix_thread.now_ms = 2600; heard.n < 4; fix_thread.now_ms += 100)
		cache_tick(c, &fix_thread, 1000);
	ck_heard(4, "j", CACHE_LOST);
	cache_free(c);
}
END_TEST

START_TEST(evictions_are_nobodys)
{
	struct cache *c = noticed_cache();
	char key[16], value[1000];
	struct cache_stats st;
	unsigned n = 0;

	memset(value, 'x', sizeof value);
	put(c, "k", "v", CACHE_NEVER);
	heard.of_k = false;
	do {
		snprintf(key, sizeof key, "%u", n++);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, sizeof value),
		    CACHE_NEVER), 0);
		cache_stats(c, &st);
	} while (!heard.of_k);
	ck_assert_uint_eq(heard.n, 1 + n + st.evicted);
	cache_free(c);
}
END_TEST

START_TEST(a_flush_is_told_to_nobody)
{
	struct cache *c = noticed_cache();

	put(c, "k", "v", CACHE_NEVER);
	cache_flush(c, &fix_thread);
	ck_assert_uint_eq(heard.n, 1);
	cache_free(c);
}
END_TEST

START_TEST(who_asks_for_one_shard_hears_of_that_one)
{
	struct cache *c = small_cache();
	struct who w = { c, true };
	unsigned other = 0;
	char key[16];

	cache_on_change(c, on_change, &heard);
	cache_with_shard(c, &fix_thread, cache_shard_index(c, cache_hash(c, SLICE("k"))), notice, &w);
	put(c, "k", "v", CACHE_NEVER);
	ck_heard(1, "k", CACHE_WRITTEN);
	do
		snprintf(key, sizeof key, "%u", other++);
	while (cache_shard_index(c, cache_hash(c, slice_str(key))) ==
	    cache_shard_index(c, cache_hash(c, SLICE("k"))));
	put(c, key, "v", CACHE_NEVER);
	ck_assert_uint_eq(heard.n, 1);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("notice");

	SUITE_ADD(s, "changes", puts_expiries_and_removals_are_written,
	    reading_is_no_change_and_an_end_in_time_is_nobodys, evictions_are_nobodys,
	    a_flush_is_told_to_nobody, who_asks_for_one_shard_hears_of_that_one);
	return suite_main(s);
}
