#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/mem.h"
#include "config/template.h"

/* "user:" is the prefix. Static; good until the next call. */
static const char *
expand(const char *text, struct slice key)
{
	static char out[256];
	struct buf b;

	buf_init(&b);
	ck_assert_ptr_null(template_check(slice_str(text)));
	ck_assert_int_eq(template_expand(slice_str(text), key, 5, &b), 0);
	ck_assert_uint_lt(buf_len(&b), sizeof out);
	memcpy(out, buf_data(&b), buf_len(&b));
	out[buf_len(&b)] = '\0';
	buf_fini(&b);
	return out;
}

START_TEST(placeholders_stand_for_the_key_and_its_rest)
{
	ck_assert_str_eq(expand("/users/{rest}", SLICE("user:42")), "/users/42");
	ck_assert_str_eq(expand("/v1/{key}", SLICE("user:42")), "/v1/user%3A42");
	ck_assert_str_eq(expand("/{rest}/x?k={key}&r={rest}", SLICE("user:7")),
	    "/7/x?k=user%3A7&r=7");
	ck_assert_str_eq(expand("/fixed", SLICE("user:7")), "/fixed");
	ck_assert_str_eq(expand("/users/{rest}", SLICE("user:")), "/users/");
	ck_assert_str_eq(expand("/{rest}{rest}.json", SLICE("user:a")), "/aa.json");
}
END_TEST

START_TEST(only_unreserved_characters_stay_as_they_are)
{
	ck_assert_str_eq(expand("/{rest}", SLICE("user:azAZ09-._~")), "/azAZ09-._~");
	ck_assert_str_eq(expand("/{rest}", SLICE("user:a/b?c#d%e f&g+h")),
	    "/a%2Fb%3Fc%23d%25e%20f%26g%2Bh");
	ck_assert_str_eq(expand("/{rest}", SLICE("user:\0\r\n\x7f\xc3\xa4")),
	    "/%00%0D%0A%7F%C3%A4");
	ck_assert_str_eq(expand("/{rest}", SLICE("user:{key}")), "/%7Bkey%7D");
}
END_TEST

START_TEST(no_key_makes_a_dot_segment)
{
	static const char *const keys[] = { "user:.", "user:.." };
	struct buf b;

	buf_init(&b);
	ck_assert_int_eq(buf_append(&b, "kept", 4), 0);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct slice key = slice_str(keys[i]);

		ck_assert_int_eq(template_expand(SLICE("/a/{rest}"), key, 5, &b), -EINVAL);
		ck_assert_int_eq(template_expand(SLICE("/a/{rest}/b"), key, 5, &b), -EINVAL);
		ck_assert_int_eq(template_expand(SLICE("/{rest}?q"), key, 5, &b), -EINVAL);
		ck_assert(slice_eq(buf_slice(&b), SLICE("kept")));
		ck_assert_int_eq(template_expand(SLICE("/a?q=/{rest}"), key, 5, &b), 0);
		b.tail = b.head + 4;
	}
	ck_assert_int_eq(template_expand(SLICE("/a/.{rest}"), SLICE("user:."), 5, &b), -EINVAL);
	buf_fini(&b);
	ck_assert_str_eq(expand("/a/{rest}", SLICE("user:...")), "/a/...");
	ck_assert_str_eq(expand("/a/{rest}", SLICE("user:../x")), "/a/..%2Fx");
}
END_TEST

START_TEST(bad_templates_are_refused_with_a_reason)
{
	static const char *const bad[] = { "", "users/{rest}", "http://x/{rest}", "/{id}", "/{key",
		"/key}", "/a b", "/a\r\nX: y", "/a#b", "/%", "/%4", "/%4x", "/\xc3\xa4", "/a/../b",
		"/.", "/a/..?x", "/a\"b", "/a\\b" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(template_check(slice_str(bad[i])) != NULL, "%s passed", bad[i]);
	ck_assert_ptr_nonnull(template_check(slice_of("/a\0b", 4)));
	ck_assert_ptr_null(template_check(SLICE("/a%2Fb;v=1/(x)?y=z/../w")));
}
END_TEST

START_TEST(without_memory_the_target_is_untouched)
{
	struct buf b;
	unsigned long n = 1;
	int rc;

	buf_init(&b);
	do {
		mem_fail_nth(n++, 0);
		rc = template_expand(SLICE("/users/{rest}"), SLICE("user:42"), 5, &b);
		ck_assert_uint_eq(buf_len(&b), rc == 0 ? 9 : 0);
	} while (rc == -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(n, 2);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("template");

	SUITE_ADD(s, "template", placeholders_stand_for_the_key_and_its_rest,
	    only_unreserved_characters_stay_as_they_are, no_key_makes_a_dot_segment,
	    bad_templates_are_refused_with_a_reason, without_memory_the_target_is_untouched);
	return suite_main(s);
}
