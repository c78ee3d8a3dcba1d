#include "config.h"

#include "unit/suite.h"

#include <errno.h>

#include "server/memory.h"

#define MIB (1ull << 20)

START_TEST(parts_of_the_plan_sum_up_to_the_limit)
{
	static const uint64_t limits[] = { 16, 32, 64, 256, 1024, 4096, 32768 };

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct memory_plan p;

		ck_assert_int_eq(memory_plan(limits[i] * MIB, 5 * MIB, 0, &p), 0);
		ck_assert_uint_eq(p.arena_bytes + p.base_bytes + p.buffers_bytes + p.margin_bytes,
		    limits[i] * MIB);
	}
}
END_TEST

START_TEST(most_of_a_usual_limit_is_the_arenas)
{
	struct memory_plan p;

	ck_assert_int_eq(memory_plan(256 * MIB, 5 * MIB, 0, &p), 0);
	ck_assert_uint_ge(p.arena_bytes * 100, 256 * MIB * 95);
	ck_assert_int_eq(memory_plan(32 * MIB, 5 * MIB, 0, &p), 0);
	ck_assert_uint_ge(p.arena_bytes * 100, 32 * MIB * 75);
}
END_TEST

START_TEST(limit_that_the_process_itself_needs_is_refused)
{
	struct memory_plan p = { .arena_bytes = 7 };

	ck_assert_int_eq(memory_plan(8 * MIB, 5 * MIB, 0, &p), -EINVAL);
	ck_assert_int_eq(memory_plan(256 * MIB, 5 * MIB, 255 * MIB, &p), -EINVAL);
	ck_assert_uint_eq(p.arena_bytes, 7);
}
END_TEST

START_TEST(buffers_as_configured_come_off_the_arena)
{
	struct memory_plan few, many;

	ck_assert_int_eq(memory_plan(256 * MIB, 5 * MIB, 1 * MIB, &few), 0);
	ck_assert_int_eq(memory_plan(256 * MIB, 5 * MIB, 65 * MIB, &many), 0);
	ck_assert_uint_eq(few.arena_bytes - many.arena_bytes, 64 * MIB);
}
END_TEST

START_TEST(resident_memory_is_what_the_kernel_says)
{
	uint64_t before = memory_resident();
	char *p = malloc(32 * MIB);

	ck_assert_uint_gt(before, 0);
	for (size_t i = 0; i < 32 * MIB; i += 512)
		((volatile char *)p)[i] = 1;
	ck_assert_uint_ge(memory_resident(), before + 30 * MIB);
	free(p);
}
END_TEST

START_TEST(watch_takes_from_the_arena_what_the_rest_uses_beyond_its_share)
{
	struct cache_opts o = { .budget_bytes = 64 * MIB, .seed = 1 };
	struct memory_watch w = { 0 };
	struct cache_stats st;
	struct cache *c;

	memory_watch_init(&w);
	ck_assert_int_ge(w.statm_fd, 0);
	ck_assert_int_eq(cache_new(&o, &c), 0);
	/* As if this process, test and all, were to stay within 1 MiB beside it. */
	w.plan = (struct memory_plan){
		.limit_bytes = 65 * MIB + memory_resident() / 2,
		.margin_bytes = MIB / 2,
		.arena_bytes = 64 * MIB,
	};
	w.arena_bytes = 64 * MIB;
	memory_watch_look(&w, c);
	cache_stats(c, &st);
	ck_assert_uint_eq(st.budget_bytes, w.arena_bytes);
	if (memory_resident() / 2 > MIB)
		ck_assert_uint_lt(w.arena_bytes, 64 * MIB);
	/* With room enough it gets all of it back. */
	w.plan.limit_bytes = 1024 * MIB;
	memory_watch_look(&w, c);
	ck_assert_uint_eq(w.arena_bytes, 64 * MIB);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("memory");

	SUITE_ADD(s, "memory", parts_of_the_plan_sum_up_to_the_limit,
	    most_of_a_usual_limit_is_the_arenas, limit_that_the_process_itself_needs_is_refused,
	    buffers_as_configured_come_off_the_arena, resident_memory_is_what_the_kernel_says,
	    watch_takes_from_the_arena_what_the_rest_uses_beyond_its_share);
	return suite_main(s);
}
