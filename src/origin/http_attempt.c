#include "config.h"

#include "origin/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "origin/http_client.h"
#include "origin/tls.h"

/* Of an answer that is no value, so much is read to keep the connection. */
#define DISCARD_MAX 65536
#define BODY_FIRST 16384

/* --- what libcurl calls --------------------------------------------------------- */

/* The resolver is through. Close-on-exec is what libcurl leaves out. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose UNUSED, struct curl_sockaddr *to)
{
	struct http_attempt *a = arg;
	int fd;

	if (a->done == NULL)
		return CURL_SOCKET_BAD; /* nobody waits for it any more */
	a->phase = HTTP_CONNECTING;
	fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	if (fd >= 0)
		a->fds[a->n_fds++ % ARRAY_LEN(a->fds)] = fd;
	return fd;
}

/* Of two that were opened, for two addresses, the one that libcurl took. */
static int
find_connected(const struct http_attempt *a, int own_port)
{
	for (unsigned i = 0; i < MIN(a->n_fds, ARRAY_LEN(a->fds)); i++) {
		struct sockaddr_storage own;
		socklen_t len = sizeof own;
		const struct sockaddr_in *in = (const void *)&own;
		const struct sockaddr_in6 *in6 = (const void *)&own;

		if (getsockname(a->fds[i], (struct sockaddr *)&own, &len) != 0)
			continue;
		if (own.ss_family == AF_UNIX ||
		    ntohs(own.ss_family == AF_INET ? in->sin_port : in6->sin6_port) == own_port)
			return a->fds[i];
	}
	return -1;
}

/* False: no memory. */
static bool
keep_clean(struct http_attempt *a, int own_port)
{
	int fd;

	if (a->n_fds == 0) {
		http_conn_cut_spoilt(a->hc);
		return true;
	}
	fd = find_connected(a, own_port);
	return fd < 0 || http_conn_add(a->hc, fd, a->endpoint->kind != ENDPOINT_HTTPS);
}

/* A connection, new or kept, is there and nothing is sent yet. */
static int
on_connected(void *arg, char *peer UNUSED, char *own UNUSED, int peer_port UNUSED,
    int own_port)
{
	struct http_attempt *a = arg;

	if (a->done == NULL)
		return CURL_PREREQFUNC_ABORT;
	if (!keep_clean(a, own_port)) {
		a->broken = "no memory";
		return CURL_PREREQFUNC_ABORT;
	}
	a->phase = HTTP_SENT;
	return CURL_PREREQFUNC_OK;
}

/* Whether what comes is the body that was asked for. */
static bool
brings_value(const struct http_attempt *a)
{
	return a->method == HTTP_GET && a->head.status == 200;
}

static size_t
on_header(char *data, size_t one, size_t n, void *arg)
{
	struct http_attempt *a = arg;
	struct http_head *h = &a->head;

	if (!http_head_line(h, slice_of(data, n * one))) {
		a->broken = h->broken;
		return 0;
	}
	if (!h->complete)
		return n;
	a->phase = HTTP_BODY;
	if (brings_value(a) && h->content_length > 0 &&
	    (uint64_t)h->content_length > a->hc->opts.max_body_bytes) {
		a->broken = a->hc->over_text;
		return 0;
	}
	return n;
}

/* Grows by what arrives, not by what Content-Length promises, which only
 * keeps it from growing too far. */
static bool
body_reserve(struct http_attempt *a, size_t n)
{
	uint64_t limit = a->hc->opts.max_body_bytes;
	struct blob *bigger;
	size_t cap;

	if (a->body_cap - a->body_len >= n)
		return true;
	if (a->head.content_length >= 0)
		limit = (uint64_t)a->head.content_length;
	cap = MAX(a->body_len + n, MIN(MAX(2 * a->body_cap, BODY_FIRST), limit));
	bigger = blob_new(cap);
	if (bigger == NULL) {
		a->broken = "no memory";
		return false;
	}
	if (a->body_len != 0)
		memcpy(blob_mem(bigger), blob_mem(a->body), a->body_len);
	blob_unref(a->body);
	a->body = bigger;
	a->body_cap = cap;
	return true;
}

static size_t
on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_attempt *a = arg;

	n *= one;
	a->hc->opts.received(a->hc->opts.arg, n);
	if (!brings_value(a)) {
		a->discarded += n;
		return a->discarded <= DISCARD_MAX ? n : 0;
	}
	if (n > a->hc->opts.max_body_bytes - a->body_len) {
		a->broken = a->hc->over_text;
		return 0;
	}
	if (!body_reserve(a, n))
		return 0;
	memcpy(blob_mem(a->body) + a->body_len, data, n);
	a->body_len += n;
	return n;
}

/* --- how it ended ----------------------------------------------------------------- */

static void
describe_connect(const struct http_attempt *a, char *out, size_t size)
{
	const struct endpoint *e = a->endpoint;
	bool is_unix = e->kind == ENDPOINT_HTTP_UNIX;
	struct slice where = is_unix ? e->path : e->authority;
	char reason[96], words[64];
	long err = 0;

	a->hc->curl->easy_getinfo(a->easy, CURLINFO_OS_ERRNO, &err);
	if (err == ECONNREFUSED)
		snprintf(reason, sizeof reason, " refused");
	else if (err != 0)
		snprintf(reason, sizeof reason, ": %s", strerror_r((int)err, words, sizeof words));
	else
		snprintf(reason, sizeof reason, " failed");
	snprintf(out, size, "connect to %s%.*s%s", is_unix ? "unix:" : "", (int)where.len,
	    where.ptr, reason);
}

/* Until 8.6 libcurl said so too where a line of the head had more than 100 KiB. */
static const char *
describe_no_memory(const struct http_attempt *a)
{
	return a->phase == HTTP_SENT && !a->doomed ?
	    "headers over " STRINGIFY(HTTP_HEAD_MAX_BYTES) " bytes" : "no memory";
}

static void
describe(const struct http_attempt *a, CURLcode result, char *out, size_t size)
{
	struct slice host = a->endpoint->authority;

	switch (result) {
	case CURLE_COULDNT_RESOLVE_HOST:
		snprintf(out, size, "cannot resolve %.*s", (int)host.len, host.ptr);
		break;
	case CURLE_COULDNT_CONNECT:
		describe_connect(a, out, size);
		break;
	case CURLE_GOT_NOTHING:
		snprintf(out, size, "connection closed without an answer");
		break;
	case CURLE_PARTIAL_FILE:
		snprintf(out, size, "connection closed in mid-body");
		break;
	case CURLE_OUT_OF_MEMORY:
		snprintf(out, size, "%s", describe_no_memory(a));
		break;
	default:
		snprintf(out, size, "%s", a->curl_error[0] != '\0' ? a->curl_error :
		    a->hc->curl->easy_strerror(result));
		break;
	}
}

static void
answer_ok(struct http_attempt *a, struct http_answer *r)
{
	if (a->body == NULL)
		a->body = blob_new(0);
	if (a->body == NULL) {
		r->end = HTTP_BROKEN;
		r->error = "no memory";
		return;
	}
	blob_truncate(a->body, a->body_len);
	r->body = a->body;
}

/* What was found wrong comes first, then a status that says it all; how the
 * transfer ended matters only for a value. */
static void
answer_fill(struct http_attempt *a, CURLcode result, char *text, size_t size,
    struct http_answer *r)
{
	*r = (struct http_answer){ .status = a->head.status,
		.retry_after_ms = http_head_retry_after_ms(&a->head, clock_wall_ms() / 1000) };
	if (a->broken != NULL) {
		r->end = HTTP_BROKEN;
		r->refused = true;
		r->error = a->broken;
	} else if (a->head.status != 0 && !brings_value(a)) {
		r->end = HTTP_ANSWERED;
	} else if (result == CURLE_OK && a->head.status == 200) {
		r->end = HTTP_ANSWERED;
		answer_ok(a, r);
	} else {
		r->end = result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ?
		    HTTP_UNREACHED : HTTP_BROKEN;
		describe(a, result, text, size);
		r->error = text;
	}
}

void
http_attempt_end(struct http_attempt *a, CURLcode result)
{
	struct origin_validity valid;
	struct http_answer answer;
	struct http_head head;
	http_done *done = a->done;
	void *arg = a->arg;
	struct blob *body;
	char text[512];

	if (done == NULL) {
		http_attempt_free(a);
		return;
	}
	answer_fill(a, result, text, sizeof text, &answer);
	/* The wall clock counts only against an Expires without a Date. */
	head = a->head;
	http_head_validity(&head, clock_wall_ms() / 1000,
	    loop_now_ms(a->hc->opts.loop) - a->started_ms, &valid);
	answer.valid = &valid;
	body = a->body;
	a->body = NULL;
	http_attempt_free(a); /* its connection is free for what done() may start */
	done(arg, &answer);
	blob_unref(body);
}

/* --- beginning and end ---------------------------------------------------------- */

#define SET(option, value) \
	do { \
		rc = hc->curl->easy_setopt(easy, option, value); \
		if (rc != CURLE_OK) \
			return rc; \
	} while (0)

CURLcode
http_attempt_init_easy(struct http_client *hc, CURL *easy)
{
	CURLcode rc;

	SET(CURLOPT_NOSIGNAL, 1L);
	/* Leaves the resolver's thread to itself when a fetch is taken back. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	/* No proxy, whatever the environment says. */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
	SET(CURLOPT_CLOSESOCKETFUNCTION, http_conn_close);
	SET(CURLOPT_CLOSESOCKETDATA, hc);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	/* In whole seconds, up: 0 would mean another thing. */
	SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)((hc->opts.dns_cache_ms + 999) / 1000));
	SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
	SET(CURLOPT_MAXLIFETIME_CONN, (long)((hc->opts.connection_age_ms + 999) / 1000));
	/* HTTP/2 over TLS where both can; a libcurl without it says no. */
	hc->curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (hc->opts.tls == NULL)
		return CURLE_OK;
	return tls_set_up(hc->curl, easy, hc->opts.tls, hc->trust);
}

/* One more line of its own; false: no memory. */
static bool
add_header(struct http_attempt *a, const char *name, struct slice value)
{
	char line[HTTP_ETAG_MAX + 64];
	struct curl_slist *more;

	snprintf(line, sizeof line, "%s%.*s", name, (int)value.len, value.ptr);
	more = a->hc->curl->slist_append(a->headers, line);
	if (more == NULL)
		return false;
	a->headers = more;
	return true;
}

/* The usual lines and those of the condition. Longer validators were never kept. */
static bool
add_condition(struct http_attempt *a, const struct http_request *rq)
{
	if (rq->method != HTTP_GET || rq->etag.len > HTTP_ETAG_MAX ||
	    rq->last_modified.len > HTTP_DATE_MAX ||
	    rq->etag.len + rq->last_modified.len == 0)
		return true;
	for (const struct curl_slist *h = a->hc->headers; h != NULL; h = h->next)
		if (!add_header(a, "", slice_str(h->data)))
			return false;
	if (rq->etag.len != 0 && !add_header(a, "If-None-Match: ", rq->etag))
		return false;
	return rq->last_modified.len == 0 ||
	    add_header(a, "If-Modified-Since: ", rq->last_modified);
}

/* A handle was used for something else before. */
static CURLcode
set_method(struct http_attempt *a, const struct http_request *rq)
{
	struct http_client *hc = a->hc;
	CURL *easy = a->easy;
	CURLcode rc;

	SET(CURLOPT_HTTPGET, 1L);
	if (!add_condition(a, rq))
		return CURLE_OUT_OF_MEMORY;
	SET(CURLOPT_HTTPHEADER, a->headers != NULL ? a->headers :
	    rq->method == HTTP_PUT ? hc->put_headers : hc->headers);
	SET(CURLOPT_CUSTOMREQUEST, NULL);
	if (rq->method == HTTP_GET)
		return CURLE_OK;
	if (rq->method == HTTP_PUT) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.len);
		SET(CURLOPT_POSTFIELDS, rq->body.len != 0 ? rq->body.ptr : "");
	}
	SET(CURLOPT_CUSTOMREQUEST, rq->method == HTTP_PUT ? "PUT" : "DELETE");
	return CURLE_OK;
}

static CURLcode
set_up(struct http_attempt *a, const char *url, const char *unix_path)
{
	struct http_client *hc = a->hc;
	CURL *easy = a->easy;
	CURLcode rc;

	SET(CURLOPT_URL, url);
	SET(CURLOPT_UNIX_SOCKET_PATH, unix_path);
	SET(CURLOPT_PRIVATE, a);
	SET(CURLOPT_HEADERDATA, a);
	SET(CURLOPT_WRITEDATA, a);
	SET(CURLOPT_OPENSOCKETDATA, a);
	SET(CURLOPT_PREREQDATA, a);
	SET(CURLOPT_ERRORBUFFER, a->curl_error);
	return CURLE_OK;
}

#undef SET

/* The URL, NUL, and of a Unix socket its path, NUL. */
static int
build_url(const struct endpoint *e, struct slice path, struct buf *b)
{
	struct slice base = e->path;
	int rc;

	if (e->kind == ENDPOINT_HTTP_UNIX)
		rc = buf_printf(b, "http://localhost");
	else
		rc = buf_printf(b, "%s://%.*s%.*s", e->kind == ENDPOINT_HTTPS ? "https" : "http",
		    (int)e->authority.len, e->authority.ptr, (int)base.len, base.ptr);
	if (rc == 0)
		rc = buf_append(b, path.ptr, path.len);
	if (rc == 0)
		rc = buf_append(b, "", 1);
	if (rc == 0 && e->kind == ENDPOINT_HTTP_UNIX)
		rc = buf_printf(b, "%.*s%c", (int)base.len, base.ptr, '\0');
	return rc;
}

static int
launch(struct http_attempt *a, const struct http_request *rq)
{
	struct http_client *hc = a->hc;
	const char *url, *unix_path = NULL;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = build_url(a->endpoint, rq->path, &b);
	if (rc == 0) {
		url = buf_data(&b);
		if (a->endpoint->kind == ENDPOINT_HTTP_UNIX)
			unix_path = url + strlen(url) + 1;
		if (set_up(a, url, unix_path) != CURLE_OK || set_method(a, rq) != CURLE_OK ||
		    hc->curl->multi_add_handle(hc->multi, a->easy) != CURLM_OK)
			rc = -ENOMEM;
	}
	buf_fini(&b);
	return rc;
}

int
http_attempt_start(struct http_client *hc, const struct endpoint *e,
    const struct http_request *rq, http_done *done, void *arg, struct http_attempt **out)
{
	struct http_attempt *a;
	int rc = http_client_prepare(hc);

	if (rc != 0)
		return rc;
	a = mem_zalloc(sizeof *a);
	if (a == NULL)
		return -ENOMEM;
	*a = (struct http_attempt){ .hc = hc, .done = done, .arg = arg, .endpoint = e,
		.method = rq->method,
		.started_ms = loop_now_ms(hc->opts.loop),
		.phase = e->is_name ? HTTP_RESOLVING : HTTP_CONNECTING };
	http_head_init(&a->head);
	list_push_tail(&hc->attempts, &a->link);
	hc->busy++;
	a->easy = http_client_take_easy(hc);
	rc = a->easy != NULL ? launch(a, rq) : -ENOMEM;
	if (rc != 0) {
		http_attempt_free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void
http_attempt_free(struct http_attempt *a)
{
	struct http_client *hc = a->hc;

	if (a->easy != NULL) {
		/* A no-op where it was never added. */
		hc->curl->multi_remove_handle(hc->multi, a->easy);
		hc->curl->easy_setopt(a->easy, CURLOPT_ERRORBUFFER, NULL);
		hc->curl->easy_setopt(a->easy, CURLOPT_PRIVATE, NULL);
		hc->curl->easy_setopt(a->easy, CURLOPT_HTTPHEADER, NULL);
		http_client_give_easy(hc, a->easy);
	}
	hc->curl->slist_free_all(a->headers);
	blob_unref(a->body);
	list_del(&a->link);
	hc->busy--;
	mem_free(a);
}

/* While its name is looked up it keeps its place in the multi handle, and so
 * among the busy: a name server that hangs must not gather a thread for each
 * fetch that gave up on it. on_open() ends it. */
void
http_attempt_cancel(struct http_attempt *a)
{
	if (a->phase != HTTP_RESOLVING) {
		http_attempt_free(a);
		return;
	}
	a->done = NULL;
	a->arg = NULL;
}

enum http_phase
http_attempt_phase(const struct http_attempt *a)
{
	return a->phase;
}

int
http_attempt_status(const struct http_attempt *a)
{
	return a->head.status;
}
