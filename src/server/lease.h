/* lease.h - tokens of leases as clients write them. */
#ifndef PANNIER_SERVER_LEASE_H
#define PANNIER_SERVER_LEASE_H

#include "base/slice.h"

/* 0, which is no lease's: it is no token. */
uint64_t lease_token_parse(struct slice text);

#endif
