/* What of an answer is kept, for how long, and what it is good for afterwards: tables. */
#include "config.h"

#include "unit/suite.h"

#include "base/draw.h"
#include "store/fresh.h"

#define NOW 1000000
#define UNSAID ORIGIN_TTL_UNSAID
#define MINUTE 60000
#define FOREVER ((int64_t)100 * 365 * 86400 * 1000)

/* As the defaults are, with a ttl. */
static struct config_namespace
namespace(void)
{
	return (struct config_namespace){ .origin = (char *)"o", .ttl_ms = 10000,
		.sie_ms = 10 * MINUTE, .keep_ms = 20 * MINUTE, .early_pct = 100,
		.uncacheable_ttl_ms = 5000 };
}

static const struct origin_validity silent = { .ttl_ms = UNSAID, .swr_ms = UNSAID,
	.sie_ms = UNSAID };

#define SAID(ttl, swr, sie, ...) \
	{ .ttl_ms = (ttl), .swr_ms = (swr), .sie_ms = (sie), __VA_ARGS__ }

static struct fresh_keep
keep_of(const struct config_namespace *ns, enum origin_status status,
    const struct origin_validity *v, const struct meta *old)
{
	static struct fresh_keep k;
	struct origin_result r = { .status = status, .valid = v, .took_ms = 40,
		.ttl_ms = status == ORIGIN_OK && v != NULL ? v->ttl_ms : UNSAID };

	fresh_keep(ns, &r, old, NOW, 0, &k);
	return k;
}

START_TEST(values_are_kept_as_the_answer_and_the_namespace_say)
{
	static const struct {
		struct origin_validity v;
		int64_t lives_ms, stale_ms; /* lives -1: never ends; -2: could not be kept */
	} cases[] = {
		{ SAID(UNSAID, UNSAID, UNSAID, .age_ms = 0), 10000, 10 * MINUTE },
		{ SAID(7000, UNSAID, UNSAID, .age_ms = 0), 7000, 10 * MINUTE },
		{ SAID(7000, UNSAID, 0, .age_ms = 0), 7000, 0 },
		{ SAID(7000, UNSAID, 3000, .age_ms = 0), 7000, 3000 },
		{ SAID(7000, 4000, 3000, .age_ms = 0), 7000, 4000 },
		{ SAID(7000, 60 * MINUTE, UNSAID, .age_ms = 0), 7000, 60 * MINUTE },
		{ SAID(7000, UNSAID, 3000, .no_stale = true), 7000, 0 },
		{ SAID(7000, UNSAID, UNSAID, .no_stale = true, .etag = { "\"1\"", 3 }), 7000,
		    20 * MINUTE },
		{ SAID(7000, UNSAID, UNSAID, .last_modified = { "x", 1 }), 7000, 20 * MINUTE },
		/* no-cache: kept to ask with, where there is something to ask with. */
		{ SAID(0, UNSAID, UNSAID, .validate = true, .no_stale = true, .etag = { "\"1\"", 3 }),
		    0, 20 * MINUTE },
		{ SAID(0, UNSAID, UNSAID, .validate = true, .no_stale = true), -2, 5000 },
		/* Over already: for errors only. */
		{ SAID(0, UNSAID, UNSAID, .age_ms = 0), 0, 10 * MINUTE },
		{ SAID(0, UNSAID, 0, .age_ms = 0), -2, 5000 },
		{ SAID(0, UNSAID, UNSAID, .no_store = true), -2, 5000 },
		{ SAID(0, UNSAID, UNSAID, .no_store = true, .vary_any = true), -2, 5000 },
	};
	struct config_namespace ns = namespace();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fresh_keep k = keep_of(&ns, ORIGIN_OK, &cases[i].v, NULL);

		ck_assert(k.kept);
		ck_assert_int_eq(k.meta.kind,
		    cases[i].lives_ms == -2 ? META_UNCACHEABLE : META_VALUE);
		ck_assert_int_eq(k.expires_ms - NOW, MAX(cases[i].lives_ms, 0));
		ck_assert_msg(k.stale_ms == cases[i].stale_ms, "case %zu: %lld", i,
		    (long long)k.stale_ms);
	}
}
END_TEST

START_TEST(without_a_ttl_of_its_own_a_value_stays)
{
	struct config_namespace ns = namespace();
	struct origin_validity over = SAID(0, UNSAID, 0, .age_ms = 0);

	ns.ttl_ms = 0;
	ck_assert_int_eq(keep_of(&ns, ORIGIN_OK, &silent, NULL).expires_ms, 0);
	ns.uncacheable_ttl_ms = 0;
	ck_assert(!keep_of(&ns, ORIGIN_OK, &over, NULL).kept);
}
END_TEST

START_TEST(an_origin_that_tells_no_more_than_a_ttl_is_understood)
{
	struct config_namespace ns = namespace();
	struct origin_result r = { .status = ORIGIN_OK, .ttl_ms = 700 };
	struct fresh_keep k;

	fresh_keep(&ns, &r, NULL, NOW, 0, &k);
	ck_assert_int_eq(k.expires_ms, NOW + 700);
	ck_assert_int_eq(k.stale_ms, 10 * MINUTE);
	r.ttl_ms = 0;
	fresh_keep(&ns, &r, NULL, NOW, 0, &k);
	ck_assert_int_eq(k.meta.kind, META_UNCACHEABLE);
}
END_TEST

START_TEST(jitter_only_shortens)
{
	struct config_namespace ns = namespace();
	struct origin_result r = { .status = ORIGIN_OK, .valid = &silent, .ttl_ms = UNSAID };
	struct draw d = { 5 };
	int64_t least = NOW + 10000;

	ns.ttl_jitter_pct = 20;
	for (int i = 0; i < 1000; i++) {
		struct fresh_keep k;

		fresh_keep(&ns, &r, NULL, NOW, draw_next(&d), &k);
		ck_assert_int_le(k.expires_ms, NOW + 10000);
		ck_assert_int_ge(k.expires_ms, NOW + 8000);
		least = MIN(least, k.expires_ms);
	}
	ck_assert_int_lt(least, NOW + 8500);
}
END_TEST

START_TEST(that_there_is_none_is_kept_where_somebody_says_so)
{
	static const struct {
		struct origin_validity v;
		int64_t negative_ttl_ms, ttl_ms; /* 0: is not kept */
	} cases[] = {
		{ SAID(UNSAID, UNSAID, UNSAID, .age_ms = 0), 0, 0 },
		{ SAID(UNSAID, UNSAID, UNSAID, .age_ms = 0), 3000, 3000 },
		{ SAID(7000, UNSAID, UNSAID, .age_ms = 0), 0, 7000 },
		{ SAID(7000, UNSAID, UNSAID, .age_ms = 0), 3000, 7000 },
		{ SAID(0, UNSAID, UNSAID, .age_ms = 0), 3000, 0 },
		{ SAID(0, UNSAID, UNSAID, .no_store = true), 3000, 0 },
		{ SAID(0, UNSAID, UNSAID, .validate = true), 3000, 0 },
	};
	struct config_namespace ns = namespace();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fresh_keep k;

		ns.negative_ttl_ms = cases[i].negative_ttl_ms;
		k = keep_of(&ns, ORIGIN_NOT_FOUND, &cases[i].v, NULL);
		ck_assert_int_eq(k.kept, cases[i].ttl_ms != 0);
		if (!k.kept)
			continue;
		ck_assert_int_eq(k.meta.kind, META_NEGATIVE);
		ck_assert_int_eq(k.expires_ms, NOW);
		ck_assert_int_eq(k.stale_ms, cases[i].ttl_ms + 10 * MINUTE);
	}
}
END_TEST

START_TEST(a_renewal_changes_what_it_speaks_of)
{
	struct config_namespace ns = namespace();
	struct meta old;
	struct origin_validity more = SAID(9000, 5, UNSAID, .etag = { "\"2\"", 3 });
	struct fresh_keep k;

	meta_init(&old);
	old.stored_ms = 5;
	old.ttl_ms = 3000;
	old.sie_ms = 4000;
	old.no_stale = false;
	old.etag = SLICE("\"1\"");
	old.any_tag = true;
	k = keep_of(&ns, ORIGIN_NOT_MODIFIED, &silent, &old);
	ck_assert_int_eq(k.expires_ms, NOW + 3000);
	ck_assert_int_eq(k.meta.stored_ms, NOW);
	ck_assert_int_eq(k.meta.sie_ms, 4000);
	ck_assert(slice_eq(k.meta.etag, SLICE("\"1\"")));
	ck_assert(k.meta.any_tag);
	k = keep_of(&ns, ORIGIN_NOT_MODIFIED, &more, &old);
	ck_assert_int_eq(k.expires_ms, NOW + 9000);
	ck_assert_int_eq(k.meta.swr_ms, 5);
	ck_assert(slice_eq(k.meta.etag, SLICE("\"2\"")));
	old.validate = old.no_stale = true;
	k = keep_of(&ns, ORIGIN_NOT_MODIFIED, &silent, &old);
	ck_assert_int_eq(k.expires_ms, NOW);
	ck_assert(k.meta.validate);
	k = keep_of(&ns, ORIGIN_NOT_MODIFIED, &more, &old);
	ck_assert(!k.meta.validate);
}
END_TEST

START_TEST(what_it_is_good_for_when_its_time_is_over)
{
	static const struct {
		enum meta_kind kind;
		int64_t ttl_ms, swr_ms, sie_ms, past_ms;
		bool no_stale, asks;
		unsigned uses;
	} cases[] = {
		{ META_VALUE, 5, UNSAID, UNSAID, 0, false, false, FRESH_SERVE | FRESH_SPARE },
		{ META_VALUE, 5, UNSAID, UNSAID, 1999, false, false, FRESH_SERVE | FRESH_SPARE },
		{ META_VALUE, 5, UNSAID, UNSAID, 2000, false, false, FRESH_SPARE },
		{ META_VALUE, 5, UNSAID, UNSAID, 599999, false, false, FRESH_SPARE },
		{ META_VALUE, 5, UNSAID, UNSAID, 600000, false, false, 0 },
		{ META_VALUE, 5, UNSAID, UNSAID, 600000, false, true, FRESH_ASK },
		{ META_VALUE, 5, 0, UNSAID, 0, false, false, FRESH_SPARE },
		{ META_VALUE, 5, 0, 0, 0, false, true, FRESH_ASK },
		{ META_VALUE, 5, 9000, 10, 100, false, false, FRESH_SERVE },
		{ META_VALUE, 5, 9000, 9000, 0, true, true, FRESH_ASK },
		{ META_NEGATIVE, 1000, UNSAID, UNSAID, 999, false, false, FRESH_FOUND },
		{ META_NEGATIVE, 1000, UNSAID, UNSAID, 1000, false, false,
		    FRESH_SERVE | FRESH_SPARE },
		{ META_NEGATIVE, 1000, UNSAID, UNSAID, 3000, false, false, FRESH_SPARE },
		{ META_NEGATIVE, 1000, UNSAID, UNSAID, 601000, false, false, 0 },
		{ META_UNCACHEABLE, 5, UNSAID, UNSAID, 0, false, false, FRESH_PASS },
	};
	struct config_namespace ns = namespace();
	struct meta m;

	ns.swr_ms = 2000;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned uses;

		meta_init(&m);
		m.kind = cases[i].kind;
		m.ttl_ms = cases[i].ttl_ms;
		m.swr_ms = cases[i].swr_ms;
		m.sie_ms = cases[i].sie_ms;
		m.no_stale = cases[i].no_stale;
		if (cases[i].asks)
			m.etag = SLICE("\"1\"");
		uses = fresh_uses(&ns, &m, NOW, NOW + cases[i].past_ms);
		ck_assert_msg(uses == cases[i].uses, "case %zu: %u", i, uses);
	}
}
END_TEST

START_TEST(with_fallback_stale_it_is_never_too_old)
{
	struct config_namespace ns = namespace();
	struct meta m;

	ns.fallback = FALLBACK_STALE;
	meta_init(&m);
	m.sie_ms = 1;
	ck_assert_uint_eq(fresh_uses(&ns, &m, NOW, NOW + FOREVER - 1), FRESH_SPARE);
	ck_assert_int_eq(keep_of(&ns, ORIGIN_OK, &silent, NULL).stale_ms, FOREVER);
	m.no_stale = true;
	ck_assert_uint_eq(fresh_uses(&ns, &m, NOW, NOW), 0);
}
END_TEST

static struct slice
record_of(int64_t took_ms)
{
	static unsigned char bytes[META_MAX];
	struct meta m;

	meta_init(&m);
	m.took_ms = took_ms;
	return slice_of(bytes, meta_encode(&m, bytes));
}

START_TEST(early_renewal_is_rarer_the_more_time_is_left)
{
	struct config_namespace ns = namespace();
	struct draw d = { 3 };
	unsigned n[4] = { 0 };

	for (int i = 0; i < 10000; i++) {
		n[0] += fresh_early(&ns, record_of(100), 1, draw_next(&d));
		n[1] += fresh_early(&ns, record_of(100), 100, draw_next(&d));
		n[2] += fresh_early(&ns, record_of(100), 300, draw_next(&d));
		n[3] += fresh_early(&ns, record_of(100), 4501, draw_next(&d));
	}
	ck_assert_uint_gt(n[0], 9500);
	ck_assert_uint_gt(n[1], 3300); /* 1/e */
	ck_assert_uint_lt(n[1], 4100);
	ck_assert_uint_lt(n[2], 700);
	ck_assert_uint_gt(n[2], 300);
	ck_assert_uint_eq(n[3], 0);
	ns.early_pct = 0;
	ck_assert(!fresh_early(&ns, record_of(100), 1, 0));
	ns = namespace();
	ck_assert(!fresh_early(&ns, record_of(0), 1, 0)); /* of a client's, or unknown */
	ck_assert(!fresh_early(&ns, SLICE(""), 1, 0));
}
END_TEST

START_TEST(its_age_goes_on)
{
	struct meta m;

	meta_init(&m);
	m.stored_ms = NOW;
	m.age_ms = 20000;
	ck_assert_int_eq(fresh_age_ms(&m, NOW + 5), 20005);
	ck_assert_int_eq(fresh_age_ms(&m, NOW - 5), 20000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fresh");

	SUITE_ADD(s, "keep", values_are_kept_as_the_answer_and_the_namespace_say,
	    without_a_ttl_of_its_own_a_value_stays,
	    an_origin_that_tells_no_more_than_a_ttl_is_understood, jitter_only_shortens,
	    that_there_is_none_is_kept_where_somebody_says_so,
	    a_renewal_changes_what_it_speaks_of);
	SUITE_ADD(s, "use", what_it_is_good_for_when_its_time_is_over,
	    with_fallback_stale_it_is_never_too_old,
	    early_renewal_is_rarer_the_more_time_is_left, its_age_goes_on);
	return suite_main(s);
}
