/* Two loops on threads of their own read, invalidate and overwrite the same few
 * keys as fast as they can, while fetches come and go. Checked is the promise
 * behind the three rules: who asks after an invalidation was done never sees
 * what the origin held before it. Nor does he where values are stale at once, are
 * served so while they are renewed, and the origin fails every other time. */
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
	uint64_t hits, filled, missed, stale, failed;
	bool reloads; /* it exchanges the configuration now and then */
};

/* A reload on its way to a loop, as src/server/reload.c sends it. */
struct adoption {
	struct loop_task task;
	unsigned loop;
	unsigned late; /* turns that this loop lags behind */
	struct origin_set *origins;
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

static bool origin_fails; /* now and then */

static void
current_version(struct slice key, char out[64])
{
	snprintf(out, 64, "%" PRIu64, atomic_load(&version[key.ptr[key.len - 1] - '0']));
}

static void (*answers)(struct slice key, char out[64]) = current_version;

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

	if (w->status == FILL_FAILED && origin_fails) {
		a->driver->failed++;
	} else {
		ck_assert_int_eq(w->status, FILL_VALUE);
		ck_not_older(blob_slice(w->value), a->floor);
		a->driver->filled++;
		a->driver->stale += w->stale;
	}
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
	case STORE_STALE:
		ck_not_older(cur.c.value, a->floor);
		store_close(&cur);
		d->stale++;
		free(a);
		break;
	case STORE_WAITING:
		d->waiting++;
		break;
	case STORE_MISS: /* by a configuration that knows no origin */
		d->missed++;
		free(a);
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

/* The version is read where no other writer can come in between. */
static void
overwrite(struct driver *d, unsigned key)
{
	uint64_t now = atomic_fetch_add(&version[key], 1) + 1;
	struct store_cursor cur;
	struct slice value;
	char name[32], text[64];

	key_name(key, name);
	store_open(sl[d->loop], slice_str(name), STORE_WRITE, &cur);
	current_version(slice_str(name), text);
	value = slice_str(text);
	ck_assert_int_eq(cache_put(&cur.c, &value, 1, CACHE_NEVER), 0);
	store_close(&cur);
	raise_floor(key, now);
}

static void
adopt(struct loop *l, struct loop_task *t)
{
	struct adoption *a = container_of(t, struct adoption, task);

	if (a->late-- != 0) {
		loop_post(l, t);
		return;
	}
	store_loop_set_routes(sl[a->loop], &a->origins);
	free(a);
}

static void
reload(bool with_origin)
{
	struct routes *r = with_origin ? make_routes() : make_routes_of("wait_limit: 8\n");

	store_set_routes(store, r);
	for (unsigned i = 0; i < LOOPS; i++) {
		struct adoption *a = calloc(1, sizeof *a);

		a->task.run = adopt;
		a->loop = i;
		a->late = 24 * i;
		a->origins = origin_set_new(r);
		loop_post(loops[i], &a->task);
	}
	routes_unref(r);
}

static void
drive(struct loop *l, struct loop_task *t)
{
	struct driver *d = container_of(t, struct driver, task);

	if (d->reloads && d->turns % 32 == 0)
		reload(d->turns % 64 != 0);
	store_loop_set_now(sl[d->loop], loop_now_ms(l));
	for (unsigned i = 0; i < OPS_A_TURN; i++) {
		unsigned key = (unsigned)nrand48(d->seed) % KEYS;

		if (nrand48(d->seed) % 8 == 0)
			(nrand48(d->seed) % 2 == 0 ? invalidate : overwrite)(d, key);
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

static void
race(struct driver d[LOOPS], bool reloads)
{
	pthread_t threads[LOOPS];

	fake_auto(answers);
	for (unsigned i = 0; i < LOOPS; i++) {
		d[i] = (struct driver){ .task.run = drive, .loop = i,
			.seed = { 1, 2, (unsigned short)i }, .reloads = reloads && i == 0 };
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

START_TEST(no_reader_sees_what_was_written_or_invalidated_before_it_asked)
{
	struct driver d[LOOPS];

	race(d, false);
	ck_assert_uint_eq(d[0].missed + d[1].missed, 0);
}
END_TEST

/* What fake_auto() takes for a failure is an empty value. */
static void
version_or_failure(struct slice key, char out[64])
{
	static _Atomic(unsigned) n;

	current_version(key, out);
	if (atomic_fetch_add(&n, 1) % 2 == 0)
		out[0] = '\0';
}

START_TEST(nor_a_stale_one_that_is_renewed_or_left_by_a_failure)
{
	struct routes *r = make_routes_of("wait_limit: 8\nnamespaces:\n"
	    "  - prefix: \"user:\"\n    origin: users\n    path: /users/{rest}\n"
	    "    ttl: 1ms\n    stale_while_revalidate: 3ms\n    stale_if_error: 1h\n"
	    "    retry_after: 1ms\n"
	    "origins:\n  users:\n    http:\n      endpoints: [\"http://127.0.0.1:1\"]\n");
	struct driver d[LOOPS];

	store_set_routes(store, r);
	for (unsigned i = 0; i < LOOPS; i++) {
		struct origin_set *os = origin_set_new(r);

		store_loop_set_routes(sl[i], &os);
	}
	routes_unref(r);
	origin_fails = true;
	answers = version_or_failure;
	race(d, false);
	ck_assert_uint_gt(d[0].stale + d[1].stale, 0);
	ck_assert_uint_gt(d[0].failed + d[1].failed, 0);
}
END_TEST

START_TEST(nor_while_loops_go_by_different_configurations)
{
	struct driver d[LOOPS];

	race(d, true);
	ck_assert_uint_gt(d[0].missed + d[1].missed, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("flight_threads");
	TCase *tc = tcase_create("flight_threads");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, no_reader_sees_what_was_written_or_invalidated_before_it_asked);
	tcase_add_test(tc, nor_while_loops_go_by_different_configurations);
	tcase_add_test(tc, nor_a_stale_one_that_is_renewed_or_left_by_a_failure);
	suite_add_tcase(s, tc);
	return suite_main(s);
}
