#include "config.h"

#include "config/password.h"
#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static char path[] = "/tmp/pannier-password-XXXXXX";

static void
write_file(const char *text, mode_t mode)
{
	FILE *f;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	f = fdopen(mkstemp(path), "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static int
read_file(struct password *out, bool *exposed, struct config_error *why)
{
	int rc = password_read(path, out, exposed, why);

	unlink(path);
	return rc;
}

START_TEST(one_line_end_is_left_out_and_nothing_else)
{
	static const char *const texts[][2] = { { "a", "a" }, { "a\n", "a" }, { "a\r\n", "a" },
		{ "a\n\n", "a\n" }, { " a b \n", " a b " } };
	struct password p = { NULL, 0 };
	struct config_error why;
	bool exposed = true;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_file(texts[i][0], 0640);
		ck_assert_int_eq(read_file(&p, &exposed, &why), 0);
		ck_assert(!exposed);
		ck_assert_uint_eq(p.len, strlen(texts[i][1]));
		ck_assert_mem_eq(p.text, texts[i][1], p.len);
		password_fini(&p);
		ck_assert_ptr_null(p.text);
	}
}
END_TEST

START_TEST(a_file_that_all_may_read_is_told)
{
	struct password p = { NULL, 0 };
	struct config_error why;
	bool exposed = false;

	write_file("a", 0644);
	ck_assert_int_eq(read_file(&p, &exposed, &why), 0);
	ck_assert(exposed);
	password_fini(&p);
}
END_TEST

START_TEST(what_is_no_password_is_refused_in_words)
{
	struct password p = { NULL, 0 };
	struct config_error why;
	char expected[128], text[PASSWORD_MAX + 2];
	bool exposed;

	write_file("\r\n", 0600);
	snprintf(expected, sizeof expected,
	    "password file %s: empty; write the password into it", path);
	ck_assert_int_eq(read_file(&p, &exposed, &why), -EINVAL);
	ck_assert_str_eq(why.text, expected);
	memset(text, 'x', sizeof text);
	text[PASSWORD_MAX + 1] = '\0';
	write_file(text, 0600);
	ck_assert_int_eq(read_file(&p, &exposed, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "longer than 4096 bytes"));
	ck_assert_int_eq(password_read("/", &p, &exposed, &why), -EINVAL);
	ck_assert_str_eq(why.text, "password file /: no regular file");
	ck_assert_int_eq(password_read("/nonexistent/p", &p, &exposed, &why), -ENOENT);
	ck_assert_str_eq(why.text, "password file /nonexistent/p: No such file or directory");
	ck_assert_ptr_null(p.text);
}
END_TEST

START_TEST(only_the_whole_password_is_equal)
{
	struct password p = { NULL, 0 };

	ck_assert(!password_equals(&p, SLICE("")));
	ck_assert(!password_equals(&p, SLICE("?")));
	ck_assert_int_eq(password_copy(&p, SLICE("ab")), 0);
	ck_assert(password_equals(&p, SLICE("ab")));
	ck_assert(!password_equals(&p, SLICE("")));
	ck_assert(!password_equals(&p, SLICE("a")));
	ck_assert(!password_equals(&p, SLICE("aB")));
	ck_assert(!password_equals(&p, SLICE("abab")));
	ck_assert(!password_equals(&p, SLICE("ab\0")));
	password_fini(&p);
}
END_TEST

START_TEST(without_memory_there_is_no_password)
{
	struct password p = { NULL, 0 };
	struct config_error why;
	bool exposed;

	write_file("a", 0600);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(read_file(&p, &exposed, &why), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_ptr_null(p.text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("passwords");

	SUITE_ADD(s, "passwords", one_line_end_is_left_out_and_nothing_else,
	    a_file_that_all_may_read_is_told, what_is_no_password_is_refused_in_words,
	    only_the_whole_password_is_equal, without_memory_there_is_no_password);
	return suite_main(s);
}
