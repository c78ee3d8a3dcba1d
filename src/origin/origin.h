/* origin.h - where values come from. One fetch of one key, asynchronously,
 * on the caller's loop, always answered by its deadline.
 *
 * struct origin is shared and immutable; struct origin_client is what a loop
 * keeps for it (connections kept alive, libcurl's multi handle) and belongs
 * to that loop. Knows nothing of the cache. */
#ifndef PANNIER_ORIGIN_ORIGIN_H
#define PANNIER_ORIGIN_ORIGIN_H

#include "base/blob.h"
#include "base/slice.h"
#include "config/config.h"
#include "net/loop.h"
#include "stats/stats.h"

enum origin_op {
	ORIGIN_READ,
	ORIGIN_WRITE,  /* HTTP: PUT; Redis: SET */
	ORIGIN_REMOVE, /* HTTP: DELETE; Redis: DEL */
	/* Of Redis alone, for a tier that many share. The request's etag is the token of
	 * the lease. ORIGIN_NOT_FOUND: not carried out. */
	ORIGIN_ACQUIRE, /* the lease of a key, for ttl_ms; unless another has it */
	ORIGIN_FILL,    /* the value, where there is none, and only while the lease stands,
	                 * which ends by it; without a token only where there is none */
	ORIGIN_RELEASE, /* the lease */
};

/* What is asked of an origin. All slices are borrowed for the call of
 * origin_fetch_start(), `ns` until the end. */
struct origin_request {
	enum origin_op op;
	const struct config_namespace *ns; /* of the configuration: its path template */
	struct slice key;
	struct slice value;         /* ORIGIN_WRITE */
	int64_t ttl_ms;             /* ORIGIN_WRITE: what the client said; 0: nothing */
	struct slice etag, last_modified; /* of what is still in the cache: asks with a
	                             * condition; both empty: without */
	int64_t deadline_ms;        /* monotonic */
	bool background;            /* nobody waits for it: it is the first to be shed */
};

enum origin_status {
	ORIGIN_OK,           /* a read: body holds the value */
	ORIGIN_NOT_FOUND,    /* it says that there is none (404, 410, nil) */
	ORIGIN_NOT_MODIFIED, /* what the condition spoke of is still good, by `valid` */
	ORIGIN_DONE,         /* a write or removal: carried out */
	ORIGIN_FAILED,       /* refused, broken, bad answer, too large; see error */
	ORIGIN_TIMEOUT,      /* no answer by the deadline */
	ORIGIN_REFUSED,      /* nothing was sent: the guard let nothing pass; see error */
};

#define ORIGIN_TTL_UNSAID (-1) /* the answer says nothing: take the namespace's */

/* How long a value may be kept, in ms, and what to ask with when it is over. All 0 but
 * the three that are ORIGIN_TTL_UNSAID: an answer that says nothing. */
struct origin_validity {
	int64_t ttl_ms;          /* 0: is over already; or ORIGIN_TTL_UNSAID */
	int64_t swr_ms, sie_ms;  /* stale-while-revalidate, stale-if-error (RFC 5861);
	                          * or ORIGIN_TTL_UNSAID */
	int64_t age_ms;          /* what it was old when it came */
	bool no_store;           /* must not be kept at all; ttl_ms is 0 */
	bool validate;           /* no-cache: may be kept, and is no answer until it was
	                          * asked for with a condition; ttl_ms is 0 */
	bool no_stale;           /* must-revalidate, no-cache: is none when its time is over */
	bool vary_any;           /* why no_store: Vary: * */
	bool any_tag;            /* has more tags than stand in `tags` */
	struct slice etag, last_modified; /* "" where there is none */
	struct slice tags;       /* of Surrogate-Key or Cache-Tag, blanks or commas between */
};

struct origin_result {
	enum origin_status status;
	int http_status;     /* 0: none came */
	struct blob *body;   /* ORIGIN_OK: a reference that the callee must take
	                      * with blob_ref() to keep; else NULL */
	int64_t ttl_ms;      /* = valid->ttl_ms, where there is one; ORIGIN_TTL_UNSAID
	                      * unless ORIGIN_OK */
	const struct origin_validity *valid; /* of OK, NOT_FOUND and NOT_MODIFIED, may be
	                      * NULL; good until done() returns */
	bool moved;          /* it came from a server of which it was not known that it has this
	                      * key: who has others is not known either */
	int64_t took_ms;     /* the attempt that answered; 0: none did */
	bool final;          /* ORIGIN_FAILED: it answered that it will not, and would again
	                      * (most of 3xx and 4xx); a write was not carried out */
	const char *error;   /* one line, no control characters; else NULL */
};

typedef void origin_done(void *arg, const struct origin_result *r);

struct origin_client;
struct guards; /* guard.h: of the process; NULL, for tests: this client has one of its own */

/* 0, -ENOMEM, -EINVAL where an endpoint is none (the configuration should have
 * said so), or -ENOTSUP where a library cannot be loaded: origin_prepare()
 * says why. `cfg` must live as long as the client. Counters go to `stats`.
 * Cheap until the first fetch, after origin_prepare(). */
int origin_client_new(struct loop *l, struct guards *guards, const struct config_origin *cfg,
    struct stats_origin *stats, struct origin_client **out) MUST_CHECK;
/* Every fetch still open is answered with ORIGIN_FAILED first; a fetch begun
 * in such a done() is refused. Not from within a done(). Never waits. */
void origin_client_free(struct origin_client *oc);

/* Loads what the origins of this configuration need, once in the process:
 * libcurl, and for https the certificates to trust, each some 40 ms. Call it
 * before the loops run; else a first fetch does it, and its loop stands still
 * meanwhile. Any thread. 0, or with err set -ENOTSUP, or -EINVAL where a file for TLS
 * is missing or wrong. */
int origin_prepare(const struct config *cfg, char *err, size_t err_size) MUST_CHECK;

/* Those that can be told apart, and how the configuration calls them. */
unsigned origin_endpoints(const struct config_origin *cfg);
const char *origin_endpoint_name(const struct config_origin *cfg, unsigned endpoint);

struct origin_fetch;

/* done() is called exactly once, later, from the loop, at the latest at the
 * request's deadline or when the origin's own is over, whichever comes first; it
 * may start and cancel fetches. 0, or -ENOMEM without a call of done(). */
int origin_fetch_start(struct origin_client *oc, const struct origin_request *rq,
    origin_done *done, void *arg, struct origin_fetch **out) MUST_CHECK;
/* Nobody wants it any more: done() is not called. */
void origin_fetch_cancel(struct origin_fetch *f);

#endif
