#include "config.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "resil/limit.h"
#include "unit/resil/sim.h"
#include "unit/resil/units.h"
#include "unit/suite.h"

static struct limit
limit_of(struct limit_cfg c)
{
	struct limit l;

	ck_assert_int_eq(limit_init(&l, &c, T0), 0);
	return l;
}

static struct limit
fixed(uint32_t n)
{
	struct limit_cfg c;

	limit_defaults(&c, false);
	c.limit = n;
	return limit_of(c);
}

static struct limit
adaptive(void)
{
	struct limit_cfg c;

	limit_defaults(&c, true);
	return limit_of(c);
}

/* A whole sample of calls that all take so long, with so many at a time; returns when. */
static int64_t
sample(struct limit *l, enum limit_outcome outcome, int64_t took, uint32_t at_a_time, int64_t now)
{
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < at_a_time; i++)
			limit_take_over(l);
		now += MAX(took, 6 * MS);
		for (uint32_t i = 0; i < at_a_time; i++)
			limit_release(l, outcome, took, now);
	}
	return now;
}

/* One that has measured a best round trip of 10 ms. */
static struct limit
measured(int64_t *now)
{
	struct limit l = adaptive();

	*now = sample(&l, LIMIT_OK, 10 * MS, 3, T0);
	ck_assert(!l.measuring);
	return l;
}

/* Slower answers for a minute: the best one is not seen again. */
static void
until_it_measures(struct limit *l, int64_t *now)
{
	for (int i = 0; !l->measuring; i++) {
		ck_assert_int_lt(i, 61 * 50);
		limit_take_over(l);
		*now += 20 * MS;
		limit_release(l, LIMIT_OK, 40 * MS, *now);
	}
}

/* --- in flight ------------------------------------------------------------------- */

START_TEST(so_many_are_let_through_and_no_more)
{
	struct limit l = fixed(3);

	for (int i = 0; i < 3; i++)
		ck_assert(limit_take(&l));
	ck_assert(!limit_take(&l));
	limit_release(&l, LIMIT_OK, MS, T0);
	ck_assert(limit_take(&l));
	ck_assert(!limit_take(&l));
}
END_TEST

START_TEST(a_dry_run_goes_over_it_and_comes_back)
{
	struct limit l = fixed(1);

	ck_assert(limit_take(&l));
	limit_take_over(&l);
	limit_take_over(&l);
	ck_assert_uint_eq(l.in_flight, 3);
	limit_release(&l, LIMIT_OK, MS, T0);
	limit_release(&l, LIMIT_IGNORE, MS, T0);
	ck_assert(!limit_take(&l));
	limit_release(&l, LIMIT_REFUSED, MS, T0);
	ck_assert(limit_take(&l));
}
END_TEST

START_TEST(a_release_too_many_is_no_place_more)
{
	struct limit l = fixed(1);

	limit_release(&l, LIMIT_OK, MS, T0);
	limit_release(&l, LIMIT_OK, MS, T0);
	ck_assert(limit_take(&l));
	ck_assert(!limit_take(&l));
}
END_TEST

START_TEST(a_fixed_limit_never_moves_but_knows_how_long_calls_take)
{
	struct limit l = fixed(8);
	int64_t now;

	ck_assert_int_eq(limit_service_us(&l), 0);
	now = sample(&l, LIMIT_OK, 10 * MS, 8, T0);
	ck_assert_double_eq_tol((double)limit_service_us(&l), 10 * MS, MS);
	now = sample(&l, LIMIT_DROPPED, S, 8, now);
	ck_assert_double_eq_tol((double)limit_service_us(&l), S, 100 * MS);
	sample(&l, LIMIT_REFUSED, MS, 8, now);
	ck_assert_uint_eq(limit_now(&l), 8);
}
END_TEST

/* --- measuring --------------------------------------------------------------------- */

START_TEST(it_begins_by_measuring_with_few_at_a_time)
{
	struct limit l = adaptive();

	ck_assert_uint_eq(limit_now(&l), 3);
	for (int i = 1; i <= 25; i++) {
		ck_assert_uint_eq(limit_now(&l), 3);
		ck_assert(limit_take(&l));
		limit_release(&l, LIMIT_OK, 5 * MS, T0 + i * 5 * MS);
	}
	ck_assert_uint_eq(limit_now(&l), 20);
	ck_assert_double_eq_tol((double)l.best_us, 5 * MS, 400);
	ck_assert_uint_eq(l.measured, 1);
}
END_TEST

START_TEST(a_slow_origin_is_not_measured_for_long)
{
	struct limit l = adaptive();

	for (int i = 0; i < 3; i++)
		ck_assert(limit_take(&l));
	limit_release(&l, LIMIT_OK, 900 * MS, T0 + 900 * MS);
	ck_assert_uint_eq(limit_now(&l), 3);
	limit_release(&l, LIMIT_OK, S, T0 + S);
	ck_assert_uint_eq(limit_now(&l), 20);
}
END_TEST

START_TEST(while_it_knows_nothing_it_goes_on_measuring)
{
	struct limit l = adaptive();

	sample(&l, LIMIT_IGNORE, 2 * S, 3, T0);
	ck_assert_uint_eq(limit_now(&l), 3);
}
END_TEST

START_TEST(calls_that_began_before_the_measurement_are_none_of_it)
{
	int64_t now;
	struct limit l = measured(&now);

	until_it_measures(&l, &now);
	ck_assert_uint_eq(limit_now(&l), 3);
	for (int i = 0; i < 100; i++) {
		limit_take_over(&l);
		limit_release(&l, LIMIT_OK, 1, now);
	}
	ck_assert(l.measuring);
	ck_assert_uint_eq(sketch_samples(&l.sample), 0);
	now += 10 * MS;
	for (int i = 0; i < 25; i++) {
		limit_take_over(&l);
		limit_release(&l, LIMIT_OK, 10 * MS, now);
	}
	ck_assert(!l.measuring);
}
END_TEST

START_TEST(a_best_round_trip_that_is_seen_again_is_not_measured_again)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int64_t end = now + 10 * MINUTE; now < end;)
		now = sample(&l, LIMIT_OK, 10 * MS, 3, now);
	ck_assert_uint_eq(l.measured, 1);
}
END_TEST

START_TEST(a_measurement_without_any_answer_ends_with_the_old_one)
{
	int64_t now;
	struct limit l = measured(&now);
	int64_t best = l.best_us;

	until_it_measures(&l, &now);
	for (int i = 0; i < 100; i++) {
		limit_take_over(&l);
		now += 20 * MS;
		limit_release(&l, LIMIT_IGNORE, MS, now);
	}
	ck_assert(!l.measuring);
	ck_assert_int_eq(l.best_us, best);
}
END_TEST

/* --- the gradient -------------------------------------------------------------------- */

START_TEST(who_does_not_use_the_limit_gets_no_more)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int i = 0; i < 100; i++)
		now = sample(&l, LIMIT_OK, 10 * MS, 5, now);
	ck_assert_uint_eq(limit_now(&l), 20);
	for (int i = 0; i < 10; i++)
		now = sample(&l, LIMIT_OK, 10 * MS, 20, now);
	ck_assert_uint_gt(limit_now(&l), 25);
}
END_TEST

START_TEST(slower_within_the_tolerance_is_no_overload)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int i = 0; i < 50; i++)
		now = sample(&l, LIMIT_OK, 11 * MS, 20, now);
	ck_assert_uint_ge(limit_now(&l), 20);
}
END_TEST

START_TEST(much_slower_answers_bring_it_to_the_minimum)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int i = 0; i < 8; i++)
		now = sample(&l, LIMIT_OK, 300 * MS, 20, now);
	ck_assert_uint_le(limit_now(&l), 4); /* 1 / (1 - 0.5)^2: what the head-room balances */
	ck_assert_uint_ge(limit_now(&l), 3);
}
END_TEST

START_TEST(calls_cut_off_count_with_the_time_they_had)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int i = 0; i < 20; i++)
		now = sample(&l, LIMIT_DROPPED, 100 * MS, 20, now);
	ck_assert_uint_eq(limit_now(&l), 3);
}
END_TEST

START_TEST(quick_refusals_lower_it_although_they_are_quick)
{
	int64_t now;
	struct limit l = measured(&now);
	int64_t best = l.best_us;

	for (int i = 0; i < 30; i++)
		now = sample(&l, LIMIT_REFUSED, 100, 20, now);
	ck_assert_uint_eq(limit_now(&l), 3);
	ck_assert_int_eq(l.best_us, best);
}
END_TEST

START_TEST(other_errors_leave_it_where_it_is)
{
	int64_t now;
	struct limit l = measured(&now);
	int64_t best = l.best_us;

	for (int i = 0; i < 30; i++)
		now = sample(&l, LIMIT_IGNORE, 100, 20, now);
	ck_assert_uint_eq(limit_now(&l), 20);
	ck_assert_int_eq(l.best_us, best);
}
END_TEST

START_TEST(one_drop_in_many_is_no_overload)
{
	int64_t now;
	struct limit l = measured(&now);

	for (int i = 0; i < 2000; i++) {
		limit_take_over(&l);
		now += 5 * MS;
		limit_release(&l, i % 20 == 0 ? LIMIT_REFUSED : LIMIT_OK, 10 * MS, now);
	}
	ck_assert_uint_eq(limit_now(&l), 20);
}
END_TEST

/* As many calls as the limit allows, always, until then. Returns how many were answered. */
static int64_t
saturate(struct limit *l, struct sim_origin *o, struct sim_events *e, int64_t *now, int64_t until)
{
	struct sim_event done;
	int64_t n = 0;

	do {
		while (limit_take(l))
			sim_push(e, (struct sim_event){ sim_call(o, *now), *now, 0, 0 });
		if (!sim_pop(e, until, &done))
			break;
		*now = done.at_us;
		limit_release(l, LIMIT_OK, done.at_us - done.began_us, *now);
		n++;
	} while (true);
	*now = until;
	return n;
}

/* A worker does 100 a second, so ten seconds of it are 1,000. */
START_TEST(it_finds_the_capacity_of_an_origin_and_uses_it)
{
	static struct sim_events e;
	static const unsigned capacities[] = { 4, 12, 40, 120 };

	EACH(capacities, c) {
		struct sim_origin o = { .workers = capacities[i_c], .service_us = 10 * MS };
		struct limit l = adaptive();
		int64_t now = T0, answered;

		e.n = 0;
		saturate(&l, &o, &e, &now, T0 + 20 * S);
		answered = saturate(&l, &o, &e, &now, T0 + 30 * S);
		ck_assert_uint_ge(limit_now(&l), o.workers);
		ck_assert_uint_le(limit_now(&l), o.workers * 2);
		ck_assert_int_ge(answered, (int64_t)o.workers * 1000 * 95 / 100);
	}
}
END_TEST

/* Also beyond the minute after which it measures anew. */
START_TEST(it_does_not_creep_up_when_its_own_queue_is_all_it_sees)
{
	static struct sim_events e;
	struct sim_origin o = { .workers = 20, .service_us = 10 * MS };
	struct limit l = adaptive();
	int64_t now = T0;

	for (int i = 1; i <= 25; i++) {
		saturate(&l, &o, &e, &now, T0 + i * 10 * S);
		ck_assert_double_le(l.limit, 40);
	}
	ck_assert_uint_ge(l.measured, 4);
}
END_TEST

START_TEST(it_sheds_when_the_latency_doubles_and_believes_it_after_a_minute)
{
	static struct sim_events e;
	struct sim_origin o = { .workers = 40, .service_us = 10 * MS };
	struct limit l = adaptive();
	int64_t now = T0;
	uint32_t before;

	saturate(&l, &o, &e, &now, T0 + 30 * S);
	before = limit_now(&l);
	o.service_us = 20 * MS;
	saturate(&l, &o, &e, &now, T0 + 40 * S);
	ck_assert_uint_le(limit_now(&l), before / 3);
	saturate(&l, &o, &e, &now, T0 + 180 * S);
	ck_assert_uint_ge(limit_now(&l), 35);
	/* And back: faster is believed at once, as far as the queue lets it be seen. */
	o.service_us = 10 * MS;
	saturate(&l, &o, &e, &now, T0 + 182 * S);
	ck_assert_double_le((double)l.best_us, 18 * MS);
	saturate(&l, &o, &e, &now, T0 + 300 * S);
	ck_assert_double_le((double)l.best_us, 11 * MS);
	ck_assert_uint_le(limit_now(&l), 80);
}
END_TEST

START_TEST(it_stays_within_its_bounds_at_the_ends_of_clock_and_configuration)
{
	struct draw d = { 29 };

	for (int round = 0; round < 32; round++) {
		struct limit_cfg c;
		struct limit l;

		limit_defaults(&c, true);
		c.min = round & 1 ? 1 : 20;
		c.max = round & 2 ? 20 : LIMIT_MAX;
		c.tolerance_pct = round & 4 ? 0 : 1000;
		c.smoothing = round & 8 ? 1 : 1e-9;
		c.sample_us = c.best_us = c.measure_max_us = round & 16 ? 1 : INT64_MAX / 1024;
		c.sample_calls = c.measure_calls = 1;
		ck_assert_int_eq(limit_init(&l, &c, clock_edges[round % ARRAY_LEN(clock_edges)]), 0);
		for (int i = 0; i < 2000; i++) {
			uint64_t r = draw_next(&d);

			if (r & 1)
				limit_take(&l);
			else
				limit_release(&l, (enum limit_outcome)(r >> 1 & 3),
				    clock_edges[(r >> 8) % ARRAY_LEN(clock_edges)],
				    clock_edges[(r >> 24) % ARRAY_LEN(clock_edges)]);
			ck_assert_double_ge(l.limit, c.min);
			ck_assert_double_le(l.limit, c.max);
			ck_assert_uint_ge(limit_now(&l), 1);
			ck_assert_int_ge(limit_service_us(&l), 0);
		}
	}
}
END_TEST

#define BAD(field, value) \
	do { \
		struct limit_cfg c_; \
		struct limit l_; \
		limit_defaults(&c_, true); \
		c_.field = (value); \
		ck_assert_int_eq(limit_init(&l_, &c_, T0), -EINVAL); \
	} while (0)

START_TEST(figures_out_of_range_are_refused)
{
	struct limit_cfg c;
	struct limit l;

	BAD(limit, 0);
	BAD(limit, 2); /* below the minimum */
	BAD(limit, 201);
	BAD(min, 0);
	BAD(min, 21);
	BAD(max, 19);
	BAD(max, LIMIT_MAX + 1);
	BAD(tolerance_pct, 1001);
	BAD(smoothing, 0);
	BAD(smoothing, 1.1);
	BAD(smoothing, (double)NAN);
	BAD(sample_us, 0);
	BAD(sample_calls, 0);
	BAD(sample_calls, 1001);
	BAD(best_us, 0);
	BAD(best_us, INT64_MAX);
	BAD(measure_calls, 0);
	BAD(measure_max_us, 0);
	limit_defaults(&c, false);
	c.limit = LIMIT_MAX; /* a fixed one has no other bounds */
	ck_assert_int_eq(limit_init(&l, &c, T0), 0);
	c.limit++;
	ck_assert_int_eq(limit_init(&l, &c, T0), -EINVAL);
}
END_TEST

/* --- the queue --------------------------------------------------------------------------- */

/* Ten at a time, 100 ms each: a place every 10 ms. */
static struct queue_view
queue_of(uint32_t waiting, uint32_t capacity)
{
	return (struct queue_view){ .now_us = T0, .waiting = waiting, .capacity = capacity,
		.limit = 10, .service_us = 100 * MS };
}

START_TEST(the_wait_grows_with_the_place)
{
	struct queue_view q = queue_of(0, 100);

	ck_assert_int_eq(queue_wait_us(&q, 0), 10 * MS);
	ck_assert_int_eq(queue_wait_us(&q, 99), S);
	ck_assert(!queue_is_late(&q, 9, T0 + 200 * MS));
	ck_assert(queue_is_late(&q, 9, T0 + 200 * MS - 1));
}
END_TEST

START_TEST(a_request_joins_if_it_can_make_its_deadline_from_there)
{
	struct queue_view q = queue_of(39, 100);

	ck_assert_int_eq(queue_arrive(&q, T0 + 500 * MS, T0 + S), QUEUE_WAIT);
	ck_assert_int_eq(queue_arrive(&q, T0 + 500 * MS - 1, T0 + S), QUEUE_REFUSE_LATE);
}
END_TEST

START_TEST(a_full_queue_sheds_its_oldest_if_that_would_be_too_late)
{
	struct queue_view q = queue_of(4, 4);

	ck_assert_int_eq(queue_arrive(&q, T0 + S, T0 + 110 * MS - 1), QUEUE_SHED_OLDEST);
	ck_assert_int_eq(queue_arrive(&q, T0 + S, T0 + 110 * MS), QUEUE_REFUSE_FULL);
	/* Nobody is shed for one that cannot make it either. */
	ck_assert_int_eq(queue_arrive(&q, T0 + 120 * MS, T0), QUEUE_REFUSE_LATE);
}
END_TEST

START_TEST(without_a_queue_nobody_waits)
{
	struct queue_view q = queue_of(0, 0);

	ck_assert_int_eq(queue_arrive(&q, T0 + S, T0 + S), QUEUE_REFUSE_FULL);
}
END_TEST

START_TEST(a_free_place_goes_to_the_oldest_that_can_still_make_it)
{
	struct queue_view q = queue_of(3, 4);

	ck_assert(queue_may_run(&q, T0 + 100 * MS));
	ck_assert(!queue_may_run(&q, T0 + 100 * MS - 1));
}
END_TEST

START_TEST(where_nothing_is_known_only_what_is_late_already_is_late)
{
	struct queue_view q = queue_of(3, 4);

	q.service_us = 0;
	ck_assert(queue_may_run(&q, T0 + 1));
	ck_assert(!queue_may_run(&q, T0));
	ck_assert_int_eq(queue_arrive(&q, T0 + 1, T0 + 1), QUEUE_WAIT);
	ck_assert_int_eq(queue_arrive(&q, T0, T0 + 1), QUEUE_REFUSE_LATE);
}
END_TEST

START_TEST(queues_at_the_ends_are_decided_all_the_same)
{
	static const uint32_t sizes[] = { 0, 1, 1000, UINT32_MAX - 1, UINT32_MAX };

	EACH(clock_edges, now) EACH(clock_edges, service) EACH(clock_edges, deadline)
	EACH(sizes, waiting) EACH(sizes, limit) {
		struct queue_view q = { clock_edges[i_now], sizes[i_waiting], sizes[i_waiting],
			sizes[i_limit], clock_edges[i_service] };
		int64_t deadline = clock_edges[i_deadline];

		if (queue_wait_us(&q, q.waiting) < 0)
			ck_abort_msg("a wait below nought");
		if (deadline <= q.now_us && queue_may_run(&q, deadline))
			ck_abort_msg("runs too late");
		if (queue_arrive(&q, deadline, deadline) == QUEUE_WAIT)
			ck_abort_msg("joined a full queue");
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("limit");

	SUITE_ADD(s, "in flight", so_many_are_let_through_and_no_more,
	    a_dry_run_goes_over_it_and_comes_back, a_release_too_many_is_no_place_more,
	    a_fixed_limit_never_moves_but_knows_how_long_calls_take);
	SUITE_ADD(s, "measuring", it_begins_by_measuring_with_few_at_a_time,
	    a_slow_origin_is_not_measured_for_long, while_it_knows_nothing_it_goes_on_measuring,
	    calls_that_began_before_the_measurement_are_none_of_it,
	    a_best_round_trip_that_is_seen_again_is_not_measured_again,
	    a_measurement_without_any_answer_ends_with_the_old_one);
	SUITE_ADD(s, "gradient", who_does_not_use_the_limit_gets_no_more,
	    slower_within_the_tolerance_is_no_overload, much_slower_answers_bring_it_to_the_minimum,
	    calls_cut_off_count_with_the_time_they_had,
	    quick_refusals_lower_it_although_they_are_quick, other_errors_leave_it_where_it_is,
	    one_drop_in_many_is_no_overload, it_finds_the_capacity_of_an_origin_and_uses_it,
	    it_does_not_creep_up_when_its_own_queue_is_all_it_sees,
	    it_sheds_when_the_latency_doubles_and_believes_it_after_a_minute);
	SUITE_ADD(s, "ends", it_stays_within_its_bounds_at_the_ends_of_clock_and_configuration,
	    figures_out_of_range_are_refused);
	SUITE_ADD(s, "queue", the_wait_grows_with_the_place,
	    a_request_joins_if_it_can_make_its_deadline_from_there,
	    a_full_queue_sheds_its_oldest_if_that_would_be_too_late, without_a_queue_nobody_waits,
	    a_free_place_goes_to_the_oldest_that_can_still_make_it,
	    where_nothing_is_known_only_what_is_late_already_is_late,
	    queues_at_the_ends_are_decided_all_the_same);
	return suite_main(s);
}
