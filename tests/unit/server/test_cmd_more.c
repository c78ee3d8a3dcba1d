#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>
#include <stdlib.h>

START_TEST(setrange_pads_with_zeros_and_keeps_the_time_to_live)
{
	struct slice get[] = { SLICE("GET"), SLICE("k") };

	ck_reply("SETRANGE k 5 ''", ":0\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SETRANGE k 2 ab", ":4\r\n");
	ck_assert_int_eq(memcmp(ask_args(get, 2), "$4\r\n\0\0ab\r\n", 10), 0);
	ck_reply("PEXPIRE k 700", ":1\r\n");
	ck_reply("SETRANGE k 0 wxyz12", ":6\r\n");
	ck_reply("SETRANGE k 2 --", ":6\r\n");
	ck_reply("PTTL k", ":700\r\n");
	ck_reply("GET k", "$6\r\nwx--12\r\n");
	ck_reply("SETRANGE k 9999 ''", ":6\r\n");
	ck_reply("SETRANGE k 9999 x", ":10000\r\n");
	ck_reply("GETRANGE k 0 1", "$2\r\nwx\r\n");
	ck_reply("GETRANGE k -1 -1", "$1\r\nx\r\n");
}
END_TEST

START_TEST(setrange_goes_no_further_than_a_value_may)
{
	static const char too_long[] =
	    "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";

	ck_reply("SETRANGE k -1 x", "-ERR offset is out of range\r\n");
	ck_reply("SETRANGE k x x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("SETRANGE k 9223372036854775807 x", too_long);
	ck_reply("SETRANGE k 9223372036854775807 ''", ":0\r\n");
	server->loops[0].limits.max_bulk = 1u << 30;
	ck_reply_has("SETRANGE k 1000000000 x", "-ERR value too large for this cache");
	ck_reply("EXISTS k", ":0\r\n");
	ask_without_memory("DEL k", "SETRANGE k 5000 x", ":5001\r\n", "EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(getrange_takes_what_lies_within)
{
	ck_reply("SET k hello", "+OK\r\n");
	ck_reply("GETRANGE k 1 3", "$3\r\nell\r\n");
	ck_reply("SUBSTR k -3 -1", "$3\r\nllo\r\n");
	ck_reply("GETRANGE k 0 -1", "$5\r\nhello\r\n");
	ck_reply("GETRANGE k -100 100", "$5\r\nhello\r\n");
	ck_reply("GETRANGE k 3 1", "$0\r\n\r\n");
	ck_reply("GETRANGE k 5 9", "$0\r\n\r\n");
	ck_reply("GETRANGE k -9 -10", "$0\r\n\r\n");
	ck_reply("GETRANGE k -10 -9", "$1\r\nh\r\n");
	ck_reply("GETRANGE none 0 -1", "$0\r\n\r\n");
	ck_reply("GETRANGE k a 1", "-ERR value is not an integer or out of range\r\n");
}
END_TEST

START_TEST(part_of_a_large_value_is_sent_from_where_it_lies)
{
	const char *reply;

	server->loops[0].limits.max_bulk = 1u << 20;
	ck_reply("SETRANGE k 299999 x", ":300000\r\n");
	ck_reply("SETRANGE k 1000 y", ":300000\r\n");
	reply = ask("GETRANGE k 1000 200999");
	ck_assert_int_eq(memcmp(reply, "$200000\r\ny", 10), 0);
	ck_assert_str_eq(reply + 9 + 200000, "\r\n");
}
END_TEST

START_TEST(incrbyfloat_prints_as_redis_does)
{
	ck_reply("INCRBYFLOAT k 10.5", "$4\r\n10.5\r\n");
	ck_reply("INCRBYFLOAT k 0.1", "$4\r\n10.6\r\n");
	ck_reply("INCRBYFLOAT k -5", "$3\r\n5.6\r\n");
	ck_reply("PEXPIRE k 700", ":1\r\n");
	ck_reply("INCRBYFLOAT k 5.0e3", "$22\r\n5005.60000000000000009\r\n");
	ck_reply("PTTL k", ":700\r\n");
	ck_reply("SET k 3", "+OK\r\n");
	ck_reply("INCRBYFLOAT k -3", "$1\r\n0\r\n");
	ck_reply("INCRBYFLOAT k -1e-30", "$1\r\n0\r\n");
}
END_TEST

START_TEST(incrbyfloat_refuses_what_is_no_number)
{
	static const char *const words[] = { "x", "1x", "nan", "1e99999", "1e-99999", "''", "0x" };
	char line[32];

	ck_reply("SET k 1", "+OK\r\n");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		snprintf(line, sizeof line, "INCRBYFLOAT k %s", words[i]);
		ck_reply(line, "-ERR value is not a valid float\r\n");
	}
	ck_reply("INCRBYFLOAT k inf", "-ERR increment would produce NaN or Infinity\r\n");
	ck_reply("GET k", "$1\r\n1\r\n");
	ck_reply("SET k abc", "+OK\r\n");
	ck_reply("INCRBYFLOAT k 1", "-ERR value is not a valid float\r\n");
}
END_TEST

START_TEST(lcs_answers_string_length_or_ranges)
{
	ck_reply("MSET a ohmytext b mynewtext", "+OK\r\n");
	ck_reply("LCS a b", "$6\r\nmytext\r\n");
	ck_reply("LCS a b LEN", ":6\r\n");
	ck_reply("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
	    "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
	    "$3\r\nlen\r\n:6\r\n");
	ck_reply("LCS a none", "$0\r\n\r\n");
	ck_reply("LCS none none LEN", ":0\r\n");
	ck_reply("SET empty ''", "+OK\r\n");
	ck_reply("LCS empty a IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
	ck_reply("LCS a b LEN IDX",
	    "-ERR If you want both the length and indexes, please just use IDX.\r\n");
	ck_reply("LCS a b MINMATCHLEN", "-ERR syntax error\r\n");
	ck_reply("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range\r\n");
}
END_TEST

START_TEST(lcs_of_large_values_is_refused)
{
	static const char refused[] = "-ERR Insufficient memory, transient memory for LCS exceeds "
	                              "proto-max-bulk-len\r\n";

	ck_reply("SETRANGE a 2999 x", ":3000\r\n");
	ck_reply("LCS a a", refused);
	server->loops[0].limits.max_bulk = 4000;
	ck_reply("LCS a none LEN", refused);
	ck_reply("MSET a ohmytext b mynewtext", "+OK\r\n");
	ask_without_memory("GET a", "LCS a b", "$6\r\nmytext\r\n", NULL, NULL);
}
END_TEST

START_TEST(rename_moves_the_time_to_live_too)
{
	ck_reply("RENAME none k", "-ERR no such key\r\n");
	ck_reply("SET a 1 PX 700", "+OK\r\n");
	ck_reply("SET b 2", "+OK\r\n");
	ck_reply("RENAMENX a b", ":0\r\n");
	ck_reply("RENAMENX a a", ":0\r\n");
	ck_reply("RENAME a a", "+OK\r\n");
	ck_reply("RENAME a b", "+OK\r\n");
	ck_reply("EXISTS a", ":0\r\n");
	ck_reply("GET b", "$1\r\n1\r\n");
	ck_reply("PTTL b", ":700\r\n");
	ck_reply("RENAMENX b c", ":1\r\n");
	ck_reply("RENAMENX b c", "-ERR no such key\r\n");
}
END_TEST

START_TEST(copy_leaves_the_source_and_replaces_when_told)
{
	ck_reply("SETRANGE a 100000 x", ":100001\r\n");
	ck_reply("PEXPIRE a 700", ":1\r\n");
	ck_reply("COPY a a", "-ERR source and destination objects are the same\r\n");
	ck_reply("COPY a b DB 0", ":1\r\n");
	ck_reply("COPY a b", ":0\r\n");
	ck_reply("APPEND a y", ":100002\r\n");
	ck_reply("COPY a b REPLACE", ":1\r\n");
	ck_reply("STRLEN b", ":100002\r\n");
	ck_reply("PTTL b", ":700\r\n");
	ck_reply("COPY none b REPLACE", ":0\r\n");
	ck_reply("COPY a b DB 1", "-ERR DB index is out of range\r\n");
	ck_reply("COPY a b DB", "-ERR syntax error\r\n");
	ask_without_memory("DEL b", "COPY a b", ":1\r\n", "EXISTS b", ":0\r\n");
	ask_without_memory("COPY b a", "RENAME a b", "+OK\r\n", "STRLEN a", ":100002\r\n");
}
END_TEST

START_TEST(msetnx_sets_all_or_none)
{
	ck_reply("MSETNX a 1 b 2 a 3", ":1\r\n");
	ck_reply("MGET a b", "*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
	ck_reply("MSETNX c 1 b 9", ":0\r\n");
	ck_reply("EXISTS c", ":0\r\n");
	ck_reply("MSETNX c 1 d", "-ERR wrong number of arguments for 'msetnx' command\r\n");
}
END_TEST

START_TEST(compare_and_change)
{
	ck_reply("SET k v IFEQ x", "$-1\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("SET k w IFEQ x", "$-1\r\n");
	ck_reply("SET k w IFEQ x GET", "$1\r\nv\r\n");
	ck_reply("SET k w ifeq v PX 700", "+OK\r\n");
	ck_reply("PTTL k", ":700\r\n");
	ck_reply("SET k x GET IFEQ w", "$1\r\nw\r\n");
	ck_reply("SET k x NX IFEQ w", "-ERR syntax error\r\n");
	ck_reply("SET k x IFEQ w XX", "-ERR syntax error\r\n");
	ck_reply("SET k x IFEQ", "-ERR syntax error\r\n");
	ck_reply("DELIFEQ k v", ":0\r\n");
	ck_reply("DELIFEQ k x", ":1\r\n");
	ck_reply("DELIFEQ k x", ":0\r\n");
}
END_TEST

START_TEST(moments_are_kept_and_told)
{
	ck_reply("SET k v", "+OK\r\n");
	ck_reply("EXPIRETIME k", ":-1\r\n");
	ck_reply("EXPIRETIME none", ":-2\r\n");
	ck_reply("EXPIREAT k 33177117420", ":1\r\n");
	ck_reply("EXPIRETIME k", ":33177117420\r\n");
	ck_reply("PEXPIREAT k 33177117421000 LT", ":0\r\n");
	ck_reply("PEXPIREAT k 33177117421000 GT", ":1\r\n");
	ck_reply_has("PEXPIRETIME k", ":3317711742");
	ck_reply("EXPIREAT k 9223372036854775807",
	    "-ERR invalid expire time in 'expireat' command\r\n");
	ck_reply("EXPIREAT k 1", ":1\r\n");
	ck_reply("EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(random_keys_are_of_all_there_are)
{
	bool seen[3] = { false };
	char key[3];

	ck_reply("RANDOMKEY", "$-1\r\n");
	ck_reply("MSET k0 a k1 b k2 c", "+OK\r\n");
	for (unsigned i = 0; !(seen[0] && seen[1] && seen[2]); i++) {
		ck_assert_uint_lt(i, 100000);
		ck_assert_int_eq(sscanf(ask("RANDOMKEY"), "$2\r\nk%1[012]", key), 1);
		seen[key[0] - '0'] = true;
	}
}
END_TEST

START_TEST(object_tells_what_redis_would_do)
{
	ck_reply("MSET i 12345678901234567890 n -5 e short z ''", "+OK\r\n");
	ck_reply("SETRANGE r 44 x", ":45\r\n");
	ck_reply("OBJECT ENCODING i", "$6\r\nembstr\r\n");
	ck_reply("OBJECT ENCODING n", "$3\r\nint\r\n");
	ck_reply("OBJECT ENCODING z", "$6\r\nembstr\r\n");
	ck_reply("OBJECT ENCODING r", "$3\r\nraw\r\n");
	ck_reply("OBJECT ENCODING none", "$-1\r\n");
	ck_reply("OBJECT REFCOUNT e", ":1\r\n");
	ck_reply("OBJECT FREQ e", ":0\r\n");
	ck_reply("OBJECT IDLETIME e", "-ERR idle time not tracked\r\n");
	ck_reply_has("OBJECT HELP", "+REFCOUNT <key>");
	ck_reply_has("MEMORY HELP", "+USAGE <key>");
	ck_reply("MEMORY USAGE r", ":68\r\n"); /* 16 + 46, a multiple of 8, and 4 in the table */
	ck_reply("MEMORY USAGE r SAMPLES -1", "-ERR syntax error\r\n");
	ck_reply("MEMORY USAGE none SAMPLES 0", "$-1\r\n");
	ck_reply_has("TIME", "*2\r\n$10\r\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_more");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, setrange_pads_with_zeros_and_keeps_the_time_to_live);
	tcase_add_test(t, setrange_goes_no_further_than_a_value_may);
	tcase_add_test(t, getrange_takes_what_lies_within);
	tcase_add_test(t, part_of_a_large_value_is_sent_from_where_it_lies);
	tcase_add_test(t, incrbyfloat_prints_as_redis_does);
	tcase_add_test(t, incrbyfloat_refuses_what_is_no_number);
	tcase_add_test(t, lcs_answers_string_length_or_ranges);
	tcase_add_test(t, lcs_of_large_values_is_refused);
	tcase_add_test(t, rename_moves_the_time_to_live_too);
	tcase_add_test(t, copy_leaves_the_source_and_replaces_when_told);
	tcase_add_test(t, msetnx_sets_all_or_none);
	tcase_add_test(t, compare_and_change);
	tcase_add_test(t, moments_are_kept_and_told);
	tcase_add_test(t, random_keys_are_of_all_there_are);
	tcase_add_test(t, object_tells_what_redis_would_do);
	suite_add_tcase(s, t);
	return suite_main(s);
}
