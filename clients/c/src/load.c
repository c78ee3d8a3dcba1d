/* load.c - get or load, by leases: one of all who ask for a missing key loads it. */
#include "config.h"

#include <time.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"

#define WAIT_MS 5000 /* the daemon's lease_time (3 s) ends it before */

struct pannier_load {
	struct buf bytes;
	bool failed;
};

int
pannier_load_put(struct pannier_load *into, const void *data, size_t len)
{
	if (len != 0 && buf_append(&into->bytes, data, len) != 0)
		into->failed = true;
	return into->failed ? PANNIER_E_NOMEM : 0;
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
note(struct pannier_client *c, const char *status, uint64_t begun)
{
	const struct pannier_options *o = client_options(c);

	if (o->metrics != NULL)
		o->metrics(o->metrics_arg, "load", status, now_us() - begun);
}

struct task {
	struct pannier_client *client;
	struct pannier_bytes key;
	const struct pannier_how *how;
	pannier_loader *load;
	void *arg;
	struct pannier_load into;
	const struct pannier_reply *lease; /* NULL: load, and do not say so to the others */
};

static int
answer(int status, struct pannier_bytes value, int64_t number, struct pannier_reply **out)
{
	struct pannier_reply r;

	reply_failure(&r, status, "");
	r.value = value;
	r.number = number;
	*out = reply_copy(&r);
	return *out != NULL ? status : PANNIER_E_NOMEM;
}

/* The load failed: the lease goes to the next, and a stale value to the caller. */
static int
instead(struct task *t, int loaded, struct pannier_reply **out)
{
	if (t->lease != NULL && t->lease->status == PANNIER_LEASE) {
		(void)pannier_release(t->client, t->key, t->lease->token);
		if (t->lease->value.ptr != NULL) {
			note(t->client, "stale", now_us());
			return answer(PANNIER_STALE, t->lease->value, 0, out);
		}
	}
	if (t->into.failed && loaded == 0)
		return PANNIER_E_NOMEM;
	return answer(PANNIER_E_LOADER, pannier_bytes(NULL, 0), loaded, out);
}

static void
store(struct task *t, struct pannier_bytes value)
{
	bool held = t->lease->status == PANNIER_LEASE;

	/* If it is not stored, the next one loads again. */
	if (pannier_set_if(t->client, t->key, value, t->how->ttl_ms, t->how->grace_ms,
	    held ? PANNIER_WITH_LEASE : 0, t->lease->token) != PANNIER_STORED && held)
		(void)pannier_release(t->client, t->key, t->lease->token);
}

static int
load(struct task *t, struct pannier_reply **out)
{
	uint64_t begun = now_us();
	struct pannier_bytes value;
	int loaded, rc;

	buf_init(&t->into.bytes);
	loaded = t->load(t->arg, t->key, &t->into);
	rc = loaded != 0 || t->into.failed;
	note(t->client, rc ? "error" : t->lease == NULL ? "direct" : "ok", begun);
	if (rc) {
		rc = instead(t, loaded, out);
	} else {
		value = pannier_bytes(t->into.bytes.mem != NULL ? buf_data(&t->into.bytes) : "",
		    buf_len(&t->into.bytes));
		if (t->lease != NULL)
			store(t, value);
		rc = answer(PANNIER_FILLED, value, 0, out);
	}
	buf_fini(&t->into.bytes);
	return rc;
}

int
pannier_get_or_load(struct pannier_client *c, struct pannier_bytes key,
    const struct pannier_how *how, pannier_loader *loader, void *arg, struct pannier_reply **out)
{
	static const struct pannier_how usual;
	struct task t = { .client = c, .key = key, .how = how != NULL ? how : &usual, .load = loader,
		.arg = arg };
	struct pannier_reply *lease;
	int rc;

	*out = NULL;
	/* Said before anything is loaded. */
	if (t.how->ttl_ms < 0 || t.how->ttl_ms > BINARY_TTL_MAX || t.how->grace_ms < 0 ||
	    t.how->grace_ms > BINARY_TTL_MAX || t.how->wait_ms > TIMEOUT_MOST_MS)
		return PANNIER_E_ARGS;
	rc = pannier_lease(c, key, t.how->wait_ms != 0 ? t.how->wait_ms : WAIT_MS, &lease);
	if (rc >= 0 && rc <= PANNIER_COALESCED) {
		*out = lease;
		return rc;
	}
	t.lease = rc >= 0 && rc != PANNIER_ERROR ? lease : NULL;
	rc = load(&t, out);
	pannier_reply_free(lease);
	return rc;
}
