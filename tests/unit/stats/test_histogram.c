#include "config.h"

#include "unit/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "stats/histogram.h"

static void
sum_of(const struct histogram *h, struct histogram_sum *s)
{
	histogram_sum_init(s);
	histogram_sum_add(s, h);
}

/* Of a histogram that holds nothing but v. */
static int64_t
median_of_one(int64_t v)
{
	struct histogram h = { 0 };
	struct histogram_sum s;
	int64_t q;

	/* A second, larger value, so that the maximum does not help. */
	histogram_add(&h, v);
	histogram_add(&h, v + v / 2);
	sum_of(&h, &s);
	q = histogram_quantile(&s, 0.5);
	histogram_sum_fini(&s);
	histogram_fini(&h);
	return q;
}

START_TEST(a_percentile_is_off_by_at_most_one_percent)
{
	for (int64_t v = 0; v < 128; v++)
		ck_assert_int_eq(median_of_one(v), v);
	for (int64_t v = 128; v < (int64_t)1 << 35; v = v * 21 / 20 + 1) {
		int64_t q = median_of_one(v), off = q > v ? q - v : v - q;

		ck_assert_msg(off * 100 <= v, "%ld is reported as %ld", (long)v, (long)q);
	}
}
END_TEST

START_TEST(both_sides_of_a_power_of_two_are_right)
{
	for (int bit = 7; bit < HISTOGRAM_MAX_BITS; bit++) {
		int64_t power = (int64_t)1 << bit;

		ck_assert_int_le(median_of_one(power - 1), power - 1);
		ck_assert_int_ge(median_of_one(power), power);
	}
}
END_TEST

START_TEST(quantiles_of_a_known_stream_are_found)
{
	struct histogram h = { 0 };
	struct histogram_sum s;

	for (int64_t v = 1; v <= 100; v++)
		histogram_add(&h, v);
	sum_of(&h, &s);
	ck_assert_int_eq(histogram_quantile(&s, 0), 1);
	ck_assert_int_eq(histogram_quantile(&s, 0.5), 50);
	ck_assert_int_eq(histogram_quantile(&s, 0.99), 99);
	ck_assert_int_eq(histogram_quantile(&s, 0.991), 100);
	ck_assert_int_eq(histogram_quantile(&s, 1), 100);
	ck_assert_int_eq(histogram_max(&s), 100);
	ck_assert_double_eq_tol(histogram_mean(&s), 50.5, 1e-9);
	histogram_sum_fini(&s);
	histogram_fini(&h);
}
END_TEST

START_TEST(an_empty_histogram_answers_zero_and_has_no_buckets)
{
	struct histogram h = { 0 };
	struct histogram_sum s;

	sum_of(&h, &s);
	for (unsigned p = 0; p < HISTOGRAM_POWERS; p++)
		ck_assert_ptr_null(h.powers[p]);
	ck_assert_ptr_null(s.buckets);
	ck_assert_int_eq(histogram_quantile(&s, 0.5), 0);
	ck_assert_int_eq(histogram_max(&s), 0);
	ck_assert_double_eq(histogram_mean(&s), 0);
	histogram_fini(&h);
}
END_TEST

START_TEST(values_beyond_both_ends_are_counted_in_the_last_buckets)
{
	struct histogram h = { 0 };
	struct histogram_sum s;

	histogram_add(&h, -5);
	histogram_add(&h, INT64_MAX);
	sum_of(&h, &s);
	ck_assert_int_eq(s.count, 2);
	ck_assert_int_eq(histogram_max(&s), INT64_MAX);
	ck_assert_int_eq(histogram_quantile(&s, 0.1), 0);
	ck_assert_uint_eq(s.buckets[0], 1);
	ck_assert_uint_eq(s.buckets[HISTOGRAM_BUCKETS - 1], 1);
	histogram_sum_fini(&s);
	histogram_fini(&h);
}
END_TEST

START_TEST(only_powers_of_two_that_were_seen_take_memory)
{
	struct histogram h = { 0 };
	unsigned n = 0;

	for (int64_t v = 1000; v < 4000; v++)
		histogram_add(&h, v);
	for (unsigned p = 0; p < HISTOGRAM_POWERS; p++)
		n += h.powers[p] != NULL;
	ck_assert_uint_eq(n, 3);
	histogram_fini(&h);
}
END_TEST

START_TEST(no_memory_for_buckets_still_counts_and_sums)
{
	struct histogram h = { 0 };
	struct histogram_sum s;

	mem_fail_nth(1, 0);
	histogram_add(&h, 10);
	mem_fail_nth(0, 0);
	histogram_add(&h, 20);

	histogram_sum_init(&s);
	mem_fail_nth(1, 0);
	histogram_sum_add(&s, &h);
	mem_fail_nth(0, 0);
	ck_assert_int_eq(s.count, 2);
	ck_assert_int_eq(s.sum, 30);
	ck_assert_int_eq(histogram_quantile(&s, 0.5), 0);
	histogram_sum_fini(&s);

	sum_of(&h, &s);
	ck_assert_int_eq(s.count, 2);
	ck_assert_int_eq(histogram_quantile(&s, 0.5), 20);
	histogram_sum_fini(&s);
	histogram_fini(&h);
}
END_TEST

START_TEST(a_reset_hides_old_values_at_once_and_its_maximum_too)
{
	struct histogram h = { 0 };
	struct histogram_sum s;

	histogram_add(&h, 1000000);
	histogram_reset(&h);
	sum_of(&h, &s);
	ck_assert_int_eq(s.count, 0);
	ck_assert_int_eq(histogram_max(&s), 0);
	histogram_sum_fini(&s);

	histogram_add(&h, 7);
	sum_of(&h, &s);
	ck_assert_int_eq(s.count, 1);
	ck_assert_int_eq(s.sum, 7);
	ck_assert_int_eq(histogram_max(&s), 7);
	ck_assert_int_eq(histogram_quantile(&s, 0.99), 7);
	histogram_sum_fini(&s);
	histogram_fini(&h);
}
END_TEST

struct race {
	struct histogram h;
	atomic_bool stop;
};

static void *
add_until_stopped(void *arg)
{
	struct race *r = arg;

	for (int64_t v = 0; !atomic_load(&r->stop); v = (v + 1) % 1000)
		histogram_add(&r->h, v);
	return NULL;
}

START_TEST(sums_and_resets_run_beside_the_writer)
{
	struct race r = { 0 };
	pthread_t writer;

	ck_assert_int_eq(pthread_create(&writer, NULL, add_until_stopped, &r), 0);
	while (counter_get(&r.h.count) == 0)
		sched_yield();
	for (int i = 0; i < 500; i++) {
		struct histogram_sum s;

		sum_of(&r.h, &s);
		ck_assert_int_le(histogram_quantile(&s, 1), 999);
		ck_assert_int_ge(s.count, 0);
		histogram_sum_fini(&s);
		if (i % 10 == 0)
			histogram_reset(&r.h);
	}
	atomic_store(&r.stop, true);
	pthread_join(writer, NULL);
	histogram_fini(&r.h);
}
END_TEST

START_TEST(coarse_steps_hold_all_values_in_order)
{
	struct histogram h = { 0 };
	struct histogram_sum sum;
	struct histogram_step steps[HISTOGRAM_STEPS];
	int64_t v[] = { 0, 7, 7, 100, 103, 104, 1000000, (int64_t)1 << 40 };
	unsigned n, at = 0;
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		histogram_add(&h, v[i]);
	sum_of(&h, &sum);
	n = histogram_steps(&sum, steps);
	ck_assert_uint_eq(n, 6); /* 0; 7 twice; 96 to 103 twice; 104 to 111; and two alone */
	for (size_t i = 0; i + 1 < ARRAY_LEN(v); i++) {
		while (at < n && steps[at].below <= v[i])
			at++;
		ck_assert(at < n && steps[at].from <= v[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		ck_assert_uint_gt(steps[i].n, 0);
		ck_assert(i == 0 || steps[i - 1].below <= steps[i].from);
		ck_assert_int_le((steps[i].below - steps[i].from - 1) * 8, steps[i].from);
		all += steps[i].n;
	}
	ck_assert_uint_eq(all, ARRAY_LEN(v));
	histogram_sum_fini(&sum);
	histogram_fini(&h);
}
END_TEST

START_TEST(an_empty_histogram_has_no_steps)
{
	struct histogram_sum sum;
	struct histogram_step steps[HISTOGRAM_STEPS];

	histogram_sum_init(&sum);
	ck_assert_uint_eq(histogram_steps(&sum, steps), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("histogram");

	SUITE_ADD(s, "quantiles", a_percentile_is_off_by_at_most_one_percent,
	    both_sides_of_a_power_of_two_are_right, quantiles_of_a_known_stream_are_found,
	    an_empty_histogram_answers_zero_and_has_no_buckets,
	    values_beyond_both_ends_are_counted_in_the_last_buckets,
	    coarse_steps_hold_all_values_in_order, an_empty_histogram_has_no_steps);
	SUITE_ADD(s, "memory", only_powers_of_two_that_were_seen_take_memory,
	    no_memory_for_buckets_still_counts_and_sums);
	SUITE_ADD(s, "reset", a_reset_hides_old_values_at_once_and_its_maximum_too,
	    sums_and_resets_run_beside_the_writer);
	return suite_main(s);
}
