/* Many threads at once: what is read is whole, and the sums are right. Best
 * run under ThreadSanitizer. */
#include "config.h"

#include "unit/cache/fixture.h"

#include <pthread.h>

#define THREADS 4
#define KEYS 3000

#ifdef SANITIZED
#define OPS 40000
#else
#define OPS 300000
#endif

struct worker {
	pthread_t id;
	struct cache *c;
	struct cache_thread self;
	struct cache_tally tally[CACHE_CLASSES];
	unsigned n;
	_Atomic(bool) *stop;
	_Atomic(int64_t) *now_ms;
};

/* Check's own macros write to a pipe each time, and are not for threads. */
static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* A value tells its key and its length, and every byte is of one kind. */
static struct slice
value_for(char *mem, unsigned key, uint64_t random)
{
	size_t len = random % 64 == 0 ? 8 + random / 64 % 40000 : 8 + random / 64 % 300;
	uint32_t head[2] = { key, (uint32_t)len };

	memset(mem, (int)(random >> 50), len);
	memcpy(mem, head, sizeof head);
	return slice_of(mem, len);
}

static void
check_value(struct slice value, unsigned key)
{
	uint32_t head[2];

	must(value.len >= sizeof head);
	memcpy(head, value.ptr, sizeof head);
	must(head[0] == key);
	must(head[1] == value.len);
	for (size_t i = sizeof head + 1; i < value.len; i++)
		must(value.ptr[i] == value.ptr[sizeof head]);
}

static void
one_key(struct worker *w, uint64_t random, char *mem)
{
	unsigned key = (unsigned)(random % KEYS);
	struct slice k = slice_of(&key, sizeof key), value;
	struct cache_cursor cur;
	struct out_ref ref;
	bool pinned = false;

	random /= KEYS;
	if (cache_open(w->c, &w->self, k, cache_hash(w->c, k), CACHE_TOUCH, &cur) == CACHE_HIT) {
		check_value(cur.value, key);
		pinned = random % 4 == 0 && cache_pin(&cur, &ref);
	}
	switch (random / 4 % 8) {
	case 0:
	case 1:
		value = value_for(mem, key, random * 0x9e3779b97f4a7c15u);
		must(cache_put(&cur, &value, 1, random / 32 % 3 ? CACHE_NEVER :
		    w->self.now_ms + (int64_t)(random / 128 % 200)) == 0);
		break;
	case 2:
		cache_remove(&cur);
		break;
	case 3:
		must(cache_set_expiry(&cur, w->self.now_ms + 50) == 0);
		break;
	default:
		break;
	}
	cache_close(&cur);
	if (pinned) {
		check_value(slice_of(ref.ptr, ref.len), key);
		ref.release(ref.owner, ref.token);
	}
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	uint64_t random = 0x2545f4914f6cdd1du * (w->n + 1);
	char *mem = malloc(50000);
	const void *bucket;

	for (int i = 0; i < OPS; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		w->self.now_ms = atomic_load(w->now_ms);
		cache_prefetch(w->c, random * 31);
		cache_hash_near(w->c, slice_of(&random, sizeof random), &bucket);
		cache_prefetch_entry(w->c, bucket);
		one_key(w, random, mem);
		if (i % 1024 == 0)
			cache_tick(w->c, &w->self, 50);
		if (i % 512 == 0) /* more often than the cleaner would */
			atomic_store(&w->c->pool.filling, i % 4096 != 0);
	}
	free(mem);
	return NULL;
}

/* Time, flushes, limits, scans, statistics, from a thread of its own. */
static void *
disturb(void *arg)
{
	struct worker *w = arg;
	struct cache_stats s;
	uint64_t cursor = 0;
	struct buf keys;

	buf_init(&keys);
	for (unsigned i = 0; !atomic_load(w->stop); i++) {
		w->self.now_ms = atomic_fetch_add(w->now_ms, 1) + 1;
		buf_clear(&keys);
		must(cache_scan(w->c, &w->self, &cursor, 20, &keys) == 0);
		cache_tick(w->c, &w->self, 100);
		cache_stats(w->c, &s);
		if (i % 64 == 0)
			must(cache_resize(w->c, (4 + i / 64 % 5) * MIB) == 0);
		if (i % 97 == 0)
			cache_flush(w->c, &w->self);
		if (i % 31 == 0)
			cache_make_room(w->c, &w->self, 100000);
	}
	buf_fini(&keys);
	return NULL;
}

static void
sums_agree(struct cache *c, struct worker *w, unsigned n)
{
	int64_t entries = 0, bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		entries += counter_get(&w[i].tally[0].entries);
		bytes += counter_get(&w[i].tally[0].bytes);
	}
	entries += counter_get(&fix_tally[0].entries);
	bytes += counter_get(&fix_tally[0].bytes);
	ck_assert_int_eq(entries, (int64_t)cache_count(c));
	if (entries == 0)
		ck_assert_int_eq(bytes, 0);
}

static void
run(unsigned shards, bool disturbed)
{
	static struct worker w[THREADS + 1];
	_Atomic(bool) stop = false;
	_Atomic(int64_t) now_ms = 1000;
	struct cache *c = cache_with((struct cache_opts){ .shards = shards,
		.budget_bytes = 8 * MIB });

	for (unsigned i = 0; i <= THREADS; i++) {
		w[i].c = c;
		w[i].n = i;
		w[i].self = (struct cache_thread){ .now_ms = 1000, .tally = w[i].tally };
		w[i].stop = &stop;
		w[i].now_ms = &now_ms;
		if (i < THREADS || disturbed)
			ck_assert_int_eq(pthread_create(&w[i].id, NULL,
			    i < THREADS ? work : disturb, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(w[i].id, NULL);
	atomic_store(&stop, true);
	if (disturbed)
		pthread_join(w[THREADS].id, NULL);
	fix_thread.now_ms = atomic_load(&now_ms) + 10000;
	settle(c);
	sums_agree(c, w, THREADS + 1);
	never_over_budget(c);
	cache_flush(c, &fix_thread);
	settle(c);
	sums_agree(c, w, THREADS + 1);
	ck_assert_int_eq(pool_live(&c->pool), 0);
	ck_assert_int_eq(atomic_load(&c->extents.live_pages), 0);
	ck_assert_int_eq(atomic_load(&c->pool.pinned_bytes), 0);
	cache_free(c);
}

START_TEST(threads_on_many_shards_see_whole_values)
{
	run(16, false);
}
END_TEST

START_TEST(threads_on_two_shards_see_whole_values)
{
	run(2, false);
}
END_TEST

START_TEST(flushes_and_other_limits_disturb_nobody)
{
	run(8, true);
}
END_TEST

START_TEST(flushes_and_other_limits_disturb_nobody_on_one_shard)
{
	run(1, true);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("threads");

	SUITE_ADD(s, "threads", threads_on_many_shards_see_whole_values,
	    threads_on_two_shards_see_whole_values, flushes_and_other_limits_disturb_nobody,
	    flushes_and_other_limits_disturb_nobody_on_one_shard);
	return suite_main(s);
}
