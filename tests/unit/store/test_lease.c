/* Leases step by step: two clients' loops, tasks run when the test says so. */
#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

struct client {
	struct store_waiter w;
	struct store_holder holder;
	unsigned loop;
	unsigned answers, freed;
	enum fill_status status;
	bool stop_when_told;
	char text[64];
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	c->status = w->status;
	if (c->stop_when_told)
		loop_stop(w->sl->loop);
}

static void
on_freed(struct store_waiter *w)
{
	container_of(w, struct client, w)->freed++;
}

static void
client_init(struct client *c, unsigned loop)
{
	memset(c, 0, sizeof *c);
	c->loop = loop;
	c->w.done = on_done;
	c->w.holder = &c->holder;
	store_holder_init(&c->holder);
}

static enum store_answer
get(struct client *c, const char *key)
{
	struct store_cursor cur;
	enum store_answer a;

	c->answers = 0;
	c->w.deadline_ms = 0;
	a = store_get(sl[c->loop], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT) {
		snprintf(c->text, sizeof c->text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
		store_close(&cur);
	}
	return a;
}

static void
set(unsigned loop, const char *key, const char *value)
{
	ck_assert_int_eq(store_set(sl[loop], slice_str(key), slice_str(value), CACHE_NEVER), 0);
}

static void
run_all_tasks(void)
{
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < LOOPS; i++)
			loop_run_tasks(loops[i]);
}

static int64_t
stat_of(size_t offset)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < LOOPS; i++)
		sum += counter_get((struct counter *)(void *)((char *)&stats[i].ns[2] + offset));
	return sum;
}
#define LS(name) stat_of(offsetof(struct stats_ns, name))

static struct client a, b, c;

static void
three_clients(void)
{
	setup();
	client_init(&a, 0);
	client_init(&b, 1);
	client_init(&c, 0);
}

static void
all_gone(void)
{
	store_holder_gone(&a.holder);
	store_holder_gone(&b.holder);
	store_holder_gone(&c.holder);
	run_all_tasks();
	ck_assert_uint_eq(store_waiting(store), 0);
	teardown();
}

START_TEST(first_miss_gets_nil_others_wait_and_get_what_it_sets)
{
	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, "page:1"), STORE_WAITING);
	ck_assert_int_eq(get(&c, "page:1"), STORE_WAITING);
	set(0, "page:1", "v");
	ck_assert_uint_eq(b.answers + c.answers, 0); /* never from within a command */
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.status, FILL_AGAIN);
	ck_assert_int_eq(c.status, FILL_AGAIN);
	ck_assert_int_eq(get(&b, "page:1"), STORE_HIT);
	ck_assert_str_eq(b.text, "v");
	ck_assert_int_eq(LS(leases), 1);
	ck_assert_int_eq(LS(lease_waits), 2);
}
END_TEST

START_TEST(holder_is_never_parked_behind_its_own_lease)
{
	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	ck_assert_int_eq(LS(leases), 1);
}
END_TEST

START_TEST(value_that_another_client_sets_ends_the_lease_too)
{
	get(&a, "page:1");
	get(&b, "page:1");
	set(1, "page:1", "other");
	run_all_tasks();
	ck_assert_int_eq(b.status, FILL_AGAIN);
	ck_assert(list_empty(&a.holder.leases));
	ck_assert_int_eq(get(&a, "page:1"), STORE_HIT);
}
END_TEST

START_TEST(waiter_is_promoted_at_once_when_the_holder_leaves)
{
	get(&a, "page:1");
	get(&b, "page:1");
	get(&c, "page:1");
	store_holder_gone(&a.holder);
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.status, FILL_NOT_FOUND); /* nil, and the lease */
	ck_assert(!list_empty(&b.holder.leases));
	ck_assert_uint_eq(c.answers, 0);
	ck_assert_int_eq(LS(lease_promoted), 1);
	ck_assert_int_eq(get(&b, "page:1"), STORE_MISS);
	set(1, "page:1", "v");
	run_all_tasks();
	ck_assert_int_eq(c.status, FILL_AGAIN);
}
END_TEST

START_TEST(promoted_client_that_has_left_meanwhile_passes_it_on)
{
	get(&a, "page:1");
	get(&b, "page:1");
	get(&c, "page:1");
	store_holder_gone(&a.holder);
	store_leave(&b.w, on_freed); /* its answer is on its way */
	ck_assert_uint_eq(b.freed, 0);
	run_all_tasks();
	ck_assert_uint_eq(b.freed, 1);
	ck_assert_uint_eq(b.answers, 0);
	ck_assert_uint_eq(c.answers, 1);
	ck_assert(!list_empty(&c.holder.leases));
}
END_TEST

START_TEST(delete_voids_the_lease_and_promotes)
{
	get(&a, "page:1");
	get(&b, "page:1");
	store_delete(sl[0], SLICE("page:1"));
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.status, FILL_NOT_FOUND);
	ck_assert(list_empty(&a.holder.leases));
	ck_assert(!list_empty(&b.holder.leases));
}
END_TEST

START_TEST(flush_voids_all_leases)
{
	get(&a, "page:1");
	get(&b, "page:1");
	get(&a, "page:2");
	store_flush(sl[0]);
	run_all_tasks();
	ck_assert(list_empty(&a.holder.leases));
	ck_assert_uint_eq(b.answers, 1);
	ck_assert(!list_empty(&b.holder.leases));
}
END_TEST

START_TEST(lease_whose_time_is_over_goes_to_the_next)
{
	get(&a, "page:1"); /* lease_time is 20 ms here */
	c.stop_when_told = true;
	ck_assert_int_eq(get(&c, "page:1"), STORE_WAITING);
	loop_run(loops[0]);
	ck_assert_uint_eq(c.answers, 1);
	ck_assert_int_eq(c.status, FILL_NOT_FOUND);
}
END_TEST

START_TEST(waiter_that_leaves_is_freed_at_once)
{
	get(&a, "page:1");
	get(&b, "page:1");
	store_leave(&b.w, on_freed);
	ck_assert_uint_eq(b.freed, 1);
}
END_TEST

START_TEST(client_that_takes_no_leases_just_misses)
{
	get(&a, "page:1");
	b.w.holder = NULL;
	ck_assert_int_eq(get(&b, "page:1"), STORE_MISS);
}
END_TEST

START_TEST(keys_have_leases_of_their_own)
{
	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, "page:2"), STORE_MISS);
	ck_assert_int_eq(LS(leases), 2);
}
END_TEST

START_TEST(without_memory_for_a_lease_a_miss_is_just_a_miss)
{
	mem_fail_nth(1, 1);
	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	mem_fail_nth(0, 0);
	ck_assert(list_empty(&a.holder.leases));
	get(&a, "page:1");
	get(&b, "page:1");
	get(&c, "page:1");
	mem_fail_nth(1, 1);
	store_holder_gone(&a.holder); /* nobody can be promoted: all may load */
	mem_fail_nth(0, 0);
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_uint_eq(c.answers, 1);
	ck_assert_int_eq(c.status, FILL_NOT_FOUND);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lease");
	TCase *tc = tcase_create("lease");
	const TTest *const tests[] = {
		first_miss_gets_nil_others_wait_and_get_what_it_sets,
		holder_is_never_parked_behind_its_own_lease,
		value_that_another_client_sets_ends_the_lease_too,
		waiter_is_promoted_at_once_when_the_holder_leaves,
		promoted_client_that_has_left_meanwhile_passes_it_on,
		delete_voids_the_lease_and_promotes,
		flush_voids_all_leases,
		lease_whose_time_is_over_goes_to_the_next,
		waiter_that_leaves_is_freed_at_once,
		client_that_takes_no_leases_just_misses,
		keys_have_leases_of_their_own,
		without_memory_for_a_lease_a_miss_is_just_a_miss,
	};

	tcase_add_checked_fixture(tc, three_clients, all_gone);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
