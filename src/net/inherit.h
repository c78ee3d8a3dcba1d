/* inherit.h - listening sockets that this process was given instead of binding
 * them: by systemd (socket activation, sd_listen_fds(3)), or by the process
 * whose place it takes.
 *
 * One table for the process, as descriptors are the process's. socket_listen()
 * asks it first, so whoever listens on an address gets the socket that is
 * bound to it. For the start, on one thread. */
#ifndef PANNIER_NET_INHERIT_H
#define PANNIER_NET_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"
#include "net/listener.h"

#define INHERIT_MAX 64
#define INHERIT_NAME_MAX 160

/* What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, each NULL where unset; the
 * descriptors begin with 3. How many are taken, 0 where they are not meant for
 * this process; -EINVAL with err where one is no listening stream socket, on
 * a path or TCP. All become non-blocking and close-on-exec. */
int inherit_from_systemd(const char *pid, const char *fds, const char *names, char *err,
    size_t err_size) MUST_CHECK;
/* Takes over a listening socket; its file is ours from now on, unless `kept`:
 * then somebody else keeps it open and uses it after us. 0; -EINVAL (the
 * descriptor stays the caller's). */
int inherit_add(int fd, bool kept, char *err, size_t err_size) MUST_CHECK;
/* The socket that is bound to this address: a descriptor, the caller's now, or
 * -ENOENT. A path is the same where it names the same file. */
int inherit_take(const struct listen_opts *o, bool *kept) MUST_CHECK;
/* While another process still has them all, and may go on with them: whoever has taken one
 * neither shuts it down nor removes its file. */
void inherit_lend(bool on);
bool inherit_is_lent(void);
/* Those that nobody has taken: "unix:/run/x.sock", as in the configuration. */
unsigned inherit_count(void);
const char *inherit_name(unsigned i);
bool inherit_is_kept(unsigned i);
bool inherit_is_at(unsigned i, const struct listen_opts *o);
/* Closes those. */
void inherit_close(void);
/* Likewise, and removes the files of those that nobody else keeps. */
void inherit_discard(void);

#endif
