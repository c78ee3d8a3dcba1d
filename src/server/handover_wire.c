#include "config.h"

#include "server/handover_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define MAGIC 0x4f484e50u /* "PNHO" */

struct head {
	uint32_t magic;
	uint16_t type;
	uint16_t n_fds;
	uint32_t len;
};

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(HANDOVER_FDS * sizeof(int))];
};

/* 0, or -ETIMEDOUT. */
static int
wait_for(int fd, short events, int64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left_ms = until_ms - clock_mono_ms();
	int rc = poll(&p, 1, (int)MAX(left_ms, 0));

	if (rc > 0 || (rc < 0 && errno == EINTR))
		return 0;
	return rc == 0 ? -ETIMEDOUT : -errno;
}

/* --- sending --------------------------------------------------------------------- */

static void
put_fds(struct msghdr *msg, union control *c, const int *fds, unsigned n_fds)
{
	struct cmsghdr *h;

	if (n_fds == 0)
		return;
	msg->msg_control = c->room;
	msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	h = CMSG_FIRSTHDR(msg);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n_fds * sizeof(int));
}

int
handover_send(int fd, enum handover_type type, struct slice body, const int *fds, unsigned n_fds,
    int64_t wait_ms)
{
	struct head head = { MAGIC, (uint16_t)type, (uint16_t)n_fds, (uint32_t)body.len };
	struct iovec iov[2] = { { &head, sizeof head },
		{ (void *)(uintptr_t)body.ptr, body.len } };
	int64_t until_ms = clock_mono_ms() + wait_ms;
	union control c;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int rc = 0;

	memset(&c, 0, sizeof c);
	put_fds(&msg, &c, fds, n_fds);
	while (rc == 0 && iov[0].iov_len + iov[1].iov_len != 0) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			/* ETOOMANYREFS: too many descriptors are on their way; the other
			 * one takes some. */
			rc = errno == EAGAIN || errno == EINTR || errno == ETOOMANYREFS
			    ? wait_for(fd, POLLOUT, until_ms) : -errno;
			continue;
		}
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
		for (int i = 0; i < 2; i++) {
			size_t part = MIN((size_t)n, iov[i].iov_len);

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return rc == -ECONNRESET ? -EPIPE : rc;
}

/* --- receiving ------------------------------------------------------------------- */

static void
take_fds(struct handover_message *m, struct msghdr *msg)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS ||
		    n > HANDOVER_FDS - m->n_fds)
			continue;
		memcpy(m->fds + m->n_fds, CMSG_DATA(h), n * sizeof(int));
		m->n_fds += (unsigned)n;
	}
}

/* All n bytes; descriptors come with the first of them. */
static int
receive_all(int fd, void *to, size_t n, struct handover_message *m, int64_t until_ms)
{
	size_t got = 0;
	int rc = 0;

	while (got < n && rc == 0) {
		union control c;
		struct iovec iov = { (char *)to + got, n - got };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room,
			.msg_controllen = sizeof c.room };
		ssize_t more = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (more == 0)
			return got == 0 ? -ENODATA : -EPROTO;
		if (more > 0) {
			take_fds(m, &msg);
			got += (size_t)more;
		} else if (errno == EAGAIN || errno == EINTR) {
			rc = wait_for(fd, POLLIN, until_ms);
		} else {
			rc = errno == ECONNRESET ? -ENODATA : -errno;
		}
	}
	return rc;
}

int
handover_receive(int fd, struct handover_message *m, int64_t wait_ms)
{
	int64_t until_ms = clock_mono_ms() + wait_ms;
	struct head head;
	int rc;

	m->n_fds = 0;
	buf_init(&m->body);
	rc = receive_all(fd, &head, sizeof head, m, until_ms);
	if (rc == 0 && (head.magic != MAGIC || head.len > HANDOVER_BODY_MAX))
		rc = -EPROTO;
	if (rc == 0)
		rc = buf_reserve(&m->body, head.len);
	if (rc == 0)
		rc = receive_all(fd, buf_tail(&m->body), head.len, m, until_ms);
	if (rc == 0 && head.n_fds != m->n_fds)
		rc = -EPROTO; /* no descriptors are left here for all of them, for example */
	if (rc != 0) {
		handover_message_fini(m);
		return rc;
	}
	buf_commit(&m->body, head.len);
	m->type = (enum handover_type)head.type;
	return 0;
}

void
handover_message_fini(struct handover_message *m)
{
	for (unsigned i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->n_fds = 0;
	buf_fini(&m->body);
}

const char *
handover_error(int rc)
{
	switch (rc) {
	case -ENODATA:
	case -EPIPE:
		return "the other process has gone";
	case -EPROTO:
		return "what it says is no message of a hand-over, or descriptors were lost "
		       "(ulimit -n)";
	case -ETIMEDOUT:
		return "the other process does not answer";
	default:
		return strerror(-rc);
	}
}
