#include "config.h"

#include "cli/bench_trace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define CHUNK (1u << 20)

extern char **environ;

static int
read_all(int fd, struct buf *b)
{
	for (;;) {
		ssize_t n;

		if (buf_reserve(b, CHUNK) != 0)
			return -ENOMEM;
		n = read(fd, buf_tail(b), CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_commit(b, (size_t)n);
	}
}

/* xz -dc with its output in a pipe; without a shell, so that any path is one
 * word. */
static int
spawn_xz(const char *path, int *fd, pid_t *pid)
{
	char *argv[] = { (char *)"xz", (char *)"-dcq", (char *)"--", (char *)path, NULL };
	posix_spawn_file_actions_t actions;
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -errno;
	rc = -posix_spawn_file_actions_init(&actions);
	if (rc == 0) {
		rc = -posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
		if (rc == 0)
			rc = -posix_spawnp(pid, "xz", &actions, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	close(ends[1]);
	if (rc != 0)
		close(ends[0]);
	else
		*fd = ends[0];
	return rc;
}

static int
read_xz(const char *path, struct buf *b)
{
	int fd = -1, status, rc;
	pid_t pid = -1;

	if (access(path, R_OK) != 0)
		return -errno;
	rc = spawn_xz(path, &fd, &pid);
	if (rc != 0)
		return rc == -ENOENT ? -ENOPKG : rc;
	rc = read_all(fd, b);
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* It has said what is wrong on standard error. */
	if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		rc = -EBADMSG;
	return rc;
}

static int
read_plain(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = read_all(fd, b);
	close(fd);
	return rc;
}

static bool
is_xz(const char *path)
{
	size_t len = strlen(path);

	return len > 3 && strcmp(path + len - 3, ".xz") == 0;
}

static int
decode(const struct buf *b, struct bench_trace *out)
{
	uint64_t n = buf_len(b) / 4;
	uint32_t word;

	if (n == 0 || buf_len(b) % 4 != 0)
		return -EBADMSG;
	out->ids = mem_calloc(n, sizeof *out->ids);
	if (out->ids == NULL)
		return -ENOMEM;
	out->n = n;
	for (uint64_t i = 0; i < n; i++) {
		memcpy(&word, buf_data(b) + 4 * i, 4);
		out->ids[i] = ntohl(word);
	}
	return 0;
}

int
bench_trace_load(const char *path, struct bench_trace *out, char *err, size_t err_size)
{
	struct buf b;
	int rc;

	buf_init(&b);
	rc = is_xz(path) ? read_xz(path, &b) : read_plain(path, &b);
	if (rc == 0)
		rc = decode(&b, out);
	if (rc == -EBADMSG)
		snprintf(err, err_size, "%s: no stream of 32-bit numbers (%zu bytes)", path,
		    buf_len(&b));
	else if (rc == -ENOPKG)
		snprintf(err, err_size, "%s: xz(1) is not installed", path);
	else if (rc != 0)
		snprintf(err, err_size, "%s: %s", path, strerror(-rc));
	buf_fini(&b);
	return rc;
}

void
bench_trace_fini(struct bench_trace *t)
{
	mem_free(t->ids);
	*t = (struct bench_trace){ 0 };
}
