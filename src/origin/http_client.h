/* http_client.h - between http_client.c (libcurl's multi handle, sockets,
 * timers) and http_attempt.c (one request). For these two alone. */
#ifndef PANNIER_ORIGIN_HTTP_CLIENT_H
#define PANNIER_ORIGIN_HTTP_CLIENT_H

#include <stdbool.h>

#include "base/list.h"
#include "origin/curl_api.h"
#include "origin/http.h"
#include "origin/http_conn.h"
#include "origin/http_head.h"

/* Handles kept for later attempts: making one costs 10 us, keeping it 20 KB. */
#define HTTP_SPARE_MAX 8

struct http_client {
	const struct curl_api *curl;
	struct http_opts opts;
	CURLM *multi;                /* made for the first attempt */
	struct tls_trust *trust;     /* NULL: libcurl sees to it */
	struct curl_slist *headers;  /* sent with each request */
	struct curl_slist *put_headers; /* likewise, with those that have a body */
	struct list attempts;        /* by http_attempt.link */
	unsigned busy;               /* how many these are */
	struct list conns;           /* by http_conn.link */
	struct list sockets;         /* by http_socket.link */
	struct timer timer;          /* libcurl's */
	struct timer doom_timer;     /* armed while an attempt is doomed */
	CURL *spare[HTTP_SPARE_MAX];
	unsigned n_spare;
	char over_text[48];          /* "body over 1MiB" */
};

struct http_attempt {
	struct list link;
	struct http_client *hc;
	CURL *easy;
	http_done *done;  /* NULL: taken back, but the resolver is at work */
	void *arg;
	const struct endpoint *endpoint;
	enum http_method method;
	struct curl_slist *headers; /* of a condition; NULL: the client's */
	struct http_head head;
	struct blob *body;
	size_t body_len, body_cap;
	size_t discarded;   /* of the body of an answer that is not 200 */
	int64_t started_ms;
	enum http_phase phase;
	const char *broken; /* why we broke it off ourselves */
	int fds[2];         /* opened for it, the last two; none: it has a kept connection */
	unsigned n_fds;
	bool doomed;        /* no memory for a socket: ends with this turn */
	char curl_error[CURL_ERROR_SIZE];
};

/* The multi handle is there. 0 or -ENOMEM. */
int http_client_prepare(struct http_client *hc) MUST_CHECK;
/* A handle with all options that no attempt changes; NULL: no memory. */
CURL *http_client_take_easy(struct http_client *hc);
void http_client_give_easy(struct http_client *hc, CURL *easy);

/* libcurl is through with it, or it is doomed. Calls done(), frees. */
void http_attempt_end(struct http_attempt *a, CURLcode result);
/* Takes it from libcurl and frees it. */
void http_attempt_free(struct http_attempt *a);
/* Sets those options of a handle that are the same for every attempt. */
CURLcode http_attempt_init_easy(struct http_client *hc, CURL *easy);

#endif
