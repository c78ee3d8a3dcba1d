/* door.h - what a session may not do, by the state that it is in. */
#ifndef PANNIER_SERVER_DOOR_H
#define PANNIER_SERVER_DOOR_H

#include "server/call.h"

/* What a listener allows, from start to end. */
struct door_policy {
	bool read_only; /* nothing that writes */
	bool no_admin;  /* what is dangerous is served by another listener */
};

/* Whether the session's next command runs; if not, the error is written. Asked
 * only where session.guarded is set. */
bool door_admits(struct call *c) MUST_CHECK;
/* After what the door looks at has changed: sets session.guarded. */
void door_update(struct session *s);

#endif
