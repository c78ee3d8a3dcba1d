/* http.h - one HTTP request to one endpoint: an attempt. libcurl's
 * multi_socket interface, driven by the loop; knows nothing of keys,
 * deadlines, queues or other endpoints, which are origin.c's.
 *
 * All of it belongs to one loop's thread. */
#ifndef PANNIER_ORIGIN_HTTP_H
#define PANNIER_ORIGIN_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"
#include "base/util.h"
#include "config/endpoint.h"
#include "net/loop.h"
#include "origin/origin.h"

enum http_end {
	HTTP_ANSWERED,  /* status and valid are set; of 200 body too */
	HTTP_UNREACHED, /* no connection, so nothing was sent: another endpoint
	                 * may be asked without doing anything twice */
	HTTP_BROKEN,    /* all else that went wrong */
};

struct http_answer {
	enum http_end end;
	int status;        /* 0: none came */
	struct blob *body; /* NULL but for 200 to a GET; take a reference to keep it */
	const struct origin_validity *valid; /* good until done() returns */
	bool refused;      /* HTTP_BROKEN: we broke it off, what came is not acceptable; asking
	                    * again would bring the same */
	int64_t retry_after_ms; /* what the head says of when to ask again; 0: nothing */
	const char *error; /* unless HTTP_ANSWERED: why, without the origin's
	                    * name; good until done() returns. It may quote the
	                    * answer: sanitise it. */
};

struct config_origin;

struct http_opts {
	struct loop *loop;
	uint32_t max_connections; /* in all, idle ones included */
	int64_t dns_cache_ms;     /* how long a name's addresses are kept */
	int64_t connection_age_ms; /* 0: of any age */
	uint64_t max_body_bytes;
	const struct config_origin *tls; /* its tls_* fields; NULL: no endpoint is https */
	void (*received)(void *arg, size_t n); /* bytes of a body came */
	/* One or more attempts ended, their done() was called: there may be
	 * room for others. From the loop. */
	void (*ended)(void *arg);
	void *arg;
};

struct http_client;

/* Costs next to nothing until the first attempt, but for loading libraries and
 * certificates once in the process. 0, -ENOMEM or -ENOTSUP
 * (curl_api_error() says why). */
int http_client_new(const struct http_opts *o, struct http_client **out) MUST_CHECK;
/* Attempts that are still open end without a call of done(). Never waits. */
void http_client_free(struct http_client *hc);
/* Attempts that hold a connection or may get one: those under way, and
 * those taken back whose name is still being looked up. */
unsigned http_client_busy(const struct http_client *hc);

struct http_attempt;
typedef void http_done(void *arg, const struct http_answer *answer);

enum http_method { HTTP_GET, HTTP_PUT, HTTP_DELETE };

struct http_request {
	enum http_method method;
	struct slice path; /* borrowed for the call of http_attempt_start() */
	struct slice body; /* HTTP_PUT; borrowed until the end */
	/* HTTP_GET: If-None-Match, If-Modified-Since, as the last answer said them;
	 * empty: without. Borrowed as path. */
	struct slice etag, last_modified;
};

/* Borrows what e's slices point to until the end. done() is called once, later,
 * from the loop, outside of libcurl; the attempt is gone then. 0, or -ENOMEM
 * without a call of done(). */
int http_attempt_start(struct http_client *hc, const struct endpoint *e,
    const struct http_request *rq, http_done *done, void *arg, struct http_attempt **out)
    MUST_CHECK;
/* done() is not called. Never waits, not even for a name server. */
void http_attempt_cancel(struct http_attempt *a);

enum http_phase { HTTP_RESOLVING, HTTP_CONNECTING, HTTP_SENT, HTTP_BODY };
enum http_phase http_attempt_phase(const struct http_attempt *a);
/* Once its head is complete; else 0. */
int http_attempt_status(const struct http_attempt *a);

#endif
