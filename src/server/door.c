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

/* The list of admin: in src/config/listen.def. */
static bool
for_admins(const struct command *cmd)
{
	static const char *const names[] = {
		"config", "debug", "flushall", "flushdb", "client|kill", "client|pause",
	};

	if (!(cmd->flags & (CMD_ADMIN | CMD_ACL_DANGEROUS)))
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(cmd->name, names[i]) == 0 ||
		    strcmp(command_table[cmd->parent].name, names[i]) == 0)
			return true;
	return false;
}

bool
door_admits(struct call *c)
{
	const struct door_policy *policy = c->session->policy;

	if (policy->no_admin && for_admins(c->cmd)) {
		reply_error(c->reply, "NOPERM this command is only served on an admin socket");
		return false;
	}
	if (policy->read_only && (c->cmd->flags & CMD_WRITE)) {
		reply_error(c->reply, "READONLY You can't write against a read only replica.");
		return false;
	}
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
	s->guarded = s->policy->read_only || s->policy->no_admin || only_listens(s);
}
