/* fuzz_session.c - any bytes, in pieces of any size, from two clients at once: the
 * whole way from the socket through parser, door, handlers and store and back.
 * Whatever comes, the daemon goes on, every byte that it answers belongs to a reply
 * of its protocol, Redis's or the binary one, and nothing of a client is left when
 * it has gone. With FUZZ_BINARY each client says the preface first.
 *
 * Input: a byte of options (see struct options), one that says how to cut or
 * which allocation fails, and then what is sent; 0xfe passes to the other client. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/binary.h"
#include "proto/resp.h"
#include "server/internal.h"
#include "server/session.h"

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(#cond, __LINE__); \
	} while (0)

NORETURN static void
check_failed(const char *cond, int line)
{
	fprintf(stderr, "fuzz_session.c:%d: %s\n", line, cond);
	abort();
}

/* --- the daemon: one for many inputs ------------------------------------------- */

enum { LISTENER_OPEN, LISTENER_TENANT, LISTENER_PASSWORD, LISTENER_ADMIN, LISTENERS };

#define ROOM_BYTES (28u << 20) /* beside what the fuzzer takes itself */

static struct server *server;
static char dir[] = "/tmp/pannier-fuzz-XXXXXX";

/* %1$s is dir. */
static const char config_text[] =
    "threads: 2\n"
    "log_level: error\n"
    "max_value: 64KiB\n"
    "output_limit: 256KiB\n"
    "listen:\n"
    "  - {unix: \"%1$s/open.sock\"}\n"
    "  - {unix: \"%1$s/tenant.sock\", namespaces: [a]}\n"
    "  - {unix: \"%1$s/password.sock\", password_file: \"%1$s/password\"}\n"
    "  - {unix: \"%1$s/admin.sock\", admin: true}\n"
    "namespaces:\n"
    "  - {prefix: \"a:\"}\n"
    "  - {prefix: \"l:\", coalesce: lease, lease_time: 5ms}\n"
    "  - {prefix: \"o:\", origin: none, path: \"/{rest}\"}\n"
    "origins:\n"
    "  none:\n"
    "    http: {endpoints: [\"http+unix:///nonexistent/sock\"]}\n"
    "    deadline: 20ms\n";

static const char *
path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void
server_begin(void)
{
	char err[512], memory[32];
	const struct config_override flag = { "memory", memory };
	struct config_error why;
	struct config *cfg;

	snprintf(memory, sizeof memory, "%llu",
	    (unsigned long long)memory_resident() + ROOM_BYTES);
	if (config_load(path_of("config.yaml"), &flag, 1, NULL, &cfg, &why) != 0)
		check_failed(why.text, __LINE__);
	if (server_new(cfg, NULL, &server, err, sizeof err) != 0)
		check_failed(err, __LINE__);
}

static void
leave(void)
{
	server_free(server);
	unlink(path_of("config.yaml"));
	unlink(path_of("password"));
	rmdir(dir);
}

static void
set_up(void)
{
	char text[2048];

	CHECK(mkdtemp(dir) != NULL);
	snprintf(text, sizeof text, config_text, dir);
	write_file("config.yaml", text);
	write_file("password", "p");
	server_begin();
	atexit(leave);
}

static void
on_turn_over(struct timer *t)
{
	loop_stop(t->loop);
}

/* A turn of each loop, which does not wait for anything. */
static void
turn(void)
{
	for (unsigned i = 0; i < server->n_loops; i++) {
		struct timer over;

		timer_init(&over, server->loops[i].loop, on_turn_over);
		timer_start(&over, 0);
		loop_run(server->loops[i].loop);
		timer_stop(&over);
	}
}

/* --- clients --------------------------------------------------------------------- */

struct options {
	unsigned listener;
	bool reads_late;   /* nothing, until all is sent */
	unsigned cut;      /* 0: not at all, else pieces of at most so many bytes */
	unsigned fail_nth; /* 0: all allocations succeed */
	bool fail_onwards; /* and all after it */
};

struct client {
	int fd; /* -1: closed */
	char *replies; /* not from mem_alloc(), which fails on purpose */
	size_t n_replies;
};

static struct client clients[2];

static void
client_open(struct client *c, unsigned loop, unsigned listener)
{
	struct server_loop *sl = &server->loops[loop];
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	atomic_fetch_add(&server->clients, 1);
	atomic_fetch_add(&sl->assigned, 1);
	session_new(sl, fds[0], listener_name(server->listeners[listener]));
	*c = (struct client){ .fd = fds[1] };
#ifdef FUZZ_BINARY
	CHECK(send(c->fd, "\xc1\x0a\x92\xa7pannier\x01", 12, 0) == 12);
#endif
}

/* What is there; false: the daemon has closed. */
static bool
client_read(struct client *c)
{
	char data[65536];
	ssize_t n;

	while ((n = recv(c->fd, data, sizeof data, 0)) > 0) {
		c->replies = realloc(c->replies, c->n_replies + (size_t)n);
		CHECK(c->replies != NULL);
		memcpy(c->replies + c->n_replies, data, (size_t)n);
		c->n_replies += (size_t)n;
	}
	return n < 0 && errno == EAGAIN;
}

static void
client_send(struct client *c, const uint8_t *data, size_t n, const struct options *o)
{
	for (int tries = 0; n > 0 && tries < 4; tries++) {
		ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);

		turn();
		if (!o->reads_late)
			client_read(c);
		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			data += sent;
			n -= (size_t)sent;
			tries = 0;
		}
	}
}

/* Behind the answer to the preface, c1 and a frame; ptr NULL: it is not whole. */
static struct slice
behind_preface(struct slice all)
{
	const unsigned char *p = (const unsigned char *)all.ptr + 1;
	size_t len = 0, bytes;

	if (all.len < 2)
		return (struct slice){ NULL, 0 };
	bytes = *p < 0x80 ? 0 : 1u << (*p - 0xcc);
	CHECK(*p < 0x80 || (*p >= 0xcc && *p <= 0xce));
	if (all.len < 2 + bytes)
		return (struct slice){ NULL, 0 };
	if (bytes == 0)
		len = *p;
	for (size_t i = 1; i <= bytes; i++)
		len = len << 8 | p[i];
	return all.len < 2 + bytes + len ? (struct slice){ NULL, 0 } :
	    slice_skip(all, 2 + bytes + len);
}

static void
check_frames(struct slice replies, bool all)
{
	struct binary_parser p = { .max_frame = 64u << 20, .replies = true };
	struct slice left = behind_preface(replies);
	static struct binary_batch b;
	enum parse_status status = PARSE_DONE;
	size_t used;

	CHECK(left.ptr != NULL || !all);
	while (left.len > 0 && status == PARSE_DONE) {
		status = binary_parse(&p, left.ptr, left.len, &b, &used);
		CHECK(status != PARSE_ERROR && (status == PARSE_DONE || !all));
		left = slice_skip(left, used);
	}
}

/* Replies, one behind the other, and at the end perhaps a part of one. */
static void
check_replies(const struct client *c, bool all)
{
	struct slice left = slice_of(c->replies, c->n_replies);
	struct resp_value v;

	if (left.len > 0 && (unsigned char)left.ptr[0] == 0xc1) {
		check_frames(left, all);
		return;
	}
	while (left.len > 0) {
		int64_t len = resp_reply_len(left.ptr, left.len, 64u << 20);
		size_t pos = 0;

		CHECK(len > 0 || (len == 0 && !all));
		if (len == 0)
			break;
		while (resp_reply_next(slice_of(left.ptr, (size_t)len), &pos, &v))
			;
		CHECK(pos == (size_t)len);
		left = slice_skip(left, (size_t)len);
	}
}

static bool
any_session(void)
{
	for (unsigned i = 0; i < server->n_loops; i++)
		if (!list_empty(&server->loops[i].sessions))
			return true;
	return false;
}

/* --- an input ---------------------------------------------------------------------- */

static size_t
piece(const struct options *o, unsigned *seed, size_t left)
{
	if (o->cut == 0)
		return left;
	*seed = *seed * 1103515245 + 12345;
	return MIN((size_t)(1 + (*seed >> 16) % o->cut), left);
}

static void
send_all(const uint8_t *data, size_t n, const struct options *o, unsigned seed)
{
	unsigned who = 0;

	while (n > 0) {
		const uint8_t *pass = memchr(data, 0xfe, n);
		size_t part = piece(o, &seed, pass != NULL ? (size_t)(pass - data) : n);

		if (part > 0)
			client_send(&clients[who], data, part, o);
		data += part;
		n -= part;
		if (data == pass) {
			who = 1 - who;
			data++;
			n--;
		}
	}
}

/* They hear everything that is not held up, hang up, and are forgotten. */
static void
hang_up(bool sound)
{
	for (int k = 0; k < 2; k++)
		shutdown(clients[k].fd, SHUT_WR);
	for (int k = 0; k < 4; k++) {
		turn();
		for (int i = 0; i < 2; i++)
			client_read(&clients[i]);
	}
	for (int k = 0; k < 2; k++) {
		bool closed = !client_read(&clients[k]);

		close(clients[k].fd);
		check_replies(&clients[k], sound && closed);
		free(clients[k].replies);
	}
	for (int k = 0; any_session(); k++) {
		CHECK(k < 100);
		turn();
	}
	CHECK(server->clients == 0);
	for (unsigned i = 0; i < server->n_loops; i++) {
		CHECK(counter_get(&server->loops[i].clients) == 0);
		CHECK(counter_get(&server->loops[i].parked) == 0);
		CHECK(conn_pool_bytes(server->loops[i].pool) == 0);
	}
	for (int kind = 0; kind < PUBSUB_KINDS; kind++)
		CHECK(pubsub_names(server->pubsub, (enum pubsub_kind)kind) == 0);
}

static uint64_t
limit_closes(void)
{
	struct stats_sum_loop sum;

	stats_sum_loop(server->stats, server->n_loops, &sum);
	return (uint64_t)(sum.output_limit_closes + sum.query_limit_closes);
}

static void
converse(const uint8_t *data, size_t n, const struct options *o, unsigned seed)
{
	uint64_t before = limit_closes();

	client_open(&clients[0], 0, o->listener);
	client_open(&clients[1], 1, o->listener);
	mem_fail_nth(o->fail_nth, o->fail_onwards);
	send_all(data, n, o, seed);
	mem_fail_nth(0, 0);
	hang_up(o->fail_nth == 0 && limit_closes() == before);
	store_flush(server->loops[0].store);
	turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const unsigned cuts[] = { 0, 1, 16, 200 };
	struct options o;

	if (n < 3)
		return 0;
	if (server == NULL)
		set_up();
	o = (struct options){
		.listener = data[0] % LISTENERS,
		.reads_late = (data[0] & 4) != 0,
		.cut = cuts[data[0] >> 3 & 3],
		.fail_nth = data[1] >= 128 ? data[1] - 127u : 0,
		.fail_onwards = (data[0] & 32) != 0,
	};
	converse(data + 2, n - 2, &o, data[1]);
	if (o.listener == LISTENER_ADMIN) {
		/* Who changed the configuration did so for itself alone. */
		server_free(server);
		server_begin();
	}
	return 0;
}
