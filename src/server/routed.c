#include "config.h"

#include "server/routed.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "server/server.h"
#include "server/session.h"
#include "server/set_args.h"

#define ERROR_MAX 512

/* A request whose keys are being written. */
struct routed {
	struct parked *parked; /* NULL: the client left */
	struct store_loop *store;
	uint32_t left;         /* keys that wait for their origins, and the starter */
	uint32_t removed;
	routed_answer *answer;
	struct loop_task finish;
	char error[ERROR_MAX]; /* the first one; "": none */
};

struct routed_key {
	struct routed *of;
	bool remove;
};

/* --- answers ---------------------------------------------------------------------------- */

static bool
is_binary(const struct reply *r)
{
	return r->wire == WIRE_BINARY;
}

static void
note_error(struct routed *w, const char *code, const char *text)
{
	if (w->error[0] == '\0')
		snprintf(w->error, sizeof w->error, "%s %s", code, text);
}

static void
reply_routed(struct reply *r, const struct routed *w)
{
	if (w->error[0] != '\0')
		reply_error(r, "%s", w->error);
	else
		w->answer(r, w->removed);
}

/* One of what `left` counts is done. */
static void
routed_leave(struct routed *w)
{
	struct parked *p = w->parked;

	if (--w->left != 0)
		return;
	if (p != NULL)
		reply_routed(parked_reply(p), w);
	mem_free(w);
	if (p != NULL)
		parked_done(p);
}

static void
on_written(void *arg, enum write_end end, bool was_cached, const char *error)
{
	struct routed_key *k = arg;
	struct routed *w = k->of;

	if (end == WRITE_FAILED)
		note_error(w, "ORIGIN", error);
	else if (k->remove)
		w->removed += was_cached || end == WRITE_DONE;
	mem_free(k);
	routed_leave(w);
}

/* The origin is being told, and goes on being told. */
static void
on_drop(struct parked *p, void *arg)
{
	struct routed *w = arg;

	(void)p;
	w->parked = NULL;
}

static void
on_finish(struct loop *l, struct loop_task *t)
{
	(void)l;
	routed_leave(container_of(t, struct routed, finish));
}

/* What went wrong before anything was sent. */
static void
note_failure(struct call *c, struct routed *w, const struct routed_item *it, int rc)
{
	char text[ERROR_MAX - 16];

	switch (rc) {
	case -EBUSY:
		note_error(w, "OVERLOAD", "too many requests wait already");
		break;
	case -ENOBUFS:
		snprintf(text, sizeof text, "the queue of writes behind for origin %s is full "
		    "(write_queue: %llu bytes); nothing was changed", it->ns->origin_cfg->name,
		    (unsigned long long)it->ns->origin_cfg->write_queue_bytes);
		note_error(w, "OVERLOAD", text);
		break;
	case -E2BIG:
		snprintf(text, sizeof text, "value too large for this cache: key and value may "
		    "have at most %llu bytes",
		    (unsigned long long)cache_max_entry(store_cache(c->sl->server->store)));
		note_error(w, is_binary(c->reply) ? "TOOBIG" : "ERR", text);
		break;
	default:
		counter_inc(&c->sl->stats.oom_errors);
		note_error(w, "OOM", "command not allowed: out of memory");
		break;
	}
}

/* --- items ------------------------------------------------------------------------------- */

/* Of a key that is the cache's alone. */
static int
write_here(struct call *c, struct routed *w, const struct routed_item *it)
{
	if (!it->remove)
		return store_set(c->store, it->key, it->value, it->expires_ms);
	w->removed += store_delete(c->store, it->key);
	return 0;
}

static int
write_behind(struct call *c, struct routed *w, const struct store_write *write)
{
	bool was_cached;
	int rc = store_write_behind(c->store, write, &was_cached);

	if (rc == 0)
		w->removed += was_cached;
	return rc;
}

static int
write_waiting(struct call *c, struct routed *w, const struct store_write *write)
{
	struct routed_key *k = mem_alloc(sizeof *k);
	int rc;

	if (k == NULL)
		return -ENOMEM;
	*k = (struct routed_key){ .of = w, .remove = write->remove };
	w->left++;
	rc = store_write_start(c->store, write, on_written, k);
	if (rc != 0) {
		w->left--;
		mem_free(k);
	}
	return rc;
}

static bool
is_waited_for(const struct config_namespace *ns)
{
	return ns->write == WRITE_THROUGH || ns->write == WRITE_AROUND;
}

static void
write_item(struct call *c, struct routed *w, const struct routed_item *it)
{
	struct store_write write = { .ns = it->ns, .key = it->key, .remove = it->remove,
		.value = it->value, .expires_ms = it->expires_ms };
	int rc;

	if (it->ns == NULL || it->ns->write == WRITE_LOCAL)
		rc = write_here(c, w, it);
	else if (it->ns->write == WRITE_BEHIND)
		rc = write_behind(c, w, &write);
	else
		rc = write_waiting(c, w, &write);
	if (rc != 0)
		note_failure(c, w, it, rc);
}

static bool
any_is_waited_for(const struct call *c, uint32_t n, routed_item_fn *item, void *arg)
{
	struct routed_item it;

	for (uint32_t i = 0; i < n; i++) {
		item(c, arg, i, &it);
		if (it.ns != NULL && is_waited_for(it.ns))
			return true;
	}
	return false;
}

static void
run_at_once(struct call *c, uint32_t n, routed_item_fn *item, void *arg,
    routed_answer *answer)
{
	struct routed w = { .store = c->store, .answer = answer };
	struct routed_item it;

	for (uint32_t i = 0; i < n; i++) {
		item(c, arg, i, &it);
		write_item(c, &w, &it);
	}
	reply_routed(c->reply, &w);
}

/* The last one is let go in a later turn, as if an origin had answered: where none
 * could be asked, nobody is answered within his own request. */
void
routed_run(struct call *c, uint32_t n, routed_item_fn *item, void *arg,
    routed_answer *answer)
{
	struct routed_item it;
	struct routed *w;

	if (!any_is_waited_for(c, n, item, arg)) {
		run_at_once(c, n, item, arg, answer);
		return;
	}
	w = mem_zalloc(sizeof *w);
	if (w == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	*w = (struct routed){ .store = c->store, .left = 1, .answer = answer,
		.finish.run = on_finish };
	w->parked = call_park(c, on_drop, w);
	if (w->parked == NULL) {
		mem_free(w);
		return;
	}
	/* Who reads behind his own write over the same connection reads what he wrote. */
	parked_keeps_order(w->parked);
	for (uint32_t i = 0; i < n; i++) {
		item(c, arg, i, &it);
		write_item(c, w, &it);
	}
	loop_defer(c->sl->loop, &w->finish);
}

/* --- which keys are whose ------------------------------------------------------------------ */

enum write_mode
routed_mode(const struct call *c, struct slice key, const struct config_namespace **ns)
{
	*ns = routes_find(store_loop_routes(c->store), key);
	return (enum write_mode)(*ns)->write;
}

bool
routed_admits(struct call *c, const struct config_namespace *ns)
{
	if (ns->write == WRITE_REFUSED) {
		counter_inc(&c->sl->stats.ns[ns->stats_id].writes_refused);
		reply_error(c->reply,
		    "NOPERM keys of namespace %s are not written here (write: refused)", ns->name);
		return false;
	}
	if (is_waited_for(ns) && store_is_atomic(c->store)) {
		reply_error(c->reply, "%s keys of namespace %s cannot be written in a transaction: "
		    "each write waits for origin %s", is_binary(c->reply) ? "UNSUPPORTED" : "ERR",
		    ns->name, ns->origin_cfg->name);
		return false;
	}
	return true;
}

void
routed_refuse(struct call *c, const struct config_namespace *ns, const char *what)
{
	counter_inc(&c->sl->stats.ns[ns->stats_id].writes_refused);
	reply_error(c->reply, "%s %s cannot be passed on to origin %s (namespace %s); SET with a "
	    "time to live, and DEL, can", is_binary(c->reply) ? "UNSUPPORTED" : "ERR", what,
	    ns->origin_cfg->name, ns->name);
}

/* --- RESP ------------------------------------------------------------------------------------ */

enum action {
	ACTION_NONE,   /* changes no value */
	ACTION_SET,
	ACTION_MSET,
	ACTION_REMOVE,
	ACTION_REFUSE,
};

static enum action
action_of(const struct command *cmd)
{
	switch (cmd->id) {
	case CMD_ID_set:
	case CMD_ID_setex:
	case CMD_ID_psetex:
		return ACTION_SET;
	case CMD_ID_mset:
		return ACTION_MSET;
	case CMD_ID_del:
	case CMD_ID_unlink:
		return ACTION_REMOVE;
	case CMD_ID_expire:
	case CMD_ID_pexpire:
	case CMD_ID_expireat:
	case CMD_ID_pexpireat:
	case CMD_ID_persist:
	case CMD_ID_getex:
		return ACTION_NONE;
	case CMD_ID_eval:
	case CMD_ID_evalsha:
		return ACTION_REFUSE;
	default:
		return cmd->flags & CMD_WRITE ? ACTION_REFUSE : ACTION_NONE;
	}
}

/* The first key that is not the cache's alone; NULL: none. */
static const struct config_namespace *
first_routed(const struct call *c, const struct command_keys *keys)
{
	const struct config_namespace *ns;

	for (uint32_t i = 0; i < keys->n; i++)
		if (routed_mode(c, c->argv[keys->first + i * keys->step], &ns) != WRITE_LOCAL)
			return ns;
	return NULL;
}

static bool
admits_all(struct call *c, const struct command_keys *keys)
{
	const struct config_namespace *ns;

	for (uint32_t i = 0; i < keys->n; i++)
		if (routed_mode(c, c->argv[keys->first + i * keys->step], &ns) != WRITE_LOCAL &&
		    !routed_admits(c, ns))
			return false;
	return true;
}

static void
answer_ok(struct reply *r, uint32_t removed)
{
	(void)removed;
	reply_ok(r);
}

static void
answer_removed(struct reply *r, uint32_t removed)
{
	reply_int(r, removed);
}

static void
item_of_mset(const struct call *c, void *arg UNUSED, uint32_t i, struct routed_item *out)
{
	*out = (struct routed_item){ .key = c->argv[1 + 2 * i], .value = c->argv[2 + 2 * i] };
	routed_mode(c, out->key, &out->ns);
}

static void
item_of_del(const struct call *c, void *arg UNUSED, uint32_t i, struct routed_item *out)
{
	*out = (struct routed_item){ .key = c->argv[1 + i], .remove = true };
	routed_mode(c, out->key, &out->ns);
}

/* A time that has passed removes. */
static void
item_of_set(const struct call *c, void *arg, uint32_t i UNUSED, struct routed_item *out)
{
	const struct set_plain *set = arg;

	*out = (struct routed_item){ .key = c->argv[1] };
	out->remove = set->expires_ms != CACHE_NEVER && set->expires_ms <= c->now_ms;
	if (!out->remove) {
		out->value = set->value;
		out->expires_ms = set->expires_ms;
	}
	routed_mode(c, out->key, &out->ns);
}

static void
run_set(struct call *c, const struct config_namespace *ns)
{
	struct set_plain set;

	switch (set_plain_parse(c, &set)) {
	case SET_IS_PLAIN:
		routed_run(c, 1, item_of_set, &set, answer_ok);
		break;
	case SET_IS_CONDITIONAL:
		routed_refuse(c, ns, "SET with NX, XX, GET, KEEPTTL, IFEQ, LEASE or GRACE");
		break;
	case SET_IS_WRONG:
		break;
	}
}

bool
routed_command(struct call *c)
{
	enum action action = action_of(c->cmd);
	struct command_keys keys;
	const struct config_namespace *ns;
	char what[64];

	if (action == ACTION_NONE || (action == ACTION_MSET && c->argc % 2 == 0))
		return false;
	keys = command_keys(c->cmd, c->argv, c->argc);
	ns = first_routed(c, &keys);
	if (ns == NULL)
		return false;
	if (!admits_all(c, &keys))
		return true;
	switch (action) {
	case ACTION_SET:
		run_set(c, ns);
		break;
	case ACTION_MSET:
		routed_run(c, keys.n, item_of_mset, NULL, answer_ok);
		break;
	case ACTION_REMOVE:
		routed_run(c, keys.n, item_of_del, NULL, answer_removed);
		break;
	default:
		snprintf(what, sizeof what, "what %.32s does", c->cmd->name);
		routed_refuse(c, ns, what);
		break;
	}
	return true;
}
