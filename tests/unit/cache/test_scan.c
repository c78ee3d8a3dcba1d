#include "config.h"

#include "unit/cache/fixture.h"

#include "base/mem.h"

#define IDS 40000

struct scan {
	struct cache *c;
	uint64_t cursor;
	unsigned met[IDS];
	size_t keys;
};

/* Keys are numbers. */
static void
note(struct scan *s, const struct buf *keys)
{
	const char *p = buf_data(keys), *end = p + buf_len(keys);

	while (p < end) {
		uint32_t len;
		char text[16] = { 0 };
		unsigned long id;

		memcpy(&len, p, sizeof len);
		memcpy(text, p + sizeof len, MIN(len, 15u));
		id = strtoul(text, NULL, 10);
		ck_assert_uint_lt(id, IDS);
		s->met[id]++;
		s->keys++;
		p += sizeof len + len;
	}
}

static bool
scan_some(struct scan *s, size_t count)
{
	struct buf keys;
	size_t before = s->keys;

	buf_init(&keys);
	ck_assert_int_eq(cache_scan(s->c, &fix_thread, &s->cursor, count, &keys), 0);
	note(s, &keys);
	buf_fini(&keys);
	if (s->cursor != 0)
		ck_assert_uint_gt(s->keys, before);
	ck_assert_uint_lt(s->cursor, (uint64_t)1 << 53);
	return s->cursor != 0;
}

static void
put_id(struct cache *c, unsigned i)
{
	char key[16];

	snprintf(key, sizeof key, "%u", i);
	ck_assert_int_eq(put(c, key, "value", CACHE_NEVER), 0);
}

static void
remove_id(struct cache *c, unsigned i)
{
	char key[16];

	snprintf(key, sizeof key, "%u", i);
	remove_key(c, key);
}

static struct scan *
scan_new(unsigned shards)
{
	struct scan *s = calloc(1, sizeof *s);

	s->c = cache_with((struct cache_opts){ .budget_bytes = 32 * MIB, .shards = shards });
	return s;
}

static void
scan_free(struct scan *s)
{
	cache_free(s->c);
	free(s);
}

START_TEST(a_scan_of_a_cache_at_rest_meets_each_key_once)
{
	for (unsigned shards = 1; shards <= 64; shards *= 8) {
		struct scan *s = scan_new(shards);

		for (unsigned i = 0; i < IDS; i++)
			put_id(s->c, i);
		while (scan_some(s, 10))
			;
		for (unsigned i = 0; i < IDS; i++)
			ck_assert_uint_eq(s->met[i], 1);
		scan_free(s);
	}
}
END_TEST

START_TEST(an_empty_cache_is_scanned_at_once)
{
	struct scan *s = scan_new(0);

	ck_assert(!scan_some(s, 1));
	ck_assert_uint_eq(s->keys, 0);
	scan_free(s);
}
END_TEST

START_TEST(about_as_many_keys_come_as_were_asked_for)
{
	struct scan *s = scan_new(4);

	for (unsigned i = 0; i < 10000; i++)
		put_id(s->c, i);
	scan_some(s, 100);
	ck_assert_uint_ge(s->keys, 100);
	ck_assert_uint_le(s->keys, 120);
	scan_free(s);
}
END_TEST

/* Ids below STAY are there from start to end. */
#define STAY 2000

static void
scan_while(unsigned shards, unsigned from, unsigned to, void (*change)(struct cache *, unsigned))
{
	struct scan *s = scan_new(shards);
	unsigned next = STAY;

	for (unsigned i = 0; i < from; i++)
		put_id(s->c, i);
	do {
		for (int k = 0; k < 300 && next < to; k++)
			change(s->c, next++);
	} while (scan_some(s, 20));
	for (unsigned i = 0; i < STAY; i++)
		ck_assert_uint_ge(s->met[i], 1);
	scan_free(s);
}

START_TEST(a_scan_misses_nothing_while_the_table_grows)
{
	scan_while(1, STAY, IDS, put_id);
	scan_while(8, STAY, IDS, put_id);
}
END_TEST

START_TEST(a_scan_misses_nothing_while_the_table_shrinks)
{
	scan_while(1, IDS, IDS, remove_id);
	scan_while(8, IDS, IDS, remove_id);
}
END_TEST

START_TEST(a_scan_misses_nothing_while_the_table_breathes)
{
	struct scan *s = scan_new(1);
	unsigned size = STAY;
	bool growing = true;

	for (unsigned i = 0; i < STAY; i++)
		put_id(s->c, i);
	do {
		for (int k = 0; k < 700; k++) {
			if (growing)
				put_id(s->c, size++);
			else
				remove_id(s->c, --size);
			if (size == IDS || size == STAY)
				growing = !growing;
		}
	} while (scan_some(s, 15));
	for (unsigned i = 0; i < STAY; i++)
		ck_assert_uint_ge(s->met[i], 1);
	scan_free(s);
}
END_TEST

START_TEST(a_scan_does_not_show_what_has_expired)
{
	struct scan *s = scan_new(0);

	put(s->c, "1", "v", 2000);
	put(s->c, "2", "v", CACHE_NEVER);
	fix_thread.now_ms = 2000;
	while (scan_some(s, 10))
		;
	ck_assert_uint_eq(s->met[1], 0);
	ck_assert_uint_eq(s->met[2], 1);
	scan_free(s);
}
END_TEST

START_TEST(a_scan_that_finds_no_memory_says_so_and_goes_on_later)
{
	struct scan *s = scan_new(0);
	struct buf keys;

	for (unsigned i = 0; i < 1000; i++)
		put_id(s->c, i);
	for (unsigned long n = 1; n < 4; n++) {
		buf_init(&keys);
		s->cursor = 0;
		mem_fail_nth(n, 1);
		ck_assert_int_eq(cache_scan(s->c, &fix_thread, &s->cursor, 1000, &keys), -ENOMEM);
		mem_fail_nth(0, 0);
		ck_assert_uint_eq(s->cursor, 0);
		buf_fini(&keys);
	}
	while (scan_some(s, 10))
		;
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_uint_eq(s->met[i], 1);
	scan_free(s);
}
END_TEST

static bool
is_even(void *arg, struct slice key, struct slice record)
{
	ck_assert_ptr_null(record.ptr);
	++*(unsigned *)arg;
	return key.ptr[key.len - 1] % 2 == 0;
}

START_TEST(a_scan_for_some_asks_about_all_and_shows_those_and_expired_ones_too)
{
	struct scan *s = scan_new(4);
	unsigned asked = 0, steps = 0;
	struct buf keys;

	for (unsigned i = 0; i < 10000; i++)
		put_id(s->c, i);
	ck_assert_int_eq(put(s->c, "1000", "v", 50000), 0);
	fix_thread.now_ms = 50000;
	do {
		buf_init(&keys);
		ck_assert_int_eq(cache_scan_wanted(s->c, &fix_thread, &s->cursor,
		    is_even, &asked, &keys), 0);
		note(s, &keys);
		buf_fini(&keys);
		steps++;
	} while (s->cursor != 0);
	for (unsigned i = 0; i < 10000; i++)
		ck_assert_uint_eq(s->met[i], i % 2 == 0);
	ck_assert_uint_ge(asked, 10000);
	ck_assert_uint_ge(steps, 4);
	scan_free(s);
}
END_TEST

START_TEST(any_cursor_is_taken)
{
	struct scan *s = scan_new(0);

	for (unsigned i = 0; i < 1000; i++)
		put_id(s->c, i);
	for (uint64_t bad = 1; bad != 0; bad <<= 1) {
		struct buf keys;

		buf_init(&keys);
		s->cursor = bad - 1 ? bad - 1 : UINT64_MAX;
		ck_assert_int_eq(cache_scan(s->c, &fix_thread, &s->cursor, 5, &keys), 0);
		buf_fini(&keys);
	}
	scan_free(s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scan");

	SUITE_ADD(s, "scan", a_scan_of_a_cache_at_rest_meets_each_key_once,
	    an_empty_cache_is_scanned_at_once, about_as_many_keys_come_as_were_asked_for,
	    a_scan_misses_nothing_while_the_table_grows,
	    a_scan_misses_nothing_while_the_table_shrinks,
	    a_scan_misses_nothing_while_the_table_breathes,
	    a_scan_does_not_show_what_has_expired,
	    a_scan_that_finds_no_memory_says_so_and_goes_on_later, any_cursor_is_taken,
	    a_scan_for_some_asks_about_all_and_shows_those_and_expired_ones_too);
	return suite_main(s);
}
