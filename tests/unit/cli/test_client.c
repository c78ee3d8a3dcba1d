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
/* The preface of a daemon, and its replies to the first request. */
#define OFFER "\xc1\x0b\x93\xa7pannier\x01\x80"
#define DONE "\x03\x92\x00\x09"
#define STATS "\x20\x94\x00\x09\x83\xa1" "a\x05\xa1" "b\xa3x:y\xa1" "c\xff" \
	"\x82\xa6Server\x02\xa5Other\x01"

/* A server that answers the first bytes of each connection with `answer`, a
 * byte at a time, and then closes it or, with `hold`, keeps it. */
struct fake {
	char dir[64];
	struct config_listen at;
	int fd, held;
	struct slice answer;
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
			for (size_t i = 0; i < f->answer.len; i++)
				if (send(fd, f->answer.ptr + i, 1, MSG_NOSIGNAL) != 1)
					break; /* the client gave up */
		if (f->hold)
			f->held = fd;
		else
			close(fd);
	}
}

static void
fake_start(struct fake *f, struct slice answer, bool hold)
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

/* INFO's text, or with none PING. */
static int
ask(const struct fake *f, int timeout_ms, struct buf *info, struct config_error *err)
{
	struct client *c = NULL;
	int rc = client_open(&f->at, timeout_ms, &c, err);

	if (rc == 0 && info != NULL)
		rc = client_info(c, "everything", info, err);
	else if (rc == 0)
		rc = client_ping(c, err);
	client_close(c);
	return rc;
}

START_TEST(a_reply_that_comes_in_pieces_is_whole)
{
	struct fake f;
	struct config_error err;

	fake_start(&f, SLICE(OFFER DONE), false);
	ck_assert_int_eq(ask(&f, LONG_MS, NULL, &err), 0);
	fake_stop(&f);
}
END_TEST

START_TEST(statistics_have_the_form_of_info)
{
	struct fake f;
	struct config_error err;
	struct buf text;

	buf_init(&text);
	fake_start(&f, SLICE(OFFER STATS), false);
	ck_assert_int_eq(ask(&f, LONG_MS, &text, &err), 0);
	fake_stop(&f);
	ck_assert(slice_eq(buf_slice(&text),
	    SLICE("# Server\r\na:5\r\nb:x:y\r\n# Other\r\nc:-1\r\n")));
	buf_fini(&text);
}
END_TEST

static void
assert_failure(struct slice answer, bool hold, int timeout_ms, int expected, const char *why)
{
	struct fake f;
	struct config_error err;
	char text[256];

	fake_start(&f, answer, hold);
	ck_assert_int_eq(ask(&f, timeout_ms, NULL, &err), expected);
	snprintf(text, sizeof text, "unix:%s: %s", f.at.path, why);
	ck_assert_str_eq(err.text, text);
	fake_stop(&f);
}

START_TEST(silence_half_a_reply_and_nonsense_are_told_apart)
{
	static const char closed[] = "the sidecar closed the connection";

	assert_failure(SLICE(""), true, 30, -ETIMEDOUT, "no answer within 30 ms");
	assert_failure(SLICE("\xc1\x0b\x93"), true, 30, -ETIMEDOUT, "no answer within 30 ms");
	assert_failure(SLICE(OFFER "\x03\x92"), true, 30, -ETIMEDOUT, "no answer within 30 ms");
	assert_failure(SLICE(""), false, LONG_MS, -ECONNREFUSED, closed);
	assert_failure(SLICE(OFFER "\x03\x92"), false, LONG_MS, -ECONNREFUSED, closed);
	assert_failure(SLICE("HTTP/1.1 400 Bad Request\r\n\r\n"), true, LONG_MS, -EPROTO,
	    "this is no pannier, or it refused: HTTP/1.1 400 Bad Request");
	assert_failure(SLICE(OFFER "\x03\x92\x00\x05"), true, LONG_MS, -EPROTO,
	    "a status that the operation cannot have");
}
END_TEST

START_TEST(a_socket_that_is_not_there_or_dead_is_told)
{
	struct config_error err;
	struct fake f;
	char text[256];

	fake_start(&f, SLICE(""), false);
	shutdown(f.fd, SHUT_RDWR);
	pthread_join(f.thread, NULL);
	close(f.fd);
	ck_assert_int_eq(ask(&f, LONG_MS, NULL, &err), -ECONNREFUSED);
	snprintf(text, sizeof text, "unix:%s: nobody listens there; is pannier running?", f.at.path);
	ck_assert_str_eq(err.text, text);
	unlink(f.at.path);
	ck_assert_int_eq(ask(&f, LONG_MS, NULL, &err), -ECONNREFUSED);
	snprintf(text, sizeof text, "unix:%s: no such socket; is pannier running?", f.at.path);
	ck_assert_str_eq(err.text, text);
	rmdir(f.dir);
	ck_assert_int_eq(client_exit_code(-ECONNREFUSED), EX_UNAVAILABLE);
	ck_assert_int_eq(client_exit_code(-EPROTO), EX_PROTOCOL);
}
END_TEST

static void *
answer_one(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	char seen[64];

	ck_assert_int_gt(read(fd, seen, sizeof seen), 0);
	ck_assert_int_eq(send(fd, OFFER DONE, sizeof OFFER DONE - 1, MSG_NOSIGNAL),
	    sizeof OFFER DONE - 1);
	while (read(fd, seen, sizeof seen) > 0)
		;
	close(fd);
	return NULL;
}

START_TEST(tcp_works_and_a_closed_port_is_told)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char host[] = "127.0.0.1", text[128];
	struct fake f = { .at.host = host };
	socklen_t len = sizeof sa;
	struct config_error err;
	pthread_t thread;

	f.fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(f.fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(getsockname(f.fd, (struct sockaddr *)&sa, &len), 0);
	f.at.port = ntohs(sa.sin_port);
	ck_assert_int_eq(ask(&f, LONG_MS, NULL, &err), -ECONNREFUSED);
	snprintf(text, sizeof text, "tcp:127.0.0.1:%u: nobody listens there; is pannier running?",
	    f.at.port);
	ck_assert_str_eq(err.text, text);
	ck_assert_int_eq(listen(f.fd, 1), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_one, &f.fd), 0);
	ck_assert_int_eq(ask(&f, LONG_MS, NULL, &err), 0);
	pthread_join(thread, NULL);
	close(f.fd);
}
END_TEST

START_TEST(without_memory_asking_fails_cleanly)
{
	struct fake f;
	struct config_error err;
	struct buf text;
	unsigned long n = 0;
	int rc;

	buf_init(&text);
	setenv("PANNIER_PASSWORD", "", 1);
	fake_start(&f, SLICE(OFFER STATS), false);
	do {
		buf_fini(&text);
		mem_fail_nth(++n, 0);
		rc = ask(&f, LONG_MS, &text, &err);
		mem_fail_nth(0, 0);
		if (rc != 0)
			ck_assert_int_eq(rc, -ENOMEM);
	} while (rc != 0 && n < 50);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 3);
	buf_fini(&text);
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
		fake_start(&f, SLICE(""), false);
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
	    statistics_have_the_form_of_info, silence_half_a_reply_and_nonsense_are_told_apart,
	    a_socket_that_is_not_there_or_dead_is_told, tcp_works_and_a_closed_port_is_told,
	    without_memory_asking_fails_cleanly);
	SUITE_ADD(s, "target",
	    addresses_come_from_the_option_then_the_environment_then_the_usual_places,
	    serve_takes_the_first_place_that_can_be_written);
	return suite_main(s);
}
