/* The reader of replies: whole, in pieces, hostile. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "origin/redis_reply.h"

static struct redis_reader reader;

static void
setup(void)
{
	redis_reader_init(&reader, 1024);
}

static void
teardown(void)
{
	redis_reader_fini(&reader);
}

static void
give(const char *bytes, size_t n)
{
	while (n > 0) {
		size_t room;
		char *to = redis_reader_room(&reader, &room);

		ck_assert_ptr_nonnull(to);
		room = MIN(room, n);
		memcpy(to, bytes, room);
		redis_reader_got(&reader, room);
		bytes += room;
		n -= room;
	}
}

static int
read_text(const char *text, enum redis_want want, struct redis_reply *r)
{
	give(text, strlen(text));
	return redis_reader_next(&reader, want, r);
}

START_TEST(each_type_is_read)
{
	static const struct { const char *text; enum resp_type type; } replies[] = {
		{ "+OK\r\n", RESP_STATUS }, { "-ERR no\r\n", RESP_ERROR }, { ":12\r\n", RESP_INT },
		{ "$2\r\nab\r\n", RESP_BULK }, { "$-1\r\n", RESP_NIL }, { "*-1\r\n", RESP_NIL },
		{ "_\r\n", RESP_NIL }, { "*2\r\n:1\r\n$1\r\nx\r\n", RESP_ARRAY },
		{ "%1\r\n+a\r\n:1\r\n", RESP_MAP }, { "~1\r\n:1\r\n", RESP_SET },
		{ ">2\r\n+invalidate\r\n_\r\n", RESP_PUSH }, { "#t\r\n", RESP_BOOL },
		{ ",1.5\r\n", RESP_DOUBLE }, { "=5\r\ntxt:a\r\n", RESP_VERBATIM },
		{ "(123456789012345678901234567890\r\n", RESP_BIGNUM }, { "!5\r\nERR a\r\n", RESP_ERROR },
	};
	struct redis_reply r;

	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		ck_assert_int_eq(read_text(replies[i].text, REDIS_WANT_ALL, &r), 1);
		ck_assert_int_eq((int)r.head.type, (int)replies[i].type);
		ck_assert_uint_eq(r.raw.len, strlen(replies[i].text));
	}
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_ALL, &r), 0);
}
END_TEST

static const char mixed[] = "+OK\r\n>3\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n:1\r\n"
    "$5\r\nhello\r\n:-1\r\n*2\r\n*1\r\n*1\r\n:7\r\n$0\r\n\r\n$-1\r\n$0\r\n\r\n";
static const enum resp_type mixed_types[] = { RESP_STATUS, RESP_PUSH, RESP_BULK, RESP_INT,
	RESP_ARRAY, RESP_NIL, RESP_BULK };

/* Cuts the input after each `step` bytes. */
static void
check_mixed(size_t step, enum redis_want want)
{
	size_t found = 0;
	struct redis_reply r;

	for (size_t at = 0; at < sizeof mixed - 1; at += step) {
		give(mixed + at, MIN(step, sizeof mixed - 1 - at));
		while (redis_reader_next(&reader, want, &r) == 1) {
			ck_assert_int_eq((int)r.head.type, (int)mixed_types[found]);
			if (found == 2 && want == REDIS_WANT_BODY)
				ck_assert(slice_eq(blob_slice(r.body), SLICE("hello")));
			if (found == 2 && want == REDIS_WANT_ALL)
				ck_assert(slice_eq(r.head.text, SLICE("hello")));
			ck_assert((r.body != NULL) ==
			    (want == REDIS_WANT_BODY && r.head.type == RESP_BULK));
			found++;
		}
	}
	ck_assert_uint_eq(found, ARRAY_LEN(mixed_types));
}

START_TEST(it_does_not_matter_where_the_input_is_cut)
{
	for (size_t step = 1; step < sizeof mixed; step++)
		for (int want = REDIS_WANT_ALL; want <= REDIS_WANT_NOTHING; want++)
			check_mixed(step, (enum redis_want)want);
}
END_TEST

START_TEST(a_large_value_goes_straight_into_its_blob)
{
	size_t n = 1000 * 1000, room;
	char *value = malloc(n + 2);
	struct redis_reply r;

	memset(value, 'v', n);
	memcpy(value + n, "\r\n", 2);
	reader.max_body = n;
	ck_assert_int_eq(read_text("$1000000\r\n", REDIS_WANT_BODY, &r), 0);
	ck_assert_ptr_nonnull(redis_reader_room(&reader, &room));
	ck_assert_uint_eq(room, n + 2);
	give(value, n + 2);
	ck_assert_uint_eq(buf_len(&reader.in), 0);
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_BODY, &r), 1);
	ck_assert(slice_eq(blob_slice(r.body), slice_of(value, n)));
	free(value);
}
END_TEST

START_TEST(a_value_over_the_cap_is_passed_over_and_what_follows_is_read)
{
	struct redis_reply r;
	char value[5000];

	memset(value, 'v', sizeof value);
	ck_assert_int_eq(read_text("$5000\r\n", REDIS_WANT_BODY, &r), 0);
	give(value, sizeof value);
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_BODY, &r), 0);
	ck_assert_uint_lt(reader.in.cap, 40000);
	ck_assert_ptr_null(reader.blob);
	ck_assert_int_eq(read_text("\r\n:5\r\n", REDIS_WANT_BODY, &r), 1);
	ck_assert_ptr_null(r.body);
	ck_assert_int_eq(r.failed, -EFBIG);
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_BODY, &r), 1);
	ck_assert_int_eq(r.head.n, 5);
}
END_TEST

START_TEST(a_value_that_nobody_wants_takes_no_memory)
{
	struct redis_reply r;

	ck_assert_int_eq(read_text("$500000000\r\n", REDIS_WANT_NOTHING, &r), 0);
	ck_assert_uint_lt(reader.in.cap, 40000);
	ck_assert_ptr_null(reader.blob);
}
END_TEST

START_TEST(a_huge_count_is_believed_only_as_far_as_elements_come)
{
	struct redis_reply r;
	size_t before;

	ck_assert_int_eq(read_text("*16000000\r\n", REDIS_WANT_ALL, &r), 0);
	before = reader.in.cap;
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(read_text(":1\r\n", REDIS_WANT_ALL, &r), 0);
	ck_assert_uint_le(reader.in.cap, 4 * before);
}
END_TEST

START_TEST(what_is_no_reply_is_refused)
{
	static const char *const bad[] = { "*99999999999\r\n", "*16777217\r\n", "*-2\r\n", "*1x\r\n",
		"hello\r\n", "HTTP/1.1 400 Bad Request\r\n", ":\r\n", ":1.5\r\n", "$-2\r\n", "$x\r\n",
		"$536870913\r\n", "$99999999999999999999999\r\n", "$3\r\nabcd\r\n", "+OK\rX", "#x\r\n",
		"_x\r\n", "=3\r\nabc\r\n", "|1\r\n+a\r\n+b\r\n+c\r\n", "*?\r\n", "$?\r\n", "%-1\r\n", "\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n" };
	struct redis_reply r;

	for (int want = REDIS_WANT_ALL; want <= REDIS_WANT_NOTHING; want++) {
		for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
			redis_reader_fini(&reader);
			redis_reader_init(&reader, 1024);
			ck_assert_msg(read_text(bad[i], (enum redis_want)want, &r) == -EPROTO, "%s",
			    bad[i]);
		}
	}
}
END_TEST

START_TEST(ten_arrays_within_each_other_are_read)
{
	struct redis_reply r;

	ck_assert_int_eq(read_text("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
	    REDIS_WANT_ALL, &r), 1);
}
END_TEST

START_TEST(a_line_without_an_end_is_refused)
{
	char line[8192];
	struct redis_reply r;
	int rc = 0;

	memset(line, 'x', sizeof line);
	give("+", 1);
	for (int i = 0; i < 20 && rc == 0; i++) {
		give(line, sizeof line);
		rc = redis_reader_next(&reader, REDIS_WANT_ALL, &r);
	}
	ck_assert_int_eq(rc, -EPROTO);
}
END_TEST

START_TEST(a_reply_that_never_ends_is_refused)
{
	static char chunk[1 << 20];
	struct redis_reply r;
	int rc = 0;
	size_t n = 0;

	for (size_t i = 0; i + 4 <= sizeof chunk; i += 4)
		memcpy(chunk + i, ":1\r\n", 4);
	ck_assert_int_eq(read_text("*16777216\r\n", REDIS_WANT_ALL, &r), 0);
	for (; rc == 0; n += sizeof chunk) {
		give(chunk, sizeof chunk);
		rc = redis_reader_next(&reader, REDIS_WANT_ALL, &r);
	}
	ck_assert_int_eq(rc, -EPROTO);
	ck_assert_uint_le(n, REDIS_REPLY_MAX + sizeof chunk);
}
END_TEST

START_TEST(a_text_for_messages_is_one_line)
{
	struct redis_reply r;
	char text[16];

	ck_assert_int_eq(read_text("!11\r\nERR a\nb\tc\x7f""d\r\n", REDIS_WANT_ALL, &r), 1);
	redis_reply_text(&r, text, sizeof text);
	ck_assert_str_eq(text, "ERR a b c d");
	ck_assert(redis_reply_is(&r, "ERR"));
	ck_assert(!redis_reply_is(&r, "ER"));
	ck_assert_int_eq(read_text("*0\r\n", REDIS_WANT_ALL, &r), 1);
	redis_reply_text(&r, text, sizeof text);
	ck_assert_str_eq(text, "an array");
}
END_TEST

START_TEST(without_memory_one_value_fails_and_no_more)
{
	struct redis_reply r;

	give("$5\r\nhello\r\n:5\r\n", 15);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_BODY, &r), 1);
	mem_fail_nth(0, 0);
	ck_assert_int_eq(r.failed, -ENOMEM);
	ck_assert_int_eq(redis_reader_next(&reader, REDIS_WANT_BODY, &r), 1);
	ck_assert_int_eq(r.head.n, 5);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("redis_reply");

	SUITE_ADD_FIXTURE(s, "reading", setup, teardown, each_type_is_read,
	    it_does_not_matter_where_the_input_is_cut, a_large_value_goes_straight_into_its_blob,
	    a_value_over_the_cap_is_passed_over_and_what_follows_is_read,
	    a_value_that_nobody_wants_takes_no_memory, a_text_for_messages_is_one_line,
	    without_memory_one_value_fails_and_no_more);
	SUITE_ADD_FIXTURE(s, "hostile", setup, teardown,
	    a_huge_count_is_believed_only_as_far_as_elements_come, what_is_no_reply_is_refused,
	    ten_arrays_within_each_other_are_read, a_line_without_an_end_is_refused,
	    a_reply_that_never_ends_is_refused);
	return suite_main(s);
}
