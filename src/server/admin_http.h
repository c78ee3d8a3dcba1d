/* admin_http.h - the daemon seen over HTTP, for Prometheus, Kubernetes and people:
 *
 *   /metrics     all counters, in Prometheus' text format or, by Accept, OpenMetrics
 *   /stats.json  the same as JSON, with percentiles
 *   /healthz     200 as long as the loop turns; never depends on origins
 *   /readyz      200 while clients are served, 503 while starting and draining
 *   /            to browsers the page for people, to others a list of these
 *
 * libmicrohttpd without a thread of its own: its descriptors are watched by loop 0,
 * where all of this runs. It reads and answers GET and HEAD alone. No key and no
 * client is ever named. */
#ifndef PANNIER_SERVER_ADMIN_HTTP_H
#define PANNIER_SERVER_ADMIN_HTTP_H

#include "server/server.h"

struct admin_http;

/* Listens on the configuration's admin_http, "tcp:127.0.0.1:9464" or "unix:/path"; *out
 * is NULL where it is unset. 0, or -errno with a sentence in err. */
int admin_http_new(struct server *s, struct admin_http **out, char *err, size_t err_size)
    MUST_CHECK;
/* From now on loop 0 serves it. */
void admin_http_start(struct admin_http *a); /* NULL is fine */
void admin_http_free(struct admin_http *a);  /* likewise; with the loops stopped */
/* Another process has its socket from now on. */
void admin_http_leave(struct admin_http *a); /* NULL is fine */
int admin_http_fd(const struct admin_http *a); /* that it listens on; -1: none */
bool admin_http_is_kept(const struct admin_http *a);
/* "tcp:127.0.0.1:9464" with the port really taken; NULL where there is none. */
const char *admin_http_name(const struct admin_http *a);

#endif
