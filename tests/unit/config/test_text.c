#include "config.h"

#include "unit/suite.h"

#include <string.h>

#include "config/text.h"

static const char *const words[] = { "memory", "threads", "log_level", "ttl", "listen" };

static const char *
guess(const char *word)
{
	return nearest(slice_str(word), words, ARRAY_LEN(words));
}

START_TEST(the_nearest_word_is_suggested)
{
	ck_assert_str_eq(guess("memroy"), "memory");
	ck_assert_str_eq(guess("MEMORY"), "memory");
	ck_assert_str_eq(guess("thread"), "threads");
	ck_assert_str_eq(guess("log-level"), "log_level");
	ck_assert_str_eq(guess("loglevel"), "log_level");
	ck_assert_str_eq(guess("tll"), "ttl");
	ck_assert_str_eq(guess("lsiten"), "listen");
}
END_TEST

START_TEST(nothing_is_suggested_where_nothing_is_near)
{
	char longest[200];

	memset(longest, 'm', sizeof longest);
	ck_assert_ptr_null(guess("banana"));
	ck_assert_ptr_null(guess(""));
	ck_assert_ptr_null(guess("xyz"));
	ck_assert_ptr_null(nearest(slice_of(longest, sizeof longest), words, ARRAY_LEN(words)));
	ck_assert_ptr_null(nearest(SLICE("a"), words, 0));
}
END_TEST

START_TEST(text_that_does_not_fit_is_cut_and_ends)
{
	char out[8];
	struct text t = text_in(out, sizeof out);

	text_add(&t, "12345");
	text_add(&t, "6789");
	text_add(&t, "x");
	ck_assert_str_eq(out, "1234567");
}
END_TEST

START_TEST(quoting_hides_no_byte_and_cuts_no_character)
{
	char out[128], input[128];
	struct text t = text_in(out, sizeof out);

	text_quote(&t, SLICE("a\"b\\c\n\x7f\0d"));
	ck_assert_str_eq(out, "\"a\\\"b\\\\c\\x0a\\x7f\\x00d\"");
	t = text_in(out, sizeof out);
	text_quote(&t, SLICE("\xc2\x9b" "5m\xc3\x9b"));
	ck_assert_str_eq(out, "\"\\xc2\\x9b" "5m\xc3\x9b\"");
	t = text_in(out, sizeof out);
	memset(input, 'a', 59);
	strcpy(input + 59, "\xc3\xa4\xc3\xa4");
	text_quote(&t, slice_str(input));
	ck_assert_uint_eq(strlen(out), 1 + 59 + 4);
	ck_assert_ptr_nonnull(strstr(out, "a...\""));
}
END_TEST

START_TEST(help_stands_in_columns_and_within_the_width)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	help_row(f, "-x, --short", "one two");
	help_row(f, "    --a-very-long-option-indeed=VALUE",
	    "aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk llll");
	fclose(f);
	ck_assert_str_eq(text, "  -x, --short                one two\n"
	                       "      --a-very-long-option-indeed=VALUE\n"
	                       "                             aaaa bbbb cccc dddd eeee ffff gggg hhhh "
	                       "iiii jjjj\n"
	                       "                             kkkk llll\n");
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("text");

	SUITE_ADD(s, "text", the_nearest_word_is_suggested,
	    nothing_is_suggested_where_nothing_is_near, text_that_does_not_fit_is_cut_and_ends,
	    quoting_hides_no_byte_and_cuts_no_character,
	    help_stands_in_columns_and_within_the_width);
	return suite_main(s);
}
