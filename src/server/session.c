/* session.c - requests in, handlers called, replies out in order: RESP, and what
 * sessions of either protocol share. binary_session.c has the other one.
 *
 * A request whose answer must wait (call_park) leaves a struct parked in the
 * session's queue. What overtakes it, requests that only read, runs on and
 * writes behind it; everything else stalls the session: its bytes stay in the
 * connection's input until all that is owed is answered. So order on the wire
 * is the order of requests, while the misses of a pipeline wait for the
 * origin side by side. */
#include "config.h"

#include "server/session.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/binary.h"
#include "server/door.h"
#include "server/help.h"
#include "server/monitor.h"
#include "server/pause.h"
#include "server/routed.h"
#include "server/server.h"
#include "server/session_impl.h"
#include "server/tracking.h"
#include "server/transaction.h"
#include "store/hot.h"

#define PARKED_MAX 1024

/* --- one request ------------------------------------------------------------- */

/* Redis's words, with its bound of 128 bytes on the arguments shown. */
static void
reply_unknown(struct call *c)
{
	char args[160];
	size_t n = 0;

	for (uint32_t i = 1; i < c->argc && n < 128; i++) {
		int room = (int)(128 - n);
		int len = (int)MIN(c->argv[i].len, (size_t)room);

		n += (size_t)snprintf(args + n, sizeof args - n, "'%.*s' ", len, c->argv[i].ptr);
	}
	args[n] = '\0';
	reply_error(c->reply, "ERR unknown command '%.*s', with args beginning with: %s",
	    (int)MIN(c->argv[0].len, 128), c->argv[0].ptr, args);
}

static void
reply_unknown_subcommand(struct call *c)
{
	char container[CONTAINER_NAME_MAX];

	container_name(container, c->cmd);
	reply_error(c->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
	    (int)MIN(c->argv[1].len, 128), c->argv[1].ptr, container);
}

void
session_count_error(struct server_loop *sl, const struct command *cmd, const struct reply *r)
{
	counter_inc(&sl->stats.error_replies);
	stats_error(&sl->stats, r->code);
	if (cmd != NULL)
		counter_inc(&sl->stats.commands[cmd->id].failed);
}

/* Commands that EXEC ran within count as part of it. */
static NOINLINE void
run_timed(struct call *c, const struct command *cmd)
{
	struct timing *t = &c->sl->timing;
	unsigned before = store_hot_sample(c->store, timing_read_weight(t, cmd));
	int64_t timed_us = t->timed_us, begun_ns = clock_mono_ns();

	command_handlers[cmd->id](c);
	store_hot_sample(c->store, before);
	t->timed_us = timed_us;
	timing_add(c, cmd, clock_mono_ns() - begun_ns);
}

static inline void
run_found(struct session *s, struct call *c, const struct command *cmd)
{
	struct server_loop *sl = s->sl;

	s->last_cmd = cmd;
	counter_inc(&sl->stats.commands[cmd->id].calls);
	if (likely(timing_passes(&sl->timing, cmd)))
		command_handlers[cmd->id](c);
	else
		run_timed(c, cmd);
	if (unlikely(c->reply->failed))
		session_count_error(sl, cmd, c->reply);
}

/* The session tracks what it reads. */
static NOINLINE void
run_tracked(struct session *s, struct call *c)
{
	if (tracking_before(c))
		run_found(s, c, c->cmd);
	else
		session_count_error(s->sl, c->cmd, c->reply);
	tracking_after(c);
}

/* Some keys are written at their origins too. */
static NOINLINE bool
run_routed(struct session *s, struct call *c)
{
	if (!routed_command(c))
		return false;
	s->last_cmd = c->cmd;
	counter_inc(&s->sl->stats.commands[c->cmd->id].calls);
	if (c->reply->failed)
		session_count_error(s->sl, c->cmd, c->reply);
	return true;
}

static void
run_unwatched(struct session *s, struct call *c)
{
	if (s->policy->routes_writes && run_routed(s, c))
		return;
	if (tracking_is_on(s))
		run_tracked(s, c);
	else
		run_found(s, c, c->cmd);
}

static void
run_any(struct session *s, struct call *c)
{
	if (unlikely(monitor_is_on(&s->sl->watchers)))
		monitor_run(s, c, run_unwatched);
	else
		run_unwatched(s, c);
}

void
session_run(struct call *c)
{
	int64_t timed_us = c->sl->timing.timed_us;
	uint64_t begun = clock_ticks();

	run_any(c->session, c);
	if (timing_is_suspect(&c->sl->timing, begun))
		timing_suspect_call(c, clock_ticks() - begun,
		    c->sl->timing.timed_us - timed_us);
}

static void
refuse_call(struct call *c, enum command_lookup found)
{
	switch (found) {
	case COMMAND_WRONG_ARITY:
		counter_inc(&c->sl->stats.commands[c->cmd->id].rejected);
		if (c->cmd->id == CMD_ID_exec)
			transaction_refuse_exec(c);
		else
			call_wrong_args(c);
		break;
	case COMMAND_UNKNOWN_SUBCOMMAND:
		reply_unknown_subcommand(c);
		break;
	default:
		reply_unknown(c);
		break;
	}
	session_count_error(c->sl, NULL, c->reply);
	transaction_spoil(c->session);
	if (tracking_is_on(c->session))
		tracking_refused(c->session, found == COMMAND_UNKNOWN ? NULL : c->cmd);
}

/* The session has queued or watches something. */
static NOINLINE void
run_in_transaction(struct session *s, struct call *c)
{
	if (!transaction_take(c))
		run_any(s, c);
	else if (c->reply->failed)
		session_count_error(s->sl, c->cmd, c->reply);
}

static void
count_refused(struct call *c)
{
	counter_inc(&c->sl->stats.commands[c->cmd->id].rejected);
	session_count_error(c->sl, NULL, c->reply);
	transaction_spoil(c->session);
	if (tracking_is_on(c->session))
		tracking_refused(c->session, c->cmd);
}

/* --- requests that something is to be looked at for -------------------------------- */

void
session_hold(struct session *s, const struct command *cmd)
{
	s->last_cmd = cmd;
	if (s->held)
		return;
	s->held = true;
	counter_inc(&s->sl->parked);
}

/* False: it must wait. */
static bool
serve_watched(struct session *s, struct call *c, enum command_lookup found)
{
	if (found != COMMAND_FOUND) {
		refuse_call(c, found);
	} else if (!door_admits(c)) {
		count_refused(c);
	} else if (pause_holds(c)) {
		session_hold(s, c->cmd);
		return false;
	} else {
		store_loop_set_no_touch(s->sl->store,
		    s->no_touch && c->cmd->id != CMD_ID_touch);
		if (s->tx != NULL)
			run_in_transaction(s, c);
		else
			run_any(s, c);
		store_loop_set_no_touch(s->sl->store, false);
	}
	return true;
}

/* Its reply goes nowhere, unless it is one by which they are heard again. */
static bool
serve_unheard(struct session *s, struct call *c, enum command_lookup found)
{
	struct out *heard = c->reply->out, *unheard = &s->sl->unheard;
	enum reply_mode before = s->replies;
	bool served;

	c->reply->out = unheard;
	if (before == REPLY_SKIP_NEXT)
		s->replies = REPLY_SKIP;
	served = serve_watched(s, c, found);
	c->reply->out = heard;
	if (!served)
		s->replies = before;
	else if (s->replies == REPLY_ON)
		out_move(heard, unheard);
	else if (s->replies == REPLY_SKIP)
		s->replies = REPLY_ON;
	out_fini(unheard);
	door_update(s);
	return served;
}

static NOINLINE bool
serve_guarded(struct session *s, struct call *c, enum command_lookup found)
{
	if (s->replies != REPLY_ON)
		return serve_unheard(s, c, found);
	return serve_watched(s, c, found);
}

struct out *
session_out(struct session *s)
{
	if (likely(list_empty(&s->parked)))
		return conn_out(s->conn);
	return &list_entry(s->parked.prev, struct parked, link)->behind;
}

/* What the caller sends that holds a lease which others wait for over the same
 * connection: a write, or a transaction with one. */
static bool
passes(const struct session *s, const struct command *cmd)
{
	switch (cmd->id) {
	case CMD_ID_multi:
	case CMD_ID_exec:
	case CMD_ID_discard:
		return true;
	case CMD_ID_quit:
	case CMD_ID_reset:
		return false;
	default:
		return (cmd->flags & CMD_WRITE) || transaction_queued(s) >= 0;
	}
}

static bool
must_wait(const struct session *s, const struct command *cmd, enum command_lookup found)
{
	if (found != COMMAND_FOUND || s->n_ordered != 0)
		return true;
	if (cmd->flags & CMD_OVERTAKES)
		return s->n_parked >= PARKED_MAX;
	return s->n_passed != s->n_parked || !passes(s, cmd);
}

/* c is the session's, with one request after the other in it. False: this one
 * must wait until all that is owed is answered. */
static ALWAYS_INLINE bool
session_serve(struct session *s, struct call *c, const struct request *req, uint64_t hash)
{
	struct reply *reply = c->reply;
	enum command_lookup found =
	    command_find_again(&s->sl->memo, req->argv, req->argc, &c->cmd);

	if (unlikely(s->n_parked != 0)) {
		if (must_wait(s, c->cmd, found))
			return false;
		reply->out = session_out(s);
	}
	c->argv = req->argv;
	c->argc = req->argc;
	c->hash = hash;
	reply->wire = s->wire;
	reply->failed = false;
	if (unlikely(s->guarded))
		return serve_guarded(s, c, found);
	if (unlikely(found != COMMAND_FOUND))
		refuse_call(c, found);
	else if (likely(s->tx == NULL))
		run_found(s, c, c->cmd);
	else
		run_in_transaction(s, c);
	return true;
}

/* --- batches ------------------------------------------------------------------- */

/* Each key is hashed once. The cache misses of a pipeline's keys overlap, instead
 * of following one another: first all buckets, then all entries, then all
 * neighbours in the LRU list. A single request gains nothing from that. */
static void
hash_keys(const struct cache *cache, const struct batch *b, uint64_t hashes[BATCH_MAX])
{
	const void *buckets[BATCH_MAX];
	unsigned n = b->n, near = 0;

	if (n == 1) {
		hashes[0] = b->req[0].argc > 1 ? cache_hash(cache, b->req[0].argv[1]) : 0;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		hashes[i] = b->req[i].argc > 1 ?
		    cache_hash_near(cache, b->req[i].argv[1], &buckets[near++]) : 0;
	cache_prefetch_entries(cache, buckets, near);
}

/* Serves the batch; answers how many bytes of input its served requests had. */
static size_t
serve_batch(struct session *s, const struct batch *b)
{
	int64_t timed_us = s->sl->timing.timed_us;
	uint64_t hashes[BATCH_MAX], begun = clock_ticks();
	struct reply reply;
	struct call c;
	size_t look = OUT_LOOK_BYTES;
	unsigned i;

	reply.out = session_out(s);
	session_call_init(&c, s, &reply);
	hash_keys(store_cache(s->sl->server->store), b, hashes);
	for (i = 0; i < b->n && !s->closing; i++) {
		/* Who does not read gets no further replies for now; the rest of
		 * the input comes again when there is room. */
		if (unlikely(out_len(reply.out) > look)) {
			if (conn_out_full(s->conn))
				break;
			look = out_len(reply.out) + OUT_LOOK_BYTES;
		}
		if (!session_serve(s, &c, &b->req[i], hashes[i])) {
			s->stalled = true;
			break;
		}
	}
	s->cut = i < b->n || s->closing;
	s->pipelines = b->n > 1;
	if (timing_is_suspect(&s->sl->timing, begun))
		timing_suspect(&c, b->req, i, clock_ticks() - begun,
		    s->sl->timing.timed_us - timed_us);
	counter_add(&s->sl->stats.commands_processed, i);
	return i == 0 ? 0 : b->req[i - 1].wire_len;
}

/* A batch of one, without the batch. Answers like serve_batch(). */
static size_t
serve_single(struct session *s, const struct request *req, uint64_t hash)
{
	int64_t timed_us = s->sl->timing.timed_us;
	uint64_t begun = clock_ticks();
	struct reply reply;
	struct call c;

	reply.out = session_out(s);
	session_call_init(&c, s, &reply);
	if (unlikely(!session_serve(s, &c, req, hash))) {
		s->stalled = true;
		return 0;
	}
	if (timing_is_suspect(&s->sl->timing, begun))
		timing_suspect(&c, req, 1, clock_ticks() - begun,
		    s->sl->timing.timed_us - timed_us);
	counter_inc(&s->sl->stats.commands_processed);
	return req->wire_len;
}

static void
parser_restart(struct session *s)
{
	resp_parser_reset(&s->parser);
}

static void
session_fail(struct session *s, const char *error)
{
	struct reply reply = { .out = session_out(s), .wire = s->wire };

	counter_inc(&s->sl->stats.protocol_errors);
	reply_error(&reply, "ERR %s", error);
	session_count_error(s->sl, NULL, &reply);
	s->closing = true;
}

void
session_finish_if_due(struct session *s)
{
	if (!s->closing || s->n_parked != 0)
		return;
	if (s->broken != NULL)
		binary_write_last(conn_out(s->conn), s->broken);
	s->broken = NULL;
	conn_finish(s->conn);
}

/* Until AUTH has come, small requests, and one at a time: it decides how the rest is
 * read. */
static NOINLINE enum parse_status
parse_stranger(struct session *s, const char *data, size_t n, size_t *used)
{
	struct batch *b = &s->sl->batch;
	enum parse_status status;

	s->parser.limits = &s->sl->stranger_limits;
	status = resp_parse(&s->parser, data, n, b, used);
	s->parser.limits = &s->sl->limits;
	if (b->n == 0)
		return status;
	parser_restart(s);
	b->n = 1;
	*used = b->req[0].wire_len;
	return PARSE_DONE;
}

static inline enum parse_status
parse(struct session *s, const char *data, size_t n, size_t *used)
{
	if (unlikely(s->stranger))
		return parse_stranger(s, data, n, used);
	return resp_parse(&s->parser, data, n, &s->sl->batch, used);
}

static uint64_t
hash_of(const struct server_loop *sl, const struct request *req)
{
	return likely(req->argc > 1) ? cache_hash(store_cache(sl->server->store), req->argv[1]) : 0;
}

/* Whether it is worth a look if the input is one request. */
static inline bool
takes_single(const struct session *s)
{
	return !s->pipelines && s->parser.stage == RESP_FRESH && !s->stalled && !s->closing &&
	    !s->stranger;
}

static inline size_t
end_of_input(struct session *s, size_t done, size_t n)
{
	if (unlikely(s->sl->tracking_due))
		tracking_settle(s->sl);
	if (unlikely(s->stalled))
		conn_pause(s->conn);
	if (unlikely(s->closing))
		session_finish_if_due(s);
	return s->closing ? n : done;
}

static void
on_ahead(struct conn *conn, unsigned slot, const char *data, size_t n)
{
	struct session *s = conn_data(conn);
	struct near_request *near = &s->sl->near[slot];

	s->near = NULL;
	if (!takes_single(s) || !resp_take_single(s->parser.limits, data, n, &near->one) ||
	    near->one.req.argc < 2)
		return;
	near->data = data;
	near->n = n;
	near->hash = cache_hash_near(store_cache(s->sl->server->store), near->one.args[1],
	    &near->bucket);
	s->near = near;
}

static void
on_near(struct conn *conn, unsigned slot UNUSED)
{
	struct session *s = conn_data(conn);

	if (s->near != NULL)
		cache_prefetch_entry(store_cache(s->sl->server->store), s->near->bucket);
}

static size_t
on_input(struct conn *conn, const char *data, size_t n, size_t *need)
{
	struct session *s = conn_data(conn);
	struct server_loop *sl = s->sl;
	size_t done = 0, used, served;
	const struct near_request *near = s->near;
	struct resp_single one;
	enum parse_status status;

	s->last_ms = loop_now_ms(sl->loop);
	store_loop_set_now(sl->store, s->last_ms);
	*need = 0;
	s->near = NULL;
	if (near != NULL && near->data == data && near->n == n && takes_single(s))
		return end_of_input(s, serve_single(s, &near->one.req, near->hash), n);
	if (takes_single(s) && resp_take_single(s->parser.limits, data, n, &one))
		return end_of_input(s, serve_single(s, &one.req, hash_of(sl, &one.req)), n);
	s->cut = false;
	while (!s->stalled && !s->closing) {
		status = parse(s, data + done, n - done, &used);
		served = serve_batch(s, &sl->batch);
		if (s->cut) {
			/* The rest is parsed anew when it is its turn. */
			done += served;
			parser_restart(s);
			break;
		}
		done += used;
		if (status == PARSE_ERROR)
			session_fail(s, s->parser.error);
		else if (status == PARSE_NOMEM)
			session_fail(s, "out of memory");
		if (status == PARSE_MORE)
			*need = s->parser.need;
		if (status == PARSE_MORE || done == n)
			break;
	}
	return end_of_input(s, done, n);
}

/* --- messages, which are no replies ---------------------------------------------------- */

bool
session_may_push(struct session *s)
{
	if (s->closing)
		return false;
	if (!conn_out_over(s->conn))
		return true;
	counter_inc(&s->sl->stats.output_limit_closes);
	s->closing = true;
	conn_close_soon(s->conn);
	return false;
}

/* --- life ------------------------------------------------------------------------------- */

static void
session_free(struct session *s)
{
	if (s->held)
		counter_add(&s->sl->parked, -1);
	transaction_drop(s);
	monitor_end(s);
	tracking_part(s);
	resp_parser_fini(&s->parser);
	list_del(&s->link);
	mem_free(s->name);
	mem_free(s->lib_name);
	mem_free(s->lib_ver);
	mem_free(s);
}

void
session_gone(struct conn *conn, enum conn_end why)
{
	struct session *s = conn_data(conn);
	struct server_loop *sl = s->sl;

	if (why == CONN_OUTPUT_LIMIT)
		counter_inc(&sl->stats.output_limit_closes);
	else if (why == CONN_INPUT_LIMIT)
		counter_inc(&sl->stats.query_limit_closes);
	parked_drop_all(s);
	store_holder_gone(&s->holder);
	pubsub_client_gone(s);
	session_free(s);
	counter_add(&sl->clients, -1);
	server_client_gone(sl);
}

const struct conn_handler session_handler = {
	.on_input = on_input,
	.on_ahead = on_ahead,
	.on_near = on_near,
	.on_end = session_gone,
};

/* The first byte decides what is spoken here. */
static size_t
on_first_input(struct conn *conn, const char *data, size_t n, size_t *need)
{
	struct session *s = conn_data(conn);

	if ((unsigned char)data[0] == BINARY_MAGIC)
		binary_session_begin(s);
	else
		conn_set_handler(conn, &session_handler);
	return conn_handler(conn)->on_input(conn, data, n, need);
}

static const struct conn_handler first_handler = {
	.on_input = on_first_input,
	.on_end = session_gone,
};

struct session *
session_make(struct server_loop *sl, int fd, const char *listener_name, uint64_t id)
{
	struct session *s = mem_zalloc(sizeof *s);

	if (s == NULL) {
		close(fd);
		server_client_gone(sl);
		return NULL;
	}
	s->sl = sl;
	s->id = id != 0 ? id : atomic_fetch_add(&sl->server->next_session_id, 1);
	s->created_ms = s->last_ms = loop_now_ms(sl->loop);
	s->addr = listener_name;
	s->listener = server_listener(sl->server, listener_name);
	s->wire = WIRE_RESP2;
	store_holder_init(&s->holder);
	pubsub_client_init(&s->pubsub);
	s->policy = doors_policy(sl->doors, s->listener);
	door_update(s);
	list_init(&s->parked);
	list_init(&s->link);
	resp_parser_init(&s->parser, &sl->limits);
	if (conn_new(sl->pool, fd, &first_handler, s, &s->conn) != 0) {
		session_free(s);
		server_client_gone(sl);
		return NULL;
	}
	tracking_meet(s);
	list_push_tail(&sl->sessions, &s->link);
	counter_inc(&sl->clients);
	return s;
}

void
session_new(struct server_loop *sl, int fd, const char *listener_name)
{
	if (session_make(sl, fd, listener_name, 0) != NULL)
		counter_inc(&sl->stats.connections_received);
}

struct store_holder *
session_lease_holder(struct session *s)
{
	return s->policy->read_only ? NULL : &s->holder;
}

int64_t
session_active_ms(const struct session *s)
{
	return MAX(s->last_ms, conn_active_ms(s->conn));
}

void
session_drain(struct session *s)
{
	s->closing = true;
	session_finish_if_due(s);
}
