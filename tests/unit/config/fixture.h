/* fixture.h - a configuration from text, and the error it gives. */
#ifndef PANNIER_TESTS_CONFIG_FIXTURE_H
#define PANNIER_TESTS_CONFIG_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "config/config.h"

#define FIXTURE_FILE "pannier.yaml" /* in a directory of the test's own */

static inline void
fixture_enter(void)
{
	char dir[] = "/tmp/pannier-config-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static inline void
fixture_leave(void)
{
	char dir[256];

	unlink(FIXTURE_FILE);
	ck_assert_ptr_nonnull(getcwd(dir, sizeof dir));
	ck_assert_int_eq(rmdir(dir), 0);
}

static inline void
write_text(const char *path, struct slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text.ptr, text.len), (ssize_t)text.len);
	close(fd);
}

static inline struct config *
load_slice(struct slice text, struct config_error *err)
{
	struct config *c = NULL;
	int rc;

	write_text(FIXTURE_FILE, text);
	rc = config_load(FIXTURE_FILE, NULL, 0, NULL, &c, err);
	ck_assert(rc == 0 || rc == -EINVAL);
	ck_assert_int_eq(rc == 0, c != NULL);
	return c;
}

static inline struct config *
load_good(const char *text)
{
	struct config_error err = { "" };
	struct config *c = load_slice(slice_str(text), &err);

	ck_assert_msg(c != NULL, "%s", err.text);
	return c;
}

static inline void
assert_error(struct slice text, const char *expected)
{
	struct config_error err = { "" };
	struct config *c = load_slice(text, &err);

	ck_assert_msg(c == NULL, "accepted, wanted: %s", expected);
	ck_assert_str_eq(err.text, expected);
}

#endif
