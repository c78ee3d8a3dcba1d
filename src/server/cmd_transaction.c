/* MULTI, EXEC, DISCARD, WATCH, UNWATCH. Commands are queued as they came; EXEC
 * runs them all within one bracket of their keys (store_atomic_begin()), so
 * that nobody sees them half done, on whatever loop. */
#include "config.h"

#include "server/transaction.h"

#include <errno.h>

#include "base/mem.h"
#include "server/door.h"
#include "server/server.h"
#include "server/session.h"
#include "server/session_impl.h"

#define WATCHED_MAX 4096 /* of one session */

struct queued {
	struct queued *next;
	const struct command *cmd;
	size_t bytes;
	uint32_t argc;
	struct slice argv[]; /* and behind it their bytes */
};

struct watched {
	struct watched *next;
	struct cache_watch watch;
	size_t len;
	char key[];
};

struct transaction {
	bool open;    /* between MULTI and EXEC */
	bool spoiled; /* a command was refused: so will be EXEC */
	unsigned n;
	struct queued *first, **last;
	unsigned n_watched;
	struct watched *watched;
};

static struct transaction *
transaction_of(struct call *c)
{
	struct transaction *tx = c->session->tx;

	if (tx != NULL)
		return tx;
	tx = mem_zalloc(sizeof *tx);
	if (tx == NULL) {
		call_put_failed(c, -ENOMEM);
		return NULL;
	}
	tx->last = &tx->first;
	c->session->tx = tx;
	return tx;
}

static void
queue_clear(struct session *s)
{
	struct transaction *tx = s->tx;

	while (tx->first != NULL) {
		struct queued *q = tx->first;

		tx->first = q->next;
		conn_charge(s->conn, -(int64_t)q->bytes);
		mem_free(q);
	}
	tx->last = &tx->first;
	tx->n = 0;
	tx->open = tx->spoiled = false;
}

static void
watches_clear(struct session *s)
{
	struct transaction *tx = s->tx;

	while (tx->watched != NULL) {
		struct watched *w = tx->watched;

		tx->watched = w->next;
		store_unwatch(s->sl->store, &w->watch);
		mem_free(w);
	}
	tx->n_watched = 0;
}

void
transaction_drop(struct session *s)
{
	if (s->tx == NULL)
		return;
	queue_clear(s);
	watches_clear(s);
	mem_free(s->tx);
	s->tx = NULL;
}

void
transaction_spoil(struct session *s)
{
	if (s->tx != NULL && s->tx->open)
		s->tx->spoiled = true;
}

int
transaction_queued(const struct session *s)
{
	return s->tx != NULL && s->tx->open ? (int)s->tx->n : -1;
}

size_t
transaction_bytes(const struct session *s)
{
	size_t n = 0;

	for (const struct queued *q = s->tx != NULL ? s->tx->first : NULL; q != NULL; q = q->next)
		n += q->bytes;
	return n;
}

bool
transaction_writes(const struct session *s)
{
	const struct queued *q = s->tx != NULL ? s->tx->first : NULL;

	while (q != NULL && !(q->cmd->flags & CMD_WRITE) && q->cmd->id != CMD_ID_publish &&
	    q->cmd->id != CMD_ID_spublish)
		q = q->next;
	return q != NULL;
}

/* --- queueing ------------------------------------------------------------------ */

/* It counts among the clients' buffers, so that transactions cannot eat up the memory
 * limit. NULL: the error reply is written. */
static struct queued *
queued_new(struct call *c)
{
	size_t bytes = sizeof(struct queued) + c->argc * sizeof(struct slice);
	struct queued *q;
	char *at;

	for (uint32_t i = 0; i < c->argc; i++)
		bytes += c->argv[i].len;
	if (!conn_may_charge(c->session->conn, bytes)) {
		counter_inc(&c->sl->stats.oom_errors);
		reply_error(c->reply, "OOM command not allowed: transactions have queued all that "
		    "buffers_limit gives them");
		return NULL;
	}
	q = mem_alloc(bytes);
	if (q == NULL) {
		call_put_failed(c, -ENOMEM);
		return NULL;
	}
	*q = (struct queued){ .cmd = c->cmd, .bytes = bytes, .argc = c->argc };
	at = (char *)&q->argv[c->argc];
	for (uint32_t i = 0; i < c->argc; i++) {
		q->argv[i] = slice_of(at, c->argv[i].len);
		if (c->argv[i].len != 0)
			memcpy(at, c->argv[i].ptr, c->argv[i].len);
		at += c->argv[i].len;
	}
	conn_charge(c->session->conn, (int64_t)bytes);
	return q;
}

static bool
runs_at_once(const struct command *cmd)
{
	switch (cmd->id) {
	case CMD_ID_multi:
	case CMD_ID_exec:
	case CMD_ID_discard:
	case CMD_ID_watch:
	case CMD_ID_quit:
	case CMD_ID_reset:
		return true;
	default:
		return false;
	}
}

/* EXEC holds locks meanwhile: what asks other loops, changes the configuration or waits
 * cannot be part of it. */
static bool
may_be_queued(const struct command *cmd)
{
	switch (cmd->parent) {
	case CMD_ID_publish:
	case CMD_ID_spublish:
	case CMD_ID_pubsub:
	case CMD_ID_slowlog:
	case CMD_ID_latency:
		return true;
	default:
		return !(cmd->flags & (CMD_ADMIN | CMD_PUBSUB | CMD_BLOCKING | CMD_NO_MULTI));
	}
}

bool
transaction_take(struct call *c)
{
	struct transaction *tx = c->session->tx;
	struct queued *q;

	if (!tx->open || runs_at_once(c->cmd))
		return false;
	if (!may_be_queued(c->cmd)) {
		tx->spoiled = true;
		reply_error(c->reply, "ERR Command not allowed inside a transaction");
		return true;
	}
	q = queued_new(c);
	if (q == NULL) {
		tx->spoiled = true;
		return true;
	}
	*tx->last = q;
	tx->last = &q->next;
	tx->n++;
	reply_status(c->reply, "QUEUED");
	return true;
}

void
cmd_multi(struct call *c)
{
	struct transaction *tx = transaction_of(c);

	if (tx == NULL)
		return;
	if (tx->open) {
		reply_error(c->reply, "ERR MULTI calls can not be nested");
		return;
	}
	tx->open = true;
	reply_ok(c->reply);
}

void
cmd_discard(struct call *c)
{
	if (transaction_queued(c->session) < 0) {
		reply_error(c->reply, "ERR DISCARD without MULTI");
		return;
	}
	transaction_drop(c->session);
	reply_ok(c->reply);
}

/* --- watching --------------------------------------------------------------------- */

static bool
watch_key(struct call *c, struct transaction *tx, struct slice key)
{
	struct watched *w = mem_alloc(sizeof *w + key.len);

	if (w == NULL) {
		call_put_failed(c, -ENOMEM);
		return false;
	}
	w->len = key.len;
	if (key.len != 0)
		memcpy(w->key, key.ptr, key.len);
	store_watch(c->store, key, &w->watch);
	w->next = tx->watched;
	tx->watched = w;
	tx->n_watched++;
	return true;
}

void
cmd_watch(struct call *c)
{
	struct transaction *tx = transaction_of(c);

	if (tx == NULL)
		return;
	if (tx->open) {
		reply_error(c->reply, "ERR WATCH inside MULTI is not allowed");
		return;
	}
	if (c->argc - 1 > WATCHED_MAX - tx->n_watched) {
		reply_error(c->reply, "ERR at most %d keys can be watched", WATCHED_MAX);
		return;
	}
	for (uint32_t i = 1; i < c->argc; i++)
		if (!watch_key(c, tx, c->argv[i]))
			return;
	reply_ok(c->reply);
}

/* Inside EXEC it does nothing: EXEC ends all watches. */
void
cmd_unwatch(struct call *c)
{
	if (transaction_queued(c->session) < 0)
		transaction_drop(c->session);
	reply_ok(c->reply);
}

static struct slice
watched_key(const struct watched *w)
{
	return slice_of(w->key, w->len);
}

static bool
any_touched(struct call *c, const struct transaction *tx)
{
	for (const struct watched *w = tx->watched; w != NULL; w = w->next)
		if (store_watch_touched(c->store, watched_key(w), &w->watch))
			return true;
	return false;
}

/* --- EXEC ---------------------------------------------------------------------------- */

/* A command on keys that its row does not name may come to any. */
static void
add_keys(struct call *c, struct store_atomic *a, const struct queued *q)
{
	struct command_keys k = command_keys(q->cmd, q->argv, q->argc);

	if (k.first == 0 && ((q->cmd->flags & (CMD_WRITE | CMD_READONLY)) ||
	    q->cmd->id == CMD_ID_client_tracking)) /* which of prefixes hears of all */
		store_atomic_add_all(a);
	for (uint32_t i = 0; i < k.n; i++) {
		struct slice key = q->argv[k.first + i * k.step];

		store_atomic_add(a, key, store_hash(c->store, key));
	}
}

/* It was let in when it was queued; a reload may have changed the rules since. */
static void
run_if_admitted(struct call *c)
{
	if (unlikely(c->session->guarded) && !door_admits(c)) {
		counter_inc(&c->sl->stats.commands[c->cmd->id].rejected);
		session_count_error(c->sl, NULL, c->reply);
	} else {
		session_run(c);
	}
}

static void
run_queued(struct call *c, const struct transaction *tx)
{
	reply_array(c->reply, tx->n);
	for (const struct queued *q = tx->first; q != NULL; q = q->next) {
		struct call one = *c;

		one.cmd = q->cmd;
		one.argv = q->argv;
		one.argc = q->argc;
		one.hash = q->argc > 1 ? store_hash(c->store, q->argv[1]) : 0;
		c->reply->failed = false;
		run_if_admitted(&one);
	}
	c->reply->failed = false; /* each has counted its own */
}

static void
exec_bracket(struct call *c, const struct transaction *tx)
{
	struct store_atomic a;

	store_atomic_init(&a, c->store);
	for (const struct queued *q = tx->first; q != NULL; q = q->next)
		add_keys(c, &a, q);
	for (const struct watched *w = tx->watched; w != NULL; w = w->next)
		store_atomic_add(&a, watched_key(w), w->watch.hash);
	store_atomic_begin(&a);
	if (any_touched(c, tx))
		reply_nil_array(c->reply);
	else
		run_queued(c, tx);
	store_atomic_end(&a);
}

void
cmd_exec(struct call *c)
{
	struct transaction *tx = c->session->tx;

	if (tx == NULL || !tx->open) {
		reply_error(c->reply, "ERR EXEC without MULTI");
		return;
	}
	if (tx->spoiled)
		reply_error(c->reply,
		    "EXECABORT Transaction discarded because of previous errors.");
	else
		exec_bracket(c, tx);
	transaction_drop(c->session);
}

void
transaction_refuse_exec(struct call *c)
{
	transaction_drop(c->session);
	reply_error(c->reply, "EXECABORT Transaction discarded because of: "
	    "wrong number of arguments for '%s' command", c->cmd->name);
}
