/* large.h - replies that are made as a whole and are longer than a connection's
 * output may be: CLIENT LIST of thousands, KEYS of very many. One at a time for the
 * daemon, so that they are bounded together; it is sent from memory of its own. */
#ifndef PANNIER_SERVER_LARGE_H
#define PANNIER_SERVER_LARGE_H

#include "base/buf.h"
#include "proto/msg.h"

struct server;

/* Any thread. False: somebody else has it. */
bool large_take(struct server *s) MUST_CHECK;
/* The taker did not send anything after all. */
void large_give(struct server *s);
/* How many bytes such a reply may have. */
size_t large_max(struct server *s);
/* The bytes become part of the reply, as they are, and *bytes is empty. It is given
 * back when they are sent. False: no memory, and given back. */
bool large_send(struct server *s, struct reply *r, struct buf *bytes) MUST_CHECK;
/* The same as a verbatim string. */
bool large_send_verbatim(struct server *s, struct reply *r, struct buf *text) MUST_CHECK;

#endif
