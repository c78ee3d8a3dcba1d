/* backend.h - a slow HTTP backend inside the process, for `pannier demo` and
 * for tests: GET /users/42 is answered after some milliseconds with JSON that
 * depends on the path alone.
 *
 * It has threads of its own; all calls are thread-safe but for stop. */
#ifndef PANNIER_CLI_BACKEND_H
#define PANNIER_CLI_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct backend_opts {
	uint16_t port;        /* on 127.0.0.1; 0: any */
	unsigned latency_ms;  /* the median: most take half of it to one and a
	                       * half times, one in fifty four times; 0: none */
	unsigned value_bytes; /* of each body; smaller ones are not cut */
	unsigned fail_percent; /* so many of 100 are answered with 503 */
	int max_age_s;        /* in Cache-Control; negative: the field is left out */
	unsigned threads;     /* at least 1 */
};

struct backend;

/* A path whose last segment begins with "missing" is answered with 404. 0, or
 * -errno with err set. */
int backend_start(const struct backend_opts *o, struct backend **out, char *err, size_t err_size)
    MUST_CHECK;
/* Closes all connections, also those whose request still waits. */
void backend_stop(struct backend *b);
uint16_t backend_port(const struct backend *b);
/* Requests that came in. */
uint64_t backend_requests(const struct backend *b);
/* Most requests that were under way at once. */
uint64_t backend_peak(const struct backend *b);

/* The body for a path, as backend answers it; mem_free(). NULL: no memory. */
char *backend_body(const char *path, unsigned value_bytes, size_t *len);

#endif
