#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cli/bench_gen.h"

static struct bench_opts
opts(const char *args)
{
	static char line[512], err[256];
	char *argv[32] = { (char *)"bench", (char *)"--socket", (char *)"unix:x" };
	struct bench_opts o;
	int argc = 3;

	snprintf(line, sizeof line, "%s", args);
	for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	ck_assert_msg(bench_opts_parse(argc, argv, &o, err, sizeof err) == BENCH_PARSED, "%s: %s",
	    args, err);
	return o;
}

/* --- Zipf ------------------------------------------------------------------ */

static void
check_shape(uint64_t n, double skew)
{
	const int draws = 400000;
	struct draw r = { 7 };
	struct bench_zipf z;
	double norm = 0, expected, error;
	int *seen = calloc(n + 1, sizeof *seen);

	bench_zipf_init(&z, n, skew);
	for (int i = 0; i < draws; i++) {
		uint64_t k = bench_zipf_draw(&z, &r);

		/* Each ck_assert() tells the parent process where it stands. */
		if (k < 1 || k > n)
			ck_abort_msg("drew %llu", (unsigned long long)k);
		seen[k]++;
	}
	for (uint64_t k = 1; k <= n; k++)
		norm += pow((double)k, -skew);
	/* Each of the first ranks within 5 standard deviations. */
	for (uint64_t k = 1; k <= 20 && k <= n; k++) {
		expected = draws * pow((double)k, -skew) / norm;
		error = 5 * sqrt(expected) + 1;
		ck_assert_double_eq_tol(seen[k], expected, error);
	}
	free(seen);
}

START_TEST(zipf_ranks_come_in_proportion_to_their_power)
{
	check_shape(1000, 0.99);
	check_shape(100000, 0.99);
	check_shape(1000, 1.0);
	check_shape(1000, 0.5);
	check_shape(1000, 1.0000000001);
	check_shape(50, 2.5);
}
END_TEST

START_TEST(zipf_over_one_key_draws_that_key)
{
	struct draw r = { 1 };
	struct bench_zipf z;

	bench_zipf_init(&z, 1, 0.99);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(bench_zipf_draw(&z, &r), 1);
}
END_TEST

START_TEST(zipf_reaches_the_last_of_four_billion_ranks)
{
	struct draw r = { 3 };
	struct bench_zipf z;
	uint64_t most = 0;

	bench_zipf_init(&z, UINT32_MAX, 0.1);
	for (int i = 0; i < 100000; i++) {
		uint64_t k = bench_zipf_draw(&z, &r);

		most = MAX(most, k);
	}
	ck_assert_uint_le(most, UINT32_MAX);
	ck_assert_uint_gt(most, UINT32_MAX / 1000ull * 999);
}
END_TEST

/* --- keys --------------------------------------------------------------------- */

static struct bench_keys *
keys(const struct bench_opts *o)
{
	static struct bench_keys k;

	k = (struct bench_keys){ 0 };
	bench_keys_init(&k, o, NULL, 0);
	return &k;
}

START_TEST(uniform_keys_hit_each_key_alike)
{
	struct bench_opts o = opts("--keyspace 10 --first-key 1000");
	struct bench_keys *k = keys(&o);
	struct draw r = { 5 };
	int seen[10] = { 0 };

	for (int i = 0; i < 100000; i++) {
		uint64_t id = bench_keys_next(k, &r, false);

		ck_assert_uint_ge(id, 1000);
		ck_assert_uint_lt(id, 1010);
		seen[id - 1000]++;
	}
	for (int i = 0; i < 10; i++)
		ck_assert_int_lt(abs(seen[i] - 10000), 500);
}
END_TEST

START_TEST(a_scan_meets_every_key_in_order_and_starts_again)
{
	struct bench_opts o = opts("--keyspace 3 --scan");
	struct bench_keys *k = keys(&o);
	struct draw r = { 5 };

	for (unsigned i = 0; i < 9; i++)
		ck_assert_uint_eq(bench_keys_next(k, &r, i % 2), i % 3);
}
END_TEST

START_TEST(growing_sets_new_keys_and_gets_recent_ones)
{
	struct bench_opts o = opts("--keyspace 4 --grow");
	struct bench_keys *k = keys(&o);
	struct draw r = { 5 };
	unsigned seen = 0;

	ck_assert_uint_eq(bench_keys_next(k, &r, false), 0); /* before there is any */
	for (unsigned i = 0; i < 100; i++)
		ck_assert_uint_eq(bench_keys_next(k, &r, true), i);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t id = bench_keys_next(k, &r, false);

		ck_assert_uint_ge(id, 96);
		ck_assert_uint_le(id, 99);
		seen |= 1u << (id - 96);
	}
	ck_assert_uint_eq(seen, 15);
}
END_TEST

START_TEST(a_trace_is_replayed_in_order_and_again)
{
	static const uint32_t ids[] = { 7, 7, UINT32_MAX };
	struct bench_opts o = opts("--trace x");
	struct draw r = { 5 };
	struct bench_keys k = { 0 };

	bench_keys_init(&k, &o, ids, 3);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(bench_keys_next(&k, &r, false), ids[i % 3]);
}
END_TEST

START_TEST(polluting_keys_are_never_seen_again)
{
	struct bench_opts o = opts("--keyspace 100 --pollute 0.25 --zipf 0.99");
	struct bench_keys *k = keys(&o);
	struct draw r = { 5 };
	uint64_t polluted = 0;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t id = bench_keys_next(k, &r, false);

		if (id >= 100)
			ck_assert_uint_eq(id, 100 + polluted++);
	}
	ck_assert_uint_gt(polluted, 24000);
	ck_assert_uint_lt(polluted, 26000);
}
END_TEST

/* --- values --------------------------------------------------------------------- */

static struct bench_sizes
sizes(const char *text)
{
	struct bench_sizes s;

	ck_assert_int_eq(bench_sizes_parse(slice_str(text), &s), 0);
	return s;
}

START_TEST(sizes_stay_within_their_bounds_and_reach_both)
{
	struct bench_sizes both[] = { sizes("uniform:3..5"), sizes("loguniform:3..5") };

	for (unsigned i = 0; i < 2; i++) {
		unsigned seen = 0;

		for (uint64_t id = 0; id < 1000; id++) {
			uint64_t n = bench_size_of_key(&both[i], id);

			ck_assert_uint_ge(n, 3);
			ck_assert_uint_le(n, 5);
			seen |= 1u << n;
		}
		ck_assert_uint_eq(seen, 0x38);
		ck_assert_uint_eq(bench_size(&both[i], 0), 3);
		ck_assert_uint_eq(bench_size(&both[i], UINT64_MAX), 5);
	}
	ck_assert_uint_eq(bench_size_of_key(&(struct bench_sizes){ BENCH_FIXED, 9, 9 }, 77), 9);
}
END_TEST

START_TEST(log_uniform_sizes_fill_each_doubling_alike)
{
	struct bench_sizes s = sizes("loguniform:64..16KiB");
	int seen[8] = { 0 };

	for (uint64_t id = 0; id < 80000; id++)
		seen[(int)log2((double)bench_size_of_key(&s, id) / 64.0) & 7]++;
	for (int i = 0; i < 8; i++)
		ck_assert_int_lt(abs(seen[i] - 10000), 700);
}
END_TEST

/* tests/bench/lib/keys.py computes the same: change both. */
START_TEST(the_size_of_a_key_is_always_the_same)
{
	struct bench_sizes s = sizes("loguniform:64..16KiB");
	static const uint64_t known[] = { 417, 7483, 123, 3417 };

	for (uint64_t id = 0; id < 4; id++)
		ck_assert_uint_eq(bench_size_of_key(&s, id), known[id]);
}
END_TEST

START_TEST(values_of_two_keys_differ_and_of_one_do_not)
{
	struct bench_values v;
	struct slice a, b, c;

	ck_assert_int_eq(bench_values_init(&v, 1000), 0);
	a = bench_value(&v, 1, 1000);
	b = bench_value(&v, 2, 1000);
	c = bench_value(&v, 1, 10);
	ck_assert(!slice_eq(a, b));
	ck_assert(slice_has_prefix(a, c));
	/* The last window lies within the text too. */
	for (uint64_t id = 0; id < 100000; id++)
		ck_assert_int_lt(bench_value(&v, id, 1000).ptr - v.text, 65536);
	bench_values_fini(&v);
}
END_TEST

START_TEST(values_without_memory_are_refused)
{
	struct bench_values v;

	mem_fail_nth(1, 0);
	ck_assert_int_eq(bench_values_init(&v, 10), -ENOMEM);
	mem_fail_nth(0, 0);
	bench_values_fini(&v);
}
END_TEST

/* --- the open loop ------------------------------------------------------------------ */

START_TEST(even_arrivals_do_not_drift)
{
	struct bench_opts o = opts("--rate 3");
	struct draw r = { 5 };
	struct bench_pace p;

	bench_pace_init(&p, &o, 0, &r, 1000);
	for (int i = 0; i < 3 * 86400; i++) {
		ck_assert_int_eq(bench_pace_due_us(&p), 1000 + (int64_t)(i * (1e6 / 3)));
		bench_pace_advance(&p, &r);
	}
	ck_assert_int_eq(bench_pace_due_us(&p), 1000 + 86400 * 1000000LL);
}
END_TEST

START_TEST(arrivals_of_threads_interleave)
{
	struct bench_opts o = opts("--rate 1000 --threads 4");
	struct draw r = { 5 };
	struct bench_pace p[4];

	for (unsigned t = 0; t < 4; t++)
		bench_pace_init(&p[t], &o, t, &r, 0);
	for (int i = 0; i < 400; i++) {
		ck_assert_int_eq(bench_pace_due_us(&p[i % 4]), i * 1000);
		bench_pace_advance(&p[i % 4], &r);
	}
}
END_TEST

START_TEST(poisson_arrivals_keep_the_rate_and_vary)
{
	struct bench_opts o = opts("--rate 1000 --arrivals poisson");
	struct draw r = { 5 };
	struct bench_pace p;
	int64_t last = 0, gap;
	int n = 100000, shorter = 0;

	bench_pace_init(&p, &o, 0, &r, 0);
	for (int i = 0; i < n; i++) {
		gap = bench_pace_due_us(&p) - last;
		last += gap;
		ck_assert_int_ge(gap, 0);
		shorter += gap < 1000;
		bench_pace_advance(&p, &r);
	}
	ck_assert_double_eq_tol((double)last / n, 1000, 20);
	/* 1 - 1/e of the gaps of a Poisson process are below their mean. */
	ck_assert_double_eq_tol((double)shorter / n, 1 - exp(-1), 0.01);
}
END_TEST

START_TEST(a_closed_loop_has_no_pace)
{
	struct bench_opts o = opts("--clients 1");
	struct draw r = { 5 };
	struct bench_pace p;

	bench_pace_init(&p, &o, 0, &r, 0);
	ck_assert_double_eq(p.interval_us, 0);
}
END_TEST

START_TEST(the_same_seed_draws_the_same)
{
	struct draw a = { 9 }, b = { 9 }, c = { 10 };

	ck_assert_uint_eq(draw_next(&a), draw_next(&b));
	ck_assert_uint_ne(draw_next(&a), draw_next(&c));
	ck_assert_uint_eq(draw_below(UINT64_MAX, 10), 9);
	ck_assert_uint_eq(draw_below(0, 10), 0);
	ck_assert_double_lt(draw_unit(UINT64_MAX), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bench_gen");

	SUITE_ADD(s, "zipf", zipf_ranks_come_in_proportion_to_their_power,
	    zipf_over_one_key_draws_that_key, zipf_reaches_the_last_of_four_billion_ranks);
	SUITE_ADD(s, "keys", uniform_keys_hit_each_key_alike,
	    a_scan_meets_every_key_in_order_and_starts_again,
	    growing_sets_new_keys_and_gets_recent_ones, a_trace_is_replayed_in_order_and_again,
	    polluting_keys_are_never_seen_again);
	SUITE_ADD(s, "values", sizes_stay_within_their_bounds_and_reach_both,
	    log_uniform_sizes_fill_each_doubling_alike, the_size_of_a_key_is_always_the_same,
	    values_of_two_keys_differ_and_of_one_do_not, values_without_memory_are_refused);
	SUITE_ADD(s, "pace", even_arrivals_do_not_drift, arrivals_of_threads_interleave,
	    poisson_arrivals_keep_the_rate_and_vary, a_closed_loop_has_no_pace,
	    the_same_seed_draws_the_same);
	return suite_main(s);
}
