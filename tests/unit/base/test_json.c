#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/json.h"
#include "base/mem.h"

static struct json
read_good(const char *text)
{
	struct json j;

	ck_assert_msg(json_read(slice_str(text), &j), "%s", text);
	return j;
}

START_TEST(what_is_json_is_read)
{
	static const struct {
		const char *text;
		enum json_kind kind;
	} good[] = {
		{ "null", JSON_NULL }, { " true ", JSON_TRUE }, { "\t\r\nfalse", JSON_FALSE },
		{ "0", JSON_NUMBER }, { "-1.5e+10", JSON_NUMBER }, { "1E5", JSON_NUMBER },
		{ "\"\"", JSON_STRING }, { "\"a\\u00e4\\n\\\\\"", JSON_STRING },
		{ "[]", JSON_ARRAY }, { "[1, [2, {}], \"x\"]", JSON_ARRAY },
		{ "{}", JSON_OBJECT }, { "{ \"a\" : 1 , \"b\":[] }", JSON_OBJECT },
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_int_eq(read_good(good[i].text).kind, good[i].kind);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static const char *const bad[] = { "", " ", "nul", "nulll", "True", "01", "1.", ".5", "+1",
		"1e", "-", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "[", "[1", "[1,]",
		"[,1]", "[1 2]", "]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}",
		"{\"a\":1]", "1 2", "{} {}", "//", "'a'", "NaN" };
	struct json j;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!json_read(slice_str(bad[i]), &j), "%s", bad[i]);
	ck_assert(!json_read(slice_of("nul\0", 4), &j));
	ck_assert(!json_read(slice_of("\"\\\0\"", 4), &j));
}
END_TEST

START_TEST(each_text_that_is_cut_off_is_refused)
{
	static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e4\",true,null],\"b\":{\"c\":false}}";
	struct json j;

	ck_assert(json_read(SLICE(text), &j));
	for (size_t n = 0; n < sizeof text - 1; n++) {
		char *copy = malloc(n + 1);

		memcpy(copy, text, n);
		ck_assert(!json_read(slice_of(copy, n), &j));
		free(copy);
	}
}
END_TEST

START_TEST(nesting_is_bounded)
{
	char text[2 * JSON_DEPTH_MAX + 3];
	struct json j;

	for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		ck_assert_int_eq(json_read(slice_of(text, 2 * (size_t)depth), &j),
		    depth == JSON_DEPTH_MAX);
	}
}
END_TEST

static bool
says(struct json j, const char *expected)
{
	struct buf text;
	bool same;

	buf_init(&text);
	ck_assert_int_eq(json_text(j, &text), 0);
	same = slice_eq(buf_slice(&text), slice_str(expected));
	buf_fini(&text);
	return same;
}

START_TEST(members_are_found_the_last_of_a_name_counts)
{
	struct json j = read_good("{\"a\":1,\"b\":{\"a\":2},\"a\":\"three\"}");

	ck_assert(says(json_member(j, SLICE("a")), "three"));
	ck_assert(says(json_member(json_member(j, SLICE("b")), SLICE("a")), "2"));
	ck_assert_int_eq(json_member(j, SLICE("c")).kind, JSON_NONE);
	ck_assert_int_eq(json_member(json_member(j, SLICE("a")), SLICE("x")).kind, JSON_NONE);
	ck_assert_int_eq(json_member(read_good("[1]"), SLICE("a")).kind, JSON_NONE);
}
END_TEST

START_TEST(elements_come_in_their_order)
{
	static const char *const expected[] = { "1", "two", "true" };
	struct json j = read_good("[ 1 ,\"two\", true]"), key, value;
	struct json_walk w;

	json_walk_init(&w, j);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		ck_assert(json_next(&w, &key, &value));
		ck_assert_int_eq(key.kind, JSON_NONE);
		ck_assert(says(value, expected[i]));
	}
	ck_assert(!json_next(&w, &key, &value));
	json_walk_init(&w, read_good("[]"));
	ck_assert(!json_next(&w, &key, &value));
	json_walk_init(&w, read_good("7"));
	ck_assert(!json_next(&w, &key, &value));
}
END_TEST

START_TEST(strings_say_what_their_escapes_mean)
{
	ck_assert(says(read_good("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t"));
	ck_assert(says(read_good("\"\\u0041\\u00E4\\u20ac\\ud83d\\ude00!\""),
	    "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!"));
	ck_assert(says(read_good("\"plain\xc3\xa4\""), "plain\xc3\xa4"));
	ck_assert(says(read_good("-12.50"), "-12.50"));
}
END_TEST

START_TEST(half_of_a_pair_and_what_is_no_text_say_nothing)
{
	static const char *const bad[] = { "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83dx\"",
		"\"\\ud83d\\u0041\"", "null", "[]", "{}" };
	struct buf text;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_init(&text);
		ck_assert_int_eq(json_text(read_good(bad[i]), &text), -EINVAL);
		buf_fini(&text);
	}
}
END_TEST

START_TEST(without_memory_a_text_is_not_had)
{
	struct buf text;

	buf_init(&text);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(json_text(read_good("\"abc\""), &text), -ENOMEM);
	mem_fail_nth(0, 0);
	buf_fini(&text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json");

	SUITE_ADD(s, "json", what_is_json_is_read, what_is_none_is_refused,
	    each_text_that_is_cut_off_is_refused, nesting_is_bounded,
	    members_are_found_the_last_of_a_name_counts, elements_come_in_their_order,
	    strings_say_what_their_escapes_mean,
	    half_of_a_pair_and_what_is_no_text_say_nothing, without_memory_a_text_is_not_had);
	return suite_main(s);
}
