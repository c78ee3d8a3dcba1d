#include "config.h"

#include "server/read_wait.h"

#include <errno.h>

#include "base/mem.h"
#include "server/server.h"
#include "server/session.h"
#include "server/waits.h"

#define FOLLOW_MAX 512 /* of one connection; below what stalls it */

struct read_wait {
	struct store_waiter waiter;
	const struct read_form *form;
	struct parked *parked;
	char *key; /* a copy: the answer may be to ask again */
	size_t key_len;
};

static void
wait_free(struct read_wait *g)
{
	mem_free(g->key);
	mem_free(g);
}

static void
wait_left(struct store_waiter *w)
{
	wait_free(container_of(w, struct read_wait, waiter));
}

/* What a look answered; false: it waits. */
static bool
reply_look(struct reply *r, const struct read_form *form, enum store_answer answer,
    struct store_cursor *cur, const struct store_waiter *w)
{
	switch (answer) {
	case STORE_HIT:
	case STORE_STALE:
		form->value(r, cur, w, answer == STORE_STALE);
		store_close(cur);
		break;
	case STORE_MISS:
		form->none(r, w);
		break;
	case STORE_WAITING:
		return false;
	case STORE_REFUSED:
		reply_error(r, "OVERLOAD %s", w->error);
		break;
	}
	return true;
}

/* Somebody set the key that this one waited for: it is a hit now, unless it
 * went again meanwhile. */
static bool
ask_again(struct read_wait *g)
{
	struct session *s = parked_session(g->parked);
	struct store_cursor cur;
	enum store_answer answer =
	    store_get(s->sl->store, slice_of(g->key, g->key_len), &cur, &g->waiter);

	return reply_look(parked_reply(g->parked), g->form, answer, &cur, &g->waiter);
}

static void
reply_filled(struct reply *r, const struct read_wait *g)
{
	const struct store_waiter *w = &g->waiter;

	switch (w->status) {
	case FILL_VALUE:
		g->form->fetched(parked_session(g->parked)->sl, r, w->value);
		break;
	case FILL_NOT_FOUND:
	case FILL_AGAIN:
		g->form->none(r, w);
		break;
	case FILL_FAILED:
	case FILL_TIMEOUT:
		reply_error(r, "ORIGIN %s", w->error);
		break;
	}
}

static void
wait_done(struct store_waiter *w)
{
	struct read_wait *g = container_of(w, struct read_wait, waiter);
	struct parked *p = g->parked;

	waits_add(p, w, slice_of(g->key, g->key_len));
	if (w->status != FILL_AGAIN)
		reply_filled(parked_reply(p), g);
	else if (!ask_again(g))
		return;
	wait_free(g);
	parked_done(p);
}

static void
wait_dropped(struct parked *p, void *arg)
{
	struct read_wait *g = arg;

	(void)p;
	store_leave(&g->waiter, wait_left);
}

/* A read must not allocate unless it waits, and only the store knows whether
 * this one will: so each loop keeps one waiter ready. */
static struct read_wait *
spare_waiter(struct server_loop *sl)
{
	if (unlikely(sl->spare_wait == NULL)) {
		struct read_wait *g = mem_zalloc(sizeof *g);

		if (g != NULL)
			g->waiter.done = wait_done;
		sl->spare_wait = g;
	}
	return sl->spare_wait;
}

void
read_spare_free(struct server_loop *sl)
{
	mem_free(sl->spare_wait);
	sl->spare_wait = NULL;
}

static void
park(struct call *c, struct read_wait *g)
{
	struct slice key = c->argv[1];

	c->sl->spare_wait = NULL;
	g->key = mem_slicedup(key);
	g->key_len = key.len;
	if (g->key == NULL)
		call_put_failed(c, -ENOMEM);
	else
		g->parked = call_park(c, wait_dropped, g);
	if (g->parked == NULL)
		store_leave(&g->waiter, wait_left);
	else if (g->waiter.follows_own)
		parked_let_writes_pass(g->parked);
}

/* Whether it may wait for a lease of its own connection, which another caller has. */
static bool
follows_own(const struct call *c)
{
	const struct config_namespace *ns =
	    routes_find(store_loop_routes(c->store), c->argv[1]);

	return ns->lease_holder == LEASE_OF_REQUEST && c->session->n_parked < FOLLOW_MAX;
}

void
read_missed(struct call *c, struct store_cursor *cur, const struct read_opts *o)
{
	struct read_wait *g = spare_waiter(c->sl);

	if (g == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	g->form = o->form;
	g->waiter.holder = session_lease_holder(c->session);
	g->waiter.wants_token = o->wants_token;
	g->waiter.follows_own = follows_own(c);
	g->waiter.deadline_ms = o->deadline_ms;
	if (!reply_look(c->reply, g->form, store_get_missed(cur, &g->waiter), cur, &g->waiter))
		park(c, g);
}
