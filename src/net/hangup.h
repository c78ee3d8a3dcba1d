/* hangup.h - tells when the peers of sockets are gone that nobody reads.
 *
 * libev offers "readable", which a socket with unread input is all the time,
 * and nothing less. So a second epoll descriptor, nested in the loop's, holds
 * those sockets with no events asked for: the kernel then reports only that
 * both directions are closed, or an error. Costs nothing while nothing is in
 * it. Belongs to one loop.
 *
 * A Unix socket reports a peer's close() at once. Over TCP a peer's close()
 * cannot be told from its being done with sending; only a reset is seen. */
#ifndef PANNIER_NET_HANGUP_H
#define PANNIER_NET_HANGUP_H

#include "net/loop.h"

struct hangup {
	struct watch watch;
	void (*gone)(void *arg);
};

/* 0 or -errno. */
int hangup_init(struct hangup *h, struct loop *l, void (*gone)(void *arg)) MUST_CHECK;
void hangup_fini(struct hangup *h);
/* gone(arg) is called again in each turn until hangup_del(). arg must be good
 * until the end of the turn of the del. */
int hangup_add(struct hangup *h, int fd, void *arg) MUST_CHECK;
void hangup_del(struct hangup *h, int fd);

#endif
