/* EVAL and its relatives, and SCRIPT: there is no Lua here. Scripts of lock libraries are
 * known by their text (scripts.def) and run natively. */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/help.h"
#include "server/script_run.h"
#include "server/server.h"

static struct scripts *
scripts_of(const struct call *c)
{
	return c->sl->server->scripts;
}

static void
refuse_unknown(struct call *c)
{
	reply_error(c->reply, "ERR unknown script: pannier has no Lua and runs, by their text, "
	    "only those of locks (compare and delete, compare and expire; redis-py, redlock, "
	    "redislock, redsync, pottery); see doc/compatibility.md");
}

/* False: the error reply is written. */
static bool
read_args(struct call *c, struct script_args *out)
{
	int64_t n;

	if (parse_i64(c->argv[2], &n) != 0)
		call_not_integer(c);
	else if (n > (int64_t)c->argc - 3)
		reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
	else if (n < 0)
		reply_error(c->reply, "ERR Number of keys can't be negative");
	else {
		out->keys = c->argv + 3;
		out->n_keys = (uint32_t)n;
		out->args = out->keys + n;
		out->n_args = c->argc - 3 - out->n_keys;
		return true;
	}
	return false;
}

static void
eval(struct call *c, bool read_only)
{
	struct script_args args = { .read_only = read_only };
	struct script script;

	if (!read_args(c, &args))
		return;
	if (scripts_load(scripts_of(c), c->argv[1], &script))
		script_run(c, &script, &args);
	else
		refuse_unknown(c);
}

static void
evalsha(struct call *c, bool read_only)
{
	struct script_args args = { .read_only = read_only };
	struct script script;

	if (c->argv[1].len == SHA1_HEX && !read_args(c, &args))
		return;
	if (scripts_find(scripts_of(c), c->argv[1], &script))
		script_run(c, &script, &args);
	else
		reply_error(c->reply, "NOSCRIPT No matching script. Please use EVAL.");
}

void
cmd_eval(struct call *c)
{
	eval(c, false);
}

void
cmd_eval_ro(struct call *c)
{
	eval(c, true);
}

void
cmd_evalsha(struct call *c)
{
	evalsha(c, false);
}

void
cmd_evalsha_ro(struct call *c)
{
	evalsha(c, true);
}

void
cmd_script_load(struct call *c)
{
	struct script script;
	char hex[SHA1_HEX + 1];

	if (!scripts_load(scripts_of(c), c->argv[2], &script)) {
		refuse_unknown(c);
		return;
	}
	sha1_hex(script.sha, hex);
	reply_bulk_str(c->reply, hex);
}

void
cmd_script_exists(struct call *c)
{
	struct script script;

	reply_array(c->reply, c->argc - 2);
	for (uint32_t i = 2; i < c->argc; i++)
		reply_int(c->reply, scripts_find(scripts_of(c), c->argv[i], &script));
}

void
cmd_script_flush(struct call *c)
{
	if (c->argc > 3 || (c->argc == 3 && !slice_caseeq(c->argv[2], SLICE("sync")) &&
	        !slice_caseeq(c->argv[2], SLICE("async")))) {
		reply_error(c->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
		return;
	}
	scripts_flush(scripts_of(c));
	reply_ok(c->reply);
}

/* None runs for longer than its call takes. */
void
cmd_script_kill(struct call *c)
{
	reply_error(c->reply, "NOTBUSY No scripts in execution right now.");
}

void
cmd_script_help(struct call *c)
{
	static const char *const lines[] = {
		"EXISTS <sha1> [<sha1> ...]",
		"    Return information about the existence of the scripts in the script cache.",
		"FLUSH [ASYNC|SYNC]",
		"    Flush the Lua scripts cache. Very dangerous on replicas.",
		("    When called without the optional mode argument, the behavior is determined "
		"by the"),
		"    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
		"    * ASYNC: Asynchronously flush the scripts cache.",
		"    * SYNC: Synchronously flush the scripts cache.",
		"KILL",
		"    Kill the currently executing Lua script.",
		"LOAD <script>",
		"    Load a script into the scripts cache without executing it.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
