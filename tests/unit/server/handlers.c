#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/tracking.h"

#define REPLY_MAX (4u << 20)
#define WORDS_MAX 64

static const char config_text[] =
    "namespaces:\n"
    "  - prefix: \"odd:\"\n"
    "    ttl: 10s\n";

struct server *server;
struct session *session;
int64_t now_ms;
static char dir[64];
static int peer_fd;
static char reply_text[REPLY_MAX + 1];

static struct config *
load_config(void)
{
	char path[128], listen[128];
	const struct config_override flags[] = {
		{ "memory", "64MiB" }, { "threads", "2" }, { "listen", listen },
	};
	struct config_error err;
	struct config *cfg;
	FILE *f;

	snprintf(path, sizeof path, "%s/config.yaml", dir);
	snprintf(listen, sizeof listen, "unix:%s/test.sock", dir);
	f = fopen(path, "w");
	ck_assert(f != NULL);
	ck_assert_int_ge(fputs(config_text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_msg(config_load(path, flags, ARRAY_LEN(flags), NULL, &cfg, &err) == 0, "%s",
	    err.text);
	ck_assert_int_eq(unlink(path), 0);
	return cfg;
}

static bool
connected(void)
{
	return !list_empty(&server->loops[0].sessions);
}

static void
connect_session(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	peer_fd = fds[1];
	atomic_fetch_add(&server->clients, 1);
	atomic_fetch_add(&server->loops[0].assigned, 1);
	session_new(&server->loops[0], fds[0], "unix:/tmp/test.sock");
	ck_assert(connected());
	session = list_entry(server->loops[0].sessions.next, struct session, link);
}

void
handlers_setup(void)
{
	char err[512];

	strcpy(dir, "/tmp/pannier-test-XXXXXX");
	ck_assert(mkdtemp(dir) != NULL);
	ck_assert_msg(server_new(load_config(), NULL, &server, err, sizeof err) == 0, "%s", err);
	connect_session();
	now_ms = 1000000000;
}

void
handlers_teardown(void)
{
	server_free(server);
	close(peer_fd);
	rmdir(dir);
}

/* --- requests ---------------------------------------------------------------- */

static size_t
copy_out(struct out *o, size_t at)
{
	struct iovec iov[16];
	int n;

	while ((n = out_iov(o, iov, ARRAY_LEN(iov))) > 0)
		for (int i = 0; i < n; i++) {
			ck_assert_uint_le(at + iov[i].iov_len, REPLY_MAX);
			memcpy(reply_text + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
			out_consume(o, iov[i].iov_len);
		}
	return at;
}

static void
stop_loop(struct timer *t)
{
	loop_stop(t->loop);
}

/* Timers that are due by then fire, and what comes of it is done. */
static void
turn(struct loop *l, int64_t delay_ms)
{
	struct timer last;

	timer_init(&last, l, stop_loop);
	timer_start(&last, delay_ms);
	loop_run(l);
}

/* A reply that comes later goes by way of the connection, which is closed
 * where there is no memory for it. */
static void
await_parked(void)
{
	size_t at = 0;
	ssize_t n;

	for (int turns = 0; connected() && session->n_parked > 0; turns++) {
		ck_assert_int_lt(turns, 100);
		for (unsigned i = 0; i < server->n_loops; i++)
			loop_run_tasks(server->loops[i].loop);
		for (unsigned i = 0; i < server->n_loops && connected() &&
		     session->n_parked > 0; i++)
			turn(server->loops[i].loop, turns > 10);
	}
	if (connected())
		at = copy_out(conn_out(session->conn), 0);
	while ((n = recv(peer_fd, reply_text + at, REPLY_MAX - at, 0)) > 0)
		at += (size_t)n;
	reply_text[at] = '\0';
	if (!connected()) {
		close(peer_fd);
		connect_session();
		strcpy(reply_text, "closed");
	}
}

static void
run_handler(struct call *c)
{
	bool tracks = tracking_is_on(session);

	if (!tracks || tracking_before(c))
		command_handlers[c->cmd->id](c);
	if (tracks)
		tracking_after(c);
}

static void
run(struct call *c)
{
	switch (command_find(c->argv, c->argc, &c->cmd)) {
	case COMMAND_FOUND:
		session->last_cmd = c->cmd;
		run_handler(c);
		break;
	case COMMAND_WRONG_ARITY:
		call_wrong_args(c);
		break;
	default:
		ck_abort_msg("no such command: %.*s", (int)c->argv[0].len, c->argv[0].ptr);
	}
}

const char *
ask_args(const struct slice *argv, uint32_t argc)
{
	struct server_loop *sl = session->sl;
	struct out out;
	struct reply reply = { .out = &out, .wire = session->wire };
	struct call c = {
		.argv = argv,
		.argc = argc,
		.hash = argc > 1 ? store_hash(sl->store, argv[1]) : 0,
		.reply = &reply,
		.now_ms = now_ms,
		.store = sl->store,
		.session = session,
		.sl = sl,
	};

	out_init(&out);
	store_loop_set_now(sl->store, now_ms);
	run(&c);
	if (out_failed(&out)) {
		/* Such a connection is closed, with whatever was written. */
		strcpy(reply_text, "closed");
	} else if (session->n_parked > 0) {
		await_parked();
	} else {
		reply_text[copy_out(&out, 0)] = '\0';
	}
	out_fini(&out);
	return reply_text;
}

const char *
ask(const char *line)
{
	struct slice argv[WORDS_MAX];
	uint32_t argc = 0;

	for (const char *p = line; *p != '\0';) {
		size_t n = strcspn(p, " ");

		ck_assert_uint_lt(argc, WORDS_MAX);
		argv[argc++] = n == 2 && memcmp(p, "''", 2) == 0 ? SLICE("") : slice_of(p, n);
		p += n + (p[n] == ' ');
	}
	return ask_args(argv, argc);
}

struct session *
client_new(unsigned loop, int *peer)
{
	struct server_loop *sl = &server->loops[loop];
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*peer = fds[1];
	atomic_fetch_add(&server->clients, 1);
	atomic_fetch_add(&sl->assigned, 1);
	session_new(sl, fds[0], "unix:/tmp/test.sock");
	return list_entry(sl->sessions.prev, struct session, link);
}

const char *
client_received(int peer)
{
	ssize_t n;

	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < server->n_loops; i++)
			loop_run_tasks(server->loops[i].loop);
	n = recv(peer, reply_text, REPLY_MAX, 0);
	reply_text[n > 0 ? n : 0] = '\0';
	if (n == 0)
		strcpy(reply_text, "closed");
	return reply_text;
}

unsigned
ask_without_memory(const char *before, const char *line, const char *good, const char *check,
    const char *unchanged)
{
	unsigned failed = 0;

	for (unsigned long n = 1;; n++) {
		unsigned long seen;
		const char *reply;

		ask(before);
		mem_fail_nth(n, 0);
		reply = ask(line);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		if (seen < n)
			return failed;
		if (strncmp(reply, good, strlen(good)) == 0)
			continue;
		ck_assert_msg(strncmp(reply, "-OOM", 4) == 0 || strcmp(reply, "closed") == 0,
		    "%s: %s", line, reply);
		failed++;
		if (check != NULL && reply[0] == '-')
			ck_reply(check, unchanged);
	}
}
