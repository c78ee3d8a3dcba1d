/* command.h - the table of commands (commands.def) as data: names, arity,
 * keys, documentation. Handlers are the server's; it finds them by id. */
#ifndef PANNIER_PROTO_COMMAND_H
#define PANNIER_PROTO_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

/* Flags as COMMAND INFO shows them, and ours. */
enum command_flag {
	CMD_WRITE = 1 << 0,
	CMD_READONLY = 1 << 1,
	CMD_DENYOOM = 1 << 2,
	CMD_ADMIN = 1 << 3,
	CMD_FAST = 1 << 4,
	CMD_LOADING = 1 << 5,
	CMD_STALE = 1 << 6,
	CMD_NO_AUTH = 1 << 7,
	CMD_NOSCRIPT = 1 << 8,
	CMD_SKIP_SLOWLOG = 1 << 9,
	CMD_PUBSUB = 1 << 10,
	CMD_BLOCKING = 1 << 11,
	CMD_ALLOW_BUSY = 1 << 12,
	/* Categories of COMMAND INFO that neither group nor flags tell. */
	CMD_ACL_KEYSPACE = 1 << 13,
	CMD_ACL_CONNECTION = 1 << 14,
	CMD_ACL_DANGEROUS = 1 << 15,
	/* May run before earlier requests of its connection are answered: it
	 * changes no value, so the order cannot be told (replies stay in order). */
	CMD_OVERTAKES = 1 << 16,
	CMD_CONTAINER = 1 << 17, /* has subcommands; CONTAINER rows imply it */
	CMD_NO_MULTI = 1 << 18,  /* not inside a transaction: it asks other loops */
	CMD_MOVABLE_KEYS = 1 << 19,
	CMD_ACL_TRANSACTION = 1 << 20,
	CMD_ACL_SCRIPTING = 1 << 21,
	CMD_SKIP_MONITOR = 1 << 22,
	CMD_NO_MANDATORY_KEYS = 1 << 23,
	CMD_NO_ASYNC_LOADING = 1 << 24,
	CMD_ACL_ADMIN = 1 << 26, /* of the category, not of the flag */
	CMD_SHOWN_NO_MULTI = 1 << 25, /* as Redis shows it; no admin command may be in one */
};

/* CMD_ID_get ... for every row, subcommands as CMD_ID_client_id. */
enum command_id {
#define COMMAND(id, ...) CMD_ID_##id,
#define CONTAINER(id, ...) CMD_ID_##id,
#define SUBCOMMAND(parent, id, ...) CMD_ID_##parent##_##id,
#include "proto/commands.def"
#undef COMMAND
#undef CONTAINER
#undef SUBCOMMAND
	CMD_COUNT
};

struct command {
	enum command_id id;
	enum command_id parent; /* itself, where it is no subcommand */
	const char *name;       /* lower case; "client|id" for subcommands */
	int arity;              /* as Redis: negative is "at least" */
	uint32_t flags;
	int8_t first_key, last_key, key_step;
	bool container;         /* has subcommands; may have a handler as well */
	const char *group;      /* "string", "generic", "connection", "server" */
	const char *since;
	const char *complexity;
	const char *summary;
	/* Arguments as Redis's documentation writes them: "key value [NX | XX]
	 * [GET] [EX seconds | PX milliseconds]". COMMAND DOCS is made of it. */
	const char *syntax;
	const char *access;     /* of its keys: "RW access update" */
	const char *tips;       /* "request_policy:all_shards ..." */
};

extern const struct command command_table[CMD_COUNT];

enum command_lookup {
	COMMAND_FOUND,
	COMMAND_UNKNOWN,            /* argv[0] is no command; *out is NULL */
	COMMAND_UNKNOWN_SUBCOMMAND, /* *out is the container */
	COMMAND_WRONG_ARITY,        /* *out is the command */
};

/* Finds the row for a request; case does not matter. A container called
 * without a subcommand has the wrong arity. Pure; some tens of instructions. */
enum command_lookup command_find(const struct slice *argv, uint32_t argc,
    const struct command **out);

/* Where the keys of a request stand: argv[first], and so on by `step`, n of them. */
struct command_keys {
	uint32_t first, n, step;
};

/* By the row; of commands that say how many keys they have (EVAL), by what they
 * say. The request has the right arity. n is 0 where it has none. */
struct command_keys command_keys(const struct command *cmd, const struct slice *argv,
    uint32_t argc);

/* "[SOFT | HARD] [KEY | PREFIX | TAG] name ..." of PANNIER.INVALIDATE: the names begin
 * at argv[first], which may be behind the end. */
enum named_by { NAMED_KEYS, NAMED_PREFIXES, NAMED_TAGS };
struct command_names {
	enum named_by by;
	bool soft;
	uint32_t first;
};
struct command_names command_names(const struct slice *argv, uint32_t argc);

/* The commands of three letters that a loop met last, as they were spelled:
 * most requests are GET, SET and DEL, and need no more than a comparison. The
 * caller's; zeroed at first. */
#define COMMAND_MEMO_SLOTS 8

struct command_memo {
	struct {
		uint32_t letters;
		const struct command *cmd;
	} slots[COMMAND_MEMO_SLOTS];
};

/* Never 0, which a slot that was not used yet has: three NULs are a name that
 * a client may send. */
static inline uint32_t
command_letters(struct slice name)
{
	uint16_t two;

	memcpy(&two, name.ptr, 2);
	return two | (uint32_t)(unsigned char)name.ptr[2] << 16 | 1u << 24;
}

/* Whether cmd takes argc arguments, its name counted. */
static inline bool
command_arity_fits(const struct command *cmd, uint32_t argc)
{
	return cmd->arity >= 0 ? argc == (uint32_t)cmd->arity : argc >= (uint32_t)-cmd->arity;
}

/* command_find(), for requests that come one after the other. */
static inline enum command_lookup
command_find_again(struct command_memo *m, const struct slice *argv, uint32_t argc,
    const struct command **out)
{
	enum command_lookup found;
	uint32_t letters, slot;

	if (argv[0].len != 3)
		return command_find(argv, argc, out);
	letters = command_letters(argv[0]);
	slot = letters % COMMAND_MEMO_SLOTS;
	if (likely(m->slots[slot].letters == letters &&
	        command_arity_fits(m->slots[slot].cmd, argc))) {
		*out = m->slots[slot].cmd;
		return COMMAND_FOUND;
	}
	found = command_find(argv, argc, out);
	/* What has subcommands (ACL) is not found by its name alone. */
	if (found == COMMAND_FOUND && !(*out)->container && (*out)->parent == (*out)->id) {
		m->slots[slot].letters = letters;
		m->slots[slot].cmd = *out;
	}
	return found;
}

#endif
