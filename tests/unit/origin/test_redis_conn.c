/* A connection to a scripted server: its greeting, its order, its ends. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "origin/redis_conn.h"
#include "unit/origin/scripted.h"

#define LONG_MS 20000
#define CALLS 64

struct ask {
	struct redis_call call;
	unsigned nth;
};

static struct loop *loop;
static struct redis_conn *conn;
static struct scripted *server;
static struct redis_address address;
static struct redis_conn_opts opts;
static struct ask asks[CALLS];
static unsigned n_asks, n_ended, want_ended;
static bool up, down, unreached, close_when_up, close_in_done;
static char log_text[8192]; /* what came, "; " between */
static char why_down[400];

static PRINTF(1, 2) void
note(const char *fmt, ...)
{
	size_t at = strlen(log_text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(log_text + at, sizeof log_text - at, fmt, ap);
	va_end(ap);
	strncat(log_text, "; ", sizeof log_text - strlen(log_text) - 1);
}

static void
on_up(void *arg UNUSED)
{
	up = true;
	if (close_when_up) {
		redis_conn_close(conn);
		conn = NULL;
	}
	if (want_ended == 0)
		loop_stop(loop);
}

static void
on_push(void *arg UNUSED, const struct redis_reply *r)
{
	struct resp_value v;
	size_t pos = 0;

	ck_assert(resp_reply_next(r->raw, &pos, &v));
	ck_assert(resp_reply_next(r->raw, &pos, &v));
	note("push %.*s", (int)v.text.len, v.text.ptr);
}

static void
on_down(void *arg UNUSED, bool was_unreached, const char *why)
{
	down = true;
	unreached = was_unreached;
	strncpy(why_down, why, sizeof why_down - 1);
	loop_stop(loop);
}

static void
on_done(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct ask *a = container_of(call, struct ask, call);
	char text[64];

	if (r == NULL) {
		note("%u broke%s", a->nth, call->sent ? " sent" : "");
		ck_assert_ptr_nonnull(why);
	} else if (r->body != NULL) {
		note("%u %.*s", a->nth, (int)blob_slice(r->body).len, blob_slice(r->body).ptr);
	} else if (r->head.type == RESP_INT) {
		note("%u :%lld", a->nth, (long long)r->head.n);
	} else {
		redis_reply_text(r, text, sizeof text);
		note("%u %s", a->nth, text);
	}
	if (close_in_done) {
		redis_conn_close(conn);
		conn = NULL;
		loop_stop(loop);
	}
	if (++n_ended == want_ended)
		loop_stop(loop);
}

static void
setup(void)
{
	ck_assert_int_eq(loop_new(0, &loop), 0);
	opts = (struct redis_conn_opts){ .loop = loop, .to = &address, .max_body = 1024,
		.connect_ms = LONG_MS, .ping_ms = LONG_MS, .silent_ms = LONG_MS, .up = on_up,
		.push = on_push, .down = on_down };
}

static void
teardown(void)
{
	redis_conn_close(conn);
	loop_free(loop);
	if (server != NULL)
		scripted_stop(server);
}

static void
serve(script *run, const char *text)
{
	uint64_t port;

	server = scripted_start(NULL, run, (void *)(uintptr_t)text);
	ck_assert_int_eq(parse_u64(slice_str(strrchr(scripted_url(server), ':') + 1), &port), 0);
	ck_assert_int_eq(redis_address_tcp(&address, SLICE("127.0.0.1"), (unsigned)port, false), 0);
}

static void
connect_it(void)
{
	ck_assert_int_eq(redis_conn_open(&opts, &conn), 0);
}

static void
ask(const char *command, bool want_body)
{
	struct slice argv[4];
	uint32_t argc = 0;

	for (const char *p = command; argc < 4 && *p != '\0';) {
		size_t n = strcspn(p, " ");

		argv[argc++] = slice_of(p, n);
		p += n + strspn(p + n, " ");
	}
	asks[n_asks] = (struct ask){ .call = { .done = on_done, .want_body = want_body },
		.nth = n_asks };
	ck_assert_int_eq(redis_conn_call(conn, &asks[n_asks++].call, argv, argc), 0);
}

static void
run(void)
{
	want_ended = n_asks;
	loop_run(loop);
}

/* Opens and asks GET a. */
static void
get(void)
{
	connect_it();
	ask("GET a", true);
	run();
}

/* Answers with the pieces of a text, one for each command, ` between them. */
static void
script_lines(struct scripted_conn *c)
{
	const char *at = c->arg;

	while (conn_command(c)) {
		size_t n = strcspn(at, "`");

		if (n == 0 && *at == '\0') {
			conn_hang(c);
			return;
		}
		if (!conn_send_bytes(c, at, n))
			return;
		at += n + (at[n] == '`');
	}
}

/* Greets, says the rest of its text as it is, and closes. */
static void
script_say_and_close(struct scripted_conn *c)
{
	if (conn_command(c) && conn_send(c, "%0\r\n") && conn_command(c))
		conn_send(c, c->arg);
}

/* Greets and answers one byte at a time. */
static void
script_trickle(struct scripted_conn *c)
{
	const char *at = c->arg;

	if (!conn_command(c) || !conn_send(c, "%0\r\n") || !conn_command(c))
		return;
	for (; *at != '\0'; at++)
		if (!conn_send_bytes(c, at, 1) || !conn_pause(c, 1))
			return;
	conn_hang(c);
}

static void
script_close(struct scripted_conn *c UNUSED)
{
}

/* --- greeting -------------------------------------------------------------------- */

static const char *expected[8]; /* what the server must be told, in order */

static void
script_expect(struct scripted_conn *c)
{
	const char *at = c->arg;

	for (unsigned i = 0; expected[i] != NULL; i++) {
		size_t n = strcspn(at, "`");

		ck_assert(conn_command(c));
		ck_assert_str_eq(c->request, expected[i]);
		ck_assert(conn_send_bytes(c, at, n));
		at += n + 1;
	}
	conn_hang(c);
}

START_TEST(a_modern_server_is_greeted_by_one_hello)
{
	static const struct redis_login login = { "app", { "secret", 6 } };

	expected[0] = "HELLO 3 AUTH app secret SETNAME pannier";
	expected[1] = "SELECT 3";
	expected[2] = "GET a";
	serve(script_expect, "%1\r\n+server\r\n+redis\r\n`+OK\r\n`$2\r\nhi\r\n");
	opts.login = &login;
	opts.name = "pannier";
	opts.database = 3;
	get();
	ck_assert_str_eq(log_text, "0 hi; ");
	ck_assert(redis_conn_is_resp3(conn));
}
END_TEST

START_TEST(an_old_server_is_greeted_in_resp2)
{
	static const struct redis_login login = { NULL, { "secret", 6 } };

	expected[0] = "HELLO 3 AUTH default secret SETNAME pannier";
	expected[1] = "AUTH secret";
	expected[2] = "CLIENT SETNAME pannier";
	expected[3] = "GET a";
	serve(script_expect, "-ERR unknown command 'HELLO'\r\n`+OK\r\n`-ERR no\r\n`$-1\r\n");
	opts.login = &login;
	opts.name = "pannier";
	get();
	ck_assert_str_eq(log_text, "0 nil; ");
	ck_assert(!redis_conn_is_resp3(conn));
}
END_TEST

START_TEST(a_wrong_password_is_said_and_never_shown)
{
	static const struct redis_login login = { NULL, { "secret", 6 } };

	serve(script_lines, "-WRONGPASS invalid username-password pair\r\n");
	opts.login = &login;
	get();
	ck_assert(down && unreached);
	ck_assert_str_eq(log_text, "0 broke; ");
	ck_assert_ptr_nonnull(strstr(why_down, "WRONGPASS invalid username-password pair; see username"));
	ck_assert_ptr_null(strstr(why_down, "secret"));
}
END_TEST

START_TEST(a_server_that_wants_a_password_says_what_to_set)
{
	serve(script_lines, "-NOAUTH HELLO must be called with the client already authenticated\r\n");
	get();
	ck_assert_ptr_nonnull(strstr(why_down, "it wants a password; set password_file"));
}
END_TEST

START_TEST(a_server_that_is_full_says_so)
{
	serve(script_lines, "-ERR max number of clients reached\r\n");
	get();
	ck_assert_ptr_nonnull(strstr(why_down, "HELLO: ERR max number of clients reached"));
}
END_TEST

START_TEST(a_database_that_is_not_there_is_an_error)
{
	serve(script_lines, "%0\r\n`-ERR DB index is out of range\r\n");
	opts.database = 99;
	get();
	ck_assert_ptr_nonnull(strstr(why_down, "SELECT: ERR DB index is out of range"));
}
END_TEST

START_TEST(a_replica_where_the_master_is_looked_for_is_refused)
{
	serve(script_lines, "%0\r\n`*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:1\r\n");
	opts.role = "master";
	get();
	ck_assert(unreached);
	ck_assert_ptr_nonnull(strstr(why_down, "is a slave, not a master"));
}
END_TEST

START_TEST(resp2_may_be_asked_for)
{
	expected[0] = "GET a";
	serve(script_expect, "$1\r\nx\r\n");
	opts.resp2 = true;
	get();
	ck_assert_str_eq(log_text, "0 x; ");
}
END_TEST

/* --- requests --------------------------------------------------------------------- */

START_TEST(replies_come_in_order)
{
	serve(script_lines, "%0\r\n`$1\r\na\r\n`:5\r\n`-ERR c\r\n`$-1\r\n");
	connect_it();
	ask("GET a", true);
	ask("PTTL a", false);
	ask("GET c", true);
	ask("GET d", true);
	ck_assert_uint_eq(redis_conn_load(conn), 4);
	run();
	ck_assert_str_eq(log_text, "0 a; 1 :5; 2 ERR c; 3 nil; ");
	ck_assert_uint_eq(redis_conn_load(conn), 0);
}
END_TEST

START_TEST(many_requests_fit_one_connection)
{
	serve(script_lines, "%0\r\n"
	    "`:0\r\n`:1\r\n`:2\r\n`:3\r\n`:4\r\n`:5\r\n`:6\r\n`:7\r\n`:8\r\n`:9\r\n"
	    "`:10\r\n`:11\r\n`:12\r\n`:13\r\n`:14\r\n`:15\r\n`:16\r\n`:17\r\n`:18\r\n`:19\r\n"
	    "`:20\r\n`:21\r\n`:22\r\n`:23\r\n`:24\r\n`:25\r\n`:26\r\n`:27\r\n`:28\r\n`:29\r\n"
	    "`:30\r\n`:31\r\n`:32\r\n`:33\r\n`:34\r\n`:35\r\n`:36\r\n`:37\r\n`:38\r\n`:39\r\n");
	connect_it();
	for (int i = 0; i < 40; i++)
		ask("INCR a", false);
	run();
	ck_assert_uint_eq(n_ended, 40);
	ck_assert_ptr_nonnull(strstr(log_text, "39 :39; "));
}
END_TEST

START_TEST(the_reply_of_a_cancelled_request_is_passed_over)
{
	serve(script_lines, "%0\r\n`$1\r\na\r\n`$1\r\nb\r\n");
	connect_it();
	ask("GET a", true);
	ask("GET b", true);
	redis_call_cancel(&asks[0].call);
	redis_call_cancel(&asks[0].call);
	n_ended++;
	run();
	ck_assert_str_eq(log_text, "1 b; ");
}
END_TEST

START_TEST(a_reply_may_come_byte_by_byte)
{
	serve(script_trickle, "$5\r\nhello\r\n");
	get();
	ck_assert_str_eq(log_text, "0 hello; ");
}
END_TEST

START_TEST(pushes_come_between_replies)
{
	serve(script_lines, "%0\r\n`>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$1\r\na\r\n"
	    "`>2\r\n+x\r\n_\r\n:1\r\n");
	connect_it();
	ask("GET a", true);
	ask("PTTL a", false);
	run();
	ck_assert_str_eq(log_text, "push invalidate; 0 a; push x; 1 :1; ");
}
END_TEST

START_TEST(messages_are_pushes_in_resp2_too)
{
	static const struct slice subscribe[] = { { "SUBSCRIBE", 9 }, { "c", 1 } };

	serve(script_lines, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
	    "`*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	opts.resp2 = true;
	connect_it();
	ck_assert_int_eq(redis_conn_subscribe(conn, subscribe, 2), 0);
	ask("PING", false);
	run();
	ck_assert_str_eq(log_text, "push subscribe; push message; 0 an array; ");
}
END_TEST

/* --- ends --------------------------------------------------------------------------- */

START_TEST(a_refused_connection_is_unreached)
{
	ck_assert_int_eq(redis_address_tcp(&address, SLICE("127.0.0.1"), 1, false), 0);
	get();
	ck_assert(unreached);
	ck_assert_str_eq(log_text, "0 broke; ");
	ck_assert_str_eq(why_down, "no connection to 127.0.0.1:1: Connection refused");
}
END_TEST

START_TEST(a_socket_file_that_is_not_there_is_unreached)
{
	ck_assert_int_eq(redis_address_unix(&address, SLICE("/nonexistent/redis.sock")), 0);
	get();
	ck_assert(unreached);
	ck_assert_str_eq(why_down,
	    "no connection to unix:/nonexistent/redis.sock: No such file or directory");
}
END_TEST

START_TEST(a_server_that_says_nothing_is_given_up)
{
	serve(script_silent, NULL);
	opts.connect_ms = 20;
	get();
	ck_assert(unreached);
	ck_assert_ptr_nonnull(strstr(why_down, "within 20 ms"));
}
END_TEST

START_TEST(a_server_that_closes_breaks_what_is_open)
{
	serve(script_say_and_close, "$5\r\nhe");
	connect_it();
	ask("GET a", true);
	run();
	if (!down)
		loop_run(loop);
	ck_assert(!unreached);
	ck_assert_str_eq(log_text, "0 broke sent; ");
	ck_assert_ptr_nonnull(strstr(why_down, "closed the connection"));
}
END_TEST

START_TEST(a_close_before_the_greeting_is_unreached)
{
	serve(script_close, NULL);
	get();
	ck_assert(unreached);
	ck_assert_str_eq(log_text, "0 broke; ");
}
END_TEST

/* Each answer to the first request must end the connection. */
static void
check_broken_by(const char *answer, const char *why)
{
	serve(script_say_and_close, answer);
	get();
	if (!down)
		loop_run(loop);
	ck_assert_msg(strstr(why_down, why) != NULL, "%s", why_down);
}

START_TEST(what_nobody_asked_for_ends_it)
{
	check_broken_by("$1\r\na\r\n-ERR b\x01\r\n", "answers what nobody asked: ERR b ");
}
END_TEST

START_TEST(a_huge_count_ends_it)
{
	check_broken_by("*99999999999\r\n", "sends what is no reply of Redis");
}
END_TEST

START_TEST(http_ends_it)
{
	check_broken_by("HTTP/1.1 400 Bad Request\r\n\r\n", "sends what is no reply of Redis");
}
END_TEST

START_TEST(a_half_open_connection_is_noticed_while_replies_are_owed)
{
	serve(script_lines, "%0\r\n");
	opts.silent_ms = 20;
	get();
	if (!down)
		loop_run(loop);
	ck_assert_str_eq(log_text, "0 broke sent; ");
	ck_assert_ptr_nonnull(strstr(why_down, "answers nothing for "));
}
END_TEST

START_TEST(an_idle_connection_is_pinged_and_given_up_when_it_is_dead)
{
	serve(script_lines, "%0\r\n`+PONG\r\n`+PONG\r\n");
	opts.ping_ms = 5;
	opts.silent_ms = 20;
	connect_it();
	want_ended = 1; /* up does not stop the loop */
	loop_run(loop);
	ck_assert(down && up);
	ck_assert_uint_eq(scripted_requests(server), 4); /* HELLO, three PINGs */
}
END_TEST

START_TEST(it_may_be_closed_when_it_is_up)
{
	serve(script_lines, "%0\r\n`$1\r\na\r\n");
	close_when_up = true;
	connect_it();
	ask("GET a", true);
	want_ended = 0;
	loop_run(loop);
	ck_assert_ptr_null(conn);
	ck_assert_ptr_null(asks[0].call.conn);
	ck_assert(!down);
}
END_TEST

START_TEST(it_may_be_closed_by_an_answer)
{
	serve(script_lines, "%0\r\n`$1\r\na\r\n`$1\r\nb\r\n");
	close_in_done = true;
	connect_it();
	ask("GET a", true);
	ask("GET b", true);
	run();
	ck_assert_str_eq(log_text, "0 a; ");
	redis_call_cancel(&asks[1].call);
	ck_assert(!down);
}
END_TEST

START_TEST(it_may_be_closed_by_a_call_that_broke)
{
	serve(script_close, NULL);
	close_in_done = true;
	connect_it();
	ask("GET a", true);
	ask("GET b", true);
	run();
	ck_assert_str_eq(log_text, "0 broke; ");
	ck_assert(!down);
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_unreached)
{
	/* RFC 6761: never resolves. Without any network the resolver says something else. */
	ck_assert_int_eq(redis_address_tcp(&address, SLICE("nowhere.invalid"), 6379, false), 0);
	get();
	ck_assert(unreached);
	ck_assert_ptr_nonnull(strstr(why_down, "no connection to nowhere.invalid:6379: "));
}
END_TEST

START_TEST(a_name_is_looked_up)
{
	serve(script_lines, "%0\r\n`$1\r\na\r\n");
	ck_assert_int_eq(redis_address_tcp(&address, SLICE("localhost"), address.port, false), 0);
	get();
	ck_assert_str_eq(log_text, "0 a; ");
}
END_TEST

START_TEST(it_may_be_closed_while_a_name_is_looked_up)
{
	ck_assert_int_eq(redis_address_tcp(&address, SLICE("localhost"), 1, false), 0);
	connect_it();
	redis_conn_close(conn);
	conn = NULL;
}
END_TEST

/* --- without memory ------------------------------------------------------------------- */

START_TEST(without_memory_it_fails_and_leaks_nothing)
{
	static const struct slice argv[] = { { "GET", 3 }, { "a", 1 } };
	bool failed = true;

	serve(script_lines, "%0\r\n`$1\r\na\r\n");
	for (unsigned long n = 1; failed; n++) {
		scripted_stop(server);
		serve(script_lines, "%0\r\n`$1\r\na\r\n");
		n_ended = 0;
		down = false;
		log_text[0] = '\0';
		asks[0] = (struct ask){ .call = { .done = on_done, .want_body = true } };
		mem_fail_nth(n, 0);
		want_ended = 1;
		if (redis_conn_open(&opts, &conn) == 0 &&
		    redis_conn_call(conn, &asks[0].call, argv, 2) == 0)
			loop_run(loop);
		failed = mem_fail_seen() >= n;
		mem_fail_nth(0, 0);
		redis_conn_close(conn);
		conn = NULL;
	}
	ck_assert_str_eq(log_text, "0 a; ");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis_conn");

	SUITE_ADD_FIXTURE(s, "greeting", setup, teardown, a_modern_server_is_greeted_by_one_hello,
	    an_old_server_is_greeted_in_resp2, a_wrong_password_is_said_and_never_shown,
	    a_server_that_wants_a_password_says_what_to_set,
	    a_server_that_is_full_says_so, a_database_that_is_not_there_is_an_error,
	    a_replica_where_the_master_is_looked_for_is_refused, resp2_may_be_asked_for);
	SUITE_ADD_FIXTURE(s, "requests", setup, teardown, replies_come_in_order,
	    many_requests_fit_one_connection, the_reply_of_a_cancelled_request_is_passed_over,
	    a_reply_may_come_byte_by_byte, pushes_come_between_replies,
	    messages_are_pushes_in_resp2_too);
	SUITE_ADD_FIXTURE(s, "ends", setup, teardown, a_refused_connection_is_unreached,
	    a_socket_file_that_is_not_there_is_unreached, a_server_that_says_nothing_is_given_up,
	    a_server_that_closes_breaks_what_is_open, a_close_before_the_greeting_is_unreached,
	    what_nobody_asked_for_ends_it, a_huge_count_ends_it, http_ends_it,
	    a_half_open_connection_is_noticed_while_replies_are_owed,
	    an_idle_connection_is_pinged_and_given_up_when_it_is_dead,
	    it_may_be_closed_when_it_is_up, it_may_be_closed_by_an_answer,
	    it_may_be_closed_by_a_call_that_broke);
	SUITE_ADD_FIXTURE(s, "names", setup, teardown, a_name_that_does_not_exist_is_unreached,
	    a_name_is_looked_up, it_may_be_closed_while_a_name_is_looked_up);
	SUITE_ADD_FIXTURE(s, "memory", setup, teardown, without_memory_it_fails_and_leaks_nothing);
	return suite_main(s);
}
