/* The record of a fetched value, as bytes and back. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/draw.h"
#include "store/meta.h"

static struct slice
encoded(const struct meta *m)
{
	static unsigned char bytes[META_MAX];

	return slice_of(bytes, meta_encode(m, bytes));
}

static void
ck_same(const struct meta *a, const struct meta *b)
{
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert_int_eq(a->validate, b->validate);
	ck_assert_int_eq(a->no_stale, b->no_stale);
	ck_assert_int_eq(a->any_tag, b->any_tag);
	ck_assert_int_eq(a->stored_ms, b->stored_ms);
	ck_assert_int_eq(a->age_ms, b->age_ms);
	ck_assert_int_eq(a->took_ms, b->took_ms);
	ck_assert_int_eq(a->ttl_ms, b->ttl_ms);
	ck_assert_int_eq(a->swr_ms, b->swr_ms);
	ck_assert_int_eq(a->sie_ms, b->sie_ms);
	ck_assert(slice_eq(a->etag, b->etag));
	ck_assert(slice_eq(a->last_modified, b->last_modified));
	ck_assert_uint_eq(a->n_tags, b->n_tags);
	ck_assert(a->n_tags == 0 || memcmp(a->tags, b->tags, a->n_tags * 4) == 0);
}

/* One that says all that can be said. */
static struct meta
full(uint32_t *room)
{
	struct meta m;

	meta_init(&m);
	m.kind = META_NEGATIVE;
	m.validate = m.no_stale = true;
	m.stored_ms = ((int64_t)1 << 47) - 1;
	m.age_ms = 127;
	m.took_ms = 128;
	m.ttl_ms = 0;
	m.swr_ms = 16384;
	m.sie_ms = 16383;
	m.etag = SLICE("W/\"abc\"");
	m.last_modified = SLICE("Sun, 22 Nov 2026 03:00:00 GMT");
	meta_set_tags(&m, SLICE("user-1 group-7,all"), room);
	return m;
}

START_TEST(what_is_written_is_read)
{
	uint32_t room[META_TAGS_MAX];
	struct meta m = full(room), got;

	ck_assert(meta_decode(encoded(&m), &got));
	ck_same(&got, &m);
	ck_assert_int_eq(meta_took_ms(encoded(&m)), m.took_ms);
	meta_init(&m);
	m.stored_ms = 5;
	ck_assert(meta_decode(encoded(&m), &got));
	ck_same(&got, &m);
}
END_TEST

START_TEST(what_says_little_takes_few_bytes)
{
	struct meta m;

	meta_init(&m);
	m.stored_ms = (int64_t)86400 * 1000 * 30; /* after a month */
	m.took_ms = 40;
	ck_assert_uint_le(encoded(&m).len, 8);
}
END_TEST

START_TEST(a_record_cut_off_or_too_long_is_none)
{
	uint32_t room[META_TAGS_MAX];
	struct meta m = full(room), plain, got;
	struct slice all = encoded(&m);
	char longer[META_MAX + 1] = { 0 };

	meta_init(&plain);
	for (size_t len = 0; len < all.len; len++) {
		ck_assert(!meta_decode(slice_of(all.ptr, len), &got));
		ck_same(&got, &plain);
		meta_took_ms(slice_of(all.ptr, len));
	}
	memcpy(longer, all.ptr, all.len);
	ck_assert(!meta_decode(slice_of(longer, all.len + 1), &got));
	ck_same(&got, &plain);
}
END_TEST

START_TEST(any_bytes_at_all_do_no_harm)
{
	struct draw d = { 11 };

	for (int i = 0; i < 300000; i++) {
		size_t len = draw_below(draw_next(&d), 80);
		char *bytes = malloc(len); /* its end is guarded under ASan */
		struct meta got;

		for (size_t b = 0; b < len; b++)
			bytes[b] = (char)draw_next(&d);
		if (len > 1 && i % 2 == 0)
			bytes[0] &= 0x1e;
		if (meta_decode(slice_of(bytes, len), &got)) {
			ck_assert_int_ge(got.stored_ms, 0);
			ck_assert_uint_le(got.n_tags, META_TAGS_MAX);
			meta_has_tag(&got, 7);
		}
		free(bytes);
	}
}
END_TEST

START_TEST(numbers_beyond_their_range_are_cut)
{
	struct meta m, got;

	meta_init(&m);
	m.stored_ms = INT64_MAX;
	m.took_ms = -5;
	m.ttl_ms = INT64_MAX;
	ck_assert(meta_decode(encoded(&m), &got));
	ck_assert_int_eq(got.stored_ms, ((int64_t)1 << 47) - 1);
	ck_assert_int_eq(got.took_ms, 0);
	ck_assert_int_eq(got.ttl_ms, ((int64_t)1 << 47) - 1);
}
END_TEST

START_TEST(validators_that_are_too_long_are_left_out)
{
	char text[META_ETAG_MAX + 1];
	struct meta m, got;

	memset(text, 'x', sizeof text);
	meta_init(&m);
	m.etag = slice_of(text, META_ETAG_MAX);
	m.last_modified = slice_of(text, META_DATE_MAX);
	ck_assert(meta_decode(encoded(&m), &got));
	ck_assert_uint_eq(got.etag.len, META_ETAG_MAX);
	ck_assert_uint_eq(got.last_modified.len, META_DATE_MAX);
	m.etag.len = META_ETAG_MAX + 1;
	m.last_modified.len = META_DATE_MAX + 1;
	ck_assert(meta_decode(encoded(&m), &got));
	ck_assert_uint_eq(got.etag.len, 0);
	ck_assert_uint_eq(got.last_modified.len, 0);
}
END_TEST

START_TEST(tags_are_found_and_no_others)
{
	uint32_t room[META_TAGS_MAX];
	struct meta m, got;

	meta_init(&m);
	meta_set_tags(&m, SLICE(" , a,b  c\t,d "), room);
	ck_assert_uint_eq(m.n_tags, 4);
	ck_assert(meta_decode(encoded(&m), &got));
	ck_assert(meta_has_tag(&got, meta_tag_hash(SLICE("a"))));
	ck_assert(meta_has_tag(&got, meta_tag_hash(SLICE("d"))));
	ck_assert(!meta_has_tag(&got, meta_tag_hash(SLICE("e"))));
	ck_assert(!meta_has_tag(&got, meta_tag_hash(SLICE(""))));
}
END_TEST

START_TEST(more_tags_than_are_kept_count_as_all)
{
	uint32_t room[META_TAGS_MAX];
	char list[META_TAGS_MAX * 8 + 8];
	struct meta m, got;
	size_t len = 0;

	for (unsigned i = 0; i <= META_TAGS_MAX; i++)
		len += (size_t)snprintf(list + len, sizeof list - len, "t%u ", i);
	meta_init(&m);
	meta_set_tags(&m, slice_of(list, len), room);
	ck_assert(meta_decode(encoded(&m), &got));
	ck_assert(meta_has_tag(&got, meta_tag_hash(SLICE("whatever"))));
}
END_TEST

START_TEST(the_largest_record_has_room)
{
	uint32_t room[META_TAGS_MAX];
	char text[META_ETAG_MAX], list[META_TAGS_MAX * 8];
	struct meta m = full(room);
	size_t len = 0;

	memset(text, 'x', sizeof text);
	for (unsigned i = 0; i < META_TAGS_MAX; i++)
		len += (size_t)snprintf(list + len, sizeof list - len, "t%u ", i);
	meta_set_tags(&m, slice_of(list, len), room);
	m.etag = slice_of(text, META_ETAG_MAX);
	m.last_modified = slice_of(text, META_DATE_MAX);
	m.age_ms = m.took_ms = m.ttl_ms = m.swr_ms = m.sie_ms = INT64_MAX;
	ck_assert_uint_le(encoded(&m).len, META_MAX);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("meta");

	SUITE_ADD(s, "meta", what_is_written_is_read, what_says_little_takes_few_bytes,
	    a_record_cut_off_or_too_long_is_none, any_bytes_at_all_do_no_harm,
	    numbers_beyond_their_range_are_cut, validators_that_are_too_long_are_left_out,
	    tags_are_found_and_no_others, more_tags_than_are_kept_count_as_all,
	    the_largest_record_has_room);
	return suite_main(s);
}
