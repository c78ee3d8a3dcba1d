#include "config.h"

#include "unit/suite.h"

#include "base/glob.h"
#include "base/mem.h"

static uint64_t steps_left;

static enum glob_result
match_slices(struct slice pattern, struct slice text, bool nocase)
{
	steps_left = 1 << 20;
	return glob_match(pattern, text, nocase, &steps_left);
}

static bool
match(const char *pattern, const char *text)
{
	enum glob_result r = match_slices(slice_str(pattern), slice_str(text), false);

	ck_assert_int_ne(r, GLOB_SPENT);
	return r == GLOB_YES;
}

/* What each line answers was asked of redis-server 7.0.15 by KEYS. */
START_TEST(patterns_match_as_redis_matches_them)
{
	static const struct {
		const char *pattern, *text;
		bool yes;
	} rows[] = {
		{ "h?llo", "hello", true }, { "h?llo", "hllo", false },
		{ "h*llo", "heeeello", true }, { "h*llo", "hllo", true },
		{ "h[ae]llo", "hallo", true }, { "h[ae]llo", "hillo", false },
		{ "h[^e]llo", "hallo", true }, { "h[^e]llo", "hello", false },
		{ "h[a-b]llo", "hbllo", true }, { "h[b-a]llo", "hallo", true },
		{ "h[a-b]llo", "hcllo", false }, { "\\*", "*", true }, { "\\*", "a", false },
		{ "a\\", "a\\", true }, { "[\\]]", "]", true }, { "[]a]", "a]", false },
		{ "[abc", "b", true }, { "[abc", "d", false }, { "[", "[", false },
		{ "[^", "x", true }, { "[a-]", "a", true }, { "[a-]", "^", true },
		{ "[a-]", "]", true }, { "[a-]", "-", false }, { "a**b***", "ab", true },
		{ "*a*b*c", "xxaxxbxxc", true }, { "*a*b*c", "xxaxxbxxcx", false },
		{ "", "", true }, { "", "a", false }, { "*", "a", true }, { "abc", "ab", false },
		{ "ab", "abc", false }, { "ab*", "ab", true }, { "ab?", "ab", false },
		{ "[^a]*", "ba", true }, { "*[^a]", "ba", false }, { "A", "a", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(match(rows[i].pattern, rows[i].text) == rows[i].yes, "%s on %s",
		    rows[i].pattern, rows[i].text);
}
END_TEST

START_TEST(an_empty_text_matches_the_empty_pattern_alone)
{
	ck_assert(match("", ""));
	ck_assert(!match("*", ""));
	ck_assert(!match("?", ""));
}
END_TEST

START_TEST(bytes_of_any_value_are_ordinary)
{
	ck_assert_int_eq(match_slices(slice_of("a?\0*", 4), slice_of("a\xff\0\0", 4), false), GLOB_YES);
	ck_assert_int_eq(match_slices(slice_of("[\0]", 3), slice_of("\0", 1), false), GLOB_YES);
	/* Bounds are signed: \x80 lies below \x00. */
	ck_assert_int_eq(match_slices(SLICE("[\x80-z]"), SLICE("A"), false), GLOB_YES);
	ck_assert_int_eq(match_slices(SLICE("[a-\xff]"), SLICE("z"), false), GLOB_NO);
}
END_TEST

START_TEST(case_is_ignored_where_asked)
{
	ck_assert_int_eq(match_slices(SLICE("MaxMem*"), SLICE("maxmemory"), true), GLOB_YES);
	ck_assert_int_eq(match_slices(SLICE("[A-C]x"), SLICE("bX"), true), GLOB_YES);
	ck_assert_int_eq(match_slices(SLICE("MaxMem*"), SLICE("maxmemory"), false), GLOB_NO);
}
END_TEST

/* The plain definition: exponential, and so small inputs only. */
static bool
slow_match(const char *p, const char *t)
{
	if (*p == '*')
		return slow_match(p + 1, t) || (*t != '\0' && slow_match(p, t + 1));
	if (*p == '\0' || *t == '\0')
		return *p == *t;
	return (*p == '?' || *p == *t) && slow_match(p + 1, t + 1);
}

/* The first `len` letters of n, written in the base of the alphabet. */
static void
spell(char *out, unsigned n, const char *alphabet, unsigned len)
{
	size_t base = strlen(alphabet);

	for (unsigned i = 0; i < len; i++, n /= (unsigned)base)
		out[i] = alphabet[n % base];
	out[len] = '\0';
}

START_TEST(every_short_pattern_agrees_with_the_definition)
{
	char p[8], t[8];

	for (unsigned plen = 0; plen <= 5; plen++)
		for (unsigned i = 0; i < 1u << (2 * plen); i++)
			for (unsigned tlen = 1; tlen <= 5; tlen++)
				for (unsigned j = 0; j < 1u << tlen; j++) {
					spell(p, i, "ab*?", plen);
					spell(t, j, "ab", tlen);
					ck_assert_msg(match(p, t) == slow_match(p, t), "%s on %s",
					    p, t);
				}
}
END_TEST

START_TEST(many_stars_take_no_more_than_pattern_times_text)
{
	char pattern[401], text[1001];

	for (int i = 0; i < 400; i += 2)
		memcpy(pattern + i, "a*", 2);
	pattern[399] = 'b';
	pattern[400] = '\0';
	memset(text, 'a', 1000);
	text[1000] = '\0';
	ck_assert_int_eq(match_slices(slice_str(pattern), slice_str(text), false), GLOB_NO);
	ck_assert_uint_gt(steps_left, (1 << 20) - 400 * 1000);
}
END_TEST

START_TEST(work_stops_when_its_budget_is_spent)
{
	size_t n = 1 << 20;
	char *text = mem_alloc(n), *pattern = mem_alloc(n);

	ck_assert(text != NULL && pattern != NULL);
	memset(text, 'a', n);
	memset(pattern, 'a', n);
	pattern[0] = '*';
	pattern[n / 2] = 'b';
	ck_assert_int_eq(match_slices(slice_of(pattern, n), slice_of(text, n), false), GLOB_SPENT);
	ck_assert_uint_eq(steps_left, 0);
	/* A class is one element, and its length is work all the same. */
	memset(pattern, 'x', n);
	memcpy(pattern, "*[", 2);
	ck_assert_int_eq(match_slices(slice_of(pattern, n), slice_of(text, n), false), GLOB_SPENT);
	memset(pattern, '*', n);
	ck_assert_int_eq(match_slices(slice_of(pattern, n - 2), slice_of(text, n), false), GLOB_YES);
	mem_free(text);
	mem_free(pattern);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("glob");

	SUITE_ADD(s, "semantics", patterns_match_as_redis_matches_them,
	    an_empty_text_matches_the_empty_pattern_alone, bytes_of_any_value_are_ordinary,
	    case_is_ignored_where_asked, every_short_pattern_agrees_with_the_definition);
	SUITE_ADD(s, "work", many_stars_take_no_more_than_pattern_times_text,
	    work_stops_when_its_budget_is_spent);
	return suite_main(s);
}
