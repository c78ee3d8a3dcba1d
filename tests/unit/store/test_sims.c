/* Miniature simulations of policies, against the real cache. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/draw.h"
#include "base/mem.h"
#include "cache/cache.h"
#include "stats/sims.h"

#define KEYS 30000
#define REQUESTS 90000
#define BUDGET (8u << 20)
#define VALUE_MAX 2000

static struct cache_tally tally[CACHE_CLASSES];

static struct sims *
make(uint64_t memory_bytes)
{
	const uint64_t sizes[SIM_SIZES] = { BUDGET / 4, BUDGET / 2, BUDGET, 2 * BUDGET, 4 * BUDGET };
	uint64_t filled[SIM_SIZES];
	struct sims *s;

	ck_assert_int_eq(sims_new(memory_bytes, 0, &s), 0);
	for (unsigned i = 0; i < SIM_SIZES; i++)
		filled[i] = sizes[i] / 100 * 93;
	sims_resize(s, filled);
	return s;
}

/* Keys that come often, and every third one of a scan that comes never again. */
static uint32_t
draw_key(struct draw *d, uint32_t i)
{
	if (i % 3 == 0)
		return KEYS + i;
	return (uint32_t)exp(draw_unit(draw_next(d)) * log(KEYS));
}

static size_t
value_of(uint32_t key)
{
	return 100 + draw_mix(key) % (VALUE_MAX - 100);
}

/* One read, cache-aside; whether it hit. */
static bool
request(struct cache *c, struct cache_thread *me, struct sims *s, uint32_t k)
{
	static const char bytes[VALUE_MAX];
	char text[16];
	struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "k%u", k));
	struct slice value = slice_of(bytes, value_of(k));
	struct mrc_ref r = { .hash = cache_hash(c, key), .now_ms = me->now_ms };
	struct cache_cursor cur;
	bool hit = cache_open(c, me, key, r.hash, CACHE_TOUCH, &cur) == CACHE_HIT;

	if (hit)
		r.bytes = cache_footprint(&cur);
	else
		ck_assert_int_eq(cache_put(&cur, &value, 1, CACHE_NEVER), 0);
	if (s != NULL && sims_wants(s, r.hash)) {
		sims_read(s, &r, hit);
		r.bytes = cache_footprint(&cur);
		if (!hit)
			sims_put(s, &r);
	}
	cache_close(&cur);
	return hit;
}

/* The hit rate of a real cache, from which s (or NULL) learns. */
static double
play(enum cache_policy policy, struct sims *s, int64_t gap_ms)
{
	struct cache_opts o = { .budget_bytes = BUDGET, .policy = policy, .seed = 42 };
	struct cache_thread me = { .now_ms = 1000, .tally = tally };
	struct draw d = { 7 };
	unsigned hits = 0;
	struct cache *c;

	ck_assert_int_eq(cache_new(&o, &c), 0);
	for (uint32_t i = 0; i < REQUESTS; i++) {
		me.now_ms = 1000 + i * gap_ms;
		hits += request(c, &me, s, draw_key(&d, i));
		if (i % 1024 == 0)
			cache_tick(c, &me, 100);
	}
	if (s != NULL)
		sims_count(s, REQUESTS);
	cache_free(c);
	return (double)hits / REQUESTS;
}

/* Learns while `serving` serves, from a request every so often. */
static void
compare(enum cache_policy serving, uint64_t memory, int64_t gap_ms, double tolerance)
{
	struct sims *s = make(memory);
	double real[SIM_POLICIES];
	struct sims_result r;

	for (unsigned p = 0; p < SIM_POLICIES; p++)
		real[p] = play((enum cache_policy)p, p == (unsigned)serving ? s : NULL, gap_ms);
	sims_result(s, &r);
	ck_assert(r.told[2]);
	ck_assert_double_eq(r.above_lru[SIM_LRU][2], 0);
	ck_assert_double_gt(real[SIM_S3FIFO], real[SIM_LRU] + 0.02); /* or nothing is tested */
	for (unsigned p = SIM_S3FIFO; p < SIM_POLICIES; p++)
		ck_assert_double_eq_tol(r.above_lru[p][2], real[p] - real[SIM_LRU], tolerance);
	ck_assert_uint_le(r.memory_bytes, memory);
	sims_free(s);
}

START_TEST(all_keys_simulated_agree_with_the_real_cache)
{
	compare(CACHE_LRU, 8u << 20, 50, 0.01);
}
END_TEST

START_TEST(it_does_not_matter_which_policy_serves)
{
	compare(CACHE_S3FIFO, 8u << 20, 50, 0.01);
	compare(CACHE_TINYLFU, 8u << 20, 50, 0.01);
}
END_TEST

START_TEST(a_sample_agrees_nearly)
{
	compare(CACHE_LRU, 384u << 10, 1, 0.02);
}
END_TEST

/* --- bounds ------------------------------------------------------------------------ */

static struct mrc_ref
ref_of(uint32_t key, int64_t now_ms)
{
	return (struct mrc_ref){ .hash = draw_mix(key + 1), .bytes = 1000, .now_ms = now_ms };
}

START_TEST(it_stays_within_its_memory_however_many_keys_come)
{
	struct sims *s = make(64u << 10);
	struct sims_result r;

	for (uint32_t i = 0; i < 200000; i++) {
		struct mrc_ref ref = ref_of(i, i);

		if (!sims_wants(s, ref.hash))
			continue;
		sims_read(s, &ref, false);
		sims_put(s, &ref);
	}
	sims_result(s, &r);
	ck_assert_uint_le(r.memory_bytes, 64u << 10);
	ck_assert_uint_le(r.keys, r.keys_max);
	ck_assert_uint_gt(r.keys, 0);
	ck_assert_double_gt(r.share, 0);
	sims_free(s);
}
END_TEST

START_TEST(removed_and_expired_keys_are_misses_everywhere)
{
	struct sims *s = make(256u << 10);
	struct mrc_ref ref = ref_of(1, 1);
	struct sims_result r;

	for (int i = 0; i < 3000; i++) {
		ref.now_ms += 100;
		sims_read(s, &ref, false);
		ref.expires_ms = i % 2 == 0 ? ref.now_ms + 50 : 0;
		sims_put(s, &ref);
		if (i % 2 == 1)
			sims_drop(s, ref.hash);
	}
	sims_count(s, 3000);
	sims_result(s, &r);
	ck_assert(r.told[0]);
	ck_assert_double_eq(r.reads, 3000);
	for (unsigned i = 0; i < SIM_SIZES; i++)
		ck_assert_double_eq(r.above_lru[SIM_TINYLFU][i], 0);
	sims_clear(s);
	sims_result(s, &r);
	ck_assert_uint_eq(r.keys, 0);
	sims_free(s);
}
END_TEST

START_TEST(values_that_grow_are_weighed_anew)
{
	struct sims *s = make(256u << 10);

	for (uint32_t i = 0; i < 20000; i++) {
		struct mrc_ref ref = ref_of(i % 500, i);

		ref.bytes = 100 + draw_mix(i) % 60000;
		if (i % 2 == 0)
			sims_put(s, &ref);
		else
			sims_read(s, &ref, true);
	}
	sims_reset(s, 20000); /* asserts nothing; its queues are looked at by sim_fit() */
	sims_free(s);
}
END_TEST

START_TEST(too_few_reads_or_another_size_and_nothing_is_told)
{
	uint64_t sizes[SIM_SIZES] = { 1, 2, 3, 4, 5 };
	struct sims *s = make(256u << 10);
	struct sims_result r;

	for (uint32_t i = 0; i < 2 * SIMS_READS_ENOUGH; i++) {
		struct mrc_ref ref = ref_of(i % 10, i * 50);

		sims_read(s, &ref, i > 10);
		sims_put(s, &ref);
		if (i == SIMS_READS_ENOUGH / 2) {
			sims_result(s, &r);
			ck_assert(!r.told[2]);
		}
	}
	sims_result(s, &r);
	ck_assert(r.told[2]);
	sims_resize(s, sizes);
	sims_result(s, &r);
	ck_assert(!r.told[2]);
	sims_free(s);
}
END_TEST

START_TEST(what_is_old_fades)
{
	struct sims_result r;
	struct sims *s;

	ck_assert_int_eq(sims_new(64u << 10, 1000, &s), 0);
	sims_resize(s, (const uint64_t[SIM_SIZES]){ 1000, 2000, 4000, 8000, 16000 });
	sims_tick(s, 1000);
	for (int i = 0; i < 8; i++)
		sims_read(s, &(struct mrc_ref){ .hash = 1, .now_ms = 1000 }, false);
	sims_tick(s, 2000);
	sims_result(s, &r);
	ck_assert_double_eq_tol(r.reads, 4, 1e-9);
	sims_free(s);
}
END_TEST

START_TEST(without_memory_it_is_not_made)
{
	struct sims *s = NULL;
	int rc = -ENOMEM;

	for (long n = 1; rc != 0; n++) {
		ck_assert_int_lt(n, 10);
		mem_fail_nth(n, true);
		rc = sims_new(SIMS_MEMORY_MIN, 0, &s);
		mem_fail_nth(0, false);
		ck_assert(rc == 0 || rc == -ENOMEM);
	}
	sims_free(s);
	ck_assert_int_eq(sims_new(SIMS_MEMORY_MIN - 1, 0, &s), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sims");

	SUITE_ADD(s, "accuracy", all_keys_simulated_agree_with_the_real_cache,
	    it_does_not_matter_which_policy_serves, a_sample_agrees_nearly);
	SUITE_ADD(s, "bounds", it_stays_within_its_memory_however_many_keys_come,
	    removed_and_expired_keys_are_misses_everywhere, values_that_grow_are_weighed_anew,
	    too_few_reads_or_another_size_and_nothing_is_told, what_is_old_fades,
	    without_memory_it_is_not_made);
	return suite_main(s);
}
