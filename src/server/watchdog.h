/* watchdog.h - tells the service manager that the daemon lives (WatchdogSec=
 * of systemd): a beat goes through every loop, and only when it has come
 * through all of them is the manager told. So a loop that is stuck is found,
 * and not only a process that is gone. Loop 0's. */
#ifndef PANNIER_SERVER_WATCHDOG_H
#define PANNIER_SERVER_WATCHDOG_H

#include <stdatomic.h>

#include "net/loop.h"

struct server;

struct watchdog {
	struct timer timer;
	_Atomic(unsigned) beating; /* loops that have yet to answer */
	bool started;
};

/* Does nothing where the manager wants to hear nothing. */
void watchdog_start(struct server *s);
void watchdog_stop(struct server *s);

#endif
