/* conn.c - requests that wait for their replies, by id. An id is a slot of a table, and
 * the last one that became free is the next one given, so that ids stay short. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "clients/c/src/conn_impl.h"

#define READ_BYTES 65536
#define READS_A_STEP 16 /* then the caller's loop has its turn */
#define KEEP_BYTES 262144

/* --- slots --------------------------------------------------------------------------- */

static int
slots_grow(struct pannier_conn *c)
{
	uint32_t n = c->n_slots != 0 ? 2 * c->n_slots : 16;
	struct slot *more;

	if (n >= UINT32_MAX / 2)
		return PANNIER_E_NOMEM;
	more = mem_realloc(c->slots, n * sizeof *more);
	if (more == NULL)
		return PANNIER_E_NOMEM;
	for (uint32_t i = n; i-- > c->n_slots;) {
		more[i] = (struct slot){ .next_free = c->free_slot };
		c->free_slot = i;
	}
	c->slots = more;
	c->n_slots = n;
	return 0;
}

/* To be filled; the last step of a request that is written. */
static struct slot *
slot_take(struct pannier_conn *c)
{
	struct slot *s = &c->slots[c->free_slot];

	c->free_slot = s->next_free;
	s->used = true;
	s->callback = NULL;
	return s;
}

static void
slot_wait(struct pannier_conn *c, const struct slot *s)
{
	c->pending++;
	if (s->deadline_ms < c->next_deadline)
		c->next_deadline = s->deadline_ms;
}

void
conn_slot_give(struct pannier_conn *c, uint32_t id)
{
	c->slots[id].used = false;
	c->slots[id].next_free = c->free_slot;
	c->free_slot = id;
}

static void
finish(struct pannier_conn *c, const struct slot *s, const struct pannier_reply *r)
{
	if (c->o.metrics != NULL)
		c->o.metrics(c->o.metrics_arg, binary_ops[s->op].name, pannier_status_name(r->status),
		    (uint64_t)(c->o.now_us() - s->begun_us));
	s->callback(s->arg, r);
}

void
conn_fail_slot(struct pannier_conn *c, const struct slot *s, int status, const char *text)
{
	struct pannier_reply r;

	reply_failure(&r, status, text);
	finish(c, s, &r);
}

/* --- the end of a connection ----------------------------------------------------------- */

static void
close_socket(struct pannier_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->addrs != NULL)
		freeaddrinfo(c->addrs);
	c->addrs = c->addr = NULL;
	c->state = CLOSED;
	buf_fini(&c->in);
	out_fini(&c->queue);
	out_fini(&c->out);
}

/* Callbacks may send anew: the table is a fresh one before the first is called. */
static void
fail_all(struct pannier_conn *c, const struct pannier_reply *r)
{
	struct slot *slots = c->slots;
	uint32_t n = c->n_slots;

	c->slots = NULL;
	c->n_slots = 0;
	c->free_slot = NO_SLOT;
	c->pending = c->abandoned = 0;
	c->next_deadline = INT64_MAX;
	for (uint32_t i = 0; i < n; i++)
		if (slots[i].used && slots[i].callback != NULL)
			finish(c, &slots[i], r);
	mem_free(slots);
}

static void
back_off(struct pannier_conn *c)
{
	uint32_t half = c->backoff_ms / 2;

	c->not_before = conn_now_ms(c) + half + c->o.random(&c->o.seed) % (half + 1);
	c->backoff_ms = MIN(2 * c->backoff_ms, (uint32_t)BACKOFF_MOST_MS);
}

void
conn_fail_with(struct pannier_conn *c, const struct pannier_reply *r)
{
	if (c->state != OPEN)
		back_off(c);
	/* It may point into what is freed now. */
	snprintf(c->reason, sizeof c->reason, "%.*s", (int)MIN(r->text.len, (size_t)250),
	    (const char *)r->text.ptr);
	close_socket(c);
	fail_all(c, &(struct pannier_reply){ .status = r->status, .text = pannier_str(c->reason),
	    .code = r->code, .left_ms = PANNIER_UNKNOWN, .age_ms = PANNIER_UNKNOWN });
}

void
conn_fail(struct pannier_conn *c, int status, const char *text)
{
	struct pannier_reply r;

	reply_failure(&r, status, text);
	conn_fail_with(c, &r);
}

void
conn_fail_errno(struct pannier_conn *c, const char *what, int err)
{
	char text[128];

	snprintf(text, sizeof text, "%s: %s", what, strerror(err));
	conn_fail(c, PANNIER_E_AWAY, text);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void
deliver(struct pannier_conn *c, const struct binary_frame *f)
{
	struct pannier_reply r;
	struct slot s;
	char text[200];

	if (c->state == AUTHENTICATING && (f->nil_a || f->a == NO_SLOT)) {
		conn_authenticated(c, f);
		return;
	}
	if (f->nil_a) {
		bool said = f->argc > 1 && f->argv[1].kind == BINARY_BYTES;

		snprintf(text, sizeof text, "the server says: %.*s",
		    said ? (int)MIN(f->argv[1].n, (uint64_t)150) : 0, said ? f->argv[1].ptr : "");
		conn_fail(c, PANNIER_E_PROTOCOL, text);
		return;
	}
	if (f->a >= c->n_slots || !c->slots[f->a].used) {
		snprintf(text, sizeof text, "a reply to request %u, which nobody made", f->a);
		conn_fail(c, PANNIER_E_PROTOCOL, text);
		return;
	}
	s = c->slots[f->a];
	conn_slot_give(c, f->a);
	if (s.callback == NULL) {
		c->abandoned--;
		return;
	}
	c->pending--;
	reply_read(f, s.op, s.n_items, &r);
	finish(c, &s, &r);
	reply_fini(&r);
}

/* False: the connection ended, or is another one. */
static bool
take_replies(struct pannier_conn *c)
{
	unsigned generation = c->generation;
	struct binary_batch b;
	enum parse_status status;
	size_t used;

	do {
		status = binary_parse(&c->parser, buf_data(&c->in), buf_len(&c->in), &b, &used);
		for (unsigned i = 0; i < b.n; i++) {
			deliver(c, &b.req[i]);
			if (c->state == CLOSED || c->generation != generation)
				return false;
		}
		buf_consume(&c->in, used);
		if (status == PARSE_ERROR) {
			conn_fail(c, PANNIER_E_PROTOCOL, c->parser.error);
			return false;
		}
	} while (b.n != 0 && buf_len(&c->in) != 0);
	buf_shrink(&c->in, KEEP_BYTES);
	return true;
}

/* --- bytes --------------------------------------------------------------------------------------- */

/* False: the connection ended, or all was sent that can be. */
static bool
write_some(struct pannier_conn *c)
{
	struct iovec iov[4];
	struct msghdr m = { .msg_iov = iov };
	ssize_t n;

	m.msg_iovlen = (size_t)out_iov(&c->out, iov, ARRAY_LEN(iov));
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0) {
		/* What the peer said before it closed is read first. */
		if (errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
			conn_fail_errno(c, "the connection was lost", errno);
		return false;
	}
	out_consume(&c->out, (size_t)n);
	c->sent += (size_t)n;
	return out_len(&c->out) != 0;
}

static bool
read_some(struct pannier_conn *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, READ_BYTES) != 0) {
		conn_fail(c, PANNIER_E_NOMEM, "no memory for what comes");
		return false;
	}
	n = recv(c->fd, buf_tail(&c->in), READ_BYTES, 0);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_fail_errno(c, "the connection was lost", errno);
	} else if (n == 0) {
		if (c->state == GREETING)
			conn_take_preface(c, true);
		if (c->state != CLOSED)
			conn_fail(c, PANNIER_E_AWAY, "the sidecar closed the connection");
	}
	if (n <= 0)
		return n < 0 && c->state != CLOSED && errno == EINTR;
	buf_commit(&c->in, (size_t)n);
	c->received += (size_t)n;
	if (c->state == GREETING && !conn_take_preface(c, false))
		return c->state != CLOSED;
	return take_replies(c) && n == READ_BYTES;
}

/* --- time ------------------------------------------------------------------------------------------ */

static void
abandon(struct pannier_conn *c, uint32_t id)
{
	struct pannier_request r = { .op = PANNIER_OP_CANCEL, .target = id };
	struct slot s = c->slots[id];
	const char *why;

	c->slots[id].callback = NULL;
	c->pending--;
	c->abandoned++;
	if (c->state == OPEN && s.op != PANNIER_OP_CANCEL &&
	    (c->free_slot != NO_SLOT || slots_grow(c) == 0) &&
	    request_write(&c->out, c->free_slot, &r, 0, &why) == 0) {
		slot_take(c)->op = PANNIER_OP_CANCEL;
		c->abandoned++;
	}
	conn_fail_slot(c, &s, PANNIER_E_TIMEOUT, "no reply in time");
}

static void
expire(struct pannier_conn *c, int64_t now)
{
	unsigned generation = c->generation;

	if (now < c->next_deadline)
		return;
	c->next_deadline = INT64_MAX;
	for (uint32_t i = 0; i < c->n_slots; i++) {
		struct slot *s = &c->slots[i];

		if (!s->used || s->callback == NULL)
			continue;
		if (s->deadline_ms > now)
			c->next_deadline = MIN(c->next_deadline, s->deadline_ms);
		else
			abandon(c, i);
		if (c->generation != generation)
			return;
	}
	if (c->abandoned > ABANDONED_MOST)
		conn_fail(c, PANNIER_E_AWAY, "the sidecar answers nothing");
}

/* --- the interface ------------------------------------------------------------------------------------ */

int
pannier_conn_new(const struct pannier_options *o, struct pannier_conn **out)
{
	struct pannier_options *usual = o == NULL ? pannier_options_new() : NULL;
	struct pannier_conn *c = mem_zalloc(sizeof *c);
	int rc = PANNIER_E_NOMEM;

	if (c != NULL && (o != NULL || usual != NULL))
		rc = options_copy(&c->o, o != NULL ? o : usual);
	pannier_options_free(usual);
	if (rc != 0) {
		mem_free(c);
		return rc;
	}
	c->fd = -1;
	c->free_slot = NO_SLOT;
	c->next_deadline = INT64_MAX;
	c->backoff_ms = BACKOFF_FIRST_MS;
	buf_init(&c->in);
	out_init(&c->queue);
	out_init(&c->out);
	*out = c;
	return 0;
}

void
pannier_conn_close(struct pannier_conn *c)
{
	struct pannier_reply r;

	reply_failure(&r, PANNIER_E_AWAY, "the connection was closed by its owner");
	close_socket(c);
	fail_all(c, &r);
}

void
pannier_conn_free(struct pannier_conn *c)
{
	if (c == NULL)
		return;
	/* A callback may send once more; that one fails as well, and no more is taken. */
	c->not_before = INT64_MAX;
	pannier_conn_close(c);
	options_fini(&c->o);
	mem_free(c);
}

int
pannier_conn_fd(const struct pannier_conn *c)
{
	return c->fd;
}

unsigned
pannier_conn_generation(const struct pannier_conn *c)
{
	return c->generation;
}

size_t
pannier_conn_pending(const struct pannier_conn *c)
{
	return c->pending;
}

void
pannier_conn_bytes(const struct pannier_conn *c, uint64_t *sent, uint64_t *received)
{
	*sent = c->sent;
	*received = c->received;
}

bool
conn_is_open(const struct pannier_conn *c)
{
	return c->state == OPEN;
}

const char *
pannier_conn_reason(const struct pannier_conn *c)
{
	return c->reason;
}

int
pannier_conn_events(const struct pannier_conn *c)
{
	if (c->fd < 0)
		return 0;
	if (c->state == CONNECTING)
		return PANNIER_WRITE;
	return PANNIER_READ | (out_len(&c->out) != 0 ? PANNIER_WRITE : 0);
}

int
pannier_conn_wait_ms(const struct pannier_conn *c)
{
	int64_t at = c->next_deadline, left;

	if (c->state != CLOSED && c->state != OPEN)
		at = MIN(at, c->connect_by);
	if (at == INT64_MAX)
		return -1;
	left = at - conn_now_ms(c);
	return left <= 0 ? 0 : (int)MIN(left, (int64_t)TIMEOUT_MOST_MS);
}

void
pannier_conn_step(struct pannier_conn *c, int events)
{
	int64_t now = conn_now_ms(c);

	if (c->state == CONNECTING && events != 0)
		conn_connected(c);
	if (c->state > CONNECTING && out_len(&c->out) != 0)
		while (write_some(c))
			;
	if (c->state > CONNECTING && (events & PANNIER_READ) != 0)
		for (int i = 0; i < READS_A_STEP && read_some(c); i++)
			;
	if (c->state != CLOSED && c->state != OPEN && now >= c->connect_by)
		conn_fail(c, PANNIER_E_AWAY, "the sidecar did not answer the preface in time");
	expire(c, now);
	/* What callbacks, or an answered preface, put there. */
	if (c->state > CONNECTING && out_len(&c->out) != 0)
		while (write_some(c))
			;
}

/* The frame behind what waits to be sent; 0, or a failure with *why. */
static int
write_request(struct pannier_conn *c, const struct pannier_request *r, uint32_t timeout_ms,
    const char **why)
{
	struct out *o = c->state == OPEN ? &c->out : &c->queue;
	size_t before = buf_len(&o->bytes);
	int rc = request_write(o, c->free_slot, r, timeout_ms, why);

	if (rc == 0 && c->state == OPEN &&
	    unlikely(buf_len(&o->bytes) - before > c->max_frame)) {
		o->bytes.tail = o->bytes.head + before;
		*why = "longer than the sidecar takes";
		rc = PANNIER_E_ARGS;
	}
	return rc;
}

int
pannier_send(struct pannier_conn *c, const struct pannier_request *r, pannier_callback *callback,
    void *arg, uint32_t *id)
{
	uint32_t timeout_ms = r->timeout_ms != 0 ? r->timeout_ms : c->o.timeout_ms;
	const char *why = "no memory";
	int64_t now_us;
	struct slot *s;
	int rc = unlikely(c->state == CLOSED) ? conn_start(c) : 0;

	if (rc != 0)
		return rc;
	rc = unlikely(c->free_slot == NO_SLOT) ? slots_grow(c) : 0;
	if (rc == 0)
		rc = write_request(c, r, timeout_ms, &why);
	if (unlikely(rc != 0)) {
		snprintf(c->reason, sizeof c->reason, "%s", why);
		return rc;
	}
	if (id != NULL)
		*id = c->free_slot;
	now_us = c->o.now_us();
	s = slot_take(c);
	s->callback = callback;
	s->arg = arg;
	s->begun_us = now_us;
	s->deadline_ms = now_us / 1000 + timeout_ms;
	s->op = r->op;
	s->n_items = request_items(r);
	slot_wait(c, s);
	return 0;
}
