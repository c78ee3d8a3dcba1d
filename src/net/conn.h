/* conn.h - a client's connection: bytes in, bytes out. Knows no protocol.
 * Belongs to one loop for all its life.
 *
 * Reading: a readable socket is read into a buffer that all connections of the
 * loop share (one of several, where several sockets are readable) and handed to
 * on_input() in place; what is not used is kept in a buffer of the connection's
 * own, which exists only while something is left over. So an idle connection
 * holds no buffer at all.
 * Writing: on_input() and others append to conn_out(); everything appended in
 * one turn goes out by one writev(), and only what the socket does not take
 * stays behind. */
#ifndef PANNIER_NET_CONN_H
#define PANNIER_NET_CONN_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/out.h"
#include "net/loop.h"

struct conn;

#define CONN_AHEAD 8

enum conn_end {
	CONN_EOF,          /* the peer closed, or half-closed and got all */
	CONN_ERROR,        /* a socket error */
	CONN_OUTPUT_LIMIT, /* did not read its replies */
	CONN_INPUT_LIMIT,  /* one request larger than allowed */
	CONN_NOMEM,
	CONN_CLOSED,       /* conn_close() */
};

struct conn_handler {
	/* New input: answers how many of the n bytes at data are used up. What
	 * is left comes again, with more behind it, once at least *need bytes
	 * in all are there (set by the handler, 0: any more) or after
	 * conn_kick(). A handler that has several requests to answer stops in
	 * between when conn_out_full(): the rest comes again by itself when
	 * the client has read. conn_close() in here takes effect behind it. */
	size_t (*on_input)(struct conn *c, const char *data, size_t n, size_t *need);
	/* Both may be NULL. Several connections are readable: these n bytes come to
	 * on_input() later in this turn, when the other ones were read as well,
	 * unless something happens in between. To bring near what they will need;
	 * on_near() comes once that has had time, for what it leads to. Until
	 * on_input(), slot (below CONN_AHEAD) is no other connection's of the pool. */
	void (*on_ahead)(struct conn *c, unsigned slot, const char *data, size_t n);
	void (*on_near)(struct conn *c, unsigned slot);
	/* The last call: the connection is gone, free what hangs on it. Never
	 * called from within another call of conn.h but conn_close(). */
	void (*on_end)(struct conn *c, enum conn_end why);
};

/* In each, 0 is no limit. */
struct conn_limits {
	size_t input_bytes;       /* of one connection, kept between reads */
	size_t output_hard_bytes; /* unsent, references not counted: beyond, the
	                           * connection is closed */
	size_t output_soft_bytes; /* unsent for longer than soft_ms: likewise */
	int64_t output_soft_ms;
	size_t output_pause_bytes;/* unsent: beyond, no more input is read; less where
	                           * all together hold half of total_bytes */
	size_t total_bytes;       /* of conn_pool_bytes(): beyond, the connection
	                           * that holds most is closed */
	const _Atomic(uint64_t) *beside; /* bytes that count with it, a share of them; */
	unsigned beside_shares;          /* NULL: none */
};

/* Shared by all connections of a loop: the common read buffer, totals. */
struct conn_pool;
int conn_pool_new(struct loop *l, const struct conn_limits *limits, struct conn_pool **out)
    MUST_CHECK;
/* Closes what is open. Before loop_free(), and not in on_input(). NULL is fine. */
void conn_pool_free(struct conn_pool *p);
/* Heap bytes held in buffers of all connections of this pool, used or not;
 * what is sent by reference is not theirs. Any thread. */
size_t conn_pool_bytes(const struct conn_pool *p);
void conn_pool_set_limits(struct conn_pool *p, const struct conn_limits *limits);
/* Those in force. */
const struct conn_limits *conn_pool_limits(const struct conn_pool *p);
unsigned conn_pool_count(const struct conn_pool *p); /* any thread */

/* Takes fd over, also on failure. `data` is for the handler. */
int conn_new(struct conn_pool *p, int fd, const struct conn_handler *h, void *data,
    struct conn **out) MUST_CHECK;

void *conn_data(const struct conn *c);
/* Another one from its next input on, for who learns from the first what to do. */
void conn_set_handler(struct conn *c, const struct conn_handler *h);
const struct conn_handler *conn_handler(const struct conn *c);
int conn_fd(const struct conn *c); /* -1 after the end */
struct loop *conn_loop(const struct conn *c);
struct list *conn_pool_list(struct conn_pool *p); /* of conn_link(), oldest first */
struct conn *conn_of_link(struct list *link);

/* Where replies are appended. They are sent when this turn ends. Ask anew in
 * each call of on_input(): it is not always the same one. */
struct out *conn_out(struct conn *c);
/* Call after appending outside of on_input(). */
void conn_flush(struct conn *c);
/* More than output_pause_bytes are unsent, those of this on_input() included. */
bool conn_out_full(const struct conn *c);
/* When bytes last came or went in a turn without on_input(), monotonic: a
 * large request that comes in pieces, a large reply that is read in pieces.
 * 0: never. */
int64_t conn_active_ms(const struct conn *c);
/* More than output_hard_bytes are unsent, references counted: for who would append
 * without end in one turn. */
bool conn_out_over(const struct conn *c);
/* Bytes of input kept, bytes of output unsent. */
size_t conn_in_bytes(const struct conn *c);
size_t conn_out_bytes(const struct conn *c);

/* Replies are owed that come later: a client that has shut down its sending
 * half is not given up before they are all released and sent. Counted. One
 * that has closed altogether is given up at once (over TCP that cannot be told
 * apart, and it is when it is written to). A paused connection counts as held. */
void conn_hold(struct conn *c);
void conn_release(struct conn *c);
/* Stops and resumes reading; while stopped, the peer's close is still seen (but
 * over TCP behind input that it sent before). Resuming hands on what is kept. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* Heap bytes that somebody holds for the connection elsewhere, as its buffers: they
 * count in conn_pool_bytes(). Negative: no more. Also after its end. */
void conn_charge(struct conn *c, int64_t bytes);
/* Whether so many more may be: all connections of the pool may be charged for half of
 * total_bytes, so that requests still find room to come in. */
bool conn_may_charge(const struct conn *c, size_t bytes);
/* It is not the one that is closed where all connections together hold too much. */
void conn_shelter(struct conn *c, bool on);
/* Hands input that is kept to on_input() again, when this turn ends. */
void conn_kick(struct conn *c);

/* Sends what is appended, then closes with on_end(CONN_CLOSED) (QUIT, protocol
 * error). No more input is handed on. */
void conn_finish(struct conn *c);
/* At once, unsent or not; calls on_end(CONN_CLOSED). Called in on_input() of the
 * same connection it waits until that has returned. A pointer to a connection
 * that has ended is good until the end of the turn, and calls on it do
 * nothing. */
void conn_close(struct conn *c);
/* Likewise when this turn ends, for who walks over connections. */
void conn_close_soon(struct conn *c);

/* --- to another process (conn_pass.c) ------------------------------------------------ */

/* In a task of the loop, behind all others of its turn: whether every input that was read
 * was handed on, and all that was appended is sent or kept. If not, ask again later. */
bool conn_pool_settled(const struct conn_pool *p);
/* It is not about to be closed at once. */
bool conn_goes_on(const struct conn *c);
/* conn_finish() was called. */
bool conn_is_finishing(const struct conn *c);
/* What was read and not used, and what was appended and not sent, all of it copied (what
 * was sent by reference is released): good until the loop goes on. -ENOMEM. */
int conn_kept(struct conn *c, struct slice *in, struct slice *out) MUST_CHECK;
/* A new connection begins with these, as if it had kept them. 0 or -ENOMEM. */
int conn_preload(struct conn *c, struct slice in, struct slice out) MUST_CHECK;
/* All connections end, with CONN_CLOSED; what is read from and written to their sockets
 * meanwhile is another process's. */
void conn_pool_close(struct conn_pool *p);

/* Totals for statistics, since the start of the pool; any thread. */
uint64_t conn_pool_bytes_in(const struct conn_pool *p);
uint64_t conn_pool_bytes_out(const struct conn_pool *p);

#endif
