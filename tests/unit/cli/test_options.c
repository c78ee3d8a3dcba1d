#include "config.h"

#include "unit/suite.h"

#include <getopt.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/config_args.h"

static const struct cli_option options[] = {
	{ "socket", 's', "ADDRESS", "Where." },
	{ "quiet", 'q', NULL, "Say nothing." },
	{ "max-clients", 0, "N", "Most." },
	{ "max-value", 0, "SIZE", "Largest." },
};

static const struct cli cli = { "test", "[OPTION]...", "About.\n", options,
	ARRAY_LEN(options), ARRAY_LEN(options), NULL };

/* What the call wrote to a descriptor. */
static FILE *caught;
static int saved, caught_fd;

static void
catch_output(int fd)
{
	fflush(NULL);
	caught = tmpfile();
	ck_assert_ptr_nonnull(caught);
	caught_fd = fd;
	saved = dup(fd);
	dup2(fileno(caught), fd);
}

static const char *
released(void)
{
	static char text[4096];
	size_t n;

	fflush(NULL);
	dup2(saved, caught_fd);
	close(saved);
	rewind(caught);
	n = fread(text, 1, sizeof text - 1, caught);
	text[n] = '\0';
	fclose(caught);
	return text;
}

static int
next(const char *a, const char *b)
{
	char words[3][64] = { "test", "", "" };
	char *argv[4] = { words[0], words[1], words[2], NULL };
	int argc = 1 + (a != NULL) + (b != NULL);

	snprintf(words[1], sizeof words[1], "%s", a != NULL ? a : "");
	snprintf(words[2], sizeof words[2], "%s", b != NULL ? b : "");
	argv[argc] = NULL;
	optind = 0;
	return cli_next(&cli, argc, argv);
}

static void
assert_wrong(const char *a, const char *b, const char *expected)
{
	char text[512];
	int i;

	catch_output(STDERR_FILENO);
	i = next(a, b);
	snprintf(text, sizeof text, "pannier test: %s\nTry 'pannier test --help'.\n", expected);
	ck_assert_str_eq(released(), text);
	ck_assert_int_eq(i, CLI_WRONG);
}

START_TEST(options_are_found_by_name_letter_and_beginning)
{
	ck_assert_int_eq(next("--socket", "x"), 0);
	ck_assert_int_eq(next("--socket=x", NULL), 0);
	ck_assert_int_eq(next("-s", "x"), 0);
	ck_assert_int_eq(next("-sx", NULL), 0);
	ck_assert_int_eq(next("--quiet", NULL), 1);
	ck_assert_int_eq(next("--qui", NULL), 1);
	ck_assert_int_eq(next("word", "-q"), 1);
	ck_assert_int_eq(next("--", "-q"), CLI_END);
	ck_assert_int_eq(next("word", NULL), CLI_END);
	ck_assert_int_eq(next(NULL, NULL), CLI_END);
}
END_TEST

START_TEST(what_is_wrong_is_said_with_a_hint)
{
	assert_wrong("--sokcet", "x", "unknown option --sokcet; did you mean --socket?");
	assert_wrong("--sokcet=x", NULL, "unknown option --sokcet; did you mean --socket?");
	assert_wrong("--hepl", NULL, "unknown option --hepl; did you mean --help?");
	assert_wrong("--zzz", NULL, "unknown option --zzz");
	assert_wrong("-z", NULL, "unknown option -z");
	assert_wrong("--socket", NULL, "option --socket wants a value");
	assert_wrong("-s", NULL, "option -s wants a value");
	assert_wrong("--quiet=1", NULL, "option --quiet takes no value");
	assert_wrong("--help=1", NULL, "option --help takes no value");
	assert_wrong("--max", "1", "option --max could be --max-clients, --max-value");
}
END_TEST

START_TEST(help_goes_to_standard_output)
{
	int i;

	catch_output(STDOUT_FILENO);
	i = next("--help", NULL);
	ck_assert_str_eq(released(),
	    "Usage: pannier test [OPTION]...\n\nAbout.\n\n"
	    "  -s, --socket=ADDRESS       Where.\n"
	    "  -q, --quiet                Say nothing.\n"
	    "      --max-clients=N        Most.\n"
	    "      --max-value=SIZE       Largest.\n"
	    "  -h, --help                 Print this help.\n");
	ck_assert_int_eq(i, CLI_HELP);
}
END_TEST

START_TEST(durations_want_a_unit_and_more_than_nothing)
{
	int ms = 0, rc;

	ck_assert_int_eq(cli_duration(&cli, "timeout", "250ms", &ms), 0);
	ck_assert_int_eq(ms, 250);
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = { "0", "5", "100d", "" };

		catch_output(STDERR_FILENO);
		rc = cli_duration(&cli, "timeout", bad[i], &ms);
		ck_assert_ptr_nonnull(strstr(released(), "is no duration; write for example 1s"));
		ck_assert_int_eq(rc, EX_USAGE);
	}
}
END_TEST

START_TEST(every_option_of_the_configuration_is_a_flag)
{
	struct cli with = cli;
	struct config_args a;
	char flag[64], listen[] = "--listen=unix:/x", name[] = "test";

	config_args_options(&with, NULL, 0);
	config_args_init(&a);
	for (unsigned row = 0; row < config_option_count(); row++) {
		char *argv[] = { name, flag, NULL };
		int i;

		snprintf(flag, sizeof flag, "--%s=7", config_option_name(row));
		for (char *p = flag; *p != '='; p++)
			*p = *p == '_' ? '-' : *p;
		optind = 0;
		i = cli_next(&with, 2, argv);
		ck_assert_int_eq(config_args_take(&a, &with, 0, i), 0);
		ck_assert_str_eq(a.flags[row].name, config_option_name(row));
		ck_assert_str_eq(a.flags[row].value, "7");
	}
	char *argv[] = { name, listen, NULL };

	optind = 0;
	ck_assert_int_eq(config_args_take(&a, &with, 0, cli_next(&with, 2, argv)), 0);
	ck_assert_str_eq(a.flags[a.n_flags - 1].name, "listen");
	ck_assert_str_eq(a.flags[a.n_flags - 1].value, "unix:/x");
}
END_TEST

static char told[512];

static void
tell(const char *text)
{
	strcat(told, text);
	strcat(told, "\n");
}

START_TEST(variables_that_are_nearly_options_are_told_and_those_of_kubernetes_not)
{
	static const char *const vars[] = { "PATH=/bin", "PANNIER_MEMROY=1", "PANNIER_MEMORY=32MiB",
		"PANNIER_LISTEN=unix:/x", "PANNIER_PORT=tcp://10.0.0.1:80", "PANNIER_SERVICE_HOST=x",
		"PANNIER_PORT_80_TCP_ADDR=x", "PANNIER_CONFIG=x", "PANNIER_MAX_CLIENT=3", NULL };

	told[0] = '\0';
	config_args_look_at((char *const *)vars, tell);
	ck_assert_str_eq(told,
	    "the environment's PANNIER_MEMROY is no option; did you mean PANNIER_MEMORY?\n"
	    "the environment's PANNIER_MAX_CLIENT is no option; did you mean PANNIER_MAX_CLIENTS?\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("options of the command line");

	SUITE_ADD(s, "options", options_are_found_by_name_letter_and_beginning,
	    what_is_wrong_is_said_with_a_hint, help_goes_to_standard_output,
	    durations_want_a_unit_and_more_than_nothing,
	    every_option_of_the_configuration_is_a_flag,
	    variables_that_are_nearly_options_are_told_and_those_of_kubernetes_not);
	return suite_main(s);
}
