#include "config.h"

#include "server/monitor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/mem.h"
#include "server/address.h"
#include "server/door.h"
#include "server/server.h"
#include "server/session.h"
#include "server/slowlog.h"

#define MATCH_STEPS (1u << 16) /* for one key; what takes more does not match */

/* Made by the home loop; what the others read of it does not change. It lives as long as its
 * session watches, the loops know of it, or lines are on their way. */
struct monitor {
	atomic_uint refs;
	struct server *server;
	unsigned home;
	struct session *session; /* the home loop's; NULL: not yet, or no more */
	_Atomic(size_t) queued;  /* bytes of lines on their way from other loops */
	atomic_bool cut;         /* one was left out: it must be closed */
	struct monitor_wanted wanted;
	struct loop_task leave;  /* goes through all loops */
	unsigned next;
	struct watcher {
		struct list link;
		struct monitor *monitor;
	} watchers[];            /* a loop each; then the pattern */
};

struct line {
	struct loop_task task;
	struct monitor *monitor;
	struct blob *text;
};

static void
monitor_unref(struct monitor *m)
{
	if (atomic_fetch_sub(&m->refs, 1) == 1)
		mem_free(m);
}

/* --- joining and leaving ---------------------------------------------------------- */

static void
update_doors(struct server_loop *sl)
{
	list_foreach(it, &sl->sessions)
		door_update(list_entry(it, struct session, link));
}

static void
leave_step(struct loop *l, struct loop_task *t)
{
	struct monitor *m = container_of(t, struct monitor, leave);
	struct server_loop *sl = &m->server->loops[m->next];

	(void)l;
	list_del(&m->watchers[m->next].link);
	list_init(&m->watchers[m->next].link);
	update_doors(sl);
	if (++m->next < m->server->n_loops)
		loop_post(m->server->loops[m->next].loop, t);
	else
		monitor_unref(m);
}

static void
leave(struct monitor *m)
{
	m->session = NULL;
	m->leave.run = leave_step;
	loop_post(m->server->loops[0].loop, &m->leave);
}

void
monitor_end(struct session *s)
{
	struct monitor *m = s->monitor;

	s->monitor = NULL;
	if (m != NULL)
		leave(m);
}

static struct monitor *
monitor_new(struct server_loop *home, const struct monitor_wanted *wanted)
{
	unsigned n = home->server->n_loops;
	size_t head = sizeof(struct monitor) + n * sizeof(struct watcher);
	struct monitor *m = mem_zalloc(head + wanted->pattern.len);

	if (m == NULL)
		return NULL;
	atomic_init(&m->refs, 1);
	m->server = home->server;
	m->home = loop_index(home->loop);
	m->wanted = *wanted;
	if (wanted->pattern.ptr != NULL) {
		memcpy((char *)m + head, wanted->pattern.ptr, wanted->pattern.len);
		m->wanted.pattern.ptr = (char *)m + head;
	}
	for (unsigned i = 0; i < n; i++) {
		list_init(&m->watchers[i].link);
		m->watchers[i].monitor = m;
	}
	return m;
}

/* What a gather takes along: the session is there if there is a reply to write. */
struct joining {
	struct monitor *monitor;
	struct session *session;
};

static void
join_loop(struct server_loop *sl, struct buf *to UNUSED, void *arg)
{
	struct joining *j = arg;

	list_push_tail(&sl->watchers, &j->monitor->watchers[loop_index(sl->loop)].link);
	update_doors(sl);
}

static void
join_finish(struct reply *r, struct slice joined UNUSED, void *arg)
{
	struct joining *j = arg;

	if (r != NULL) {
		j->monitor->session = j->session;
		j->session->monitor = j->monitor;
		reply_ok(r);
	} else {
		leave(j->monitor);
	}
	mem_free(j);
}

void
monitor_begin(struct call *c, const struct monitor_wanted *wanted)
{
	struct joining *j;

	if (c->session->monitor != NULL) {
		reply_ok(c->reply);
		return;
	}
	j = mem_alloc(sizeof *j);
	if (j != NULL)
		j->monitor = monitor_new(c->sl, wanted);
	if (j == NULL || j->monitor == NULL) {
		mem_free(j);
		call_put_failed(c, -ENOMEM);
		return;
	}
	j->session = c->session;
	call_gather(c, join_loop, join_finish, j);
}

/* --- a line, as Redis's replicationFeedMonitors() has it ------------------------------ */

#define QUOTE 0x22
#define BACKSLASH 0x5c

static int
put_escaped(struct buf *to, unsigned char ch)
{
	static const struct {
		unsigned char ch, name;
	} named[] = {
		{ '\n', 'n' }, { '\r', 'r' }, { '\t', 't' }, { '\a', 'a' }, { '\b', 'b' },
		{ QUOTE, QUOTE }, { BACKSLASH, BACKSLASH },
	};

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (named[i].ch == ch)
			return buf_printf(to, "%c%c", BACKSLASH, named[i].name);
	return buf_printf(to, "%cx%02x", BACKSLASH, ch);
}

static bool
is_plain(unsigned char ch)
{
	return ch >= ' ' && ch < 0x7f && ch != QUOTE && ch != BACKSLASH;
}

static int
put_quoted(struct buf *to, struct slice s)
{
	int rc = buf_printf(to, " %c", QUOTE);

	for (size_t i = 0, n; i < s.len && rc == 0; i += n) {
		for (n = 0; i + n < s.len && is_plain((unsigned char)s.ptr[i + n]);)
			n++;
		if (n != 0) {
			rc = buf_append(to, s.ptr + i, n);
		} else {
			rc = put_escaped(to, (unsigned char)s.ptr[i]);
			n = 1;
		}
	}
	return rc == 0 ? buf_printf(to, "%c", QUOTE) : rc;
}

static int
put_argument(struct buf *to, const struct call *c, uint32_t i)
{
	struct slice arg = c->argv[i];
	int rc;

	if (slowlog_is_secret(c->argv, c->argc, i))
		return put_quoted(to, SLICE("(redacted)"));
	if (arg.len <= MONITOR_ARG_BYTES)
		return put_quoted(to, arg);
	rc = put_quoted(to, slice_of(arg.ptr, MONITOR_ARG_BYTES));
	return rc == 0 ? buf_printf(to, "... (%zu more bytes)", arg.len - MONITOR_ARG_BYTES) : rc;
}

static int
put_from(struct buf *to, const struct call *c, bool script)
{
	char local[ADDRESS_MAX], peer[ADDRESS_MAX];

	if (script)
		return buf_printf(to, "lua");
	if (session_is_unix(c->session))
		return buf_printf(to, "%s", c->session->addr);
	session_addresses(c->session, local, peer);
	return buf_printf(to, "%s", peer);
}

static int
put_line(struct buf *to, const struct call *c, bool script)
{
	int64_t now_us = clock_wall_us();
	int rc = buf_printf(to, "+%lld.%06lld [0 ", (long long)(now_us / 1000000),
	    (long long)(now_us % 1000000));

	if (rc == 0)
		rc = put_from(to, c, script);
	if (rc == 0)
		rc = buf_append(to, "]", 1);
	for (uint32_t i = 0; i < c->argc && rc == 0; i++) {
		if (buf_len(to) > MONITOR_LINE_BYTES) {
			rc = buf_printf(to, " %c... (%u more arguments)%c", QUOTE, c->argc - i,
			    QUOTE);
			break;
		}
		rc = put_argument(to, c, i);
	}
	return rc == 0 ? buf_append(to, "\r\n", 2) : rc;
}

/* NULL: no memory. */
static struct blob *
line_of(const struct call *c, bool script)
{
	struct blob *b = NULL;
	struct buf text;

	buf_init(&text);
	if (put_line(&text, c, script) == 0)
		b = blob_of(buf_slice(&text));
	buf_fini(&text);
	return b;
}

/* --- to those who watch ---------------------------------------------------------------- */

static void
deliver(struct monitor *m, const struct blob *text)
{
	struct session *s = m->session;
	struct slice line;

	if (s == NULL || s->closing)
		return;
	if (atomic_load(&m->cut)) {
		counter_inc(&s->sl->stats.output_limit_closes);
		s->closing = true;
		conn_close_soon(s->conn);
		return;
	}
	if (!session_may_push(s))
		return;
	line = blob_slice(text);
	out_append(conn_out(s->conn), line.ptr, line.len);
	conn_flush(s->conn);
}

static void
line_arrived(struct loop *l UNUSED, struct loop_task *t)
{
	struct line *line = container_of(t, struct line, task);
	struct monitor *m = line->monitor;

	atomic_fetch_sub(&m->queued, blob_slice(line->text).len);
	deliver(m, line->text);
	blob_unref(line->text);
	mem_free(line);
	monitor_unref(m);
}

/* A line that finds no room or no memory is the last: what comes behind it closes. */
static void
send_over(struct monitor *m, struct blob *text)
{
	size_t len = blob_slice(text).len;
	struct line *line = atomic_load(&m->cut) ? NULL : mem_alloc(sizeof *line);

	if (line == NULL) {
		atomic_store(&m->cut, true);
		return;
	}
	if (atomic_fetch_add(&m->queued, len) > MONITOR_QUEUE_BYTES)
		atomic_store(&m->cut, true);
	*line = (struct line){ .task.run = line_arrived, .monitor = m, .text = blob_ref(text) };
	atomic_fetch_add(&m->refs, 1);
	loop_post(m->server->loops[m->home].loop, &line->task);
}

static bool
wants_key(const struct monitor *m, const struct call *c, const struct command *cmd)
{
	const struct monitor_wanted *w = &m->wanted;
	struct command_keys k = command_keys(cmd, c->argv, c->argc);
	uint64_t steps = MATCH_STEPS;
	struct slice key;

	if (k.n == 0)
		return false;
	key = c->argv[k.first];
	if (w->ns >= 0 && routes_find(store_loop_routes(c->store), key)->stats_id != w->ns)
		return false;
	return w->pattern.ptr == NULL || glob_match(w->pattern, key, false, &steps) == GLOB_YES;
}

static bool
wants(const struct monitor *m, const struct call *c, const struct command *cmd)
{
	const struct monitor_wanted *w = &m->wanted;

	if (w->sample > 1 && draw_below(draw_next(&c->sl->timing.draw), w->sample) != 0)
		return false;
	return (w->pattern.ptr == NULL && w->ns < 0) || wants_key(m, c, cmd);
}

void
monitor_feed(const struct call *c, const struct command *cmd, bool script)
{
	struct blob *text = NULL;

	if (cmd->flags & (CMD_ADMIN | CMD_SKIP_MONITOR))
		return;
	list_foreach(it, &c->sl->watchers) {
		struct monitor *m = list_entry(it, struct watcher, link)->monitor;

		if (!wants(m, c, cmd))
			continue;
		if (text == NULL)
			text = line_of(c, script);
		if (text == NULL)
			atomic_store(&m->cut, true);
		else if (m->home == loop_index(c->sl->loop))
			deliver(m, text);
		else
			send_over(m, text);
	}
	blob_unref(text);
}

void
monitor_run(struct session *s, struct call *c, void (*run)(struct session *s, struct call *c))
{
	struct server_loop *sl = s->sl;
	struct command cmd = *c->cmd;
	bool is_script = strcmp(cmd.group, "scripting") == 0;

	if (is_script) {
		cmd.flags &= ~(uint32_t)CMD_SKIP_MONITOR;
		monitor_feed(c, &cmd, false);
	}
	run(s, c);
	if (!is_script && monitor_is_on(&sl->watchers))
		monitor_feed(c, &cmd, false);
}
