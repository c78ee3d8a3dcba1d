#include "config.h"

#include "unit/cache/fixture.h"

#include "base/mem.h"

START_TEST(what_was_put_is_found_and_what_was_removed_is_not)
{
	struct cache *c = small_cache();

	ck_assert(!has(c, "k"));
	ck_assert_int_eq(put(c, "k", "value", CACHE_NEVER), 0);
	ck_assert(holds(c, "k", "value"));
	ck_assert_uint_eq(cache_count(c), 1);
	ck_assert(remove_key(c, "k"));
	ck_assert(!remove_key(c, "k"));
	ck_assert(!has(c, "k"));
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(keys_and_values_are_any_bytes_and_may_be_empty)
{
	struct cache *c = small_cache();
	struct slice zero = slice_of("\0\0", 2), none = slice_of(NULL, 0);

	ck_assert_int_eq(put_slice(c, zero, none, CACHE_NEVER), 0);
	ck_assert_int_eq(put_slice(c, none, zero, CACHE_NEVER), 0);
	ck_assert_int_eq(put_slice(c, slice_of("\0", 1), slice_of("\r\n\0", 3), CACHE_NEVER), 0);
	ck_assert(holds_slice(c, zero, none));
	ck_assert(holds_slice(c, none, zero));
	ck_assert(holds_slice(c, slice_of("\0", 1), slice_of("\r\n\0", 3)));
	ck_assert_uint_eq(cache_count(c), 3);
	cache_free(c);
}
END_TEST

/* Around every length at which the layout changes. */
START_TEST(entries_of_every_size_come_back_as_they_were)
{
	static const size_t edges[] = { 0, 1, 7, 8, 9, 31, 32, 33, 255, 256, 1021, 1022, 1023,
		1024, 4095, 4096, 16384, 32767, 65533, 65534, 65535, 65536, 70000, 131072, 500000 };
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 64 * MIB });
	size_t n = ARRAY_LEN(edges);
	char *mem = malloc(1 << 20);

	fill_bytes(mem, 1 << 20, 1);
	for (size_t k = 0; k < n; k++) {
		for (size_t v = 0; v < n; v++) {
			struct slice key = slice_of(mem, edges[k]), value = slice_of(mem + v, edges[v]);

			for (int64_t expires_ms = 0; expires_ms <= 5000; expires_ms += 5000) {
				ck_assert_int_eq(put_slice(c, key, value, expires_ms), 0);
				ck_assert(holds_slice(c, key, value));
			}
		}
		never_over_budget(c);
	}
	ck_assert_uint_eq(cache_count(c), n);
	free(mem);
	cache_free(c);
}
END_TEST

START_TEST(the_largest_entry_fits_and_one_byte_more_is_refused)
{
	struct cache *c = small_cache();
	uint64_t most = cache_max_entry(c);
	char *mem = malloc(most);
	struct slice key = SLICE("key");

	ck_assert_uint_ge(most, CACHE_BUDGET_MIN / 8);
	fill_bytes(mem, most, 3);
	ck_assert_int_eq(put_slice(c, key, slice_of(mem, most - 2), CACHE_NEVER), -E2BIG);
	ck_assert(!has(c, "key"));
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(put_slice(c, key, slice_of(mem, most - 3), CACHE_NEVER), 0);
		ck_assert(holds_slice(c, key, slice_of(mem, most - 3)));
	}
	/* A refused one leaves what was there. */
	ck_assert_int_eq(put_slice(c, key, slice_of(mem, most - 2), CACHE_NEVER), -E2BIG);
	ck_assert(holds_slice(c, key, slice_of(mem, most - 3)));
	ck_assert_int_eq(put_slice(c, slice_of(mem, most), SLICE(""), CACHE_NEVER), 0);
	ck_assert(holds_slice(c, slice_of(mem, most), SLICE("")));
	never_over_budget(c);
	free(mem);
	cache_free(c);
}
END_TEST

START_TEST(a_length_that_overflows_is_refused)
{
	struct cache *c = small_cache();
	struct slice parts[3] = { { "x", SIZE_MAX / 2 }, { "x", SIZE_MAX / 2 }, { "x", 3 } };
	struct cache_cursor cur;

	open_at(c, SLICE("k"), 0, &cur);
	ck_assert_int_eq(cache_put(&cur, parts, 3, CACHE_NEVER), -E2BIG);
	cache_close(&cur);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
}
END_TEST

START_TEST(large_values_take_turns_for_ever)
{
	struct cache *c = small_cache();
	size_t most = 600000;
	char *mem = malloc(most), key[16];

	for (unsigned i = 0; i < 400; i++) {
		size_t len = 60000 + i * 7919 % (most - 60000);

		fill_bytes(mem, 64, i);
		snprintf(key, sizeof key, "k%u", i % 11);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(mem, len), CACHE_NEVER), 0);
		ck_assert(holds_slice(c, slice_str(key), slice_of(mem, len)));
		never_over_budget(c);
	}
	free(mem);
	cache_free(c);
}
END_TEST

START_TEST(small_and_large_values_share_the_budget)
{
	struct cache *c = small_cache();
	size_t most = 300000;
	char *mem = malloc(most), key[16];

	fill_bytes(mem, most, 5);
	for (unsigned i = 0; i < 30000; i++) {
		size_t len = i % 100 == 0 ? 20000 + i % most / 2 : i % 400;

		snprintf(key, sizeof key, "k%u", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(mem + i % 100, len),
		    CACHE_NEVER), 0);
		ck_assert(holds_slice(c, slice_str(key), slice_of(mem + i % 100, len)));
		if (i % 64 == 0)
			never_over_budget(c);
	}
	free(mem);
	cache_free(c);
}
END_TEST

/* --- overwriting --------------------------------------------------------------- */

static void
append_to(struct cache *c, struct slice key, struct slice more)
{
	struct cache_cursor cur;
	struct slice parts[2];

	open_at(c, key, 0, &cur);
	parts[0] = cur.value;
	parts[1] = more;
	ck_assert_int_eq(cache_put(&cur, parts, 2, cur.expires_ms), 0);
	cache_close(&cur);
}

/* Pages for the value are there, and none for the segment that its header goes to. */
START_TEST(a_large_value_whose_header_alone_finds_no_room_gets_some)
{
	static const char bytes[50000];
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 6 * MIB });
	struct lane *l = &c->pool.lanes[SEG_NEW];
	char key[24];
	int64_t left;

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(key, sizeof key, "%u", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(bytes, 4000), CACHE_NEVER), 0);
	}
	for (unsigned i = 0; i < 2000; i += 2) {
		snprintf(key, sizeof key, "%u", i);
		remove_key(c, key);
	}
	for (unsigned i = 0; i < SEG_LANES; i++)
		l->room[i] = 0; /* filled to the last byte */
	l->most_behind = 0;
	while (pool_punch(&c->pool))
		;
	left = arena_budget(&c->arena) - arena_used(&c->arena);
	ck_assert(left > 13 && arena_take(&c->arena, (uint64_t)left - 13));
	ck_assert_int_eq(put_slice(c, SLICE("large"), slice_of(bytes, 50000), CACHE_NEVER), 0);
	arena_give(&c->arena, (uint64_t)left - 13);
	never_over_budget(c);
	cache_free(c);
}
END_TEST

START_TEST(a_value_can_be_made_of_parts_of_the_old_one)
{
	struct cache *c = small_cache();
	char want[3000], key[32];
	size_t len = 0;

	/* In a full cache, so that making room competes with the old value. */
	for (int i = 0; i < 40000; i++) {
		snprintf(key, sizeof key, "other:%d", i);
		ck_assert_int_eq(put(c, key, "0123456789012345678901234567890123456789", 0), 0);
		if (i % 16 != 0)
			continue;
		if (len + 7 > sizeof want || !has(c, "log"))
			len = 0;
		if (len == 0)
			ck_assert_int_eq(put(c, "log", "", CACHE_NEVER), 0);
		memcpy(want + len, "abcdefg", 7);
		len += 7;
		append_to(c, SLICE("log"), SLICE("abcdefg"));
		ck_assert(holds_slice(c, SLICE("log"), slice_of(want, len)));
	}
	cache_free(c);
}
END_TEST

START_TEST(a_large_value_grows_by_appending_to_itself)
{
	struct cache *c = small_cache();
	char *want = malloc(900000);
	size_t len = 0;

	fill_bytes(want, 900000, 9);
	ck_assert_int_eq(put(c, "log", "", CACHE_NEVER), 0);
	while (len < 900000) {
		append_to(c, SLICE("log"), slice_of(want + len, 30000));
		len += 30000;
		ck_assert(holds_slice(c, SLICE("log"), slice_of(want, len)));
		never_over_budget(c);
	}
	free(want);
	cache_free(c);
}
END_TEST

START_TEST(parts_of_the_old_value_may_change_places)
{
	struct cache *c = small_cache();
	struct slice parts[2];
	struct cache_cursor cur;

	ck_assert_int_eq(put(c, "k", "leftright", CACHE_NEVER), 0);
	open_at(c, SLICE("k"), 0, &cur);
	parts[0] = slice_of(cur.value.ptr + 4, 5);
	parts[1] = slice_of(cur.value.ptr, 4);
	ck_assert_int_eq(cache_put(&cur, parts, 2, CACHE_NEVER), 0);
	ck_assert(slice_eq(cur.value, SLICE("rightleft")));
	cache_close(&cur);
	ck_assert(holds(c, "k", "rightleft"));
	cache_free(c);
}
END_TEST

START_TEST(a_value_of_the_same_length_is_written_in_place)
{
	struct cache *c = small_cache();
	struct cache_stats before, after;

	ck_assert_int_eq(put(c, "n", "100", CACHE_NEVER), 0);
	cache_stats(c, &before);
	for (int i = 0; i < 100000; i++)
		ck_assert_int_eq(put(c, "n", i % 2 ? "101" : "102", CACHE_NEVER), 0);
	cache_stats(c, &after);
	ck_assert(holds(c, "n", "101"));
	ck_assert_uint_eq(before.used_bytes, after.used_bytes);
	ck_assert_uint_eq(after.dead_bytes, before.dead_bytes);
	cache_free(c);
}
END_TEST

START_TEST(overwrites_with_other_sizes_leak_nothing)
{
	struct cache *c = small_cache();
	char mem[5000], key[16];

	fill_bytes(mem, sizeof mem, 1);
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(key, sizeof key, "k%u", i % 500);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(mem, i * 31 % sizeof mem),
		    CACHE_NEVER), 0);
	}
	ck_assert_uint_eq(cache_count(c), 500);
	never_over_budget(c);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(key, sizeof key, "k%u", i);
		remove_key(c, key);
	}
	ck_assert_uint_eq(cache_count(c), 0);
	ck_assert_int_eq(pool_live(&c->pool), 0);
	cache_free(c);
}
END_TEST

/* --- the cursor ------------------------------------------------------------------ */

START_TEST(a_cursor_stands_on_what_was_put_and_on_nothing_after_a_removal)
{
	struct cache *c = small_cache();
	struct slice one = SLICE("one"), three = SLICE("three");
	struct cache_cursor cur;

	ck_assert_int_eq(open_at(c, SLICE("k"), 0, &cur), CACHE_MISS);
	ck_assert_int_eq(cache_put(&cur, &one, 1, 2000), 0);
	ck_assert(slice_eq(cur.value, one));
	ck_assert_int_eq(cur.expires_ms, 2000);
	ck_assert_int_eq(cache_put(&cur, &three, 1, CACHE_NEVER), 0);
	ck_assert(slice_eq(cur.value, three));
	ck_assert_int_eq(cur.expires_ms, CACHE_NEVER);
	cache_remove(&cur);
	ck_assert_uint_eq(cur.value.len, 0);
	cache_remove(&cur);
	ck_assert_int_eq(cache_put(&cur, &one, 1, CACHE_NEVER), 0);
	cache_close(&cur);
	ck_assert(holds(c, "k", "one"));
	ck_assert_uint_eq(cache_count(c), 1);
	cache_free(c);
}
END_TEST

/* As one command that writes for long: room is made under the shard's lock. */
START_TEST(a_cursor_can_put_more_than_was_free_when_it_was_opened)
{
	struct cache *c = small_cache();
	struct cache_cursor cur;
	char mem[16000], key[32];

	fill_bytes(mem, sizeof mem, 2);
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof key, "other:%d", i);
		ck_assert_int_eq(put_slice(c, slice_str(key), slice_of(mem, 4000), CACHE_NEVER), 0);
	}
	open_at(c, SLICE("k"), 0, &cur);
	for (size_t i = 0; i < 2000; i++) {
		struct slice value = slice_of(mem, 8000 + i);

		ck_assert_int_eq(cache_put(&cur, &value, 1, CACHE_NEVER), 0);
		ck_assert(slice_eq(cur.value, value));
	}
	cache_close(&cur);
	never_over_budget(c);
	ck_assert(holds_slice(c, SLICE("k"), slice_of(mem, 9999)));
	cache_free(c);
}
END_TEST

/* --- what is counted --------------------------------------------------------------- */

static struct cache_class
class_by_first_byte(void *arg, struct slice key)
{
	(void)arg;
	return (struct cache_class){ .tally = key.len == 0 ? 0 : (unsigned char)key.ptr[0] };
}

START_TEST(tallies_are_kept_by_class_and_come_back_to_zero)
{
	struct cache *c = cache_with((struct cache_opts){ .classify = class_by_first_byte });
	struct cache_tally *a = &fix_tally['a'], *b = &fix_tally['b'];

	put(c, "a1", "x", CACHE_NEVER);
	put(c, "a1", "longer", CACHE_NEVER);
	put(c, "a2", "x", 1500);
	put(c, "b1", "x", CACHE_NEVER);
	ck_assert_int_eq(counter_get(&a->stored), 3);
	ck_assert_int_eq(counter_get(&a->entries), 2);
	ck_assert_int_eq(counter_get(&a->bytes), 24 + 32);
	ck_assert_int_eq(counter_get(&b->entries), 1);
	fix_thread.now_ms = 1500;
	ck_assert(!has(c, "a2"));
	ck_assert_int_eq(counter_get(&a->expired), 1);
	remove_key(c, "a1");
	remove_key(c, "b1");
	ck_assert_int_eq(counter_get(&a->entries), 0);
	ck_assert_int_eq(counter_get(&a->bytes), 0);
	ck_assert_int_eq(counter_get(&b->entries), 0);
	ck_assert_int_eq(counter_get(&b->bytes), 0);
	ck_assert_int_eq(counter_get(&a->evicted), 0);
	cache_free(c);
}
END_TEST

START_TEST(evictions_and_a_flush_keep_the_tallies_exact)
{
	struct cache *c = cache_with((struct cache_opts){ .classify = class_by_first_byte });
	char key[32], mem[70000] = { 0 };
	int64_t entries = 0, evicted = 0, bytes = 0;
	struct cache_stats s;

	for (int i = 0; i < 50000; i++) {
		snprintf(key, sizeof key, "%c%d", 'a' + i % 5, i);
		ck_assert_int_eq(put_slice(c, slice_str(key),
		    slice_of(mem, i % 1000 == 0 ? sizeof mem : (size_t)i % 300), CACHE_NEVER), 0);
	}
	for (int k = 'a'; k <= 'e'; k++) {
		entries += counter_get(&fix_tally[k].entries);
		evicted += counter_get(&fix_tally[k].evicted);
		bytes += counter_get(&fix_tally[k].bytes);
	}
	cache_stats(c, &s);
	ck_assert_uint_eq(cache_count(c), (uint64_t)entries);
	ck_assert_uint_eq(s.evicted, (uint64_t)evicted);
	ck_assert_uint_eq(s.live_bytes, (uint64_t)bytes);
	ck_assert_int_eq(entries + evicted, 50000);
	cache_flush(c, &fix_thread);
	ck_assert_uint_eq(cache_count(c), 0);
	settle(c);
	for (int k = 'a'; k <= 'e'; k++) {
		ck_assert_int_eq(counter_get(&fix_tally[k].entries), 0);
		ck_assert_int_eq(counter_get(&fix_tally[k].bytes), 0);
	}
	cache_free(c);
}
END_TEST

/* Entries of one size, with deaths so scattered that places are filled again one by
 * one: nearly every byte is in use, and all segments about equally. */
static void
fill_evenly(struct cache *c)
{
	unsigned short seed[3] = { 1, 2, 3 };
	static char value[900];
	struct slice part = slice_of(value, sizeof value);
	uint64_t tries = 0;
	char key[32];

	do {
		struct cache_cursor cur;

		snprintf(key, sizeof key, "k%ld", nrand48(seed) % (nrand48(seed) % 100000 + 1));
		if (open_at(c, slice_str(key), CACHE_TOUCH, &cur) != CACHE_HIT)
			ck_assert_int_eq(cache_put(&cur, &part, 1, CACHE_NEVER), 0);
		cache_close(&cur);
		ck_assert_uint_lt(++tries, 20000000);
	} while (!pool_filling(&c->pool) || tries % 200000 != 0);
}

/* What a put does that finds no room, until there is a free segment more. */
static void
make_room_for_a_segment(struct cache *c, struct cache_stats *before, struct cache_stats *after)
{
	struct work w = { .c = c, .t = &fix_thread, .mine = &c->shards[0], .in_need = true };
	uint32_t n_free = atomic_load(&c->pool.n_free);

	cache_stats(c, before);
	shard_lock(w.mine);
	for (int i = 0; atomic_load(&c->pool.n_free) <= n_free; i++) {
		ck_assert_int_lt(i, 50);
		work_make_room(&w, 1000, false);
	}
	shard_unlock(w.mine);
	cache_stats(c, after);
}

START_TEST(a_put_that_waits_for_room_drops_a_segment_rather_than_move_dozens)
{
	struct cache *c = cache_with((struct cache_opts){ .budget_bytes = 48 * MIB, .shards = 4 });
	struct cache_stats before, after;
	uint64_t per_segment = c->pool.seg_bytes / 920;

	fill_evenly(c);
	for (int i = 0; i < 10; i++) {
		make_room_for_a_segment(c, &before, &after);
		/* It may have to finish another victim first. */
		ck_assert_uint_le(after.cleaned_bytes - before.cleaned_bytes, c->pool.seg_bytes);
		ck_assert_uint_le(after.evicted - before.evicted, 4 * per_segment);
		ck_assert_uint_eq(after.entries + after.evicted, before.entries + before.evicted);
		fill_evenly(c);
	}
	cache_free(c);
}
END_TEST

/* --- birth ----------------------------------------------------------------------------- */

START_TEST(options_out_of_range_are_refused)
{
	struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN - 1 };
	struct cache *c = NULL;

	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	o.budget_bytes = CACHE_BUDGET_MIN;
	o.shards = 3;
	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	o.shards = 1024; /* their tables alone would fill it */
	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	o.shards = 0;
	o.reserve_bytes = CACHE_BUDGET_MIN - 1;
	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	o.reserve_bytes = (uint64_t)1 << 40;
	ck_assert_int_eq(cache_new(&o, &c), -EINVAL);
	ck_assert_ptr_null(c);
	cache_free(NULL);
}
END_TEST

START_TEST(a_cache_is_made_or_not_when_memory_runs_out)
{
	static const enum cache_policy all[] = { CACHE_LRU, CACHE_S3FIFO, CACHE_TINYLFU };

	for (size_t p = 0; p < ARRAY_LEN(all); p++) {
		struct cache_opts o = { .budget_bytes = CACHE_BUDGET_MIN,
			.reserve_bytes = 16 * MIB, .policy = all[p] };
		struct cache *c = NULL;
		unsigned long n = 1;

		for (;; n++) {
			int rc;

			mem_fail_nth(n, 0);
			rc = cache_new(&o, &c);
			mem_fail_nth(0, 0);
			if (rc == 0)
				break;
			ck_assert_int_eq(rc, -ENOMEM);
		}
		ck_assert_uint_gt(n, o.policy == CACHE_LRU ? 1 : 2);
		ck_assert_int_eq(put(c, "k", "v", CACHE_NEVER), 0);
		cache_free(c);
	}
}
END_TEST

/* As if every page beyond the n-th were somebody else's: the put of a larger value
 * succeeds or leaves the old one as it was, and all is well with more pages. */
START_TEST(pages_refused_at_every_n_lose_nothing)
{
	static const size_t lens[] = { 400, 30000, 100000 };
	char *mem = malloc(100000);
	unsigned failed = 0, done = 0;

	fill_bytes(mem, 100000, 5);
	for (unsigned n = 0; n < 100; n++) {
		size_t len = lens[n % ARRAY_LEN(lens)];
		struct slice old = slice_of(mem, len / 2), new = slice_of(mem, len);
		struct cache *c = small_cache();
		int64_t budget = arena_budget(&c->arena);
		int rc;

		ck_assert_int_eq(put_slice(c, SLICE("k"), old, CACHE_NEVER), 0);
		ck_assert_int_eq(put(c, "other", "v", CACHE_NEVER), 0);
		/* What is free in segments goes first. */
		for (int i = 0; pool_available(&c->pool) > 0 && pool_punch(&c->pool); i++)
			;
		atomic_store(&c->arena.budget_pages, arena_used(&c->arena) + n);
		rc = put_slice(c, SLICE("k"), new, CACHE_NEVER);
		ck_assert(rc == 0 || rc == (1 + len > cache_max_entry(c) ? -E2BIG : -ENOMEM));
		/* So little may not suffice to keep it. */
		ck_assert(holds_slice(c, SLICE("k"), rc == 0 ? new : old) ||
		    (rc == 0 && !has(c, "k")));
		never_over_budget(c);
		failed += rc != 0;
		done += rc == 0;
		atomic_store(&c->arena.budget_pages, budget);
		ck_assert_int_eq(put_slice(c, SLICE("k"), new, CACHE_NEVER), 0);
		ck_assert(holds_slice(c, SLICE("k"), new));
		cache_free(c);
	}
	ck_assert_uint_gt(failed, 10);
	ck_assert_uint_gt(done, 10);
	free(mem);
}
END_TEST

START_TEST(reading_and_writing_never_ask_the_heap)
{
	struct cache *c = small_cache();
	char key[32];

	mem_fail_nth(1, 1);
	for (int i = 0; i < 60000; i++) {
		snprintf(key, sizeof key, "k%d", i % 30000);
		ck_assert_int_eq(put(c, key, "0123456789012345678901234567890123456789",
		    i % 3 ? 0 : 2000), 0);
		has(c, key);
	}
	fix_thread.now_ms = 3000;
	settle(c);
	cache_flush(c, &fix_thread);
	settle(c);
	ck_assert_uint_eq(mem_fail_seen(), 0);
	mem_fail_nth(0, 0);
	cache_free(c);
}
END_TEST

START_TEST(any_number_of_shards_works)
{
	for (unsigned shards = 1; shards <= 256; shards *= 2) {
		struct cache *c = cache_with((struct cache_opts){ .shards = shards,
			.budget_bytes = 16 * MIB });
		char key[32];

		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof key, "k%d", i);
			ck_assert_int_eq(put(c, key, key, CACHE_NEVER), 0);
		}
		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof key, "k%d", i);
			ck_assert(holds(c, key, key));
		}
		cache_free(c);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache");

	SUITE_ADD(s, "basics", what_was_put_is_found_and_what_was_removed_is_not,
	    keys_and_values_are_any_bytes_and_may_be_empty,
	    entries_of_every_size_come_back_as_they_were,
	    the_largest_entry_fits_and_one_byte_more_is_refused,
	    a_length_that_overflows_is_refused,
	    a_put_that_waits_for_room_drops_a_segment_rather_than_move_dozens, large_values_take_turns_for_ever,
	    small_and_large_values_share_the_budget,
	    a_large_value_whose_header_alone_finds_no_room_gets_some);
	SUITE_ADD(s, "overwriting", a_value_can_be_made_of_parts_of_the_old_one,
	    a_large_value_grows_by_appending_to_itself, parts_of_the_old_value_may_change_places,
	    a_value_of_the_same_length_is_written_in_place,
	    overwrites_with_other_sizes_leak_nothing);
	SUITE_ADD(s, "cursor", a_cursor_stands_on_what_was_put_and_on_nothing_after_a_removal,
	    a_cursor_can_put_more_than_was_free_when_it_was_opened);
	SUITE_ADD(s, "counts", tallies_are_kept_by_class_and_come_back_to_zero,
	    evictions_and_a_flush_keep_the_tallies_exact);
	SUITE_ADD(s, "birth", options_out_of_range_are_refused, pages_refused_at_every_n_lose_nothing,
	    a_cache_is_made_or_not_when_memory_runs_out, reading_and_writing_never_ask_the_heap,
	    any_number_of_shards_works);
	return suite_main(s);
}
