/* Entries out of one cache and into another. */
#include "config.h"

#include "unit/cache/fixture.h"

#include "cache/dump.h"

#define KEYS 3000

struct met {
	unsigned times[KEYS];
	unsigned n, refuse;
	unsigned order[4 * KEYS];
};

static unsigned
id_of(struct slice key)
{
	char text[16] = { 0 };

	memcpy(text, key.ptr, MIN(key.len, 15u));
	return (unsigned)strtoul(text, NULL, 10);
}

static bool
note(void *arg, const struct cache_dumped *d)
{
	struct met *m = arg;

	if (m->refuse > 0 && --m->refuse % 3 == 0)
		return false;
	ck_assert_uint_lt(id_of(d->key), KEYS);
	m->times[id_of(d->key)]++;
	m->order[m->n++ % ARRAY_LEN(m->order)] = id_of(d->key);
	return true;
}

static void
put_id(struct cache *c, unsigned i, int64_t expires_ms)
{
	char key[16];

	snprintf(key, sizeof key, "%u", i);
	ck_assert_int_eq(put(c, key, "some value", expires_ms), 0);
}

static bool
use_id(struct cache *c, unsigned i)
{
	char key[16];

	snprintf(key, sizeof key, "%u", i);
	return holds(c, key, "some value");
}

static struct cache *
filled(struct cache_opts o)
{
	struct cache *c;

	o.budget_bytes = 8 * MIB;
	c = cache_with(o);
	for (unsigned i = 0; i < KEYS; i++)
		put_id(c, i, CACHE_NEVER);
	return c;
}

static void
dump_all(struct cache *c, struct met *m)
{
	struct cache_dump d;

	cache_dump_begin(c, &d);
	while (cache_dump_step(&d, fix_thread.now_ms, note, m))
		;
	cache_dump_end(&d);
}

static void
each_once(const struct met *m, unsigned from)
{
	for (unsigned i = from; i < KEYS; i++)
		ck_assert_msg(m->times[i] == 1, "%u was met %u times", i, m->times[i]);
}

START_TEST(each_entry_is_met_once_by_any_policy)
{
	for (int policy = CACHE_LRU; policy <= CACHE_TINYLFU; policy++) {
		struct cache *c = filled((struct cache_opts){ .policy = policy, .shards = 8 });
		static struct met m;

		m = (struct met){ .n = 0 };
		dump_all(c, &m);
		each_once(&m, 0);
		cache_free(c);
	}
}
END_TEST

START_TEST(who_has_no_room_gets_the_same_entry_again)
{
	struct cache *c = filled((struct cache_opts){ .shards = 4 });
	static struct met m = { .refuse = 2000 };

	dump_all(c, &m);
	each_once(&m, 0);
	cache_free(c);
}
END_TEST

START_TEST(what_was_used_last_comes_last)
{
	struct cache *c = filled((struct cache_opts){ .shards = 1 });
	static struct met m;

	for (unsigned i = 0; i < 100; i++)
		ck_assert(use_id(c, i));
	dump_all(c, &m);
	ck_assert_uint_eq(m.n, KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		ck_assert_uint_eq(m.order[i], (i + 100) % KEYS);
	cache_free(c);
}
END_TEST

START_TEST(shards_take_turns)
{
	struct cache *c = filled((struct cache_opts){ .shards = 8 });
	static struct met m;
	unsigned early = 0;

	dump_all(c, &m);
	/* Written in the order of their numbers: the first half is about the older half. */
	for (unsigned i = 0; i < KEYS / 2; i++)
		early += m.order[i] < KEYS / 2;
	ck_assert_uint_gt(early, KEYS / 2 * 9 / 10);
	cache_free(c);
}
END_TEST

START_TEST(what_is_used_written_or_moved_meanwhile_is_not_missed)
{
	struct cache *c = filled((struct cache_opts){ .shards = 2 });
	static struct met m;
	struct cache_dump d;
	unsigned i = 0;

	cache_dump_begin(c, &d);
	while (cache_dump_step(&d, fix_thread.now_ms, note, &m)) {
		for (unsigned k = 0; k < 10; k++, i = (i + 7) % KEYS)
			use_id(c, i);
		put_id(c, i, CACHE_NEVER);
		cache_tick(c, &fix_thread, 100);
	}
	cache_dump_end(&d);
	for (i = 0; i < KEYS; i++)
		ck_assert_uint_ge(m.times[i], 1);
	cache_free(c);
}
END_TEST

START_TEST(a_dump_ends_although_entries_come_as_fast_as_it_goes)
{
	struct cache *c = filled((struct cache_opts){ .shards = 1 });
	static struct met m;
	struct cache_dump d;
	unsigned steps = 0;

	cache_dump_begin(c, &d);
	while (cache_dump_step(&d, fix_thread.now_ms, note, &m)) {
		for (unsigned i = 0; i < KEYS; i++)
			use_id(c, i);
		ck_assert_uint_lt(++steps, 100000);
	}
	cache_dump_end(&d);
	cache_free(c);
}
END_TEST

START_TEST(eviction_and_a_flush_do_not_disturb_it)
{
	struct cache *c = cache_with((struct cache_opts){ .shards = 2 });
	static struct met m;
	struct cache_dump d;
	static char value[8000];

	for (unsigned i = 0; i < 600; i++)
		put_id(c, i, CACHE_NEVER);
	cache_dump_begin(c, &d);
	for (unsigned i = 0; cache_dump_step(&d, fix_thread.now_ms, note, &m); i++) {
		char key[16];

		snprintf(key, sizeof key, "%u", 1000 + i % 1000);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, sizeof value),
		    CACHE_NEVER), 0);
		if (i == 40)
			cache_flush(c, &fix_thread);
		never_over_budget(c);
	}
	cache_dump_end(&d);
	settle(c);
	put_id(c, 1, CACHE_NEVER);
	m = (struct met){ .n = 0 };
	dump_all(c, &m);
	ck_assert_uint_eq(m.times[1], 1);
	cache_free(c);
}
END_TEST

START_TEST(a_dump_that_is_given_up_leaves_nothing_behind)
{
	struct cache *c = filled((struct cache_opts){ .shards = 4 });
	static struct met m;
	struct cache_dump d;

	cache_dump_begin(c, &d);
	for (int i = 0; i < 7; i++)
		ck_assert(cache_dump_step(&d, fix_thread.now_ms, note, &m));
	cache_dump_end(&d);
	for (unsigned i = 0; i < c->n_shards; i++)
		ck_assert(!c->shards[i].bookmarked);
	m = (struct met){ .n = 0 };
	dump_all(c, &m);
	each_once(&m, 0);
	cache_free(c);
}
END_TEST

START_TEST(what_has_ended_is_not_met)
{
	struct cache *c = filled((struct cache_opts){ .shards = 4 });
	static struct met m;

	for (unsigned i = 0; i < 10; i++)
		put_id(c, i, fix_thread.now_ms + 5);
	fix_thread.now_ms += 5;
	dump_all(c, &m);
	each_once(&m, 10);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(m.times[i], 0);
	cache_free(c);
}
END_TEST

/* --- into another ------------------------------------------------------------------------ */

static bool
restore(void *arg, const struct cache_dumped *d)
{
	struct cache *to = arg;
	struct cache_cursor cur;

	open_at(to, d->key, 0, &cur);
	ck_assert_int_eq(cache_restore(&cur, d, true), 0);
	cache_close(&cur);
	return true;
}

static struct cache *
moved(struct cache *from, struct cache_opts o)
{
	struct cache *to;
	struct cache_dump d;

	if (o.budget_bytes == 0)
		o.budget_bytes = 8 * MIB;
	to = cache_with(o);
	to->seed = 99; /* keys fall into other shards */
	cache_dump_begin(from, &d);
	while (cache_dump_step(&d, fix_thread.now_ms, restore, to))
		;
	cache_dump_end(&d);
	return to;
}

static unsigned
first_victim(struct cache *c, unsigned shard)
{
	struct shard *sh = &c->shards[shard];
	uint32_t ref = sh->policy->victim(sh, 0, 0);
	const struct entry *e = arena_at(&c->arena, ref);

	ck_assert_uint_ne(ref, 0);
	return id_of(entry_key(c, e, entry_word(e)));
}

START_TEST(the_other_cache_evicts_in_the_same_order)
{
	struct cache *c = filled((struct cache_opts){ .shards = 4 }), *to;

	for (unsigned i = 0; i < KEYS / 2; i++)
		ck_assert(use_id(c, i));
	to = moved(c, (struct cache_opts){ .shards = 4 });
	ck_assert_uint_eq(cache_count(to), KEYS);
	/* The oldest is about KEYS / 2, give or take a turn of the shards. */
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_ge(first_victim(to, i), KEYS / 2);
		ck_assert_uint_le(first_victim(to, i), KEYS / 2 + KEYS / 32);
	}
	cache_free(c);
	cache_free(to);
}
END_TEST

START_TEST(a_smaller_cache_keeps_what_was_used_last)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB }), *to;
	static char value[5000];
	char key[16];
	unsigned kept = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "%u", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(value, sizeof value),
		    CACHE_NEVER), 0);
	}
	to = moved(c, (struct cache_opts){ .budget_bytes = 8 * MIB });
	never_over_budget(to);
	for (unsigned i = KEYS - 1000; i < KEYS; i++) {
		snprintf(key, sizeof key, "%u", i);
		kept += has(to, key);
	}
	ck_assert_uint_gt(kept, 950);
	cache_free(c);
	cache_free(to);
}
END_TEST

START_TEST(expiry_grace_record_and_protection_are_kept)
{
	struct cache *c = small_cache(), *to;
	struct cache_cursor cur;

	open_at(c, SLICE("1"), 0, &cur);
	ck_assert_int_eq(cache_put_record(&cur, SLICE("value"), fix_thread.now_ms + 50, 100,
	    SLICE("record")), 0);
	cache_close(&cur);
	put_id(c, 2, fix_thread.now_ms + 50);
	to = moved(c, (struct cache_opts){ .shards = 1 });
	ck_assert_int_eq(open_at(to, SLICE("1"), CACHE_RECORD, &cur), CACHE_HIT_RECORD);
	ck_assert(slice_eq(cur.value, SLICE("value")));
	ck_assert(slice_eq(cache_record(&cur), SLICE("record")));
	ck_assert_int_eq(cur.expires_ms, fix_thread.now_ms + 50);
	cache_close(&cur);
	fix_thread.now_ms += 60;
	ck_assert(!has(to, "2"));
	ck_assert_int_eq(open_at(to, SLICE("1"), 0, &cur), CACHE_MISS);
	ck_assert(cache_take_stale(&cur));
	cache_close(&cur);
	fix_thread.now_ms += 100;
	ck_assert_int_eq(open_at(to, SLICE("1"), 0, &cur), CACHE_MISS);
	ck_assert(!cache_take_stale(&cur));
	cache_close(&cur);
	cache_free(c);
	cache_free(to);
}
END_TEST

START_TEST(what_is_stale_already_comes_over_as_that)
{
	struct cache *c = small_cache(), *to;
	struct cache_cursor cur;

	open_at(c, SLICE("1"), 0, &cur);
	ck_assert_int_eq(cache_put_graced(&cur, &SLICE("value"), 1, fix_thread.now_ms + 5, 100), 0);
	cache_close(&cur);
	fix_thread.now_ms += 10;
	to = moved(c, (struct cache_opts){ .shards = 1 });
	ck_assert_int_eq(open_at(to, SLICE("1"), 0, &cur), CACHE_MISS);
	ck_assert(cache_take_stale(&cur));
	ck_assert(slice_eq(cur.value, SLICE("value")));
	cache_close(&cur);
	cache_free(c);
	cache_free(to);
}
END_TEST

static struct cache_class
all_protected(void *arg, struct slice key)
{
	(void)arg;
	(void)key;
	return (struct cache_class){ .tally = CACHE_PROTECTED };
}

START_TEST(the_other_cache_says_what_is_protected)
{
	struct cache *c = filled((struct cache_opts){ .classify = all_protected }), *to, *back;
	struct cache_stats st;

	to = moved(c, (struct cache_opts){ .shards = 2 });
	cache_stats(to, &st);
	ck_assert_uint_eq(st.protected_entries, 0);
	back = moved(to, (struct cache_opts){ .classify = all_protected });
	cache_stats(back, &st);
	ck_assert_uint_eq(st.protected_entries, KEYS);
	cache_free(c);
	cache_free(to);
	cache_free(back);
}
END_TEST

static unsigned
same_frequencies(int policy)
{
	struct cache *c = filled((struct cache_opts){ .policy = policy }), *to;
	unsigned same = 0;

	for (unsigned i = 0; i < 300; i++)
		for (unsigned k = 0; k < i % 4; k++)
			ck_assert(use_id(c, i));
	to = moved(c, (struct cache_opts){ .policy = policy });
	for (unsigned i = 0; i < 300; i++) {
		struct cache_cursor a, b;
		char key[16];

		snprintf(key, sizeof key, "%u", i);
		ck_assert_int_eq(open_at(c, slice_str(key), 0, &a), CACHE_HIT);
		ck_assert_int_eq(open_at(to, slice_str(key), 0, &b), CACHE_HIT);
		same += cache_frequency(&a) == cache_frequency(&b);
		cache_close(&a);
		cache_close(&b);
	}
	cache_free(c);
	cache_free(to);
	return same;
}

START_TEST(how_often_it_was_used_is_kept)
{
	ck_assert_uint_eq(same_frequencies(CACHE_S3FIFO), 300);
	ck_assert_uint_gt(same_frequencies(CACHE_TINYLFU), 240); /* an estimate that ages */
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dump");

	SUITE_ADD(s, "out", each_entry_is_met_once_by_any_policy,
	    who_has_no_room_gets_the_same_entry_again, what_was_used_last_comes_last,
	    shards_take_turns, what_is_used_written_or_moved_meanwhile_is_not_missed,
	    a_dump_ends_although_entries_come_as_fast_as_it_goes,
	    eviction_and_a_flush_do_not_disturb_it,
	    a_dump_that_is_given_up_leaves_nothing_behind, what_has_ended_is_not_met);
	SUITE_ADD(s, "into another", the_other_cache_evicts_in_the_same_order,
	    a_smaller_cache_keeps_what_was_used_last,
	    expiry_grace_record_and_protection_are_kept, what_is_stale_already_comes_over_as_that,
	    the_other_cache_says_what_is_protected, how_often_it_was_used_is_kept);
	return suite_main(s);
}
