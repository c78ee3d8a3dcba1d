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

enum origin_status {
	ORIGIN_OK,        /* body holds the value */
	ORIGIN_NOT_FOUND, /* it says that there is none (404, 410) */
	ORIGIN_FAILED,    /* refused, broken, bad answer, too large; see error */
	ORIGIN_TIMEOUT,   /* no answer by the deadline */
};

#define ORIGIN_TTL_UNSAID (-1) /* the answer says nothing: take the namespace's */

struct origin_result {
	enum origin_status status;
	int http_status;     /* 0: none came */
	struct blob *body;   /* ORIGIN_OK: a reference that the callee must take
	                      * with blob_ref() to keep; else NULL */
	int64_t ttl_ms;      /* from Cache-Control; 0: must not be stored;
	                      * ORIGIN_TTL_UNSAID unless ORIGIN_OK */
	const char *error;   /* one line, no control characters; else NULL */
};

typedef void origin_done(void *arg, const struct origin_result *r);

struct origin_client;

/* 0, -ENOMEM, -EINVAL where an endpoint is none (the configuration should have
 * said so), or -ENOTSUP where libcurl cannot be loaded: origin_unsupported()
 * says why. `cfg` must live as long as the client. Counters go to `stats`.
 * Cheap until the first fetch, after origin_prepare(). */
int origin_client_new(struct loop *l, const struct config_origin *cfg,
    struct stats_origin *stats, struct origin_client **out) MUST_CHECK;
/* Every fetch still open is answered with ORIGIN_FAILED first; a fetch begun
 * in such a done() is refused. Not from within a done(). Never waits. */
void origin_client_free(struct origin_client *oc);

/* Loads what the origins of this configuration need, once in the process:
 * libcurl, and for https the certificates to trust, each some 40 ms. Call it
 * before the loops run; else a first fetch does it, and its loop stands still
 * meanwhile. Any thread. 0 or -ENOTSUP: origin_unsupported() says why. */
int origin_prepare(const struct config *cfg) MUST_CHECK;
/* One line; "" where origins work in this process. */
const char *origin_unsupported(void);

struct origin_fetch;

/* Fetches `key` in namespace `ns` of the configuration (its path template).
 * Both are borrowed for the call. done() is called exactly once, later, from
 * the loop, at the latest at deadline_ms (monotonic) or when the origin's own
 * deadline is over, whichever comes first; it may start and cancel fetches.
 * 0, or -ENOMEM without a call of done(). */
int origin_fetch_start(struct origin_client *oc, const struct config_namespace *ns,
    struct slice key, int64_t deadline_ms, origin_done *done, void *arg,
    struct origin_fetch **out) MUST_CHECK;
/* Nobody wants it any more: done() is not called. */
void origin_fetch_cancel(struct origin_fetch *f);

#endif
