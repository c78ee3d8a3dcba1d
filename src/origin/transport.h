/* transport.h - one attempt at one endpoint of an origin: what HTTP and Redis
 * have in common. Which endpoint, when, and how often is the guard's business
 * (guard.h); a transport knows nothing of queues, retries or the cache.
 *
 * A transport belongs to one loop and is used on its thread alone. */
#ifndef PANNIER_ORIGIN_TRANSPORT_H
#define PANNIER_ORIGIN_TRANSPORT_H

#include "origin/origin.h"

enum attempt_end {
	ATTEMPT_ANSWERED,  /* result says what; its status is none of FAILED,
	                    * TIMEOUT and REFUSED unless the answer itself is the fault */
	ATTEMPT_UNREACHED, /* no connection, so nothing was sent: another endpoint may be
	                    * asked without doing anything twice */
	ATTEMPT_BROKEN,    /* all else that went wrong */
};

struct attempt_answer {
	enum attempt_end end;
	struct origin_result result; /* its error is without the origin's name and may
	                              * quote the answer: sanitise it. Slices and error
	                              * are good until done() returns. */
	bool fault;          /* it counts against the endpoint: 5xx, -LOADING, broken, unreached */
	bool repeatable;     /* asking again may help: 502, 503, 504, 429, -TRYAGAIN */
	int64_t retry_after_ms; /* what the answer says of when; 0: nothing */
};

typedef void attempt_done(void *arg, const struct attempt_answer *a);

struct transport;
struct attempt;

struct transport_opts {
	struct loop *loop;
	const struct config_origin *cfg;  /* outlives the transport */
	struct stats_origin *stats;
	/* One or more attempts ended, their done() was called: there may be room for
	 * others. From the loop. */
	void (*ended)(void *arg);
	void *arg;
};

struct transport_ops {
	/* Loads what it needs, once in the process. 0, or -ENOTSUP or -EINVAL (a file that cfg
	 * names is missing or wrong) with why in err, one line. */
	int (*prepare)(const struct config_origin *cfg, char *err, size_t err_size);
	/* Cheap until the first attempt. 0, -ENOMEM, -EINVAL (an endpoint is none), -ENOTSUP. */
	int (*open)(const struct transport_opts *o, struct transport **out);
	/* Attempts that are still open end without a call of done(). Never waits. */
	void (*close)(struct transport *t);
	/* Endpoints that the guard may choose from; 1 where the transport finds its way by
	 * itself (Redis Cluster, Sentinel). */
	unsigned (*endpoints)(const struct config_origin *cfg);
	/* As the configuration writes it, for messages, statistics and commands. Good as long
	 * as the configuration. */
	const char *(*endpoint_name)(const struct config_origin *cfg, unsigned endpoint);
	/* Whether one more attempt would get a connection now. */
	bool (*has_room)(const struct transport *t);
	/* Before the first attempt: NULL, or why this request can never be sent (static text):
	 * a key too long for a URL. NULL also where memory does not suffice to tell; start()
	 * will fail by that. */
	const char *(*check)(struct transport *t, const struct origin_request *rq);
	/* Borrows the request until the end. done() is called once, later, from the loop; the
	 * attempt is gone then. 0, or -ENOMEM without a call of done(). */
	int (*start)(struct transport *t, unsigned endpoint, const struct origin_request *rq,
	    attempt_done *done, void *arg, struct attempt **out);
	/* done() is not called. Never waits, not even for a name server. */
	void (*cancel)(struct attempt *a);
	/* When a deadline strikes: an answer whose status is known already although its body is not
	 * complete (true: *out is that answer), or else (only http_status of *out is set) what the
	 * attempt was doing, as in "no connection to 10.0.0.1:80", to go before " within 50 ms".
	 * `text` holds that, or the answer's error. The attempt goes on: cancel it. */
	bool (*cut_off)(const struct attempt *a, struct attempt_answer *out, char *text,
	    size_t size);
	/* A health check's attempt: no key, `path` of the configuration. As start(), but
	 * beside what has_room() speaks of. The endpoint is well where the answer's status is
	 * below ORIGIN_FAILED. NULL: there are none. */
	int (*probe)(struct transport *t, unsigned endpoint, const char *path, attempt_done *done,
	    void *arg, struct attempt **out);
};

/* By its kind. */
const struct transport_ops *transport_of(const struct config_origin *cfg);

extern const struct transport_ops http_transport;
extern const struct transport_ops redis_transport;

#endif
