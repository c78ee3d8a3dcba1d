/* Attempts: what is asked of a Redis server, and what its answers mean. A read is GET and
 * PTTL in one pipeline, so that the value's time to live is taken over from the server; a
 * write SET, with PX where there is a time; a removal UNLINK. */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config/redis_key.h"
#include "origin/redis_answer.h"
#include "origin/redis_impl.h"
#include "origin/redis_lease.h"

/* A deadline that strikes earlier says nothing about the server. */
#define SLOW_MS 50

/* --- ends of attempts ------------------------------------------------------------ */

static void
attempt_leave_node(struct attempt *a)
{
	struct redis_node *n = a->node;

	a->node = NULL;
	if (n != NULL && --n->users == 0 && n->gone)
		redis_node_free(n);
}

static void
attempt_forget_calls(struct attempt *a)
{
	redis_call_cancel(&a->asked[0]);
	redis_call_cancel(&a->asked[1]);
	redis_call_cancel(&a->first);
	redis_call_cancel(&a->ttl);
	blob_unref(a->body);
	a->body = NULL;
}

void
redis_attempt_free(struct attempt *a)
{
	attempt_forget_calls(a);
	attempt_leave_node(a);
	timer_stop(&a->timer);
	list_del(&a->link);
	list_del(&a->wait_link);
	a->t->busy--;
	mem_free(a);
}

static void
attempt_finish(struct attempt *a, struct attempt_answer *out)
{
	struct transport *t = a->t;
	attempt_done *done = a->done;
	void *arg = a->arg;
	struct blob *body = a->body;
	char error[sizeof a->error];

	out->result.moved = a->hops != 0;
	out->result.took_ms = MAX(loop_now_ms(t->opts.loop) - a->started_ms, 1);
	if (out->result.status != ORIGIN_OK || out->result.body == NULL)
		out->result.ttl_ms = ORIGIN_TTL_UNSAID;
	if (out->result.error == a->error) {
		memcpy(error, a->error, sizeof error);
		out->result.error = error;
	}
	a->body = NULL;
	redis_attempt_free(a);
	done(arg, out);
	blob_unref(body);
	t->opts.ended(t->opts.arg);
}

/* a->error says why; a->unreached whether it was sent at all. */
static void
attempt_fail(struct attempt *a, bool repeatable)
{
	struct attempt_answer out = { .fault = true, .repeatable = repeatable,
		.end = a->unreached ? ATTEMPT_UNREACHED : ATTEMPT_BROKEN,
		.result = { .status = ORIGIN_FAILED, .error = a->error } };

	attempt_finish(a, &out);
}

static void
on_late_failure(struct timer *tm)
{
	attempt_fail(container_of(tm, struct attempt, timer), true);
}

/* From within start(), too. */
void
redis_attempt_fail(struct attempt *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->error, sizeof a->error, fmt, ap);
	va_end(ap);
	a->unreached = true;
	timer_start(&a->timer, 0);
}

/* --- answers ----------------------------------------------------------------------- */

/* The server is not what it was taken for, or there is none: again, from the map. */
static void
attempt_reroute(struct attempt *a)
{
	struct transport *t = a->t;

	attempt_forget_calls(a);
	attempt_leave_node(a);
	a->forced = NULL;
	a->asking = false;
	list_del(&a->wait_link);
	list_push_tail(&t->waiting, &a->wait_link);
	redis_refresh(t);
}

/* MOVED and ASK. */
static void
attempt_redirect(struct attempt *a, const struct redis_reply *r, enum redis_turn turn)
{
	struct transport *t = a->t;
	struct redis_address to;
	struct redis_node *n = NULL;
	struct slice host;
	unsigned slot, port;
	int rc = redis_parse_redirect(r->head.text, &slot, &host, &port);

	if (rc == 0 && host.len == 0)
		host = slice_str(a->node->to.host);
	if (rc == 0)
		rc = redis_address_tcp(&to, host, port, t->seeds[0].tls);
	if (rc == 0 && ++a->hops <= REDIS_HOPS_MAX)
		n = redis_node_at(t, &to);
	if (n == NULL) {
		char said[120];

		redis_reply_text(r, said, sizeof said);
		snprintf(a->error, sizeof a->error, rc != 0 ? "%s: a redirection to nowhere: %s" :
		    a->hops > REDIS_HOPS_MAX ? "%s: redirected too often, the last: %s" :
		    "%s: no memory for %s", a->node->to.name, said);
		a->unreached = false;
		attempt_fail(a, true);
		return;
	}
	if (turn == REDIS_MOVED)
		redis_refresh(t);
	n->users++;
	attempt_forget_calls(a);
	attempt_leave_node(a);
	n->users--;
	a->forced = n;
	a->asking = turn == REDIS_ASK;
	redis_attempt_go(a);
}

static void
on_error_reply(struct attempt *a, const struct redis_reply *r)
{
	struct attempt_answer out = { .end = ATTEMPT_ANSWERED };
	enum redis_turn turn = redis_answer_of_error(r, a->node->to.name, a->error,
	    sizeof a->error, &out);

	if (turn == REDIS_LOST)
		redis_refresh(a->t);
	if ((turn == REDIS_MOVED || turn == REDIS_ASK) && a->t->ops == &redis_cluster)
		attempt_redirect(a, r, turn);
	else
		attempt_finish(a, &out);
}

/* It was on its way when the connection ended. What was not sent goes elsewhere, where
 * the map may know another server. */
static void
on_broken(struct attempt *a, const struct redis_call *call, const char *why)
{
	snprintf(a->error, sizeof a->error, "%s", why);
	a->unreached = !call->sent;
	attempt_forget_calls(a);
	if (a->unreached && a->t->ops->refresh != NULL && ++a->hops <= REDIS_HOPS_MAX)
		attempt_reroute(a);
	else
		attempt_fail(a, true);
}

static void
answer_value(struct attempt *a, int64_t ttl_ms)
{
	struct attempt_answer out = { .end = ATTEMPT_ANSWERED,
		.result = { .status = ORIGIN_OK, .body = a->body, .ttl_ms = ttl_ms } };

	counter_add(&a->t->opts.stats->bytes, (int64_t)blob_slice(a->body).len);
	attempt_finish(a, &out);
}

/* -1: it has none; -2: it was gone by then, so it is handed out and not kept. */
static void
on_ttl(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct attempt *a = container_of(call, struct attempt, ttl);

	if (r == NULL)
		on_broken(a, call, why);
	else if (redis_reply_is_error(r))
		on_error_reply(a, r);
	else if (r->head.type != RESP_INT)
		answer_value(a, 0);
	else
		answer_value(a, r->head.n == -1 ? ORIGIN_TTL_UNSAID : MAX(r->head.n, 0));
}

static void
answer_unusable(struct attempt *a, const struct redis_reply *r)
{
	struct attempt_answer out = { .end = ATTEMPT_ANSWERED,
		.result = { .status = ORIGIN_FAILED, .error = a->error } };
	char size[FORMAT_MAX];

	format_bytes(size, a->t->opts.cfg->max_body_bytes);
	if (r->failed == -EFBIG)
		snprintf(a->error, sizeof a->error, "body over %s", size);
	else if (r->failed == -ENOMEM)
		snprintf(a->error, sizeof a->error, "no memory");
	else
		snprintf(a->error, sizeof a->error, "%s answers what was not asked for",
		    a->node->to.name);
	attempt_finish(a, &out);
}

static void
on_first(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct attempt *a = container_of(call, struct attempt, first);
	enum origin_op op = a->rq != NULL ? a->rq->op : ORIGIN_WRITE;
	struct attempt_answer out = { .end = ATTEMPT_ANSWERED,
		.result = { .status = ORIGIN_DONE } };

	if (r == NULL) {
		on_broken(a, call, why);
	} else if (redis_reply_is_error(r)) {
		on_error_reply(a, r);
	} else if (op == ORIGIN_READ && r->body != NULL) {
		a->body = blob_ref(r->body);
	} else if (op == ORIGIN_READ && r->head.type != RESP_NIL) {
		answer_unusable(a, r);
	} else {
		if (op == ORIGIN_READ ||
		    (op >= ORIGIN_REMOVE && r->head.type == RESP_INT && r->head.n == 0) ||
		    (op >= ORIGIN_ACQUIRE && r->head.type == RESP_NIL))
			out.result.status = ORIGIN_NOT_FOUND;
		attempt_finish(a, &out);
	}
}

static void
on_asked(struct redis_call *call UNUSED, const struct redis_reply *r UNUSED,
    const char *why UNUSED)
{
	/* The call behind it ends in the same way. */
}

/* --- requests ------------------------------------------------------------------------ */

static int
send_asking(struct attempt *a, struct redis_conn *c, unsigned nth)
{
	static const struct slice asking = { "ASKING", 6 };

	a->asked[nth].done = on_asked;
	return a->asking ? redis_conn_call(c, &a->asked[nth], &asking, 1) : 0;
}

static int
send_read(struct attempt *a, struct redis_conn *c)
{
	struct slice key = slice_of(a->key, a->key_len);
	const struct slice get[] = { SLICE("GET"), key }, pttl[] = { SLICE("PTTL"), key };
	int rc = send_asking(a, c, 0);

	a->first.want_body = true;
	if (rc == 0)
		rc = redis_conn_call(c, &a->first, get, 2);
	if (rc == 0)
		rc = send_asking(a, c, 1);
	return rc == 0 ? redis_conn_call(c, &a->ttl, pttl, 2) : rc;
}

static int
send_change(struct attempt *a, struct redis_conn *c)
{
	struct slice key = slice_of(a->key, a->key_len);
	char ms[24];
	struct slice set[] = { SLICE("SET"), key, a->rq->value, SLICE("PX"), slice_of(ms, 0) };
	const struct slice unlink[] = { SLICE("UNLINK"), key };
	int rc = send_asking(a, c, 0);

	if (rc != 0)
		return rc;
	if (a->rq->op == ORIGIN_REMOVE)
		return redis_conn_call(c, &a->first, unlink, 2);
	set[4].len = format_i64(ms, a->rq->ttl_ms);
	return redis_conn_call(c, &a->first, set, a->rq->ttl_ms > 0 ? 5 : 3);
}

static int
send_lease(struct attempt *a, struct redis_conn *c)
{
	bool cluster = a->t->ops == &redis_cluster;
	struct slice key = slice_of(a->key, a->key_len);
	struct redis_lease_request rq;
	struct buf lease;
	int rc;

	buf_init(&lease);
	rc = redis_lease_name(key, cluster, &lease);
	redis_lease_request(a->rq, key, buf_slice(&lease), &rq);
	if (rc == 0)
		rc = send_asking(a, c, 0);
	if (rc == 0)
		rc = redis_conn_call(c, &a->first, rq.argv, rq.argc);
	buf_fini(&lease);
	return rc;
}

static int
attempt_send(struct attempt *a, struct redis_conn *c)
{
	static const struct slice ping = { "PING", 4 };
	int rc;

	a->first.done = on_first;
	a->first.want_body = false;
	a->ttl.done = on_ttl;
	if (a->rq == NULL)
		rc = redis_conn_call(c, &a->first, &ping, 1);
	else if (a->rq->op == ORIGIN_READ)
		rc = send_read(a, c);
	else if (a->rq->op >= ORIGIN_ACQUIRE)
		rc = send_lease(a, c);
	else
		rc = send_change(a, c);
	if (rc != 0)
		attempt_forget_calls(a);
	return rc;
}

/* Sends it to its server, or lets it wait, or has it fail later. */
void
redis_attempt_go(struct attempt *a)
{
	struct transport *t = a->t;
	struct redis_node *n = a->forced != NULL ? a->forced : t->ops->route(t, a);
	struct redis_conn *c = n != NULL ? redis_node_conn(n) : NULL;
	int rc;

	list_del(&a->wait_link);
	if (n == NULL && t->ops->refresh != NULL) {
		attempt_reroute(a);
		return;
	}
	if (n == NULL || c == NULL) {
		redis_attempt_fail(a, "%s", n != NULL ? n->error : "no server");
		if (n != NULL)
			redis_refresh(t);
		return;
	}
	n->users++;
	attempt_leave_node(a);
	a->node = n;
	rc = attempt_send(a, c);
	if (rc != 0)
		redis_attempt_fail(a, rc == -EINVAL ? "such a key can have no lease in a Cluster" :
		    "no memory");
}

/* --- for the transport -------------------------------------------------------------- */

struct attempt *
redis_attempt_new(struct transport *t, const struct origin_request *rq)
{
	struct slice before = SLICE(""), rest = SLICE("");
	struct attempt *a;

	if (rq != NULL)
		rest = redis_key_split(slice_str(t->opts.cfg->redis_key), rq->key,
		    strlen(rq->ns->prefix), &before);
	a = mem_zalloc(sizeof *a + before.len + rest.len);
	if (a == NULL)
		return NULL;
	a->t = t;
	a->rq = rq;
	a->started_ms = loop_now_ms(t->opts.loop);
	a->key_len = before.len + rest.len;
	if (before.len != 0)
		memcpy(a->key, before.ptr, before.len);
	if (rest.len != 0)
		memcpy(a->key + before.len, rest.ptr, rest.len);
	timer_init(&a->timer, t->opts.loop, on_late_failure);
	list_init(&a->wait_link);
	list_push_tail(&t->attempts, &a->link);
	t->busy++;
	return a;
}

void
redis_attempt_cancel(struct attempt *a)
{
	struct transport *t = a->t;

	/* A deadline struck, as a rule: the server may be one that was left. */
	if (a->node != NULL && a->first.conn != NULL &&
	    loop_now_ms(t->opts.loop) - a->started_ms >= SLOW_MS)
		redis_refresh(t);
	redis_attempt_free(a);
}

bool
redis_attempt_cut_off(const struct attempt *a, struct attempt_answer *out, char *text, size_t size)
{
	*out = (struct attempt_answer){ .result = { .ttl_ms = ORIGIN_TTL_UNSAID } };
	if (a->first.conn != NULL)
		redis_conn_doing(a->first.conn, text, size);
	else if (a->ttl.conn != NULL)
		redis_conn_doing(a->ttl.conn, text, size);
	else if (timer_armed(&a->timer))
		snprintf(text, size, "%s,", a->error);
	else
		snprintf(text, size, "%s%s", *a->t->why != '\0' ? a->t->why :
		    "it was not told which server has the key", *a->t->why != '\0' ? "," : "");
	return false;
}
