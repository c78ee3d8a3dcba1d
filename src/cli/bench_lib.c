#include "config.h"

#include "cli/bench_lib.h"

#include <errno.h>
#include <pannier.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

#define CONNECT_MS 10000
#define TIMEOUT_MS 3600000 /* --timeout comes first */
#define ADDRESS_MAX 300

/* --- opening --------------------------------------------------------------------- */

struct greeting {
	int status;
	bool done;
	char text[200];
};

static void
greeted(void *arg, const struct pannier_reply *r)
{
	struct greeting *g = arg;

	g->status = r->status;
	g->done = true;
	snprintf(g->text, sizeof g->text, "%.*s", (int)MIN(r->text.len, sizeof g->text - 1),
	    (const char *)r->text.ptr);
}

static void
turn(struct pannier_conn *lib)
{
	int events = pannier_conn_events(lib), ready = 0;
	struct pollfd p = { .fd = pannier_conn_fd(lib) };

	p.events = (short)(((events & PANNIER_READ) != 0 ? POLLIN : 0) |
	    ((events & PANNIER_WRITE) != 0 ? POLLOUT : 0));
	if (poll(&p, 1, pannier_conn_wait_ms(lib)) > 0)
		ready = events;
	pannier_conn_step(lib, ready);
}

/* A PING and its answer. 0 or -errno with a sentence. */
static MUST_CHECK int
greet(struct pannier_conn *lib, char *err, size_t err_size)
{
	struct pannier_request ping = { .op = PANNIER_OP_PING };
	struct greeting g = { .text = "" };
	int rc = pannier_send(lib, &ping, greeted, &g, NULL);

	if (rc != 0) {
		snprintf(err, err_size, "%s", pannier_conn_reason(lib));
		return rc == PANNIER_E_NOMEM ? -ENOMEM : -ECONNREFUSED;
	}
	while (!g.done)
		turn(lib);
	if (g.status == PANNIER_DONE)
		return 0;
	snprintf(err, err_size, "%s%s", g.status == PANNIER_E_PROTOCOL ?
	    "the server does not speak the binary protocol: " : "", g.text);
	return g.status == PANNIER_E_AWAY ? -ECONNREFUSED : -EPROTO;
}

static MUST_CHECK int
take_address(struct pannier_options *o, const char *address)
{
	bool plain = strncmp(address, "tcp:", 4) != 0 && strncmp(address, "unix:", 5) != 0;
	char text[ADDRESS_MAX];

	if (strlen(address) >= sizeof text - 5)
		return PANNIER_E_ARGS;
	snprintf(text, sizeof text, "%s%s", plain ? "unix:" : "", address);
	return pannier_options_address(o, text);
}

int
bench_lib_open(struct bench_conn *c, const char *address, char *err, size_t err_size)
{
	struct pannier_options *o = pannier_options_new();
	char why[256] = "no memory for a connection";
	int rc = o != NULL ? take_address(o, address) : PANNIER_E_NOMEM;

	if (rc == PANNIER_E_ARGS)
		snprintf(why, sizeof why, "write unix:PATH or tcp:HOST:PORT");
	if (rc == 0 && pannier_options_timeout(o, TIMEOUT_MS) == 0 &&
	    pannier_options_connect_timeout(o, CONNECT_MS) == 0)
		rc = pannier_conn_new(o, &c->lib);
	pannier_options_free(o);
	if (rc != 0)
		rc = rc == PANNIER_E_ARGS ? -EINVAL : -ENOMEM;
	else
		rc = greet(c->lib, why, sizeof why);
	if (rc == 0)
		c->fd = pannier_conn_fd(c->lib);
	else
		snprintf(err, err_size, "%s: %s", address, why);
	return rc;
}

/* --- answers --------------------------------------------------------------------- */

static void
fail(struct bench_worker *w, const struct pannier_reply *r)
{
	int rc = r->status == PANNIER_E_AWAY ? -ECONNRESET : -EPROTO;

	w->lib_rc = bench_fault(w, rc, "%.*s", (int)MIN(r->text.len, 200),
	    (const char *)r->text.ptr);
}

static enum bench_answer
answer_of(int status)
{
	switch (status) {
	case PANNIER_MISS:
	case PANNIER_NEGATIVE:
		return BENCH_NOTHING;
	case PANNIER_STORED:
		return BENCH_STORED;
	case PANNIER_ERROR:
		return BENCH_ERROR;
	default:
		return BENCH_VALUE;
	}
}

static void
answered(void *arg, const struct pannier_reply *r)
{
	struct bench_op op = *(const struct bench_op *)arg;
	struct bench_worker *w = op.conn->worker;
	const struct pannier_bytes *text = r->status == PANNIER_ERROR ? &r->text : &r->value;
	struct bench_reply reply = { answer_of(r->status), slice_of(text->ptr, text->len) };
	int rc;

	bench_conn_give(op.conn, arg);
	if (unlikely(w->lib_rc != 0))
		return;
	if (unlikely(r->status < 0)) {
		fail(w, r);
		return;
	}
	rc = bench_answered(w, op.conn, &op, &reply);
	if (unlikely(rc != 0))
		w->lib_rc = rc;
}

/* --- asking ------------------------------------------------------------------------ */

int
bench_lib_ask(struct bench_worker *w, struct bench_conn *c, const struct bench_op *op,
    struct slice value, const struct bench_expiry *expiry)
{
	char key[256];
	struct pannier_request r = { .op = op->set ? PANNIER_OP_SET : PANNIER_OP_GET,
		.key = { key, bench_wire_key(&w->run->wire, key, op->id) },
		.value = { value.ptr, value.len }, .ttl_ms = expiry->ttl_ms };
	struct bench_op *slot = bench_conn_take(c);

	if (expiry->at_unix_ms != 0)
		r.ttl_ms = MAX(expiry->at_unix_ms - clock_wall_ms(), 1);
	*slot = *op;
	slot->conn = c;
	if (likely(pannier_send(c->lib, &r, answered, slot, NULL) == 0))
		return 0;
	bench_conn_give(c, slot);
	return w->lib_rc != 0 ? w->lib_rc : bench_fault(w, -ENOMEM, "%s",
	    pannier_conn_reason(c->lib));
}

/* What went through the socket since the last look. */
static void
count_bytes(struct bench_worker *w, struct bench_conn *c)
{
	uint64_t sent, received;

	pannier_conn_bytes(c->lib, &sent, &received);
	counter_add(&w->tally.bytes_out, (int64_t)(sent - c->sent));
	counter_add(&w->tally.bytes_in, (int64_t)(received - c->received));
	if (received != c->received)
		c->last_us = w->to_us;
	c->sent = sent;
	c->received = received;
}

int
bench_lib_flush(struct bench_worker *w, struct bench_conn *c, bool *want_write)
{
	pannier_conn_step(c->lib, 0);
	count_bytes(w, c);
	*want_write = (pannier_conn_events(c->lib) & PANNIER_WRITE) != 0;
	return w->lib_rc;
}

int
bench_lib_receive(struct bench_worker *w, struct bench_conn *c)
{
	w->to_us = clock_mono_us();
	pannier_conn_step(c->lib, PANNIER_READ);
	count_bytes(w, c);
	return w->lib_rc;
}
