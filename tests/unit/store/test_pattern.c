/* Sets of prefixes and tags, beside the simple way: asking one after the other. */
#include "config.h"

#include "unit/suite.h"

#include <stdlib.h>
#include <string.h>

#include "store/pattern.h"

#define MOST 64

static unsigned met[MOST];

static bool
note(void *arg, const struct pattern *p)
{
	(void)arg;
	met[*(unsigned *)p->of]++;
	return false;
}

static bool
stop(void *arg, const struct pattern *p)
{
	(void)p;
	++*(unsigned *)arg;
	return true;
}

static unsigned number[MOST];

static void
number_patterns(struct pattern *all, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		number[i] = i;
		all[i].of = &number[i];
	}
}

/* A short text of few letters, so that many begin with others. */
static struct slice
draw(unsigned short seed[3], char text[8])
{
	size_t len = (size_t)(nrand48(seed) % 5);

	for (size_t i = 0; i < len; i++)
		text[i] = "ab\xff"[nrand48(seed) % 3];
	return slice_of(text, len);
}

START_TEST(a_set_says_what_asking_each_would_say)
{
	unsigned short seed[3] = { 1, 2, (unsigned short)_i };
	struct slice drawn[MOST];
	struct pattern all[MOST];
	struct pattern_set set;
	char texts[MOST][8], text[8];
	unsigned n = (unsigned)(nrand48(seed) % MOST);

	for (unsigned i = 0; i < n; i++) {
		drawn[i] = draw(seed, texts[i]);
		all[i] = (struct pattern){ .prefix = drawn[i] };
	}
	number_patterns(all, n);
	pattern_set_init(&set, all, n);
	for (unsigned k = 0; k < 200; k++) {
		struct slice key = draw(seed, text);
		bool any = false;
		unsigned calls = 0;

		memset(met, 0, sizeof met);
		ck_assert(!pattern_set_ask_key(&set, key, note, NULL));
		for (unsigned i = 0; i < n; i++) {
			ck_assert_uint_eq(met[i], slice_has_prefix(key, drawn[i]));
			any |= met[i] != 0;
		}
		ck_assert_int_eq(pattern_set_ask_key(&set, key, stop, &calls), any);
		ck_assert_uint_eq(calls, any);
	}
}
END_TEST

START_TEST(tags_are_found_as_often_as_they_are_there)
{
	static const uint64_t tags[] = { 7, UINT64_MAX, 0, 7, 9, 7 };
	struct pattern all[ARRAY_LEN(tags) + 1];
	struct pattern_set set;

	for (unsigned i = 0; i < ARRAY_LEN(tags); i++)
		all[i] = (struct pattern){ .tag = tags[i] };
	all[ARRAY_LEN(tags)] = (struct pattern){ .prefix = SLICE("") };
	number_patterns(all, ARRAY_LEN(all));
	pattern_set_init(&set, all, ARRAY_LEN(all));
	for (uint64_t tag = 0; tag < 12; tag++) {
		memset(met, 0, sizeof met);
		ck_assert(!pattern_set_ask_tag(&set, tag, note, NULL));
		for (unsigned i = 0; i < ARRAY_LEN(tags); i++)
			ck_assert_uint_eq(met[i], tags[i] == tag);
		ck_assert_uint_eq(met[ARRAY_LEN(tags)], 0);
	}
	ck_assert(pattern_set_ask_tag(&set, UINT64_MAX, stop, &met[0]));
}
END_TEST

START_TEST(an_empty_set_meets_nothing)
{
	struct pattern_set set;

	pattern_set_init(&set, NULL, 0);
	ck_assert(!pattern_set_ask_key(&set, SLICE("k"), stop, &met[0]));
	ck_assert(!pattern_set_ask_tag(&set, 1, stop, &met[0]));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pattern");
	TCase *tc = tcase_create("random");

	tcase_add_loop_test(tc, a_set_says_what_asking_each_would_say, 0, 50);
	suite_add_tcase(s, tc);
	SUITE_ADD(s, "pattern", tags_are_found_as_often_as_they_are_there,
	    an_empty_set_meets_nothing);
	return suite_main(s);
}
