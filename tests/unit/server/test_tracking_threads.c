/* A reader keeps what it reads and drops it when told; a writer on the other loop changes
 * the same keys at the same time. Once the reader has followed all that was sent, what it
 * keeps is what was written last. Over sockets, to a server with two loops. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/internal.h"
#include "unit/suite.h"

#define KEYS 400
#define ROUNDS 300

static struct server *server;
static pthread_t thread;
static char dir[64], path[96];

static struct config *
load_config(void)
{
	char listen[128];
	const struct config_override flags[] = {
		{ "memory", "256MiB" }, { "threads", "2" }, { "listen", listen },
	};
	struct config_error err;
	struct config *cfg;

	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(listen, sizeof listen, "unix:%s", path);
	ck_assert_msg(config_load(NULL, flags, ARRAY_LEN(flags), NULL, &cfg, &err) == 0, "%s",
	    err.text);
	return cfg;
}

static void *
serve(void *arg)
{
	ck_assert_int_eq(server_run(arg, NULL, NULL), 0);
	return NULL;
}

static void
setup(void)
{
	char err[512];

	strcpy(dir, "/tmp/pannier-test-XXXXXX");
	ck_assert(mkdtemp(dir) != NULL);
	ck_assert_msg(server_new(load_config(), NULL, &server, err, sizeof err) == 0, "%s", err);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, server), 0);
}

static void
teardown(void)
{
	server_stop(server);
	pthread_join(thread, NULL);
	server_free(server);
	rmdir(dir);
}

/* --- a client ------------------------------------------------------------------- */

struct client {
	int fd;
	char buf[1 << 16];
	size_t at, end;
};

static void
client_open(struct client *c)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	c->at = c->end = 0;
	strcpy(a.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&a, sizeof a), 0);
}

static void
say(struct client *c, const char *text, size_t n)
{
	ck_assert_int_eq(send(c->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Without its end; good until the next. */
static char *
line(struct client *c)
{
	char *end, *start;

	while ((end = memchr(c->buf + c->at, '\n', c->end - c->at)) == NULL) {
		ssize_t n;

		memmove(c->buf, c->buf + c->at, c->end - c->at);
		c->end -= c->at;
		c->at = 0;
		n = recv(c->fd, c->buf + c->end, sizeof c->buf - c->end, 0);
		ck_assert_int_gt(n, 0);
		c->end += (size_t)n;
	}
	start = c->buf + c->at;
	end[-1] = '\0';
	c->at = (size_t)(end + 1 - c->buf);
	return start;
}

static void
ck_line(struct client *c, const char *expected)
{
	ck_assert_str_eq(line(c), expected);
}

/* --- the reader ----------------------------------------------------------------- */

struct reader {
	struct client c;
	int kept[KEYS]; /* -1: nothing */
	unsigned told;
};

/* Behind the first line of a push: "invalidate" and an array of keys "k12". */
static void
follow(struct reader *r)
{
	int n;

	ck_line(&r->c, "$10");
	ck_line(&r->c, "invalidate");
	n = atoi(line(&r->c) + 1);
	ck_assert_int_gt(n, 0);
	while (n-- > 0) {
		line(&r->c);
		r->kept[atoi(line(&r->c) + 1)] = -1;
		r->told++;
	}
}

/* The first line of the next reply. */
static char *
reply(struct reader *r)
{
	char *first = line(&r->c);

	while (strcmp(first, ">2") == 0) {
		follow(r);
		first = line(&r->c);
	}
	return first;
}

/* A message may be behind one PING, not behind two. */
static void
drain(struct reader *r)
{
	for (int i = 0; i < 2; i++) {
		say(&r->c, "PING\r\n", 6);
		ck_assert_str_eq(reply(r), "+PONG");
	}
}

static pthread_barrier_t together;

static void *
read_rounds(void *arg)
{
	struct reader *r = arg;
	char requests[KEYS * 16];
	int n = 0;

	for (int k = 0; k < KEYS; k++)
		n += sprintf(requests + n, "GET k%d\r\n", k);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&together);
		say(&r->c, requests, (size_t)n);
		for (int k = 0; k < KEYS; k++) {
			bool found = reply(r)[0] == '$';

			r->kept[k] = found ? atoi(line(&r->c)) : -1;
		}
		pthread_barrier_wait(&together);
		drain(r);
		for (int k = 0; k < KEYS; k++)
			ck_assert_msg(r->kept[k] == -1 || r->kept[k] == round, "k%d: %d in round %d", k,
			    r->kept[k], round);
	}
	return NULL;
}

/* Long enough to run beside the reader, and in another order. */
static void
write_rounds(struct client *c)
{
	char requests[KEYS * 24];

	for (int round = 0; round < ROUNDS; round++) {
		int n = 0;

		for (int k = 0; k < KEYS; k++)
			n += sprintf(requests + n, "SET k%d %d\r\n", (7 * k + round) % KEYS, round);
		pthread_barrier_wait(&together);
		say(c, requests, (size_t)n);
		for (int k = 0; k < KEYS; k++)
			ck_line(c, "+OK");
		pthread_barrier_wait(&together);
	}
}

static void
race(const char *mode)
{
	static struct reader r;
	static struct client w;
	pthread_t reading;

	client_open(&r.c);
	client_open(&w); /* the loop that has fewer: the other one */
	for (int k = 0; k < KEYS; k++)
		r.kept[k] = -1;
	say(&r.c, "HELLO 3\r\nECHO x\r\n", 17);
	while (strcmp(line(&r.c), "$1") != 0)
		;
	ck_line(&r.c, "x");
	say(&r.c, mode, strlen(mode));
	ck_line(&r.c, "+OK");
	pthread_barrier_init(&together, NULL, 2);
	ck_assert_int_eq(pthread_create(&reading, NULL, read_rounds, &r), 0);
	write_rounds(&w);
	pthread_join(reading, NULL);
	pthread_barrier_destroy(&together);
	ck_assert_uint_gt(r.told, ROUNDS);
	close(r.c.fd);
	close(w.fd);
}

START_TEST(who_is_told_by_key_keeps_nothing_old)
{
	race("CLIENT TRACKING ON\r\n");
}
END_TEST

START_TEST(who_is_told_by_prefix_keeps_nothing_old)
{
	race("CLIENT TRACKING ON BCAST PREFIX k\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tracking_threads");

	SUITE_ADD_FIXTURE(s, "race", setup, teardown, who_is_told_by_key_keeps_nothing_old,
	    who_is_told_by_prefix_keeps_nothing_old);
	return suite_main(s);
}
