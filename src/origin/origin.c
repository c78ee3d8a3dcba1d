/* A fetch goes through: its path, a queue while all connections are busy, one
 * attempt after the other until an endpoint can be reached, and its answer.
 * Its deadline is a timer of our own that runs over all of these, so that the
 * answer comes in time whatever the library below is waiting for.
 *
 * Here the kinds of origins part. HTTP is the only one: http.h. */
#include "config.h"

#include "origin/origin.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "config/template.h"
#include "origin/cache_control.h"
#include "origin/curl_api.h"
#include "origin/http.h"
#include "origin/tls.h"

/* RFC 9110, 4.1: every recipient should take so much; many take no more. */
#define PATH_BYTES_MAX 8000
#define ERROR_MAX 512
#define SCRATCH_KEEP 4096

/* NOLINTNEXTLINE(misc-redundant-expression): that is what it asserts */
_Static_assert(ORIGIN_TTL_UNSAID == CACHE_CONTROL_UNSAID, "one value for both");

struct origin_client {
	struct loop *loop;
	const struct config_origin *cfg;
	struct stats_origin *stats;
	struct http_client *http;
	struct endpoint *endpoints; /* [cfg->n_endpoints] */
	unsigned next;              /* whose turn it is */
	struct list open;           /* by origin_fetch.link */
	struct list queue;          /* by origin_fetch.queue_link, oldest first */
	struct buf scratch;         /* for paths */
	bool closing;
};

struct origin_fetch {
	struct list link;
	struct list queue_link;
	struct origin_client *oc;
	struct http_attempt *attempt; /* NULL: waits, or is at its end */
	struct timer timer;           /* at the deadline */
	origin_done *done;
	void *arg;
	int64_t started_ms, deadline_ms;
	int64_t attempted_us;
	unsigned endpoint, tried;
	const char *reject;           /* why it fails without an attempt */
	size_t path_len;
	char path[];
};

/* --- answers ------------------------------------------------------------------- */

/* What comes from outside must not break the line that it is quoted in. */
static void
strip_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = ' ';
}

static void fetch_pump(struct origin_client *oc);

/* Answers and frees. The fetch leaves all lists first: done() may start others. */
static void
fetch_finish(struct origin_fetch *f, const struct origin_result *r)
{
	struct origin_client *oc = f->oc;

	timer_stop(&f->timer);
	list_del(&f->link);
	list_del(&f->queue_link);
	if (f->attempt != NULL)
		http_attempt_cancel(f->attempt);
	f->done(f->arg, r);
	mem_free(f);
	fetch_pump(oc);
}

static PRINTF(4, 5) void
fetch_fail(struct origin_fetch *f, enum origin_status status, int http_status, const char *fmt, ...)
{
	struct origin_result r = { .status = status, .http_status = http_status,
		.ttl_ms = ORIGIN_TTL_UNSAID };
	char text[ERROR_MAX], why[ERROR_MAX - 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	snprintf(text, sizeof text, "origin %.48s: %s", f->oc->cfg->name, why);
	strip_controls(text);
	r.error = text;
	fetch_finish(f, &r);
}

static void
fetch_answer(struct origin_fetch *f, int http_status, struct blob *body, int64_t ttl_ms)
{
	struct origin_client *oc = f->oc;
	struct origin_result r = { .status = ORIGIN_NOT_FOUND, .http_status = http_status,
		.ttl_ms = ORIGIN_TTL_UNSAID };

	histogram_add(&oc->stats->latency_us, loop_now_us(oc->loop) - f->attempted_us);
	if (http_status == 404 || http_status == 410) {
		counter_inc(&oc->stats->not_found);
		fetch_finish(f, &r);
	} else if (http_status == 200) {
		r.status = ORIGIN_OK;
		r.body = body;
		r.ttl_ms = ttl_ms;
		fetch_finish(f, &r);
	} else {
		counter_inc(&oc->stats->errors);
		fetch_fail(f, ORIGIN_FAILED, http_status, "HTTP %d", http_status);
	}
}

/* --- attempts -------------------------------------------------------------------- */

static int fetch_attempt(struct origin_fetch *f);

static void
fetch_try_next(struct origin_fetch *f, const char *error)
{
	unsigned n = f->oc->cfg->n_endpoints;

	if (++f->tried < n) {
		f->endpoint = (f->endpoint + 1) % n;
		if (fetch_attempt(f) != 0)
			fetch_fail(f, ORIGIN_FAILED, 0, "no memory");
	} else if (n > 1) {
		fetch_fail(f, ORIGIN_FAILED, 0, "%s (the last of %u endpoints)", error, n);
	} else {
		fetch_fail(f, ORIGIN_FAILED, 0, "%s", error);
	}
}

static void
on_attempt_done(void *arg, const struct http_answer *a)
{
	struct origin_fetch *f = arg;

	f->attempt = NULL;
	if (a->end == HTTP_ANSWERED) {
		fetch_answer(f, a->status, a->body, a->ttl_ms);
		return;
	}
	counter_inc(&f->oc->stats->errors);
	if (a->end == HTTP_UNREACHED)
		fetch_try_next(f, a->error);
	else
		fetch_fail(f, ORIGIN_FAILED, a->status, "%s", a->error);
}

/* 0 or -ENOMEM. */
static int
fetch_attempt(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	int rc = http_attempt_start(oc->http, &oc->endpoints[f->endpoint],
	    slice_of(f->path, f->path_len), on_attempt_done, f, &f->attempt);

	if (rc == 0) {
		f->attempted_us = loop_now_us(oc->loop);
		counter_inc(&oc->stats->requests);
	}
	return rc;
}

static bool
has_room(const struct origin_client *oc)
{
	return http_client_busy(oc->http) < MAX(oc->cfg->max_connections, 1);
}

/* Calls no done(): also runs inside of origin_fetch_cancel(). A fetch whose
 * time is over is left to its timer. */
static void
fetch_pump(struct origin_client *oc)
{
	int64_t now_ms = loop_now_ms(oc->loop);

	while (!oc->closing && has_room(oc)) {
		struct list *node = list_pop_head(&oc->queue);
		struct origin_fetch *f;

		if (node == NULL)
			return;
		f = list_entry(node, struct origin_fetch, queue_link);
		if (f->deadline_ms > now_ms && fetch_attempt(f) != 0) {
			f->reject = "no memory";
			timer_start(&f->timer, 0);
		}
	}
}

static void
on_room(void *arg)
{
	fetch_pump(arg);
}

static void
on_received(void *arg, size_t n)
{
	struct origin_client *oc = arg;

	counter_add(&oc->stats->bytes, (int64_t)n);
}

/* --- deadlines --------------------------------------------------------------------- */

static void
fetch_time_out(struct origin_fetch *f)
{
	const struct endpoint *e = &f->oc->endpoints[f->endpoint];
	struct slice host = e->kind == ENDPOINT_HTTP_UNIX ? e->path : e->authority;
	int64_t ms = f->deadline_ms - f->started_ms;
	const char *what = "no answer";

	counter_inc(&f->oc->stats->timeouts);
	if (ms <= 0) {
		fetch_fail(f, ORIGIN_TIMEOUT, 0, "the deadline was over before the fetch began");
		return;
	}
	if (f->attempt == NULL) {
		fetch_fail(f, ORIGIN_TIMEOUT, 0, "no connection free within %" PRId64 " ms", ms);
		return;
	}
	counter_inc(&f->oc->stats->errors);
	switch (http_attempt_phase(f->attempt)) {
	case HTTP_RESOLVING:
		fetch_fail(f, ORIGIN_TIMEOUT, 0, "%.*s not resolved within %" PRId64 " ms",
		    (int)host.len, host.ptr, ms);
		return;
	case HTTP_CONNECTING:
		fetch_fail(f, ORIGIN_TIMEOUT, 0, "no connection to %.*s within %" PRId64 " ms",
		    (int)host.len, host.ptr, ms);
		return;
	case HTTP_BODY:
		what = "body not complete";
		break;
	case HTTP_SENT:
		break;
	}
	fetch_fail(f, ORIGIN_TIMEOUT, http_attempt_status(f->attempt), "%s within %" PRId64 " ms",
	    what, ms);
}

static void
on_deadline(struct timer *t)
{
	struct origin_fetch *f = container_of(t, struct origin_fetch, timer);
	int status = f->attempt != NULL ? http_attempt_status(f->attempt) : 0;

	if (f->reject != NULL)
		fetch_fail(f, ORIGIN_FAILED, 0, "%s", f->reject);
	else if (status != 0 && status != 200)
		fetch_answer(f, status, NULL, 0); /* what is late is only words */
	else
		fetch_time_out(f);
}

/* --- fetches ------------------------------------------------------------------------ */

/* Writes the path into scratch. 0 or -ENOMEM; *reject: why it cannot be. */
static int
expand_path(struct origin_client *oc, const struct config_namespace *ns, struct slice key,
    const char **reject)
{
	int rc = 0;

	assert(ns->path != NULL); /* the configuration sees to it */
	buf_clear(&oc->scratch);
	if (key.len <= PATH_BYTES_MAX)
		rc = template_expand(slice_str(ns->path), key, strlen(ns->prefix), &oc->scratch);
	if (key.len > PATH_BYTES_MAX || buf_len(&oc->scratch) > PATH_BYTES_MAX) {
		*reject = "key too long for a URL";
		buf_clear(&oc->scratch);
	} else if (rc == -EINVAL) {
		*reject = "key would make a . or .. segment of the path";
		rc = 0;
	}
	return rc;
}

static struct origin_fetch *
fetch_new(struct origin_client *oc, struct slice path, int64_t deadline_ms)
{
	struct origin_fetch *f = mem_alloc(sizeof *f + path.len);

	if (f == NULL)
		return NULL;
	*f = (struct origin_fetch){ .oc = oc, .started_ms = loop_now_ms(oc->loop),
		.deadline_ms = deadline_ms, .path_len = path.len };
	if (oc->cfg->deadline_ms > 0)
		f->deadline_ms = MIN(deadline_ms, f->started_ms + oc->cfg->deadline_ms);
	if (path.len != 0)
		memcpy(f->path, path.ptr, path.len);
	timer_init(&f->timer, oc->loop, on_deadline);
	list_init(&f->queue_link);
	f->endpoint = oc->next++ % oc->cfg->n_endpoints;
	return f;
}

/* Sends it off or lets it queue. 0 or -ENOMEM. */
static int
fetch_begin(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;

	if (f->reject != NULL || f->deadline_ms <= f->started_ms)
		return 0; /* its timer answers it */
	if (list_empty(&oc->queue) && has_room(oc))
		return fetch_attempt(f);
	list_push_tail(&oc->queue, &f->queue_link);
	return 0;
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	const char *reject = NULL;
	struct origin_fetch *f;
	int rc;

	if (oc->closing)
		return -ENOMEM;
	rc = expand_path(oc, rq->ns, rq->key, &reject);
	if (rc != 0)
		return rc;
	f = fetch_new(oc, buf_slice(&oc->scratch), rq->deadline_ms);
	buf_shrink(&oc->scratch, SCRATCH_KEEP);
	if (f == NULL)
		return -ENOMEM;
	f->done = done;
	f->arg = arg;
	f->reject = reject;
	rc = fetch_begin(f);
	if (rc != 0) {
		mem_free(f);
		return rc;
	}
	list_push_tail(&oc->open, &f->link);
	timer_start(&f->timer, reject != NULL ? 0 : f->deadline_ms - f->started_ms);
	*out = f;
	return 0;
}

void
origin_fetch_cancel(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;

	timer_stop(&f->timer);
	list_del(&f->link);
	list_del(&f->queue_link);
	if (f->attempt != NULL)
		http_attempt_cancel(f->attempt);
	mem_free(f);
	fetch_pump(oc);
}

/* --- the client ---------------------------------------------------------------------- */

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
parse_endpoints(struct origin_client *oc)
{
	const struct config_origin *cfg = oc->cfg;

	if (cfg->n_endpoints == 0)
		return -EINVAL;
	oc->endpoints = mem_calloc(cfg->n_endpoints, sizeof *oc->endpoints);
	if (oc->endpoints == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < cfg->n_endpoints; i++)
		if (endpoint_parse(slice_str(cfg->endpoints[i]), &oc->endpoints[i]) != NULL)
			return -EINVAL;
	return 0;
}

int
origin_client_new(struct loop *l, const struct config_origin *cfg, struct stats_origin *stats,
    struct origin_client **out)
{
	struct origin_client *oc = mem_zalloc(sizeof *oc);
	int rc;

	if (oc == NULL)
		return -ENOMEM;
	oc->loop = l;
	oc->cfg = cfg;
	oc->stats = stats;
	/* Loops shall not all begin with the same endpoint. */
	oc->next = loop_index(l);
	list_init(&oc->open);
	list_init(&oc->queue);
	buf_init(&oc->scratch);
	rc = parse_endpoints(oc);
	if (rc == 0)
		rc = http_client_new(&(struct http_opts){ .loop = l,
		    .max_connections = cfg->max_connections, .max_body_bytes = cfg->max_body_bytes,
		    .tls = any_https(cfg),
		    .received = on_received, .ended = on_room, .arg = oc }, &oc->http);
	if (rc != 0) {
		origin_client_free(oc);
		return rc;
	}
	*out = oc;
	return 0;
}

void
origin_client_free(struct origin_client *oc)
{
	if (oc == NULL)
		return;
	oc->closing = true;
	while (!list_empty(&oc->open))
		fetch_fail(list_entry(oc->open.next, struct origin_fetch, link), ORIGIN_FAILED, 0,
		    "closed");
	http_client_free(oc->http);
	buf_fini(&oc->scratch);
	mem_free(oc->endpoints);
	mem_free(oc);
}

int
origin_prepare(const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->n_origins; i++) {
		if (curl_api_get() == NULL)
			return -ENOTSUP;
		if (any_https(&cfg->origins[i]))
			tls_prepare();
	}
	return 0;
}

const char *
origin_unsupported(void)
{
	return curl_api_get() != NULL ? "" : curl_api_error();
}
