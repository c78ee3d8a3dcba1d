#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/demo.h"
#include "cli/demo_conn.h"
#include "cli/demo_parts.h"
#include "cli/demo_show.h"
#include "config/config.h"

START_TEST(counts_have_commas)
{
	char out[SHOW_MAX];

	ck_assert_str_eq(show_count(out, 0), "0");
	ck_assert_str_eq(show_count(out, 999), "999");
	ck_assert_str_eq(show_count(out, 1000), "1,000");
	ck_assert_str_eq(show_count(out, 1234567), "1,234,567");
	ck_assert_str_eq(show_count(out, UINT64_MAX), "18,446,744,073,709,551,615");
}
END_TEST

START_TEST(times_and_shares_have_the_digits_that_count)
{
	char out[SHOW_MAX];

	ck_assert_str_eq(show_us(out, 0), "0.00 ms");
	ck_assert_str_eq(show_us(out, 90), "0.09 ms");
	ck_assert_str_eq(show_us(out, 41300), "41.3 ms");
	ck_assert_str_eq(show_us(out, 412300), "412 ms");
	ck_assert_str_eq(show_us(out, 2400000), "2.4 s");
	ck_assert_str_eq(show_share(out, 0.974), "97.4 %");
	ck_assert_str_eq(show_share(out, 0.99999), "99.9 %");
	ck_assert_str_eq(show_share(out, 1), "100.0 %");
	ck_assert_str_eq(show_share(out, 0), "0.0 %");
}
END_TEST

START_TEST(paths_can_be_pasted_into_a_shell)
{
	char out[64];

	ck_assert_str_eq(show_shell_word(out, sizeof out, "/tmp/a-b.sock"), "/tmp/a-b.sock");
	ck_assert_str_eq(show_shell_word(out, sizeof out, "/tmp/a b"), "'/tmp/a b'");
	ck_assert_str_eq(show_shell_word(out, sizeof out, "it's"), "'it'\\''s'");
	ck_assert_str_eq(show_shell_word(out, sizeof out, "$(x)"), "'$(x)'");
	ck_assert_str_eq(show_shell_word(out, sizeof out, ""), "''");
	ck_assert_uint_lt(strlen(show_shell_word(out, 16, "a very long name with blanks")), 16);
}
END_TEST

START_TEST(fields_of_info_are_found_by_line_and_name)
{
	struct slice info = SLICE("# Namespaces\r\nns_default:hits=1,misses=2\r\n"
	    "ns_users:hits=10,misses=20,hit_rate=0.5,entries=7\r\nns_user:hits=99\r\n");

	ck_assert_int_eq(demo_info_field(info, "ns_default", "misses"), 2);
	ck_assert_int_eq(demo_info_field(info, "ns_users", "hits"), 10);
	ck_assert_int_eq(demo_info_field(info, "ns_users", "entries"), 7);
	ck_assert_int_eq(demo_info_field(info, "ns_user", "hits"), 99);
	ck_assert_int_eq(demo_info_field(info, "ns_user", "entries"), -1);
	ck_assert_int_eq(demo_info_field(info, "users", "hits"), -1);
	ck_assert_int_eq(demo_info_field(info, "ns_users", "its"), -1);
	ck_assert_int_eq(demo_info_field(info, "ns_users", "hit_rate"), -1);
	ck_assert_int_eq(demo_info_field(SLICE(""), "ns_users", "hits"), -1);
}
END_TEST

START_TEST(its_configuration_names_any_socket_and_the_backend)
{
	const struct demo_opts o = { .socket = "/tmp/a \"b\" \\c: #d.sock", .latency_ms = 500 };
	struct config_error err = { .text = "" };
	char path[] = "/tmp/pannier-test-XXXXXX";
	struct config *cfg = NULL;
	struct buf yaml;
	FILE *f;

	buf_init(&yaml);
	ck_assert_int_eq(sidecar_config(&o, 8081, &yaml), 0);
	f = fdopen(mkstemp(path), "w");
	ck_assert_uint_eq(fwrite(buf_data(&yaml), 1, buf_len(&yaml), f), buf_len(&yaml));
	fclose(f);
	ck_assert_msg(config_load(path, NULL, 0, NULL, &cfg, &err) == 0, "%s", err.text);
	remove(path);
	ck_assert_str_eq(cfg->listens[0].path, o.socket);
	ck_assert_str_eq(cfg->origins[0].endpoints[0], "http://127.0.0.1:8081");
	ck_assert_int_eq(cfg->origins[0].deadline_ms, 5000);
	ck_assert_int_eq(cfg->namespaces[1].ttl_ms, 5000);
	config_free(cfg);
	buf_fini(&yaml);
}
END_TEST

static int
run(const char *a, const char *b)
{
	char *argv[] = { (char *)"demo", (char *)a, (char *)b, NULL };

	optind = 0; /* getopt() begins anew */
	return demo_main(b != NULL ? 3 : 2, argv);
}

START_TEST(wrong_options_are_refused)
{
	static const char *const values[] = { "", "x", "-1", "0", "1e3" };

	ck_assert_int_eq(run("--bogus", NULL), EX_USAGE);
	ck_assert_int_eq(run("--seconds", NULL), EX_USAGE);
	ck_assert_int_eq(run("word", NULL), EX_USAGE);
	ck_assert_int_eq(run("--latency", "61s"), EX_USAGE);
	ck_assert_int_eq(run("--latency", "soon"), EX_USAGE);
	ck_assert_int_eq(run("--socket", ""), EX_USAGE);
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		ck_assert_int_eq(run("--seconds", values[i]), EX_USAGE);
		ck_assert_int_eq(run("--herd", values[i]), EX_USAGE);
	}
	ck_assert_int_eq(run("--help", NULL), EX_OK);
}
END_TEST

START_TEST(a_socket_that_cannot_be_opened_is_an_error)
{
	ck_assert_int_eq(demo_conn_open(&(struct demo_conn){ .fd = -1 }, "/nonexistent/x"), -ENOENT);
	ck_assert_int_ne(run("--socket", "/nonexistent/x.sock"), EX_OK);
}
END_TEST

/* The whole show, small: a herd of 50 makes one request. */
START_TEST(the_show_runs_to_its_end)
{
	char dir[] = "/tmp/pannier-test-XXXXXX", path[64], out_path[64], text[8192];
	char *argv[] = { (char *)"demo", (char *)"--socket", path, (char *)"--herd", (char *)"50",
		(char *)"--seconds", (char *)"1", (char *)"--latency", (char *)"5ms",
		(char *)"--no-stay", NULL };
	size_t n;
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/d.sock", dir);
	snprintf(out_path, sizeof out_path, "%s/out", dir);
	ck_assert_ptr_nonnull(freopen(out_path, "w", stdout));
	ck_assert_int_eq(demo_main(ARRAY_LEN(argv) - 1, argv), EX_OK);
	f = fopen(out_path, "r");
	n = fread(text, 1, sizeof text - 1, f);
	text[n] = '\0';
	fclose(f);
	remove(out_path);
	ck_assert_msg(strstr(text, "right answers      50 of 50\n") != NULL, "%s", text);
	ck_assert_msg(strstr(text, "backend requests   1,") != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "GETs reached the backend."));
	ck_assert_int_eq(remove(dir), 0); /* the socket is gone */
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("demo");

	SUITE_ADD(s, "pieces", counts_have_commas, times_and_shares_have_the_digits_that_count,
	    paths_can_be_pasted_into_a_shell, fields_of_info_are_found_by_line_and_name,
	    its_configuration_names_any_socket_and_the_backend);
	SUITE_ADD(s, "demo", wrong_options_are_refused, a_socket_that_cannot_be_opened_is_an_error,
	    the_show_runs_to_its_end);
	return suite_main(s);
}
