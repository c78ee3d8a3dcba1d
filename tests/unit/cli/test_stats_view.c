#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cli/stats_view.h"

static const char info[] =
    "# Server\r\n"
    "redis_version:7.0.15\r\n"
    "pannier_version:0.1.0\r\n"
    "pannier_threads:2\r\n"
    "process_id:77\r\n"
    "uptime_in_seconds:3725\r\n"
    "config_file:/etc/pannier.yaml\r\n"
    "odd:\"q\\\"\r\n"
    "\r\n"
    "# Clients\r\n"
    "connected_clients:12\r\n"
    "blocked_clients:3\r\n"
    "\r\n"
    "# Memory\r\n"
    "used_memory:50331648\r\n"
    "used_memory_peak:52428800\r\n"
    "used_memory_rss:62914560\r\n"
    "maxmemory:268435456\r\n"
    "used_memory_peak_perc:93.00%\r\n"
    "arena_budget_bytes:251658240\r\n"
    "arena_used_bytes:40894464\r\n"
    "arena_live_bytes:37748736\r\n"
    "arena_table_bytes:1048576\r\n"
    "\r\n"
    "# Stats\r\n"
    "total_commands_processed:1234567\r\n"
    "instantaneous_ops_per_sec:12345\r\n"
    "total_error_replies:1\r\n"
    "rejected_connections:0\r\n"
    "keyspace_hits:931\r\n"
    "keyspace_misses:69\r\n"
    "evicted_keys:5\r\n"
    "expired_keys:6\r\n"
    "\r\n"
    "# Commandstats\r\n"
    "cmdstat_get:calls=2,usec=5,usec_per_call=2.50\r\n"
    "\r\n"
    "# Keyspace\r\n"
    "db0:keys=1000,expires=0,avg_ttl=0\r\n"
    "\r\n"
    "# Namespaces\r\n"
    "ns_default:hits=0,misses=0,hit_rate=0.0000,entries=0,bytes=0\r\n"
    "ns_us%3Aer%25:hits=931,misses=69,coalesced=7,filled=60,fetches=62,fetch_errors=2,new=5,"
    "entries=1000,bytes=1048576,stale_served=1,stale_refreshing=2,stale_on_error=3,"
    "wait_p99_us=1500.250,origin_ms_saved=125000\r\n"
    "\r\n"
    "# Origins\r\n"
    "origin_users:requests=62,errors=2,timeouts=1,not_found=0,bytes=2048,p50_us=850,"
    "p99_us=1200000,breaker=half-open,shed=1,rate_refused=2,endpoints_out=1\r\n"
    "\r\n"
    "# Invalidations\r\n"
    "stream_a%1Bb:connected=1,messages=3\r\n";

static struct info_doc
read_doc(const char *text)
{
	struct info_doc d;

	ck_assert_int_eq(info_doc_read(slice_str(text), &d), 0);
	return d;
}

static char *
written(const struct info_doc *d, bool json)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (json)
		info_doc_json(d, f);
	else
		ck_assert_int_eq(stats_view(d, "unix:/x", f), 0);
	fclose(f);
	return text;
}

START_TEST(fields_are_found_by_section_and_name)
{
	struct info_doc d = read_doc(info);
	struct slice ns = info_doc_get(&d, "Namespaces", "ns_us%3Aer%25");

	ck_assert_int_eq(info_doc_int(&d, "Memory", "maxmemory"), 268435456);
	ck_assert_int_eq(info_doc_int(&d, "Memory", "none"), 0);
	ck_assert_int_eq(info_doc_int(&d, "Stats", "maxmemory"), 0);
	ck_assert_int_eq(info_doc_int(&d, "Server", "config_file"), 0);
	ck_assert_uint_eq(info_doc_get(&d, "No", "thing").len, 0);
	ck_assert_int_eq(info_field_int(ns, "entries"), 1000);
	ck_assert_int_eq(info_field_int(ns, "its"), 0);
	ck_assert_int_eq(info_field_int(ns, "hits"), 931);
	info_doc_fini(&d);
}
END_TEST

START_TEST(names_are_decoded)
{
	char out[16];

	info_name(SLICE("ns_us%3Aer%25"), "ns_", out, sizeof out);
	ck_assert_str_eq(out, "us:er%");
	info_name(SLICE("%4%zz%00%4"), "ns_", out, sizeof out);
	ck_assert_str_eq(out, "%4%zz?%4");
	info_name(SLICE("ns_0123456789012345"), "ns_", out, sizeof out);
	ck_assert_str_eq(out, "012345678901234");
}
END_TEST

START_TEST(the_page_has_columns_that_line_up)
{
	struct info_doc d = read_doc(info);
	char *text = written(&d, false);

	ck_assert_str_eq(text,
	    "pannier 0.1.0 at unix:/x, pid 77, up 1h 2m, threads 2\n"
	    "config     /etc/pannier.yaml\n"
	    "memory     60.0MiB resident of 256.0MiB (23.4 %), 48.0MiB used, peak 50.0MiB\n"
	    "cache      39.0MiB of 240.0MiB used: 36.0MiB entries, 1.0MiB tables\n"
	    "clients    12 connected, 3 waiting, 0 refused\n"
	    "commands   1,234,567, 12,345 a second, 1 errors\n"
	    "hit rate   93.1 %, 931 hits, 69 misses\n"
	    "entries    1,000, 5 evicted, 6 expired\n"
	    "\n"
	    "namespace  reads  hits  misses  hit rate  coalesced  fetches  errors  entries   bytes\n"
	    "default        0     0       0         -          0        0       0        0      0B\n"
	    "us:er%     1,000   931      69    93.1 %          7       62       2    1,000  1.0MiB\n"
	    "\n"
	    "namespace  stale  negative  stored  evicted  expired  invalidated  wait p99  "
	    "origin saved\n"
	    "default        0         0       0        0        0            0   0.00 ms  "
	    "     0.00 ms\n"
	    "us:er%         6         0       0        0        0            0   1.50 ms  "
	    "       2m 5s\n"
	    "\n"
	    "origin    breaker  requests  errors  timeouts  retries  refused  flying  ejected  "
	    "    p50     p99   bytes\n"
	    "users   half-open        62       2         1        0        3       0        1  "
	    "0.85 ms  1.20 s  2.0KiB\n"
	    "\n"
	    "stream  connected  messages  malformed  gaps\n"
	    "a?b           yes         3          0     0\n");
	free(text);
	info_doc_fini(&d);
}
END_TEST

START_TEST(json_has_numbers_strings_and_rows_as_objects)
{
	struct info_doc d = read_doc(info);
	char *text = written(&d, true);

	ck_assert_ptr_nonnull(strstr(text, "{\"server\":{\"redis_version\":\"7.0.15\","
	                                   "\"pannier_version\":\"0.1.0\",\"pannier_threads\":2,"));
	ck_assert_ptr_nonnull(strstr(text, "\"odd\":\"\\\"q\\\\\\\"\"},\"clients\":{"));
	ck_assert_ptr_nonnull(strstr(text, "\"used_memory_peak_perc\":\"93.00%\",\"arena_budget_bytes\":251658240,"));
	ck_assert_ptr_nonnull(strstr(text, "\"commandstats\":{\"get\":{\"calls\":2,\"usec\":5,"
	                                   "\"usec_per_call\":2.50}}"));
	ck_assert_ptr_nonnull(strstr(text, "\"us:er%\":{\"hits\":931,"));
	ck_assert_ptr_nonnull(strstr(text, "\"new\":5,"));
	ck_assert_ptr_nonnull(strstr(text, "\"origins\":{\"users\":{\"requests\":62,"));
	ck_assert_str_eq(text + strlen(text) - 4, "}}}\n");
	free(text);
	info_doc_fini(&d);
}
END_TEST

START_TEST(any_text_is_read_without_harm)
{
	static const char *const texts[] = { "", "\n", "#\n", "# \n", ":", "::", "a", "a:\n", ":a\n",
		"# Namespaces\nns_:=,=,,\nns_x\nns_y:\n", "# Origins\norigin_:p50_us=-5\n" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct info_doc d = read_doc(texts[i]);

		free(written(&d, false));
		free(written(&d, true));
		info_doc_fini(&d);
	}
}
END_TEST

START_TEST(figures_are_short_and_exact_at_their_borders)
{
	char out[VIEW_TEXT];

	ck_assert_str_eq(view_age(0, out), "0s");
	ck_assert_str_eq(view_age(59, out), "59s");
	ck_assert_str_eq(view_age(60, out), "1m 0s");
	ck_assert_str_eq(view_age(86400 + 3600, out), "1d 1h");
	ck_assert_str_eq(view_bytes(0, out), "0B");
	ck_assert_str_eq(view_bytes(999, out), "999B");
	ck_assert_str_eq(view_bytes(1023, out), "1.0KiB");
	ck_assert_str_eq(view_bytes(1048575, out), "1.0MiB");
	ck_assert_str_eq(view_bytes(INT64_MAX, out), "8388608.0TiB");
	ck_assert_str_eq(view_count(0, out), "0");
	ck_assert_str_eq(view_count(999, out), "999");
	ck_assert_str_eq(view_count(1000, out), "1,000");
	ck_assert_str_eq(view_count(-123456, out), "-123,456");
	ck_assert_str_eq(view_count(INT64_MIN, out), "-9,223,372,036,854,775,808");
	ck_assert_str_eq(view_share(1, 3, out), "33.3 %");
	ck_assert_str_eq(view_share(0, 0, out), "-");
	ck_assert_str_eq(view_us(999999, out), "1000.00 ms");
	ck_assert_str_eq(view_us(1000000, out), "1.00 s");
}
END_TEST

START_TEST(without_memory_it_says_so)
{
	struct info_doc d = read_doc(info), none;
	FILE *f = fopen("/dev/null", "w");
	unsigned long n = 0;
	int rc;

	do {
		mem_fail_nth(++n, 0);
		rc = stats_view(&d, "x", f);
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
	} while (rc != 0 && n < 100);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 2);
	mem_fail_nth(1, 1);
	ck_assert_int_eq(info_doc_read(SLICE("a:b"), &none), -ENOMEM);
	mem_fail_nth(0, 0);
	fclose(f);
	info_doc_fini(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("stats");

	SUITE_ADD(s, "info", fields_are_found_by_section_and_name, names_are_decoded,
	    any_text_is_read_without_harm);
	SUITE_ADD(s, "view", the_page_has_columns_that_line_up,
	    json_has_numbers_strings_and_rows_as_objects,
	    figures_are_short_and_exact_at_their_borders, without_memory_it_says_so);
	return suite_main(s);
}
