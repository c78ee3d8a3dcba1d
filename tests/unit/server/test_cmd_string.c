#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

START_TEST(set_takes_its_options_in_any_order)
{
	ck_reply("SET k a PX 5000 NX", "+OK\r\n");
	ck_reply("set k b nx ex 100", "$-1\r\n");
	ck_reply("SET k b GET EX 100 XX", "$1\r\na\r\n");
	ck_reply("PTTL k", ":100000\r\n");
	ck_reply("SET k c KEEPTTL", "+OK\r\n");
	ck_reply("PTTL k", ":100000\r\n");
	ck_reply("SET k d", "+OK\r\n");
	ck_reply("PTTL k", ":-1\r\n");
	ck_reply("SET none x XX", "$-1\r\n");
	ck_reply("EXISTS none", ":0\r\n");
}
END_TEST

START_TEST(set_refuses_options_that_exclude_each_other)
{
	static const char *const lines[] = {
		"SET k v NX XX", "SET k v EX 1 PX 1", "SET k v KEEPTTL EX 1", "SET k v EX 1 KEEPTTL",
		"SET k v EX", "SET k v PERSIST", "SET k v EXAT 1 PXAT 1", "SET k v ''", "GETEX k EX",
		"GETEX k KEEPTTL", "GETEX k NX", "GETEX k PERSIST EX 1",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		ck_reply(lines[i], "-ERR syntax error\r\n");
	ck_reply("SET k v EX 10 EX 20 NX NX", "+OK\r\n");
	ck_reply("TTL k", ":20\r\n");
}
END_TEST

START_TEST(times_that_make_no_sense_are_refused_by_name)
{
	ck_reply("SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n");
	ck_reply("SET k v PX -1", "-ERR invalid expire time in 'set' command\r\n");
	ck_reply("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
	ck_reply("SET k v EX 9223372036854775", "-ERR invalid expire time in 'set' command\r\n");
	ck_reply("SETEX k 0 v", "-ERR invalid expire time in 'setex' command\r\n");
	ck_reply("PSETEX k -5 v", "-ERR invalid expire time in 'psetex' command\r\n");
	ck_reply("SET k v EX 1.5", "-ERR value is not an integer or out of range\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("GETEX k EX 0", "$-1\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("GETEX k EX 0", "-ERR invalid expire time in 'getex' command\r\n");
}
END_TEST

START_TEST(value_is_gone_when_its_time_has_come)
{
	ck_reply("SET k v PX 100", "+OK\r\n");
	now_ms += 99;
	ck_reply("PTTL k", ":1\r\n");
	now_ms += 1;
	ck_reply("STRLEN k", ":0\r\n");
	ck_reply("SETNX k w", ":1\r\n");
	ck_reply("SET k v PXAT 1", "+OK\r\n");
	ck_reply("EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(what_answers_the_old_value_changes_it_as_asked)
{
	ck_reply("GETSET k a", "$-1\r\n");
	ck_reply("GETSET k b", "$1\r\na\r\n");
	ck_reply("GETEX k PX 500", "$1\r\nb\r\n");
	ck_reply("PTTL k", ":500\r\n");
	ck_reply("GETEX k PERSIST", "$1\r\nb\r\n");
	ck_reply("PTTL k", ":-1\r\n");
	ck_reply("GETEX k PXAT 1", "$1\r\nb\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SET k c", "+OK\r\n");
	ck_reply("GETDEL k", "$1\r\nc\r\n");
	ck_reply("GETDEL k", "$-1\r\n");
}
END_TEST

/* Values of every way that value_keep() has. */
START_TEST(old_values_of_any_size_come_back_whole)
{
	static const size_t sizes[] = { 0, 1, 512, 513, 16383, 16384, 100000, 400000 };
	char *text = mem_alloc(400001), head[32];

	ck_assert(text != NULL);
	for (size_t i = 0; i < 400001; i++)
		text[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct slice set[] = { SLICE("SET"), SLICE("k"), slice_of(text + 1, sizes[i]) };
		struct slice get[] = { SLICE("SET"), SLICE("k"), SLICE("other"), SLICE("GET") };
		const char *reply;
		size_t n;

		ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
		reply = ask_args(get, 4);
		n = (size_t)snprintf(head, sizeof head, "$%zu\r\n", sizes[i]);
		ck_assert_int_eq(memcmp(reply, head, n), 0);
		ck_assert_int_eq(memcmp(reply + n, text + 1, sizes[i]), 0);
		ck_assert_str_eq(reply + n + sizes[i], "\r\n");
	}
	mem_free(text);
}
END_TEST

START_TEST(append_keeps_the_time_to_live_and_grows_no_further_than_a_set)
{
	struct slice argv[] = { SLICE("APPEND"), SLICE("k"), { NULL, 0 } };
	char *text;

	ck_reply("APPEND k ab", ":2\r\n");
	ck_reply("PEXPIRE k 700", ":1\r\n");
	ck_reply("APPEND k c", ":3\r\n");
	ck_reply("PTTL k", ":700\r\n");
	ck_reply("GETDEL k", "$3\r\nabc\r\n");
	server->loops[0].limits.max_bulk = 1000;
	argv[2].len = 1000;
	argv[2].ptr = text = mem_zalloc(1000);
	ck_assert(text != NULL);
	ck_assert_str_eq(ask_args(argv, 3), ":1000\r\n");
	ck_reply("APPEND k x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
	ck_reply("APPEND k ''", ":1000\r\n");
	mem_free(text);
}
END_TEST

START_TEST(mset_needs_pairs)
{
	ck_reply("MSET a 1 b 2 a 3", "+OK\r\n");
	ck_reply("GETDEL a", "$1\r\n3\r\n");
	ck_reply("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
}
END_TEST

START_TEST(counters_stop_at_the_ends_of_64_bits)
{
	ck_reply("INCR n", ":1\r\n");
	ck_reply("DECRBY n -9", ":10\r\n");
	ck_reply("PEXPIRE n 900", ":1\r\n");
	ck_reply("DECR n", ":9\r\n");
	ck_reply("PTTL n", ":900\r\n");
	ck_reply("SET n 9223372036854775807", "+OK\r\n");
	ck_reply("INCR n", "-ERR increment or decrement would overflow\r\n");
	ck_reply("GETSET n -9223372036854775808", "$19\r\n9223372036854775807\r\n");
	ck_reply("DECR n", "-ERR increment or decrement would overflow\r\n");
	ck_reply("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
	ck_reply("INCRBY n 1.5", "-ERR value is not an integer or out of range\r\n");
	ck_reply("INCRBY n 9223372036854775807", ":-1\r\n");
	ck_reply("SET n abc", "+OK\r\n");
	ck_reply("INCR n", "-ERR value is not an integer or out of range\r\n");
	ck_reply("STRLEN n", ":3\r\n");
}
END_TEST

START_TEST(refused_for_lack_of_memory_changes_nothing)
{
	static const struct {
		const char *before, *line, *good, *check, *unchanged;
	} rows[] = {
		{ "SET k old", "SET k new", "+OK\r\n", "STRLEN k", ":3\r\n" },
		{ "SET k old", "GETSET k longer", "$3\r\nold\r\n", "STRLEN k", ":3\r\n" },
		{ "SET k old", "GETDEL k", "$3\r\nold\r\n", "EXISTS k", ":1\r\n" },
		{ "SET k old", "GETEX k PX 100", "$3\r\nold\r\n", "PTTL k", ":-1\r\n" },
		{ "SET k old", "APPEND k er", ":5\r\n", "STRLEN k", ":3\r\n" },
		{ "SET k 7", "INCR k", ":8\r\n", "GETEX k", "$1\r\n7\r\n" },
		{ "SET k old", "PEXPIRE k 100", ":1\r\n", "PTTL k", ":-1\r\n" },
		{ "FLUSHALL", "SETNX k v", ":1\r\n", "EXISTS k", ":0\r\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ask_without_memory(rows[i].before, rows[i].line, rows[i].good, rows[i].check,
		    rows[i].unchanged);
}
END_TEST

static uint64_t
evicted(void)
{
	struct cache_stats st;

	cache_stats(store_cache(server->store), &st);
	return st.evicted;
}

START_TEST(room_for_a_large_value_is_made_before_its_key_is_locked)
{
	static char bytes[4 << 20];
	char key[16];
	struct slice argv[] = { SLICE("SET"), { key, 0 }, slice_of(bytes, 1000) };
	uint64_t before;

	for (unsigned i = 0; evicted() == 0 || i % 100000 != 0; i++) {
		argv[1].len = (size_t)snprintf(key, sizeof key, "%u", i);
		ck_assert_str_eq(ask_args(argv, 3), "+OK\r\n");
	}
	before = evicted();
	store_make_room(server->loops[0].store, STORE_LARGE_BYTES);
	ck_assert_uint_eq(evicted(), before);
	store_make_room(server->loops[0].store, sizeof bytes);
	ck_assert_uint_gt(evicted(), before + 3000);
	before = evicted();
	argv[2].len = sizeof bytes - 100;
	ck_assert_str_eq(ask_args(argv, 3), "+OK\r\n");
	ck_assert_uint_lt(evicted(), before + 100); /* what every put does ahead of time */
}
END_TEST

START_TEST(the_largest_entry_is_taken_and_one_byte_more_is_an_error_that_says_so)
{
	uint64_t most = cache_max_entry(store_cache(server->store));
	char *mem = calloc(1, most), expected[128];
	struct slice set[] = { SLICE("SET"), SLICE("k"), slice_of(mem, most - 1) };

	snprintf(expected, sizeof expected, "-ERR value too large for this cache: key and value may "
	    "have at most %llu bytes\r\n", (unsigned long long)most);
	ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	ck_reply("SET k old", "+OK\r\n");
	set[2].len = most;
	ck_assert_str_eq(ask_args(set, 3), expected);
	ck_reply("GET k", "$3\r\nold\r\n");
	set[2].len = most - 1;
	ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	snprintf(expected, sizeof expected, ":%llu\r\n", (unsigned long long)most - 1);
	ck_reply("STRLEN k", expected);
	free(mem);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_string");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, set_takes_its_options_in_any_order);
	tcase_add_test(t, the_largest_entry_is_taken_and_one_byte_more_is_an_error_that_says_so);
	tcase_add_test(t, set_refuses_options_that_exclude_each_other);
	tcase_add_test(t, times_that_make_no_sense_are_refused_by_name);
	tcase_add_test(t, value_is_gone_when_its_time_has_come);
	tcase_add_test(t, what_answers_the_old_value_changes_it_as_asked);
	tcase_add_test(t, old_values_of_any_size_come_back_whole);
	tcase_add_test(t, append_keeps_the_time_to_live_and_grows_no_further_than_a_set);
	tcase_add_test(t, mset_needs_pairs);
	tcase_add_test(t, counters_stop_at_the_ends_of_64_bits);
	tcase_add_test(t, refused_for_lack_of_memory_changes_nothing);
	tcase_add_test(t, room_for_a_large_value_is_made_before_its_key_is_locked);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return suite_main(s);
}
