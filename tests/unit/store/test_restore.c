/* What a snapshot brings, against what clients and origins say meanwhile. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/invalidate.h"
#include "store/restore.h"
#include "store/save.h"
#include "unit/store/fixture.h"

static struct cache_dumped
entry(const char *key, const char *value)
{
	return (struct cache_dumped){ .key = slice_str(key), .value = slice_str(value) };
}

static enum restored
restore(const char *key)
{
	struct cache_dumped d = entry(key, "old");

	return store_restore(sl[0], &d, true);
}

/* "" where there is none. */
static const char *
value_of(const char *key)
{
	static char text[64];
	struct store_cursor cur;

	text[0] = '\0';
	if (store_open(sl[1], slice_str(key), 0, &cur) == CACHE_HIT)
		snprintf(text, sizeof text, "%.*s", (int)cur.c.value.len, cur.c.value.ptr);
	store_close(&cur);
	return text;
}

static void
set(const char *key, const char *value)
{
	ck_assert_int_eq(store_set(sl[1], slice_str(key), slice_str(value), CACHE_NEVER), 0);
}

static void
restoring(void)
{
	setup();
	ck_assert_int_eq(store_restore_begin(store), 0);
}

static void
no_stripe_is_busy(void)
{
	store_restore_end(store);
	for (unsigned i = 0; i < STRIPES; i++)
		ck_assert(!stripe_busy(&store->stripes[i]));
}

static void
restored(void)
{
	no_stripe_is_busy();
	teardown();
}

/* --- clients ----------------------------------------------------------------------------- */

START_TEST(what_nobody_spoke_of_comes_back)
{
	ck_assert_int_eq(restore("a"), RESTORED);
	ck_assert_str_eq(value_of("a"), "old");
	ck_assert_int_eq(restore("a"), RESTORED); /* met twice in the snapshot */
}
END_TEST

START_TEST(what_a_client_wrote_stays)
{
	set("a", "new");
	ck_assert_int_eq(restore("a"), RESTORED_NEWER);
	ck_assert_str_eq(value_of("a"), "new");
}
END_TEST

START_TEST(what_a_client_deleted_does_not_come_back)
{
	ck_assert(!store_delete(sl[1], SLICE("a"))); /* not there yet */
	ck_assert_int_eq(restore("a"), RESTORED_NEWER);
	ck_assert_int_eq(restore("b"), RESTORED);
	ck_assert(store_delete(sl[1], SLICE("b")));
	ck_assert_int_eq(restore("b"), RESTORED_NEWER);
	ck_assert_str_eq(value_of("b"), "");
}
END_TEST

START_TEST(what_was_written_and_has_expired_does_not_come_back)
{
	ck_assert_int_eq(store_set(sl[1], SLICE("a"), SLICE("new"), loop_now_ms(loops[1]) + 5), 0);
	store_loop_set_now(sl[0], loop_now_ms(loops[1]) + 10);
	ck_assert_int_eq(restore("a"), RESTORED_NEWER);
}
END_TEST

START_TEST(a_transaction_counts_as_its_writes)
{
	struct store_atomic a;

	store_atomic_init(&a, sl[1]);
	store_atomic_add(&a, SLICE("a"), store_hash(sl[1], SLICE("a")));
	store_atomic_begin(&a);
	store_delete(sl[1], SLICE("a"));
	store_atomic_end(&a);
	ck_assert_int_eq(restore("a"), RESTORED_NEWER);
	ck_assert_int_eq(restore("b"), RESTORED);
}
END_TEST

START_TEST(an_invalidated_key_does_not_come_back)
{
	ck_assert(!store_invalidate(sl[1], SLICE("a"), false));
	ck_assert(!store_invalidate(sl[1], SLICE("b"), true));
	ck_assert_int_eq(restore("a"), RESTORED_NEWER);
	ck_assert_int_eq(restore("b"), RESTORED_NEWER);
}
END_TEST

START_TEST(after_a_flush_nothing_comes_back)
{
	ck_assert_int_eq(restore("a"), RESTORED);
	store_flush(sl[1]);
	ck_assert_int_eq(restore("a"), RESTORED_STOPPED);
	ck_assert_int_eq(restore("b"), RESTORED_STOPPED);
	ck_assert_str_eq(value_of("a"), "");
}
END_TEST

/* --- prefixes and tags ---------------------------------------------------------------------- */

static void
on_invalidated(void *arg, uint64_t keys)
{
	*(uint64_t *)arg = keys;
}

static void
invalidate(enum invalidate_by by, const char *name)
{
	struct invalidation *inv = invalidation_new(sl[1], false);
	uint64_t keys = UINT64_MAX;

	ck_assert_int_eq(invalidation_add(inv, by, slice_str(name)), 0);
	ck_assert_int_eq(invalidation_start(inv, on_invalidated, &keys), 0);
	while (store->walker.by != NULL)
		walker_step(&store->walker);
	loop_run_tasks(loops[1]);
	ck_assert_uint_ne(keys, UINT64_MAX);
}

START_TEST(an_invalidated_prefix_does_not_come_back)
{
	ck_assert_int_eq(restore("x:1"), RESTORED);
	invalidate(INVALIDATE_PREFIX, "x:");
	ck_assert_str_eq(value_of("x:1"), "");
	ck_assert_int_eq(restore("x:1"), RESTORED_NEWER);
	ck_assert_int_eq(restore("x:2"), RESTORED_NEWER);
	ck_assert_int_eq(restore("y:1"), RESTORED);
}
END_TEST

START_TEST(an_invalidated_tag_does_not_come_back)
{
	struct cache_dumped d = entry("a", "old");
	unsigned char record[META_MAX];
	uint32_t room[META_TAGS_MAX];
	struct meta m;

	meta_init(&m);
	meta_set_tags(&m, SLICE("red green"), room);
	d.record = slice_of((char *)record, meta_encode(&m, record));
	invalidate(INVALIDATE_TAG, "blue");
	ck_assert_int_eq(store_restore(sl[0], &d, true), RESTORED);
	invalidate(INVALIDATE_TAG, "green");
	ck_assert_str_eq(value_of("a"), "");
	ck_assert_int_eq(store_restore(sl[0], &d, true), RESTORED_NEWER);
	ck_assert_int_eq(restore("b"), RESTORED); /* it has none */
}
END_TEST

START_TEST(more_invalidations_than_are_kept_end_it)
{
	for (unsigned i = 0; i < 256; i++)
		invalidate(INVALIDATE_PREFIX, "x:");
	ck_assert_int_eq(restore("y:1"), RESTORED);
	invalidate(INVALIDATE_PREFIX, "x:");
	ck_assert_int_eq(restore("y:1"), RESTORED_STOPPED);
}
END_TEST

/* --- origins and tiers ------------------------------------------------------------------------ */

static void
on_done(struct store_waiter *w)
{
	(void)w;
}

static void
fetch(struct store_waiter *w, const char *key)
{
	struct store_cursor cur;

	*w = (struct store_waiter){ .done = on_done };
	ck_assert_int_eq(store_get(sl[0], slice_str(key), &cur, w), STORE_WAITING);
}

START_TEST(what_was_fetched_stays)
{
	struct store_waiter w;

	fetch(&w, "user:1");
	fake_answer("new", ORIGIN_TTL_UNSAID);
	ck_assert_int_eq(restore("user:1"), RESTORED_NEWER);
	ck_assert_str_eq(value_of("user:1"), "new");
}
END_TEST

START_TEST(what_the_origin_has_no_more_does_not_come_back)
{
	struct store_waiter w;

	fetch(&w, "user:1");
	fake_fail(ORIGIN_NOT_FOUND, NULL);
	ck_assert_int_eq(restore("user:1"), RESTORED_NEWER);
}
END_TEST

START_TEST(a_fetch_that_fails_leaves_the_place_to_the_snapshot)
{
	struct store_waiter w;

	fetch(&w, "user:1");
	fake_fail(ORIGIN_FAILED, "down");
	ck_assert_int_eq(restore("user:1"), RESTORED);
}
END_TEST

START_TEST(a_fetch_under_way_lands_over_what_came_back)
{
	struct store_waiter w;

	fetch(&w, "user:1");
	ck_assert_int_eq(restore("user:1"), RESTORED);
	fake_answer("new", ORIGIN_TTL_UNSAID);
	ck_assert_str_eq(value_of("user:1"), "new");
}
END_TEST

START_TEST(what_a_tier_keeps_true_is_not_put_back)
{
	static const struct near_opts opts = { .unverified_max_ms = 50, .revalidate_per_s = 10 };
	struct near *near;

	ck_assert_int_eq(store_near(store, 0, &opts, &near), 0);
	ck_assert_int_eq(restore("user:1"), RESTORED_TIER);
	ck_assert_int_eq(restore("other"), RESTORED);
}
END_TEST

/* --- limits --------------------------------------------------------------------------------------- */

START_TEST(what_has_expired_is_not_put_back)
{
	struct cache_dumped d = entry("a", "old");

	d.expires_ms = d.end_ms = 1;
	ck_assert_int_eq(store_restore(sl[0], &d, true), RESTORED_EXPIRED);
}
END_TEST

START_TEST(what_is_larger_than_any_entry_is_refused)
{
	struct cache_dumped d = entry("a", "");
	char *large = mem_zalloc(8 << 20);

	d.value = slice_of(large, 8 << 20);
	ck_assert_int_eq(store_restore(sl[0], &d, true), RESTORED_REFUSED);
	mem_free(large);
}
END_TEST

START_TEST(one_at_a_time_and_without_memory_none)
{
	ck_assert_int_eq(store_restore_begin(store), -EBUSY);
	no_stripe_is_busy();
	for (int n = 1; n <= 2; n++) {
		mem_fail_nth((unsigned long)n, 0);
		ck_assert_int_eq(store_restore_begin(store), -ENOMEM);
		mem_fail_nth(0, 0);
		no_stripe_is_busy();
	}
	ck_assert(!store_is_restoring(store));
	ck_assert_int_eq(store_restore_begin(store), 0);
	ck_assert_int_eq(restore("a"), RESTORED);
}
END_TEST

/* --- saving --------------------------------------------------------------------------------------- */

static bool
never(void *arg)
{
	(void)arg;
	return false;
}

static bool
at_once(void *arg)
{
	(void)arg;
	return true;
}

static int
save_to(int fd, bool (*stop)(void *arg), struct save_progress *p, struct snapshot_sum *sum)
{
	struct save_opts o = { .fd = fd, .routes = store_loop_routes(sl[0]), .stop = stop,
		.progress = p };

	return store_save(store, &o, sum);
}

static unsigned
load_from(int fd)
{
	struct snapshot_reader r;
	struct snapshot_block b;
	unsigned char meta[META_MAX];
	struct cache_dumped d;
	unsigned n = 0;

	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	snapshot_block_init(&b);
	ck_assert_int_eq(snapshot_reader_init(&r, fd, 1 << 20, clock_wall_ms() - clock_mono_ms()),
	    0);
	while (snapshot_reader_next(&r, &b) > 0)
		while (snapshot_block_next(&r, &b, meta, &d) > 0)
			n += store_restore(sl[0], &d, true) == RESTORED;
	snapshot_block_fini(&b);
	return n;
}

static void
fill(unsigned n)
{
	char key[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof key, "key:%u", i);
		set(key, key);
	}
}

START_TEST(what_was_saved_comes_back_large_values_too)
{
	char *large = mem_zalloc(400000);
	struct snapshot_sum sum;
	struct save_progress p = { 0 };
	struct store_cursor cur;
	int fd = memfd_create("save", MFD_CLOEXEC);

	store_restore_end(store);
	fill(5000);
	memset(large, 'x', 400000);
	ck_assert_int_eq(store_set(sl[0], SLICE("large"), slice_of(large, 400000), CACHE_NEVER), 0);
	ck_assert_int_eq(save_to(fd, never, &p, &sum), 0);
	ck_assert_uint_eq(sum.entries, 5001);
	ck_assert_uint_eq(atomic_load(&p.entries), 5001);
	ck_assert_uint_eq(atomic_load(&p.passed), 0);
	store_flush(sl[0]);
	ck_assert_int_eq(store_restore_begin(store), 0);
	ck_assert_uint_eq(load_from(fd), 5001);
	ck_assert_str_eq(value_of("key:17"), "key:17");
	ck_assert_int_eq(store_open(sl[1], SLICE("large"), 0, &cur), CACHE_HIT);
	ck_assert(slice_eq(cur.c.value, slice_of(large, 400000)));
	store_close(&cur);
	mem_free(large);
	close(fd);
}
END_TEST

START_TEST(what_a_tier_keeps_true_is_not_saved)
{
	static const struct near_opts opts = { .unverified_max_ms = 50, .revalidate_per_s = 10 };
	struct snapshot_sum sum;
	struct save_progress p = { 0 };
	struct near *near;
	int fd = memfd_create("save", MFD_CLOEXEC);

	ck_assert_int_eq(store_near(store, 0, &opts, &near), 0);
	set("user:1", "of a tier");
	set("other", "value");
	ck_assert_int_eq(save_to(fd, never, &p, &sum), 0);
	ck_assert_uint_eq(sum.entries, 1);
	close(fd);
}
END_TEST

START_TEST(a_save_that_is_stopped_or_has_no_memory_says_so)
{
	struct snapshot_sum sum = { .entries = 7 };
	struct save_progress p = { 0 };
	int fd = memfd_create("save", MFD_CLOEXEC);

	fill(5000);
	ck_assert_int_eq(save_to(fd, at_once, &p, &sum), -ECANCELED);
	mem_fail_nth(1, 0);
	ck_assert_int_eq(save_to(fd, never, &p, &sum), -ENOMEM);
	mem_fail_nth(0, 0);
	ck_assert_uint_eq(sum.entries, 7);
	for (unsigned i = 0; i < cache_shards(store->cache); i++)
		ck_assert_str_eq(value_of("key:1"), "key:1"); /* no lock is left taken */
	close(fd);
}
END_TEST

/* --- threads --------------------------------------------------------------------------------------- */

#define RACE_KEYS 20000

static void *
delete_them(void *arg)
{
	char key[32];

	(void)arg;
	for (unsigned i = 0; i < RACE_KEYS; i += 2) {
		snprintf(key, sizeof key, "key:%u", i * 7919 % RACE_KEYS);
		store_delete(sl[1], slice_str(key));
	}
	return NULL;
}

START_TEST(of_keys_that_are_deleted_meanwhile_none_is_left)
{
	pthread_t thread;
	char key[32];
	unsigned others = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, delete_them, NULL), 0);
	for (unsigned i = 0; i < RACE_KEYS; i++) {
		snprintf(key, sizeof key, "key:%u", i);
		restore(key);
	}
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < RACE_KEYS; i += 2) {
		snprintf(key, sizeof key, "key:%u", i * 7919 % RACE_KEYS);
		ck_assert_str_eq(value_of(key), "");
	}
	for (unsigned i = 1; i < RACE_KEYS; i += 2) {
		snprintf(key, sizeof key, "key:%u", i * 7919 % RACE_KEYS);
		others += value_of(key)[0] != '\0';
	}
	ck_assert_uint_gt(others, RACE_KEYS / 2 - 20); /* the filter's errors */
}
END_TEST

START_TEST(it_may_end_while_others_write)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, delete_them, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		restore("some");
	for (unsigned i = 0; i < 50; i++) {
		store_restore_end(store);
		ck_assert_int_eq(store_restore_begin(store), 0);
	}
	store_restore_end(store);
	pthread_join(thread, NULL);
}
END_TEST

static void *
save_them(void *arg)
{
	struct snapshot_sum sum;
	struct save_progress p = { 0 };

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ftruncate(*(int *)arg, 0), 0);
		ck_assert_int_eq(lseek(*(int *)arg, 0, SEEK_SET), 0);
		ck_assert_int_eq(save_to(*(int *)arg, never, &p, &sum), 0);
	}
	return NULL;
}

START_TEST(what_is_saved_while_it_is_used_comes_back_as_a_whole)
{
	int fd = memfd_create("save", MFD_CLOEXEC);
	pthread_t thread;

	store_restore_end(store);
	fill(3000);
	ck_assert_int_eq(pthread_create(&thread, NULL, save_them, &fd), 0);
	for (int i = 0; i < 10; i++)
		fill(3000);
	pthread_join(thread, NULL);
	store_flush(sl[0]);
	ck_assert_int_eq(store_restore_begin(store), 0);
	ck_assert_uint_ge(load_from(fd), 3000);
	ck_assert_uint_eq(cache_count(store->cache), 3000);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("restore");

	SUITE_ADD_FIXTURE(s, "clients", restoring, restored, what_nobody_spoke_of_comes_back,
	    what_a_client_wrote_stays, what_a_client_deleted_does_not_come_back,
	    what_was_written_and_has_expired_does_not_come_back,
	    a_transaction_counts_as_its_writes, an_invalidated_key_does_not_come_back,
	    after_a_flush_nothing_comes_back);
	SUITE_ADD_FIXTURE(s, "prefixes and tags", restoring, restored,
	    an_invalidated_prefix_does_not_come_back, an_invalidated_tag_does_not_come_back,
	    more_invalidations_than_are_kept_end_it);
	SUITE_ADD_FIXTURE(s, "origins", restoring, restored, what_was_fetched_stays,
	    what_the_origin_has_no_more_does_not_come_back,
	    a_fetch_that_fails_leaves_the_place_to_the_snapshot,
	    a_fetch_under_way_lands_over_what_came_back, what_a_tier_keeps_true_is_not_put_back);
	SUITE_ADD_FIXTURE(s, "limits", restoring, restored, what_has_expired_is_not_put_back,
	    what_is_larger_than_any_entry_is_refused, one_at_a_time_and_without_memory_none);
	SUITE_ADD_FIXTURE(s, "saving", restoring, restored,
	    what_was_saved_comes_back_large_values_too, what_a_tier_keeps_true_is_not_saved,
	    a_save_that_is_stopped_or_has_no_memory_says_so);
	SUITE_ADD_FIXTURE(s, "threads", restoring, restored,
	    of_keys_that_are_deleted_meanwhile_none_is_left, it_may_end_while_others_write,
	    what_is_saved_while_it_is_used_comes_back_as_a_whole);
	return suite_main(s);
}
