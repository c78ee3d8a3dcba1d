/* cmd_read.c - GET and MGET: reads that go through to an origin. */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "server/read_wait.h"
#include "server/server.h"
#include "server/session.h"
#include "server/waits.h"

/* --- GET ------------------------------------------------------------------------ */

static void
get_value(struct reply *r, struct store_cursor *cur, const struct store_waiter *w, bool stale)
{
	(void)w;
	(void)stale;
	reply_value(r, cur);
}

static void
get_none(struct reply *r, const struct store_waiter *w)
{
	(void)w;
	reply_nil(r);
}

static const struct read_form get_form = {
	.value = get_value,
	.fetched = reply_fetched,
	.none = get_none,
};

static NOINLINE void
get_missed(struct call *c, struct store_cursor *cur)
{
	read_missed(c, cur, &(struct read_opts){ .form = &get_form });
}

void
cmd_get(struct call *c)
{
	struct store_cursor cur;

	if (likely(store_get_cached(c->store, c->argv[1], c->hash, &cur) == CACHE_HIT)) {
		reply_value(c->reply, &cur);
		store_close(&cur);
	} else {
		get_missed(c, &cur);
	}
}

/* --- MGET ------------------------------------------------------------------------ */

#define MGET_ROUTED_MAX 16384

/* Leases are for GET alone: an MGET that waited for one key of many would hold
 * up the rest.
 * All fetches of one MGET run at the same time. One that fails fails the
 * request: clients do not expect an error among the values. */
struct mget_item {
	struct store_waiter waiter;
	struct mget *all;
	struct out bytes; /* its element of the reply, encoded */
	bool waiting;
};

struct mget {
	struct parked *parked; /* NULL while not parked, and after a drop */
	uint32_t n, pending;
	size_t bytes; /* of all elements, those sent by reference not counted */
	char error[256]; /* of the first that failed; "": none */
	struct mget_item items[];
};

static void
mget_free(struct mget *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		out_fini(&m->items[i].bytes);
	mem_free(m);
}

static void
mget_reply(struct mget *m, struct reply *r)
{
	if (m->error[0] != '\0') {
		reply_error(r, "%s", m->error);
		return;
	}
	reply_array(r, m->n);
	for (uint32_t i = 0; i < m->n; i++)
		out_move(r->out, &m->items[i].bytes);
}

static void
mget_note_error(struct mget *m, const char *code, const char *text)
{
	if (m->error[0] == '\0')
		snprintf(m->error, sizeof m->error, "%s %s", code, text);
}

/* An element is there. Where there is an error, none is kept. */
static void
mget_weigh(struct mget_item *item, struct server_loop *sl)
{
	struct mget *m = item->all;
	struct call c = { .sl = sl };

	m->bytes += buf_len(&item->bytes.bytes);
	if (m->bytes > 2 * call_reply_max(&c))
		mget_note_error(m, "ERR",
		    "the values are together more than output_limit; ask for fewer keys");
	if (m->error[0] == '\0')
		return;
	for (uint32_t i = 0; i < m->n; i++)
		out_fini(&m->items[i].bytes);
	m->bytes = 0;
}

static void
mget_fetched(struct mget_item *item, struct server_loop *sl, struct reply *r)
{
	struct blob *value = item->waiter.value;
	struct out_ref ref;

	switch (fetched_way(sl, value, &ref)) {
	case FETCHED_COPY:
		reply_bulk(r, blob_slice(value));
		break;
	case FETCHED_REF:
		reply_bulk_ref(r, &ref);
		break;
	case FETCHED_REFUSED:
		mget_note_error(item->all, "OVERLOAD", FETCHED_REFUSAL);
		break;
	}
}

static void
mget_filled(struct store_waiter *w)
{
	struct mget_item *item = container_of(w, struct mget_item, waiter);
	struct mget *m = item->all;
	struct parked *p = m->parked;
	struct server_loop *sl = parked_session(p)->sl;
	struct reply r = { .out = &item->bytes, .wire = parked_reply(p)->wire };

	if (w->status == FILL_FAILED || w->status == FILL_TIMEOUT)
		mget_note_error(m, "ORIGIN", w->error);
	else if (w->status == FILL_VALUE)
		mget_fetched(item, sl, &r);
	else
		reply_nil(&r);
	item->waiting = false;
	mget_weigh(item, sl);
	if (--m->pending != 0)
		return;
	waits_add(p, w, SLICE(""));
	mget_reply(m, parked_reply(p));
	mget_free(m);
	parked_done(p);
}

static void
mget_item_left(struct store_waiter *w)
{
	struct mget *m = container_of(w, struct mget_item, waiter)->all;

	if (--m->pending == 0)
		mget_free(m);
}

static void
mget_leave(struct mget *m)
{
	m->pending++; /* holds m until the loop is through */
	for (uint32_t i = 0; i < m->n; i++)
		if (m->items[i].waiting)
			store_leave(&m->items[i].waiter, mget_item_left);
	if (--m->pending == 0)
		mget_free(m);
}

static void
mget_dropped(struct parked *p, void *arg)
{
	(void)p;
	mget_leave(arg);
}

static void
mget_ask(struct call *c, struct mget *m, uint32_t i)
{
	struct mget_item *item = &m->items[i];
	struct reply r = { .out = &item->bytes, .wire = c->reply->wire };
	struct store_cursor cur;

	switch (store_get(c->store, c->argv[i + 1], &cur, &item->waiter)) {
	case STORE_HIT:
	case STORE_STALE:
		reply_value(&r, &cur);
		store_close(&cur);
		break;
	case STORE_MISS:
		reply_nil(&r);
		break;
	case STORE_WAITING:
		item->waiting = true;
		m->pending++;
		break;
	case STORE_REFUSED:
		mget_note_error(m, "OVERLOAD", item->waiter.error);
		break;
	}
	if (!item->waiting)
		mget_weigh(item, c->sl);
}

static void
mget_through(struct call *c)
{
	uint32_t n = c->argc - 1;
	struct mget *m;

	if (n > MGET_ROUTED_MAX) {
		reply_error(c->reply,
		    "ERR at most %d keys in one MGET of keys that an origin serves",
		    MGET_ROUTED_MAX);
		return;
	}
	m = mem_zalloc(sizeof *m + n * sizeof m->items[0]);
	if (m == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	m->n = n;
	for (uint32_t i = 0; i < n; i++) {
		m->items[i].all = m;
		m->items[i].waiter.done = mget_filled;
		out_init(&m->items[i].bytes);
		mget_ask(c, m, i);
	}
	if (m->pending == 0) {
		mget_reply(m, c->reply);
		mget_free(m);
		return;
	}
	m->parked = call_park(c, mget_dropped, m);
	if (m->parked == NULL)
		mget_leave(m);
}

static bool
any_routed(struct call *c)
{
	const struct routes *routes = store_loop_routes(c->store);

	if (routes_config(routes)->n_origins == 0)
		return false;
	for (uint32_t i = 1; i < c->argc; i++)
		if (routes_find(routes, c->argv[i])->origin_cfg != NULL)
			return true;
	return false;
}

void
cmd_mget(struct call *c)
{
	struct store_cursor cur;

	if (any_routed(c)) {
		mget_through(c);
		return;
	}
	reply_array(c->reply, c->argc - 1);
	for (uint32_t i = 1; i < c->argc; i++) {
		if (store_open(c->store, c->argv[i], STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
			reply_value(c->reply, &cur);
		else
			reply_nil(c->reply);
		store_close(&cur);
	}
}
