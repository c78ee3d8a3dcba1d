/* handover_wire.h - what two processes say to each other while one takes the place of
 * the other (doc/handover.md): messages with a type, a body and descriptors, over a
 * Unix stream socket. Calls wait, for as long as they are told. */
#ifndef PANNIER_SERVER_HANDOVER_WIRE_H
#define PANNIER_SERVER_HANDOVER_WIRE_H

#include "base/buf.h"
#include "base/util.h"

#define HANDOVER_PROTOCOL 1
#define HANDOVER_FDS 128 /* in one message */
#define HANDOVER_BODY_MAX (64u << 10)

enum handover_type {
	HANDOVER_HELLO = 1, /* new: protocol, layout, version, pid */
	HANDOVER_WELCOME,   /* old: the same, what there is; listeners, the arena */
	HANDOVER_REFUSED,   /* old: why */
	HANDOVER_READY,     /* new: all that can be done before is done */
	HANDOVER_STATE,     /* old: how many clients; a memfd with all the rest */
	HANDOVER_CLIENTS,   /* old: their sockets, in the order of that */
	HANDOVER_TAKEN,     /* new: sent, it is the new one's */
	HANDOVER_GIVEN_UP,  /* old: why */
};

struct handover_message {
	enum handover_type type;
	struct buf body;
	int fds[HANDOVER_FDS];
	unsigned n_fds;
};

/* 0; -EPIPE: the other one is gone; -ETIMEDOUT; -errno. */
int handover_send(int fd, enum handover_type type, struct slice body, const int *fds,
    unsigned n_fds, int64_t wait_ms) MUST_CHECK;
/* 0: *m is the caller's, handover_message_fini(); -ENODATA: the other one has closed;
 * -EPROTO: that is no message; -ETIMEDOUT; -ENOMEM; -errno. */
int handover_receive(int fd, struct handover_message *m, int64_t wait_ms) MUST_CHECK;
/* Closes descriptors that are still there; one that was taken is set to -1. */
void handover_message_fini(struct handover_message *m);
/* What these answers mean, for a message to people. */
const char *handover_error(int rc);

#endif
