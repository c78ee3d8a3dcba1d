/* bench_conn.h - a connection of the load generator: what was asked and is
 * not answered yet, in order, and the bytes on their way. One thread's. */
#ifndef PANNIER_CLI_BENCH_CONN_H
#define PANNIER_CLI_BENCH_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* A request under way. */
struct bench_op {
	uint64_t id;
	int64_t start_us; /* when it was sent; open loop: when it was due */
	bool set;
	bool owed;        /* a SET that followed a miss */
};

struct bench_conn {
	int fd;
	bool want_write;       /* epoll watches for room to write */
	bool queued;           /* in its worker's ring of those with room */
	bool dirty;            /* in its worker's list of those with bytes to write */
	struct buf in, out;
	size_t read_size;      /* grows with what comes */
	struct bench_op *ops;  /* a ring, owned */
	unsigned mask, head, n_ops;
	uint64_t *owed;        /* keys of SETs to come, owned; [ops] */
	unsigned n_owed;
	int64_t last_us;       /* when bytes came, or the first request behind them went */
};

/* Connects to "unix:PATH", "tcp:HOST:PORT" or a path; non-blocking
 * afterwards. max_ops: requests under way at a time. 0 or -errno with a
 * sentence in err. */
int bench_conn_open(struct bench_conn *c, const char *address, unsigned max_ops, char *err,
    size_t err_size) MUST_CHECK;
void bench_conn_close(struct bench_conn *c); /* a zeroed one is fine */

/* There must be room: n_ops is below max_ops. */
static inline void
bench_conn_push(struct bench_conn *c, const struct bench_op *op, int64_t now_us)
{
	if (c->n_ops == 0)
		c->last_us = now_us;
	c->ops[(c->head + c->n_ops++) & c->mask] = *op;
}

static inline struct bench_op *
bench_conn_first(struct bench_conn *c)
{
	return &c->ops[c->head & c->mask];
}

static inline void
bench_conn_pop(struct bench_conn *c)
{
	c->head++;
	c->n_ops--;
}

/* One write, one read. 0; -EAGAIN: not all could be written, or nothing is
 * there; -errno otherwise, -ECONNRESET at the stream's end. */
int bench_conn_write(struct bench_conn *c) MUST_CHECK;
int bench_conn_read(struct bench_conn *c) MUST_CHECK;

#endif
