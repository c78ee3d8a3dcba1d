/* transaction.h - MULTI, WATCH: what a session has queued and watches. The
 * session's, made at the first MULTI or WATCH and freed with the last. */
#ifndef PANNIER_SERVER_TRANSACTION_H
#define PANNIER_SERVER_TRANSACTION_H

#include "base/pack.h"
#include "server/call.h"

struct transaction;

/* For the session, before it runs a call while it has a transaction. True: the
 * call was queued, or refused; the reply is written. */
bool transaction_take(struct call *c);
/* A request that could not be understood: EXEC will be refused. */
void transaction_spoil(struct session *s);
/* Forgets all, when the session is reset or ends. */
void transaction_drop(struct session *s);
/* Commands queued; -1: not in a transaction. */
int transaction_queued(const struct session *s);
/* Bytes of what is queued. */
size_t transaction_bytes(const struct session *s);
/* Whether something is queued that a pause of writes is about. */
bool transaction_writes(const struct session *s);
/* EXEC itself came with arguments; writes the reply. */
void transaction_refuse_exec(struct call *c);

/* To another process. Keys that have been touched since they were
 * watched stay so. */
void transaction_pack(const struct session *s, struct packer *p);
/* Into a new session. 0; -ENOMEM; -EINVAL: that is no such description. */
int transaction_unpack(struct session *s, struct unpacker *u) MUST_CHECK;

#endif
