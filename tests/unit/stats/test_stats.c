#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "stats/stats.h"

#define LOOPS 2

static struct stats_loop loop[LOOPS];
static struct stats_loop *const loops[LOOPS] = { &loop[0], &loop[1] };

static void
setup(void)
{
	for (int i = 0; i < LOOPS; i++)
		ck_assert_int_eq(stats_loop_init(&loop[i]), 0);
}

static void
teardown(void)
{
	for (int i = 0; i < LOOPS; i++)
		stats_loop_fini(&loop[i]);
}

START_TEST(counters_are_summed_over_loops)
{
	struct stats_sum_loop l;
	struct stats_sum_ns ns;
	struct stats_sum_command cmd;

	counter_add(&loop[0].rejected_connections, 3);
	counter_add(&loop[1].rejected_connections, 4);
	counter_inc(&loop[0].ns[5].hits);
	counter_inc(&loop[1].ns[5].hits);
	counter_inc(&loop[1].ns[6].hits);
	counter_inc(&loop[1].commands[9].calls);

	stats_sum_loop(loops, LOOPS, &l);
	ck_assert_int_eq(l.rejected_connections, 7);
	stats_sum_ns(loops, LOOPS, 5, &ns);
	ck_assert_int_eq(ns.hits, 2);
	stats_sum_command(loops, LOOPS, 9, &cmd);
	ck_assert_int_eq(cmd.calls, 1);
	stats_sum_loop(loops, 1, &l);
	ck_assert_int_eq(l.rejected_connections, 3);
}
END_TEST

/* One thread stored, another evicted: only the sum means something. */
START_TEST(tallies_of_a_namespace_join_over_threads)
{
	struct stats_sum_ns ns;

	counter_inc(&loop[0].tally[1].stored);
	counter_inc(&loop[0].tally[1].entries);
	counter_add(&loop[0].tally[1].bytes, 100);
	counter_inc(&loop[1].tally[1].evicted);
	counter_add(&loop[1].tally[1].entries, -1);
	counter_add(&loop[1].tally[1].bytes, -100);
	stats_sum_ns(loops, LOOPS, 1, &ns);
	ck_assert_int_eq(ns.stored, 1);
	ck_assert_int_eq(ns.evicted, 1);
	ck_assert_int_eq(ns.entries, 0);
	ck_assert_int_eq(ns.bytes, 0);
}
END_TEST

START_TEST(latencies_of_an_origin_join_over_loops)
{
	struct stats_sum_origin o;

	counter_inc(&loop[0].origins[2].requests);
	histogram_add(&loop[0].origins[2].latency_us, 100);
	histogram_add(&loop[1].origins[2].latency_us, 50);
	stats_sum_origin(loops, LOOPS, 2, &o);
	ck_assert_int_eq(o.requests, 1);
	ck_assert_int_eq(o.latency_us.count, 2);
	ck_assert_int_eq(histogram_quantile(&o.latency_us, 0.5), 50);
	ck_assert_int_eq(histogram_max(&o.latency_us), 100);
	histogram_sum_fini(&o.latency_us);
}
END_TEST

static void
count_one_of_each(struct stats_loop *l)
{
	counter_inc(&l->error_replies);
	counter_inc(&l->ns[0].misses);
	counter_inc(&l->tally[0].stored);
	counter_inc(&l->tally[0].evicted);
	counter_inc(&l->tally[0].expired);
	counter_inc(&l->tally[0].entries);
	counter_add(&l->tally[0].bytes, 60);
	counter_inc(&l->origins[0].errors);
	histogram_add(&l->origins[0].latency_us, 9);
	counter_inc(&l->commands[0].failed);
}

static void
assert_counts(int64_t counted, int64_t gauged)
{
	struct stats_sum_loop l;
	struct stats_sum_ns ns;
	struct stats_sum_origin o;
	struct stats_sum_command cmd;

	stats_sum_loop(loops, LOOPS, &l);
	stats_sum_ns(loops, LOOPS, 0, &ns);
	stats_sum_origin(loops, LOOPS, 0, &o);
	stats_sum_command(loops, LOOPS, 0, &cmd);
	ck_assert_int_eq(l.error_replies, counted);
	ck_assert_int_eq(ns.misses, counted);
	ck_assert_int_eq(ns.stored, counted);
	ck_assert_int_eq(ns.evicted, counted);
	ck_assert_int_eq(ns.expired, counted);
	ck_assert_int_eq(o.errors, counted);
	ck_assert_int_eq(o.latency_us.count, counted);
	ck_assert_int_eq(cmd.failed, counted);
	ck_assert_int_eq(ns.entries, gauged);
	ck_assert_int_eq(ns.bytes, gauged * 60);
	histogram_sum_fini(&o.latency_us);
}

START_TEST(a_reset_starts_counts_anew_and_leaves_gauges_alone)
{
	count_one_of_each(&loop[0]);
	count_one_of_each(&loop[1]);
	assert_counts(2, 2);
	stats_reset(loops, LOOPS);
	assert_counts(0, 2);
	count_one_of_each(&loop[0]);
	assert_counts(1, 3);
	stats_reset(loops, LOOPS);
	stats_reset(loops, LOOPS);
	assert_counts(0, 3);
}
END_TEST

static atomic_bool stop;

static void *
count_until_stopped(void *arg)
{
	struct stats_loop *l = arg;

	while (!atomic_load(&stop))
		count_one_of_each(l);
	return NULL;
}

START_TEST(a_reset_beside_counting_loops_never_shows_a_negative_count)
{
	pthread_t writers[LOOPS];

	atomic_store(&stop, false);
	for (int i = 0; i < LOOPS; i++)
		ck_assert_int_eq(
		    pthread_create(&writers[i], NULL, count_until_stopped, &loop[i]), 0);
	for (int i = 0; i < LOOPS; i++)
		while (counter_get(&loop[i].commands[0].failed) == 0)
			sched_yield();
	for (int i = 0; i < 300; i++) {
		struct stats_sum_ns ns;
		struct stats_sum_origin o;

		stats_reset(loops, LOOPS);
		stats_sum_ns(loops, LOOPS, 0, &ns);
		stats_sum_origin(loops, LOOPS, 0, &o);
		ck_assert_int_ge(ns.misses, 0);
		ck_assert_int_ge(ns.evicted, 0);
		ck_assert_int_ge(o.errors, 0);
		histogram_sum_fini(&o.latency_us);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < LOOPS; i++)
		pthread_join(writers[i], NULL);
}
END_TEST

START_TEST(names_keep_their_numbers)
{
	struct stats_names *n = stats_names_new();

	ck_assert_str_eq(stats_ns_name(n, 0), "default");
	ck_assert_int_eq(stats_ns_id(n, "user:"), 1);
	ck_assert_int_eq(stats_ns_id(n, "page:"), 2);
	ck_assert_int_eq(stats_ns_id(n, "user:"), 1);
	ck_assert_int_eq(stats_ns_id(n, "default"), 0);
	ck_assert_uint_eq(stats_ns_count(n), 3);
	ck_assert_uint_eq(stats_origin_count(n), 0);
	ck_assert_int_eq(stats_origin_id(n, "users"), 0);
	ck_assert_str_eq(stats_origin_name(n, 0), "users");
	ck_assert_str_eq(stats_ns_name(n, 2), "page:");
	stats_names_free(n);
}
END_TEST

START_TEST(a_full_table_refuses_new_names_and_knows_the_old)
{
	struct stats_names *n = stats_names_new();
	char name[16];

	for (int i = 0; i < STATS_ORIGINS; i++) {
		snprintf(name, sizeof name, "o%d", i);
		ck_assert_int_eq(stats_origin_id(n, name), i);
	}
	ck_assert_int_eq(stats_origin_id(n, "one more"), -ENOSPC);
	ck_assert_int_eq(stats_origin_id(n, "o63"), 63);
	ck_assert_uint_eq(stats_origin_count(n), STATS_ORIGINS);
	stats_names_free(n);
}
END_TEST

START_TEST(every_refused_allocation_is_reported)
{
	struct stats_loop l;
	struct stats_names *n;
	unsigned long at;

	for (at = 1, mem_fail_nth(at, 0); stats_loop_init(&l) == -ENOMEM; mem_fail_nth(++at, 0))
		;
	ck_assert_uint_eq(at, 7);
	stats_loop_fini(&l);
	for (at = 1, mem_fail_nth(at, 0); (n = stats_names_new()) == NULL; mem_fail_nth(++at, 0))
		;
	ck_assert_uint_eq(at, 3);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(stats_ns_id(n, "a"), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_uint_eq(stats_ns_count(n), 1);
	ck_assert_int_eq(stats_ns_id(n, "a"), 1);
	stats_names_free(n);
}
END_TEST

START_TEST(a_hit_rate_needs_reads)
{
	ck_assert_double_eq(stats_hit_rate(0, 0), 0);
	ck_assert_double_eq(stats_hit_rate(3, 1), 0.75);
	ck_assert_double_eq(stats_hit_rate(0, 5), 0);
}
END_TEST

static void
assert_errors(const char *expected)
{
	struct stats_sum_error e[STATS_ERRORS];
	unsigned n = stats_sum_errors(loops, LOOPS, e);
	char text[256] = "";
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s=%lld ", e[i].name,
		    (long long)e[i].n);
	ck_assert_str_eq(text, expected);
}

START_TEST(errors_are_summed_by_their_first_word)
{
	assert_errors("");
	stats_error(&loop[0], "OOM");
	stats_error(&loop[0], "ERR");
	stats_error(&loop[1], "ERR");
	stats_error(&loop[1], "ORIGIN");
	stats_error(&loop[1], "");
	stats_error(&loop[1], "A-WORD-OF-MORE-THAN-32-CHARACTERS");
	assert_errors("ERR=4 OOM=1 ORIGIN=1 ");
	stats_reset(loops, LOOPS);
	assert_errors("");
	stats_error(&loop[0], "ORIGIN");
	assert_errors("ORIGIN=1 ");
}
END_TEST

/* An origin can make up words. */
START_TEST(kinds_of_errors_are_bounded)
{
	struct stats_sum_error e[STATS_ERRORS];
	char word[16];
	int64_t sum = 0, others = 0;

	for (int i = 0; i < 300; i++) {
		snprintf(word, sizeof word, "WORD%d", i);
		stats_error(&loop[i % LOOPS], word);
		stats_error(&loop[i % LOOPS], word);
	}
	ck_assert_uint_eq(stats_sum_errors(loops, LOOPS, e), STATS_ERRORS);
	for (unsigned i = 0; i < STATS_ERRORS; i++) {
		sum += e[i].n;
		if (strcmp(e[i].name, "ERRORSTATS_OVERFLOW") == 0)
			others = e[i].n;
	}
	ck_assert_int_eq(sum, 600);
	ck_assert_int_eq(others, 600 - 2 * (STATS_ERRORS - 1));
}
END_TEST

static void
add_loop_tests(Suite *s)
{
	TCase *tc = tcase_create("sums");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, counters_are_summed_over_loops);
	tcase_add_test(tc, tallies_of_a_namespace_join_over_threads);
	tcase_add_test(tc, latencies_of_an_origin_join_over_loops);
	tcase_add_test(tc, a_reset_starts_counts_anew_and_leaves_gauges_alone);
	tcase_add_test(tc, a_reset_beside_counting_loops_never_shows_a_negative_count);
	tcase_add_test(tc, errors_are_summed_by_their_first_word);
	tcase_add_test(tc, kinds_of_errors_are_bounded);
	suite_add_tcase(s, tc);
}

int
main(void)
{
	Suite *s = suite_create("stats");

	add_loop_tests(s);
	SUITE_ADD(s, "names", names_keep_their_numbers,
	    a_full_table_refuses_new_names_and_knows_the_old);
	SUITE_ADD(s, "memory", every_refused_allocation_is_reported);
	SUITE_ADD(s, "rates", a_hit_rate_needs_reads);
	return suite_main(s);
}
