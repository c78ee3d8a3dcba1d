/* CLIENT KILL and UNBLOCK: what one client does to others. They may be on any loop, so
 * each loop is asked in turn (call_gather()). */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/address.h"
#include "server/client_filter.h"
#include "server/parked.h"
#include "server/server.h"

/* --- KILL ------------------------------------------------------------------------ */

/* Passed from loop to loop, so that one at a time has it. */
struct kill {
	struct session *asker;
	uint64_t asker_id;
	bool old_form;      /* answers OK, or that there is none */
	bool skip_asker;
	bool asker_too;
	int64_t killed;
	enum client_type type;
	uint64_t id;        /* 0: any */
	struct slice addr, laddr; /* in text; ptr NULL: any */
	char text[];
};

static bool
address_fits(const struct kill *k, const struct session *s)
{
	char local[ADDRESS_MAX], peer[ADDRESS_MAX];

	if (k->addr.ptr == NULL && k->laddr.ptr == NULL)
		return true;
	session_addresses(s, local, peer);
	return (k->addr.ptr == NULL || slice_eq(k->addr, slice_str(peer))) &&
	    (k->laddr.ptr == NULL || slice_eq(k->laddr, slice_str(local)));
}

/* On each loop. The asker ends when it has its answer. */
static void
kill_loop(struct server_loop *sl, struct buf *to, void *arg)
{
	struct kill *k = arg;

	(void)to;
	list_foreach_safe(it, &sl->sessions) {
		struct session *s = list_entry(it, struct session, link);
		bool is_asker = s->id == k->asker_id;

		if ((is_asker && k->skip_asker) || (k->id != 0 && s->id != k->id) ||
		    !client_is_of(s, k->type) || !address_fits(k, s))
			continue;
		k->killed++;
		k->asker_too |= is_asker;
		if (!is_asker)
			conn_close(s->conn);
	}
}

static void
kill_finish(struct reply *r, struct slice joined, void *arg)
{
	struct kill *k = arg;

	(void)joined;
	if (r != NULL) {
		if (!k->old_form)
			reply_int(r, k->killed);
		else if (k->killed == 0)
			reply_error(r, "ERR No such client");
		else
			reply_ok(r);
		k->asker->closing |= k->asker_too;
	}
	mem_free(k);
}

static bool
kill_user(struct call *c, struct slice name)
{
	if (slice_eq(name, SLICE("default")))
		return true;
	reply_error(c->reply, "ERR No such user '%.*s'", (int)MIN(name.len, 512), name.ptr);
	return false;
}

static bool
kill_id(struct call *c, struct slice text, uint64_t *out)
{
	int64_t id;

	if (parse_i64(text, &id) != 0 || id < 1) {
		reply_error(c->reply, "ERR client-id should be greater than 0");
		return false;
	}
	*out = (uint64_t)id;
	return true;
}

/* An option and its value; false: the error reply is written. */
static bool
kill_option(struct call *c, struct slice name, struct slice value, struct kill *k)
{
	if (slice_caseeq(name, SLICE("id")))
		return kill_id(c, value, &k->id);
	if (slice_caseeq(name, SLICE("type")))
		return client_type_parse(c, value, &k->type);
	if (slice_caseeq(name, SLICE("user")))
		return kill_user(c, value);
	if (slice_caseeq(name, SLICE("addr"))) {
		k->addr = value;
	} else if (slice_caseeq(name, SLICE("laddr"))) {
		k->laddr = value;
	} else if (slice_caseeq(name, SLICE("skipme")) && slice_caseeq(value, SLICE("yes"))) {
		k->skip_asker = true;
	} else if (slice_caseeq(name, SLICE("skipme")) && slice_caseeq(value, SLICE("no"))) {
		k->skip_asker = false;
	} else {
		call_syntax_error(c);
		return false;
	}
	return true;
}

static bool
kill_parse(struct call *c, struct kill *k)
{
	*k = (struct kill){
		.asker = c->session,
		.asker_id = c->session->id,
		.old_form = c->argc == 3,
		.skip_asker = c->argc != 3,
	};
	if (k->old_form)
		k->addr = c->argv[2];
	for (uint32_t i = 2; !k->old_form && i < c->argc; i += 2) {
		if (i + 1 == c->argc) {
			call_syntax_error(c);
			return false;
		}
		if (!kill_option(c, c->argv[i], c->argv[i + 1], k))
			return false;
	}
	return true;
}

/* "" is an address too, which nobody has. */
static void
keep_text(struct slice *s, char *at)
{
	if (s->ptr == NULL)
		return;
	memcpy(at, s->ptr, s->len);
	s->ptr = at;
}

void
cmd_client_kill(struct call *c)
{
	struct kill parsed, *k;

	if (!kill_parse(c, &parsed))
		return;
	k = mem_alloc(sizeof *k + parsed.addr.len + parsed.laddr.len);
	if (k == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	*k = parsed;
	keep_text(&k->addr, k->text);
	keep_text(&k->laddr, k->text + k->addr.len);
	call_gather(c, kill_loop, kill_finish, k);
}

/* --- UNBLOCK ------------------------------------------------------------------------- */

struct unblock {
	uint64_t id;
	bool by_error;
	bool found;
};

/* The first that waits for an origin or another client's lease. */
static struct parked *
first_waiting(const struct session *s)
{
	list_foreach(it, &s->parked) {
		struct parked *p = list_entry(it, struct parked, link);

		if (!p->done && !p->gathers)
			return p;
	}
	return NULL;
}

/* As where its time is over, and nothing was found. */
static void
reply_nothing(struct reply *r, const struct command *cmd)
{
	if (cmd->id == CMD_ID_mget) {
		reply_nil_array(r);
	} else if (cmd->id == CMD_ID_pannier_lease) {
		reply_array(r, 3);
		reply_status(r, "MISS");
		reply_nil(r);
		reply_nil(r);
	} else {
		reply_nil(r);
	}
}

static void
answer_waiting(struct parked *p, bool by_error)
{
	struct reply *r = parked_reply(p);

	p->on_drop(p, p->arg);
	if (by_error || r->wire == WIRE_BINARY)
		reply_error(r, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
	else
		reply_nothing(r, p->cmd);
	parked_done(p);
}

static void
unblock_loop(struct server_loop *sl, struct buf *to, void *arg)
{
	struct unblock *u = arg;
	struct parked *p;

	(void)to;
	list_foreach(it, &sl->sessions) {
		struct session *s = list_entry(it, struct session, link);

		if (s->id != u->id)
			continue;
		while ((p = first_waiting(s)) != NULL) {
			u->found = true;
			answer_waiting(p, u->by_error);
		}
		return;
	}
}

static void
unblock_finish(struct reply *r, struct slice joined, void *arg)
{
	struct unblock *u = arg;

	(void)joined;
	if (r != NULL)
		reply_int(r, u->found);
	mem_free(u);
}

void
cmd_client_unblock(struct call *c)
{
	bool by_error = c->argc == 4 && slice_caseeq(c->argv[3], SLICE("error"));
	struct unblock *u;
	int64_t id;

	if (c->argc > 4) {
		call_wrong_subcommand_args(c);
		return;
	}
	if (c->argc == 4 && !by_error && !slice_caseeq(c->argv[3], SLICE("timeout"))) {
		reply_error(c->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
		return;
	}
	if (parse_i64(c->argv[2], &id) != 0) {
		call_not_integer(c);
		return;
	}
	u = mem_alloc(sizeof *u);
	if (u == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	*u = (struct unblock){ .id = (uint64_t)id, .by_error = by_error };
	call_gather(c, unblock_loop, unblock_finish, u);
}
