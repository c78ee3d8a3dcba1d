#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/server/handlers.h"

/* A client of the other loop, whose messages come when its tasks run. */
static int far_fd;

static struct session *
far_session(void)
{
	return client_new(1, &far_fd);
}

static const char *
far_received(void)
{
	static char text[4096];
	ssize_t n;

	loop_run_tasks(server->loops[1].loop);
	n = recv(far_fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(a_name_counts_once_for_a_client)
{
	ck_reply("SUBSCRIBE a a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
	    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
	ck_reply("PSUBSCRIBE a", "*3\r\n$10\r\npsubscribe\r\n$1\r\na\r\n:2\r\n");
	ck_reply("SSUBSCRIBE a", "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n");
	ck_reply("PUBSUB NUMSUB a b", "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n");
	ck_reply("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n");
	ck_reply("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n");
	ck_reply("PUBSUB NUMPAT", ":1\r\n");
	ck_assert(session->guarded);
	ck_reply("RESET", "+RESET\r\n");
	ck_assert(!session->guarded);
	ck_reply("PUBSUB NUMPAT", ":0\r\n");
	ck_reply("PUBSUB SHARDCHANNELS", "*0\r\n");
}
END_TEST

START_TEST(who_subscribes_behind_a_message_does_not_get_it)
{
	struct session *far = far_session();

	ck_assert_int_eq(pubsub_subscribe(far, PUBSUB_CHANNEL, SLICE("c")), 0);
	ck_reply("PUBLISH c one", ":1\r\n");
	ck_assert_int_eq(pubsub_subscribe(far, PUBSUB_PATTERN, SLICE("*")), 0);
	pubsub_unsubscribe(far, PUBSUB_CHANNEL, SLICE("c"));
	ck_assert_int_eq(pubsub_subscribe(far, PUBSUB_CHANNEL, SLICE("c")), 0);
	ck_assert_str_eq(far_received(), "");
	ck_reply("PUBLISH c two", ":2\r\n");
	ck_assert_str_eq(far_received(), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\ntwo\r\n"
	    "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$3\r\ntwo\r\n");
	close(far_fd);
}
END_TEST

START_TEST(a_message_on_its_way_outlives_its_listener)
{
	struct session *far = far_session();

	ck_assert_int_eq(pubsub_subscribe(far, PUBSUB_CHANNEL, SLICE("c")), 0);
	ck_reply("PUBLISH c one", ":1\r\n");
	conn_close(far->conn);
	ck_reply("PUBLISH c two", ":0\r\n");
	ck_assert_str_eq(far_received(), "");
	close(far_fd);
}
END_TEST

START_TEST(without_memory_nothing_is_subscribed_or_published)
{
	struct session *far = far_session();

	ask_without_memory("UNSUBSCRIBE c", "SUBSCRIBE c",
	    "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "PUBSUB CHANNELS", "*0\r\n");
	ask("RESET");
	ck_assert_int_eq(pubsub_subscribe(far, PUBSUB_CHANNEL, SLICE("c")), 0);
	for (unsigned long n = 1, seen = n; seen >= n; n++) {
		const char *reply;

		mem_fail_nth(n, 0);
		reply = ask("PUBLISH c x"); /* "closed" where its number had no room */
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert_int_eq(*far_received() != '\0', strncmp(reply, "-OOM", 4) != 0);
		far = list_entry(server->loops[1].sessions.prev, struct session, link);
	}
	ck_assert_uint_eq(far->pubsub.n[PUBSUB_CHANNEL], 1);
	close(far_fd);
}
END_TEST

START_TEST(names_are_listed_by_pattern)
{
	ask("SUBSCRIBE aa ab b");
	ck_reply("PUBSUB CHANNELS a*", "*2\r\n$2\r\naa\r\n$2\r\nab\r\n");
	ck_reply("PUBSUB CHANNELS a b",
	    "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. "
	    "Try PUBSUB HELP.\r\n");
	ck_reply("PUBSUB SHARDCHANNELS", "*0\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_pubsub");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, a_name_counts_once_for_a_client);
	tcase_add_test(t, who_subscribes_behind_a_message_does_not_get_it);
	tcase_add_test(t, a_message_on_its_way_outlives_its_listener);
	tcase_add_test(t, without_memory_nothing_is_subscribed_or_published);
	tcase_add_test(t, names_are_listed_by_pattern);
	suite_add_tcase(s, t);
	return suite_main(s);
}
