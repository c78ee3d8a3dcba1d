/* redis_node.h - a Redis server and the few connections to it. They are opened when
 * they are wanted, and after a failure not again before a pause that doubles.
 *
 * Belongs to one loop. */
#ifndef PANNIER_ORIGIN_REDIS_NODE_H
#define PANNIER_ORIGIN_REDIS_NODE_H

#include "base/list.h"
#include "config/password.h"
#include "origin/redis_conn.h"

#define REDIS_NODE_CONNS 64

/* What all servers of one kind have in common. */
struct redis_node;

struct redis_node_opts {
	struct redis_conn_opts conn; /* but for to, login, and the callbacks */
	const char *username;        /* or NULL */
	const char *password_file, *password_env; /* or NULL; read for each connection */
	unsigned connections;
	bool check_role;             /* a server that is no master, or no replica, is refused */
	void (*up)(void *arg, struct redis_node *n, struct redis_conn *c);
	void (*push)(void *arg, struct redis_node *n, const struct redis_reply *r);
	void (*down)(void *arg, struct redis_node *n, const char *why);
	void *arg;
};

struct redis_node {
	struct list link;                  /* the owner's */
	const struct redis_node_opts *opts;
	struct redis_address to;
	struct node_conn *conns[REDIS_NODE_CONNS];
	unsigned n_conns;
	unsigned users;      /* the owner's: who must not lose it */
	bool gone;           /* likewise: freed when nobody uses it */
	bool replica;
	bool kept;           /* likewise: a refresh found it */
	unsigned failures;   /* connections that did not come up, since one did */
	int64_t retry_ms;    /* none is opened before */
	char error[300];     /* why the last one ended */
};

/* opts outlive it. NULL: no memory. */
struct redis_node *redis_node_new(const struct redis_node_opts *o, const struct redis_address *to)
    MUST_CHECK;
/* Ends its connections without a callback. */
void redis_node_free(struct redis_node *n);

/* The connection that has least to do, or a new one. NULL: none may be opened now, or
 * no memory; n->error says why. */
struct redis_conn *redis_node_conn(struct redis_node *n) MUST_CHECK;
/* Whether redis_node_conn() would only say why not. */
bool redis_node_is_down(const struct redis_node *n);

/* 0, -EINVAL or -ENOMEM with why set: the password that a connection would use. None
 * is an empty one. */
int redis_password(const char *file, const char *env, struct password *out,
    struct config_error *why) MUST_CHECK;

#endif
