#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/mem.h"
#include "cli/bench_wire.h"

static struct bench_wire
wire(enum bench_protocol protocol)
{
	struct bench_opts o = { .protocol = (int)protocol, .key_prefix = "k:", .key_size = 6 };
	struct bench_wire w;

	bench_wire_init(&w, &o);
	return w;
}

static void
check_out(struct buf *b, const char *expected)
{
	ck_assert_uint_eq(buf_len(b), strlen(expected));
	ck_assert_mem_eq(buf_data(b), expected, strlen(expected));
	buf_clear(b);
}

START_TEST(resp_requests_are_those_of_a_client)
{
	struct bench_wire w = wire(BENCH_RESP);
	struct slice v = SLICE("hello");
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(bench_wire_get(&w, &b, 42), 0);
	check_out(&b, "*2\r\n$3\r\nGET\r\n$6\r\nk:0042\r\n");
	ck_assert_int_eq(bench_wire_set(&w, &b, 7, v, &(struct bench_expiry){ 0, 0 }), 0);
	check_out(&b, "*3\r\n$3\r\nSET\r\n$6\r\nk:0007\r\n$5\r\nhello\r\n");
	ck_assert_int_eq(bench_wire_set(&w, &b, 7, v, &(struct bench_expiry){ 1500, 0 }), 0);
	check_out(&b, "*5\r\n$3\r\nSET\r\n$6\r\nk:0007\r\n$5\r\nhello\r\n$2\r\nPX\r\n$4\r\n1500\r\n");
	ck_assert_int_eq(bench_wire_set(&w, &b, 7, v, &(struct bench_expiry){ 0, 1700000000123 }), 0);
	check_out(&b, "*5\r\n$3\r\nSET\r\n$6\r\nk:0007\r\n$5\r\nhello\r\n$4\r\nPXAT\r\n"
		      "$13\r\n1700000000123\r\n");
	buf_fini(&b);
}
END_TEST

START_TEST(memcache_requests_are_those_of_a_client)
{
	struct bench_wire w = wire(BENCH_MEMCACHE);
	struct slice v = SLICE("hello");
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(bench_wire_get(&w, &b, 42), 0);
	check_out(&b, "get k:0042\r\n");
	ck_assert_int_eq(bench_wire_set(&w, &b, 7, v, &(struct bench_expiry){ 0, 0 }), 0);
	check_out(&b, "set k:0007 0 0 5\r\nhello\r\n");
	/* Whole seconds, never earlier than asked for. */
	ck_assert_int_eq(bench_wire_set(&w, &b, 7, v, &(struct bench_expiry){ 1001, 0 }), 0);
	check_out(&b, "set k:0007 0 2 5\r\nhello\r\n");
	buf_fini(&b);
}
END_TEST

START_TEST(keys_of_the_binary_protocol_are_the_same)
{
	struct bench_wire w = wire(BENCH_BINARY);
	char key[256];

	ck_assert_uint_eq(bench_wire_key(&w, key, 42), 6);
	ck_assert_mem_eq(key, "k:0042", 6);
}
END_TEST

START_TEST(a_request_without_memory_is_refused)
{
	struct bench_wire w = wire(BENCH_RESP);
	struct buf b;

	buf_init(&b);
	mem_fail_nth(1, 1);
	ck_assert_int_eq(bench_wire_get(&w, &b, 1), -ENOMEM);
	ck_assert_int_eq(bench_wire_set(&w, &b, 1, SLICE("v"), &(struct bench_expiry){ 0, 0 }),
	    -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_fini(&b);
}
END_TEST

struct sample {
	enum bench_protocol protocol;
	const char *data;
	enum bench_answer answer;
	const char *text;
};

static const struct sample samples[] = {
	{ BENCH_RESP, "$5\r\nhello\r\n", BENCH_VALUE, "hello" },
	{ BENCH_RESP, "$0\r\n\r\n", BENCH_VALUE, "" },
	{ BENCH_RESP, "$2\r\n\r\n\r\n", BENCH_VALUE, "\r\n" },
	{ BENCH_RESP, "$-1\r\n", BENCH_NOTHING, NULL },
	{ BENCH_RESP, "+OK\r\n", BENCH_STORED, "OK" },
	{ BENCH_RESP, "-ERR no\r\n", BENCH_ERROR, "ERR no" },
	{ BENCH_MEMCACHE, "VALUE k:0042 0 5\r\nhello\r\nEND\r\n", BENCH_VALUE, "hello" },
	{ BENCH_MEMCACHE, "VALUE k 0 0\r\n\r\nEND\r\n", BENCH_VALUE, "" },
	{ BENCH_MEMCACHE, "END\r\n", BENCH_NOTHING, NULL },
	{ BENCH_MEMCACHE, "STORED\r\n", BENCH_STORED, "STORED" },
	{ BENCH_MEMCACHE, "ERROR\r\n", BENCH_ERROR, "ERROR" },
	{ BENCH_MEMCACHE, "SERVER_ERROR out of memory\r\n", BENCH_ERROR,
	    "SERVER_ERROR out of memory" },
};

START_TEST(a_reply_is_found_whole_and_not_before)
{
	const struct sample *s = &samples[_i];
	struct bench_wire w = wire(s->protocol);
	size_t len = strlen(s->data);
	struct bench_reply r;
	char more[128];

	for (size_t n = 0; n < len; n++)
		ck_assert_int_eq(bench_wire_reply(&w, slice_of(s->data, n), &r), 0);
	ck_assert_int_eq(bench_wire_reply(&w, slice_of(s->data, len), &r), (int64_t)len);
	ck_assert_int_eq(r.answer, s->answer);
	if (s->text != NULL)
		ck_assert(slice_eq(r.text, slice_str(s->text)));
	/* What follows is the next reply's. */
	snprintf(more, sizeof more, "%s%s", s->data, s->data);
	ck_assert_int_eq(bench_wire_reply(&w, slice_str(more), &r), (int64_t)len);
}
END_TEST

static const struct sample malformed[] = {
	{ BENCH_RESP, "hello\r\n", 0, NULL },
	{ BENCH_RESP, ":5\r\n", 0, NULL },
	{ BENCH_RESP, "*1\r\n$1\r\nx\r\n", 0, NULL },
	{ BENCH_RESP, "$x\r\n", 0, NULL },
	{ BENCH_RESP, "$-2\r\n", 0, NULL },
	{ BENCH_RESP, "$\r\n\r\n", 0, NULL },
	{ BENCH_RESP, "$5x\r\n", 0, NULL },
	{ BENCH_RESP, "$99999999999999999\r\n", 0, NULL },
	{ BENCH_RESP, "$555555555555555555", 0, NULL },
	{ BENCH_MEMCACHE, "VALUE k\r\n", 0, NULL },
	{ BENCH_MEMCACHE, "VALUE k 0 x\r\n", 0, NULL },
	{ BENCH_MEMCACHE, "VALUE k 0 1\r\nhello\r\nEND\r\n", 0, NULL },
	{ BENCH_MEMCACHE, "WHAT\r\n", 0, NULL },
};

START_TEST(what_is_no_reply_is_refused)
{
	struct bench_wire w = wire(malformed[_i].protocol);
	struct bench_reply r;

	ck_assert_int_eq(bench_wire_reply(&w, slice_str(malformed[_i].data), &r), -EPROTO);
}
END_TEST

START_TEST(a_line_without_end_is_given_up)
{
	struct bench_wire w = wire(BENCH_MEMCACHE);
	struct bench_reply r;
	static char line[8192];

	memset(line, 'x', sizeof line);
	ck_assert_int_eq(bench_wire_reply(&w, slice_of(line, 100), &r), 0);
	ck_assert_int_eq(bench_wire_reply(&w, slice_of(line, sizeof line), &r), -EPROTO);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bench_wire");
	TCase *loops = tcase_create("replies");

	SUITE_ADD(s, "requests", resp_requests_are_those_of_a_client,
	    memcache_requests_are_those_of_a_client, keys_of_the_binary_protocol_are_the_same,
	    a_request_without_memory_is_refused,
	    a_line_without_end_is_given_up);
	tcase_add_loop_test(loops, a_reply_is_found_whole_and_not_before, 0,
	    (int)(sizeof samples / sizeof *samples));
	tcase_add_loop_test(loops, what_is_no_reply_is_refused, 0,
	    (int)(sizeof malformed / sizeof *malformed));
	suite_add_tcase(s, loops);
	return suite_main(s);
}
