#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/draw.h"
#include "base/mem.h"
#include "stats/topk.h"

#define KEYS 20000
#define COUNTERS 256
#define START_MS INT64_C(1000000)

static struct topk *
make(unsigned counters)
{
	struct topk *t;

	ck_assert_int_eq(topk_new(counters, 4, START_MS, &t), 0);
	return t;
}

static struct topk_read
read_of(uint32_t key, unsigned weight, int64_t now_ms)
{
	static char text[32];
	int n = snprintf(text, sizeof text, "key:%u", key);

	return (struct topk_read){ .hash = draw_mix(key + UINT64_C(1)),
		.key = slice_of(text, (size_t)n), .ns = key % 2, .weight = weight,
		.now_ms = now_ms };
}

static void
tell(struct topk *t, uint32_t key, unsigned weight, int64_t now_ms)
{
	struct topk_read r = read_of(key, weight, now_ms);

	topk_add(t, &r);
}

static struct topk_item *
items_of(const struct topk *t, int64_t now_ms, unsigned *n)
{
	struct topk_item *items = mem_calloc(topk_counters(t), sizeof *items);

	ck_assert(items != NULL);
	*n = topk_items(t, now_ms, items);
	return items;
}

static unsigned
number_of(const struct topk_item *it)
{
	char text[TOPK_KEY_BYTES + 1];

	memcpy(text, it->key, it->key_len);
	text[it->key_len] = '\0';
	return (unsigned)atoi(text + strlen("key:"));
}

/* Zipf of exponent 0.99: the chance of rank r is r^-0.99 / total. */
static double cumulated[KEYS];

static void
zipf_init(void)
{
	double sum = 0;

	for (unsigned k = 0; k < KEYS; k++)
		cumulated[k] = sum += pow(k + 1, -0.99);
}

static uint32_t
zipf_draw(struct draw *d)
{
	double x = draw_unit(draw_next(d)) * cumulated[KEYS - 1];
	uint32_t low = 0, high = KEYS - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (cumulated[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* --- against exact counts ----------------------------------------------------------- */

START_TEST(counts_are_within_the_promised_bounds_of_exact_ones)
{
	static unsigned exact[KEYS];
	struct draw d = { 7 };
	struct topk *t = make(COUNTERS);
	unsigned reads = 300000, n;
	struct topk_item *items;
	double least;

	zipf_init();
	memset(exact, 0, sizeof exact);
	for (unsigned i = 0; i < reads; i++) {
		uint32_t key = zipf_draw(&d);

		exact[key]++;
		tell(t, key, 1, START_MS);
	}
	least = topk_least(t, START_MS);
	ck_assert_double_le(least, (double)reads / COUNTERS);
	items = items_of(t, START_MS, &n);
	ck_assert_uint_eq(n, COUNTERS);
	for (unsigned i = 0; i < n; i++) {
		double truth = exact[number_of(&items[i])];

		ck_assert_double_ge(items[i].reads + 0.5, truth);
		ck_assert_double_le(items[i].reads - items[i].over, truth + 0.5);
		ck_assert_double_le(items[i].over, least + 0.5);
		ck_assert_double_eq(items[i].variance, 0);
	}
	/* Whatever is read more than that is among them; of Zipf the first ten are. */
	for (uint32_t k = 0; k < KEYS; k++)
		if (exact[k] > least || k < 10)
			ck_assert_double_gt(topk_reads(t, draw_mix(k + UINT64_C(1)), START_MS), 0);
	mem_free(items);
	topk_free(t);
}
END_TEST

START_TEST(of_a_sample_the_first_keys_and_their_shares_are_right)
{
	struct draw d = { 11 };
	struct topk *t = make(COUNTERS);
	double all;

	zipf_init();
	for (unsigned i = 0; i < 2000000; i++) {
		uint32_t key = zipf_draw(&d);

		if (draw_below(draw_next(&d), 64) == 0)
			tell(t, key, 64, START_MS);
	}
	all = topk_sum(t, 0, START_MS).reads + topk_sum(t, 1, START_MS).reads;
	ck_assert_double_eq_tol(all, 2e6, 4e4);
	for (uint32_t k = 0; k < 10; k++) {
		double share = pow(k + 1, -0.99) / cumulated[KEYS - 1];
		double said = topk_reads(t, draw_mix(k + UINT64_C(1)), START_MS) / all;

		ck_assert_double_eq_tol(said, share, 0.2 * share);
	}
	topk_free(t);
}
END_TEST

START_TEST(a_sampled_count_has_the_variance_of_its_sampling)
{
	struct topk *t = make(4);
	struct topk_item *items;
	unsigned n;

	for (unsigned i = 0; i < 10; i++)
		tell(t, 1, 64, START_MS);
	items = items_of(t, START_MS, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_double_eq(items[0].reads, 640);
	ck_assert_double_eq(items[0].variance, 10 * 64 * 63);
	ck_assert_double_eq(topk_sum(t, 1, START_MS).samples, 10);
	mem_free(items);
	topk_free(t);
}
END_TEST

/* --- time ----------------------------------------------------------------------------- */

START_TEST(what_was_read_a_half_life_ago_counts_half)
{
	struct topk *t = make(4);
	uint64_t one = draw_mix(2);

	tell(t, 1, 100, START_MS);
	ck_assert_double_eq(topk_reads(t, one, START_MS), 100);
	ck_assert_double_eq_tol(topk_reads(t, one, START_MS + TOPK_HALF_LIFE_MS), 50, 0.01);
	tell(t, 1, 100, START_MS + TOPK_HALF_LIFE_MS);
	ck_assert_double_eq_tol(topk_reads(t, one, START_MS + 2 * TOPK_HALF_LIFE_MS), 75, 0.3);
	ck_assert_double_eq_tol(topk_sum(t, 1, START_MS + 2 * TOPK_HALF_LIFE_MS).reads, 75, 0.3);
	topk_free(t);
}
END_TEST

START_TEST(a_steady_rate_is_told_from_the_start_and_for_ever)
{
	struct topk *t = make(4);
	int64_t end_ms = START_MS + 3 * INT64_C(3600000);

	for (int64_t ms = START_MS; ms < end_ms; ms += 100) {
		int64_t age_ms = ms - START_MS;

		tell(t, 1, 10, ms);
		if (age_ms == 5000 || age_ms == 60000 || age_ms == 10800000 - 100)
			ck_assert_double_eq_tol(topk_reads(t, draw_mix(2), ms) /
			    topk_seconds(t, ms), 100, 2.5);
	}
	topk_free(t);
}
END_TEST

START_TEST(what_is_hot_now_takes_the_place_of_what_was)
{
	struct topk *t = make(8);
	int64_t now_ms = START_MS;

	for (unsigned i = 0; i < 10000; i++)
		tell(t, i % 8, 1, now_ms);
	now_ms += 20 * TOPK_HALF_LIFE_MS;
	for (unsigned i = 0; i < 100; i++)
		tell(t, 100 + i % 8, 1, now_ms);
	for (uint32_t k = 0; k < 8; k++) {
		ck_assert_double_eq(topk_reads(t, draw_mix(k + UINT64_C(1)), now_ms), 0);
		ck_assert_double_eq_tol(topk_reads(t, draw_mix(k + UINT64_C(101)), now_ms), 12.5,
		    1);
	}
	topk_free(t);
}
END_TEST

START_TEST(a_day_without_reads_does_no_harm)
{
	struct topk *t = make(8);
	int64_t now_ms = START_MS;

	for (unsigned days = 0; days < 400; days++) {
		now_ms += INT64_C(86400000);
		ck_assert_double_eq(topk_reads(t, draw_mix(2), now_ms), 0);
		ck_assert_double_eq(topk_sum(t, 1, now_ms).reads, 0);
		tell(t, 1, 5, now_ms);
		tell(t, 3, 2, now_ms);
		ck_assert_double_eq(topk_reads(t, draw_mix(2), now_ms), 5);
		ck_assert_double_eq(topk_sum(t, 1, now_ms).reads, 7);
	}
	topk_free(t);
}
END_TEST

/* --- limits --------------------------------------------------------------------------- */

START_TEST(the_last_counter_goes_to_whom_comes_and_says_so)
{
	struct topk *t = make(2);
	struct topk_item *items;
	unsigned n;

	tell(t, 1, 5, START_MS);
	tell(t, 2, 3, START_MS);
	tell(t, 3, 1, START_MS);
	ck_assert_double_eq(topk_reads(t, draw_mix(3), START_MS), 0);
	ck_assert_double_eq(topk_reads(t, draw_mix(4), START_MS), 4);
	items = items_of(t, START_MS, &n);
	ck_assert_uint_eq(n, 2);
	for (unsigned i = 0; i < n; i++)
		ck_assert_double_eq(items[i].over, items[i].reads == 4 ? 3 : 0);
	ck_assert_double_eq(topk_least(t, START_MS), 4);
	mem_free(items);
	topk_free(t);
}
END_TEST

START_TEST(the_table_of_hashes_stays_true_however_keys_collide)
{
	struct topk *t = make(8);
	struct draw d = { 3 };

	for (unsigned i = 0; i < 50000; i++) {
		/* Four places of the table for all of them. */
		uint64_t hash = draw_below(draw_next(&d), 64) << 32 | draw_below(draw_next(&d), 4);
		struct topk_read r = { .hash = hash, .key = SLICE("k"), .weight = 1,
			.now_ms = START_MS };
		struct topk_item items[8];
		unsigned n;

		topk_add(t, &r);
		n = topk_items(t, START_MS, items);
		for (unsigned k = 0; k < n; k++)
			ck_assert_double_eq(topk_reads(t, items[k].hash, START_MS), items[k].reads);
		ck_assert_double_gt(topk_reads(t, hash, START_MS), 0);
	}
	topk_free(t);
}
END_TEST

START_TEST(of_a_long_key_the_beginning_is_kept_and_its_length)
{
	struct topk *t = make(2);
	char key[3 * TOPK_KEY_BYTES];
	struct topk_item items[2];

	memset(key, 'x', sizeof key);
	topk_add(t, &(struct topk_read){ .hash = 1, .key = slice_of(key, sizeof key), .weight = 1,
	    .now_ms = START_MS });
	ck_assert_uint_eq(topk_items(t, START_MS, items), 1);
	ck_assert_uint_eq(items[0].key_len, sizeof key);
	ck_assert_mem_eq(items[0].key, key, TOPK_KEY_BYTES);
	topk_free(t);
}
END_TEST

START_TEST(a_reset_forgets_all)
{
	struct topk *t = make(2);
	struct topk_item items[2];

	tell(t, 1, 5, START_MS);
	topk_reset(t, START_MS + 10000);
	ck_assert_uint_eq(topk_items(t, START_MS + 10000, items), 0);
	ck_assert_double_eq(topk_reads(t, draw_mix(2), START_MS + 10000), 0);
	ck_assert_double_eq(topk_sum(t, 1, START_MS + 10000).reads, 0);
	ck_assert_double_eq_tol(topk_seconds(t, START_MS + 12000), 2, 0.1);
	topk_free(t);
}
END_TEST

START_TEST(without_memory_there_is_none)
{
	struct topk *t = NULL;
	unsigned failed = 0;

	for (;; failed++) {
		int rc;

		mem_fail_nth(failed + 1, false);
		rc = topk_new(COUNTERS, 4, START_MS, &t);
		mem_fail_nth(0, false);
		if (rc == 0)
			break;
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert(t == NULL);
	}
	ck_assert_uint_eq(failed, 5);
	topk_free(t);
	ck_assert_int_eq(topk_new(0, 4, START_MS, &t), -EINVAL);
	ck_assert_int_eq(topk_new(TOPK_COUNTERS_MAX + 1, 4, START_MS, &t), -EINVAL);
}
END_TEST

START_TEST(redis_would_count_as_much)
{
	/* The table of redis.conf, lfu-log-factor 10: hits and the counter then. */
	ck_assert_uint_eq(topk_lfu(0), 0);
	ck_assert_uint_eq(topk_lfu(1), 5);
	ck_assert_uint_eq(topk_lfu(100), 9);
	ck_assert_uint_eq(topk_lfu(1000), 19);
	ck_assert_uint_ge(topk_lfu(100000), 140);
	ck_assert_uint_le(topk_lfu(100000), 147);
	ck_assert_uint_eq(topk_lfu(1e6), 255);
	ck_assert_uint_eq(topk_lfu(1e12), 255);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("topk");

	SUITE_ADD(s, "accuracy", counts_are_within_the_promised_bounds_of_exact_ones,
	    of_a_sample_the_first_keys_and_their_shares_are_right,
	    a_sampled_count_has_the_variance_of_its_sampling);
	SUITE_ADD(s, "time", what_was_read_a_half_life_ago_counts_half,
	    a_steady_rate_is_told_from_the_start_and_for_ever,
	    what_is_hot_now_takes_the_place_of_what_was, a_day_without_reads_does_no_harm);
	SUITE_ADD(s, "limits", the_last_counter_goes_to_whom_comes_and_says_so,
	    the_table_of_hashes_stays_true_however_keys_collide,
	    of_a_long_key_the_beginning_is_kept_and_its_length, a_reset_forgets_all,
	    without_memory_there_is_none, redis_would_count_as_much);
	return suite_main(s);
}
