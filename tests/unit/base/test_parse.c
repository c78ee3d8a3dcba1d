#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/parse.h"

START_TEST(numbers_parse_as_redis_parses_them)
{
	int64_t v = 0;

	ck_assert_int_eq(parse_i64(SLICE("-9223372036854775808"), &v), 0);
	ck_assert_int_eq(v, INT64_MIN);
	ck_assert_int_eq(parse_i64(SLICE("9223372036854775807"), &v), 0);
	ck_assert_int_eq(v, INT64_MAX);
	ck_assert_int_eq(parse_i64(SLICE("9223372036854775808"), &v), -ERANGE);
	ck_assert_int_eq(parse_i64(SLICE("0"), &v), 0);
	ck_assert_int_eq(parse_i64(SLICE(""), &v), -EINVAL);
	ck_assert_int_eq(parse_i64(SLICE("-"), &v), -EINVAL);
	ck_assert_int_eq(parse_i64(SLICE("-0"), &v), -EINVAL);
	ck_assert_int_eq(parse_i64(SLICE("01"), &v), -EINVAL);
	ck_assert_int_eq(parse_i64(SLICE("+1"), &v), -EINVAL);
	ck_assert_int_eq(parse_i64(SLICE("1 "), &v), -EINVAL);
}
END_TEST

START_TEST(sizes_and_durations_go_there_and_back)
{
	uint64_t n = 0;
	int64_t ms = 0;
	char text[FORMAT_MAX];

	ck_assert_int_eq(parse_bytes(SLICE("256MiB"), &n), 0);
	ck_assert_uint_eq(n, 256u << 20);
	format_bytes(text, n);
	ck_assert_str_eq(text, "256MiB");
	ck_assert_int_eq(parse_bytes(SLICE("100mb"), &n), 0);
	ck_assert_uint_eq(n, 100u << 20);
	ck_assert_int_eq(parse_bytes(SLICE("5x"), &n), -EINVAL);
	ck_assert_int_eq(parse_bytes(SLICE("99999999999GiB"), &n), -ERANGE);
	ck_assert_int_eq(parse_duration_ms(SLICE("90s"), &ms), 0);
	ck_assert_int_eq(ms, 90000);
	format_duration_ms(text, ms);
	ck_assert_str_eq(text, "90s");
	ck_assert_int_eq(parse_duration_ms(SLICE("250"), &ms), -EINVAL);
	ck_assert_int_eq(parse_duration_ms(SLICE("-5s"), &ms), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("parse");

	SUITE_ADD(s, "parse", numbers_parse_as_redis_parses_them,
	    sizes_and_durations_go_there_and_back);
	return suite_main(s);
}
