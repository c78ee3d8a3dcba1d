#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/tracking.h"
#include "unit/server/handlers.h"

#define TOLD(key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n" key "\r\n"
#define TOLD_ALL ">2\r\n$10\r\ninvalidate\r\n_\r\n"

/* A client of each loop: near is of the writer's, far of the other. */
static struct session *writer, *near, *far;
static int near_fd, far_fd;

static void
clients(void)
{
	writer = session;
	near = client_new(0, &near_fd);
	far = client_new(1, &far_fd);
}

static const char *
ask_as(struct session *s, const char *line)
{
	const char *reply;

	session = s;
	reply = ask(line);
	session = writer;
	return reply;
}

#define ck_as(s, line, expected) ck_assert_str_eq(ask_as(s, line), expected)

static void
track(struct session *s, const char *line)
{
	ask_as(s, "HELLO 3");
	ck_as(s, line, "+OK\r\n");
}

static void
close_clients(void)
{
	close(near_fd);
	close(far_fd);
}

static struct tracking_counts
counts(void)
{
	struct tracking_counts n;

	tracking_counts(server->tracking, &n);
	return n;
}

START_TEST(a_change_is_told_once_on_every_loop)
{
	clients();
	track(near, "CLIENT TRACKING ON");
	track(far, "CLIENT TRACKING ON");
	ask_as(near, "GET a");
	ask_as(far, "MGET a b");
	ck_assert_uint_eq(counts().keys, 2);
	ck_assert_uint_eq(counts().items, 3);
	ck_reply("SET a 1", "+OK\r\n");
	ck_reply("SET a 2", "+OK\r\n");
	ck_assert_str_eq(client_received(near_fd), TOLD("a"));
	ck_assert_str_eq(client_received(far_fd), TOLD("a"));
	ck_reply("SET c 1", "+OK\r\n");
	ck_assert_str_eq(client_received(far_fd), "");
	ck_assert_uint_eq(counts().items, 1);
	close_clients();
}
END_TEST

/* The order that makes it safe: remember, then read. */
START_TEST(a_change_between_remembering_and_reading_is_told)
{
	struct slice argv[] = { SLICE("GET"), SLICE("a") };
	struct call c = { .argv = argv, .argc = 2 };

	clients();
	track(far, "CLIENT TRACKING ON");
	c.session = far;
	c.sl = far->sl;
	c.store = far->sl->store;
	ck_assert_int_eq(command_find(argv, 2, &c.cmd), COMMAND_FOUND);
	ck_assert(tracking_before(&c));
	ck_reply("SET a 1", "+OK\r\n");
	tracking_after(&c);
	ck_assert_str_eq(client_received(far_fd), TOLD("a"));
	close_clients();
}
END_TEST

START_TEST(a_client_is_told_behind_the_reply_that_it_waits_for)
{
	struct slice argv[] = { SLICE("GET"), SLICE("a") };
	struct call c = { .argv = argv, .argc = 2, .reply = &(struct reply){ .wire = WIRE_RESP3 } };
	struct parked *p;

	clients();
	track(far, "CLIENT TRACKING ON");
	ask_as(far, "GET a");
	c.session = far;
	c.sl = far->sl;
	c.store = far->sl->store;
	p = call_park(&c, NULL, NULL);
	ck_assert_ptr_nonnull(p);
	ck_reply("SET a 1", "+OK\r\n");
	ck_assert_str_eq(client_received(far_fd), TOLD("a"));
	reply_bulk_str(parked_reply(p), "old");
	parked_done(p);
	ck_assert_str_eq(client_received(far_fd), "$3\r\nold\r\n" TOLD("a"));
	close_clients();
}
END_TEST

START_TEST(optin_and_optout_are_for_the_next_command)
{
	clients();
	track(near, "CLIENT TRACKING ON OPTIN");
	ask_as(near, "GET a");
	ck_as(near, "CLIENT CACHING YES", "+OK\r\n");
	ck_as(near, "CLIENT TRACKINGINFO",
	    "%3\r\n$5\r\nflags\r\n*3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n"
	    "$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*0\r\n");
	ask_as(near, "GET b");
	ask_as(near, "GET c");
	ck_assert_uint_eq(counts().keys, 1);
	ck_as(near, "CLIENT CACHING NO",
	    "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n");
	ck_as(near, "CLIENT TRACKING ON OPTOUT", "-ERR You can't switch OPTIN/OPTOUT mode before "
	    "disabling tracking for this client, and then re-enabling it with a different mode.\r\n");
	ck_as(near, "CLIENT TRACKING OFF", "+OK\r\n");
	track(near, "CLIENT TRACKING ON OPTOUT");
	ask_as(near, "CLIENT CACHING NO");
	ask_as(near, "GET d");
	ask_as(near, "GET e");
	ck_assert_uint_eq(counts().keys, 2);
	close_clients();
}
END_TEST

START_TEST(modes_that_cannot_be_are_refused)
{
	ck_reply("CLIENT TRACKING ON PREFIX a",
	    "-ERR PREFIX option requires BCAST mode to be enabled\r\n");
	ck_reply("CLIENT TRACKING ON BCAST OPTIN",
	    "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n");
	ck_reply("CLIENT TRACKING ON OPTOUT OPTIN",
	    "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n");
	ck_reply("CLIENT TRACKING ON REDIRECT 0",
	    "-ERR The client ID you want redirect to does not exist\r\n");
	ck_reply("CLIENT TRACKING ON BCAST PREFIX ab PREFIX x PREFIX a",
	    "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. "
	    "Prefixes for a single client must not overlap.\r\n");
	ck_reply("CLIENT TRACKING ON BCAST PREFIX ab", "+OK\r\n");
	ck_reply("CLIENT TRACKING ON BCAST PREFIX c PREFIX abc",
	    "-ERR Prefix 'abc' overlaps with an existing prefix 'ab'. "
	    "Prefixes for a single client must not overlap.\r\n");
	ck_reply("CLIENT TRACKING ON", "-ERR You can't switch BCAST mode on/off before disabling "
	    "tracking for this client, and then re-enabling it with a different mode.\r\n");
	ck_assert_uint_eq(counts().prefixes, 1);
	ck_reply("RESET", "+RESET\r\n");
	ck_assert_uint_eq(counts().prefixes + counts().clients, 0);
	ck_assert(!session->guarded);
	ck_reply("CLIENT GETREDIR", ":-1\r\n");
}
END_TEST

START_TEST(too_many_prefixes_are_refused)
{
	struct slice argv[4 + 2 * (TRACKING_PREFIXES_MAX + 1)] = { SLICE("CLIENT"), SLICE("TRACKING"),
		SLICE("ON"), SLICE("BCAST") };
	char names[TRACKING_PREFIXES_MAX + 1][8];

	for (unsigned i = 0; i <= TRACKING_PREFIXES_MAX; i++) {
		snprintf(names[i], sizeof names[i], "%04u:", i);
		argv[4 + 2 * i] = SLICE("PREFIX");
		argv[5 + 2 * i] = slice_str(names[i]);
	}
	ck_assert_str_eq(ask_args(argv, ARRAY_LEN(argv)),
	    "-ERR at most 1024 prefixes for one client\r\n");
	ck_assert_str_eq(ask_args(argv, ARRAY_LEN(argv) - 2), "+OK\r\n");
	ck_assert_uint_eq(counts().prefixes, TRACKING_PREFIXES_MAX);
	ck_reply("CLIENT TRACKING OFF", "+OK\r\n");
	ck_assert_uint_eq(counts().prefixes, 0);
}
END_TEST

START_TEST(who_is_gone_is_forgotten_bit_by_bit)
{
	clients();
	track(far, "CLIENT TRACKING ON");
	track(near, "CLIENT TRACKING ON");
	ask_as(far, "MGET a b c d");
	ask_as(near, "GET d");
	conn_close(far->conn);
	ck_assert_uint_eq(counts().clients, 1);
	ck_assert_uint_eq(counts().items, 5);
	for (unsigned i = 0; i < 100; i++)
		tracking_tick(&server->loops[0]);
	ck_assert_uint_eq(counts().items, 1);
	ck_assert_uint_eq(counts().keys, 1);
	ck_reply("MSET a 1 d 1", "+OK\r\n");
	ck_assert_str_eq(client_received(near_fd), TOLD("d"));
	close_clients();
}
END_TEST

START_TEST(what_is_too_much_to_remember_counts_as_changed)
{
	clients();
	track(far, "CLIENT TRACKING ON");
	tracking_set_limits(server->tracking, 1, 1 << 20);
	ask_as(far, "MGET a b");
	ck_assert_uint_eq(counts().keys, 1);
	ck_assert_int_eq(strncmp(client_received(far_fd), TOLD("x"), 29), 0);
	tracking_set_limits(server->tracking, 0, 1);
	tracking_tick(&server->loops[0]);
	ck_assert_uint_eq(counts().keys, 0);
	ck_assert_uint_eq(atomic_load(tracking_bytes(server->tracking)) > 1, 1); /* on its way */
	ck_assert_str_ne(client_received(far_fd), "");
	ck_assert_uint_eq(atomic_load(tracking_bytes(server->tracking)), 0);
	close_clients();
}
END_TEST

START_TEST(noloop_is_about_its_own_writes_alone)
{
	clients();
	track(near, "CLIENT TRACKING ON NOLOOP");
	ask_as(near, "MGET a b");
	ask_as(near, "SET a 1");
	ask("SET b 1");
	ck_assert_str_eq(client_received(near_fd), TOLD("b"));
	ask_as(near, "SET a 1 PX 10");
	ask_as(near, "GET a");
	now_ms += 20;
	ask_as(near, "TTL a"); /* gone in time, whoever looks first */
	ck_assert_str_eq(client_received(near_fd), TOLD("a"));
	close_clients();
}
END_TEST

/* --- without memory -------------------------------------------------------------------- */

/* Whatever fails: a client that has read the value is told that it changed, or is
 * closed, if the writer was not refused. */
static void
check_told(const char *mode, const char *before, const char *write, const char *good, bool cross)
{
	for (unsigned long n = 1, seen = n; seen >= n; n++) {
		struct session *reader;
		const char *told;
		bool refused;
		int fd;

		reader = client_new(cross, &fd);
		track(reader, mode);
		ask("SET a 0");
		client_received(fd);
		ask_as(reader, before);
		client_received(fd);
		mem_fail_nth(n, 0);
		refused = strcmp(ask(write), good) != 0;
		told = client_received(fd);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert_msg(refused || strstr(told, "invalidate") != NULL ||
		    strcmp(told, "closed") == 0, "%s, without the %lu. allocation: %s", write, n, told);
		close(fd);
		for (unsigned i = 0; i < server->n_loops; i++)
			list_foreach_safe(it, &server->loops[i].sessions) {
				struct session *s = list_entry(it, struct session, link);

				if (s != writer && s != session)
					conn_close(s->conn);
			}
		client_received(near_fd);
	}
}

START_TEST(without_memory_changes_are_still_told)
{
	clients();
	for (int cross = 0; cross < 2; cross++) {
		check_told("CLIENT TRACKING ON", "GET a", "SET a 1", "+OK\r\n", cross);
		check_told("CLIENT TRACKING ON", "GET a", "DEL a", ":1\r\n", cross);
		check_told("CLIENT TRACKING ON", "GET a", "FLUSHALL", "+OK\r\n", cross);
		check_told("CLIENT TRACKING ON BCAST", "GET a", "SET a 1", "+OK\r\n", cross);
		check_told("CLIENT TRACKING ON BCAST NOLOOP PREFIX a", "GET a", "MSET a 1 ab 2",
		    "+OK\r\n", cross);
		check_told("CLIENT TRACKING ON BCAST", "GET a", "FLUSHALL", "+OK\r\n", cross);
	}
	close_clients();
}
END_TEST

START_TEST(without_memory_a_redirected_change_is_still_told)
{
	char line[64];

	clients();
	track(near, "CLIENT TRACKING OFF");
	ask_as(far, "HELLO 3");
	for (unsigned long n = 1, seen = n; seen >= n; n++) {
		const char *told;

		snprintf(line, sizeof line, "CLIENT TRACKING ON REDIRECT %llu",
		    (unsigned long long)far->id);
		ck_as(near, line, "+OK\r\n");
		ask_as(near, "GET a");
		mem_fail_nth(n, 0);
		ask("SET a 1");
		told = client_received(far_fd);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert_msg(strcmp(told, TOLD("a")) == 0 || strcmp(told, TOLD_ALL) == 0 ||
		    list_empty(&server->loops[1].sessions), "%lu: %s", n, told);
		if (list_empty(&server->loops[1].sessions)) {
			close(far_fd);
			far = client_new(1, &far_fd);
			ask_as(far, "HELLO 3");
		}
	}
	close_clients();
}
END_TEST

START_TEST(without_memory_nothing_is_read_that_is_not_remembered)
{
	clients();
	ask("SET a 1");
	track(near, "CLIENT TRACKING ON");
	for (unsigned long n = 1, seen = n; seen >= n; n++) {
		const char *reply;

		mem_fail_nth(n, 0);
		reply = ask_as(near, "GET a");
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		if (strcmp(reply, "$1\r\n1\r\n") != 0) {
			ck_assert_msg(strncmp(reply, "-OOM", 4) == 0 || strcmp(reply, "closed") == 0, "%s",
			    reply);
			continue;
		}
		ask("SET a 1");
		ck_assert_str_eq(client_received(near_fd), TOLD("a"));
	}
	close_clients();
}
END_TEST

START_TEST(without_memory_tracking_is_not_begun)
{
	ask_without_memory("CLIENT TRACKING OFF", "CLIENT TRACKING ON", "+OK\r\n", "CLIENT GETREDIR",
	    ":-1\r\n");
	ask_without_memory("CLIENT TRACKING OFF", "CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX c",
	    "+OK\r\n", "CLIENT GETREDIR", ":-1\r\n");
	ask("CLIENT TRACKING OFF");
	ck_assert_uint_eq(counts().prefixes, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_tracking");

	SUITE_ADD_FIXTURE(s, "telling", handlers_setup, handlers_teardown,
	    a_change_is_told_once_on_every_loop, a_change_between_remembering_and_reading_is_told,
	    a_client_is_told_behind_the_reply_that_it_waits_for,
	    optin_and_optout_are_for_the_next_command, modes_that_cannot_be_are_refused,
	    too_many_prefixes_are_refused, who_is_gone_is_forgotten_bit_by_bit,
	    what_is_too_much_to_remember_counts_as_changed,
	    noloop_is_about_its_own_writes_alone);
	SUITE_ADD_FIXTURE(s, "without memory", handlers_setup, handlers_teardown,
	    without_memory_changes_are_still_told,
	    without_memory_a_redirected_change_is_still_told,
	    without_memory_nothing_is_read_that_is_not_remembered,
	    without_memory_tracking_is_not_begun);
	return suite_main(s);
}
