#include "config.h"

#include "unit/suite.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "proto/msg.h"

static struct out out;

static struct reply
reply_in(enum wire wire)
{
	out_fini(&out);
	return (struct reply){ .out = &out, .wire = wire };
}

/* All that is to be sent, refs included, with a NUL behind it. */
static const char *
sent(size_t *len)
{
	static char text[1 << 20];
	struct iovec iov[16];
	int n = out_iov(&out, iov, 16);

	*len = 0;
	for (int i = 0; i < n; i++) {
		ck_assert_uint_lt(*len + iov[i].iov_len, sizeof text);
		memcpy(text + *len, iov[i].iov_base, iov[i].iov_len);
		*len += iov[i].iov_len;
	}
	ck_assert_uint_eq(*len, out_len(&out));
	text[*len] = '\0';
	return text;
}

#define ck_sent(expected) \
	do { \
		size_t len_; \
		const char *text_ = sent(&len_); \
		ck_assert_str_eq(text_, expected); \
		ck_assert_uint_eq(len_, sizeof(expected) - 1); \
	} while (0)

/* `call` is made with a reply r in each wire. */
#define CK_BOTH(call, resp2, resp3) \
	do { \
		struct reply r = reply_in(WIRE_RESP2); \
		call; \
		ck_sent(resp2); \
		r = reply_in(WIRE_RESP3); \
		call; \
		ck_sent(resp3); \
	} while (0)
#define CK_SAME(call, both) CK_BOTH(call, both, both)

START_TEST(simple_replies_are_as_redis_sends_them)
{
	CK_SAME(reply_ok(&r), "+OK\r\n");
	CK_SAME(reply_status(&r, "PONG"), "+PONG\r\n");
	CK_BOTH(reply_nil(&r), "$-1\r\n", "_\r\n");
	CK_BOTH(reply_nil_array(&r), "*-1\r\n", "_\r\n");
	CK_BOTH(reply_bool(&r, true), ":1\r\n", "#t\r\n");
	CK_BOTH(reply_bool(&r, false), ":0\r\n", "#f\r\n");
}
END_TEST

START_TEST(integers_reach_from_end_to_end)
{
	CK_SAME(reply_int(&r, 0), ":0\r\n");
	CK_SAME(reply_int(&r, 7), ":7\r\n");
	CK_SAME(reply_int(&r, 10), ":10\r\n");
	CK_SAME(reply_int(&r, 999), ":999\r\n");
	CK_SAME(reply_int(&r, 1000), ":1000\r\n");
	CK_SAME(reply_int(&r, -1), ":-1\r\n");
	CK_SAME(reply_int(&r, INT64_MAX), ":9223372036854775807\r\n");
	CK_SAME(reply_int(&r, INT64_MIN), ":-9223372036854775808\r\n");
	CK_SAME(reply_bulk_i64(&r, INT64_MIN), "$20\r\n-9223372036854775808\r\n");
}
END_TEST

START_TEST(every_head_of_the_table_is_its_number)
{
	char expected[16];

	for (size_t n = 0; n < REPLY_HEADS; n++) {
		int len = snprintf(expected, sizeof expected, "$%zu\r\n", n);

		ck_assert_int_eq(reply_heads[n].len, len);
		ck_assert_mem_eq(reply_heads[n].text, expected, len);
	}
}
END_TEST

START_TEST(bulks_of_every_length_hold_their_bytes)
{
	static char value[5000], head[32];
	size_t len;

	for (size_t i = 0; i < sizeof value; i++)
		value[i] = (char)(i * 7);
	for (size_t n = 0; n <= sizeof value; n += n < 1100 ? 1 : 97) {
		struct reply r = reply_in(WIRE_RESP2);
		int h = snprintf(head, sizeof head, "$%zu\r\n", n);
		const char *text;

		reply_bulk(&r, slice_of(value, n));
		text = sent(&len);
		ck_assert_uint_eq(len, n + (size_t)h + 2);
		ck_assert_mem_eq(text, head, h);
		ck_assert_mem_eq(text + h, value, n);
		ck_assert_mem_eq(text + h + n, "\r\n", 2);
	}
	CK_SAME(reply_bulk(&r, slice_of(NULL, 0)), "$0\r\n\r\n");
	CK_SAME(reply_bulk(&r, SLICE("a\0b")), "$3\r\na\0b\r\n");
	CK_SAME(reply_bulk_str(&r, "name"), "$4\r\nname\r\n");
}
END_TEST

static int released;

static void
release(void *owner, uint64_t token)
{
	(void)owner;
	(void)token;
	released++;
}

START_TEST(a_ref_is_sent_from_where_it_lies)
{
	static const char value[] = "large value";
	struct out_ref ref = { .ptr = value, .len = sizeof value - 1, .release = release };

	released = 0;
	CK_SAME(reply_bulk_ref(&r, &ref); reply_ok(&r), "$11\r\nlarge value\r\n+OK\r\n");
	out_fini(&out);
	ck_assert_int_eq(released, 2);
}
END_TEST

START_TEST(doubles_are_printed_as_redis_prints_them)
{
	CK_BOTH(reply_double(&r, 0), "$1\r\n0\r\n", ",0\r\n");
	CK_BOTH(reply_double(&r, 3.5), "$3\r\n3.5\r\n", ",3.5\r\n");
	CK_BOTH(reply_double(&r, 0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n");
	CK_BOTH(reply_double(&r, -1e300), "$24\r\n-1.0000000000000001e+300\r\n",
	    ",-1.0000000000000001e+300\r\n");
	CK_BOTH(reply_double(&r, (double)INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
	CK_BOTH(reply_double(&r, -(double)INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
}
END_TEST

START_TEST(verbatim_text_names_its_format_in_resp3)
{
	CK_BOTH(reply_verbatim(&r, SLICE("a\r\nb")), "$4\r\na\r\nb\r\n", "=8\r\ntxt:a\r\nb\r\n");
	CK_BOTH(reply_verbatim(&r, SLICE("")), "$0\r\n\r\n", "=4\r\ntxt:\r\n");
}
END_TEST

START_TEST(aggregates_count_elements_or_pairs)
{
	CK_SAME(reply_array(&r, 0), "*0\r\n");
	CK_SAME(reply_array(&r, 1048576), "*1048576\r\n");
	CK_BOTH(reply_map(&r, 7), "*14\r\n", "%7\r\n");
	CK_BOTH(reply_set(&r, 3), "*3\r\n", "~3\r\n");
	CK_BOTH(reply_push(&r, 2), "*2\r\n", ">2\r\n");
}
END_TEST

START_TEST(an_error_is_one_line_whatever_is_in_it)
{
	struct reply r = reply_in(WIRE_RESP3);

	reply_error(&r, "ERR no '%s' in '%.*s'", "a\r\nb\x01\x7f\t", 2, "xyz");
	ck_sent("-ERR no 'a  b   ' in 'xy'\r\n");
	ck_assert(r.failed);
}
END_TEST

START_TEST(errors_of_every_length_are_whole)
{
	static char words[2000];
	size_t len;

	for (size_t n = 0; n < sizeof words; n += n < 300 ? 1 : 37) {
		struct reply r = reply_in(WIRE_RESP2);
		const char *text;

		memset(words, 'x', n);
		words[n] = '\0';
		reply_error(&r, "%s", words);
		text = sent(&len);
		ck_assert_uint_eq(len, n + 3);
		ck_assert_int_eq(text[0], '-');
		ck_assert_mem_eq(text + 1, words, n);
		ck_assert_mem_eq(text + 1 + n, "\r\n", 2);
	}
}
END_TEST

static void
write_one_of_each(struct reply *r)
{
	static char large[600];
	struct out_ref ref = { .ptr = "x", .len = 1, .release = release };

	memset(large, 'e', sizeof large - 1);
	reply_ok(r);
	reply_nil(r);
	reply_nil_array(r);
	reply_int(r, 1);
	reply_int(r, INT64_MIN);
	reply_status(r, "PONG");
	reply_error(r, "%s", large);
	reply_bulk(r, slice_of(large, sizeof large));
	reply_bulk_i64(r, 1);
	reply_bulk_ref(r, &ref);
	reply_bool(r, true);
	reply_double(r, 1);
	reply_verbatim(r, slice_str(large));
	reply_map(r, 1);
	reply_set(r, 1);
	reply_push(r, 1);
}

START_TEST(an_error_leaves_its_code_for_the_statistics)
{
	struct reply r = reply_in(WIRE_RESP2);

	reply_error(&r, "OOM %s", "no room");
	ck_assert_str_eq(r.code, "OOM");
	reply_error(&r, "alone");
	ck_assert_str_eq(r.code, "");
	reply_error(&r, "%s text", "A-CODE-OF-31-CHARACTERS-IS-GOOD");
	ck_assert_str_eq(r.code, "A-CODE-OF-31-CHARACTERS-IS-GOOD");
	reply_error(&r, "%s text", "A-CODE-OF-32-CHARACTERS-IS-NONE!");
	ck_assert_str_eq(r.code, "");
	out_fini(&out);
}
END_TEST

START_TEST(without_memory_the_queue_is_marked_and_refs_are_released)
{
	unsigned long n, seen;

	for (int onwards = 0; onwards < 2; onwards++)
		for (n = 1;; n++) {
			struct reply r = reply_in(WIRE_RESP3);

			released = 0;
			mem_fail_nth(n, onwards);
			write_one_of_each(&r);
			seen = mem_fail_seen();
			mem_fail_nth(0, 0);
			ck_assert_int_eq(out_failed(&out), seen >= n);
			out_fini(&out);
			ck_assert_int_eq(released, 1);
			if (seen < n)
				break;
		}
}
END_TEST

START_TEST(a_batch_keeps_its_requests_while_it_grows)
{
	struct batch b;

	batch_init(&b);
	for (unsigned i = 0; i < 10000; i++) {
		if (b.args_used == b.args_cap)
			ck_assert_int_eq(batch_grow_args(&b, 1), 0);
		b.args[b.args_used++] = slice_of("x", i);
		if (i % 1000 == 0) {
			b.req[b.n].argv = b.args + i;
			b.req[b.n++].argc = 1000;
		}
	}
	for (unsigned i = 0; i < b.n; i++)
		ck_assert_uint_eq(b.req[i].argv[7].len, 1000 * i + 7);
	batch_reset(&b);
	ck_assert_uint_eq(b.args_cap, 0);
	batch_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("msg");

	SUITE_ADD(s, "replies", simple_replies_are_as_redis_sends_them,
	    integers_reach_from_end_to_end, every_head_of_the_table_is_its_number,
	    bulks_of_every_length_hold_their_bytes, a_ref_is_sent_from_where_it_lies,
	    doubles_are_printed_as_redis_prints_them, verbatim_text_names_its_format_in_resp3,
	    aggregates_count_elements_or_pairs, an_error_is_one_line_whatever_is_in_it,
	    errors_of_every_length_are_whole,
	    an_error_leaves_its_code_for_the_statistics,
	    without_memory_the_queue_is_marked_and_refs_are_released);
	SUITE_ADD(s, "batch", a_batch_keeps_its_requests_while_it_grows);
	return suite_main(s);
}
