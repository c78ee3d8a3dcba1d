#include "config.h"

#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/socket.h"

/* Clients taken in one turn, so that those who are in get theirs as well. */
#define ACCEPT_BURST 64
#define ACCEPT_PAUSE_MS 100

struct listener {
	struct listen_opts opts; /* its strings are the listener's */
	char *name;
	struct socket_owner owner;
	int fd;
	int spare_fd; /* given up for one accept() when there are no others */
	bool started, stopped;
	struct watch watch;
	struct timer pause;
	void (*on_accept)(void *arg, int fd);
	void *arg;
};

static struct log_gate no_descriptors_gate;

static void
spare_take(struct listener *l)
{
	if (l->spare_fd < 0)
		l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int
accept_one(struct listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd >= 0 ? fd : -errno;
}

/* A client that cannot be served is told so at once; left in the backlog it
 * would wait for nothing, and the listener would stay readable. False: nobody
 * is there (the kernel looks for a descriptor first, and then for a client). */
static bool
turn_away(struct listener *l)
{
	int fd;

	if (l->spare_fd < 0)
		return true;
	close(l->spare_fd);
	l->spare_fd = -1;
	fd = accept_one(l);
	if (fd >= 0) {
		const char *text = l->opts.refusal;

		if (text != NULL && send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
			log_debug("%s: a client turned away did not wait", l->name);
		close(fd);
	}
	spare_take(l);
	return fd != -EAGAIN;
}

static void
pause_accepting(struct listener *l, int rc)
{
	log_limited(&no_descriptors_gate, LOG_LEVEL_WARN,
	    "%s: no more clients for %d ms: %s", l->name, ACCEPT_PAUSE_MS, strerror(-rc));
	watch_set(&l->watch, 0);
	timer_start(&l->pause, ACCEPT_PAUSE_MS);
}

static void
hand_over(struct listener *l, int fd)
{
	int on = 1;

	if (l->opts.kind == LISTEN_TCP)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	l->on_accept(l->arg, fd);
}

static void
on_readable(struct watch *w, int events UNUSED)
{
	struct listener *l = container_of(w, struct listener, watch);

	/* on_accept() may stop the listener. */
	for (int i = 0; i < ACCEPT_BURST && !l->stopped; i++) {
		int fd = accept_one(l);

		if (fd >= 0) {
			hand_over(l, fd);
			continue;
		}
		switch (-fd) {
		case EAGAIN:
			return;
		case EINTR:
		case ECONNABORTED:
		case EPROTO:
			continue; /* that client's matter, not ours */
		case EMFILE:
		case ENFILE:
			if (turn_away(l))
				pause_accepting(l, fd);
			return;
		default:
			pause_accepting(l, fd);
			return;
		}
	}
}

static void
on_pause_over(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, pause);

	spare_take(l);
	watch_set(&l->watch, WATCH_READ);
}

static int
copy_string(char **to, const char *from)
{
	*to = from != NULL ? mem_strdup(from) : NULL;
	return from == NULL || *to != NULL ? 0 : -ENOMEM;
}

static int
copy_opts(struct listener *l, const struct listen_opts *o)
{
	char *path, *host, *refusal;
	int rc = copy_string(&path, o->path);

	l->opts = *o;
	rc |= copy_string(&host, o->host);
	rc |= copy_string(&refusal, o->refusal);
	l->opts.path = path;
	l->opts.host = host;
	l->opts.refusal = refusal;
	return rc != 0 ? -ENOMEM : 0;
}

static void
listener_free(struct listener *l)
{
	mem_free((char *)(uintptr_t)l->opts.path);
	mem_free((char *)(uintptr_t)l->opts.host);
	mem_free((char *)(uintptr_t)l->opts.refusal);
	mem_free(l->name);
	if (l->spare_fd >= 0)
		close(l->spare_fd);
	mem_free(l);
}

int
listener_open(const struct listen_opts *o, struct listener **out, char *err, size_t err_size)
{
	struct listener *l = mem_zalloc(sizeof *l);
	char name[256];
	int rc = -ENOMEM;

	if (l == NULL)
		goto no_memory;
	l->fd = l->spare_fd = -1;
	if (copy_opts(l, o) != 0)
		goto no_memory;
	rc = socket_listen(o, &l->owner, err, err_size);
	if (rc < 0)
		goto fail;
	l->fd = rc;
	socket_name(o, l->fd, name, sizeof name);
	l->name = mem_strdup(name);
	if (l->name == NULL) {
		listener_close(l);
		l = NULL;
		goto no_memory;
	}
	spare_take(l);
	*out = l;
	return 0;
no_memory:
	rc = -ENOMEM;
	snprintf(err, err_size, "no memory for a listener");
fail:
	if (l != NULL)
		listener_free(l);
	return rc;
}

void
listener_start(struct listener *l, struct loop *loop, void (*on_accept)(void *arg, int fd),
    void *arg)
{
	l->on_accept = on_accept;
	l->arg = arg;
	watch_init(&l->watch, loop, l->fd, on_readable);
	timer_init(&l->pause, loop, on_pause_over);
	l->started = true;
	watch_set(&l->watch, WATCH_READ);
}

void
listener_accept_all(struct listener *l)
{
	int fd;

	if (l->stopped || l->owner.kept)
		return; /* the next daemon's */
	for (int i = 0; i < SOMAXCONN && (fd = accept_one(l)) >= 0; i++)
		hand_over(l, fd);
}

void
listener_stop(struct listener *l)
{
	int fd;

	if (l->stopped)
		return;
	l->stopped = true;
	if (l->started) {
		watch_set(&l->watch, 0);
		timer_stop(&l->pause);
	}
	if (socket_is_kept(&l->owner))
		return; /* who waits there is not ours to turn away */
	shutdown(l->fd, SHUT_RDWR);
	while ((fd = accept_one(l)) >= 0)
		close(fd);
}

void
listener_close(struct listener *l)
{
	if (l == NULL)
		return;
	listener_stop(l);
	/* If another daemon has taken the path over by now, the file is its. */
	if (l->opts.kind == LISTEN_UNIX)
		socket_unlink(l->opts.path, &l->owner);
	close(l->fd);
	listener_free(l);
}

void
listener_leave(struct listener *l)
{
	l->owner.kept = true;
}

void
listener_hold(struct listener *l, bool on)
{
	if (l->started && !l->stopped && !timer_armed(&l->pause))
		watch_set(&l->watch, on ? 0 : WATCH_READ);
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}

bool
listener_is_kept(const struct listener *l)
{
	return l->owner.kept;
}

const char *
listener_name(const struct listener *l)
{
	return l->name;
}

const struct listen_opts *
listener_opts(const struct listener *l)
{
	return &l->opts;
}
