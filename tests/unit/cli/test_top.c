#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cli/top_rows.h"
#include "cli/top_sample.h"
#include "cli/top_ui.h"

#define SECOND 1000000

/* --- samples ----------------------------------------------------------------------------- */

/* Of a daemon with two namespaces and an origin; figures that tests change are given. */
static struct top_sample
sample(const char *run_id, int commands, int hits, int misses, int64_t now_us)
{
	struct top_sample s;
	char info[1024];

	snprintf(info, sizeof info,
	    "# Server\r\nrun_id:%s\r\npannier_version:0.1.0\r\nuptime_in_seconds:20\r\n"
	    "process_id:7\r\n\r\n# Memory\r\nused_memory_rss:1048576\r\nmaxmemory:4194304\r\n"
	    "\r\n# Stats\r\ntotal_commands_processed:%d\r\nkeyspace_hits:%d\r\n"
	    "keyspace_misses:%d\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=0\r\n\r\n"
	    "# Namespaces\r\nns_default:hits=0,misses=0,entries=1,bytes=10\r\n"
	    "ns_us%%3Aer:hits=%d,misses=%d,entries=2,bytes=2048\r\n\r\n"
	    "# Origins\r\norigin_api:requests=%d,breaker=half-open,p99_us=1500\r\n\r\n"
	    "# Commandstats\r\ncmdstat_get:calls=%d,usec=%d,usec_per_call=1.0\r\n", run_id, commands,
	    hits, misses, hits, misses, misses, hits + misses, 3 * (hits + misses));
	ck_assert_int_eq(top_sample_read(slice_str(info), now_us, &s), 0);
	return s;
}

static struct top_sample
difference(struct top_sample before, struct top_sample to)
{
	struct top_sample d;

	ck_assert_int_eq(top_sample_diff(&before, &to, &d), 0);
	top_sample_fini(&before);
	top_sample_fini(&to);
	return d;
}

START_TEST(rates_are_the_change_in_the_interval)
{
	struct top_sample d = difference(sample("a", 1000, 600, 400, SECOND),
	    sample("a", 3000, 1500, 500, 3 * SECOND));
	const struct top_row *ns = &d.tables[TOP_NAMESPACES].rows[1];

	ck_assert_double_eq(d.seconds, 2);
	ck_assert(!d.since_start && !d.restarted);
	ck_assert_double_eq(top_rate(&d, d.totals.n[TOTAL_commands]), 1000);
	ck_assert_int_eq(d.totals.n[TOTAL_hits], 900);
	ck_assert_str_eq(ns->name, "us:er");
	ck_assert_int_eq(ns->n[NS_misses], 100);
	ck_assert_int_eq(d.tables[TOP_COMMANDS].rows[0].n[COMMAND_usec], 3000);
	top_sample_fini(&d);
}
END_TEST

START_TEST(gauges_are_what_they_are_at_the_end)
{
	struct top_sample d = difference(sample("a", 1, 1, 1, SECOND),
	    sample("a", 2, 2, 2, 2 * SECOND));

	ck_assert_int_eq(d.totals.n[TOTAL_entries], 3);
	ck_assert_int_eq(d.totals.n[TOTAL_memory_limit_bytes], 4194304);
	ck_assert_int_eq(d.tables[TOP_NAMESPACES].rows[1].n[NS_bytes], 2048);
	ck_assert_str_eq(d.tables[TOP_ORIGINS].rows[0].state, "half-open");
	ck_assert_int_eq(d.tables[TOP_ORIGINS].rows[0].n[ORIGIN_p99_us], 1500);
	top_sample_fini(&d);
}
END_TEST

START_TEST(counters_that_went_down_began_anew)
{
	struct top_sample d = difference(sample("a", 1000, 600, 400, SECOND),
	    sample("a", 50, 30, 700, 2 * SECOND));

	ck_assert(d.restarted);
	ck_assert_double_eq(d.seconds, 1);
	ck_assert_int_eq(d.totals.n[TOTAL_commands], 50);
	ck_assert_msg(d.totals.n[TOTAL_misses] == 700, "those that did not go down as well");
	ck_assert_int_eq(d.tables[TOP_NAMESPACES].rows[1].n[NS_hits], 30);
	top_sample_fini(&d);
}
END_TEST

START_TEST(of_another_daemon_all_is_new_however_much_it_counted)
{
	struct top_sample d = difference(sample("a", 10, 6, 4, SECOND),
	    sample("b", 5000, 4000, 1000, 600 * SECOND));

	ck_assert(d.restarted);
	ck_assert_int_eq(d.totals.n[TOTAL_commands], 5000);
	ck_assert_msg(d.seconds == 20, "it is up for 20 s, and was not asked for 599");
	top_sample_fini(&d);
}
END_TEST

START_TEST(the_first_sample_is_since_the_start)
{
	struct top_sample to = sample("a", 500, 4, 4, SECOND), d;

	ck_assert_int_eq(top_sample_diff(NULL, &to, &d), 0);
	ck_assert(d.since_start && !d.restarted);
	ck_assert_double_eq(top_rate(&d, d.totals.n[TOTAL_commands]), 25);
	top_sample_fini(&to);
	top_sample_fini(&d);
}
END_TEST

START_TEST(a_row_that_came_counts_in_full_and_one_that_left_is_gone)
{
	struct top_sample a = sample("a", 1, 5, 5, SECOND), b = sample("a", 2, 9, 9, 2 * SECOND), d;

	/* default leaves, and "new" is what us:er was. */
	strcpy(a.tables[TOP_NAMESPACES].rows[1].name, "gone");
	d = difference(a, b);
	ck_assert_uint_eq(d.tables[TOP_NAMESPACES].n, 2);
	ck_assert_int_eq(d.tables[TOP_NAMESPACES].rows[1].n[NS_hits], 9);
	top_sample_fini(&d);
}
END_TEST

START_TEST(an_empty_info_is_a_sample_of_nothing)
{
	struct top_sample s;

	ck_assert_int_eq(top_sample_read(SLICE(""), 1, &s), 0);
	ck_assert_uint_eq(s.tables[TOP_NAMESPACES].n, 0);
	ck_assert_int_eq(s.totals.n[TOTAL_commands], 0);
	top_sample_fini(&s);
}
END_TEST

START_TEST(without_memory_it_fails)
{
	for (unsigned long n = 1; n <= 40; n++) {
		struct top_sample a = sample("a", 1, 1, 1, 1), b = sample("a", 2, 2, 2, 2), d, s;

		mem_fail_nth(n, 0);
		if (top_sample_diff(&a, &b, &d) != 0)
			ck_assert_uint_ge(mem_fail_seen(), n);
		top_sample_fini(&d);
		mem_fail_nth(n, 0);
		if (top_sample_read(SLICE("# Namespaces\nns_a:hits=1\nns_b:hits=2\n"), 1, &s) != 0)
			ck_assert_uint_ge(mem_fail_seen(), n);
		top_sample_fini(&s);
		mem_fail_nth(0, 0);
		top_sample_fini(&a);
		top_sample_fini(&b);
	}
}
END_TEST

/* --- latency ----------------------------------------------------------------------------- */

#define GET_HISTOGRAM "$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:10\r\n$14\r\nhistogram_usec\r\n" \
	"*4\r\n:8\r\n:6\r\n:1056\r\n:10\r\n"

START_TEST(buckets_hold_what_took_longer_than_the_one_before)
{
	struct top_sample s = { 0 };

	top_sample_latency(&s, SLICE("*4\r\n" GET_HISTOGRAM
	    "$4\r\ninfo\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n"
	    "*2\r\n:528\r\n:9\r\n"));
	ck_assert(s.has_latency);
	ck_assert_int_eq(s.latency[3], 6);
	ck_assert_int_eq(s.latency[10], 4);
	ck_assert_msg(s.latency[9] == 0, "its own questions do not count");
	ck_assert_int_eq(top_bucket_us(3), 8);
	ck_assert_int_eq(top_bucket_us(5), 33);
	ck_assert_int_eq(top_bucket_us(10), 1056);
	ck_assert_int_eq(top_bucket_us(12), 4227);
	ck_assert_int_eq(top_latency_us(&s, 0.5), 8);
	ck_assert_int_eq(top_latency_us(&s, 0.99), 1056);
}
END_TEST

START_TEST(latency_of_another_form_is_passed_over)
{
	static const char *const wrong[] = { "-NOPERM no\r\n", "*2\r\n:1\r\n:2\r\n", "*0\r\n",
		"*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$1\r\nx\r\n:5\r\n", "$-1\r\n" };
	struct top_sample s = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		top_sample_latency(&s, slice_str(wrong[i]));
	ck_assert_int_eq(top_latency_us(&s, 0.5), 0);
}
END_TEST

START_TEST(counts_that_are_scaled_never_go_below_nothing)
{
	struct top_sample a = sample("a", 1, 1, 1, 1), b = sample("a", 2, 2, 2, 2), d;

	a.latency[3] = 10;
	a.latency[4] = 5;
	b.latency[3] = 30;
	b.latency[4] = 4;
	d = difference(a, b);
	ck_assert_int_eq(d.latency[3], 20);
	ck_assert_int_eq(d.latency[4], 0);
	top_sample_fini(&d);
}
END_TEST

/* --- hot keys ----------------------------------------------------------------------------- */

#define HOT_KEYS "*6\r\n$16\r\nreads_per_second\r\n$3\r\n8.5\r\n$13\r\nsampled_reads\r\n:9\r\n" \
	"$4\r\nkeys\r\n*2\r\n*5\r\n$3\r\na\"\x01\r\n$7\r\ndefault\r\n$1\r\n6\r\n$3\r\n0.5\r\n" \
	"$4\r\n0.75\r\n*5\r\n$1\r\nb\r\n$4\r\nuser\r\n$1\r\n2\r\n$1\r\n1\r\n$4\r\n0.25\r\n"

START_TEST(hot_keys_are_shown_as_they_were_told)
{
	struct top_sample a = sample("a", 1, 1, 1, 1), b = sample("a", 2, 2, 2, 2), d;
	char text[8192] = "";
	FILE *f = fmemopen(text, sizeof text, "w");
	struct top_ui ui;
	struct page p;

	ck_assert_int_eq(top_sample_hot_keys(&b, SLICE(HOT_KEYS)), 0);
	d = difference(a, b);
	top_ui_init(&ui, 1000);
	page_init(&p, 0, false);
	top_key_rows(&ui, &d, 9, &p);
	ck_assert_uint_eq(p.n, 3);
	ck_assert(slice_eq(page_text(&p, 1), SLICE("\"a\\\"\\x01\"      6.0  0.5     75.0    default")));
	page_clear(&p);
	top_key_rows(&ui, &d, 1, &p);
	ck_assert_uint_eq(p.n, 2);
	page_clear(&p);
	strcpy(ui.filter, "B");
	top_key_rows(&ui, &d, 1, &p);
	ck_assert(slice_has_prefix(page_text(&p, 1), SLICE("\"b\"")));
	top_json(&d, "unix:/x", 12, f);
	fclose(f);
	ck_assert(strstr(text, "\"hot_keys\":[{\"key\":\"a\\\"\\\\x01\",\"namespace\":\"default\","
	    "\"reads_per_second\":6.000,\"error\":0.500,\"share\":0.7500},{\"key\":\"b\",") != NULL);
	page_fini(&p);
	top_sample_fini(&d);
}
END_TEST

START_TEST(hot_keys_of_another_form_are_none)
{
	static const char *const wrong[] = { "-ERR no keys are followed: hot_keys is 0\r\n", "*0\r\n",
		"*6\r\n$1\r\na\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n", "$-1\r\n" };
	struct top_key k;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct top_sample s = { 0 };
		size_t pos = 0;

		ck_assert_int_eq(top_sample_hot_keys(&s, slice_str(wrong[i])), 0);
		ck_assert(!top_next_key(&s, &pos, &k));
		top_sample_fini(&s);
	}
}
END_TEST

/* --- keys ------------------------------------------------------------------------------- */

static void
press(struct top_ui *ui, const char *keys)
{
	for (; *keys != '\0'; keys++)
		top_ui_key(ui, (unsigned char)*keys, 10);
}

START_TEST(keys_change_what_is_shown)
{
	struct top_ui ui;

	top_ui_init(&ui, 1000);
	press(&ui, "3");
	ck_assert_int_eq(ui.pane, PANE_ORIGINS);
	press(&ui, "\t");
	ck_assert_int_eq(ui.pane, PANE_LATENCY);
	press(&ui, "\t\t\t");
	ck_assert_int_eq(ui.pane, PANE_ALL);
	press(&ui, "p");
	ck_assert(ui.paused);
	press(&ui, " ");
	ck_assert(!ui.paused);
	press(&ui, "jjk");
	ck_assert_uint_eq(ui.scroll, 1);
	top_ui_key(&ui, TOP_KEY_PAGE_DOWN, 10);
	ck_assert_uint_eq(ui.scroll, 11);
	top_ui_key(&ui, TOP_KEY_PAGE_UP, 20);
	ck_assert_uint_eq(ui.scroll, 0);
	press(&ui, "hx");
	ck_assert_msg(!ui.help && !ui.quit, "any key leaves the help");
	press(&ui, "hq");
	ck_assert(ui.quit);
}
END_TEST

START_TEST(the_order_goes_over_all_columns_and_around)
{
	unsigned n = top_shown_columns(TOP_ORIGINS);
	struct top_ui ui;

	top_ui_init(&ui, 1000);
	press(&ui, "3SS");
	ck_assert_uint_eq(ui.order[TOP_ORIGINS].column, 0);
	press(&ui, "<");
	ck_assert_uint_eq(ui.order[TOP_ORIGINS].column, n - 1);
	press(&ui, "sr");
	ck_assert_uint_eq(ui.order[TOP_ORIGINS].column, 0);
	ck_assert(ui.order[TOP_ORIGINS].reverse);
	ck_assert_msg(ui.order[TOP_NAMESPACES].column == 1, "that of another table stays");
}
END_TEST

START_TEST(the_interval_goes_in_steps_between_its_bounds)
{
	struct top_ui ui;

	top_ui_init(&ui, 1500);
	press(&ui, "+");
	ck_assert_int_eq(ui.interval_ms, 2000);
	press(&ui, "--");
	ck_assert_int_eq(ui.interval_ms, 500);
	press(&ui, "---------");
	ck_assert_int_eq(ui.interval_ms, TOP_INTERVAL_MIN_MS);
	press(&ui, "++++++++++++++++++++");
	ck_assert_int_eq(ui.interval_ms, TOP_INTERVAL_MAX_MS);
}
END_TEST

START_TEST(a_filter_is_typed_until_enter_or_escape)
{
	struct top_ui ui;

	top_ui_init(&ui, 1000);
	press(&ui, "/qh\xc3\xa4");
	ck_assert(ui.typing && !ui.quit && !ui.help);
	ck_assert_str_eq(ui.filter, "qh\xc3\xa4");
	top_ui_key(&ui, TOP_KEY_BACKSPACE, 1);
	ck_assert_msg(strcmp(ui.filter, "qh") == 0, "a whole character goes");
	press(&ui, "\x7f\x7f\x7f" "us\n");
	ck_assert(!ui.typing);
	ck_assert_str_eq(ui.filter, "us");
	press(&ui, "\x1b");
	ck_assert_str_eq(ui.filter, "");
	press(&ui, "/");
	for (int i = 0; i < 200; i++)
		press(&ui, "x");
	ck_assert_uint_eq(strlen(ui.filter), TOP_FILTER_SIZE - 1);
}
END_TEST

/* --- pages ------------------------------------------------------------------------------- */

static bool
page_has(const struct page *p, const char *text)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct slice line = page_text(p, i);

		if (memmem(line.ptr, line.len, text, strlen(text)) != NULL)
			return true;
	}
	return false;
}

START_TEST(names_cannot_speak_to_the_terminal)
{
	struct page p;

	page_init(&p, 0, true);
	page_add(&p, PAGE_PLAIN, "a\x1b[2Jb\nc\xc2\x9b" "d\xff" "e\xc3\xa4 \xe2\x82");
	ck_assert(slice_eq(page_text(&p, 0), slice_str("a?[2Jb?c??d?e\xc3\xa4 ??")));
	page_fini(&p);
	page_init(&p, 4, false);
	page_add(&p, PAGE_PLAIN, "\xc3\xa4\xe2\x82\xac" "bcdef");
	ck_assert(slice_eq(page_text(&p, 0), SLICE("??bc")));
	page_fini(&p);
}
END_TEST

START_TEST(no_line_is_wider_than_the_terminal)
{
	struct top_sample d = difference(sample("a", 1, 600, 400, SECOND),
	    sample("a", 300000, 150000, 500, 2 * SECOND));
	struct top_ui ui;
	struct page p;

	ck_assert_int_eq(top_sample_hot_keys(&d, SLICE(HOT_KEYS)), 0);
	top_ui_init(&ui, 1000);
	for (unsigned i = 0; i < 2 * TOP_HISTORY; i++)
		top_ui_remember(&ui, &d);
	for (unsigned width = 1; width < 200; width++) {
		page_init(&p, width, false);
		d.latency[width % TOP_BUCKETS] = 1;
		for (int pane = 0; pane < PANES; pane++) {
			ui.pane = (enum top_pane)pane;
			ck_assert_uint_le(top_view(&ui, &d, "unix:/x", &p), p.n);
		}
		top_view_foot(&ui, NULL, &p);
		for (unsigned i = 0; i < p.n; i++)
			ck_assert_uint_le(p.lines[i].len, width);
		page_fini(&p);
	}
	top_sample_fini(&d);
}
END_TEST

START_TEST(the_page_has_the_figures)
{
	struct top_sample d = difference(sample("a", 1000, 600, 400, SECOND),
	    sample("a", 3000, 1500, 500, 3 * SECOND));
	struct top_ui ui;
	struct page p;

	top_ui_init(&ui, 1000);
	page_init(&p, 0, false);
	top_view_all(&ui, &d, "unix:/x", &p);
	ck_assert(page_has(&p, "pannier 0.1.0  up 20s  over 2.0 s  pid 7  unix:/x"));
	ck_assert(page_has(&p, "hit rate  90.0 %      450 hits/s   50.0 misses/s"));
	ck_assert(page_has(&p, "1.0MiB of 4.0MiB resident (25.0 %)"));
	ck_assert(page_has(&p, "half-open"));
	page_clear(&p);
	strcpy(ui.filter, "US:");
	top_rows(&ui, &d, TOP_NAMESPACES, &p);
	ck_assert_uint_eq(p.n, 2);
	ck_assert(page_has(&p, "us:er"));
	page_fini(&p);
	top_sample_fini(&d);
}
END_TEST

START_TEST(rows_stand_in_the_order_that_was_asked_for)
{
	struct top_sample d = difference(sample("a", 0, 0, 0, 1), sample("a", 9, 9, 9, SECOND));
	struct top_ui ui;
	struct page p;

	top_ui_init(&ui, 1000);
	page_init(&p, 0, false);
	top_rows(&ui, &d, TOP_NAMESPACES, &p); /* by reads */
	ck_assert(slice_has_prefix(page_text(&p, 1), SLICE("us:er")));
	page_clear(&p);
	ui.order[TOP_NAMESPACES].reverse = true;
	top_rows(&ui, &d, TOP_NAMESPACES, &p);
	ck_assert(slice_has_prefix(page_text(&p, 1), SLICE("default")));
	page_clear(&p);
	ui.order[TOP_NAMESPACES] = (struct top_order){ 0, true };
	top_rows(&ui, &d, TOP_NAMESPACES, &p); /* by name, backwards */
	ck_assert(slice_has_prefix(page_text(&p, 1), SLICE("us:er")));
	page_fini(&p);
	top_sample_fini(&d);
}
END_TEST

START_TEST(numbers_stay_short)
{
	static const struct {
		double n;
		const char *text;
	} wanted[] = { { 0, "0" }, { 0.04, "0.0" }, { 1.25, "1.2" }, { 99.94, "99.9" }, { 99.96, "100" },
		{ 99999, "99999" }, { 99999.5, "100k" }, { 1234567, "1.2M" }, { 999499, "999k" },
		{ 999500, "1.0M" }, { 5e15, "5000T" } };
	char out[16];

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		ck_assert_str_eq(top_number(wanted[i].n, out, sizeof out), wanted[i].text);
	ck_assert_str_eq(top_micros(8, out, sizeof out), "8us");
	ck_assert_str_eq(top_micros(8.25, out, sizeof out), "8.2us");
	ck_assert_str_eq(top_micros(999.6, out, sizeof out), "1.0ms");
	ck_assert_str_eq(top_micros(1234567, out, sizeof out), "1.2s");
}
END_TEST

START_TEST(json_of_a_name_with_quotes_is_escaped_and_nothing_read_is_null)
{
	struct top_sample d = difference(sample("a", 0, 0, 0, 1), sample("a", 0, 0, 0, SECOND));
	char text[8192] = "";
	FILE *f = fmemopen(text, sizeof text, "w");

	strcpy(d.tables[TOP_NAMESPACES].rows[1].name, "\"\\\n");
	top_json(&d, "unix:/x", 12, f);
	fclose(f);
	ck_assert(strstr(text, "{\"time_ms\":12,\"address\":\"unix:/x\",") == text);
	ck_assert(strstr(text, "{\"name\":\"\\\"\\\\\\u000a\",\"hit_rate\":null,") != NULL);
	ck_assert(strstr(text, "\"memory_limit_bytes\":4194304") != NULL);
	ck_assert_str_eq(text + strlen(text) - 2, "}\n");
	top_sample_fini(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("top");

	SUITE_ADD(s, "samples", rates_are_the_change_in_the_interval,
	    gauges_are_what_they_are_at_the_end, counters_that_went_down_began_anew,
	    of_another_daemon_all_is_new_however_much_it_counted,
	    the_first_sample_is_since_the_start,
	    a_row_that_came_counts_in_full_and_one_that_left_is_gone,
	    an_empty_info_is_a_sample_of_nothing, without_memory_it_fails);
	SUITE_ADD(s, "latency", buckets_hold_what_took_longer_than_the_one_before,
	    latency_of_another_form_is_passed_over, counts_that_are_scaled_never_go_below_nothing);
	SUITE_ADD(s, "hot keys", hot_keys_are_shown_as_they_were_told,
	    hot_keys_of_another_form_are_none);
	SUITE_ADD(s, "keys", keys_change_what_is_shown, the_order_goes_over_all_columns_and_around,
	    the_interval_goes_in_steps_between_its_bounds,
	    a_filter_is_typed_until_enter_or_escape);
	SUITE_ADD(s, "pages", names_cannot_speak_to_the_terminal, no_line_is_wider_than_the_terminal,
	    the_page_has_the_figures, rows_stand_in_the_order_that_was_asked_for,
	    numbers_stay_short, json_of_a_name_with_quotes_is_escaped_and_nothing_read_is_null);
	return suite_main(s);
}
