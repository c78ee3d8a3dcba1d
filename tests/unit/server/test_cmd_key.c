#include "config.h"

#include "unit/server/handlers.h"

#include "server/large.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(keys_named_twice_count_as_redis_counts_them)
{
	ck_reply("MSET a 1 b 2", "+OK\r\n");
	ck_reply("EXISTS a a b c", ":3\r\n");
	ck_reply("TOUCH a b c", ":2\r\n");
	ck_reply("DEL a a c", ":1\r\n");
	ck_reply("UNLINK b b", ":1\r\n");
	ck_reply("DBSIZE", ":0\r\n");
	ck_reply("TYPE a", "+none\r\n");
	ck_reply("SET a ''", "+OK\r\n");
	ck_reply("TYPE a", "+string\r\n");
}
END_TEST

START_TEST(flush_takes_sync_or_async_and_nothing_else)
{
	ck_reply("MSET a 1 b 2", "+OK\r\n");
	ck_reply("FLUSHALL now", "-ERR syntax error\r\n");
	ck_reply("FLUSHALL sync async", "-ERR syntax error\r\n");
	ck_reply("EXISTS a b", ":2\r\n");
	ck_reply("FLUSHDB async", "+OK\r\n");
	ck_reply("EXISTS a b", ":0\r\n");
}
END_TEST

START_TEST(expire_sets_under_its_conditions)
{
	ck_reply("EXPIRE k 10", ":0\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("EXPIRE k 10 XX", ":0\r\n");
	ck_reply("EXPIRE k 10 GT", ":0\r\n");
	ck_reply("EXPIRE k 20 LT", ":1\r\n");
	ck_reply("EXPIRE k 10 NX", ":0\r\n");
	ck_reply("EXPIRE k 20 GT", ":0\r\n");
	ck_reply("EXPIRE k 30 GT XX", ":1\r\n");
	ck_reply("EXPIRE k 40 LT", ":0\r\n");
	ck_reply("TTL k", ":30\r\n");
	ck_reply("EXPIRE k 10 NX XX",
	    "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
	ck_reply("EXPIRE k 10 GT LT",
	    "-ERR GT and LT options at the same time are not compatible\r\n");
	ck_reply("EXPIRE k 10 foo", "-ERR Unsupported option foo\r\n");
	ck_reply("PERSIST k", ":1\r\n");
	ck_reply("PERSIST k", ":0\r\n");
}
END_TEST

START_TEST(expiry_in_the_past_removes)
{
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("EXPIRE k -1", ":1\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("PEXPIRE k -9223372036854775808", ":1\r\n");
	ck_reply("DBSIZE", ":0\r\n");
	ck_reply("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
	ck_reply("PEXPIRE k 9223372036854775807",
	    "-ERR invalid expire time in 'pexpire' command\r\n");
}
END_TEST

START_TEST(ttl_rounds_to_the_nearest_second)
{
	ck_reply("TTL k", ":-2\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("TTL k", ":-1\r\n");
	ck_reply("PEXPIRE k 1499", ":1\r\n");
	ck_reply("TTL k", ":1\r\n");
	ck_reply("PEXPIRE k 1500", ":1\r\n");
	ck_reply("TTL k", ":2\r\n");
	ck_reply("PEXPIRE k 499", ":1\r\n");
	ck_reply("TTL k", ":0\r\n");
}
END_TEST

static void
fill(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char line[64];

		snprintf(line, sizeof line, "SET key:%u v", i);
		ck_reply(line, "+OK\r\n");
	}
}

/* Marks the keys "key:<i>" of a reply's array; answers how many it holds. */
static unsigned
mark_keys(const char *reply, bool *seen, unsigned n)
{
	unsigned found = 0;

	for (const char *p = reply; (p = strstr(p, "\r\nkey:")) != NULL; p += 6) {
		unsigned i = (unsigned)strtoul(p + 6, NULL, 10);

		ck_assert_uint_lt(i, n);
		seen[i] = true;
		found++;
	}
	return found;
}

START_TEST(scan_meets_every_key_that_stays)
{
	enum { N = 3000 };
	static bool seen[N];
	char line[96], cursor[32] = "0";
	unsigned pages = 0, extra = 0, found = 0;

	fill(N);
	do {
		const char *reply;

		snprintf(line, sizeof line, "SCAN %s COUNT 50", cursor);
		reply = ask(line);
		ck_assert_int_eq(sscanf(reply, "*2\r\n$%*u\r\n%31[0-9]", cursor), 1);
		mark_keys(reply, seen, N);
		/* Others come and go meanwhile, and the table grows. */
		snprintf(line, sizeof line, "SET other:%u v", extra++);
		ask(line);
		ck_assert_uint_lt(++pages, N);
	} while (strcmp(cursor, "0") != 0);
	for (unsigned i = 0; i < N; i++)
		found += seen[i];
	ck_assert_uint_eq(found, N);
	ck_assert_uint_gt(pages, 10);
}
END_TEST

START_TEST(a_large_count_gives_everything_at_once)
{
	enum { N = 2000 };
	static bool seen[N];
	const char *reply;

	fill(N);
	reply = ask("SCAN 0 COUNT 9223372036854775807");
	ck_assert_int_eq(strncmp(reply, "*2\r\n$1\r\n0\r\n", 11), 0);
	ck_assert_uint_ge(mark_keys(reply, seen, N), N);
}
END_TEST

START_TEST(scan_reads_cursors_and_options_as_redis)
{
	static const char *const bad[] = { "x", "-", "+", "1.5", "18446744073709551616",
		"-18446744073709551616" };
	static const char *const good[] = { "''", "+0", "00", "-1", "18446744073709551615",
		"123456789" };
	char line[64];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof line, "SCAN %s", bad[i]);
		ck_reply(line, "-ERR invalid cursor\r\n");
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		snprintf(line, sizeof line, "SCAN %s", good[i]);
		ck_assert_int_eq(strncmp(ask(line), "*2\r\n", 4), 0);
	}
	ck_reply("SCAN 0 COUNT 0", "-ERR syntax error\r\n");
	ck_reply("SCAN 0 COUNT -9223372036854775808", "-ERR syntax error\r\n");
	ck_reply("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("SCAN 0 MATCH", "-ERR syntax error\r\n");
	ck_reply("SCAN 0 foo bar", "-ERR syntax error\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("SCAN 0 TYPE hash COUNT 100000", "*2\r\n$1\r\n0\r\n*0\r\n");
	ck_reply("SCAN 0 TYPE String MATCH [j-l] COUNT 100000",
	    "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n");
}
END_TEST

START_TEST(keys_answers_what_matches_and_only_what_lives)
{
	ck_reply("MSET one 1 two 2 '' 3", "+OK\r\n");
	ck_reply("KEYS o*", "*1\r\n$3\r\none\r\n");
	ck_reply("KEYS ''", "*1\r\n$0\r\n\r\n");
	ck_reply("KEYS **e", "*1\r\n$3\r\none\r\n");
	ck_reply("DEL one ''", ":2\r\n");
	ck_reply("KEYS *", "*1\r\n$3\r\ntwo\r\n");
	ck_reply("PEXPIRE two 5", ":1\r\n");
	now_ms += 5;
	ck_reply("KEYS *", "*0\r\n");
}
END_TEST

START_TEST(pattern_that_would_take_for_ever_is_refused)
{
	enum { LEN = 200000 };
	static char key[LEN], pattern[LEN];
	struct slice set[] = { SLICE("SET"), slice_of(key, LEN), SLICE("v") };
	struct slice keys[] = { SLICE("KEYS"), slice_of(pattern, LEN) };
	struct slice scan[] = { SLICE("SCAN"), SLICE("0"), SLICE("MATCH"), slice_of(pattern, LEN) };

	memset(key, 'a', LEN);
	memset(pattern, 'a', LEN);
	pattern[0] = '*';
	pattern[LEN / 2] = 'b';
	ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	ck_assert_str_eq(ask_args(keys, 2), "-ERR the pattern takes too much work\r\n");
	ck_assert_str_eq(ask_args(scan, 4), "-ERR the pattern takes too much work\r\n");
}
END_TEST

START_TEST(keys_answers_an_error_where_the_reply_would_be_cut_off)
{
	struct conn_limits limits = server_conn_limits(server, server_config(&server->loops[0]));
	static char key[20000];
	struct slice set[] = { SLICE("SET"), slice_of(key, sizeof key), SLICE("v") };

	memset(key, 'x', sizeof key);
	for (size_t sum = 0; sum <= limits.output_hard_bytes; sum += sizeof key) {
		snprintf(key, sizeof key, "%zu", sum);
		ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	}
	/* A second such reply has to wait until the first is sent. */
	ck_reply_has("KEYS *", "*20\r\n$20000\r\n");
	ck_assert(large_take(server));
	ck_reply("KEYS *", "-ERR too many keys match for one reply, use SCAN\r\n");
	large_give(server);
	ck_reply_has("KEYS *", "*20\r\n$20000\r\n");
	for (size_t sum = 0; sum <= large_max(server); sum += sizeof key) {
		snprintf(key, sizeof key, "%zu", sum);
		ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	}
	ck_reply("KEYS *", "-ERR too many keys match for one reply, use SCAN\r\n");
	ck_assert(large_take(server)); /* it was given back */
}
END_TEST

START_TEST(walks_survive_failing_allocations)
{
	fill(300);
	ask_without_memory("SET k v", "KEYS k", "*1\r\n$1\r\nk\r\n", NULL, NULL);
	ask_without_memory("SET k v", "SCAN 0 MATCH k COUNT 100000",
	    "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n", NULL, NULL);
}
END_TEST

/* Redis counts these as reads; only TOUCH and STRLEN are uses. */
START_TEST(reads_count_hits_and_misses)
{
	struct stats_sum_ns before, after;

	ck_reply("SET k v", "+OK\r\n");
	stats_sum_ns(server->stats, server->n_loops, 0, &before);
	ask("EXISTS k none");
	ask("TTL k");
	ask("TYPE k");
	ask("STRLEN k");
	ask("GETEX k");
	ask("SET k v NX");
	ask("EXPIRE k 100");
	stats_sum_ns(server->stats, server->n_loops, 0, &after);
	ck_assert_int_eq(after.hits - before.hits, 5);
	ck_assert_int_eq(after.misses - before.misses, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_key");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, keys_named_twice_count_as_redis_counts_them);
	tcase_add_test(t, flush_takes_sync_or_async_and_nothing_else);
	tcase_add_test(t, expire_sets_under_its_conditions);
	tcase_add_test(t, expiry_in_the_past_removes);
	tcase_add_test(t, ttl_rounds_to_the_nearest_second);
	tcase_add_test(t, scan_meets_every_key_that_stays);
	tcase_add_test(t, a_large_count_gives_everything_at_once);
	tcase_add_test(t, scan_reads_cursors_and_options_as_redis);
	tcase_add_test(t, keys_answers_what_matches_and_only_what_lives);
	tcase_add_test(t, pattern_that_would_take_for_ever_is_refused);
	tcase_add_test(t, keys_answers_an_error_where_the_reply_would_be_cut_off);
	tcase_add_test(t, walks_survive_failing_allocations);
	tcase_add_test(t, reads_count_hits_and_misses);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return suite_main(s);
}
