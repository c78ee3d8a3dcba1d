/* Protected entries: keys that begin with "p" here. Nothing but a removal, their
 * expiry or a flush takes them away, and they take no more than their share. */
#include "config.h"

#include "unit/cache/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static const enum cache_policy all[] = { CACHE_LRU, CACHE_S3FIFO, CACHE_TINYLFU };
/* What begins with it is of class 1, protected; tests change it. */
static char protected_mark = 'p';

static struct cache_class
classify(void *arg, struct slice key)
{
	(void)arg;
	return (struct cache_class){
		.tally = key.len > 0 && key.ptr[0] == protected_mark ? 1 | CACHE_PROTECTED : 0
	};
}

static struct cache *
cache_of(enum cache_policy policy, uint64_t protected_bytes)
{
	return cache_with((struct cache_opts){ .policy = policy, .shards = 4,
		.classify = classify, .protected_bytes = protected_bytes });
}

static struct slice
key_of(const char *kind, unsigned i)
{
	static char key[32];

	snprintf(key, sizeof key, "%s%08u", kind, i);
	return slice_str(key);
}

static const char bytes[300000];

static int
put_sized(struct cache *c, const char *kind, unsigned i, size_t len)
{
	return put_slice(c, key_of(kind, i), slice_of(bytes, len), CACHE_NEVER);
}

static unsigned
count_kind(struct cache *c, const char *kind, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++)
		found += has_slice(c, key_of(kind, i));
	return found;
}

static void
use(struct cache *c, const char *kind, unsigned i)
{
	struct cache_cursor cur;

	open_at(c, key_of(kind, i), CACHE_TOUCH, &cur);
	cache_close(&cur);
}

static struct cache_stats
stats(const struct cache *c)
{
	struct cache_stats s;

	cache_stats(c, &s);
	return s;
}

/* The counters against the entries themselves, wherever they are linked. */
static void
ck_books(struct cache *c)
{
	uint64_t n = 0, sum = 0, count = 0;

	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];

		for (unsigned q = 0; q < SHARD_QUEUES; q++) {
			for (uint32_t ref = queue_oldest(sh, q); ref != 0;
			     ref = queue_newer(sh, q, ref)) {
				const struct entry *e = arena_at(&c->arena, ref);
				uint32_t word = entry_word(e);

				count++;
				if (!word_is_protected(word))
					continue;
				n++;
				sum += entry_footprint(e, word);
			}
		}
	}
	ck_assert_uint_eq(count, cache_count(c));
	ck_assert_uint_eq(n, stats(c).protected_entries);
	ck_assert_uint_eq(sum, stats(c).protected_bytes);
	never_over_budget(c);
}

START_TEST(protected_entries_outlast_any_amount_of_cache_data)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 0);
		unsigned short seed[3] = { 1, 2, 3 };

		for (unsigned i = 0; i < 2000; i++)
			ck_assert_int_eq(put_sized(c, "p", i, i % 500), 0);
		for (unsigned i = 0; i < 60000; i++) {
			size_t len = (size_t)nrand48(seed) % (i % 50 == 0 ? 60000 : 600);

			ck_assert_int_eq(put_sized(c, "c", i, len), 0);
			use(c, "p", (unsigned)nrand48(seed) % 3000);
			use(c, "c", i - (unsigned)nrand48(seed) % 3000);
			if (i % 64 == 0)
				cache_tick(c, &fix_thread, 100);
		}
		ck_assert_uint_eq(count_kind(c, "p", 2000), 2000);
		ck_assert_uint_gt(stats(c).evicted, 10000);
		ck_assert_int_eq(counter_get(&fix_tally[1].evicted), 0);
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

/* Fills until it is refused; how many went in. */
static unsigned
fill_protected(struct cache *c, size_t len)
{
	unsigned i = 0;
	int rc;

	while ((rc = put_sized(c, "p", i, len)) == 0)
		i++;
	ck_assert_int_eq(rc, -EDQUOT);
	return i;
}

START_TEST(beyond_their_limit_new_ones_are_refused_and_none_is_lost)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 1 * MIB);
		int64_t refused = counter_get(&fix_tally[1].refused);
		unsigned n = fill_protected(c, 100);

		ck_assert_uint_gt(n, MIB / 160);
		ck_assert_uint_le(stats(c).protected_bytes, MIB);
		ck_assert_uint_eq(stats(c).protected_limit, MIB);
		ck_assert_int_eq(counter_get(&fix_tally[1].refused), refused + 1);
		ck_assert_int_eq(put_sized(c, "p", 3, 9000), -EDQUOT);
		ck_assert_int_eq(put_sized(c, "p", 4, 100), 0); /* no larger than before */
		ck_assert_int_eq(put_sized(c, "p", 5, 20), 0);
		ck_assert_int_eq(put_sized(c, "c", 1, 100000), 0);
		ck_assert_uint_eq(count_kind(c, "p", n), n);
		ck_assert(remove_key(c, "p00000007"));
		ck_assert_int_eq(put_sized(c, "p", n, 100), 0);
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

START_TEST(an_expiry_is_not_refused_at_the_limit)
{
	struct cache *c = cache_of(CACHE_LRU, 1 * MIB);
	struct cache_cursor cur;

	fill_protected(c, 100);
	ck_assert_int_eq(open_at(c, key_of("p", 0), 0, &cur), CACHE_HIT);
	ck_assert_int_eq(cache_set_expiry(&cur, fix_thread.now_ms + 1000), 0);
	cache_close(&cur);
	ck_books(c);
	cache_free(c);
}
END_TEST

/* For each policy and size. */
#define BESIDE_LENS 4
START_TEST(cache_goes_on_working_beside_as_many_as_may_be)
{
	static const size_t lens[BESIDE_LENS] = { 40, 700, 15000, 70000 };
	struct cache *c = cache_of(all[(unsigned)_i % ARRAY_LEN(all)], 100 * MIB);
	size_t len = lens[(unsigned)_i / ARRAY_LEN(all)];
	unsigned short seed[3] = { 1, 2, 3 };
	unsigned n, stays = 0;

	ck_assert_uint_eq(stats(c).protected_limit, CACHE_BUDGET_MIN / 2);
	n = fill_protected(c, len);
	for (unsigned i = 0; i < 30000; i++) {
		size_t most = i % 100 == 0 ? 60000 : 1000;

		ck_assert_int_eq(put_sized(c, "c", i, (size_t)nrand48(seed) % most), 0);
		stays += has_slice(c, key_of("c", i));
		if (i % 8 == 0)
			ck_assert_int_eq(put_sized(c, "p", (unsigned)nrand48(seed) % n,
			    len - (size_t)nrand48(seed) % 40), 0);
		/* As much as there is to do: how fast this machine is does not matter. */
		if (i % 64 == 0)
			cache_tick(c, &fix_thread, 100000);
	}
	/* W-TinyLFU may decide that a new entry is the one to go. */
	ck_assert_uint_ge(stays, 29900);
	ck_assert_uint_ge(cache_count(c) - n, 1000);
	ck_assert_uint_eq(count_kind(c, "p", n), n);
	ck_books(c);
	cache_free(c);
}
END_TEST

/* Under LRU they all lie where eviction looks first, and are put back as it meets
 * them: that is no reason to find no room. */
START_TEST(many_that_were_just_used_do_not_hide_what_can_be_evicted)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB,
			.shards = 1, .policy = all[p], .classify = classify,
			.protected_bytes = 100 * MIB });
		unsigned n;

		for (unsigned i = 0; i < 40000; i++)
			ck_assert_int_eq(put_sized(c, "c", i, 400), 0);
		n = fill_protected(c, 10);
		ck_assert_uint_gt(n, 100000);
		for (unsigned round = 0; round < 3; round++) {
			for (unsigned i = 0; i < n; i++)
				use(c, "p", i);
			for (unsigned i = 0; i < 800; i++)
				ck_assert_int_eq(put_sized(c, "c", i, 3000), 0);
		}
		ck_assert_uint_eq(stats(c).protected_entries, n);
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

/* The header of a value that is replaced may be all that lives in its segment, which can
 * then not be emptied; there is room to be made elsewhere. */
START_TEST(large_values_are_replaced_however_little_is_free)
{
	for (unsigned round = 0; round < 24; round++) {
		struct cache *c = cache_of(all[round % ARRAY_LEN(all)], 100 * MIB);
		unsigned short seed[3] = { 1, 2, (unsigned short)round };
		unsigned n = fill_protected(c, 70000);

		for (unsigned i = 0; i < 12000; i++) {
			size_t len = (size_t)nrand48(seed) % (i % 100 == 0 ? 60000 : 1000);

			ck_assert_int_eq(put_sized(c, "c", i, len), 0);
			if (i % 8 == 0)
				ck_assert_int_eq(put_sized(c, "p", (unsigned)nrand48(seed) % n,
				    70000 - (size_t)nrand48(seed) % 40), 0);
		}
		cache_free(c);
	}
}
END_TEST

START_TEST(books_are_right_after_any_mix_of_operations)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 2 * MIB);
		unsigned short seed[3] = { 1, 2, (unsigned short)p };

		for (unsigned i = 0; i < 60000; i++) {
			struct slice key = key_of(nrand48(seed) % 3 ? "c" : "p",
			    (unsigned)nrand48(seed) % 3000);
			size_t len = (size_t)nrand48(seed) % (i % 64 == 0 ? 80000 : 700);
			struct cache_cursor cur;
			int rc;

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
				rc = put_slice(c, key, slice_of(bytes, len),
				    nrand48(seed) % 4 == 0 ? fix_thread.now_ms + 50 : CACHE_NEVER);
				if (rc != 0)
					ck_assert_int_eq(rc, -EDQUOT);
			}
			if (i % 1000 == 0)
				fix_thread.now_ms += 20;
			if (i % 100 == 0)
				cache_tick(c, &fix_thread, 100);
			if (i % 7000 == 0) {
				protected_mark = protected_mark == 'p' ? 'c' : 'p';
				cache_reclassify(c);
			}
			if (i % 500 == 0)
				ck_books(c);
			if (i % 23000 == 22999)
				cache_flush(c, &fix_thread);
		}
		ck_books(c);
		cache_flush(c, &fix_thread);
		ck_assert_uint_eq(stats(c).protected_bytes, 0);
		ck_assert_uint_eq(stats(c).protected_entries, 0);
		settle(c);
		/* Of both, for keys changed their class meanwhile. */
		ck_assert_int_eq(counter_get(&fix_tally[0].entries) +
		    counter_get(&fix_tally[1].entries), 0);
		ck_books(c);
		cache_free(c);
		protected_mark = 'p';
	}
}
END_TEST

START_TEST(expired_protected_entry_gives_its_bytes_back_unread)
{
	struct cache *c = cache_of(CACHE_LRU, 0);

	ck_assert_int_eq(put(c, "p1", "token", fix_thread.now_ms + 100), 0);
	ck_assert_uint_gt(stats(c).protected_bytes, 0);
	fix_thread.now_ms += 1000;
	settle(c);
	ck_assert_uint_eq(stats(c).protected_bytes, 0);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(large_value_is_protected_too)
{
	struct cache *c = cache_of(CACHE_S3FIFO, 0);

	ck_assert_int_eq(put_sized(c, "p", 1, 200000), 0);
	ck_assert_uint_gt(stats(c).protected_bytes, 200000);
	for (unsigned i = 0; i < 200; i++)
		ck_assert_int_eq(put_sized(c, "c", i, 250000), 0);
	ck_assert(has(c, "p00000001"));
	ck_books(c);
	cache_free(c);
}
END_TEST

START_TEST(class_that_becomes_protected_loses_nothing_from_then_on)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 0);

		protected_mark = '-';
		for (unsigned i = 0; i < 1000; i++)
			ck_assert_int_eq(put_sized(c, "p", i, 100), 0);
		ck_assert_uint_eq(stats(c).protected_entries, 0);
		protected_mark = 'p';
		cache_reclassify(c);
		settle(c);
		for (unsigned i = 0; i < 40000; i++)
			ck_assert_int_eq(put_sized(c, "c", i, 400), 0);
		ck_assert_uint_eq(count_kind(c, "p", 1000), 1000);
		ck_assert_int_eq(put_sized(c, "p", 0, 100), 0);
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

/* Used or not: those that were used lie in the policy's queue, under LRU. */
START_TEST(class_that_is_no_longer_protected_makes_room_for_others)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 0);

		for (unsigned i = 0; i < 1000; i++)
			ck_assert_int_eq(put_sized(c, "p", i, 100), 0);
		for (unsigned i = 0; i < 1000; i += 2)
			use(c, "p", i);
		protected_mark = '-';
		cache_reclassify(c);
		settle(c);
		for (unsigned i = 0; i < 40000; i++)
			ck_assert_int_eq(put_sized(c, "c", i, 400), 0);
		ck_assert_uint_eq(count_kind(c, "p", 1000), 0);
		ck_assert_uint_eq(stats(c).protected_bytes, 0);
		ck_books(c);
		cache_free(c);
		protected_mark = 'p';
	}
}
END_TEST

START_TEST(smaller_budget_evicts_the_others_and_refuses_new_ones)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 16 * MIB, .shards = 4,
		.classify = classify });
	unsigned n = fill_protected(c, 1000);

	for (unsigned i = 0; i < 20000; i++)
		ck_assert_int_eq(put_sized(c, "c", i, 400), 0);
	ck_assert_int_eq(cache_resize(c, 6 * MIB), 0);
	settle(c);
	never_over_budget(c);
	ck_assert_uint_eq(count_kind(c, "p", n), n);
	ck_assert_int_eq(put_sized(c, "p", n, 10), -EDQUOT);
	ck_assert_int_eq(put_sized(c, "c", 1, 10), 0);
	ck_books(c);
	cache_free(c);
}
END_TEST

/* --- threads: one fills the cache, one writes and uses protected entries, one does the
 * background work and lets classes be looked at again --------------------------- */

#define OWN_KEYS 500u

struct worker {
	struct cache *c;
	struct cache_tally tally[CACHE_CLASSES];
	struct cache_thread thread;
	atomic_bool *stop;
	unsigned lost; /* or not written: Check's macros are not for threads */
};

static struct cache_cursor
open_own(struct worker *w, struct slice key, enum cache_result *found)
{
	struct cache_cursor cur;

	*found = cache_open(w->c, &w->thread, key, cache_hash(w->c, key), CACHE_TOUCH, &cur);
	return cur;
}

static void
put_own(struct worker *w, struct slice key, size_t len)
{
	struct slice value = slice_of(bytes, len);
	enum cache_result found;
	struct cache_cursor cur = open_own(w, key, &found);

	w->lost += cache_put(&cur, &value, 1, CACHE_NEVER) != 0;
	cache_close(&cur);
}

static void *
fill_with_others(void *arg)
{
	struct worker *w = arg;
	char key[32];

	for (unsigned i = 0; i < 30000; i++) {
		snprintf(key, sizeof key, "c%u", i);
		put_own(w, slice_str(key), i * 37 % 900);
	}
	atomic_store(w->stop, true);
	return NULL;
}

static void *
keep_own(void *arg)
{
	struct worker *w = arg;
	unsigned short seed[3] = { 1, 2, 3 };
	char key[32];

	for (unsigned i = 0; i < OWN_KEYS || !atomic_load(w->stop); i++) {
		unsigned n = i < OWN_KEYS ? i : (unsigned)nrand48(seed) % OWN_KEYS;
		enum cache_result found;
		struct cache_cursor cur;

		snprintf(key, sizeof key, "p%u", n);
		if (i < OWN_KEYS || i % 3 == 0) {
			put_own(w, slice_str(key), i % 200);
			continue;
		}
		cur = open_own(w, slice_str(key), &found);
		cache_close(&cur);
		w->lost += found != CACHE_HIT;
	}
	return NULL;
}

static void *
work_behind(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(w->stop)) {
		cache_reclassify(w->c);
		cache_tick(w->c, &w->thread, 200);
	}
	return NULL;
}

START_TEST(threads_lose_no_protected_entry)
{
	static struct worker workers[3];
	void *(*const runs[])(void *) = { fill_with_others, keep_own, work_behind };

	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p], 0);
		atomic_bool stop = false;
		pthread_t threads[3];

		memset(workers, 0, sizeof workers);
		for (int i = 0; i < 3; i++) {
			workers[i].c = c;
			workers[i].thread = (struct cache_thread){ .now_ms = 1000,
				.tally = workers[i].tally };
			workers[i].stop = &stop;
			ck_assert_int_eq(pthread_create(&threads[i], NULL, runs[i], &workers[i]), 0);
		}
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(workers[0].lost + workers[1].lost, 0);
		ck_assert_uint_eq(stats(c).protected_entries, OWN_KEYS);
		ck_assert_uint_gt(stats(c).evicted, 0);
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("protect");
	TCase *beside = tcase_create("beside");

	SUITE_ADD(s, "protect", protected_entries_outlast_any_amount_of_cache_data,
	    beyond_their_limit_new_ones_are_refused_and_none_is_lost,
	    an_expiry_is_not_refused_at_the_limit,
	    many_that_were_just_used_do_not_hide_what_can_be_evicted,
	    large_values_are_replaced_however_little_is_free,
	    books_are_right_after_any_mix_of_operations,
	    expired_protected_entry_gives_its_bytes_back_unread, large_value_is_protected_too,
	    class_that_becomes_protected_loses_nothing_from_then_on,
	    class_that_is_no_longer_protected_makes_room_for_others,
	    smaller_budget_evicts_the_others_and_refuses_new_ones,
	    threads_lose_no_protected_entry);
	tcase_set_timeout(beside, 60);
	tcase_add_loop_test(beside, cache_goes_on_working_beside_as_many_as_may_be, 0,
	    BESIDE_LENS * (int)ARRAY_LEN(all));
	suite_add_tcase(s, beside);
	return suite_main(s);
}
