#include "config.h"

#include "unit/suite.h"

#include <pthread.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/mem.h"
#include "base/util.h"

START_TEST(a_copy_is_independent_of_what_it_was_made_from)
{
	char text[] = "abc";
	struct blob *b = blob_of(slice_of(text, 3));

	text[0] = 'x';
	ck_assert(slice_eq(blob_slice(b), SLICE("abc")));
	blob_unref(b);
}
END_TEST

START_TEST(an_account_has_each_blob_once_until_its_end)
{
	struct blob_account account = { 0 };
	struct blob *a = blob_new(60), *b = blob_new(60), *c = blob_new(200);

	ck_assert(blob_charge(a, &account, 100));
	ck_assert(blob_charge(a, &account, 100));
	ck_assert_uint_eq(account.bytes, 60);
	ck_assert(!blob_charge(b, &account, 100));
	ck_assert_uint_eq(account.bytes, 60);
	blob_unref(b);
	ck_assert_uint_eq(account.bytes, 60);
	blob_ref(a);
	blob_unref(a);
	ck_assert_uint_eq(account.bytes, 60);
	blob_unref(a);
	ck_assert_uint_eq(account.bytes, 0);
	ck_assert(blob_charge(c, &account, 100)); /* alone it may be more */
	ck_assert_uint_eq(account.bytes, 200);
	blob_unref(c);
	ck_assert_uint_eq(account.bytes, 0);
}
END_TEST

START_TEST(an_empty_blob_is_a_blob)
{
	struct blob *b = blob_of(slice_of(NULL, 0));

	ck_assert_ptr_nonnull(b);
	ck_assert_uint_eq(blob_slice(b).len, 0);
	blob_unref(b);
	blob_unref(NULL);
}
END_TEST

START_TEST(a_truncated_blob_shows_the_rest_no_more)
{
	struct blob *b = blob_new(8);

	memcpy(blob_mem(b), "12345678", 8);
	blob_truncate(b, 3);
	ck_assert(slice_eq(blob_slice(b), SLICE("123")));
	blob_unref(b);
}
END_TEST

START_TEST(no_memory_and_absurd_lengths_are_refused)
{
	ck_assert_ptr_null(blob_new(SIZE_MAX));
	mem_fail_nth(1, 0);
	ck_assert_ptr_null(blob_of(SLICE("abc")));
	mem_fail_nth(0, 0);
}
END_TEST

static void *
ref_and_unref(void *arg)
{
	struct blob *b = arg;

	for (int i = 0; i < 10000; i++)
		blob_unref(blob_ref(b));
	blob_unref(b);
	return NULL;
}

/* The sanitizers see whether it is freed once, and not too early. */
START_TEST(the_last_of_many_threads_frees)
{
	struct blob *b = blob_of(SLICE("shared"));
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert_int_eq(
		    pthread_create(&threads[i], NULL, ref_and_unref, blob_ref(b)), 0);
	blob_unref(b);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("blob");

	SUITE_ADD(s, "content", a_copy_is_independent_of_what_it_was_made_from,
	    an_empty_blob_is_a_blob,
	    an_account_has_each_blob_once_until_its_end, a_truncated_blob_shows_the_rest_no_more);
	SUITE_ADD(s, "memory", no_memory_and_absurd_lengths_are_refused,
	    the_last_of_many_threads_frees);
	return suite_main(s);
}
