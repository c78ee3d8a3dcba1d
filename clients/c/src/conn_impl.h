/* conn_impl.h - a connection from the inside: its requests (conn.c) and how it is opened
 * (conn_open.c). */
#ifndef PANNIER_CLIENT_CONN_IMPL_H
#define PANNIER_CLIENT_CONN_IMPL_H

#include <netdb.h>

#include "clients/c/src/impl.h"

enum state { CLOSED, CONNECTING, GREETING, AUTHENTICATING, OPEN };

struct slot {
	pannier_callback *callback; /* NULL: nobody waits any more */
	void *arg;
	int64_t begun_us, deadline_ms;
	size_t n_items;
	uint32_t next_free;
	enum pannier_op op;
	bool used;
};
#define NO_SLOT UINT32_MAX

struct pannier_conn {
	struct pannier_options o;
	enum state state;
	int fd;
	unsigned generation;
	struct addrinfo *addrs, *addr; /* tcp: all that the name has, the one that is tried */
	struct buf in;
	struct out out;         /* from here on the socket's */
	struct out queue;       /* frames until the server has answered the preface */
	struct binary_parser parser;
	struct slot *slots;
	uint32_t n_slots, free_slot;
	size_t pending, abandoned;
	int64_t connect_by, next_deadline, not_before;
	uint32_t backoff_ms;
	uint64_t max_frame;
	uint64_t sent, received;
	char reason[256];
};

static inline int64_t
conn_now_ms(const struct pannier_conn *c)
{
	return c->o.now_us() / 1000;
}

void conn_slot_give(struct pannier_conn *c, uint32_t id);
/* Calls back. */
void conn_fail_slot(struct pannier_conn *c, const struct slot *s, int status, const char *text);

/* Close the socket, then fail all requests so. */
void conn_fail_with(struct pannier_conn *c, const struct pannier_reply *r);
void conn_fail(struct pannier_conn *c, int status, const char *text);
void conn_fail_errno(struct pannier_conn *c, const char *what, int err);

/* 0 or a failure. No request is waiting yet. */
int conn_start(struct pannier_conn *c);
/* The socket can be written. */
void conn_connected(struct pannier_conn *c);
/* over: nothing will come any more. True: the preface is done. */
bool conn_take_preface(struct pannier_conn *c, bool over);
void conn_authenticated(struct pannier_conn *c, const struct binary_frame *f);

#endif
