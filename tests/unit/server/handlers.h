/* handlers.h - calls command handlers as a session would, without a loop that
 * runs: a real server with one session, whose time the test sets. */
#ifndef PANNIER_TESTS_SERVER_HANDLERS_H
#define PANNIER_TESTS_SERVER_HANDLERS_H

#include "server/internal.h"
#include "server/session.h"
#include "unit/suite.h"

extern struct server *server;
extern struct session *session;
extern int64_t now_ms; /* what the next request takes for the time */

/* Fixture of every test case. The server has 64 MiB, two loops, and the
 * namespaces "default" and "odd:". */
void handlers_setup(void);
void handlers_teardown(void);

/* The reply's bytes, NUL-terminated, good until the next request. */
const char *ask_args(const struct slice *argv, uint32_t argc);
/* Words that are separated by one space each; '' is an empty word. */
const char *ask(const char *line);
/* As ask(), where the reply has more than fits on a line. */
#define ck_reply(line, expected) ck_assert_str_eq(ask(line), expected)
#define ck_reply_has(line, part) \
	do { \
		const char *reply_ = ask(line); \
		ck_assert_msg(strstr(reply_, part) != NULL, "%s not in: %s", part, reply_); \
	} while (0)

/* Another client, on one of the two loops; *peer is its other end. Set `session` to
 * it, and ask() is its. */
struct session *client_new(unsigned loop, int *peer);
/* What has come to it by itself, after all loops have done their work, or "closed";
 * good until the next request. */
const char *client_received(int peer);

/* Sends the request again and again, with the first allocation failing, then
 * the second, until none fails; before each, `before` is sent. Every reply
 * either begins with `good` or is an OOM error, and an OOM error has changed nothing: then
 * `check` (NULL: none) answers `unchanged`. Returns how many failed. */
unsigned ask_without_memory(const char *before, const char *line, const char *good,
    const char *check, const char *unchanged);

#endif
