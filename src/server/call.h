/* call.h - what a command's handler sees. A handler reads c->argv, uses the
 * store, and writes one reply to c->reply. It knows no wire and no socket.
 *
 * Runs on the session's loop; must not block. A handler that cannot answer at
 * once parks the call (call_park) and its reply is written later; replies of
 * one connection stay in order, whatever finishes first. */
#ifndef PANNIER_SERVER_CALL_H
#define PANNIER_SERVER_CALL_H

#include "proto/command.h"
#include "proto/msg.h"
#include "store/store.h"

struct server;
struct server_loop;
struct session;

struct call {
	const struct command *cmd;
	const struct slice *argv; /* good until the handler returns */
	uint32_t argc;
	uint64_t hash;            /* store_hash() of argv[1], if there is one */
	struct reply *reply;
	int64_t now_ms;           /* monotonic */
	struct store_loop *store;
	struct session *session;
	struct server_loop *sl;
};

/* One for each row of commands.def that is no CONTAINER. */
typedef void cmd_handler(struct call *c);
#define COMMAND(id, ...) cmd_handler cmd_##id;
#define CONTAINER(id, ...)
#define SUBCOMMAND(parent, id, ...) cmd_handler cmd_##parent##_##id;
#include "proto/commands.def"
#undef COMMAND
#undef CONTAINER
#undef SUBCOMMAND

/* store_open() of argv[1], the key of most commands. */
static inline enum cache_result
call_open(struct call *c, unsigned flags, struct store_cursor *cur)
{
	return store_open_hashed(c->store, c->argv[1], c->hash, flags, cur);
}

/* The cursor is open, for a write that will make a value of `len` bytes of what is
 * there. Where one so long has yet to find room, that is made here, without a lock: the
 * cursor is closed and opened anew, and may stand on another value then. */
enum cache_result call_make_room(struct call *c, enum cache_result found, uint64_t len,
    unsigned flags, struct store_cursor *cur);

/* By id; NULL for containers. */
extern cmd_handler *const command_handlers[CMD_COUNT];

/* The usual errors, in Redis's words. */
void call_wrong_args(struct call *c);  /* ERR wrong number of arguments for 'x' command */
/* The same, for subcommands that Redis counts the arguments of by itself: "ERR unknown
 * subcommand or wrong number of arguments for 'x'. Try Y HELP." */
void call_wrong_subcommand_args(struct call *c);
void call_syntax_error(struct call *c);
void call_not_integer(struct call *c); /* ERR value is not an integer or out of range */
/* What cache_put() answered, where it is not 0: -E2BIG, -ENOMEM, -EDQUOT. */
void call_put_failed(struct call *c, int rc);
/* "ERR invalid expire time in 'x' command" */
void call_invalid_expire(struct call *c);

/* How many bytes a reply that is made as a whole may have: the connection is
 * closed for one that is larger than its output may be, so an error is better. */
size_t call_reply_max(const struct call *c);

#define REF_MIN_BYTES 16384 /* below, a copy costs less than an iovec and a pin */
void reply_large_value(struct reply *r, struct store_cursor *cur);

/* The number of a namespace of that name which is the session's to see; else the error
 * reply is written. */
bool call_namespace(struct call *c, struct slice name, unsigned *id);

/* Whether there is such a database; else the error reply is written. */
bool call_database(struct call *c, struct slice index);

/* The value that an open cursor stands on: copied, or sent from where it lies. */
static inline void
reply_value(struct reply *r, struct store_cursor *cur)
{
	if (unlikely(cur->c.value.len >= REF_MIN_BYTES))
		reply_large_value(r, cur);
	else
		reply_bulk(r, cur->c.value);
}

/* Wall-clock and monotonic milliseconds of one moment. */
int64_t mono_of_unix_ms(int64_t unix_ms);
int64_t unix_of_mono_ms(int64_t mono_ms);

/* --- replies that come later ------------------------------------------------ */

/* A reply that is owed. Requests of the connection that may overtake it
 * (CMD_OVERTAKES) run on; others wait until it is answered. */
struct parked;

/* The handler writes nothing to c->reply after this. `on_drop` is called
 * instead of an answer when the client leaves first. NULL: no memory, the
 * error reply is written already. */
struct parked *call_park(struct call *c, void (*on_drop)(struct parked *p, void *arg), void *arg);
/* Where to write the late reply, on the session's loop; then parked_done().
 * The same wire as the call had. */
struct reply *parked_reply(struct parked *p);
void parked_done(struct parked *p);
struct session *parked_session(struct parked *p);
/* It changes values when it is done: nothing of its connection may overtake it, lest a
 * read behind it show what was before. (Over the binary protocol nothing waits.) */
void parked_keeps_order(struct parked *p);
/* It waits for somebody to write, maybe this client: where only such are owed,
 * its writes run before they are answered. */
void parked_let_writes_pass(struct parked *p);

/* Runs fn on every loop, this one included, each appending to its own buffer;
 * when all have, finish() runs here with the buffers joined in the order of
 * loops. The call is parked meanwhile. fn must not call out.
 * finish() is called exactly once, so that it can free arg: with r NULL where
 * there is no one to answer (the client left) or the error is written already
 * (no memory; then from within call_gather()). */
void call_gather(struct call *c, void (*fn)(struct server_loop *sl, struct buf *to, void *arg),
    void (*finish)(struct reply *r, struct slice joined, void *arg), void *arg);

#endif
