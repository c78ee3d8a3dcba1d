/* test_libpannier_conn.c - the connection against a server that the test plays itself, byte
 * by byte, with a clock of its own; and the client where the sidecar is away. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "clients/c/src/impl.h"
#include "unit/suite.h"

static char folder[64], path[96];
static int listening, peer;
static struct pannier_options *options;
static struct pannier_conn *conn;
static int64_t clock_ms;

/* What callbacks were told, in order. */
static struct {
	int status[64];
	char value[64][32];
	unsigned n;
} told;

static int64_t
test_now(void)
{
	return clock_ms * 1000;
}

static uint32_t
no_jitter(void *arg)
{
	(void)arg;
	return 0;
}

static void
told_of(void *arg, const struct pannier_reply *r)
{
	(void)arg;
	ck_assert_uint_lt(told.n, 64);
	told.status[told.n] = r->status;
	snprintf(told.value[told.n++], 32, "%.*s", (int)r->value.len, (const char *)r->value.ptr);
}

static void
listen_now(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listening, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(listen(listening, 5), 0);
}

static void
setup(void)
{
	snprintf(folder, sizeof folder, "/tmp/libpannier-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/s", folder);
	memset(&told, 0, sizeof told);
	clock_ms = 1000000;
	peer = -1;
	listen_now();
	options = pannier_options_new();
	options->now_us = test_now;
	options->random = no_jitter;
	ck_assert_int_eq(pannier_options_address(options, path), 0);
	ck_assert_int_eq(pannier_conn_new(options, &conn), 0);
}

static void
teardown(void)
{
	pannier_conn_free(conn);
	pannier_options_free(options);
	if (peer >= 0)
		close(peer);
	close(listening);
	unlink(path);
	rmdir(folder);
	mem_fail_nth(0, 0);
}

/* Until nothing is left to do at this moment. */
static void
turn(void)
{
	for (int i = 0; i < 8; i++) {
		struct pollfd p = { pannier_conn_fd(conn), 0, 0 };
		int events = pannier_conn_events(conn);

		p.events = (short)((events & PANNIER_READ ? POLLIN : 0) |
		    (events & PANNIER_WRITE ? POLLOUT : 0));
		if (poll(&p, 1, 0) <= 0)
			p.revents = 0;
		pannier_conn_step(conn, (p.revents & (POLLIN | POLLHUP) ? PANNIER_READ : 0) |
		    (p.revents & POLLOUT ? PANNIER_WRITE : 0));
	}
}

static void
answer(const char *data, size_t len)
{
	ck_assert_int_eq(send(peer, data, len, MSG_NOSIGNAL), (ssize_t)len);
	turn();
}
#define ANSWER(s) answer(s, sizeof(s) - 1)

static void
wants(const char *data, size_t len)
{
	char have[4096];
	ssize_t n = recv(peer, have, sizeof have, MSG_DONTWAIT);

	ck_assert_int_eq(n, (ssize_t)len);
	ck_assert_int_eq(memcmp(have, data, len), 0);
}
#define WANTS(s) wants(s, sizeof(s) - 1)

/* The client's preface goes unread by the test but for its first byte. */
static void
accept_it(void)
{
	char hello[256];

	turn();
	if (peer >= 0)
		close(peer);
	peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	turn();
	ck_assert_int_gt(recv(peer, hello, sizeof hello, MSG_DONTWAIT), 10);
	ck_assert_int_eq((unsigned char)hello[0], BINARY_MAGIC);
}

static int
ask(enum pannier_op op, const char *key)
{
	return pannier_send(conn, &(struct pannier_request){ .op = op, .key = pannier_str(key) },
	    told_of, NULL, NULL);
}

#define OFFER "\xc1\x0b\x93\xa7pannier\x01\x80"

static void
opened(void)
{
	told.n = 0;
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	accept_it();
	ANSWER(OFFER);
	WANTS("\x06\x93\x06\x00\xc4\x01k");
	ANSWER("\x03\x92\x00\x05");
	ck_assert_int_eq(told.status[0], PANNIER_MISS);
	told.n = 0;
}

START_TEST(requests_wait_for_the_preface_and_replies_come_in_any_order)
{
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "a"), 0);
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "b"), 0);
	ck_assert_int_eq(ask(PANNIER_OP_PING, "c"), 0);
	accept_it();
	ck_assert_uint_eq(pannier_conn_pending(conn), 3);
	for (size_t i = 0; i < sizeof OFFER - 1; i++)
		answer(OFFER + i, 1);
	WANTS("\x06\x93\x06\x00\xc4\x01" "a\x06\x93\x06\x01\xc4\x01" "b\x06\x93\x0e\x02\xc4\x01" "c");
	ANSWER("\x06\x93\x02\x09\xc4\x01" "c\x03\x92\x01\x05\x03\x92\x00\x05");
	ck_assert_uint_eq(told.n, 3);
	ck_assert_int_eq(told.status[0], PANNIER_DONE);
	ck_assert_str_eq(told.value[0], "c");
	ck_assert_int_eq(told.status[2], PANNIER_MISS);
	ck_assert_uint_eq(pannier_conn_pending(conn), 0);
	ck_assert_int_eq(pannier_conn_wait_ms(conn), 1000);
}
END_TEST

START_TEST(a_password_comes_first)
{
	struct pannier_conn *open = conn;

	ck_assert_int_eq(pannier_options_password(options, pannier_str("pw")), 0);
	ck_assert_int_eq(pannier_conn_new(options, &conn), 0);
	pannier_conn_free(open);
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	accept_it();
	ANSWER(OFFER);
	WANTS("\x0b\x93\x10\xce\xff\xff\xff\xff\xc4\x02pw");
	ANSWER("\x07\x92\xce\xff\xff\xff\xff\x09");
	WANTS("\x06\x93\x06\x00\xc4\x01k");
	close(peer);
	peer = -1;
	turn();
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	accept_it();
	ANSWER(OFFER);
	WANTS("\x0b\x93\x10\xce\xff\xff\xff\xff\xc4\x02pw");
	ANSWER("\x13\x94\xce\xff\xff\xff\xff\x0f\xa9WRONGPASS\xa1n");
	ck_assert_uint_eq(told.n, 2);
	ck_assert_int_eq(told.status[1], PANNIER_ERROR);
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), PANNIER_E_AWAY);
}
END_TEST

START_TEST(while_it_is_away_calls_fail_at_once_and_attempts_come_ever_more_rarely)
{
	close(listening);
	for (int wait = 50 / 2, i = 0; i < 9; i++) {
		ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), PANNIER_E_AWAY);
		ck_assert_str_ne(pannier_conn_reason(conn), "the sidecar could not be reached a moment ago");
		clock_ms += wait - 1;
		ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), PANNIER_E_AWAY);
		ck_assert_str_eq(pannier_conn_reason(conn), "the sidecar could not be reached a moment ago");
		clock_ms += 1;
		wait = MIN(2 * wait, 1000);
	}
	unlink(path);
	listen_now();
	opened();
	ck_assert_uint_eq(told.n, 0);
}
END_TEST

START_TEST(a_request_whose_time_is_over_is_cancelled_and_its_reply_ignored)
{
	opened();
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	turn();
	WANTS("\x06\x93\x06\x00\xc4\x01k");
	clock_ms += 999;
	turn();
	ck_assert_uint_eq(told.n, 0);
	ck_assert_int_eq(pannier_conn_wait_ms(conn), 1);
	clock_ms += 1;
	turn();
	ck_assert_uint_eq(told.n, 1);
	ck_assert_int_eq(told.status[0], PANNIER_E_TIMEOUT);
	WANTS("\x04\x93\x0f\x01\x00");
	ANSWER("\x03\x92\x00\x05\x03\x92\x01\x05");
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	ANSWER("\x03\x92\x01\x05");
	ck_assert_uint_eq(told.n, 2);
	ck_assert_int_eq(told.status[1], PANNIER_MISS);
}
END_TEST

START_TEST(a_server_that_says_nothing_is_left_after_the_connect_timeout)
{
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	accept_it();
	ck_assert_int_eq(pannier_conn_wait_ms(conn), 250);
	clock_ms += 250;
	turn();
	ck_assert_int_eq(told.status[0], PANNIER_E_AWAY);
	ck_assert_int_eq(pannier_conn_fd(conn), -1);
}
END_TEST

static void
ends_with(const char *data, size_t len, int status)
{
	unsigned before = told.n;

	answer(data, len);
	ck_assert_uint_eq(told.n, before + 1);
	ck_assert_int_eq(told.status[before], status);
	ck_assert_int_eq(pannier_conn_fd(conn), -1);
}

START_TEST(what_is_no_pannier_and_what_refuses_says_why)
{
	static const struct {
		const char *said;
		size_t len;
		const char *reason;
	} others[] = {
		{ "-ERR max number\r\n", 17, "this is no pannier, or it refused: -ERR max number" },
		{ "\xc1\x12\x93\xa7pannier\x00\x81\xa5" "error\xa0", 20, "the server refused: " },
		{ "\xc1\x0b\x93\xa7pannier\x02\x80", 13, "the server chose a version that was not offered" },
		{ "\xc1\x93", 2, "the answer to the preface is none" },
		{ "\xc1\x03\x92\x00\x05", 5, "the answer to the preface is none" },
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
		accept_it();
		ends_with(others[i].said, others[i].len, PANNIER_E_PROTOCOL);
		ck_assert_str_eq(pannier_conn_reason(conn), others[i].reason);
		clock_ms += 2000;
	}
}
END_TEST

START_TEST(what_breaks_the_stream_ends_the_connection_and_the_next_request_opens_it)
{
	static const struct {
		const char *said;
		size_t len;
	} broken[] = {
		{ "\x03\x92\x02\x05", 4 }, { "\x00", 1 }, { "\x93", 1 }, { "\x05\x93\xa1k\x05\xc0", 6 },
		{ "\x0c\x94\xc0\x0f\xa8PROTOCOL\xa1w", 15 }, { "\x04\x93\x00\x05\xc1", 5 },
	};

	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		opened();
		ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
		turn();
		ends_with(broken[i].said, broken[i].len, PANNIER_E_PROTOCOL);
	}
}
END_TEST

static void
asks_again(void *arg, const struct pannier_reply *r)
{
	told_of(arg, r);
	(void)ask(PANNIER_OP_PEEK, "again");
}

START_TEST(a_callback_may_send_also_when_the_connection_ends)
{
	struct pannier_request r = { .op = PANNIER_OP_PEEK, .key = pannier_str("k") };

	opened();
	ck_assert_int_eq(pannier_send(conn, &r, asks_again, NULL, NULL), 0);
	turn();
	close(peer);
	peer = -1;
	turn();
	ck_assert_int_eq(told.status[0], PANNIER_E_AWAY);
	ck_assert_uint_eq(pannier_conn_pending(conn), 1);
	accept_it();
	ANSWER(OFFER "\x03\x92\x00\x05");
	ck_assert_int_eq(told.status[1], PANNIER_MISS);
	ck_assert_int_eq(pannier_send(conn, &r, asks_again, NULL, NULL), 0);
	pannier_conn_free(conn);
	ck_assert_uint_eq(told.n, 3);
	ck_assert_int_eq(pannier_conn_new(options, &conn), 0);
}
END_TEST

START_TEST(what_the_sidecar_would_close_for_fails_alone)
{
	static char big[5000];
	struct pannier_request r = { .op = PANNIER_OP_SET, .key = pannier_str("k"),
		.value = pannier_bytes(big, sizeof big) };

	ck_assert_int_eq(pannier_send(conn, &r, told_of, NULL, NULL), 0);
	ck_assert_int_eq(ask(PANNIER_OP_PEEK, "k"), 0);
	accept_it();
	ANSWER("\xc1\x18\x93\xa7pannier\x01\x81\xa9max_frame\xcd\x10\x00");
	ck_assert_uint_eq(told.n, 1);
	ck_assert_int_eq(told.status[0], PANNIER_E_ARGS);
	WANTS("\x06\x93\x06\x01\xc4\x01k");
	ck_assert_int_eq(pannier_send(conn, &r, told_of, NULL, NULL), PANNIER_E_ARGS);
	ANSWER("\x03\x92\x01\x05");
	ck_assert_int_eq(told.status[1], PANNIER_MISS);
}
END_TEST

/* One exchange, of which anything may fail for lack of memory. */
static void
exchange(void)
{
	int rc = ask(PANNIER_OP_PEEK, "k");

	if (rc != 0) {
		ck_assert_int_eq(rc, PANNIER_E_NOMEM);
		return;
	}
	turn();
	peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	(void)!send(peer, OFFER "\x03\x92\x00\x05", sizeof OFFER + 3, MSG_NOSIGNAL);
	turn();
}

START_TEST(whichever_allocation_fails_every_callback_comes_once)
{
	for (unsigned long n = 1;; n++) {
		unsigned long seen;
		int rc;

		pannier_conn_free(conn);
		conn = NULL;
		told.n = 0;
		clock_ms += 5000;
		mem_fail_nth(n, 0);
		rc = pannier_conn_new(options, &conn);
		ck_assert(rc == 0 || rc == PANNIER_E_NOMEM);
		if (rc == 0)
			exchange();
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		if (peer >= 0)
			close(peer);
		peer = -1;
		/* Of a connection whose request came to nothing. */
		while (poll(&(struct pollfd){ listening, POLLIN, 0 }, 1, 0) > 0)
			close(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
		if (rc != 0)
			ck_assert_int_eq(pannier_conn_new(options, &conn), 0);
		ck_assert_uint_eq(pannier_conn_pending(conn), 0);
		ck_assert_uint_le(told.n, 1);
		if (seen < n)
			break;
	}
	ck_assert_int_eq(told.status[0], PANNIER_MISS);
}
END_TEST

/* --- the client, where nobody listens ------------------------------------------------ */

static int
loads(void *arg, struct pannier_bytes key, struct pannier_load *into)
{
	ck_assert_uint_eq(key.len, 1);
	return arg != NULL ? *(int *)arg : pannier_load_put(into, "lo", 2) | pannier_load_put(into, "aded", 4);
}

START_TEST(without_a_sidecar_it_loads_directly)
{
	struct pannier_client *c;
	struct pannier_reply *r;
	int seven = 7;

	close(listening);
	ck_assert_int_eq(pannier_client_new(options, &c), 0);
	ck_assert_int_eq(pannier_get(c, pannier_str("k"), &r), PANNIER_E_AWAY);
	ck_assert_ptr_null(r);
	ck_assert_ptr_nonnull(strstr(pannier_client_error(c), "is pannier running?"));
	ck_assert_int_eq(pannier_get_or_load(c, pannier_str("k"), NULL, loads, NULL, &r), PANNIER_FILLED);
	ck_assert_uint_eq(r->value.len, 6);
	ck_assert_int_eq(memcmp(r->value.ptr, "loaded", 6), 0);
	pannier_reply_free(r);
	ck_assert_int_eq(pannier_get_or_load(c, pannier_str("k"), NULL, loads, &seven, &r),
	    PANNIER_E_LOADER);
	ck_assert_int_eq(r->number, 7);
	pannier_reply_free(r);
	ck_assert_int_eq(pannier_get_or_load(c, pannier_str("k"), &(struct pannier_how){ .ttl_ms = -1 },
	    loads, NULL, &r), PANNIER_E_ARGS);
	pannier_client_free(c);
}
END_TEST

START_TEST(addresses_are_looked_at_before_they_are_used)
{
	static const char *const good[] = { "/a", "./a", "unix:a", "tcp:h:1", "tcp:[::1]:65535" };
	static const char *const bad[] = { "", "a", "unix:", "tcp:", "tcp:h", "tcp::1", "tcp:h:0",
		"tcp:h:65536", "tcp:h:1x" };
	char longest[200];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(pannier_options_address(options, good[i]) == 0, "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(pannier_options_address(options, bad[i]) == PANNIER_E_ARGS, "%s", bad[i]);
	memset(longest, '/', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	ck_assert_int_eq(pannier_options_address(options, longest), PANNIER_E_ARGS);
	ck_assert_int_eq(pannier_options_timeout(options, 0), PANNIER_E_ARGS);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("libpannier: connection");

	SUITE_ADD_FIXTURE(s, "connection", setup, teardown,
	    requests_wait_for_the_preface_and_replies_come_in_any_order, a_password_comes_first,
	    while_it_is_away_calls_fail_at_once_and_attempts_come_ever_more_rarely,
	    a_request_whose_time_is_over_is_cancelled_and_its_reply_ignored,
	    a_server_that_says_nothing_is_left_after_the_connect_timeout,
	    what_is_no_pannier_and_what_refuses_says_why,
	    what_breaks_the_stream_ends_the_connection_and_the_next_request_opens_it,
	    a_callback_may_send_also_when_the_connection_ends,
	    what_the_sidecar_would_close_for_fails_alone,
	    whichever_allocation_fails_every_callback_comes_once,
	    without_a_sidecar_it_loads_directly, addresses_are_looked_at_before_they_are_used);
	return suite_main(s);
}
