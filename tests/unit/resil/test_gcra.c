#include "config.h"

#include <errno.h>
#include <limits.h>

#include "resil/gcra.h"
#include "unit/suite.h"

#define MS 1000000ll
#define S (1000 * MS)

static struct gcra
limit_of(int64_t max_burst, int64_t count, int64_t period_s)
{
	struct gcra g;

	ck_assert_int_eq(gcra_init(&g, max_burst, count, period_s), 0);
	return g;
}

/* The cases of redis-cell's own test: 1 a second, 5 at once. */
START_TEST(answers_are_those_of_redis_cell)
{
	static const struct {
		int64_t at_ms, quantity, remaining, reset_ms, retry_ms;
		bool limited;
	} cases[] = {
		{ 0, 6, 5, 0, -1, true },
		{ 0, 1, 4, 1000, -1, false },
		{ 0, 1, 3, 2000, -1, false },
		{ 0, 1, 2, 3000, -1, false },
		{ 0, 1, 1, 4000, -1, false },
		{ 0, 1, 0, 5000, -1, false },
		{ 0, 1, 0, 5000, 1000, true },
		{ 3000, 1, 2, 3000, -1, false },
		{ 3100, 1, 1, 3900, -1, false },
		{ 4000, 1, 1, 4000, -1, false },
		{ 8000, 1, 4, 1000, -1, false },
		{ 9500, 1, 4, 1000, -1, false },
		{ 9500, 0, 4, 1000, -1, false },
		{ 9500, 2, 2, 3000, -1, false },
		{ 9500, 5, 2, 3000, 3000, true },
	};
	struct gcra g = limit_of(4, 1, 1);
	struct gcra_answer a;
	int64_t tat = 0;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		gcra_take(&g, tat, 1000 * S + cases[i].at_ms * MS, cases[i].quantity, &a);
		tat = a.tat_ns;
		ck_assert_int_eq(a.limited, cases[i].limited);
		ck_assert_int_eq(a.remaining, cases[i].remaining);
		ck_assert_int_eq(a.reset_after_ns, cases[i].reset_ms * MS);
		ck_assert_int_eq(a.retry_after_ns, cases[i].retry_ms < 0 ? -1 : cases[i].retry_ms * MS);
	}
}
END_TEST

START_TEST(seconds_are_rounded_up_but_for_less_than_a_millisecond)
{
	ck_assert_int_eq(gcra_seconds(-1), -1);
	ck_assert_int_eq(gcra_seconds(0), 0);
	ck_assert_int_eq(gcra_seconds(MS - 1), 0);
	ck_assert_int_eq(gcra_seconds(MS), 1);
	ck_assert_int_eq(gcra_seconds(S - 1), 1);
	ck_assert_int_eq(gcra_seconds(S), 1);
	ck_assert_int_eq(gcra_seconds(S + MS - 1), 1);
	ck_assert_int_eq(gcra_seconds(S + MS), 2);
	ck_assert_int_eq(gcra_seconds(INT64_MAX), 9223372037);
}
END_TEST

static const int64_t edges[] = {
	INT64_MIN, INT64_MIN + 1, -S, -2, -1, 0, 1, 2, 3, 10, 99, 1000, S, 60 * S, INT_MAX,
	(int64_t)1 << 40, INT64_MAX / 1000000000, INT64_MAX / 1000000000 + 1, INT64_MAX / 4,
	INT64_MAX / 2, INT64_MAX - 1, INT64_MAX,
};

#define EACH_EDGE(x) for (size_t i_##x = 0; i_##x < ARRAY_LEN(edges); i_##x++)

/* UBSan looks for what passes 64 bits. */
static void
ck_sound(const struct gcra *g, int64_t tat, int64_t now, int64_t quantity)
{
	struct gcra_answer a;

	gcra_take(g, tat, now, quantity, &a);
	ck_assert_int_ge(a.remaining, 0);
	ck_assert_int_le(a.remaining, g->limit);
	ck_assert_int_ge(a.reset_after_ns, 0);
	ck_assert_int_ge(a.tat_ns, now);
	if (!a.limited) {
		ck_assert_int_eq(a.retry_after_ns, -1);
		ck_assert_int_le(a.reset_after_ns, g->ahead_ns);
	} else if (quantity <= g->limit) {
		ck_assert_int_gt(a.retry_after_ns, 0);
	}
}

START_TEST(edge_arguments_are_refused_or_counted_within_64_bits)
{
	EACH_EDGE(burst) EACH_EDGE(count) EACH_EDGE(period) {
		int64_t burst = edges[i_burst], count = edges[i_count], period = edges[i_period];
		struct gcra g;
		int rc = gcra_init(&g, burst, count, period);

		if (burst < 0 || count <= 0 || period <= 0) {
			ck_assert_int_eq(rc, -EINVAL);
			continue;
		}
		if (rc != 0) {
			ck_assert_int_eq(rc, -ERANGE);
			continue;
		}
		ck_assert_int_gt(g.interval_ns, 0);
		EACH_EDGE(tat) EACH_EDGE(quantity) {
			if (edges[i_quantity] < 0)
				continue;
			ck_sound(&g, edges[i_tat], 1, edges[i_quantity]);
			ck_sound(&g, edges[i_tat], INT64_MAX / 2, edges[i_quantity]);
		}
	}
}
END_TEST

START_TEST(what_cannot_be_counted_is_out_of_range)
{
	struct gcra g;

	ck_assert_int_eq(gcra_init(&g, 0, 1000000001, 1), -ERANGE); /* less than 1 ns */
	ck_assert_int_eq(gcra_init(&g, 0, 1000000000, 1), 0);
	ck_assert_int_eq(gcra_init(&g, 0, 1, INT64_MAX), -ERANGE);
	ck_assert_int_eq(gcra_init(&g, INT64_MAX, 1, 1), -ERANGE);
	ck_assert_int_eq(gcra_init(&g, 74 * 366, 1, 24 * 3600), -ERANGE); /* 74 years of burst */
	ck_assert_int_eq(gcra_init(&g, 73 * 365, 1, 24 * 3600), 0);
}
END_TEST

/* In any window of time no more is let through than burst and rate allow. */
START_TEST(never_more_than_the_rate_allows)
{
	struct gcra g = limit_of(9, 100, 1);
	struct gcra_answer a;
	unsigned short seed[3] = { 3, 2, 1 };
	int64_t tat = 0, now = S, taken = 0;

	for (int i = 0; i < 200000; i++) {
		gcra_take(&g, tat, now, 1, &a);
		tat = a.tat_ns;
		taken += !a.limited;
		ck_assert_int_le(taken, 10 + (now - S) / (10 * MS));
		now += (int64_t)nrand48(seed) % (8 * MS);
	}
	ck_assert_int_ge(taken, (now - S) / (10 * MS));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("gcra");

	SUITE_ADD(s, "gcra", answers_are_those_of_redis_cell,
	    seconds_are_rounded_up_but_for_less_than_a_millisecond,
	    edge_arguments_are_refused_or_counted_within_64_bits,
	    what_cannot_be_counted_is_out_of_range, never_more_than_the_rate_allows);
	return suite_main(s);
}
