/* Replacing a stale socket file is a check (does anybody answer?) and then an
 * act (unlink, bind, listen), and two daemons that start in the same moment
 * must not both think that the file is stale: the second one would remove the
 * first one's live socket. So both steps are done under flock() on the
 * directory, which leaves no lock file behind and ends with the process.
 *
 * The file is never wider than asked for: fchmod() on a socket that is not
 * bound yet gives the mode that bind() creates the file with, without touching
 * the umask of other threads; owner, group and the final mode are set before
 * listen(), and until then nobody can connect (CVE-2023-45145). */
#include "config.h"

#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/inherit.h"

#define UNIX_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)
/* Who holds the directory's lock for longer is no starting pannier. */
#define DIR_LOCK_TRIES 50
#define DIR_LOCK_WAIT_NS (10 * 1000 * 1000)

/* What all steps of an attempt share. */
struct attempt {
	const struct listen_opts *o;
	char *err;
	size_t err_size;
};

static int PRINTF(3, 4)
refuse(const struct attempt *a, int rc, const char *fmt, ...)
{
	char name[160];
	va_list ap;
	int n;

	socket_name(a->o, -1, name, sizeof name);
	n = snprintf(a->err, a->err_size, "cannot listen on %s: ", name);
	if (n < 0 || (size_t)n >= a->err_size)
		return rc;
	va_start(ap, fmt);
	vsnprintf(a->err + n, a->err_size - (size_t)n, fmt, ap);
	va_end(ap);
	return rc;
}

/* --- Unix -------------------------------------------------------------------- */

static int
unix_address(const struct attempt *a, struct sockaddr_un *sun)
{
	const char *path = a->o->path;
	size_t len = path != NULL ? strlen(path) : 0;

	if (len == 0)
		return refuse(a, -EINVAL, "the path is empty");
	if (len > UNIX_PATH_MAX)
		return refuse(a, -ENAMETOOLONG,
		    "the path has %zu bytes and a Unix socket's may have %zu; choose a shorter one",
		    len, UNIX_PATH_MAX);
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(sun->sun_path, path, len);
	return 0;
}

/* A descriptor that holds the lock, or -errno. */
static int
dir_lock(const struct attempt *a, const char *path)
{
	char copy[UNIX_PATH_MAX + 1];
	const char *dir;
	int fd;

	snprintf(copy, sizeof copy, "%s", path);
	dir = dirname(copy);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return refuse(a, -errno, "the directory %s: %s", dir, strerror(errno));
	for (int i = 0; i < DIR_LOCK_TRIES; i++) {
		const struct timespec wait = { .tv_nsec = DIR_LOCK_WAIT_NS };

		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			break;
		nanosleep(&wait, NULL);
	}
	/* Without the lock (a foreign holder, a file system that has none) only
	 * two daemons that start in the same moment can get into each other's
	 * way: no reason not to start. */
	return fd;
}

/* 0: nobody answers on the path. */
static int
ask_who_lives(const struct attempt *a, const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return refuse(a, -errno, "%s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 ? 0 : errno;
	close(fd);
	switch (rc) {
	case ECONNREFUSED:
	case ENOENT:
		return 0;
	case 0:
	case EAGAIN: /* its backlog is full */
	case EPROTOTYPE: /* datagrams */
		return refuse(a, -EADDRINUSE,
		    "another process serves this socket; stop it or choose another path");
	default:
		return refuse(a, -rc, "whether the socket there is in use cannot be told: %s",
		    strerror(rc));
	}
}

/* Under the directory's lock. */
static int
remove_stale(const struct attempt *a, const struct sockaddr_un *sun)
{
	struct stat st;
	int rc;

	if (lstat(sun->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : refuse(a, -errno, "%s", strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return refuse(a, -EEXIST,
		    "there is a file that is no socket; remove it or choose another path");
	rc = ask_who_lives(a, sun);
	if (rc != 0)
		return rc;
	if (unlink(sun->sun_path) != 0 && errno != ENOENT)
		return refuse(a, -errno, "the stale socket there cannot be removed: %s",
		    strerror(errno));
	return 0;
}

static int
set_owner_and_mode(const struct attempt *a, const char *path)
{
	const struct listen_opts *o = a->o;

	if ((o->uid != (uid_t)-1 || o->gid != (gid_t)-1) && lchown(path, o->uid, o->gid) != 0)
		return refuse(a, -errno, "its owner or group cannot be set: %s", strerror(errno));
	if (chmod(path, o->mode & 0777) != 0)
		return refuse(a, -errno, "its mode cannot be set: %s", strerror(errno));
	return 0;
}

/* Under the directory's lock: from here on the file is ours, also on failure. */
static int
bind_and_listen(const struct attempt *a, int fd, const struct sockaddr_un *sun, struct stat *file)
{
	const char *path = sun->sun_path;
	int rc;

	if (fchmod(fd, a->o->mode & 0700) != 0)
		return refuse(a, -errno, "%s", strerror(errno));
	if (bind(fd, (const struct sockaddr *)sun, sizeof *sun) != 0)
		return refuse(a, -errno, "%s", strerror(errno));
	rc = set_owner_and_mode(a, path);
	if (rc == 0 && lstat(path, file) != 0)
		rc = refuse(a, -errno, "%s", strerror(errno));
	if (rc == 0 && listen(fd, a->o->backlog > 0 ? a->o->backlog : SOMAXCONN) != 0)
		rc = refuse(a, -errno, "%s", strerror(errno));
	if (rc != 0)
		unlink(path);
	return rc;
}

static int
listen_unix(const struct attempt *a, struct stat *file)
{
	struct sockaddr_un sun;
	int fd = -1, lock_fd, rc = unix_address(a, &sun);

	if (rc != 0)
		return rc;
	lock_fd = dir_lock(a, sun.sun_path);
	if (lock_fd < 0)
		return lock_fd;
	rc = remove_stale(a, &sun);
	if (rc != 0)
		goto fail;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		rc = refuse(a, -errno, "%s", strerror(errno));
		goto fail;
	}
	rc = bind_and_listen(a, fd, &sun, file);
	if (rc != 0)
		goto fail;
	close(lock_fd);
	return fd;
fail:
	close(lock_fd);
	if (fd >= 0)
		close(fd);
	return rc;
}

bool
socket_is_kept(const struct socket_owner *owner)
{
	return owner->kept || (owner->inherited && inherit_is_lent());
}

void
socket_unlink(const char *path, const struct socket_owner *owner)
{
	const struct stat *file = &owner->file;
	struct stat now;

	if (!socket_is_kept(owner) && lstat(path, &now) == 0 && now.st_dev == file->st_dev &&
	    now.st_ino == file->st_ino)
		unlink(path);
}

/* --- TCP ------------------------------------------------------------------ */

union tcp_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static int
tcp_address(const struct attempt *a, union tcp_address *to, socklen_t *len)
{
	const char *host = a->o->host != NULL ? a->o->host : "";

	*to = (union tcp_address){ 0 };
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &to->in.sin_addr) == 1 &&
	    (a->o->any_host || ntohl(to->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)) {
		to->in.sin_family = AF_INET;
		to->in.sin_port = htons(a->o->port);
		*len = sizeof to->in;
		return 0;
	}
	if (inet_pton(AF_INET6, host, &to->in6.sin6_addr) == 1 &&
	    (a->o->any_host || IN6_IS_ADDR_LOOPBACK(&to->in6.sin6_addr))) {
		to->in6.sin6_family = AF_INET6;
		to->in6.sin6_port = htons(a->o->port);
		*len = sizeof to->in6;
		return 0;
	}
	return refuse(a, -EINVAL,
	    "only loopback is served, as there is no authentication: "
	    "write 127.0.0.1, ::1 or localhost");
}

static int
listen_tcp(const struct attempt *a)
{
	union tcp_address to;
	socklen_t len = 0;
	int fd, on = 1, rc = tcp_address(a, &to, &len);

	if (rc != 0)
		return rc;
	fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(a, -errno, "%s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (to.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, &to.sa, len) == 0 &&
	    listen(fd, a->o->backlog > 0 ? a->o->backlog : SOMAXCONN) == 0)
		return fd;
	rc = errno;
	close(fd);
	if (rc == EADDRINUSE)
		return refuse(a, -rc, "another process has this port; choose another one");
	return refuse(a, -rc, "%s", strerror(rc));
}

/* --- both --------------------------------------------------------------------- */

static uint16_t
bound_port(int fd)
{
	union tcp_address at = { .sa = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof at;

	if (getsockname(fd, &at.sa, &len) != 0)
		return 0;
	return ntohs(at.sa.sa_family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
}

void
socket_name(const struct listen_opts *o, int fd, char *name, size_t size)
{
	const char *host = o->host != NULL ? o->host : "";
	bool v6 = strchr(host, ':') != NULL;
	uint16_t port = fd >= 0 && o->kind == LISTEN_TCP ? bound_port(fd) : o->port;

	if (o->kind == LISTEN_UNIX)
		snprintf(name, size, "unix:%s", o->path != NULL ? o->path : "");
	else
		snprintf(name, size, "tcp:%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

int
socket_listen(const struct listen_opts *o, struct socket_owner *owner, char *err, size_t err_size)
{
	const struct attempt a = { o, err, err_size };
	int fd;

	memset(owner, 0, sizeof *owner);
	if (err_size != 0)
		err[0] = '\0';
	fd = inherit_take(o, &owner->kept);
	if (fd < 0)
		return o->kind == LISTEN_UNIX ? listen_unix(&a, &owner->file) : listen_tcp(&a);
	owner->inherited = true;
	if (o->kind == LISTEN_UNIX && lstat(o->path, &owner->file) != 0)
		memset(&owner->file, 0, sizeof owner->file);
	return fd;
}
