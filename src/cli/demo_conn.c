#include "config.h"

#include "cli/demo_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/parse.h"
#include "proto/resp.h"

#define READ_BYTES 4096
#define VALUE_MAX (64u << 20)

int
demo_conn_open(struct demo_conn *c, const char *socket_path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int rc = 0;

	*c = (struct demo_conn){ .fd = -1 };
	buf_init(&c->in);
	if (strlen(socket_path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, socket_path, strlen(socket_path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Blocking until it is connected: a full backlog then only means to wait. */
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) {
		rc = -errno;
		demo_conn_close(c);
	}
	return rc;
}

void
demo_conn_close(struct demo_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_fini(&c->in);
}

/* One request at a time: the socket's buffer always has room for it. */
static int
send_request(struct demo_conn *c, const struct slice *argv, uint32_t argc)
{
	struct buf out;
	ssize_t sent;
	int rc;

	buf_clear(&c->in); /* the last answer */
	buf_init(&out);
	rc = resp_request(&out, argv, argc);
	if (rc == 0) {
		sent = send(c->fd, buf_data(&out), buf_len(&out), MSG_NOSIGNAL);
		if (sent != (ssize_t)buf_len(&out))
			rc = sent < 0 ? -errno : -EMSGSIZE;
	}
	buf_fini(&out);
	c->waiting = rc == 0;
	return rc;
}

int
demo_conn_ask(struct demo_conn *c, uint64_t id, int64_t now_us)
{
	char key[32];
	int n = snprintf(key, sizeof key, "user:%llu", (unsigned long long)id);
	const struct slice argv[] = { SLICE("GET"), slice_of(key, (size_t)n) };

	c->id = id;
	c->sent_us = now_us;
	return send_request(c, argv, 2);
}

/* 0, also where nothing is there, or -errno. */
static int
fill(struct demo_conn *c)
{
	ssize_t got;

	if (buf_reserve(&c->in, READ_BYTES) != 0)
		return -ENOMEM;
	got = recv(c->fd, buf_tail(&c->in), c->in.cap - c->in.tail, 0);
	if (got > 0)
		buf_commit(&c->in, (size_t)got);
	else if (got == 0)
		return -ECONNRESET;
	else if (errno != EAGAIN && errno != EINTR)
		return -errno;
	return 0;
}

int
demo_conn_read(struct demo_conn *c, struct slice *value, bool *error)
{
	struct resp_value v;
	size_t pos = 0;
	int64_t len;
	int rc;

	rc = fill(c);
	if (rc != 0)
		return rc;
	len = resp_reply_len(buf_data(&c->in), buf_len(&c->in), VALUE_MAX);
	if (len <= 0)
		return (int)len;
	if (!resp_reply_next(slice_of(buf_data(&c->in), (size_t)len), &pos, &v))
		return -EPROTO;
	*value = v.text;
	*error = v.type == RESP_ERROR;
	c->waiting = false;
	return 1;
}

int
demo_conn_info(struct demo_conn *c, const char *section, struct buf *text)
{
	const struct slice argv[] = { SLICE("INFO"), slice_str(section) };
	struct slice value = { 0 };
	bool error = false;
	int rc;

	rc = send_request(c, argv, 2);
	while (rc == 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
		rc = demo_conn_read(c, &value, &error);
	}
	if (rc < 0)
		return rc;
	buf_clear(text);
	return error ? -EPROTO : buf_append(text, value.ptr, value.len);
}

/* Behind `name` and `sep`, where that begins at `from` or behind one of `before`. */
static struct slice
find(struct slice text, const char *before, const char *name, char sep)
{
	size_t n = strlen(name);

	for (size_t i = 0; i + n < text.len; i++)
		if ((i == 0 || strchr(before, text.ptr[i - 1]) != NULL) && text.ptr[i + n] == sep &&
		    memcmp(text.ptr + i, name, n) == 0)
			return slice_skip(text, i + n + 1);
	return (struct slice){ 0 };
}

int64_t
demo_info_field(struct slice info, const char *line, const char *field)
{
	struct slice s = find(info, "\n", line, ':');
	const char *end = s.len != 0 ? memchr(s.ptr, '\r', s.len) : NULL;
	int64_t n;

	if (end != NULL)
		s.len = (size_t)(end - s.ptr);
	/* The separator before a field is part of what is searched. */
	s = find(s, ",", field, '=');
	end = s.len != 0 ? memchr(s.ptr, ',', s.len) : NULL;
	if (end != NULL)
		s.len = (size_t)(end - s.ptr);
	return parse_i64(s, &n) == 0 ? n : -1;
}
