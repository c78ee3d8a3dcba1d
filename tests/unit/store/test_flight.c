/* The interleavings of flights, each step by hand: loops do not run, their
 * tasks are run when the test says so; the origin answers when told. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

/* A client: what it asked, and what it was told. */
struct client {
	struct store_waiter w;
	unsigned answers;
	unsigned freed;
	enum fill_status status;
	char text[64];
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	c->status = w->status;
	if (w->status == FILL_VALUE)
		snprintf(c->text, sizeof c->text, "%.*s", (int)blob_slice(w->value).len,
		    blob_slice(w->value).ptr);
	else if (w->status != FILL_NOT_FOUND)
		snprintf(c->text, sizeof c->text, "%s", w->error);
}

static void
on_done_stop(struct store_waiter *w)
{
	on_done(w);
	loop_stop(w->sl->loop);
}

static void
on_freed(struct store_waiter *w)
{
	container_of(w, struct client, w)->freed++;
}

/* A hit's value stands in c->text. */
static enum store_answer
get_until(struct client *c, unsigned loop, const char *key, int64_t deadline_ms)
{
	struct store_cursor cur;
	enum store_answer a;

	memset(c, 0, sizeof *c);
	c->w.done = deadline_ms != 0 ? on_done_stop : on_done;
	c->w.deadline_ms = deadline_ms;
	a = store_get(sl[loop], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT) {
		snprintf(c->text, sizeof c->text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
		store_close(&cur);
	}
	return a;
}

static enum store_answer
get(struct client *c, unsigned loop, const char *key)
{
	return get_until(c, loop, key, 0);
}

static void
ck_told(const struct client *c, enum fill_status status, const char *text)
{
	ck_assert_uint_eq(c->answers, 1);
	ck_assert_int_eq(c->status, status);
	ck_assert_str_eq(c->text, text);
}

START_TEST(misses_of_one_key_on_two_loops_make_one_fetch)
{
	struct client a, b, c;

	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, 0, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&c, 1, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_begun(), 1);
	ck_assert_uint_eq(store_waiting(store), 3);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_told(&a, FILL_VALUE, "ann");
	ck_told(&b, FILL_VALUE, "ann");
	ck_assert_uint_eq(c.answers, 0); /* another loop's: by post */
	loop_run_tasks(loops[1]);
	ck_told(&c, FILL_VALUE, "ann");
	ck_assert_int_eq(get(&a, 1, "user:1"), STORE_HIT);
	ck_assert_str_eq(a.text, "ann");
	ck_assert_uint_eq(store_waiting(store), 0);
	ck_assert_uint_eq(store_flights(store), 0);
	ck_assert_int_eq(NS(misses), 3);
	ck_assert_int_eq(NS(coalesced), 2);
	ck_assert_int_eq(NS(fetches), 1);
	ck_assert_int_eq(NS(filled), 3);
	ck_assert_int_eq(NS(hits), 1);
}
END_TEST

START_TEST(keys_without_an_origin_just_miss)
{
	struct client a;

	ck_assert_int_eq(get(&a, 0, "other"), STORE_MISS);
	ck_assert_uint_eq(fake_begun(), 0);
}
END_TEST

START_TEST(fetch_that_began_before_a_delete_is_answered_but_not_stored)
{
	struct client before, after;

	get(&before, 0, "user:1");
	ck_assert(!store_delete(sl[1], SLICE("user:1")));
	ck_assert_int_eq(get(&after, 1, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_begun(), 2); /* it may not join the old one */
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_told(&before, FILL_VALUE, "old");
	ck_assert_uint_eq(after.answers, 0);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
	fake_answer("new", ORIGIN_TTL_UNSAID);
	loop_run_tasks(loops[1]);
	ck_told(&after, FILL_VALUE, "new");
	ck_assert_int_eq(get(&before, 0, "user:1"), STORE_HIT);
	ck_assert_str_eq(before.text, "new");
	ck_assert_int_eq(NS(fetch_discarded), 1);
}
END_TEST

START_TEST(old_fetch_that_ends_last_does_not_replace_a_written_value)
{
	struct client before, after;

	get(&before, 0, "user:1");
	ck_assert_int_eq(store_set(sl[1], SLICE("user:1"), SLICE("written"), CACHE_NEVER), 0);
	ck_assert_int_eq(get(&after, 0, "user:1"), STORE_HIT);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_told(&before, FILL_VALUE, "old");
	ck_assert_int_eq(get(&after, 0, "user:1"), STORE_HIT);
	ck_assert_str_eq(after.text, "written");
}
END_TEST

START_TEST(writer_holds_the_stripe_where_somebody_fills_the_key_and_else_pays_nothing)
{
	struct store_cursor cur;
	struct slice key = SLICE("user:1");
	struct stripe *st = pending_stripe(store, cache_hash(store_cache(store), key));
	struct client a;

	store_open(sl[0], key, STORE_WRITE, &cur);
	ck_assert_ptr_null(cur.stripe);
	store_close(&cur);
	get(&a, 0, "user:1");
	store_open(sl[1], key, STORE_WRITE, &cur);
	ck_assert_ptr_eq(cur.stripe, st);
	ck_assert(lock_held(&st->lock));
	ck_assert_int_eq(cache_put(&cur.c, &SLICE("v"), 1, CACHE_NEVER), 0);
	store_close(&cur);
	ck_assert(!lock_held(&st->lock));
	ck_assert(!stripe_busy(st)); /* the flight is detached */
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_HIT);
	ck_assert_str_eq(a.text, "v");
	ck_assert(!stripe_busy(st));
}
END_TEST

START_TEST(flush_detaches_what_is_under_way)
{
	struct client a;

	get(&a, 0, "user:1");
	store_flush(sl[1]);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_told(&a, FILL_VALUE, "old");
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

START_TEST(new_leader_looks_into_the_cache_once_more)
{
	struct client a;
	struct store_cursor cur;
	struct slice key = SLICE("user:1");
	uint64_t hash = cache_hash(store_cache(store), key);

	/* What store_get() does after its miss, when a flight landed between. */
	ck_assert_int_eq(store_set(sl[1], key, SLICE("landed"), CACHE_NEVER), 0);
	memset(&a, 0, sizeof a);
	ck_assert_int_eq(flight_join(sl[0], routes_find(store_loop_routes(sl[0]), key), key, hash,
	    &cur, &a.w), STORE_HIT);
	ck_assert(slice_eq(cur.c.value, SLICE("landed")));
	cache_close(&cur.c);
	ck_assert_uint_eq(fake_begun(), 0);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(error_reaches_all_waiters_and_is_not_kept)
{
	struct client a, b;

	get(&a, 0, "user:1");
	get(&b, 1, "user:1");
	fake_fail(ORIGIN_TIMEOUT, "origin users: no answer within 250 ms");
	loop_run_tasks(loops[1]);
	ck_told(&a, FILL_FAILED, "origin users: no answer within 250 ms");
	ck_told(&b, FILL_FAILED, "origin users: no answer within 250 ms");
	ck_assert_int_eq(NS(fetch_errors), 1);
	ck_assert_int_eq(NS(read_errors), 2);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_begun(), 2);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_told(&a, FILL_VALUE, "ann");
}
END_TEST

START_TEST(not_found_is_told_and_not_stored)
{
	struct client a;

	get(&a, 0, "user:1");
	fake_fail(ORIGIN_NOT_FOUND, NULL);
	ck_told(&a, FILL_NOT_FOUND, "");
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

START_TEST(answer_that_must_not_be_stored_is_only_told)
{
	struct client a;

	get(&a, 0, "user:1");
	fake_answer("once", 0);
	ck_told(&a, FILL_VALUE, "once");
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	fake_answer("twice", 0);
}
END_TEST

START_TEST(stored_value_lives_as_long_as_the_answer_said_else_as_configured)
{
	struct store_cursor cur;
	struct client a;
	int64_t now_ms = loop_now_ms(loops[0]);

	get(&a, 0, "user:1");
	fake_answer("x", 500);
	ck_assert_int_eq(store_open(sl[0], SLICE("user:1"), 0, &cur), CACHE_HIT);
	ck_assert_int_eq(cur.c.expires_ms, now_ms + 500);
	store_close(&cur);
	get(&a, 0, "user:2");
	fake_answer("x", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(store_open(sl[0], SLICE("user:2"), 0, &cur), CACHE_HIT);
	ck_assert_int_eq(cur.c.expires_ms, now_ms + 10000);
	store_close(&cur);
}
END_TEST

START_TEST(waiter_whose_deadline_passes_is_told_once_and_the_fetch_goes_on)
{
	struct client a, b;

	get(&b, 0, "user:1");
	ck_assert_int_eq(get_until(&a, 1, "user:1", loop_now_ms(loops[1]) + 1), STORE_WAITING);
	loop_run(loops[1]);
	ck_told(&a, FILL_TIMEOUT, "no answer within the time that this request may wait");
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	loop_run_tasks(loops[1]);
	ck_assert_uint_eq(a.answers, 1);
	ck_told(&b, FILL_VALUE, "ann");
	ck_assert_int_eq(NS(wait_timeouts), 1);
}
END_TEST

START_TEST(deadline_that_passes_while_the_answer_is_on_its_way_is_not_told)
{
	struct client a, b;

	get(&b, 0, "user:1");
	get_until(&a, 1, "user:1", loop_now_ms(loops[1]));
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(a.answers, 0);
	loop_run(loops[1]);
	ck_told(&a, FILL_VALUE, "ann");
}
END_TEST

START_TEST(client_that_leaves_is_freed_at_once_and_others_are_served)
{
	struct client a, b;

	get(&a, 0, "user:1"); /* the leader */
	get(&b, 0, "user:1");
	store_leave(&a.w, on_freed);
	ck_assert_uint_eq(a.freed, 1);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(a.answers, 0);
	ck_told(&b, FILL_VALUE, "ann");
}
END_TEST

START_TEST(client_that_leaves_while_its_answer_is_on_its_way_is_freed_when_it_comes)
{
	struct client a, b;

	get(&b, 0, "user:1");
	get(&a, 1, "user:1");
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	store_leave(&a.w, on_freed);
	ck_assert_uint_eq(a.freed, 0);
	loop_run_tasks(loops[1]);
	ck_assert_uint_eq(a.freed, 1);
	ck_assert_uint_eq(a.answers, 0);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(fetch_that_nobody_waits_for_any_more_is_still_stored)
{
	struct client a;

	get(&a, 0, "user:1");
	store_leave(&a.w, on_freed);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(get(&a, 1, "user:1"), STORE_HIT);
}
END_TEST

START_TEST(waiters_of_a_flight_and_of_all_are_capped)
{
	struct client c[10];

	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(get(&c[i], 0, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&c[4], 0, "user:1"), STORE_REFUSED);
	ck_assert_str_eq(c[4].w.error, "too many requests wait for this key");
	for (unsigned i = 5; i < 9; i++)
		ck_assert_int_eq(get(&c[i], 0, "user:2"), STORE_WAITING);
	ck_assert_int_eq(get(&c[9], 0, "user:3"), STORE_REFUSED);
	ck_assert_str_eq(c[9].w.error, "too many requests wait already");
	ck_assert_int_eq(NS(wait_refused), 2);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	fake_answer("bob", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(fetch_that_cannot_begin_fails_its_waiters_in_a_later_turn)
{
	struct client a;

	fake_refuse(true);
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(a.answers, 0);
	loop_run_tasks(loops[0]);
	ck_told(&a, FILL_FAILED, "out of memory");
	ck_assert_uint_eq(store_flights(store), 0);
}
END_TEST

START_TEST(reload_lets_a_fetch_end_by_the_old_configuration)
{
	struct client a;
	struct routes *r = make_routes();

	get(&a, 0, "user:1");
	store_set_routes(store, r);
	for (unsigned i = 0; i < LOOPS; i++) {
		struct origin_set *os = origin_set_new(r);

		store_loop_set_routes(sl[i], &os);
	}
	routes_unref(r);
	fake_answer("ann", ORIGIN_TTL_UNSAID);
	ck_told(&a, FILL_VALUE, "ann");
	ck_assert_int_eq(get(&a, 0, "user:1"), STORE_HIT);
}
END_TEST

START_TEST(allocation_that_fails_refuses_one_request_and_leaks_nothing)
{
	unsigned refused = 0;

	for (unsigned long n = 1; n < 20; n++) {
		struct client a;
		enum store_answer answer;

		mem_fail_nth(n, 0);
		answer = get(&a, 0, "user:1");
		mem_fail_nth(0, 0);
		if (answer == STORE_WAITING) {
			if (fake_open() != 0)
				fake_answer("ann", 0);
			loop_run_tasks(loops[0]);
			ck_assert_uint_eq(a.answers, 1);
		} else {
			ck_assert_int_eq(answer, STORE_REFUSED);
			ck_assert_str_eq(a.w.error, "out of memory");
			refused++;
		}
		ck_assert_uint_eq(store_waiting(store), 0);
		ck_assert_uint_eq(store_flights(store), 0);
	}
	ck_assert_uint_ge(refused, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("flight");
	TCase *tc = tcase_create("flight");
	const TTest *const tests[] = {
		misses_of_one_key_on_two_loops_make_one_fetch,
		keys_without_an_origin_just_miss,
		fetch_that_began_before_a_delete_is_answered_but_not_stored,
		old_fetch_that_ends_last_does_not_replace_a_written_value,
		writer_holds_the_stripe_where_somebody_fills_the_key_and_else_pays_nothing,
		flush_detaches_what_is_under_way,
		new_leader_looks_into_the_cache_once_more,
		error_reaches_all_waiters_and_is_not_kept,
		not_found_is_told_and_not_stored,
		answer_that_must_not_be_stored_is_only_told,
		stored_value_lives_as_long_as_the_answer_said_else_as_configured,
		waiter_whose_deadline_passes_is_told_once_and_the_fetch_goes_on,
		deadline_that_passes_while_the_answer_is_on_its_way_is_not_told,
		client_that_leaves_is_freed_at_once_and_others_are_served,
		client_that_leaves_while_its_answer_is_on_its_way_is_freed_when_it_comes,
		fetch_that_nobody_waits_for_any_more_is_still_stored,
		waiters_of_a_flight_and_of_all_are_capped,
		fetch_that_cannot_begin_fails_its_waiters_in_a_later_turn,
		reload_lets_a_fetch_end_by_the_old_configuration,
		allocation_that_fails_refuses_one_request_and_leaks_nothing,
	};

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
