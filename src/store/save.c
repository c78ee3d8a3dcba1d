#include "config.h"

#include "store/save.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "store/internal.h"

/* Waits of a millisecond for others to let go of what they send from where it lies. */
#define PIN_TRIES 200

struct save {
	struct store *store;
	const struct save_opts *o;
	struct snapshot_writer w;
	bool full;       /* the block is */
	bool has_large;  /* to be written when the shard is let go */
	bool pins_short; /* it could not be held */
	unsigned tries;
	struct cache_dumped large;
	struct out_ref pin;
};

static bool
of_tier(const struct save *s, struct slice key)
{
	return near_of(s->store, routes_find(s->o->routes, key)) != NULL;
}

/* Key and value of such a one lie in one piece, and stay there. */
static bool
take_large(struct save *s, const struct cache_dumped *d)
{
	if (s->has_large)
		return false;
	if (cache_dump_pin(d, &s->pin)) {
		s->large = *d;
		s->has_large = true;
		s->tries = 0;
		return true;
	}
	if (d->value.len > SNAPSHOT_BLOCK / 2 && s->tries < PIN_TRIES) {
		s->pins_short = true;
		return false;
	}
	s->tries = 0;
	atomic_fetch_add_explicit(&s->o->progress->passed, 1, memory_order_relaxed);
	return true;
}

static bool
take(void *arg, const struct cache_dumped *d)
{
	struct save *s = arg;

	if (of_tier(s, d->key))
		return true;
	if (!snapshot_fits_block(d))
		return take_large(s, d);
	s->full = !snapshot_writer_add(&s->w, d);
	return !s->full;
}

static void
wait_a_little(struct save *s)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	s->pins_short = false;
	s->tries++;
	nanosleep(&ms, NULL);
}

/* What a step has left to be done without the lock. */
static int
write_out(struct save *s)
{
	if (s->has_large) {
		snapshot_writer_large(&s->w, &s->large);
		s->pin.release(s->pin.owner, s->pin.token);
		s->has_large = false;
	} else if (s->full) {
		snapshot_writer_flush(&s->w);
	} else {
		if (s->pins_short)
			wait_a_little(s);
		return s->w.rc;
	}
	s->full = false;
	atomic_store_explicit(&s->o->progress->entries, s->w.sum.entries, memory_order_relaxed);
	atomic_store_explicit(&s->o->progress->bytes, s->w.sum.bytes, memory_order_relaxed);
	return s->w.rc == 0 && s->o->stop(s->o->arg) ? -ECANCELED : s->w.rc;
}

static int
walk(struct save *s)
{
	struct cache_dump dump;
	bool more = true;
	int rc = 0;

	cache_dump_begin(s->store->cache, &dump);
	while (more && rc == 0) {
		more = cache_dump_step(&dump, clock_mono_ms(), take, s);
		rc = write_out(s);
	}
	cache_dump_end(&dump);
	return rc;
}

int
store_save(struct store *st, const struct save_opts *o, struct snapshot_sum *out)
{
	struct save s = { .store = st, .o = o };
	int64_t wall_ms = clock_wall_ms();
	int free = 0, rc;

	if (!atomic_compare_exchange_strong(&st->saving, &free, 1))
		return -EBUSY;
	rc = snapshot_writer_init(&s.w, o->fd,
	    (enum cache_policy)routes_config(o->routes)->eviction, wall_ms,
	    wall_ms - clock_mono_ms());

	if (rc == 0)
		rc = walk(&s);
	if (rc == 0)
		rc = snapshot_writer_end(&s.w, clock_wall_ms());
	atomic_store_explicit(&o->progress->entries, s.w.sum.entries, memory_order_relaxed);
	atomic_store_explicit(&o->progress->bytes, s.w.sum.bytes, memory_order_relaxed);
	if (rc == 0)
		*out = s.w.sum;
	snapshot_writer_fini(&s.w);
	atomic_store(&st->saving, 0);
	return rc;
}
