#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <link.h>

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

/* Reads all code and constants, so that they are resident. */
static int
read_segments(struct dl_phdr_info *object, size_t size UNUSED, void *arg)
{
	uint64_t *sum = arg;

	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &object->dlpi_phdr[i];
		const volatile char *at = (const volatile char *)(object->dlpi_addr + h->p_vaddr);

		if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && object->dlpi_name[0] == '/')
			for (size_t k = 0; k < h->p_filesz; k += 4096)
				*sum += (uint64_t)at[k];
	}
	return 0;
}

static uint64_t
resident_with_all_code(void)
{
	uint64_t sum = 0;

	dl_iterate_phdr(read_segments, &sum);
	return memory_resident() + (sum == 1);
}

START_TEST(base_counts_little_of_the_code_that_was_used_so_far)
{
	uint64_t before = resident_with_all_code(), base = memory_base(), now = memory_resident();

	ck_assert_uint_lt(now + MIB, before);
	ck_assert_uint_lt(base, before);
	/* Some pages of code came back between the two. */
	ck_assert_uint_ge(base + MIB, now);
	ck_assert_uint_le(base, now + 5 * MIB / 2);
}
END_TEST

static struct cache *
watched_cache(struct memory_watch *w, uint64_t rest_bytes)
{
	struct cache_opts o = { .budget_bytes = 64 * MIB, .seed = 1 };
	struct cache *c;

	*w = (struct memory_watch){ .plan = { .limit_bytes = 64 * MIB + rest_bytes,
		.base_bytes = rest_bytes - MIB, .margin_bytes = MIB / 2, .arena_bytes = 64 * MIB },
		.arena_bytes = 64 * MIB };
	memory_watch_init(w);
	ck_assert_int_ge(w->statm_fd, 0);
	ck_assert_int_eq(cache_new(&o, &c), 0);
	return c;
}

static uint64_t
budget_after_a_look(struct memory_watch *w, struct cache *c, int64_t now_ms)
{
	struct cache_stats st;

	memory_watch_look(w, c, now_ms);
	cache_stats(c, &st);
	ck_assert_uint_eq(st.budget_bytes, w->arena_bytes);
	return st.budget_bytes;
}

START_TEST(watch_takes_from_the_arena_what_the_rest_uses_beyond_its_share)
{
	uint64_t base = memory_base();
	struct memory_watch w;
	struct cache *c = watched_cache(&w, base + 4 * MIB);
	char *p;

	ck_assert_uint_eq(budget_after_a_look(&w, c, 0), 64 * MIB);
	p = malloc(12 * MIB);
	for (size_t i = 0; i < 12 * MIB; i += 512)
		((volatile char *)p)[i] = 1;
	ck_assert_uint_le(budget_after_a_look(&w, c, 100), 57 * MIB);
	ck_assert_uint_ge(w.arena_bytes, 50 * MIB);
	/* With room enough it gets all of it back. */
	w.plan.limit_bytes += 16 * MIB;
	ck_assert_uint_eq(budget_after_a_look(&w, c, 200), 64 * MIB);
	free(p);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

START_TEST(watch_drops_code_before_it_takes_from_the_arena_but_not_all_the_time)
{
	uint64_t base = memory_base(), all = resident_with_all_code();
	struct memory_watch w;
	struct cache *c = watched_cache(&w, base + MIB);

	ck_assert_uint_gt(all, base + MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 0), 64 * MIB);
	resident_with_all_code();
	ck_assert_uint_lt(budget_after_a_look(&w, c, 999), 64 * MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 1000), 64 * MIB);
	resident_with_all_code();
	ck_assert_uint_lt(budget_after_a_look(&w, c, 2999), 64 * MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 3000), 64 * MIB);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

static void
follow_to(struct memory_watch *w, struct cache *c, uint64_t limit_bytes)
{
	struct memory_plan p = w->plan;

	p.arena_bytes = limit_bytes - (p.limit_bytes - p.arena_bytes);
	p.limit_bytes = limit_bytes;
	memory_watch_follow(w, c, &p);
}

START_TEST(a_lower_limit_is_reached_in_steps_within_seconds_and_a_higher_one_at_once)
{
	struct memory_watch w;
	struct cache *c = watched_cache(&w, memory_resident() + 8 * MIB);
	uint64_t full = w.plan.limit_bytes, before = 64 * MIB, now;
	unsigned looks = 0;

	follow_to(&w, c, full - 48 * MIB);
	ck_assert_uint_eq(w.arena_bytes, 64 * MIB);
	do {
		now = budget_after_a_look(&w, c, 100 * ++looks);
		ck_assert_uint_lt(now, before);
		ck_assert_uint_le(before - now, full / MEMORY_STEP_SHARE + MIB);
		before = now;
	} while (now > 16 * MIB);
	ck_assert_uint_eq(now, 16 * MIB);
	ck_assert_uint_ge(looks, 4);
	ck_assert_uint_le(looks, 60);
	/* Stays there. */
	ck_assert_uint_eq(budget_after_a_look(&w, c, 100 * ++looks), 16 * MIB);
	follow_to(&w, c, full);
	ck_assert_uint_eq(w.arena_bytes, 64 * MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 100 * ++looks), 64 * MIB);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

START_TEST(a_limit_that_rises_on_the_way_down_ends_the_way_where_it_is)
{
	struct memory_watch w;
	struct cache *c = watched_cache(&w, memory_resident() + 8 * MIB);
	uint64_t full = w.plan.limit_bytes;

	follow_to(&w, c, full - 48 * MIB);
	budget_after_a_look(&w, c, 100);
	follow_to(&w, c, full - 32 * MIB);
	ck_assert_uint_gt(w.arena_bytes, 32 * MIB);
	follow_to(&w, c, full);
	ck_assert_uint_eq(w.arena_bytes, 64 * MIB);
	ck_assert_uint_eq(w.above_bytes, 0);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

START_TEST(what_pressure_holds_back_comes_off_the_arena_half_of_it_at_most)
{
	struct memory_watch w;
	struct cache *c = watched_cache(&w, memory_resident() + 8 * MIB);

	memory_watch_hold(&w, 10 * MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 100), 54 * MIB);
	memory_watch_hold(&w, 60 * MIB);
	ck_assert_uint_eq(w.held_bytes, 32 * MIB);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 200), 32 * MIB);
	memory_purge(c);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 300), 32 * MIB);
	memory_watch_hold(&w, 0);
	ck_assert_uint_eq(budget_after_a_look(&w, c, 400), 64 * MIB);
	memory_watch_fini(&w);
	cache_free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("memory");

#ifdef __SANITIZE_THREAD__
	/* Its shadow of the heap is resident too, and beats all that is measured. */
	bool exact = false;
#else
	bool exact = true;
#endif

	SUITE_ADD(s, "memory", parts_of_the_plan_sum_up_to_the_limit,
	    most_of_a_usual_limit_is_the_arenas, limit_that_the_process_itself_needs_is_refused,
	    buffers_as_configured_come_off_the_arena, resident_memory_is_what_the_kernel_says,
	    base_counts_little_of_the_code_that_was_used_so_far);
	if (exact)
		SUITE_ADD(s, "watch",
		    watch_takes_from_the_arena_what_the_rest_uses_beyond_its_share,
		    watch_drops_code_before_it_takes_from_the_arena_but_not_all_the_time,
		    a_lower_limit_is_reached_in_steps_within_seconds_and_a_higher_one_at_once,
		    a_limit_that_rises_on_the_way_down_ends_the_way_where_it_is,
		    what_pressure_holds_back_comes_off_the_arena_half_of_it_at_most);
	return suite_main(s);
}
