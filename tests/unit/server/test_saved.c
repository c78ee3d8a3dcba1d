#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/metrics.h"
#include "server/saved.h"

#define ODD 1 /* the number of the namespace "odd" */

static struct stats_loop *
loop_stats(unsigned loop)
{
	return server->stats[loop];
}

static void
fetch(unsigned loop, unsigned n, int64_t us)
{
	for (unsigned i = 0; i < n; i++)
		stats_ns_time(loop_stats(loop), ODD, STATS_FETCH_US, us);
}

static void
count(void)
{
	saved_count(server, now_ms);
}

START_TEST(reads_without_a_fetch_save_the_mean_of_fetches)
{
	fetch(0, 3, 10000);
	fetch(1, 1, 50000);
	counter_add(&loop_stats(0)->ns[ODD].hits, 100);
	counter_add(&loop_stats(1)->ns[ODD].coalesced, 10);
	counter_add(&loop_stats(1)->ns[ODD].misses, 1000);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 110 * 20000);
	ck_assert_int_eq(saved_us(server, 0), 0);
	ck_reply_has("INFO namespaces", "ns_odd:hits=100,");
	ck_reply_has("INFO namespaces", ",origin_ms_saved=2200,");
}
END_TEST

START_TEST(what_was_saved_stays_when_the_mean_changes)
{
	fetch(0, 1, 10000);
	counter_add(&loop_stats(0)->ns[ODD].hits, 100);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 1000000);
	now_ms += INT64_C(3600000);
	fetch(0, 10, 1000);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 1000000);
	counter_add(&loop_stats(0)->ns[ODD].hits, 100);
	count();
	/* An hour ago counts for nothing any more. */
	ck_assert_int_ge(saved_us(server, ODD), 1100000);
	ck_assert_int_le(saved_us(server, ODD), 1101000);
}
END_TEST

START_TEST(until_something_was_fetched_nothing_is_saved)
{
	counter_add(&loop_stats(0)->ns[ODD].coalesced, 100);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 0);
	fetch(0, 1, 10000);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 1000000);
}
END_TEST

START_TEST(a_reset_begins_anew)
{
	fetch(0, 1, 10000);
	counter_add(&loop_stats(0)->ns[ODD].hits, 100);
	count();
	ck_reply("CONFIG RESETSTAT", "+OK\r\n");
	ck_assert_int_eq(saved_us(server, ODD), 0);
	counter_add(&loop_stats(0)->ns[ODD].hits, 3);
	count();
	ck_assert_int_eq(saved_us(server, ODD), 30000); /* the mean is known still */
}
END_TEST

START_TEST(metrics_have_times_by_namespace_and_class)
{
	struct buf text;

	fetch(0, 1, 10000);
	stats_ns_time(loop_stats(0), ODD, STATS_WAIT_US, 20000);
	stats_ns_time(loop_stats(0), ODD, STATS_COMMAND_NS, 3000);
	histogram_add(&loop_stats(1)->commands[CMD_ID_get].latency_ns, 4000);
	histogram_add(&server->lag_us, 100);
	ck_assert_int_eq(metrics_write(server, METRICS_PROMETHEUS, &text), 0);
	ck_assert_int_eq(buf_append(&text, "", 1), 0);
#define HAS(line) ck_assert_msg(strstr(buf_data(&text), line) != NULL, "no %s", line)
	HAS("\npannier_namespace_fetch_seconds_bucket{ns=\"odd\",le=\"0.025\"} 1\n");
	HAS("\npannier_namespace_wait_seconds_bucket{ns=\"odd\",le=\"0.01\"} 0\n");
	HAS("\npannier_namespace_wait_seconds_bucket{ns=\"odd\",le=\"0.025\"} 1\n");
	HAS("\npannier_namespace_command_seconds_sum{ns=\"odd\"} 3e-06\n");
	HAS("\npannier_command_class_seconds_sum{class=\"read\"} 4e-06\n");
	HAS("\npannier_loop_lag_seconds_count 1\n");
	HAS("\npannier_namespace_origin_saved_seconds_total{ns=\"odd\"} 0\n");
	ck_assert(strstr(buf_data(&text), "fetch_seconds_count{ns=\"default\"}") == NULL);
	buf_fini(&text);
	ck_reply_has("INFO namespaces", ",fetch_p50_us=10000.000,");
}
END_TEST

START_TEST(times_without_memory_are_left_out_and_do_no_harm)
{
	struct histogram_sum h;

	mem_fail_nth(1, true);
	fetch(0, 1, 10000);
	mem_fail_nth(0, false);
	stats_sum_time(server->stats, server->n_loops, ODD, STATS_FETCH_US, &h);
	ck_assert_int_eq(h.count, 0);
	histogram_sum_fini(&h);
	fetch(0, 1, 10000);
	stats_sum_time(server->stats, server->n_loops, ODD, STATS_FETCH_US, &h);
	ck_assert_int_eq(h.count, 1);
	histogram_sum_fini(&h);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("saved");

	SUITE_ADD_FIXTURE(s, "saved", handlers_setup, handlers_teardown,
	    reads_without_a_fetch_save_the_mean_of_fetches,
	    what_was_saved_stays_when_the_mean_changes, until_something_was_fetched_nothing_is_saved,
	    a_reset_begins_anew, metrics_have_times_by_namespace_and_class,
	    times_without_memory_are_left_out_and_do_no_harm);
	return suite_main(s);
}
