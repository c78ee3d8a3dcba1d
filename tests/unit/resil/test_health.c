#include "config.h"

#include <errno.h>

#include "resil/health.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

/* A check and the clock that it lives by. */
struct bench {
	struct health h;
	int64_t now, wake;
	uint64_t random;
	uint32_t check;
};

/* Every 2 s without jitter, 1 s, rise 2, fall 3, slow start of 10 s. */
static struct bench
bench_of(void)
{
	struct bench t = { .now = T0 };
	struct health_cfg c;

	health_defaults(&c);
	c.jitter_pct = 0;
	ck_assert_int_eq(health_init(&t.h, &c, T0, 0), 0);
	return t;
}

static enum health_action
poll(struct bench *t)
{
	return health_poll(&t->h, t->now, t->random, &t->check, &t->wake);
}

/* The next check, at its time, with this result after 10 ms. True: changed. */
static bool
check(struct bench *t, bool ok)
{
	t->now = t->h.next_us;
	ck_assert_int_eq(poll(t), HEALTH_START);
	t->now += 10 * MS;
	return health_report(&t->h, t->check, ok, t->now);
}

/* --- when ------------------------------------------------------------------------- */

START_TEST(the_first_check_comes_at_a_random_moment_of_the_first_interval)
{
	struct health_cfg c;
	struct draw d = { 67 };
	double sum = 0;

	health_defaults(&c);
	for (int i = 0; i < 1000; i++) {
		struct health h;

		ck_assert_int_eq(health_init(&h, &c, T0, draw_next(&d)), 0);
		ck_assert_int_ge(h.next_us, T0);
		ck_assert_int_lt(h.next_us, T0 + 2 * S);
		sum += (double)(h.next_us - T0);
	}
	ck_assert_double_eq_tol(sum / 1000, S, 60 * MS);
}
END_TEST

START_TEST(checks_start_one_interval_apart)
{
	struct bench t = bench_of();

	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(poll(&t), HEALTH_START);
		ck_assert_int_eq(t.wake, t.now + S); /* its timeout */
		ck_assert_int_eq(poll(&t), HEALTH_WAIT); /* another loop: one is under way */
		t.now += 300 * MS;
		health_report(&t.h, t.check, true, t.now);
		ck_assert_int_eq(poll(&t), HEALTH_WAIT);
		ck_assert_int_eq(t.wake, T0 + (i + 1) * 2 * S);
		t.now = t.wake;
	}
	ck_assert_uint_eq(t.h.passed, 10);
}
END_TEST

START_TEST(jitter_moves_each_check_by_its_share_at_most)
{
	struct bench t = bench_of();
	struct draw d = { 71 };
	int64_t least = INT64_MAX, most = 0;

	t.h.cfg.jitter_pct = 10;
	for (int i = 0; i < 2000; i++) {
		int64_t began;

		t.random = draw_next(&d);
		check(&t, true);
		began = t.now - 10 * MS;
		least = MIN(least, t.h.next_us - began);
		most = MAX(most, t.h.next_us - began);
	}
	ck_assert_int_ge(least, 1800 * MS);
	ck_assert_int_le(least, 1810 * MS);
	ck_assert_int_le(most, 2200 * MS);
	ck_assert_int_ge(most, 2190 * MS);
}
END_TEST

START_TEST(a_check_that_takes_too_long_has_failed_and_its_result_is_late)
{
	struct bench t = bench_of();
	uint32_t late;

	check(&t, true);
	t.now = t.h.next_us;
	ck_assert_int_eq(poll(&t), HEALTH_START);
	late = t.check;
	t.now += S - 1;
	ck_assert_int_eq(poll(&t), HEALTH_WAIT);
	t.now += 1;
	ck_assert_int_eq(poll(&t), HEALTH_STOP);
	ck_assert_uint_eq(t.check, late);
	ck_assert_uint_eq(t.h.timed_out, 1);
	ck_assert_uint_eq(t.h.failed, 1);
	ck_assert(!health_report(&t.h, late, true, t.now));
	ck_assert_uint_eq(t.h.passed, 1);
	ck_assert_int_eq(poll(&t), HEALTH_WAIT);
	t.now = t.wake;
	ck_assert_int_eq(poll(&t), HEALTH_START);
	/* Nor is it taken for the one under way now. */
	ck_assert(!health_report(&t.h, late, true, t.now));
	ck_assert(t.h.checking);
}
END_TEST

START_TEST(a_timeout_longer_than_the_interval_holds_up_the_next_check_only)
{
	struct bench t = bench_of();

	t.h.cfg.timeout_us = 5 * S;
	ck_assert_int_eq(poll(&t), HEALTH_START);
	t.now += 5 * S;
	ck_assert_int_eq(poll(&t), HEALTH_STOP);
	ck_assert_int_eq(poll(&t), HEALTH_START);
}
END_TEST

/* --- up and down --------------------------------------------------------------------- */

START_TEST(one_that_never_answered_is_down_after_one_failure)
{
	struct bench t = bench_of();

	ck_assert(t.h.up);
	ck_assert(check(&t, false));
	ck_assert(!t.h.up);
	ck_assert_uint_eq(t.h.downs, 1);
}
END_TEST

START_TEST(three_failures_in_a_row_take_it_down)
{
	struct bench t = bench_of();

	ck_assert(!check(&t, true));
	for (int i = 0; i < 10; i++) {
		ck_assert(!check(&t, false));
		ck_assert(!check(&t, false));
		ck_assert(!check(&t, true)); /* the row begins anew */
	}
	ck_assert(!check(&t, false));
	ck_assert(!check(&t, false));
	ck_assert(check(&t, false));
	ck_assert(!t.h.up);
}
END_TEST

START_TEST(two_successes_in_a_row_bring_it_back)
{
	struct bench t = bench_of();

	check(&t, false);
	for (int i = 0; i < 10; i++) {
		ck_assert(!check(&t, true));
		ck_assert(!check(&t, false));
	}
	ck_assert(!check(&t, true));
	ck_assert(check(&t, true));
	ck_assert(t.h.up);
	ck_assert_uint_eq(t.h.ups, 1);
	/* And it takes three again to lose that. */
	ck_assert(!check(&t, false));
	ck_assert(!check(&t, false));
	ck_assert(check(&t, false));
}
END_TEST

START_TEST(timeouts_take_it_down_as_failures_do)
{
	struct bench t = bench_of();

	check(&t, true);
	for (int i = 0; i < 3; i++) {
		ck_assert(t.h.up);
		t.now = t.h.next_us;
		ck_assert_int_eq(poll(&t), HEALTH_START);
		t.now += S;
		ck_assert_int_eq(poll(&t), HEALTH_STOP);
	}
	ck_assert(!t.h.up);
}
END_TEST

/* --- slow start ------------------------------------------------------------------------ */

START_TEST(at_the_start_there_is_no_slow_start)
{
	struct bench t = bench_of();

	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now), 100);
}
END_TEST

START_TEST(a_recovered_one_gets_its_weight_back_little_by_little)
{
	struct bench t = bench_of();
	uint32_t last = 0;

	check(&t, false);
	check(&t, true);
	check(&t, true);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now), 10);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now + S), 10);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now + 5 * S), 50);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now + 10 * S - 1), 99);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now + 10 * S), 100);
	ck_assert_uint_eq(health_ramp_pct(&t.h, t.now + 1000 * S), 100);
	for (int64_t at = 0; at < 11 * S; at += 10 * MS) {
		ck_assert_uint_ge(health_ramp_pct(&t.h, t.now + at), last);
		last = health_ramp_pct(&t.h, t.now + at);
	}
}
END_TEST

START_TEST(a_ramp_of_no_length_is_over)
{
	ck_assert_uint_eq(ramp_pct(T0, 0, 10, T0), 100);
	ck_assert_uint_eq(ramp_pct(T0, 0, 10, T0 - S), 100);
	ck_assert_uint_eq(ramp_pct(T0, S, 0, T0), 1);
	ck_assert_uint_eq(ramp_pct(T0, S, 10, T0 - S), 10);
}
END_TEST

/* --- ends -------------------------------------------------------------------------------- */

#define BAD(field, value) \
	do { \
		struct health_cfg c_; \
		struct health h_; \
		health_defaults(&c_); \
		c_.field = (value); \
		ck_assert_int_eq(health_init(&h_, &c_, T0, 0), -EINVAL); \
	} while (0)

START_TEST(figures_out_of_range_are_refused)
{
	BAD(interval_us, 0);
	BAD(interval_us, INT64_MAX);
	BAD(jitter_pct, 101);
	BAD(timeout_us, 0);
	BAD(timeout_us, INT64_MAX);
	BAD(rise, 0);
	BAD(fall, 0);
	BAD(slow_start_us, -1);
	BAD(slow_start_us, INT64_MAX);
	BAD(ramp_min_pct, 0);
	BAD(ramp_min_pct, 101);
}
END_TEST

START_TEST(it_stays_sound_at_the_ends_of_the_clock)
{
	struct draw d = { 73 };

	for (int round = 0; round < 16; round++) {
		struct health_cfg c = { .interval_us = round & 1 ? 1 : INT64_MAX / 1024,
			.jitter_pct = round & 2 ? 100 : 0, .timeout_us = round & 4 ? 1 : INT64_MAX / 1024,
			.rise = 1, .fall = 1, .slow_start_us = round & 8 ? 0 : INT64_MAX / 1024,
			.ramp_min_pct = 1 };
		struct health h;

		ck_assert_int_eq(health_init(&h, &c, clock_edges[round % ARRAY_LEN(clock_edges)],
		    UINT64_MAX), 0);
		for (int i = 0; i < 10000; i++) {
			uint64_t r = draw_next(&d);
			int64_t now = clock_edges[(r >> 8) % ARRAY_LEN(clock_edges)], wake;
			uint32_t check = h.check, ramp;

			if (r & 1)
				health_report(&h, check, r >> 1 & 1, now);
			else if (health_poll(&h, now, r, &check, &wake) == HEALTH_WAIT)
				ck_assert_int_ge(wake, now);
			ramp = health_ramp_pct(&h, now);
			ck_assert_uint_ge(ramp, 1);
			ck_assert_uint_le(ramp, 100);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("health");

	SUITE_ADD(s, "when", the_first_check_comes_at_a_random_moment_of_the_first_interval,
	    checks_start_one_interval_apart, jitter_moves_each_check_by_its_share_at_most,
	    a_check_that_takes_too_long_has_failed_and_its_result_is_late,
	    a_timeout_longer_than_the_interval_holds_up_the_next_check_only);
	SUITE_ADD(s, "up and down", one_that_never_answered_is_down_after_one_failure,
	    three_failures_in_a_row_take_it_down, two_successes_in_a_row_bring_it_back,
	    timeouts_take_it_down_as_failures_do);
	SUITE_ADD(s, "slow start", at_the_start_there_is_no_slow_start,
	    a_recovered_one_gets_its_weight_back_little_by_little, a_ramp_of_no_length_is_over);
	SUITE_ADD(s, "ends", figures_out_of_range_are_refused,
	    it_stays_sound_at_the_ends_of_the_clock);
	return suite_main(s);
}
