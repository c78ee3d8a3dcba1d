/* redis_impl.h - what the files of the Redis transport share.
 *
 * redis_attempt.c knows what is asked and what an answer means. Where an
 * attempt goes is told by a map of the servers: redis_standalone.c, redis_sentinel.c,
 * redis_cluster.c. A map that knows no server for an attempt lets it wait, asks who the
 * servers are, and then all who wait go on. All of it belongs to one loop. */
#ifndef PANNIER_ORIGIN_REDIS_IMPL_H
#define PANNIER_ORIGIN_REDIS_IMPL_H

#include "origin/redis_node.h"
#include "origin/redis_slot.h"
#include "origin/transport.h"

/* Redirections and servers that are gone, of one attempt: Redis's own clients allow 5
 * to 16. */
#define REDIS_HOPS_MAX 5

struct attempt {
	struct list link;             /* in transport.attempts */
	struct list wait_link;        /* in transport.waiting */
	struct transport *t;
	const struct origin_request *rq; /* NULL: a probe */
	attempt_done *done;
	void *arg;
	struct redis_node *node;      /* where it was sent; NULL: nowhere yet */
	struct redis_node *forced;    /* where a redirection sends it */
	bool asking;                  /* by ASK: only for this once */
	unsigned endpoint, hops;
	struct redis_call asked[2], first, ttl;
	struct blob *body;            /* a reference; its ttl is still to come */
	struct timer timer;           /* a failure that start() saw is told later */
	int64_t started_ms;
	bool unreached;               /* what `error` is about */
	char error[320];
	size_t key_len;
	char key[];                   /* as the server knows it */
};

typedef bool redis_master_fn(void *arg, const struct redis_address *to);

/* A map. */
struct redis_map_ops {
	/* 0, -ENOMEM or -EINVAL. */
	int (*open)(struct transport *t);
	void (*close)(struct transport *t);
	/* Where it goes; NULL: nobody knows now, redis_refresh() may tell. */
	struct redis_node *(*route)(struct transport *t, const struct attempt *a);
	/* Asks who the servers are; ends in redis_refreshed(), not at once. NULL: no need to. */
	void (*refresh)(struct transport *t);
	/* Calls `each` with every server that takes writes, as far as is known, until it
	 * answers false, which is answered then. */
	bool (*masters)(const struct transport *t, redis_master_fn *each, void *arg);
};

extern const struct redis_map_ops redis_standalone, redis_sentinel, redis_cluster;

struct transport {
	struct transport_opts opts;
	const struct redis_map_ops *ops;
	void *map;                    /* the map's own */
	struct redis_tls *tls;        /* made when it is first wanted */
	struct redis_tls_opts tls_opts;
	struct redis_node_opts node_opts;
	struct list nodes;            /* servers with keys, by redis_node.link */
	struct list attempts, waiting;
	unsigned busy;
	struct redis_address *seeds;  /* the endpoints, [n_seeds] */
	unsigned n_seeds;
	struct timer timer;           /* the next refresh */
	bool refreshing;
	int64_t asked_ms;             /* when the last refresh began; 0: never */
	unsigned refresh_failures;
	uint64_t random;
	unsigned turn;                /* of servers that may be read from */
	char why[320];                /* the last refresh failed */
	void (*servers)(void *arg);   /* see redis_watch_servers() */
	void *servers_arg;
};

/* NULL: no memory. rq NULL: a PING. */
struct attempt *redis_attempt_new(struct transport *t, const struct origin_request *rq)
    MUST_CHECK;
/* Sends it where the map says, or lets it wait, or fail later. */
void redis_attempt_go(struct attempt *a);
/* It ends soon, from the loop; nothing was sent. */
void redis_attempt_fail(struct attempt *a, const char *fmt, ...) PRINTF(2, 3);
void redis_attempt_free(struct attempt *a);
void redis_attempt_cancel(struct attempt *a);
bool redis_attempt_cut_off(const struct attempt *a, struct attempt_answer *out, char *text,
    size_t size);

/* The server at this address, made if it is new. NULL: no memory. */
struct redis_node *redis_node_at(struct transport *t, const struct redis_address *to) MUST_CHECK;
/* It is no server of ours any more: freed, now or when its last attempt ended. */
void redis_node_leave(struct redis_node *n);

/* Some are unknown, or gone: asks, soon. */
void redis_refresh(struct transport *t);
/* The map's refresh is over. why: it failed. */
void redis_refreshed(struct transport *t, const char *why);

/* For who wants connections of his own to the servers (redis_tracker.h). fn is called when
 * it is known who they are, now or later, and each time that may have changed. 0, or
 * -errno of TLS: t->why says why. */
int redis_watch_servers(struct transport *t, void (*fn)(void *arg), void *arg) MUST_CHECK;

/* Whom to ask of a master and its replicas, by `read_from`, those that are up in turn;
 * the master where there is no other, and for all but reads. It may be NULL. */
struct redis_node *redis_choose(struct transport *t, const struct attempt *a,
    struct redis_node *master, struct redis_node *const *replicas, unsigned n_replicas);

/* Below n, evenly enough. */
unsigned redis_random(struct transport *t, unsigned n);

#endif
