/* Brackets over several keys: what is in them happens at once for others. */
#include "config.h"

#include "unit/suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/store/fixture.h"

#define ACCOUNTS 6
#define EACH 1000
#define TURNS 6000

static void
name_of(unsigned i, char out[32])
{
	snprintf(out, 32, "account:%u", i);
}

static void
open_bracket(struct store_atomic *a, struct store_loop *l, const char *const *keys, unsigned n)
{
	store_atomic_init(a, l);
	for (unsigned i = 0; i < n; i++)
		store_atomic_add(a, slice_str(keys[i]), store_hash(l, slice_str(keys[i])));
	store_atomic_begin(a);
}

static int64_t
read_account(struct store_loop *l, unsigned i)
{
	struct store_cursor cur;
	char name[32], text[32] = "";

	name_of(i, name);
	ck_assert_int_eq(store_open(l, slice_str(name), 0, &cur), CACHE_HIT);
	memcpy(text, cur.c.value.ptr, cur.c.value.len);
	store_close(&cur);
	return atoll(text);
}

static void
write_account(struct store_loop *l, unsigned i, int64_t amount)
{
	char name[32], text[32];

	name_of(i, name);
	snprintf(text, sizeof text, "%lld", (long long)amount);
	ck_assert_int_eq(store_set(l, slice_str(name), slice_str(text), CACHE_NEVER), 0);
}

static void
bracket_accounts(struct store_atomic *a, struct store_loop *l, const unsigned *which, unsigned n)
{
	store_atomic_init(a, l);
	for (unsigned i = 0; i < n; i++) {
		char name[32];

		name_of(which[i], name);
		store_atomic_add(a, slice_str(name), store_hash(l, slice_str(name)));
	}
	store_atomic_begin(a);
}

static void
transfer(struct store_loop *l, unsigned from, unsigned to, int64_t amount)
{
	unsigned which[2] = { from, to };
	struct store_atomic a;

	bracket_accounts(&a, l, which, 2);
	write_account(l, from, read_account(l, from) - amount);
	write_account(l, to, read_account(l, to) + amount);
	store_atomic_end(&a);
}

static int64_t
sum_of_all(struct store_loop *l, bool whole_cache)
{
	unsigned which[ACCOUNTS];
	struct store_atomic a;
	int64_t sum = 0;

	for (unsigned i = 0; i < ACCOUNTS; i++)
		which[i] = ACCOUNTS - 1 - i;
	if (whole_cache) {
		store_atomic_init(&a, l);
		store_atomic_add_all(&a);
		store_atomic_begin(&a);
	} else {
		bracket_accounts(&a, l, which, ACCOUNTS);
	}
	for (unsigned i = 0; i < ACCOUNTS; i++)
		sum += read_account(l, i);
	store_atomic_end(&a);
	return sum;
}

static void *
trade(void *arg)
{
	struct store_loop *l = arg;
	unsigned short seed[3] = { (unsigned short)(l == sl[0]), 2, 3 };

	for (unsigned i = 0; i < TURNS; i++) {
		unsigned from = (unsigned)nrand48(seed) % ACCOUNTS;

		transfer(l, from, (unsigned)nrand48(seed) % ACCOUNTS, 1 + nrand48(seed) % 9);
		if (i % 4 == 0)
			ck_assert_int_eq(sum_of_all(l, i % 64 == 0), ACCOUNTS * EACH);
	}
	return NULL;
}

/* --- the tests ---------------------------------------------------------------- */

START_TEST(transfers_on_two_threads_keep_the_sum)
{
	pthread_t other;

	for (unsigned i = 0; i < ACCOUNTS; i++)
		write_account(sl[0], i, EACH);
	ck_assert_int_eq(pthread_create(&other, NULL, trade, sl[1]), 0);
	trade(sl[0]);
	pthread_join(other, NULL);
	ck_assert_int_eq(sum_of_all(sl[0], true), ACCOUNTS * EACH);
}
END_TEST

START_TEST(a_key_added_twice_is_locked_once)
{
	const char *keys[] = { "a", "a", "user:1", "user:1" };
	struct store_atomic a;

	open_bracket(&a, sl[0], keys, 4);
	ck_assert_int_eq(store_set(sl[0], SLICE("a"), SLICE("1"), CACHE_NEVER), 0);
	ck_assert_int_eq(store_set(sl[0], SLICE("user:1"), SLICE("2"), CACHE_NEVER), 0);
	store_atomic_end(&a);
	ck_assert(store_delete(sl[1], SLICE("a")));
	ck_assert(store_delete(sl[1], SLICE("user:1")));
}
END_TEST

START_TEST(a_bracket_inside_a_bracket_is_part_of_it)
{
	const char *keys[] = { "a", "b" };
	struct store_atomic outer, inner;

	open_bracket(&outer, sl[0], keys, 2);
	open_bracket(&inner, sl[0], keys, 2);
	ck_assert_int_eq(store_set(sl[0], SLICE("b"), SLICE("1"), CACHE_NEVER), 0);
	store_atomic_end(&inner);
	ck_assert(store_is_atomic(sl[0]));
	ck_assert(store_delete(sl[0], SLICE("b")));
	store_atomic_end(&outer);
	ck_assert(!store_is_atomic(sl[0]));
}
END_TEST

START_TEST(a_flush_and_a_walk_work_inside)
{
	struct store_atomic a;
	uint64_t cursor = 0;
	struct buf keys;

	buf_init(&keys);
	ck_assert_int_eq(store_set(sl[0], SLICE("old"), SLICE("1"), CACHE_NEVER), 0);
	store_atomic_init(&a, sl[0]);
	store_atomic_add_all(&a);
	store_atomic_begin(&a);
	store_flush(sl[0]);
	ck_assert_int_eq(store_set(sl[0], SLICE("new"), SLICE("2"), CACHE_NEVER), 0);
	ck_assert_int_eq(store_scan(sl[0], &cursor, 1000, &keys), 0);
	store_atomic_end(&a);
	ck_assert_uint_eq(cursor, 0);
	ck_assert_uint_eq(buf_slice(&keys).len, sizeof(uint32_t) + 3);
	ck_assert_uint_eq(cache_count(store_cache(store)), 1);
	buf_fini(&keys);
}
END_TEST

START_TEST(reads_inside_do_not_fetch)
{
	const char *keys[] = { "user:1" };
	struct store_waiter w = { .done = NULL };
	struct store_cursor cur;
	struct store_atomic a;

	open_bracket(&a, sl[0], keys, 1);
	ck_assert_int_eq(store_get(sl[0], SLICE("user:1"), &cur, &w), STORE_MISS);
	store_atomic_end(&a);
	ck_assert_uint_eq(fake_begun(), 0);
	ck_assert_int_eq(NS(misses), 1);
}
END_TEST

/* Far more than the cache holds, through the shards that the bracket has. */
START_TEST(writes_inside_evict)
{
	static char value[8000];
	struct store_atomic a;
	char name[32];

	store_atomic_init(&a, sl[0]);
	store_atomic_add_all(&a);
	store_atomic_begin(&a);
	for (unsigned i = 0; i < 4000; i++) {
		snprintf(name, sizeof name, "key:%u", i);
		ck_assert_int_eq(store_set(sl[0], slice_str(name),
		    slice_of(value, sizeof value), CACHE_NEVER), 0);
	}
	store_atomic_end(&a);
	ck_assert_uint_lt(cache_count(store_cache(store)), 4000);
	ck_assert(store_delete(sl[0], slice_str(name)));
}
END_TEST

START_TEST(eviction_touches_what_is_watched)
{
	static char value[8000];
	struct cache_watch w;
	char name[32];

	ck_assert_int_eq(store_set(sl[0], SLICE("old"), SLICE("1"), CACHE_NEVER), 0);
	store_watch(sl[0], SLICE("old"), &w);
	ck_assert(!store_watch_touched(sl[0], SLICE("old"), &w));
	for (unsigned i = 0; i < 4000; i++) {
		snprintf(name, sizeof name, "key:%u", i);
		ck_assert_int_eq(store_set(sl[0], slice_str(name),
		    slice_of(value, sizeof value), CACHE_NEVER), 0);
	}
	ck_assert(store_watch_touched(sl[0], SLICE("old"), &w));
	store_unwatch(sl[0], &w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("atomic");

	SUITE_ADD_FIXTURE(s, "brackets", setup, teardown,
	    transfers_on_two_threads_keep_the_sum,
	    a_key_added_twice_is_locked_once,
	    a_bracket_inside_a_bracket_is_part_of_it,
	    a_flush_and_a_walk_work_inside,
	    reads_inside_do_not_fetch,
	    writes_inside_evict,
	    eviction_touches_what_is_watched);
	return suite_main(s);
}
