#include "config.h"

#include "store/restore.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"
#include "store/invalidate.h"

#define FILTER_BITS 21 /* of the hash, for each of three places */
#define FILTER_PLACES 3
#define FILTER_WORDS (((size_t)1 << FILTER_BITS) / 64)
#define BARS_MAX 256

_Static_assert(FILTER_WORDS * sizeof(uint64_t) == STORE_RESTORE_BYTES, "as the header says");

/* --- notes ------------------------------------------------------------------------------- */

static uint64_t
place(uint64_t hash, unsigned i)
{
	return hash >> (FILTER_BITS * i) & (((uint64_t)1 << FILTER_BITS) - 1);
}

void
restore_note(struct restore *r, uint64_t hash)
{
	_Atomic(uint64_t) *filter = atomic_load_explicit(&r->filter, memory_order_acquire);

	/* It is over since the caller looked. */
	if (filter == NULL)
		return;
	/* Relaxed: the shard's lock, which the caller takes next, orders it. */
	for (unsigned i = 0; i < FILTER_PLACES; i++)
		atomic_fetch_or_explicit(&filter[place(hash, i) / 64],
		    (uint64_t)1 << place(hash, i) % 64, memory_order_relaxed);
}

static bool
is_noted(struct restore *r, uint64_t hash)
{
	_Atomic(uint64_t) *filter = atomic_load_explicit(&r->filter, memory_order_relaxed);

	for (unsigned i = 0; i < FILTER_PLACES; i++)
		if (!(atomic_load_explicit(&filter[place(hash, i) / 64], memory_order_relaxed) >>
		    place(hash, i) % 64 & 1))
			return false;
	return true;
}

/* --- invalidations -------------------------------------------------------------------------- */

void
restore_bar(struct restore *r, struct invalidation *inv)
{
	lock_acquire(&r->lock);
	if (atomic_load(&r->running)) {
		if (r->n_bars < BARS_MAX)
			r->bars[r->n_bars++] = invalidation_ref(inv);
		else
			atomic_store(&r->stopped, true);
	}
	lock_release(&r->lock);
}

/* The shard is held: a walk that has not been here yet will find what is put now. */
static bool
is_barred(struct restore *r, struct slice key, struct slice record)
{
	bool yes = false;

	lock_acquire(&r->lock);
	for (unsigned i = 0; i < r->n_bars && !yes; i++)
		yes = invalidation_meets(r->bars[i], key, record);
	lock_release(&r->lock);
	return yes;
}

/* --- its life ----------------------------------------------------------------------------- */

static void
announce(struct store *s, bool on)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *st = &s->stripes[i];

		lock_acquire(&st->lock);
		if (on)
			pending_announce_locked(st);
		else
			pending_withdraw_locked(st);
		lock_release(&st->lock);
	}
}

int
store_restore_begin(struct store *s)
{
	struct restore *r = &s->restore;

	if (atomic_load(&r->running))
		return -EBUSY;
	r->bars = mem_calloc(BARS_MAX, sizeof(struct invalidation *));
	if (r->bars == NULL)
		return -ENOMEM;
	atomic_store(&r->filter, mem_calloc(FILTER_WORDS, sizeof(uint64_t)));
	if (atomic_load(&r->filter) == NULL) {
		mem_free(r->bars);
		r->bars = NULL;
		return -ENOMEM;
	}
	r->n_bars = 0;
	atomic_store(&r->stopped, false);
	atomic_store(&r->running, true);
	announce(s, true);
	return 0;
}

/* Who notes holds a stripe, and looked at `running` there: when each was taken once, all of
 * them see that it is over. */
void
store_restore_end(struct store *s)
{
	struct restore *r = &s->restore;
	_Atomic(uint64_t) *filter;

	if (!atomic_exchange(&r->running, false))
		return;
	filter = atomic_exchange(&r->filter, NULL);
	announce(s, false);
	mem_free(filter);
	lock_acquire(&r->lock);
	for (unsigned i = 0; i < r->n_bars; i++)
		invalidation_free(r->bars[i]);
	r->n_bars = 0;
	mem_free(r->bars);
	r->bars = NULL;
	lock_release(&r->lock);
}

bool
store_is_restoring(const struct store *s)
{
	return atomic_load_explicit(&s->restore.running, memory_order_relaxed);
}

/* --- an entry ----------------------------------------------------------------------------- */

static enum restored
put_restored(struct restore *r, struct cache_cursor *cur, const struct cache_dumped *d,
    bool same_policy)
{
	if (atomic_load_explicit(&r->stopped, memory_order_relaxed))
		return RESTORED_STOPPED;
	if (is_noted(r, cur->hash) || is_barred(r, d->key, d->record))
		return RESTORED_NEWER;
	switch (cache_restore(cur, d, same_policy)) {
	case 0:
		return RESTORED;
	case -ETIME:
		return RESTORED_EXPIRED;
	case -ENOMEM:
		return RESTORED_NO_MEMORY;
	default:
		return RESTORED_REFUSED;
	}
}

enum restored
store_restore(struct store_loop *sl, const struct cache_dumped *d, bool same_policy)
{
	struct store *s = sl->store;
	struct cache_cursor cur;
	enum restored how;

	assert(store_is_restoring(s));
	if (near_of(s, namespace_of(sl, d->key)) != NULL)
		return RESTORED_TIER;
	store_make_room(sl, d->key.len + d->value.len);
	cache_open(s->cache, &sl->thread, d->key, cache_hash(s->cache, d->key), 0, &cur);
	how = put_restored(&s->restore, &cur, d, same_policy);
	cache_close(&cur);
	return how;
}
