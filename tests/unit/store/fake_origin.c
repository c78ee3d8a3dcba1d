#include "config.h"

#include "unit/store/fake_origin.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

struct origin_client {
	struct loop *loop;
};

struct origin_fetch {
	struct list link;
	struct loop_task task;
	struct origin_client *client;
	origin_done *done;
	void *arg;
	char value[64];
	enum origin_op op;
	char key[64], asked[256];
};

static struct list open_fetches = { &open_fetches, &open_fetches };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned begun, n_open;
static bool refusing;
static void (*automatic)(struct slice key, char out[64]);
static void (*automatic_write)(struct slice key, struct slice value);
static struct fake_asked last_asked;
static bool stopping;

unsigned
fake_begun(void)
{
	return begun;
}

unsigned
fake_open(void)
{
	return n_open;
}

void
fake_reset(void)
{
	begun = 0;
	refusing = false;
	automatic = NULL;
	automatic_write = NULL;
	stopping = false;
}

void
fake_refuse(bool yes)
{
	refusing = yes;
}

void
fake_auto(void (*fn)(struct slice key, char out[64]))
{
	automatic = fn;
}

int
origin_client_new(struct loop *l, struct guards *guards UNUSED,
    const struct config_origin *cfg UNUSED, struct stats_origin *stats UNUSED,
    struct origin_client **out)
{
	struct origin_client *oc = malloc(sizeof *oc);

	oc->loop = l;
	*out = oc;
	return 0;
}

static void
finish(struct origin_fetch *f, const struct origin_result *r)
{
	pthread_mutex_lock(&lock);
	list_del(&f->link);
	n_open--;
	pthread_mutex_unlock(&lock);
	f->done(f->arg, r);
	blob_unref(r->body);
	free(f);
}

/* Clients of other loops have their fetches in the same list. */
static struct origin_fetch *
first_open_of(const struct origin_client *oc)
{
	struct origin_fetch *found = NULL;

	pthread_mutex_lock(&lock);
	list_foreach(it, &open_fetches) {
		found = list_entry(it, struct origin_fetch, link);
		if (found->client == oc)
			break;
		found = NULL;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void
origin_client_free(struct origin_client *oc)
{
	struct origin_fetch *f;

	while ((f = first_open_of(oc)) != NULL)
		finish(f, &(struct origin_result){ .status = ORIGIN_FAILED, .error = "stopping" });
	free(oc);
}

static void
answer_task(struct loop *l UNUSED, struct loop_task *t)
{
	struct origin_fetch *f = container_of(t, struct origin_fetch, task);

	if (f->op != ORIGIN_READ) {
		automatic_write(slice_str(f->key), slice_str(f->value));
		finish(f, &(struct origin_result){ .status = ORIGIN_DONE });
		return;
	}
	if (f->value[0] == '\0') {
		finish(f, &(struct origin_result){ .status = ORIGIN_REFUSED,
		    .ttl_ms = ORIGIN_TTL_UNSAID, .error = "it fails" });
		return;
	}
	finish(f, &(struct origin_result){ .status = ORIGIN_OK,
	    .body = blob_of(slice_str(f->value)), .ttl_ms = ORIGIN_TTL_UNSAID });
}

static void
note_asked(struct origin_fetch *f, const struct origin_request *rq)
{
	f->op = rq->op;
	snprintf(f->key, sizeof f->key, "%.*s", (int)rq->key.len, rq->key.ptr);
	snprintf(f->value, sizeof f->value, "%.*s", (int)rq->value.len, rq->value.ptr);
	if (automatic != NULL || automatic_write != NULL)
		return; /* there are threads */
	last_asked.op = rq->op;
	last_asked.ttl_ms = rq->ttl_ms;
	memcpy(last_asked.key, f->key, sizeof f->key);
	memcpy(last_asked.value, f->value, sizeof f->value);
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	struct origin_fetch *f;

	if (refusing)
		return -ENOMEM;
	f = calloc(1, sizeof *f);
	f->client = oc;
	f->done = done;
	f->arg = arg;
	f->task.run = answer_task;
	snprintf(f->asked, sizeof f->asked, "%.*s|%.*s%s", (int)rq->etag.len, rq->etag.ptr,
	    (int)rq->last_modified.len, rq->last_modified.ptr,
	    rq->background ? "|background" : "");
	pthread_mutex_lock(&lock);
	begun++;
	n_open++;
	list_push_tail(&open_fetches, &f->link);
	pthread_mutex_unlock(&lock);
	*out = f;
	note_asked(f, rq);
	if (stopping)
		loop_stop(oc->loop);
	if (rq->op == ORIGIN_READ && automatic != NULL)
		automatic(rq->key, f->value);
	else if (rq->op == ORIGIN_READ || automatic_write == NULL)
		return 0;
	loop_defer(oc->loop, &f->task);
	return 0;
}

const struct fake_asked *
fake_asked(void)
{
	return &last_asked;
}

void
fake_stop_on_begin(bool yes)
{
	stopping = yes;
}

void
fake_auto_writes(void (*fn)(struct slice key, struct slice value))
{
	automatic_write = fn;
}

/* Only for tests whose loops all run on one thread. */
static struct origin_fetch *
oldest(void)
{
	return list_entry(open_fetches.next, struct origin_fetch, link);
}

void
fake_answer(const char *value, int64_t ttl_ms)
{
	finish(oldest(), &(struct origin_result){ .status = ORIGIN_OK,
	    .body = blob_of(slice_str(value)), .ttl_ms = ttl_ms });
}

void
fake_answer_tagged(const char *value, int64_t ttl_ms, const char *tags)
{
	const struct origin_validity valid = { .ttl_ms = ttl_ms, .swr_ms = ORIGIN_TTL_UNSAID,
		.sie_ms = ORIGIN_TTL_UNSAID, .etag = SLICE(""), .last_modified = SLICE(""),
		.tags = slice_str(tags) };

	finish(oldest(), &(struct origin_result){ .status = ORIGIN_OK,
	    .body = blob_of(slice_str(value)), .ttl_ms = ttl_ms, .valid = &valid });
}

void
fake_fail(enum origin_status status, const char *error)
{
	finish(oldest(), &(struct origin_result){ .status = status, .error = error });
}

void
fake_end(enum origin_status status, bool final)
{
	finish(oldest(), &(struct origin_result){ .status = status, .final = final,
	    .error = status >= ORIGIN_FAILED ? "it fails" : NULL });
}

void
fake_answer_with(enum origin_status status, const char *value,
    const struct origin_validity *valid, int64_t took_ms)
{
	finish(oldest(), &(struct origin_result){ .status = status, .valid = valid,
	    .body = value != NULL ? blob_of(slice_str(value)) : NULL,
	    .ttl_ms = status == ORIGIN_OK ? valid->ttl_ms : ORIGIN_TTL_UNSAID,
	    .took_ms = took_ms });
}

const char *
fake_condition(void)
{
	return oldest()->asked;
}
