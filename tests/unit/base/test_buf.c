#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"

static bool
holds(const struct buf *b, const char *text)
{
	return slice_eq(buf_slice(b), slice_str(text));
}

START_TEST(bytes_come_out_in_the_order_they_went_in)
{
	struct buf b;

	buf_init(&b);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_int_eq(buf_append(&b, "abc", 3), 0);
	ck_assert_int_eq(buf_append(&b, "", 0), 0);
	ck_assert_int_eq(buf_append(&b, "def", 3), 0);
	buf_consume(&b, 2);
	ck_assert(holds(&b, "cdef"));
	buf_consume(&b, 4);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_fini(&b);
}
END_TEST

START_TEST(what_is_printed_has_any_length)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_printf(&b, "%d", 7), 0);
	ck_assert_int_eq(buf_printf(&b, "%0*d", 2000, 1), 0);
	ck_assert_int_eq(buf_printf(&b, "%s", "end"), 0);
	ck_assert_uint_eq(buf_len(&b), 2004);
	ck_assert_int_eq(buf_data(&b)[0], '7');
	ck_assert_int_eq(buf_data(&b)[2000], '1');
	ck_assert_mem_eq(buf_data(&b) + 2001, "end", 3);
	buf_fini(&b);
}
END_TEST

/* The length that printing needs, at which its NUL just no longer fits. */
START_TEST(printing_at_the_edge_of_the_memory_is_whole)
{
	for (size_t used = 500; used < 524; used++) {
		struct buf b;

		buf_init(&b);
		ck_assert_int_eq(buf_reserve(&b, used), 0);
		buf_commit(&b, used);
		ck_assert_int_eq(buf_printf(&b, "twelve bytes"), 0);
		ck_assert_uint_eq(buf_len(&b), used + 12);
		ck_assert_mem_eq(buf_data(&b) + used, "twelve bytes", 12);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(a_queue_that_is_never_empty_does_not_grow_for_ever)
{
	struct buf b;
	size_t cap = 0;

	buf_init(&b);
	ck_assert_int_eq(buf_append(&b, "0123456789", 10), 0);
	for (int i = 0; i < 100000; i++) {
		ck_assert_int_eq(buf_append(&b, "0123456789", 10), 0);
		buf_consume(&b, 10);
		if (i == 1000)
			cap = b.cap;
	}
	ck_assert(holds(&b, "0123456789"));
	ck_assert_uint_eq(b.cap, cap);
	buf_fini(&b);
}
END_TEST

START_TEST(a_refused_append_leaves_the_content)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_append(&b, "kept", 4), 0);
	mem_fail_nth(1, 1);
	ck_assert_int_eq(buf_reserve(&b, 100000), -ENOMEM);
	ck_assert_int_eq(buf_printf(&b, "%0*d", 2000, 1), -ENOMEM);
	ck_assert_int_eq(buf_resize(&b, 100000), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 2), -ENOMEM);
	ck_assert(holds(&b, "kept"));
	buf_fini(&b);
}
END_TEST

START_TEST(shrinking_keeps_the_content_and_gives_memory_back)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_reserve(&b, 1 << 20), 0);
	buf_commit(&b, 1 << 20);
	memcpy(buf_data(&b) + (1 << 20) - 4, "tail", 4);
	buf_consume(&b, (1 << 20) - 4);
	mem_fail_nth(1, 0);
	buf_shrink(&b, 512);
	mem_fail_nth(0, 0);
	ck_assert(holds(&b, "tail"));
	buf_shrink(&b, 512);
	ck_assert(holds(&b, "tail"));
	ck_assert_uint_le(b.cap, 2048);
	buf_consume(&b, 4);
	ck_assert_int_eq(buf_resize(&b, 1 << 20), 0);
	buf_shrink(&b, 512);
	ck_assert_uint_eq(b.cap, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(resizing_is_exact_and_keeps_the_content)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_resize(&b, 100), 0);
	ck_assert_uint_eq(b.cap, 100);
	ck_assert_int_eq(buf_append(&b, "0123456789", 10), 0);
	ck_assert_uint_eq(b.cap, 100);
	buf_consume(&b, 4);
	ck_assert_int_eq(buf_resize(&b, 6), 0); /* what stands behind the head moves */
	ck_assert_uint_eq(b.cap, 6);
	ck_assert(holds(&b, "456789"));
	buf_fini(&b);
}
END_TEST

START_TEST(shrinking_leaves_what_was_asked_for)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_resize(&b, 100000), 0);
	ck_assert_int_eq(buf_append(&b, "abc", 3), 0);
	buf_consume(&b, 1);
	buf_shrink(&b, 70000);
	ck_assert_uint_eq(b.cap, 100000); /* not far more: stays */
	buf_shrink(&b, 30000);
	ck_assert_uint_eq(b.cap, 30000);
	ck_assert(holds(&b, "bc"));
	buf_fini(&b);
}
END_TEST

START_TEST(absurd_lengths_are_refused_without_overflow)
{
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_append(&b, "bc", 2), 0);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX - 10), -ENOMEM);
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX / 4), -ENOMEM);
	ck_assert(holds(&b, "bc"));
	buf_fini(&b);
}
END_TEST

START_TEST(an_empty_buf_can_be_looked_at)
{
	struct buf b;

	buf_init(&b);
	ck_assert_uint_eq(buf_slice(&b).len, 0);
	ck_assert(buf_data(&b) == buf_tail(&b));
	buf_consume(&b, 0);
	buf_clear(&b);
	buf_shrink(&b, 0);
	buf_fini(&b);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("buf");

	SUITE_ADD(s, "content", bytes_come_out_in_the_order_they_went_in,
	    what_is_printed_has_any_length, printing_at_the_edge_of_the_memory_is_whole,
	    an_empty_buf_can_be_looked_at);
	SUITE_ADD(s, "memory", a_queue_that_is_never_empty_does_not_grow_for_ever,
	    a_refused_append_leaves_the_content,
	    shrinking_keeps_the_content_and_gives_memory_back,
	    resizing_is_exact_and_keeps_the_content, shrinking_leaves_what_was_asked_for,
	    absurd_lengths_are_refused_without_overflow);
	return suite_main(s);
}
