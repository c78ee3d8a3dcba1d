/* handover_state.h - all that a successor gets beside descriptors, as one run of bytes.
 * While no loop runs, or all stand still; on any thread. */
#ifndef PANNIER_SERVER_HANDOVER_STATE_H
#define PANNIER_SERVER_HANDOVER_STATE_H

#include "base/buf.h"
#include "server/server.h"

/* A client pause, that the successor goes on with. */
struct handover_pause {
	enum pause_mode mode;
	int64_t end_ms;
};

/* Clients in the order in which their descriptors are to be sent: fds, of `most`. 0;
 * -ENOMEM; -EBUSY: something is under way or pinned still. */
int handover_state_pack(struct server *s, bool contents, const struct handover_pause *pause,
    struct buf *out, int *fds, unsigned most, unsigned *n_fds) MUST_CHECK;
/* Into a server of which no loop has begun. Takes all fds over, also on failure. 0 with
 * *n_lost: clients of listeners that are no more; -ENOMEM; -EINVAL: it is no such state. */
int handover_state_unpack(struct server *s, struct slice state, int *fds, unsigned n_fds,
    unsigned *n_lost) MUST_CHECK;

#endif
