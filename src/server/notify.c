#include "config.h"

#include "server/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* Told three times in the time that the manager waits: two may come late. */
#define WATCHDOG_TIMES 3

static bool
take_address(struct notify *n, const char *text)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof n->to.sun_path)
		return false;
	n->to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(n->to.sun_path, text, len);
	if (text[0] == '@')
		n->to.sun_path[0] = '\0'; /* its name has no end but that of the address */
	n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return true;
}

static int64_t
watchdog_ms(const char *usec, const char *pid)
{
	unsigned long long us = usec != NULL ? strtoull(usec, NULL, 10) : 0;

	if (pid != NULL && strtoul(pid, NULL, 10) != (unsigned long)getpid())
		return 0;
	if (us == 0 || us > INT64_MAX)
		return 0;
	return MAX((int64_t)us / 1000 / WATCHDOG_TIMES, 1);
}

void
notify_init(struct notify *n, const char *socket_name, const char *watchdog_usec,
    const char *watchdog_pid)
{
	*n = (struct notify){ .fd = -1 };
	if (socket_name == NULL || socket_name[0] == '\0')
		return;
	if (!take_address(n, socket_name)) {
		log_warn("NOTIFY_SOCKET is \"%.120s\"; only a path and @abstract names are "
		    "understood, so the service manager is told nothing", socket_name);
		return;
	}
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0) {
		log_warn("NOTIFY_SOCKET: %s; the service manager is told nothing", strerror(errno));
		return;
	}
	n->watchdog_ms = watchdog_ms(watchdog_usec, watchdog_pid);
}

void
notify_fini(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static struct log_gate failed_gate;

void
notify_tell(const struct notify *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int len;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if (sendto(n->fd, text, MIN((size_t)len, sizeof text - 1), MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->len) < 0)
		log_limited(&failed_gate, LOG_LEVEL_WARN,
		    "the service manager could not be told \"%.40s\": %s", text, strerror(errno));
}

void
notify_reloading(const struct notify *n)
{
	notify_tell(n, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
}
