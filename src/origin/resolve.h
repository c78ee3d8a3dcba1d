/* resolve.h - names of hosts looked up without a stop of the loop.
 *
 * Each look-up is a thread that calls getaddrinfo() and ends, so that names mean the
 * same as everywhere else on the machine (nsswitch.conf, hosts, search domains,
 * RFC 6724's order), and nothing is held in memory between two of them: libc-ares
 * knows neither nsswitch nor all of resolv.conf's options, and would be one more
 * library. A name server that stalls holds a thread, not the caller, who may leave
 * at any time. At most RESOLVE_THREADS_MAX are under way in the process.
 *
 * Belongs to the loop's thread. */
#ifndef PANNIER_ORIGIN_RESOLVE_H
#define PANNIER_ORIGIN_RESOLVE_H

#include <sys/socket.h>

#include "base/slice.h"
#include "net/loop.h"

#define RESOLVE_ADDRESSES_MAX 8
#define RESOLVE_THREADS_MAX 32

struct resolve_address {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct resolve_answer {
	struct resolve_address addresses[RESOLVE_ADDRESSES_MAX];
	unsigned n;
	const char *error; /* where n is 0: why, as in "Name or service not known" */
};

typedef void resolve_done(void *arg, const struct resolve_answer *a);

struct resolve;

/* A number is not looked up: false, or *a is it. */
bool resolve_number(struct slice host, unsigned port, struct resolve_address *a);
/* done() is called once, later, from the loop; *out is gone then. 0, -ENOMEM, -EINVAL
 * where the name is too long, or -EAGAIN: too many are under way, or no thread. */
int resolve_start(struct loop *l, struct slice host, unsigned port, resolve_done *done, void *arg,
    struct resolve **out) MUST_CHECK;
/* done() is not called. Never waits. */
void resolve_cancel(struct resolve *r);

#endif
