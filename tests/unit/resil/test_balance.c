#include "config.h"

#include <errno.h>

#include "resil/balance.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

#define ALL UINT64_MAX

static const enum balance_kind kinds[] = {
	BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_TWO_CHOICES
};

static struct balance
balance_of(enum balance_kind kind, uint32_t n)
{
	struct balance b;

	ck_assert_int_eq(balance_init(&b, kind, n, 50), 0);
	return b;
}

/* Picks so often, each request over at once, and counts. */
static void
pick_many(struct balance *b, uint64_t usable, int times, int *count)
{
	struct draw d = { 31 };

	for (int i = 0; i < BALANCE_MAX; i++)
		count[i] = 0;
	for (int i = 0; i < times; i++) {
		int at = balance_pick(b, usable, 0, draw_next(&d));

		ck_assert_int_ge(at, 0);
		ck_assert_int_lt(at, (int)b->n);
		count[at]++;
		balance_done(b, (uint32_t)at);
	}
}

/* --- whom ------------------------------------------------------------------------- */

START_TEST(only_usable_ones_are_picked)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], 8);
		int count[BALANCE_MAX];

		pick_many(&b, 0xf5, 1000, count);
		ck_assert_int_eq(count[1], 0);
		ck_assert_int_eq(count[3], 0);
		ck_assert_uint_eq(b.panics, 0);
	}
}
END_TEST

START_TEST(each_is_tried_once_and_then_there_is_none)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], BALANCE_MAX);
		struct draw d = { 37 };
		uint64_t tried = 0;

		for (int i = 0; i < BALANCE_MAX; i++) {
			int at = balance_pick(&b, ALL, tried, draw_next(&d));

			ck_assert_int_ge(at, 0);
			ck_assert_uint_eq(tried >> at & 1, 0);
			tried |= (uint64_t)1 << at;
		}
		ck_assert_int_eq(balance_pick(&b, ALL, tried, 0), BALANCE_NONE);
	}
}
END_TEST

START_TEST(bits_beyond_the_endpoints_are_nobody)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], 2);
		int count[BALANCE_MAX];

		pick_many(&b, ALL, 100, count);
		ck_assert_int_eq(count[0] + count[1], 100);
		/* Not even as usable ones that avert a panic. */
		ck_assert(balance_is_panic(&b, ALL << 2));
	}
}
END_TEST

START_TEST(below_half_usable_health_is_taken_for_wrong)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], 4);
		int count[BALANCE_MAX];

		pick_many(&b, 0x3, 1000, count); /* half: no panic */
		ck_assert_int_eq(count[2] + count[3], 0);
		ck_assert_uint_eq(b.panics, 0);
		pick_many(&b, 0x1, 1000, count);
		ck_assert_int_gt(count[3], 150);
		ck_assert_uint_eq(b.panics, 1000);
		pick_many(&b, 0, 1000, count);
		ck_assert_int_gt(count[0], 150);
	}
}
END_TEST

START_TEST(in_panic_too_nobody_is_tried_twice)
{
	struct balance b = balance_of(BALANCE_ROUND_ROBIN, 2);

	ck_assert_int_eq(balance_pick(&b, 0, 0x1, 0), 1);
	ck_assert_int_eq(balance_pick(&b, 0, 0x3, 0), BALANCE_NONE);
}
END_TEST

START_TEST(without_panic_nobody_usable_is_none)
{
	struct balance b;

	ck_assert_int_eq(balance_init(&b, BALANCE_TWO_CHOICES, 4, 0), 0);
	ck_assert_int_eq(balance_pick(&b, 0, 0, 0), BALANCE_NONE);
	ck_assert_int_eq(balance_pick(&b, 0x4, 0, 0), 2);
}
END_TEST

START_TEST(numbers_out_of_range_are_refused)
{
	struct balance b;

	ck_assert_int_eq(balance_init(&b, BALANCE_ROUND_ROBIN, 0, 50), -EINVAL);
	ck_assert_int_eq(balance_init(&b, BALANCE_ROUND_ROBIN, BALANCE_MAX + 1, 50), -EINVAL);
	ck_assert_int_eq(balance_init(&b, BALANCE_ROUND_ROBIN, 1, 101), -EINVAL);
	ck_assert_int_eq(balance_init(&b, (enum balance_kind)3, 1, 50), -EINVAL);
}
END_TEST

/* --- how ----------------------------------------------------------------------------- */

START_TEST(round_robin_takes_turns)
{
	struct balance b = balance_of(BALANCE_ROUND_ROBIN, 3);

	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(balance_pick(&b, ALL, 0, 0), i % 3);
}
END_TEST

/* nginx's own example: 5, 1, 1. */
START_TEST(weighted_turns_are_spread_and_do_not_come_in_bursts)
{
	static const int want[] = { 0, 0, 1, 0, 2, 0, 0 };
	struct balance b = balance_of(BALANCE_ROUND_ROBIN, 3);

	balance_weight(&b, 0, 5);
	for (int i = 0; i < 70; i++)
		ck_assert_int_eq(balance_pick(&b, ALL, 0, 0), want[i % 7]);
}
END_TEST

START_TEST(round_robin_stays_even_while_endpoints_come_and_go)
{
	struct balance b = balance_of(BALANCE_ROUND_ROBIN, 5);
	int count[BALANCE_MAX], first[BALANCE_MAX];

	pick_many(&b, 0x1f, 33, first);
	pick_many(&b, 0x1b, 1001, first);
	pick_many(&b, 0x1f, 1000, count);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_ge(count[i], 195);
		ck_assert_int_le(count[i], 205);
	}
}
END_TEST

START_TEST(weights_are_kept_to_by_all_kinds)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], 3);
		int count[BALANCE_MAX];

		balance_weight(&b, 0, 1);
		balance_weight(&b, 1, 2);
		balance_weight(&b, 2, 5);
		pick_many(&b, ALL, 8000, count);
		if (kinds[i_kind] == BALANCE_ROUND_ROBIN)
			ck_assert_int_eq(count[0], 1000);
		/* Where requests come one at a time, the heaviest is the least loaded. */
		ck_assert_int_ge(count[2], 4900);
		ck_assert_int_le(count[0], 1100);
	}
}
END_TEST

START_TEST(a_slow_start_gets_its_share_only)
{
	struct balance b = balance_of(BALANCE_ROUND_ROBIN, 2);
	int count[BALANCE_MAX];

	balance_ramp(&b, 1, 10);
	pick_many(&b, ALL, 1100, count);
	ck_assert_int_eq(count[1], 100);
	balance_ramp(&b, 1, 0); /* as 1 */
	pick_many(&b, ALL, 10100, count);
	ck_assert_int_ge(count[1], 99);
	ck_assert_int_le(count[1], 101);
	balance_ramp(&b, 1, 1000); /* as 100 */
	pick_many(&b, ALL, 1000, count);
	ck_assert_int_ge(count[1], 499);
}
END_TEST

START_TEST(least_connections_goes_where_fewest_are)
{
	struct balance b = balance_of(BALANCE_LEAST_CONNECTIONS, 3);
	struct draw d = { 41 };

	b.in_flight[0] = 7;
	b.in_flight[1] = 3;
	b.in_flight[2] = 5;
	for (int i = 0; i < 15; i++)
		balance_pick(&b, ALL, 0, draw_next(&d));
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(b.in_flight[i], 10);
}
END_TEST

START_TEST(least_connections_with_weights_fills_by_weight)
{
	struct balance b = balance_of(BALANCE_LEAST_CONNECTIONS, 2);
	struct draw d = { 43 };

	balance_weight(&b, 1, 3);
	for (int i = 0; i < 400; i++)
		balance_pick(&b, ALL, 0, draw_next(&d));
	ck_assert_int_le(labs((long)b.in_flight[1] - 300), 1);
}
END_TEST

START_TEST(idle_ones_share_what_comes_one_at_a_time)
{
	EACH(kinds, kind) {
		struct balance b = balance_of(kinds[i_kind], 10);
		int count[BALANCE_MAX];

		pick_many(&b, ALL, 100000, count);
		for (int i = 0; i < 10; i++) {
			ck_assert_int_ge(count[i], 9600);
			ck_assert_int_le(count[i], 10400);
		}
	}
}
END_TEST

/* Mitzenmacher: n balls in n bins, the fullest holds about log log n / log 2 with two
 * choices, about log n / log log n with one. */
START_TEST(two_choices_spread_far_better_than_one)
{
	struct balance two = balance_of(BALANCE_TWO_CHOICES, 64);
	uint32_t one[64] = { 0 }, most_of_one = 0, most_of_two = 0;
	struct draw d = { 47 };

	for (int i = 0; i < 64 * 100; i++) {
		balance_pick(&two, ALL, 0, draw_next(&d));
		one[draw_below(draw_next(&d), 64)]++;
	}
	for (int i = 0; i < 64; i++) {
		most_of_one = MAX(most_of_one, one[i]);
		most_of_two = MAX(most_of_two, two.in_flight[i]);
	}
	ck_assert_uint_le(most_of_two, 104);
	ck_assert_uint_ge(most_of_one, 115);
}
END_TEST

START_TEST(two_choices_avoid_the_busiest_of_all)
{
	struct balance b = balance_of(BALANCE_TWO_CHOICES, 5);
	struct draw d = { 53 };

	b.in_flight[3] = 1000;
	for (int i = 0; i < 1000; i++)
		ck_assert_int_ne(balance_pick(&b, ALL, 0, draw_next(&d)), 3);
}
END_TEST

START_TEST(any_draw_any_weight_and_any_set_gives_somebody_of_the_set)
{
	static const uint64_t sets[] = { 1, 2, (uint64_t)1 << 63, 0x8000000000000001, 0xaaaa, ALL };
	static const uint32_t weights[] = { 0, 1, 7, BALANCE_WEIGHT_MAX, UINT32_MAX };

	EACH(kinds, kind) EACH(sets, set) EACH(weights, weight) EACH(draw_edges, r) {
		struct balance b;
		int at;

		ck_assert_int_eq(balance_init(&b, kinds[i_kind], BALANCE_MAX, 0), 0);
		for (uint32_t i = 0; i < BALANCE_MAX; i++) {
			balance_weight(&b, i, i % 3 ? weights[i_weight] : 1);
			b.in_flight[i] = i % 2 ? UINT32_MAX - 1 : 0;
		}
		at = balance_pick(&b, sets[i_set], 0, draw_edges[i_r]);
		ck_assert_int_ge(at, 0);
		ck_assert_uint_eq(sets[i_set] >> at & 1, 1);
	}
}
END_TEST

START_TEST(one_done_too_many_is_no_credit)
{
	struct balance b = balance_of(BALANCE_LEAST_CONNECTIONS, 2);

	balance_done(&b, 0);
	ck_assert_uint_eq(b.in_flight[0], 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("balance");

	SUITE_ADD(s, "whom", only_usable_ones_are_picked, each_is_tried_once_and_then_there_is_none,
	    bits_beyond_the_endpoints_are_nobody, below_half_usable_health_is_taken_for_wrong,
	    in_panic_too_nobody_is_tried_twice, without_panic_nobody_usable_is_none,
	    numbers_out_of_range_are_refused);
	SUITE_ADD(s, "how", round_robin_takes_turns,
	    weighted_turns_are_spread_and_do_not_come_in_bursts,
	    round_robin_stays_even_while_endpoints_come_and_go, weights_are_kept_to_by_all_kinds,
	    a_slow_start_gets_its_share_only, least_connections_goes_where_fewest_are,
	    least_connections_with_weights_fills_by_weight,
	    idle_ones_share_what_comes_one_at_a_time, two_choices_spread_far_better_than_one,
	    two_choices_avoid_the_busiest_of_all,
	    any_draw_any_weight_and_any_set_gives_somebody_of_the_set,
	    one_done_too_many_is_no_credit);
	return suite_main(s);
}
