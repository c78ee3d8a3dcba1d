#include "config.h"

#include "net/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEMD_FIRST_FD 3

union address {
	struct sockaddr sa;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct inherited {
	int fd;
	bool kept;
	union address at;
	char name[INHERIT_NAME_MAX];
};

static struct inherited table[INHERIT_MAX];
static unsigned n_table;
static bool lent;

/* --- what it is ------------------------------------------------------------------ */

static int
option_of(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -errno;
}

/* NULL, or what is wrong with it, and what would be right. */
static const char *
why_no_listener(int fd)
{
	int type = option_of(fd, SO_TYPE);

	if (type == -EBADF)
		return "it is not open";
	if (type != SOCK_STREAM)
		return "it is no stream socket; write ListenStream= in the socket unit";
	if (option_of(fd, SO_ACCEPTCONN) != 1)
		return "it does not listen; write Accept=no in the socket unit";
	return NULL;
}

static const char *
name_unix(struct inherited *in, socklen_t len)
{
	size_t path_bytes = len - offsetof(struct sockaddr_un, sun_path);

	if (len <= offsetof(struct sockaddr_un, sun_path) || in->at.un.sun_path[0] == '\0')
		return "it has no path; give it one, since who may connect is told by its mode";
	memcpy(in->name, "unix:", strlen("unix:"));
	memcpy(in->name + strlen("unix:"), in->at.un.sun_path,
	    strnlen(in->at.un.sun_path, path_bytes));
	return NULL;
}

static void
name_tcp(struct inherited *in)
{
	char host[INET6_ADDRSTRLEN];
	bool v6 = in->at.sa.sa_family == AF_INET6;

	inet_ntop(in->at.sa.sa_family,
	    v6 ? (const void *)&in->at.in6.sin6_addr : (const void *)&in->at.in.sin_addr,
	    host, sizeof host);
	snprintf(in->name, sizeof in->name, v6 ? "tcp:[%s]:%u" : "tcp:%s:%u", host,
	    ntohs(v6 ? in->at.in6.sin6_port : in->at.in.sin_port));
}

static const char *
look_at(int fd, struct inherited *in)
{
	socklen_t len = sizeof in->at;
	const char *wrong = why_no_listener(fd);

	memset(in, 0, sizeof *in);
	if (wrong != NULL)
		return wrong;
	if (getsockname(fd, &in->at.sa, &len) != 0)
		return strerror(errno);
	switch (in->at.sa.sa_family) {
	case AF_UNIX:
		return name_unix(in, len);
	case AF_INET:
	case AF_INET6:
		name_tcp(in);
		return NULL;
	default:
		return "it is neither a Unix socket nor TCP";
	}
}

/* --- in -------------------------------------------------------------------------- */

static int
add(int fd, bool kept, const char *called, char *err, size_t err_size)
{
	struct inherited *in = &table[n_table];
	const char *wrong;

	if (n_table == INHERIT_MAX)
		wrong = "there are too many, the most is 64";
	else
		wrong = look_at(fd, in);
	if (wrong == NULL && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0))
		wrong = strerror(errno);
	if (wrong != NULL) {
		snprintf(err, err_size, "the passed socket %s cannot be used: %s", called, wrong);
		return -EINVAL;
	}
	in->fd = fd;
	in->kept = kept;
	n_table++;
	return 0;
}

int
inherit_add(int fd, bool kept, char *err, size_t err_size)
{
	char called[32];

	snprintf(called, sizeof called, "%d", fd);
	return add(fd, kept, called, err, err_size);
}

/* The i-th of "a:b:c", for messages; systemd calls a socket without a name "unknown". */
static void
name_of(const char *names, unsigned i, char *out, size_t size)
{
	for (; names != NULL && i != 0; i--) {
		names = strchr(names, ':');
		names = names != NULL ? names + 1 : NULL;
	}
	if (names == NULL)
		names = "without a name";
	snprintf(out, size, "%.*s", (int)strcspn(names, ":"), names);
}

int
inherit_from_systemd(const char *pid, const char *fds, const char *names, char *err,
    size_t err_size)
{
	char *end, called[64], label[100];
	unsigned long n;

	if (pid == NULL || fds == NULL || strtoul(pid, NULL, 10) != (unsigned long)getpid())
		return 0;
	n = strtoul(fds, &end, 10);
	if (end == fds || *end != '\0' || n > INHERIT_MAX) {
		snprintf(err, err_size, "LISTEN_FDS is \"%.32s\"; it has to be a number up to %d",
		    fds, INHERIT_MAX);
		return -EINVAL;
	}
	for (unsigned i = 0; i < n; i++) {
		int rc;

		name_of(names, i, called, sizeof called);
		snprintf(label, sizeof label, "%d (%s)", SYSTEMD_FIRST_FD + (int)i, called);
		rc = add(SYSTEMD_FIRST_FD + (int)i, true, label, err, err_size);
		if (rc != 0)
			return rc;
	}
	return (int)n;
}

void
inherit_lend(bool on)
{
	lent = on;
}

bool
inherit_is_lent(void)
{
	return lent;
}

/* --- out ------------------------------------------------------------------------- */

/* /run and /var/run are the same. */
static bool
same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	    sa.st_ino == sb.st_ino;
}

static bool
is_at_host(const struct inherited *in, const struct listen_opts *o)
{
	const char *host = o->host != NULL ? o->host : "";
	struct in6_addr v6;
	struct in_addr v4;

	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (in->at.sa.sa_family == AF_INET)
		return inet_pton(AF_INET, host, &v4) == 1 &&
		    v4.s_addr == in->at.in.sin_addr.s_addr && in->at.in.sin_port == htons(o->port);
	return in->at.sa.sa_family == AF_INET6 && inet_pton(AF_INET6, host, &v6) == 1 &&
	    IN6_ARE_ADDR_EQUAL(&v6, &in->at.in6.sin6_addr) &&
	    in->at.in6.sin6_port == htons(o->port);
}

static bool
is_at(const struct inherited *in, const struct listen_opts *o)
{
	if (o->kind == LISTEN_TCP)
		return is_at_host(in, o);
	return in->at.sa.sa_family == AF_UNIX && o->path != NULL &&
	    same_file(in->name + strlen("unix:"), o->path);
}

bool
inherit_is_at(unsigned i, const struct listen_opts *o)
{
	return is_at(&table[i], o);
}

int
inherit_take(const struct listen_opts *o, bool *kept)
{
	unsigned i = 0;
	int fd;

	while (i < n_table && !is_at(&table[i], o))
		i++;
	if (i == n_table)
		return -ENOENT;
	fd = table[i].fd;
	*kept = table[i].kept;
	table[i] = table[--n_table];
	return fd;
}

unsigned
inherit_count(void)
{
	return n_table;
}

const char *
inherit_name(unsigned i)
{
	return table[i].name;
}

bool
inherit_is_kept(unsigned i)
{
	return table[i].kept;
}

void
inherit_discard(void)
{
	for (unsigned i = 0; i < n_table; i++)
		if (!table[i].kept && table[i].at.sa.sa_family == AF_UNIX)
			unlink(table[i].name + strlen("unix:"));
	inherit_close();
}

void
inherit_close(void)
{
	while (n_table > 0)
		close(table[--n_table].fd);
}
