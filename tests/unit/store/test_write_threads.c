/* Two loops on threads of their own write the same few keys as fast as they can,
 * behind and through. When all is quiet, what the cache shows is what the origin
 * has. */
#include "config.h"

#include "unit/suite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/store/fixture.h"

#define KEYS 4
#define TURNS 4000
#define THROUGH_MAX 2 /* under way, by loop */

static const char config_text[] =
    "namespaces:\n"
    "  - {prefix: \"b:\", origin: o, path: \"/b/{rest}\", write: behind}\n"
    "  - {prefix: \"t:\", origin: o, path: \"/t/{rest}\", write: through}\n"
    "origins:\n"
    "  o:\n"
    "    http: {endpoints: [\"http://127.0.0.1:1\"]}\n"
    "    write_delay: 0\n";

/* The origin's data; "" is none. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char data[2][KEYS][64];

struct driver {
	struct loop_task task;
	unsigned loop, turns, through;
	unsigned short seed[3];
};

static _Atomic(unsigned) through_with;

static char *
datum(struct slice key)
{
	return data[key.ptr[0] == 'b'][key.ptr[2] - '0'];
}

static void
origin_write(struct slice key, struct slice value)
{
	pthread_mutex_lock(&lock);
	snprintf(datum(key), sizeof data[0][0], "%.*s", (int)value.len, value.ptr);
	pthread_mutex_unlock(&lock);
}

static void
begin(void)
{
	memset(data, 0, sizeof data);
	atomic_store(&through_with, 0);
	setup_with(config_text);
	fake_auto_writes(origin_write);
}

static void
stop_if_quiet(void *arg)
{
	struct store_behind left;

	(void)arg;
	store_behind_status(store, -1, &left);
	if (atomic_load(&through_with) != LOOPS || left.n != 0)
		return;
	for (unsigned i = 0; i < LOOPS; i++)
		loop_stop(loops[i]);
}

static void
on_written(void *arg, enum write_end end, bool was_cached, const char *error)
{
	struct driver *d = arg;

	(void)was_cached;
	(void)error;
	ck_assert_int_eq(end, WRITE_DONE);
	d->through--;
}

static void
write_one(struct driver *d)
{
	bool is_behind = nrand48(d->seed) % 2 == 0;
	char key[8], value[32];
	struct store_write w = { .key = slice_of(key, 3), .value = slice_of(value, 0) };
	bool was_cached;

	snprintf(key, sizeof key, "%c:%u", is_behind ? 'b' : 't',
	    (unsigned)nrand48(d->seed) % KEYS);
	snprintf(value, sizeof value, "%u.%u", d->loop, d->turns);
	w.ns = routes_find(store_loop_routes(sl[d->loop]), w.key);
	w.remove = nrand48(d->seed) % 4 == 0;
	if (!w.remove)
		w.value = slice_str(value);
	if (is_behind) {
		ck_assert_int_eq(store_write_behind(sl[d->loop], &w, &was_cached), 0);
	} else if (d->through < THROUGH_MAX) {
		d->through++;
		ck_assert_int_eq(store_write_start(sl[d->loop], &w, on_written, d), 0);
	}
}

static void
drive(struct loop *l, struct loop_task *t)
{
	struct driver *d = container_of(t, struct driver, task);

	store_loop_set_now(sl[d->loop], loop_now_ms(l));
	if (d->turns < TURNS) {
		d->turns++;
		write_one(d);
	}
	if (d->turns < TURNS || d->through != 0) {
		loop_post(l, t);
		return;
	}
	store_behind_hurry(sl[d->loop]);
	atomic_fetch_add(&through_with, 1);
	stop_if_quiet(NULL);
}

static void *
run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void
check_key(char kind, unsigned n)
{
	char key[8];
	struct store_cursor cur;
	struct slice have;
	enum cache_result found;

	snprintf(key, sizeof key, "%c:%u", kind, n);
	found = store_open(sl[0], slice_str(key), 0, &cur);
	have = slice_str(datum(slice_str(key)));
	if (found == CACHE_HIT)
		ck_assert_msg(slice_eq(cur.c.value, have), "%s: %.*s, and the origin has %s", key,
		    (int)cur.c.value.len, cur.c.value.ptr, have.ptr);
	else if (kind == 'b')
		ck_assert_msg(have.len == 0, "%s: nothing, and the origin has %s", key, have.ptr);
	store_close(&cur);
}

START_TEST(when_all_is_quiet_cache_and_origin_agree)
{
	struct driver d[LOOPS];
	pthread_t threads[LOOPS];

	store_on_behind_empty(store, stop_if_quiet, NULL);
	for (unsigned i = 0; i < LOOPS; i++) {
		d[i] = (struct driver){ .task.run = drive, .loop = i,
			.seed = { 3, 4, (unsigned short)i } };
		loop_post(loops[i], &d[i].task);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run, loops[i]), 0);
	}
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned n = 0; n < KEYS; n++) {
		check_key('b', n);
		check_key('t', n);
	}
	ck_assert_int_gt(NS(writes_merged), 0);
	ck_assert_int_eq(NS(writes_lost), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("write_threads");

	SUITE_ADD_FIXTURE(s, "write_threads", begin, teardown,
	    when_all_is_quiet_cache_and_origin_agree);
	return suite_main(s);
}
