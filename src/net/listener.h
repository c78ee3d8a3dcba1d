/* listener.h - a listening socket: Unix or TCP, on loopback unless it says otherwise.
 *
 * Belongs to one loop. Accepted descriptors are non-blocking and
 * close-on-exec. When descriptors run out (EMFILE) the pending client is
 * turned away with the spare one, and accepting pauses without spinning. */
#ifndef PANNIER_NET_LISTENER_H
#define PANNIER_NET_LISTENER_H

#include <sys/types.h>

#include "net/loop.h"

enum listen_kind { LISTEN_UNIX, LISTEN_TCP };

struct listen_opts {
	enum listen_kind kind;
	const char *path; /* LISTEN_UNIX, at most 107 bytes */
	const char *host; /* LISTEN_TCP: 127.0.0.1 (127/8), ::1 or localhost only */
	bool any_host;    /* ... or any address of this machine, by number */
	uint16_t port;    /* 0: any; see listener_name() */
	mode_t mode;      /* of the Unix socket, set before listen() */
	uid_t uid;        /* likewise; (uid_t)-1: as it is */
	gid_t gid;
	int backlog;      /* 0: SOMAXCONN */
	const char *refusal; /* told to who is turned away; NULL: nothing */
};

struct listener;

/* Binds and listens. 0 or -errno; err gets a sentence: what, where and what
 * would be right. -EADDRINUSE where a live daemon answers on the path; a
 * socket file that nobody answers on is replaced, any other file is not. */
int listener_open(const struct listen_opts *o, struct listener **out, char *err, size_t err_size)
    MUST_CHECK;
/* on_accept gets each new descriptor and owns it; it may stop the listener, but
 * not close it. */
void listener_start(struct listener *l, struct loop *loop, void (*on_accept)(void *arg, int fd),
    void *arg);
/* Who waits in the backlog goes to on_accept now; on one that was started. */
void listener_accept_all(struct listener *l);
/* For good: who waits is closed, who connects from now on is refused, and
 * another daemon may take the path over while this one drains. A socket that others
 * keep (systemd) stays open: who waits and who connects is theirs. */
void listener_stop(struct listener *l);
/* Another process has it from now on: it is stopped and closed, but neither shut down nor
 * its file removed. */
void listener_leave(struct listener *l);
int listener_fd(const struct listener *l);
/* Pauses accepting, and goes on: who comes meanwhile waits. */
void listener_hold(struct listener *l, bool on);
bool listener_is_kept(const struct listener *l); /* see struct socket_owner */
/* Stops, closes, removes the socket file if it is still its own. NULL is fine. */
void listener_close(struct listener *l);
/* "unix:/run/x.sock" or "tcp:127.0.0.1:6380", with the port really taken. */
const char *listener_name(const struct listener *l);
const struct listen_opts *listener_opts(const struct listener *l);

#endif
