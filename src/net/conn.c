#include "config.h"

#include "net/conn_impl.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* Unsent bytes from which a connection is held up while memory is short. */
#define PAUSE_TIGHT_BYTES (16u << 10)

void
conn_mark(struct conn *c)
{
	if (c->ended || !list_empty(&c->work))
		return;
	list_push_tail(&c->pool->marked, &c->work);
	pool_turn_end_set(c->pool);
}

/* --- what to wait for -------------------------------------------------------------- */

static void
set_hangup(struct conn *c, bool on)
{
	if (likely(on == c->hangup_on))
		return;
	if (!on)
		hangup_del(&c->pool->hangup, conn_sock(c));
	else if (hangup_add(&c->pool->hangup, conn_sock(c), c) != 0)
		return; /* its end is then seen when it is written to */
	c->hangup_on = on;
}

static void
set_watch(struct conn *c)
{
	int events = 0;

	if (!c->eof && !c->finishing && !c->full && !(c->paused && c->peeked))
		events |= WATCH_READ;
	if (c->want_write)
		events |= WATCH_WRITE;
	watch_set(&c->watch, events);
	/* epoll reports a hang-up with whatever else is waited for. */
	set_hangup(c, events == 0);
}

/* --- the end ------------------------------------------------------------------------ */

static void
drop_buffers(struct conn *c)
{
	if (c->cur != &c->out) {
		out_reset(c->cur);
		c->cur = &c->out;
	}
	out_fini(&c->out);
	buf_fini(&c->in);
	pool_account(c);
}

void
conn_end(struct conn *c, enum conn_end why)
{
	struct conn_pool *p = c->pool;

	assert(!c->ended && !c->in_input);
	c->ended = true;
	list_del(&c->work);
	list_del(&c->soft);
	list_del(&c->link);
	set_hangup(c, false);
	watch_set(&c->watch, 0);
	close(conn_sock(c));
	c->watch.ev.fd = -1;
	drop_buffers(c);
	counter_add(&p->count, -1);
	list_push_tail(&p->dead, &c->link);
	pool_turn_end_set(p);
	c->handler->on_end(c, why);
}

/* All is sent. True: there is no reason to go on. */
static bool
end_if_done(struct conn *c)
{
	if (c->finishing) {
		shutdown(conn_sock(c), SHUT_WR);
		conn_drain(c);
		conn_end(c, CONN_CLOSED);
	} else if (c->eof && c->holds == 0 && !c->paused && !c->kick) {
		conn_end(c, CONN_EOF);
	}
	return c->ended;
}

/* Where all together hold half of what they may, nobody gets far ahead of what it
 * reads: many who may each hold much would else pass the bound in one turn. */
static size_t
pause_mark(const struct conn *c)
{
	const struct conn_limits *limits = &c->pool->limits;
	size_t mark = limits->output_pause_bytes != 0 ? limits->output_pause_bytes : SIZE_MAX;

	if (limits->total_bytes != 0 && conn_pool_bytes(c->pool) > limits->total_bytes / 2)
		return MIN(mark, (size_t)PAUSE_TIGHT_BYTES);
	return mark;
}

void
conn_settle(struct conn *c)
{
	if (c->ended)
		return;
	if (unlikely(c->close_asked)) {
		conn_end(c, CONN_CLOSED);
		return;
	}
	if (!conn_send(c) || !conn_check_output_limits(c))
		return;
	if (unlikely(c->full) && out_len(&c->out) <= pause_mark(c) / 2) {
		c->full = false;
		conn_kick(c);
	}
	if (out_len(&c->out) == 0 && unlikely(c->finishing || c->eof) && end_if_done(c))
		return;
	set_watch(c);
	pool_account(c);
	pool_shed(c->pool);
}

/* --- events -------------------------------------------------------------------------- */

static void
on_ready(struct watch *w, int events)
{
	struct conn *c = container_of(w, struct conn, watch);

	if (likely(events == WATCH_READ && conn_is_plain(c))) {
		if (loop_is_crowded(c->pool->loop) && !c->bulky && c->handler->on_ahead != NULL)
			conn_turn_ahead(c);
		else
			conn_turn(c);
		return;
	}
	if (unlikely(events == WATCH_FAILED)) {
		conn_end(c, CONN_ERROR);
		return;
	}
	c->active_ms = loop_now_ms(c->pool->loop);
	if ((events & WATCH_WRITE) != 0)
		c->want_write = false;
	if ((events & WATCH_READ) != 0)
		conn_read(c);
	conn_settle(c);
}

/* --- conn.h ---------------------------------------------------------------------------- */

int
conn_new(struct conn_pool *p, int fd, const struct conn_handler *h, void *data, struct conn **out)
{
	struct conn *c = mem_zalloc(sizeof *c);

	if (c == NULL) {
		close(fd);
		return -ENOMEM;
	}
	c->pool = p;
	c->handler = h;
	c->data = data;
	c->cur = &c->out;
	out_init(&c->out);
	buf_init(&c->in);
	list_init(&c->work);
	list_init(&c->soft);
	list_push_tail(&p->conns, &c->link);
	counter_inc(&p->count);
	watch_init(&c->watch, p->loop, fd, on_ready);
	watch_set(&c->watch, WATCH_READ);
	*out = c;
	return 0;
}

void *
conn_data(const struct conn *c)
{
	return c->data;
}

void
conn_set_handler(struct conn *c, const struct conn_handler *h)
{
	c->handler = h;
}

const struct conn_handler *
conn_handler(const struct conn *c)
{
	return c->handler;
}

int64_t
conn_active_ms(const struct conn *c)
{
	return c->active_ms;
}

int
conn_fd(const struct conn *c)
{
	return conn_sock(c);
}

struct loop *
conn_loop(const struct conn *c)
{
	return c->pool->loop;
}

struct out *
conn_out(struct conn *c)
{
	return c->cur;
}

bool
conn_out_full(const struct conn *c)
{
	return out_len(c->cur) > pause_mark(c);
}

bool
conn_out_over(const struct conn *c)
{
	size_t hard_bytes = c->pool->limits.output_hard_bytes;

	return hard_bytes != 0 && out_len(c->cur) > hard_bytes;
}

void
conn_flush(struct conn *c)
{
	conn_mark(c);
}

size_t
conn_in_bytes(const struct conn *c)
{
	return buf_len(&c->in);
}

size_t
conn_out_bytes(const struct conn *c)
{
	return out_len(c->cur);
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	c->peeked = false;
	if (buf_len(&c->in) >= MAX(c->need, 1))
		c->kick = true;
	conn_mark(c);
}

void
conn_kick(struct conn *c)
{
	if (buf_len(&c->in) == 0)
		return;
	c->kick = true;
	conn_mark(c);
}

void
conn_charge(struct conn *c, int64_t bytes)
{
	c->charged += (size_t)bytes;
	c->pool->charged += (size_t)bytes;
	pool_account(c);
}

bool
conn_may_charge(const struct conn *c, size_t bytes)
{
	size_t total = c->pool->limits.total_bytes;

	return total == 0 || c->pool->charged + bytes <= total / 2;
}

void
conn_shelter(struct conn *c, bool on)
{
	c->sheltered = on;
}

void
conn_hold(struct conn *c)
{
	c->holds++;
}

void
conn_release(struct conn *c)
{
	assert(c->holds > 0);
	if (--c->holds == 0 && c->eof)
		conn_mark(c);
}

void
conn_finish(struct conn *c)
{
	c->finishing = true;
	conn_mark(c);
}

void
conn_close_soon(struct conn *c)
{
	c->close_asked = true;
	conn_mark(c);
}

void
conn_close(struct conn *c)
{
	if (c->ended)
		return;
	if (c->in_input)
		c->close_asked = true;
	else
		conn_end(c, CONN_CLOSED);
}
