/* Quotas: a key's first letter says which, by a map that tests change. The maximum holds at
 * any time, the minimum against all others. */
#include "config.h"

#include "unit/cache/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static const enum cache_policy all[] = { CACHE_LRU, CACHE_S3FIFO, CACHE_TINYLFU };

/* Of a letter: its quota. Freed by whoever is told that it is not used any more. */
struct map {
	unsigned quotas[256];
};

static _Atomic(int) maps_alive;

static unsigned
quota_of(const void *map, struct slice key)
{
	return key.len == 0 ? 0 : ((const struct map *)map)->quotas[(unsigned char)key.ptr[0]];
}

static void
unmap(const void *map)
{
	free((void *)(uintptr_t)map);
	atomic_fetch_sub(&maps_alive, 1);
}

static struct map *
map_of(unsigned a, unsigned b)
{
	struct map *m = calloc(1, sizeof *m);

	ck_assert_ptr_nonnull(m);
	m->quotas['a'] = a;
	m->quotas['b'] = b;
	atomic_fetch_add(&maps_alive, 1);
	return m;
}

static struct cache *
cache_of(enum cache_policy policy, uint64_t budget)
{
	struct cache *c = cache_with((struct cache_opts){ .policy = policy, .shards = 4,
		.budget_bytes = budget, .quota_of = quota_of, .unmap = unmap });

	cache_remap(c, map_of(1, 2));
	settle(c);
	return c;
}

static void
set(struct cache *c, unsigned quota, uint64_t min_bytes, uint64_t max_bytes)
{
	cache_set_quota(c, quota, &(struct cache_quota){ min_bytes, max_bytes });
}

static void
end(struct cache *c)
{
	cache_free(c);
	ck_assert_int_eq(atomic_load(&maps_alive), 0);
}

static uint64_t
bytes_of(const struct cache *c, unsigned quota)
{
	struct cache_quota_stats st;

	cache_quota_stats(c, quota, &st);
	return st.bytes;
}

static const char bytes[300000];

static struct slice
key_of(char kind, unsigned i)
{
	static char key[32];

	snprintf(key, sizeof key, "%c%07u", kind, i);
	return slice_str(key);
}

static int
put_sized(struct cache *c, char kind, unsigned i, size_t len)
{
	return put_slice(c, key_of(kind, i), slice_of(bytes, len), CACHE_NEVER);
}

static bool
use(struct cache *c, char kind, unsigned i)
{
	struct cache_cursor cur;
	enum cache_result got = open_at(c, key_of(kind, i), CACHE_TOUCH, &cur);

	cache_close(&cur);
	return got == CACHE_HIT;
}

/* The counters against the entries themselves: each lies in its quota's queues. */
static void
ck_books(struct cache *c)
{
	uint64_t sums[CACHE_QUOTAS + 1] = { 0 }, count = 0;

	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];

		for (unsigned q = 0; q < SHARD_QUEUES; q++) {
			uint64_t here = 0;

			for (uint32_t ref = queue_oldest(sh, q); ref != 0;
			     ref = queue_newer(sh, q, ref)) {
				const struct entry *e = arena_at(&c->arena, ref);
				uint32_t word = entry_word(e);
				struct slice key = entry_key(c, e, word);
				unsigned quota = quota_of_key(sh, key, key_hash(c->seed, key));

				count++;
				here += entry_footprint(e, word);
				sums[quota] += entry_footprint(e, word);
				if (q != QUEUE_PROTECTED)
					ck_assert_uint_eq(quota, q < QUEUE_PROTECTED ? 0 :
					    (q - 1) / POLICY_QUEUES);
			}
			if (q > QUEUE_PROTECTED || sh->policy->by_bytes)
				ck_assert_uint_eq(here, sh->queue_bytes[q]);
		}
	}
	ck_assert_uint_eq(count, cache_count(c));
	for (unsigned q = 1; q <= CACHE_QUOTAS; q++)
		ck_assert_uint_eq(sums[q], bytes_of(c, q));
	never_over_budget(c);
}

START_TEST(a_quota_never_holds_more_than_its_maximum_and_refuses_nothing)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);
	unsigned short seed[3] = { 1, 2, 3 };

	set(c, 1, 0, MIB);
	for (unsigned i = 0; i < 30000; i++) {
		size_t len = (size_t)nrand48(seed) % (i % 40 == 0 ? 60000 : 700);

		ck_assert_int_eq(put_sized(c, 'a', i, len), 0);
		ck_assert_uint_le(bytes_of(c, 1), MIB);
		use(c, 'a', i - (unsigned)nrand48(seed) % 500);
	}
	ck_assert_uint_ge(bytes_of(c, 1), MIB - 70000);
	ck_assert_int_gt(counter_get(&fix_tally[0].over_max), 0);
	ck_assert_uint_lt(cache_count(c), 30000);
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(its_own_entries_go_and_no_others)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);

	set(c, 1, 0, MIB);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert_int_eq(put_sized(c, 'b', i, 400), 0);
		ck_assert_int_eq(put_sized(c, 'c', i, 400), 0);
	}
	for (unsigned i = 0; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(has_slice(c, key_of('b', i)) && has_slice(c, key_of('c', i)));
	end(c);
}
END_TEST

START_TEST(within_a_quota_lru_keeps_what_is_used)
{
	struct cache *c = cache_of(CACHE_LRU, 8 * MIB);

	set(c, 1, 0, MIB);
	for (unsigned i = 0; i < 20000; i++) {
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
		for (unsigned k = 0; i >= 50 && k < 50; k += 7)
			ck_assert(use(c, 'a', (i + k) % 50));
	}
	ck_assert(!has_slice(c, key_of('a', 60)) && has_slice(c, key_of('a', 19999)));
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(within_a_quota_scans_pass_by_the_other_policies)
{
	struct cache *c = cache_of(all[1 + _i], 8 * MIB);
	unsigned there = 0;

	set(c, 1, 0, MIB);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < 500; i++)
			if (!use(c, 'a', i))
				ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	for (unsigned i = 1000; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	for (unsigned i = 0; i < 500; i++)
		there += has_slice(c, key_of('a', i));
	ck_assert_uint_ge(there, 450);
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(below_its_minimum_nothing_goes_for_others)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);
	unsigned short seed[3] = { 1, 2, 3 };
	unsigned n = 0;

	set(c, 1, 3 * MIB, 0);
	while (bytes_of(c, 1) < 3 * MIB - 1000)
		ck_assert_int_eq(put_sized(c, 'a', n++, 400), 0);
	for (unsigned i = 0; i < 60000; i++) {
		size_t len = (size_t)nrand48(seed) % (i % 50 == 0 ? 60000 : 600);

		ck_assert_int_eq(put_sized(c, i % 2 ? 'c' : 'b', i, len), 0);
		if (i % 64 == 0)
			cache_tick(c, &fix_thread, 100);
	}
	for (unsigned i = 0; i < n; i++)
		ck_assert(has_slice(c, key_of('a', i)));
	ck_assert_uint_gt(cache_count(c), n + 500);
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(above_its_minimum_it_gives_room_down_to_that)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);

	set(c, 1, 2 * MIB, 0);
	for (unsigned i = 0; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	ck_assert_uint_gt(bytes_of(c, 1), 4 * MIB);
	for (unsigned i = 0; i < 100000; i++) {
		ck_assert_int_eq(put_sized(c, 'c', i, 400), 0);
		ck_assert_uint_ge(bytes_of(c, 1), 2 * MIB);
	}
	ck_assert_uint_le(bytes_of(c, 1), 5 * MIB / 2);
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(what_alone_is_larger_than_the_maximum_is_refused_and_the_old_value_stays)
{
	struct cache *c = cache_of(CACHE_LRU, 8 * MIB);
	struct cache_cursor cur;

	set(c, 1, 0, 100000);
	ck_assert_int_eq(put(c, "a1", "old", CACHE_NEVER), 0);
	ck_assert_int_eq(put_slice(c, SLICE("a1"), slice_of(bytes, 100000), CACHE_NEVER), -EDQUOT);
	ck_assert(holds(c, "a1", "old"));
	ck_assert_int_eq(counter_get(&fix_tally[0].refused), 1);
	ck_assert_int_eq(put_slice(c, SLICE("a1"), slice_of(bytes, 90000), CACHE_NEVER), 0);
	ck_assert_int_eq(put_slice(c, SLICE("a1"), slice_of(bytes, 94000), CACHE_NEVER), 0);
	/* A time to live is some bytes more. */
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 4000), 0);
	for (unsigned i = 0; i < 20; i++) {
		if (open_at(c, key_of('a', i), 0, &cur) == CACHE_HIT)
			ck_assert_int_eq(cache_set_expiry(&cur, fix_thread.now_ms + 1000), 0);
		cache_close(&cur);
		ck_assert_uint_le(bytes_of(c, 1), 100000);
	}
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(a_lower_maximum_is_reached_by_ticks_and_a_higher_one_used)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);

	set(c, 1, 0, 4 * MIB);
	for (unsigned i = 0; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	ck_assert_uint_gt(bytes_of(c, 1), 4 * MIB - 1000);
	set(c, 1, 0, MIB);
	ck_assert(cache_tick(c, &fix_thread, 1)); /* some of it, and more is waiting */
	ck_assert_uint_gt(bytes_of(c, 1), 2 * MIB);
	settle(c);
	ck_assert_uint_le(bytes_of(c, 1), MIB);
	set(c, 1, 0, CACHE_SHARE(25));
	for (unsigned i = 0; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
	ck_assert_uint_gt(bytes_of(c, 1), 2 * MIB - 1000);
	ck_assert_uint_le(bytes_of(c, 1), 2 * MIB);
	ck_assert_int_eq(cache_resize(c, 6 * MIB), 0); /* a share follows the budget */
	settle(c);
	ck_assert_uint_le(bytes_of(c, 1), 6 * MIB / 4);
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(another_map_counts_what_is_there_anew)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);
	uint64_t a, b;

	for (unsigned i = 0; i < 4000; i++) {
		ck_assert_int_eq(put_sized(c, 'a', i, 400), 0);
		ck_assert_int_eq(put_sized(c, 'b', i, 100), 0);
	}
	a = bytes_of(c, 1);
	b = bytes_of(c, 2);
	cache_remap(c, map_of(2, 1));
	cache_remap(c, map_of(3, 0)); /* the one before has not been seen by anybody */
	for (unsigned i = 0; i < 100; i++) {
		cache_tick(c, &fix_thread, 1);
		ck_books(c);
	}
	settle(c);
	ck_assert_uint_eq(bytes_of(c, 1), 0);
	ck_assert_uint_eq(bytes_of(c, 2), 0);
	ck_assert_uint_eq(bytes_of(c, 3), a);
	ck_assert_uint_ne(b, 0);
	ck_books(c);
	set(c, 3, 0, MIB / 2); /* now that they are there, they go */
	settle(c);
	ck_assert_uint_le(bytes_of(c, 3), MIB / 2);
	cache_remap(c, NULL);
	settle(c);
	ck_assert_uint_eq(bytes_of(c, 3), 0);
	ck_assert(!shard_is_mapped(&c->shards[0]));
	ck_books(c);
	end(c);
}
END_TEST

START_TEST(minimums_together_leave_half_of_the_budget)
{
	struct cache *c = cache_of(CACHE_LRU, 8 * MIB);
	struct cache_quota_stats st;

	set(c, 1, 6 * MIB, 0);
	set(c, 2, CACHE_SHARE(25), 0);
	cache_quota_stats(c, 1, &st);
	ck_assert_uint_le(st.min_bytes, 3 * MIB);
	ck_assert_uint_ge(st.min_bytes, 3 * MIB - 1000);
	for (unsigned i = 0; i < 60000; i++)
		ck_assert_int_eq(put_sized(c, "abc"[i % 3], i, i % 900), 0);
	ck_books(c);
	end(c);
}
END_TEST

static void
one_of_anything(struct cache *c, unsigned short *seed, unsigned i)
{
	struct slice key = key_of("abcd"[nrand48(seed) % 4], (unsigned)nrand48(seed) % 3000);
	size_t len = (size_t)nrand48(seed) % (i % 64 == 0 ? 80000 : 700);
	struct cache_cursor cur;

	switch (nrand48(seed) % 8) {
	case 0:
		open_at(c, key, 0, &cur);
		cache_remove(&cur);
		cache_close(&cur);
		break;
	case 1:
	case 2:
		open_at(c, key, CACHE_TOUCH, &cur);
		cache_close(&cur);
		break;
	case 3:
		open_at(c, key, 0, &cur);
		ck_assert_int_eq(cache_set_expiry(&cur, fix_thread.now_ms + 30), 0);
		cache_close(&cur);
		break;
	default:
		ck_assert_int_eq(put_slice(c, key, slice_of(bytes, len),
		    nrand48(seed) % 4 == 0 ? fix_thread.now_ms + 50 : CACHE_NEVER), 0);
	}
}

START_TEST(books_are_right_and_maximums_hold_after_any_mix_of_operations)
{
	struct cache *c = cache_of(all[_i], 6 * MIB);
	unsigned short seed[3] = { 1, 2, (unsigned short)_i };
	uint64_t max = MIB;

	set(c, 2, 2 * MIB, 0);
	set(c, 1, 0, max);
	for (unsigned i = 0; i < 50000; i++) {
		one_of_anything(c, seed, i);
		ck_assert_uint_le(bytes_of(c, 1), max);
		if (i % 1000 == 0)
			fix_thread.now_ms += 20;
		if (i % 100 == 0)
			cache_tick(c, &fix_thread, 100);
		if (i % 9000 == 8999) {
			max = MIB / 2 + (uint64_t)nrand48(seed) % MIB;
			set(c, 1, 0, max);
			cache_remap(c, i % 2000 > 1000 ? map_of(1, 2) : map_of(2, 1));
			settle(c);
		}
		if (i % 500 == 0)
			ck_books(c);
		if (i % 23000 == 22999)
			cache_flush(c, &fix_thread);
	}
	ck_books(c);
	cache_flush(c, &fix_thread);
	ck_assert_uint_eq(bytes_of(c, 1) + bytes_of(c, 2), 0);
	settle(c);
	ck_books(c);
	end(c);
}
END_TEST

/* --- threads: two write to quotas, one does the background work and changes maps --------- */

#define THREADS 3
#ifdef SANITIZED /* ten times as slow */
#define WRITES 4000
#else
#define WRITES 12000
#endif
static _Atomic(bool) stop;

struct party {
	struct cache *c;
	struct cache_thread t;
	struct cache_tally tally[CACHE_CLASSES];
	unsigned n;
};

static void *
write_much(void *arg)
{
	struct party *p = arg;
	unsigned short seed[3] = { 1, 2, (unsigned short)p->n };

	for (unsigned i = 0; i < WRITES; i++) {
		struct cache_cursor cur;
		char mem[32];
		struct slice key, value = slice_of(bytes, (size_t)nrand48(seed) % 3000);

		snprintf(mem, sizeof mem, "%c%u", "abc"[nrand48(seed) % 3],
		    (unsigned)nrand48(seed) % 5000);
		key = slice_str(mem);
		cache_open(p->c, &p->t, key, cache_hash(p->c, key), CACHE_TOUCH, &cur);
		if (nrand48(seed) % 4 != 0)
			ck_assert_int_eq(cache_put(&cur, &value, 1, CACHE_NEVER), 0);
		cache_close(&cur);
		ck_assert_uint_le(bytes_of(p->c, 1), MIB);
	}
	return NULL;
}

static void *
work_along(void *arg)
{
	struct party *p = arg;

	for (unsigned i = 0; !atomic_load(&stop); i++) {
		cache_tick(p->c, &p->t, 200);
		if (i % 64 == 0)
			cache_remap(p->c, map_of(1, i % 128 == 0 ? 2 : 3));
	}
	return NULL;
}

START_TEST(a_maximum_holds_whoever_writes_at_the_same_time)
{
	struct cache *c = cache_of(all[_i], 8 * MIB);
	static struct party parties[THREADS];
	pthread_t threads[THREADS];

	set(c, 1, 0, MIB);
	set(c, 2, MIB, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		parties[i].c = c;
		parties[i].n = i;
		parties[i].t = (struct cache_thread){ .now_ms = 1000, .tally = parties[i].tally };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, i == 0 ? work_along : write_much,
		    &parties[i]), 0);
	}
	for (unsigned i = THREADS; i-- > 0;) {
		if (i == 0)
			atomic_store(&stop, true);
		pthread_join(threads[i], NULL);
	}
	settle(c);
	ck_books(c);
	end(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("quota");
	TCase *t = tcase_create("policies"), *scans = tcase_create("scans");
	int n = (int)ARRAY_LEN(all);

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_quota_never_holds_more_than_its_maximum_and_refuses_nothing, 0, n);
	tcase_add_loop_test(t, its_own_entries_go_and_no_others, 0, n);
	tcase_add_loop_test(t, below_its_minimum_nothing_goes_for_others, 0, n);
	tcase_add_loop_test(t, above_its_minimum_it_gives_room_down_to_that, 0, n);
	tcase_add_loop_test(t, a_lower_maximum_is_reached_by_ticks_and_a_higher_one_used, 0, n);
	tcase_add_loop_test(t, another_map_counts_what_is_there_anew, 0, n);
	tcase_add_loop_test(t, books_are_right_and_maximums_hold_after_any_mix_of_operations, 0, n);
	tcase_add_loop_test(t, a_maximum_holds_whoever_writes_at_the_same_time, 0, n);
	suite_add_tcase(s, t);
	tcase_add_loop_test(scans, within_a_quota_scans_pass_by_the_other_policies, 0, n - 1);
	suite_add_tcase(s, scans);
	SUITE_ADD(s, "one", within_a_quota_lru_keeps_what_is_used,
	    what_alone_is_larger_than_the_maximum_is_refused_and_the_old_value_stays,
	    minimums_together_leave_half_of_the_budget);
	return suite_main(s);
}
