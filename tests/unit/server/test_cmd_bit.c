#include "config.h"

#include "unit/server/handlers.h"

#include <stdio.h>

#include "server/bits.h"

START_TEST(bits_are_set_got_and_grow_the_value)
{
	ck_reply("SETBIT k 7 1", ":0\r\n");
	ck_reply("SETBIT k 7 1", ":1\r\n");
	ck_reply("GET k", "$1\r\n\x01\r\n");
	ck_reply("PEXPIRE k 700", ":1\r\n");
	ck_reply("SETBIT k 33 1", ":0\r\n");
	ck_reply("STRLEN k", ":5\r\n");
	ck_reply("PTTL k", ":700\r\n");
	ck_reply("GETBIT k 33", ":1\r\n");
	ck_reply("GETBIT k 34", ":0\r\n");
	ck_reply("GETBIT k 99999", ":0\r\n");
	ck_reply("GETBIT none 0", ":0\r\n");
	ck_reply("SETBIT k 33 0", ":1\r\n");
	ck_reply("STRLEN k", ":5\r\n");
	ck_reply("SETBIT zero 8 0", ":0\r\n");
	ck_reply("STRLEN zero", ":2\r\n");
}
END_TEST

/* CVE-2021-32761 and its kin: no offset beyond the longest value is taken. */
START_TEST(offsets_end_where_values_do)
{
	static const char refused[] = "-ERR bit offset is not an integer or out of range\r\n";
	uint64_t max = server->loops[0].limits.max_bulk;
	char line[96];

	ck_reply("SETBIT k -1 1", refused);
	ck_reply("SETBIT k 9223372036854775807 1", refused);
	ck_reply("GETBIT k 9223372036854775808", refused);
	ck_reply("BITFIELD k SET u8 #1152921504606846976 1", refused);
	ck_reply("BITFIELD k SET u8 #-1 1", refused);
	ck_reply("BITFIELD k GET i64 #9223372036854775807", refused);
	snprintf(line, sizeof line, "SETBIT k %llu 1", (unsigned long long)max * 8);
	ck_reply(line, refused);
	snprintf(line, sizeof line, "GETBIT k %llu", (unsigned long long)max * 8 - 1);
	ck_reply(line, ":0\r\n");
	ck_reply("SETBIT k 1 2", "-ERR bit is not an integer or out of range\r\n");
	ck_reply("EXISTS k", ":0\r\n");
	server->loops[0].limits.max_bulk = UINT64_MAX / 16;
	ck_reply_has("SETBIT k 999999999999 1", "-ERR value too large for this cache");
	ck_reply_has("BITFIELD k SET u8 999999999999 1", "-ERR value too large for this cache");
}
END_TEST

START_TEST(bitcount_counts_in_bytes_or_bits)
{
	ck_reply("SET k foobar", "+OK\r\n");
	ck_reply("BITCOUNT k", ":26\r\n");
	ck_reply("BITCOUNT k 0 0", ":4\r\n");
	ck_reply("BITCOUNT k 1 1 byte", ":6\r\n");
	ck_reply("BITCOUNT k 5 30 BIT", ":17\r\n");
	ck_reply("BITCOUNT k -8 -1 BIT", ":4\r\n");
	ck_reply("BITCOUNT k -1 -2", ":0\r\n");
	ck_reply("BITCOUNT k 10 20", ":0\r\n");
	ck_reply("BITCOUNT k 0", "-ERR syntax error\r\n");
	ck_reply("BITCOUNT k 0 1 nibble", "-ERR syntax error\r\n");
	ck_reply("BITCOUNT k x 1", "-ERR value is not an integer or out of range\r\n");
	ck_reply("BITCOUNT none 0", ":0\r\n");
}
END_TEST

START_TEST(bitpos_sees_zeros_behind_a_value_without_an_end)
{
	struct slice set[] = { SLICE("SET"), SLICE("k"), SLICE("\xff\xff\xff") };

	ask_args(set, 3);
	ck_reply("BITPOS k 0", ":24\r\n");
	ck_reply("BITPOS k 0 1", ":24\r\n");
	ck_reply("BITPOS k 0 0 -1", ":-1\r\n");
	ck_reply("BITPOS k 1 2", ":16\r\n");
	ck_reply("BITPOS k 1 3 20 BIT", ":3\r\n");
	ck_reply("BITPOS k 1 5", ":-1\r\n");
	ck_reply("BITPOS none 0", ":0\r\n");
	ck_reply("BITPOS none 1", ":-1\r\n");
	ck_reply("BITPOS k 2", "-ERR The bit argument must be 1 or 0.\r\n");
	ck_reply("BITPOS k 1 0 1 nibble", "-ERR syntax error\r\n");
}
END_TEST

/* Against a loop that looks at one bit at a time. */
START_TEST(ranges_of_any_edges_are_counted_and_searched)
{
	char text[41];
	struct slice s = slice_of(text, sizeof text);

	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = (char)(round == 0 ? i * 77 + 3 : round == 1 ? 0 : 0xff);
		text[20] = (char)(round == 0 ? 0 : text[20] ^ 0x10);
		for (uint64_t first = 0; first < sizeof text * 8; first += 3)
			for (uint64_t last = first; last < sizeof text * 8; last += 5) {
				int64_t at[2] = { -1, -1 };
				uint64_t n = 0;

				for (uint64_t b = last + 1; b-- > first;) {
					n += bits_get(s, b);
					at[bits_get(s, b)] = (int64_t)b;
				}
				ck_assert_uint_eq(bits_count(s, first, last), n);
				ck_assert_int_eq(bits_find(s, false, first, last), at[0]);
				ck_assert_int_eq(bits_find(s, true, first, last), at[1]);
			}
	}
}
END_TEST

START_TEST(bitfield_wraps_saturates_or_fails)
{
	ck_reply("BITFIELD k INCRBY i5 100 1 GET u4 0", "*2\r\n:1\r\n:0\r\n");
	ck_reply("STRLEN k", ":14\r\n");
	ck_reply("DEL k", ":1\r\n");
	ck_reply("BITFIELD k SET u8 #1 255 OVERFLOW SAT INCRBY u8 #1 10 OVERFLOW FAIL INCRBY u8 #1 1 "
	         "OVERFLOW WRAP INCRBY u8 #1 10",
	    "*4\r\n:0\r\n:255\r\n$-1\r\n:9\r\n");
	ck_reply("BITFIELD s SET i8 0 127 INCRBY i8 0 1 OVERFLOW SAT INCRBY i8 0 -100",
	    "*3\r\n:0\r\n:-128\r\n:-128\r\n");
	ck_reply("BITFIELD l SET i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW SAT INCRBY i64 0 -1",
	    "*3\r\n:0\r\n:-9223372036854775808\r\n:-9223372036854775808\r\n");
	ck_reply("BITFIELD u SET u4 0 -1 GET u4 0", "*2\r\n:0\r\n:15\r\n");
	ck_reply("BITFIELD_RO u GET u4 0 GET i4 0", "*2\r\n:15\r\n:-1\r\n");
	ck_reply("BITFIELD_RO none GET u63 5", "*1\r\n:0\r\n");
	ck_reply("BITFIELD none", "*0\r\n");
	ck_reply("EXISTS none", ":0\r\n");
}
END_TEST

START_TEST(bitfield_reads_around_what_it_writes)
{
	ck_reply("SET k abcdef", "+OK\r\n");
	ck_reply("BITFIELD k GET u16 8 SET u8 16 0 GET u16 8 GET u16 16 GET u8 40 GET u8 0",
	    "*6\r\n:25187\r\n:99\r\n:25088\r\n:100\r\n:102\r\n:97\r\n");
	ck_reply("GETRANGE k 3 -1", "$3\r\ndef\r\n");
	ck_reply("BITFIELD k SET u8 40 120 SET u8 8 121", "*2\r\n:102\r\n:98\r\n");
	ck_reply("GETRANGE k 3 -1", "$3\r\ndex\r\n");
	ck_reply("GETRANGE k 0 1", "$2\r\nay\r\n");
	/* Reading beyond the end makes nothing longer, writing does. */
	ck_reply("BITFIELD s SET u4 0 1 GET u63 0 GET u8 100", "*3\r\n:0\r\n:576460752303423488\r\n:0\r\n");
	ck_reply("STRLEN s", ":1\r\n");
	ck_reply("BITFIELD s INCRBY u8 800 1", "*1\r\n:1\r\n");
	ck_reply("STRLEN s", ":101\r\n");
	ck_reply("BITFIELD s GET u8 0 GET u8 800", "*2\r\n:16\r\n:1\r\n");
}
END_TEST

START_TEST(bitfield_refuses_before_it_writes)
{
	static const char type[] = "-ERR Invalid bitfield type. Use something like i16 u8. "
	                           "Note that u64 is not supported but i64 is.\r\n";

	ck_reply("BITFIELD k SET u8 0 1 SET u64 0 1", type);
	ck_reply("BITFIELD k SET u0 0 1", type);
	ck_reply("BITFIELD k SET i65 0 1", type);
	ck_reply("BITFIELD k SET x8 0 1", type);
	ck_reply("BITFIELD k SET '' 0 1", type);
	ck_reply("BITFIELD k SET u8 0", "-ERR syntax error\r\n");
	ck_reply("BITFIELD k SET u8 0 1 FROB", "-ERR syntax error\r\n");
	ck_reply("BITFIELD k OVERFLOW most SET u8 0 1", "-ERR Invalid OVERFLOW type specified\r\n");
	ck_reply("BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range\r\n");
	ck_reply("BITFIELD_RO k SET u8 0 1",
	    "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
	ck_reply("EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(bits_survive_failing_allocations)
{
	ask_without_memory("DEL k", "SETBIT k 80000 1", ":0\r\n", "EXISTS k", ":0\r\n");
	ask_without_memory("DEL k", "BITFIELD k SET u8 800 9 INCRBY u8 800 1", "*2\r\n:0\r\n:10\r\n",
	    "EXISTS k", ":0\r\n");
}
END_TEST

START_TEST(bitop_joins_values_of_any_length)
{
	ck_reply("MSET a foobar b abc", "+OK\r\n");
	ck_reply("BITOP AND d a b", ":6\r\n");
	ck_reply("GETRANGE d 0 2", "$3\r\n`bc\r\n");
	ck_reply("BITCOUNT d 3 5", ":0\r\n");
	ck_reply("BITOP or d a none b", ":6\r\n");
	ck_reply("GET d", "$6\r\ngoobar\r\n");
	ck_reply("PEXPIRE d 700", ":1\r\n");
	ck_reply("BITOP XOR d d d a", ":6\r\n");
	ck_reply("GET d", "$6\r\nfoobar\r\n");
	ck_reply("PTTL d", ":-1\r\n");
	ck_reply("BITOP AND d a none", ":6\r\n");
	ck_reply("BITCOUNT d", ":0\r\n");
	ck_reply("BITOP NOT d none", ":0\r\n");
	ck_reply("EXISTS d", ":0\r\n");
	ck_reply("BITOP NOT d a b",
	    "-ERR BITOP NOT must be called with a single source key.\r\n");
	ck_reply("BITOP NOR d a b", "-ERR syntax error\r\n");
	ask_without_memory("DEL d", "BITOP OR d a b", ":6\r\n", "EXISTS d", ":0\r\n");
}
END_TEST

START_TEST(large_values_grow_where_all_memory_is_in_use)
{
	static char many[10000];
	struct slice append[] = { SLICE("APPEND"), SLICE("big"), slice_of(many, sizeof many) };
	struct cache_stats st;
	char line[64];

	for (int i = 0; i < 400; i++) {
		snprintf(line, sizeof line, "SETRANGE f%d 199999 x", i);
		ck_reply(line, ":200000\r\n");
	}
	for (int i = 0; i < 5; i++) {
		ck_reply("SETRANGE big 99999 x", ":100000\r\n");
		ck_reply("SETBIT big 1200007 1", ":0\r\n");
		ck_reply("BITFIELD big SET u8 1280000 7", "*1\r\n:0\r\n");
		ck_assert_str_eq(ask_args(append, 3), ":170001\r\n");
		ck_reply("BITFIELD big GET u8 1280000 GET u8 1200000 GET u8 799992",
		    "*3\r\n:7\r\n:1\r\n:120\r\n");
		ck_reply("DEL big", ":1\r\n");
		cache_stats(store_cache(server->store), &st);
		ck_assert_uint_le(st.used_bytes, st.budget_bytes);
		ck_assert_uint_gt(st.evicted, 0);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_bit");
	TCase *t = tcase_create("commands");

	tcase_add_checked_fixture(t, handlers_setup, handlers_teardown);
	tcase_add_test(t, bits_are_set_got_and_grow_the_value);
	tcase_add_test(t, offsets_end_where_values_do);
	tcase_add_test(t, bitcount_counts_in_bytes_or_bits);
	tcase_add_test(t, bitpos_sees_zeros_behind_a_value_without_an_end);
	tcase_add_test(t, ranges_of_any_edges_are_counted_and_searched);
	tcase_add_test(t, bitfield_wraps_saturates_or_fails);
	tcase_add_test(t, bitfield_reads_around_what_it_writes);
	tcase_add_test(t, bitfield_refuses_before_it_writes);
	tcase_add_test(t, large_values_grow_where_all_memory_is_in_use);
	tcase_add_test(t, bits_survive_failing_allocations);
	tcase_add_test(t, bitop_joins_values_of_any_length);
	suite_add_tcase(s, t);
	return suite_main(s);
}
