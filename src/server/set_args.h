/* set_args.h - SET, SETEX and PSETEX, read without being carried out. */
#ifndef PANNIER_SERVER_SET_ARGS_H
#define PANNIER_SERVER_SET_ARGS_H

#include "server/call.h"

enum set_kind {
	SET_IS_PLAIN,       /* a value and maybe a time */
	SET_IS_CONDITIONAL, /* or depends on what is there: NX, XX, GET, KEEPTTL, IFEQ, LEASE */
	SET_IS_WRONG,       /* the error reply is written */
};

struct set_plain {
	struct slice value; /* the caller's bytes */
	int64_t expires_ms; /* may have passed; CACHE_NEVER: not said */
};

enum set_kind set_plain_parse(struct call *c, struct set_plain *out) MUST_CHECK;

#endif
