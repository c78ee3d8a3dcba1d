/* PUT and DELETE: what goes over the wire, and what an answer means. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "unit/origin/scripted.h"
#include "unit/origin/world.h"

static struct world world;
static struct scripted *server;

/* What a script does, and what it saw last. */
static struct {
	const char *answer;
	char request[4096], body[4096];
} played;

static size_t
content_length(const char *head)
{
	const char *field = strstr(head, "Content-Length: ");

	return field != NULL ? strtoul(field + 16, NULL, 10) : 0;
}

/* A small body comes with its head or soon after. */
static bool
read_body(struct scripted_conn *c)
{
	char *body = strstr(c->request, "\r\n\r\n") + 4;
	size_t want = content_length(c->request), have = strlen(body);

	snprintf(played.request, sizeof played.request, "%.*s", (int)(body - c->request), c->request);
	while (have < want) {
		ssize_t got = recv(c->fd, body + have, want - have, 0);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	body[have] = '\0';
	snprintf(played.body, sizeof played.body, "%s", body);
	return true;
}

static void
script_play(struct scripted_conn *c)
{
	while (conn_request(c) && read_body(c))
		if (!conn_send(c, played.answer))
			return;
}

static void
begin(const char *answer)
{
	memset(&played, 0, sizeof played);
	played.answer = answer;
	server = scripted_start(NULL, script_play, NULL);
	world_open(&world, scripted_url(server));
}

static void
end(void)
{
	scripted_stop(server);
	world_close(&world);
}

static const struct answer *
wrote(const char *key, const char *value)
{
	unsigned nth = world_write(&world, key, value, LONG_MS);

	world_run(&world);
	return &world.answers[nth];
}

#define ANSWER(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"

START_TEST(a_write_is_a_put_of_the_value)
{
	begin(ANSWER("204 No Content"));
	ck_assert_int_eq(wrote("user:7", "v a\nl")->status, ORIGIN_DONE);
	ck_assert_ptr_eq(strstr(played.request, "PUT /users/7 HTTP/1.1\r\n"), played.request);
	ck_assert_ptr_nonnull(strstr(played.request, "Content-Type: application/octet-stream\r\n"));
	ck_assert_ptr_null(strstr(played.request, "Expect"));
	ck_assert_str_eq(played.body, "v a\nl");
	end();
}
END_TEST

START_TEST(an_empty_value_is_put_too)
{
	begin(ANSWER("200 OK"));
	ck_assert_int_eq(wrote("user:7", "")->status, ORIGIN_DONE);
	ck_assert_ptr_nonnull(strstr(played.request, "Content-Length: 0\r\n"));
	end();
}
END_TEST

START_TEST(a_removal_is_a_delete_without_a_body)
{
	begin(ANSWER("202 Accepted"));
	ck_assert_int_eq(wrote("user:7", NULL)->status, ORIGIN_DONE);
	ck_assert_ptr_eq(strstr(played.request, "DELETE /users/7 HTTP/1.1\r\n"), played.request);
	ck_assert_str_eq(played.body, "");
	end();
}
END_TEST

/* The same connection and the same handle serve one after the other. */
START_TEST(a_read_after_a_write_is_a_get_again)
{
	begin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	ck_assert_int_eq(wrote("user:7", "x")->status, ORIGIN_DONE);
	check_ok(world_get(&world, "user:7", LONG_MS), "ok");
	ck_assert_ptr_eq(strstr(played.request, "GET /users/7 HTTP/1.1\r\n"), played.request);
	ck_assert_ptr_null(strstr(played.request, "Content-"));
	ck_assert_int_eq(wrote("user:7", NULL)->status, ORIGIN_DONE);
	ck_assert_uint_eq(scripted_connections(server), 1);
	end();
}
END_TEST

static const struct {
	const char *answer;
	bool remove;
	enum origin_status status;
	bool final;
} answers[] = {
	{ ANSWER("201 Created"), false, ORIGIN_DONE, false },
	{ ANSWER("404 Not Found"), true, ORIGIN_NOT_FOUND, false },
	{ ANSWER("410 Gone"), true, ORIGIN_NOT_FOUND, false },
	{ ANSWER("404 Not Found"), false, ORIGIN_FAILED, true },
	{ ANSWER("405 Method Not Allowed"), false, ORIGIN_FAILED, true },
	{ ANSWER("403 Forbidden"), true, ORIGIN_FAILED, true },
	{ ANSWER("408 Request Timeout"), false, ORIGIN_FAILED, false },
	{ ANSWER("425 Too Early"), false, ORIGIN_FAILED, false },
	{ ANSWER("429 Too Many Requests"), false, ORIGIN_FAILED, false },
	{ ANSWER("500 Internal Server Error"), true, ORIGIN_FAILED, false },
	{ ANSWER("503 Service Unavailable"), false, ORIGIN_FAILED, false },
	{ ANSWER("501 Not Implemented"), false, ORIGIN_FAILED, true },
	{ ANSWER("301 Moved Permanently"), false, ORIGIN_FAILED, true },
};

START_TEST(each_status_says_whether_it_was_done_and_will_ever_be)
{
	const struct answer *a;

	begin(answers[_i].answer);
	a = wrote("user:7", answers[_i].remove ? NULL : "x");
	ck_assert_int_eq(a->status, answers[_i].status);
	ck_assert_int_eq(a->final, answers[_i].final);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("write");
	TCase *tc = tcase_create("status");

	SUITE_ADD(s, "write", a_write_is_a_put_of_the_value, an_empty_value_is_put_too,
	    a_removal_is_a_delete_without_a_body, a_read_after_a_write_is_a_get_again);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, each_status_says_whether_it_was_done_and_will_ever_be, 0,
	    ARRAY_LEN(answers));
	suite_add_tcase(s, tc);
	return suite_main(s);
}
