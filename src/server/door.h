/* door.h - who comes in by a listener, and what a session may do, by the listener
 * that it came by and the state that it is in. Sessions of any protocol ask here;
 * nothing here knows a wire.
 *
 * A struct doors has the rules of all listeners: immutable, counted, exchanged as
 * a whole at a reload together with the routes that its namespaces are of. */
#ifndef PANNIER_SERVER_DOOR_H
#define PANNIER_SERVER_DOOR_H

#include "config/password.h"
#include "net/peer.h"
#include "server/call.h"

struct doors;

/* What a listener allows. */
struct door_policy {
	bool read_only; /* nothing that writes */
	bool no_admin;  /* what is dangerous is served by another listener */
	bool confined;  /* only keys of `own` are seen and touched */
	bool routes_writes; /* some keys are written at their origins too: routed.h */
	const uint32_t *uids, *gids; /* who may connect; none of both: anybody */
	unsigned n_uids, n_gids;
	struct password password;    /* text NULL: none is asked for */
	uint64_t own[CONFIG_NAMESPACES_MAX / 64]; /* by index in config.namespaces */
};

/* --- doors.c: all listeners ----------------------------------------------------- */

/* From cfg; listeners that it no longer has stay as they were in `before` (NULL: at
 * the start), since they go on until a restart. Reads passwords. 0 or -errno with
 * err set. */
int doors_new(const struct config *cfg, const struct doors *before, struct doors **out, char *err,
    size_t err_size) MUST_CHECK;
struct doors *doors_ref(struct doors *d);
void doors_unref(struct doors *d); /* NULL is fine */
/* Of listener i; behind the last one comes a policy that allows all. */
const struct door_policy *doors_policy(const struct doors *d, unsigned i);

/* Whether the client behind fd may connect. *who is filled where it is asked for. */
bool door_lets_in(const struct door_policy *policy, int fd, struct peer *who) MUST_CHECK;

/* --- door.c: a session ------------------------------------------------------------ */

/* Whether the session's next command runs; if not, the error is written. Asked
 * only where session.guarded is set. */
bool door_admits(struct call *c) MUST_CHECK;
/* After what the door looks at has changed, or something else that is looked at for
 * each request (a pause, CLIENT REPLY, NO-TOUCH): sets session.guarded and .stranger. */
void door_update(struct session *s);
/* The session is this one's from now on; whether the password is the right one. */
bool door_authenticate(struct session *s, struct slice user, struct slice password) MUST_CHECK;
/* As a new connection: whoever needs a password has not said it yet. */
void door_forget(struct session *s);

/* For confined sessions, and what has no keys among its arguments: all is theirs
 * where the session is not confined. */
bool door_owns_key(const struct session *s, struct slice key);
/* Whether all keys that begin so are the session's. */
bool door_owns_prefix(const struct session *s, struct slice prefix);
/* Whether the namespace of this number (of statistics) is. */
bool door_owns_stats(const struct session *s, unsigned stats_id);
/* How many keys are in the session's namespaces; it is confined. */
int64_t door_count_own(const struct session *s);

#endif
