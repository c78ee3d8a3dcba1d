/* metrics.h - what the daemon counts, as metrics; doc/metrics.md lists them. */
#ifndef PANNIER_SERVER_METRICS_H
#define PANNIER_SERVER_METRICS_H

#include "server/server.h"
#include "stats/metrics.h"

/* All of it, on loop 0. 0, or -ENOMEM with nothing in *out; the caller owes
 * buf_fini(out) where it is 0. Takes no lock that a request waits for longer than a
 * few hundred nanoseconds. */
int metrics_write(struct server *s, enum metrics_format format, struct buf *out) MUST_CHECK;

/* Part of it: what was timed. */
void time_metrics(struct metrics *m, struct server *s);

#endif
