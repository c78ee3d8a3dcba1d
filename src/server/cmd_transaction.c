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
transaction_new(struct session *s)
{
	struct transaction *tx = mem_zalloc(sizeof *tx);

	if (tx == NULL)
		return NULL;
	tx->last = &tx->first;
	s->tx = tx;
	return tx;
}

static struct transaction *
transaction_of(struct call *c)
{
	struct transaction *tx = c->session->tx;

	if (tx == NULL)
		tx = transaction_new(c->session);
	if (tx == NULL)
		call_put_failed(c, -ENOMEM);
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
static size_t
queued_bytes(const struct slice *argv, uint32_t argc)
{
	size_t bytes = sizeof(struct queued) + argc * sizeof(struct slice);

	for (uint32_t i = 0; i < argc; i++)
		bytes += argv[i].len;
	return bytes;
}

/* NULL: no memory. */
static struct queued *
queued_copy(struct session *s, const struct command *cmd, const struct slice *argv, uint32_t argc)
{
	size_t bytes = queued_bytes(argv, argc);
	struct queued *q = mem_alloc(bytes);
	char *at;

	if (q == NULL)
		return NULL;
	*q = (struct queued){ .cmd = cmd, .bytes = bytes, .argc = argc };
	at = (char *)&q->argv[argc];
	for (uint32_t i = 0; i < argc; i++) {
		q->argv[i] = slice_of(at, argv[i].len);
		if (argv[i].len != 0)
			memcpy(at, argv[i].ptr, argv[i].len);
		at += argv[i].len;
	}
	conn_charge(s->conn, (int64_t)bytes);
	return q;
}

static void
queue_push(struct transaction *tx, struct queued *q)
{
	*tx->last = q;
	tx->last = &q->next;
	tx->n++;
}

static struct queued *
queued_new(struct call *c)
{
	struct queued *q;

	if (!conn_may_charge(c->session->conn, queued_bytes(c->argv, c->argc))) {
		counter_inc(&c->sl->stats.oom_errors);
		reply_error(c->reply, "OOM command not allowed: transactions have queued all that "
		    "buffers_limit gives them");
		return NULL;
	}
	q = queued_copy(c->session, c->cmd, c->argv, c->argc);
	if (q == NULL)
		call_put_failed(c, -ENOMEM);
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
	queue_push(tx, q);
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

static struct watched *
watch_key(struct store_loop *store, struct transaction *tx, struct slice key)
{
	struct watched *w = mem_alloc(sizeof *w + key.len);

	if (w == NULL)
		return NULL;
	w->len = key.len;
	if (key.len != 0)
		memcpy(w->key, key.ptr, key.len);
	store_watch(store, key, &w->watch);
	w->next = tx->watched;
	tx->watched = w;
	tx->n_watched++;
	return w;
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
		if (watch_key(c->store, tx, c->argv[i]) == NULL) {
			call_put_failed(c, -ENOMEM);
			return;
		}
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

/* --- to another process ---------------------------------------------------------------- */

void
transaction_pack(const struct session *s, struct packer *p)
{
	const struct transaction *tx = s->tx;

	pack_u64(p, tx != NULL);
	if (tx == NULL)
		return;
	pack_u64(p, tx->open);
	pack_u64(p, tx->spoiled);
	pack_u64(p, tx->n);
	for (const struct queued *q = tx->first; q != NULL; q = q->next) {
		pack_u64(p, q->argc);
		for (uint32_t i = 0; i < q->argc; i++)
			pack_bytes(p, q->argv[i]);
	}
	pack_u64(p, tx->n_watched);
	for (const struct watched *w = tx->watched; w != NULL; w = w->next) {
		pack_bytes(p, watched_key(w));
		pack_u64(p, store_watch_touched(s->sl->store, watched_key(w), &w->watch));
	}
}

static MUST_CHECK int
unpack_queued(struct session *s, struct unpacker *u)
{
	uint64_t argc = unpack_count(u);
	const struct command *cmd = NULL;
	struct queued *q = NULL;
	struct slice *argv;
	int rc = -EINVAL;

	if (argc == 0 || argc > UINT32_MAX)
		return -EINVAL;
	argv = mem_calloc(argc, sizeof *argv);
	if (argv == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < argc; i++)
		argv[i] = unpack_bytes(u);
	if (!u->failed && command_find(argv, (uint32_t)argc, &cmd) == COMMAND_FOUND) {
		q = queued_copy(s, cmd, argv, (uint32_t)argc);
		rc = q != NULL ? 0 : -ENOMEM;
	}
	if (q != NULL)
		queue_push(s->tx, q);
	mem_free(argv);
	return rc;
}

static MUST_CHECK int
unpack_watched(struct session *s, struct unpacker *u)
{
	struct slice key = unpack_bytes(u);
	bool touched = unpack_u64(u) != 0;
	struct watched *w;

	if (u->failed)
		return -EINVAL;
	w = watch_key(s->sl->store, s->tx, key);
	if (w == NULL)
		return -ENOMEM;
	w->watch.touched = touched;
	return 0;
}

int
transaction_unpack(struct session *s, struct unpacker *u)
{
	struct transaction *tx;
	uint64_t n;
	int rc = 0;

	if (unpack_u64(u) == 0)
		return u->failed ? -EINVAL : 0;
	tx = transaction_new(s);
	if (tx == NULL)
		return -ENOMEM;
	tx->open = unpack_u64(u) != 0;
	tx->spoiled = unpack_u64(u) != 0;
	n = unpack_count(u);
	for (uint64_t i = 0; i < n && rc == 0; i++)
		rc = unpack_queued(s, u);
	n = rc == 0 ? unpack_count(u) : 0;
	for (uint64_t i = 0; i < n && rc == 0; i++)
		rc = unpack_watched(s, u);
	return u->failed ? -EINVAL : rc;
}
