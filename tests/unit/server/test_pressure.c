#include "config.h"

#include "unit/suite.h"

#include "server/pressure.h"

#define MIB (1ull << 20)

/* A cgroup of its own, and the time that passes. */
static struct machine m;
static struct pressure p;
static int64_t now_ms;

static void
begin(void)
{
	m = (struct machine){ .has_stalls = true, .own_stalls = true, .cpus = 1 };
	p = (struct pressure){ 0 };
	now_ms = 1000;
	ck_assert_int_eq(pressure_decide(&p, &m, now_ms), PRESSURE_NONE);
}

/* A second in which so many percent of the time was waited. */
static enum pressure_act
second(unsigned percent)
{
	now_ms += 1000;
	m.stall_us += percent * 10000;
	return pressure_decide(&p, &m, now_ms);
}

/* How often it said so in so many seconds. */
static unsigned
count(enum pressure_act what, unsigned seconds, unsigned percent)
{
	unsigned n = 0;

	for (unsigned i = 0; i < seconds; i++)
		n += second(percent) == what;
	return n;
}

START_TEST(one_bad_second_is_no_pressure)
{
	begin();
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(second(90), PRESSURE_NONE);
		ck_assert(!p.pressed);
		ck_assert_int_eq(p.stalled_ms, 900);
		ck_assert_int_eq(second(0), PRESSURE_NONE);
	}
	ck_assert_uint_eq(p.steps, 0);
}
END_TEST

START_TEST(a_purge_comes_first_and_steps_only_where_it_did_not_help)
{
	begin();
	second(20);
	ck_assert_int_eq(second(20), PRESSURE_PURGE);
	ck_assert(p.pressed);
	ck_assert_uint_eq(p.steps, 0);
	ck_assert_int_eq(second(20), PRESSURE_NONE); /* it has to show first */
	ck_assert_int_eq(second(20), PRESSURE_TAKE);
	ck_assert_uint_eq(p.steps, 1);
	ck_assert_int_eq(second(20), PRESSURE_NONE);
	ck_assert_int_eq(second(20), PRESSURE_TAKE);
	/* The purge helps another time. */
	begin();
	second(20);
	ck_assert_int_eq(second(20), PRESSURE_PURGE);
	ck_assert_uint_eq(count(PRESSURE_NONE, 30, 0), 30);
	second(20);
	ck_assert_int_eq(second(20), PRESSURE_PURGE);
}
END_TEST

START_TEST(never_more_than_half_is_taken)
{
	begin();
	ck_assert_uint_eq(count(PRESSURE_TAKE, 1000, 100), PRESSURE_MOST);
	ck_assert_uint_eq(p.steps, PRESSURE_MOST);
	ck_assert_uint_eq(2 * PRESSURE_MOST, PRESSURE_STEPS);
}
END_TEST

START_TEST(steps_are_given_back_one_by_one_in_calm_times)
{
	begin();
	count(PRESSURE_TAKE, 8, 50);
	ck_assert_uint_eq(p.steps, 3);
	ck_assert_uint_eq(count(PRESSURE_NONE, 10, 0), 10);
	ck_assert_int_eq(second(0), PRESSURE_GIVE);
	ck_assert_uint_eq(p.steps, 2);
	ck_assert_uint_eq(count(PRESSURE_GIVE, 20, 0), 2);
	ck_assert_uint_eq(p.steps, 0);
	ck_assert_uint_eq(count(PRESSURE_NONE, 100, 0), 100);
	/* And the next time begins with a purge again. */
	second(20);
	ck_assert_int_eq(second(20), PRESSURE_PURGE);
}
END_TEST

START_TEST(between_calm_and_pressed_nothing_changes)
{
	begin();
	count(PRESSURE_TAKE, 5, 50);
	ck_assert_uint_eq(p.steps, 1);
	ck_assert_uint_eq(count(PRESSURE_NONE, 1000, 5), 1000);
	ck_assert_uint_eq(p.steps, 1);
}
END_TEST

/* A step too many: with more than two steps taken it is calm, else pressed. */
START_TEST(where_giving_back_brings_pressure_it_is_tried_ever_more_seldom)
{
	unsigned first = 0, last = 0;

	begin();
	for (unsigned i = 0; i < 600; i++)
		first += second(p.steps < 3 ? 50 : 0) == PRESSURE_GIVE;
	for (unsigned i = 0; i < 7200; i++)
		last += second(p.steps < 3 ? 50 : 0) == PRESSURE_GIVE;
	ck_assert_uint_ge(first, 3);
	ck_assert_uint_le(first, 8);
	ck_assert_uint_le(last, 16);
	ck_assert_int_eq(p.wait_ms, CALM_MOST_MS);
	/* Long calm ends that too. */
	count(PRESSURE_GIVE, 4 * CALM_MOST_MS / 1000 + 100, 0);
	ck_assert_uint_eq(p.steps, 0);
	ck_assert_int_eq(p.wait_ms, 0);
}
END_TEST

START_TEST(the_machines_own_stalls_cost_purges_alone)
{
	begin();
	m.own_stalls = false;
	ck_assert_uint_eq(count(PRESSURE_PURGE, 2, 50), 1);
	ck_assert_uint_eq(count(PRESSURE_PURGE, 120, 50), 120 * 1000 / PURGE_GAP_MS);
	ck_assert_uint_eq(p.steps, 0);
}
END_TEST

START_TEST(memory_high_is_not_run_into)
{
	begin();
	m.has_stalls = false;
	m.high_bytes = 100 * MIB;
	m.high_used = 97 * MIB;
	ck_assert_int_eq(second(0), PRESSURE_NONE);
	m.high_used = 99 * MIB;
	ck_assert_int_eq(second(0), PRESSURE_PURGE);
	second(0);
	ck_assert_int_eq(second(0), PRESSURE_TAKE);
	m.high_used = 95 * MIB; /* neither one nor the other */
	ck_assert_uint_eq(count(PRESSURE_NONE, 100, 0), 100);
	m.high_used = 80 * MIB;
	ck_assert_uint_eq(count(PRESSURE_GIVE, 30, 0), 1);
}
END_TEST

START_TEST(without_the_files_nothing_is_done)
{
	begin();
	m.has_stalls = m.own_stalls = false;
	ck_assert_uint_eq(count(PRESSURE_NONE, 100, 100), 100);
	ck_assert(!p.pressed);
	ck_assert_uint_eq(p.steps, 0);
}
END_TEST

START_TEST(a_total_that_begins_anew_is_no_stall)
{
	begin();
	m.stall_us = UINT64_MAX / 2;
	second(0);
	ck_assert(!p.pressed);
	m.stall_us = 5;
	ck_assert_int_eq(second(0), PRESSURE_NONE);
	ck_assert_int_eq(p.stalled_ms, 0);
	/* Two looks in the same millisecond are one. */
	m.stall_us += 1000000;
	ck_assert_int_eq(pressure_decide(&p, &m, now_ms), PRESSURE_NONE);
	ck_assert_int_eq(p.stalled_ms, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pressure");

	SUITE_ADD(s, "pressure", one_bad_second_is_no_pressure,
	    a_purge_comes_first_and_steps_only_where_it_did_not_help,
	    never_more_than_half_is_taken, steps_are_given_back_one_by_one_in_calm_times,
	    between_calm_and_pressed_nothing_changes,
	    where_giving_back_brings_pressure_it_is_tried_ever_more_seldom,
	    the_machines_own_stalls_cost_purges_alone, memory_high_is_not_run_into,
	    without_the_files_nothing_is_done, a_total_that_begins_anew_is_no_stall);
	return suite_main(s);
}
