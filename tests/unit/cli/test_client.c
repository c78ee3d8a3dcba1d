#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/target.h"

#define LONG_MS 20000 /* never waited for: the answer comes */

/* A server that answers the first bytes of each connection with `answer`, a
 * byte at a time, and then closes it or, with `hold`, keeps it. */
struct fake {
	char dir[64];
	struct config_listen at;
	int fd, held;
	const char *answer;
	bool hold;
	pthread_t thread;
};

static void *
fake_main(void *arg)
{
	struct fake *f = arg;
	char seen[256];

	for (;;) {
		int fd = accept(f->fd, NULL, NULL);

		if (fd < 0)
			return NULL;
		if (read(fd, seen, sizeof seen) > 0)
			for (const char *p = f->answer; *p != '\0'; p++)
				if (send(fd, p, 1, MSG_NOSIGNAL) != 1)
					break; /* the client gave up */
		if (f->hold)
			f->held = fd;
		else
			close(fd);
	}
}

static void
fake_start(struct fake *f, const char *answer, bool hold)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	static char path[108];

	*f = (struct fake){ .answer = answer, .hold = hold, .held = -1 };
	strcpy(f->dir, "/tmp/pannier-client-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	snprintf(path, sizeof path, "%s/s", f->dir);
	f->at = (struct config_listen){ .is_unix = true, .path = path };
	strcpy(sa.sun_path, path);
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(f->fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(f->fd, 8), 0);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

static void
fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR); /* wakes accept() */
	pthread_join(f->thread, NULL);
	close(f->fd);
	if (f->held >= 0)
		close(f->held);
	unlink(f->at.path);
	ck_assert_int_eq(rmdir(f->dir), 0);
}

static int
ask(const struct fake *f, int timeout_ms, char *answer, size_t size, struct config_error *err)
{
	const struct slice request = SLICE("PING");
	struct client *c = NULL;
	struct slice reply;
	int rc = client_open(&f->at, timeout_ms, &c, err);

	ck_assert_msg(rc == 0, "%s", err->text);
	rc = client_ask(c, &request, 1, &reply, err);
	if (rc == 0)
		snprintf(answer, size, "%.*s", (int)reply.len, reply.ptr);
	client_close(c);
	return rc;
}

START_TEST(a_reply_that_comes_in_pieces_is_whole)
{
	struct fake f;
	struct config_error err;
	char answer[64] = "";

	fake_start(&f, "*2\r\n$3\r\nabc\r\n:5\r\n", false);
	ck_assert_int_eq(ask(&f, LONG_MS, answer, sizeof answer, &err), 0);
	ck_assert_str_eq(answer, "*2\r\n$3\r\nabc\r\n:5\r\n");
	fake_stop(&f);
}
END_TEST

static void
assert_failure(const char *answer, bool hold, int timeout_ms, int expected, const char *why)
{
	struct fake f;
	struct config_error err;
	char got[64], text[256];

	fake_start(&f, answer, hold);
	ck_assert_int_eq(ask(&f, timeout_ms, got, sizeof got, &err), expected);
	snprintf(text, sizeof text, "unix:%s: %s", f.at.path, why);
	ck_assert_str_eq(err.text, text);
	fake_stop(&f);
}

START_TEST(silence_half_a_reply_and_nonsense_are_told_apart)
{
	assert_failure("", true, 30, -ETIMEDOUT, "no answer within 30 ms");
	assert_failure("$5\r\nab", true, 30, -ETIMEDOUT, "no answer within 30 ms");
	assert_failure("", false, LONG_MS, -ECONNRESET, "closed the connection without an answer");
	assert_failure("$5\r\nab", false, LONG_MS, -ECONNRESET,
	    "closed the connection without an answer");
	assert_failure("HTTP/1.1 400 Bad Request\r\n\r\n", true, LONG_MS, -EPROTO,
	    "what answers there does not speak Redis's protocol");
}
END_TEST

START_TEST(a_socket_that_is_not_there_or_dead_is_told)
{
	struct config_listen at = { .is_unix = true };
	struct config_error err;
	struct client *c = NULL;
	struct fake f;
	char path[108], text[256];

	fake_start(&f, "", false);
	snprintf(path, sizeof path, "%s", f.at.path);
	at.path = path;
	shutdown(f.fd, SHUT_RDWR);
	pthread_join(f.thread, NULL);
	close(f.fd);
	ck_assert_int_eq(client_open(&at, LONG_MS, &c, &err), -ECONNREFUSED);
	snprintf(text, sizeof text, "unix:%s: nobody listens there; is pannier running?", path);
	ck_assert_str_eq(err.text, text);
	unlink(path);
	ck_assert_int_eq(client_open(&at, LONG_MS, &c, &err), -ENOENT);
	snprintf(text, sizeof text, "unix:%s: no such socket; is pannier running?", path);
	ck_assert_str_eq(err.text, text);
	rmdir(f.dir);
	ck_assert_int_eq(client_exit_code(-ENOENT), EX_UNAVAILABLE);
	ck_assert_int_eq(client_exit_code(-EPROTO), EX_PROTOCOL);
	ck_assert_ptr_null(c);
}
END_TEST

START_TEST(tcp_works_and_a_closed_port_is_told)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char host[] = "127.0.0.1", text[128];
	struct config_listen at = { .host = host };
	socklen_t len = sizeof sa;
	struct config_error err;
	struct client *c = NULL;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	at.port = ntohs(sa.sin_port);
	ck_assert_int_eq(client_open(&at, LONG_MS, &c, &err), -ECONNREFUSED);
	snprintf(text, sizeof text, "tcp:127.0.0.1:%u: nobody listens there; is pannier running?",
	    at.port);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(client_open(&at, LONG_MS, &c, &err), 0);
	client_close(c);
	close(fd);
}
END_TEST

START_TEST(without_memory_asking_fails_cleanly)
{
	struct fake f;
	struct config_error err;
	char answer[64] = "";
	unsigned long n = 0;
	const struct slice request = SLICE("PING");
	struct slice reply;
	int rc;

	fake_start(&f, "+PONG\r\n", false);
	do {
		struct client *c = NULL;

		mem_fail_nth(++n, 0);
		rc = client_open(&f.at, LONG_MS, &c, &err);
		if (rc == 0)
			rc = client_ask(c, &request, 1, &reply, &err);
		mem_fail_nth(0, 0);
		if (rc == 0)
			snprintf(answer, sizeof answer, "%.*s", (int)reply.len, reply.ptr);
		else
			ck_assert_int_eq(rc, -ENOMEM);
		client_close(c);
	} while (rc != 0 && n < 50);
	ck_assert_str_eq(answer, "+PONG\r\n");
	ck_assert_uint_gt(n, 3);
	fake_stop(&f);
}
END_TEST

START_TEST(addresses_come_from_the_option_then_the_environment_then_the_usual_places)
{
	struct config_listen to;
	struct config_error err;
	struct fake f;
	char dir[] = "/tmp/pannier-target-XXXXXX", path[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	setenv("PANNIER_LISTEN", "  tcp:127.0.0.1:7 unix:/y", 1);
	ck_assert_int_eq(target_to_ask("/a,b", &to, &err), 0);
	ck_assert_str_eq(to.path, "/a,b");
	config_listen_fini(&to);
	ck_assert_int_eq(target_to_ask("unix:/a", &to, &err), 0);
	ck_assert_str_eq(to.path, "/a");
	config_listen_fini(&to);
	ck_assert_int_eq(target_to_ask("tcp:nowhere", &to, &err), -EINVAL);
	ck_assert_int_eq(target_to_ask(NULL, &to, &err), 0);
	ck_assert_uint_eq(to.port, 7);
	config_listen_fini(&to);

	/* A file is no socket; a socket is. */
	setenv("PANNIER_LISTEN", " ", 1);
	snprintf(path, sizeof path, "%s/pannier.sock", dir);
	fclose(fopen(path, "w"));
	if (access("/run/pannier/pannier.sock", F_OK) != 0) {
		ck_assert_int_eq(target_to_ask(NULL, &to, &err), -ENOENT);
		ck_assert_ptr_nonnull(strstr(err.text, path));
		unlink(path);
		fake_start(&f, "", false);
		ck_assert_int_eq(link(f.at.path, path), 0);
		ck_assert_int_eq(target_to_ask(NULL, &to, &err), 0);
		ck_assert_str_eq(to.path, path);
		config_listen_fini(&to);
		fake_stop(&f);
	}
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(serve_takes_the_first_place_that_can_be_written)
{
	char dir[] = "/tmp/pannier-target-XXXXXX", out[160], expected[160];

	if (access("/run/pannier", W_OK) == 0)
		return;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	target_to_listen(out, sizeof out);
	snprintf(expected, sizeof expected, "unix:%s/pannier.sock", dir);
	ck_assert_str_eq(out, expected);
	rmdir(dir);
	target_to_listen(out, sizeof out);
	snprintf(expected, sizeof expected, "unix:/tmp/pannier-%u.sock,mode=0600",
	    (unsigned)geteuid());
	ck_assert_str_eq(out, expected);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	target_to_listen(out, sizeof out);
	ck_assert_str_eq(out, expected);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client");

	SUITE_ADD(s, "client", a_reply_that_comes_in_pieces_is_whole,
	    silence_half_a_reply_and_nonsense_are_told_apart,
	    a_socket_that_is_not_there_or_dead_is_told, tcp_works_and_a_closed_port_is_told,
	    without_memory_asking_fails_cleanly);
	SUITE_ADD(s, "target",
	    addresses_come_from_the_option_then_the_environment_then_the_usual_places,
	    serve_takes_the_first_place_that_can_be_written);
	return suite_main(s);
}
