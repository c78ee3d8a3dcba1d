/* invalidate.h - requests that the store's walk answers (store/invalidate.h). */
#ifndef PANNIER_SERVER_INVALIDATE_H
#define PANNIER_SERVER_INVALIDATE_H

#include "server/call.h"

struct invalidation;

/* Starts it, for the keys that the call's session may touch, and owes the reply, which
 * `answer` writes. Takes inv. On failure the error reply is written. */
void invalidate_later(struct call *c, struct invalidation *inv,
    void (*answer)(struct reply *r, uint64_t keys));
/* All keys of the call's session, hard. Not within a transaction, which cannot wait. */
void invalidate_own(struct call *c, void (*answer)(struct reply *r, uint64_t keys));

#endif
