/* redis_lease.h - leases and fills in a shared tier: one client of many may fetch a key
 * that all of them want (doc/near.md). The lease is a key of its own that lives for a
 * short time, set with NX; its value is the token of who has it.
 *
 * Pure. */
#ifndef PANNIER_ORIGIN_REDIS_LEASE_H
#define PANNIER_ORIGIN_REDIS_LEASE_H

#include "base/buf.h"
#include "origin/origin.h"

/* What the lease of a server's key is called: in the slot of that key. 0; -EINVAL: no name
 * that a Cluster would put there; -ENOMEM. */
int redis_lease_name(struct slice server_key, bool cluster, struct buf *name) MUST_CHECK;

/* The request of ORIGIN_ACQUIRE, ORIGIN_FILL and ORIGIN_RELEASE. */
#define REDIS_LEASE_ARGS 8
struct redis_lease_request {
	struct slice argv[REDIS_LEASE_ARGS];
	uint32_t argc;
	char ms[24];
};
/* Slices of what is given and of *out. `lease` may be empty for a fill without a token. */
void redis_lease_request(const struct origin_request *rq, struct slice server_key,
    struct slice lease, struct redis_lease_request *out);

#endif
