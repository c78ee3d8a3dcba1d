/* A read goes to one of three places:
 *  - one of some small buffers, where several sockets are likely to be readable:
 *    these are read first and served then, so that what a request needs from
 *    memory comes near while the next sockets are read. A GET alone waits for
 *    two cache misses, a tenth of all its time (doc/performance.md);
 *  - the loop's common buffer, behind the few bytes that were kept. What the
 *    handler does not use is copied to the connection's own buffer;
 *  - the own buffer itself, where a large request is being collected, and then
 *    exactly up to the length that it needs, so that its bytes are copied out
 *    of the kernel once, and what follows it goes the first way again. */
#include "config.h"

#include "net/conn_impl.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Reads for one connection in one turn while each of them is filled. */
#define READS_MAX 4
/* What is kept is moved in front of the common buffer up to this length. */
#define CARRY_MAX (READ_BYTES / 4)
/* From here on the own buffer grows in steps, so that a client that announces
 * half a gigabyte holds no more than four times what it sent. */
#define GROW_STEP_FROM (4 * READ_BYTES)
#define OWN_MIN 128
#define DRAINS_MAX 16

/* Nothing of the peer can be answered any more. A peer that only shut down
 * its sending half still waits for replies. */
static bool
peer_is_gone(struct conn *c)
{
	struct pollfd p = { .fd = conn_sock(c) };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

/* What recv() answered, where it is not a number of bytes. */
static void
no_bytes(struct conn *c, ssize_t n)
{
	if (n == 0) {
		c->eof = true;
		if (peer_is_gone(c))
			conn_end(c, CONN_EOF);
	} else if (errno == ECONNRESET) {
		conn_end(c, CONN_EOF);
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_end(c, CONN_ERROR);
	}
}

/* The bytes of data that the handler used. */
static inline size_t
call_handler(struct conn *c, const char *data, size_t n)
{
	size_t used;

	c->need = 0;
	c->in_input = true;
	used = c->handler->on_input(c, data, n, &c->need);
	c->in_input = false;
	assert(used <= n);
	return used;
}

/* The handler may have stopped because of it. */
static void
check_full(struct conn *c)
{
	if (conn_out_full(c))
		c->full = true;
}

static size_t
feed(struct conn *c, const char *data, size_t n)
{
	size_t used;

	if (c->cur == &c->out && out_is_bare(&c->out))
		c->cur = &c->pool->scratch;
	used = call_handler(c, data, n);
	check_full(c);
	return used;
}

static bool
takes_input(const struct conn *c)
{
	return likely(c->special == 0) ||
	    (!c->ended && !c->close_asked && !c->finishing && !c->full && !c->paused);
}

/* --- the own buffer ---------------------------------------------------------- */

static bool
over_input_limit(const struct conn *c, size_t kept)
{
	size_t limit = c->pool->limits.input_bytes;

	return limit != 0 && (kept > limit || c->need > limit);
}

/* How much memory to have where `kept` bytes are there and `upto` are wanted. */
static size_t
own_cap(size_t kept, size_t upto)
{
	return MAX(MIN(upto, MAX(4 * kept, (size_t)GROW_STEP_FROM)), (size_t)OWN_MIN);
}

/* data: what is left of the common buffer. */
static void
keep(struct conn *c, const char *data, size_t n)
{
	if (likely(n == 0 && c->in.cap == 0))
		return;
	buf_clear(&c->in);
	if (n == 0 || c->finishing || c->close_asked) {
		buf_fini(&c->in);
		return;
	}
	if (over_input_limit(c, n)) {
		conn_end(c, CONN_INPUT_LIMIT);
		return;
	}
	if ((c->in.cap < n && buf_resize(&c->in, own_cap(n, MAX(n, c->need))) != 0) ||
	    buf_append(&c->in, data, n) != 0)
		conn_end(c, CONN_NOMEM);
}

/* What is in the own buffer goes to the handler from there. */
static void
feed_own(struct conn *c)
{
	buf_consume(&c->in, feed(c, buf_data(&c->in), buf_len(&c->in)));
	if (buf_len(&c->in) == 0 || c->finishing || c->close_asked)
		buf_fini(&c->in);
	else if (over_input_limit(c, buf_len(&c->in)))
		conn_end(c, CONN_INPUT_LIMIT);
	else
		buf_shrink(&c->in, MIN(c->need, (size_t)GROW_STEP_FROM));
}

void
conn_feed_kept(struct conn *c)
{
	if (buf_len(&c->in) == 0 || c->full || c->finishing || c->close_asked)
		return;
	feed_own(c);
}

/* True: there may be more to read. */
static bool
read_own(struct conn *c)
{
	size_t kept = buf_len(&c->in), room;
	size_t upto = c->need > kept ? c->need : kept + READ_BYTES;
	ssize_t n;

	if (c->in.tail == c->in.cap && buf_resize(&c->in, own_cap(kept, upto)) != 0) {
		conn_end(c, CONN_NOMEM);
		return false;
	}
	room = MIN(c->in.cap - c->in.tail, upto - kept);
	n = recv(conn_sock(c), buf_tail(&c->in), room, MSG_DONTWAIT);
	if (n <= 0) {
		no_bytes(c, n);
		return false;
	}
	counter_add(&c->pool->bytes_in, n);
	buf_commit(&c->in, (size_t)n);
	if (buf_len(&c->in) >= c->need)
		feed_own(c);
	return (size_t)n == room;
}

/* --- the common buffer --------------------------------------------------------- */

static bool
read_common(struct conn *c)
{
	char *mem = c->pool->read_mem;
	size_t kept = buf_len(&c->in), used;
	ssize_t n;

	if (kept != 0)
		memcpy(mem, buf_data(&c->in), kept);
	n = recv(conn_sock(c), mem + kept, READ_BYTES - kept, MSG_DONTWAIT);
	if (unlikely(n <= 0)) {
		no_bytes(c, n);
		return false;
	}
	counter_add(&c->pool->bytes_in, n);
	if (kept + (size_t)n < c->need) {
		keep(c, mem, kept + (size_t)n);
	} else {
		used = feed(c, mem, kept + (size_t)n);
		keep(c, mem + used, kept + (size_t)n - used);
	}
	return (size_t)n == READ_BYTES - kept;
}

static bool
read_once(struct conn *c)
{
	if (likely(buf_len(&c->in) <= CARRY_MAX && c->need <= READ_BYTES))
		return read_common(c);
	return read_own(c);
}

/* True: the peer has sent more, which stays where it is. */
static bool
peek(struct conn *c)
{
	char byte;
	ssize_t n = recv(conn_sock(c), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n <= 0)
		no_bytes(c, n);
	return n > 0;
}

void
conn_read(struct conn *c)
{
	if (c->paused) {
		c->peeked = peek(c);
		return;
	}
	for (int i = 0; i < READS_MAX; i++)
		if (!read_once(c) || !takes_input(c))
			return;
}

/* n bytes are there, in the common buffer or ahead; `more`: maybe not all. */
static inline void
turn_with(struct conn *c, const char *mem, size_t n, bool more)
{
	size_t used;

	c->cur = &c->pool->scratch;
	used = call_handler(c, mem, n);
	if (likely(used == n && !more && c->special == 0) && conn_send_scratch(c))
		return;
	check_full(c);
	keep(c, mem + used, n - used);
	if (more && takes_input(c))
		conn_read(c);
	conn_settle(c);
}

static void
turn_without(struct conn *c, ssize_t n)
{
	no_bytes(c, n);
	conn_settle(c);
}

void
conn_turn(struct conn *c)
{
	char *mem = c->pool->read_mem;
	ssize_t n = recv(conn_sock(c), mem, READ_BYTES, MSG_DONTWAIT);

	if (unlikely(n <= 0)) {
		turn_without(c, n);
		return;
	}
	counter_add(&c->pool->bytes_in, n);
	c->bulky = n >= AHEAD_BYTES;
	turn_with(c, mem, (size_t)n, n == READ_BYTES);
}

/* --- reading ahead ------------------------------------------------------------- */

static void
serve_one_ahead(struct ahead *a)
{
	struct conn *c = a->c;
	size_t used = 0;

	if (unlikely(c->ended))
		return;
	c->ahead = 0;
	if (likely(c->special == 0 && out_is_bare(&c->out))) {
		turn_with(c, a->mem, a->n, false);
		return;
	}
	/* Something happened to it since. */
	if (takes_input(c))
		used = feed(c, a->mem, a->n);
	keep(c, a->mem + used, a->n - used);
	conn_settle(c);
}

static void
come_near(const struct conn_pool *p, unsigned slot)
{
	struct conn *c = p->ahead[slot].c;

	if (likely(!c->ended))
		c->handler->on_near(c, slot);
}

void
conn_serve_ahead(struct conn_pool *p)
{
	unsigned n = p->n_ahead;

	if (n == 0)
		return;
	come_near(p, n - 1);
	for (unsigned i = 0; i < n; i++)
		serve_one_ahead(&p->ahead[i]);
	p->n_ahead = 0;
}

/* The slot is full: the rest is read behind it. */
static void
turn_bulky(struct conn *c, const struct ahead *a)
{
	char *mem = c->pool->read_mem;
	ssize_t n = recv(conn_sock(c), mem + AHEAD_BYTES, READ_BYTES - AHEAD_BYTES, MSG_DONTWAIT);

	c->bulky = true;
	n = MAX(n, 0); /* an error or the end comes again */
	counter_add(&c->pool->bytes_in, n);
	memcpy(mem, a->mem, AHEAD_BYTES);
	turn_with(c, mem, (size_t)n + AHEAD_BYTES, n == READ_BYTES - AHEAD_BYTES);
}

void
conn_turn_ahead(struct conn *c)
{
	struct conn_pool *p = c->pool;
	unsigned slot = p->n_ahead;
	struct ahead *a = &p->ahead[slot];
	ssize_t n = recv(conn_sock(c), a->mem, AHEAD_BYTES, MSG_DONTWAIT);

	if (unlikely(n <= 0)) {
		turn_without(c, n);
		return;
	}
	counter_add(&p->bytes_in, n);
	if (unlikely(n == AHEAD_BYTES)) {
		turn_bulky(c, a);
		return;
	}
	a->c = c;
	a->n = (size_t)n;
	c->ahead = 1;
	p->n_ahead++;
	pool_turn_end_set(p);
	c->handler->on_ahead(c, slot, a->mem, (size_t)n);
	if (slot != 0)
		come_near(p, slot - 1);
	if (p->n_ahead == CONN_AHEAD)
		conn_serve_ahead(p);
}

void
conn_drain(struct conn *c)
{
	for (int i = 0; i < DRAINS_MAX; i++)
		if (recv(conn_sock(c), c->pool->read_mem, READ_BYTES, MSG_DONTWAIT) <= 0)
			return;
}
