/* PANNIER.INVALIDATE as clients see it. What a walk does beside fetches and leases is in
 * tests/unit/store/test_invalidate.c. */
#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>

#include "server/door.h"
#include "store/invalidate.h"

START_TEST(keys_are_gone_at_once)
{
	ask("MSET a 1 b 2 c 3");
	ck_reply("PANNIER.INVALIDATE a nothing b", ":2\r\n");
	ck_reply("EXISTS a b c", ":1\r\n");
	ck_reply("PANNIER.INVALIDATE HARD KEY c", ":1\r\n");
	ck_reply("DBSIZE", ":0\r\n");
}
END_TEST

START_TEST(soft_without_a_stale_time_is_hard)
{
	ask("MSET a 1 b 2");
	ck_reply("PANNIER.INVALIDATE soft a", ":1\r\n");
	ck_reply("pannier.invalidate SOFT PREFIX b", ":1\r\n");
	ck_reply("DBSIZE", ":0\r\n");
}
END_TEST

START_TEST(softly_a_value_with_a_grace_is_stale)
{
	/* A walk goes by the loop's clock, which is far behind that of these requests. */
	ask("SET b old PX 70000 GRACE 10000000000");
	ck_reply("PANNIER.INVALIDATE SOFT PREFIX ''", ":1\r\n");
	ask("SET a old PX 70000 GRACE 60000");
	ck_reply("PANNIER.INVALIDATE SOFT a", ":1\r\n");
	ck_reply("EXISTS a b", ":0\r\n");
	ck_reply_has("PANNIER.LEASE a WAIT 0", "+LEASE\r\n$3\r\nold\r\n");
	ck_reply_has("PANNIER.LEASE b WAIT 0", "+LEASE\r\n$3\r\nold\r\n");
}
END_TEST

START_TEST(prefixes_take_what_begins_so)
{
	ask("MSET user:1 1 user:2 2 page:1 3 other 4");
	ck_reply("PANNIER.INVALIDATE PREFIX user: page: nothing user:1", ":3\r\n");
	ck_reply("KEYS *", "*1\r\n$5\r\nother\r\n");
}
END_TEST

START_TEST(no_value_has_a_tag_that_nobody_gave_it)
{
	ask("MSET user:1 1 user 2");
	ck_reply("PANNIER.INVALIDATE TAG user user:1", ":0\r\n");
	ck_reply("DBSIZE", ":2\r\n");
}
END_TEST

START_TEST(words_that_are_keys_need_key_before_them)
{
	ask("MSET soft 1 key 2 prefix 3");
	ck_reply("PANNIER.INVALIDATE KEY soft", ":1\r\n");
	ck_reply("PANNIER.INVALIDATE HARD KEY key", ":1\r\n");
	ck_reply("PANNIER.INVALIDATE SOFT KEY prefix", ":1\r\n");
}
END_TEST

START_TEST(words_without_names_are_an_error_and_do_nothing)
{
	static const char *const lines[] = { "SOFT", "HARD", "KEY", "PREFIX", "TAG", "SOFT PREFIX",
		"HARD TAG", "soft key" };

	ask("MSET soft 1 SOFT 2 PREFIX 3");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char line[64];

		snprintf(line, sizeof line, "PANNIER.INVALIDATE %s", lines[i]);
		ck_reply(line, "-ERR syntax error\r\n");
	}
	ck_reply("PANNIER.INVALIDATE",
	    "-ERR wrong number of arguments for 'pannier.invalidate' command\r\n");
	ck_reply("DBSIZE", ":3\r\n");
}
END_TEST

START_TEST(within_a_transaction_there_are_only_keys)
{
	ask("MSET a 1 b 2");
	ck_reply("MULTI", "+OK\r\n");
	ck_reply("EXEC", "*0\r\n");
	ck_reply_has("COMMAND GETKEYS PANNIER.INVALIDATE SOFT a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	ck_reply_has("COMMAND GETKEYS PANNIER.INVALIDATE PREFIX a b", "*0\r\n");
}
END_TEST

START_TEST(more_than_may_be_on_its_way_is_refused)
{
	static struct slice argv[INVALIDATE_PATTERNS_MAX + 3];

	argv[0] = SLICE("PANNIER.INVALIDATE");
	argv[1] = SLICE("PREFIX");
	for (size_t i = 2; i < ARRAY_LEN(argv); i++)
		argv[i] = SLICE("p");
	ck_assert_str_eq(ask_args(argv, ARRAY_LEN(argv)),
	    "-ERR at most 4096 prefixes and tags of together 1048576 bytes in one request\r\n");
	ck_assert_str_eq(ask_args(argv, ARRAY_LEN(argv) - 1), ":0\r\n");
}
END_TEST

START_TEST(without_memory_it_fails_and_nothing_is_lost)
{
	ck_assert_uint_gt(ask_without_memory("SET k v", "PANNIER.INVALIDATE PREFIX k", ":1\r\n",
	    NULL, NULL), 0);
	ask_without_memory("SET k v", "PANNIER.INVALIDATE KEY k", ":1\r\n", NULL, NULL);
}
END_TEST

static const struct door_policy *
confine_to_odd(struct door_policy *p)
{
	*p = *session->policy;
	p->confined = true;
	memset(p->own, 0, sizeof p->own);
	p->own[0] = 2; /* the second namespace */
	return p;
}

START_TEST(a_confined_client_touches_its_own_keys_alone)
{
	const struct door_policy *before = session->policy;
	struct door_policy confined;

	ask("MSET odd:1 1 odd:2 2 other 3");
	session->policy = confine_to_odd(&confined);
	ck_reply("PANNIER.INVALIDATE PREFIX ''", ":2\r\n");
	ask("SET odd:1 1");
	ck_reply("FLUSHALL", "+OK\r\n");
	ck_reply("EXISTS odd:1", ":0\r\n");
	session->policy = before;
	ck_reply("KEYS *", "*1\r\n$5\r\nother\r\n");
}
END_TEST

START_TEST(what_is_owed_keeps_reads_behind_it)
{
	ck_assert_uint_eq(session->n_ordered, 0);
	ck_reply("PANNIER.INVALIDATE PREFIX x", ":0\r\n");
	ck_assert_uint_eq(session->n_ordered, 0);
	ck_assert_uint_eq(session->n_parked, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_invalidate");

	SUITE_ADD_FIXTURE(s, "invalidate", handlers_setup, handlers_teardown,
	    keys_are_gone_at_once, soft_without_a_stale_time_is_hard,
	    softly_a_value_with_a_grace_is_stale, prefixes_take_what_begins_so,
	    no_value_has_a_tag_that_nobody_gave_it, words_that_are_keys_need_key_before_them,
	    words_without_names_are_an_error_and_do_nothing,
	    within_a_transaction_there_are_only_keys, more_than_may_be_on_its_way_is_refused,
	    without_memory_it_fails_and_nothing_is_lost,
	    a_confined_client_touches_its_own_keys_alone, what_is_owed_keeps_reads_behind_it);
	return suite_main(s);
}
