#include "config.h"

#include "net/conn_impl.h"

#include <errno.h>
#include <sys/socket.h>

#define IOVS_MAX 64
/* Kept by the common scratch when a turn needed more. */
#define SCRATCH_KEEP (64 * 1024)

/* What the socket took, or -errno. Plain send() is cheaper than sendmsg(). */
static ssize_t
send_some(int fd, const struct iovec *iov, int n)
{
	ssize_t sent;

	do {
		if (n == 1) {
			sent = send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		} else {
			struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
				.msg_iovlen = (size_t)n };

			sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
	} while (sent < 0 && errno == EINTR);
	return sent >= 0 ? sent : -errno;
}

/* Until all is sent (0), the socket is full (0, want_write), or -errno. */
static int
send_all(struct conn *c, struct out *o)
{
	while (out_len(o) != 0) {
		struct iovec iov[IOVS_MAX];
		int n = out_iov(o, iov, IOVS_MAX);
		size_t offered = 0;
		ssize_t sent = send_some(conn_sock(c), iov, n);

		if (unlikely(sent < 0)) {
			c->want_write = sent == -EAGAIN;
			return c->want_write ? 0 : (int)sent;
		}
		for (int i = 0; i < n; i++)
			offered += iov[i].iov_len;
		counter_add(&c->pool->bytes_out, sent);
		out_consume(o, (size_t)sent);
		if (unlikely((size_t)sent < offered)) {
			c->want_write = true;
			return 0;
		}
	}
	return 0;
}

bool
conn_send_scratch(struct conn *c)
{
	struct out *o = &c->pool->scratch;
	struct slice all = out_copied(o);
	ssize_t sent;

	if (unlikely(all.ptr == NULL || o->bytes.cap > 2 * SCRATCH_KEEP))
		return false;
	if (unlikely(all.len == 0)) {
		c->cur = &c->out;
		return true;
	}
	sent = send(conn_sock(c), all.ptr, all.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (unlikely(sent < 0))
		return false;
	counter_add(&c->pool->bytes_out, sent);
	if (unlikely((size_t)sent < all.len)) {
		out_consume(o, (size_t)sent);
		c->want_write = true;
		return false;
	}
	buf_clear(&o->bytes);
	c->cur = &c->out;
	return true;
}

/* What the scratch still holds becomes the connection's. */
static void
leave_scratch(struct conn *c)
{
	struct out *scratch = &c->pool->scratch;

	if (out_len(scratch) != 0)
		out_move(&c->out, scratch);
	c->cur = &c->out;
	out_shrink(scratch, SCRATCH_KEEP);
}

bool
conn_send(struct conn *c)
{
	int rc = 0;

	if (unlikely(out_failed(c->cur))) {
		conn_end(c, CONN_NOMEM);
		return false;
	}
	if (!c->want_write)
		rc = send_all(c, c->cur);
	if (rc != 0) {
		conn_end(c, rc == -EPIPE || rc == -ECONNRESET ? CONN_EOF : CONN_ERROR);
		return false;
	}
	if (c->cur != &c->out)
		leave_scratch(c);
	else if (out_len(&c->out) == 0)
		out_fini(&c->out);
	return true;
}

/* --- limits -------------------------------------------------------------------- */

bool
conn_check_output_limits(struct conn *c)
{
	const struct conn_limits *limits = &c->pool->limits;
	size_t unsent = out_len(&c->out);

	if (likely(unsent == 0 && list_empty(&c->soft)))
		return true;
	/* What is sent by reference costs no heap; its owner caps it, and the
	 * soft limit sees to it that it does not last. */
	if (limits->output_hard_bytes != 0 &&
	    buf_len(&c->out.bytes) > limits->output_hard_bytes) {
		conn_end(c, CONN_OUTPUT_LIMIT);
		return false;
	}
	if (limits->output_soft_bytes == 0 || unsent <= limits->output_soft_bytes) {
		list_del(&c->soft);
	} else if (list_empty(&c->soft)) {
		c->soft_since_ms = loop_now_ms(c->pool->loop);
		list_push_tail(&c->pool->over_soft, &c->soft);
		conn_soft_timer_set(c->pool);
	}
	return true;
}

/* Fires when the one that is over the limit for longest must go. */
void
conn_soft_timer_set(struct conn_pool *p)
{
	const struct conn *c;

	if (list_empty(&p->over_soft)) {
		timer_stop(&p->soft_timer);
		return;
	}
	c = list_entry(p->over_soft.next, struct conn, soft);
	timer_start(&p->soft_timer,
	    c->soft_since_ms + p->limits.output_soft_ms - loop_now_ms(p->loop));
}

void
conn_soft_timer_fire(struct timer *t)
{
	struct conn_pool *p = container_of(t, struct conn_pool, soft_timer);
	int64_t since_ms = loop_now_ms(p->loop) - p->limits.output_soft_ms;

	while (!list_empty(&p->over_soft)) {
		struct conn *c = list_entry(p->over_soft.next, struct conn, soft);

		if (c->soft_since_ms > since_ms)
			break;
		conn_end(c, CONN_OUTPUT_LIMIT);
	}
	conn_soft_timer_set(p);
}
