#include "config.h"

#include "server/binary_tell.h"

#include "base/blob.h"
#include "server/fetched.h"
#include "server/server.h"
#include "server/session.h"

#define UNKNOWN INT64_MIN

static void
put_time(struct out *o, int64_t ms)
{
	if (ms == UNKNOWN)
		binary_put_nil(o);
	else
		binary_put_int(o, ms);
}

static void
put_meta(const struct server_loop *sl, struct out *o, struct slice value, int64_t left_ms,
    int64_t age_ms)
{
	put_time(o, left_ms);
	put_time(o, age_ms);
	binary_put_token(o, binary_token(sl, value));
}

/* left_ms, age_ms: UNKNOWN is nil. ref NULL: value is copied. */
static void
tell_value(const struct told *t, enum binary_status status, struct slice value,
    const struct out_ref *ref, int64_t left_ms, int64_t age_ms)
{
	struct binary_mark m = { 0, 0 };

	if (!t->item)
		m = binary_begin(t->out);
	binary_put_array(t->out, (t->item ? 2 : 3) + (t->meta ? 3 : 0));
	if (!t->item)
		binary_put_uint(t->out, t->id);
	binary_put_uint(t->out, status);
	if (ref != NULL)
		binary_put_ref(t->out, ref);
	else
		binary_put_bytes(t->out, value);
	if (t->meta)
		put_meta(t->sl, t->out, value, left_ms, age_ms);
	if (!t->item)
		binary_end(t->out, m);
}

static int64_t
left_of(const struct store_cursor *cur, int64_t now_ms)
{
	return cur->c.expires_ms == CACHE_NEVER ? UNKNOWN : cur->c.expires_ms - now_ms;
}

static int64_t
age_of(const struct store_cursor *cur)
{
	int64_t age_ms = store_age_ms(cur);

	return age_ms >= 0 ? age_ms : UNKNOWN;
}

void
tell_entry(const struct told *t, enum binary_status status, struct store_cursor *cur,
    int64_t now_ms)
{
	struct out_ref ref;
	bool pinned = cur->c.value.len >= REF_MIN_BYTES && cache_pin(&cur->c, &ref);

	tell_value(t, status, cur->c.value, pinned ? &ref : NULL, left_of(cur, now_ms),
	    t->meta ? age_of(cur) : UNKNOWN);
}

void
tell_meta(const struct server_loop *sl, struct out *o, const struct store_cursor *cur,
    int64_t now_ms)
{
	put_meta(sl, o, cur->c.value, left_of(cur, now_ms), age_of(cur));
}

void
tell_status(const struct told *t, enum binary_status status)
{
	if (!t->item) {
		binary_reply(t->out, t->id, status);
		return;
	}
	binary_put_array(t->out, 1);
	binary_put_uint(t->out, status);
}

/* --- values that came from elsewhere ------------------------------------------------ */

/* A value that was fetched has the time that its entry has, if it was stored. */
static int64_t
left_of_key(struct server_loop *sl, struct slice key, int64_t now_ms)
{
	struct store_cursor cur;
	int64_t left_ms = UNKNOWN;

	if (store_open(sl->store, key, 0, &cur) == CACHE_HIT)
		left_ms = left_of(&cur, now_ms);
	store_close(&cur);
	return left_ms;
}

static void
tell_refused(const struct told *t)
{
	if (t->item)
		binary_put_error(t->out, "OVERLOAD", FETCHED_REFUSAL);
	else
		binary_reply_error(t->out, t->id, "OVERLOAD", FETCHED_REFUSAL);
}

void
tell_fetched(const struct told *t, const struct store_waiter *w, struct slice key, int64_t now_ms)
{
	struct slice value = blob_slice(w->value);
	enum binary_status status = w->stale ? BINARY_stale :
	    w->joined ? BINARY_coalesced : BINARY_filled;
	int64_t left_ms = t->meta ? left_of_key(t->sl, key, now_ms) : UNKNOWN;
	struct out_ref ref;
	enum fetched_way way = fetched_way(t->sl, w->value, &ref);

	if (way == FETCHED_REFUSED)
		tell_refused(t);
	else
		tell_value(t, status, value, way == FETCHED_REF ? &ref : NULL, left_ms,
		    w->fallback ? UNKNOWN : w->age_ms);
}

const char *
binary_wait_error(const struct store_waiter *w)
{
	switch (w->status) {
	case FILL_FAILED:
		return "ORIGIN";
	case FILL_TIMEOUT:
		return "TIMEOUT";
	default:
		return NULL;
	}
}

/* --- waiting ------------------------------------------------------------------------- */

bool
binary_is_routed(const struct binary_call *b, struct slice key)
{
	return routes_find(store_loop_routes(b->c.store), key)->origin_cfg != NULL;
}

int64_t
binary_deadline(const struct binary_call *b)
{
	return binary_given(&b->o, BINARY_OPTION_deadline_ms) ?
	    b->c.now_ms + b->o.deadline_ms : 0;
}

bool
binary_waits_not(const struct binary_call *b)
{
	return binary_given(&b->o, BINARY_OPTION_deadline_ms) && b->o.deadline_ms == 0;
}

bool
binary_too_many_wait(const struct binary_call *b)
{
	return b->c.session->n_parked >= BINARY_WAITING_MAX;
}
