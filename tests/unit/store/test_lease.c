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
	a = store_get(sl[c->loop], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT || a == STORE_STALE) {
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

/* By the explicit form. */
static enum store_answer
ask(struct client *c, const char *key)
{
	enum store_answer a;

	c->w.wants_token = true;
	a = get(c, key);
	c->w.wants_token = false;
	return a;
}

/* As SET key value LEASE token: whether it was done. */
static bool
set_with(unsigned loop, const char *key, const char *value, uint64_t token)
{
	struct slice text = slice_str(value);
	struct store_cursor cur;
	bool stands;

	store_open(sl[loop], slice_str(key), STORE_WRITE, &cur);
	stands = store_lease_stands(&cur, token);
	if (stands)
		ck_assert_int_eq(cache_put(&cur.c, &text, 1, CACHE_NEVER), 0);
	store_close(&cur);
	return stands;
}

static bool
release(unsigned loop, const char *key, uint64_t token)
{
	struct slice k = slice_str(key);

	return store_lease_release(sl[loop], k, store_hash(sl[loop], k), token);
}

/* Sets a key of namespace "news:" and lets its time pass. */
static void
let_expire(const char *key, const char *value)
{
	ck_assert_int_eq(store_set(sl[0], slice_str(key), slice_str(value),
	    sl[0]->thread.now_ms + 1), 0);
	for (unsigned i = 0; i < LOOPS; i++)
		store_loop_set_now(sl[i], sl[i]->thread.now_ms + 10);
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
		for (unsigned ns = 0; ns < 4; ns++)
			sum += counter_get((struct counter *)(void *)
			    ((char *)&stats[i].ns[ns] + offset));
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

/* A write as of another loop, whose news is told when the test says so. */
static void
settle(const char *key, enum lease_end how, struct store_news *news)
{
	uint64_t hash = store_hash(sl[0], slice_str(key));
	struct stripe *st = pending_stripe(store, hash);

	news_init(news, sl[0]);
	lock_acquire(&st->lock);
	lease_settle_locked(st, hash, slice_str(key), how, news);
	lock_release(&st->lock);
}

START_TEST(lease_that_ends_before_its_holder_hears_of_it_is_freed_once)
{
	struct store_news promoted, ended;

	ck_assert_int_eq(get(&a, "page:1"), STORE_MISS);
	ck_assert_int_eq(get(&b, "page:1"), STORE_WAITING);
	settle("page:1", LEASE_VOID, &promoted); /* to b */
	settle("page:1", LEASE_SET, &ended);
	news_tell(&ended);
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 0);
	news_tell(&promoted);
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert_int_eq(b.status, FILL_NOT_FOUND);
	ck_assert(list_empty(&b.holder.leases));
	ck_assert_int_eq(get(&c, "page:1"), STORE_MISS); /* nobody has it */
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

/* --- what ends a lease, and what does not --------------------------------------- */

START_TEST(write_that_changes_nothing_leaves_the_lease_alone)
{
	struct store_cursor cur;

	get(&a, "news:1");
	get(&b, "news:1");
	/* GETEX, PERSIST, SET XX ... */
	store_open(sl[1], SLICE("news:1"), STORE_WRITE, &cur);
	store_close(&cur);
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 0);
	ck_assert(!list_empty(&a.holder.leases));
	ck_assert_int_eq(LS(lease_voided), 0);
}
END_TEST

START_TEST(value_that_cannot_be_stored_lets_all_load_by_themselves)
{
	struct store_cursor cur;

	get(&a, "news:1");
	get(&b, "news:1");
	get(&c, "news:1");
	store_open(sl[0], SLICE("news:1"), STORE_WRITE | STORE_SETS, &cur);
	store_close(&cur);
	run_all_tasks();
	ck_assert_uint_eq(b.answers + c.answers, 2);
	ck_assert_int_eq(b.status, FILL_NOT_FOUND);
	ck_assert(!b.w.granted && !c.w.granted);
	ck_assert(list_empty(&a.holder.leases));
	ck_assert_int_eq(LS(lease_voided), 1);
}
END_TEST

START_TEST(bracket_ends_leases_when_it_is_done)
{
	struct store_atomic bracket;

	get(&a, "news:1");
	get(&b, "news:1");
	store_atomic_init(&bracket, sl[1]);
	store_atomic_add(&bracket, SLICE("news:1"), store_hash(sl[1], SLICE("news:1")));
	store_atomic_begin(&bracket);
	set(1, "news:1", "v");
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 0);
	store_atomic_end(&bracket);
	run_all_tasks();
	ck_assert_int_eq(b.status, FILL_AGAIN);
}
END_TEST

START_TEST(every_end_without_a_value_is_counted_once)
{
	get(&a, "news:1");
	get(&a, "news:2");
	get(&a, "news:3");
	store_delete(sl[1], SLICE("news:1"));
	store_flush(sl[1]);
	run_all_tasks();
	ck_assert_int_eq(LS(lease_voided), 3);
	get(&a, "news:1");
	store_holder_gone(&a.holder);
	ck_assert_int_eq(LS(lease_voided), 4);
	get(&a, "news:1");
	set(0, "news:1", "v");
	run_all_tasks();
	ck_assert_int_eq(LS(lease_voided), 4);
	ck_assert_int_eq(LS(leases), 5);
}
END_TEST

START_TEST(waiter_too_many_loads_by_itself)
{
	struct client more[8];

	get(&a, "news:1");
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		client_init(&more[i], 1);
		ck_assert_int_eq(get(&more[i], "news:1"), STORE_WAITING);
	}
	ck_assert_int_eq(get(&b, "news:1"), STORE_MISS); /* wait_limit is 8 */
	ck_assert_int_eq(LS(wait_refused), 1);
	ck_assert_int_eq(get(&c, "news:2"), STORE_MISS); /* and a first one gets a lease */
	ck_assert(c.w.granted);
	set(0, "news:1", "v");
	run_all_tasks();
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		ck_assert_int_eq(more[i].status, FILL_AGAIN);
}
END_TEST

/* --- stale values ------------------------------------------------------------------ */

START_TEST(first_gets_nil_when_the_time_is_over_and_others_the_stale_value)
{
	let_expire("news:1", "old");
	ck_assert_int_eq(get(&a, "news:1"), STORE_MISS);
	ck_assert(a.w.granted);
	ck_assert_int_eq(get(&b, "news:1"), STORE_STALE);
	ck_assert_str_eq(b.text, "old");
	ck_assert_int_eq(get(&a, "news:1"), STORE_STALE); /* somebody loads: it does */
	ck_assert_int_eq(LS(stale_served), 2);
	ck_assert_int_eq(LS(lease_waits), 0);
	set(0, "news:1", "new");
	ck_assert_int_eq(get(&b, "news:1"), STORE_HIT);
	ck_assert_str_eq(b.text, "new");
}
END_TEST

START_TEST(holder_that_leaves_is_followed_by_who_asks_next)
{
	let_expire("news:1", "old");
	get(&a, "news:1");
	ck_assert_int_eq(get(&b, "news:1"), STORE_STALE);
	store_holder_gone(&a.holder);
	ck_assert_int_eq(get(&b, "news:1"), STORE_MISS);
	ck_assert(b.w.granted);
	ck_assert_int_eq(get(&c, "news:1"), STORE_STALE);
}
END_TEST

START_TEST(delete_takes_the_stale_value_away_and_others_wait_again)
{
	let_expire("news:1", "old");
	get(&a, "news:1");
	store_delete(sl[1], SLICE("news:1"));
	run_all_tasks();
	ck_assert_int_eq(get(&b, "news:1"), STORE_MISS);
	ck_assert_int_eq(get(&c, "news:1"), STORE_WAITING);
}
END_TEST

START_TEST(stale_value_is_not_served_when_nobody_loads)
{
	let_expire("news:1", "old");
	b.w.holder = NULL; /* takes no lease */
	ck_assert_int_eq(get(&b, "news:1"), STORE_MISS);
	ck_assert_int_eq(LS(stale_served), 0);
}
END_TEST

START_TEST(without_memory_for_a_lease_a_stale_key_is_just_a_miss)
{
	let_expire("news:1", "old");
	mem_fail_nth(1, 0);
	ck_assert_int_eq(get(&a, "news:1"), STORE_MISS);
	mem_fail_nth(0, 0);
	ck_assert(!a.w.granted);
	ck_assert_int_eq(get(&b, "news:1"), STORE_MISS);
	ck_assert(b.w.granted);
}
END_TEST

/* --- the explicit form --------------------------------------------------------------- */

START_TEST(token_is_given_in_any_namespace_and_its_set_is_done_once)
{
	static const char *const keys[] = { "plain", "news:1" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		ck_assert_int_eq(ask(&a, keys[i]), STORE_MISS);
		ck_assert(a.w.granted);
		ck_assert_uint_ne(a.w.token, 0);
		ck_assert(!set_with(1, keys[i], "w", a.w.token ^ 1));
		ck_assert(set_with(1, keys[i], "v", a.w.token)); /* over whatever connection */
		ck_assert(!set_with(1, keys[i], "w", a.w.token));
		run_all_tasks();
		ck_assert_int_eq(ask(&b, keys[i]), STORE_HIT);
		ck_assert_str_eq(b.text, "v");
		ck_assert(!b.w.granted);
	}
}
END_TEST

START_TEST(others_wait_for_the_token_s_set_and_may_say_how_long)
{
	ask(&a, "plain");
	b.w.deadline_ms = loop_now_ms(loops[1]); /* not at all */
	ck_assert_int_eq(ask(&b, "plain"), STORE_MISS);
	ck_assert(!b.w.granted);
	ck_assert_int_eq(ask(&c, "plain"), STORE_WAITING);
	set_with(0, "plain", "v", a.w.token);
	run_all_tasks();
	ck_assert_int_eq(c.status, FILL_AGAIN);
	ck_assert_int_eq(ask(&c, "plain"), STORE_HIT);
}
END_TEST

START_TEST(whatever_overtakes_the_load_voids_the_token)
{
	ask(&a, "plain");
	set(1, "plain", "newer");
	ck_assert(!set_with(0, "plain", "v", a.w.token));
	ck_assert_int_eq(get(&b, "plain"), STORE_HIT);
	ck_assert_str_eq(b.text, "newer");
	store_delete(sl[1], SLICE("plain"));
	ask(&a, "plain");
	store_delete(sl[1], SLICE("plain"));
	ck_assert(!set_with(0, "plain", "v", a.w.token));
	ask(&a, "plain");
	store_flush(sl[1]);
	ck_assert(!set_with(0, "plain", "v", a.w.token));
	ask(&a, "plain");
	store_holder_gone(&a.holder);
	ck_assert(!set_with(0, "plain", "v", a.w.token));
	run_all_tasks();
}
END_TEST

START_TEST(token_whose_time_is_over_goes_to_the_next_with_another)
{
	uint64_t first;

	ask(&a, "page:1"); /* lease_time is 20 ms here */
	first = a.w.token;
	c.stop_when_told = true;
	ck_assert_int_eq(ask(&c, "page:1"), STORE_WAITING);
	c.w.wants_token = true;
	loop_run(loops[0]);
	ck_assert_uint_eq(c.answers, 1);
	ck_assert(c.w.granted);
	ck_assert(!set_with(0, "page:1", "v", first));
	ck_assert(set_with(0, "page:1", "v", c.w.token));
	run_all_tasks();
}
END_TEST

START_TEST(load_that_failed_is_given_up_and_the_next_has_it_at_once)
{
	ask(&a, "plain");
	b.w.wants_token = true;
	ck_assert_int_eq(get(&b, "plain"), STORE_WAITING);
	ck_assert(!release(1, "plain", a.w.token ^ 1));
	ck_assert(!release(1, "other", a.w.token));
	ck_assert(!release(1, "plain", 0));
	ck_assert(release(1, "plain", a.w.token));
	ck_assert(!release(1, "plain", a.w.token));
	run_all_tasks();
	ck_assert_uint_eq(b.answers, 1);
	ck_assert(b.w.granted);
	ck_assert(set_with(1, "plain", "v", b.w.token));
	ck_assert_int_eq(LS(lease_voided), 1);
	run_all_tasks();
}
END_TEST

START_TEST(who_asks_explicitly_is_shown_the_stale_value_too)
{
	let_expire("news:1", "old");
	ck_assert_int_eq(ask(&a, "news:1"), STORE_STALE);
	ck_assert(a.w.granted);
	ck_assert_str_eq(a.text, "old");
	ck_assert_int_eq(ask(&b, "news:1"), STORE_STALE);
	ck_assert(!b.w.granted);
	ck_assert(set_with(0, "news:1", "new", a.w.token));
	run_all_tasks();
}
END_TEST

START_TEST(silent_lease_gets_its_token_when_its_holder_asks_for_it)
{
	uint64_t token;

	get(&a, "news:1");
	ck_assert_int_eq(ask(&a, "news:1"), STORE_MISS);
	ck_assert(a.w.granted);
	token = a.w.token;
	ck_assert_int_eq(LS(leases), 1);
	/* A second caller over the same connection: no token, and no waiting. */
	ck_assert_int_eq(ask(&a, "news:1"), STORE_MISS);
	ck_assert(!a.w.granted);
	ck_assert(set_with(0, "news:1", "v", token));
	run_all_tasks();
}
END_TEST

START_TEST(lease_that_nobody_was_told_of_has_no_token)
{
	get(&a, "news:1");
	ck_assert(!set_with(0, "news:1", "v", 0));
	ck_assert(!release(0, "news:1", 0));
}
END_TEST

START_TEST(key_of_an_origin_is_fetched_and_has_no_lease)
{
	ck_assert_int_eq(ask(&a, "user:1"), STORE_WAITING);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(a.status, FILL_VALUE);
	ck_assert(!a.w.granted);
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
		lease_that_ends_before_its_holder_hears_of_it_is_freed_once,
	    flush_voids_all_leases,
		lease_whose_time_is_over_goes_to_the_next,
		waiter_that_leaves_is_freed_at_once,
		client_that_takes_no_leases_just_misses,
		keys_have_leases_of_their_own,
		without_memory_for_a_lease_a_miss_is_just_a_miss,
		write_that_changes_nothing_leaves_the_lease_alone,
		value_that_cannot_be_stored_lets_all_load_by_themselves,
		bracket_ends_leases_when_it_is_done,
		every_end_without_a_value_is_counted_once,
		waiter_too_many_loads_by_itself,
		first_gets_nil_when_the_time_is_over_and_others_the_stale_value,
		holder_that_leaves_is_followed_by_who_asks_next,
		delete_takes_the_stale_value_away_and_others_wait_again,
		stale_value_is_not_served_when_nobody_loads,
		without_memory_for_a_lease_a_stale_key_is_just_a_miss,
		token_is_given_in_any_namespace_and_its_set_is_done_once,
		others_wait_for_the_token_s_set_and_may_say_how_long,
		whatever_overtakes_the_load_voids_the_token,
		token_whose_time_is_over_goes_to_the_next_with_another,
		load_that_failed_is_given_up_and_the_next_has_it_at_once,
		who_asks_explicitly_is_shown_the_stale_value_too,
		silent_lease_gets_its_token_when_its_holder_asks_for_it,
		lease_that_nobody_was_told_of_has_no_token,
		key_of_an_origin_is_fetched_and_has_no_lease,
	};

	tcase_add_checked_fixture(tc, three_clients, all_gone);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
