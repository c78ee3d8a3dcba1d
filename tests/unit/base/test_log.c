#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int pipe_fds[2];
static char text[8192];

static void
setup(void)
{
	ck_assert_int_eq(pipe(pipe_fds), 0);
	log_set_fd(pipe_fds[1]);
	log_set_level(LOG_LEVEL_INFO);
}

static void
teardown(void)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* What was logged since the last call; a mark tells where it ends, so that an
 * empty pipe does not block. */
static const char *
logged(void)
{
	ssize_t n;

	ck_assert_int_eq(write(pipe_fds[1], "$", 1), 1);
	n = read(pipe_fds[0], text, sizeof text);
	ck_assert_int_gt(n, 0);
	text[n - 1] = '\0';
	return text;
}

START_TEST(a_line_has_time_level_and_message)
{
	int year, ms;
	char level[8];

	log_warn("origin %s: %d", "users", 7);
	ck_assert_int_eq(sscanf(logged(), "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ %7s", &year, &ms, level), 3);
	ck_assert_int_ge(year, 2024);
	ck_assert_str_eq(level, "warn");
	ck_assert_ptr_nonnull(strstr(text, "Z warn  origin users: 7\n"));
}
END_TEST

START_TEST(less_severe_messages_are_left_out)
{
	log_debug("quiet");
	ck_assert_str_eq(logged(), "");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("quiet too");
	ck_assert_str_eq(logged(), "");
	log_error("loud");
	ck_assert_ptr_nonnull(strstr(logged(), "loud"));
}
END_TEST

START_TEST(a_message_cannot_forge_a_line_of_its_own)
{
	log_info("key %s", "a\n2026-01-01T00:00:00.000Z error forged\x1b[2J");
	ck_assert_ptr_eq(strchr(logged(), '\n'), text + strlen(text) - 1);
	ck_assert_ptr_null(strchr(text, '\x1b'));
}
END_TEST

START_TEST(a_long_message_is_cut_and_still_ends_its_line)
{
	char longest[4000];

	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	log_info("%s", longest);
	ck_assert_uint_lt(strlen(logged()), 1025);
	ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(a_gate_swallows_and_says_how_many)
{
	struct log_gate gate = { .next_ms = INT64_MAX };

	log_limited(&gate, LOG_LEVEL_INFO, "flood");
	log_limited(&gate, LOG_LEVEL_INFO, "flood");
	ck_assert_str_eq(logged(), "");
	atomic_store(&gate.next_ms, 0); /* as if a second had passed */
	log_limited(&gate, LOG_LEVEL_INFO, "flood");
	ck_assert_ptr_nonnull(strstr(logged(), "flood (and 2 like it)\n"));
	atomic_store(&gate.next_ms, 0);
	log_limited(&gate, LOG_LEVEL_INFO, "flood");
	ck_assert_ptr_null(strstr(logged(), "like it"));
}
END_TEST

START_TEST(level_names_go_there_and_back)
{
	enum log_level level;

	for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
		ck_assert_int_eq(log_level_parse(log_level_name((enum log_level)i), &level), 0);
		ck_assert_int_eq(level, i);
	}
	ck_assert_int_eq(log_level_parse("loud", &level), -EINVAL);
	ck_assert_int_eq(level, LOG_LEVEL_ERROR);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("log");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_line_has_time_level_and_message);
	tcase_add_test(tc, less_severe_messages_are_left_out);
	tcase_add_test(tc, a_message_cannot_forge_a_line_of_its_own);
	tcase_add_test(tc, a_long_message_is_cut_and_still_ends_its_line);
	tcase_add_test(tc, a_gate_swallows_and_says_how_many);
	tcase_add_test(tc, level_names_go_there_and_back);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
