/* socket.h - bound sockets. Knows no loop. Any thread. */
#ifndef PANNIER_NET_SOCKET_H
#define PANNIER_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/util.h"
#include "net/listener.h"

/* Whose a listening socket is. */
struct socket_owner {
	struct stat file; /* of a Unix socket that is ours; zeroed: there is none */
	bool kept;        /* others have the socket too and go on with it: it is
	                   * closed, but neither shut down nor its file removed */
	bool inherited;   /* likewise while inherit_is_lent() */
};

bool socket_is_kept(const struct socket_owner *owner);

/* A listening descriptor, non-blocking and close-on-exec, or -errno with a
 * sentence in err. What inherit.h has for this address, or else a new one. */
int socket_listen(const struct listen_opts *o, struct socket_owner *owner, char *err,
    size_t err_size) MUST_CHECK;

/* "unix:/run/x.sock", "tcp:127.0.0.1:6380", "tcp:[::1]:6380"; the port is the
 * one that fd is bound to. fd < 0: the port of o. */
void socket_name(const struct listen_opts *o, int fd, char *name, size_t size);

/* Removes the socket file if it is still the owner's. */
void socket_unlink(const char *path, const struct socket_owner *owner);

#endif
