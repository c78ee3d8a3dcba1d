/* What the policies promise: what is asked for often stays while a scan passes
 * by, nothing is lost from their books, and the budget holds. */
#include "config.h"

#include "unit/cache/fixture.h"

static struct cache *
cache_of(enum cache_policy policy)
{
	return cache_with((struct cache_opts){ .policy = policy, .shards = 4 });
}

static void
key_of(const char *kind, unsigned i, char out[32])
{
	snprintf(out, 32, "%s%08u", kind, i);
}

static void
put_sized(struct cache *c, const char *kind, unsigned i, size_t len)
{
	static const char value[8000];
	char key[32];

	key_of(kind, i, key);
	ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, len), CACHE_NEVER), 0);
}

static void
put_key(struct cache *c, const char *kind, unsigned i)
{
	put_sized(c, kind, i, 400);
}

static bool
find_key(struct cache *c, const char *kind, unsigned i, unsigned flags)
{
	struct cache_cursor cur;
	char key[32];
	bool hit;

	key_of(kind, i, key);
	hit = open_at(c, slice_str(key), flags, &cur) == CACHE_HIT;
	cache_close(&cur);
	return hit;
}

static bool
get_key(struct cache *c, const char *kind, unsigned i)
{
	return find_key(c, kind, i, CACHE_TOUCH);
}

/* A thousand hot keys, used in turn, and twelve times as many that come only
 * once between them: what share of the uses of hot keys hit, in the end. */
static unsigned
hit_percent_in_a_scan(enum cache_policy policy)
{
	struct cache *c = cache_of(policy);
	unsigned hot = 1000, cold = 0, hits = 0;

	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < hot; i++) {
			if (get_key(c, "hot", i))
				hits += round >= 8;
			else
				put_key(c, "hot", i);
			for (int k = 0; round >= 4 && k < 12; k++)
				put_key(c, "cold", cold++);
		}
	}
	cache_free(c);
	return hits * 100 / (4 * hot);
}

START_TEST(scan_washes_hot_keys_out_of_lru_but_not_out_of_the_others)
{
	ck_assert_uint_lt(hit_percent_in_a_scan(CACHE_LRU), 10);
	ck_assert_uint_gt(hit_percent_in_a_scan(CACHE_S3FIFO), 90);
	ck_assert_uint_gt(hit_percent_in_a_scan(CACHE_TINYLFU), 90);
}
END_TEST

/* A full cache of entries that nobody asks for. */
static struct cache *
full_cache_of(enum cache_policy policy)
{
	struct cache *c = cache_of(policy);

	for (unsigned i = 0; i < 30000; i++)
		put_key(c, "filler", i);
	return c;
}

START_TEST(one_use_while_it_is_new_keeps_an_entry_in_s3fifo)
{
	struct cache *c = full_cache_of(CACHE_S3FIFO);
	uint64_t twice = cache_count(c) * 2;
	unsigned used = 0, unused = 0;

	for (unsigned i = 0; i < 20; i++) {
		put_key(c, "used", i);
		put_key(c, "unused", i);
		ck_assert(get_key(c, "used", i));
	}
	for (unsigned i = 0; i < twice; i++)
		put_key(c, "cold", i);
	for (unsigned i = 0; i < 20; i++) {
		used += get_key(c, "used", i);
		unused += get_key(c, "unused", i);
	}
	ck_assert_uint_eq(used, 20);
	ck_assert_uint_eq(unused, 0);
	cache_free(c);
}
END_TEST

/* Of a hundred keys that left, and then so many others as are there times a
 * number of tenths, how many are known when they come back: they are let into
 * the main queue at once. */
static unsigned
known_after(size_t len, unsigned tenths)
{
	struct cache *c = cache_of(CACHE_S3FIFO);
	struct cache_cursor cur;
	unsigned known = 0, others = 0, until;
	char key[32];

	for (unsigned i = 0; i < 8 * MIB / len; i++)
		put_sized(c, "filler", i, len);
	for (unsigned i = 0; i < 100; i++)
		put_sized(c, "k", i, len);
	while (find_key(c, "k", 99, 0))
		put_sized(c, "other", others++, len);
	until = others + (unsigned)cache_count(c) * tenths / 10;
	while (others < until)
		put_sized(c, "other", others++, len);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert(!get_key(c, "k", i));
		put_sized(c, "k", i, len);
		key_of("k", i, key);
		open_at(c, slice_str(key), 0, &cur);
		known += word_policy(entry_word(arena_at(&c->arena, cur.ref))) >= 4;
		cache_close(&cur);
	}
	cache_free(c);
	return known;
}

START_TEST(the_ghost_knows_what_left_lately_whatever_the_size_of_entries)
{
	static const size_t lens[] = { 400, 1000, 8000 };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		ck_assert_uint_ge(known_after(lens[i], 3), 60);
		ck_assert_uint_le(known_after(lens[i], 40), 15);
	}
}
END_TEST

/* In the last rounds, of keys that take most of the cache. */
static unsigned
hit_percent_of_round(struct cache *c, const char *kind, unsigned keys, unsigned rounds)
{
	unsigned hits = 0;

	for (unsigned round = 0; round < rounds; round++) {
		hits = 0;
		for (unsigned i = 0; i < keys; i++) {
			if (get_key(c, kind, i))
				hits++;
			else
				put_key(c, kind, i);
		}
	}
	return hits * 100 / keys;
}

START_TEST(what_was_asked_for_often_once_makes_way_for_what_is_asked_for_now)
{
	static const enum cache_policy those[] = { CACHE_S3FIFO, CACHE_TINYLFU };

	for (size_t p = 0; p < ARRAY_LEN(those); p++) {
		struct cache *c = full_cache_of(those[p]);
		unsigned most = (unsigned)cache_count(c) * 7 / 10;

		ck_assert_uint_gt(hit_percent_of_round(c, "then", most, 30), 95);
		ck_assert_uint_gt(hit_percent_of_round(c, "now", most, 60), 95);
		cache_free(c);
	}
}
END_TEST

static const enum cache_policy all[] = { CACHE_LRU, CACHE_S3FIFO, CACHE_TINYLFU };

/* Bytes of the shards' queues against what the entries sum up to. */
static void
ck_books(struct cache *c)
{
	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];
		uint64_t bytes = 0, found = 0, count = 0;

		for (unsigned q = 0; q < SHARD_QUEUES; q++) {
			bytes += sh->queue_bytes[q];
			for (uint32_t ref = queue_oldest(sh, q); ref != 0;
			     ref = queue_newer(sh, q, ref)) {
				const struct entry *e = arena_at(&c->arena, ref);

				found += entry_footprint(e, entry_word(e));
				count++;
			}
		}
		ck_assert_uint_eq(count, shard_get(&sh->count));
		if (sh->policy->by_bytes)
			ck_assert_uint_eq(bytes, found);
	}
}

START_TEST(books_are_right_after_any_mix_of_operations)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p]);
		unsigned short seed[3] = { 1, 2, (unsigned short)p };
		static char value[9000];

		for (unsigned i = 0; i < 60000; i++) {
			size_t len = (size_t)nrand48(seed) % (i % 64 == 0 ? sizeof value : 700);
			struct cache_cursor cur;
			char key[32];

			key_of("k", (unsigned)nrand48(seed) % 6000, key);
			switch (nrand48(seed) % 8) {
			case 0:
				open_at(c, slice_str(key), 0, &cur);
				cache_remove(&cur);
				cache_close(&cur);
				break;
			case 1:
			case 2:
			case 3:
				open_at(c, slice_str(key), CACHE_TOUCH, &cur);
				cache_close(&cur);
				break;
			default:
				ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, len),
				    nrand48(seed) % 4 == 0 ? fix_thread.now_ms + 50 : CACHE_NEVER), 0);
			}
			if (i % 1000 == 0)
				fix_thread.now_ms += 20;
			if (i % 100 == 0)
				cache_tick(c, &fix_thread, 100);
		}
		ck_books(c);
		cache_flush(c, &fix_thread);
		while (cache_tick(c, &fix_thread, 1000))
			;
		put_key(c, "after", 1);
		ck_assert(get_key(c, "after", 1));
		ck_books(c);
		cache_free(c);
	}
}
END_TEST

START_TEST(memory_of_a_policy_counts_against_the_budget)
{
	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache *c = cache_of(all[p]);
		struct cache_stats st;

		for (unsigned i = 0; i < 30000; i++)
			put_key(c, "k", i);
		cache_stats(c, &st);
		ck_assert_uint_le(st.used_bytes, st.budget_bytes);
		ck_assert_uint_ge(st.user_bytes, st.budget_bytes / 10 * 6);
		cache_free(c);
	}
}
END_TEST

static int
uses_of(struct cache *c, const char *key)
{
	struct cache_cursor cur;
	int n = -2;

	if (open_at(c, slice_str(key), 0, &cur) == CACHE_HIT)
		n = cache_frequency(&cur);
	cache_close(&cur);
	return n;
}

START_TEST(how_often_an_entry_was_used_is_known_where_it_is_counted)
{
	static const int after_nine[] = {
		[CACHE_LRU] = -1, [CACHE_S3FIFO] = 2, [CACHE_TINYLFU] = 10,
	};

	for (unsigned p = 0; p < ARRAY_LEN(after_nine); p++) {
		struct cache *c = cache_with((struct cache_opts){ .policy = (enum cache_policy)p });

		ck_assert_int_eq(put(c, "hot", "v", CACHE_NEVER), 0);
		ck_assert_int_eq(put(c, "cold", "v", CACHE_NEVER), 0);
		for (int i = 0; i < 9; i++)
			ck_assert(holds(c, "hot", "v"));
		ck_assert_int_eq(uses_of(c, "hot"), after_nine[p]);
		ck_assert_int_eq(uses_of(c, "hot"), after_nine[p]); /* a look is no use */
		ck_assert_int_lt(uses_of(c, "cold"), 2);
		cache_free(c);
	}
}
END_TEST

START_TEST(policy_that_does_not_exist_is_refused)
{
	struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN, .policy = (enum cache_policy)9 };
	struct cache *c = NULL;

	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	ck_assert_ptr_null(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("policy");

	SUITE_ADD(s, "policy", scan_washes_hot_keys_out_of_lru_but_not_out_of_the_others,
	    one_use_while_it_is_new_keeps_an_entry_in_s3fifo,
	    the_ghost_knows_what_left_lately_whatever_the_size_of_entries,
	    what_was_asked_for_often_once_makes_way_for_what_is_asked_for_now,
	    books_are_right_after_any_mix_of_operations,
	    memory_of_a_policy_counts_against_the_budget, policy_that_does_not_exist_is_refused,
	    how_often_an_entry_was_used_is_known_where_it_is_counted);
	return suite_main(s);
}
