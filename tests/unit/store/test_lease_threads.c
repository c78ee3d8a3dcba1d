/* Clients of two loops on threads of their own load, store with their tokens,
 * invalidate, give up, leave and ask again, all on a few keys. Checked is what
 * tokens are for: no load that began before an invalidation is stored after
 * it, so that who asks later never sees what was there before. */
#include "config.h"

#include "unit/suite.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/store/fixture.h"

#define KEYS 3
#define CLIENTS 6 /* of each loop; more than two of them never wait: wait_limit is 8 */
#define TURNS 6000

/* What a database holds, and the version below which nobody may see any more. */
static _Atomic(uint64_t) version[KEYS];
static _Atomic(uint64_t) floor_of[KEYS];

struct client {
	struct store_waiter w;
	struct store_holder holder;
	struct driver *driver;
	unsigned key;
	bool waits, explicit;
	uint64_t asked_floor;
	uint64_t loaded; /* with a token: what it read from the database; 0: nothing */
};

struct driver {
	struct loop_task task;
	unsigned loop, turns;
	unsigned short seed[3];
	uint64_t stored, refused, hits, stale, promoted, gone;
	struct client clients[CLIENTS];
};

static struct slice
key_name(unsigned key, char out[32])
{
	return slice_of(out, (size_t)snprintf(out, 32, "news:%u", key));
}

static void
ck_not_older(const struct client *c, struct slice value)
{
	char text[32];

	snprintf(text, sizeof text, "%.*s", (int)value.len, value.ptr);
	ck_assert_uint_ge(strtoull(text, NULL, 10), c->asked_floor);
}

/* The load begins: what is in the database now. */
static void
begin_load(struct client *c)
{
	if (c->explicit && c->w.granted)
		c->loaded = atomic_load(&version[c->key]);
}

static void
ask(struct client *c)
{
	struct store_cursor cur;
	char name[32];

	c->asked_floor = atomic_load(&floor_of[c->key]);
	c->w.wants_token = c->explicit;
	c->w.deadline_ms = 0;
	switch (store_get(sl[c->driver->loop], key_name(c->key, name), &cur, &c->w)) {
	case STORE_STALE:
		c->driver->stale++;
		ck_not_older(c, cur.c.value);
		store_close(&cur);
		begin_load(c);
		break;
	case STORE_HIT:
		c->driver->hits++;
		ck_not_older(c, cur.c.value);
		store_close(&cur);
		break;
	case STORE_MISS:
		begin_load(c);
		break;
	case STORE_WAITING:
		c->waits = true;
		break;
	case STORE_REFUSED:
		ck_abort_msg("refused: %s", c->w.error);
	}
}

static void
on_answer(struct store_waiter *w)
{
	struct client *c = container_of(w, struct client, w);

	c->waits = false;
	if (w->status == FILL_AGAIN) {
		ask(c);
	} else {
		c->driver->promoted += w->granted;
		begin_load(c);
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

	store_delete(sl[d->loop], key_name(key, name));
	raise_floor(key, now);
}

/* SET key value LEASE token, with a value that is soon over. */
static void
store_loaded(struct client *c)
{
	struct store_loop *l = sl[c->driver->loop];
	struct store_cursor cur;
	char name[32], text[32];
	struct slice value = slice_of(text, (size_t)snprintf(text, sizeof text, "%" PRIu64,
	    c->loaded));

	store_open(l, key_name(c->key, name), STORE_WRITE, &cur);
	if (store_lease_stands(&cur, c->w.token)) {
		ck_assert_int_eq(cache_put(&cur.c, &value, 1, l->thread.now_ms + 2), 0);
		c->driver->stored++;
	} else {
		c->driver->refused++;
	}
	store_close(&cur);
	c->loaded = 0;
}

static void
on_left(struct store_waiter *w)
{
	container_of(w, struct client, w)->waits = false;
}

/* The client's connection ends. */
static void
leave(struct client *c)
{
	if (c->waits)
		store_leave(&c->w, on_left);
	store_holder_gone(&c->holder);
	c->loaded = 0;
	c->driver->gone++;
}

static void
act(struct driver *d, struct client *c)
{
	unsigned what = (unsigned)nrand48(d->seed) % 16;
	char name[32];
	struct slice key = key_name(c->key, name);

	if (what == 0)
		leave(c);
	else if (c->waits)
		return;
	else if (what == 1)
		invalidate(d, c->key);
	else if (what == 2 && c->loaded != 0)
		store_lease_release(sl[d->loop], key, store_hash(sl[d->loop], key), c->w.token);
	else if (c->loaded != 0)
		store_loaded(c);
	else {
		c->key = (unsigned)nrand48(d->seed) % KEYS;
		c->explicit = nrand48(d->seed) % 4 != 0;
		ask(c);
	}
}

static bool
any_waits(const struct driver *d)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (d->clients[i].waits)
			return true;
	return false;
}

static void
drive(struct loop *l, struct loop_task *t)
{
	struct driver *d = container_of(t, struct driver, task);

	store_loop_set_now(sl[d->loop], loop_now_ms(l));
	if (d->turns++ < TURNS)
		act(d, &d->clients[(unsigned)nrand48(d->seed) % CLIENTS]);
	else if (d->turns == TURNS + 1)
		for (unsigned i = 0; i < CLIENTS; i++)
			leave(&d->clients[i]);
	if (d->turns <= TURNS || any_waits(d))
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
driver_init(struct driver *d, unsigned loop)
{
	*d = (struct driver){ .task.run = drive, .loop = loop, .seed = { 3, 1, (unsigned short)loop } };
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &d->clients[i];

		c->driver = d;
		c->w.done = on_answer;
		c->w.holder = &c->holder;
		store_holder_init(&c->holder);
	}
}

START_TEST(no_load_is_stored_after_an_invalidation_that_came_behind_its_beginning)
{
	static struct driver d[LOOPS];
	pthread_t threads[LOOPS];

	for (unsigned k = 0; k < KEYS; k++)
		atomic_store(&version[k], 1);
	for (unsigned i = 0; i < LOOPS; i++) {
		driver_init(&d[i], i);
		loop_post(loops[i], &d[i].task);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run, loops[i]), 0);
	}
	for (unsigned i = 0; i < LOOPS; i++)
		pthread_join(threads[i], NULL);
	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < LOOPS; i++)
			loop_run_tasks(loops[i]);
	ck_assert_uint_eq(store_waiting(store), 0);
	for (unsigned i = 0; i < STRIPES; i++)
		ck_assert(!stripe_busy(&store->stripes[i]));
	ck_assert_uint_gt(d[0].stored + d[1].stored, 0);
	ck_assert_uint_gt(d[0].refused + d[1].refused, 0);
	ck_assert_uint_gt(d[0].promoted + d[1].promoted, 0);
	ck_assert_uint_gt(d[0].hits + d[1].hits, 0);
	ck_assert_uint_gt(d[0].gone + d[1].gone, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lease_threads");

	SUITE_ADD_FIXTURE(s, "lease_threads", setup, teardown,
	    no_load_is_stored_after_an_invalidation_that_came_behind_its_beginning);
	return suite_main(s);
}
