#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <string.h>

#include "cli/bench_opts.h"

static char err[256];

static enum bench_parsed
parse(const char *args, struct bench_opts *o)
{
	static char line[512];
	char *argv[32] = { (char *)"bench" };
	int argc = 1;

	snprintf(line, sizeof line, "%s", args);
	for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	err[0] = '\0';
	return bench_opts_parse(argc, argv, o, err, sizeof err);
}

START_TEST(defaults_are_those_of_the_table)
{
	struct bench_opts o;

	ck_assert_int_eq(parse("--socket unix:/x", &o), BENCH_PARSED);
	ck_assert_str_eq(o.socket, "unix:/x");
	ck_assert_uint_eq(o.clients, 50);
	ck_assert_uint_eq(o.pipeline, 1);
	ck_assert_uint_eq(o.ratio.get, 9);
	ck_assert_uint_eq(o.ratio.set, 1);
	ck_assert_uint_eq(o.value_size.min, 100);
	ck_assert_str_eq(o.key_prefix, "key:");
	ck_assert_int_eq(o.protocol, BENCH_RESP);
	ck_assert(!o.json);
}
END_TEST

START_TEST(long_and_short_options_are_taken)
{
	struct bench_opts o;

	ck_assert_int_eq(parse("-s /x -c 3 -P 16 -n 7 -r 9 -d uniform:1..2KiB --ttl=10s..1m --json "
			       "--protocol memcache --arrivals poisson --rate 1.5", &o),
	    BENCH_PARSED);
	ck_assert_uint_eq(o.clients, 3);
	ck_assert_uint_eq(o.pipeline, 16);
	ck_assert_uint_eq(o.requests, 7);
	ck_assert_uint_eq(o.keyspace, 9);
	ck_assert_int_eq(o.value_size.kind, BENCH_SIZES_UNIFORM);
	ck_assert_uint_eq(o.value_size.max, 2048);
	ck_assert_int_eq(o.ttl.min_ms, 10000);
	ck_assert_int_eq(o.ttl.max_ms, 60000);
	ck_assert_int_eq(o.protocol, BENCH_MEMCACHE);
	ck_assert_int_eq(o.arrivals, BENCH_POISSON);
	ck_assert_double_eq(o.rate, 1.5);
	ck_assert(o.json);
}
END_TEST

static const char *const wrong_lines[] = {
	"-s x -c 0",
	"-s x -c",
	"-s x -c 5x",
	"-s x -c -1",
	"-s x stray",
	"-s x --nonsense",
	"-s x -P 10001",
	"-s x -t 51",                        /* more threads than connections */
	"-s x --keyspace 0",
	"-s x --zipf 0.99 --scan",
	"-s x --trace f --fill",
	"-s x --pollute 1.1",
	"-s x --key-size 251",
	"-s x --key-size 8 --keyspace 100000", /* five digits do not fit */
	"-s x --key-size 13 --grow",         /* ten neither */
	"-s x --ratio 0:0",
	"-s x --ratio 5",
	"-s x --value-size 5..3",
	"-s x --value-size loguniform:0..5",
	"-s x --value-size uniform:9..3",
	"-s x --value-size 1GiB",
	"-s x --ttl 5",
	"-s x --ttl 10s..5s",
	"-s x --ttl 1s --expire-at 5",
	"-s x --ttl 31d --protocol memcache",
	"-s x --rate -1",
	"-s x --rate nan",
	"-s x --rate 5x",
	"-s x --protocol resp3",
	"-s x --protocol resp|memcache",
	"-s x --interval 0",
	"-s x --herd 5 --rate 5",
};

START_TEST(wrong_usage_is_refused_with_a_sentence)
{
	struct bench_opts o;

	ck_assert_int_eq(parse(wrong_lines[_i], &o), BENCH_WRONG);
	ck_assert_str_ne(err, "");
}
END_TEST

START_TEST(an_error_quotes_the_option_and_its_value)
{
	struct bench_opts o;

	ck_assert_int_eq(parse("-s x --clients many", &o), BENCH_WRONG);
	ck_assert_ptr_nonnull(strstr(err, "--clients"));
	ck_assert_ptr_nonnull(strstr(err, "many"));
}
END_TEST

START_TEST(help_is_asked_for_and_names_every_option)
{
	struct bench_opts o;
	char text[16384] = "";
	FILE *f = fmemopen(text, sizeof text, "w");

	ck_assert_int_eq(parse("--help", &o), BENCH_HELP);
	ck_assert_int_eq(parse("-h", &o), BENCH_HELP);
	bench_opts_help(f);
	fclose(f);
#define OPTION(name, long_name, letter, kind, arg, def, help) \
	ck_assert_ptr_nonnull(strstr(text, "--" long_name));
#include "cli/bench.def"
#undef OPTION
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		ck_assert_uint_le(strlen(line), 80);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bench_opts");
	TCase *loop = tcase_create("wrong");

	SUITE_ADD(s, "opts", defaults_are_those_of_the_table, long_and_short_options_are_taken,
	    an_error_quotes_the_option_and_its_value, help_is_asked_for_and_names_every_option);
	tcase_add_loop_test(loop, wrong_usage_is_refused_with_a_sentence, 0,
	    (int)(sizeof wrong_lines / sizeof *wrong_lines));
	suite_add_tcase(s, loop);
	return suite_main(s);
}
