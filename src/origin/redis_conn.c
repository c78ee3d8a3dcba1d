/* Requests that have no reply yet are a ring of pointers: the n-th reply belongs to
 * the n-th request, and one that nobody wants any more leaves an empty place.
 *
 * One timer serves all that is about time: until the connection is up, its deadline;
 * then the next PING, or the moment at which a silent server is given up. */
#include "config.h"

#include "origin/redis_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "origin/redis_greet.h"

#define RING_MIN 16u
/* So that one connection does not hold up the loop. */
#define READS_A_TURN 16
#define OUT_KEEP 4096
#define TEXT_MAX 300

struct place {
	struct redis_call *call; /* NULL: nobody waits for it */
	uint64_t at;             /* bytes queued before it, ever */
};

struct redis_conn {
	struct redis_conn_opts opts;
	struct redis_address to;
	struct redis_link link;
	struct redis_reader reader;
	struct redis_greet greet;
	struct timer timer;
	struct timer kick;       /* there is something to write, or more to read */
	struct buf out;
	struct place *ring;      /* [cap], a power of two */
	uint32_t cap;
	uint64_t head, tail;     /* oldest call without a reply; the next one */
	uint64_t queued, written;/* bytes of requests */
	int64_t heard_ms;        /* when something came last, or began to be owed */
	enum { CONN_CONNECTS, CONN_GREETS, CONN_UP, CONN_OVER } state;
	bool resp3, subscribed, write_blocked;
	bool closed;             /* by the owner, from within a callback */
	unsigned busy;           /* callbacks on the stack */
	char error[TEXT_MAX];
	struct redis_call ping;
};

/* --- its end ------------------------------------------------------------------- */

static void
conn_release(struct redis_conn *c)
{
	assert(c->busy == 0);
	redis_link_close(&c->link);
	timer_stop(&c->timer);
	timer_stop(&c->kick);
	redis_reader_fini(&c->reader);
	redis_greet_fini(&c->greet);
	buf_fini(&c->out);
	mem_free(c->ring);
	mem_free(c);
}

static void
conn_enter(struct redis_conn *c)
{
	c->busy++;
}

static void
conn_leave(struct redis_conn *c)
{
	if (--c->busy == 0 && c->closed)
		conn_release(c);
}

static struct place *
place_of(const struct redis_conn *c, uint64_t nth)
{
	return &c->ring[nth & (c->cap - 1)];
}

static void
forget_calls(struct redis_conn *c)
{
	for (; c->head != c->tail; c->head++) {
		struct redis_call *call = place_of(c, c->head)->call;

		if (call != NULL)
			call->conn = NULL;
	}
}

void
redis_conn_close(struct redis_conn *c)
{
	if (c == NULL)
		return;
	c->state = CONN_OVER;
	c->closed = true;
	forget_calls(c);
	redis_link_close(&c->link);
	timer_stop(&c->timer);
	timer_stop(&c->kick);
	if (c->busy == 0)
		conn_release(c);
}

/* Answers all, then tells the owner. c->error says why. */
static void
conn_end(struct redis_conn *c)
{
	bool unreached = c->state != CONN_UP;

	if (c->state == CONN_OVER)
		return;
	conn_enter(c);
	c->state = CONN_OVER;
	redis_link_close(&c->link);
	timer_stop(&c->timer);
	timer_stop(&c->kick);
	while (c->head != c->tail) {
		struct place p = *place_of(c, c->head++);

		if (p.call == NULL)
			continue;
		p.call->conn = NULL;
		p.call->sent = c->written > p.at;
		p.call->done(p.call, NULL, c->error);
	}
	if (!c->closed && c->opts.down != NULL)
		c->opts.down(c->opts.arg, unreached, c->error);
	conn_leave(c);
}

static PRINTF(2, 3) void
conn_fail(struct redis_conn *c, const char *fmt, ...)
{
	va_list ap;

	if (c->state == CONN_OVER)
		return;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof c->error, fmt, ap);
	va_end(ap);
	conn_end(c);
}

/* --- time ------------------------------------------------------------------------ */

static void
watch_silence(struct redis_conn *c)
{
	int64_t now_ms = loop_now_ms(c->opts.loop);
	int64_t wait_ms = c->head != c->tail ? c->opts.silent_ms : c->opts.ping_ms;

	timer_start(&c->timer, c->heard_ms + wait_ms - now_ms);
}

static void
on_pong(struct redis_call *call UNUSED, const struct redis_reply *r UNUSED,
    const char *why UNUSED)
{
}

static void
on_timer(struct timer *t)
{
	struct redis_conn *c = container_of(t, struct redis_conn, timer);
	int64_t silent_ms = loop_now_ms(c->opts.loop) - c->heard_ms;
	static const struct slice ping = { "PING", 4 };
	char doing[TEXT_MAX];

	if (c->state < CONN_UP) {
		redis_conn_doing(c, doing, sizeof doing);
		conn_fail(c, "%s within %lld ms", doing, (long long)c->opts.connect_ms);
	} else if (c->head != c->tail && silent_ms >= c->opts.silent_ms) {
		conn_fail(c, "%s answers nothing for %lld ms", c->to.name,
		    (long long)silent_ms);
	} else if (c->head == c->tail && silent_ms >= c->opts.ping_ms) {
		c->ping.done = on_pong;
		if (redis_conn_call(c, &c->ping, &ping, 1) != 0)
			conn_fail(c, "no memory");
	} else {
		watch_silence(c);
	}
}

/* --- writing ----------------------------------------------------------------------- */

static struct buf *
outgoing(struct redis_conn *c)
{
	return c->state == CONN_UP ? &c->out : &c->greet.out;
}

static void
flush(struct redis_conn *c)
{
	struct buf *out = outgoing(c);

	if (c->link.stage != LINK_UP)
		return;
	while (buf_len(out) != 0) {
		ssize_t n = redis_link_write(&c->link, buf_data(out), buf_len(out));

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			conn_fail(c, "%s: %s", c->to.name, c->link.error);
			return;
		}
		if (out == &c->out)
			c->written += (uint64_t)n;
		buf_consume(out, (size_t)n);
	}
	c->write_blocked = buf_len(out) != 0;
	if (!c->write_blocked)
		buf_shrink(out, OUT_KEEP);
	redis_link_want_write(&c->link, c->write_blocked);
}

/* 0 or -ENOMEM. */
static int
ring_grow(struct redis_conn *c)
{
	uint32_t cap = MAX(2 * c->cap, RING_MIN);
	struct place *ring = mem_calloc(cap, sizeof *ring);

	if (ring == NULL)
		return -ENOMEM;
	for (uint64_t i = c->head; i != c->tail; i++)
		ring[i & (cap - 1)] = *place_of(c, i);
	mem_free(c->ring);
	c->ring = ring;
	c->cap = cap;
	return 0;
}

static int
append(struct redis_conn *c, const struct slice *argv, uint32_t argc)
{
	size_t before = buf_len(&c->out);
	int rc = resp_request(&c->out, argv, argc);

	if (rc != 0)
		return rc;
	c->queued += buf_len(&c->out) - before;
	if (c->state == CONN_UP && !c->write_blocked && !timer_armed(&c->kick))
		timer_start(&c->kick, 0);
	return 0;
}

int
redis_conn_call(struct redis_conn *c, struct redis_call *call, const struct slice *argv,
    uint32_t argc)
{
	uint64_t at = c->queued;
	int rc;

	if (c->state == CONN_OVER)
		return -ENOTCONN;
	rc = c->tail - c->head == c->cap ? ring_grow(c) : 0;
	if (rc == 0)
		rc = append(c, argv, argc);
	if (rc != 0)
		return rc;
	call->conn = c;
	call->nth = c->tail;
	call->sent = false;
	if (c->head == c->tail && c->state == CONN_UP) {
		c->heard_ms = loop_now_ms(c->opts.loop);
		timer_start(&c->timer, c->opts.silent_ms);
	}
	*place_of(c, c->tail++) = (struct place){ .call = call, .at = at };
	return 0;
}

void
redis_call_cancel(struct redis_call *call)
{
	struct redis_conn *c = call->conn;

	if (c == NULL)
		return;
	place_of(c, call->nth)->call = NULL;
	call->conn = NULL;
}

int
redis_conn_subscribe(struct redis_conn *c, const struct slice *argv, uint32_t argc)
{
	int rc;

	if (c->state == CONN_OVER)
		return -ENOTCONN;
	rc = append(c, argv, argc);
	if (rc == 0)
		c->subscribed = true;
	return rc;
}

/* --- replies ---------------------------------------------------------------------- */

/* In RESP2 a connection that subscribed gets messages between its replies. */
static bool
is_message(const struct redis_reply *r)
{
	static const char *const words[] = { "message", "pmessage", "smessage", "subscribe",
		"psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe" };
	struct resp_value v;
	size_t pos = 0;

	if (r->head.type != RESP_ARRAY || r->head.n < 3 || !resp_reply_next(r->raw, &pos, &v) ||
	    !resp_reply_next(r->raw, &pos, &v) || v.type != RESP_BULK)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq(v.text, slice_str(words[i])))
			return true;
	return false;
}

static void
on_up(struct redis_conn *c)
{
	c->state = CONN_UP;
	c->resp3 = c->greet.resp3;
	redis_greet_fini(&c->greet);
	c->heard_ms = loop_now_ms(c->opts.loop);
	watch_silence(c);
	if (c->opts.up != NULL)
		c->opts.up(c->opts.arg);
	if (c->state == CONN_UP)
		flush(c);
}

static void
on_greeting(struct redis_conn *c, const struct redis_reply *r)
{
	int rc = redis_greet_reply(&c->greet, r, c->error, sizeof c->error);

	if (rc < 0)
		conn_end(c);
	else if (rc == 0)
		on_up(c);
	else
		flush(c);
}

static void
on_reply(struct redis_conn *c, const struct redis_reply *r)
{
	struct redis_call *call;
	char text[TEXT_MAX / 2];

	if (r->head.type == RESP_PUSH || (c->subscribed && !c->resp3 && is_message(r))) {
		if (c->opts.push != NULL)
			c->opts.push(c->opts.arg, r);
	} else if (c->state == CONN_GREETS && redis_greet_waits(&c->greet)) {
		on_greeting(c, r);
	} else if (c->head == c->tail) {
		redis_reply_text(r, text, sizeof text);
		conn_fail(c, "%s answers what nobody asked: %s", c->to.name, text);
	} else {
		call = place_of(c, c->head++)->call;
		if (call == NULL)
			return;
		call->conn = NULL;
		call->done(call, r, NULL);
	}
}

/* What the next reply is for, should it be a value. */
static enum redis_want
wanted(const struct redis_conn *c)
{
	const struct redis_call *call;

	if (c->state != CONN_UP || c->head == c->tail)
		return REDIS_WANT_ALL;
	call = place_of(c, c->head)->call;
	if (call == NULL)
		return REDIS_WANT_NOTHING;
	return call->want_body ? REDIS_WANT_BODY : REDIS_WANT_ALL;
}

static void
take_replies(struct redis_conn *c)
{
	struct redis_reply r;
	int rc = 1;

	while (c->state != CONN_OVER && rc > 0) {
		rc = redis_reader_next(&c->reader, wanted(c), &r);
		if (rc > 0)
			on_reply(c, &r);
	}
	if (c->state == CONN_OVER)
		return;
	if (rc < 0)
		conn_fail(c, rc == -ENOMEM ? "%s: no memory" : "%s sends what is no reply of Redis",
		    c->to.name);
	else
		redis_reader_rest(&c->reader);
}

/* Whether there may be more. */
static bool
read_some(struct redis_conn *c)
{
	size_t room;
	char *to = redis_reader_room(&c->reader, &room);
	ssize_t n;

	if (to == NULL) {
		conn_fail(c, "%s: no memory", c->to.name);
		return false;
	}
	n = redis_link_read(&c->link, to, room);
	if (n == -EAGAIN) {
		redis_reader_rest(&c->reader);
		return false;
	}
	if (n < 0) {
		conn_fail(c, "%s: %s", c->to.name, c->link.error);
		return false;
	}
	if (n == 0) {
		conn_fail(c, "%s closed the connection", c->to.name);
		return false;
	}
	c->heard_ms = loop_now_ms(c->opts.loop);
	redis_reader_got(&c->reader, (size_t)n);
	take_replies(c);
	/* TLS gives a record at a time, and may hold another one. */
	return c->state != CONN_OVER && ((size_t)n == room || c->link.session != NULL);
}

static void
on_ready(struct redis_link *l, int events)
{
	struct redis_conn *c = container_of(l, struct redis_conn, link);
	bool more = events != WATCH_WRITE || c->link.session != NULL;

	conn_enter(c);
	if (events == WATCH_FAILED)
		conn_fail(c, "%s: no memory", c->to.name);
	for (int i = 0; i < READS_A_TURN && more && c->state != CONN_OVER; i++)
		more = read_some(c);
	if (c->state != CONN_OVER && more && c->link.session != NULL)
		timer_start(&c->kick, 0);
	if (c->state != CONN_OVER && c->write_blocked)
		flush(c);
	conn_leave(c);
}

static void
on_kick(struct timer *t)
{
	struct redis_conn *c = container_of(t, struct redis_conn, kick);

	conn_enter(c);
	flush(c);
	if (c->state != CONN_OVER && c->link.session != NULL)
		on_ready(&c->link, WATCH_READ);
	conn_leave(c);
}

/* --- its beginning ------------------------------------------------------------------- */

static void
on_link_up(struct redis_link *l)
{
	struct redis_conn *c = container_of(l, struct redis_conn, link);
	int rc;

	conn_enter(c);
	c->state = CONN_GREETS;
	rc = redis_greet_begin(&c->greet);
	if (rc < 0)
		conn_fail(c, "%s: no memory", c->to.name);
	else if (rc == 0)
		on_up(c);
	else
		flush(c);
	conn_leave(c);
}

static void
on_link_failed(struct redis_link *l)
{
	struct redis_conn *c = container_of(l, struct redis_conn, link);

	conn_fail(c, "no connection to %s: %s", c->to.name, l->error);
}

static void
on_late_failure(struct timer *t)
{
	on_link_failed(&container_of(t, struct redis_conn, timer)->link);
}

int
redis_conn_open(const struct redis_conn_opts *o, struct redis_conn **out)
{
	struct redis_conn *c = mem_zalloc(sizeof *c);

	if (c == NULL)
		return -ENOMEM;
	c->opts = *o;
	c->to = *o->to;
	c->link.up = on_link_up;
	c->link.ready = on_ready;
	c->link.failed = on_link_failed;
	redis_reader_init(&c->reader, o->max_body);
	redis_greet_init(&c->greet, &c->opts, c->to.name);
	buf_init(&c->out);
	timer_init(&c->kick, o->loop, on_kick);
	if (redis_link_open(&c->link, o->loop, &c->to, o->tls) == 0) {
		timer_init(&c->timer, o->loop, on_timer);
		timer_start(&c->timer, o->connect_ms);
	} else {
		timer_init(&c->timer, o->loop, on_late_failure);
		timer_start(&c->timer, 0);
	}
	*out = c;
	return 0;
}

bool
redis_conn_is_up(const struct redis_conn *c)
{
	return c->state == CONN_UP;
}

bool
redis_conn_is_over(const struct redis_conn *c)
{
	return c->state == CONN_OVER;
}

bool
redis_conn_is_resp3(const struct redis_conn *c)
{
	return c->resp3;
}

const struct redis_address *
redis_conn_address(const struct redis_conn *c)
{
	return &c->to;
}

unsigned
redis_conn_load(const struct redis_conn *c)
{
	return (unsigned)(c->tail - c->head);
}

void
redis_conn_doing(const struct redis_conn *c, char *text, size_t size)
{
	redis_link_doing(&c->link, text, size);
}
