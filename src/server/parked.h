/* parked.h - a reply that is owed; see call.h. Private to sessions, call.c and, to
 * look at, to CLIENT. */
#ifndef PANNIER_SERVER_PARKED_H
#define PANNIER_SERVER_PARKED_H

#include "server/session.h"

struct parked {
	struct list link; /* in session.parked */
	struct session *session;
	const struct command *cmd;
	bool done;
	bool gathers;      /* asks other loops, and waits for nobody else */
	bool unheard;      /* CLIENT REPLY: it goes nowhere */
	bool passed;       /* writes may pass it */
	bool ordered;      /* nothing may */
	struct out own;    /* the late reply itself */
	struct out behind; /* replies of requests that overtook it */
	struct reply reply;
	void (*on_drop)(struct parked *p, void *arg);
	void *arg;
};

/* The client is gone, and nobody is answered. */
void parked_drop_all(struct session *s);

#endif
