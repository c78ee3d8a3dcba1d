/* redis_ask.h - one question to one server after the other, until one has an answer: how
 * a map learns who the servers are. A server that stays silent costs half a second. */
#ifndef PANNIER_ORIGIN_REDIS_ASK_H
#define PANNIER_ORIGIN_REDIS_ASK_H

#include "origin/redis_node.h"

struct redis_ask {
	struct redis_call call;
	struct timer timer;
	struct redis_node *node; /* who is asked; NULL: nobody */
	/* r NULL, or an error: no answer, and `why` is one line. */
	void (*answer)(struct redis_ask *k, const struct redis_reply *r, const char *why);
};

void redis_ask_init(struct redis_ask *k, struct loop *l,
    void (*answer)(struct redis_ask *, const struct redis_reply *, const char *));
/* answer() is called once, later. 0, or -ENOTCONN: there is no connection to it now, and
 * node->error says why. Not while another one is asked. */
int redis_ask_node(struct redis_ask *k, struct redis_node *n, const struct slice *argv,
    uint32_t argc) MUST_CHECK;
/* answer() is not called. */
void redis_ask_stop(struct redis_ask *k);

#endif
