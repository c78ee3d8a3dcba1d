/* Exact LRU in a shard: with one shard, over everything. */
#include "config.h"

#include "unit/cache/fixture.h"

#define IDS 60000

static struct cache *
one_shard(void)
{
	return cache_with((struct cache_opts){ .shards = 1 });
}

static struct slice
key_of(char *to, unsigned i)
{
	return slice_of(to, (size_t)snprintf(to, 16, "%u", i));
}

static void
use(struct cache *c, unsigned i)
{
	char mem[16];
	struct cache_cursor cur;

	open_at(c, key_of(mem, i), CACHE_TOUCH, &cur);
	cache_close(&cur);
}

static void
put_id(struct cache *c, unsigned i, size_t len)
{
	static const char value[8000];
	char mem[16];

	ck_assert_int_eq(put_slice(c, key_of(mem, i), slice_of(value, len), CACHE_NEVER), 0);
}

static bool
has_id(struct cache *c, unsigned i)
{
	char mem[16];

	return has_slice(c, key_of(mem, i));
}

/* last[i]: when i was used last. Whatever is there was used later than
 * whatever is gone. */
static void
check_order(struct cache *c, const uint32_t *last, unsigned n)
{
	uint32_t newest_gone = 0, oldest_there = UINT32_MAX;

	for (unsigned i = 0; i < n; i++) {
		if (last[i] == 0)
			continue;
		if (has_id(c, i))
			oldest_there = MIN(oldest_there, last[i]);
		else
			newest_gone = MAX(newest_gone, last[i]);
	}
	ck_assert_uint_lt(newest_gone, oldest_there);
}

static void
run(size_t (*len_of)(unsigned i), unsigned uses)
{
	static uint32_t last[IDS];
	struct cache *c = one_shard();
	uint32_t now = 1;
	uint64_t random = 88172645463325252u;

	for (unsigned i = 0; i < IDS; i++) {
		put_id(c, i, len_of(i));
		last[i] = now++;
		for (unsigned k = 0; k < uses; k++) {
			unsigned back;

			random = random * 6364136223846793005u + 1442695040888963407u;
			back = (unsigned)(random >> 40) % 8000;
			if (back > i || !has_id(c, i - back))
				continue;
			use(c, i - back);
			last[i - back] = now++;
		}
		if (i % 10000 == 9999)
			check_order(c, last, i + 1);
	}
	ck_assert(!has_id(c, 0));
	cache_free(c);
}

static size_t
len_same(unsigned i)
{
	(void)i;
	return 200;
}

static size_t
len_mixed(unsigned i)
{
	return i * 2654435761u % 2000;
}

START_TEST(what_was_not_used_longest_goes_first)
{
	run(len_same, 0);
}
END_TEST

START_TEST(uses_are_counted_and_cleaning_keeps_the_order)
{
	run(len_same, 2);
}
END_TEST

START_TEST(the_order_holds_for_all_sizes)
{
	run(len_mixed, 2);
}
END_TEST

START_TEST(a_look_without_touch_is_no_use_and_a_put_is_one)
{
	struct cache *c = one_shard();
	unsigned i = 0;

	/* Larger than what a write evicts beyond its need. */
	put_id(c, 0, 6000);
	put_id(c, 1, 6000);
	put_id(c, 2, 6000);
	has_id(c, 0);
	put_id(c, 1, 6000); /* in place */
	put_id(c, 2, 6100); /* anew */
	for (i = 10; has_id(c, 0); i++)
		put_id(c, i, 200);
	ck_assert(has_id(c, 1));
	ck_assert(has_id(c, 2));
	for (; has_id(c, 1); i++)
		put_id(c, i, 200);
	ck_assert(has_id(c, 2));
	cache_free(c);
}
END_TEST

/* Shards evict for each other: none may keep much older entries than others. */
START_TEST(with_many_shards_nearly_all_of_the_newest_stay)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB });
	unsigned i, there;

	for (i = 0; i < 400000; i++)
		put_id(c, i, i * 7u % 300);
	there = (unsigned)cache_count(c);
	ck_assert_uint_gt(there, 50000);
	for (i = 400000 - there * 99 / 100; i < 400000; i++)
		ck_assert(has_id(c, i));
	cache_free(c);
}
END_TEST

START_TEST(reads_of_a_thread_that_does_not_touch_are_no_uses)
{
	static uint32_t last[IDS];
	struct cache *c = one_shard();

	for (unsigned i = 0; i < IDS; i++) {
		put_id(c, i, 100);
		last[i] = i + 1;
		fix_thread.no_touch = true;
		use(c, i / 2);
		use(c, i - i % 100);
		fix_thread.no_touch = false;
	}
	check_order(c, last, IDS);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lru");

	SUITE_ADD(s, "one shard", what_was_not_used_longest_goes_first,
	    uses_are_counted_and_cleaning_keeps_the_order, the_order_holds_for_all_sizes,
	    a_look_without_touch_is_no_use_and_a_put_is_one,
	    reads_of_a_thread_that_does_not_touch_are_no_uses);
	SUITE_ADD(s, "shards", with_many_shards_nearly_all_of_the_newest_stay);
	return suite_main(s);
}
