/* CONFIG: options of config.def, by their own names and by Redis's, and what
 * clients ask of a Redis that this daemon has no option for. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/glob.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/rewrite.h"
#include "server/address.h"
#include "server/door.h"
#include "server/help.h"
#include "server/internal.h"

enum {
#define OPTION(name, ...) ROW_##name,
#include "config/config.def"
#undef OPTION
	ROW_COUNT
};

/* --- what cannot be set ------------------------------------------------------ */

static void
print_tcp_port(const struct server_loop *sl, char *out, size_t size)
{
	snprintf(out, size, "%u", server_tcp_port(sl->server));
}

static void
print_unix_path(const struct server_loop *sl, char *out, size_t size)
{
	snprintf(out, size, "%s", server_unix_path(sl->server));
}

static struct conn_limits
limits_now(const struct server_loop *sl)
{
	struct conn_limits l;

	pthread_mutex_lock(&sl->server->config_lock);
	l = server_conn_limits(sl->server, server_config(sl));
	pthread_mutex_unlock(&sl->server->config_lock);
	return l;
}

/* What output_limit comes to: one for all clients, whether they listen or not. */
static void
print_output_limits(const struct server_loop *sl, char *out, size_t size)
{
	struct conn_limits l = limits_now(sl);

	snprintf(out, size, "normal %zu %zu %lld slave 0 0 0 pubsub %zu %zu %lld",
	    l.output_hard_bytes, l.output_soft_bytes, (long long)(l.output_soft_ms / 1000),
	    l.output_hard_bytes, l.output_soft_bytes, (long long)(l.output_soft_ms / 1000));
}

static void
print_query_limit(const struct server_loop *sl, char *out, size_t size)
{
	snprintf(out, size, "%zu", limits_now(sl).input_bytes);
}

/* Whether there is one, of any listener; nobody is shown what it is. */
static void
print_password(const struct server_loop *sl, char *out, size_t size)
{
	bool any = false;

	for (unsigned i = 0; i < sl->server->n_listeners; i++)
		any |= doors_policy(sl->doors, i)->password.text != NULL;
	snprintf(out, size, "%s", any ? "********" : "");
}

static const struct fixed {
	const char *name, *value;
	void (*print)(const struct server_loop *sl, char *out, size_t size); /* instead */
	/* Redis lets nobody set it. The others may be set to what they are
	 * already, since programs do so at their start. */
	bool immutable;
} fixed_options[] = {
	{ "appendfsync", "no", NULL, false },
	{ "appendonly", "no", NULL, false },
	{ "client-output-buffer-limit", NULL, print_output_limits, false },
	{ "client-query-buffer-limit", NULL, print_query_limit, false },
	{ "cluster-enabled", "no", NULL, true },
	{ "databases", "1", NULL, true },
	{ "hz", "10", NULL, false }, /* cache_tick() comes at least so often */
	{ "latency-tracking", "yes", NULL, false },
	{ "latency-tracking-info-percentiles", "50 99 99.9", NULL, false },
	{ "maxmemory-samples", "0", NULL, false }, /* the LRU is exact */
	{ "notify-keyspace-events", "", NULL, false },
	{ "port", NULL, print_tcp_port, false },
	{ "replica-read-only", "yes", NULL, false },
	{ "requirepass", NULL, print_password, false },
	{ "save", "", NULL, false },
	{ "slave-read-only", "yes", NULL, false },
	{ "unixsocket", NULL, print_unix_path, true },
};

/* --- names ------------------------------------------------------------------- */

/* Every name that CONFIG GET knows: rows by their own names, rows by Redis's
 * names, then the fixed ones. */
#define NAME_COUNT (2 * ROW_COUNT + ARRAY_LEN(fixed_options))

static unsigned
name_row(unsigned i)
{
	return i % ROW_COUNT;
}

static bool
name_is_redis(unsigned i)
{
	return i >= ROW_COUNT;
}

static const struct fixed *
name_fixed(unsigned i)
{
	return i < 2 * ROW_COUNT ? NULL : &fixed_options[i - 2 * ROW_COUNT];
}

/* NULL: the row has no second name. */
static const char *
name_text(unsigned i)
{
	if (name_fixed(i) != NULL)
		return name_fixed(i)->name;
	return name_is_redis(i) ? config_option_redis_name(name_row(i)) :
	                          config_option_name(name_row(i));
}

static unsigned
name_find(struct slice name)
{
	unsigned i = 0;

	while (i < NAME_COUNT &&
	    (name_text(i) == NULL || !slice_caseeq(name, slice_str(name_text(i)))))
		i++;
	return i;
}

/* Redis's clients take numbers for what they are: where an option is `auto`
 * they are told what came of it. */
static bool
print_effective(const struct server_loop *sl, const struct config *cfg, unsigned row, char *out,
    size_t size)
{
	unsigned long long n;

	if (row == ROW_memory)
		n = server_memory_limit(sl->server, cfg);
	else if (row == ROW_threads)
		n = sl->server->n_loops;
	else if (row == ROW_max_value)
		n = sl->limits.max_bulk;
	else
		return false;
	snprintf(out, size, "%llu", n);
	return true;
}

static void
name_value(const struct server_loop *sl, const struct config *cfg, unsigned i, char *out,
    size_t size)
{
	const struct fixed *f = name_fixed(i);

	if (f != NULL && f->print != NULL)
		f->print(sl, out, size);
	else if (f != NULL)
		snprintf(out, size, "%s", f->value);
	else if (!name_is_redis(i) || !print_effective(sl, cfg, name_row(i), out, size))
		config_option_get(cfg, name_row(i), name_is_redis(i), out, size);
}

/* The newest: this loop may get it a moment later, but a CONFIG GET behind a
 * CONFIG SET shall see what was set. A reference. */
static struct routes *
newest_routes(struct server *s)
{
	struct routes *r;

	pthread_mutex_lock(&s->config_lock);
	r = routes_ref(s->routes);
	pthread_mutex_unlock(&s->config_lock);
	return r;
}

/* --- GET --------------------------------------------------------------------- */

#define GET_STEPS (1u << 20)

/* Whether some pattern matches; then *as is the name as the request spells it,
 * or as it is where a pattern with wildcards matched. */
static enum glob_result
name_match(struct slice name, const struct slice *patterns, uint32_t n, uint64_t *steps,
    struct slice *as)
{
	enum glob_result r = GLOB_NO;

	for (uint32_t j = 0; r == GLOB_NO && j < n; j++) {
		r = glob_match(patterns[j], name, true, steps);
		*as = slice_caseeq(patterns[j], name) ? patterns[j] : name;
	}
	return r;
}

/* Which names some pattern matches (as[i].ptr is not NULL then); their number,
 * or SIZE_MAX where the patterns are too much work. */
static size_t
names_matching(const struct slice *patterns, uint32_t n, struct slice *as)
{
	uint64_t steps = GET_STEPS;
	size_t found = 0;

	for (unsigned i = 0; i < NAME_COUNT; i++) {
		const char *name = name_text(i);
		enum glob_result r = GLOB_NO;

		if (name != NULL)
			r = name_match(slice_str(name), patterns, n, &steps, &as[i]);
		if (r == GLOB_SPENT)
			return SIZE_MAX;
		if (r == GLOB_NO)
			as[i].ptr = NULL;
		found += r == GLOB_YES;
	}
	return found;
}

static void
reply_names(struct call *c, const struct slice *as, size_t n)
{
	struct routes *newest = newest_routes(c->sl->server);
	char value[512];

	reply_map(c->reply, n);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if (as[i].ptr == NULL)
			continue;
		name_value(c->sl, routes_config(newest), i, value, sizeof value);
		reply_bulk(c->reply, as[i]);
		reply_bulk_str(c->reply, value);
	}
	routes_unref(newest);
}

void
cmd_config_get(struct call *c)
{
	struct slice as[NAME_COUNT];
	size_t n = names_matching(c->argv + 2, c->argc - 2, as);

	if (n == SIZE_MAX)
		reply_error(c->reply, "ERR the patterns take too much work");
	else
		reply_names(c, as, n);
}

/* --- SET: all are checked, then all are set ---------------------------------- */

#define IMMUTABLE "can't set immutable config"
#define RESTART IMMUTABLE ": it needs a restart, with the new value in the file, the " \
	"environment or a flag"
#define RELOAD IMMUTABLE ": change it in the file and send SIGHUP"

static void
set_failed(struct call *c, struct slice name, const char *why)
{
	reply_error(c->reply,
	    "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s",
	    (int)MIN(name.len, 128), name.ptr, why);
}

static bool
name_immutable(unsigned i)
{
	if (name_fixed(i) != NULL)
		return name_fixed(i)->immutable;
	return !config_option_runtime(name_row(i));
}

/* What a configuration file has and CONFIG SET has not: lists. NULL: there is no such thing. */
static const char *
list_advice(struct slice name)
{
	static const struct {
		const char *name, *advice;
	} lists[] = { { "namespaces", RELOAD }, { "origins", RELOAD }, { "listen", RESTART },
		{ "invalidations", RESTART } };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		size_t len = strlen(lists[i].name);

		if (name.len >= len && slice_caseeq(slice_of(name.ptr, len),
		    slice_str(lists[i].name)) && (name.len == len || name.ptr[len] == '.' ||
		    name.ptr[len] == '['))
			return lists[i].advice;
	}
	return NULL;
}

static void
unknown_name(struct call *c, struct slice name)
{
	if (list_advice(name) != NULL)
		set_failed(c, name, list_advice(name));
	else
		reply_error(c->reply,
		    "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
		    (int)MIN(name.len, 512), name.ptr);
}

/* The names of all pairs: known, changeable, no option twice. False: the
 * error reply is written. */
static bool
set_check_names(struct call *c)
{
	bool seen[NAME_COUNT] = { false };

	for (uint32_t j = 2; j < c->argc; j += 2) {
		unsigned i = name_find(c->argv[j]);
		unsigned at = name_fixed(i) == NULL && i < NAME_COUNT ? name_row(i) : i;

		if (i == NAME_COUNT) {
			unknown_name(c, c->argv[j]);
			return false;
		}
		if (name_immutable(i)) {
			set_failed(c, c->argv[j], name_fixed(i) != NULL ? IMMUTABLE : RESTART);
			return false;
		}
		if (seen[at]) {
			set_failed(c, c->argv[j], "duplicate parameter");
			return false;
		}
		seen[at] = true;
	}
	return true;
}

/* Into `next`, a copy of the configuration; NULL, or why not. */
static const char *
set_one(struct call *c, struct config *next, uint32_t j, struct config_error *err)
{
	unsigned i = name_find(c->argv[j]);
	char room[512];

	if (name_fixed(i) != NULL) {
		name_value(c->sl, next, i, room, sizeof room);
		return slice_eq(c->argv[j + 1], slice_str(room)) ? NULL : IMMUTABLE;
	}
	if (config_option_set(next, name_row(i), c->argv[j + 1], err) != 0)
		return err->text;
	return NULL;
}

static bool
set_check_values(struct call *c)
{
	struct routes *newest = newest_routes(c->sl->server);
	struct config *next = config_clone(routes_config(newest));
	struct config_error err;
	const char *why = NULL;
	uint32_t j = 2;

	routes_unref(newest);
	if (next == NULL) {
		call_put_failed(c, -ENOMEM);
		return false;
	}
	for (; why == NULL && j < c->argc; j += 2)
		why = set_one(c, next, j, &err);
	if (why != NULL)
		set_failed(c, c->argv[j - 2], why);
	config_free(next);
	return why == NULL;
}

/* The values are good; what can still fail is memory. */
static void
set_apply(struct call *c)
{
	struct config_error err;

	for (uint32_t j = 2; j < c->argc; j += 2) {
		unsigned i = name_find(c->argv[j]);

		if (name_fixed(i) != NULL)
			continue;
		if (server_config_set(c->sl->server, name_row(i), c->argv[j + 1], &err) != 0) {
			set_failed(c, c->argv[j], err.text);
			return;
		}
	}
	reply_ok(c->reply);
}

void
cmd_config_set(struct call *c)
{
	if (c->argc % 2 != 0)
		call_syntax_error(c);
	else if (set_check_names(c) && set_check_values(c))
		set_apply(c);
}

void
cmd_config_rewrite(struct call *c)
{
	struct server *s = c->sl->server;
	struct config_error err = { .text = "" };
	struct routes *newest;
	int rc;

	if (s->config_path == NULL) {
		reply_error(c->reply, "ERR The server is running without a config file");
		return;
	}
	newest = newest_routes(s);
	rc = config_rewrite(s->config_path, routes_config(newest), &err);
	routes_unref(newest);
	if (rc != 0) {
		log_warn("CONFIG REWRITE: %s", err.text);
		reply_error(c->reply, "ERR Rewriting config file: %s", err.text);
		return;
	}
	log_info("CONFIG REWRITE: %s has what CONFIG SET changed", s->config_path);
	reply_ok(c->reply);
}

void
cmd_config_resetstat(struct call *c)
{
	info_reset(c->sl->server, c->sl->timing.event_us);
	reply_ok(c->reply);
}

void
cmd_config_help(struct call *c)
{
	static const char *const lines[] = {
		"GET <pattern>",
		"    Return parameters matching the glob-like <pattern> and their values.",
		"SET <directive> <value>",
		"    Set the configuration <directive> to <value>.",
		"REWRITE",
		"    Rewrite the configuration file.",
		"RESETSTAT",
		"    Reset statistics reported by the INFO command.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
