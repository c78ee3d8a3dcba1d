/* Whatever goes wrong is noted by channel_fail(), and seen to in a turn of its own: so
 * nothing is closed under a callback of what is closed. */
#include "config.h"

#include "origin/redis_channel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/draw.h"
#include "base/mem.h"

#define MESSAGES SLICE("__redis__:invalidate")
#define NEVER_MS (365LL * 24 * 3600 * 1000)

/* One of its connections. Over RESP3 there is only the first. */
struct line {
	struct redis_channel *channel;
	struct redis_node_opts opts;
	struct redis_node *node; /* NULL: none now */
	struct redis_conn *conn; /* NULL: not up */
	struct redis_call asked; /* CLIENT ID or CLIENT TRACKING */
	struct redis_call ping;
};

enum { LISTENS, ASKS };

struct redis_channel {
	struct redis_channel_opts opts;
	struct loop *loop;
	struct redis_address to;
	struct track track;
	struct line lines[2];
	struct timer timer;
	struct draw draw;
	int64_t asked_ms;    /* CLIENT TRACKING went out */
	char id[24];         /* of the line that listens, for REDIRECT */
	unsigned pings;      /* without an answer */
	bool failed;         /* error says why; the timer will see to it */
	char error[320];
	struct slice *argv;  /* of CLIENT TRACKING: six places, then the prefixes */
};

static PRINTF(2, 3) void
channel_fail(struct redis_channel *c, const char *fmt, ...)
{
	va_list ap;

	if (c->failed)
		return;
	c->failed = true;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof c->error, fmt, ap);
	va_end(ap);
	timer_start(&c->timer, 0);
}

static void
fail_by_reply(struct redis_channel *c, const char *what, const struct redis_reply *r,
    const char *why)
{
	char text[200];

	if (r != NULL)
		redis_reply_text(r, text, sizeof text);
	if (r != NULL)
		channel_fail(c, "%s answers %s with: %s", c->to.name, what, text);
	else
		channel_fail(c, "%s", why);
}

/* --- opening ------------------------------------------------------------------------ */

static void
on_tracking(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct redis_channel *c = container_of(call, struct line, asked)->channel;

	if (r == NULL || r->head.type != RESP_STATUS) {
		fail_by_reply(c, "CLIENT TRACKING", r, why);
		return;
	}
	c->error[0] = '\0';
	track_live(&c->track, c->asked_ms, loop_now_ms(c->loop));
	timer_start(&c->timer, c->track.due_ms - loop_now_ms(c->loop));
	c->opts.live(c->opts.arg, c);
}

static void
ask_tracking(struct line *line)
{
	struct redis_channel *c = line->channel;
	uint32_t n = 0;

	c->argv[n++] = SLICE("CLIENT");
	c->argv[n++] = SLICE("TRACKING");
	c->argv[n++] = SLICE("ON");
	if (line == &c->lines[ASKS]) {
		c->argv[n++] = SLICE("REDIRECT");
		c->argv[n++] = slice_str(c->id);
	}
	c->argv[n++] = SLICE("BCAST");
	for (unsigned i = 0; i < c->opts.n_prefixes && c->opts.prefixes[i].len != 0; i++) {
		c->argv[n++] = SLICE("PREFIX");
		c->argv[n++] = c->opts.prefixes[i];
	}
	c->asked_ms = loop_now_ms(c->loop);
	line->asked.done = on_tracking;
	if (redis_conn_call(line->conn, &line->asked, c->argv, n) != 0)
		channel_fail(c, "no memory");
}

static void
on_id(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct line *line = container_of(call, struct line, asked);
	const struct slice argv[] = { SLICE("SUBSCRIBE"), MESSAGES };
	struct redis_channel *c = line->channel;

	if (r == NULL || r->head.type != RESP_INT)
		fail_by_reply(c, "CLIENT ID", r, why);
	else if (redis_conn_subscribe(line->conn, argv, ARRAY_LEN(argv)) != 0)
		channel_fail(c, "no memory");
	else
		snprintf(c->id, sizeof c->id, "%lld", (long long)r->head.n);
}

static void
ask_id(struct line *line)
{
	static const struct slice argv[] = { { "CLIENT", 6 }, { "ID", 2 } };

	line->asked.done = on_id;
	if (redis_conn_call(line->conn, &line->asked, argv, ARRAY_LEN(argv)) != 0)
		channel_fail(line->channel, "no memory");
}

static void
on_up(void *arg, struct redis_node *n, struct redis_conn *conn)
{
	struct line *line = arg;

	(void)n;
	line->conn = conn;
	if (line == &line->channel->lines[ASKS] || redis_conn_is_resp3(conn))
		ask_tracking(line);
	else
		ask_id(line);
}

static void
on_down(void *arg, struct redis_node *n, const char *why)
{
	struct line *line = arg;

	(void)n;
	line->conn = NULL;
	channel_fail(line->channel, "%s", why);
}

static void
line_open(struct line *line)
{
	struct redis_channel *c = line->channel;

	line->node = redis_node_new(&line->opts, &c->to);
	if (line->node == NULL)
		channel_fail(c, "no memory");
	else if (redis_node_conn(line->node) == NULL)
		channel_fail(c, "%s", line->node->error);
}

static void
line_close(struct line *line)
{
	redis_call_cancel(&line->asked);
	redis_call_cancel(&line->ping);
	redis_node_free(line->node);
	line->node = NULL;
	line->conn = NULL;
}

/* --- what is heard ---------------------------------------------------------------------- */

/* An array of keys, or nothing, which means all of them. */
static void
hear(struct redis_channel *c, const struct redis_reply *r, size_t pos)
{
	struct resp_value v;

	if (!resp_reply_next(r->raw, &pos, &v) ||
	    (v.type != RESP_ARRAY && v.type != RESP_NIL)) {
		channel_fail(c, "%s sends an invalidation of no keys", c->to.name);
		return;
	}
	if (v.type == RESP_NIL) {
		c->opts.flush(c->opts.arg);
		return;
	}
	for (int64_t left = v.n; left > 0 && resp_reply_next(r->raw, &pos, &v); left--)
		if (v.type == RESP_BULK)
			c->opts.key(c->opts.arg, v.text);
}

/* RESP3: invalidate, keys. RESP2: message, channel, keys; or subscribe, channel, count. */
static void
on_push(void *arg, struct redis_node *n, const struct redis_reply *r)
{
	struct line *line = arg;
	struct redis_channel *c = line->channel;
	struct resp_value v = { .type = RESP_NIL }, name;
	size_t pos = 0;

	(void)n;
	if (c->failed || !resp_reply_next(r->raw, &pos, &v) || !resp_reply_next(r->raw, &pos, &v))
		return;
	if (slice_eq(v.text, SLICE("invalidate"))) {
		hear(c, r, pos);
	} else if (slice_eq(v.text, SLICE("message"))) {
		if (resp_reply_next(r->raw, &pos, &name) && slice_eq(name.text, MESSAGES))
			hear(c, r, pos);
	} else if (slice_eq(v.text, SLICE("subscribe"))) {
		if (c->lines[ASKS].node == NULL)
			line_open(&c->lines[ASKS]);
	} else if (slice_eq(v.text, SLICE("tracking-redir-broken"))) {
		channel_fail(c, "%s says that the redirection is broken", c->to.name);
	}
}

/* --- signs of life -------------------------------------------------------------------------- */

static void
on_pong(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct redis_channel *c = container_of(call, struct line, ping)->channel;

	if (r == NULL || redis_reply_is_error(r)) {
		fail_by_reply(c, "PING", r, why);
	} else if (--c->pings == 0) {
		track_pong(&c->track, loop_now_ms(c->loop));
		timer_start(&c->timer, c->track.due_ms - loop_now_ms(c->loop));
	}
}

static void
ping(struct redis_channel *c)
{
	static const struct slice argv = { "PING", 4 };

	c->pings = 0;
	for (unsigned i = 0; i < ARRAY_LEN(c->lines); i++) {
		struct line *line = &c->lines[i];

		if (line->conn == NULL)
			continue;
		line->ping.done = on_pong;
		c->pings++;
		if (redis_conn_call(line->conn, &line->ping, &argv, 1) != 0)
			channel_fail(c, "no memory");
	}
}

/* --- its life --------------------------------------------------------------------------------- */

static void
channel_down(struct redis_channel *c)
{
	int64_t proof_ms = c->track.proof_ms;

	line_close(&c->lines[LISTENS]);
	line_close(&c->lines[ASKS]);
	c->failed = false;
	if (track_down(&c->track, loop_now_ms(c->loop), draw_next(&c->draw)))
		c->opts.lost(c->opts.arg, c, proof_ms, c->error);
	else
		c->opts.refused(c->opts.arg, c, c->error);
}

static void
give_up(struct redis_channel *c)
{
	if (c->track.state == TRACK_LIVE)
		channel_fail(c, "%s answers no PING within %lld ms", c->to.name,
		    (long long)c->track.opts.ping_timeout_ms);
	else
		channel_fail(c, "%s: no tracking within %lld ms", c->to.name,
		    (long long)c->track.opts.ping_timeout_ms);
	channel_down(c);
}

/* lost() and refused() may close the channel, so it is the last thing here. */
static void
on_timer(struct timer *t)
{
	struct redis_channel *c = container_of(t, struct redis_channel, timer);
	int64_t now_ms = loop_now_ms(c->loop);
	enum track_wish wish = TRACK_CLOSE;

	if (c->failed) {
		timer_start(t, 0);
		channel_down(c);
		return;
	}
	wish = track_step(&c->track, now_ms);
	timer_start(t, wish == TRACK_CLOSE ? 0 : c->track.due_ms - now_ms);
	if (wish == TRACK_OPEN)
		line_open(&c->lines[LISTENS]);
	else if (wish == TRACK_PING)
		ping(c);
	else if (wish == TRACK_CLOSE)
		give_up(c);
}

static void
line_init(struct line *line, struct redis_channel *c, bool resp2)
{
	line->channel = c;
	line->opts = *c->opts.node;
	line->opts.connections = 1;
	line->opts.conn.resp2 = resp2;
	line->opts.conn.database = 0;
	line->opts.conn.connect_ms = c->opts.track.ping_timeout_ms;
	line->opts.conn.ping_ms = NEVER_MS;
	line->opts.conn.silent_ms = NEVER_MS;
	line->opts.up = on_up;
	line->opts.push = on_push;
	line->opts.down = on_down;
	line->opts.arg = line;
}

int
redis_channel_open(const struct redis_channel_opts *o, struct redis_channel **out)
{
	struct redis_channel *c = mem_zalloc(sizeof *c);

	if (c == NULL)
		return -ENOMEM;
	c->argv = mem_calloc(6 + 2 * (size_t)o->n_prefixes, sizeof *c->argv);
	if (c->argv == NULL) {
		mem_free(c);
		return -ENOMEM;
	}
	c->opts = *o;
	c->to = *o->to;
	c->loop = o->node->conn.loop;
	c->draw.state = (uint64_t)loop_now_us(c->loop) ^ (uintptr_t)c;
	line_init(&c->lines[LISTENS], c, o->node->conn.resp2);
	line_init(&c->lines[ASKS], c, true);
	track_init(&c->track, &o->track, loop_now_ms(c->loop));
	timer_init(&c->timer, c->loop, on_timer);
	timer_start(&c->timer, 0);
	*out = c;
	return 0;
}

void
redis_channel_close(struct redis_channel *c)
{
	if (c == NULL)
		return;
	line_close(&c->lines[LISTENS]);
	line_close(&c->lines[ASKS]);
	timer_stop(&c->timer);
	mem_free(c->argv);
	mem_free(c);
}

enum track_state
redis_channel_state(const struct redis_channel *c)
{
	return c->track.state;
}

const struct redis_address *
redis_channel_address(const struct redis_channel *c)
{
	return &c->to;
}

bool
redis_channel_is_redirected(const struct redis_channel *c)
{
	return c->lines[ASKS].conn != NULL;
}

const char *
redis_channel_error(const struct redis_channel *c)
{
	return c->error;
}
