/* bench_conn.h - a connection of the load generator: what was asked and is
 * not answered yet, in order of asking, and the bytes on their way. One thread's. */
#ifndef PANNIER_CLI_BENCH_CONN_H
#define PANNIER_CLI_BENCH_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "cli/bench_wire.h"

struct bench_conn;
struct bench_worker;
struct pannier_conn;

/* A request under way. */
struct bench_op {
	uint64_t id;
	struct bench_conn *conn; /* where libpannier is asked */
	int64_t start_us; /* when it was sent; open loop: when it was due */
	bool set;
	bool owed;        /* a SET that followed a miss */
};

struct bench_conn {
	struct bench_worker *worker;
	struct pannier_conn *lib; /* BENCH_BINARY: has the socket and the bytes; else NULL */
	uint64_t sent, received;  /* of those, what is counted */
	int fd;
	bool want_write;       /* epoll watches for room to write */
	bool queued;           /* in its worker's ring of those with room */
	bool dirty;            /* in its worker's list of those with bytes to write */
	struct buf in, out;
	size_t read_size;      /* grows with what comes */
	struct bench_op *ops;  /* a ring, with lib a table; owned */
	unsigned mask, head, n_ops;
	struct bench_op **free_ops; /* of the table, a stack, owned; [ops] */
	unsigned n_free;
	uint64_t *owed;        /* keys of SETs to come, owned; [ops] */
	unsigned n_owed;
	int64_t last_us;       /* when bytes came, or the first request behind them went */
};

/* Connects to "unix:PATH", "tcp:HOST:PORT" or a path; non-blocking
 * afterwards. max_ops: requests under way at a time. 0 or -errno with a
 * sentence in err. */
int bench_conn_open(struct bench_conn *c, const char *address, unsigned max_ops,
    enum bench_protocol protocol, char *err, size_t err_size) MUST_CHECK;
void bench_conn_close(struct bench_conn *c); /* a zeroed one is fine */

/* There must be room: n_ops is below max_ops. */
static inline void
bench_conn_push(struct bench_conn *c, const struct bench_op *op, int64_t now_us)
{
	struct bench_op *at = &c->ops[(c->head + c->n_ops++) & c->mask];

	if (c->n_ops == 1)
		c->last_us = now_us;
	*at = *op;
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

/* The same where answers come in any order. */
static inline struct bench_op *
bench_conn_take(struct bench_conn *c)
{
	c->n_ops++;
	return c->free_ops[--c->n_free];
}

static inline void
bench_conn_give(struct bench_conn *c, struct bench_op *op)
{
	c->free_ops[c->n_free++] = op;
	c->n_ops--;
}

/* One write, one read. 0; -EAGAIN: not all could be written, or nothing is
 * there; -errno otherwise, -ECONNRESET at the stream's end. */
int bench_conn_write(struct bench_conn *c) MUST_CHECK;
int bench_conn_read(struct bench_conn *c) MUST_CHECK;

#endif
