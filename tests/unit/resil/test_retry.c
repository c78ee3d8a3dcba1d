#include "config.h"

#include <errno.h>
#include <math.h>

#include "resil/retry.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

static struct budget
budget_of(double pct, double min_per_s)
{
	struct budget_cfg c = { .pct = pct, .min_per_s = min_per_s, .window_us = 10 * S };
	struct budget b;

	ck_assert_int_eq(budget_init(&b, &c, T0), 0);
	return b;
}

static int
take_all(struct budget *b, int64_t now)
{
	int n = 0;

	while (budget_take(b, now))
		n++;
	return n;
}

/* --- budget ---------------------------------------------------------------------- */

START_TEST(each_five_requests_pay_for_one_retry)
{
	struct budget b = budget_of(20, 0);

	ck_assert_int_eq(take_all(&b, T0), 0);
	for (int i = 1; i <= 100; i++) {
		budget_request(&b, T0);
		ck_assert_int_eq(take_all(&b, T0), i % 5 == 0);
	}
	ck_assert_uint_eq(b.granted, 20);
	ck_assert_uint_eq(b.refused, 101);
}
END_TEST

START_TEST(a_few_a_second_are_free)
{
	struct budget b = budget_of(20, 3);

	ck_assert_int_eq(take_all(&b, T0), 30);
	ck_assert_int_eq(take_all(&b, T0 + 10 * S - 1), 0);
	ck_assert_int_eq(take_all(&b, T0 + 10 * S), 30);
}
END_TEST

START_TEST(requests_older_than_the_window_pay_for_nothing)
{
	struct budget b = budget_of(20, 0);

	for (int i = 0; i < 100; i++)
		budget_request(&b, T0);
	ck_assert_double_eq_tol(budget_left(&b, T0), 20, 1e-9);
	ck_assert_double_eq_tol(budget_left(&b, T0 + 10 * S), 0, 1e-9);
	ck_assert_int_eq(take_all(&b, T0 + 10 * S), 0);
}
END_TEST

/* All fail, all want to be sent three times more: the origin sees a fifth more. */
START_TEST(amplification_stays_at_a_fifth_whatever_fails)
{
	struct budget b = budget_of(20, 0);
	struct draw d = { 19 };
	int64_t now = T0;
	double requests = 0, retries = 0;

	for (int i = 0; i < 300000; i++) {
		budget_request(&b, now);
		requests++;
		for (int again = 0; again < 3 && budget_take(&b, now); again++)
			retries++;
		now += (int64_t)draw_below(draw_next(&d), i / 50000 % 2 ? 20 * MS : 200);
	}
	ck_assert_double_le((requests + retries) / requests, 1.2);
	ck_assert_double_ge((requests + retries) / requests, 1.19);
}
END_TEST

START_TEST(a_sudden_outage_finds_no_more_than_the_window_saved)
{
	struct budget b = budget_of(20, 0);
	int64_t now = T0;

	/* An hour without one retry saves no hour's worth. */
	for (int i = 0; i < 36000; i++) {
		now += 100 * MS;
		budget_request(&b, now);
	}
	ck_assert_int_le(take_all(&b, now), 20);
}
END_TEST

START_TEST(a_retry_that_was_not_sent_is_given_back)
{
	struct budget b = budget_of(20, 0);

	for (int i = 0; i < 5; i++)
		budget_request(&b, T0);
	ck_assert(budget_take(&b, T0));
	budget_return(&b, T0 + S);
	ck_assert(budget_take(&b, T0 + S));
	ck_assert(!budget_take(&b, T0 + S));
	/* More given back than taken: no gift. */
	budget_return(&b, T0 + S);
	budget_return(&b, T0 + S);
	ck_assert_int_eq(take_all(&b, T0 + S), 1);
}
END_TEST

START_TEST(a_dry_run_may_overdraw_and_is_seen_to)
{
	struct budget b = budget_of(20, 0);

	for (int i = 0; i < 10; i++)
		budget_overdraw(&b, T0);
	ck_assert_double_eq_tol(budget_left(&b, T0), -10, 1e-9);
	for (int i = 0; i < 50; i++)
		budget_request(&b, T0);
	ck_assert(!budget_take(&b, T0));
}
END_TEST

START_TEST(budgets_out_of_range_are_refused)
{
	static const struct budget_cfg bad[] = {
		{ -1, 0, S }, { 1001, 0, S }, { (double)NAN, 0, S }, { 20, -1, S }, { 20, 1e7, S },
		{ 20, (double)NAN, S }, { 20, 0, 9 }, { 20, 0, INT64_MAX }, { 20, 0, -1 },
	};
	struct budget_cfg c;
	struct budget b;

	EACH(bad, cfg)
		ck_assert_int_eq(budget_init(&b, &bad[i_cfg], T0), -EINVAL);
	budget_defaults(&c);
	ck_assert_int_eq(budget_init(&b, &c, T0), 0);
	ck_assert_double_eq_tol(budget_left(&b, T0), 30, 1e-9);
	c = (struct budget_cfg){ 0, 0, 10 };
	ck_assert_int_eq(budget_init(&b, &c, T0), 0);
	budget_request(&b, T0);
	ck_assert(!budget_take(&b, T0)); /* none at all */
}
END_TEST

/* --- back-off -------------------------------------------------------------------- */

START_TEST(the_wait_doubles_up_to_the_maximum)
{
	static const int64_t want[] = { 10, 10, 20, 40, 80, 160, 320, 640, 1000, 1000 };
	struct backoff_cfg c = { BACKOFF_NONE, 10 * MS, S };

	for (uint32_t n = 0; n < ARRAY_LEN(want); n++)
		ck_assert_int_eq(backoff_wait_us(&c, n, 0, 12345), want[n] * MS);
	ck_assert_int_eq(backoff_wait_us(&c, UINT32_MAX, 0, 0), S);
}
END_TEST

START_TEST(full_jitter_spreads_evenly_from_nought_to_the_wait)
{
	struct backoff_cfg c;
	struct draw d = { 23 };
	int tenths[10] = { 0 };

	backoff_defaults(&c);
	for (int i = 0; i < 100000; i++) {
		int64_t wait = backoff_wait_us(&c, 4, 0, draw_next(&d));

		ck_assert_int_ge(wait, 0);
		ck_assert_int_le(wait, 80 * MS);
		tenths[MIN(wait / (8 * MS), 9)]++;
	}
	for (int i = 0; i < 10; i++) {
		ck_assert_int_ge(tenths[i], 9500);
		ck_assert_int_le(tenths[i], 10500);
	}
	ck_assert_int_eq(backoff_wait_us(&c, 4, 0, 0), 0);
	ck_assert_int_eq(backoff_wait_us(&c, 4, 0, UINT64_MAX), 80 * MS);
}
END_TEST

START_TEST(decorrelated_jitter_grows_from_the_last_wait)
{
	struct backoff_cfg c = { BACKOFF_DECORRELATED, 10 * MS, S };

	ck_assert_int_eq(backoff_wait_us(&c, 1, 0, 0), 10 * MS);
	ck_assert_int_eq(backoff_wait_us(&c, 1, 0, UINT64_MAX), 30 * MS);
	ck_assert_int_eq(backoff_wait_us(&c, 2, 30 * MS, 0), 10 * MS);
	ck_assert_int_eq(backoff_wait_us(&c, 2, 30 * MS, UINT64_MAX), 90 * MS);
	ck_assert_int_eq(backoff_wait_us(&c, 9, 900 * MS, UINT64_MAX), S);
	ck_assert_int_eq(backoff_wait_us(&c, 9, INT64_MAX, UINT64_MAX), S);
	ck_assert_int_eq(backoff_wait_us(&c, 9, INT64_MIN, UINT64_MAX), 30 * MS);
}
END_TEST

START_TEST(waits_at_the_ends_stay_within_their_maximum)
{
	static const enum backoff_jitter kinds[] = { BACKOFF_FULL, BACKOFF_DECORRELATED, BACKOFF_NONE };
	static const int64_t lengths[] = { 0, 1, S, INT64_MAX / 1024 };
	static const uint32_t tries[] = { 0, 1, 2, 31, 32, 33, 62, 63, 64, 65, UINT32_MAX };

	EACH(kinds, kind) EACH(lengths, base) EACH(lengths, max) EACH(tries, n) EACH(clock_edges, last)
	EACH(draw_edges, r) {
		struct backoff_cfg c = { kinds[i_kind], lengths[i_base], lengths[i_max] };
		int64_t wait;

		if (!backoff_is_valid(&c)) {
			ck_assert_int_lt(c.max_us, c.base_us);
			continue;
		}
		wait = backoff_wait_us(&c, tries[i_n], clock_edges[i_last], draw_edges[i_r]);
		if (wait < 0 || wait > c.max_us)
			ck_abort_msg("kind %d: %lld", (int)c.jitter, (long long)wait);
	}
	ck_assert(!backoff_is_valid(&(struct backoff_cfg){ BACKOFF_FULL, -1, S }));
	ck_assert(!backoff_is_valid(&(struct backoff_cfg){ BACKOFF_FULL, 0, INT64_MAX }));
}
END_TEST

/* --- deadline -------------------------------------------------------------------- */

START_TEST(a_retry_that_would_come_too_late_is_not_made)
{
	ck_assert(retry_fits(T0, 10 * MS, 40 * MS, T0 + 50 * MS));
	ck_assert(!retry_fits(T0, 10 * MS, 40 * MS, T0 + 50 * MS - 1));
	/* Where nothing is known it must at least begin in time. */
	ck_assert(retry_fits(T0, 10 * MS, 0, T0 + 10 * MS + 1));
	ck_assert(!retry_fits(T0, 10 * MS, 0, T0 + 10 * MS));
	ck_assert(!retry_fits(T0, 0, 0, T0));
	ck_assert(!retry_fits(T0, 0, 0, T0 - 1));
	EACH(clock_edges, now) EACH(clock_edges, wait) EACH(clock_edges, deadline)
		ck_assert(!retry_fits(clock_edges[i_now], clock_edges[i_wait], 0, clock_edges[i_deadline]) ||
		    clock_edges[i_now] < clock_edges[i_deadline]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("retry");

	SUITE_ADD(s, "budget", each_five_requests_pay_for_one_retry, a_few_a_second_are_free,
	    requests_older_than_the_window_pay_for_nothing,
	    amplification_stays_at_a_fifth_whatever_fails,
	    a_sudden_outage_finds_no_more_than_the_window_saved,
	    a_retry_that_was_not_sent_is_given_back, a_dry_run_may_overdraw_and_is_seen_to,
	    budgets_out_of_range_are_refused);
	SUITE_ADD(s, "back-off", the_wait_doubles_up_to_the_maximum,
	    full_jitter_spreads_evenly_from_nought_to_the_wait,
	    decorrelated_jitter_grows_from_the_last_wait,
	    waits_at_the_ends_stay_within_their_maximum);
	SUITE_ADD(s, "deadline", a_retry_that_would_come_too_late_is_not_made);
	return suite_main(s);
}
