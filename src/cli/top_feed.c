#include "config.h"

#include "cli/top_feed.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/client.h"
#include "config/password.h"
#include "config/text.h"
#include "origin/redis_reply.h"

/* In this order, behind AUTH. */
enum question { ASK_INFO, ASK_LATENCY, ASK_HOT_KEYS, QUESTIONS };

struct top_feed {
	const struct config_listen *to;
	int timeout_ms;
	char name[320];
	struct password password;
	int fd; /* -1: none; non-blocking */
	bool connecting, asking, owes_auth;
	int no_socket; /* why there is none: an errno */
	unsigned next; /* the question whose reply comes next */
	int64_t asked_us, until_us;
	struct buf out;
	struct redis_reader in;
	struct top_sample sample; /* as far as its replies have come */
};

int
top_feed_new(const struct config_listen *to, int timeout_ms, struct top_feed **out,
    struct config_error *err)
{
	struct top_feed *f = mem_zalloc(sizeof *f);
	int rc;

	if (f == NULL) {
		snprintf(err->text, sizeof err->text, "out of memory");
		return -ENOMEM;
	}
	f->to = to;
	f->timeout_ms = timeout_ms;
	f->fd = -1;
	f->until_us = INT64_MAX;
	buf_init(&f->out);
	redis_reader_init(&f->in, 0);
	client_address(to, f->name, sizeof f->name);
	rc = client_password(&f->password, err);
	if (rc != 0)
		top_feed_free(f);
	else
		*out = f;
	return rc;
}

static void
hang_up(struct top_feed *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->connecting = f->asking = f->owes_auth = false;
	f->until_us = INT64_MAX;
	buf_clear(&f->out);
	redis_reader_fini(&f->in);
	redis_reader_init(&f->in, 0);
	top_sample_fini(&f->sample);
}

void
top_feed_free(struct top_feed *f)
{
	if (f == NULL)
		return;
	hang_up(f);
	redis_reader_fini(&f->in);
	buf_fini(&f->out);
	password_fini(&f->password);
	mem_free(f);
}

const char *
top_feed_name(const struct top_feed *f)
{
	return f->name;
}

bool
top_feed_is_asking(const struct top_feed *f)
{
	return f->asking;
}

int
top_feed_fd(const struct top_feed *f)
{
	return f->asking ? f->fd : -1;
}

short
top_feed_events(const struct top_feed *f)
{
	return f->connecting || buf_len(&f->out) != 0 ? POLLIN | POLLOUT : POLLIN;
}

int64_t
top_feed_until_us(const struct top_feed *f)
{
	return f->until_us;
}

/* --- connecting ---------------------------------------------------------------------- */

static int
start_connect(struct top_feed *f, const struct sockaddr *address, socklen_t len)
{
	f->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->fd < 0)
		return -errno;
	/* EAGAIN: the daemon's backlog is full. */
	if (connect(f->fd, address, len) != 0) {
		if (errno != EINPROGRESS)
			return -errno;
		f->connecting = true;
	}
	return 0;
}

static int
connect_unix(struct top_feed *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(f->to->path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, f->to->path, strlen(f->to->path));
	return start_connect(f, (struct sockaddr *)&a, sizeof a);
}

/* The first of its addresses. */
static int
connect_tcp(struct top_feed *f)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char port[8];
	int rc;

	snprintf(port, sizeof port, "%u", f->to->port);
	if (getaddrinfo(f->to->host, port, &hints, &found) != 0)
		return -EHOSTUNREACH;
	rc = start_connect(f, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return rc;
}

/* --- asking --------------------------------------------------------------------------- */

static MUST_CHECK int
write_questions(struct top_feed *f, bool auth)
{
	const struct slice password[] = { SLICE("AUTH"),
		slice_of(f->password.text, f->password.len) };
	const struct slice info[] = { SLICE("INFO"), SLICE("default"), SLICE("commandstats") };
	const struct slice latency[] = { SLICE("LATENCY"), SLICE("HISTOGRAM") };
	const struct slice keys[] = { SLICE("PANNIER.HOTKEYS"), SLICE("COUNT"), SLICE("100") };
	int rc = 0;

	if (auth)
		rc = resp_request(&f->out, password, ARRAY_LEN(password));
	if (rc == 0)
		rc = resp_request(&f->out, info, ARRAY_LEN(info));
	if (rc == 0)
		rc = resp_request(&f->out, latency, ARRAY_LEN(latency));
	if (rc == 0)
		rc = resp_request(&f->out, keys, ARRAY_LEN(keys));
	f->owes_auth = auth;
	f->next = 0;
	return rc;
}

/* What fails here is told by top_feed_step(). */
void
top_feed_ask(struct top_feed *f, int64_t now_us)
{
	bool fresh = f->fd < 0;
	int rc = 0;

	if (f->asking)
		return;
	f->asking = true;
	f->asked_us = now_us;
	f->until_us = now_us + (int64_t)f->timeout_ms * 1000;
	if (fresh)
		rc = f->to->is_unix ? connect_unix(f) : connect_tcp(f);
	if (rc == 0)
		rc = write_questions(f, fresh && f->password.text != NULL);
	if (rc == 0)
		return;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->no_socket = -rc;
	f->until_us = now_us;
}

/* --- what comes back ------------------------------------------------------------------ */

static int PRINTF(4, 5) MUST_CHECK
failed(struct top_feed *f, int rc, struct config_error *err, const char *fmt, ...)
{
	struct text t = text_in(err->text, sizeof err->text);
	va_list ap;

	text_add(&t, "%s: ", f->name);
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	hang_up(f);
	return rc;
}

static MUST_CHECK int
lost(struct top_feed *f, int code, struct config_error *err)
{
	if (code == ENOMEM)
		return failed(f, -ENOMEM, err, "out of memory");
	if (code == ENOENT)
		return failed(f, -ECONNREFUSED, err, "no such socket; is pannier running?");
	return failed(f, -ECONNREFUSED, err, "%s", code == 0 ? "it hung up" : strerror(code));
}

static MUST_CHECK int
refused(struct top_feed *f, const struct redis_reply *r, struct config_error *err)
{
	char text[160];

	redis_reply_text(r, text, sizeof text);
	if (redis_reply_is(r, "WRONGPASS"))
		return failed(f, -EACCES, err, "the password of PANNIER_PASSWORD_FILE or "
		    "PANNIER_PASSWORD was refused: %s", text);
	if (redis_reply_is(r, "NOAUTH"))
		return failed(f, -EACCES, err, "it wants a password; set PANNIER_PASSWORD_FILE or "
		    "PANNIER_PASSWORD");
	return failed(f, -EPROTO, err, "INFO was refused: %s", text);
}

/* 0, or what top_feed_step() shall answer. */
static MUST_CHECK int
take_reply(struct top_feed *f, const struct redis_reply *r, struct config_error *err)
{
	if (f->owes_auth) {
		f->owes_auth = false;
		/* A daemon without a password refuses any, and answers all the same. */
		return redis_reply_is(r, "WRONGPASS") ? refused(f, r, err) : 0;
	}
	switch (f->next++) {
	case ASK_INFO:
		if (redis_reply_is_error(r))
			return refused(f, r, err);
		if (r->head.type != RESP_BULK && r->head.type != RESP_VERBATIM)
			return failed(f, -EPROTO, err, "INFO was answered by something else");
		if (top_sample_read(r->head.text, f->asked_us, &f->sample) != 0)
			return lost(f, ENOMEM, err);
		return 0;
	case ASK_LATENCY: /* refused to tenants, and then it is not shown */
		top_sample_latency(&f->sample, r->raw);
		return 0;
	case ASK_HOT_KEYS: /* likewise, and where none are followed */
		return top_sample_hot_keys(&f->sample, r->raw) == 0 ? 0 : lost(f, ENOMEM, err);
	default:
		return failed(f, -EPROTO, err, "a reply that was not asked for");
	}
}

static MUST_CHECK int
take_replies(struct top_feed *f, struct config_error *err)
{
	struct redis_reply r;
	int rc = 1;

	while (f->next < QUESTIONS && (rc = redis_reader_next(&f->in, REDIS_WANT_ALL, &r)) > 0) {
		rc = take_reply(f, &r, err);
		if (rc != 0)
			return rc;
	}
	if (rc < 0)
		return rc == -ENOMEM ? lost(f, ENOMEM, err) :
		    failed(f, -EPROTO, err, "it does not speak Redis's protocol");
	return 0;
}

/* --- the socket ------------------------------------------------------------------------ */

static MUST_CHECK int
finish_connect(struct top_feed *f, struct config_error *err)
{
	struct pollfd p = { .fd = f->fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int code = 0;

	if (!f->connecting || poll(&p, 1, 0) <= 0)
		return 0;
	if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0 || code != 0)
		return lost(f, code != 0 ? code : errno, err);
	f->connecting = false;
	return 0;
}

static MUST_CHECK int
send_out(struct top_feed *f, struct config_error *err)
{
	ssize_t sent;

	if (f->connecting || buf_len(&f->out) == 0)
		return 0;
	sent = send(f->fd, buf_data(&f->out), buf_len(&f->out), MSG_NOSIGNAL);
	if (sent > 0)
		buf_consume(&f->out, (size_t)sent);
	else if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return lost(f, errno, err);
	return 0;
}

static MUST_CHECK int
receive(struct top_feed *f, struct config_error *err)
{
	int rc = 0;

	while (rc == 0 && f->asking && !f->connecting && f->next < QUESTIONS) {
		size_t room;
		char *at = redis_reader_room(&f->in, &room);
		ssize_t got = at != NULL ? recv(f->fd, at, room, 0) : -1;

		if (at == NULL)
			return lost(f, ENOMEM, err);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (got <= 0)
			return lost(f, got == 0 ? 0 : errno, err);
		redis_reader_got(&f->in, (size_t)got);
		rc = take_replies(f, err);
	}
	return rc;
}

int
top_feed_step(struct top_feed *f, int64_t now_us, struct top_sample *out,
    struct config_error *err)
{
	int rc;

	if (!f->asking)
		return 0;
	if (f->fd < 0)
		return lost(f, f->no_socket, err);
	rc = finish_connect(f, err);
	if (rc == 0)
		rc = send_out(f, err);
	if (rc == 0)
		rc = receive(f, err);
	if (rc != 0)
		return rc;
	if (f->next == QUESTIONS) {
		*out = f->sample;
		f->sample = (struct top_sample){ 0 };
		f->asking = false;
		f->until_us = INT64_MAX;
		return 1;
	}
	if (now_us >= f->until_us)
		return failed(f, -ETIMEDOUT, err, "no answer within %d ms", f->timeout_ms);
	return 0;
}
