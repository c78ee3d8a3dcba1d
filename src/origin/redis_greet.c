#include "config.h"

#include "origin/redis_greet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define ARGS_MAX 8

void
redis_greet_init(struct redis_greet *g, const struct redis_conn_opts *o, const char *server)
{
	*g = (struct redis_greet){ .opts = o, .server = server };
	buf_init(&g->out);
}

void
redis_greet_fini(struct redis_greet *g)
{
	if (g->out.mem != NULL)
		explicit_bzero(g->out.mem, g->out.cap);
	buf_fini(&g->out);
}

bool
redis_greet_waits(const struct redis_greet *g)
{
	return g->waits;
}

static bool
has_password(const struct redis_greet *g)
{
	return g->opts->login != NULL && g->opts->login->password.len != 0;
}

static bool
is_wanted(const struct redis_greet *g)
{
	const struct redis_conn_opts *o = g->opts;

	switch (g->step) {
	case GREET_HELLO:
		return !o->resp2;
	case GREET_AUTH:
		return !g->resp3 && has_password(g);
	case GREET_NAME:
		return !g->resp3 && o->name != NULL;
	case GREET_DATABASE:
		return o->database != 0;
	case GREET_READ_ONLY:
		return o->read_only;
	case GREET_ROLE:
		return o->role != NULL;
	case GREET_OVER:
		break;
	}
	return true;
}

/* --- what is said -------------------------------------------------------------- */

static uint32_t
say_hello(const struct redis_greet *g, struct slice *argv)
{
	const struct redis_login *login = g->opts->login;
	uint32_t n = 0;

	argv[n++] = SLICE("HELLO");
	argv[n++] = SLICE("3");
	if (has_password(g)) {
		argv[n++] = SLICE("AUTH");
		argv[n++] = slice_str(login->username != NULL ? login->username : "default");
		argv[n++] = login->password;
	}
	if (g->opts->name != NULL) {
		argv[n++] = SLICE("SETNAME");
		argv[n++] = slice_str(g->opts->name);
	}
	return n;
}

static uint32_t
say_auth(const struct redis_greet *g, struct slice *argv)
{
	const struct redis_login *login = g->opts->login;
	uint32_t n = 0;

	argv[n++] = SLICE("AUTH");
	if (login->username != NULL)
		argv[n++] = slice_str(login->username);
	argv[n++] = login->password;
	return n;
}

/* 1 or -ENOMEM. */
static int
say(struct redis_greet *g)
{
	struct slice argv[ARGS_MAX] = { SLICE("") };
	char database[12];
	uint32_t n = 0;
	int rc;

	switch (g->step) {
	case GREET_HELLO:
		n = say_hello(g, argv);
		break;
	case GREET_AUTH:
		n = say_auth(g, argv);
		break;
	case GREET_NAME:
		argv[n++] = SLICE("CLIENT");
		argv[n++] = SLICE("SETNAME");
		argv[n++] = slice_str(g->opts->name);
		break;
	case GREET_DATABASE:
		snprintf(database, sizeof database, "%u", g->opts->database);
		argv[n++] = SLICE("SELECT");
		argv[n++] = slice_str(database);
		break;
	case GREET_READ_ONLY:
		argv[n++] = SLICE("READONLY");
		break;
	case GREET_ROLE:
	case GREET_OVER:
		argv[n++] = SLICE("ROLE");
	}
	rc = resp_request(&g->out, argv, n);
	g->waits = rc == 0;
	return rc == 0 ? 1 : rc;
}

static int
go_on(struct redis_greet *g)
{
	while (g->step != GREET_OVER && !is_wanted(g))
		g->step++;
	return g->step == GREET_OVER ? 0 : say(g);
}

int
redis_greet_begin(struct redis_greet *g)
{
	return go_on(g);
}

/* --- what is answered ------------------------------------------------------------ */

static PRINTF(4, 5) int
refuse(const struct redis_greet *g, char *err, size_t err_size, const char *fmt, ...)
{
	int n = snprintf(err, err_size, "%s: ", g->server);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < err_size)
		vsnprintf(err + n, err_size - (size_t)n, fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* HELLO is known since Redis 6.0, and a user's rules may forbid it. A server that is full
 * says so to anything, and closes. */
static bool
knows_no_hello(const struct redis_reply *r)
{
	if (slice_has_prefix(r->head.text, SLICE("ERR max number of clients")))
		return false;
	return redis_reply_is(r, "ERR") || redis_reply_is(r, "NOPROTO") ||
	    redis_reply_is(r, "NOPERM");
}

static int
check_role(const struct redis_greet *g, const struct redis_reply *r, char *err, size_t err_size)
{
	struct resp_value v = { .type = RESP_NIL };
	size_t pos = 0;

	if (r->head.type != RESP_ARRAY || !resp_reply_next(r->raw, &pos, &v) ||
	    !resp_reply_next(r->raw, &pos, &v) || v.type != RESP_BULK)
		return refuse(g, err, err_size, "answers ROLE with what is no role");
	if (slice_eq(v.text, slice_str(g->opts->role)))
		return 0;
	return refuse(g, err, err_size, "is a %.*s, not a %s", (int)MIN(v.text.len, (size_t)32),
	    v.text.ptr, g->opts->role);
}

static int
check_error(const struct redis_greet *g, const struct redis_reply *r, char *err, size_t err_size)
{
	static const char *const said[] = { "HELLO", "AUTH", "CLIENT SETNAME", "SELECT", "READONLY",
		"ROLE", "" };
	char text[160];

	redis_reply_text(r, text, sizeof text);
	if (redis_reply_is(r, "WRONGPASS"))
		return refuse(g, err, err_size, "%s; see username and password_file", text);
	if (redis_reply_is(r, "NOAUTH"))
		return refuse(g, err, err_size, "it wants a password; set password_file");
	return refuse(g, err, err_size, "%s: %s", said[g->step], text);
}

/* 0: go on with the next step. */
static int
check_answer(struct redis_greet *g, const struct redis_reply *r, char *err, size_t err_size)
{
	bool error = redis_reply_is_error(r);

	if (g->step == GREET_HELLO && error && knows_no_hello(r))
		return 0;
	if (g->step == GREET_NAME)
		return 0; /* only a help for who looks at CLIENT LIST */
	if (error)
		return check_error(g, r, err, err_size);
	if (g->step == GREET_HELLO)
		g->resp3 = true;
	return g->step == GREET_ROLE ? check_role(g, r, err, err_size) : 0;
}

int
redis_greet_reply(struct redis_greet *g, const struct redis_reply *r, char *err, size_t err_size)
{
	int rc = check_answer(g, r, err, err_size);

	g->waits = false;
	if (rc != 0)
		return rc;
	g->step++;
	rc = go_on(g);
	return rc == -ENOMEM ? refuse(g, err, err_size, "no memory") : rc;
}
