/* binary_session.c - sessions that speak the binary protocol (proto/PROTOCOL.md).
 *
 * Requests begin in the order in which they come, and nothing ever stalls: one
 * whose answer must wait leaves a struct parked behind, and what follows it is
 * served and answered at once. When its answer comes, it goes out as it is, by
 * its id. So there is no queue of replies as RESP needs it, only the list of who
 * waits, for CANCEL and for the end. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "server/binary_call.h"
#include "server/client_name.h"
#include "server/door.h"
#include "server/internal.h"
#include "server/monitor.h"
#include "server/pause.h"
#include "server/session_impl.h"
#include "server/tracking.h"
#include "server/version.h"
#include "store/hot.h"

/* Of max_frame, beside a value: its key, the rest of the frame. The connection's
 * own limit on input is a little higher. */
#define FRAME_SLACK (INPUT_SLACK - 1024)
#define STRANGER_FRAME (16 * 1024)

static const char *const features[] = { "auth", "grace", "lease" };

/* --- the table ------------------------------------------------------------------------- */

static const struct {
	binary_handler *run;
	enum command_id cmd;
} operations[BINARY_OPS] = {
#define BINARY_OP(id, number, name, command, ...) \
	[number] = { binary_op_##id, CMD_ID_##command },
#include "proto/binary.def"
#undef BINARY_OP
};

/* Those whose first argument is the key that they are about. */
static inline bool
has_key(const struct binary_frame *f)
{
	const uint32_t keyed = 1u << BINARY_OP_get | 1u << BINARY_OP_set | 1u << BINARY_OP_delete |
	    1u << BINARY_OP_touch | 1u << BINARY_OP_incr | 1u << BINARY_OP_peek |
	    1u << BINARY_OP_lease | 1u << BINARY_OP_release;

	return f->a < BINARY_OPS && (keyed >> f->a & 1) != 0 && f->argc > 0 &&
	    f->argv[0].kind == BINARY_BYTES;
}

/* --- as a command ---------------------------------------------------------------------- */

static uint32_t
argument_count(const struct binary_frame *f)
{
	if (has_key(f))
		return f->a == BINARY_OP_set ? 3 : 2;
	if (f->argc > 0 && f->argv[0].kind == BINARY_ARRAY)
		return (uint32_t)(1 + f->argv[0].n);
	return 1;
}

/* The request as RESP would have it, for who asks about commands and their keys.
 * Lies in the loop's batch, which RESP alone uses otherwise. False: no memory. */
static bool
as_command(struct call *c, const struct binary_frame *f)
{
	struct batch *b = &c->sl->batch;
	uint32_t n = argument_count(f);
	struct binary_cursor items;
	struct binary_value v;

	batch_reset(b);
	if (b->args_cap < n && batch_grow_args(b, n) != 0)
		return false;
	b->args[0] = slice_str(command_table[operations[f->a].cmd].name);
	if (has_key(f)) {
		for (uint32_t i = 1; i < n; i++)
			b->args[i] = binary_bytes(&f->argv[i - 1]);
	} else if (n > 1) {
		items = binary_elements(f, &f->argv[0]);
		for (uint32_t i = 1; i < n; i++) {
			binary_next(&items, &v);
			b->args[i] = binary_bytes(&v);
		}
	}
	c->argv = b->args;
	c->argc = n;
	return true;
}

/* --- one request ----------------------------------------------------------------------- */

static void
count_rejected(struct binary_call *b)
{
	if (b->c.cmd != NULL)
		counter_inc(&b->c.sl->stats.commands[b->c.cmd->id].rejected);
	session_count_error(b->c.sl, NULL, b->c.reply);
}

static bool
admits(struct binary_call *b)
{
	if (!as_command(&b->c, b->f)) {
		binary_put_failed(b, -ENOMEM);
		return false;
	}
	return door_admits(&b->c);
}

static NOINLINE void
run_timed(struct binary_call *b, binary_handler *run)
{
	struct timing *t = &b->c.sl->timing;
	unsigned before = store_hot_sample(b->c.store, timing_read_weight(t, b->c.cmd));
	int64_t timed_us = t->timed_us, begun_ns = clock_mono_ns(), spent_ns;

	run(b);
	store_hot_sample(b->c.store, before);
	spent_ns = clock_mono_ns() - begun_ns;
	t->timed_us = timed_us;
	if (as_command(&b->c, b->f))
		timing_add(&b->c, b->c.cmd, spent_ns);
}

static inline void
run(struct binary_call *b, binary_handler *handler)
{
	struct server_loop *sl = b->c.sl;

	assert(b->c.cmd != NULL);
	b->c.session->last_cmd = b->c.cmd;
	counter_inc(&sl->stats.commands[b->c.cmd->id].calls);
	if (likely(timing_passes(&sl->timing, b->c.cmd)))
		handler(b);
	else
		run_timed(b, handler);
	if (unlikely(b->c.reply->failed))
		session_count_error(sl, b->c.cmd, b->c.reply);
}

static void
count_routed(struct binary_call *b)
{
	struct server_loop *sl = b->c.sl;

	counter_inc(&sl->stats.commands[b->c.cmd->id].calls);
	if (b->c.reply->failed)
		session_count_error(sl, b->c.cmd, b->c.reply);
}

/* Anything but a plain GET. */
static NOINLINE void
serve_any(struct binary_call *b)
{
	struct binary_refusal why;

	b->c.reply->failed = false;
	b->c.cmd = b->f->a < BINARY_OPS && operations[b->f->a].run != NULL ?
	    &command_table[operations[b->f->a].cmd] : NULL;
	b->o.given = 0;
	if (unlikely(!(b->f->is_set && binary_set_fits(b->f, b->c.sl->limits.max_bulk)) &&
	        !binary_check(b->f, b->c.sl->limits.max_bulk, &b->o, &why))) {
		reply_error(b->c.reply, "%s %s", binary_error_code(why.code), why.text);
		count_rejected(b);
		return;
	}
	if (unlikely(b->c.session->guarded) && !admits(b)) {
		count_rejected(b);
		return;
	}
	if (unlikely(monitor_is_on(&b->c.sl->watchers)) && as_command(&b->c, b->f))
		monitor_feed(&b->c, b->c.cmd, false);
	if (unlikely(b->c.session->policy->routes_writes) && binary_routed(b)) {
		count_routed(b);
		return;
	}
	run(b, operations[b->f->a].run);
}

/* A plain GET whose value is not just there to be copied. The cursor is open after a
 * hit. */
static NOINLINE void
get_rest(struct binary_call *b, enum cache_result found, struct store_cursor *cur)
{
	b->c.cmd = &command_table[CMD_ID_get];
	b->c.reply->failed = false;
	b->o.given = 0;
	if (found == CACHE_MISS) {
		binary_get_missed(b, cur);
	} else {
		binary_get_large(b, cur);
		store_close(cur);
	}
	if (b->c.reply->failed)
		session_count_error(b->c.sl, b->c.cmd, b->c.reply);
}

/* The shortest way to a hit: no table is looked into. */
static ALWAYS_INLINE void
serve_get(struct binary_call *b)
{
	struct server_loop *sl = b->c.sl;
	struct store_cursor cur;
	enum cache_result found;

	if (unlikely(++sl->timing.untimed >= sl->timing.share)) {
		serve_any(b);
		return;
	}
	b->c.session->last_cmd = &command_table[CMD_ID_get];
	counter_inc(&sl->stats.commands[CMD_ID_get].calls);
	found = store_get_cached(b->c.store, binary_key(b), b->c.hash, &cur);
	if (unlikely(found == CACHE_MISS || cur.c.value.len >= REF_MIN_BYTES)) {
		get_rest(b, found, &cur);
		return;
	}
	binary_reply_value(binary_out(b), binary_id(b), BINARY_hit, cur.c.value);
	store_close(&cur);
}

static ALWAYS_INLINE void
serve(struct binary_call *b, const struct binary_frame *f, uint64_t hash)
{
	b->f = f;
	b->c.hash = hash;
	b->c.reply->id = f->b;
	if (likely(f->is_get) && likely(!b->c.session->guarded))
		serve_get(b);
	else
		serve_any(b);
}

/* --- batches --------------------------------------------------------------------------- */

/* As of RESP: what a pipeline's keys need comes near while others are hashed. */
static void
hash_keys(const struct cache *cache, const struct binary_batch *b, uint64_t hashes[BATCH_MAX])
{
	const void *buckets[BATCH_MAX];
	unsigned near = 0;

	if (b->n == 1) {
		hashes[0] = has_key(&b->req[0]) ?
		    cache_hash(cache, binary_bytes(&b->req[0].argv[0])) : 0;
		return;
	}
	for (unsigned i = 0; i < b->n; i++)
		hashes[i] = likely(b->req[i].is_get) || has_key(&b->req[i]) ?
		    cache_hash_near(cache, binary_bytes(&b->req[i].argv[0]), &buckets[near++]) :
		    0;
	cache_prefetch_entries(cache, buckets, near);
}

/* The batch took long; which of its requests it was is guessed from their form as
 * commands. */
static NOINLINE void
suspect(struct call *c, const struct binary_batch *b, unsigned n, uint64_t ticks,
    int64_t timed_us)
{
	struct request requests[BATCH_MAX];
	struct slice args[2 * BATCH_MAX];
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct binary_frame *f = &b->req[i];
		struct slice *argv = &args[(size_t)2 * found];

		if (!has_key(f))
			continue;
		argv[0] = slice_str(command_table[operations[f->a].cmd].name);
		argv[1] = binary_bytes(&f->argv[0]);
		requests[found++] = (struct request){ .argv = argv, .argc = 2 };
	}
	timing_suspect(c, requests, found, ticks, timed_us);
}

/* True: a pause is on, and the request waits, with all that comes behind it. */
static NOINLINE bool
holds(struct call *c, const struct binary_frame *f)
{
	if (f->a >= BINARY_OPS || operations[f->a].run == NULL)
		return false;
	c->cmd = &command_table[operations[f->a].cmd];
	if (!pause_holds(c))
		return false;
	session_hold(c->session, c->cmd);
	conn_pause(c->session->conn);
	return true;
}

/* Serves the batch; answers how many bytes of input its served requests had. */
static size_t
serve_batch(struct session *s, const struct binary_batch *batch)
{
	struct timing *t = &s->sl->timing;
	int64_t timed_us = t->timed_us;
	uint64_t hashes[BATCH_MAX], begun = clock_ticks();
	struct reply reply = { .out = conn_out(s->conn), .wire = WIRE_BINARY };
	struct binary_call b;
	size_t look = OUT_LOOK_BYTES;
	unsigned i;

	session_call_init(&b.c, s, &reply);
	hash_keys(store_cache(s->sl->server->store), batch, hashes);
	for (i = 0; i < batch->n && !s->closing; i++) {
		if (unlikely(out_len(reply.out) > look)) {
			if (conn_out_full(s->conn))
				break;
			look = out_len(reply.out) + OUT_LOOK_BYTES;
		}
		if (unlikely(s->guarded) && holds(&b.c, &batch->req[i]))
			break;
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): hash_keys() has set it */
		serve(&b, &batch->req[i], hashes[i]);
	}
	s->cut = i < batch->n || s->closing;
	s->pipelines = batch->n > 1;
	if (timing_is_suspect(t, begun))
		suspect(&b.c, batch, i, clock_ticks() - begun, t->timed_us - timed_us);
	counter_add(&s->sl->stats.commands_processed, i);
	return i == 0 ? 0 : batch->req[i - 1].wire_len;
}

/* --- input ----------------------------------------------------------------------------- */

static uint64_t
max_frame(const struct session *s)
{
	return s->stranger ? STRANGER_FRAME : s->sl->limits.max_bulk + FRAME_SLACK;
}

/* What is owed is answered first; then come the last words. */
static void
session_break(struct session *s, const char *why)
{
	struct reply r = { .code = "PROTOCOL" };

	counter_inc(&s->sl->stats.protocol_errors);
	session_count_error(s->sl, NULL, &r);
	s->broken = why;
	s->closing = true;
}

/* Until AUTH has come, one at a time: it decides how the rest is read. */
static NOINLINE enum parse_status
take_one(struct binary_batch *b, enum parse_status status, size_t *used)
{
	if (b->n == 0)
		return status;
	b->n = 1;
	*used = b->req[0].wire_len;
	return PARSE_DONE;
}

/* What ends each input. */
static inline size_t
end_of_input(struct session *s, size_t done, size_t n)
{
	if (unlikely(s->sl->tracking_due))
		tracking_settle(s->sl);
	if (unlikely(s->closing))
		session_finish_if_due(s);
	return s->closing ? n : done;
}

static NOINLINE size_t
serve_input(struct session *s, const char *data, size_t n, size_t *need)
{
	struct binary_batch *b = &s->sl->binary_batch;
	struct binary_parser ps = { .max_frame = max_frame(s) };
	size_t done = 0, used, served;
	enum parse_status status = PARSE_DONE;

	s->cut = false;
	while (status == PARSE_DONE && done < n && !s->closing) {
		status = binary_parse(&ps, data + done, n - done, b, &used);
		if (unlikely(s->stranger)) {
			status = take_one(b, status, &used);
			served = serve_batch(s, b);
			ps.max_frame = max_frame(s);
		} else {
			served = serve_batch(s, b);
		}
		if (unlikely(s->cut)) {
			done += served;
			break;
		}
		done += used;
	}
	if (unlikely(status == PARSE_ERROR && !s->cut))
		session_break(s, ps.error);
	else if (status == PARSE_MORE && !s->cut)
		*need = ps.need;
	return end_of_input(s, done, n);
}

/* Whether it is worth a look if the input is one GET. */
static inline bool
takes_single(const struct session *s)
{
	return !s->pipelines && !s->guarded && !s->closing;
}

/* One GET, without the batch. */
static size_t
serve_single(struct session *s, const struct binary_frame *f, uint64_t hash)
{
	struct reply reply = { .out = conn_out(s->conn), .wire = WIRE_BINARY };
	struct binary_call b;

	session_call_init(&b.c, s, &reply);
	serve(&b, f, hash);
	counter_inc(&s->sl->stats.commands_processed);
	return end_of_input(s, f->wire_len, f->wire_len);
}

/* Many connections are readable, each with a request: what their keys need comes
 * near while others are read. */
static void
on_ahead(struct conn *conn, unsigned slot, const char *data, size_t n)
{
	struct session *s = conn_data(conn);
	struct near_request *near = &s->sl->near[slot];
	struct binary_frame f;

	s->near = NULL;
	if (!takes_single(s) || !binary_take_get(data, n, &f))
		return;
	near->data = data;
	near->n = n;
	near->hash = cache_hash_near(store_cache(s->sl->server->store), binary_bytes(&f.argv[0]),
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
	const struct near_request *near = s->near;
	struct binary_frame f;
	uint64_t hash;

	s->last_ms = loop_now_ms(s->sl->loop);
	store_loop_set_now(s->sl->store, s->last_ms);
	*need = 0;
	s->near = NULL;
	if (!takes_single(s) || !binary_take_get(data, n, &f))
		return serve_input(s, data, n, need);
	hash = near != NULL && near->data == data && near->n == n ? near->hash :
	    cache_hash(store_cache(s->sl->server->store), binary_bytes(&f.argv[0]));
	return serve_single(s, &f, hash);
}

static const struct conn_handler binary_handlers = {
	.on_input = on_input,
	.on_ahead = on_ahead,
	.on_near = on_near,
	.on_end = session_gone,
};

/* --- the preface ----------------------------------------------------------------------- */

/* "libpannier-1.0" is its library and that one's version; other names are all of it. */
static int
take_name(struct session *s, struct slice client)
{
	const char *dash = NULL;

	for (size_t i = 0; i + 1 < client.len; i++)
		if (client.ptr[i] == '-')
			dash = client.ptr + i;
	if (dash == NULL)
		return client_name_set(&s->lib_name, client);
	if (client_name_set(&s->lib_ver,
	        slice_skip(client, (size_t)(dash + 1 - client.ptr))) != 0)
		return -ENOMEM;
	return client_name_set(&s->lib_name, slice_of(client.ptr, (size_t)(dash - client.ptr)));
}

static void
greet(struct session *s)
{
	const struct binary_offer offer = {
		.server = "pannier " PACKAGE_VERSION,
		.id = s->id,
		.max_frame = s->sl->limits.max_bulk + FRAME_SLACK,
		.max_value = s->sl->limits.max_bulk,
		.max_waiting = BINARY_WAITING_MAX,
		.auth = s->stranger,
		.features = features,
		.n_features = ARRAY_LEN(features),
	};

	binary_write_offer(conn_out(s->conn), &offer);
}

static size_t
on_preface(struct conn *conn, const char *data, size_t n, size_t *need)
{
	struct session *s = conn_data(conn);
	struct binary_hello hello;
	size_t used, rest;

	s->last_ms = loop_now_ms(s->sl->loop);
	*need = binary_hello_read(data, n, &hello, &used);
	if (*need != 0)
		return 0;
	if (hello.version == 0 || take_name(s, hello.client) != 0) {
		counter_inc(&s->sl->stats.protocol_errors);
		binary_write_refusal(conn_out(conn),
		    hello.version == 0 ? hello.error : "out of memory");
		s->closing = true;
		conn_finish(conn);
		return n;
	}
	greet(s);
	conn_set_handler(conn, &binary_handlers);
	if (used == n)
		return n;
	rest = on_input(conn, data + used, n - used, need);
	return used + rest;
}

static const struct conn_handler preface_handler = {
	.on_input = on_preface,
	.on_end = session_gone,
};

void
binary_session_begin(struct session *s)
{
	s->wire = WIRE_BINARY;
	conn_set_handler(s->conn, &preface_handler);
}

void
binary_session_go_on(struct session *s)
{
	s->wire = WIRE_BINARY;
	conn_set_handler(s->conn, &binary_handlers);
}

bool
binary_session_began(const struct session *s, bool *greeted)
{
	const struct conn_handler *h = conn_handler(s->conn);

	*greeted = h == &binary_handlers;
	return *greeted || h == &preface_handler;
}

/* --- replies that are owed ------------------------------------------------------------- */

void
binary_parked_done(struct parked *p)
{
	struct session *s = p->session;

	parked_leave(p);
	conn_flush(s->conn);
	session_finish_if_due(s);
}

bool
binary_cancel(struct session *s, uint32_t id)
{
	list_foreach_safe(it, &s->parked) {
		struct parked *p = list_entry(it, struct parked, link);

		if (p->reply.id != id)
			continue;
		p->on_drop(p, p->arg);
		reply_error(&p->reply, "CANCELLED the request was cancelled");
		parked_done(p);
		return true;
	}
	return false;
}

/* --- what operations share ------------------------------------------------------------- */

void
binary_put_failed(struct binary_call *b, int rc)
{
	const struct cache *cache = store_cache(b->c.sl->server->store);

	if (rc == -E2BIG) {
		reply_error(b->c.reply, "TOOBIG key and value may have at most %llu bytes",
		    (unsigned long long)cache_max_entry(cache));
		return;
	}
	counter_inc(&b->c.sl->stats.oom_errors);
	reply_error(b->c.reply, "OOM out of memory");
}

void
binary_put_failed_item(struct binary_call *b, struct out *items, int rc)
{
	const struct cache *cache = store_cache(b->c.sl->server->store);
	char text[80];

	if (rc == -E2BIG) {
		snprintf(text, sizeof text, "key and value may have at most %llu bytes",
		    (unsigned long long)cache_max_entry(cache));
		binary_put_error(items, "TOOBIG", text);
		return;
	}
	counter_inc(&b->c.sl->stats.oom_errors);
	binary_put_error(items, "OOM", "out of memory");
}

uint64_t
binary_token(const struct server_loop *sl, struct slice value)
{
	return cache_hash(store_cache(sl->server->store), value);
}

uint64_t
binary_token_number(struct slice token)
{
	uint64_t n = 0;

	if (token.len == sizeof n)
		memcpy(&n, token.ptr, sizeof n);
	return n;
}

bool
binary_token_is(const struct server_loop *sl, struct slice value, struct slice token)
{
	uint64_t n = binary_token(sl, value);

	return slice_eq(token, slice_of(&n, sizeof n));
}

void
binary_put_token(struct out *o, uint64_t token)
{
	_Static_assert(sizeof token == BINARY_TOKEN_BYTES, "as the header says");

	binary_put_bytes(o, slice_of(&token, sizeof token));
}
