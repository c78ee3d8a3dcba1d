/* What is about the connection itself, but for CLIENT (cmd_client.c). */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <limits.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/client_name.h"
#include "server/door.h"
#include "server/help.h"
#include "server/monitor.h"
#include "server/server.h"
#include "server/session.h"
#include "server/tracking.h"
#include "server/transaction.h"

/* What reads messages can read it too. */
static void
pong_as_message(struct call *c)
{
	reply_array(c->reply, 2);
	reply_bulk_str(c->reply, "pong");
	reply_bulk(c->reply, c->argc == 2 ? c->argv[1] : SLICE(""));
}

void
cmd_ping(struct call *c)
{
	if (c->argc > 2)
		call_wrong_args(c);
	else if (c->session->wire == WIRE_RESP2 && pubsub_listens(&c->session->pubsub))
		pong_as_message(c);
	else if (c->argc == 2)
		reply_bulk(c->reply, c->argv[1]);
	else
		reply_status(c->reply, "PONG");
}

void
cmd_echo(struct call *c)
{
	reply_bulk(c->reply, c->argv[1]);
}

void
cmd_quit(struct call *c)
{
	c->session->closing = true;
	reply_ok(c->reply);
}

static void
set_wire(struct call *c, enum wire wire)
{
	c->session->wire = wire;
	c->reply->wire = wire;
	door_update(c->session);
}

void
cmd_reset(struct call *c)
{
	mem_free(c->session->name);
	c->session->name = NULL;
	pubsub_client_gone(c->session);
	transaction_drop(c->session);
	tracking_reset(c->session);
	monitor_end(c->session);
	c->session->replies = REPLY_ON;
	c->session->no_touch = false;
	set_wire(c, WIRE_RESP2);
	door_forget(c->session);
	reply_status(c->reply, "RESET");
}

/* There is one database, number 0. */
bool
call_database(struct call *c, struct slice index)
{
	int64_t n;

	if (parse_i64(index, &n) != 0)
		call_not_integer(c);
	else if (n < INT_MIN || n > INT_MAX)
		reply_error(c->reply, "ERR value is out of range, value must between %d and %d",
		    INT_MIN, INT_MAX);
	else if (n != 0)
		reply_error(c->reply, "ERR DB index is out of range");
	else
		return true;
	return false;
}

void
cmd_select(struct call *c)
{
	if (call_database(c, c->argv[1]))
		reply_ok(c->reply);
}

/* --- AUTH ------------------------------------------------------------------- */

#define WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

void
cmd_auth(struct call *c)
{
	struct slice user = c->argc == 3 ? c->argv[1] : SLICE("default");

	if (c->argc > 3)
		call_syntax_error(c);
	else if (c->argc == 2 && c->session->policy->password.text == NULL)
		reply_error(c->reply, "ERR AUTH <password> called without any password configured "
		    "for the default user. Are you sure your configuration is correct?");
	else if (!door_authenticate(c->session, user, c->argv[c->argc - 1]))
		reply_error(c->reply, WRONG_PASSWORD);
	else
		reply_ok(c->reply);
}

void
cmd_acl_whoami(struct call *c)
{
	reply_bulk_str(c->reply, "default");
}

void
cmd_acl_help(struct call *c)
{
	static const char *const lines[] = {
		"WHOAMI",
		"    Return the current connection username.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}

/* --- HELLO ------------------------------------------------------------------ */

/* Each answers false where the error reply is written. */

static bool
hello_proto(struct call *c, int64_t *proto)
{
	if (parse_i64(c->argv[1], proto) != 0)
		reply_error(c->reply, "ERR Protocol version is not an integer or out of range");
	else if (*proto < 2 || *proto > 3)
		reply_error(c->reply, "NOPROTO unsupported protocol version");
	else
		return true;
	return false;
}

static bool
hello_auth(struct call *c, struct slice user, struct slice password)
{
	if (door_authenticate(c->session, user, password))
		return true;
	reply_error(c->reply, WRONG_PASSWORD);
	return false;
}

static bool
hello_setname(struct call *c, struct slice name)
{
	if (!client_name_valid(name))
		reply_error(c->reply, "ERR " CLIENT_NAME_INVALID, "Client names");
	else if (client_name_set(&c->session->name, name) != 0)
		call_put_failed(c, -ENOMEM);
	else
		return true;
	return false;
}

/* One after another, as in Redis: what comes before a bad one has happened. */
static bool
hello_options(struct call *c)
{
	for (uint32_t i = 2; i < c->argc; i++) {
		uint32_t more = c->argc - 1 - i;

		if (slice_caseeq(c->argv[i], SLICE("auth")) && more >= 2) {
			if (!hello_auth(c, c->argv[i + 1], c->argv[i + 2]))
				return false;
			i += 2;
		} else if (slice_caseeq(c->argv[i], SLICE("setname")) && more >= 1) {
			if (!hello_setname(c, c->argv[++i]))
				return false;
		} else {
			reply_error(c->reply, "ERR Syntax error in HELLO option '%.*s'",
			    (int)MIN(c->argv[i].len, 512), c->argv[i].ptr);
			return false;
		}
	}
	if (c->session->stranger)
		reply_error(c->reply, "NOAUTH HELLO must be called with the client already "
		    "authenticated, otherwise the HELLO AUTH <user> <pass> option can be used "
		    "to authenticate the client and select the RESP protocol version at the "
		    "same time");
	return !c->session->stranger;
}

static void
hello_reply(struct call *c)
{
	struct reply *r = c->reply;
	char version[REDIS_VERSION_MAX];

	server_redis_version(c->session->sl, version);
	reply_map(r, 7);
	reply_bulk_str(r, "server");
	reply_bulk_str(r, "redis");
	reply_bulk_str(r, "version");
	reply_bulk_str(r, version);
	reply_bulk_str(r, "proto");
	reply_int(r, r->wire == WIRE_RESP3 ? 3 : 2);
	reply_bulk_str(r, "id");
	reply_int(r, (int64_t)c->session->id);
	reply_bulk_str(r, "mode");
	reply_bulk_str(r, "standalone");
	reply_bulk_str(r, "role");
	reply_bulk_str(r, "master");
	reply_bulk_str(r, "modules");
	reply_array(r, 0);
}

void
cmd_hello(struct call *c)
{
	int64_t proto = 0; /* as it is */

	if ((c->argc >= 2 && !hello_proto(c, &proto)) || !hello_options(c))
		return;
	if (proto != 0)
		set_wire(c, proto == 3 ? WIRE_RESP3 : WIRE_RESP2);
	hello_reply(c);
}
