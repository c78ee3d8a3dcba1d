/* floor - the least that a server on libev can do: read, find the starts of
 * requests ('*' at the start of a line), write as many fixed replies. Nothing
 * is parsed and nothing stored. It is the yardstick for what pannier adds. */
#include "config.h"

#include <ev.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)
#define REPLIES 1024 /* that lie ready one behind the other */

struct client {
	struct ev_io io;
	char last; /* byte of the read before, to see lines that are cut in two */
};

static char *replies;
static size_t reply_len;

static void
fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static unsigned
count_requests(struct client *c, const char *data, size_t n)
{
	const char *p = data, *end = data + n;
	unsigned found = 0;

	while ((p = memchr(p, '*', (size_t)(end - p))) != NULL) {
		found += (p == data ? c->last : p[-1]) == '\n';
		p++;
	}
	c->last = end[-1];
	return found;
}

static bool
send_replies(int fd, size_t left)
{
	while (left != 0) {
		size_t cut = (reply_len - left % reply_len) % reply_len; /* sent of the first one */
		size_t ready = REPLIES * reply_len - cut;
		ssize_t n = write(fd, replies + cut, left < ready ? left : ready);
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (n >= 0)
			left -= (size_t)n;
		else if (poll(&p, 1, -1) < 0 || (p.revents & (POLLERR | POLLHUP)) != 0)
			return false;
	}
	return true;
}

static void
on_readable(struct ev_loop *loop, struct ev_io *w, int events)
{
	static char data[READ_BYTES];
	struct client *c = (struct client *)w;
	ssize_t n = read(w->fd, data, sizeof data);

	(void)events;
	if (n > 0 && send_replies(w->fd, count_requests(c, data, (size_t)n) * reply_len))
		return;
	ev_io_stop(loop, w);
	close(w->fd);
	free(c);
}

static void
on_client(struct ev_loop *loop, struct ev_io *w, int events)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd >= 0 ? malloc(sizeof *c) : NULL;

	(void)events;
	if (c == NULL)
		return;
	c->last = '\n';
	ev_io_init(&c->io, on_readable, fd, EV_READ);
	ev_io_start(loop, &c->io);
}

static void
make_replies(unsigned long bytes)
{
	char head[32];
	size_t head_len = (size_t)snprintf(head, sizeof head, "$%lu\r\n", bytes);

	reply_len = head_len + bytes + 2;
	replies = malloc(REPLIES * reply_len);
	if (replies == NULL)
		fail("malloc");
	for (size_t i = 0; i < REPLIES; i++) {
		char *p = replies + i * reply_len;

		memcpy(p, head, head_len);
		memset(p + head_len, 'x', bytes);
		memcpy(p + head_len + bytes, "\r\n", 2);
	}
}

static int
listen_on(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof sun.sun_path)
		fail(path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&sun, sizeof sun) != 0 || listen(fd, SOMAXCONN) != 0)
		fail(path);
	return fd;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "unix", required_argument, NULL, 'u' },
		{ "reply-bytes", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	struct ev_io door;
	const char *path = NULL;
	unsigned long bytes = 100;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'u')
			path = optarg;
		else if (opt == 'r')
			bytes = strtoul(optarg, NULL, 10);
		else
			return EXIT_FAILURE;
	}
	if (path == NULL || loop == NULL) {
		fprintf(stderr, "usage: floor_server --unix PATH [--reply-bytes N]\n");
		return EXIT_FAILURE;
	}
	make_replies(bytes);
	ev_io_init(&door, on_client, listen_on(path), EV_READ);
	ev_io_start(loop, &door);
	puts("ready");
	fflush(stdout);
	ev_run(loop, 0);
	return EXIT_SUCCESS;
}
