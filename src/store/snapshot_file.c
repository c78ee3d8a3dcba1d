#include "config.h"

#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define TEMP_SUFFIX ".tmp"

static void
file_fini(struct snapshot_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	mem_free(f->path);
	mem_free(f->temp);
	*f = (struct snapshot_file){ .fd = -1, .dir = -1 };
}

/* Splits the path: f->dir is open, f->name stands in it. */
static int
open_dir(struct snapshot_file *f)
{
	char *slash = strrchr(f->path, '/');
	const char *dir = slash == NULL ? "." : slash == f->path ? "/" : f->path;

	f->name = slash == NULL ? f->path : slash + 1;
	if (slash != NULL)
		*slash = '\0';
	f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->dir >= 0 ? 0 : -errno;
}

static int
open_temp(struct snapshot_file *f)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	f->fd = openat(f->dir, f->temp, flags, 0600);
	if (f->fd < 0 && errno == EEXIST && unlinkat(f->dir, f->temp, 0) == 0)
		f->fd = openat(f->dir, f->temp, flags, 0600);
	return f->fd >= 0 ? 0 : -errno;
}

int
snapshot_file_create(struct snapshot_file *f, const char *path)
{
	size_t len = strlen(path) + sizeof TEMP_SUFFIX;
	int rc = -ENOMEM;

	*f = (struct snapshot_file){ .fd = -1, .dir = -1 };
	f->path = mem_strdup(path);
	f->temp = mem_alloc(len);
	if (f->path == NULL || f->temp == NULL)
		goto fail;
	rc = open_dir(f);
	if (rc != 0)
		goto fail;
	snprintf(f->temp, len, "%s" TEMP_SUFFIX, f->name);
	rc = open_temp(f);
	if (rc != 0)
		goto fail;
	return 0;
fail:
	file_fini(f);
	return rc;
}

int
snapshot_file_commit(struct snapshot_file *f)
{
	int rc = fsync(f->fd) == 0 ? 0 : -errno;

	if (rc == 0) {
		/* What the machine has read or written for us need not stay cached. */
		posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
		if (renameat(f->dir, f->temp, f->dir, f->name) != 0)
			rc = -errno;
	}
	if (rc != 0) {
		snapshot_file_abort(f);
		return rc;
	}
	if (fsync(f->dir) != 0)
		rc = -errno;
	file_fini(f);
	return rc;
}

void
snapshot_file_abort(struct snapshot_file *f)
{
	if (f->fd >= 0)
		unlinkat(f->dir, f->temp, 0);
	file_fini(f);
}

/* --- reading --------------------------------------------------------------------------- */

static int
refuse(int fd, char error[SNAPSHOT_ERROR], const char *why)
{
	snprintf(error, SNAPSHOT_ERROR, "%s", why);
	close(fd);
	return -EPERM;
}

int
snapshot_file_open(const char *path, uint64_t *size, char error[SNAPSHOT_ERROR])
{
	/* Not to wait for the other end of a pipe. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0) {
		int rc = -errno;

		snprintf(error, SNAPSHOT_ERROR, "%s", rc == -ELOOP ? "it is a symbolic link, "
		    "which is not followed" : strerror(-rc));
		return rc;
	}
	if (fstat(fd, &st) != 0)
		return refuse(fd, error, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(fd, error, "it is no regular file");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return refuse(fd, error, "it belongs to another user: it must be this process's "
		    "or root's");
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(fd, error, "others may write it: its mode must be 0600");
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	*size = (uint64_t)st.st_size;
	return fd;
}
