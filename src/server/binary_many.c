/* GET_MANY of the binary protocol. Its fetches run side by side, and one that fails
 * fails alone. */
#include "config.h"

#include <errno.h>

#include "base/mem.h"
#include "server/binary_tell.h"
#include "server/server.h"
#include "server/session.h"
#include "server/waits.h"

/* What is sent from where it lies is the cache's, but to know of it takes memory. */
static bool
too_big(const struct call *c, const struct out *items)
{
	return out_mem_bytes(items) > call_reply_max(c);
}

static void
refuse_too_big(struct reply *r)
{
	reply_error(r, "TOOBIG the values together are more than a connection may have unsent");
}

void
binary_items_reply(struct call *c, struct reply *r, uint64_t n, struct out *items)
{
	struct binary_mark m;

	if (too_big(c, items)) {
		out_fini(items);
		refuse_too_big(r);
		return;
	}
	m = binary_begin(r->out);
	binary_put_array(r->out, 3);
	binary_put_uint(r->out, r->id);
	binary_put_uint(r->out, BINARY_done);
	binary_put_array(r->out, n);
	out_move(r->out, items);
	binary_end(r->out, m);
	out_fini(items);
}

static struct told
told_item(const struct binary_call *b, struct out *o)
{
	return (struct told){
		.sl = b->c.sl,
		.out = o,
		.item = true,
		.meta = binary_given(&b->o, BINARY_OPTION_meta),
	};
}

/* --- from the cache alone ---------------------------------------------------------- */

#define NEAR 16 /* keys whose memory is brought near together */

static void
look(struct binary_call *b, const struct told *t, struct slice key, uint64_t hash)
{
	struct store_cursor cur;

	if (store_open_hashed(b->c.store, key, hash, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
		tell_entry(t, BINARY_hit, &cur, b->c.now_ms);
	else
		tell_status(t, BINARY_miss);
	store_close(&cur);
}

static void
look_at_all(struct binary_call *b)
{
	const struct cache *cache = store_cache(b->c.sl->server->store);
	const struct binary_value *keys = &b->f->argv[0];
	struct binary_cursor c = binary_elements(b->f, keys);
	struct binary_value v[NEAR];
	const void *buckets[NEAR];
	uint64_t hashes[NEAR];
	struct out items;
	struct told t = told_item(b, &items);

	out_init(&items);
	for (uint64_t i = 0; i < keys->n && !too_big(&b->c, &items); i += NEAR) {
		unsigned n = (unsigned)MIN(keys->n - i, NEAR);

		for (unsigned k = 0; k < n; k++) {
			binary_next(&c, &v[k]);
			hashes[k] = cache_hash_near(cache, binary_bytes(&v[k]), &buckets[k]);
		}
		cache_prefetch_entries(cache, buckets, n);
		for (unsigned k = 0; k < n; k++)
			look(b, &t, binary_bytes(&v[k]), hashes[k]);
	}
	binary_items_reply(&b->c, b->c.reply, keys->n, &items);
}

/* --- through to origins -------------------------------------------------------------- */

struct many_item {
	struct store_waiter waiter;
	struct many *all;
	struct out bytes; /* the item, encoded */
	struct slice key; /* in all->keys */
	bool waiting, routed;
};

struct many {
	struct parked *parked; /* NULL while not parked */
	struct server_loop *sl;
	uint64_t n;
	uint32_t pending;
	bool meta;
	bool too_big;          /* no item is kept any more */
	size_t bytes;          /* of memory, of all items */
	char *keys;            /* copies of all, one behind the other */
	struct many_item items[];
};

static void
many_free(struct many *m)
{
	for (uint64_t i = 0; i < m->n; i++)
		out_fini(&m->items[i].bytes);
	mem_free(m->keys);
	mem_free(m);
}

static void
many_reply(struct many *m, struct call *c, struct reply *r)
{
	struct out items;

	if (m->too_big) {
		refuse_too_big(r);
		return;
	}
	out_init(&items);
	for (uint64_t i = 0; i < m->n; i++)
		out_move(&items, &m->items[i].bytes);
	binary_items_reply(c, r, m->n, &items);
}

/* An item is known. Where all of them are too much, none is kept. */
static void
weigh(struct many_item *item, const struct call *c)
{
	struct many *m = item->all;

	m->bytes += out_mem_bytes(&item->bytes);
	m->too_big = m->too_big || m->bytes > call_reply_max(c);
	if (!m->too_big)
		return;
	for (uint64_t i = 0; i < m->n && m->bytes != 0; i++)
		out_fini(&m->items[i].bytes);
	m->bytes = 0;
	out_fini(&item->bytes);
}

static struct told
told_late(struct many_item *item)
{
	return (struct told){
		.sl = item->all->sl, .out = &item->bytes, .item = true, .meta = item->all->meta,
	};
}

static void
item_done(struct store_waiter *w)
{
	struct many_item *item = container_of(w, struct many_item, waiter);
	struct many *m = item->all;
	struct told t = told_late(item);
	struct call c = { .sl = m->sl };
	struct parked *p = m->parked;

	if (w->status == FILL_VALUE)
		tell_fetched(&t, w, item->key, loop_now_ms(m->sl->loop));
	else if (binary_wait_error(w) != NULL)
		binary_put_error(t.out, binary_wait_error(w), w->error);
	else
		tell_status(&t, item->routed && !w->fallback ? BINARY_negative : BINARY_miss);
	item->waiting = false;
	weigh(item, &c);
	if (--m->pending != 0)
		return;
	waits_add(p, w, SLICE(""));
	many_reply(m, &c, parked_reply(p));
	many_free(m);
	parked_done(p);
}

static void
item_left(struct store_waiter *w)
{
	struct many *m = container_of(w, struct many_item, waiter)->all;

	if (--m->pending == 0)
		many_free(m);
}

static void
many_leave(struct many *m)
{
	m->pending++; /* holds m until the loop is through */
	for (uint64_t i = 0; i < m->n; i++)
		if (m->items[i].waiting)
			store_leave(&m->items[i].waiter, item_left);
	if (--m->pending == 0)
		many_free(m);
}

static void
many_dropped(struct parked *p, void *arg)
{
	(void)p;
	many_leave(arg);
}

static void
ask(struct binary_call *b, struct many_item *item)
{
	struct told t = told_late(item);
	struct store_cursor cur;

	switch (store_get(b->c.store, item->key, &cur, &item->waiter)) {
	case STORE_HIT:
		tell_entry(&t, BINARY_hit, &cur, b->c.now_ms);
		store_close(&cur);
		break;
	case STORE_STALE:
		tell_entry(&t, BINARY_stale, &cur, b->c.now_ms);
		store_close(&cur);
		break;
	case STORE_MISS:
		tell_status(&t, item->waiter.negative ? BINARY_negative : BINARY_miss);
		break;
	case STORE_WAITING:
		item->waiting = true;
		item->all->pending++;
		break;
	case STORE_REFUSED:
		binary_put_error(t.out, "OVERLOAD", item->waiter.error);
		break;
	}
	weigh(item, &b->c);
}

/* With copies of all keys, since the answers come when the input is gone. */
static struct many *
many_new(struct binary_call *b)
{
	const struct binary_value *keys = &b->f->argv[0];
	struct binary_cursor c = binary_elements(b->f, keys);
	struct many *m = mem_zalloc(sizeof *m + keys->n * sizeof m->items[0]);
	struct binary_value v;
	size_t at = 0;

	if (m == NULL)
		return NULL;
	m->keys = mem_alloc((size_t)((const char *)b->f->end - keys->ptr));
	if (m->keys == NULL) {
		mem_free(m);
		return NULL;
	}
	m->sl = b->c.sl;
	m->meta = binary_given(&b->o, BINARY_OPTION_meta);
	m->n = keys->n;
	for (uint64_t i = 0; i < m->n; i++) {
		struct many_item *item = &m->items[i];

		binary_next(&c, &v);
		if (v.n != 0)
			memcpy(m->keys + at, v.ptr, v.n);
		item->key = slice_of(m->keys + at, v.n);
		at += v.n;
		item->all = m;
		item->routed = binary_is_routed(b, item->key);
		item->waiter.done = item_done;
		item->waiter.deadline_ms = binary_deadline(b);
		out_init(&item->bytes);
	}
	return m;
}

static void
ask_for_all(struct binary_call *b)
{
	struct many *m = many_new(b);

	if (m == NULL) {
		binary_put_failed(b, -ENOMEM);
		return;
	}
	for (uint64_t i = 0; i < m->n; i++)
		ask(b, &m->items[i]);
	if (m->pending == 0) {
		many_reply(m, &b->c, b->c.reply);
		many_free(m);
		return;
	}
	if (binary_too_many_wait(b))
		reply_error(b->c.reply, "OVERLOAD " BINARY_TOO_MANY_WAIT);
	else
		m->parked = call_park(&b->c, many_dropped, m);
	if (m->parked == NULL)
		many_leave(m);
}

static bool
any_routed(const struct binary_call *b)
{
	const struct binary_value *keys = &b->f->argv[0];
	struct binary_cursor c = binary_elements(b->f, keys);
	struct binary_value v;

	if (routes_config(store_loop_routes(b->c.store))->n_origins == 0)
		return false;
	for (uint64_t i = 0; i < keys->n; i++) {
		binary_next(&c, &v);
		if (binary_is_routed(b, binary_bytes(&v)))
			return true;
	}
	return false;
}

void
binary_op_get_many(struct binary_call *b)
{
	if (!binary_waits_not(b) && any_routed(b))
		ask_for_all(b);
	else
		look_at_all(b);
}
