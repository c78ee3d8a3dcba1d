/* tmpdir.h - a directory of the test's own for its sockets, gone at the end. */
#ifndef PANNIER_TESTS_TMPDIR_H
#define PANNIER_TESTS_TMPDIR_H

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char tmp_dir[64];

static inline void
tmp_setup(void)
{
	strcpy(tmp_dir, "/tmp/pannier-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(tmp_dir));
}

static inline void
tmp_teardown(void)
{
	DIR *d = opendir(tmp_dir);
	struct dirent *e;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL)
		if (unlinkat(dirfd(d), e->d_name, 0) != 0)
			unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	closedir(d);
	ck_assert_int_eq(rmdir(tmp_dir), 0);
}

/* Good until the next call but three. */
static inline const char *
tmp_path(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", tmp_dir, name);
	return path;
}

/* 0 or -errno of connecting fd to the socket file. */
static inline int
tmp_connect(int fd, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	memcpy(sun.sun_path, path, strlen(path) + 1);
	return connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ? 0 : -errno;
}

#endif
