/* waits.h - reads that waited long, for an origin or another client's lease: kept for
 * PANNIER.SLOWLOG WAITS and for LATENCY. (SLOWLOG has what commands took themselves.) */
#ifndef PANNIER_SERVER_WAITS_H
#define PANNIER_SERVER_WAITS_H

#include "base/slice.h"

struct parked;
struct store_waiter;

/* Within done() of the waiter, before anything else. key.len 0: one of several keys. */
void waits_add(const struct parked *p, const struct store_waiter *w, struct slice key);

#endif
