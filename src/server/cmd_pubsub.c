/* Publish and subscribe, among the clients of this daemon. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "server/door.h"
#include "server/help.h"
#include "server/server.h"
#include "server/session.h"

/* --- subscribing ------------------------------------------------------------ */

/* Channels and patterns count together, shard channels by themselves. */
static int64_t
count_of(const struct call *c, enum pubsub_kind kind)
{
	const unsigned *n = c->session->pubsub.n;

	return kind == PUBSUB_SHARD ? n[PUBSUB_SHARD]
	                            : (int64_t)n[PUBSUB_CHANNEL] + n[PUBSUB_PATTERN];
}

/* name NULL: there was none. */
static void
confirm(struct call *c, const char *what, const struct slice *name, int64_t count)
{
	reply_push(c->reply, 3);
	reply_bulk_str(c->reply, what);
	if (name != NULL)
		reply_bulk(c->reply, *name);
	else
		reply_nil(c->reply);
	reply_int(c->reply, count);
}

static void
subscribe(struct call *c, enum pubsub_kind kind)
{
	for (uint32_t i = 1; i < c->argc; i++) {
		if (pubsub_subscribe(c->session, kind, c->argv[i]) != 0) {
			call_put_failed(c, -ENOMEM);
			break;
		}
		confirm(c, c->cmd->name, &c->argv[i], count_of(c, kind));
	}
	door_update(c->session);
}

static void
unsubscribe_all(struct call *c, enum pubsub_kind kind)
{
	struct slice name;

	if (!pubsub_oldest(c->session, kind, &name)) {
		confirm(c, c->cmd->name, NULL, count_of(c, kind));
		return;
	}
	do {
		confirm(c, c->cmd->name, &name, count_of(c, kind) - 1);
		pubsub_unsubscribe(c->session, kind, name);
	} while (pubsub_oldest(c->session, kind, &name));
}

static void
unsubscribe(struct call *c, enum pubsub_kind kind)
{
	if (c->argc == 1)
		unsubscribe_all(c, kind);
	for (uint32_t i = 1; i < c->argc; i++) {
		pubsub_unsubscribe(c->session, kind, c->argv[i]);
		confirm(c, c->cmd->name, &c->argv[i], count_of(c, kind));
	}
	door_update(c->session);
}

void
cmd_subscribe(struct call *c)
{
	subscribe(c, PUBSUB_CHANNEL);
}

void
cmd_psubscribe(struct call *c)
{
	subscribe(c, PUBSUB_PATTERN);
}

void
cmd_ssubscribe(struct call *c)
{
	subscribe(c, PUBSUB_SHARD);
}

void
cmd_unsubscribe(struct call *c)
{
	unsubscribe(c, PUBSUB_CHANNEL);
}

void
cmd_punsubscribe(struct call *c)
{
	unsubscribe(c, PUBSUB_PATTERN);
}

void
cmd_sunsubscribe(struct call *c)
{
	unsubscribe(c, PUBSUB_SHARD);
}

/* --- publishing ------------------------------------------------------------- */

static void
publish(struct call *c, bool shard)
{
	int64_t n = pubsub_publish(c->sl, shard, c->argv[1], c->argv[2]);

	if (n < 0)
		call_put_failed(c, (int)n);
	else
		reply_int(c->reply, n);
}

void
cmd_publish(struct call *c)
{
	publish(c, false);
}

void
cmd_spublish(struct call *c)
{
	publish(c, true);
}

/* --- PUBSUB ----------------------------------------------------------------- */

static void
names(struct call *c, enum pubsub_kind kind)
{
	if (c->argc > 3)
		reply_error(c->reply, "ERR unknown subcommand or wrong number of arguments for "
		    "'%.*s'. Try PUBSUB HELP.", (int)MIN(c->argv[1].len, 128), c->argv[1].ptr);
	else if (!pubsub_reply_names(c->sl->server->pubsub, kind,
	    c->argc == 3 ? &c->argv[2] : NULL, c->reply))
		reply_error(c->reply, "ERR the pattern takes too much work");
}

static void
listeners(struct call *c, enum pubsub_kind kind)
{
	reply_array(c->reply, 2 * (size_t)(c->argc - 2));
	for (uint32_t i = 2; i < c->argc; i++) {
		reply_bulk(c->reply, c->argv[i]);
		reply_int(c->reply, (int64_t)pubsub_listeners(c->sl, kind, c->argv[i]));
	}
}

void
cmd_pubsub_channels(struct call *c)
{
	names(c, PUBSUB_CHANNEL);
}

void
cmd_pubsub_shardchannels(struct call *c)
{
	names(c, PUBSUB_SHARD);
}

void
cmd_pubsub_numsub(struct call *c)
{
	listeners(c, PUBSUB_CHANNEL);
}

void
cmd_pubsub_shardnumsub(struct call *c)
{
	listeners(c, PUBSUB_SHARD);
}

void
cmd_pubsub_numpat(struct call *c)
{
	reply_int(c->reply, (int64_t)pubsub_names(c->sl->server->pubsub, PUBSUB_PATTERN));
}

void
cmd_pubsub_help(struct call *c)
{
	static const char *const lines[] = {
		"CHANNELS [<pattern>]",
		"    Return the currently active channels matching a <pattern> (default: '*').",
		"NUMPAT",
		"    Return number of subscriptions to patterns.",
		"NUMSUB [<channel> ...]",
		"    Return the number of subscribers for the specified channels, excluding",
		"    pattern subscriptions(default: no channels).",
		"SHARDCHANNELS [<pattern>]",
		("    Return the currently active shard level channels matching a <pattern> "
		"(default: '*')."),
		"SHARDNUMSUB [<shardchannel> ...]",
		"    Return the number of subscribers for the specified shard level channel(s)",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
