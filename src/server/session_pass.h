/* session_pass.h - a client's connection goes to another process: what there is of it
 * beside its socket. While no loop runs, on any thread. */
#ifndef PANNIER_SERVER_SESSION_PASS_H
#define PANNIER_SERVER_SESSION_PASS_H

#include "base/pack.h"
#include "server/session.h"

/* Nothing is owed to it: it may be passed. */
bool session_may_pass(const struct session *s);
/* 0, or -ENOMEM with the session as it was. */
int session_pack(struct session *s, struct packer *p) MUST_CHECK;
/* Makes it anew on sl, owns fd. 0; 1: there is no such listener here, it was closed;
 * -ENOMEM; -EINVAL: that is no such description. */
int session_unpack(struct server_loop *sl, int fd, struct unpacker *u) MUST_CHECK;

#endif
