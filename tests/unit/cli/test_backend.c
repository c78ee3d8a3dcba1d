#include "config.h"

#include "unit/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/backend.h"

#define FOREVER_MS 600000

static struct backend *backend;

static void
begin(const struct backend_opts *o)
{
	char err[256];

	ck_assert_msg(backend_start(o, &backend, err, sizeof err) == 0, "%s", err);
}

static int
ask(const char *request_line)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(backend_port(backend)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char request[256];
	int n;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	n = snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	    request_line);
	ck_assert_int_eq(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	return fd;
}

/* All until the backend closes. Static. */
static const char *
answer(int fd)
{
	static char text[8192];
	size_t n = 0;
	ssize_t got;

	while ((got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	return text;
}

static void
check_status(const char *request_line, const char *status)
{
	const char *text = answer(ask(request_line));

	ck_assert_msg(strstr(text, status) != NULL, "%s: %s", request_line, text);
}

START_TEST(a_path_has_one_body_of_the_wanted_size)
{
	size_t n1, n2, n3;
	char *a = backend_body("/users/42", 300, &n1), *b = backend_body("/users/42", 300, &n2),
	     *c = backend_body("/users/43", 300, &n3), *d;

	ck_assert_uint_eq(n1, 300);
	ck_assert_uint_eq(n2, 300);
	ck_assert_int_eq(memcmp(a, b, n1), 0);
	ck_assert_int_ne(memcmp(a, c, n1), 0);
	ck_assert_int_eq(memcmp(a, "{\"id\":\"42\",\"name\":\"", 19), 0);
	ck_assert_int_eq(memcmp(a + n1 - 2, "\"}", 2), 0);
	d = backend_body("/users/a\"\\\n\xc3", 0, &n1);
	ck_assert_ptr_nonnull(strstr(d, "{\"id\":\"a\\u0022\\u005c\\u000a\\u00c3\","));
	mem_free(a);
	mem_free(b);
	mem_free(c);
	mem_free(d);
}
END_TEST

START_TEST(requests_are_answered_and_counted)
{
	size_t len;
	char *body = backend_body("/users/42", 200, &len);
	const char *text, *at;

	begin(&(struct backend_opts){ .value_bytes = 200, .max_age_s = 30 });
	text = answer(ask("GET /users/42"));
	ck_assert_ptr_eq(strstr(text, "HTTP/1.1 200 OK\r\n"), text);
	ck_assert_ptr_nonnull(strstr(text, "Cache-Control: max-age=30\r\n"));
	at = strstr(text, "\r\n\r\n");
	ck_assert_ptr_nonnull(at);
	ck_assert_uint_eq(strlen(at + 4), len);
	ck_assert_int_eq(memcmp(at + 4, body, len), 0);
	check_status("GET /users/missing7", "HTTP/1.1 404 ");
	check_status("DELETE /users/42", "HTTP/1.1 405 ");
	ck_assert_uint_eq(backend_requests(backend), 3);
	ck_assert_uint_eq(backend_peak(backend), 1);
	backend_stop(backend);
	mem_free(body);
}
END_TEST

START_TEST(latency_comes_before_the_answer)
{
	begin(&(struct backend_opts){ .latency_ms = 5, .max_age_s = -1, .threads = 2 });
	for (int i = 0; i < 20; i++)
		check_status("GET /users/1", "HTTP/1.1 200 ");
	ck_assert_ptr_null(strstr(answer(ask("GET /users/1")), "Cache-Control"));
	backend_stop(backend);
}
END_TEST

START_TEST(so_many_of_a_hundred_fail)
{
	begin(&(struct backend_opts){ .fail_percent = 100 });
	check_status("GET /users/1", "HTTP/1.1 503 ");
	backend_stop(backend);
}
END_TEST

START_TEST(a_thousand_wait_at_once_and_stopping_ends_them)
{
	static int fds[1000];

	begin(&(struct backend_opts){ .latency_ms = FOREVER_MS, .threads = 2 });
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = ask("GET /users/1");
	while (backend_requests(backend) < ARRAY_LEN(fds))
		sched_yield();
	ck_assert_uint_eq(backend_peak(backend), ARRAY_LEN(fds));
	backend_stop(backend);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		answer(fds[i]); /* to the end of the stream */
}
END_TEST

START_TEST(a_port_in_use_is_an_error)
{
	struct backend *second = NULL;
	char err[256] = "", want[64];

	begin(&(struct backend_opts){ .latency_ms = 0 });
	snprintf(want, sizeof want, "127.0.0.1:%u", backend_port(backend));
	ck_assert_int_lt(backend_start(&(struct backend_opts){ .port = backend_port(backend) },
	    &second, err, sizeof err), 0);
	ck_assert_msg(strstr(err, want) != NULL, "%s", err);
	backend_stop(backend);
}
END_TEST

START_TEST(memory_that_runs_out_ends_no_more_than_a_request)
{
	for (unsigned long n = 1; n < 40; n++) {
		struct backend *b = NULL;
		char err[256];

		mem_fail_nth(n, 0);
		if (backend_start(&(struct backend_opts){ .latency_ms = 1 }, &b, err, sizeof err) == 0) {
			backend = b;
			answer(ask("GET /users/1"));
			answer(ask("GET /users/2"));
			mem_fail_nth(0, 0);
			check_status("GET /users/1", "HTTP/1.1 200 ");
		}
		mem_fail_nth(0, 0);
		backend_stop(b);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("backend");

	SUITE_ADD(s, "backend", a_path_has_one_body_of_the_wanted_size,
	    requests_are_answered_and_counted, latency_comes_before_the_answer,
	    so_many_of_a_hundred_fail, a_thousand_wait_at_once_and_stopping_ends_them,
	    a_port_in_use_is_an_error, memory_that_runs_out_ends_no_more_than_a_request);
	return suite_main(s);
}
