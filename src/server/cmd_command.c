/* COMMAND: the table of commands, told to clients. Everything in these replies
 * comes from commands.def. */
#include "config.h"

#include "server/call.h"

#include "base/glob.h"
#include "proto/syntax.h"
#include "server/help.h"

/* --- COMMAND INFO --------------------------------------------------------------- */

struct word {
	uint32_t flag;
	const char *text;
};

/* In Redis's order, like the categories below. */
static const struct word flag_words[] = {
	{ CMD_WRITE, "write" },
	{ CMD_READONLY, "readonly" },
	{ CMD_DENYOOM, "denyoom" },
	{ CMD_ADMIN, "admin" },
	{ CMD_PUBSUB, "pubsub" },
	{ CMD_NOSCRIPT, "noscript" },
	{ CMD_BLOCKING, "blocking" },
	{ CMD_LOADING, "loading" },
	{ CMD_STALE, "stale" },
	{ CMD_SKIP_MONITOR, "skip_monitor" },
	{ CMD_SKIP_SLOWLOG, "skip_slowlog" },
	{ CMD_FAST, "fast" },
	{ CMD_NO_AUTH, "no_auth" },
	{ CMD_NO_MANDATORY_KEYS, "no_mandatory_keys" },
	{ CMD_NO_ASYNC_LOADING, "no_async_loading" },
	{ CMD_SHOWN_NO_MULTI, "no_multi" },
	{ CMD_MOVABLE_KEYS, "movablekeys" },
	{ CMD_ALLOW_BUSY, "allow_busy" },
};

/* Bits for what a category tells and no flag does. */
#define IS_BITMAP (1u << 29)
#define IS_STRING (1u << 30)
#define IS_SLOW (1u << 31)

static const struct word category_words[] = {
	{ CMD_ACL_KEYSPACE, "@keyspace" },
	{ CMD_READONLY, "@read" },
	{ CMD_WRITE, "@write" },
	{ IS_STRING, "@string" },
	{ IS_BITMAP, "@bitmap" },
	{ CMD_PUBSUB, "@pubsub" },
	{ CMD_ADMIN | CMD_ACL_ADMIN, "@admin" },
	{ CMD_FAST, "@fast" },
	{ IS_SLOW, "@slow" },
	{ CMD_BLOCKING, "@blocking" },
	{ CMD_ADMIN | CMD_ACL_DANGEROUS, "@dangerous" },
	{ CMD_ACL_CONNECTION, "@connection" },
	{ CMD_ACL_TRANSACTION, "@transaction" },
	{ CMD_ACL_SCRIPTING, "@scripting" },
};

static uint32_t
category_bits(const struct command *cmd)
{
	/* Scripts that only read are in no category of what they do. */
	uint32_t flags = cmd->flags & CMD_ACL_SCRIPTING ? cmd->flags & ~(uint32_t)CMD_READONLY
	                                                : cmd->flags;

	return flags | (strcmp(cmd->group, "string") == 0 ? IS_STRING : 0) |
	    (strcmp(cmd->group, "bitmap") == 0 ? IS_BITMAP : 0) |
	    (cmd->flags & CMD_FAST ? 0 : IS_SLOW);
}

static void
reply_words(struct reply *r, const struct word *words, size_t n, uint32_t bits)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += (words[i].flag & bits) != 0;
	reply_set(r, count);
	for (size_t i = 0; i < n; i++)
		if (words[i].flag & bits)
			reply_status(r, words[i].text);
}

/* The next of the words between spaces; false at the end. */
static bool
next_word(struct slice *p, struct slice *out)
{
	const char *space = p->len != 0 ? memchr(p->ptr, ' ', p->len) : NULL;
	size_t len = space != NULL ? (size_t)(space - p->ptr) : p->len;

	*out = slice_of(p->ptr, len);
	*p = slice_skip(*p, len + (space != NULL));
	return len != 0;
}

static size_t
count_words(struct slice p)
{
	struct slice word;
	size_t n = 0;

	while (next_word(&p, &word))
		n++;
	return n;
}

static void
reply_tips(struct reply *r, struct slice tips)
{
	struct slice word;

	reply_set(r, count_words(tips));
	while (next_word(&tips, &word))
		reply_bulk(r, word);
}

static void
reply_access(struct reply *r, struct slice access)
{
	struct slice word;
	char text[32];

	reply_set(r, count_words(access));
	while (next_word(&access, &word) && word.len < sizeof text) {
		memcpy(text, word.ptr, word.len);
		text[word.len] = '\0';
		reply_status(r, text);
	}
}

static void
reply_field_int(struct reply *r, const char *name, int64_t value)
{
	reply_bulk_str(r, name);
	reply_int(r, value);
}

static void
reply_field_str(struct reply *r, const char *name, const char *value)
{
	reply_bulk_str(r, name);
	reply_bulk_str(r, value);
}

/* `last`, counted from the first key, unless from the request's end. */
static void
reply_key_spec(struct reply *r, struct slice access, int first, int last, int step)
{
	reply_map(r, 3);
	reply_bulk_str(r, "flags");
	reply_access(r, access);
	reply_bulk_str(r, "begin_search");
	reply_map(r, 2);
	reply_field_str(r, "type", "index");
	reply_bulk_str(r, "spec");
	reply_map(r, 1);
	reply_field_int(r, "index", first);
	reply_bulk_str(r, "find_keys");
	reply_map(r, 2);
	reply_field_str(r, "type", "range");
	reply_bulk_str(r, "spec");
	reply_map(r, 3);
	reply_field_int(r, "lastkey", last);
	reply_field_int(r, "keystep", step);
	reply_field_int(r, "limit", 0);
}

#define CANNOT_TELL "We cannot tell how the keys will be used so we assume the worst, "

/* Keys that an argument counts, as those of EVAL. */
static void
reply_counted_keys(struct reply *r, const struct command *cmd)
{
	bool noted = cmd->id == CMD_ID_eval || cmd->id == CMD_ID_eval_ro;

	reply_map(r, 3 + (size_t)noted);
	if (noted)
		reply_field_str(r, "notes", cmd->id == CMD_ID_eval ? CANNOT_TELL "RW and UPDATE"
		                                                   : CANNOT_TELL "RO and ACCESS");
	reply_bulk_str(r, "flags");
	reply_access(r, slice_str(cmd->access));
	reply_bulk_str(r, "begin_search");
	reply_map(r, 2);
	reply_field_str(r, "type", "index");
	reply_bulk_str(r, "spec");
	reply_map(r, 1);
	reply_field_int(r, "index", 2);
	reply_bulk_str(r, "find_keys");
	reply_map(r, 2);
	reply_field_str(r, "type", "keynum");
	reply_bulk_str(r, "spec");
	reply_map(r, 3);
	reply_field_int(r, "keynumidx", 0);
	reply_field_int(r, "firstkey", 1);
	reply_field_int(r, "keystep", 1);
}

/* Keys that only the command itself can tell from its other words. */
static void
reply_unknown_keys(struct reply *r, const struct command *cmd)
{
	static const char *const searches[] = { "begin_search", "find_keys" };

	reply_map(r, 3);
	reply_bulk_str(r, "flags");
	reply_access(r, slice_str(cmd->access));
	for (size_t i = 0; i < ARRAY_LEN(searches); i++) {
		reply_bulk_str(r, searches[i]);
		reply_map(r, 2);
		reply_field_str(r, "type", "unknown");
		reply_bulk_str(r, "spec");
		reply_map(r, 0);
	}
}

/* Where the keys are: in one run, of which the first may have an access of
 * its own. */
static void
reply_key_specs(struct reply *r, const struct command *cmd)
{
	const char *rest = strstr(cmd->access, "; ");
	/* NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): numbers, not characters */
	int first = cmd->first_key, last = cmd->last_key;
	struct slice access = slice_str(cmd->access);

	if (cmd->flags & CMD_MOVABLE_KEYS) {
		reply_set(r, 1);
		if (cmd->id == CMD_ID_pannier_invalidate)
			reply_unknown_keys(r, cmd);
		else
			reply_counted_keys(r, cmd);
		return;
	}
	reply_set(r, (size_t)(first != 0) + (rest != NULL));
	if (first == 0)
		return;
	if (rest != NULL) {
		access.len = (size_t)(rest - cmd->access);
		reply_key_spec(r, access, first++, 0, cmd->key_step);
		access = slice_str(rest + strlen("; "));
	}
	reply_key_spec(r, access, first, last < 0 ? last : last - first, cmd->key_step);
}

static bool
is_subcommand(const struct command *cmd)
{
	return cmd->parent != cmd->id;
}

static size_t
count_subcommands(const struct command *cmd)
{
	size_t n = 0;

	for (unsigned id = 0; id < CMD_COUNT; id++)
		n += is_subcommand(&command_table[id]) && command_table[id].parent == cmd->id;
	return n;
}

/* Calls fn for each of cmd's subcommands. */
static void
each_subcommand(struct reply *r, const struct command *cmd,
    void (*fn)(struct reply *r, const struct command *cmd))
{
	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (is_subcommand(&command_table[id]) && command_table[id].parent == cmd->id)
			fn(r, &command_table[id]);
}

static void
reply_info(struct reply *r, const struct command *cmd)
{
	reply_array(r, 10);
	reply_bulk_str(r, cmd->name);
	reply_int(r, cmd->arity);
	reply_words(r, flag_words, ARRAY_LEN(flag_words), cmd->flags);
	reply_int(r, cmd->first_key);
	reply_int(r, cmd->last_key);
	reply_int(r, cmd->key_step);
	reply_words(r, category_words, ARRAY_LEN(category_words), category_bits(cmd));
	reply_tips(r, slice_str(cmd->tips));
	reply_key_specs(r, cmd);
	/* In RESP3, Redis has a set here where it is empty. */
	if (cmd->container)
		reply_array(r, count_subcommands(cmd));
	else
		reply_set(r, 0);
	each_subcommand(r, cmd, reply_info);
}

/* --- COMMAND DOCS --------------------------------------------------------------- */

static void
reply_arg_flags(struct reply *r, const struct syntax_arg *arg)
{
	reply_set(r, (size_t)arg->optional + arg->multiple + arg->multiple_token);
	if (arg->optional)
		reply_status(r, "optional");
	if (arg->multiple)
		reply_status(r, "multiple");
	if (arg->multiple_token)
		reply_status(r, "multiple_token");
}

static void
reply_args(struct reply *r, const struct syntax_arg *args, unsigned n, bool two_specs);

static void
reply_arg(struct reply *r, const struct syntax_arg *arg, bool two_specs)
{
	bool is_key = arg->type == SYNTAX_KEY, has_flags = arg->optional || arg->multiple;

	reply_map(r, 2 + (size_t)is_key + (arg->token.len != 0) + has_flags + (arg->size > 1));
	reply_field_str(r, "name", arg->name);
	reply_field_str(r, "type", syntax_type_name(arg->type));
	if (is_key)
		reply_field_int(r, "key_spec_index", two_specs && arg->nth_key > 0);
	if (arg->token.len != 0) {
		reply_bulk_str(r, "token");
		reply_bulk(r, arg->token);
	}
	if (has_flags) {
		reply_bulk_str(r, "flags");
		reply_arg_flags(r, arg);
	}
	if (arg->size > 1) {
		reply_bulk_str(r, "arguments");
		reply_args(r, arg + 1, arg->size - 1, two_specs);
	}
}

static void
reply_args(struct reply *r, const struct syntax_arg *args, unsigned n, bool two_specs)
{
	size_t count = 0;

	for (unsigned i = 0; i < n; i += args[i].size)
		count++;
	reply_array(r, count);
	for (unsigned i = 0; i < n; i += args[i].size)
		reply_arg(r, &args[i], two_specs);
}

/* The name, then the map. */
static void
reply_docs(struct reply *r, const struct command *cmd)
{
	struct syntax_arg args[SYNTAX_ARGS_MAX];
	/* A test parses every row, so that none fails here. */
	int n_args = syntax_parse(cmd->syntax, args, SYNTAX_ARGS_MAX);
	bool has_complexity = cmd->complexity[0] != '\0';

	reply_bulk_str(r, cmd->name);
	reply_map(r, 3 + (size_t)has_complexity + (size_t)(n_args > 0) + cmd->container);
	reply_field_str(r, "summary", cmd->summary);
	reply_field_str(r, "since", cmd->since);
	reply_field_str(r, "group", cmd->group);
	if (has_complexity)
		reply_field_str(r, "complexity", cmd->complexity);
	if (n_args > 0) {
		reply_bulk_str(r, "arguments");
		reply_args(r, args, (unsigned)n_args, strstr(cmd->access, "; ") != NULL);
	}
	if (cmd->container) {
		reply_bulk_str(r, "subcommands");
		reply_map(r, count_subcommands(cmd));
		each_subcommand(r, cmd, reply_docs);
	}
}

/* --- the commands ---------------------------------------------------------------- */

static size_t
count_commands(void)
{
	size_t n = 0;

	for (unsigned id = 0; id < CMD_COUNT; id++)
		n += !is_subcommand(&command_table[id]);
	return n;
}

static void
each_command(struct reply *r, void (*fn)(struct reply *r, const struct command *cmd))
{
	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (!is_subcommand(&command_table[id]))
			fn(r, &command_table[id]);
}

/* "get", "client|id"; NULL: there is none. */
static const struct command *
by_name(struct slice name)
{
	const char *bar = name.len != 0 ? memchr(name.ptr, '|', name.len) : NULL;
	struct slice argv[2] = { name, { NULL, 0 } };
	const struct command *cmd;
	enum command_lookup found;

	if (bar != NULL) {
		argv[0].len = (size_t)(bar - name.ptr);
		argv[1] = slice_skip(name, argv[0].len + 1);
	}
	found = command_find(argv, bar != NULL ? 2 : 1, &cmd);
	if (found == COMMAND_UNKNOWN || found == COMMAND_UNKNOWN_SUBCOMMAND)
		return NULL;
	return is_subcommand(cmd) == (bar != NULL) ? cmd : NULL;
}

void
cmd_command(struct call *c)
{
	reply_array(c->reply, count_commands());
	each_command(c->reply, reply_info);
}

void
cmd_command_count(struct call *c)
{
	reply_int(c->reply, (int64_t)count_commands());
}

void
cmd_command_info(struct call *c)
{
	const struct command *cmd;

	if (c->argc == 2) {
		cmd_command(c);
		return;
	}
	reply_array(c->reply, c->argc - 2);
	for (uint32_t i = 2; i < c->argc; i++) {
		cmd = by_name(c->argv[i]);
		if (cmd != NULL)
			reply_info(c->reply, cmd);
		else
			reply_nil(c->reply);
	}
}

void
cmd_command_docs(struct call *c)
{
	size_t known = 0;

	if (c->argc == 2) {
		reply_map(c->reply, count_commands());
		each_command(c->reply, reply_docs);
		return;
	}
	for (uint32_t i = 2; i < c->argc; i++)
		known += by_name(c->argv[i]) != NULL;
	reply_map(c->reply, known);
	for (uint32_t i = 2; i < c->argc; i++) {
		const struct command *cmd = by_name(c->argv[i]);

		if (cmd != NULL)
			reply_docs(c->reply, cmd);
	}
}

/* --- COMMAND LIST ----------------------------------------------------------------- */

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

static bool
has_category(const struct command *cmd, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(category_words); i++)
		if (slice_caseeq(name, slice_str(category_words[i].text + 1)))
			return (category_words[i].flag & category_bits(cmd)) != 0;
	return false;
}

static bool
passes(const struct command *cmd, enum filter filter, struct slice arg, uint64_t *steps)
{
	switch (filter) {
	case FILTER_CATEGORY:
		return has_category(cmd, arg);
	case FILTER_PATTERN:
		return glob_match(arg, slice_str(cmd->name), true, steps) == GLOB_YES;
	case FILTER_MODULE:
		return false;
	default:
		return true;
	}
}

/* False: syntax error. */
static bool
list_filter(const struct call *c, enum filter *out)
{
	*out = FILTER_NONE;
	if (c->argc == 2)
		return true;
	if (c->argc != 5 || !slice_caseeq(c->argv[2], SLICE("filterby")))
		return false;
	if (slice_caseeq(c->argv[3], SLICE("module")))
		*out = FILTER_MODULE;
	else if (slice_caseeq(c->argv[3], SLICE("aclcat")))
		*out = FILTER_CATEGORY;
	else if (slice_caseeq(c->argv[3], SLICE("pattern")))
		*out = FILTER_PATTERN;
	return *out != FILTER_NONE;
}

void
cmd_command_list(struct call *c)
{
	struct slice arg = c->argc == 5 ? c->argv[4] : (struct slice){ NULL, 0 };
	const struct command *listed[CMD_COUNT];
	uint64_t steps = 1 << 20;
	enum filter filter;
	size_t n = 0;

	if (!list_filter(c, &filter)) {
		call_syntax_error(c);
		return;
	}
	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (passes(&command_table[id], filter, arg, &steps))
			listed[n++] = &command_table[id];
	reply_array(c->reply, n);
	for (size_t i = 0; i < n; i++)
		reply_bulk_str(c->reply, listed[i]->name);
}

/* --- COMMAND GETKEYS ---------------------------------------------------------------- */

/* The request that the arguments are. False: the error reply is written. */
static bool
embedded_find(struct call *c, const struct command **out)
{
	enum command_lookup found = command_find(c->argv + 2, c->argc - 2, out);

	if (found == COMMAND_UNKNOWN || found == COMMAND_UNKNOWN_SUBCOMMAND)
		reply_error(c->reply, "ERR Invalid command specified");
	else if ((*out)->first_key == 0 && !((*out)->flags & CMD_MOVABLE_KEYS))
		reply_error(c->reply, "ERR The command has no key arguments");
	else if (found == COMMAND_WRONG_ARITY)
		reply_error(c->reply, "ERR Invalid number of arguments specified for command");
	else
		return true;
	return false;
}

static bool
has_word(const struct call *c, uint32_t from, struct slice word)
{
	for (uint32_t i = from; i < c->argc; i++)
		if (slice_caseeq(c->argv[i], word))
			return true;
	return false;
}

/* Of these two it depends on the words what they do. */
static const char *
access_of(const struct call *c, const struct command *cmd)
{
	if (cmd->id == CMD_ID_set)
		return has_word(c, 5, SLICE("get")) ? "RW access update" : "OW update";
	if (cmd->id == CMD_ID_bitfield)
		return has_word(c, 4, SLICE("set")) || has_word(c, 4, SLICE("incrby"))
		    ? "RW access update" : "RO access";
	return cmd->access;
}

static void
reply_keys(struct call *c, const struct command *cmd, bool with_flags)
{
	struct slice first = slice_str(access_of(c, cmd)), rest = first;
	struct command_keys k = command_keys(cmd, c->argv + 2, c->argc - 2);
	const char *both = strstr(first.ptr, "; ");

	if (both != NULL) {
		first.len = (size_t)(both - first.ptr);
		rest = slice_str(both + strlen("; "));
	}
	reply_array(c->reply, k.n);
	for (uint32_t i = 0; i < k.n; i++) {
		if (with_flags)
			reply_array(c->reply, 2);
		reply_bulk(c->reply, c->argv[2 + k.first + i * k.step]);
		if (with_flags)
			reply_access(c->reply, i == 0 ? first : rest);
	}
}

void
cmd_command_getkeys(struct call *c)
{
	const struct command *cmd;

	if (embedded_find(c, &cmd))
		reply_keys(c, cmd, false);
}

void
cmd_command_getkeysandflags(struct call *c)
{
	const struct command *cmd;

	if (embedded_find(c, &cmd))
		reply_keys(c, cmd, true);
}

void
cmd_command_help(struct call *c)
{
	static const char *const lines[] = {
		"(no subcommand)",
		"    Return details about all commands.",
		"COUNT",
		"    Return the total number of commands in this server.",
		"GETKEYS <full-command>",
		"    Return the keys from a full Redis command.",
		"GETKEYSANDFLAGS <full-command>",
		"    Return the keys and the access flags from a full Redis command.",
		"LIST [FILTERBY (MODULE <module-name>|ACLCAT <category>|PATTERN <pattern>)]",
		"    Return a list of all commands in this server.",
		"INFO [<command-name> ...]",
		"    Return details about multiple commands.",
		"    If no command names are given, details for all commands are returned.",
		"DOCS [<command-name> ...]",
		"    Return documentation details about multiple commands.",
		"    If no command names are given, documentation details for all",
		"    commands are returned.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
