/* endpoint.h - where an origin listens, as the configuration writes it:
 * http://host[:port][/base], https://..., http+unix:///path/of/socket. Pure;
 * any thread. */
#ifndef PANNIER_CONFIG_ENDPOINT_H
#define PANNIER_CONFIG_ENDPOINT_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/util.h"

enum endpoint_kind { ENDPOINT_HTTP, ENDPOINT_HTTPS, ENDPOINT_HTTP_UNIX };

/* Slices of the text it was parsed from. */
struct endpoint {
	enum endpoint_kind kind;
	struct slice authority; /* "host:port" as it was written; "" of unix */
	struct slice path;      /* what goes before the namespace's path,
	                         * without a / at its end; unix: the socket */
	bool is_name;           /* the host must be looked up in the DNS */
};

/* NULL: good. Else what is wrong and what would be right, as part of a
 * sentence; static text, *out is then undefined. */
const char *endpoint_parse(struct slice text, struct endpoint *out) MUST_CHECK;

#endif
