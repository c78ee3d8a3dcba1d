/* Answers, good and bad, byte by byte. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "unit/origin/scripted.h"
#include "unit/origin/world.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define LEN(n) "Content-Length: " #n "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static struct world world;
static struct scripted *server;

static void
begin(script *run, const void *arg)
{
	server = scripted_start(NULL, run, (void *)arg);
	world_open(&world, scripted_url(server));
}

static void
end(void)
{
	world_close(&world);
	scripted_stop(server);
}

/* What one answer, after which the origin closes, is taken for. */
static void
closing_answer_fails(const char *bytes, const char *error_part)
{
	begin(script_answer_and_close, bytes);
	check_failed(world_get(&world, "user:1", LONG_MS), error_part);
	end();
}

/* Likewise, and the origin keeps the connection. */
static void
answer_fails(const char *bytes, const char *error_part)
{
	begin(script_answer, bytes);
	check_failed(world_get(&world, "user:1", LONG_MS), error_part);
	end();
}

static void
answer_is(const char *bytes, const char *body)
{
	begin(script_answer_and_close, bytes);
	check_ok(world_get(&world, "user:1", LONG_MS), body);
	end();
}

START_TEST(a_200_is_a_value_with_its_ttl)
{
	const struct answer *a;

	begin(script_answer, OK LEN(5) "Cache-Control: max-age=60\r\n\r\nhello");
	a = world_get(&world, "user:1", LONG_MS);
	check_ok(a, "hello");
	ck_assert_int_gt(a->ttl_ms, 0);
	ck_assert_int_le(a->ttl_ms, 60000);
	ck_assert_int_eq(counter_get(&world.stats.requests), 1);
	ck_assert_int_eq(counter_get(&world.stats.errors), 0);
	ck_assert_int_eq(counter_get(&world.stats.bytes), 5);
	ck_assert_int_eq(counter_get(&world.stats.latency_us.count), 1);
	end();
}
END_TEST

START_TEST(a_200_that_says_nothing_has_no_ttl)
{
	begin(script_answer, OK LEN(0) "\r\n");
	check_ok(world_get(&world, "user:1", LONG_MS), "");
	ck_assert_int_eq(world.answers[0].ttl_ms, ORIGIN_TTL_UNSAID);
	end();
}
END_TEST

START_TEST(no_store_has_a_ttl_of_zero)
{
	begin(script_answer, OK LEN(1) "Cache-Control: no-store\r\n\r\nx");
	check_ok(world_get(&world, "user:1", LONG_MS), "x");
	ck_assert_int_eq(world.answers[0].ttl_ms, 0);
	end();
}
END_TEST

static char seen[4096];

static void
script_remember(struct scripted_conn *c)
{
	while (conn_request(c)) {
		snprintf(seen, sizeof seen, "%.4000s", c->request);
		conn_send(c, OK LEN(0) "\r\n");
	}
}

START_TEST(the_request_is_plain)
{
	setenv("http_proxy", "http://127.0.0.1:1/", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
	begin(script_remember, NULL);
	check_ok(world_get(&world, "user:a b/../c", LONG_MS), "");
	end();
	ck_assert_ptr_eq(strstr(seen, "GET /users/a%20b%2F..%2Fc HTTP/1.1\r\n"), seen);
	ck_assert_ptr_nonnull(strstr(seen, "\r\nHost: 127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nAccept-Encoding: identity\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nUser-Agent: pannier/"));
}
END_TEST

#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"

static void
script_unchanged(struct scripted_conn *c)
{
	while (conn_request(c)) {
		snprintf(seen, sizeof seen, "%.4000s", c->request);
		conn_send(c, "HTTP/1.1 304 Not Modified\r\nETag: \"2\"\r\n"
		    "Cache-Control: max-age=60\r\n\r\n");
	}
}

START_TEST(who_asks_with_a_condition_may_hear_that_nothing_changed)
{
	begin(script_unchanged, NULL);
	world_ask_if(&world, "user:1", "W/\"1\"", MODIFIED);
	world_run(&world);
	ck_assert_int_eq(world.answers[0].status, ORIGIN_NOT_MODIFIED);
	ck_assert_int_gt(world.answers[0].valid.ttl_ms, 50000);
	ck_assert_str_eq(world.answers[0].etag, "\"2\"");
	ck_assert_ptr_nonnull(strstr(seen, "\r\nIf-None-Match: W/\"1\"\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nIf-Modified-Since: " MODIFIED "\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nAccept-Encoding: identity\r\n"));
	ck_assert_ptr_nonnull(strstr(seen, "\r\nUser-Agent: pannier/"));
	/* The next on the same handle and connection asks for all of it. */
	check_failed(world_get(&world, "user:1", LONG_MS), "HTTP 304");
	ck_assert_ptr_null(strstr(seen, "If-None-Match"));
	ck_assert_ptr_null(strstr(seen, "If-Modified-Since"));
	ck_assert_uint_eq(scripted_connections(server), 1);
	end();
}
END_TEST

START_TEST(one_validator_is_enough)
{
	begin(script_unchanged, NULL);
	world_ask_if(&world, "user:1", "\"1\"", "");
	world_run(&world);
	ck_assert_int_eq(world.answers[0].status, ORIGIN_NOT_MODIFIED);
	ck_assert_ptr_null(strstr(seen, "If-Modified-Since"));
	world_ask_if(&world, "user:1", "", MODIFIED);
	world_run(&world);
	ck_assert_int_eq(world.answers[1].status, ORIGIN_NOT_MODIFIED);
	ck_assert_ptr_null(strstr(seen, "If-None-Match"));
	end();
}
END_TEST

START_TEST(a_condition_may_bring_another_value)
{
	begin(script_answer, OK LEN(3) "ETag: \"3\"\r\nSurrogate-Key: a\r\n\r\nnew");
	world_ask_if(&world, "user:1", "\"1\"", "");
	world_run(&world);
	check_ok(&world.answers[0], "new");
	ck_assert_str_eq(world.answers[0].etag, "\"3\"");
	ck_assert_uint_eq(world.answers[0].valid.tags.len, 1);
	end();
}
END_TEST

START_TEST(configured_statuses_say_that_there_is_none)
{
	char *statuses[] = { (char *)"451", (char *)"403" };

	begin(script_answer, "HTTP/1.1 403 No\r\n" LEN(0) "Cache-Control: max-age=9\r\n\r\n");
	check_failed(world_get(&world, "user:1", LONG_MS), "HTTP 403");
	world.cfg.not_found_status = statuses;
	world.cfg.n_not_found_status = 2;
	ck_assert_int_eq(world_get(&world, "user:1", LONG_MS)->status, ORIGIN_NOT_FOUND);
	ck_assert_int_gt(world.answers[1].valid.ttl_ms, 0);
	world.cfg.n_not_found_status = 0;
	end();
}
END_TEST

START_TEST(a_404_or_410_says_that_there_is_none)
{
	begin(script_answer, "HTTP/1.1 404 Not Found\r\n" LEN(4) "\r\nnone");
	ck_assert_int_eq(world_get(&world, "user:1", LONG_MS)->status, ORIGIN_NOT_FOUND);
	ck_assert_int_eq(world.answers[0].http_status, 404);
	ck_assert_int_eq(world_get(&world, "user:2", LONG_MS)->status, ORIGIN_NOT_FOUND);
	ck_assert_uint_eq(scripted_connections(server), 1); /* its body was read */
	ck_assert_int_eq(counter_get(&world.stats.not_found), 2);
	ck_assert_int_eq(counter_get(&world.stats.errors), 0);
	end();
	begin(script_answer, "HTTP/1.1 410 Gone\r\n" LEN(0) "\r\n");
	ck_assert_int_eq(world_get(&world, "user:1", LONG_MS)->status, ORIGIN_NOT_FOUND);
	end();
}
END_TEST

START_TEST(every_other_status_fails)
{
	answer_fails("HTTP/1.1 503 \x1b[31mbusy\r\n" LEN(0) "\r\n", "origin users: HTTP 503");
	answer_fails("HTTP/1.1 500 x\r\n" LEN(0) "\r\n", "HTTP 500");
	answer_fails("HTTP/1.1 204 x\r\n\r\n", "HTTP 204");
	answer_fails("HTTP/1.1 206 x\r\n" LEN(0) "\r\n", "HTTP 206");
	answer_fails("HTTP/1.1 401 x\r\n" LEN(0) "\r\n", "HTTP 401");
	answer_fails("HTTP/1.1 302 x\r\nLocation: /elsewhere\r\n" LEN(0) "\r\n", "HTTP 302");
	answer_fails("HTTP/1.1 304 x\r\n\r\n", "HTTP 304");
}
END_TEST

START_TEST(bodies_of_every_framing_are_read)
{
	answer_is(OK CHUNKED "\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n", "hello world");
	answer_is(OK CHUNKED "\r\n0\r\n\r\n", "");
	answer_is(OK CHUNKED "\r\n1\r\nx\r\n0\r\nX-Trailer: y\r\n\r\n", "x");
	answer_is(OK "Connection: close\r\n\r\nuntil the end", "until the end");
	answer_is("HTTP/1.0 200 OK\r\n\r\nold", "old");
	answer_is("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK LEN(2) "\r\nhi", "hi");
	answer_is(OK LEN(3) LEN(3) "\r\nabc", "abc");
}
END_TEST

START_TEST(absurd_chunk_sizes_fail)
{
	answer_fails(OK CHUNKED "\r\nFFFFFFFFFFFFFFFFF\r\nhello\r\n", "chunk");
	answer_fails(OK CHUNKED "\r\n-5\r\nhello\r\n", "chunk");
	answer_fails(OK CHUNKED "\r\nzz\r\nhello\r\n", "chunk");
	answer_fails(OK CHUNKED "\r\n\r\nhello\r\n", "chunk");
	answer_fails(OK CHUNKED "\r\n00000000000000000000000000005\r\nhello\r\n", "chunk");
	closing_answer_fails(OK CHUNKED "\r\n7fffffffffffffff\r\nhello\r\n", "mid-body");
}
END_TEST

START_TEST(a_chunk_without_crlf_fails)
{
	answer_fails(OK CHUNKED "\r\n5\r\nhelloXX0\r\n\r\n", "chunk");
	answer_fails(OK CHUNKED "\r\n5\r\nhello0\r\n\r\n", "chunk");
}
END_TEST

START_TEST(conflicting_framing_fails)
{
	answer_fails(OK LEN(5) CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n", "conflicting framing");
	answer_fails(OK LEN(5) LEN(6) "\r\nhello", "conflicting lengths");
	answer_fails(OK "Content-Length: -1\r\n\r\nhello", "Content-Length");
	answer_fails(OK "Transfer-Encoding: gzip\r\n\r\nhello", "Transfer-Encoding");
	answer_fails(OK LEN(5) "Content-Encoding: gzip\r\n\r\nhello", "Content-Encoding");
}
END_TEST

START_TEST(malformed_heads_fail)
{
	answer_fails(OK "no colon\r\n" LEN(5) "\r\nhello", "Header without colon");
	answer_fails(OK ": empty name\r\n" LEN(5) "\r\nhello", "header line");
	answer_fails(OK "X: a\r\n folded\r\n" LEN(5) "\r\nhello", "folded");
	closing_answer_fails("no HTTP at all, for some 40 bytes or more\r\n", "HTTP/0.9");
	closing_answer_fails("HTTP/1.1 2x0 OK\r\n\r\n", "origin users: ");
	closing_answer_fails("HTTP/9.9 200 OK\r\n\r\n", "origin users: ");
	closing_answer_fails("\x16\x03\x01", "origin users: ");
	closing_answer_fails(OK "X: cut off", "origin users: ");
}
END_TEST

static void
script_long_header(struct scripted_conn *c)
{
	static char filler[256 * 1024];
	size_t n = *(size_t *)c->arg;

	memset(filler, 'a', sizeof filler);
	if (!conn_request(c) || !conn_send(c, OK "X: "))
		return;
	conn_send_bytes(c, filler, n);
	conn_send(c, "\r\n" LEN(0) "\r\n");
	conn_hang(c);
}

START_TEST(over_long_headers_fail)
{
	size_t n = 65000;

	begin(script_long_header, &n);
	check_ok(world_get(&world, "user:1", LONG_MS), "");
	n = 66000;
	end();
	begin(script_long_header, &n);
	check_failed(world_get(&world, "user:1", LONG_MS), "headers over 65536 bytes");
	end();
	n = 250 * 1024;
	begin(script_long_header, &n);
	check_failed(world_get(&world, "user:1", LONG_MS), "headers over 65536 bytes");
	end();
}
END_TEST

static void
script_endless_headers(struct scripted_conn *c)
{
	if (!conn_request(c) || !conn_send(c, OK))
		return;
	while (conn_send(c, "X: y\r\n"))
		;
}

START_TEST(headers_that_never_end_fail)
{
	begin(script_endless_headers, NULL);
	check_failed(world_get(&world, "user:1", LONG_MS), "more than 256 header lines");
	end();
}
END_TEST

static void
script_endless_interim(struct scripted_conn *c)
{
	if (!conn_request(c))
		return;
	while (conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n"))
		;
}

START_TEST(interim_answers_that_never_end_fail)
{
	begin(script_endless_interim, NULL);
	check_failed(world_get(&world, "user:1", LONG_MS), "header lines");
	end();
}
END_TEST

START_TEST(a_close_in_mid_body_fails)
{
	closing_answer_fails(OK LEN(10) "\r\nhello", "origin users: connection closed in mid-body");
	closing_answer_fails(OK CHUNKED "\r\n5\r\nhello\r\n", "connection closed in mid-body");
	closing_answer_fails(OK CHUNKED "\r\n5\r\nhel", "connection closed in mid-body");
	closing_answer_fails("", "connection closed without an answer");
}
END_TEST

static void
script_body(struct scripted_conn *c)
{
	char head[256], body[2048];
	size_t n = *(size_t *)c->arg;

	memset(body, 'b', sizeof body);
	if (!conn_request(c))
		return;
	snprintf(head, sizeof head, OK "Content-Length: %zu\r\n\r\n", n);
	conn_send(c, head);
	conn_send_bytes(c, body, n);
	conn_hang(c);
}

START_TEST(the_body_cap_is_exact)
{
	size_t n = 1024;

	begin(script_body, &n);
	ck_assert_int_eq(world_get(&world, "user:1", LONG_MS)->status, ORIGIN_OK);
	ck_assert_uint_eq(world.answers[0].body_len, 1024);
	end();
	n = 1025;
	begin(script_body, &n);
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: body over 1KiB");
	ck_assert_int_eq(counter_get(&world.stats.bytes), 0); /* the header was enough */
	end();
	answer_fails(OK "Content-Length: 9223372036854775807\r\n\r\n", "body over 1KiB");
}
END_TEST

static void
script_endless_body(struct scripted_conn *c)
{
	if (!conn_request(c) || !conn_send(c, c->arg))
		return;
	while (conn_send(c, "5\r\nhello\r\n"))
		;
}

START_TEST(a_body_that_never_ends_fails_at_the_cap)
{
	begin(script_endless_body, OK CHUNKED "\r\n");
	check_failed(world_get(&world, "user:1", LONG_MS), "body over 1KiB");
	end();
	begin(script_endless_body, OK "\r\n");
	check_failed(world_get(&world, "user:1", LONG_MS), "body over 1KiB");
	end();
	/* Of an error nobody wants the words. */
	begin(script_endless_body, "HTTP/1.1 404 x\r\n" CHUNKED "\r\n");
	ck_assert_int_eq(world_get(&world, "user:1", LONG_MS)->status, ORIGIN_NOT_FOUND);
	end();
}
END_TEST

static void
script_drip(struct scripted_conn *c)
{
	static const char head[] = OK LEN(1000) "\r\n";

	if (!conn_request(c) || !conn_send(c, c->arg))
		return;
	for (const char *p = head; conn_pause(c, 20) && conn_send_bytes(c, p, 1); p++)
		if (p[1] == '\0')
			p--;
}

START_TEST(a_byte_now_and_then_ends_at_the_deadline)
{
	begin(script_drip, "");
	check_timeout(world_get(&world, "user:1", 100), " within 100 ms");
	ck_assert_int_eq(counter_get(&world.stats.timeouts), 1);
	ck_assert_int_eq(counter_get(&world.stats.errors), 1);
	end();
	begin(script_drip, OK LEN(1000) "\r\n");
	check_timeout(world_get(&world, "user:1", 1000), "body not complete within 1000 ms");
	end();
}
END_TEST

static void
script_half_404(struct scripted_conn *c)
{
	if (conn_request(c) && conn_send(c, "HTTP/1.1 404 x\r\n" LEN(100) "\r\nhalf"))
		conn_hang(c);
}

START_TEST(a_status_that_says_it_all_counts_at_the_deadline)
{
	begin(script_half_404, NULL);
	ck_assert_int_eq(world_get(&world, "user:1", 1000)->status, ORIGIN_NOT_FOUND);
	end();
}
END_TEST

static void
script_speak_first(struct scripted_conn *c)
{
	if (conn_send(c, OK "\r\n"))
		conn_hang(c);
}

START_TEST(an_https_origin_without_tls_fails)
{
	char url[64];

	server = scripted_start(NULL, script_speak_first, NULL);
	snprintf(url, sizeof url, "https%s", scripted_url(server) + 4);
	world_open(&world, url);
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: ");
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");

	SUITE_ADD(s, "values", a_200_is_a_value_with_its_ttl, a_200_that_says_nothing_has_no_ttl,
	    no_store_has_a_ttl_of_zero, the_request_is_plain,
	    who_asks_with_a_condition_may_hear_that_nothing_changed, one_validator_is_enough,
	    a_condition_may_bring_another_value, configured_statuses_say_that_there_is_none,
	    a_404_or_410_says_that_there_is_none,
	    every_other_status_fails, bodies_of_every_framing_are_read, the_body_cap_is_exact);
	SUITE_ADD(s, "broken", absurd_chunk_sizes_fail, a_chunk_without_crlf_fails,
	    conflicting_framing_fails, malformed_heads_fail, over_long_headers_fail,
	    headers_that_never_end_fail, interim_answers_that_never_end_fail,
	    a_close_in_mid_body_fails, a_body_that_never_ends_fails_at_the_cap,
	    a_byte_now_and_then_ends_at_the_deadline,
	    a_status_that_says_it_all_counts_at_the_deadline, an_https_origin_without_tls_fails);
	return suite_main(s);
}
