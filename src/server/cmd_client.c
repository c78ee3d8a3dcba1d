/* CLIENT: who is connected. CLIENT LIST asks every loop for its sessions; the
 * lines are put in the order of their ids when all have answered. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/address.h"
#include "server/client_filter.h"
#include "server/client_name.h"
#include "server/help.h"
#include "server/large.h"
#include "server/parked.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/transaction.h"

#define OUT_OF_MEMORY "OOM command not allowed: out of memory" /* as call_put_failed() */

void
cmd_client_id(struct call *c)
{
	reply_int(c->reply, (int64_t)c->session->id);
}

/* Replies too. `what` is for the error. */
static void
set_name(struct call *c, char **to, struct slice value, const char *what)
{
	if (!client_name_valid(value))
		reply_error(c->reply, "ERR " CLIENT_NAME_INVALID, what);
	else if (client_name_set(to, value) != 0)
		call_put_failed(c, -ENOMEM);
	else
		reply_ok(c->reply);
}

void
cmd_client_setname(struct call *c)
{
	set_name(c, &c->session->name, c->argv[2], "Client names");
}

void
cmd_client_getname(struct call *c)
{
	if (c->session->name != NULL)
		reply_bulk_str(c->reply, c->session->name);
	else
		reply_nil(c->reply);
}

/* Of Redis 7.2, but clients send it to every server. */
void
cmd_client_setinfo(struct call *c)
{
	if (slice_caseeq(c->argv[2], SLICE("lib-name")))
		set_name(c, &c->session->lib_name, c->argv[3], "lib-name");
	else if (slice_caseeq(c->argv[2], SLICE("lib-ver")))
		set_name(c, &c->session->lib_ver, c->argv[3], "lib-ver");
	else
		reply_error(c->reply, "ERR Unrecognized option '%.*s'",
		    (int)MIN(c->argv[2].len, 512), c->argv[2].ptr);
}

/* --- lines ------------------------------------------------------------------ */

static const char *
or_none(const char *s)
{
	return s != NULL ? s : "";
}

/* What it waits for, or what it did last; NULL: nothing yet. */
static const struct command *
current_command(const struct session *s)
{
	if (s->n_parked > 0)
		return list_entry(s->parked.next, struct parked, link)->cmd;
	return s->last_cmd;
}

/* By an origin, a lease or a pause. Who asks all loops for something is parked
 * meanwhile, and is not blocked. */
static bool
is_blocked(const struct session *s)
{
	return s->held ||
	    (s->n_parked > 0 && !list_entry(s->parked.next, struct parked, link)->gathers);
}

/* As Redis writes them: N stands alone. */
static void
flags_of(const struct session *s, char *out)
{
	size_t n = 0;
	unsigned tracks = tracking_flags(s);

	if (s->monitor != NULL)
		out[n++] = 'O';
	if (pubsub_listens(&s->pubsub))
		out[n++] = 'P';
	if (transaction_queued(s) >= 0)
		out[n++] = 'x';
	if (is_blocked(s))
		out[n++] = 'b';
	if (tracks & TRACK_ON)
		out[n++] = 't';
	if (tracks & TRACK_BROKEN)
		out[n++] = 'R';
	if (tracks & TRACK_BCAST)
		out[n++] = 'B';
	if (s->closing)
		out[n++] = 'c';
	if (session_is_unix(s))
		out[n++] = 'U';
	if (s->no_evict)
		out[n++] = 'e';
	if (s->no_touch)
		out[n++] = 'T';
	if (n == 0)
		out[n++] = 'N';
	out[n] = '\0';
}

/* The fields of Redis 7.0 in its order, then two of 7.2 and
 * io-thread of 8.0, here the loop. What this daemon
 * has not (replication) says so as Redis would. */
static int
print_session(struct buf *to, const struct session *s, int64_t now_ms)
{
	size_t in = conn_in_bytes(s->conn), out = conn_out_bytes(s->conn);
	size_t queued = transaction_bytes(s);
	const struct command *cmd = current_command(s);
	char flags[16], local[ADDRESS_MAX], peer[ADDRESS_MAX];

	flags_of(s, flags);
	session_addresses(s, local, peer);
	return buf_printf(to,
	    "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRId64 " idle=%" PRId64
	    " flags=%s db=0 sub=%u psub=%u ssub=%u multi=%d qbuf=%zu qbuf-free=0 argv-mem=0"
	    " multi-mem=%zu rbs=0 rbp=0 obl=%zu oll=0 omem=0 tot-mem=%zu events=%s cmd=%s"
	    " user=default redir=%" PRId64 " resp=%d lib-name=%s lib-ver=%s io-thread=%u\n",
	    s->id, peer, local, conn_fd(s->conn), or_none(s->name),
	    (now_ms - s->created_ms) / 1000, (now_ms - session_active_ms(s)) / 1000, flags,
	    s->pubsub.n[PUBSUB_CHANNEL], s->pubsub.n[PUBSUB_PATTERN], s->pubsub.n[PUBSUB_SHARD],
	    transaction_queued(s), in, queued, out, sizeof *s + in + out + queued,
	    out > 0 ? "rw" : "r",
	    cmd != NULL ? cmd->name : "NULL", tracking_redirect(s),
	    s->wire == WIRE_BINARY ? 0 : s->wire == WIRE_RESP3 ? 3 : 2,
	    or_none(s->lib_name), or_none(s->lib_ver), loop_index(s->sl->loop));
}

void
cmd_client_info(struct call *c)
{
	struct buf line;

	buf_init(&line);
	if (print_session(&line, c->session, c->now_ms) == 0)
		reply_verbatim(c->reply, buf_slice(&line));
	else
		call_put_failed(c, -ENOMEM);
	buf_fini(&line);
}

/* --- LIST -------------------------------------------------------------------- */

/* What was asked for. Passed from loop to loop, so that one at a time has it. */
struct listing {
	struct server *server;
	size_t max_bytes;
	bool large;     /* large_take() was called */
	bool too_long;
	enum client_type type;
	bool some;      /* CLIENT LIST ID: those below, and not everybody */
	size_t n;
	uint64_t *sorted;
	uint64_t ids[]; /* [n], in the order of the request; then sorted[n] */
};

struct line {
	uint64_t id;
	struct slice text; /* with its end of line */
};

static int
id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool
is_listed(const struct listing *l, const struct session *s)
{
	if (!client_is_of(s, l->type))
		return false;
	return !l->some || bsearch(&s->id, l->sorted, l->n, sizeof s->id, id_cmp) != NULL;
}

/* Whether it may grow on. */
static bool
may_be_longer(struct listing *l, size_t bytes)
{
	if (bytes > l->max_bytes && !l->large && large_max(l->server) > l->max_bytes &&
	    large_take(l->server)) {
		l->large = true;
		l->max_bytes = large_max(l->server);
	}
	return bytes <= l->max_bytes;
}

/* Runs on each loop. A line for which there is no memory is left out. */
static void
print_loop(struct server_loop *sl, struct buf *to, void *arg)
{
	struct listing *l = arg;
	int64_t now_ms = loop_now_ms(sl->loop);

	list_foreach(it, &sl->sessions) {
		const struct session *s = list_entry(it, struct session, link);

		if (l->too_long)
			return;
		if (is_listed(l, s) && print_session(to, s, now_ms) != 0)
			return;
		l->too_long = !may_be_longer(l, buf_len(to));
	}
}

static int
line_cmp(const void *a, const void *b)
{
	uint64_t x = ((const struct line *)a)->id, y = ((const struct line *)b)->id;

	return (x > y) - (x < y);
}

static struct slice
take_line(struct slice *text)
{
	const char *end = memchr(text->ptr, '\n', text->len);
	size_t len = end != NULL ? (size_t)(end - text->ptr) + 1 : text->len;
	struct slice line = slice_of(text->ptr, len);

	*text = slice_skip(*text, len);
	return line;
}

static size_t
count_lines(struct slice text)
{
	size_t n = 0;

	while (text.len > 0) {
		take_line(&text);
		n++;
	}
	return n;
}

/* Sorted by id; NULL: no memory. */
static struct line *
lines_of(struct slice text, size_t n)
{
	struct line *lines = mem_calloc(n, sizeof *lines);

	if (lines == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		lines[i].text = take_line(&text);
		lines[i].id = strtoull(lines[i].text.ptr + strlen("id="), NULL, 10);
	}
	if (n > 0)
		qsort(lines, n, sizeof *lines, line_cmp);
	return lines;
}

/* A client that is named again is not printed again, so that a request
 * cannot ask for more than there is. */
static int
append_wanted(struct buf *to, struct line *lines, size_t n, const struct listing *l)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		struct line key = { .id = l->ids[i] };
		struct line *hit = bsearch(&key, lines, n, sizeof *lines, line_cmp);

		if (hit != NULL) {
			rc = buf_append(to, hit->text.ptr, hit->text.len);
			hit->text.len = 0;
		}
	}
	return rc;
}

static int
append_all(struct buf *to, const struct line *lines, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = buf_append(to, lines[i].text.ptr, lines[i].text.len);
	return rc;
}

/* Sorted, and of one client once. -ENOMEM. */
static int
arrange(struct buf *text, struct slice joined, const struct listing *l)
{
	size_t n = count_lines(joined);
	struct line *lines = lines_of(joined, n);
	int rc = -ENOMEM;

	if (lines != NULL)
		rc = l->some ? append_wanted(text, lines, n, l) : append_all(text, lines, n);
	mem_free(lines);
	return rc;
}

static void
reply_lines(struct reply *r, struct slice joined, struct listing *l)
{
	struct buf text;

	buf_init(&text);
	if (arrange(&text, joined, l) != 0) {
		reply_error(r, OUT_OF_MEMORY);
	} else if (!l->large) {
		reply_verbatim(r, buf_slice(&text));
	} else {
		l->large = false;
		if (!large_send_verbatim(l->server, r, &text))
			reply_error(r, OUT_OF_MEMORY);
	}
	buf_fini(&text);
}

static void
finish_list(struct reply *r, struct slice joined, void *arg)
{
	struct listing *l = arg;

	if (r != NULL && l->too_long)
		reply_error(r, "ERR too many clients for one reply, use CLIENT LIST ID");
	else if (r != NULL)
		reply_lines(r, joined, l);
	if (l->large)
		large_give(l->server);
	mem_free(arg);
}

/* Room for n ids; NULL: the error reply is written. */
static struct listing *
listing_new(struct call *c, size_t n)
{
	struct listing *l = mem_zalloc(sizeof *l + 2 * n * sizeof l->ids[0]);

	if (l == NULL) {
		call_put_failed(c, -ENOMEM);
		return NULL;
	}
	l->server = c->sl->server;
	l->max_bytes = call_reply_max(c);
	l->some = n > 0;
	l->n = n;
	l->sorted = l->ids + n;
	return l;
}

static void
list_all(struct call *c, enum client_type type)
{
	struct listing *l = listing_new(c, 0);

	if (l == NULL)
		return;
	l->type = type;
	call_gather(c, print_loop, finish_list, l);
}

static void
list_by_id(struct call *c)
{
	struct listing *l = listing_new(c, c->argc - 3);

	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++) {
		int64_t id;

		if (parse_i64(c->argv[3 + i], &id) != 0) {
			reply_error(c->reply, "ERR Invalid client ID");
			mem_free(l);
			return;
		}
		l->ids[i] = l->sorted[i] = (uint64_t)id;
	}
	qsort(l->sorted, l->n, sizeof l->sorted[0], id_cmp);
	call_gather(c, print_loop, finish_list, l);
}

static void
list_by_type(struct call *c, struct slice word)
{
	enum client_type type;

	if (!client_type_parse(c, word, &type))
		return;
	if (type == CLIENT_NOBODY)
		reply_verbatim(c->reply, SLICE(""));
	else
		list_all(c, type);
}

void
cmd_client_list(struct call *c)
{
	if (c->argc == 2)
		list_all(c, CLIENT_ANY);
	else if (c->argc == 4 && slice_caseeq(c->argv[2], SLICE("type")))
		list_by_type(c, c->argv[3]);
	else if (c->argc > 3 && slice_caseeq(c->argv[2], SLICE("id")))
		list_by_id(c);
	else
		call_syntax_error(c);
}

void
cmd_client_help(struct call *c)
{
	static const char *const lines[] = {
		"CACHING (YES|NO)",
		"    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
		"GETREDIR",
		"    Return the client ID we are redirecting to when tracking is enabled.",
		"GETNAME",
		"    Return the name of the current connection.",
		"ID",
		"    Return the ID of the current connection.",
		"INFO",
		"    Return information about the current client connection.",
		"KILL <ip:port>",
		"    Kill connection made from <ip:port>.",
		"KILL <option> <value> [<option> <value> [...]]",
		"    Kill connections. Options are:",
		"    * ADDR (<ip:port>|<unixsocket>:0)",
		"      Kill connections made from the specified address",
		"    * LADDR (<ip:port>|<unixsocket>:0)",
		"      Kill connections made to specified local address",
		"    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
		"      Kill connections by type.",
		"    * USER <username>",
		"      Kill connections authenticated by <username>.",
		"    * SKIPME (YES|NO)",
		"      Skip killing current connection (default: yes).",
		"LIST [options ...]",
		"    Return information about client connections. Options:",
		"    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
		"      Return clients of specified type.",
		"    * ID <client-id> [<client-id> [...]]",
		"      Return clients of these ids.",
		"UNPAUSE",
		"    Stop the current client pause, resuming traffic.",
		"PAUSE <timeout> [WRITE|ALL]",
		"    Suspend all, or just write, clients for <timeout> milliseconds.",
		"REPLY (ON|OFF|SKIP)",
		"    Control the replies sent to the current connection.",
		"SETNAME <name>",
		"    Assign the name <name> to the current connection.",
		"SETINFO (LIB-NAME|LIB-VER) <value>",
		"    Say which client library speaks, and its version.",
		"TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
		"         [OPTIN] [OPTOUT] [NOLOOP]",
		"    Control server assisted client side caching.",
		"TRACKINGINFO",
		"    Report tracking status for the current connection.",
		"UNBLOCK <clientid> [TIMEOUT|ERROR]",
		"    Unblock the specified blocked client.",
		"NO-EVICT (ON|OFF)",
		"    Protect current client connection from eviction.",
		"NO-TOUCH (ON|OFF)",
		"    Will not touch LRU/LFU stats when this mode is on.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
