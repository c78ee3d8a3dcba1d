/* redis_conn.h - one connection to a Redis or Valkey server: greeted, pipelined,
 * watched. It lives once: who wants another connection after it broke opens one.
 *
 * The greeting is HELLO 3 with AUTH and SETNAME; a server that does not know it
 * (before 6.0), or a user who may not say it, gets AUTH and CLIENT SETNAME in RESP2.
 * Requests that are made earlier wait until it is over. Requests of one turn of the
 * loop go out together.
 *
 * Belongs to one loop. Callbacks come from the loop, never from within a call. */
#ifndef PANNIER_ORIGIN_REDIS_CONN_H
#define PANNIER_ORIGIN_REDIS_CONN_H

#include "origin/redis_link.h"
#include "origin/redis_reply.h"

struct redis_conn;

/* Whom the server shall take us for. Never logged. */
struct redis_login {
	const char *username;  /* NULL: that of Redis, "default" */
	struct slice password; /* "": none is given */
};

struct redis_conn_opts {
	struct loop *loop;
	const struct redis_address *to;  /* copied */
	struct redis_tls *tls;           /* where to->tls */
	const struct redis_login *login; /* NULL: none */
	const char *name;      /* for CLIENT LIST; NULL: none */
	const char *role;      /* what ROLE must answer, "master" or "slave"; NULL: it is
	                        * not asked */
	unsigned database;
	bool resp2;            /* RESP3 is not asked for */
	bool read_only;        /* READONLY: a replica of a Cluster serves reads */
	uint64_t max_body;     /* a longer value is passed over: -EFBIG */
	int64_t connect_ms;    /* for name, connection, TLS and greeting together */
	int64_t ping_ms;       /* idle for so long: PING */
	int64_t silent_ms;     /* replies are owed and nothing came for so long: broken */
	/* All optional. The texts of opts outlive the connection. */
	void (*up)(void *arg);
	void (*push)(void *arg, const struct redis_reply *r);
	/* It is over; all calls were answered before. The owner closes it, here or later.
	 * unreached: it never was up. */
	void (*down)(void *arg, bool unreached, const char *why);
	void *arg;
};

/* 0 or -ENOMEM. */
int redis_conn_open(const struct redis_conn_opts *o, struct redis_conn **out) MUST_CHECK;
/* Calls that are open end without done(). Never waits; may be called in callbacks. */
void redis_conn_close(struct redis_conn *c); /* NULL is fine */

bool redis_conn_is_up(const struct redis_conn *c);
bool redis_conn_is_over(const struct redis_conn *c); /* down() came or is about to */
bool redis_conn_is_resp3(const struct redis_conn *c);
const struct redis_address *redis_conn_address(const struct redis_conn *c);
/* Calls without a reply. */
unsigned redis_conn_load(const struct redis_conn *c);
/* To go before " within 50 ms": what it is doing that somebody waits for. */
void redis_conn_doing(const struct redis_conn *c, char *text, size_t size);

/* A request on its way; lies in what it is for. */
struct redis_call {
	/* r: the reply, good until it returns. NULL: the connection ended first, `why` says
	 * how, and `sent` whether the server may have got the request. */
	void (*done)(struct redis_call *call, const struct redis_reply *r, const char *why);
	bool want_body; /* a bulk string comes as a blob */
	bool sent;
	/* The connection's. */
	struct redis_conn *conn; /* NULL: not under way */
	uint64_t nth;
};

/* done() is called once, in the order of sending. 0, -ENOMEM, or -ENOTCONN: it is
 * over. */
int redis_conn_call(struct redis_conn *c, struct redis_call *call, const struct slice *argv,
    uint32_t argc) MUST_CHECK;
/* done() is not called; the reply is passed over. Also of one not under way. */
void redis_call_cancel(struct redis_call *call);
/* A command of the SUBSCRIBE family: what comes of it are pushes, also in RESP2. */
int redis_conn_subscribe(struct redis_conn *c, const struct slice *argv, uint32_t argc) MUST_CHECK;

#endif
