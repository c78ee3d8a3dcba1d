#include "config.h"

#include <errno.h>

#include "resil/gcra.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

/* 100 a second, 5 at once. */
static struct bucket
bucket_of(int64_t count, int64_t period_us, int64_t burst)
{
	struct bucket b;

	ck_assert_int_eq(bucket_init(&b, count, period_us, burst), 0);
	return b;
}

START_TEST(a_full_bucket_gives_its_burst_then_one_token_an_interval)
{
	struct bucket b = bucket_of(100, S, 5);
	int64_t retry;

	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(bucket_take(&b, T0, 0, NULL), 0);
	ck_assert_int_eq(bucket_take(&b, T0, 0, &retry), -1);
	ck_assert_int_eq(retry, 10 * MS);
	ck_assert_int_eq(bucket_wait_us(&b, T0), 10 * MS);
	ck_assert_int_eq(bucket_take(&b, T0 + 10 * MS - 1, 0, &retry), -1);
	ck_assert_int_eq(retry, 1);
	ck_assert_int_eq(bucket_take(&b, T0 + 10 * MS, 0, &retry), 0);
	ck_assert_int_eq(retry, 0);
	ck_assert_int_eq(bucket_take(&b, T0 + 10 * MS, 0, NULL), -1);
	ck_assert_uint_eq(b.taken, 6);
	ck_assert_uint_eq(b.refused, 3);
}
END_TEST

START_TEST(who_may_wait_gets_the_next_token_in_line)
{
	struct bucket b = bucket_of(100, S, 1);
	int64_t retry;

	ck_assert_int_eq(bucket_take(&b, T0, 25 * MS, NULL), 0);
	ck_assert_int_eq(bucket_take(&b, T0, 25 * MS, NULL), 10 * MS);
	ck_assert_int_eq(bucket_take(&b, T0, 25 * MS, NULL), 20 * MS);
	ck_assert_int_eq(bucket_take(&b, T0, 25 * MS, &retry), -1);
	ck_assert_int_eq(retry, 30 * MS);
	ck_assert_int_eq(bucket_take(&b, T0 + 5 * MS, 25 * MS, NULL), 25 * MS);
}
END_TEST

START_TEST(a_token_that_is_given_back_can_be_taken_again)
{
	struct bucket b = bucket_of(1, S, 1);

	ck_assert_int_eq(bucket_take(&b, T0, 0, NULL), 0);
	ck_assert_int_eq(bucket_take(&b, T0, 0, NULL), -1);
	bucket_return(&b);
	ck_assert_int_eq(bucket_take(&b, T0, 0, NULL), 0);
	/* Given back after it would be there anyway: still no more than the burst. */
	bucket_return(&b);
	ck_assert_int_eq(bucket_take(&b, T0 + MINUTE, 0, NULL), 0);
	ck_assert_int_eq(bucket_take(&b, T0 + MINUTE, 0, NULL), -1);
}
END_TEST

START_TEST(whoever_waits_as_told_keeps_the_rate)
{
	struct bucket b = bucket_of(50, MINUTE, 3);
	struct draw d = { 5 };
	int64_t now = T0, taken = 0;

	for (int i = 0; i < 20000; i++) {
		int64_t wait = bucket_take(&b, now, 2 * S, NULL);

		taken += wait >= 0;
		/* The last one goes out at now + wait, at most 2 s ahead. */
		ck_assert_int_le(taken, 3 + (now - T0 + 2 * S) * 50 / MINUTE);
		now += (int64_t)draw_below(draw_next(&d), 400 * MS);
	}
	ck_assert_int_ge(taken, (now - T0) * 50 / MINUTE);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
	struct bucket b;

	ck_assert_int_eq(bucket_init(&b, 0, S, 1), -EINVAL);
	ck_assert_int_eq(bucket_init(&b, 1, 0, 1), -EINVAL);
	ck_assert_int_eq(bucket_init(&b, 1, S, 0), -EINVAL);
	ck_assert_int_eq(bucket_init(&b, INT64_MAX, S, 1), -ERANGE);
	ck_assert_int_eq(bucket_init(&b, 1, INT64_MAX, 1), -ERANGE);
	ck_assert_int_eq(bucket_init(&b, 1, S, INT64_MAX), -ERANGE);
}
END_TEST

START_TEST(the_ends_of_the_clock_are_no_end)
{
	EACH(clock_edges, from) EACH(clock_edges, to) EACH(clock_edges, wait) {
		struct bucket b = bucket_of(1, MINUTE, 2);
		int64_t now = clock_edges[i_from], retry;

		if (now <= 0 || clock_edges[i_to] <= 0)
			continue;
		ck_assert_int_eq(bucket_take(&b, now, clock_edges[i_wait], NULL), 0);
		bucket_take(&b, clock_edges[i_to], clock_edges[i_wait], &retry);
		ck_assert_int_ge(retry, 0);
		ck_assert_int_ge(bucket_wait_us(&b, clock_edges[i_to]), 0);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bucket");

	SUITE_ADD(s, "bucket", a_full_bucket_gives_its_burst_then_one_token_an_interval,
	    who_may_wait_gets_the_next_token_in_line,
	    a_token_that_is_given_back_can_be_taken_again, whoever_waits_as_told_keeps_the_rate,
	    what_cannot_be_is_refused, the_ends_of_the_clock_are_no_end);
	return suite_main(s);
}
