/* What a reader gets when a value's time is over, step by step: served while it is
 * renewed, waited for, stale because the origin fails, a remembered negative, a
 * fallback. The clock is the test's; the origin answers when told. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

#define TTL 10000
#define UNSAID ORIGIN_TTL_UNSAID
#define MINUTE 60000

static const char config_text[] =
    "wait_limit: 8\n"
    "namespaces:\n"
    "  - prefix: \"user:\"\n"
    "    origin: users\n"
    "    path: /users/{rest}\n"
    "    ttl: 10s\n"
    "    stale_while_revalidate: 5s\n"
    "    stale_if_error: 60s\n"
    "    early_refresh: 0\n"
    "    %s\n"
    "origins:\n"
    "  users:\n"
    "    http:\n"
    "      endpoints: [\"http://127.0.0.1:1\"]\n"
    "    deadline: 250ms\n"
    "    max_waiters: 4\n";

static int64_t t0;

/* The namespace of the tests, with more lines. */
static void
reconfigure(const char *more)
{
	char text[sizeof config_text + 256];
	struct routes *r;

	snprintf(text, sizeof text, config_text, more);
	r = make_routes_of(text);
	store_set_routes(store, r);
	for (unsigned i = 0; i < LOOPS; i++) {
		struct origin_set *os = origin_set_new(r);

		store_loop_set_routes(sl[i], &os);
	}
	routes_unref(r);
}

static void
begin(void)
{
	setup();
	reconfigure("");
	t0 = loop_now_ms(loops[0]);
}

/* So long after the test began. */
static void
at(int64_t ms)
{
	for (unsigned i = 0; i < LOOPS; i++)
		store_loop_set_now(sl[i], t0 + ms);
}

struct client {
	struct store_waiter w;
	unsigned answers;
	enum fill_status status;
	bool stale, fallback;
	int64_t age_ms;
	char text[64];
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	c->status = w->status;
	c->stale = w->stale;
	c->fallback = w->fallback;
	c->age_ms = w->age_ms;
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

/* What there is at once stands in c->text; background fetches begin. */
static enum store_answer
get_on(struct client *c, unsigned loop, const char *key, int64_t deadline_ms)
{
	struct store_cursor cur;
	enum store_answer a;

	memset(c, 0, sizeof *c);
	c->w.done = deadline_ms != 0 ? on_done_stop : on_done;
	c->w.deadline_ms = deadline_ms;
	a = store_get(sl[loop], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT || a == STORE_STALE) {
		snprintf(c->text, sizeof c->text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
		store_close(&cur);
	}
	loop_run_tasks(loops[loop]);
	return a;
}

static enum store_answer
get(struct client *c, const char *key)
{
	return get_on(c, 0, key, 0);
}

static void
ck_get(const char *key, enum store_answer answer, const char *text)
{
	struct client c;

	ck_assert_int_eq(get(&c, key), answer);
	ck_assert_str_eq(c.text, text);
}

static void
ck_told(const struct client *c, enum fill_status status, const char *text, bool stale)
{
	ck_assert_uint_eq(c->answers, 1);
	ck_assert_int_eq(c->status, status);
	ck_assert_str_eq(c->text, text);
	ck_assert_int_eq(c->stale, stale);
}

static struct origin_validity
says(int64_t ttl_ms)
{
	return (struct origin_validity){ .ttl_ms = ttl_ms, .swr_ms = UNSAID, .sie_ms = UNSAID };
}

/* It is fetched, and stored as the answer says, at 0. */
static void
fill(const char *key, const char *value, struct origin_validity v)
{
	struct client c;

	at(0);
	ck_assert_int_eq(get(&c, key), STORE_WAITING);
	fake_answer_with(ORIGIN_OK, value, &v, 40);
	ck_told(&c, FILL_VALUE, value, false);
}

/* --- served while it is renewed ------------------------------------------------------- */

START_TEST(within_its_window_a_stale_value_is_served_and_renewed_once)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL - 1);
	ck_get("user:1", STORE_HIT, "old");
	ck_assert_uint_eq(fake_open(), 0);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	ck_assert_uint_eq(fake_open(), 1);
	ck_assert_str_eq(fake_condition(), "||background");
	ck_assert_int_eq(get_on(&c, 1, "user:1", 0), STORE_STALE);
	ck_assert_uint_eq(fake_begun(), 2);
	ck_assert_uint_eq(store_waiting(store), 0);
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_get("user:1", STORE_HIT, "new");
	at(2 * TTL - 1);
	ck_get("user:1", STORE_HIT, "new");
	ck_assert_int_eq(NS(stale_refreshing), 2);
	ck_assert_int_eq(NS(refreshes), 1);
	ck_assert_int_eq(NS(early_refreshes), 0);
}
END_TEST

START_TEST(when_the_window_is_over_readers_wait_also_for_a_renewal_under_way)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL + 4999);
	ck_get("user:1", STORE_STALE, "old");
	at(TTL + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_begun(), 2);
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_told(&c, FILL_VALUE, "new", false);
}
END_TEST

START_TEST(an_answers_own_windows_stand_above_the_namespaces)
{
	struct client c;
	struct origin_validity v = says(1000);

	v.swr_ms = 200;
	v.sie_ms = 300;
	fill("user:1", "old", v);
	at(1199);
	ck_get("user:1", STORE_STALE, "old");
	fake_fail(ORIGIN_FAILED, "broken");
	at(5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(a_renewal_that_fails_leaves_the_value_until_its_window_ends)
{
	fill("user:1", "old", says(UNSAID));
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	fake_fail(ORIGIN_REFUSED, "breaker");
	ck_get("user:1", STORE_STALE, "old");
	ck_assert_uint_eq(fake_open(), 1);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_assert_int_eq(NS(fetch_errors), 2);
	ck_assert_int_eq(NS(refreshes), 2);
	ck_assert_int_eq(NS(read_errors), 0);
}
END_TEST

START_TEST(near_its_end_one_reader_by_chance_renews_a_value_that_all_get)
{
	struct client c;
	struct origin_validity v = says(UNSAID);
	unsigned reads = 0;

	reconfigure("negative_ttl: 1s"); /* another row: early_refresh stands already */
	fill("user:1", "old", v);
	at(TTL - 1);
	ck_get("user:1", STORE_HIT, "old"); /* never where it is off */
	ck_assert_uint_eq(fake_open(), 0);
	for (unsigned i = 0; i < LOOPS; i++) {
		/* NOLINTNEXTLINE(cppcoreguidelines-pro-type-cast-qual): a test's own */
		struct config_namespace *ns = (struct config_namespace *)(uintptr_t)
		    routes_find(store_loop_routes(sl[i]), SLICE("user:1"));

		ns->early_pct = 1000;
	}
	while (fake_open() == 0 && reads++ < 1000)
		ck_get("user:1", STORE_HIT, "old");
	ck_assert_uint_eq(fake_open(), 1);
	ck_assert_str_eq(fake_condition(), "||background");
	for (int i = 0; i < 100; i++)
		ck_get("user:1", STORE_HIT, "old");
	ck_assert_uint_eq(fake_open(), 1);
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_assert_int_eq(get(&c, "user:1"), STORE_HIT);
	ck_assert_str_eq(c.text, "new");
	ck_assert_int_eq(NS(early_refreshes), 1);
	ck_assert_int_eq(NS(refreshes), 1);
	ck_assert_int_eq(NS(misses), 1);
}
END_TEST

/* --- writes win over renewals ---------------------------------------------------------- */

START_TEST(a_set_during_a_renewal_stays)
{
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	ck_assert_int_eq(store_set(sl[1], SLICE("user:1"), SLICE("mine"), CACHE_NEVER), 0);
	fake_answer_with(ORIGIN_OK, "late", &v, 40);
	ck_get("user:1", STORE_HIT, "mine");
	ck_assert_int_eq(NS(fetch_discarded), 1);
}
END_TEST

START_TEST(a_delete_during_a_renewal_takes_all_away)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	store_delete(sl[1], SLICE("user:1"));
	fake_answer_with(ORIGIN_OK, "late", &v, 40);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false); /* nothing stale is left */
}
END_TEST

START_TEST(a_flush_during_a_renewal_takes_all_away)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	store_flush(sl[1]);
	fake_answer_with(ORIGIN_OK, "late", &v, 40);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(a_reload_during_a_renewal_changes_nothing_of_it)
{
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	reconfigure("negative_ttl: 5s");
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_get("user:1", STORE_HIT, "new");
}
END_TEST

START_TEST(a_write_during_a_condition_has_all_of_it_asked_for)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	v.etag = SLICE("\"1\"");
	fill("user:1", "old", v);
	at(TTL + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	ck_assert_str_eq(fake_condition(), "\"1\"|");
	store_delete(sl[1], SLICE("user:1"));
	fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &v, 40);
	ck_assert_uint_eq(c.answers, 0);
	ck_assert_str_eq(fake_condition(), "|");
	fake_answer_with(ORIGIN_OK, "whole", &v, 40);
	ck_told(&c, FILL_VALUE, "whole", false);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING); /* was not stored */
	fake_fail(ORIGIN_FAILED, "x");
}
END_TEST

/* --- stale because the origin fails ------------------------------------------------------- */

START_TEST(where_the_origin_fails_refuses_or_is_late_waiters_get_the_stale_value)
{
	static const enum origin_status all[] = { ORIGIN_FAILED, ORIGIN_TIMEOUT,
		ORIGIN_REFUSED };
	char key[32];

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct client a, b;

		snprintf(key, sizeof key, "user:%u", i);
		fill(key, "old", says(UNSAID));
		at(TTL + 59999);
		ck_assert_int_eq(get(&a, key), STORE_WAITING);
		ck_assert_int_eq(get_on(&b, 1, key, 0), STORE_WAITING);
		fake_fail(all[i], "broken");
		loop_run_tasks(loops[1]);
		ck_told(&a, FILL_VALUE, "old", true);
		ck_told(&b, FILL_VALUE, "old", true);
		ck_assert_int_eq(a.age_ms, TTL + 59999);
	}
	ck_assert_int_eq(NS(stale_on_error), 6);
	ck_assert_int_eq(NS(filled), 3);
	ck_assert_int_eq(NS(fetch_errors), 3);
}
END_TEST

START_TEST(after_a_failure_it_is_served_at_once_for_a_while)
{
	struct client c;

	fill("user:1", "old", says(UNSAID));
	at(TTL + 6000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_VALUE, "old", true);
	at(TTL + 6999);
	ck_get("user:1", STORE_STALE, "old");
	ck_assert_uint_eq(fake_begun(), 2);
	at(TTL + 7000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_OK, "new", &(struct origin_validity){ .ttl_ms = UNSAID }, 40);
	ck_told(&c, FILL_VALUE, "new", false);
	ck_get("user:1", STORE_HIT, "new");
}
END_TEST

START_TEST(when_that_window_is_over_the_error_is_told)
{
	struct client c;

	fill("user:1", "old", says(UNSAID));
	at(TTL + 60000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(must_revalidate_forbids_stale)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	v.no_stale = true;
	v.sie_ms = v.swr_ms = MINUTE;
	v.etag = SLICE("\"1\"");
	fill("user:1", "old", v);
	at(TTL);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &v, 40);
	ck_told(&c, FILL_VALUE, "old", false);
}
END_TEST

START_TEST(what_a_client_stored_is_kept_for_errors_too)
{
	struct client c;

	at(0);
	ck_assert_int_eq(store_set(sl[0], SLICE("user:1"), SLICE("mine"), t0 + 50), 0);
	at(50 + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_VALUE, "mine", true);
}
END_TEST

START_TEST(who_may_not_even_wait_gets_what_is_there)
{
	struct client c[6];

	fill("user:1", "old", says(UNSAID));
	at(TTL + 6000);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(get(&c[i], "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&c[4], "user:1"), STORE_STALE); /* max_waiters */
	ck_assert_str_eq(c[4].text, "old");
	fake_fail(ORIGIN_FAILED, "broken");
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(where_too_many_wait_in_all_stale_values_are_left)
{
	struct client c[8], one;
	char key[32];

	fill("user:x", "old", says(UNSAID));
	at(TTL + 6000);
	for (int i = 0; i < 8; i++) {
		snprintf(key, sizeof key, "user:%d", i);
		ck_assert_int_eq(get(&c[i], key), STORE_WAITING);
	}
	ck_assert_int_eq(get(&one, "user:x"), STORE_STALE);
	ck_assert_str_eq(one.text, "old");
	ck_assert_int_eq(get(&one, "user:y"), STORE_REFUSED);
	for (int i = 0; i < 8; i++)
		fake_fail(ORIGIN_FAILED, "broken");
}
END_TEST

START_TEST(a_waiter_whose_own_time_is_over_gets_the_stale_value)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL + 6000);
	ck_assert_int_eq(get_on(&c, 0, "user:1", loop_now_ms(loops[0]) + 10), STORE_WAITING);
	loop_run(loops[0]);
	ck_told(&c, FILL_VALUE, "old", true);
	ck_assert_int_eq(NS(wait_timeouts), 0);
	ck_assert_uint_eq(fake_open(), 1);
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_get("user:1", STORE_HIT, "new");
}
END_TEST

START_TEST(with_stale_after_readers_wait_only_so_long_and_the_fetch_goes_on)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	reconfigure("stale_after: 10ms");
	fill("user:1", "old", v);
	at(TTL + 6000);
	ck_assert_int_eq(get_on(&c, 0, "user:1", 0), STORE_WAITING);
	c.w.done = on_done_stop;
	loop_run(loops[0]);
	ck_told(&c, FILL_VALUE, "old", true);
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_get("user:1", STORE_HIT, "new");
}
END_TEST

START_TEST(with_stale_after_and_nothing_left_they_wait_to_their_own_end)
{
	struct client c;

	reconfigure("stale_after: 10ms");
	fill("user:1", "old", says(UNSAID));
	at(TTL + 6000);
	ck_assert_int_eq(get_on(&c, 0, "user:1", loop_now_ms(loops[0]) + 40), STORE_WAITING);
	store_delete(sl[1], SLICE("user:1"));
	loop_run(loops[0]);
	ck_told(&c, FILL_TIMEOUT, "no answer within the time that this request may wait", false);
	fake_fail(ORIGIN_FAILED, "broken");
}
END_TEST

/* --- that there is none --------------------------------------------------------------------- */

static void
ck_none(const char *key)
{
	struct client c;

	ck_assert_int_eq(get(&c, key), STORE_MISS);
	ck_assert(c.w.negative);
}

static void
fill_none(const char *key, struct origin_validity v)
{
	struct client c;

	at(0);
	ck_assert_int_eq(get(&c, key), STORE_WAITING);
	fake_answer_with(ORIGIN_NOT_FOUND, NULL, &v, 40);
	ck_told(&c, FILL_NOT_FOUND, "", false);
}

START_TEST(that_there_is_none_is_remembered_where_configured_or_said)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill_none("user:1", v);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING); /* by default it is not */
	fake_answer_with(ORIGIN_NOT_FOUND, NULL, &v, 40);
	reconfigure("negative_ttl: 2s");
	fill_none("user:2", v);
	at(1999);
	ck_none("user:2");
	ck_assert_uint_eq(fake_open(), 0);
	fill_none("user:3", says(7000));
	at(6999);
	ck_none("user:3");
	ck_assert_int_eq(NS(negative_hits), 2);
}
END_TEST

START_TEST(it_is_renewed_and_kept_for_errors_as_values_are)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	reconfigure("negative_ttl: 2s");
	fill_none("user:1", v);
	at(2000);
	ck_none("user:1");
	ck_assert_str_eq(fake_condition(), "||background");
	fake_fail(ORIGIN_FAILED, "broken");
	at(2000 + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_NOT_FOUND, "", true);
	at(2000 + 6001);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_OK, "born", &v, 40);
	ck_told(&c, FILL_VALUE, "born", false);
	ck_get("user:1", STORE_HIT, "born");
}
END_TEST

START_TEST(a_value_that_is_gone_at_the_origin_is_not_served_stale)
{
	struct client c;
	struct origin_validity v = says(UNSAID);

	fill("user:1", "old", v);
	at(TTL);
	ck_get("user:1", STORE_STALE, "old");
	fake_answer_with(ORIGIN_NOT_FOUND, NULL, &v, 40);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(nobody_but_readers_sees_it)
{
	struct store_cursor cur;

	reconfigure("negative_ttl: 2s");
	fill_none("user:1", says(UNSAID));
	ck_assert_int_eq(store_open(sl[0], SLICE("user:1"), 0, &cur), CACHE_MISS);
	store_close(&cur);
	ck_assert(!store_delete(sl[0], SLICE("user:1")));
	ck_assert_int_eq(store_set(sl[0], SLICE("user:1"), SLICE("v"), CACHE_NEVER), 0);
	ck_get("user:1", STORE_HIT, "v");
}
END_TEST

/* --- asking with a condition ------------------------------------------------------------------ */

START_TEST(what_has_not_changed_is_renewed_without_a_body)
{
	struct client a, b;
	struct origin_validity v = says(UNSAID), longer = says(20000);
	struct cache_stats before, after;

	v.etag = SLICE("W/\"1\"");
	v.last_modified = SLICE("Sun, 06 Nov 1994 08:49:37 GMT");
	longer.age_ms = 700;
	fill("user:1", "old", v);
	at(TTL + 5000);
	cache_stats(store_cache(store), &before);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
	ck_assert_str_eq(fake_condition(), "W/\"1\"|Sun, 06 Nov 1994 08:49:37 GMT");
	fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &longer, 40);
	ck_told(&a, FILL_VALUE, "old", false);
	ck_told(&b, FILL_VALUE, "old", false);
	ck_assert_int_eq(a.age_ms, 700);
	at(TTL + 5000 + 19999);
	ck_get("user:1", STORE_HIT, "old");
	cache_stats(store_cache(store), &after);
	ck_assert_int_eq(NS(not_modified), 1);
	at(TTL + 5000 + 20000);
	ck_get("user:1", STORE_STALE, "old"); /* and it can be asked for so again */
	ck_assert_str_eq(fake_condition(), "W/\"1\"|Sun, 06 Nov 1994 08:49:37 GMT|background");
	fake_answer_with(ORIGIN_OK, "new", &v, 40);
	ck_get("user:1", STORE_HIT, "new");
}
END_TEST

START_TEST(no_cache_is_kept_and_asked_for_each_time)
{
	struct client a, b;
	struct origin_validity v = says(0);

	v.validate = v.no_stale = true;
	v.etag = SLICE("\"1\"");
	fill("user:1", "old", v);
	for (int i = 1; i < 4; i++) {
		at(i);
		ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
		ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
		ck_assert_uint_eq(fake_open(), 1);
		ck_assert_str_eq(fake_condition(), "\"1\"|");
		fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &v, 40);
		ck_told(&a, FILL_VALUE, "old", false);
		ck_told(&b, FILL_VALUE, "old", false);
	}
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&a, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(what_the_answer_forbids_to_keep_goes_with_the_next_condition)
{
	struct client c;
	struct origin_validity v = says(UNSAID), no = says(0);

	v.etag = SLICE("\"1\"");
	no.no_store = true;
	fill("user:1", "old", v);
	at(TTL + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &no, 40);
	ck_told(&c, FILL_VALUE, "old", false);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	ck_assert_str_eq(fake_condition(), "|");
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

START_TEST(what_was_evicted_meanwhile_is_asked_for_as_a_whole)
{
	struct client c;
	struct origin_validity v = says(UNSAID);
	struct cache_cursor cur;

	v.etag = SLICE("\"1\"");
	fill("user:1", "old", v);
	at(TTL + 5000);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	/* Not by the store's door, which would detach the flight. */
	cache_open(store_cache(store), &sl[0]->thread, SLICE("user:1"),
	    store_hash(sl[0], SLICE("user:1")), 0, &cur);
	cache_remove(&cur);
	cache_close(&cur);
	fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &v, 40);
	ck_assert_str_eq(fake_condition(), "|");
	fake_answer_with(ORIGIN_OK, "whole", &v, 40);
	ck_told(&c, FILL_VALUE, "whole", false);
	ck_get("user:1", STORE_HIT, "whole");
}
END_TEST

/* --- what cannot be kept -------------------------------------------------------------------- */

START_TEST(what_cannot_be_kept_is_fetched_side_by_side_for_a_while)
{
	struct client a, b, c;
	struct origin_validity no = says(0);

	no.no_store = no.vary_any = true;
	at(0);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_open(), 1); /* nobody knows yet */
	fake_answer_with(ORIGIN_OK, "1", &no, 40);
	ck_told(&b, FILL_VALUE, "1", false);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get_on(&c, 1, "user:1", 0), STORE_WAITING);
	ck_assert_uint_eq(fake_open(), 3);
	fake_answer_with(ORIGIN_OK, "2", &no, 40);
	ck_told(&a, FILL_VALUE, "2", false);
	ck_assert_uint_eq(b.answers, 0);
	fake_answer_with(ORIGIN_OK, "3", &no, 40);
	ck_told(&b, FILL_VALUE, "3", false);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
	ck_assert_int_eq(NS(passed), 2);
	ck_assert_int_eq(NS(uncacheable), 2);
	ck_assert_int_eq(NS(vary_refused), 2);
	ck_assert_uint_eq(store_flights(store), 0);
	at(10001);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_open(), 1); /* forgotten */
	fake_answer_with(ORIGIN_OK, "4", &no, 40);
}
END_TEST

START_TEST(when_it_can_be_kept_again_it_is)
{
	struct client a, b;
	struct origin_validity no = says(0), yes = says(UNSAID);

	no.no_store = true;
	at(0);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_OK, "1", &no, 40);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING); /* in the table */
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING); /* alone */
	fake_answer_with(ORIGIN_OK, "2", &yes, 40);
	ck_told(&a, FILL_VALUE, "2", false);
	ck_get("user:1", STORE_HIT, "2");
	fake_answer_with(ORIGIN_OK, "3", &yes, 40);
	ck_told(&b, FILL_VALUE, "3", false);
	ck_get("user:1", STORE_HIT, "2");
}
END_TEST

START_TEST(who_flies_alone_stores_nothing_after_a_delete)
{
	struct client a, b, c;
	struct origin_validity no = says(0), yes = says(UNSAID);

	no.no_store = true;
	at(0);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	fake_answer_with(ORIGIN_OK, "1", &no, 40);
	ck_assert_int_eq(get(&a, "user:1"), STORE_WAITING);
	ck_assert_int_eq(get(&b, "user:1"), STORE_WAITING);
	store_delete(sl[0], SLICE("user:1"));
	fake_answer_with(ORIGIN_OK, "2", &yes, 40);
	fake_answer_with(ORIGIN_OK, "3", &yes, 40);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
}
END_TEST

/* --- fallbacks ---------------------------------------------------------------------------------- */

START_TEST(a_fallback_answers_when_nothing_is_left)
{
	struct client c;

	reconfigure("fallback: nil");
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_NOT_FOUND, "", false);
	ck_assert(c.fallback);
	reconfigure("fallback: value\n    fallback_value: \"{}\"");
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_TIMEOUT, "late");
	ck_told(&c, FILL_VALUE, "{}", false);
	ck_assert(c.fallback);
	ck_assert_int_eq(get_on(&c, 0, "user:1", loop_now_ms(loops[0]) + 5), STORE_WAITING);
	loop_run(loops[0]);
	ck_told(&c, FILL_VALUE, "{}", false);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_assert_int_eq(NS(fallbacks), 3);
	ck_assert_int_eq(NS(read_errors), 0);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING); /* was not stored */
	fake_fail(ORIGIN_FAILED, "broken");
}
END_TEST

START_TEST(fallback_stale_serves_what_is_long_over)
{
	struct client c;

	reconfigure("fallback: stale");
	fill("user:1", "old", says(UNSAID));
	at(TTL + (int64_t)1000 * MINUTE);
	ck_assert_int_eq(get(&c, "user:1"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_VALUE, "old", true);
	ck_assert_int_eq(get(&c, "user:2"), STORE_WAITING);
	fake_fail(ORIGIN_FAILED, "broken");
	ck_told(&c, FILL_FAILED, "broken", false);
}
END_TEST

/* --- without memory -------------------------------------------------------------------------- */

/* One of each: served and renewed, renewed by a condition, and in vain. Whatever
 * allocation fails, each is answered once, with what is true, and nothing is
 * left over. */
static void
play_without_memory(unsigned n)
{
	struct client a, b;
	struct origin_validity v = says(UNSAID);
	enum store_answer first, second;

	v.etag = SLICE("\"1\"");
	fill("user:1", "old", v);
	fill("user:2", "old", v);
	at(TTL);
	mem_fail_nth(n, 0);
	first = get(&a, "user:1");
	ck_assert(first == STORE_STALE || first == STORE_REFUSED || first == STORE_WAITING);
	if (first == STORE_STALE)
		ck_assert_str_eq(a.text, "old");
	while (fake_open() != 0)
		fake_answer_with(ORIGIN_NOT_MODIFIED, NULL, &v, 40);
	at(TTL + 6000);
	second = get(&b, "user:2");
	while (fake_open() != 0)
		fake_fail(ORIGIN_FAILED, "broken");
	mem_fail_nth(0, 0);
	loop_run_tasks(loops[0]);
	if (second == STORE_WAITING) {
		ck_assert_uint_eq(b.answers, 1);
		ck_assert(b.status == FILL_FAILED || b.stale);
	}
	while (fake_open() != 0)
		fake_fail(ORIGIN_FAILED, "broken");
	ck_assert_uint_eq(store_waiting(store), 0);
	ck_assert_uint_eq(store_flights(store), 0);
}

START_TEST(running_out_of_memory_at_any_point_fails_one_request)
{
	for (unsigned n = 1; n < 24; n++) {
		if (n > 1) {
			teardown();
			begin();
		}
		play_without_memory(n);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ladder");

#define FIXED(name, ...) \
	do { \
		TCase *tc = tcase_create(name); \
		const TTest *const tests[] = { __VA_ARGS__ }; \
\
		tcase_add_checked_fixture(tc, begin, teardown); \
		for (size_t i = 0; i < ARRAY_LEN(tests); i++) \
			tcase_add_test(tc, tests[i]); \
		suite_add_tcase(s, tc); \
	} while (0)
	FIXED("serve", within_its_window_a_stale_value_is_served_and_renewed_once,
	    when_the_window_is_over_readers_wait_also_for_a_renewal_under_way,
	    an_answers_own_windows_stand_above_the_namespaces,
	    a_renewal_that_fails_leaves_the_value_until_its_window_ends,
	    near_its_end_one_reader_by_chance_renews_a_value_that_all_get);
	FIXED("writes", a_set_during_a_renewal_stays,
	    a_delete_during_a_renewal_takes_all_away, a_flush_during_a_renewal_takes_all_away,
	    a_reload_during_a_renewal_changes_nothing_of_it,
	    a_write_during_a_condition_has_all_of_it_asked_for);
	FIXED("errors", where_the_origin_fails_refuses_or_is_late_waiters_get_the_stale_value,
	    after_a_failure_it_is_served_at_once_for_a_while,
	    when_that_window_is_over_the_error_is_told, must_revalidate_forbids_stale,
	    what_a_client_stored_is_kept_for_errors_too,
	    who_may_not_even_wait_gets_what_is_there,
	    where_too_many_wait_in_all_stale_values_are_left,
	    a_waiter_whose_own_time_is_over_gets_the_stale_value,
	    with_stale_after_readers_wait_only_so_long_and_the_fetch_goes_on,
	    with_stale_after_and_nothing_left_they_wait_to_their_own_end);
	FIXED("none", that_there_is_none_is_remembered_where_configured_or_said,
	    it_is_renewed_and_kept_for_errors_as_values_are,
	    a_value_that_is_gone_at_the_origin_is_not_served_stale, nobody_but_readers_sees_it);
	FIXED("conditions", what_has_not_changed_is_renewed_without_a_body,
	    no_cache_is_kept_and_asked_for_each_time,
	    what_the_answer_forbids_to_keep_goes_with_the_next_condition,
	    what_was_evicted_meanwhile_is_asked_for_as_a_whole);
	FIXED("passing", what_cannot_be_kept_is_fetched_side_by_side_for_a_while,
	    when_it_can_be_kept_again_it_is, who_flies_alone_stores_nothing_after_a_delete);
	FIXED("fallback", a_fallback_answers_when_nothing_is_left,
	    fallback_stale_serves_what_is_long_over);
	FIXED("memory", running_out_of_memory_at_any_point_fails_one_request);
	return suite_main(s);
}
