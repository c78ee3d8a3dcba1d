#include "config.h"

#include <errno.h>
#include <math.h>

#include "resil/hedge.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

static struct hedge
hedge_of(void)
{
	struct hedge_cfg c;
	struct hedge h;

	hedge_defaults(&c);
	ck_assert_int_eq(hedge_init(&h, &c, T0), 0);
	return h;
}

/* 1 to n ms, evenly. */
static void
samples(struct hedge *h, int n, int64_t now)
{
	for (int i = 0; i < n; i++)
		hedge_sample(h, (i % 100 + 1) * MS, now);
}

START_TEST(with_too_few_samples_it_never_hedges)
{
	struct hedge h = hedge_of();

	ck_assert_int_eq(hedge_begin(&h, T0), HEDGE_NEVER);
	samples(&h, 49, T0);
	ck_assert_int_eq(hedge_begin(&h, T0), HEDGE_NEVER);
	ck_assert_int_eq(hedge_quantile_us(&h, 0.5), 0);
	samples(&h, 1, T0);
	ck_assert_int_ge(hedge_begin(&h, T0), MS);
	ck_assert_int_gt(hedge_quantile_us(&h, 0.5), 0);
}
END_TEST

START_TEST(it_waits_for_the_percentile_of_recent_times)
{
	struct hedge h = hedge_of();

	samples(&h, 1000, T0);
	ck_assert_double_eq_tol((double)hedge_begin(&h, T0), 95 * MS, 6 * MS);
	h.cfg.percentile = 50;
	samples(&h, 100, T0);
	ck_assert_double_eq_tol((double)hedge_begin(&h, T0), 50 * MS, 4 * MS);
}
END_TEST

START_TEST(it_follows_an_origin_that_becomes_slower)
{
	struct hedge h = hedge_of();

	samples(&h, 1000, T0);
	for (int i = 0; i < 2000; i++)
		hedge_sample(&h, S, T0 + S);
	ck_assert_int_ge(hedge_begin(&h, T0 + S), 900 * MS);
}
END_TEST

START_TEST(old_times_are_forgotten)
{
	struct hedge h = hedge_of();

	samples(&h, 100, T0);
	ck_assert_int_gt(hedge_begin(&h, T0 + 59 * S), 0);
	ck_assert_int_gt(hedge_begin(&h, T0 + 60 * S), 0);
	ck_assert_int_eq(hedge_begin(&h, T0 + 120 * S), HEDGE_NEVER); /* 25 are left */
}
END_TEST

START_TEST(the_wait_is_never_shorter_than_the_minimum)
{
	struct hedge h = hedge_of();

	for (int i = 0; i < 100; i++)
		hedge_sample(&h, 10, T0);
	ck_assert_int_eq(hedge_begin(&h, T0), MS);
}
END_TEST

START_TEST(an_origin_that_drags_for_all_is_not_asked_twice_by_all)
{
	struct hedge h = hedge_of();
	int64_t now = T0;
	int sent = 0;

	samples(&h, 1000, T0);
	for (int i = 0; i < 20000; i++) {
		now += MS;
		hedge_begin(&h, now);
		sent += hedge_take(&h, now); /* each one is past its p95 */
	}
	ck_assert_int_le(sent, 1000);
	ck_assert_int_ge(sent, 950);
	ck_assert_uint_eq(h.sent, sent);
	ck_assert_uint_eq(h.capped, 20000 - sent);
}
END_TEST

/* Most answers take 5 to 15 ms, three in a hundred take 500: the tail goes, for
 * a few requests more. */
START_TEST(hedging_cuts_the_tail_for_a_few_requests_more)
{
	struct hedge h = hedge_of();
	struct draw d = { 79 };
	int64_t now = T0;
	int slow_without = 0, slow_with = 0, sent = 0;

	for (int i = 0; i < 50000; i++) {
		uint64_t r = draw_next(&d);
		int64_t first = r % 100 < 3 ? 500 * MS : 5 * MS + (int64_t)draw_below(r, 10 * MS), took;
		int64_t delay = hedge_begin(&h, now);

		took = first;
		if (delay != HEDGE_NEVER && delay < first && hedge_take(&h, now)) {
			uint64_t r2 = draw_next(&d);
			int64_t second = r2 % 100 < 3 ? 500 * MS : 5 * MS + (int64_t)draw_below(r2, 10 * MS);

			took = MIN(first, delay + second);
			sent++;
		}
		hedge_sample(&h, took, now);
		slow_without += first >= 500 * MS;
		slow_with += took >= 500 * MS;
		now += 2 * MS;
	}
	ck_assert_int_ge(slow_without, 1350);
	ck_assert_int_le(slow_with, slow_without / 10);
	ck_assert_int_le(sent, 50000 * 5 / 100);
}
END_TEST

START_TEST(figures_out_of_range_are_refused)
{
	static const double percentiles[] = { 0, -1, 100, 101, (double)NAN };
	struct hedge_cfg c;
	struct hedge h;

	EACH(percentiles, p) {
		hedge_defaults(&c);
		c.percentile = percentiles[i_p];
		ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
	}
	hedge_defaults(&c);
	c.min_delay_us = -1;
	ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
	hedge_defaults(&c);
	c.min_samples = SKETCH_FULL / 2 + 1;
	ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
	c.min_samples = 0;
	ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
	hedge_defaults(&c);
	c.half_life_us = 0;
	ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
	hedge_defaults(&c);
	c.budget.pct = -1;
	ck_assert_int_eq(hedge_init(&h, &c, T0), -EINVAL);
}
END_TEST

START_TEST(it_stays_sound_at_the_ends_of_the_clock)
{
	EACH(clock_edges, from) EACH(clock_edges, to) EACH(clock_edges, took) {
		struct hedge_cfg c;
		struct hedge h;

		hedge_defaults(&c);
		c.min_samples = 1;
		ck_assert_int_eq(hedge_init(&h, &c, clock_edges[i_from]), 0);
		hedge_sample(&h, clock_edges[i_took], clock_edges[i_from]);
		hedge_sample(&h, clock_edges[i_took], clock_edges[i_to]);
		ck_assert_int_ge(hedge_begin(&h, clock_edges[i_to]), MS);
		hedge_take(&h, clock_edges[i_to]);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hedge");

	SUITE_ADD(s, "hedge", with_too_few_samples_it_never_hedges,
	    it_waits_for_the_percentile_of_recent_times, it_follows_an_origin_that_becomes_slower,
	    old_times_are_forgotten, the_wait_is_never_shorter_than_the_minimum,
	    an_origin_that_drags_for_all_is_not_asked_twice_by_all,
	    hedging_cuts_the_tail_for_a_few_requests_more, figures_out_of_range_are_refused,
	    it_stays_sound_at_the_ends_of_the_clock);
	return suite_main(s);
}
