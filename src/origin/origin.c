/* A fetch goes through: a queue while all connections are busy, one attempt
 * after the other until an endpoint can be reached, and its answer. Its
 * deadline is a timer of our own that runs over all of these, so that the
 * answer comes in time whatever the library below is waiting for.
 *
 * How an attempt is made is its transport's business: transport.h. */
#include "config.h"

#include "origin/origin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/list.h"
#include "base/mem.h"
#include "origin/transport.h"

#define ERROR_MAX 512

struct origin_client {
	struct loop *loop;
	const struct config_origin *cfg;
	struct stats_origin *stats;
	const struct transport_ops *ops;
	struct transport *transport;
	unsigned n_endpoints;
	unsigned next;              /* whose turn it is */
	struct list open;           /* by origin_fetch.link */
	struct list queue;          /* by origin_fetch.queue_link, oldest first */
	bool closing;
};

struct origin_fetch {
	struct list link;
	struct list queue_link;
	struct origin_client *oc;
	struct origin_request request; /* its slices point into `text` */
	struct attempt *attempt;       /* NULL: waits, or is at its end */
	struct timer timer;            /* at the deadline */
	origin_done *done;
	void *arg;
	int64_t started_ms;
	int64_t attempted_us;
	unsigned endpoint, tried;
	bool final;                    /* as of struct origin_result */
	const char *reject;            /* why it fails without an attempt */
	char text[];
};

/* By enum origin_kind. */
static const struct transport_ops *const transports[] = {
	[ORIGIN_HTTP] = &http_transport,
	[ORIGIN_REDIS] = &redis_transport,
};

static const struct transport_ops *
transport_of(const struct config_origin *cfg)
{
	return transports[cfg->kind];
}

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
		oc->ops->cancel(f->attempt);
	f->done(f->arg, r);
	mem_free(f);
	fetch_pump(oc);
}

static PRINTF(4, 5) void
fetch_fail(struct origin_fetch *f, enum origin_status status, int http_status, const char *fmt, ...)
{
	struct origin_result r = { .status = status, .http_status = http_status,
		.ttl_ms = ORIGIN_TTL_UNSAID, .final = f->final };
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

/* An answer that was received, whatever it says. */
static void
fetch_answer(struct origin_fetch *f, const struct origin_result *r)
{
	struct stats_origin *stats = f->oc->stats;

	histogram_add(&stats->latency_us, loop_now_us(f->oc->loop) - f->attempted_us);
	if (r->status == ORIGIN_NOT_FOUND)
		counter_inc(&stats->not_found);
	if (r->status < ORIGIN_FAILED) {
		fetch_finish(f, r);
		return;
	}
	counter_inc(&stats->errors);
	f->final = r->final;
	fetch_fail(f, r->status, r->http_status, "%s", r->error);
}

/* --- attempts -------------------------------------------------------------------- */

static int fetch_attempt(struct origin_fetch *f);

static void
fetch_try_next(struct origin_fetch *f, const char *error)
{
	unsigned n = f->oc->n_endpoints;

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
on_attempt_done(void *arg, const struct attempt_answer *a)
{
	struct origin_fetch *f = arg;

	f->attempt = NULL;
	if (a->end == ATTEMPT_ANSWERED) {
		fetch_answer(f, &a->result);
		return;
	}
	counter_inc(&f->oc->stats->errors);
	if (a->end == ATTEMPT_UNREACHED)
		fetch_try_next(f, a->result.error);
	else
		fetch_fail(f, ORIGIN_FAILED, a->result.http_status, "%s", a->result.error);
}

/* 0 or -ENOMEM. */
static int
fetch_attempt(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;
	int rc = oc->ops->start(oc->transport, f->endpoint, &f->request, on_attempt_done, f,
	    &f->attempt);

	if (rc == 0) {
		f->attempted_us = loop_now_us(oc->loop);
		counter_inc(&oc->stats->requests);
	}
	return rc;
}

/* Calls no done(): also runs inside of origin_fetch_cancel(). A fetch whose
 * time is over is left to its timer. */
static void
fetch_pump(struct origin_client *oc)
{
	int64_t now_ms = loop_now_ms(oc->loop);

	while (!oc->closing && oc->ops->has_room(oc->transport)) {
		struct list *node = list_pop_head(&oc->queue);
		struct origin_fetch *f;

		if (node == NULL)
			return;
		f = list_entry(node, struct origin_fetch, queue_link);
		if (f->request.deadline_ms > now_ms && fetch_attempt(f) != 0) {
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

/* --- deadlines --------------------------------------------------------------------- */

static void
fetch_time_out(struct origin_fetch *f)
{
	struct attempt_answer late = { 0 };
	int64_t ms = f->request.deadline_ms - f->started_ms;
	char text[ERROR_MAX];

	if (f->attempt != NULL && f->oc->ops->cut_off(f->attempt, &late, text, sizeof text)) {
		fetch_answer(f, &late.result);
		return;
	}
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
	fetch_fail(f, ORIGIN_TIMEOUT, late.result.http_status, "%s within %" PRId64 " ms", text,
	    ms);
}

static void
on_deadline(struct timer *t)
{
	struct origin_fetch *f = container_of(t, struct origin_fetch, timer);

	if (f->reject != NULL)
		fetch_fail(f, ORIGIN_FAILED, 0, "%s", f->reject);
	else
		fetch_time_out(f);
}

/* --- fetches ------------------------------------------------------------------------ */

/* Copies what `s` points to and returns behind the copy. */
static char *
text_keep(char *to, struct slice *s)
{
	if (s->len != 0)
		memcpy(to, s->ptr, s->len);
	*s = slice_of(to, s->len);
	return to + s->len;
}

static void
request_keep(struct origin_request *rq, char *text)
{
	text = text_keep(text, &rq->key);
	text = text_keep(text, &rq->value);
	text = text_keep(text, &rq->etag);
	text_keep(text, &rq->last_modified);
}

static struct origin_fetch *
fetch_new(struct origin_client *oc, const struct origin_request *rq)
{
	struct origin_fetch *f = mem_alloc(sizeof *f + rq->key.len + rq->value.len +
	    rq->etag.len + rq->last_modified.len);

	if (f == NULL)
		return NULL;
	*f = (struct origin_fetch){ .oc = oc, .request = *rq,
		.started_ms = loop_now_ms(oc->loop) };
	request_keep(&f->request, f->text);
	if (oc->cfg->deadline_ms > 0)
		f->request.deadline_ms = MIN(rq->deadline_ms, f->started_ms + oc->cfg->deadline_ms);
	timer_init(&f->timer, oc->loop, on_deadline);
	list_init(&f->queue_link);
	f->endpoint = oc->next++ % oc->n_endpoints;
	f->reject = oc->ops->check(oc->transport, rq);
	return f;
}

/* Sends it off or lets it queue. 0 or -ENOMEM. */
static int
fetch_begin(struct origin_fetch *f)
{
	struct origin_client *oc = f->oc;

	if (f->reject != NULL || f->request.deadline_ms <= f->started_ms)
		return 0; /* its timer answers it */
	if (list_empty(&oc->queue) && oc->ops->has_room(oc->transport))
		return fetch_attempt(f);
	list_push_tail(&oc->queue, &f->queue_link);
	return 0;
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	struct origin_fetch *f;
	int rc;

	if (oc->closing)
		return -ENOMEM;
	f = fetch_new(oc, rq);
	if (f == NULL)
		return -ENOMEM;
	f->done = done;
	f->arg = arg;
	rc = fetch_begin(f);
	if (rc != 0) {
		mem_free(f);
		return rc;
	}
	list_push_tail(&oc->open, &f->link);
	timer_start(&f->timer,
	    f->reject != NULL ? 0 : f->request.deadline_ms - f->started_ms);
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
		oc->ops->cancel(f->attempt);
	mem_free(f);
	fetch_pump(oc);
}

/* --- the client ---------------------------------------------------------------------- */

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
	oc->ops = transport_of(cfg);
	/* Loops shall not all begin with the same endpoint. */
	oc->next = loop_index(l);
	list_init(&oc->open);
	list_init(&oc->queue);
	rc = oc->ops->open(&(struct transport_opts){ .loop = l, .cfg = cfg, .stats = stats,
	    .ended = on_room, .arg = oc }, &oc->transport);
	if (rc != 0) {
		mem_free(oc);
		return rc;
	}
	oc->n_endpoints = oc->ops->endpoints(oc->transport);
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
	oc->ops->close(oc->transport);
	mem_free(oc);
}

int
origin_prepare(const struct config *cfg, char *err, size_t err_size)
{
	int rc = 0;

	for (unsigned i = 0; i < cfg->n_origins && rc == 0; i++)
		rc = transport_of(&cfg->origins[i])->prepare(&cfg->origins[i], err, err_size);
	return rc;
}
