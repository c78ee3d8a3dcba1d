/* GET, LEASE and PEEK of the binary protocol. */
#include "config.h"

#include <errno.h>

#include "base/mem.h"
#include "server/binary_tell.h"
#include "server/internal.h"
#include "server/session.h"
#include "server/waits.h"

/* --- GET ------------------------------------------------------------------------------ */

struct binary_wait {
	struct store_waiter waiter;
	struct parked *parked;
	char *key; /* a copy */
	size_t key_len;
	bool meta;
	bool routed; /* what is not found the origin does not have */
};

/* [id, lease, token], and behind it a stale value where a cursor stands on one. */
static void
tell_lease(const struct told *t, const struct store_waiter *w, const struct store_cursor *cur)
{
	struct binary_mark m = binary_begin(t->out);

	binary_put_array(t->out, cur != NULL ? 4 : 3);
	binary_put_uint(t->out, t->id);
	binary_put_uint(t->out, BINARY_lease);
	binary_put_token(t->out, w->token);
	if (cur != NULL)
		binary_put_bytes(t->out, cur->c.value);
	binary_end(t->out, m);
}

static bool
has_lease(const struct store_waiter *w)
{
	return w->wants_token && w->granted;
}

/* There is no value; negative: so says the origin. */
static void
tell_none(const struct told *t, const struct store_waiter *w, bool negative)
{
	if (has_lease(w))
		tell_lease(t, w, NULL);
	else
		tell_status(t, negative ? BINARY_negative : BINARY_miss);
}

/* A value whose time is over. The cursor is open. */
static void
tell_stale(const struct told *t, const struct store_waiter *w, struct store_cursor *cur,
    int64_t now_ms)
{
	if (has_lease(w))
		tell_lease(t, w, cur);
	else
		tell_entry(t, BINARY_stale, cur, now_ms);
}

static void
wait_free(struct binary_wait *g)
{
	mem_free(g->key);
	mem_free(g);
}

static void
wait_left(struct store_waiter *w)
{
	wait_free(container_of(w, struct binary_wait, waiter));
}

static struct told
told_late(const struct binary_wait *g)
{
	struct reply *r = parked_reply(g->parked);

	return (struct told){
		.sl = parked_session(g->parked)->sl, .out = r->out, .id = r->id, .meta = g->meta,
	};
}

/* Somebody set the key that this one waited for. True: answered. */
static bool
wait_again(struct binary_wait *g)
{
	struct told t = told_late(g);
	struct store_cursor cur;

	switch (store_get(t.sl->store, slice_of(g->key, g->key_len), &cur, &g->waiter)) {
	case STORE_HIT:
		tell_entry(&t, BINARY_coalesced, &cur, loop_now_ms(t.sl->loop));
		store_close(&cur);
		return true;
	case STORE_STALE:
		tell_stale(&t, &g->waiter, &cur, loop_now_ms(t.sl->loop));
		store_close(&cur);
		return true;
	case STORE_WAITING:
		return false;
	case STORE_MISS:
		break;
	case STORE_REFUSED:
		reply_error(parked_reply(g->parked), "OVERLOAD %s", g->waiter.error);
		return true;
	}
	tell_none(&t, &g->waiter, g->waiter.negative);
	return true;
}

static void
wait_done(struct store_waiter *w)
{
	struct binary_wait *g = container_of(w, struct binary_wait, waiter);
	struct told t = told_late(g);
	struct parked *p = g->parked;

	waits_add(p, w, slice_of(g->key, g->key_len));
	if (w->status == FILL_AGAIN) {
		if (!wait_again(g))
			return;
	} else if (w->status == FILL_VALUE) {
		tell_fetched(&t, w, slice_of(g->key, g->key_len), loop_now_ms(t.sl->loop));
	} else if (binary_wait_error(w) != NULL) {
		reply_error(parked_reply(p), "%s %s", binary_wait_error(w), w->error);
	} else {
		tell_none(&t, w, g->routed && !w->fallback);
	}
	wait_free(g);
	parked_done(p);
}

static void
wait_dropped(struct parked *p, void *arg)
{
	struct binary_wait *g = arg;

	(void)p;
	store_leave(&g->waiter, wait_left);
}

/* One is always ready: only the store knows whether a GET will wait. */
static struct binary_wait *
spare_wait(struct server_loop *sl)
{
	if (unlikely(sl->spare_binary == NULL)) {
		struct binary_wait *g = mem_zalloc(sizeof *g);

		if (g != NULL)
			g->waiter.done = wait_done;
		sl->spare_binary = g;
	}
	return sl->spare_binary;
}

void
binary_spare_free(struct server_loop *sl)
{
	mem_free(sl->spare_binary);
	sl->spare_binary = NULL;
}

static void
wait_begin(struct binary_call *b, struct binary_wait *g)
{
	struct slice key = binary_key(b);

	b->c.sl->spare_binary = NULL;
	g->meta = binary_given(&b->o, BINARY_OPTION_meta);
	g->routed = binary_is_routed(b, key);
	g->parked = NULL;
	g->key = mem_slicedup(key);
	g->key_len = key.len;
	if (binary_too_many_wait(b))
		reply_error(b->c.reply, "OVERLOAD " BINARY_TOO_MANY_WAIT);
	else if (g->key == NULL)
		binary_put_failed(b, -ENOMEM);
	else
		g->parked = call_park(&b->c, wait_dropped, g);
	if (g->parked == NULL)
		store_leave(&g->waiter, wait_left);
}

static struct told
told_of(const struct binary_call *b)
{
	return (struct told){
		.sl = b->c.sl,
		.out = binary_out(b),
		.id = binary_id(b),
		.meta = binary_given(&b->o, BINARY_OPTION_meta),
	};
}

/* wants_token: LEASE. */
static void
missed(struct binary_call *b, struct store_cursor *cur, bool wants_token)
{
	struct binary_wait *g = spare_wait(b->c.sl);
	struct told t = told_of(b);

	if (g == NULL) {
		binary_put_failed(b, -ENOMEM);
		return;
	}
	g->waiter.holder = session_lease_holder(b->c.session);
	g->waiter.deadline_ms = binary_deadline(b);
	g->waiter.wants_token = g->waiter.follows_own = wants_token;
	switch (store_get_missed(cur, &g->waiter)) {
	case STORE_HIT: /* somebody else was faster */
		tell_entry(&t, BINARY_hit, cur, b->c.now_ms);
		store_close(cur);
		break;
	case STORE_STALE:
		tell_stale(&t, &g->waiter, cur, b->c.now_ms);
		store_close(cur);
		break;
	case STORE_MISS:
		tell_none(&t, &g->waiter, g->waiter.negative);
		break;
	case STORE_WAITING:
		wait_begin(b, g);
		break;
	case STORE_REFUSED:
		reply_error(b->c.reply, "OVERLOAD %s", g->waiter.error);
		break;
	}
}

void
binary_get_missed(struct binary_call *b, struct store_cursor *cur)
{
	missed(b, cur, false);
}

void
binary_get_large(struct binary_call *b, struct store_cursor *cur)
{
	struct told t = told_of(b);

	tell_entry(&t, BINARY_hit, cur, b->c.now_ms);
}

/* Only what the cache has. */
static void
look(struct binary_call *b)
{
	struct told t = told_of(b);
	struct store_cursor cur;

	if (store_open_hashed(b->c.store, binary_key(b), b->c.hash, STORE_TOUCH | STORE_COUNT,
	        &cur) == CACHE_HIT)
		tell_entry(&t, BINARY_hit, &cur, b->c.now_ms);
	else
		tell_status(&t, BINARY_miss);
	store_close(&cur);
}

static void
get(struct binary_call *b, bool wants_token)
{
	struct told t = told_of(b);
	struct store_cursor cur;

	if (store_get_cached(b->c.store, binary_key(b), b->c.hash, &cur) == CACHE_HIT) {
		tell_entry(&t, BINARY_hit, &cur, b->c.now_ms);
		store_close(&cur);
	} else {
		missed(b, &cur, wants_token);
	}
}

void
binary_op_get(struct binary_call *b)
{
	if (binary_waits_not(b))
		look(b);
	else
		get(b, false);
}

/* --- LEASE ---------------------------------------------------------------------------- */

/* Without waiting a lease that is free is still taken, but nothing is fetched. */
void
binary_op_lease(struct binary_call *b)
{
	if (binary_waits_not(b) && binary_is_routed(b, binary_key(b)))
		look(b);
	else
		get(b, true);
}

void
binary_op_release(struct binary_call *b)
{
	uint64_t token = binary_token_number(binary_bytes(&b->f->argv[1]));
	bool stood = store_lease_release(b->c.store, binary_key(b), b->c.hash, token);

	binary_answer(b, stood ? BINARY_done : BINARY_miss);
}

/* --- PEEK ----------------------------------------------------------------------------- */

/* Not a use, and not counted as a read. */
void
binary_op_peek(struct binary_call *b)
{
	struct out *o = binary_out(b);
	struct store_cursor cur;
	struct binary_mark m;

	if (store_open_hashed(b->c.store, binary_key(b), b->c.hash, 0, &cur) == CACHE_MISS) {
		store_close(&cur);
		binary_answer(b, BINARY_miss);
		return;
	}
	m = binary_begin(o);
	binary_put_array(o, 6);
	binary_put_uint(o, binary_id(b));
	binary_put_uint(o, BINARY_hit);
	binary_put_uint(o, cur.c.value.len);
	tell_meta(b->c.sl, o, &cur, b->c.now_ms);
	binary_end(o, m);
	store_close(&cur);
}
