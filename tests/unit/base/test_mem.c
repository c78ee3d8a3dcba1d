#include "config.h"

#include "unit/suite.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

START_TEST(the_nth_allocation_fails_and_no_other)
{
	void *p[3];

	mem_fail_nth(2, 0);
	p[0] = mem_alloc(1);
	p[1] = mem_alloc(1);
	p[2] = mem_alloc(1);
	ck_assert_ptr_nonnull(p[0]);
	ck_assert_ptr_null(p[1]);
	ck_assert_ptr_nonnull(p[2]);
	ck_assert_uint_eq(mem_fail_seen(), 3);
	mem_free(p[0]);
	mem_free(p[2]);
}
END_TEST

START_TEST(onwards_every_later_one_fails_too)
{
	void *first;

	mem_fail_nth(2, 1);
	first = mem_alloc(1);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(mem_zalloc(1));
	ck_assert_ptr_null(mem_calloc(2, 2));
	ck_assert_ptr_null(mem_strdup("a"));
	mem_fail_nth(0, 0);
	mem_free(first);
}
END_TEST

START_TEST(a_failed_realloc_leaves_the_old_block)
{
	char *p = mem_strdup("old"), *q;

	mem_fail_nth(1, 0);
	ck_assert_ptr_null(mem_realloc(p, 1 << 20));
	ck_assert_str_eq(p, "old");
	q = mem_realloc(p, 1 << 20);
	ck_assert_str_eq(q, "old");
	mem_free(q);
}
END_TEST

START_TEST(an_overflowing_product_is_refused)
{
	ck_assert_ptr_null(mem_calloc(SIZE_MAX / 2, 3));
	ck_assert_ptr_null(mem_calloc(3, SIZE_MAX / 2));
}
END_TEST

START_TEST(zero_bytes_give_something_to_free)
{
	void *a = mem_alloc(0), *z = mem_zalloc(0), *c = mem_calloc(0, 8), *r = mem_realloc(NULL, 0);

	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_nonnull(z);
	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(r);
	mem_free(a);
	mem_free(z);
	mem_free(c);
	mem_free(r);
	mem_free(NULL);
	mem_purge();
}
END_TEST

START_TEST(copies_of_slices_end_in_nul)
{
	char *p = mem_slicedup(slice_of("abcdef", 3)), *empty = mem_slicedup(slice_of(NULL, 0));
	char *zeroed = mem_zalloc(3);

	ck_assert_str_eq(p, "abc");
	ck_assert_str_eq(empty, "");
	ck_assert_mem_eq(zeroed, "\0\0\0", 3);
	mem_free(p);
	mem_free(empty);
	mem_free(zeroed);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mem");

	SUITE_ADD(s, "failing", the_nth_allocation_fails_and_no_other,
	    onwards_every_later_one_fails_too, a_failed_realloc_leaves_the_old_block);
	SUITE_ADD(s, "sizes", an_overflowing_product_is_refused, zero_bytes_give_something_to_free,
	    copies_of_slices_end_in_nul);
	return suite_main(s);
}
