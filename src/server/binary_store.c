/* What writes, in the binary protocol: SET, DELETE, TOUCH, INCR, their batches, FLUSH. */
#include "config.h"

#include <errno.h>

#include "server/binary_call.h"
#include "server/door.h"
#include "server/invalidate.h"
#include "server/server.h"
#include "server/session.h"
#include "server/tracking.h"
#include "server/value.h"

/* --- conditions -------------------------------------------------------------------- */

/* Of the key of an open cursor. */
static bool
holds(const struct binary_call *b, const struct store_cursor *cur, bool found)
{
	const struct binary_options *o = &b->o;

	if (likely(o->given == 0))
		return true;
	if (binary_given(o, BINARY_OPTION_if_absent))
		return !found;
	if (binary_given(o, BINARY_OPTION_if_present))
		return found;
	if (binary_given(o, BINARY_OPTION_if_token))
		return found && binary_token_is(b->c.sl, cur->c.value, o->if_token);
	if (binary_given(o, BINARY_OPTION_if_value))
		return found && slice_eq(cur->c.value, o->if_value);
	if (binary_given(o, BINARY_OPTION_lease))
		return store_lease_stands(cur, binary_token_number(o->lease));
	return true;
}

/* --- SET ------------------------------------------------------------------------------ */

/* 0, what cache_put() answered, or -EAGAIN: a condition did not hold. */
static int
put(struct binary_call *b, struct slice key, uint64_t hash, struct slice value, int64_t ttl_ms)
{
	int64_t expires_ms = ttl_ms != 0 ? b->c.now_ms + ttl_ms : CACHE_NEVER;
	int64_t grace_ms = binary_given(&b->o, BINARY_OPTION_grace_ms) ? b->o.grace_ms :
	    CACHE_USUAL_GRACE;
	struct store_cursor cur;
	int rc = -EAGAIN;
	bool found;

	store_make_room(b->c.store, key.len + value.len);
	found = store_open_hashed(b->c.store, key, hash,
	    STORE_WRITE, &cur) == CACHE_HIT;
	if (likely(holds(b, &cur, found))) {
		store_will_put(&cur);
		rc = cache_put_graced(&cur.c, &value, 1, expires_ms, grace_ms);
	}
	store_close(&cur);
	return rc;
}

void
binary_op_set(struct binary_call *b)
{
	int rc = put(b, binary_key(b), b->c.hash, binary_bytes(&b->f->argv[1]),
	    binary_ttl(b->f, 2));

	if (rc == 0)
		binary_answer(b, BINARY_stored);
	else if (rc == -EAGAIN)
		binary_answer(b, BINARY_refused);
	else
		binary_put_failed(b, rc);
}

static void
tell_put(struct binary_call *b, struct out *items, int rc)
{
	if (rc != 0 && rc != -EAGAIN) {
		binary_put_failed_item(b, items, rc);
		return;
	}
	binary_put_array(items, 1);
	binary_put_uint(items, rc == 0 ? BINARY_stored : BINARY_refused);
}

void
binary_op_set_many(struct binary_call *b)
{
	const struct binary_value *pairs = &b->f->argv[0];
	struct binary_cursor c = binary_elements(b->f, pairs);
	int64_t ttl_ms = binary_ttl(b->f, 1);
	struct binary_value key, value;
	bool all = true;
	struct out items;
	int rc;

	out_init(&items);
	for (uint64_t i = 0; i < pairs->n; i += 2) {
		binary_next(&c, &key);
		binary_next(&c, &value);
		rc = put(b, binary_bytes(&key), store_hash(b->c.store, binary_bytes(&key)),
		    binary_bytes(&value), ttl_ms);
		all = all && rc == 0;
		tell_put(b, &items, rc);
	}
	if (!all) {
		binary_items_reply(&b->c, b->c.reply, pairs->n / 2, &items);
		return;
	}
	binary_answer(b, BINARY_stored);
	out_fini(&items);
}

/* --- DELETE --------------------------------------------------------------------------- */

void
binary_op_delete(struct binary_call *b)
{
	enum binary_status status = BINARY_miss;
	struct store_cursor cur;

	if (store_open_hashed(b->c.store, binary_key(b), b->c.hash, STORE_WRITE | STORE_VOIDS,
	    &cur) == CACHE_HIT)
		status = holds(b, &cur, true) ? BINARY_done : BINARY_refused;
	if (status != BINARY_refused)
		cache_remove(&cur.c); /* a stale one too */
	store_close(&cur);
	binary_answer(b, status);
}

void
binary_number(struct reply *r, enum binary_status status, int64_t n)
{
	struct binary_mark m = binary_begin(r->out);

	binary_put_array(r->out, 3);
	binary_put_uint(r->out, r->id);
	binary_put_uint(r->out, status);
	binary_put_int(r->out, n);
	binary_end(r->out, m);
}

void
binary_op_delete_many(struct binary_call *b)
{
	const struct binary_value *keys = &b->f->argv[0];
	struct binary_cursor c = binary_elements(b->f, keys);
	struct binary_value key;
	int64_t n = 0;

	for (uint64_t i = 0; i < keys->n; i++) {
		binary_next(&c, &key);
		n += store_delete(b->c.store, binary_bytes(&key));
	}
	binary_number(b->c.reply, BINARY_done, n);
}

static void
answer_flushed(struct reply *r, uint64_t keys)
{
	(void)keys;
	binary_reply(r->out, r->id, BINARY_done);
}

void
binary_op_flush(struct binary_call *b)
{
	if (unlikely(b->c.session->policy->confined)) {
		invalidate_own(&b->c, answer_flushed);
		return;
	}
	store_flush(b->c.store);
	tracking_flushed(b->c.sl);
	binary_answer(b, BINARY_done);
}

/* --- TOUCH, INCR ------------------------------------------------------------------------ */

void
binary_op_touch(struct binary_call *b)
{
	int64_t ttl_ms = binary_ttl(b->f, 1);
	struct store_cursor cur;
	bool found;
	int rc = 0;

	found = store_open_hashed(b->c.store, binary_key(b), b->c.hash, STORE_WRITE, &cur) ==
	    CACHE_HIT;
	if (found)
		rc = cache_set_expiry(&cur.c, ttl_ms != 0 ? b->c.now_ms + ttl_ms : CACHE_NEVER);
	store_close(&cur);
	if (rc != 0)
		binary_put_failed(b, rc);
	else
		binary_answer(b, found ? BINARY_done : BINARY_miss);
}

void
binary_op_incr(struct binary_call *b)
{
	struct value_start start = { .number = 0, .expires_ms = CACHE_NEVER };
	int64_t sum;
	struct store_cursor cur;
	enum cache_result found;
	int rc;

	if (binary_given(&b->o, BINARY_OPTION_initial))
		start.number = b->o.initial;
	if (binary_given(&b->o, BINARY_OPTION_ttl_ms))
		start.expires_ms = b->c.now_ms + b->o.ttl_ms;
	found = store_open_hashed(b->c.store, binary_key(b), b->c.hash, STORE_WRITE, &cur);
	rc = value_add(&cur, found, &start, (int64_t)b->f->argv[1].n, &sum);
	store_close(&cur);
	if (rc == 0)
		binary_number(b->c.reply, BINARY_stored, sum);
	else if (rc == -EINVAL)
		reply_error(b->c.reply, "NOTINT value is not an integer or out of range");
	else if (rc == -ERANGE)
		reply_error(b->c.reply, "OVERFLOW increment or decrement would overflow");
	else
		binary_put_failed(b, rc);
}
