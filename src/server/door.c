#include "config.h"

#include "server/door.h"

#include "server/session.h"

/* In RESP2 a message cannot be told from a reply, so that a client that listens
 * may do little else. */
static bool
only_listens(const struct session *s)
{
	return s->wire == WIRE_RESP2 && pubsub_listens(&s->pubsub);
}

static bool
for_listeners(const struct command *cmd)
{
	switch (cmd->id) {
	case CMD_ID_subscribe:
	case CMD_ID_unsubscribe:
	case CMD_ID_psubscribe:
	case CMD_ID_punsubscribe:
	case CMD_ID_ssubscribe:
	case CMD_ID_sunsubscribe:
	case CMD_ID_ping:
	case CMD_ID_quit:
	case CMD_ID_reset:
		return true;
	default:
		return false;
	}
}

bool
door_admits(struct call *c)
{
	if (only_listens(c->session) && !for_listeners(c->cmd)) {
		reply_error(c->reply, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / "
		    "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
		    c->cmd->name);
		return false;
	}
	return true;
}

void
door_update(struct session *s)
{
	s->guarded = only_listens(s);
}
