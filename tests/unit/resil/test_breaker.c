#include "config.h"

#include <errno.h>
#include <string.h>

#include "resil/breaker.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

/* A breaker and the clock that it lives by. */
struct bench {
	struct breaker b;
	int64_t now;
	uint64_t random;
	int64_t retry_us; /* of the last refusal */
};

/* 10 calls, at least 4, half of them; 10 s open, no jitter; 3 probes with 2 s. */
static struct breaker_cfg
small_cfg(void)
{
	struct breaker_cfg c;

	breaker_defaults(&c);
	c.window_calls = 10;
	c.min_calls = 4;
	c.open_us = 10 * S;
	c.open_max_us = 80 * S;
	c.jitter_pct = 0;
	c.probes = 3;
	c.probe_lease_us = 2 * S;
	return c;
}

static struct bench
bench_of(struct breaker_cfg c)
{
	struct bench t = { .now = T0 };

	ck_assert_int_eq(breaker_init(&t.b, &c, t.now), 0);
	return t;
}

static enum breaker_verdict
ask(struct bench *t, struct breaker_permit *p)
{
	return breaker_allow(&t->b, t->now, t->random, p, &t->retry_us);
}

static void
tell(struct bench *t, struct breaker_permit p, enum breaker_outcome o, int64_t took)
{
	breaker_report(&t->b, p, o, took, t->now, t->random);
}

/* n calls, all of which must pass, each at once over. */
static void
calls(struct bench *t, int n, enum breaker_outcome o, int64_t took)
{
	for (int i = 0; i < n; i++) {
		struct breaker_permit p;

		ck_assert_int_ne(ask(t, &p), BREAKER_REFUSED);
		tell(t, p, o, took);
	}
}

static void
ck_refused(struct bench *t, int64_t retry_us)
{
	struct breaker_permit p;

	ck_assert_int_eq(ask(t, &p), BREAKER_REFUSED);
	ck_assert_int_eq(t->retry_us, retry_us);
}

static struct bench
opened(struct breaker_cfg c)
{
	struct bench t = bench_of(c);

	calls(&t, 4, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	return t;
}

START_TEST(too_few_calls_decide_nothing)
{
	struct bench t = bench_of(small_cfg());

	calls(&t, 3, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 1, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	ck_assert_uint_eq(t.b.counts.opened, 1);
}
END_TEST

START_TEST(it_opens_when_the_failure_rate_is_reached_and_not_below)
{
	struct bench t = bench_of(small_cfg());

	calls(&t, 6, BREAKER_OK, 1);
	calls(&t, 4, BREAKER_FAILED, 1); /* 4 of 10 */
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 1, BREAKER_FAILED, 1); /* one good call falls out: 5 of 10 */
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
}
END_TEST

START_TEST(a_count_window_forgets_by_calls_and_not_by_time)
{
	struct bench t = bench_of(small_cfg());
	struct breaker_view v;

	calls(&t, 4, BREAKER_OK, 1);
	calls(&t, 3, BREAKER_FAILED, 1);
	t.now += 1000 * S;
	breaker_view(&t.b, t.now, &v);
	ck_assert_uint_eq(v.calls, 7);
	ck_assert_uint_eq(v.failed, 3);
	calls(&t, 10, BREAKER_OK, 1);
	breaker_view(&t.b, t.now, &v);
	ck_assert_uint_eq(v.calls, 10);
	ck_assert_uint_eq(v.failed, 0);
}
END_TEST

START_TEST(a_time_window_forgets_by_time_and_not_by_calls)
{
	struct breaker_cfg c = small_cfg();
	struct breaker_view v;
	struct bench t;

	c.window = BREAKER_TIME;
	c.window_us = 10 * S;
	t = bench_of(c);
	calls(&t, 100, BREAKER_OK, 1);
	calls(&t, 99, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	t.now += 10 * S;
	breaker_view(&t.b, t.now, &v);
	ck_assert_uint_eq(v.calls, 0);
	calls(&t, 3, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 1, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
}
END_TEST

START_TEST(slow_calls_open_it_though_they_succeed)
{
	struct breaker_cfg c = small_cfg();
	struct bench t;

	c.slow_us = 100 * MS;
	c.slow_pct = 50;
	t = bench_of(c);
	calls(&t, 6, BREAKER_OK, 100 * MS - 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 4, BREAKER_OK, 100 * MS);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 1, BREAKER_OK, 100 * MS);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
}
END_TEST

START_TEST(thresholds_of_nought_are_off)
{
	struct breaker_cfg c = small_cfg();
	struct bench t;

	c.failure_pct = 0;
	c.slow_pct = 0;
	c.slow_us = 1;
	t = bench_of(c);
	calls(&t, 1000, BREAKER_FAILED, MINUTE);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(a_cancelled_call_is_not_counted)
{
	struct bench t = bench_of(small_cfg());
	struct breaker_view v;

	calls(&t, 100, BREAKER_CANCELLED, MINUTE);
	breaker_view(&t.b, t.now, &v);
	ck_assert_uint_eq(v.calls, 0);
}
END_TEST

START_TEST(open_it_refuses_and_tells_when_to_come_again)
{
	struct bench t = opened(small_cfg());

	ck_refused(&t, 10 * S);
	t.now += 10 * S - 1;
	ck_refused(&t, 1);
	ck_assert_uint_eq(t.b.counts.refused, 2);
	t.now += 1;
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN); /* until one comes */
	calls(&t, 1, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
}
END_TEST

START_TEST(half_open_lets_exactly_its_probes_through)
{
	struct bench t = opened(small_cfg());
	struct breaker_permit p[3];
	int passed = 0;

	t.now += 10 * S;
	for (int i = 0; i < 1000; i++) {
		struct breaker_permit any;
		enum breaker_verdict v = ask(&t, &any);

		ck_assert_int_ne(v, BREAKER_PASS);
		if (v == BREAKER_PROBE)
			p[passed++] = any;
	}
	ck_assert_int_eq(passed, 3);
	ck_assert_int_eq(t.retry_us, 2 * S);
	for (int i = 0; i < 3; i++)
		tell(&t, p[i], BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	ck_assert_uint_eq(t.b.counts.half_opened, 1);
	ck_assert_uint_eq(t.b.counts.closed, 1);
}
END_TEST

START_TEST(probes_are_decided_as_soon_as_they_can_be)
{
	struct bench t = opened(small_cfg());

	/* Half of three is reached with the second failure. */
	t.now += 10 * S;
	calls(&t, 1, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
	calls(&t, 1, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	/* And after two successes it cannot be reached any more. */
	t.now += 20 * S;
	calls(&t, 2, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(slow_probes_open_it_again)
{
	struct breaker_cfg c = small_cfg();
	struct bench t;

	c.slow_us = 100 * MS;
	t = opened(c);
	t.now += 10 * S;
	calls(&t, 2, BREAKER_OK, 100 * MS);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN); /* all three, by 100 % */
	calls(&t, 1, BREAKER_OK, 100 * MS);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
}
END_TEST

START_TEST(a_closed_one_starts_with_an_empty_window)
{
	struct bench t = opened(small_cfg());

	t.now += 10 * S;
	calls(&t, 2, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 3, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(probes_that_never_return_have_failed_when_their_lease_ends)
{
	struct bench t = opened(small_cfg());
	struct breaker_permit p[3];

	t.now += 10 * S;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(&t, &p[i]), BREAKER_PROBE);
	t.now += 2 * S - 1;
	ck_refused(&t, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
	t.now += 1;
	ck_refused(&t, 20 * S); /* open again, twice as long */
	ck_assert_uint_eq(t.b.counts.lost, 3);
	/* Their late results find another period. */
	for (int i = 0; i < 3; i++)
		tell(&t, p[i], BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
}
END_TEST

START_TEST(one_lost_probe_does_not_decide_against_two_good_ones)
{
	struct bench t = opened(small_cfg());
	struct breaker_permit lost, p;

	t.now += 10 * S;
	ck_assert_int_eq(ask(&t, &lost), BREAKER_PROBE);
	t.now += 2 * S;
	ck_assert_int_eq(ask(&t, &p), BREAKER_PROBE);
	ck_assert_uint_eq(t.b.counts.lost, 1);
	tell(&t, lost, BREAKER_FAILED, 1); /* counted once only */
	tell(&t, p, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
	calls(&t, 1, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(a_cancelled_probe_gives_its_place_to_another)
{
	struct bench t = opened(small_cfg());
	struct breaker_permit p[3], again;

	t.now += 10 * S;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(&t, &p[i]), BREAKER_PROBE);
	tell(&t, p[1], BREAKER_CANCELLED, 1);
	ck_assert_int_eq(ask(&t, &again), BREAKER_PROBE);
	ck_refused(&t, 2 * S);
}
END_TEST

START_TEST(results_from_before_a_change_of_state_do_not_count)
{
	struct bench t = bench_of(small_cfg());
	struct breaker_permit old[20];

	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(ask(&t, &old[i]), BREAKER_PASS);
	calls(&t, 4, BREAKER_FAILED, 1);
	t.now += 10 * S;
	calls(&t, 1, BREAKER_OK, 1);
	for (int i = 0; i < 20; i++)
		tell(&t, old[i], BREAKER_FAILED, 11 * S);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
	calls(&t, 1, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	for (int i = 0; i < 20; i++)
		tell(&t, old[i], BREAKER_FAILED, 11 * S);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(in_a_dry_run_refused_calls_change_nothing)
{
	struct bench t = opened(small_cfg());
	struct breaker_permit p;

	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(ask(&t, &p), BREAKER_REFUSED);
		tell(&t, p, BREAKER_OK, 1);
	}
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	t.now += 10 * S;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(&t, &p), BREAKER_PROBE);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(ask(&t, &p), BREAKER_REFUSED);
		tell(&t, p, BREAKER_FAILED, 1);
	}
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_HALF_OPEN);
}
END_TEST

START_TEST(it_stays_open_longer_each_time_up_to_the_maximum)
{
	static const int64_t seconds[] = { 10, 20, 40, 80, 80, 80 };
	struct bench t = opened(small_cfg());

	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		ck_refused(&t, seconds[i] * S);
		t.now += seconds[i] * S;
		calls(&t, 2, BREAKER_FAILED, 1);
		ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	}
}
END_TEST

START_TEST(who_falls_again_at_once_has_proven_nothing_and_who_held_has)
{
	struct bench t = opened(small_cfg());

	t.now += 10 * S;
	calls(&t, 2, BREAKER_OK, 1);
	t.now += 10 * S - 1;
	calls(&t, 4, BREAKER_FAILED, 1);
	ck_refused(&t, 20 * S);
	t.now += 20 * S;
	calls(&t, 2, BREAKER_OK, 1);
	t.now += 20 * S;
	calls(&t, 4, BREAKER_FAILED, 1);
	ck_refused(&t, 10 * S);
}
END_TEST

START_TEST(jitter_spreads_the_open_time_evenly_on_both_sides)
{
	struct breaker_cfg c = small_cfg();
	struct draw d = { 11 };
	int64_t least = INT64_MAX, most = 0;
	double sum = 0;

	c.jitter_pct = 20;
	for (int i = 0; i < 2000; i++) {
		struct bench t = bench_of(c);
		struct breaker_permit p;

		t.random = draw_next(&d);
		calls(&t, 4, BREAKER_FAILED, 1);
		ck_assert_int_eq(ask(&t, &p), BREAKER_REFUSED);
		least = MIN(least, t.retry_us);
		most = MAX(most, t.retry_us);
		sum += (double)t.retry_us;
	}
	ck_assert_int_ge(least, 8 * S);
	ck_assert_int_le(least, 8 * S + 100 * MS);
	ck_assert_int_le(most, 12 * S);
	ck_assert_int_ge(most, 12 * S - 100 * MS);
	ck_assert_double_eq_tol(sum / 2000, 10 * S, 100 * MS);
}
END_TEST

START_TEST(forced_open_refuses_all_for_ever)
{
	struct bench t = bench_of(small_cfg());

	breaker_force(&t.b, BREAKER_FORCE_OPEN, t.now);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	ck_refused(&t, INT64_MAX);
	t.now += 1000 * MINUTE;
	ck_refused(&t, INT64_MAX);
	breaker_force(&t.b, BREAKER_AUTO, t.now);
	calls(&t, 1, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

START_TEST(forced_closed_passes_all_and_counts)
{
	struct bench t = opened(small_cfg());
	struct breaker_view v;

	breaker_force(&t.b, BREAKER_FORCE_CLOSED, t.now);
	calls(&t, 100, BREAKER_FAILED, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	breaker_view(&t.b, t.now, &v);
	ck_assert_uint_eq(v.failed, 10);
	breaker_force(&t.b, BREAKER_AUTO, t.now);
	calls(&t, 3, BREAKER_FAILED, 1); /* nothing is held against it */
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
	calls(&t, 1, BREAKER_FAILED, 1);
	ck_refused(&t, 10 * S);
}
END_TEST

START_TEST(forcing_what_is_forced_already_changes_nothing)
{
	struct bench t = opened(small_cfg());

	breaker_force(&t.b, BREAKER_AUTO, t.now);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_OPEN);
	ck_refused(&t, 10 * S);
}
END_TEST

START_TEST(a_clock_that_steps_back_a_little_opens_nothing_early)
{
	struct bench t = opened(small_cfg());

	t.now -= 5 * MS;
	ck_refused(&t, 10 * S + 5 * MS);
	t.now += 10 * S + 5 * MS;
	calls(&t, 1, BREAKER_OK, 1);
	t.now -= 5 * MS;
	calls(&t, 1, BREAKER_OK, 1);
	ck_assert_int_eq(breaker_state(&t.b), BREAKER_CLOSED);
}
END_TEST

/* Changes one figure of good ones. */
#define BAD(field, value) \
	do { \
		struct breaker_cfg c_; \
		struct breaker b_; \
		breaker_defaults(&c_); \
		c_.field = (value); \
		ck_assert_int_eq(breaker_init(&b_, &c_, T0), -EINVAL); \
	} while (0)

START_TEST(figures_out_of_range_are_refused)
{
	struct breaker_cfg c;
	struct breaker b;

	breaker_defaults(&c);
	ck_assert_int_eq(breaker_init(&b, &c, T0), 0);
	BAD(window_calls, 0);
	BAD(window_calls, BREAKER_CALLS_MAX + 1);
	BAD(window_calls, 19); /* below min_calls */
	BAD(min_calls, 0);
	BAD(min_calls, 101);
	BAD(failure_pct, 101);
	BAD(slow_pct, 101);
	BAD(slow_us, -1);
	BAD(open_us, 0);
	BAD(open_max_us, 2 * S - 1);
	BAD(open_max_us, INT64_MAX);
	BAD(growth_pct, 99);
	BAD(growth_pct, 1001);
	BAD(jitter_pct, 101);
	BAD(probes, 0);
	BAD(probes, BREAKER_PROBES_MAX + 1);
	BAD(probe_lease_us, 0);
	breaker_defaults(&c);
	c.window = BREAKER_TIME;
	c.min_calls = 100000;
	ck_assert_int_eq(breaker_init(&b, &c, T0), 0);
	c.window_us = 0;
	ck_assert_int_eq(breaker_init(&b, &c, T0), -EINVAL);
}
END_TEST

/* The largest and the smallest of everything, at the ends of the clock, by chance. */
START_TEST(it_stays_sound_at_the_ends_of_clock_and_configuration)
{
	struct draw d = { 13 };

	for (int round = 0; round < 64; round++) {
		struct breaker_permit p[64] = { { 0 } };
		struct breaker_cfg c;
		struct breaker b;
		int64_t retry;

		breaker_defaults(&c);
		c.window = round % 2 ? BREAKER_TIME : BREAKER_COUNT;
		c.window_calls = round & 2 ? 1 : BREAKER_CALLS_MAX;
		c.min_calls = 1;
		c.probes = round & 4 ? 1 : BREAKER_PROBES_MAX;
		c.open_us = round & 8 ? 1 : INT64_MAX / 1024;
		c.open_max_us = INT64_MAX / 1024;
		c.growth_pct = round & 16 ? 100 : 1000;
		c.window_us = c.probe_lease_us = round & 32 ? 1 : INT64_MAX / 1024;
		c.jitter_pct = 100;
		ck_assert_int_eq(breaker_init(&b, &c, clock_edges[round % ARRAY_LEN(clock_edges)]), 0);
		for (int i = 0; i < 1500; i++) {
			uint64_t r = draw_next(&d);
			int64_t now = clock_edges[r % ARRAY_LEN(clock_edges)];
			struct breaker_permit *at = &p[r >> 8 & 63];
			struct breaker_view v;

			if (r >> 20 & 1)
				breaker_report(&b, *at, r >> 21 & 3 ? BREAKER_FAILED : BREAKER_OK,
				    clock_edges[(r >> 32) % ARRAY_LEN(clock_edges)], now, r);
			else if (breaker_allow(&b, now, r, at, &retry) == BREAKER_REFUSED)
				ck_assert_int_ge(retry, 1);
			breaker_view(&b, now, &v);
			ck_assert_uint_le(v.failed, v.calls);
			ck_assert_int_eq(b.leased & b.done, 0);
			ck_assert_uint_le(b.ring_failed_n, b.ring_len);
		}
	}
}
END_TEST

/* The bits of the ring against a list. */
START_TEST(the_ring_counts_what_a_list_counts)
{
	static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 100, 1000, 1024 };
	struct draw d = { 17 };

	EACH(sizes, size) {
		struct breaker_cfg c = small_cfg();
		bool failed[3000], slow[3000];
		uint32_t n_failed = 0, n_slow = 0, size = sizes[i_size];
		struct bench t;

		c.window_calls = size;
		c.min_calls = 1;
		c.failure_pct = c.slow_pct = 0;
		c.slow_us = 10;
		t = bench_of(c);
		for (uint32_t i = 0; i < ARRAY_LEN(failed); i++) {
			struct breaker_view v;

			failed[i] = draw_next(&d) & 1;
			slow[i] = draw_next(&d) & 1;
			calls(&t, 1, failed[i] ? BREAKER_FAILED : BREAKER_OK, slow[i] ? 10 : 9);
			n_failed += failed[i] - (i >= size ? failed[i - size] : 0);
			n_slow += slow[i] - (i >= size ? slow[i - size] : 0);
			breaker_view(&t.b, t.now, &v);
			ck_assert_uint_eq(v.calls, MIN(i + 1, size));
			ck_assert_uint_eq(v.failed, n_failed);
			ck_assert_uint_eq(v.slow, n_slow);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("breaker");

	SUITE_ADD(s, "closed", too_few_calls_decide_nothing,
	    it_opens_when_the_failure_rate_is_reached_and_not_below,
	    a_count_window_forgets_by_calls_and_not_by_time,
	    a_time_window_forgets_by_time_and_not_by_calls, slow_calls_open_it_though_they_succeed,
	    thresholds_of_nought_are_off, a_cancelled_call_is_not_counted,
	    the_ring_counts_what_a_list_counts);
	SUITE_ADD(s, "open", open_it_refuses_and_tells_when_to_come_again,
	    it_stays_open_longer_each_time_up_to_the_maximum,
	    who_falls_again_at_once_has_proven_nothing_and_who_held_has,
	    jitter_spreads_the_open_time_evenly_on_both_sides,
	    a_clock_that_steps_back_a_little_opens_nothing_early);
	SUITE_ADD(s, "half-open", half_open_lets_exactly_its_probes_through,
	    probes_are_decided_as_soon_as_they_can_be, slow_probes_open_it_again,
	    a_closed_one_starts_with_an_empty_window,
	    probes_that_never_return_have_failed_when_their_lease_ends,
	    one_lost_probe_does_not_decide_against_two_good_ones,
	    a_cancelled_probe_gives_its_place_to_another,
	    results_from_before_a_change_of_state_do_not_count,
	    in_a_dry_run_refused_calls_change_nothing);
	SUITE_ADD(s, "forced", forced_open_refuses_all_for_ever, forced_closed_passes_all_and_counts,
	    forcing_what_is_forced_already_changes_nothing);
	SUITE_ADD(s, "ends", figures_out_of_range_are_refused,
	    it_stays_sound_at_the_ends_of_clock_and_configuration);
	return suite_main(s);
}
