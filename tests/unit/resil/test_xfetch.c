#include "config.h"

#include <math.h>

#include "resil/xfetch.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

static double
share_due(int64_t left, int64_t delta, double beta)
{
	struct draw d = { 83 };
	int due = 0;

	for (int i = 0; i < 100000; i++)
		due += xfetch_due(left, delta, beta, draw_next(&d));
	return due / 100000.0;
}

/* P(-beta * delta * ln(U) >= left) = exp(-left / (beta * delta)) */
START_TEST(the_chance_is_that_of_the_paper)
{
	static const double at[] = { 0.1, 0.5, 1, 2, 5 };

	EACH(at, x) {
		double want = exp(-at[i_x]);

		ck_assert_double_eq_tol(share_due((int64_t)(at[i_x] * 100 * MS), 100 * MS, 1), want, 0.006);
		ck_assert_double_eq_tol(share_due((int64_t)(at[i_x] * 200 * MS), 100 * MS, 2), want, 0.006);
	}
}
END_TEST

START_TEST(what_has_expired_is_always_due)
{
	EACH(draw_edges, r) {
		ck_assert(xfetch_due(0, 100 * MS, 1, draw_edges[i_r]));
		ck_assert(xfetch_due(-1, 0, 0, draw_edges[i_r]));
		ck_assert(xfetch_due(INT64_MIN, 0, (double)NAN, draw_edges[i_r]));
	}
}
END_TEST

START_TEST(without_beta_or_duration_it_is_never_due_early)
{
	static const double betas[] = { 0, -1, -INFINITY, (double)NAN };

	EACH(betas, beta) EACH(draw_edges, r)
		ck_assert(!xfetch_due(1, 100 * MS, betas[i_beta], draw_edges[i_r]));
	EACH(draw_edges, r) {
		ck_assert(!xfetch_due(1, 0, 1, draw_edges[i_r]));
		ck_assert(!xfetch_due(1, -100 * MS, 1, draw_edges[i_r]));
		ck_assert(!xfetch_due(INT64_MAX, 100 * MS, 1, draw_edges[i_r]));
	}
}
END_TEST

/* A thousand readers a second, a fetch of 100 ms, a ttl of 60 s: one of them asks
 * early, and not long before the end; that it has expired is never seen. */
START_TEST(a_busy_key_is_refreshed_once_and_shortly_before_its_end)
{
	struct draw d = { 89 };

	for (int round = 0; round < 200; round++) {
		int64_t left = MINUTE;

		while (left > 0 && !xfetch_due(left, 100 * MS, 1, draw_next(&d)))
			left -= MS;
		ck_assert_int_gt(left, 100 * MS / 10);
		ck_assert_int_lt(left, 3 * S);
	}
}
END_TEST

START_TEST(ttls_become_shorter_evenly_and_never_longer)
{
	struct draw d = { 97 };
	int tenths[10] = { 0 };

	for (int i = 0; i < 100000; i++) {
		int64_t ttl = ttl_jitter(1000, 10, draw_next(&d));

		ck_assert_int_ge(ttl, 900);
		ck_assert_int_le(ttl, 1000);
		tenths[MIN((1000 - ttl) / 10, 9)]++;
	}
	for (int i = 0; i < 9; i++)
		ck_assert_int_ge(tenths[i], 9400);
	ck_assert_int_ge(tenths[9], 10000); /* 11 of the 101 values */
}
END_TEST

START_TEST(a_ttl_stays_one_and_nought_stays_nought)
{
	static const uint32_t pcts[] = { 0, 1, 50, 100, 101, UINT32_MAX };

	EACH(clock_edges, ttl) EACH(pcts, pct) EACH(draw_edges, r) {
		int64_t ttl = clock_edges[i_ttl], got = ttl_jitter(ttl, pcts[i_pct], draw_edges[i_r]);

		if (ttl <= 0)
			ck_assert_int_eq(got, ttl);
		else if (got < 1 || got > ttl)
			ck_abort_msg("%lld of %lld", (long long)got, (long long)ttl);
		if (pcts[i_pct] == 0)
			ck_assert_int_eq(got, ttl);
	}
	ck_assert_int_eq(ttl_jitter(1000, 100, UINT64_MAX), 1);
	ck_assert_int_eq(ttl_jitter(1000, 50, UINT64_MAX), 500);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("xfetch");

	SUITE_ADD(s, "xfetch", the_chance_is_that_of_the_paper, what_has_expired_is_always_due,
	    without_beta_or_duration_it_is_never_due_early,
	    a_busy_key_is_refreshed_once_and_shortly_before_its_end,
	    ttls_become_shorter_evenly_and_never_longer, a_ttl_stays_one_and_nought_stays_nought);
	return suite_main(s);
}
