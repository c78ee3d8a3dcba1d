/* The life of a fetch: queue, deadline, endpoints, cancel, end. */
#include "config.h"

#include "unit/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/origin/scripted.h"
#include "unit/origin/world.h"

/* Enough even on a busy machine to get so far that only the answer is missing. */
#define PHASE_MS 1000
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct world world;
static struct scripted *server;

static void
begin(script *run, const void *arg)
{
	server = scripted_start(NULL, run, (void *)arg);
	world_open(&world, scripted_url(server));
}

/* The scripts first: they may post to the loop. */
static void
end(void)
{
	scripted_stop(server);
	world_close(&world);
}

/* A port on which nobody listens and which nobody else can take. */
static int
refusing_port(char *url, size_t size)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	snprintf(url, size, "http://127.0.0.1:%u", ntohs(a.sin_port));
	return fd;
}

START_TEST(connections_are_kept)
{
	begin(script_answer, ANSWER);
	for (int i = 0; i < 5; i++)
		check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	ck_assert_uint_eq(scripted_requests(server), 5);
	ck_assert_uint_eq(scripted_connections(server), 1);
	end();
}
END_TEST

START_TEST(a_kept_connection_that_died_costs_no_fetch)
{
	begin(script_answer_and_close, ANSWER);
	for (int i = 0; i < 3; i++)
		check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	ck_assert_uint_eq(scripted_connections(server), 3);
	end();
}
END_TEST

#define SAYS(word) "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" word

static atomic_int stage; /* 1: may say more, 2: the other side has it */

static void
script_says_more(struct scripted_conn *c)
{
	int unread = 1;

	while (c->nth > 0 && conn_request(c))
		conn_send(c, SAYS("next"));
	if (c->nth > 0 || !conn_request(c) || !conn_send(c, SAYS("good")))
		return;
	while (atomic_load(&stage) == 0)
		if (!conn_pause(c, 1))
			return;
	conn_send(c, SAYS("evil"));
	while (unread != 0)
		ck_assert_int_eq(ioctl(c->fd, TIOCOUTQ, &unread), 0);
	atomic_store(&stage, 2);
	conn_hang(c);
}

START_TEST(what_nobody_asked_for_is_not_the_next_answer)
{
	atomic_store(&stage, 0);
	begin(script_says_more, NULL);
	check_ok(world_get(&world, "user:1", LONG_MS), "good");
	atomic_store(&stage, 1);
	while (atomic_load(&stage) != 2)
		sched_yield();
	check_ok(world_get(&world, "user:2", LONG_MS), "next");
	check_ok(world_get(&world, "user:3", LONG_MS), "next");
	ck_assert_uint_eq(scripted_connections(server), 2);
	end();
}
END_TEST

START_TEST(never_more_connections_than_allowed)
{
	begin(script_answer, ANSWER);
	for (int i = 0; i < 40; i++)
		world_ask(&world, "user:1", LONG_MS);
	world_run(&world);
	for (int i = 0; i < 40; i++)
		check_ok(&world.answers[i], "ok");
	ck_assert_uint_eq(scripted_requests(server), 40);
	ck_assert_uint_le(scripted_connections(server), 4);
	end();
}
END_TEST

START_TEST(an_origin_that_refuses_is_named)
{
	char url[64], want[128];
	int fd = refusing_port(url, sizeof url);

	world_open(&world, url);
	snprintf(want, sizeof want, "origin users: connect to %s refused", url + 7);
	check_failed(world_get(&world, "user:1", LONG_MS), want);
	ck_assert_int_eq(counter_get(&world.stats.requests), 1);
	ck_assert_int_eq(counter_get(&world.stats.errors), 1);
	world_close(&world);
	close(fd);
}
END_TEST

START_TEST(silence_ends_at_the_deadline)
{
	begin(script_silent, NULL);
	check_timeout(world_get(&world, "user:1", PHASE_MS), "no answer within 1000 ms");
	ck_assert_int_eq(counter_get(&world.stats.timeouts), 1);
	end();
}
END_TEST

START_TEST(the_origins_own_deadline_counts_if_it_is_shorter)
{
	begin(script_silent, NULL);
	world.cfg.deadline_ms = 80;
	check_timeout(world_get(&world, "user:1", LONG_MS), " within 80 ms");
	end();
}
END_TEST

START_TEST(who_queues_too_long_is_told)
{
	begin(script_silent, NULL);
	for (int i = 0; i < 6; i++)
		world_ask(&world, "user:1", 100);
	world_run(&world);
	for (int i = 0; i < 4; i++)
		check_timeout(&world.answers[i], " within 100 ms");
	for (int i = 4; i < 6; i++)
		check_timeout(&world.answers[i], "no connection free within 100 ms");
	ck_assert_int_eq(counter_get(&world.stats.requests), 4);
	ck_assert_int_eq(counter_get(&world.stats.errors), 4);
	ck_assert_int_eq(counter_get(&world.stats.timeouts), 6);
	end();
}
END_TEST

START_TEST(who_queues_goes_when_those_before_time_out)
{
	begin(script_silent, NULL);
	for (int i = 0; i < 4; i++)
		world_ask(&world, "user:1", 50);
	world_ask(&world, "user:1", PHASE_MS);
	world_run(&world);
	check_timeout(&world.answers[4], " within 1000 ms");
	ck_assert_int_eq(counter_get(&world.stats.requests), 5);
	end();
}
END_TEST

START_TEST(a_deadline_that_is_over_sends_nothing)
{
	begin(script_answer, ANSWER);
	check_timeout(world_get(&world, "user:1", 0), "deadline was over");
	check_timeout(world_get(&world, "user:1", -50), "deadline was over");
	ck_assert_int_eq(counter_get(&world.stats.requests), 0);
	ck_assert_uint_eq(scripted_connections(server), 0);
	end();
}
END_TEST

START_TEST(keys_that_make_no_path_fail_alone)
{
	char key[8192] = "user:";

	begin(script_answer, ANSWER);
	memset(key + 5, 'k', sizeof key - 6);
	check_failed(world_get(&world, key, LONG_MS), "origin users: key too long for a URL");
	memset(key + 5, ' ', 4000);
	key[4000] = '\0';
	check_failed(world_get(&world, key, LONG_MS), "origin users: key too long for a URL");
	check_failed(world_get(&world, "user:..", LONG_MS), "segment");
	ck_assert_uint_eq(scripted_connections(server), 0);
	check_ok(world_get(&world, "user:ok", LONG_MS), "ok");
	end();
}
END_TEST

START_TEST(endpoints_take_turns)
{
	struct scripted *other = scripted_start(NULL, script_answer, (void *)ANSWER);
	const char *urls[2];

	server = scripted_start(NULL, script_answer, (void *)ANSWER);
	urls[0] = scripted_url(server);
	urls[1] = scripted_url(other);
	world_init(&world, urls, 2);
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &world.client), 0);
	for (int i = 0; i < 10; i++)
		check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	ck_assert_uint_eq(scripted_requests(server), 5);
	ck_assert_uint_eq(scripted_requests(other), 5);
	end();
	scripted_stop(other);
}
END_TEST

START_TEST(an_endpoint_that_refuses_is_passed_over)
{
	char refusing[2][64];
	const char *urls[3] = { refusing[0], NULL, refusing[1] };
	int fds[2];

	for (int i = 0; i < 2; i++)
		fds[i] = refusing_port(refusing[i], sizeof refusing[i]);
	server = scripted_start(NULL, script_answer, (void *)ANSWER);
	urls[1] = scripted_url(server);
	world_init(&world, urls, 3);
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &world.client), 0);
	for (int i = 0; i < 6; i++)
		check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	ck_assert_uint_eq(scripted_requests(server), 6);
	ck_assert_int_eq(counter_get(&world.stats.requests), 12);
	ck_assert_int_eq(counter_get(&world.stats.errors), 6);
	end();
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(when_all_endpoints_refuse_the_fetch_fails)
{
	char refusing[2][64];
	const char *urls[2] = { refusing[0], refusing[1] };
	int fds[2];

	for (int i = 0; i < 2; i++)
		fds[i] = refusing_port(refusing[i], sizeof refusing[i]);
	world_init(&world, urls, 2);
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &world.client), 0);
	check_failed(world_get(&world, "user:1", LONG_MS), "refused (the last of 2 endpoints)");
	ck_assert_int_eq(counter_get(&world.stats.requests), 2);
	world_close(&world);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(unix_sockets_are_endpoints)
{
	char dir[] = "/tmp/pannier-test-XXXXXX", path[64];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/o.sock", dir);
	server = scripted_start(path, script_answer, (void *)ANSWER);
	world_open(&world, scripted_url(server));
	check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	check_ok(world_get(&world, "user:2", LONG_MS), "ok");
	ck_assert_uint_eq(scripted_connections(server), 1);
	end();
	unlink(path);
	snprintf(path, sizeof path, "http+unix://%s/o.sock", dir);
	world_open(&world, path);
	check_failed(world_get(&world, "user:1", LONG_MS), "/o.sock: No such file or directory");
	world_close(&world);
	rmdir(dir);
}
END_TEST

/* --- cancel, end -------------------------------------------------------------- */

static struct loop_task arrived;

static void
stop_loop(struct loop *l, struct loop_task *t UNUSED)
{
	loop_stop(l);
}

static atomic_uint closed;

/* Tells the test's loop of the first request, then waits for the peer to go. */
static void
script_report(struct scripted_conn *c)
{
	if (!conn_request(c))
		return;
	if (c->nth == 0) {
		arrived.run = stop_loop;
		loop_post(world.loop, &arrived);
	}
	conn_hang(c);
	atomic_fetch_add(&closed, 1);
}

START_TEST(a_cancelled_fetch_is_never_answered)
{
	unsigned nth;

	begin(script_report, NULL);
	nth = world_ask(&world, "user:1", LONG_MS);
	loop_run(world.loop); /* until the request is there */
	world_cancel(&world, nth);
	ck_assert_uint_eq(scripted_connections(server), 1);
	while (atomic_load(&closed) == 0)
		sched_yield(); /* the origin is told, too */
	check_timeout(world_get(&world, "user:2", 100), " within 100 ms");
	ck_assert_int_eq(counter_get(&world.stats.errors), 1);
	end();
}
END_TEST

START_TEST(cancelling_gives_its_place_to_who_queues)
{
	begin(script_answer, ANSWER);
	for (int i = 0; i < 6; i++)
		world_ask(&world, "user:1", LONG_MS);
	for (unsigned i = 0; i < 5; i++)
		world_cancel(&world, i);
	world_run(&world);
	check_ok(&world.answers[5], "ok");
	ck_assert_int_eq(world.n_answered, 6);
	end();
}
END_TEST

START_TEST(freeing_the_client_answers_what_is_open)
{
	begin(script_report, NULL);
	for (int i = 0; i < 6; i++)
		world_ask(&world, "user:1", LONG_MS);
	world.want = WORLD_ANSWERS;
	loop_run(world.loop);
	origin_client_free(world.client);
	world.client = NULL;
	ck_assert_uint_eq(world.n_answered, 6);
	for (int i = 0; i < 6; i++)
		check_failed(&world.answers[i], "origin users: closed");
	end();
}
END_TEST

/* For as long as the origin's own deadline. */
static const struct origin_request request = { .ns = &world.ns, .key = { "user:1", 6 },
	.deadline_ms = INT64_MAX };

static void
start_in_done(struct world *w, unsigned nth UNUSED)
{
	struct origin_fetch *f;

	ck_assert_int_eq(origin_fetch_start(w->client, &request, NULL, NULL, &f), -ENOMEM);
}

START_TEST(no_fetch_begins_while_the_client_is_freed)
{
	begin(script_report, NULL);
	world_ask(&world, "user:1", LONG_MS);
	world.on_answer = start_in_done;
	origin_client_free(world.client);
	ck_assert_uint_eq(world.n_answered, 1);
	world.client = NULL;
	end();
}
END_TEST

static void
chain(struct world *w, unsigned nth)
{
	if (nth < 20)
		world_ask(w, "user:1", LONG_MS);
	w->want = w->n_asked;
}

START_TEST(done_may_start_the_next_fetch)
{
	begin(script_answer, ANSWER);
	world.on_answer = chain;
	world_ask(&world, "user:1", LONG_MS);
	world_run(&world);
	ck_assert_uint_eq(world.n_answered, 22 - 1);
	ck_assert_uint_eq(scripted_connections(server), 1);
	end();
}
END_TEST

static void
cancel_others(struct world *w, unsigned nth)
{
	for (unsigned i = 0; i < w->n_asked; i++)
		if (i != nth && w->asked[i] != NULL)
			world_cancel(w, i);
}

START_TEST(done_may_cancel_other_fetches)
{
	begin(script_answer, ANSWER);
	world.on_answer = cancel_others;
	for (int i = 0; i < 12; i++)
		world_ask(&world, "user:1", LONG_MS);
	world_run(&world);
	ck_assert_uint_eq(world.n_answered, 12);
	end();
}
END_TEST

START_TEST(bad_endpoints_make_no_client)
{
	const struct config all = { .origins = &world.cfg, .n_origins = 1 };
	const char *url = "ftp://127.0.0.1/";
	struct origin_client *oc = NULL;
	char err[512];

	world_init(&world, &url, 1);
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &oc), -EINVAL);
	world.cfg.n_endpoints = 0;
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &oc), -EINVAL);
	ck_assert_ptr_null(oc);
	world.cfg.n_endpoints = 1;
	ck_assert_int_eq(origin_prepare(&all, err, sizeof err), 0);
	loop_free(world.loop);
}
END_TEST

/* --- memory --------------------------------------------------------------------- */

static unsigned n_done;
static enum origin_status last_status;

static void
count_done(void *arg, const struct origin_result *r)
{
	n_done++;
	last_status = r->status;
	loop_stop(arg);
}

/* A client and one fetch, while allocation number n fails, then another when
 * there is memory again. Whether number n was ever asked for. */
static bool
fetch_with_failure(unsigned long n, int onwards)
{
	struct loop *l = world.loop;
	struct origin_client *oc = NULL;
	struct origin_fetch *f;
	bool reached;
	int rc;

	n_done = 0;
	mem_fail_nth(n, onwards);
	rc = origin_client_new(l, NULL, &world.cfg, &world.stats, &oc);
	if (rc == 0)
		rc = origin_fetch_start(oc, &request, count_done, l, &f);
	if (rc == 0)
		loop_run(l);
	reached = mem_fail_seen() >= n;
	mem_fail_nth(0, 0);
	ck_assert(rc == 0 || rc == -ENOMEM);
	ck_assert_uint_eq(n_done, rc == 0);
	ck_assert(reached || (rc == 0 && last_status == ORIGIN_OK));
	if (oc != NULL) {
		ck_assert_int_eq(origin_fetch_start(oc, &request, count_done, l, &f), 0);
		loop_run(l);
		ck_assert_int_eq(last_status, ORIGIN_OK);
	}
	origin_client_free(oc);
	return reached;
}

START_TEST(without_memory_one_fetch_fails_and_no_other)
{
	begin(script_answer, ANSWER);
	for (int onwards = 0; onwards < 2; onwards++) {
		unsigned long n = 1;

		while (fetch_with_failure(n, onwards))
			n++;
		ck_assert_uint_gt(n, 6);
	}
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("origin");

	SUITE_ADD(s, "connections", connections_are_kept,
	    a_kept_connection_that_died_costs_no_fetch,
	    what_nobody_asked_for_is_not_the_next_answer, never_more_connections_than_allowed,
	    an_origin_that_refuses_is_named, endpoints_take_turns,
	    an_endpoint_that_refuses_is_passed_over, when_all_endpoints_refuse_the_fetch_fails,
	    unix_sockets_are_endpoints, bad_endpoints_make_no_client);
	SUITE_ADD(s, "deadlines", silence_ends_at_the_deadline,
	    the_origins_own_deadline_counts_if_it_is_shorter, who_queues_too_long_is_told,
	    who_queues_goes_when_those_before_time_out, a_deadline_that_is_over_sends_nothing);
	SUITE_ADD(s, "life", keys_that_make_no_path_fail_alone,
	    a_cancelled_fetch_is_never_answered, cancelling_gives_its_place_to_who_queues,
	    freeing_the_client_answers_what_is_open, no_fetch_begins_while_the_client_is_freed,
	    done_may_start_the_next_fetch, done_may_cancel_other_fetches,
	    without_memory_one_fetch_fails_and_no_other);
	return suite_main(s);
}
