#include "config.h"

#include "store/near_walk.h"

#include "store/internal.h"

void
near_walk_init(struct near_walk *w, int origin)
{
	*w = (struct near_walk){ .origin = origin };
	buf_init(&w->keys);
}

void
near_walk_fini(struct near_walk *w)
{
	buf_fini(&w->keys);
}

/* A prefix inside a tier's may belong to another one, or to none. */
static bool
is_ours(const struct store_loop *sl, int origin, struct slice key)
{
	const struct config_origin *tier = near_tier_of(namespace_of(sl, key));

	return tier != NULL && tier->stats_id == origin;
}

bool
near_invalidate(struct store_loop *sl, int origin, struct slice key)
{
	if (!is_ours(sl, origin, key))
		return false;
	store_delete(sl, key);
	/* It may be what another pannier has fetched for all. */
	tier_waits_wake(&sl->store->tier_waits, store_hash(sl, key));
	return true;
}

/* --- walks --------------------------------------------------------------------- */

bool
near_walk_is_done(const struct near_walk *w)
{
	return !w->drops && w->n_losses == 0;
}

/* A channel that is lost more often than a walk takes has lost our trust. */
void
near_walk_soften(struct near_walk *w, const struct near_loss *l)
{
	if (w->n_losses == NEAR_WALKS) {
		w->drops = true;
		w->n_losses = 0;
		w->cursor = 0;
		return;
	}
	w->losses[w->n_losses++] = *l;
}

struct wanted {
	const struct store_loop *sl;
	int origin;
};

static bool
wants(void *arg, struct slice key, struct slice record)
{
	const struct wanted *w = arg;

	(void)record;
	return is_ours(w->sl, w->origin, key);
}

static bool
wants_flight(void *arg, const struct pending *p)
{
	return wants(arg, p->key, (struct slice){ NULL, 0 });
}

static void
detach_flights(struct store_loop *sl, int origin)
{
	struct wanted wanted = { sl, origin };

	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *st = &sl->store->stripes[i];

		lock_acquire(&st->lock);
		flight_detach_locked(st, wants_flight, &wanted);
		lock_release(&st->lock);
	}
}

/* What began before is not stored, so that nothing old can come behind the walk. It
 * makes those for losses needless. */
void
near_walk_drop(struct near_walk *w, struct store_loop *sl)
{
	detach_flights(sl, w->origin);
	w->drops = true;
	w->n_losses = 0;
	w->cursor = 0;
}

/* By a loss what is served for a shorter time anyway is left as it is: it was not
 * verified. That is what goes when the channel is back. */
static void
soften(struct cache_cursor *cur, enum cache_result found, const struct near_loss *l)
{
	bool is_short = cur->expires_ms != CACHE_NEVER && cur->expires_ms <= l->until_ms;
	int64_t until_ms = l->back ? cur->expires_ms : l->until_ms;

	if (found != CACHE_HIT || is_short != l->back)
		return;
	if (until_ms <= l->lost_ms)
		cache_remove(cur);
	else
		cache_soften_at(cur, l->lost_ms, until_ms - l->lost_ms);
}

static void
visit(struct near_walk *w, struct store_loop *sl, struct slice key)
{
	struct cache_cursor cur;
	enum cache_result found = cache_open(sl->store->cache, &sl->thread, key,
	    store_hash(sl, key), 0, &cur);

	if (w->drops)
		cache_remove(&cur);
	else
		soften(&cur, found, &w->losses[0]);
	cache_close(&cur);
}

static void
walk_done(struct near_walk *w)
{
	if (w->drops)
		w->drops = false;
	else
		memmove(w->losses, w->losses + 1, --w->n_losses * sizeof *w->losses);
	buf_fini(&w->keys);
}

/* Out of memory: the same step once more, when it is called again. */
bool
near_walk_step(struct near_walk *w, struct store_loop *sl)
{
	struct wanted wanted = { sl, w->origin };
	struct slice run;

	if (near_walk_is_done(w))
		return false;
	if (cache_scan_wanted(sl->store->cache, &sl->thread, &w->cursor, wants, &wanted,
	    &w->keys) != 0)
		return true;
	run = buf_slice(&w->keys);
	while (run.len > 0)
		visit(w, sl, cache_scan_next(&run));
	buf_clear(&w->keys);
	if (w->cursor == 0)
		walk_done(w);
	return !near_walk_is_done(w);
}
