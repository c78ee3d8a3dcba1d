#include "config.h"

#include "unit/origin/world.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/util.h"

struct asked {
	struct world *world;
	struct origin_fetch *fetch;
	unsigned nth;
	int64_t deadline_ms;
};

/* On a quiet machine run the tests with PANNIER_TEST_SLACK_MS=0: then answers
 * may be 50 ms late and turns take 10 ms, as promised. Unset, a second more is
 * granted to machines that are busy with other things. */
static int64_t
slack_ms(void)
{
	const char *text = getenv("PANNIER_TEST_SLACK_MS");

	return text != NULL ? atoi(text) : 1000;
}

void
world_init(struct world *w, const char *const *urls, unsigned n_urls)
{
	*w = (struct world){ .cfg = { .name = (char *)"users", .deadline_ms = 2 * LONG_MS,
		.max_body_bytes = 1024, .max_connections = 4, .tls_verify = 1,
		.dns_cache_ms = 30000, .guard.concurrency.queue = 1024 } };
	for (unsigned i = 0; i < n_urls; i++)
		w->endpoints[i] = (char *)urls[i];
	w->cfg.endpoints = w->endpoints;
	w->cfg.n_endpoints = n_urls;
	w->ns = (struct config_namespace){ .name = (char *)"user:", .prefix = (char *)"user:",
		.path = (char *)"/users/{rest}", .origin_cfg = &w->cfg };
	ck_assert_int_eq(loop_new(0, &w->loop), 0);
}

void
world_open(struct world *w, const char *url)
{
	world_init(w, &url, 1);
	ck_assert_int_eq(origin_client_new(w->loop, NULL, &w->cfg, &w->stats, &w->client), 0);
}

void
world_close(struct world *w)
{
	ck_assert_int_le(loop_take_max_lag_us(w->loop), (10 + slack_ms()) * 1000);
	origin_client_free(w->client);
	ck_assert_uint_eq(w->n_answered, w->n_asked);
	loop_free(w->loop);
	histogram_fini(&w->stats.latency_us);
}

static void
check_error_text(const struct answer *a)
{
	bool wanted = a->status >= ORIGIN_FAILED;

	ck_assert_msg(wanted == (a->error[0] != '\0'), "error: %s", a->error);
	if (wanted)
		ck_assert_msg(strncmp(a->error, "origin users: ", 14) == 0, "error: %s", a->error);
	for (const char *p = a->error; *p != '\0'; p++)
		ck_assert((unsigned char)*p >= ' ' && *p != 127);
}

static void
on_done(void *arg, const struct origin_result *r)
{
	struct asked *q = arg;
	struct world *w = q->world;
	struct answer *a = &w->answers[q->nth];

	ck_assert_ptr_eq(w->asked[q->nth], q);
	*a = (struct answer){ .status = r->status, .final = r->final, .http_status = r->http_status,
		.ttl_ms = r->ttl_ms, .late_ms = clock_mono_ms() - q->deadline_ms };
	ck_assert((r->status == ORIGIN_OK) == (r->body != NULL));
	if (r->valid != NULL) {
		a->valid = *r->valid;
		snprintf(a->etag, sizeof a->etag, "%.*s", (int)r->valid->etag.len,
		    r->valid->etag.ptr);
	}
	if (r->body != NULL) {
		a->body_len = blob_slice(r->body).len;
		memcpy(a->body, blob_slice(r->body).ptr, MIN(a->body_len, sizeof a->body - 1));
	}
	strncpy(a->error, r->error != NULL ? r->error : "", sizeof a->error - 1);
	check_error_text(a);
	w->asked[q->nth] = NULL;
	w->order[w->n_answered++] = q->nth;
	if (w->on_answer != NULL)
		w->on_answer(w, q->nth);
	if (w->n_answered >= w->want)
		loop_stop(w->loop);
	free(q);
}

static unsigned
ask(struct world *w, struct origin_request *rq, int64_t deadline_ms)
{
	struct asked *q = malloc(sizeof *q);
	int64_t now_ms = clock_mono_ms();

	ck_assert_ptr_nonnull(q);
	ck_assert_uint_lt(w->n_asked, WORLD_ANSWERS);
	*q = (struct asked){ .world = w, .nth = w->n_asked, .deadline_ms = now_ms + MAX(deadline_ms, 0) };
	w->asked[w->n_asked++] = q;
	rq->ns = &w->ns;
	rq->deadline_ms = loop_now_ms(w->loop) + deadline_ms;
	ck_assert_int_eq(origin_fetch_start(w->client, rq, on_done, q, &q->fetch), 0);
	return q->nth;
}

unsigned
world_ask(struct world *w, const char *key, int64_t deadline_ms)
{
	struct origin_request rq = { .key = slice_str(key), .background = w->background };

	return ask(w, &rq, deadline_ms);
}

unsigned
world_ask_if(struct world *w, const char *key, const char *etag, const char *last_modified)
{
	struct origin_request rq = { .key = slice_str(key), .etag = slice_str(etag),
		.last_modified = slice_str(last_modified) };

	return ask(w, &rq, LONG_MS);
}

unsigned
world_write(struct world *w, const char *key, const char *value, int64_t deadline_ms)
{
	struct origin_request rq = { .op = value != NULL ? ORIGIN_WRITE : ORIGIN_REMOVE,
		.key = slice_str(key), .value = value != NULL ? slice_str(value) : SLICE("") };

	return ask(w, &rq, deadline_ms);
}

void
world_cancel(struct world *w, unsigned nth)
{
	origin_fetch_cancel(w->asked[nth]->fetch);
	free(w->asked[nth]);
	w->asked[nth] = NULL;
	w->answers[nth].late_ms = -1;
	w->n_answered++;
}

void
world_run_until(struct world *w, unsigned n)
{
	w->want = n;
	if (w->n_answered < n)
		loop_run(w->loop);
	for (unsigned i = 0; i < w->n_asked; i++)
		if (w->asked[i] == NULL)
			ck_assert_int_le(w->answers[i].late_ms, 50 + slack_ms());
}

void
world_run(struct world *w)
{
	world_run_until(w, w->n_asked);
}

const struct answer *
world_get(struct world *w, const char *key, int64_t deadline_ms)
{
	unsigned nth = world_ask(w, key, deadline_ms);

	world_run(w);
	return &w->answers[nth];
}

void
check_ok(const struct answer *a, const char *body)
{
	ck_assert_msg(a->status == ORIGIN_OK, "error: %s", a->error);
	ck_assert_int_eq(a->http_status, 200);
	ck_assert_uint_eq(a->body_len, strlen(body));
	ck_assert_str_eq(a->body, body);
}

static void
check_error(const struct answer *a, enum origin_status status, const char *part)
{
	ck_assert_msg(a->status == status, "status %d, error: %s", a->status, a->error);
	ck_assert_msg(strstr(a->error, part) != NULL, "%s does not say: %s", a->error, part);
	ck_assert_int_eq(a->ttl_ms, ORIGIN_TTL_UNSAID);
}

void
check_failed(const struct answer *a, const char *error_part)
{
	check_error(a, ORIGIN_FAILED, error_part);
}

void
check_timeout(const struct answer *a, const char *error_part)
{
	check_error(a, ORIGIN_TIMEOUT, error_part);
}
