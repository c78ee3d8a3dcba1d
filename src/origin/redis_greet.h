/* redis_greet.h - what is said first on a connection to a Redis server: who we are,
 * which database, and whether it is the node that is wanted. One step after the other,
 * as each depends on the answers before. Does no I/O. */
#ifndef PANNIER_ORIGIN_REDIS_GREET_H
#define PANNIER_ORIGIN_REDIS_GREET_H

#include "origin/redis_conn.h"

struct redis_greet {
	const struct redis_conn_opts *opts;
	const char *server; /* for messages */
	struct buf out;     /* to be sent; it may hold a password, and is wiped */
	enum { GREET_HELLO, GREET_AUTH, GREET_NAME, GREET_DATABASE, GREET_READ_ONLY, GREET_ROLE,
		GREET_OVER } step;
	bool waits;         /* for an answer */
	bool resp3;
};

void redis_greet_init(struct redis_greet *g, const struct redis_conn_opts *o, const char *server);
void redis_greet_fini(struct redis_greet *g);

/* 1: `out` has something to send, and an answer will come; 0: all is said;
 * -ENOMEM. */
int redis_greet_begin(struct redis_greet *g) MUST_CHECK;
/* The answer. As above; or -EPROTO: the server does not want us, or is another one
 * than was looked for, and err says so. */
int redis_greet_reply(struct redis_greet *g, const struct redis_reply *r, char *err,
    size_t err_size) MUST_CHECK;
bool redis_greet_waits(const struct redis_greet *g);

#endif
