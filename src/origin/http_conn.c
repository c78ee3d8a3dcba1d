#include "config.h"

#include "origin/http_conn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "origin/http_client.h"

/* Looked at by one call of poll(). */
#define LOOK_MAX 64

static struct http_conn *
conn_find(struct http_client *hc, int fd)
{
	list_foreach (it, &hc->conns) {
		struct http_conn *c = list_entry(it, struct http_conn, link);

		if (c->fd == fd)
			return c;
	}
	return NULL;
}

static void
conn_free(struct http_conn *c)
{
	list_del(&c->link);
	mem_free(c);
}

static ino_t
inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

bool
http_conn_add(struct http_client *hc, int fd, bool plain)
{
	struct http_conn *c = conn_find(hc, fd);

	if (c == NULL) {
		c = mem_zalloc(sizeof *c);
		if (c == NULL)
			return false;
		list_push_tail(&hc->conns, &c->link);
	}
	c->fd = fd;
	c->inode = inode_of(fd);
	c->plain = plain;
	return true;
}

int
http_conn_close(void *hc, curl_socket_t fd)
{
	struct http_conn *c = conn_find(hc, fd);

	if (c != NULL)
		conn_free(c);
	return close(fd);
}

void
http_conn_forget(struct http_client *hc)
{
	list_foreach_safe (it, &hc->conns)
		conn_free(list_entry(it, struct http_conn, link));
}

void
http_conn_watched(struct http_client *hc, curl_socket_t fd, bool watched)
{
	struct http_conn *c = conn_find(hc, fd);

	if (c != NULL)
		c->watched = watched;
}

/* Its descriptor is libcurl's, and libcurl may be about to send on it: from now on it is
 * a socket that is connected to nothing. The other side sees an end. */
static void
cut(int fd)
{
	int nothing = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (nothing < 0 || dup3(nothing, fd, O_CLOEXEC) < 0)
		shutdown(fd, SHUT_RDWR); /* it will at least not be used again */
	if (nothing >= 0)
		close(nothing);
}

/* That the other side has closed it is no harm. */
static bool
has_bytes(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static void
cut_if_spoilt(struct http_client *hc, struct pollfd *fds, unsigned n)
{
	if (n == 0 || poll(fds, n, 0) <= 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		int fd = fds[i].fd;

		/* Should libcurl have closed it and not told, it may be anybody's now. */
		if ((fds[i].revents & POLLIN) != 0 && has_bytes(fd) &&
		    inode_of(fd) == conn_find(hc, fd)->inode)
			cut(fd);
	}
}

void
http_conn_cut_spoilt(struct http_client *hc)
{
	struct pollfd fds[LOOK_MAX];
	unsigned n = 0;

	list_foreach (it, &hc->conns) {
		const struct http_conn *c = list_entry(it, struct http_conn, link);

		if (!c->plain || c->watched)
			continue;
		fds[n++] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
		if (n == LOOK_MAX) {
			cut_if_spoilt(hc, fds, n);
			n = 0;
		}
	}
	cut_if_spoilt(hc, fds, n);
}
