#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/door.h"
#include "server/help.h"
#include "server/internal.h"
#include "server/parked.h"
#include "server/session.h"

cmd_handler *const command_handlers[CMD_COUNT] = {
#define COMMAND(id, ...) [CMD_ID_##id] = cmd_##id,
#define CONTAINER(id, ...) [CMD_ID_##id] = NULL, /* command_find() never answers it */
#define SUBCOMMAND(parent, id, ...) [CMD_ID_##parent##_##id] = cmd_##parent##_##id,
#include "proto/commands.def"
#undef COMMAND
#undef CONTAINER
#undef SUBCOMMAND
};

/* --- errors --------------------------------------------------------------------- */

void
call_wrong_args(struct call *c)
{
	reply_error(c->reply, "ERR wrong number of arguments for '%s' command", c->cmd->name);
}

void
call_wrong_subcommand_args(struct call *c)
{
	char container[CONTAINER_NAME_MAX];

	container_name(container, c->cmd);
	reply_error(c->reply,
	    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
	    (int)MIN(c->argv[1].len, 128), c->argv[1].ptr, container);
}

void
call_syntax_error(struct call *c)
{
	reply_error(c->reply, "ERR syntax error");
}

void
call_not_integer(struct call *c)
{
	reply_error(c->reply, "ERR value is not an integer or out of range");
}

void
call_put_failed(struct call *c, int rc)
{
	if (rc == -E2BIG) {
		reply_error(c->reply,
		    "ERR value too large for this cache: key and value may have at most %llu bytes",
		    (unsigned long long)cache_max_entry(store_cache(c->sl->server->store)));
		return;
	}
	counter_inc(&c->sl->stats.oom_errors);
	if (rc == -EDQUOT) {
		reply_error(c->reply,
		    "OOM command not allowed when used memory > 'maxmemory'.");
		return;
	}
	reply_error(c->reply, "OOM command not allowed: out of memory");
}

enum cache_result
call_make_room(struct call *c, enum cache_result found, uint64_t len, unsigned flags,
    struct store_cursor *cur)
{
	bool in_place = found == CACHE_HIT && cur->c.value.len == len;

	if (likely(len <= STORE_LARGE_BYTES) || in_place || store_is_atomic(c->store))
		return found;
	store_close(cur);
	store_make_room(c->store, c->argv[1].len + len);
	return call_open(c, flags, cur);
}

bool
call_namespace(struct call *c, struct slice name, unsigned *id)
{
	const struct stats_names *names = c->sl->server->names;

	for (unsigned i = 0; i < stats_ns_count(names); i++) {
		if (!slice_eq(name, slice_str(stats_ns_name(names, i))) ||
		    !door_owns_stats(c->session, i))
			continue;
		*id = i;
		return true;
	}
	reply_error(c->reply, "ERR there is no namespace of that name; INFO namespaces lists them");
	return false;
}

void
call_invalid_expire(struct call *c)
{
	reply_error(c->reply, "ERR invalid expire time in '%s' command", c->cmd->name);
}

size_t
call_reply_max(const struct call *c)
{
	return conn_pool_limits(c->sl->pool)->output_hard_bytes / 2;
}

/* --- time ------------------------------------------------------------------------- */

int64_t
mono_of_unix_ms(int64_t unix_ms)
{
	return unix_ms - clock_wall_ms() + clock_mono_ms();
}

int64_t
unix_of_mono_ms(int64_t mono_ms)
{
	return mono_ms - clock_mono_ms() + clock_wall_ms();
}

/* --- values ------------------------------------------------------------------------- */

void
reply_large_value(struct reply *r, struct store_cursor *cur)
{
	struct out_ref ref;

	if (cache_pin(&cur->c, &ref))
		reply_bulk_ref(r, &ref);
	else
		reply_bulk(r, cur->c.value);
}

/* --- asking every loop ------------------------------------------------------------------ */

/* One for a call: sent to each loop in turn, then home. A loop's answer needs
 * no lock, since only one thread has the gather at a time. */
struct gather {
	struct loop_task task;
	struct server *server;
	unsigned home, next;
	void (*fn)(struct server_loop *sl, struct buf *to, void *arg);
	void (*finish)(struct reply *r, struct slice joined, void *arg);
	void *arg;
	struct parked *parked; /* NULL: the client left */
	struct buf joined;
};

static void
gather_finish(struct gather *g)
{
	if (g->parked != NULL) {
		g->finish(parked_reply(g->parked), buf_slice(&g->joined), g->arg);
		parked_done(g->parked);
	} else {
		g->finish(NULL, SLICE(""), g->arg);
	}
	buf_fini(&g->joined);
	mem_free(g);
}

static void
gather_step(struct loop *l, struct loop_task *t)
{
	struct gather *g = container_of(t, struct gather, task);

	(void)l;
	if (g->next > g->server->n_loops) {
		gather_finish(g);
		return;
	}
	g->fn(&g->server->loops[g->next - 1], &g->joined, g->arg);
	g->next++;
	loop_post(g->server->loops[g->next > g->server->n_loops ? g->home : g->next - 1].loop, t);
}

static void
gather_dropped(struct parked *p, void *arg)
{
	(void)p;
	((struct gather *)arg)->parked = NULL;
}

void
call_gather(struct call *c, void (*fn)(struct server_loop *sl, struct buf *to, void *arg),
    void (*finish)(struct reply *r, struct slice joined, void *arg), void *arg)
{
	struct gather *g = mem_zalloc(sizeof *g);

	if (g == NULL) {
		call_put_failed(c, -ENOMEM);
		finish(NULL, SLICE(""), arg);
		return;
	}
	*g = (struct gather){
		.task.run = gather_step,
		.server = c->sl->server,
		.home = loop_index(c->sl->loop),
		.next = 1,
		.fn = fn,
		.finish = finish,
		.arg = arg,
	};
	buf_init(&g->joined);
	g->parked = call_park(c, gather_dropped, g);
	if (g->parked == NULL) {
		finish(NULL, SLICE(""), arg);
		mem_free(g);
		return;
	}
	g->parked->gathers = true;
	loop_post(g->server->loops[0].loop, &g->task);
}
