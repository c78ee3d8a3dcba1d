/* Writes of keys that belong to an origin. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

static const char config_text[] =
    "wait_limit: 8\n"
    "namespaces:\n"
    "  - {prefix: \"b:\", origin: o, path: \"/b/{rest}\", ttl: 10s, write: behind}\n"
    "  - {prefix: \"t:\", origin: o, path: \"/t/{rest}\", ttl: 10s, write: through}\n"
    "  - {prefix: \"a:\", origin: o, path: \"/a/{rest}\", write: around}\n"
    "origins:\n"
    "  o:\n"
    "    http: {endpoints: [\"http://127.0.0.1:1\"]}\n"
    "    write_delay: 0\n"
    "    write_parallel: 2\n"
    "    write_queue: 64KiB\n";

/* How the last write ended. */
static struct {
	unsigned n;
	enum write_end end;
	bool was_cached;
	char error[64];
} ended;

static void
begin(void)
{
	memset(&ended, 0, sizeof ended);
	setup_with(config_text);
}

static void
on_written(void *arg, enum write_end end, bool was_cached, const char *error)
{
	(void)arg;
	ended.n++;
	ended.end = end;
	ended.was_cached = was_cached;
	snprintf(ended.error, sizeof ended.error, "%s", error != NULL ? error : "");
}

static struct store_write
write_of(const char *key, const char *value)
{
	struct store_write w = { .key = slice_str(key), .remove = value == NULL,
		.value = value != NULL ? slice_str(value) : SLICE("") };

	w.ns = routes_find(store_loop_routes(sl[0]), w.key);
	return w;
}

static int
start_on(unsigned loop, const char *key, const char *value)
{
	struct store_write w = write_of(key, value);

	return store_write_start(sl[loop], &w, on_written, NULL);
}

static void
start(const char *key, const char *value)
{
	ck_assert_int_eq(start_on(0, key, value), 0);
}

/* What the cache alone shows; "" for nothing. */
static const char *
cached(const char *key)
{
	static char text[64];
	struct store_cursor cur;

	text[0] = '\0';
	if (store_open(sl[0], slice_str(key), 0, &cur) == CACHE_HIT)
		snprintf(text, sizeof text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
	store_close(&cur);
	return text;
}

static int64_t
left_ms(const char *key)
{
	struct store_cursor cur;
	int64_t left = -1;

	if (store_open(sl[0], slice_str(key), 0, &cur) == CACHE_HIT)
		left = cur.c.expires_ms == CACHE_NEVER ? 0 : cur.c.expires_ms - loop_now_ms(loops[0]);
	store_close(&cur);
	return left;
}

static void
put(const char *key, const char *value)
{
	ck_assert_int_eq(store_set(sl[0], slice_str(key), slice_str(value), CACHE_NEVER), 0);
}

static void
check_asked(enum origin_op op, const char *key, const char *value)
{
	ck_assert_int_eq(fake_asked()->op, op);
	ck_assert_str_eq(fake_asked()->key, key);
	ck_assert_str_eq(fake_asked()->value, value);
}

/* --- through and around ---------------------------------------------------------------- */

START_TEST(the_cache_shows_a_write_when_the_origin_has_it)
{
	put("t:1", "old");
	start("t:1", "new");
	check_asked(ORIGIN_WRITE, "t:1", "new");
	ck_assert_str_eq(cached("t:1"), "old");
	ck_assert_uint_eq(ended.n, 0);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(ended.n, 1);
	ck_assert_int_eq(ended.end, WRITE_DONE);
	ck_assert_str_eq(cached("t:1"), "new");
	ck_assert_int_eq(left_ms("t:1"), 10000); /* the namespace's ttl */
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(a_time_to_live_goes_to_the_origin_and_counts_from_the_request)
{
	struct store_write w = write_of("t:1", "v");

	w.expires_ms = loop_now_ms(loops[0]) + 5000;
	ck_assert_int_eq(store_write_start(sl[0], &w, on_written, NULL), 0);
	ck_assert_int_eq(fake_asked()->ttl_ms, 5000);
	fake_end(ORIGIN_DONE, false);
	ck_assert_int_eq(left_ms("t:1"), 5000);
}
END_TEST

START_TEST(what_the_origin_refuses_changes_nothing)
{
	put("t:1", "old");
	start("t:1", "new");
	fake_end(ORIGIN_FAILED, true);
	ck_assert_int_eq(ended.end, WRITE_FAILED);
	ck_assert_str_eq(ended.error, "it fails");
	ck_assert_str_eq(cached("t:1"), "old");
}
END_TEST

/* It may have been carried out. */
START_TEST(what_failed_some_other_way_is_asked_for_anew)
{
	static const enum origin_status statuses[] = { ORIGIN_FAILED, ORIGIN_TIMEOUT, ORIGIN_REFUSED };

	put("t:1", "old");
	start("t:1", _i % 2 == 0 ? "new" : NULL);
	fake_end(statuses[_i / 2], false);
	ck_assert_int_eq(ended.end, WRITE_FAILED);
	ck_assert_str_eq(cached("t:1"), "");
}
END_TEST

START_TEST(around_leaves_nothing_in_the_cache)
{
	put("a:1", "old");
	start("a:1", "new");
	ck_assert_str_eq(cached("a:1"), "old");
	fake_end(ORIGIN_DONE, false);
	ck_assert_int_eq(ended.end, WRITE_DONE);
	ck_assert_str_eq(cached("a:1"), "");
}
END_TEST

START_TEST(a_removal_tells_whether_anybody_had_the_key)
{
	start("t:1", NULL);
	check_asked(ORIGIN_REMOVE, "t:1", "");
	fake_end(ORIGIN_NOT_FOUND, false);
	ck_assert_int_eq(ended.end, WRITE_ABSENT);
	ck_assert(!ended.was_cached);
	put("t:1", "v");
	start("t:1", NULL);
	fake_end(ORIGIN_NOT_FOUND, false);
	ck_assert(ended.was_cached);
	ck_assert_str_eq(cached("t:1"), "");
	start("t:1", NULL);
	fake_end(ORIGIN_DONE, false);
	ck_assert_int_eq(ended.end, WRITE_DONE);
}
END_TEST

/* Which of them the origin did last nobody knows. */
START_TEST(of_writes_that_overlap_neither_is_shown)
{
	ck_assert_int_eq(start_on(0, "t:1", "one"), 0);
	ck_assert_int_eq(start_on(1, "t:1", "two"), 0);
	fake_end(ORIGIN_DONE, false);
	ck_assert_str_eq(cached("t:1"), "");
	fake_end(ORIGIN_DONE, false);
	ck_assert_str_eq(cached("t:1"), "");
	start("t:1", "three"); /* alone again */
	fake_end(ORIGIN_DONE, false);
	ck_assert_str_eq(cached("t:1"), "three");
}
END_TEST

static void
on_read(struct store_waiter *w)
{
	ck_assert_int_eq(w->status, FILL_VALUE);
}

/* The origin answered it before it did the write. */
START_TEST(a_fetch_that_was_under_way_does_not_store_over_a_write)
{
	struct store_waiter w = { .done = on_read };
	struct store_cursor cur;

	ck_assert_int_eq(store_get(sl[0], SLICE("t:1"), &cur, &w), STORE_WAITING);
	start("t:1", "new");
	fake_answer("old", 1000); /* stored: the write has not ended */
	ck_assert_str_eq(cached("t:1"), "old");
	fake_end(ORIGIN_DONE, false);
	ck_assert_str_eq(cached("t:1"), "new");

	store_delete(sl[0], SLICE("t:1"));
	start("t:1", "newer");
	ck_assert_int_eq(store_get(sl[0], SLICE("t:1"), &cur, &w), STORE_WAITING);
	fake_end(ORIGIN_DONE, false); /* the write, which is the older */
	fake_answer("old", 1000);
	ck_assert_str_eq(cached("t:1"), "newer");
}
END_TEST

START_TEST(no_more_writes_wait_than_may)
{
	for (int i = 0; i < 8; i++)
		start("t:1", "v");
	ck_assert_int_eq(start_on(0, "t:1", "v"), -EBUSY);
	for (int i = 0; i < 8; i++)
		fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(ended.n, 8);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(an_origin_that_cannot_be_asked_is_a_failure_in_a_later_turn)
{
	fake_refuse(true);
	start("t:1", "v");
	ck_assert_uint_eq(ended.n, 0);
	loop_run_tasks(loops[0]);
	ck_assert_uint_eq(ended.n, 1);
	ck_assert_str_eq(ended.error, "out of memory");
}
END_TEST

START_TEST(without_memory_a_write_is_refused_or_fails)
{
	for (int onwards = 0; onwards < 2; onwards++) {
		bool reached = true;

		for (unsigned long n = 1; reached; n++) {
			int rc;

			ended.n = 0;
			mem_fail_nth(n, onwards);
			rc = start_on(0, "t:1", "v");
			loop_run_tasks(loops[0]);
			reached = mem_fail_seen() >= n;
			mem_fail_nth(0, 0);
			ck_assert(rc == 0 || rc == -ENOMEM);
			if (rc == 0 && ended.n == 0)
				fake_end(ORIGIN_DONE, false);
			ck_assert_uint_eq(ended.n, rc == 0);
			ck_assert_uint_eq(store_waiting(store), 0);
		}
	}
}
END_TEST

/* --- behind -------------------------------------------------------------------------------- */

static int
behind_on(unsigned loop, const char *key, const char *value)
{
	struct store_write w = write_of(key, value);
	bool was_cached;

	return store_write_behind(sl[loop], &w, &was_cached);
}

static void
behind(const char *key, const char *value)
{
	ck_assert_int_eq(behind_on(0, key, value), 0);
}

static uint64_t
queued(void)
{
	struct store_behind b;

	store_behind_status(store, -1, &b);
	ck_assert((b.n == 0) == (b.bytes == 0));
	return b.n;
}

/* Until a loop's lane has sent something. */
static void
run_until_sent(unsigned loop)
{
	fake_stop_on_begin(true);
	loop_run(loops[loop]);
}

START_TEST(the_cache_shows_a_write_behind_at_once)
{
	behind("b:1", "v");
	ck_assert_str_eq(cached("b:1"), "v");
	ck_assert_int_eq(left_ms("b:1"), 10000);
	ck_assert_uint_eq(fake_begun(), 0);
	ck_assert_uint_eq(queued(), 1);
	run_until_sent(0);
	check_asked(ORIGIN_WRITE, "b:1", "v");
	ck_assert_uint_eq(queued(), 1);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
	ck_assert_int_eq(NS(writes), 1);
}
END_TEST

static enum store_answer
get(const char *key, char out[64])
{
	struct store_waiter w = { .done = on_read };
	struct store_cursor cur;
	enum store_answer answer = store_get(sl[0], slice_str(key), &cur, &w);

	out[0] = '\0';
	if (answer != STORE_HIT)
		return answer;
	snprintf(out, 64, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
	store_close(&cur);
	return answer;
}

/* As if it had been evicted. */
static void
forget(const char *key)
{
	struct cache_cursor cur;

	cache_open(store_cache(store), &sl[0]->thread, slice_str(key),
	    store_hash(sl[0], slice_str(key)), 0, &cur);
	cache_remove(&cur);
	cache_close(&cur);
}

START_TEST(a_read_that_misses_finds_what_the_origin_lacks)
{
	char value[64];

	behind("b:1", "v");
	forget("b:1");
	ck_assert_int_eq(get("b:1", value), STORE_HIT);
	ck_assert_str_eq(value, "v");
	ck_assert_str_eq(cached("b:1"), "v");
	ck_assert_int_eq(left_ms("b:1"), 10000);
	behind("b:2", NULL);
	ck_assert_int_eq(get("b:2", value), STORE_MISS);
	ck_assert_uint_eq(fake_begun(), 0);
}
END_TEST

START_TEST(a_newer_write_takes_the_place_of_one_that_waits)
{
	behind("b:1", "one");
	ck_assert_int_eq(behind_on(1, "b:1", "two"), 0); /* of another loop */
	behind("b:1", NULL);
	behind("b:1", "four");
	ck_assert_uint_eq(queued(), 1);
	ck_assert_int_eq(NS(writes_merged), 3);
	run_until_sent(0);
	check_asked(ORIGIN_WRITE, "b:1", "four");
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
	ck_assert_uint_eq(fake_begun(), 1);
}
END_TEST

START_TEST(a_write_that_comes_while_one_is_under_way_is_sent_after_it)
{
	behind("b:1", "one");
	run_until_sent(0);
	behind("b:1", "two");
	ck_assert_uint_eq(fake_open(), 1);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 1);
	run_until_sent(0);
	check_asked(ORIGIN_WRITE, "b:1", "two");
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
}
END_TEST

START_TEST(no_more_are_under_way_than_may_be)
{
	behind("b:1", "v");
	behind("b:2", "v");
	behind("b:3", "v");
	run_until_sent(0);
	while (fake_open() < 2)
		run_until_sent(0);
	ck_assert_uint_eq(fake_begun(), 2);
	fake_end(ORIGIN_DONE, false); /* sends the third */
	ck_assert_uint_eq(fake_begun(), 3);
	fake_end(ORIGIN_DONE, false);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
}
END_TEST

START_TEST(what_failed_is_tried_again)
{
	behind("b:1", "v");
	run_until_sent(0);
	fake_end(ORIGIN_REFUSED, false);
	ck_assert_uint_eq(queued(), 1);
	ck_assert_str_eq(cached("b:1"), "v");
	run_until_sent(0);
	ck_assert_int_eq(NS(write_retries), 1);
	ck_assert_int_eq(NS(write_errors), 1);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
	ck_assert_int_eq(NS(writes_lost), 0);
}
END_TEST

START_TEST(what_the_origin_refuses_is_lost_and_leaves_the_cache)
{
	behind("b:1", "v");
	run_until_sent(0);
	fake_end(ORIGIN_FAILED, true);
	ck_assert_uint_eq(queued(), 0);
	ck_assert_int_eq(NS(writes_lost), 1);
	ck_assert_str_eq(cached("b:1"), "");
	behind("b:2", NULL);
	run_until_sent(0);
	fake_end(ORIGIN_NOT_FOUND, false); /* which is what a removal is for */
	ck_assert_int_eq(NS(writes_lost), 1);
}
END_TEST

START_TEST(of_two_the_newer_is_not_lost_with_the_older)
{
	behind("b:1", "bad");
	run_until_sent(0);
	behind("b:1", "good");
	fake_end(ORIGIN_FAILED, true);
	ck_assert_str_eq(cached("b:1"), "good");
	run_until_sent(0);
	check_asked(ORIGIN_WRITE, "b:1", "good");
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(queued(), 0);
}
END_TEST

START_TEST(a_full_queue_refuses_and_changes_nothing)
{
	static char large[40001];

	memset(large, 'x', sizeof large - 1);
	behind("b:1", large);
	ck_assert_int_eq(behind_on(0, "b:2", large), -ENOBUFS);
	ck_assert_str_eq(cached("b:2"), "");
	ck_assert_int_eq(behind_on(0, "b:1", large), 0); /* takes the place of the first */
	behind("b:2", "small");
	ck_assert_uint_eq(queued(), 2);
	ck_assert_int_eq(NS(writes_refused), 1);
}
END_TEST

static void
count_empty(void *arg)
{
	++*(unsigned *)arg;
}

START_TEST(a_stop_sends_what_waits_and_hears_when_all_is_done)
{
	unsigned empty = 0;

	store_on_behind_empty(store, count_empty, &empty);
	behind("b:1", "v");
	ck_assert_uint_eq(fake_begun(), 0);
	store_behind_hurry(sl[0]);
	ck_assert_uint_eq(fake_begun(), 1);
	ck_assert_uint_eq(empty, 0);
	fake_end(ORIGIN_DONE, false);
	ck_assert_uint_eq(empty, 1);
}
END_TEST

START_TEST(without_memory_a_write_behind_is_refused_or_done)
{
	for (int onwards = 0; onwards < 2; onwards++) {
		bool reached = true;

		for (unsigned long n = 1; reached; n++) {
			int rc;

			mem_fail_nth(n, onwards);
			rc = behind_on(0, "b:1", "v");
			reached = mem_fail_seen() >= n;
			mem_fail_nth(0, 0);
			ck_assert(rc == 0 || rc == -ENOMEM);
			ck_assert_uint_eq(queued(), rc == 0);
			ck_assert_str_eq(cached("b:1"), rc == 0 ? "v" : "");
			if (rc != 0)
				continue;
			run_until_sent(0);
			fake_end(ORIGIN_DONE, false);
			forget("b:1");
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("write");
	TCase *tc = tcase_create("failures");

	SUITE_ADD_FIXTURE(s, "through", begin, teardown,
	    the_cache_shows_a_write_when_the_origin_has_it,
	    a_time_to_live_goes_to_the_origin_and_counts_from_the_request,
	    what_the_origin_refuses_changes_nothing, around_leaves_nothing_in_the_cache,
	    a_removal_tells_whether_anybody_had_the_key, of_writes_that_overlap_neither_is_shown,
	    a_fetch_that_was_under_way_does_not_store_over_a_write, no_more_writes_wait_than_may,
	    an_origin_that_cannot_be_asked_is_a_failure_in_a_later_turn,
	    without_memory_a_write_is_refused_or_fails);
	SUITE_ADD_FIXTURE(s, "behind", begin, teardown, the_cache_shows_a_write_behind_at_once,
	    a_read_that_misses_finds_what_the_origin_lacks,
	    a_newer_write_takes_the_place_of_one_that_waits,
	    a_write_that_comes_while_one_is_under_way_is_sent_after_it,
	    no_more_are_under_way_than_may_be, what_failed_is_tried_again,
	    what_the_origin_refuses_is_lost_and_leaves_the_cache,
	    of_two_the_newer_is_not_lost_with_the_older, a_full_queue_refuses_and_changes_nothing,
	    a_stop_sends_what_waits_and_hears_when_all_is_done,
	    without_memory_a_write_behind_is_refused_or_done);
	tcase_add_checked_fixture(tc, begin, teardown);
	tcase_add_loop_test(tc, what_failed_some_other_way_is_asked_for_anew, 0, 6);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
