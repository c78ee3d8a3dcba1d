#include "config.h"

#include "net/conn_impl.h"

#include <errno.h>

#include "base/mem.h"

/* The connection that holds most goes first: it is the likely cause, and one
 * end frees most. False: there is none that may go. */
static bool
shed_largest(struct conn_pool *p)
{
	struct conn *most = NULL;

	list_foreach(it, &p->conns) {
		struct conn *c = list_entry(it, struct conn, link);

		if (!c->sheltered && c->held > (most != NULL ? most->held : 0))
			most = c;
	}
	if (most != NULL)
		conn_end(most, most->in.cap > out_mem_bytes(&most->out) ? CONN_INPUT_LIMIT
		    : CONN_OUTPUT_LIMIT);
	return most != NULL;
}

static uint64_t
beside(const struct conn_pool *p)
{
	return p->limits.beside == NULL ? 0 :
	    atomic_load_explicit(p->limits.beside, memory_order_relaxed) / p->limits.beside_shares;
}

static bool
over_total(const struct conn_pool *p)
{
	return p->limits.total_bytes != 0 &&
	    conn_pool_bytes(p) + beside(p) > p->limits.total_bytes;
}

void
pool_shed(struct conn_pool *p)
{
	while (unlikely(over_total(p)) && shed_largest(p))
		;
}

static void
free_dead(struct conn_pool *p)
{
	struct list *node;

	while ((node = list_pop_head(&p->dead)) != NULL) {
		struct conn *c = list_entry(node, struct conn, link);

		out_fini(&c->out); /* somebody may have written to it since */
		mem_free(c);
	}
}

static void
pool_destroy(struct conn_pool *p)
{
	free_dead(p);
	out_fini(&p->scratch);
	mem_free(p);
}

static void
turn_end(struct loop *l UNUSED, struct loop_task *t)
{
	struct conn_pool *p = container_of(t, struct conn_pool, turn_end);
	struct list marked, *node;

	conn_serve_ahead(p);
	p->turn_end_set = false;
	list_init(&marked);
	list_splice_tail(&marked, &p->marked);
	while ((node = list_pop_head(&marked)) != NULL) {
		struct conn *c = list_entry(node, struct conn, work);

		if (c->kick) {
			c->kick = false;
			conn_feed_kept(c);
		}
		conn_settle(c);
	}
	pool_shed(p);
	if (!p->turn_end_set)
		free_dead(p);
	if (p->freed && !p->turn_end_set)
		pool_destroy(p);
}

void
pool_turn_end_set(struct conn_pool *p)
{
	if (p->turn_end_set)
		return;
	p->turn_end_set = true;
	loop_defer(p->loop, &p->turn_end);
}

void
pool_account(struct conn *c)
{
	size_t held = c->in.cap + out_mem_bytes(&c->out) + c->charged;

	if (likely(held == c->held))
		return;
	counter_add(&c->pool->bytes, (int64_t)held - (int64_t)c->held);
	c->held = held;
	if (unlikely(over_total(c->pool)))
		pool_turn_end_set(c->pool);
}

/* --- conn.h ----------------------------------------------------------------------- */

static void
on_gone(void *arg)
{
	struct conn *c = arg;

	if (!c->ended)
		conn_end(c, CONN_EOF);
}

int
conn_pool_new(struct loop *l, const struct conn_limits *limits, struct conn_pool **out)
{
	struct conn_pool *p = mem_zalloc(sizeof *p);
	int rc;

	if (p == NULL)
		return -ENOMEM;
	rc = hangup_init(&p->hangup, l, on_gone);
	if (rc != 0) {
		mem_free(p);
		return rc;
	}
	p->loop = l;
	p->limits = *limits;
	list_init(&p->conns);
	list_init(&p->marked);
	list_init(&p->over_soft);
	list_init(&p->dead);
	p->turn_end.run = turn_end;
	timer_init(&p->soft_timer, l, conn_soft_timer_fire);
	out_init(&p->scratch);
	*out = p;
	return 0;
}

void
conn_pool_free(struct conn_pool *p)
{
	if (p == NULL)
		return;
	conn_pool_close(p);
	timer_stop(&p->soft_timer);
	hangup_fini(&p->hangup);
	/* A task that is deferred cannot be taken back. */
	p->freed = true;
	if (!p->turn_end_set)
		pool_destroy(p);
}

size_t
conn_pool_bytes(const struct conn_pool *p)
{
	return (size_t)counter_get(&p->bytes);
}

const struct conn_limits *
conn_pool_limits(const struct conn_pool *p)
{
	return &p->limits;
}

void
conn_pool_set_limits(struct conn_pool *p, const struct conn_limits *limits)
{
	p->limits = *limits;
	conn_soft_timer_set(p);
	list_foreach(it, &p->conns)
		conn_mark(list_entry(it, struct conn, link));
}

unsigned
conn_pool_count(const struct conn_pool *p)
{
	return (unsigned)counter_get(&p->count);
}

struct list *
conn_pool_list(struct conn_pool *p)
{
	return &p->conns;
}

struct conn *
conn_of_link(struct list *link)
{
	return list_entry(link, struct conn, link);
}

uint64_t
conn_pool_bytes_in(const struct conn_pool *p)
{
	return (uint64_t)counter_get(&p->bytes_in);
}

uint64_t
conn_pool_bytes_out(const struct conn_pool *p)
{
	return (uint64_t)counter_get(&p->bytes_out);
}
