/* The three formats, letter by letter. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "stats/metrics.h"

static struct metrics m;

static void
write_some(enum metrics_format format)
{
	metrics_begin(&m, format);
	metrics_family(&m, "hits", METRIC_COUNTER, "Hits.");
	metrics_int(&m, "namespace", "a", 1);
	metrics_int(&m, "namespace", "b", -2);
	metrics_family(&m, "limit_bytes", METRIC_GAUGE, "A limit.");
	metrics_double(&m, NULL, NULL, 0.5);
}

static void
check_text(const char *want)
{
	ck_assert_int_eq(metrics_end(&m), 0);
	ck_assert_msg(slice_eq(buf_slice(&m.text), slice_str(want)), "%.*s",
	    (int)buf_len(&m.text), buf_data(&m.text));
	buf_fini(&m.text);
}

START_TEST(prometheus_names_a_counter_by_its_values)
{
	write_some(METRICS_PROMETHEUS);
	check_text("# HELP pannier_hits_total Hits.\n"
	    "# TYPE pannier_hits_total counter\n"
	    "pannier_hits_total{namespace=\"a\"} 1\n"
	    "pannier_hits_total{namespace=\"b\"} -2\n"
	    "# HELP pannier_limit_bytes A limit.\n"
	    "# TYPE pannier_limit_bytes gauge\n"
	    "pannier_limit_bytes 0.5\n");
}
END_TEST

START_TEST(openmetrics_names_the_family_and_its_unit_and_tells_the_end)
{
	write_some(METRICS_OPENMETRICS);
	check_text("# HELP pannier_hits Hits.\n"
	    "# TYPE pannier_hits counter\n"
	    "pannier_hits_total{namespace=\"a\"} 1\n"
	    "pannier_hits_total{namespace=\"b\"} -2\n"
	    "# HELP pannier_limit_bytes A limit.\n"
	    "# TYPE pannier_limit_bytes gauge\n"
	    "# UNIT pannier_limit_bytes bytes\n"
	    "pannier_limit_bytes 0.5\n"
	    "# EOF\n");
}
END_TEST

START_TEST(json_has_a_member_for_each_family)
{
	write_some(METRICS_JSON);
	check_text("{\n\"pannier_hits\": {\"type\": \"counter\", \"values\": ["
	    "{\"namespace\": \"a\", \"value\": 1}, {\"namespace\": \"b\", \"value\": -2}]},"
	    "\n\"pannier_limit_bytes\": {\"type\": \"gauge\", \"values\": [{\"value\": 0.5}]}}\n");
}
END_TEST

START_TEST(a_second_label_follows_the_first_until_the_family_ends)
{
	for (int format = METRICS_PROMETHEUS; format <= METRICS_JSON; format++) {
		metrics_begin(&m, (enum metrics_format)format);
		metrics_family(&m, "r", METRIC_GAUGE, "R.");
		metrics_also(&m, "factor", "2");
		metrics_int(&m, "namespace", "a", 1);
		metrics_int(&m, NULL, NULL, 2);
		metrics_family(&m, "s", METRIC_GAUGE, "S.");
		metrics_int(&m, NULL, NULL, 3);
		if (format == METRICS_PROMETHEUS)
			check_text("# HELP pannier_r R.\n# TYPE pannier_r gauge\n"
			    "pannier_r{namespace=\"a\",factor=\"2\"} 1\n"
			    "pannier_r{factor=\"2\"} 2\n"
			    "# HELP pannier_s S.\n# TYPE pannier_s gauge\npannier_s 3\n");
		else if (format == METRICS_JSON)
			check_text("{\n\"pannier_r\": {\"type\": \"gauge\", \"values\": ["
			    "{\"namespace\": \"a\", \"factor\": \"2\", \"value\": 1}, "
			    "{\"factor\": \"2\", \"value\": 2}]},"
			    "\n\"pannier_s\": {\"type\": \"gauge\", \"values\": "
			    "[{\"value\": 3}]}}\n");
		else
			buf_fini(&m.text);
	}
}
END_TEST

START_TEST(members_of_json_stand_beside_the_families)
{
	metrics_begin(&m, METRICS_JSON);
	metrics_member(&m, "first");
	metrics_printf(&m, "[%d]", 7);
	metrics_family(&m, "x", METRIC_GAUGE, "X.");
	metrics_int(&m, NULL, NULL, 1);
	metrics_member(&m, "last");
	metrics_string(&m, "a\"b\n");
	check_text("{\n\"first\": [7],\n\"pannier_x\": {\"type\": \"gauge\", "
	    "\"values\": [{\"value\": 1}]},\n\"last\": \"a\\\"b\\\\x0a\"}\n");
}
END_TEST

START_TEST(what_could_end_a_label_or_a_line_is_escaped)
{
	metrics_begin(&m, METRICS_PROMETHEUS);
	metrics_family(&m, "x", METRIC_GAUGE, "X.");
	metrics_int(&m, "namespace", "q\"b\\n\n\xff", 1);
	check_text("# HELP pannier_x X.\n# TYPE pannier_x gauge\n"
	    "pannier_x{namespace=\"q\\\"b\\\\n\\\\x0a\\\\xff\"} 1\n");
}
END_TEST

static bool
has(const char *line)
{
	return memmem(buf_data(&m.text), buf_len(&m.text), line, strlen(line)) != NULL;
}

START_TEST(buckets_are_cumulative_and_end_in_all)
{
	struct histogram h = { 0 };
	struct histogram_sum sum;

	histogram_add(&h, 100);      /* us */
	histogram_add(&h, 900);
	histogram_add(&h, 30000000); /* beyond the last bound */
	histogram_sum_init(&sum);
	histogram_sum_add(&sum, &h);
	metrics_begin(&m, METRICS_PROMETHEUS);
	metrics_family(&m, "t_seconds", METRIC_HISTOGRAM, "T.");
	metrics_histogram(&m, "origin", "o", &sum, 1e-6);
	ck_assert_int_eq(metrics_end(&m), 0);
	ck_assert(has("pannier_t_seconds_bucket{origin=\"o\",le=\"5e-05\"} 0\n"));
	ck_assert(has("pannier_t_seconds_bucket{origin=\"o\",le=\"0.00025\"} 1\n"));
	ck_assert(has("pannier_t_seconds_bucket{origin=\"o\",le=\"0.001\"} 2\n"));
	ck_assert(has("pannier_t_seconds_bucket{origin=\"o\",le=\"10\"} 2\n"));
	ck_assert(has("pannier_t_seconds_bucket{origin=\"o\",le=\"+Inf\"} 3\n"));
	ck_assert(has("pannier_t_seconds_sum{origin=\"o\"} 30.001\n"));
	ck_assert(has("pannier_t_seconds_count{origin=\"o\"} 3\n"));
	buf_fini(&m.text);
	histogram_sum_fini(&sum);
	histogram_fini(&h);
}
END_TEST

START_TEST(json_has_percentiles_and_the_steps_that_have_values)
{
	struct histogram h = { 0 };
	struct histogram_sum sum;

	histogram_add(&h, 96);
	histogram_add(&h, 100);
	histogram_add(&h, 2000);
	histogram_sum_init(&sum);
	histogram_sum_add(&sum, &h);
	metrics_begin(&m, METRICS_JSON);
	metrics_family(&m, "t_seconds", METRIC_HISTOGRAM, "T.");
	metrics_histogram(&m, "origin", "o", &sum, 1e-6);
	check_text("{\n\"pannier_t_seconds\": {\"type\": \"histogram\", \"values\": [{\"origin\": "
	    "\"o\", \"count\": 3, \"sum\": 0.002196, \"p50\": 0.0001, \"p90\": 0.002, \"p99\": 0.002, "
	    "\"p999\": 0.002, \"max\": 0.002, \"buckets\": [[9.6e-05, 0.000104, 2], "
	    "[0.00192, 0.002048, 1]]}]}}\n");
	histogram_sum_fini(&sum);
	histogram_fini(&h);
}
END_TEST

START_TEST(without_memory_the_end_says_so)
{
	for (unsigned long n = 1;; n++) {
		int rc;

		mem_fail_nth(n, 0);
		write_some(METRICS_OPENMETRICS);
		rc = metrics_end(&m);
		buf_fini(&m.text);
		if (mem_fail_seen() < n) {
			ck_assert_int_eq(rc, 0);
			break;
		}
		ck_assert_int_eq(rc, -ENOMEM);
	}
	mem_fail_nth(0, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("metrics");

	SUITE_ADD(s, "metrics", prometheus_names_a_counter_by_its_values,
	    openmetrics_names_the_family_and_its_unit_and_tells_the_end,
	    json_has_a_member_for_each_family,
	    a_second_label_follows_the_first_until_the_family_ends,
	    members_of_json_stand_beside_the_families, what_could_end_a_label_or_a_line_is_escaped,
	    buckets_are_cumulative_and_end_in_all, json_has_percentiles_and_the_steps_that_have_values,
	    without_memory_the_end_says_so);
	return suite_main(s);
}
