/* conn_impl.h - what the files that implement conn.h share, and nobody else.
 *
 *   conn.c       life of a connection, and what is called from outside
 *   conn_read.c  from the socket to on_input()
 *   conn_write.c from conn_out() to the socket, and its limits
 *   conn_pool.c  what connections of a loop share, and the end of a turn
 *
 * A connection is touched by events (readable, writable, the peer is gone),
 * by its handler, and at the end of a turn by the pool, if it asked for that
 * with conn_mark(). Each of these ends in conn_settle(), which alone sends,
 * enforces limits, decides what to wait for, and ends connections. */
#ifndef PANNIER_NET_CONN_IMPL_H
#define PANNIER_NET_CONN_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "net/conn.h"
#include "net/hangup.h"
#include "stats/counter.h"

#define READ_BYTES (64 * 1024) /* the common buffer */
/* What is read ahead of one connection. Not a multiple of the page, or the first
 * lines of all of them would share a few sets of the processor's cache. */
#define AHEAD_BYTES (4096 + 128)

/* Read, and served when some more are or the turn ends: while one socket is
 * read, the memory that another one's request needs comes nearer. */
struct ahead {
	struct conn *c;
	size_t n;
	char mem[AHEAD_BYTES];
};

struct conn_pool {
	struct loop *loop;
	struct conn_limits limits;
	struct list conns;     /* by conn.link, oldest first */
	struct list marked;    /* by conn.work: settled when the turn ends */
	struct list over_soft; /* by conn.soft, longest over the limit first */
	struct list dead;      /* by conn.link: freed when the turn ends */
	struct loop_task turn_end;
	bool turn_end_set;
	bool freed;            /* conn_pool_free() was called */
	struct timer soft_timer;
	struct hangup hangup;
	struct out scratch;    /* output of the connection that is in on_input() */
	size_t charged;        /* see conn_charge(); part of bytes */
	struct counter bytes, count, bytes_in, bytes_out;
	unsigned n_ahead;
	struct ahead ahead[CONN_AHEAD];
	char read_mem[READ_BYTES];
};

struct conn {
	struct watch watch;
	struct conn_pool *pool;
	const struct conn_handler *handler;
	void *data;
	struct out *cur;  /* the pool's scratch from on_input() to conn_settle(), else &out */
	struct out out;   /* what the socket did not take; empty: holds no memory */
	struct buf in;    /* what the handler did not use; empty: holds no memory */
	size_t need;      /* bytes that must be in `in` before the handler is asked */
	size_t held;      /* heap bytes, as counted in pool.bytes */
	size_t charged;   /* of those: conn_charge() */
	struct list link; /* in pool.conns, then in pool.dead */
	struct list work; /* in pool.marked */
	struct list soft; /* in pool.over_soft */
	int64_t soft_since_ms;
	int64_t active_ms; /* see conn_active_ms() */
	unsigned holds;   /* replies owed: conn_hold() */
	bool in_input;    /* on_input() is on the stack */
	bool sheltered;   /* conn_shelter() */
	bool bulky;       /* its last read was more than is read ahead */
	/* None of them in the usual case, which is one comparison. */
	union {
		struct {
			uint16_t close_asked : 1; /* conn_close() in on_input() */
			uint16_t ended : 1;       /* on_end() was called */
			uint16_t kick : 1;
			uint16_t paused : 1;
			uint16_t peeked : 1;      /* paused, and input waits in the socket */
			uint16_t full : 1;        /* too much unsent: no reading, no on_input() */
			uint16_t want_write : 1;  /* the socket is full */
			uint16_t eof : 1;
			uint16_t finishing : 1;
			uint16_t hangup_on : 1;   /* in pool.hangup */
			uint16_t ahead : 1;       /* in pool.ahead */
		};
		uint16_t special;
	};
};

static inline int
conn_sock(const struct conn *c)
{
	return c->watch.ev.fd;
}

/* conn_settle() is due when this turn ends. */
void conn_mark(struct conn *c);
/* Sends, checks limits, sets what to wait for. May end the connection. */
void conn_settle(struct conn *c);
/* Calls on_end(); the memory is good until the end of the turn. */
void conn_end(struct conn *c, enum conn_end why);

/* Nothing is kept, unsent or under way: conn_turn() may serve it. */
static inline bool
conn_is_plain(const struct conn *c)
{
	return c->special == 0 && c->in.cap == 0 && out_is_bare(&c->out);
}

/* All of a readable connection's turn, the usual case in the shortest way. */
void conn_turn(struct conn *c);
/* The same, but what it reads may wait for the other call, which comes before the
 * turn ends. */
void conn_turn_ahead(struct conn *c);
void conn_serve_ahead(struct conn_pool *p);
/* Reads what is there and hands it on. May end the connection. */
void conn_read(struct conn *c);
/* Hands on what is kept. May end the connection. */
void conn_feed_kept(struct conn *c);
/* Throws away what is unread, so that close() does not reset the peer before
 * it has read our last words. Bounded. */
void conn_drain(struct conn *c);

/* The usual case: all of the scratch, copied bytes only, in one send(). False:
 * it was not that case, or not all of it went; then conn_send() goes on. */
bool conn_send_scratch(struct conn *c) MUST_CHECK;
/* False: ended. */
bool conn_send(struct conn *c) MUST_CHECK;
bool conn_check_output_limits(struct conn *c) MUST_CHECK;
void conn_soft_timer_set(struct conn_pool *p);
void conn_soft_timer_fire(struct timer *t);

void pool_turn_end_set(struct conn_pool *p);
/* After c's buffers changed. */
void pool_account(struct conn *c);
/* Ends connections while all together hold too much; c of who calls may be one. */
void pool_shed(struct conn_pool *p);

#endif
