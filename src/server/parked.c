#include "config.h"

#include "server/parked.h"

#include <errno.h>

#include "base/mem.h"
#include "server/server.h"
#include "server/session_impl.h"

static void
parked_free(struct parked *p)
{
	out_fini(&p->own);
	out_fini(&p->behind);
	mem_free(p);
}

void
parked_leave(struct parked *p)
{
	struct session *s = p->session;

	list_del(&p->link);
	s->n_parked--;
	s->n_passed -= p->passed;
	s->n_ordered -= p->ordered;
	conn_release(s->conn);
	counter_add(&s->sl->parked, -1);
	if (!p->unheard)
		out_move(conn_out(s->conn), &p->own);
	out_move(conn_out(s->conn), &p->behind);
	parked_free(p);
}

static void
go_on(struct session *s)
{
	s->stalled = false;
	conn_resume(s->conn);
	conn_kick(s->conn);
}

void
session_unhold(struct session *s)
{
	if (!s->held)
		return;
	s->held = false;
	counter_add(&s->sl->parked, -1);
	if (s->n_parked == 0 || s->wire == WIRE_BINARY)
		go_on(s);
}

/* Sends what is answered at the head of the queue. */
static void
session_release(struct session *s)
{
	while (!list_empty(&s->parked)) {
		struct parked *p = list_entry(s->parked.next, struct parked, link);

		if (!p->done)
			break;
		parked_leave(p);
	}
	conn_flush(s->conn);
	if (s->stalled && s->n_parked == 0)
		go_on(s);
	session_finish_if_due(s);
}

struct parked *
call_park(struct call *c, void (*on_drop)(struct parked *p, void *arg), void *arg)
{
	struct session *s = c->session;
	struct parked *p;

	/* What must wait cannot be part of a transaction. */
	if (store_is_atomic(c->store)) {
		reply_error(c->reply, "ERR Command not allowed inside a transaction");
		return NULL;
	}
	p = mem_zalloc(sizeof *p);
	if (p == NULL) {
		call_put_failed(c, -ENOMEM);
		return NULL;
	}
	p->session = s;
	p->cmd = c->cmd;
	p->on_drop = on_drop;
	p->arg = arg;
	out_init(&p->own);
	out_init(&p->behind);
	p->unheard = c->reply->out == &s->sl->unheard;
	p->reply = (struct reply){ .out = &p->own, .wire = c->reply->wire, .id = c->reply->id };
	list_push_tail(&s->parked, &p->link);
	s->n_parked++;
	conn_hold(s->conn);
	counter_inc(&s->sl->parked);
	return p;
}

struct reply *
parked_reply(struct parked *p)
{
	return &p->reply;
}

void
parked_let_writes_pass(struct parked *p)
{
	p->passed = true;
	p->session->n_passed++;
}

void
parked_keeps_order(struct parked *p)
{
	p->ordered = true;
	p->session->n_ordered++;
}

struct session *
parked_session(struct parked *p)
{
	return p->session;
}

void
parked_done(struct parked *p)
{
	p->done = true;
	p->session->last_ms = loop_now_ms(p->session->sl->loop);
	if (p->reply.failed)
		session_count_error(p->session->sl, p->cmd, &p->reply);
	if (p->session->wire == WIRE_BINARY)
		binary_parked_done(p);
	else
		session_release(p->session);
}

void
parked_drop_all(struct session *s)
{
	struct list *it;

	while ((it = list_pop_head(&s->parked)) != NULL) {
		struct parked *p = list_entry(it, struct parked, link);

		counter_add(&s->sl->parked, -1);
		if (!p->done)
			p->on_drop(p, p->arg);
		parked_free(p);
	}
	s->n_parked = s->n_passed = s->n_ordered = 0;
}
