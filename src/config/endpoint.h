/* endpoint.h - where an origin listens, as the configuration writes it:
 * http://host[:port][/base], https://..., http+unix:///path/of/socket; of Redis
 * redis://host[:port], rediss://..., redis+unix:///path. Pure; any thread. */
#ifndef PANNIER_CONFIG_ENDPOINT_H
#define PANNIER_CONFIG_ENDPOINT_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/util.h"

enum endpoint_kind {
	ENDPOINT_HTTP, ENDPOINT_HTTPS, ENDPOINT_HTTP_UNIX,
	ENDPOINT_REDIS, ENDPOINT_REDISS, ENDPOINT_REDIS_UNIX,
};

#define ENDPOINT_REDIS_PORT 6379

/* Slices of the text it was parsed from. */
struct endpoint {
	enum endpoint_kind kind;
	struct slice authority; /* "host:port" as it was written; "" of unix */
	struct slice host;      /* of it, an IPv6 address in its [] */
	unsigned port;          /* likewise; 0: it says none; of Redis always one */
	struct slice path;      /* what goes before the namespace's path,
	                         * without a / at its end; unix: the socket */
	bool is_name;           /* the host must be looked up in the DNS */
};

/* NULL: good. Else what is wrong and what would be right, as part of a
 * sentence; static text, *out is then undefined. */
const char *endpoint_parse(struct slice text, struct endpoint *out) MUST_CHECK;
/* Likewise, of a Redis server. */
const char *endpoint_parse_redis(struct slice text, struct endpoint *out) MUST_CHECK;

#endif
