/* expiry.h - expire times as clients write them, made monotonic. */
#ifndef PANNIER_SERVER_EXPIRY_H
#define PANNIER_SERVER_EXPIRY_H

#include "server/call.h"

enum expiry_form {
	EXPIRY_MS = 0,
	EXPIRY_SECONDS = 1 << 0,
	EXPIRY_ABSOLUTE = 1 << 1, /* Unix time, else from now */
	EXPIRY_SIGNED = 1 << 2,   /* of EXPIRE: zero and negative times are fine */
};

enum expiry_status {
	EXPIRY_GOOD,
	EXPIRY_NOT_INTEGER,
	EXPIRY_OUT_OF_RANGE, /* not positive, or no Unix time of 64 bits in ms */
};

/* *expires_ms is never CACHE_NEVER; a time that has passed is not later than
 * c->now_ms. Writes no reply. */
enum expiry_status expiry_parse(const struct call *c, struct slice text, unsigned form,
    int64_t *expires_ms) MUST_CHECK;
/* The error reply for what is not good. */
void expiry_refuse(struct call *c, enum expiry_status why);

#endif
