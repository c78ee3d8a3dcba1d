#include "config.h"

#include "origin/redis_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A peer that vanished is noticed a minute later, also where nothing is asked. */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_COUNT 3

int
redis_address_tcp(struct redis_address *a, struct slice host, unsigned port, bool tls)
{
	bool v6;

	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_of(host.ptr + 1, host.len - 2);
	if (host.len == 0 || host.len > REDIS_HOST_MAX || port == 0 || port > 65535)
		return -EINVAL;
	*a = (struct redis_address){ .tls = tls, .port = port };
	memcpy(a->host, host.ptr, host.len);
	v6 = memchr(host.ptr, ':', host.len) != NULL;
	snprintf(a->name, sizeof a->name, "%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "", port);
	return 0;
}

int
redis_address_unix(struct redis_address *a, struct slice path)
{
	if (path.len == 0 || path.len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		return -EINVAL;
	*a = (struct redis_address){ .is_unix = true };
	memcpy(a->host, path.ptr, path.len);
	snprintf(a->name, sizeof a->name, "unix:%s", a->host);
	return 0;
}

static void
fail(struct redis_link *l)
{
	redis_link_close(l);
	l->failed(l);
}

/* --- TLS ------------------------------------------------------------------------ */

static void
come_up(struct redis_link *l)
{
	l->stage = LINK_UP;
	watch_set(&l->watch, WATCH_READ);
	l->up(l);
}

static void
secure(struct redis_link *l)
{
	int events = WATCH_READ;
	int rc = redis_tls_handshake(l->session, &events, l->error, sizeof l->error);

	if (rc == 0)
		come_up(l);
	else if (rc == -EAGAIN)
		watch_set(&l->watch, events);
	else
		fail(l);
}

static void
on_connected(struct redis_link *l)
{
	if (!l->to->tls) {
		come_up(l);
		return;
	}
	l->session = redis_tls_open(l->tls, l->fd, slice_str(l->to->host));
	if (l->session == NULL) {
		snprintf(l->error, sizeof l->error, "no memory");
		fail(l);
		return;
	}
	l->stage = LINK_SECURING;
	secure(l);
}

/* --- connecting ------------------------------------------------------------------ */

static void
set_options(int fd)
{
	int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_INTERVAL_S, n = KEEPALIVE_COUNT;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n, sizeof n);
}

static void on_ready(struct watch *w, int events);

/* 0: connected or under way, else errno. */
static int
try_address(struct redis_link *l, const struct resolve_address *a)
{
	int rc;

	l->fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return errno;
	if (!l->to->is_unix)
		set_options(l->fd);
	rc = connect(l->fd, (const struct sockaddr *)&a->sa, a->len) == 0 ? 0 : errno;
	if (rc != 0 && rc != EINPROGRESS) {
		close(l->fd);
		l->fd = -1;
		return rc;
	}
	/* Also of one that is connected: up() is not called from within open(). */
	watch_init(&l->watch, l->loop, l->fd, on_ready);
	watch_set(&l->watch, WATCH_WRITE);
	l->stage = LINK_CONNECTING;
	return 0;
}

/* 0 or -errno: none is left. */
static int
try_next(struct redis_link *l)
{
	while (l->next < l->found.n) {
		int rc = try_address(l, &l->found.addresses[l->next++]);

		if (rc == 0)
			return 0;
		snprintf(l->error, sizeof l->error, "%s", strerror(rc));
	}
	return -ECONNREFUSED;
}

static void
check_connected(struct redis_link *l)
{
	int error = 0;
	socklen_t len = sizeof error;

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0) {
		on_connected(l);
		return;
	}
	snprintf(l->error, sizeof l->error, "%s", strerror(error));
	watch_set(&l->watch, 0);
	close(l->fd);
	l->fd = -1;
	if (try_next(l) != 0)
		fail(l);
}

static void
on_ready(struct watch *w, int events)
{
	struct redis_link *l = container_of(w, struct redis_link, watch);

	if (l->stage == LINK_UP) {
		l->ready(l, events);
	} else if (events == WATCH_FAILED) {
		snprintf(l->error, sizeof l->error, "no memory");
		fail(l);
	} else if (l->stage == LINK_CONNECTING) {
		check_connected(l);
	} else if (l->stage == LINK_SECURING) {
		secure(l);
	}
}

static void
on_resolved(void *arg, const struct resolve_answer *a)
{
	struct redis_link *l = arg;

	l->lookup = NULL;
	l->found = *a;
	if (a->n == 0)
		snprintf(l->error, sizeof l->error, "%s", a->error);
	if (try_next(l) != 0)
		fail(l);
}

/* 0 or -errno. */
static int
find_address(struct redis_link *l)
{
	struct resolve_address *a = &l->found.addresses[0];
	struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;

	l->found = (struct resolve_answer){ .n = 1 };
	if (l->to->is_unix) {
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, l->to->host, strlen(l->to->host));
		a->len = sizeof *un;
		return 0;
	}
	if (resolve_number(slice_str(l->to->host), l->to->port, a))
		return 0;
	l->found.n = 0;
	return resolve_start(l->loop, slice_str(l->to->host), l->to->port, on_resolved, l,
	    &l->lookup);
}

int
redis_link_open(struct redis_link *l, struct loop *loop, const struct redis_address *to,
    struct redis_tls *tls)
{
	int rc;

	l->loop = loop;
	l->to = to;
	l->tls = tls;
	l->fd = -1;
	l->next = 0;
	l->stage = LINK_RESOLVING;
	rc = find_address(l);
	if (rc == 0)
		return l->lookup != NULL ? 0 : try_next(l);
	snprintf(l->error, sizeof l->error, "%s",
	    rc == -EAGAIN ? "too many names are being looked up" : strerror(-rc));
	return rc;
}

void
redis_link_close(struct redis_link *l)
{
	if (l->lookup != NULL)
		resolve_cancel(l->lookup);
	l->lookup = NULL;
	redis_tls_close(l->session);
	l->session = NULL;
	if (l->fd >= 0) {
		watch_set(&l->watch, 0);
		close(l->fd);
	}
	l->fd = -1;
	l->stage = LINK_CLOSED;
}

void
redis_link_doing(const struct redis_link *l, char *text, size_t size)
{
	const char *name = l->to->name;

	switch (l->stage) {
	case LINK_RESOLVING:
		snprintf(text, size, "%s not resolved", l->to->host);
		return;
	case LINK_SECURING:
		snprintf(text, size, "no TLS handshake with %s", name);
		return;
	case LINK_UP:
		snprintf(text, size, "no answer from %s", name);
		return;
	case LINK_CONNECTING:
	case LINK_CLOSED:
		snprintf(text, size, "no connection to %s", name);
	}
}

/* --- bytes ------------------------------------------------------------------------- */

static ssize_t
plain_result(struct redis_link *l, ssize_t n)
{
	int error = errno;

	if (n >= 0)
		return n;
	if (error == EAGAIN || error == EINTR)
		return -EAGAIN;
	snprintf(l->error, sizeof l->error, "%s", strerror(error));
	return -error;
}

ssize_t
redis_link_read(struct redis_link *l, void *to, size_t room)
{
	int events = WATCH_READ;
	ssize_t n;

	if (l->session == NULL)
		return plain_result(l, recv(l->fd, to, room, 0));
	n = redis_tls_read(l->session, to, room, &events, l->error, sizeof l->error);
	l->read_waits_write = n == -EAGAIN && events == WATCH_WRITE;
	return n;
}

ssize_t
redis_link_write(struct redis_link *l, const void *from, size_t n)
{
	int events = WATCH_WRITE;
	ssize_t sent;

	if (l->session == NULL)
		return plain_result(l, send(l->fd, from, n, MSG_NOSIGNAL));
	sent = redis_tls_write(l->session, from, n, &events, l->error, sizeof l->error);
	l->write_waits_read = sent == -EAGAIN && events == WATCH_READ;
	if (sent == 0) {
		snprintf(l->error, sizeof l->error, "closed");
		return -EPIPE;
	}
	return sent;
}

void
redis_link_want_write(struct redis_link *l, bool yes)
{
	yes = (yes && !l->write_waits_read) || l->read_waits_write;
	watch_set(&l->watch, WATCH_READ | (yes ? WATCH_WRITE : 0));
}
