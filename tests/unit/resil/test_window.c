#include "config.h"

#include "resil/window.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

static struct window
empty(void)
{
	struct window w;

	window_init(&w, 10 * S, T0);
	return w;
}

START_TEST(what_was_counted_lately_is_summed_by_kind)
{
	struct window w = empty();

	window_add(&w, 0, 1, T0);
	window_add(&w, 0, 2, T0 + 5 * S);
	window_add(&w, 2, 7, T0 + 5 * S);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 5 * S), 3);
	ck_assert_int_eq(window_sum(&w, 1, T0 + 5 * S), 0);
	ck_assert_int_eq(window_sum(&w, 2, T0 + 5 * S), 7);
}
END_TEST

START_TEST(a_count_is_forgotten_when_the_window_has_passed_and_not_before)
{
	struct window w = empty();

	window_add(&w, 0, 1, T0);
	ck_assert_int_eq(window_peek(&w, 0, T0 + 10 * S - 1), 1);
	ck_assert_int_eq(window_peek(&w, 0, T0 + 10 * S), 0);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 10 * S - 1), 1);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 10 * S), 0);
}
END_TEST

START_TEST(old_counts_go_bucket_by_bucket)
{
	struct window w = empty();

	for (int i = 0; i < 10; i++)
		window_add(&w, 0, 1, T0 + i * S);
	for (int i = 0; i <= 10; i++) {
		ck_assert_int_eq(window_peek(&w, 0, T0 + (9 + i) * S), 10 - i);
		ck_assert_int_eq(window_sum(&w, 0, T0 + (9 + i) * S), 10 - i);
	}
}
END_TEST

START_TEST(a_time_that_lies_back_counts_as_now)
{
	struct window w = empty();

	window_add(&w, 0, 1, T0 + 60 * S);
	window_add(&w, 0, 1, T0);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 1), 2);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 69 * S), 2);
}
END_TEST

START_TEST(after_a_long_pause_it_is_empty_and_counts_on)
{
	struct window w = empty();

	window_add(&w, 0, 5, T0);
	window_add(&w, 0, 1, T0 + 1000000 * S);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 1000000 * S), 1);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 1000009 * S), 1);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 1000010 * S), 0);
}
END_TEST

START_TEST(undo_takes_back_the_last_one_wherever_it_lies)
{
	struct window w = empty();

	window_add(&w, 0, 2, T0);
	window_add(&w, 0, 1, T0 + 3 * S);
	window_undo(&w, 0, T0 + 5 * S);
	window_undo(&w, 0, T0 + 5 * S);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 5 * S), 1);
	ck_assert_int_eq(window_sum(&w, 0, T0 + 10 * S), 0);
	window_undo(&w, 0, T0 + 10 * S); /* forgotten: nothing to take back */
	ck_assert_int_eq(window_sum(&w, 0, T0 + 10 * S), 0);
}
END_TEST

/* Against a list of all that was counted. */
START_TEST(sums_are_those_of_a_list_to_a_tenth_of_the_window)
{
	static int64_t at[20000];
	struct draw d = { 7 };
	struct window w = empty();
	int64_t now = T0;

	for (unsigned n = 0; n < ARRAY_LEN(at); n++) {
		int64_t sure = 0, possible = 0, sum;

		now += (int64_t)draw_below(draw_next(&d), n % 100 == 0 ? 5 * S : 20 * MS);
		at[n] = now;
		window_add(&w, 1, 1, now);
		for (unsigned i = n + 1; i-- > 0 && now - at[i] < 10 * S;) {
			possible++;
			sure += now - at[i] < 9 * S;
		}
		sum = window_sum(&w, 1, now);
		ck_assert_int_ge(sum, sure);
		ck_assert_int_le(sum, possible);
	}
}
END_TEST

START_TEST(the_ends_of_the_clock_are_no_end)
{
	static const int64_t lengths[] = { 0, 1, 9, 10, 10 * S, INT64_MAX / 1024 };

	EACH(lengths, length) EACH(clock_edges, from) EACH(clock_edges, to) {
		struct window w;

		window_init(&w, lengths[i_length], clock_edges[i_from]);
		window_add(&w, 0, 1, clock_edges[i_from]);
		ck_assert_int_eq(window_peek(&w, 0, clock_edges[i_from]), 1);
		ck_assert_int_ge(window_peek(&w, 0, clock_edges[i_to]), 0);
		window_add(&w, 0, 1, clock_edges[i_to]);
		ck_assert_int_ge(window_sum(&w, 0, clock_edges[i_to]), 1);
		ck_assert_int_le(window_sum(&w, 0, clock_edges[i_to]), 2);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("window");

	SUITE_ADD(s, "window", what_was_counted_lately_is_summed_by_kind,
	    a_count_is_forgotten_when_the_window_has_passed_and_not_before,
	    old_counts_go_bucket_by_bucket, a_time_that_lies_back_counts_as_now,
	    after_a_long_pause_it_is_empty_and_counts_on,
	    undo_takes_back_the_last_one_wherever_it_lies,
	    sums_are_those_of_a_list_to_a_tenth_of_the_window,
	    the_ends_of_the_clock_are_no_end);
	return suite_main(s);
}
