#include "config.h"

#include "cli/client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/password.h"
#include "config/text.h"

#define REPLY_MAX (64u << 20)
#define READ_SIZE 16384

struct client {
	int fd;
	int timeout_ms;
	int64_t deadline_ms; /* of the call under way */
	struct buf in, out;
	size_t answered;     /* bytes of `in` that the last reply was */
	char name[160];
};

static int PRINTF(4, 5) MUST_CHECK
failed(struct config_error *err, const char *name, int rc, const char *fmt, ...)
{
	struct text t = text_in(err->text, sizeof err->text);
	va_list ap;

	text_add(&t, "%s: ", name);
	va_start(ap, fmt);
	text_vadd(&t, fmt, ap);
	va_end(ap);
	return rc;
}

/* --- connecting ------------------------------------------------------------------ */

/* 0 or -ETIMEDOUT, -errno. */
static MUST_CHECK int
wait_for(struct client *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int64_t left;
	int n;

	do {
		left = c->deadline_ms - clock_mono_ms();
		n = left > 0 ? poll(&p, 1, (int)left) : 0;
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

static MUST_CHECK int
connect_to(struct client *c, const struct sockaddr *sa, socklen_t len)
{
	int error = 0, rc;
	socklen_t size = sizeof error;

	c->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (connect(c->fd, sa, len) == 0)
		return 0;
	/* EAGAIN: a Unix socket whose queue is full; it cannot be waited for. */
	if (errno != EINPROGRESS)
		return -errno;
	rc = wait_for(c, POLLOUT);
	if (rc == 0 && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		return -errno;
	return rc != 0 ? rc : -error;
}

static MUST_CHECK int
connect_unix(struct client *c, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof sa.sun_path)
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	return connect_to(c, (const struct sockaddr *)&sa, sizeof sa);
}

static MUST_CHECK int
connect_tcp(struct client *c, const char *host, unsigned port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list;
	char service[8];
	int rc = -EADDRNOTAVAIL;

	snprintf(service, sizeof service, "%u", port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		return rc;
	for (const struct addrinfo *a = list; a != NULL && rc != 0; a = a->ai_next) {
		if (c->fd >= 0)
			close(c->fd);
		rc = connect_to(c, a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
	return rc;
}

static const char *
reason(int rc)
{
	switch (rc) {
	case -ENOENT:
		return "no such socket; is pannier running?";
	case -ECONNREFUSED:
		return "nobody listens there; is pannier running?";
	case -EACCES:
		return "permission denied; the socket's mode, owner and group say who may";
	case -ETIMEDOUT:
		return "no answer in time";
	case -EAGAIN:
		return "its queue is full: the daemon accepts no connections";
	case -ENAMETOOLONG:
		return "the path of a Unix socket has at most 107 bytes";
	default:
		return strerror(-rc);
	}
}

/* From where serve has it too. None: text stays NULL. */
static MUST_CHECK int
find_password(struct password *out, struct config_error *err)
{
	const char *path = getenv("PANNIER_PASSWORD_FILE"), *text = getenv("PANNIER_PASSWORD");
	bool exposed;

	if (path != NULL && *path != '\0')
		return password_read(path, out, &exposed, err);
	if (text == NULL || *text == '\0')
		return 0;
	return password_copy(out, slice_str(text)) == 0 ? 0 :
	    failed(err, "client", -ENOMEM, "out of memory");
}

/* A daemon without a password takes any. */
static MUST_CHECK int
authenticate(struct client *c, struct config_error *err)
{
	struct password p = { NULL, 0 };
	struct resp_value v = { .type = RESP_NIL };
	struct slice reply = { NULL, 0 };
	size_t pos = 0;
	int rc = find_password(&p, err);

	if (rc == 0 && p.text != NULL) {
		struct slice argv[] = { SLICE("AUTH"), SLICE("default"), slice_of(p.text, p.len) };

		rc = client_ask(c, argv, ARRAY_LEN(argv), &reply, err);
		if (rc == 0 && resp_reply_next(reply, &pos, &v) && v.type == RESP_ERROR)
			rc = failed(err, c->name, -EACCES, "the password of "
			    "PANNIER_PASSWORD_FILE or PANNIER_PASSWORD was refused: %.*s",
			    (int)MIN(v.text.len, 200), v.text.ptr);
	}
	password_fini(&p);
	return rc;
}

int
client_open(const struct config_listen *to, int timeout_ms, struct client **out,
    struct config_error *err)
{
	struct client *c = mem_zalloc(sizeof *c);
	struct text t;
	int rc;

	if (c == NULL)
		return failed(err, "client", -ENOMEM, "out of memory");
	c->fd = -1;
	c->timeout_ms = timeout_ms;
	c->deadline_ms = clock_mono_ms() + timeout_ms;
	t = text_in(c->name, sizeof c->name);
	if (to->is_unix)
		text_add(&t, "unix:%s", to->path);
	else
		text_add(&t, strchr(to->host, ':') != NULL ? "tcp:[%s]:%u" : "tcp:%s:%u", to->host,
		    to->port);
	rc = to->is_unix ? connect_unix(c, to->path) : connect_tcp(c, to->host, to->port);
	if (rc != 0) {
		rc = failed(err, c->name, rc, "%s", reason(rc));
		client_close(c);
		return rc;
	}
	rc = authenticate(c, err);
	if (rc != 0) {
		client_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	if (c->fd >= 0)
		close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c);
}

const char *
client_name(const struct client *c)
{
	return c->name;
}

/* --- asking ------------------------------------------------------------------------ */

static MUST_CHECK int
send_all(struct client *c)
{
	int rc = 0;

	while (rc == 0 && buf_len(&c->out) != 0) {
		ssize_t n = send(c->fd, buf_data(&c->out), buf_len(&c->out), MSG_NOSIGNAL);

		if (n > 0)
			buf_consume(&c->out, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			rc = wait_for(c, POLLOUT);
		else if (n < 0 && errno != EINTR)
			rc = -errno;
	}
	return rc == -EPIPE ? -ECONNRESET : rc;
}

/* Some more bytes. */
static MUST_CHECK int
receive(struct client *c)
{
	ssize_t n;
	int rc;

	if (buf_reserve(&c->in, READ_SIZE) != 0)
		return -ENOMEM;
	for (;;) {
		n = recv(c->fd, buf_tail(&c->in), READ_SIZE, 0);
		if (n > 0) {
			buf_commit(&c->in, (size_t)n);
			return 0;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno == EAGAIN && (rc = wait_for(c, POLLIN)) != 0)
			return rc;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

static MUST_CHECK int
receive_reply(struct client *c)
{
	int64_t len;
	int rc;

	for (;;) {
		len = buf_len(&c->in) == 0 ? 0 :
		    resp_reply_len(buf_data(&c->in), buf_len(&c->in), REPLY_MAX);
		if (len > 0) {
			c->answered = (size_t)len;
			return 0;
		}
		if (len < 0 || buf_len(&c->in) > REPLY_MAX)
			return -EPROTO;
		rc = receive(c);
		if (rc != 0)
			return rc;
	}
}

int
client_ask(struct client *c, const struct slice *argv, uint32_t argc, struct slice *reply,
    struct config_error *err)
{
	int rc;

	buf_consume(&c->in, c->answered);
	c->answered = 0;
	c->deadline_ms = clock_mono_ms() + c->timeout_ms;
	rc = resp_request(&c->out, argv, argc);
	if (rc == 0)
		rc = send_all(c);
	if (rc == 0)
		rc = receive_reply(c);
	if (rc == 0) {
		*reply = slice_of(buf_data(&c->in), c->answered);
		return 0;
	}
	if (rc == -ETIMEDOUT)
		return failed(err, c->name, rc, "no answer within %d ms", c->timeout_ms);
	if (rc == -ECONNRESET)
		return failed(err, c->name, rc, "closed the connection without an answer");
	if (rc == -EPROTO)
		return failed(err, c->name, rc,
		    "what answers there does not speak Redis's protocol");
	return failed(err, c->name, rc, "%s", strerror(-rc));
}

int
client_exit_code(int rc)
{
	switch (rc) {
	case 0:
		return EX_OK;
	case -EPROTO:
		return EX_PROTOCOL;
	case -ENOMEM:
		return EX_OSERR;
	case -EINVAL:
		return EX_USAGE;
	default:
		return EX_UNAVAILABLE;
	}
}
