/* The cache against a plain array that knows what must be there. */
#include "config.h"

#include "unit/cache/fixture.h"

#define KEYS 4096
#define VALUE_MAX 90000

struct known {
	bool there;
	size_t len;
	uint64_t seed;
	int64_t expires_ms;
};

struct model {
	struct cache *c;
	struct known keys[KEYS];
	uint64_t random;
	bool may_evict;
	bool fill_holes; /* also while the cleaner would not */
	bool passes;     /* the cache goes from process to process meanwhile */
	struct cache_opts opts;
	char want[VALUE_MAX];
};

static uint64_t
draw(struct model *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static struct slice
key_of(char *to, unsigned i)
{
	/* Of many lengths, few of them long. */
	size_t len = i % 64 == 0 ? 1000 + i % 50 : 4 + i % 40;

	memset(to, 'a' + (int)(i % 26), len);
	memcpy(to, &i, sizeof i);
	return slice_of(to, len);
}

static size_t
draw_len(struct model *m)
{
	uint64_t r = draw(m);

	if (r % 256 == 0)
		return r / 256 % VALUE_MAX;
	return r % 8 == 0 ? r / 256 % 4000 : r / 256 % 200;
}

static bool
is_over(const struct known *k)
{
	return k->expires_ms != CACHE_NEVER && k->expires_ms <= fix_thread.now_ms;
}

/* What is there is right; what is not may only have been evicted. */
static void
check(struct model *m, struct known *k, const struct cache_cursor *cur, enum cache_result got)
{
	if (is_over(k))
		k->there = false;
	if (got == CACHE_MISS) {
		ck_assert(!k->there || m->may_evict);
		k->there = false;
		return;
	}
	ck_assert(k->there);
	ck_assert_uint_eq(cur->value.len, k->len);
	ck_assert_int_eq(cur->expires_ms, k->expires_ms);
	fill_bytes(m->want, k->len, k->seed);
	ck_assert(k->len == 0 || memcmp(cur->value.ptr, m->want, k->len) == 0);
}

static int64_t
draw_expiry(struct model *m)
{
	uint64_t r = draw(m);

	return r % 3 == 0 ? fix_thread.now_ms - 1 + (int64_t)(r / 3 % 300) : CACHE_NEVER;
}

static void
do_put(struct model *m, struct known *k, struct cache_cursor *cur)
{
	struct slice value;

	*k = (struct known){ .there = true, .len = draw(m) % 4 ? draw_len(m) : cur->value.len,
		.seed = draw(m), .expires_ms = draw_expiry(m) };
	fill_bytes(m->want, k->len, k->seed);
	value = slice_of(m->want, k->len);
	ck_assert_int_eq(cache_put(cur, &value, 1, k->expires_ms), 0);
}

static void
do_one(struct model *m)
{
	unsigned i = (unsigned)(draw(m) % KEYS);
	struct known *k = &m->keys[i];
	char mem[1100];
	struct slice key = key_of(mem, i);
	struct cache_cursor cur;
	enum cache_result got = open_at(m->c, key, draw(m) % 2 ? CACHE_TOUCH : 0, &cur);

	check(m, k, &cur, got);
	switch (draw(m) % 8) {
	case 0:
	case 1:
	case 2:
		do_put(m, k, &cur);
		break;
	case 3:
		cache_remove(&cur);
		k->there = false;
		break;
	case 4:
		if (got == CACHE_HIT)
			k->expires_ms = draw_expiry(m);
		ck_assert_int_eq(cache_set_expiry(&cur, k->expires_ms), 0);
		break;
	default:
		break;
	}
	cache_close(&cur);
}

static void
check_all(struct model *m)
{
	uint64_t there = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		char mem[1100];
		struct slice key = key_of(mem, i);
		struct cache_cursor cur;

		check(m, &m->keys[i], &cur, open_at(m->c, key, 0, &cur));
		cache_close(&cur);
		there += m->keys[i].there;
	}
	ck_assert_uint_eq(cache_count(m->c), there);
	never_over_budget(m->c);
}

static void
do_flush(struct model *m)
{
	cache_flush(m->c, &fix_thread);
	for (unsigned i = 0; i < KEYS; i++)
		m->keys[i].there = false;
	check_all(m);
}

static void
run(struct model *m, uint64_t ops)
{
	for (uint64_t n = 0; n < ops; n++) {
		do_one(m);
		if (n % 97 == 0)
			fix_thread.now_ms++;
		if (m->fill_holes && n % 16 == 0)
			atomic_store(&m->c->pool.filling, n % 4096 != 0);
		if (m->passes && n % 1013 == 0)
			m->c = passed_on(m->c, m->opts);
		if (n % 4099 == 0)
			cache_tick(m->c, &fix_thread, 100);
		if (n % 50021 == 50020)
			check_all(m);
		if (n % 170003 == 170002)
			do_flush(m);
	}
	check_all(m);
	fix_thread.now_ms += 1000;
	settle(m->c);
	check_all(m);
	do_flush(m);
	settle(m->c);
	ck_assert_int_eq(pool_live(&m->c->pool), 0);
	ck_assert_int_eq(atomic_load(&m->c->extents.live_pages), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].entries), 0);
	ck_assert_int_eq(counter_get(&fix_tally[0].bytes), 0);
}

static void
run_passing(struct cache_opts o, bool fill_holes, bool passes, uint64_t seed, uint64_t ops)
{
	struct model *m = calloc(1, sizeof *m);

	m->may_evict = o.budget_bytes < 64 * MIB;
	m->fill_holes = fill_holes;
	m->passes = passes;
	m->opts = o;
	m->c = cache_with(o);
	m->random = seed;
	run(m, ops);
	cache_free(m->c);
	free(m);
}

static void
run_with(struct cache_opts o, bool fill_holes, uint64_t seed, uint64_t ops)
{
	run_passing(o, fill_holes, false, seed, ops);
}

#define ROOMY .budget_bytes = 64 * MIB
#define SCARCE .budget_bytes = CACHE_BUDGET_MIN

START_TEST(a_cache_with_room_for_all_agrees_with_the_model)
{
	run_with((struct cache_opts){ ROOMY }, false, 1, 400000);
	run_with((struct cache_opts){ ROOMY, .shards = 1 }, false, 2, 200000);
}
END_TEST

START_TEST(a_cache_that_evicts_never_answers_anything_wrong)
{
	run_with((struct cache_opts){ SCARCE }, false, 3, 500000);
	run_with((struct cache_opts){ SCARCE, .shards = 1 }, false, 4, 500000);
}
END_TEST

START_TEST(holes_that_are_filled_again_hold_what_was_put_last)
{
	run_with((struct cache_opts){ ROOMY }, true, 5, 300000);
	run_with((struct cache_opts){ SCARCE }, true, 6, 500000);
	run_with((struct cache_opts){ SCARCE, .shards = 1 }, true, 7, 300000);
}
END_TEST

START_TEST(the_other_policies_never_answer_anything_wrong)
{
	run_with((struct cache_opts){ SCARCE, .policy = CACHE_S3FIFO }, false, 8, 300000);
	run_with((struct cache_opts){ SCARCE, .policy = CACHE_TINYLFU }, false, 9, 300000);
	run_with((struct cache_opts){ SCARCE, .policy = CACHE_S3FIFO, .shards = 1 }, true, 10, 300000);
	run_with((struct cache_opts){ SCARCE, .policy = CACHE_TINYLFU, .shards = 1 }, true, 11,
	    300000);
}
END_TEST

START_TEST(a_cache_that_is_passed_on_and_on_never_answers_anything_wrong)
{
	run_passing((struct cache_opts){ ROOMY }, false, true, 12, 20000);
	run_passing((struct cache_opts){ SCARCE }, true, true, 13, 30000);
	run_passing((struct cache_opts){ SCARCE, .policy = CACHE_S3FIFO }, true, true, 14, 20000);
	run_passing((struct cache_opts){ SCARCE, .policy = CACHE_TINYLFU }, true, true, 15,
	    20000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("model");

	SUITE_ADD(s, "model", a_cache_with_room_for_all_agrees_with_the_model,
	    a_cache_that_evicts_never_answers_anything_wrong,
	    holes_that_are_filled_again_hold_what_was_put_last,
	    the_other_policies_never_answer_anything_wrong,
	    a_cache_that_is_passed_on_and_on_never_answers_anything_wrong);
	return suite_main(s);
}
