/* session.h - a client: its connection, codec, name and open replies.
 * Belongs to one loop. Fields are the session's; handlers read them and set
 * the ones that are marked. */
#ifndef PANNIER_SERVER_SESSION_H
#define PANNIER_SERVER_SESSION_H

#include "base/htab.h"
#include "base/list.h"
#include "net/conn.h"
#include "proto/resp.h"
#include "server/call.h"
#include "server/pubsub.h"

struct door_policy;
struct monitor;
struct near_request;
struct tracker;

/* CLIENT REPLY. SKIP_NEXT: of the next request there will be none. */
enum reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct session {
	struct conn *conn;
	struct server_loop *sl;
	struct list link;        /* in server_loop.sessions, oldest first */
	uint64_t id;
	int64_t created_ms, last_ms; /* monotonic */
	const struct command *last_cmd;
	char *name;              /* set by CLIENT SETNAME; mem_free; NULL: none */
	char *lib_name, *lib_ver; /* set by CLIENT SETINFO */
	const char *addr;        /* of the listener, as CLIENT LIST shows it */
	const char *peer;
	enum wire wire;          /* set by HELLO, RESET; or WIRE_BINARY, for good */
	bool guarded;            /* by door_update(): door.h looks at each command */
	bool stranger;           /* likewise: a password is asked for first */
	bool authenticated;      /* by the door: it said a right one */
	bool no_touch;           /* set by CLIENT NO-TOUCH: reads are no uses */
	bool no_evict;           /* set by CLIENT NO-EVICT */
	bool held;               /* by a pause: counted as one that waits */
	enum reply_mode replies; /* set by CLIENT REPLY, RESET; then door_update() */
	bool closing;            /* set by QUIT: close when all is answered */
	struct resp_parser parser;
	struct store_holder holder; /* of leases */
	struct pubsub_client pubsub;
	struct tracker *tracker; /* of tracking.h's; NULL: it never tracked */
	struct htab_node id_node; /* of tracking.h's, with `known` */
	bool known;
	struct monitor *monitor; /* of monitor.h's; NULL: it does not watch */
	struct transaction *tx;  /* NULL: nothing is queued or watched */
	unsigned listener;       /* its number, of server.listeners */
	const struct door_policy *policy; /* that listener's, of sl->doors */
	struct near_request *near; /* what on_ahead() found; NULL: nothing */
	struct list parked;      /* replies owed, oldest first */
	unsigned n_parked;
	unsigned n_passed;       /* of those, which let writes pass */
	unsigned n_ordered;      /* of those, which let nothing pass */
	bool stalled;            /* a request waits until all parked are done */
	bool pipelines;          /* the last batch was of more than one request */
	bool cut;                /* the batch was not served to its end */
	const char *broken;      /* binary: last words, once nothing is owed; or NULL */
};

/* For the listener: a new descriptor, handed to this loop. Owns fd. */
void session_new(struct server_loop *sl, int fd, const char *listener_name);
/* Who may not write cannot load a key, and must not keep others from it: NULL. */
struct store_holder *session_lease_holder(struct session *s);
/* When the client last sent, read or was answered; monotonic. */
int64_t session_active_ms(const struct session *s);
/* Runs the handler, and counts. For EXEC, which has calls of its own. */
void session_run(struct call *c);
/* Where the next reply belongs: behind the last one that is owed. */
struct out *session_out(struct session *s);
/* For messages that are no replies, to be appended to conn_out(). False: none any
 * more. Who does not read is closed here already (when the turn ends), lest a run of
 * messages in one turn pile up: what is sent by reference counts here too. */
bool session_may_push(struct session *s) MUST_CHECK;
/* The pause is over: goes on where it was held. */
void session_unhold(struct session *s);
/* Answers what is owed, then closes. */
void session_drain(struct session *s);

#endif
