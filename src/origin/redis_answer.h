/* redis_answer.h - what error replies of Redis mean to who asked. Pure. */
#ifndef PANNIER_ORIGIN_REDIS_ANSWER_H
#define PANNIER_ORIGIN_REDIS_ANSWER_H

#include "origin/redis_reply.h"
#include "origin/transport.h"

enum redis_turn {
	REDIS_STAYS,  /* it is an answer */
	REDIS_MOVED,  /* the slot is elsewhere: *to says where */
	REDIS_ASK,    /* likewise, for this once */
	REDIS_LOST,   /* it is an answer, and the server is not what it was taken for */
};

/* Fills fault, repeatable, final and status; `text` (of the server `name`) becomes its
 * error. */
enum redis_turn redis_answer_of_error(const struct redis_reply *r, const char *name, char *text,
    size_t size, struct attempt_answer *out);
/* "MOVED 3999 127.0.0.1:6381", and ASK: slot, host and port; a host that is empty is
 * that of who says so. 0 or -EINVAL. */
int redis_parse_redirect(struct slice text, unsigned *slot, struct slice *host, unsigned *port)
    MUST_CHECK;

#endif
