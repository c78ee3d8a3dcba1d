/* notify.h - tells the service manager how it stands: the protocol of
 * sd_notify(3), datagrams of VARIABLE=VALUE lines to $NOTIFY_SOCKET, without
 * libsystemd.
 *
 * Any thread may tell. What cannot be told is given up: nobody waits for the
 * manager. */
#ifndef PANNIER_SERVER_NOTIFY_H
#define PANNIER_SERVER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"

struct notify {
	int fd; /* -1: there is no manager */
	struct sockaddr_un to;
	socklen_t len;
	int64_t watchdog_ms; /* how often it wants to hear that we live; 0: never */
};

/* From the values of NOTIFY_SOCKET ("/run/x" or "@abstract"), WATCHDOG_USEC and
 * WATCHDOG_PID, each NULL where unset. A socket that cannot be told to is warned of. */
void notify_init(struct notify *n, const char *socket, const char *watchdog_usec,
    const char *watchdog_pid);
void notify_fini(struct notify *n);
/* One datagram: lines, "\n" between them. */
void notify_tell(const struct notify *n, const char *fmt, ...) PRINTF(2, 3);
/* RELOADING=1, with the time that Type=notify-reload asks for. */
void notify_reloading(const struct notify *n);

#endif
