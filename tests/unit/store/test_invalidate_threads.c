/* Two loops on threads of their own read a few keys, and invalidate them by prefixes and
 * one by one, while fetches come and go and either loop walks. Who asks after an
 * invalidation was answered never sees what the origin held before it. (Hard ones: how soon
 * a soft one is seen depends on how old the clock of a loop's turn is.) */
#include "config.h"

#include "unit/suite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/invalidate.h"
#include "unit/store/fixture.h"

#define KEYS 4
#define TURNS 3000
#define WAITING_MAX 2 /* by loop; the fixture's max_waiters is 4 */

/* The origin's data, and the version below which nobody may see any more. */
static _Atomic(uint64_t) version[KEYS];
static _Atomic(uint64_t) floor_of[KEYS];

struct driver {
	struct loop_task task;
	struct timer next;
	unsigned loop;
	unsigned turns, waiting, walking;
	unsigned short seed[3];
	uint64_t seen, walks;
	bool through;
};

static _Atomic(unsigned) busy; /* loops that are not through */

struct asked {
	struct store_waiter w;
	struct driver *driver;
	uint64_t floor;
};

struct walk {
	struct driver *driver;
	unsigned key;
	uint64_t version;
};

static void
current_version(struct slice key, char out[64])
{
	snprintf(out, 64, "%" PRIu64, atomic_load(&version[key.ptr[key.len - 1] - '0']));
}

static void
ck_not_older(struct driver *d, struct slice value, uint64_t floor)
{
	char text[32];

	snprintf(text, sizeof text, "%.*s", (int)value.len, value.ptr);
	ck_assert_uint_ge(strtoull(text, NULL, 10), floor);
	d->seen++;
}

static void
on_answer(struct store_waiter *w)
{
	struct asked *a = container_of(w, struct asked, w);

	ck_assert_int_eq(w->status, FILL_VALUE);
	ck_not_older(a->driver, blob_slice(w->value), a->floor);
	a->driver->waiting--;
	free(a);
}

static void
ask(struct driver *d, unsigned key, const char *name)
{
	struct asked *a = calloc(1, sizeof *a);
	struct store_cursor cur;

	a->w.done = on_answer;
	a->driver = d;
	a->floor = atomic_load(&floor_of[key]);
	switch (store_get(sl[d->loop], slice_str(name), &cur, &a->w)) {
	case STORE_HIT:
		ck_not_older(d, cur.c.value, a->floor);
		store_close(&cur);
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
on_invalidated(void *arg, uint64_t keys)
{
	struct walk *w = arg;

	(void)keys;
	raise_floor(w->key, w->version);
	w->driver->walking--;
	w->driver->walks++;
	free(w);
}

static void
invalidate_prefix(struct driver *d, unsigned key, const char *name)
{
	struct invalidation *inv = invalidation_new(sl[d->loop], false);
	struct walk *w = malloc(sizeof *w);

	*w = (struct walk){ d, key, atomic_fetch_add(&version[key], 1) + 1 };
	ck_assert_int_eq(invalidation_add(inv, INVALIDATE_PREFIX, slice_str(name)), 0);
	ck_assert_int_eq(invalidation_add(inv, INVALIDATE_TAG, SLICE("t")), 0);
	ck_assert_int_eq(invalidation_start(inv, on_invalidated, w), 0);
	d->walking++;
}

static void
act(struct driver *d)
{
	unsigned key = (unsigned)nrand48(d->seed) % KEYS;
	long what = nrand48(d->seed) % 16;
	char name[32];

	snprintf(name, sizeof name, "user:%u", key);
	if (what == 0) {
		uint64_t now = atomic_fetch_add(&version[key], 1) + 1;

		store_invalidate(sl[d->loop], slice_str(name), false);
		raise_floor(key, now);
	} else if (what == 1 && d->walking < 4) {
		invalidate_prefix(d, key, name);
	} else if (d->waiting < WAITING_MAX) {
		ask(d, key, name);
	}
}

/* Turn by turn, so that the walker's timer gets its own. */
static void
drive(struct timer *t)
{
	struct driver *d = container_of(t, struct driver, next);

	store_loop_set_now(sl[d->loop], loop_now_ms(loops[d->loop]));
	for (unsigned i = 0; i < 4 && d->turns < TURNS; i++)
		act(d);
	if (++d->turns >= TURNS && d->waiting == 0 && d->walking == 0 && !d->through) {
		d->through = true;
		atomic_fetch_sub(&busy, 1);
	}
	if (atomic_load(&busy) != 0)
		timer_start(&d->next, 0);
	else
		loop_stop(loops[d->loop]);
}

static void
begin(struct loop *l, struct loop_task *t)
{
	struct driver *d = container_of(t, struct driver, task);

	timer_init(&d->next, l, drive);
	timer_start(&d->next, 0);
}

static void *
run(void *arg)
{
	loop_run(arg);
	return NULL;
}

/* A loop that is through goes on walking for the other: it runs until both are. */
START_TEST(who_asks_after_an_invalidation_sees_nothing_older)
{
	struct driver d[LOOPS];
	pthread_t threads[LOOPS];

	fake_auto(current_version);
	atomic_store(&busy, LOOPS);
	for (unsigned i = 0; i < LOOPS; i++) {
		d[i] = (struct driver){ .task.run = begin, .loop = i,
			.seed = { 1, 2, (unsigned short)i } };
		loop_post(loops[i], &d[i].task);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run, loops[i]), 0);
	}
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < LOOPS; i++) {
		ck_assert_uint_gt(d[i].seen, 0);
		ck_assert_uint_gt(d[i].walks, 0);
	}
	ck_assert_uint_eq(store_waiting(store), 0);
	ck_assert_uint_eq(fake_open(), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("invalidate_threads");

	SUITE_ADD_FIXTURE(s, "threads", setup, teardown,
	    who_asks_after_an_invalidation_sees_nothing_older);
	return suite_main(s);
}
