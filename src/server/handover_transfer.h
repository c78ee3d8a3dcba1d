/* handover_transfer.h - the moment of a hand-over: while all loops stand still, everything
 * is told to the successor, and its word is waited for. */
#ifndef PANNIER_SERVER_HANDOVER_TRANSFER_H
#define PANNIER_SERVER_HANDOVER_TRANSFER_H

#include "server/handover_state.h"

struct handover_offer {
	bool contents;
	int64_t until_ms;            /* monotonic: how long it is waited for */
	struct handover_pause pause; /* that clients had asked for */
};

/* 0: everything is the successor's, and nothing of it may be touched any more. Else it is
 * not, and never can be: -EBUSY: something is under way or pinned; or why not. */
int handover_transfer(struct server *s, int to, const struct handover_offer *o,
    unsigned *n_clients) MUST_CHECK;

#endif
