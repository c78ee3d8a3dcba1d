#include "config.h"

#include "resil/sketch.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

START_TEST(an_empty_one_has_no_percentiles)
{
	struct sketch s;

	sketch_init(&s, S, T0);
	ck_assert_uint_eq(sketch_samples(&s), 0);
	ck_assert_int_eq(sketch_quantile(&s, 0.5), 0);
}
END_TEST

START_TEST(percentiles_are_right_to_seven_percent)
{
	static const double qs[] = { 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 1 };

	for (int64_t scale = 1; scale < (int64_t)1 << 25; scale *= 3) {
		struct sketch s;

		sketch_init(&s, 0, T0);
		for (int i = 1; i <= 4000; i++)
			sketch_add(&s, i * scale, T0);
		EACH(qs, q) {
			double exact = qs[i_q] * 4000 * (double)scale;
			double got = (double)sketch_quantile(&s, qs[i_q]);

			ck_assert_double_ge(got, exact * 0.93 - 1);
			ck_assert_double_le(got, exact * 1.07 + 1);
		}
	}
}
END_TEST

START_TEST(half_is_forgotten_each_half_life)
{
	struct sketch s;

	sketch_init(&s, 10 * S, T0);
	for (int i = 0; i < 64; i++)
		sketch_add(&s, 100 * MS, T0);
	sketch_fade(&s, T0 + 10 * S - 1);
	ck_assert_uint_eq(sketch_samples(&s), 64);
	sketch_fade(&s, T0 + 10 * S);
	ck_assert_uint_eq(sketch_samples(&s), 32);
	sketch_fade(&s, T0 + 30 * S);
	ck_assert_uint_eq(sketch_samples(&s), 8);
	sketch_fade(&s, T0 + 1000 * S);
	ck_assert_uint_eq(sketch_samples(&s), 0);
}
END_TEST

START_TEST(the_tail_does_not_fade_before_the_rest)
{
	struct sketch s;

	sketch_init(&s, 10 * S, T0);
	for (int i = 0; i < 94; i++)
		sketch_add(&s, 10 * MS, T0);
	for (int i = 1; i <= 6; i++)
		sketch_add(&s, i * S, T0); /* one each */
	for (int i = 0; i <= 6; i++) {
		sketch_fade(&s, T0 + i * 10 * S);
		ck_assert_int_ge(sketch_quantile(&s, 0.95), 900 * MS);
	}
}
END_TEST

START_TEST(new_times_outweigh_old_ones_when_it_is_full)
{
	struct sketch s;

	sketch_init(&s, 0, T0);
	for (int i = 0; i < 100000; i++)
		sketch_add(&s, 10 * MS, T0);
	ck_assert_uint_le(sketch_samples(&s), SKETCH_FULL);
	for (int i = 0; i < SKETCH_FULL; i++)
		sketch_add(&s, S, T0);
	ck_assert_int_ge(sketch_quantile(&s, 0.5), 900 * MS);
}
END_TEST

START_TEST(durations_and_clocks_at_their_ends_are_counted)
{
	EACH(clock_edges, from) EACH(clock_edges, to) EACH(clock_edges, took) {
		struct sketch s;

		sketch_init(&s, 1, clock_edges[i_from]);
		sketch_add(&s, clock_edges[i_took], clock_edges[i_from]);
		ck_assert_uint_eq(sketch_samples(&s), 1);
		sketch_add(&s, clock_edges[i_took], clock_edges[i_to]);
		ck_assert_uint_ge(sketch_samples(&s), 1);
		ck_assert_int_ge(sketch_quantile(&s, 0.5), 0);
		ck_assert_int_lt(sketch_quantile(&s, 0.5), (int64_t)1 << SKETCH_MAX_BITS);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sketch");

	SUITE_ADD(s, "sketch", an_empty_one_has_no_percentiles, percentiles_are_right_to_seven_percent,
	    half_is_forgotten_each_half_life, the_tail_does_not_fade_before_the_rest,
	    new_times_outweigh_old_ones_when_it_is_full,
	    durations_and_clocks_at_their_ends_are_counted);
	return suite_main(s);
}
