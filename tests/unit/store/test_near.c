/* How long what was read from a shared tier is believed, and what its invalidations do
 * to the cache. */
#include "config.h"

#include "unit/suite.h"

#include "base/mem.h"
#include "store/near_walk.h"
#include "unit/store/fixture.h"

static const struct near_opts opts = { .unverified_max_ms = 600, .revalidate_per_s = 10 };

static struct near *near;
static struct near_loss back;

static void
near_setup(void)
{
	setup();
	ck_assert_int_eq(store_near(store, 0, &opts, &near), 0);
}

/* --- arithmetic --------------------------------------------------------------------- */

START_TEST(verified_fetch_is_kept_as_long_as_the_tier_allows)
{
	uint64_t begun = 0;

	near_verified(near, 100, &back);
	begun = near_begin(near);
	ck_assert_int_eq(near_expiry(near, begun, 1000, CACHE_NEVER), CACHE_NEVER);
	ck_assert_int_eq(near_expiry(near, begun, 1000, 900001), 900001);
}
END_TEST

START_TEST(fetch_without_a_channel_is_believed_from_its_beginning_on)
{
	uint64_t begun = near_begin(near);

	ck_assert_int_eq(near_expiry(near, begun, 1000, CACHE_NEVER), 1600);
	ck_assert_int_eq(near_expiry(near, begun, 1000, 5000), 1600);
	ck_assert_int_eq(near_expiry(near, begun, 1000, 1101), 1100);
	/* That the channel is there at its end says nothing of its beginning: a read that
	 * begins now is better. */
	near_verified(near, 100, &back);
	ck_assert_int_eq(near_expiry(near, begun, 1000, CACHE_NEVER), NEAR_NOT_KEPT);
}
END_TEST

START_TEST(fetch_that_saw_a_loss_is_not_verified_by_the_next_channel)
{
	struct near_loss loss;
	uint64_t begun = 0;

	near_verified(near, 100, &back);
	begun = near_begin(near);
	ck_assert(near_lost(near, 900, 1100, &loss));
	near_verified(near, 100, &back);
	ck_assert_int_eq(near_expiry(near, begun, 1000, CACHE_NEVER), NEAR_NOT_KEPT);
}
END_TEST

START_TEST(loss_gives_what_was_verified_its_time_from_the_last_proof)
{
	struct near_loss loss;

	ck_assert(!near_lost(near, 900, 1000, &loss));
	near_verified(near, 100, &back);
	ck_assert(near_lost(near, 900, 1000, &loss));
	ck_assert_int_eq(loss.lost_ms % 2, 1);
	ck_assert_int_eq(loss.until_ms, 1500);
	ck_assert(near_may_serve(near, loss.lost_ms, 1499));
	ck_assert(!near_may_serve(near, loss.lost_ms, 1500));
	ck_assert(!near_may_serve(near, loss.lost_ms - 2, 1100));
	ck_assert(!near_may_serve(near, loss.lost_ms + 1, 1100));
}
END_TEST

START_TEST(each_loss_has_a_name_of_its_own_in_the_same_millisecond_too)
{
	struct near_loss a, b;

	near_verified(near, 100, &back);
	ck_assert(near_lost(near, 900, 1000, &a));
	near_verified(near, 100, &back);
	ck_assert(near_lost(near, 950, 1000, &b));
	ck_assert_int_ne(a.lost_ms, b.lost_ms);
	ck_assert(!near_may_serve(near, a.lost_ms, 1520));
	ck_assert(near_may_serve(near, b.lost_ms, 1520));
}
END_TEST

START_TEST(loss_that_is_forgotten_lets_nothing_be_served)
{
	struct near_loss first, loss;

	near_verified(near, 100, &back);
	ck_assert(near_lost(near, 1000, 1000, &first));
	for (int i = 0; i < 16; i++) {
		near_verified(near, 100, &back);
		ck_assert(near_lost(near, 1000, 1001, &loss));
	}
	ck_assert(!near_may_serve(near, first.lost_ms, 1002));
	ck_assert(near_may_serve(near, loss.lost_ms, 1002));
}
END_TEST

START_TEST(revalidation_keeps_to_its_rate)
{
	struct near_counts counts;
	unsigned n = 0;

	for (int64_t t = 10000; t < 12000; t++)
		n += near_may_refresh(near, t);
	ck_assert_uint_ge(n, 19);
	ck_assert_uint_le(n, 21);
	near_counts(near, &counts);
	ck_assert_uint_eq(counts.refreshed, n);
	ck_assert_uint_eq(counts.deferred, 2000 - n);
}
END_TEST

START_TEST(reload_changes_how_long_and_keeps_what_is_known)
{
	struct near_opts other = { .unverified_max_ms = 50, .revalidate_per_s = 1 };
	struct near *same = NULL;

	near_verified(near, 100, &back);
	ck_assert_int_eq(store_near(store, 0, &other, &same), 0);
	ck_assert_ptr_eq(same, near);
	ck_assert(near_is_verified(near));
	near_moved(near);
	ck_assert(!near_is_verified(near));
	ck_assert(near_take_moved(near));
	ck_assert(!near_take_moved(near));
	ck_assert_int_eq(near_expiry(near, 0, 1000, CACHE_NEVER), 1050);
}
END_TEST

/* --- the cache ------------------------------------------------------------------------- */

static bool
is_there(const char *key)
{
	struct store_cursor cur;
	bool hit = store_open(sl[0], slice_str(key), 0, &cur) == CACHE_HIT;

	store_close(&cur);
	return hit;
}

/* When it expired, of what is stale; 0: it is not. */
static int64_t
stale_since(const char *key)
{
	struct store_cursor cur;
	int64_t since_ms = 0;

	if (store_open(sl[0], slice_str(key), 0, &cur) == CACHE_MISS &&
	    cache_take_stale(&cur.c))
		since_ms = cur.c.expires_ms;
	store_close(&cur);
	return since_ms;
}

static void
set(const char *key, int64_t expires_ms)
{
	ck_assert_int_eq(store_set(sl[0], slice_str(key), SLICE("value"), expires_ms), 0);
}

static void
walk(struct near_walk *w)
{
	while (near_walk_step(w, sl[0]))
		continue;
	ck_assert(near_walk_is_done(w));
	near_walk_fini(w);
}

START_TEST(invalidation_removes_keys_of_its_tier_alone)
{
	set("user:1", CACHE_NEVER);
	set("page:1", CACHE_NEVER);
	ck_assert(near_invalidate(sl[0], 0, SLICE("user:1")));
	ck_assert(!near_invalidate(sl[0], 0, SLICE("page:1")));
	ck_assert(!near_invalidate(sl[0], 1, SLICE("user:1")));
	ck_assert(!is_there("user:1"));
	ck_assert(is_there("page:1"));
}
END_TEST

START_TEST(flush_of_the_tier_takes_all_of_its_keys_and_what_is_stale)
{
	struct near_walk w;
	struct store_cursor cur;
	char key[32];

	near_walk_init(&w, 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "user:%d", i);
		set(key, CACHE_NEVER);
	}
	set("page:1", CACHE_NEVER);
	store_open(sl[0], SLICE("user:7"), 0, &cur);
	ck_assert(cache_soften(&cur.c, 100000));
	store_close(&cur);
	near_walk_drop(&w, sl[0]);
	walk(&w);
	ck_assert_uint_eq(cache_count(store_cache(store)), 1);
	ck_assert(is_there("page:1"));
}
END_TEST

START_TEST(loss_makes_stale_what_was_verified_and_leaves_what_ends_sooner)
{
	int64_t now_ms = sl[0]->thread.now_ms;
	struct near_loss loss;
	struct near_walk w;

	near_walk_init(&w, 0);
	near_verified(near, 100, &back);
	set("user:1", CACHE_NEVER);
	set("user:2", now_ms + 100000);
	set("user:3", now_ms + 200);
	set("page:1", CACHE_NEVER);
	ck_assert(near_lost(near, now_ms, now_ms, &loss));
	near_walk_soften(&w, &loss);
	walk(&w);
	store_loop_set_now(sl[0], now_ms + 10);
	ck_assert_int_eq(stale_since("user:1"), loss.lost_ms);
	ck_assert_int_eq(stale_since("user:2"), loss.lost_ms);
	ck_assert(is_there("user:3"));
	ck_assert(is_there("page:1"));
	store_loop_set_now(sl[0], now_ms + 601);
	ck_assert_int_eq(stale_since("user:1"), 0);
}
END_TEST

START_TEST(channel_that_is_back_makes_stale_what_was_read_without_it)
{
	int64_t now_ms = sl[0]->thread.now_ms;
	struct near_walk w;

	near_walk_init(&w, 0);
	set("user:1", CACHE_NEVER);
	set("user:2", now_ms + 100000);
	set("user:3", now_ms + 200);
	ck_assert(near_verified(near, now_ms, &back));
	ck_assert(!near_verified(near, now_ms, &back));
	near_walk_soften(&w, &back);
	walk(&w);
	store_loop_set_now(sl[0], now_ms + 10);
	ck_assert(is_there("user:1"));
	ck_assert(is_there("user:2"));
	ck_assert_int_eq(stale_since("user:3"), back.lost_ms);
	ck_assert(near_may_serve(near, back.lost_ms, now_ms + 10));
	store_loop_set_now(sl[0], now_ms + 202);
	ck_assert_int_eq(stale_since("user:3"), 0);
}
END_TEST

START_TEST(loss_drops_all_where_nothing_unverified_may_be_served)
{
	struct near_opts none = { .unverified_max_ms = 0, .revalidate_per_s = 1 };
	int64_t now_ms = sl[0]->thread.now_ms;
	struct near_loss loss;
	struct near_walk w;

	near_walk_init(&w, 0);
	near_configure(near, &none);
	near_verified(near, 100, &back);
	set("user:1", CACHE_NEVER);
	ck_assert(near_lost(near, now_ms, now_ms, &loss));
	near_walk_soften(&w, &loss);
	walk(&w);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

START_TEST(channel_that_is_lost_again_and_again_drops_all)
{
	int64_t now_ms = sl[0]->thread.now_ms;
	struct near_loss loss = { now_ms | 1, now_ms + 600, false };
	struct near_walk w;

	near_walk_init(&w, 0);
	set("user:1", CACHE_NEVER);
	for (int i = 0; i <= NEAR_WALKS; i++)
		near_walk_soften(&w, &loss);
	walk(&w);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

START_TEST(walk_goes_on_when_there_is_memory_again)
{
	struct near_walk w;

	near_walk_init(&w, 0);
	set("user:1", CACHE_NEVER);
	near_walk_drop(&w, sl[0]);
	mem_fail_nth(1, 0);
	while (near_walk_step(&w, sl[0]))
		continue;
	mem_fail_nth(0, 0);
	near_walk_fini(&w);
	ck_assert_uint_eq(cache_count(store_cache(store)), 0);
}
END_TEST

/* --- flights ------------------------------------------------------------------------------ */

struct client {
	struct store_waiter w;
	unsigned answers;
	enum fill_status status;
	char text[16];
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
}

static void
on_left(struct store_waiter *w)
{
	container_of(w, struct client, w)->answers++;
}

static enum store_answer
get(struct client *c, unsigned loop)
{
	struct store_cursor cur;
	enum store_answer a = STORE_MISS;

	memset(c, 0, sizeof *c);
	c->w.done = on_done;
	a = store_get(sl[loop], SLICE("user:1"), &cur, &c->w);
	if (a == STORE_HIT)
		store_close(&cur);
	return a;
}

START_TEST(reply_that_an_invalidation_overtook_is_answered_and_not_stored)
{
	struct client a;

	near_verified(near, 100, &back);
	ck_assert_int_eq(get(&a, 0), STORE_WAITING);
	ck_assert(near_invalidate(sl[1], 0, SLICE("user:1")));
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_str_eq(a.text, "old");
	ck_assert(!is_there("user:1"));
	ck_assert_uint_eq(store_flights(store), 0);
}
END_TEST

START_TEST(who_comes_behind_an_invalidation_asks_again_when_the_old_fetch_is_over)
{
	struct client a, b, c;

	near_verified(near, 100, &back);
	ck_assert_int_eq(get(&a, 0), STORE_WAITING);
	ck_assert(near_invalidate(sl[0], 0, SLICE("user:1")));
	ck_assert_int_eq(get(&b, 0), STORE_WAITING);
	ck_assert_int_eq(get(&c, 1), STORE_WAITING);
	ck_assert_uint_eq(fake_open(), 1);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	loop_run_tasks(loops[1]);
	ck_assert_int_eq(a.status, FILL_VALUE);
	ck_assert_int_eq(b.status, FILL_AGAIN);
	ck_assert_int_eq(c.status, FILL_AGAIN);
	ck_assert_int_eq(get(&b, 0), STORE_WAITING);
	fake_answer("new", ORIGIN_TTL_UNSAID);
	ck_assert_str_eq(b.text, "new");
	ck_assert(is_there("user:1"));
}
END_TEST

START_TEST(who_came_behind_an_invalidation_may_leave)
{
	struct client a, b;

	near_verified(near, 100, &back);
	ck_assert_int_eq(get(&a, 0), STORE_WAITING);
	ck_assert(near_invalidate(sl[0], 0, SLICE("user:1")));
	ck_assert_int_eq(get(&b, 0), STORE_WAITING);
	store_leave(&b.w, on_left);
	ck_assert_uint_eq(b.answers, 1);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(a.answers, 1);
	ck_assert_uint_eq(store_waiting(store), 0);
}
END_TEST

START_TEST(flush_of_the_tier_overrules_its_fetches)
{
	struct near_walk w;
	struct client a;

	near_walk_init(&w, 0);
	near_verified(near, 100, &back);
	ck_assert_int_eq(get(&a, 0), STORE_WAITING);
	near_walk_drop(&w, sl[1]);
	walk(&w);
	fake_answer("old", ORIGIN_TTL_UNSAID);
	ck_assert_uint_eq(a.answers, 1);
	ck_assert(!is_there("user:1"));
}
END_TEST

START_TEST(fetched_without_a_channel_ends_with_its_time)
{
	int64_t now_ms = loop_now_ms(loops[0]);
	struct client a;

	ck_assert_int_eq(get(&a, 0), STORE_WAITING);
	fake_answer("value", ORIGIN_TTL_UNSAID);
	ck_assert(is_there("user:1"));
	store_loop_set_now(sl[0], now_ms + 601);
	ck_assert(!is_there("user:1"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("near");

	SUITE_ADD_FIXTURE(s, "arithmetic", near_setup, teardown,
	    verified_fetch_is_kept_as_long_as_the_tier_allows,
	    fetch_without_a_channel_is_believed_from_its_beginning_on,
	    fetch_that_saw_a_loss_is_not_verified_by_the_next_channel,
	    loss_gives_what_was_verified_its_time_from_the_last_proof,
	    each_loss_has_a_name_of_its_own_in_the_same_millisecond_too,
	    loss_that_is_forgotten_lets_nothing_be_served, revalidation_keeps_to_its_rate,
	    reload_changes_how_long_and_keeps_what_is_known);
	SUITE_ADD_FIXTURE(s, "cache", near_setup, teardown,
	    invalidation_removes_keys_of_its_tier_alone,
	    flush_of_the_tier_takes_all_of_its_keys_and_what_is_stale,
	    loss_makes_stale_what_was_verified_and_leaves_what_ends_sooner,
	    channel_that_is_back_makes_stale_what_was_read_without_it,
	    loss_drops_all_where_nothing_unverified_may_be_served,
	    channel_that_is_lost_again_and_again_drops_all,
	    walk_goes_on_when_there_is_memory_again);
	SUITE_ADD_FIXTURE(s, "flights", near_setup, teardown,
	    reply_that_an_invalidation_overtook_is_answered_and_not_stored,
	    who_comes_behind_an_invalidation_asks_again_when_the_old_fetch_is_over,
	    who_came_behind_an_invalidation_may_leave, flush_of_the_tier_overrules_its_fetches,
	    fetched_without_a_channel_ends_with_its_time);
	return suite_main(s);
}
