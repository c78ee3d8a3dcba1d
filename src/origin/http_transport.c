/* HTTP as a transport: the path of the request's namespace, one GET, PUT or DELETE
 * at one endpoint (http.h), and what its status means. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "config/template.h"
#include "origin/cache_control.h"
#include "origin/curl_api.h"
#include "origin/http.h"
#include "origin/tls.h"
#include "origin/transport.h"

/* RFC 9110, 4.1: every recipient should take so much; many take no more. */
#define PATH_BYTES_MAX 8000
#define SCRATCH_KEEP 4096
#define ERROR_MAX 512

/* NOLINTNEXTLINE(misc-redundant-expression): that is what it asserts */
_Static_assert(ORIGIN_TTL_UNSAID == CACHE_CONTROL_UNSAID, "one value for both");

struct transport {
	struct transport_opts opts;
	struct http_client *http;
	struct endpoint *endpoints; /* [n_endpoints] */
	unsigned n_endpoints;
	struct list attempts;       /* by attempt.link */
	unsigned n_probes;          /* of these, health checks */
	struct buf scratch;         /* for paths */
};

struct attempt {
	struct list link;
	struct transport *t;
	struct http_attempt *http;
	enum origin_op op;
	bool conditional; /* 304 is an answer */
	bool is_probe;
	unsigned endpoint;
	int64_t started_ms;
	attempt_done *done;
	void *arg;
};

/* --- answers ------------------------------------------------------------------- */

/* Asking again would bring the same: a redirection, which is not followed, what is
 * wrong with the request (but for 408, 425 and 429), and an unknown method. */
static bool
is_final(int status)
{
	return (status >= 300 && status < 500 && status != 408 && status != 425 &&
	    status != 429) || status == 501;
}

/* As not_found_status of the configuration says. */
static bool
means_none(const struct config_origin *cfg, int status)
{
	char text[16];

	if (status == 404 || status == 410)
		return true;
	snprintf(text, sizeof text, "%d", status);
	for (unsigned i = 0; i < cfg->n_not_found_status; i++)
		if (strcmp(cfg->not_found_status[i], text) == 0)
			return true;
	return false;
}

/* Not found is an answer like any other; asking again helps against a gateway
 * that reaches nobody (502, 504), and who is busy (429, 503). */
static void
answer_of_status(const struct attempt *a, int status, char *text, size_t size,
    struct attempt_answer *out)
{
	struct origin_result *r = &out->result;
	enum origin_op op = a->op;

	r->http_status = status;
	if (a->is_probe && status >= 200 && status < 400) {
		r->status = ORIGIN_DONE;
		return;
	}
	if (op == ORIGIN_READ ? status == 200 : status >= 200 && status < 300) {
		r->status = op == ORIGIN_READ ? ORIGIN_OK : ORIGIN_DONE;
		return;
	}
	if (op == ORIGIN_READ ? means_none(a->t->opts.cfg, status) :
	        op == ORIGIN_REMOVE && (status == 404 || status == 410)) {
		r->status = ORIGIN_NOT_FOUND;
		return;
	}
	if (status == 304 && a->conditional) {
		r->status = ORIGIN_NOT_MODIFIED;
		return;
	}
	snprintf(text, size, "HTTP %d", status);
	r->status = ORIGIN_FAILED;
	r->error = text;
	r->final = is_final(status);
	out->fault = status >= 500;
	out->repeatable = status == 429 || (status >= 502 && status <= 504);
}

static void
attempt_free(struct attempt *a)
{
	a->t->n_probes -= a->is_probe;
	list_del(&a->link);
	mem_free(a);
}

static void
on_http_done(void *arg, const struct http_answer *a)
{
	static const enum attempt_end ends[] = { [HTTP_ANSWERED] = ATTEMPT_ANSWERED,
		[HTTP_UNREACHED] = ATTEMPT_UNREACHED, [HTTP_BROKEN] = ATTEMPT_BROKEN };
	struct attempt copy = *(struct attempt *)arg;
	struct attempt_answer out = { .end = ends[a->end], .retry_after_ms = a->retry_after_ms };
	char text[32];

	attempt_free(arg);
	out.result.ttl_ms = ORIGIN_TTL_UNSAID;
	/* Of a check the status says it all, however large its body is. */
	if (copy.is_probe && a->refused && a->status != 0)
		out.end = ATTEMPT_ANSWERED;
	if (out.end == ATTEMPT_ANSWERED) {
		answer_of_status(&copy, a->status, text, sizeof text, &out);
	} else {
		out.result.status = ORIGIN_FAILED;
		out.result.http_status = a->status;
		out.result.error = a->error;
		/* What we find unacceptable of one answer says little of others. */
		out.fault = !a->refused;
		out.repeatable = !a->refused && a->status == 0;
	}
	if (out.result.status == ORIGIN_OK) {
		out.result.body = a->body;
		out.result.ttl_ms = a->valid->ttl_ms;
	}
	if (out.result.status <= ORIGIN_NOT_MODIFIED)
		out.result.valid = a->valid;
	out.result.took_ms = MAX(loop_now_ms(copy.t->opts.loop) - copy.started_ms, 1);
	copy.done(copy.arg, &out);
}

/* --- attempts -------------------------------------------------------------------- */

/* Writes the path into scratch. 0 or -ENOMEM; *reject: why it cannot be. */
static int
expand_path(struct transport *t, const struct origin_request *rq, const char **reject)
{
	const struct config_namespace *ns = rq->ns;
	int rc = 0;

	assert(ns->path != NULL); /* the configuration sees to it */
	buf_clear(&t->scratch);
	if (rq->key.len <= PATH_BYTES_MAX)
		rc = template_expand(slice_str(ns->path), rq->key, strlen(ns->prefix), &t->scratch);
	if (rq->key.len > PATH_BYTES_MAX || buf_len(&t->scratch) > PATH_BYTES_MAX) {
		*reject = "key too long for a URL";
		rc = 0;
	} else if (rc == -EINVAL) {
		*reject = "key would make a . or .. segment of the path";
		rc = 0;
	}
	return rc;
}

static const char *
http_check(struct transport *t, const struct origin_request *rq)
{
	const char *reject = NULL;
	int rc = expand_path(t, rq, &reject);

	buf_shrink(&t->scratch, SCRATCH_KEEP);
	return rc == 0 ? reject : NULL; /* without memory the attempt will fail */
}

static int
attempt_new(struct transport *t, struct attempt as, const struct http_request *hr,
    struct attempt **out)
{
	struct attempt *a = mem_alloc(sizeof *a);
	int rc;

	if (a == NULL)
		return -ENOMEM;
	*a = as;
	a->t = t;
	a->started_ms = loop_now_ms(t->opts.loop);
	rc = http_attempt_start(t->http, &t->endpoints[a->endpoint], hr, on_http_done, a, &a->http);
	if (rc != 0) {
		mem_free(a);
		return rc;
	}
	list_push_tail(&t->attempts, &a->link);
	t->n_probes += a->is_probe;
	*out = a;
	return 0;
}

static int
http_start(struct transport *t, unsigned endpoint, const struct origin_request *rq,
    attempt_done *done, void *arg, struct attempt **out)
{
	static const enum http_method methods[] = { [ORIGIN_READ] = HTTP_GET,
		[ORIGIN_WRITE] = HTTP_PUT, [ORIGIN_REMOVE] = HTTP_DELETE };
	const char *reject = NULL;
	int rc = expand_path(t, rq, &reject);

	if (rc != 0)
		return rc;
	assert(reject == NULL); /* http_check() has looked */
	rc = attempt_new(t, (struct attempt){ .op = rq->op, .endpoint = endpoint,
	    .conditional = rq->etag.len + rq->last_modified.len != 0, .done = done, .arg = arg },
	    &(struct http_request){ .method = methods[rq->op], .path = buf_slice(&t->scratch),
	    .body = rq->value, .etag = rq->etag, .last_modified = rq->last_modified }, out);
	buf_shrink(&t->scratch, SCRATCH_KEEP);
	return rc;
}

static int
http_probe(struct transport *t, unsigned endpoint, const char *path, attempt_done *done, void *arg,
    struct attempt **out)
{
	return attempt_new(t, (struct attempt){ .op = ORIGIN_READ, .endpoint = endpoint,
	    .is_probe = true, .done = done, .arg = arg },
	    &(struct http_request){ .method = HTTP_GET, .path = slice_str(path) }, out);
}

static void
http_cancel(struct attempt *a)
{
	http_attempt_cancel(a->http);
	attempt_free(a);
}

static struct slice
endpoint_host(const struct transport *t, unsigned endpoint)
{
	const struct endpoint *e = &t->endpoints[endpoint];

	return e->kind == ENDPOINT_HTTP_UNIX ? e->path : e->authority;
}

static bool
http_cut_off(const struct attempt *a, struct attempt_answer *out, char *text, size_t size)
{
	int status = http_attempt_status(a->http);
	struct slice host = endpoint_host(a->t, a->endpoint);
	const char *what = "no answer";

	*out = (struct attempt_answer){ .result = { .ttl_ms = ORIGIN_TTL_UNSAID,
	    .http_status = status } };
	if (status != 0 && (status != 200 || a->op != ORIGIN_READ)) {
		answer_of_status(a, status, text, size, out); /* what is late is only words */
		out->result.took_ms = MAX(loop_now_ms(a->t->opts.loop) - a->started_ms, 1);
		return true;
	}
	switch (http_attempt_phase(a->http)) {
	case HTTP_RESOLVING:
		snprintf(text, size, "%.*s not resolved", (int)host.len, host.ptr);
		return false;
	case HTTP_CONNECTING:
		snprintf(text, size, "no connection to %.*s", (int)host.len, host.ptr);
		return false;
	case HTTP_BODY:
		what = "body not complete";
		break;
	case HTTP_SENT:
		break;
	}
	snprintf(text, size, "%s", what);
	return false;
}

/* --- the transport ----------------------------------------------------------------- */

static bool
any_https(const struct config_origin *cfg)
{
	struct endpoint e;

	for (unsigned i = 0; i < cfg->n_endpoints; i++)
		if (endpoint_parse(slice_str(cfg->endpoints[i]), &e) == NULL &&
		    e.kind == ENDPOINT_HTTPS)
			return true;
	return false;
}

static int
http_prepare(const struct config_origin *cfg, char *err, size_t err_size)
{
	char why[ERROR_MAX];

	if (curl_api_get() == NULL) {
		snprintf(err, err_size, "%s", curl_api_error());
		return -ENOTSUP;
	}
	if (!any_https(cfg) || tls_prepare(cfg, why, sizeof why) == 0)
		return 0;
	snprintf(err, err_size, "origin %s: %s", cfg->name, why);
	return -EINVAL;
}

static int
parse_endpoints(struct transport *t)
{
	const struct config_origin *cfg = t->opts.cfg;

	if (cfg->n_endpoints == 0)
		return -EINVAL;
	t->endpoints = mem_calloc(cfg->n_endpoints, sizeof *t->endpoints);
	if (t->endpoints == NULL)
		return -ENOMEM;
	t->n_endpoints = cfg->n_endpoints;
	for (unsigned i = 0; i < t->n_endpoints; i++)
		if (endpoint_parse(slice_str(cfg->endpoints[i]), &t->endpoints[i]) != NULL)
			return -EINVAL;
	return 0;
}

static void
on_received(void *arg, size_t n)
{
	struct transport *t = arg;

	counter_add(&t->opts.stats->bytes, (int64_t)n);
}

static void
on_ended(void *arg)
{
	struct transport *t = arg;

	t->opts.ended(t->opts.arg);
}

static void
http_close(struct transport *t)
{
	if (t == NULL)
		return;
	http_client_free(t->http);
	list_foreach_safe (it, &t->attempts)
		attempt_free(list_entry(it, struct attempt, link));
	buf_fini(&t->scratch);
	mem_free(t->endpoints);
	mem_free(t);
}

/* Connections that checks may have beside those of fetches: a busy origin must not look
 * like a dead one. */
static uint32_t
probes_max(const struct config_origin *cfg)
{
	return config_has_checks(&cfg->guard) ? cfg->n_endpoints : 0;
}

static int
http_open(const struct transport_opts *o, struct transport **out)
{
	struct transport *t = mem_zalloc(sizeof *t);
	int rc;

	if (t == NULL)
		return -ENOMEM;
	t->opts = *o;
	list_init(&t->attempts);
	buf_init(&t->scratch);
	rc = parse_endpoints(t);
	if (rc == 0)
		rc = http_client_new(&(struct http_opts){ .loop = o->loop,
		    .max_connections = o->cfg->max_connections + probes_max(o->cfg),
		    .dns_cache_ms = o->cfg->dns_cache_ms,
		    .connection_age_ms = o->cfg->connection_age_ms,
		    .max_body_bytes = o->cfg->max_body_bytes,
		    .tls = any_https(o->cfg) ? o->cfg : NULL,
		    .received = on_received, .ended = on_ended, .arg = t }, &t->http);
	if (rc != 0) {
		http_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

static unsigned
http_endpoints(const struct config_origin *cfg)
{
	return cfg->n_endpoints;
}

static const char *
http_endpoint_name(const struct config_origin *cfg, unsigned endpoint)
{
	return cfg->endpoints[endpoint];
}

static bool
http_has_room(const struct transport *t)
{
	return http_client_busy(t->http) - t->n_probes < MAX(t->opts.cfg->max_connections, 1);
}

const struct transport_ops http_transport = {
	.prepare = http_prepare,
	.open = http_open,
	.close = http_close,
	.endpoints = http_endpoints,
	.endpoint_name = http_endpoint_name,
	.has_room = http_has_room,
	.check = http_check,
	.start = http_start,
	.cancel = http_cancel,
	.cut_off = http_cut_off,
	.probe = http_probe,
};
