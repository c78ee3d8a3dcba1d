/* socket.h - bound sockets. Knows no loop. Any thread. */
#ifndef PANNIER_NET_SOCKET_H
#define PANNIER_NET_SOCKET_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/util.h"
#include "net/listener.h"

/* A listening descriptor, non-blocking and close-on-exec, or -errno with a
 * sentence in err. *file: who the socket file is, zeroed for TCP. */
int socket_listen(const struct listen_opts *o, struct stat *file, char *err, size_t err_size)
    MUST_CHECK;

/* "unix:/run/x.sock", "tcp:127.0.0.1:6380", "tcp:[::1]:6380"; the port is the
 * one that fd is bound to. fd < 0: the port of o. */
void socket_name(const struct listen_opts *o, int fd, char *name, size_t size);

/* Removes the socket file if it is still `file`. */
void socket_unlink(const char *path, const struct stat *file);

#endif
