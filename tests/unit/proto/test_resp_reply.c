#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/util.h"
#include "proto/resp.h"

#define MAX_BULK 1024

/* Whole replies, one of each kind and their edges. */
static const char *const whole[] = {
	"+\r\n", "+OK\r\n", "-ERR no\r\n", ":0\r\n", ":-9223372036854775808\r\n", "$0\r\n\r\n",
	"$5\r\na\r\nbc\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "#t\r\n", "#f\r\n", ",1.5\r\n", ",inf\r\n",
	"(3492890328409238509324850943850943825024385\r\n", "=8\r\ntxt:text\r\n", "=4\r\ntxt:\r\n",
	"!5\r\nERR x\r\n", "*0\r\n", "%0\r\n", "~0\r\n", ">0\r\n", "*2\r\n:1\r\n*1\r\n$-1\r\n",
	"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*2\r\n_\r\n#f\r\n", ">3\r\n+message\r\n+ch\r\n$1\r\nx\r\n",
	"*3\r\n*0\r\n*0\r\n*0\r\n",
};

/* What no reply begins with. */
static const char *const broken[] = {
	"x", "\r\n", " +OK\r\n", "+OK\r.", ":\r\n", ":1.5\r\n", ":+1\r\n", ":99999999999999999999\r\n",
	"$\r\n", "$-2\r\n", "$+1\r\n", "$01\r\n", "$1025\r\n", "$99999999999999999999\r\n", "$?\r\n",
	"$1\r\nabc", "$1\r\na\rb", "*-2\r\n", "*x\r\n", "*?\r\n", "*16777217\r\n", "%8388609\r\n",
	"%-1\r\n", "~-1\r\n", ">-1\r\n", "_x\r\n", "#\r\n", "#x\r\n", "#tt\r\n", ",\r\n", "(\r\n",
	"=3\r\ntxt\r\n", "=4\r\ntext\r\n", "=-1\r\n", "!-1\r\n", "|1\r\n+a\r\n+b\r\n+OK\r\n", "\xc1", "",
	"*2\r\n+OK\r\nx", "*1\r\n*1\r\n*1\r\n$-7\r\n",
};

START_TEST(a_whole_reply_has_its_length_and_a_cut_one_none)
{
	for (unsigned i = 0; i < ARRAY_LEN(whole); i++) {
		char text[128];
		size_t len = strlen(whole[i]);

		snprintf(text, sizeof text, "%s+NEXT\r\n", whole[i]);
		for (size_t n = 0; n < len; n++)
			ck_assert_msg(resp_reply_len(text, n, MAX_BULK) == 0, "%s cut at %zu", whole[i], n);
		ck_assert_msg(resp_reply_len(text, len, MAX_BULK) == (int64_t)len, "%s", whole[i]);
		ck_assert_int_eq(resp_reply_len(text, strlen(text), MAX_BULK), (int64_t)len);
	}
}
END_TEST

START_TEST(what_is_no_reply_is_refused)
{
	for (unsigned i = 0; i < ARRAY_LEN(broken); i++)
		ck_assert_msg(resp_reply_len(broken[i], strlen(broken[i]), MAX_BULK) ==
		        (broken[i][0] != '\0' ? -EPROTO : 0),
		    "%s", broken[i]);
}
END_TEST

START_TEST(depth_lines_and_elements_are_capped)
{
	static char text[RESP_REPLY_LINE + 2];
	struct buf b;

	buf_init(&b);
	for (unsigned i = 0; i < RESP_REPLY_DEPTH - 1; i++)
		ck_assert_int_eq(buf_append(&b, "*1\r\n", 4), 0);
	ck_assert_int_eq(resp_reply_len(buf_data(&b), buf_len(&b), MAX_BULK), 0);
	ck_assert_int_eq(buf_append(&b, "*1\r\n", 4), 0);
	ck_assert_int_eq(resp_reply_len(buf_data(&b), buf_len(&b), MAX_BULK), -EPROTO);
	buf_clear(&b);
	ck_assert_int_eq(buf_printf(&b, "*2\r\n*%u\r\n", RESP_REPLY_ELEMENTS), 0);
	ck_assert_int_eq(resp_reply_len(buf_data(&b), buf_len(&b), MAX_BULK), -EPROTO);
	buf_fini(&b);
	memset(text, '+', sizeof text);
	ck_assert_int_eq(resp_reply_len(text, RESP_REPLY_LINE - 1, MAX_BULK), 0);
	ck_assert_int_eq(resp_reply_len(text, RESP_REPLY_LINE, MAX_BULK), -EPROTO);
}
END_TEST

static struct resp_value
only_value(const char *text)
{
	struct slice reply = slice_str(text);
	struct resp_value v, none;
	size_t pos = 0;

	ck_assert(resp_reply_next(reply, &pos, &v));
	ck_assert_uint_eq(pos, reply.len);
	ck_assert(!resp_reply_next(reply, &pos, &none));
	return v;
}

#define ck_value(reply, kind, bytes, number) \
	do { \
		struct resp_value v_ = only_value(reply); \
		ck_assert_int_eq(v_.type, kind); \
		ck_assert(slice_eq(v_.text, slice_str(bytes))); \
		ck_assert_int_eq(v_.n, number); \
	} while (0)

START_TEST(values_are_read_with_type_text_and_number)
{
	ck_value("+OK\r\n", RESP_STATUS, "OK", 0);
	ck_value("-ERR no\r\n", RESP_ERROR, "ERR no", 0);
	ck_value("!6\r\nERR no\r\n", RESP_ERROR, "ERR no", 0);
	ck_value(":-12\r\n", RESP_INT, "-12", -12);
	ck_value("$4\r\na\r\nb\r\n", RESP_BULK, "a\r\nb", 0);
	ck_value("$-1\r\n", RESP_NIL, "", 0);
	ck_value("*-1\r\n", RESP_NIL, "", 0);
	ck_value("_\r\n", RESP_NIL, "", 0);
	ck_value("#t\r\n", RESP_BOOL, "t", 1);
	ck_value("#f\r\n", RESP_BOOL, "f", 0);
	ck_value(",1.5\r\n", RESP_DOUBLE, "1.5", 0);
	ck_value("(123\r\n", RESP_BIGNUM, "123", 0);
	ck_value("=7\r\ntxt:abc\r\n", RESP_VERBATIM, "abc", 0);
	ck_value("*0\r\n", RESP_ARRAY, "", 0);
	ck_value("%3\r\n", RESP_MAP, "", 3);
	ck_value("~2\r\n", RESP_SET, "", 2);
	ck_value(">1\r\n", RESP_PUSH, "", 1);
}
END_TEST

START_TEST(elements_follow_their_aggregate_depth_first)
{
	static const enum resp_type expected[] = { RESP_MAP, RESP_STATUS, RESP_ARRAY, RESP_INT,
		RESP_NIL, RESP_STATUS, RESP_BOOL };
	struct slice reply = SLICE("%2\r\n+a\r\n*2\r\n:1\r\n_\r\n+b\r\n#t\r\n");
	struct resp_value v;
	size_t pos = 0;

	ck_assert_int_eq(resp_reply_len(reply.ptr, reply.len, MAX_BULK), (int64_t)reply.len);
	for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
		ck_assert(resp_reply_next(reply, &pos, &v));
		ck_assert_int_eq(v.type, expected[i]);
	}
	ck_assert(!resp_reply_next(reply, &pos, &v));
}
END_TEST

START_TEST(a_cut_reply_ends_the_walk)
{
	struct slice reply = SLICE("*2\r\n:1\r\n$9223372036854775807\r\nx");
	struct resp_value v;
	size_t pos = 0;

	ck_assert(resp_reply_next(reply, &pos, &v));
	ck_assert(resp_reply_next(reply, &pos, &v));
	ck_assert(!resp_reply_next(reply, &pos, &v));
}
END_TEST

START_TEST(a_request_is_written_as_clients_send_it)
{
	const struct slice argv[] = { SLICE("SET"), SLICE("k\r\n\0"), { NULL, 0 } };
	static const char expected[] = "*3\r\n$3\r\nSET\r\n$4\r\nk\r\n\0\r\n$0\r\n\r\n";
	struct buf b;

	buf_init(&b);
	mem_fail_nth(1, 1);
	ck_assert_int_eq(resp_request(&b, argv, 3), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_int_eq(resp_request(&b, argv, 3), 0);
	ck_assert_uint_eq(buf_len(&b), sizeof expected - 1);
	ck_assert_mem_eq(buf_data(&b), expected, sizeof expected - 1);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resp_reply");

	SUITE_ADD(s, "length", a_whole_reply_has_its_length_and_a_cut_one_none,
	    what_is_no_reply_is_refused, depth_lines_and_elements_are_capped);
	SUITE_ADD(s, "elements", values_are_read_with_type_text_and_number,
	    elements_follow_their_aggregate_depth_first, a_cut_reply_ends_the_walk);
	SUITE_ADD(s, "request", a_request_is_written_as_clients_send_it);
	return suite_main(s);
}
