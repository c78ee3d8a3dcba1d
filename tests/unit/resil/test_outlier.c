#include "config.h"

#include <errno.h>

#include "resil/outlier.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

/* 3 in a row, 30 s to 300 s, no jitter, half of them. */
static struct outlier
outlier_of(uint32_t n)
{
	struct outlier_cfg c;
	struct outlier o;

	outlier_defaults(&c);
	c.consecutive = 3;
	c.jitter_pct = 0;
	ck_assert_int_eq(outlier_init(&o, &c, n, T0), 0);
	return o;
}

static enum outlier_event
fails(struct outlier *o, uint32_t i, int times, int64_t now)
{
	enum outlier_event last = OUTLIER_NOTHING;

	for (int k = 0; k < times; k++)
		last = outlier_report(o, i, false, now, 0);
	return last;
}

START_TEST(failures_in_a_row_eject)
{
	struct outlier o = outlier_of(4);

	ck_assert_int_eq(fails(&o, 2, 2, T0), OUTLIER_NOTHING);
	ck_assert_uint_eq(outlier_usable(&o, T0), 0xf);
	ck_assert_int_eq(fails(&o, 2, 1, T0), OUTLIER_EJECTED);
	ck_assert_uint_eq(outlier_usable(&o, T0), 0xb);
	ck_assert_int_eq(outlier_left_us(&o, 2, T0), 30 * S);
	ck_assert_int_eq(outlier_left_us(&o, 1, T0), 0);
	ck_assert_uint_eq(o.ejections, 1);
}
END_TEST

START_TEST(one_success_begins_the_row_anew)
{
	struct outlier o = outlier_of(4);

	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(fails(&o, 0, 2, T0), OUTLIER_NOTHING);
		ck_assert_int_eq(outlier_report(&o, 0, true, T0, 0), OUTLIER_NOTHING);
	}
	ck_assert_uint_eq(outlier_usable(&o, T0), 0xf);
}
END_TEST

START_TEST(who_is_out_comes_back_when_its_time_is_over)
{
	struct outlier o = outlier_of(4);

	fails(&o, 0, 3, T0);
	ck_assert_uint_eq(outlier_usable(&o, T0 + 30 * S - 1), 0xe);
	ck_assert_uint_eq(outlier_usable(&o, T0 + 30 * S), 0xf);
	ck_assert_uint_eq(o.returns, 1);
	ck_assert_int_eq(o.endpoint[0].returned_us, T0 + 30 * S);
}
END_TEST

START_TEST(results_of_one_that_is_out_do_not_count)
{
	struct outlier o = outlier_of(4);

	fails(&o, 0, 3, T0);
	ck_assert_int_eq(fails(&o, 0, 100, T0 + S), OUTLIER_NOTHING);
	ck_assert_int_eq(outlier_report(&o, 0, true, T0 + S, 0), OUTLIER_NOTHING);
	ck_assert_int_eq(outlier_left_us(&o, 0, T0 + S), 29 * S);
}
END_TEST

START_TEST(on_trial_the_first_failure_ejects_again_and_longer)
{
	static const int64_t seconds[] = { 30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300 };
	struct outlier o = outlier_of(4);
	int64_t now = T0;

	fails(&o, 0, 2, now);
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		ck_assert_int_eq(fails(&o, 0, 1, now), OUTLIER_EJECTED);
		ck_assert_int_eq(outlier_left_us(&o, 0, now), seconds[i] * S);
		now += seconds[i] * S;
	}
}
END_TEST

START_TEST(on_trial_the_first_success_clears)
{
	struct outlier o = outlier_of(4);

	fails(&o, 0, 3, T0);
	ck_assert_int_eq(outlier_report(&o, 0, true, T0 + 30 * S, 0), OUTLIER_CLEARED);
	ck_assert_int_eq(fails(&o, 0, 2, T0 + 30 * S), OUTLIER_NOTHING);
	ck_assert_int_eq(fails(&o, 0, 1, T0 + 30 * S), OUTLIER_EJECTED);
	ck_assert_int_eq(outlier_left_us(&o, 0, T0 + 30 * S), 60 * S);
}
END_TEST

START_TEST(time_in_service_forgives)
{
	struct outlier o = outlier_of(4);
	int64_t now = T0;

	for (int i = 1; i <= 3; i++) {
		fails(&o, 0, 3, now);
		now += i * 30 * S;
		outlier_report(&o, 0, true, now, 0);
	}
	now += 60 * S; /* two of the three */
	fails(&o, 0, 3, now);
	ck_assert_int_eq(outlier_left_us(&o, 0, now), 60 * S);
	now += 60 * S + 10000 * S;
	outlier_report(&o, 0, true, now, 0);
	fails(&o, 0, 3, now);
	ck_assert_int_eq(outlier_left_us(&o, 0, now), 30 * S);
}
END_TEST

START_TEST(no_more_than_the_share_is_out_at_a_time)
{
	struct outlier o = outlier_of(4);

	ck_assert_int_eq(fails(&o, 0, 3, T0), OUTLIER_EJECTED);
	ck_assert_int_eq(fails(&o, 1, 3, T0), OUTLIER_EJECTED);
	ck_assert_int_eq(fails(&o, 2, 3, T0), OUTLIER_SPARED);
	ck_assert_uint_eq(outlier_usable(&o, T0), 0xc);
	ck_assert_uint_eq(o.spared, 1);
	/* One place is free again: the next failure takes it. */
	ck_assert_int_eq(fails(&o, 2, 1, T0 + 30 * S), OUTLIER_EJECTED);
}
END_TEST

START_TEST(one_may_always_be_out_and_the_last_never)
{
	for (uint32_t n = 1; n <= OUTLIER_MAX; n++) {
		static const uint32_t shares[] = { 0, 10, 50, 100 };

		EACH(shares, share) {
			struct outlier o = outlier_of(n);
			uint32_t want = MIN(MAX(n * shares[i_share] / 100, 1), n - 1);

			o.cfg.max_pct = shares[i_share];
			for (uint32_t i = 0; i < n; i++)
				fails(&o, i, 3, T0);
			ck_assert_uint_eq(o.n_out, want);
			ck_assert_int_eq(__builtin_popcountll(outlier_usable(&o, T0)), n - want);
		}
	}
}
END_TEST

START_TEST(a_good_health_check_brings_it_back_on_trial)
{
	struct outlier o = outlier_of(4);

	fails(&o, 0, 3, T0);
	outlier_restore(&o, 0, T0 + S);
	outlier_restore(&o, 1, T0 + S); /* is not out */
	ck_assert_uint_eq(outlier_usable(&o, T0 + S), 0xf);
	ck_assert_uint_eq(o.returns, 1);
	ck_assert_int_eq(fails(&o, 0, 1, T0 + S), OUTLIER_EJECTED);
}
END_TEST

START_TEST(without_a_threshold_nobody_is_ejected)
{
	struct outlier o = outlier_of(4);

	o.cfg.consecutive = 0;
	ck_assert_int_eq(fails(&o, 0, 1000, T0), OUTLIER_NOTHING);
}
END_TEST

START_TEST(jitter_keeps_many_from_coming_back_at_once)
{
	struct draw d = { 59 };
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 1000; i++) {
		struct outlier o = outlier_of(4);

		o.cfg.jitter_pct = 10;
		fails(&o, 0, 2, T0);
		outlier_report(&o, 0, false, T0, draw_next(&d));
		least = MIN(least, outlier_left_us(&o, 0, T0));
		most = MAX(most, outlier_left_us(&o, 0, T0));
	}
	ck_assert_int_ge(least, 27 * S);
	ck_assert_int_le(least, 27 * S + 100 * MS);
	ck_assert_int_le(most, 33 * S);
	ck_assert_int_ge(most, 33 * S - 100 * MS);
}
END_TEST

START_TEST(figures_out_of_range_are_refused)
{
	static const struct outlier_cfg bad[] = {
		{ 5, 0, S, 0, 50 }, { 5, S, S - 1, 0, 50 }, { 5, S, INT64_MAX, 0, 50 },
		{ 5, S, S, 101, 50 }, { 5, S, S, 0, 101 },
	};
	struct outlier_cfg c;
	struct outlier o;

	EACH(bad, cfg)
		ck_assert_int_eq(outlier_init(&o, &bad[i_cfg], 4, T0), -EINVAL);
	outlier_defaults(&c);
	ck_assert_int_eq(outlier_init(&o, &c, 0, T0), -EINVAL);
	ck_assert_int_eq(outlier_init(&o, &c, OUTLIER_MAX + 1, T0), -EINVAL);
	ck_assert_int_eq(outlier_init(&o, &c, OUTLIER_MAX, T0), 0);
	ck_assert_uint_eq(outlier_usable(&o, T0), UINT64_MAX);
}
END_TEST

START_TEST(it_stays_sound_at_the_ends_of_the_clock)
{
	struct draw d = { 61 };

	for (int round = 0; round < 16; round++) {
		struct outlier_cfg c = { 1, round & 1 ? 1 : INT64_MAX / 1024, INT64_MAX / 1024,
			round & 2 ? 100 : 0, round & 4 ? 100 : 0 };
		struct outlier o;

		ck_assert_int_eq(outlier_init(&o, &c, round & 8 ? 1 : 64,
		    clock_edges[round % ARRAY_LEN(clock_edges)]), 0);
		for (int i = 0; i < 4000; i++) {
			uint64_t r = draw_next(&d), mask;
			int64_t now = clock_edges[(r >> 8) % ARRAY_LEN(clock_edges)];

			outlier_report(&o, (uint32_t)(r & 63) % o.n, r >> 32 & 1, now, r);
			mask = outlier_usable(&o, now);
			ck_assert_uint_ne(mask, 0);
			ck_assert_int_eq(__builtin_popcountll(mask), (int)(o.n - o.n_out));
			ck_assert_int_ge(outlier_left_us(&o, 0, now), 0);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("outlier");

	SUITE_ADD(s, "outlier", failures_in_a_row_eject, one_success_begins_the_row_anew,
	    who_is_out_comes_back_when_its_time_is_over, results_of_one_that_is_out_do_not_count,
	    on_trial_the_first_failure_ejects_again_and_longer, on_trial_the_first_success_clears,
	    time_in_service_forgives, no_more_than_the_share_is_out_at_a_time,
	    one_may_always_be_out_and_the_last_never, a_good_health_check_brings_it_back_on_trial,
	    without_a_threshold_nobody_is_ejected, jitter_keeps_many_from_coming_back_at_once,
	    figures_out_of_range_are_refused, it_stays_sound_at_the_ends_of_the_clock);
	return suite_main(s);
}
