#include "config.h"

#include "unit/origin/scripted.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

#define CONNS_MAX 1024

struct scripted {
	int listen_fd;
	int stop_fd; /* readable: the test ends */
	script *run;
	void *arg;
	char url[160];
	pthread_t acceptor;
	pthread_t threads[CONNS_MAX]; /* the acceptor's, until it is joined */
	atomic_uint connections, requests, open, peak;
};

/* Waits for the descriptor; false: the test ends. */
static bool
wait_for(struct scripted *s, int fd, short events, int timeout_ms)
{
	struct pollfd p[2] = { { .fd = s->stop_fd, .events = POLLIN },
		{ .fd = fd, .events = events } };

	while (poll(p, 2, timeout_ms) < 0)
		ck_assert_int_eq(errno, EINTR);
	return p[0].revents == 0;
}

static void *
conn_main(void *arg)
{
	struct scripted_conn *c = arg;
	struct scripted *s = c->server;
	unsigned now = atomic_fetch_add(&s->open, 1) + 1, peak = atomic_load(&s->peak);

	while (now > peak && !atomic_compare_exchange_weak(&s->peak, &peak, now))
		;
	s->run(c);
	atomic_fetch_sub(&s->open, 1);
	close(c->fd);
	free(c);
	return NULL;
}

static void *
accept_main(void *arg)
{
	struct scripted *s = arg;

	while (wait_for(s, s->listen_fd, POLLIN, -1)) {
		struct scripted_conn *c = malloc(sizeof *c);
		unsigned nth = atomic_load(&s->connections);

		ck_assert_ptr_nonnull(c);
		ck_assert_uint_lt(nth, CONNS_MAX);
		*c = (struct scripted_conn){ .server = s, .arg = s->arg, .nth = nth,
			.fd = accept(s->listen_fd, NULL, NULL) };
		ck_assert_int_ge(c->fd, 0);
		atomic_store(&s->connections, nth + 1);
		ck_assert_int_eq(pthread_create(&s->threads[nth], NULL, conn_main, c), 0);
	}
	return NULL;
}

static void
bind_tcp(struct scripted *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(s->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(getsockname(s->listen_fd, (struct sockaddr *)&a, &len), 0);
	snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", ntohs(a.sin_port));
}

static void
bind_unix(struct scripted *s, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(s->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
	snprintf(s->url, sizeof s->url, "http+unix://%s", path);
}

struct scripted *
scripted_start(const char *unix_path, script *run, void *arg)
{
	struct scripted *s = calloc(1, sizeof *s);

	ck_assert_ptr_nonnull(s);
	s->run = run;
	s->arg = arg;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (unix_path != NULL)
		bind_unix(s, unix_path);
	else
		bind_tcp(s);
	ck_assert_int_eq(listen(s->listen_fd, 1024), 0);
	ck_assert_int_eq(pthread_create(&s->acceptor, NULL, accept_main, s), 0);
	return s;
}

void
scripted_stop(struct scripted *s)
{
	ck_assert_int_eq(eventfd_write(s->stop_fd, 1), 0);
	pthread_join(s->acceptor, NULL);
	for (unsigned i = 0; i < s->connections; i++)
		pthread_join(s->threads[i], NULL);
	close(s->listen_fd);
	close(s->stop_fd);
	free(s);
}

const char *
scripted_url(const struct scripted *s)
{
	return s->url;
}

unsigned
scripted_connections(const struct scripted *s)
{
	return atomic_load(&s->connections);
}

unsigned
scripted_requests(const struct scripted *s)
{
	return atomic_load(&s->requests);
}

unsigned
scripted_peak(const struct scripted *s)
{
	return atomic_load(&s->peak);
}

/* --- for scripts -------------------------------------------------------------- */

bool
conn_request(struct scripted_conn *c)
{
	size_t n = 0;

	while (n < sizeof c->request - 1 && wait_for(c->server, c->fd, POLLIN, -1)) {
		ssize_t got = recv(c->fd, c->request + n, sizeof c->request - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		c->request[n] = '\0';
		if (strstr(c->request, "\r\n\r\n") != NULL) {
			atomic_fetch_add(&c->server->requests, 1);
			return true;
		}
	}
	return false;
}

bool
conn_read(struct scripted_conn *c, char *to, size_t n)
{
	while (n > 0) {
		ssize_t got;

		if (!wait_for(c->server, c->fd, POLLIN, -1))
			return false;
		got = recv(c->fd, to, n, 0);
		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

/* "*3\r\n" is 3; -1: the peer is gone. */
static long
read_count(struct scripted_conn *c, char kind)
{
	char line[32] = "";

	for (size_t i = 0; i < sizeof line - 1; i++) {
		if (!conn_read(c, &line[i], 1))
			return -1;
		if (line[i] == '\n')
			break;
	}
	ck_assert_int_eq(line[0], kind);
	return atol(line + 1);
}

bool
conn_command(struct scripted_conn *c)
{
	long args = read_count(c, '*');
	size_t at = 0;

	if (args < 0)
		return false;
	for (long i = 0; i < args; i++) {
		long n = read_count(c, '$');

		if (n < 0 || !conn_read(c, c->request + at, (size_t)n + 2))
			return false;
		at += (size_t)n;
		c->request[at++] = ' ';
		ck_assert_uint_lt(at, sizeof c->request - 4096);
	}
	c->request[at - 1] = '\0';
	atomic_fetch_add(&c->server->requests, 1);
	return true;
}

bool
conn_send_bytes(struct scripted_conn *c, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent;

		if (!wait_for(c->server, c->fd, POLLOUT, -1))
			return false;
		sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			return false;
		p += MAX(sent, 0);
		n -= (size_t)MAX(sent, 0);
	}
	return true;
}

bool
conn_send(struct scripted_conn *c, const char *text)
{
	return conn_send_bytes(c, text, strlen(text));
}

void
conn_hang(struct scripted_conn *c)
{
	char buf[4096];

	while (wait_for(c->server, c->fd, POLLIN, -1))
		if (recv(c->fd, buf, sizeof buf, 0) <= 0)
			return;
}

bool
conn_pause(struct scripted_conn *c, int ms)
{
	struct pollfd p = { .fd = c->server->stop_fd, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

void
script_answer(struct scripted_conn *c)
{
	while (conn_request(c))
		if (!conn_send(c, c->arg))
			return;
}

void
script_answer_and_close(struct scripted_conn *c)
{
	if (conn_request(c))
		conn_send(c, c->arg);
}

void
script_silent(struct scripted_conn *c)
{
	conn_hang(c);
}
