/* SLOWLOG: commands that took long. timing.h says how they are found. */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/help.h"
#include "server/server.h"

#define COUNT_DEFAULT 10

/* Entries of the log, as many as argv[2] says. */
static void
reply_entries(struct call *c, struct slowlog *l, bool causes)
{
	int64_t n = COUNT_DEFAULT;

	if (c->argc == 3 && (parse_i64(c->argv[2], &n) != 0 || n < -1)) {
		reply_error(c->reply, "ERR count should be greater than or equal to -1");
		return;
	}
	slowlog_reply(l, n < 0 ? SIZE_MAX : (size_t)n, call_reply_max(c), causes, c->reply);
}

void
cmd_slowlog_get(struct call *c)
{
	if (c->argc > 3)
		call_wrong_subcommand_args(c);
	else
		reply_entries(c, &c->sl->server->slowlog, false);
}

void
cmd_pannier_slowlog(struct call *c)
{
	struct server *s = c->sl->server;

	if (c->argc <= 3 && slice_caseeq(c->argv[1], SLICE("commands")))
		reply_entries(c, &s->slowlog, true);
	else if (c->argc <= 3 && slice_caseeq(c->argv[1], SLICE("waits")))
		reply_entries(c, &s->slow_waits, true);
	else
		call_syntax_error(c);
}

void
cmd_slowlog_len(struct call *c)
{
	reply_int(c->reply, (int64_t)slowlog_len(&c->sl->server->slowlog));
}

void
cmd_slowlog_reset(struct call *c)
{
	slowlog_reset(&c->sl->server->slowlog);
	slowlog_reset(&c->sl->server->slow_waits);
	reply_ok(c->reply);
}

void
cmd_slowlog_help(struct call *c)
{
	static const char *const lines[] = {
		"GET [<count>]",
		"    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:",
		"    id, timestamp, time in microseconds, arguments array, client IP and port,",
		"    client name",
		"LEN",
		"    Return the length of the slowlog.",
		"RESET",
		"    Reset the slowlog.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
