/* PANNIER.LEASE and SET ... LEASE, as one client sees them. What others see is in
 * tests/unit/store/test_lease.c and tests/integration/test_leases.py. */
#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>

#define VOID_TOKEN \
	"-LEASE this token is void: the key was set, deleted or flushed, the lease time is " \
	"over, or its client left\r\n"

/* The token of a reply of LEASE. */
static void
token_of(const char *reply, char token[32])
{
	ck_assert_msg(sscanf(reply, "*3\r\n+LEASE\r\n$-1\r\n$%*d\r\n%20[0-9]\r\n", token) == 1,
	    "no token in: %s", reply);
}

static const char *
ask_with(const char *before, const char *token)
{
	static char line[256];

	snprintf(line, sizeof line, "%s %s", before, token);
	return ask(line);
}

START_TEST(absent_key_gives_a_token_whose_set_is_done_once)
{
	char token[32];

	token_of(ask("PANNIER.LEASE k"), token);
	ck_assert_str_eq(ask_with("SET k v PX 70000 LEASE", token), "+OK\r\n");
	ck_reply("PANNIER.LEASE k", "*3\r\n+HIT\r\n$1\r\nv\r\n$-1\r\n");
	ck_assert_str_eq(ask_with("SET k w LEASE", token), VOID_TOKEN);
	ck_reply("GET k", "$1\r\nv\r\n");
	ck_reply("TTL k", ":70\r\n");
}
END_TEST

START_TEST(tokens_cannot_be_guessed_from_each_other)
{
	char one[32], two[32];

	token_of(ask("PANNIER.LEASE a"), one);
	token_of(ask("PANNIER.LEASE b"), two);
	ck_assert_str_ne(one, two);
	ck_assert_uint_gt(strlen(one) + strlen(two), 30);
}
END_TEST

START_TEST(what_is_no_token_is_a_void_one)
{
	static const char *const bad[] = { "0", "-1", "''", "x", "1e3", "18446744073709551616" };

	ask("PANNIER.LEASE k");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_str_eq(ask_with("SET k v LEASE", bad[i]), VOID_TOKEN);
		ck_assert_str_eq(ask_with("PANNIER.LEASE k RELEASE", bad[i]), ":0\r\n");
	}
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SET nobody v LEASE 7", VOID_TOKEN);
	ck_reply("SET nobody v GET LEASE 7", VOID_TOKEN);
	ck_reply("EXISTS nobody", ":0\r\n");
}
END_TEST

START_TEST(lease_goes_with_other_options)
{
	char token[32];

	token_of(ask("PANNIER.LEASE k"), token);
	ck_assert_str_eq(ask_with("SET k v XX LEASE", token), "$-1\r\n"); /* and stands still */
	ck_assert_str_eq(ask_with("SET k v NX GET LEASE", token), "$-1\r\n");
	ck_reply("GET k", "$1\r\nv\r\n");
	ck_reply("SET k v LEASE", "-ERR syntax error\r\n");
	ck_reply("SET k v LEASE 1 LEASE 2", "-ERR syntax error\r\n");
	ck_reply("GETEX k LEASE 1", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(value_with_a_grace_of_its_own_is_shown_when_its_time_is_over)
{
	char token[32];

	ck_reply("SET k old PX 70000 GRACE 5000", "+OK\r\n");
	ck_reply("SET k old grace 5000 XX KEEPTTL", "+OK\r\n");
	ck_reply("APPEND k er", ":5\r\n");
	ck_reply("PEXPIRE k 1000", ":1\r\n");
	now_ms += 1000;
	ck_reply("EXISTS k", ":0\r\n");
	ck_assert_int_eq(sscanf(ask("PANNIER.LEASE k"),
	    "*3\r\n+LEASE\r\n$5\r\nolder\r\n$%*d\r\n%20[0-9]\r\n", token), 1);
	ck_assert_str_eq(ask_with("SET k v PX 1000 GRACE 0 LEASE", token), "+OK\r\n");
	now_ms += 1000;
	token_of(ask("PANNIER.LEASE k"), token);
}
END_TEST

START_TEST(grace_out_of_its_range_is_refused)
{
	ck_reply("SET k v GRACE", "-ERR syntax error\r\n");
	ck_reply("SET k v GRACE 1 GRACE 2", "-ERR syntax error\r\n");
	ck_reply("GETEX k GRACE 1", "-ERR syntax error\r\n");
	ck_reply("SET k v GRACE x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("SET k v GRACE -1", "-ERR GRACE takes 0 to 140737488355328 milliseconds\r\n");
	ck_reply("SET k v GRACE 140737488355329",
	    "-ERR GRACE takes 0 to 140737488355328 milliseconds\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SET k v GRACE 140737488355328", "+OK\r\n");
}
END_TEST

START_TEST(connection_that_holds_the_lease_does_not_wait_for_it)
{
	ask("PANNIER.LEASE k");
	ck_reply("PANNIER.LEASE k", "*3\r\n+MISS\r\n$-1\r\n$-1\r\n");
	ck_reply("GET k", "$-1\r\n");
}
END_TEST

START_TEST(release_gives_it_up)
{
	char token[32];

	token_of(ask("PANNIER.LEASE k"), token);
	ck_assert_str_eq(ask_with("PANNIER.LEASE k release", token), ":1\r\n");
	ck_assert_str_eq(ask_with("PANNIER.LEASE k RELEASE", token), ":0\r\n");
	ck_assert_str_eq(ask_with("SET k v LEASE", token), VOID_TOKEN);
	ck_reply_has("PANNIER.LEASE k", "+LEASE\r\n");
}
END_TEST

START_TEST(every_command_that_changes_the_key_voids_the_token)
{
	static const char *const changes[] = { "SET k w", "SETEX k 10 w", "SETNX k w", "GETSET k w",
		"APPEND k w", "INCR k", "SETRANGE k 0 w", "SETBIT k 1 1", "MSET k w", "MSETNX k w",
		"COPY full k", "RENAME full k", "BITOP NOT k full", "INCRBYFLOAT k 1.5", "DEL k",
		"UNLINK k", "GETDEL k", "EXPIRE k 10", "PEXPIRE k -1", "EXPIREAT k 1", "RENAME k full",
		"FLUSHALL", "FLUSHDB" };
	char token[32];

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		/* RENAME of the absent key is an error and changes nothing. */
		bool renames = strcmp(changes[i], "RENAME k full") == 0;

		ask("FLUSHALL");
		ask("SET full x");
		token_of(ask("PANNIER.LEASE k"), token);
		ask(changes[i]);
		ck_assert_msg((strcmp(ask_with("SET k v LEASE", token), VOID_TOKEN) == 0) != renames,
		    "%s", changes[i]);
	}
}
END_TEST

START_TEST(commands_that_change_nothing_leave_it)
{
	static const char *const idle[] = { "GET k", "MGET k k", "GETEX k EX 10", "PERSIST k",
		"SET k w XX", "SET k w IFEQ x", "DELIFEQ k x", "EXISTS k", "TTL k", "STRLEN k",
		"TOUCH k", "COPY k other", "RENAME k other", "BITCOUNT k", "GETRANGE k 0 1" };
	char token[32];

	token_of(ask("PANNIER.LEASE k"), token);
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		ask(idle[i]);
	ck_assert_str_eq(ask_with("SET k v LEASE", token), "+OK\r\n");
}
END_TEST

START_TEST(bad_arguments_say_what_is_wrong)
{
	ck_reply("PANNIER.LEASE", "-ERR wrong number of arguments for 'pannier.lease' command\r\n");
	ck_reply("PANNIER.LEASE k WAIT", "-ERR syntax error\r\n");
	ck_reply("PANNIER.LEASE k WAIT 1 2", "-ERR syntax error\r\n");
	ck_reply("PANNIER.LEASE k HOLD 1", "-ERR syntax error\r\n");
	ck_reply("PANNIER.LEASE k WAIT x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("PANNIER.LEASE k WAIT -1", "-ERR WAIT takes 0 to 3600000 milliseconds\r\n");
	ck_reply("PANNIER.LEASE k WAIT 3600001", "-ERR WAIT takes 0 to 3600000 milliseconds\r\n");
	ck_reply_has("PANNIER.LEASE k WAIT 0", "+LEASE\r\n");
}
END_TEST

START_TEST(without_memory_nothing_is_lost)
{
	char token[32];

	/* MISS where there is none for a lease, else LEASE: what else needs some, as a
	 * histogram of times, is done without. */
	ck_assert_uint_le(ask_without_memory("DEL k", "PANNIER.LEASE k WAIT 0", "*3\r\n+", NULL,
	    NULL), 2);
	token_of(ask("PANNIER.LEASE other"), token);
	ck_assert_str_eq(ask_with("SET other v LEASE", token), "+OK\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_lease");

	SUITE_ADD_FIXTURE(s, "cmd_lease", handlers_setup, handlers_teardown,
	    absent_key_gives_a_token_whose_set_is_done_once,
	    tokens_cannot_be_guessed_from_each_other, what_is_no_token_is_a_void_one,
	    lease_goes_with_other_options,
	    value_with_a_grace_of_its_own_is_shown_when_its_time_is_over,
	    grace_out_of_its_range_is_refused, connection_that_holds_the_lease_does_not_wait_for_it,
	    release_gives_it_up, every_command_that_changes_the_key_voids_the_token,
	    commands_that_change_nothing_leave_it, bad_arguments_say_what_is_wrong,
	    without_memory_nothing_is_lost);
	return suite_main(s);
}
