#include "config.h"

#include "cli/bench_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pannier.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/bench_lib.h"

#define READ_MIN (16u << 10)
#define READ_MAX (1u << 20)

static int
connect_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof sa.sun_path)
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int
connect_addrinfo(const struct addrinfo *list)
{
	int rc = -ECONNREFUSED, one = 1;

	for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

		if (fd < 0)
			return -errno;
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			return fd;
		}
		rc = -errno;
		close(fd);
	}
	return rc;
}

/* host:port, [::1]:port */
static int
connect_tcp(const char *name)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(name, ':');
	struct addrinfo *list;
	char host[256];
	size_t len;
	int rc;

	if (colon == NULL || colon == name || colon[1] == '\0')
		return -EINVAL;
	len = (size_t)(colon - name);
	if (name[0] == '[' && name[len - 1] == ']') {
		name++;
		len -= 2;
	}
	if (len >= sizeof host)
		return -EINVAL;
	memcpy(host, name, len);
	host[len] = '\0';
	rc = getaddrinfo(host, colon + 1, &hints, &list);
	if (rc != 0)
		return rc == EAI_MEMORY ? -ENOMEM : -EADDRNOTAVAIL;
	rc = connect_addrinfo(list);
	freeaddrinfo(list);
	return rc;
}

static int
connect_to(const char *address)
{
	if (strncmp(address, "tcp:", 4) == 0)
		return connect_tcp(address + 4);
	return connect_unix(strncmp(address, "unix:", 5) == 0 ? address + 5 : address);
}

static int
rings_new(struct bench_conn *c, unsigned max_ops)
{
	unsigned size = 1;

	while (size < max_ops)
		size *= 2;
	c->ops = mem_calloc(size, sizeof *c->ops);
	c->owed = mem_calloc(size, sizeof *c->owed);
	c->free_ops = mem_calloc(size, sizeof(struct bench_op *));
	c->mask = size - 1;
	if (c->ops == NULL || c->owed == NULL || c->free_ops == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < size; i++)
		c->free_ops[c->n_free++] = &c->ops[size - 1 - i];
	return 0;
}

int
bench_conn_open(struct bench_conn *c, const char *address, unsigned max_ops,
    enum bench_protocol protocol, char *err, size_t err_size)
{
	int rc;

	*c = (struct bench_conn){ .fd = -1, .read_size = READ_MIN };
	buf_init(&c->in);
	buf_init(&c->out);
	rc = rings_new(c, max_ops);
	if (rc == 0 && protocol == BENCH_BINARY) {
		rc = bench_lib_open(c, address, err, err_size);
		if (rc != 0)
			bench_conn_close(c);
		return rc;
	}
	if (rc == 0)
		rc = c->fd = connect_to(address);
	if (rc >= 0)
		rc = fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0 ? 0 : -errno;
	if (rc == 0)
		return 0;
	snprintf(err, err_size, "%s: %s", address, rc == -EINVAL ?
	    "write unix:PATH or tcp:HOST:PORT" : strerror(-rc));
	bench_conn_close(c);
	return rc;
}

void
bench_conn_close(struct bench_conn *c)
{
	if (c->lib != NULL)
		pannier_conn_free(c->lib);
	else if (c->ops != NULL && c->fd >= 0)
		close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c->ops);
	mem_free(c->owed);
	mem_free(c->free_ops);
	*c = (struct bench_conn){ .fd = -1 };
}

int
bench_conn_write(struct bench_conn *c)
{
	ssize_t n;

	if (buf_len(&c->out) == 0)
		return 0;
	n = send(c->fd, buf_data(&c->out), buf_len(&c->out), MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	buf_consume(&c->out, (size_t)n);
	return buf_len(&c->out) == 0 ? 0 : -EAGAIN;
}

int
bench_conn_read(struct bench_conn *c)
{
	ssize_t n;

	if (buf_reserve(&c->in, c->read_size) != 0)
		return -ENOMEM;
	n = recv(c->fd, buf_tail(&c->in), c->read_size, 0);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -ECONNRESET;
	buf_commit(&c->in, (size_t)n);
	if ((size_t)n == c->read_size && c->read_size < READ_MAX)
		c->read_size *= 2;
	return 0;
}
