/* walk.h - walks over all keys, for who sees only some of them. */
#ifndef PANNIER_SERVER_WALK_H
#define PANNIER_SERVER_WALK_H

#include "server/call.h"

/* Removes the keys of the call's session. False: the error reply is written. */
bool walk_delete_own(struct call *c) MUST_CHECK;

#endif
