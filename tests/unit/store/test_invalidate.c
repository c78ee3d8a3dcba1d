/* Invalidation step by step: what a walk removes, and what fetches and leases that are
 * under way may still do. Loops do not run; the walker steps when the test says so. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "store/invalidate.h"
#include "store/meta.h"
#include "unit/store/fixture.h"

/* --- who asks -------------------------------------------------------------------- */

struct asker {
	unsigned answers;
	uint64_t keys;
};

static void
on_invalidated(void *arg, uint64_t keys)
{
	struct asker *a = arg;

	a->answers++;
	a->keys = keys;
}

static struct invalidation *
request(unsigned loop, bool soft, enum invalidate_by by, const char *name)
{
	struct invalidation *inv = invalidation_new(sl[loop], soft);

	ck_assert_ptr_nonnull(inv);
	ck_assert_int_eq(invalidation_add(inv, by, slice_str(name)), 0);
	return inv;
}

static struct invalidation *
start(struct asker *a, unsigned loop, bool soft, const char *prefix)
{
	struct invalidation *inv = request(loop, soft, INVALIDATE_PREFIX, prefix);

	*a = (struct asker){ 0 };
	ck_assert_int_eq(invalidation_start(inv, on_invalidated, a), 0);
	return inv;
}

/* Until the table of what is pending is behind it. */
static void
pass_stripes(void)
{
	do {
		ck_assert_int_eq(walker_step(&store->walker), 0);
	} while (store->walker.stripe < STRIPES);
}

static void
walk_to_the_end(void)
{
	while (store->walker.by != NULL)
		walker_step(&store->walker);
	for (unsigned i = 0; i < LOOPS; i++)
		loop_run_tasks(loops[i]);
}

static uint64_t
invalidated(bool soft, const char *prefix)
{
	struct asker a;

	start(&a, 0, soft, prefix);
	ck_assert_uint_eq(a.answers, 0);
	walk_to_the_end();
	ck_assert_uint_eq(a.answers, 1);
	return a.keys;
}

/* --- values ------------------------------------------------------------------------ */

static void
set(const char *key, const char *value)
{
	ck_assert_int_eq(store_set(sl[0], slice_str(key), slice_str(value), CACHE_NEVER), 0);
}

static bool
has(const char *key)
{
	struct store_cursor cur;
	bool there = store_open(sl[0], slice_str(key), 0, &cur) == CACHE_HIT;

	store_close(&cur);
	return there;
}

static bool
has_stale(const char *key)
{
	struct store_cursor cur;
	bool stale = store_open(sl[0], slice_str(key), 0, &cur) == CACHE_MISS &&
	    cache_take_stale(&cur.c);

	store_close(&cur);
	return stale;
}

START_TEST(a_hard_prefix_removes_what_begins_so_and_nothing_else)
{
	set("a:1", "v");
	set("a:2", "v");
	set("a", "v");
	set("b:1", "v");
	ck_assert_uint_eq(invalidated(false, "a:"), 2);
	ck_assert(!has("a:1") && !has("a:2") && has("a") && has("b:1"));
	ck_assert_uint_eq(invalidated(false, "a:"), 0);
	ck_assert_uint_eq(invalidated(false, ""), 2);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
	ck_assert_int_eq(counter_get(&stats[0].ns[0].invalidated), 4);
}
END_TEST

START_TEST(a_soft_prefix_makes_stale_where_there_is_a_grace)
{
	set("news:1", "v");
	set("other", "v");
	ck_assert_uint_eq(invalidated(true, ""), 2);
	ck_assert(has_stale("news:1") && !has_stale("other"));
	ck_assert_uint_eq(cache_count(store_cache(store)), 1);
	ck_assert_uint_eq(invalidated(true, ""), 0);
	ck_assert(has_stale("news:1"));
}
END_TEST

START_TEST(hard_removes_what_is_stale_and_does_not_count_it)
{
	set("news:1", "v");
	ck_assert_uint_eq(invalidated(true, "news:"), 1);
	ck_assert_uint_eq(invalidated(false, "news:"), 0);
	ck_assert(!has_stale("news:1"));
}
END_TEST

START_TEST(one_key_is_done_at_once)
{
	set("news:1", "v");
	ck_assert(store_invalidate(sl[1], SLICE("news:1"), true));
	ck_assert(has_stale("news:1"));
	ck_assert(!store_invalidate(sl[1], SLICE("news:1"), true));
	ck_assert(has_stale("news:1"));
	ck_assert(!store_invalidate(sl[1], SLICE("news:1"), false));
	ck_assert(!has_stale("news:1"));
	set("k", "v");
	ck_assert(store_invalidate(sl[1], SLICE("k"), false));
	ck_assert(!has("k"));
	ck_assert(!store_invalidate(sl[1], SLICE("k"), false));
}
END_TEST

START_TEST(of_many_keys_each_that_matches_goes)
{
	char key[32];

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%c:%u", i % 4 == 0 ? 'a' : 'b', i);
		set(key, "value");
	}
	ck_assert_uint_eq(invalidated(false, "a:"), 5000);
	ck_assert_uint_eq(cache_count(store_cache(store)), 15000);
	ck_assert(has("b:1") && !has("a:0"));
}
END_TEST

START_TEST(hard_beats_soft_and_each_request_counts_a_key_once)
{
	struct invalidation *two = request(0, true, INVALIDATE_PREFIX, "news:");
	struct asker soft = { 0 }, hard;

	set("news:1", "v");
	set("news:2", "v");
	ck_assert_int_eq(invalidation_add(two, INVALIDATE_PREFIX, SLICE("news:1")), 0);
	ck_assert_int_eq(invalidation_add(two, INVALIDATE_PREFIX, SLICE("news:1")), 0);
	ck_assert_int_eq(invalidation_start(two, on_invalidated, &soft), 0);
	start(&hard, 1, false, "news:2");
	walk_to_the_end();
	ck_assert_uint_eq(soft.keys, 2);
	ck_assert_uint_eq(hard.keys, 1);
	ck_assert(has_stale("news:1") && !has_stale("news:2"));
	ck_assert_uint_eq(store->walker.walks, 1);
}
END_TEST

/* --- tags --------------------------------------------------------------------------- */

/* A value as an origin's answer makes it. */
static void
set_tagged(const char *key, const char *tags, enum meta_kind kind, int64_t expires_ms,
    int64_t stale_ms)
{
	unsigned char record[META_MAX];
	uint32_t room[META_TAGS_MAX];
	struct store_cursor cur;
	struct meta m;

	meta_init(&m);
	m.kind = kind;
	meta_set_tags(&m, slice_str(tags), room);
	store_open(sl[0], slice_str(key), STORE_WRITE, &cur);
	ck_assert_int_eq(cache_put_record(&cur.c, SLICE("v"), expires_ms, stale_ms,
	    slice_of(record, meta_encode(&m, record))), 0);
	store_close(&cur);
}

static uint64_t
invalidated_tag(bool soft, const char *tag)
{
	struct asker a = { 0 };

	ck_assert_int_eq(invalidation_start(request(0, soft, INVALIDATE_TAG, tag), on_invalidated,
	    &a), 0);
	walk_to_the_end();
	ck_assert_uint_eq(a.answers, 1);
	return a.keys;
}

START_TEST(a_tag_removes_what_has_it)
{
	set_tagged("a", "red blue", META_VALUE, CACHE_NEVER, 0);
	set_tagged("b", "blue,green", META_VALUE, CACHE_NEVER, 0);
	set_tagged("c", "green", META_VALUE, CACHE_NEVER, 0);
	set("red", "v");
	ck_assert_uint_eq(invalidated_tag(false, "red"), 1);
	ck_assert(!has("a") && has("b") && has("c") && has("red"));
	ck_assert_uint_eq(invalidated_tag(false, "gree"), 0);
	ck_assert_uint_eq(invalidated_tag(false, "green"), 2);
	ck_assert_uint_eq(cache_count(store_cache(store)), 1);
}
END_TEST

START_TEST(softly_a_tag_leaves_stale_values_with_their_tags)
{
	int64_t ends_ms = sl[0]->thread.now_ms + 60000;

	set_tagged("a", "red", META_VALUE, ends_ms, 60000);
	ck_assert_uint_eq(invalidated_tag(true, "red"), 1);
	ck_assert(has_stale("a"));
	ck_assert_uint_eq(invalidated_tag(true, "red"), 0);
	ck_assert(has_stale("a"));
	ck_assert_uint_eq(invalidated_tag(false, "red"), 0);
	ck_assert(!has_stale("a"));
}
END_TEST

START_TEST(remembered_negatives_go_also_softly)
{
	int64_t now_ms = sl[0]->thread.now_ms;

	for (int by = 0; by < 3; by++) {
		set_tagged("user:1", "red", META_NEGATIVE, now_ms, 60000);
		ck_assert(has_stale("user:1"));
		if (by == 0)
			ck_assert(!store_invalidate(sl[0], SLICE("user:1"), true));
		else if (by == 1)
			ck_assert_uint_eq(invalidated(true, "user:"), 0);
		else
			ck_assert_uint_eq(invalidated_tag(true, "red"), 0);
		ck_assert(!has_stale("user:1"));
	}
}
END_TEST

START_TEST(with_more_tags_than_are_kept_a_value_has_each)
{
	char tags[META_TAGS_MAX * 6] = "";

	for (unsigned i = 0; i <= META_TAGS_MAX; i++)
		sprintf(tags + strlen(tags), "t%u ", i);
	set_tagged("a", tags, META_VALUE, CACHE_NEVER, 0);
	ck_assert_uint_eq(invalidated_tag(false, "another"), 1);
	ck_assert(!has("a"));
}
END_TEST

/* --- sharing --------------------------------------------------------------------------- */

START_TEST(requests_before_a_walk_share_it_and_later_ones_the_next)
{
	struct asker first, second, later[3];

	set("a", "v");
	start(&first, 0, false, "a");
	start(&second, 1, false, "b");
	ck_assert_int_eq(walker_step(&store->walker), 0);
	set("c", "v");
	for (unsigned i = 0; i < 3; i++)
		start(&later[i], i % LOOPS, false, "c");
	while (store->walker.walks == 1)
		ck_assert_int_eq(walker_step(&store->walker), 0);
	for (unsigned i = 0; i < LOOPS; i++)
		loop_run_tasks(loops[i]);
	ck_assert_uint_eq(first.answers, 1);
	ck_assert_uint_eq(second.answers, 1);
	ck_assert_uint_eq(later[0].answers, 0);
	walk_to_the_end();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(later[i].answers, 1);
		ck_assert_uint_eq(later[i].keys, 1);
	}
	ck_assert_uint_eq(store->walker.walks, 2);
	ck_assert_ptr_null(store->walker.by);
	ck_assert_uint_eq(store->walker.n_names, 0);
	ck_assert_uint_eq(store->walker.bytes, 0);
}
END_TEST

START_TEST(another_loop_may_do_the_next_walk)
{
	struct asker a;

	set("a", "v");
	ck_assert_uint_eq(invalidated(false, "x"), 0);
	start(&a, 1, false, "a");
	ck_assert_ptr_eq(store->walker.by, sl[1]);
	walk_to_the_end();
	ck_assert_uint_eq(a.keys, 1);
}
END_TEST

static void
stop_loop(void *arg, uint64_t keys)
{
	on_invalidated(arg, keys);
	loop_stop(loops[0]);
}

START_TEST(a_loop_that_runs_walks_by_itself)
{
	struct asker a = { 0 };

	set("a", "v");
	ck_assert_int_eq(invalidation_start(request(0, false, INVALIDATE_PREFIX, "a"), stop_loop,
	    &a), 0);
	loop_run(loops[0]);
	ck_assert_uint_eq(a.keys, 1);
	ck_assert(!has("a"));
}
END_TEST

START_TEST(who_leaves_is_not_called_but_it_is_done)
{
	struct asker a;

	set("a", "v");
	invalidation_leave(start(&a, 0, false, "a"));
	walk_to_the_end();
	ck_assert_uint_eq(a.answers, 0);
	ck_assert(!has("a"));
}
END_TEST

START_TEST(a_store_may_end_while_requests_wait)
{
	struct asker a, b;

	set("a", "v");
	start(&a, 0, false, "a");
	walker_step(&store->walker);
	start(&b, 1, false, "a");
	ck_assert_uint_eq(a.answers + b.answers, 0);
}
END_TEST

/* --- limits ------------------------------------------------------------------------------ */

START_TEST(what_may_be_on_its_way_is_bounded)
{
	struct invalidation *most = invalidation_new(sl[0], false), *more;
	struct asker a = { 0 };

	for (unsigned i = 0; i < INVALIDATE_PATTERNS_MAX; i++)
		ck_assert_int_eq(invalidation_add(most, INVALIDATE_TAG, SLICE("t")), 0);
	ck_assert_int_eq(invalidation_add(most, INVALIDATE_TAG, SLICE("t")), -E2BIG);
	ck_assert_int_eq(invalidation_start(most, on_invalidated, &a), 0);
	more = request(1, false, INVALIDATE_PREFIX, "a");
	ck_assert_int_eq(invalidation_start(more, on_invalidated, &a), -EBUSY);
	walk_to_the_end();
	ck_assert_uint_eq(a.answers, 1);
	ck_assert_int_eq(invalidation_start(more, on_invalidated, &a), 0);
	walk_to_the_end();
	ck_assert_uint_eq(a.answers, 2);
}
END_TEST

START_TEST(long_prefixes_are_bounded_by_their_bytes)
{
	static char text[INVALIDATE_BYTES_MAX + 1];
	struct invalidation *inv = invalidation_new(sl[0], false);

	memset(text, 'x', sizeof text);
	ck_assert_int_eq(invalidation_add(inv, INVALIDATE_PREFIX, slice_of(text, sizeof text)),
	    -E2BIG);
	ck_assert_int_eq(invalidation_add(inv, INVALIDATE_PREFIX,
	    slice_of(text, INVALIDATE_BYTES_MAX / 2)), 0);
	ck_assert_int_eq(invalidation_add(inv, INVALIDATE_PREFIX,
	    slice_of(text, INVALIDATE_BYTES_MAX / 2)), -E2BIG);
	invalidation_free(inv);
}
END_TEST

START_TEST(without_memory_a_request_fails_and_a_walk_waits)
{
	struct asker a;

	set("a", "v");
	mem_fail_nth(1, 0);
	ck_assert_ptr_null(invalidation_new(sl[0], false));
	mem_fail_nth(0, 0);
	for (unsigned nth = 1; nth <= 3; nth++) {
		start(&a, 0, false, "a");
		mem_fail_nth(nth, 0);
		while (walker_step(&store->walker) >= 0)
			;
		mem_fail_nth(0, 0);
		walk_to_the_end();
		ck_assert_uint_eq(a.keys, nth == 1 ? 1 : 0);
		ck_assert(!has("a"));
	}
}
END_TEST

START_TEST(confined_it_touches_only_those_namespaces)
{
	struct invalidation *inv = request(0, false, INVALIDATE_PREFIX, "");
	uint64_t namespaces[CONFIG_NAMESPACES_MAX / 64] = { 1u << 3 }; /* "news:" */
	struct asker a = { 0 };

	set("news:1", "v");
	set("newsletter", "v");
	invalidation_confine(inv, namespaces);
	ck_assert_int_eq(invalidation_start(inv, on_invalidated, &a), 0);
	walk_to_the_end();
	ck_assert_uint_eq(a.keys, 1);
	ck_assert(!has("news:1") && has("newsletter"));
}
END_TEST

/* --- what is under way -------------------------------------------------------------------- */

struct client {
	struct store_waiter w;
	struct store_holder holder;
	unsigned answers;
	enum fill_status status;
};

static void
on_done(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->answers++;
	c->status = w->status;
}

static enum store_answer
get(struct client *c, unsigned loop, const char *key)
{
	struct store_cursor cur;
	enum store_answer a;

	c->answers = 0;
	c->w.done = on_done;
	a = store_get(sl[loop], slice_str(key), &cur, &c->w);
	if (a == STORE_HIT || a == STORE_STALE)
		store_close(&cur);
	return a;
}

START_TEST(a_fetch_that_began_before_is_answered_and_not_stored)
{
	struct client c = { 0 };
	struct asker a;

	for (int soft = 0; soft <= 1; soft++) {
		ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
		start(&a, 1, soft, "user:");
		pass_stripes();
		fake_answer("old", ORIGIN_TTL_UNSAID);
		ck_assert_int_eq(c.status, FILL_VALUE);
		ck_assert(!has("user:1"));
		walk_to_the_end();
		ck_assert_uint_eq(a.answers, 1);
		ck_assert(!has("user:1"));
	}
	ck_assert_int_eq(NS(fetch_discarded), 2);
}
END_TEST

START_TEST(a_fetch_that_lands_after_the_walk_is_not_stored)
{
	struct client c = { 0 };

	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(invalidated(false, "user:"), 0);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(c.status, FILL_VALUE);
	ck_assert(!has("user:1"));
}
END_TEST

START_TEST(a_fetch_that_lands_before_the_walk_begins_is_removed_by_it)
{
	struct client c = { 0 };
	struct asker a;

	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	start(&a, 1, false, "user:");
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert(has("user:1"));
	walk_to_the_end();
	ck_assert_uint_eq(a.keys, 1);
	ck_assert(!has("user:1"));
}
END_TEST

START_TEST(who_asks_during_the_walk_starts_a_fetch_of_his_own_that_is_stored_after_it)
{
	struct client before = { 0 }, during = { 0 };
	struct asker a;

	ck_assert_int_eq(get(&before, 0, "user:1"), STORE_WAITING);
	start(&a, 1, false, "user:");
	pass_stripes();
	ck_assert_int_eq(get(&during, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(fake_begun(), 2);
	walk_to_the_end();
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert(!has("user:1"));
	ck_assert_uint_eq(during.answers, 0);
	fake_answer("new", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(during.answers, 1);
	ck_assert(has("user:1"));
}
END_TEST

START_TEST(fetches_of_other_keys_go_on)
{
	struct client c = { 0 };

	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	ck_assert_uint_eq(invalidated(false, "user:2"), 0);
	fake_answer("v", ORIGIN_TTL_UNSAID);
	ck_assert(has("user:1"));
}
END_TEST

/* Lands a fetch of user:1 with tags "red blue", begun before a walk for `tag` is asked for:
 * whether it was stored in the end. */
static bool
is_kept(const char *tag, bool before_stripes, bool after_walk)
{
	struct client c = { 0 };
	struct asker a = { 0 };

	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	ck_assert_int_eq(invalidation_start(request(1, false, INVALIDATE_TAG, tag), on_invalidated,
	    &a), 0);
	if (!before_stripes)
		pass_stripes();
	if (after_walk)
		walk_to_the_end();
	fake_answer_tagged("v", 10000, "red blue");
	ck_assert_int_eq(c.status, FILL_VALUE);
	if (!after_walk)
		walk_to_the_end();
	return has("user:1");
}

START_TEST(a_fetch_whose_tag_was_invalidated_since_it_began_is_not_stored)
{
	ck_assert(!is_kept("red", true, false));
	ck_assert(!is_kept("red", false, false));
	ck_assert(!is_kept("blue", false, true));
	ck_assert(is_kept("green", false, true));
	ck_assert_int_eq(NS(fetch_discarded), 2);
}
END_TEST

START_TEST(a_fetch_that_began_after_is_stored_whatever_was_invalidated_before)
{
	struct client c = { 0 };

	invalidated_tag(false, "red");
	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	fake_answer_tagged("v", 10000, "red");
	ck_assert(has("user:1"));
}
END_TEST

START_TEST(more_tags_than_are_noted_count_as_all)
{
	struct invalidation *inv;
	struct asker a = { 0 };
	struct client c = { 0 };

	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	inv = request(0, false, INVALIDATE_TAG, "t");
	for (unsigned i = 0; i < RECENT_TAGS; i++)
		ck_assert_int_eq(invalidation_add(inv, INVALIDATE_TAG, SLICE("t")), 0);
	ck_assert_int_eq(invalidation_start(inv, on_invalidated, &a), 0);
	walk_to_the_end();
	fake_answer_tagged("v", 10000, "red");
	ck_assert(!has("user:1"));
	ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
	fake_answer_tagged("v", 10000, "red");
	ck_assert(has("user:1"));
}
END_TEST

START_TEST(one_key_detaches_its_fetch)
{
	struct client c = { 0 };

	for (int soft = 0; soft <= 1; soft++) {
		ck_assert_int_eq(get(&c, 0, "user:1"), STORE_WAITING);
		ck_assert(!store_invalidate(sl[1], SLICE("user:1"), soft));
		fake_answer("old", ORIGIN_TTL_UNSAID);
		ck_assert(!has("user:1"));
	}
}
END_TEST

/* Takes the lease of a key by the explicit form. */
static void
take_lease(struct client *c, const char *key)
{
	store_holder_init(&c->holder);
	c->w.holder = &c->holder;
	c->w.wants_token = true;
	ck_assert_int_eq(get(c, 0, key), STORE_MISS);
	ck_assert(c->w.granted);
}

static bool
lease_stands(const char *key, uint64_t token)
{
	struct store_cursor cur;
	bool stands;

	store_open(sl[0], slice_str(key), STORE_WRITE, &cur);
	stands = store_lease_stands(&cur, token);
	store_close(&cur);
	return stands;
}

START_TEST(leases_of_its_keys_are_void_and_those_of_others_stand)
{
	struct client here = { 0 }, other = { 0 };

	take_lease(&here, "news:1");
	take_lease(&other, "page:1");
	ck_assert_uint_eq(invalidated(true, "news:"), 0);
	ck_assert(!lease_stands("news:1", here.w.token));
	ck_assert(lease_stands("page:1", other.w.token));
	store_holder_gone(&here.holder);
	store_holder_gone(&other.holder);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("invalidate");

	SUITE_ADD_FIXTURE(s, "values", setup, teardown,
	    a_hard_prefix_removes_what_begins_so_and_nothing_else,
	    a_soft_prefix_makes_stale_where_there_is_a_grace,
	    hard_removes_what_is_stale_and_does_not_count_it, one_key_is_done_at_once,
	    of_many_keys_each_that_matches_goes,
	    hard_beats_soft_and_each_request_counts_a_key_once);
	SUITE_ADD_FIXTURE(s, "tags", setup, teardown, a_tag_removes_what_has_it,
	    softly_a_tag_leaves_stale_values_with_their_tags, remembered_negatives_go_also_softly,
	    with_more_tags_than_are_kept_a_value_has_each);
	SUITE_ADD_FIXTURE(s, "requests", setup, teardown,
	    requests_before_a_walk_share_it_and_later_ones_the_next,
	    another_loop_may_do_the_next_walk, a_loop_that_runs_walks_by_itself,
	    who_leaves_is_not_called_but_it_is_done, a_store_may_end_while_requests_wait,
	    what_may_be_on_its_way_is_bounded, long_prefixes_are_bounded_by_their_bytes,
	    without_memory_a_request_fails_and_a_walk_waits,
	    confined_it_touches_only_those_namespaces);
	SUITE_ADD_FIXTURE(s, "under way", setup, teardown,
	    a_fetch_that_began_before_is_answered_and_not_stored,
	    a_fetch_that_lands_after_the_walk_is_not_stored,
	    a_fetch_that_lands_before_the_walk_begins_is_removed_by_it,
	    who_asks_during_the_walk_starts_a_fetch_of_his_own_that_is_stored_after_it,
	    fetches_of_other_keys_go_on,
	    a_fetch_whose_tag_was_invalidated_since_it_began_is_not_stored,
	    a_fetch_that_began_after_is_stored_whatever_was_invalidated_before,
	    more_tags_than_are_noted_count_as_all, one_key_detaches_its_fetch,
	    leases_of_its_keys_are_void_and_those_of_others_stand);
	return suite_main(s);
}
