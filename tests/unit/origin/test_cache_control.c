#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "base/util.h"
#include "origin/cache_control.h"
#include "origin/http_date.h"

#define NOW 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define UNSAID CACHE_CONTROL_UNSAID

/* "Name: value" lines. */
static struct cache_control
control_of(const char *fields)
{
	struct cache_control c;

	cache_control_init(&c);
	for (const char *p = fields; *p != '\0';) {
		size_t len = strcspn(p, "\n"), name = strcspn(p, ":");

		cache_control_field(&c, slice_of(p, name), slice_of(p + name + 2, len - name - 2));
		p += len + (p[len] == '\n');
	}
	return c;
}

static int64_t
ttl_of(const char *fields, int64_t took_ms)
{
	struct cache_control c = control_of(fields);

	return cache_control_ttl_ms(&c, NOW, took_ms);
}

struct ttl_case {
	const char *fields;
	int64_t ttl_ms;
};

static void
check_cases(const struct ttl_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t ttl = ttl_of(cases[i].fields, 0);

		ck_assert_msg(ttl == cases[i].ttl_ms, "%s gave %lld, not %lld", cases[i].fields,
		    (long long)ttl, (long long)cases[i].ttl_ms);
	}
}

START_TEST(directives_follow_rfc_9111_for_a_private_cache)
{
	static const struct ttl_case cases[] = {
		{ "", UNSAID },
		{ "Cache-Control: public", UNSAID },
		{ "Cache-Control: private", UNSAID },
		{ "Cache-Control: private, max-age=60", 60000 },
		{ "Cache-Control: max-age=60", 60000 },
		{ "cAcHe-CoNtRoL: MaX-aGe=60", 60000 },
		{ "Cache-Control: max-age=0", 0 },
		{ "Cache-Control: s-maxage=10", UNSAID },
		{ "Cache-Control: s-maxage=10, max-age=60", 60000 },
		{ "Cache-Control: no-store", 0 },
		{ "Cache-Control: no-store, max-age=60", 0 },
		{ "Cache-Control: max-age=60\nCache-Control: no-store", 0 },
		{ "Cache-Control: no-cache", 0 },
		{ "Cache-Control: no-cache=\"set-cookie, x\", max-age=60", 0 },
		{ "Cache-Control: private=\"no-store, no-cache\", max-age=60", 60000 },
		{ "Cache-Control: must-understand, no-store, max-age=60", 60000 },
		{ "Cache-Control: must-understand, no-cache, max-age=60", 0 },
		{ "Cache-Control: must-revalidate, max-age=60", 60000 },
		{ "Cache-Control: ,, max-age=60 ,", 60000 },
		{ "Cache-Control: max-age=\"60\"", 60000 },
		{ "Cache-Control: max-age=60, max-age=5", 60000 },
		{ "Cache-Control: x=\"a\\\"b, no-store\", max-age=7", 7000 },
		{ "Cache-Control: x=\"never closed, max-age=7", UNSAID },
	};

	check_cases(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(bad_and_huge_numbers_are_taken_on_the_safe_side)
{
	static const struct ttl_case cases[] = {
		{ "Cache-Control: max-age", 0 },
		{ "Cache-Control: max-age=", 0 },
		{ "Cache-Control: max-age=x", 0 },
		{ "Cache-Control: max-age=-1", 0 },
		{ "Cache-Control: max-age=1.5", 0 },
		{ "Cache-Control: max-age=\"", 0 },
		{ "Cache-Control: max-age=x, max-age=60", 0 },
		{ "Cache-Control: max-age=2147483648", 2147483648000 },
		{ "Cache-Control: max-age=99999999999999999999999999", 2147483648000 },
		{ "Cache-Control: max-age=60\nAge: 99999999999999999999", 0 },
	};

	check_cases(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(age_is_subtracted)
{
	static const struct ttl_case cases[] = {
		{ "Cache-Control: max-age=60\nAge: 20", 40000 },
		{ "Age: 20\nCache-Control: max-age=60", 40000 },
		{ "Cache-Control: max-age=60\nAge: 60", 0 },
		{ "Cache-Control: max-age=60\nAge: 100", 0 },
		{ "Cache-Control: max-age=60\nAge: 20, 50", 40000 },
		{ "Cache-Control: max-age=60\nAge: 20\nAge: 50", 40000 },
		{ "Cache-Control: max-age=60\nAge: soon", 60000 },
		{ "Cache-Control: max-age=60\nAge: -5", 60000 },
		{ "Age: 20", UNSAID },
		{ DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nAge: 20", 40000 },
	};

	check_cases(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(the_time_that_the_answer_took_is_part_of_its_age)
{
	ck_assert_int_eq(ttl_of("Cache-Control: max-age=60", 250), 59750);
	ck_assert_int_eq(ttl_of("Cache-Control: max-age=1", 1500), 0);
	ck_assert_int_eq(ttl_of("Cache-Control: max-age=1", -5), 1000);
	ck_assert_int_eq(ttl_of("", 250), UNSAID);
}
END_TEST

START_TEST(expires_counts_from_date_where_no_max_age_stands)
{
	static const struct ttl_case cases[] = {
		{ DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT", 60000 },
		{ "Expires: Sun, 06 Nov 1994 08:50:37 GMT", 60000 }, /* from now */
		{ "Date: rubbish\nExpires: Sun, 06 Nov 1994 08:50:37 GMT", 60000 },
		{ "Date: Sun, 06 Nov 1994 08:50:07 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT", 30000 },
		{ DATE "Expires: Sun, 06 Nov 1994 08:49:37 GMT", 0 },
		{ DATE "Expires: Sat, 05 Nov 1994 08:49:37 GMT", 0 },
		{ DATE "Expires: 0", 0 },
		{ DATE "Expires: -1", 0 },
		{ DATE "Expires: ", 0 },
		{ DATE "Expires: Sunday, 06-Nov-94 08:50:37 GMT", 60000 },
		{ DATE "Expires: Sun Nov  6 08:50:37 1994", 60000 },
		{ DATE "Expires: 0\nCache-Control: max-age=5", 5000 },
		{ DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nCache-Control: no-store", 0 },
		{ DATE "Expires: Wed, 31 Dec 1969 00:00:00 GMT", 0 },
	};

	check_cases(cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(vary_star_is_never_stored)
{
	ck_assert_int_eq(ttl_of("Vary: *\nCache-Control: max-age=60", 0), 0);
	ck_assert_int_eq(ttl_of("Vary: accept, * \nCache-Control: max-age=60", 0), 0);
	ck_assert_int_eq(ttl_of("Vary: Accept-Encoding\nCache-Control: max-age=60", 0), 60000);
}
END_TEST

START_TEST(what_an_answer_allows_when_its_time_is_over)
{
	static const struct {
		const char *fields;
		int64_t ttl_ms, swr_ms, sie_ms;
		bool no_store, validate, no_stale;
	} cases[] = {
		{ "", UNSAID, UNSAID, UNSAID, false, false, false },
		{ "Cache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=600",
		    60000, 30000, 600000, false, false, false },
		{ "Cache-Control: stale-while-revalidate=0, stale-if-error", UNSAID, 0, 0,
		    false, false, false },
		{ "Cache-Control: Stale-If-Error=\"5\"\nCache-Control: stale-if-error=9", UNSAID,
		    UNSAID, 5000, false, false, false },
		{ "Cache-Control: stale-while-revalidate=99999999999", UNSAID, 2147483648000,
		    UNSAID, false, false, false },
		{ "Cache-Control: max-age=60, must-revalidate", 60000, UNSAID, UNSAID, false,
		    false, true },
		{ "Cache-Control: max-age=60, proxy-revalidate", 60000, UNSAID, UNSAID, false,
		    false, false },
		{ "Cache-Control: no-cache, max-age=60", 0, UNSAID, UNSAID, false, true, true },
		{ "Cache-Control: no-store", 0, UNSAID, UNSAID, true, false, false },
		{ "Cache-Control: no-store, must-understand, max-age=60", 60000, UNSAID, UNSAID,
		    false, false, false },
		{ "Vary: *", 0, UNSAID, UNSAID, true, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cache_control c = control_of(cases[i].fields);
		struct origin_validity v = { 0 };

		cache_control_validity(&c, NOW, 0, &v);
		ck_assert_msg(v.ttl_ms == cases[i].ttl_ms && v.swr_ms == cases[i].swr_ms &&
		    v.sie_ms == cases[i].sie_ms && v.no_store == cases[i].no_store &&
		    v.validate == cases[i].validate && v.no_stale == cases[i].no_stale,
		    "%s", cases[i].fields);
	}
}
END_TEST

START_TEST(its_age_is_what_it_said_and_what_it_took)
{
	struct cache_control c = control_of("Age: 20\nVary: *");
	struct origin_validity v = { 0 };

	cache_control_validity(&c, NOW, 250, &v);
	ck_assert_int_eq(v.age_ms, 20250);
	ck_assert(v.vary_any);
}
END_TEST

START_TEST(dates_of_all_three_forms_are_read)
{
	static const char *const same[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994" };
	int64_t t = 0;

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		t = 0;
		ck_assert_int_eq(http_date_parse(slice_str(same[i]), &t), 0);
		ck_assert_int_eq(t, NOW);
	}
	ck_assert_int_eq(http_date_parse(SLICE("Thu, 01 Jan 1970 00:00:00 GMT"), &t), 0);
	ck_assert_int_eq(t, 0);
	ck_assert_int_eq(http_date_parse(SLICE("Thu, 29 Feb 2024 23:59:60 GMT"), &t), 0);
	ck_assert_int_eq(t, 1709251200);
	ck_assert_int_eq(http_date_parse(SLICE("Sunday, 01-Jan-69 00:00:00 GMT"), &t), 0);
	ck_assert_int_eq(t, 3124224000);
	ck_assert_int_eq(http_date_parse(SLICE("Fri, 31 Dec 9999 23:59:59 GMT"), &t), 0);
	ck_assert_int_eq(t, 253402300799);
}
END_TEST

START_TEST(what_is_no_date_is_refused)
{
	static const char *const bad[] = { "", "0", "-1", "Sun", "Sun, ", "Sun, 06 Nov 1994",
		"Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET",
		"Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nop 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT+1", "Sun Nov 06 08:49:37 1994 GMT", "1994-11-06" };
	int64_t t = 7;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(http_date_parse(slice_str(bad[i]), &t) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(t, 7);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cache_control");

	SUITE_ADD(s, "ttl", directives_follow_rfc_9111_for_a_private_cache,
	    bad_and_huge_numbers_are_taken_on_the_safe_side, age_is_subtracted,
	    the_time_that_the_answer_took_is_part_of_its_age,
	    expires_counts_from_date_where_no_max_age_stands, vary_star_is_never_stored,
	    what_an_answer_allows_when_its_time_is_over,
	    its_age_is_what_it_said_and_what_it_took);
	SUITE_ADD(s, "date", dates_of_all_three_forms_are_read, what_is_no_date_is_refused);
	return suite_main(s);
}
