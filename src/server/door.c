#include "config.h"

#include "server/door.h"

#include "base/log.h"
#include "server/monitor.h"
#include "server/server.h"
#include "server/session.h"
#include "server/tracking.h"
#include "server/transaction.h"

#define DENIED "NOPERM this user has no permissions to "
#define NO_CHANNELS DENIED "access one of the channels used as arguments"
#define NO_KEYS DENIED "access one of the keys used as arguments"

static struct log_gate wrong_password_gate;

/* --- the state of a session -------------------------------------------------------- */

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

void
door_update(struct session *s)
{
	const struct door_policy *p = s->policy;

	s->stranger = p->password.text != NULL && !s->authenticated;
	s->guarded = p->read_only || p->no_admin || p->confined ||
	    p->routes_writes || s->stranger ||
	    only_listens(s) || tracking_is_on(s) || s->sl->pause.mode != PAUSE_OFF ||
	    s->replies != REPLY_ON || s->no_touch || monitor_is_on(&s->sl->watchers);
}

/* --- passwords ----------------------------------------------------------------------- */

/* There is one user, called default. Without a password any will do. */
bool
door_authenticate(struct session *s, struct slice user, struct slice password)
{
	const struct password *right = &s->policy->password;

	if (slice_eq(user, SLICE("default")) &&
	    (right->text == NULL || password_equals(right, password))) {
		s->authenticated = true;
		door_update(s);
		return true;
	}
	counter_inc(&s->sl->stats.auth_failures);
	log_limited(&wrong_password_gate, LOG_LEVEL_WARN, "%s: a wrong password or user name",
	    s->addr);
	return false;
}

void
door_forget(struct session *s)
{
	s->authenticated = false;
	door_update(s);
}

/* --- namespaces ------------------------------------------------------------------------ */

static bool
owns_namespace(const struct session *s, unsigned i)
{
	return (s->policy->own[i / 64] >> (i % 64) & 1) != 0;
}

bool
door_owns_key(const struct session *s, struct slice key)
{
	const struct routes *r;

	if (!s->policy->confined)
		return true;
	r = store_loop_routes(s->sl->store);
	return owns_namespace(s, (unsigned)(routes_find(r, key) - routes_config(r)->namespaces));
}

/* Longer prefixes may be others' namespaces. */
bool
door_owns_prefix(const struct session *s, struct slice prefix)
{
	const struct config *cfg;

	if (!s->policy->confined)
		return true;
	cfg = server_config(s->sl);
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (!owns_namespace(s, i) &&
		    slice_has_prefix(slice_str(cfg->namespaces[i].prefix), prefix))
			return false;
	return door_owns_key(s, prefix);
}

bool
door_owns_stats(const struct session *s, unsigned stats_id)
{
	const struct config *cfg;

	if (!s->policy->confined)
		return true;
	cfg = server_config(s->sl);
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (cfg->namespaces[i].stats_id == (int)stats_id)
			return owns_namespace(s, i);
	return false;
}

int64_t
door_count_own(const struct session *s)
{
	const struct config *cfg = server_config(s->sl);
	const struct server *server = s->sl->server;
	struct stats_sum_ns sum;
	int64_t n = 0;

	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		if (!owns_namespace(s, i))
			continue;
		stats_sum_ns(server->stats, server->n_loops,
		    (unsigned)cfg->namespaces[i].stats_id, &sum);
		n += sum.entries;
	}
	return n;
}

/* --- what a confined session may do ------------------------------------------------------ */

static bool
is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* What shows or changes nothing of others, or looks itself at what is whose. What is
 * not known to do so is refused, so that a command that is new need not be thought
 * of here to be safe. */
static bool
is_harmless(const struct command *cmd)
{
	static const char *const names[] = {
		"acl|whoami", "client|no-evict", "dbsize", "flushall", "flushdb", "info", "keys",
		"lolwut", "multi", "exec", "discard", "unwatch", "pannier.hotkeys", "randomkey",
		"scan", "script|exists", "script|load", "time",
	};
	const char *bar = strchr(cmd->name, '|');

	if (is_one_of(cmd->name, names, ARRAY_LEN(names)))
		return true;
	if (cmd->flags & CMD_ADMIN)
		return false;
	return strcmp(cmd->group, "connection") == 0 || cmd->id == CMD_ID_command ||
	    cmd->parent == CMD_ID_command || (bar != NULL && strcmp(bar, "|help") == 0);
}

static bool
refuse(struct call *c, const char *error)
{
	reply_error(c->reply, "%s", error);
	return false;
}

static bool
refuse_command(struct call *c)
{
	reply_error(c->reply, DENIED "run the '%s' command", c->cmd->name);
	return false;
}

/* "a:[xy]*" matches what begins with "a:". */
static bool
owns_pattern(const struct session *s, struct slice pattern)
{
	for (size_t i = 0; i < pattern.len; i++)
		if (memchr("*?[\\", pattern.ptr[i], 4) != NULL)
			return door_owns_prefix(s, slice_of(pattern.ptr, i));
	return door_owns_key(s, pattern);
}

/* Where Redis's clients without RESP3 wait for what CLIENT TRACKING tells them,
 * each what concerns itself. */
static bool
owns_channel(const struct session *s, struct slice name)
{
	return door_owns_key(s, name) || slice_eq(name, SLICE("__redis__:invalidate"));
}

static bool
owns_all(const struct call *c, uint32_t from, bool (*owns)(const struct session *s, struct slice x))
{
	for (uint32_t i = from; i < c->argc; i++)
		if (!owns(c->session, c->argv[i]))
			return false;
	return true;
}

/* A channel belongs to whom a key of that name would belong to. */
static bool
admits_channels(struct call *c)
{
	bool fine;

	switch (c->cmd->id) {
	case CMD_ID_publish:
	case CMD_ID_spublish:
		fine = door_owns_key(c->session, c->argv[1]);
		break;
	case CMD_ID_subscribe:
	case CMD_ID_ssubscribe:
		fine = owns_all(c, 1, owns_channel);
		break;
	case CMD_ID_psubscribe:
		fine = owns_all(c, 1, owns_pattern);
		break;
	case CMD_ID_pubsub_numsub:
	case CMD_ID_pubsub_shardnumsub:
		fine = owns_all(c, 2, door_owns_key);
		break;
	case CMD_ID_pubsub_channels:
	case CMD_ID_pubsub_shardchannels:
		fine = owns_pattern(c->session, c->argc > 2 ? c->argv[2] : SLICE("*"));
		break;
	case CMD_ID_unsubscribe:
	case CMD_ID_punsubscribe:
	case CMD_ID_sunsubscribe:
	case CMD_ID_pubsub_help:
		return true;
	default:
		return refuse_command(c);
	}
	return fine || refuse(c, NO_CHANNELS);
}

/* "ON BCAST PREFIX a: PREFIX b:": without a prefix it would be told of all keys. */
static bool
admits_tracking(struct call *c)
{
	bool all = false, some = false, fine = true;

	for (uint32_t i = 2; i < c->argc; i++) {
		all |= slice_caseeq(c->argv[i], SLICE("bcast"));
		if (i + 1 < c->argc && slice_caseeq(c->argv[i], SLICE("prefix"))) {
			some = true;
			fine &= door_owns_prefix(c->session, c->argv[++i]);
		}
	}
	return (fine && (some || !all)) || refuse(c, NO_KEYS);
}

static bool
admits_confined(struct call *c)
{
	struct command_keys k = command_keys(c->cmd, c->argv, c->argc);

	if (strcmp(c->cmd->group, "pubsub") == 0)
		return admits_channels(c);
	if (strcmp(c->cmd->name, "client|tracking") == 0)
		return admits_tracking(c);
	if (k.first == 0 && !is_harmless(c->cmd))
		return refuse_command(c);
	for (uint32_t i = 0; i < k.n; i++)
		if (!door_owns_key(c->session, c->argv[k.first + i * k.step]))
			return refuse(c, NO_KEYS);
	return true;
}

/* --- all sessions -------------------------------------------------------------------------- */

/* The list of admin: in src/config/listen.def. */
static bool
for_admins(const struct command *cmd)
{
	static const char *const names[] = {
		"bgsave", "client|kill", "client|pause", "client|unblock", "client|unpause",
		"config", "debug", "flushall", "flushdb", "latency|reset", "monitor",
		"pannier.monitor",
		"pannier.origin|eject", "pannier.origin|force", "pannier.origin|restore",
		"save", "shutdown", "slowlog|reset",
	};

	if (!(cmd->flags & (CMD_ADMIN | CMD_ACL_DANGEROUS)))
		return false;
	return is_one_of(cmd->name, names, ARRAY_LEN(names)) ||
	    is_one_of(command_table[cmd->parent].name, names, ARRAY_LEN(names));
}

static bool
refuse_stranger(struct call *c)
{
	if (c->cmd->id != CMD_ID_exec)
		return refuse(c, "NOAUTH Authentication required.");
	transaction_drop(c->session);
	return refuse(c, "EXECABORT Transaction discarded because of: "
	    "NOAUTH Authentication required.");
}

bool
door_admits(struct call *c)
{
	const struct session *s = c->session;

	if (s->stranger && !(c->cmd->flags & CMD_NO_AUTH))
		return refuse_stranger(c);
	if (s->policy->no_admin && for_admins(c->cmd))
		return refuse(c, "NOPERM this command is only served on an admin socket");
	if (s->policy->confined && !admits_confined(c))
		return false;
	if (s->policy->read_only && (c->cmd->flags & CMD_WRITE))
		return refuse(c, "READONLY You can't write against a read only replica.");
	if (only_listens(s) && !for_listeners(c->cmd)) {
		reply_error(c->reply, "ERR Can't execute '%s': only (P|S)SUBSCRIBE / "
		    "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
		    c->cmd->name);
		return false;
	}
	return true;
}
