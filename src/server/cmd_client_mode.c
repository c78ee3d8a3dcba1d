/* CLIENT PAUSE, UNPAUSE, REPLY, NO-EVICT, NO-TOUCH: how requests are served. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/door.h"
#include "server/server.h"
#include "server/session.h"

/* --- PAUSE, on all loops -------------------------------------------------------- */

struct pausing {
	enum pause_mode mode;
	int64_t end_ms;
};

static void
pause_loop(struct server_loop *sl, struct buf *to, void *arg)
{
	const struct pausing *p = arg;

	(void)to;
	if (p->mode != PAUSE_OFF)
		pause_begin(sl, p->mode, p->end_ms);
	else
		pause_end(sl);
}

static void
pause_finish(struct reply *r, struct slice joined, void *arg)
{
	(void)joined;
	if (r != NULL)
		reply_ok(r);
	mem_free(arg);
}

static void
pause_all_loops(struct call *c, enum pause_mode mode, int64_t end_ms)
{
	struct pausing *p = mem_alloc(sizeof *p);

	if (p == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	*p = (struct pausing){ mode, end_ms };
	call_gather(c, pause_loop, pause_finish, p);
}

void
cmd_client_pause(struct call *c)
{
	enum pause_mode mode = PAUSE_ALL;
	int64_t ms;

	if (c->argc > 4) {
		call_wrong_subcommand_args(c);
		return;
	}
	if (c->argc == 4 && slice_caseeq(c->argv[3], SLICE("write"))) {
		mode = PAUSE_WRITES;
	} else if (c->argc == 4 && !slice_caseeq(c->argv[3], SLICE("all"))) {
		reply_error(c->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
		return;
	}
	if (parse_i64(c->argv[2], &ms) != 0)
		reply_error(c->reply, "ERR timeout is not an integer or out of range");
	else if (ms < 0)
		reply_error(c->reply, "ERR timeout is negative");
	else
		pause_all_loops(c, mode, MIN(ms, INT64_MAX / 2) + c->now_ms);
}

void
cmd_client_unpause(struct call *c)
{
	pause_all_loops(c, PAUSE_OFF, 0);
}

/* --- this connection -------------------------------------------------------------- */

void
cmd_client_reply(struct call *c)
{
	struct session *s = c->session;

	if (slice_caseeq(c->argv[2], SLICE("on"))) {
		s->replies = REPLY_ON;
		reply_ok(c->reply);
	} else if (slice_caseeq(c->argv[2], SLICE("off"))) {
		s->replies = REPLY_OFF;
	} else if (slice_caseeq(c->argv[2], SLICE("skip"))) {
		if (s->replies != REPLY_OFF)
			s->replies = REPLY_SKIP_NEXT;
	} else {
		call_syntax_error(c);
		return;
	}
	door_update(s);
}

/* False: the error reply is written. */
static bool
parse_on_off(struct call *c, bool *on)
{
	*on = slice_caseeq(c->argv[2], SLICE("on"));
	if (*on || slice_caseeq(c->argv[2], SLICE("off")))
		return true;
	call_syntax_error(c);
	return false;
}

void
cmd_client_no_evict(struct call *c)
{
	bool on;

	if (!parse_on_off(c, &on))
		return;
	c->session->no_evict = on;
	conn_shelter(c->session->conn, on);
	reply_ok(c->reply);
}

void
cmd_client_no_touch(struct call *c)
{
	bool on;

	if (!parse_on_off(c, &on))
		return;
	c->session->no_touch = on;
	door_update(c->session);
	reply_ok(c->reply);
}
