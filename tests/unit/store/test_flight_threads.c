/* Two loops on threads of their own read, invalidate and overwrite the same few
 * keys as fast as they can, while fetches come and go. Checked is the promise
 * behind the three rules: who asks after an invalidation was done never sees
 * what the origin held before it. */
#include "config.h"

#include "unit/suite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "unit/store/fixture.h"

#define KEYS 4
#define TURNS 4000
#define OPS_A_TURN 4
#define WAITING_MAX 2 /* by loop; the fixture's max_waiters is 4 */

/* The origin's data, and the version below which nobody may see any more. */
static _Atomic(uint64_t) version[KEYS];
static _Atomic(uint64_t) floor_of[KEYS];

struct driver {
	struct loop_task task;
	unsigned loop;
	unsigned turns, waiting;
	unsigned short seed[3];
	uint64_t hits, filled;
};

struct asked {
	struct store_waiter w;
	struct driver *driver;
	unsigned key;
	uint64_t floor;
};

static void
key_name(unsigned key, char out[32])
{
	snprintf(out, 32, "user:%u", key);
}

static void
current_version(struct slice key, char out[64])
{
	snprintf(out, 64, "%" PRIu64, atomic_load(&version[key.ptr[key.len - 1] - '0']));
}

static void
ck_not_older(struct slice value, uint64_t floor)
{
	char text[32];

	snprintf(text, sizeof text, "%.*s", (int)value.len, value.ptr);
	ck_assert_uint_ge(strtoull(text, NULL, 10), floor);
}

static void
on_answer(struct store_waiter *w)
{
	struct asked *a = container_of(w, struct asked, w);

	ck_assert_int_eq(w->status, FILL_VALUE);
	ck_not_older(blob_slice(w->value), a->floor);
	a->driver->filled++;
	a->driver->waiting--;
	free(a);
}

static void
ask(struct driver *d, unsigned key)
{
	struct asked *a = calloc(1, sizeof *a);
	struct store_cursor cur;
	char name[32];

	key_name(key, name);
	a->w.done = on_answer;
	a->driver = d;
	a->key = key;
	a->floor = atomic_load(&floor_of[key]);
	switch (store_get(sl[d->loop], slice_str(name), &cur, &a->w)) {
	case STORE_HIT:
		ck_not_older(cur.c.value, a->floor);
		store_close(&cur);
		d->hits++;
		free(a);
		break;
	case STORE_WAITING:
		d->waiting++;
		break;
	default:
		ck_abort_msg("GET refused: %s", a->w.error);
	}
}

static void
raise_floor(unsigned key, uint64_t to)
{
	uint64_t was = atomic_load(&floor_of[key]);

	while (was < to && !atomic_compare_exchange_weak(&floor_of[key], &was, to))
		;
}

static void
invalidate(struct driver *d, unsigned key)
{
	uint64_t now = atomic_fetch_add(&version[key], 1) + 1;
	char name[32];

	key_name(key, name);
	store_delete(sl[d->loop], slice_str(name));
	raise_floor(key, now);
}

static void
drive(struct loop *l, struct loop_task *t)
{
	struct driver *d = container_of(t, struct driver, task);

	store_loop_set_now(sl[d->loop], loop_now_ms(l));
	for (unsigned i = 0; i < OPS_A_TURN; i++) {
		unsigned key = (unsigned)nrand48(d->seed) % KEYS;

		if (nrand48(d->seed) % 8 == 0)
			invalidate(d, key);
		else if (d->waiting < WAITING_MAX)
			ask(d, key);
	}
	if (++d->turns < TURNS || d->waiting != 0)
		loop_post(l, &d->task);
	else
		loop_stop(l);
}

static void *
run(void *arg)
{
	loop_run(arg);
	return NULL;
}

START_TEST(no_reader_sees_what_was_invalidated_before_it_asked)
{
	struct driver d[LOOPS];
	pthread_t threads[LOOPS];

	fake_auto(current_version);
	for (unsigned i = 0; i < LOOPS; i++) {
		d[i] = (struct driver){ .task.run = drive, .loop = i, .seed = { 1, 2, (unsigned short)i } };
		loop_post(loops[i], &d[i].task);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run, loops[i]), 0);
	}
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(store_waiting(store), 0);
	ck_assert_uint_gt(d[0].hits + d[1].hits, 0);
	ck_assert_uint_gt(d[0].filled + d[1].filled, 0);
	ck_assert_uint_eq(fake_open(), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("flight_threads");
	TCase *tc = tcase_create("flight_threads");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, no_reader_sees_what_was_invalidated_before_it_asked);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
