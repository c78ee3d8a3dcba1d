/* conn_open.c - from a name to an answered preface, and what waited for that. */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clients/c/src/conn_impl.h"

/* Ends the connection that could not be made. */
static void
no_connection(struct pannier_conn *c, int err)
{
	switch (err) {
	case ENOENT:
		conn_fail(c, PANNIER_E_AWAY, "no such socket; is pannier running?");
		break;
	case ECONNREFUSED:
		conn_fail(c, PANNIER_E_AWAY, "nobody listens there; is pannier running?");
		break;
	case EACCES:
		conn_fail(c, PANNIER_E_AWAY,
		    "permission denied; the socket's mode, owner and group say who may");
		break;
	case EAGAIN: /* of a Unix socket; it cannot be waited for */
		conn_fail(c, PANNIER_E_AWAY, "its queue is full: pannier accepts no connections");
		break;
	default:
		conn_fail_errno(c, "no connection", err);
	}
}

/* --- connecting --------------------------------------------------------------------------- */

/* 0 or an errno, with nothing open then. */
static int
dial(struct pannier_conn *c, int family, const struct sockaddr *to, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, err;

	if (fd < 0)
		return errno;
	if (family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
		err = errno;
		close(fd);
		return err;
	}
	c->fd = fd;
	c->generation++;
	c->state = CONNECTING;
	return 0;
}

/* The next of the name's addresses that can be tried. */
static int
dial_next(struct pannier_conn *c)
{
	int err = ECONNREFUSED;

	while (c->addr != NULL) {
		struct addrinfo *a = c->addr;

		c->addr = a->ai_next;
		err = dial(c, a->ai_family, a->ai_addr, a->ai_addrlen);
		if (err == 0)
			return 0;
	}
	return err;
}

static int
dial_unix(struct pannier_conn *c)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	memcpy(to.sun_path, c->o.path, strlen(c->o.path) + 1);
	return dial(c, AF_UNIX, (struct sockaddr *)&to, sizeof to);
}

static int
dial_tcp(struct pannier_conn *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	if (getaddrinfo(c->o.host, c->o.port, &hints, &c->addrs) != 0) {
		c->addrs = NULL;
		return EHOSTUNREACH;
	}
	c->addr = c->addrs;
	return dial_next(c);
}

int
conn_start(struct pannier_conn *c)
{
	int64_t now = conn_now_ms(c);
	int err;

	if (now < c->not_before) {
		snprintf(c->reason, sizeof c->reason,
		    "the sidecar could not be reached a moment ago");
		return PANNIER_E_AWAY;
	}
	/* Two objects of this size: what is sent first can then not fail. */
	if (buf_reserve(&c->out.bytes, 128 + BINARY_HELLO_MAX) != 0)
		return PANNIER_E_NOMEM;
	binary_write_hello(&c->out, "libpannier-" PANNIER_VERSION);
	err = c->o.path != NULL ? dial_unix(c) : dial_tcp(c);
	if (err != 0) {
		no_connection(c, err);
		return PANNIER_E_AWAY;
	}
	c->connect_by = now + c->o.connect_timeout_ms;
	c->parser = (struct binary_parser){ .max_frame = c->o.max_reply, .replies = true };
	return 0;
}

void
conn_connected(struct pannier_conn *c)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err != 0 && c->addr != NULL) {
		close(c->fd);
		c->fd = -1;
		err = dial_next(c);
		if (err == 0)
			return;
	}
	if (err != 0)
		no_connection(c, err);
	else
		c->state = GREETING;
}

/* --- after the preface ---------------------------------------------------------------------- */

/* Of a frame that begins here, without its length. */
static size_t
body_len(const char *p, size_t wire_len)
{
	unsigned char first = (unsigned char)*p;

	return wire_len - (first < 0x80 ? 1 : first == 0xcc ? 2 : first == 0xcd ? 3 : 5);
}

/* One that the server would close the connection for fails alone. False: no memory. */
static bool
send_queued(struct pannier_conn *c)
{
	struct binary_parser p = { .max_frame = UINT32_MAX };
	struct binary_batch b;
	size_t used, last;

	while (out_len(&c->queue) != 0) {
		const char *data = buf_data(&c->queue.bytes);

		(void)!binary_parse(&p, data, out_len(&c->queue), &b, &used);
		last = 0;
		for (unsigned i = 0; i < b.n; i++) {
			struct binary_frame *f = &b.req[i];
			size_t len = f->wire_len - last;

			if (body_len(data + last, len) <= c->max_frame) {
				out_append(&c->out, data + last, len);
			} else {
				struct slot s = c->slots[f->b];

				conn_slot_give(c, f->b);
				c->pending--;
				conn_fail_slot(c, &s, PANNIER_E_ARGS, "longer than the sidecar takes");
				data = buf_data(&c->queue.bytes);
			}
			last = f->wire_len;
		}
		out_consume(&c->queue, used);
	}
	out_fini(&c->queue);
	return !out_failed(&c->out);
}

static void
opened(struct pannier_conn *c)
{
	c->state = OPEN;
	c->backoff_ms = BACKOFF_FIRST_MS;
	if (!send_queued(c))
		conn_fail(c, PANNIER_E_NOMEM, "no memory for what is to be sent");
}

static void
authenticate(struct pannier_conn *c)
{
	struct pannier_request r = { .op = PANNIER_OP_AUTH,
	    .key = pannier_bytes(c->o.password, c->o.password_len) };
	const char *why;

	c->state = AUTHENTICATING;
	if (request_write(&c->out, NO_SLOT, &r, 0, &why) != 0)
		conn_fail(c, PANNIER_E_NOMEM, "no memory for the password");
}

void
conn_authenticated(struct pannier_conn *c, const struct binary_frame *f)
{
	struct pannier_reply r;

	reply_read(f, PANNIER_OP_AUTH, 0, &r);
	if (f->nil_a || f->a != NO_SLOT)
		conn_fail(c, PANNIER_E_PROTOCOL, "a reply that nobody asked for");
	else if (r.status == PANNIER_DONE)
		opened(c);
	else if (r.status == PANNIER_ERROR)
		conn_fail_with(c, &(struct pannier_reply){ .status = r.status, .text = r.text,
		    .code = pannier_str("WRONGPASS") });
	else
		conn_fail_with(c, &r);
}

static void
take_offer(struct pannier_conn *c, const char *body, size_t len)
{
	struct offer offer;
	const char *wrong = offer_read(body, len, &offer);
	char text[200];

	if (wrong != NULL) {
		conn_fail(c, PANNIER_E_PROTOCOL, wrong);
	} else if (offer.version == 0) {
		snprintf(text, sizeof text, "the server refused: %.*s",
		    (int)MIN(offer.error.len, (size_t)150), (const char *)offer.error.ptr);
		conn_fail(c, PANNIER_E_PROTOCOL, text);
	} else if (offer.version != BINARY_VERSION) {
		conn_fail(c, PANNIER_E_PROTOCOL, "the server chose a version that was not offered");
	} else {
		c->max_frame = offer.max_frame;
		if (c->o.password != NULL)
			authenticate(c);
		else
			opened(c);
	}
}

/* Bytes of a length, behind the magic; 0: not all here; -1: none. */
static int
preface_length(const unsigned char *p, size_t have, size_t *len)
{
	if (have == 0)
		return 0;
	*len = p[0];
	if (p[0] < 0x80)
		return 1;
	if (p[0] != 0xcc && p[0] != 0xcd)
		return -1;
	if (have < 2u + (p[0] == 0xcd))
		return 0;
	*len = p[0] == 0xcc ? p[1] : (size_t)p[1] << 8 | p[2];
	return p[0] == 0xcc ? 2 : 3;
}

static void
take_plain(struct pannier_conn *c, const char *data, size_t have, bool over)
{
	const char *line_end = memchr(data, '\n', have);
	char text[256];

	if (line_end == NULL && have < PREFACE_LINE && !over)
		return;
	have = line_end != NULL ? (size_t)(line_end - data) : have;
	snprintf(text, sizeof text, "this is no pannier, or it refused: %.*s",
	    (int)strcspn(strndupa(data, MIN(have, (size_t)PREFACE_LINE)), "\r"), data);
	conn_fail(c, PANNIER_E_PROTOCOL, text);
}

bool
conn_take_preface(struct pannier_conn *c, bool over)
{
	const char *data = buf_data(&c->in);
	size_t have = buf_len(&c->in), len = 0;
	int head;

	if (have == 0)
		return false;
	if ((unsigned char)data[0] != BINARY_MAGIC) {
		take_plain(c, data, have, over);
		return false;
	}
	head = preface_length((const unsigned char *)data + 1, have - 1, &len);
	if (head < 0 || len > BINARY_HELLO_MAX) {
		conn_fail(c, PANNIER_E_PROTOCOL, "the answer to the preface is none");
		return false;
	}
	if (head == 0 || have - 1 - (size_t)head < len)
		return false;
	take_offer(c, data + 1 + head, len);
	if (c->state == CLOSED)
		return false;
	buf_consume(&c->in, 1 + (size_t)head + len);
	return true;
}
