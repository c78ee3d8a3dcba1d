/* pannier.h - the client of pannier, the caching sidecar, over its binary
 * protocol (proto/PROTOCOL.md). Needs the C library alone; link with -lpannier.
 *
 * Two ways in: a client (pannier_client_new()) whose calls return when their answer is
 * there, and a connection (pannier_conn_new()) that your own event loop drives, for
 * many requests at a time.
 *
 * Threads: an object belongs to one thread at a time; nothing is shared between objects.
 * A thread that wants a client makes one of its own: of all that ask for one missing key,
 * in whatever thread or process, pannier_get_or_load() still loads once.
 *
 * A cache must not take the application down: where the sidecar is away, calls fail at
 * once (PANNIER_E_AWAY), and pannier_get_or_load() loads directly. No signal is raised.
 *
 * Times are milliseconds. A time to live of 0 is no end. Bytes are borrowed until the call
 * returns, and may hold anything, zeros too. */
#ifndef PANNIER_PANNIER_H
#define PANNIER_PANNIER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pannier-numbers.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PANNIER_API __attribute__((visibility("default")))

struct pannier_options;
struct pannier_conn;
struct pannier_client;
struct pannier_load;

struct pannier_bytes {
	const void *ptr;
	size_t len;
};

static inline struct pannier_bytes
pannier_bytes(const void *ptr, size_t len)
{
	struct pannier_bytes b = { ptr, len };

	return b;
}

static inline struct pannier_bytes
pannier_str(const char *s)
{
	return pannier_bytes(s, strlen(s));
}

/* What a call answers: a status of the protocol (enum pannier_status: PANNIER_HIT is 0,
 * PANNIER_ERROR says that the sidecar answered with an error), or one of these. */
enum pannier_failure {
	PANNIER_E_AWAY = -1,       /* not reached, or the connection ended: it may have been done */
	PANNIER_E_TIMEOUT = -2,    /* no answer in time: it may have been done */
	PANNIER_E_PROTOCOL = -3,   /* the other side is no pannier, or refused, or broke the protocol */
	PANNIER_E_UNEXPECTED = -4, /* an answer that the request cannot have; the connection is fine */
	PANNIER_E_NOMEM = -5,      /* no memory here; the connection is fine */
	PANNIER_E_ARGS = -6,       /* an argument is out of its range; nothing was sent */
	PANNIER_E_LOADER = -7,     /* the loader of pannier_get_or_load() failed */
};

/* "hit", "timeout" ...; never NULL, never freed. */
PANNIER_API const char *pannier_status_name(int status);
/* "1.0.0" */
PANNIER_API const char *pannier_version(void);

/* --- replies --------------------------------------------------------------------- */

#define PANNIER_UNKNOWN INT64_MIN

struct pannier_field {
	struct pannier_bytes section;    /* "Server"; empty where the sidecar does not say */
	struct pannier_bytes name, text; /* text: empty where it is a number */
	int64_t number;
	int is_number;
};

struct pannier_reply {
	int status;                 /* enum pannier_status, or enum pannier_failure */
	struct pannier_bytes value; /* HIT STALE FILLED COALESCED; PING's payload; LEASE: a stale
	                             * value to fall back on. ptr NULL: there is none */
	struct pannier_bytes token; /* stands for this value, or is the lease */
	int64_t left_ms;            /* how long it stays fresh; below 0: stale for so long;
	                             * PANNIER_UNKNOWN: no end, or not known */
	int64_t age_ms;             /* PANNIER_UNKNOWN: not known */
	int64_t number;             /* INCR: the sum; PEEK: the length; DELETE_MANY: how many;
	                             * PANNIER_E_LOADER: what the loader returned */
	struct pannier_bytes code;  /* PANNIER_ERROR: "ORIGIN" ...; take unknown ones like "ARGS" */
	struct pannier_bytes text;  /* PANNIER_ERROR and failures: a line for people */
	const struct pannier_reply *items;  /* GET_MANY, SET_MANY (where not all were stored) */
	size_t n_items;
	const struct pannier_field *fields; /* STATS */
	size_t n_fields;
};

/* Of replies that a call of a client gave. NULL is fine. */
PANNIER_API void pannier_reply_free(struct pannier_reply *reply);

/* --- options --------------------------------------------------------------------- */

/* op: "GET" ..., or "load" (status "ok", "error", "direct" or "stale"). status:
 * pannier_status_name(). It must not call the library. */
typedef void pannier_metrics(void *arg, const char *op, const char *status, uint64_t took_us);

/* NULL: no memory. Objects made of them copy them. */
PANNIER_API struct pannier_options *pannier_options_new(void);
PANNIER_API void pannier_options_free(struct pannier_options *o); /* NULL is fine */
/* A path, unix:PATH or tcp:HOST:PORT; else $PANNIER_SOCKET, else
 * /run/pannier/pannier.sock. 0, PANNIER_E_ARGS or PANNIER_E_NOMEM. A host's name is looked
 * up while connecting, which may block: event loops give numbers. */
PANNIER_API int pannier_options_address(struct pannier_options *o, const char *address);
/* AUTH with this comes first on each connection. 0 or PANNIER_E_NOMEM. */
PANNIER_API int pannier_options_password(struct pannier_options *o, struct pannier_bytes password);
/* Of a call that says nothing else: 1,000. 1 to 3,600,000, else PANNIER_E_ARGS. */
PANNIER_API int pannier_options_timeout(struct pannier_options *o, uint32_t ms);
/* Until the sidecar has answered the preface: 250. */
PANNIER_API int pannier_options_connect_timeout(struct pannier_options *o, uint32_t ms);
/* The longest reply that is taken; a longer one ends the connection: 1 GiB. 1 KiB to 4 GiB. */
PANNIER_API int pannier_options_max_reply(struct pannier_options *o, uint64_t bytes);
PANNIER_API void pannier_options_metrics(struct pannier_options *o, pannier_metrics *metrics,
    void *arg);

/* --- requests -------------------------------------------------------------------- */

enum pannier_flag {
	PANNIER_META = 1,         /* GET, GET_MANY, LEASE: time left, age and token as well */
	PANNIER_IF_ABSENT = 2,    /* conditions of SET and SET_MANY: at most one */
	PANNIER_IF_PRESENT = 4,
	PANNIER_IF_TOKEN = 8,     /* SET, DELETE: condition is the token */
	PANNIER_IF_VALUE = 16,    /* SET, DELETE: condition is the value */
	PANNIER_WITH_LEASE = 32,  /* SET: condition is the lease's token; it ends */
	PANNIER_WITH_DEADLINE = 64, /* GET, GET_MANY, LEASE: the sidecar waits for deadline_ms at
	                           * most; else a little less than timeout_ms, and a GET until
	                           * it is cancelled, which is when its timeout_ms are over */
};

/* Zeroed but for what the operation needs. */
struct pannier_request {
	enum pannier_op op;
	unsigned flags;                 /* enum pannier_flag */
	struct pannier_bytes key;       /* PING: payload, STATS: section (ptr NULL: none);
	                                 * AUTH: password */
	struct pannier_bytes value;     /* SET; RELEASE: the lease's token; AUTH: user */
	struct pannier_bytes condition; /* see the flags */
	const struct pannier_bytes *many; /* keys of GET_MANY and DELETE_MANY; key, value, key,
	                                   * value ... of SET_MANY */
	size_t n_many;                  /* SET_MANY: keys and values together */
	int64_t ttl_ms, grace_ms;       /* 0 to 2^47 */
	int64_t delta, initial;         /* INCR */
	uint32_t deadline_ms;           /* where the flag says so: 0 to 3,600,000 */
	uint32_t timeout_ms;            /* 0: the options' */
	uint32_t target;                /* CANCEL: id of a request */
};

/* --- connections, for event loops ------------------------------------------------ */

#define PANNIER_READ 1
#define PANNIER_WRITE 2

/* The reply, and all in it, is good until the callback returns. It may send further
 * requests, and must not close, step or free the connection. */
typedef void pannier_callback(void *arg, const struct pannier_reply *reply);

/* Options NULL: the usual ones. 0, PANNIER_E_NOMEM or PANNIER_E_ARGS ($PANNIER_SOCKET is no
 * address). Connects when the first request needs it, and anew after it was lost; while the
 * sidecar cannot be reached, one attempt in 50 ms to 2 s is made (with jitter), and requests
 * fail at once. */
PANNIER_API int pannier_conn_new(const struct pannier_options *o, struct pannier_conn **out);
/* Calls the callbacks of all requests without a reply (PANNIER_E_AWAY). NULL is fine. */
PANNIER_API void pannier_conn_free(struct pannier_conn *c);
/* Closes the socket; likewise. The next request connects anew. */
PANNIER_API void pannier_conn_close(struct pannier_conn *c);

/* What to wait for. All three may be others after each pannier_send() and
 * pannier_conn_step(). fd: -1 while there is none; wait_ms: -1 for ever. */
PANNIER_API int pannier_conn_fd(const struct pannier_conn *c);
PANNIER_API int pannier_conn_events(const struct pannier_conn *c);
PANNIER_API int pannier_conn_wait_ms(const struct pannier_conn *c);
/* Changes with each new descriptor, also where that has the number of the last one: epoll
 * must be told of it then. */
PANNIER_API unsigned pannier_conn_generation(const struct pannier_conn *c);
/* Reads, writes and calls back, when one of `events` has come or wait_ms are over. */
PANNIER_API void pannier_conn_step(struct pannier_conn *c, int events);

/* 0: the callback will be called exactly once, by pannier_conn_step(), _close() or _free(),
 * never in here. Else why not, and it will never be called. Any number may be sent before
 * the first reply; replies come in any order. id: for CANCEL; NULL is fine. When its time is
 * over a request is cancelled at the sidecar as well. */
PANNIER_API int pannier_send(struct pannier_conn *c, const struct pannier_request *r,
    pannier_callback *callback, void *arg, uint32_t *id);
/* Why it last ended, or pannier_send() refused: a line, "" if neither was. Good until the
 * next call. */
PANNIER_API const char *pannier_conn_reason(const struct pannier_conn *c);
/* Bytes that went through its sockets so far. */
PANNIER_API void pannier_conn_bytes(const struct pannier_conn *c, uint64_t *sent,
    uint64_t *received);
/* Requests whose callback was not called yet. */
PANNIER_API size_t pannier_conn_pending(const struct pannier_conn *c);

/* --- clients: calls that wait ------------------------------------------------------ */

/* As pannier_conn_new(). */
PANNIER_API int pannier_client_new(const struct pannier_options *o, struct pannier_client **out);
PANNIER_API void pannier_client_free(struct pannier_client *c); /* NULL is fine */
/* Why the last call of this client failed; "" if it did not. Good until the next call. */
PANNIER_API const char *pannier_client_error(const struct pannier_client *c);

/* Each of the following returns a status or a failure. out may be NULL; else *out is the
 * reply, to be freed by pannier_reply_free(), or NULL where the call failed (below 0). A
 * request that found the connection closed is sent once more where that cannot do harm
 * (PROTOCOL.md). */
PANNIER_API int pannier_call(struct pannier_client *c, const struct pannier_request *r,
    struct pannier_reply **out);

/* HIT STALE FILLED COALESCED bring a value; NEGATIVE MISS ERROR. */
PANNIER_API int pannier_get(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_reply **out);
/* Likewise, with time left, age and token. */
PANNIER_API int pannier_get_entry(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_reply **out);
/* HIT (length, time left, token) MISS ERROR. Counts as no use, and fetches nothing. */
PANNIER_API int pannier_peek(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_reply **out);
/* STORED ERROR. With conditions and grace: pannier_call(); then REFUSED as well. */
PANNIER_API int pannier_set(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_bytes value, int64_t ttl_ms);
/* condition: one flag of IF_ABSENT IF_PRESENT IF_TOKEN IF_VALUE WITH_LEASE, or 0; with: its
 * token or value. STORED REFUSED ERROR. */
PANNIER_API int pannier_set_if(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_bytes value, int64_t ttl_ms, int64_t grace_ms, unsigned condition,
    struct pannier_bytes with);
/* DONE MISS ERROR. */
PANNIER_API int pannier_delete(struct pannier_client *c, struct pannier_bytes key);
/* DONE MISS ERROR. From now on; 0: no end. */
PANNIER_API int pannier_touch(struct pannier_client *c, struct pannier_bytes key, int64_t ttl_ms);
/* STORED ERROR. A counter that is not there begins with initial, and lives for ttl_ms.
 * sum may be NULL. Never sent twice. */
PANNIER_API int pannier_incr(struct pannier_client *c, struct pannier_bytes key, int64_t delta,
    int64_t initial, int64_t ttl_ms, int64_t *sum);
/* DONE, and items in the order of keys, ERROR. */
PANNIER_API int pannier_get_many(struct pannier_client *c, const struct pannier_bytes *keys,
    size_t n, struct pannier_reply **out);
/* pairs: key, value, key, value ...; n_pairs of them. STORED: all; DONE: items; ERROR. */
PANNIER_API int pannier_set_many(struct pannier_client *c, const struct pannier_bytes *pairs,
    size_t n_pairs, int64_t ttl_ms, struct pannier_reply **out);
/* DONE ERROR. n_deleted may be NULL. */
PANNIER_API int pannier_delete_many(struct pannier_client *c, const struct pannier_bytes *keys,
    size_t n, int64_t *n_deleted);
/* LEASE (token; load, then pannier_set_if() or pannier_release()), a value, MISS (load,
 * store without a lease), NEGATIVE, ERROR. Waits for another's load at most wait_ms; 0: the
 * timeout. */
PANNIER_API int pannier_lease(struct pannier_client *c, struct pannier_bytes key,
    uint32_t wait_ms, struct pannier_reply **out);
/* DONE MISS ERROR. */
PANNIER_API int pannier_release(struct pannier_client *c, struct pannier_bytes key,
    struct pannier_bytes token);
PANNIER_API int pannier_flush(struct pannier_client *c); /* DONE ERROR */
/* section NULL: all. DONE and fields, ERROR. */
PANNIER_API int pannier_stats(struct pannier_client *c, const char *section,
    struct pannier_reply **out);
PANNIER_API int pannier_ping(struct pannier_client *c); /* DONE ERROR */

/* --- get or load ------------------------------------------------------------------- */

/* Gets the value from where it comes from: pannier_load_put() with all of it, in as many
 * pieces as it likes, and 0; or any other number, which the caller finds in the reply. */
typedef int pannier_loader(void *arg, struct pannier_bytes key, struct pannier_load *into);
/* Copies. 0 or PANNIER_E_NOMEM. */
PANNIER_API int pannier_load_put(struct pannier_load *into, const void *data, size_t len);

struct pannier_how {
	int64_t ttl_ms;   /* 0: until it is evicted */
	int64_t grace_ms; /* how long after its end it may still be served as stale */
	uint32_t wait_ms; /* for another's load; 0: 5,000 */
};

/* The value; where it is not cached, what load brings, which one caller of all runs, in
 * whatever process, while the others wait. Never fails because of the sidecar: where that
 * is away or has no lease to give, load is run directly. HIT STALE COALESCED; FILLED: load
 * was run here (or an origin answered); STALE also where load failed and an old value was
 * at hand. PANNIER_E_LOADER: load failed; *out is not NULL, and its number is what load
 * returned. PANNIER_E_ARGS, PANNIER_E_NOMEM. out must not be NULL. */
PANNIER_API int pannier_get_or_load(struct pannier_client *c, struct pannier_bytes key,
    const struct pannier_how *how, pannier_loader *load, void *arg, struct pannier_reply **out);

#ifdef __cplusplus
}
#endif

#endif
