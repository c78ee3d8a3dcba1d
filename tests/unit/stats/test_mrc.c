#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <math.h>

#include "base/draw.h"
#include "base/mem.h"
#include "bench/ideal_lru.h"
#include "stats/mrc.h"

#define KEYS 20000
#define REQUESTS 300000
#define SIZES 12

static _Atomic(uint32_t) below;

static struct mrc *
make(uint64_t memory, uint64_t most)
{
	struct mrc_opts o = { .memory_bytes = memory, .most_bytes = most, .below = &below };
	struct mrc *m;

	ck_assert_int_eq(mrc_new(&o, &m), 0);
	return m;
}

/* --- streams ---------------------------------------------------------------------- */

/* What a key is of: hash, namespace, size, and how long it lives (0: ever). */
struct kind {
	uint64_t seed;
	bool sizes_differ;
	int64_t ttl_ms;
	double per_ms;
	bool deletes;
};

static struct mrc_ref
ref_of(const struct kind *kind, uint32_t key, int64_t now_ms)
{
	uint64_t hash = draw_mix((key + UINT64_C(1)) * kind->seed);

	return (struct mrc_ref){ .hash = hash, .ns = key % 2, .now_ms = now_ms,
		.bytes = kind->sizes_differ ? 64 + hash % 4096 : 500,
		.expires_ms = kind->ttl_ms == 0 ? 0 : now_ms + kind->ttl_ms };
}

/* About as skewed as Zipf: the logarithm of the rank is uniform. */
static uint32_t
draw_key(struct draw *d)
{
	return (uint32_t)(exp(draw_unit(draw_next(d)) * log(KEYS)) - 1) % KEYS;
}

/* One request to a cache-aside application over the cache; whether it hit. */
static bool
request(struct ideal_lru *l, const struct mrc_ref *r, uint32_t key)
{
	if (ideal_read(l, key, r->now_ms))
		return true;
	ideal_put(l, key, r->bytes, r->expires_ms);
	return false;
}

static void
tell(struct mrc *m, const struct mrc_ref *r, bool hit, int64_t expires_ms)
{
	struct mrc_ref seen = *r;

	if (!mrc_wants(&below, r->hash))
		return;
	seen.expires_ms = expires_ms;
	if (hit) {
		mrc_hit(m, &seen);
	} else {
		mrc_miss(m, r);
		mrc_put(m, r);
	}
}

struct figures {
	uint64_t reads[2], hits[2]; /* by namespace */
};

/* Plays the stream to caches of these sizes; m learns from that of number `real`. */
static void
play(const struct kind *kind, struct mrc *m, const uint64_t *sizes, unsigned n, unsigned real,
    struct figures *f)
{
	struct ideal_lru caches[SIZES];
	struct draw d = { kind->seed };
	uint64_t reads[2] = { 0 };

	for (unsigned i = 0; i < n; i++)
		ideal_init(&caches[i], KEYS, sizes[i]);
	for (uint32_t k = 0; k < REQUESTS; k++) {
		uint32_t key = draw_key(&d);
		struct mrc_ref r = ref_of(kind, key, 1 + (int64_t)(k / kind->per_ms));
		bool drop = kind->deletes && draw_next(&d) % 16 == 0;

		if (drop && mrc_wants(&below, r.hash))
			mrc_drop(m, r.hash);
		reads[r.ns]++;
		for (unsigned i = 0; i < n; i++) {
			bool hit;

			if (drop)
				ideal_drop(&caches[i], key);
			hit = request(&caches[i], &r, key);
			f[i].reads[r.ns]++;
			f[i].hits[r.ns] += hit;
			if (i == real)
				tell(m, &r, hit, caches[i].expires_ms[key]);
			if (k % 2048 == 0 && kind->ttl_ms != 0)
				ideal_expire(&caches[i], r.now_ms);
		}
	}
	mrc_count(m, 0, reads[0]);
	mrc_count(m, 1, reads[1]);
	for (unsigned i = 0; i < n; i++)
		ideal_fini(&caches[i]);
}

static double
mean_error(const struct kind *kind, uint64_t memory, unsigned real, double *worst_ns)
{
	struct figures f[SIZES] = { 0 };
	uint64_t sizes[SIZES];
	struct mrc_curve c;
	struct mrc *m = make(memory, 64u << 20);
	double sum = 0;

	for (unsigned i = 0; i < SIZES; i++)
		sizes[i] = (uint64_t)(200e3 * pow(1.6, i));
	play(kind, m, sizes, SIZES, real, f);
	ck_assert(mrc_curve(m, MRC_ALL, &c));
	for (unsigned i = 0; i < SIZES; i++) {
		double is = (double)(f[i].hits[0] + f[i].hits[1]) / REQUESTS;

		sum += fabs(is - mrc_hit_rate(&c, sizes[i]));
	}
	*worst_ns = 0;
	for (unsigned ns = 0; ns < 2; ns++) {
		double is = (double)f[6].hits[ns] / (double)f[6].reads[ns];

		ck_assert(mrc_curve(m, ns, &c));
		*worst_ns = MAX(*worst_ns, fabs(is - mrc_hit_rate(&c, sizes[6])));
	}
	mrc_free(m);
	return sum / SIZES;
}

START_TEST(a_full_sample_is_a_full_simulation)
{
	struct kind kind = { .seed = 0x9e3779b97f4a7c15u, .per_ms = 0.02 };
	double ns, all;

	all = mean_error(&kind, MRC_MEMORY_MAX, 4, &ns);
	ck_assert_double_lt(all, 0.002);
	ck_assert_double_lt(ns, 0.004);
}
END_TEST

START_TEST(sizes_that_differ_are_weighed)
{
	struct kind kind = { .seed = 0x9e3779b97f4a7c15u, .per_ms = 0.02, .sizes_differ = true };
	double ns, all;

	all = mean_error(&kind, MRC_MEMORY_MAX, 4, &ns);
	ck_assert_double_lt(all, 0.01);
	ck_assert_double_lt(ns, 0.015);
}
END_TEST

START_TEST(a_small_sample_is_off_by_little)
{
	struct kind kind = { .seed = 0x2545f4914f6cdd1du, .per_ms = 0.02, .sizes_differ = true };
	double ns, all;

	all = mean_error(&kind, 128 << 10, 4, &ns);
	ck_assert_double_lt(all, 0.03); /* of 1,500 keys */
	ck_assert_double_lt(ns, 0.05);
}
END_TEST

START_TEST(streams_faster_than_any_application_are_learnt_from_well)
{
	double ns, all = 0;

	/* Three seconds: what may come at once is spent on all of them. One sample of some
	 * hundred keys may be off by twice the mean. */
	for (uint64_t i = 0; i < 6; i++) {
		struct kind kind = { .seed = 0x9e3779b97f4a7c15u * (2 * i + 1), .per_ms = 100 };

		all += mean_error(&kind, MRC_MEMORY_MAX, 4, &ns) / 6;
	}
	ck_assert_double_lt(all, 0.02);
}
END_TEST

START_TEST(ends_in_time_are_misses_of_all_sizes)
{
	struct kind kind = { .seed = 0x9e3779b97f4a7c15u, .per_ms = 0.02, .sizes_differ = true,
		.ttl_ms = 1000000 };
	double ns, all;

	/* Learnt from a small cache and from a large one. */
	for (unsigned real = 2; real <= 10; real += 8) {
		all = mean_error(&kind, MRC_MEMORY_MAX, real, &ns);
		ck_assert_double_lt(all, 0.01);
		ck_assert_double_lt(ns, 0.02);
	}
}
END_TEST

START_TEST(deletions_are_followed)
{
	struct kind kind = { .seed = 0x9e3779b97f4a7c15u, .per_ms = 0.02, .deletes = true };
	double ns, all;

	/* What small caches lost does not come back into the room of what was removed, as
	 * a stack has it. */
	all = mean_error(&kind, MRC_MEMORY_MAX, 4, &ns);
	ck_assert_double_lt(all, 0.01);
	ck_assert_double_lt(ns, 0.015);
}
END_TEST

/* --- bounds ----------------------------------------------------------------------------- */

START_TEST(it_takes_no_more_memory_than_it_was_given)
{
	for (uint64_t bytes = MRC_MEMORY_MIN; bytes <= MRC_MEMORY_MAX; bytes *= 2) {
		struct mrc *m = make(bytes, 1u << 30);
		struct mrc_stats st;

		for (uint32_t i = 0; i < 200000; i++) {
			struct mrc_ref r = { .hash = draw_mix(i + 1), .ns = i % MRC_NAMESPACES,
				.bytes = 100, .now_ms = 1 };

			if (mrc_wants(&below, r.hash))
				mrc_put(m, &r);
			if (mrc_wants(&below, r.hash))
				mrc_hit(m, &r);
		}
		mrc_stats(m, &st);
		ck_assert_uint_le(st.memory_bytes, bytes);
		ck_assert_uint_le(st.keys, st.keys_max);
		ck_assert_uint_gt(st.keys, 0);
		mrc_free(m);
	}
}
END_TEST

START_TEST(many_requests_a_second_lower_the_share)
{
	struct mrc *m = make(MRC_MEMORY_MAX, 1u << 30);
	struct mrc_stats st;

	for (uint32_t i = 0; i < 2000000; i++) { /* 100,000 a second */
		struct mrc_ref r = { .hash = draw_mix(i % 50000 + 1), .bytes = 100,
			.now_ms = 1 + i / 100 };

		if (mrc_wants(&below, r.hash))
			mrc_hit(m, &r);
	}
	mrc_stats(m, &st);
	ck_assert_double_eq_tol(st.share, 1.0 / MRC_LEAST_SHARE, 0.0001);
	ck_assert_uint_lt(st.references, MRC_CREDIT + 2000000 / MRC_LEAST_SHARE);
	mrc_free(m);
	ck_assert_uint_eq(below, 0);
}
END_TEST

START_TEST(what_no_cache_would_keep_is_forgotten)
{
	struct mrc *m = make(MRC_MEMORY_MAX, 100000);
	struct mrc_stats st;

	for (uint32_t i = 0; i < 100000; i++)
		mrc_put(m, &(struct mrc_ref){ .hash = draw_mix(i + 1), .bytes = 1000,
		    .now_ms = 1000 + i * 10 });
	mrc_stats(m, &st);
	ck_assert_double_eq(st.share, 1); /* new keys alone do not lower it */
	ck_assert_uint_le(st.keys, 101);
	mrc_free(m);
}
END_TEST

/* --- what it says --------------------------------------------------------------------------- */

START_TEST(the_least_memory_for_a_hit_rate_reaches_it)
{
	struct kind kind = { .seed = 0x9e3779b97f4a7c15u, .per_ms = 0.02 };
	struct figures f[1] = { 0 };
	uint64_t size = 1 << 20, bytes;
	struct mrc *m = make(MRC_MEMORY_MAX, 64u << 20);
	struct mrc_curve c;

	play(&kind, m, &size, 1, 0, f);
	ck_assert(mrc_curve(m, MRC_ALL, &c));
	bytes = mrc_bytes_for(&c, 0.5, 64u << 20);
	ck_assert_uint_gt(bytes, 0);
	ck_assert_double_ge(mrc_hit_rate(&c, bytes), 0.5);
	ck_assert_double_lt(mrc_hit_rate(&c, bytes - 1), 0.5);
	ck_assert_uint_eq(mrc_bytes_for(&c, 0.999, 64u << 20), 0);
	ck_assert_double_eq(mrc_hit_rate(&c, 0), 0);
	mrc_free(m);
}
END_TEST

START_TEST(what_is_old_fades)
{
	struct mrc_opts o = { .memory_bytes = MRC_MEMORY_MAX, .most_bytes = 1 << 20,
		.half_life_ms = 8000, .below = &below };
	struct mrc_ref r = { .hash = 77, .bytes = 100, .now_ms = 1000 };
	struct mrc_curve c;
	struct mrc *m;

	ck_assert_int_eq(mrc_new(&o, &m), 0);
	ck_assert(!mrc_curve(m, 0, &c));
	mrc_tick(m, 1000);
	mrc_miss(m, &r);
	mrc_put(m, &r);
	for (int i = 0; i < 15; i++)
		mrc_hit(m, &r);
	mrc_count(m, 0, 16);
	ck_assert(mrc_curve(m, 0, &c));
	ck_assert_double_eq(c.reads, 16);
	mrc_tick(m, 9000);
	ck_assert(mrc_curve(m, 0, &c));
	ck_assert_double_eq_tol(c.reads, 8, 1e-6);
	ck_assert_double_eq_tol(c.seconds, 4, 1e-6);
	ck_assert_double_eq_tol(mrc_hit_rate(&c, 1 << 20), 15.0 / 16, 1e-6);
	mrc_reset(m, 9000);
	ck_assert(!mrc_curve(m, 0, &c));
	mrc_free(m);
}
END_TEST

START_TEST(a_flush_empties_caches_of_every_size)
{
	struct mrc *m = make(MRC_MEMORY_MAX, 1 << 20);
	struct mrc_ref r = { .hash = 77, .bytes = 100, .now_ms = 1 };
	struct mrc_curve c;

	mrc_put(m, &r);
	mrc_hit(m, &r);
	mrc_clear(m);
	mrc_miss(m, &r);
	ck_assert(mrc_curve(m, 0, &c));
	ck_assert_double_eq_tol(mrc_hit_rate(&c, 1 << 20), 0.5, 1e-6);
	mrc_free(m);
}
END_TEST

START_TEST(without_memory_it_is_not_made_and_nothing_is_lost)
{
	struct mrc_opts o = { .memory_bytes = MRC_MEMORY_MAX, .most_bytes = 1, .below = &below };
	struct mrc *m = NULL;
	int rc = -ENOMEM;

	for (long n = 1; rc != 0; n++) {
		ck_assert_int_lt(n, 10);
		mem_fail_nth(n, true);
		rc = mrc_new(&o, &m);
		mem_fail_nth(0, false);
		ck_assert(rc == 0 || rc == -ENOMEM);
	}
	/* A namespace's own curve is done without. */
	mem_fail_nth(1, false);
	mrc_miss(m, &(struct mrc_ref){ .hash = 1, .ns = 3, .now_ms = 1 });
	mem_fail_nth(0, false);
	mrc_free(m);
	o.memory_bytes = MRC_MEMORY_MIN - 1;
	ck_assert_int_eq(mrc_new(&o, &m), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mrc");

	SUITE_ADD(s, "accuracy", a_full_sample_is_a_full_simulation, sizes_that_differ_are_weighed,
	    a_small_sample_is_off_by_little,
	    streams_faster_than_any_application_are_learnt_from_well,
	    ends_in_time_are_misses_of_all_sizes, deletions_are_followed);
	SUITE_ADD(s, "bounds", it_takes_no_more_memory_than_it_was_given,
	    many_requests_a_second_lower_the_share, what_no_cache_would_keep_is_forgotten);
	SUITE_ADD(s, "curves", the_least_memory_for_a_hit_rate_reaches_it, what_is_old_fades,
	    a_flush_empties_caches_of_every_size,
	    without_memory_it_is_not_made_and_nothing_is_lost);
	return suite_main(s);
}
