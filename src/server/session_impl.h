/* session_impl.h - what session.c and binary_session.c share, and nobody else:
 * two ways to read requests, one session. */
#ifndef PANNIER_SERVER_SESSION_IMPL_H
#define PANNIER_SERVER_SESSION_IMPL_H

#include "server/parked.h"

/* Output below is never too much, so that nobody need look. */
#define OUT_LOOK_BYTES 4096

/* Of a RESP connection, once that is known. */
extern const struct conn_handler session_handler;
/* A client, on the loop's thread or before that runs. Owns fd, and counts it as gone where
 * there is no memory: then NULL. id 0: the next one. */
struct session *session_make(struct server_loop *sl, int fd, const char *listener_name,
    uint64_t id);
/* cmd NULL: of no command. */
void session_count_error(struct server_loop *sl, const struct command *cmd, const struct reply *r);
/* The connection is gone: on_end() of either protocol. */
void session_gone(struct conn *conn, enum conn_end why);
/* Closes, where that was decided and nothing is owed any more. */
void session_finish_if_due(struct session *s);
/* A pause keeps it from running cmd, until session_unhold(). */
void session_hold(struct session *s, const struct command *cmd);
/* What stays the same for all of a batch. The rest is set for each request, and
 * is not worth clearing for the one that most batches have. */
static inline void
session_call_init(struct call *c, struct session *s, struct reply *reply)
{
	c->reply = reply;
	c->now_ms = s->last_ms;
	c->store = s->sl->store;
	c->session = s;
	c->sl = s->sl;
}
/* What was owed goes to the connection's output, and p is gone. */
void parked_leave(struct parked *p);

/* binary_session.c. The client's first byte was BINARY_MAGIC. */
void binary_session_begin(struct session *s);
/* Its preface is behind it. */
void binary_session_go_on(struct session *s);
bool binary_session_began(const struct session *s, bool *greeted);
/* A reply of such a session is done. */
void binary_parked_done(struct parked *p);

#endif
