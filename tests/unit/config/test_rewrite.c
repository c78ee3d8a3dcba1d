#include "config.h"

#include "unit/suite.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "config/rewrite.h"
#include "unit/config/fixture.h"

static struct config_error err;

/* What the file is after `sets` ("name=value", NULL at the end); NULL: refused. */
static const char *
rewritten(const char *text, const char *const *sets)
{
	static char out[4096];
	struct config *c = load_good(text);
	FILE *f;
	int rc;

	for (; *sets != NULL; sets++) {
		const char *equals = strchr(*sets, '=');
		int row = config_option_find(slice_of(*sets, (size_t)(equals - *sets)));

		ck_assert_int_ge(row, 0);
		ck_assert_int_eq(config_option_set(c, (unsigned)row, slice_str(equals + 1), &err), 0);
	}
	rc = config_rewrite(FIXTURE_FILE, c, &err);
	config_free(c);
	f = fopen(FIXTURE_FILE, "r");
	ck_assert_ptr_nonnull(f);
	out[fread(out, 1, sizeof out - 1, f)] = '\0';
	fclose(f);
	if (rc != 0)
		ck_assert_str_eq(out, text);
	return rc == 0 ? out : NULL;
}

#define SETS(...) (const char *const[]){ __VA_ARGS__, NULL }

START_TEST(a_value_is_put_where_it_stands_and_all_else_stays)
{
	fixture_enter();
	ck_assert_str_eq(rewritten("# ours\nmemory:   64MiB # of 96\n\nlog_level: 'warn'\n"
	    "namespaces:\n  - prefix: a # x\n", SETS("memory=128MiB", "log_level=debug")),
	    "# ours\nmemory:   128MiB # of 96\n\nlog_level: debug\n"
	    "namespaces:\n  - prefix: a # x\n");
	fixture_leave();
}
END_TEST

START_TEST(what_does_not_stand_there_comes_at_the_end)
{
	fixture_enter();
	ck_assert_str_eq(rewritten("threads: 2 # no line's end", SETS("idle_timeout=60")),
	    "threads: 2 # no line's end\nidle_timeout: 1m\n");
	ck_assert_str_eq(rewritten("threads: 2\n", SETS("slowlog_slower_than=-1", "memory=auto")),
	    "threads: 2\nmemory: auto\nslowlog_slower_than: off\n");
	fixture_leave();
}
END_TEST

START_TEST(what_nobody_set_is_not_written)
{
	const char *const none[] = { NULL };

	fixture_enter();
	ck_assert_str_eq(rewritten("threads: 2\n", none), "threads: 2\n");
	fixture_leave();
}
END_TEST

START_TEST(other_ways_of_writing_are_changed_or_refused)
{
	fixture_enter();
	ck_assert_str_eq(rewritten("{ memory: \"64MiB\", threads: 2 }\n", SETS("memory=32MiB")),
	    "{ memory: 32MiB, threads: 2 }\n");
	ck_assert_ptr_null(rewritten("memory: >-\n  64MiB\n", SETS("memory=32MiB")));
	ck_assert_msg(strstr(err.text, "memory is not written on one line") != NULL, "%s", err.text);
	/* Nothing can be put behind this: it is seen before the file is touched. */
	ck_assert_ptr_null(rewritten("{ threads: 2 }\n", SETS("memory=32MiB")));
	fixture_leave();
}
END_TEST

START_TEST(the_mode_stays_and_a_link_stays_a_link)
{
	struct config *c;
	struct stat st;

	fixture_enter();
	c = load_good("memory: 64MiB\n");
	ck_assert_int_eq(chmod(FIXTURE_FILE, 0640), 0);
	ck_assert_int_eq(symlink(FIXTURE_FILE, "link"), 0);
	ck_assert_int_eq(config_option_set(c, 0, SLICE("32MiB"), &err), 0);
	ck_assert_int_eq(config_rewrite("link", c, &err), 0);
	ck_assert_int_eq(lstat("link", &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(stat(FIXTURE_FILE, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(st.st_size, sizeof "memory: 32MiB\n" - 1);
	config_free(c);
	unlink("link");
	fixture_leave();
}
END_TEST

START_TEST(a_file_that_is_gone_is_told)
{
	struct config *c;

	fixture_enter();
	c = load_good("memory: 64MiB\n");
	ck_assert_int_eq(config_rewrite("gone.yaml", c, &err), -ENOENT);
	ck_assert_msg(strstr(err.text, "gone.yaml: cannot be found") != NULL, "%s", err.text);
	config_free(c);
	fixture_leave();
}
END_TEST

START_TEST(out_of_memory_at_any_point_leaves_the_file_as_it_was)
{
	struct config *c;
	int rc = -ENOMEM;

	fixture_enter();
	c = load_good("memory: 64MiB\n");
	ck_assert_int_eq(config_option_set(c, 0, SLICE("32MiB"), &err), 0);
	for (unsigned n = 1; rc == -ENOMEM; n++) {
		struct stat st;

		mem_fail_nth(n, 0);
		rc = config_rewrite(FIXTURE_FILE, c, &err);
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		ck_assert_int_eq(stat(FIXTURE_FILE, &st), 0);
		ck_assert_int_eq(st.st_size, sizeof "memory: 64MiB\n" - 1);
	}
	config_free(c);
	fixture_leave(); /* the directory is empty: nothing was left beside it */
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("rewrite");

	SUITE_ADD(s, "rewrite", a_value_is_put_where_it_stands_and_all_else_stays,
	    what_does_not_stand_there_comes_at_the_end, what_nobody_set_is_not_written,
	    other_ways_of_writing_are_changed_or_refused,
	    the_mode_stays_and_a_link_stays_a_link, a_file_that_is_gone_is_told,
	    out_of_memory_at_any_point_leaves_the_file_as_it_was);
	return suite_main(s);
}
