/* ladder.c - what is left where an origin failed, refused or was too slow: what was
 * set meanwhile; the value whose time is over, or that there was none, within
 * stale_if_error; the namespace's fallback; else the error. */
#include "config.h"

#include <assert.h>

#include "store/fresh.h"
#include "store/internal.h"

/* A slot serves many keys: who comes later takes it, and the other is asked for
 * once more. */
static struct failure *
failure_of(struct stripe *st, uint64_t hash)
{
	return &st->failures[hash / STRIPES % FAILURES];
}

static void
remember_failure_locked(struct pending *p, const struct config_namespace *ns, int64_t now_ms)
{
	if (ns->retry_after_ms != 0)
		*failure_of(p->stripe, p->hash) = (struct failure){ .hash = p->hash,
			.until_ms = now_ms + ns->retry_after_ms };
}

bool
failed_lately_locked(struct stripe *st, uint64_t hash, int64_t now_ms)
{
	const struct failure *f = failure_of(st, hash);

	assert(lock_held(&st->lock));
	return f->hash == hash && now_ms < f->until_ms;
}

/* What a client stored says by being there still that it may be served. What a tier tells
 * of is served for so long as near.h believes it without hearing of it, and no longer:
 * whether it missed a write meanwhile nobody could tell. */
unsigned
stale_uses(const struct store_loop *sl, const struct cache_cursor *cur,
    const struct config_namespace *ns, struct meta *m)
{
	int64_t now_ms = sl->thread.now_ms;
	struct near *near = near_of(sl->store, ns);
	unsigned uses;

	if (!meta_decode(cache_record(cur), m))
		m->sie_ms = INT64_MAX;
	uses = fresh_uses(ns, m, cur->expires_ms, now_ms);
	if (near == NULL)
		return uses;
	if (near_may_serve(near, cur->expires_ms, now_ms))
		return uses | FRESH_SERVE | FRESH_SPARE | FRESH_LOST;
	return uses & FRESH_ASK;
}

int64_t
store_age_ms(const struct store_cursor *cur)
{
	struct meta m;

	if (!meta_decode(cache_record(&cur->c), &m))
		return -1;
	return fresh_age_ms(&m, cur->c.thread->now_ms);
}

bool
take_stale_value(struct cache_cursor *cur)
{
	struct meta m;

	if (!cache_take_stale(cur))
		return false;
	meta_decode(cache_record(cur), &m);
	if (m.kind == META_VALUE && !m.no_stale)
		return true;
	cur->value = (struct slice){ NULL, 0 };
	cur->expires_ms = CACHE_NEVER;
	return false;
}

/* The value under the cursor, copied. */
static bool
spare_value(const struct cache_cursor *cur, int64_t now_ms, struct answer *a)
{
	struct blob *copy = blob_of(cur->value);
	struct meta m;

	if (copy == NULL)
		return false;
	a->status = FILL_VALUE;
	a->value = copy;
	if (meta_decode(cache_record(cur), &m))
		a->age_ms = fresh_age_ms(&m, now_ms);
	return true;
}

static bool
spare_stale(const struct store_loop *sl, struct cache_cursor *cur,
    const struct config_namespace *ns, struct answer *a)
{
	struct meta m;

	if (!cache_take_stale(cur))
		return false;
	if (!(stale_uses(sl, cur, ns, &m) & (FRESH_SPARE | FRESH_FOUND)))
		return false;
	if (m.kind == META_VALUE && !spare_value(cur, sl->thread.now_ms, a))
		return false;
	if (m.kind != META_VALUE)
		a->status = FILL_NOT_FOUND;
	a->stale = true;
	return true;
}

bool
spare_locked(struct store_loop *sl, const struct config_namespace *ns, const struct pending *p,
    struct answer *a)
{
	struct cache_cursor cur;
	bool found;

	assert(lock_held(&p->stripe->lock));
	if (cache_open(sl->store->cache, &sl->thread, p->key, p->hash, 0, &cur) == CACHE_HIT)
		found = spare_value(&cur, sl->thread.now_ms, a);
	else
		found = spare_stale(sl, &cur, ns, a);
	cache_close(&cur);
	return found;
}

void
fall_back(const struct config_namespace *ns, struct answer *a)
{
	struct blob *value;

	if (ns->fallback == FALLBACK_NIL) {
		a->status = FILL_NOT_FOUND;
		a->fallback = true;
	} else if (ns->fallback == FALLBACK_VALUE) {
		value = blob_of(slice_str(ns->fallback_value));
		if (value == NULL)
			return;
		a->status = FILL_VALUE;
		a->value = value;
		a->fallback = true;
	}
}

void
ladder_locked(struct store_loop *sl, const struct config_namespace *ns, struct pending *p,
    struct answer *a)
{
	remember_failure_locked(p, ns, sl->thread.now_ms);
	if (p->n_waiters != 0 && !spare_locked(sl, ns, p, a))
		fall_back(ns, a);
}
