/* The cleaner: empties the segment with the fewest live bytes by moving these
 * behind one another, and so turns scattered dead bytes into free segments.
 *
 * As in log-structured file systems (Rosenblum and Ousterhout 1991) its cost
 * is u / (1 - u) bytes moved for each byte won, at a share u of live bytes. So
 * it starts late, when few segments are free, for victims get emptier all the
 * while; and where even the best victim is too full, entries are evicted ahead
 * of need until victims are emptier again (cache.ahead), which bounds the cost
 * of a write whatever the load does.
 *
 * A put that finds no room at all, as when large values begin to come where every
 * byte is in use by small ones, cannot wait for that. It takes the emptiest
 * segment as it is: what lies there goes, whoever's turn it is. That is one
 * segment of hundreds, a few times in a shift of sizes.
 *
 * Segments that a flush has left behind are emptied first: nothing in them is
 * moved, their entries are only counted out. */
#include "config.h"

#include <string.h>

#include "cache/impl.h"

#define WALK_MAX 512     /* entries looked at in a step */
#define BATCH 8          /* entries whose memory is fetched ahead */
#define MAX_REWINDS 4
#define DRAIN_BYTES 2048
/* Victims from here on are not worth the time of a put that waits for room: to win
 * a segment three would have to be moved, and up to sixty. */
#define DROP_CLASS (SEG_CLASSES * 3 / 4)

struct found {
	uint32_t ref;
	uint64_t hash;
};

/* --- stale segments ----------------------------------------------------------- */

/* Whether no cursor can stand in a segment of an older generation. */
static bool
all_shards_follow(const struct work *w)
{
	struct cache *c = w->c;
	uint32_t gen = pool_gen(&c->pool);

	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];

		if (atomic_load_explicit(&sh->gen, memory_order_acquire) == gen)
			continue;
		if (!work_lock_shard(w, sh))
			return false;
		work_unlock_shard(w, sh);
	}
	return true;
}

static void
drop_stale(const struct work *w, uint32_t ref, uint32_t word)
{
	struct cache *c = w->c;
	struct entry *e = arena_at(&c->arena, ref);
	struct cache_tally *tally;

	if (word_state(word) != ENTRY_LIVE || ref == w->keep)
		return;
	tally = tally_of(c, w->t, entry_key(c, e, word));
	counter_add(&tally->entries, -1);
	counter_add(&tally->bytes, -(int64_t)entry_footprint(e, word));
	entry_free(c, ref, e, word);
}

/* --- moving ------------------------------------------------------------------------ */

/* False: no memory to move it to, or a flush came between. */
static bool
move_locked(struct cache *c, struct shard *sh, uint32_t ref, uint64_t hash)
{
	struct entry *e = arena_at(&c->arena, ref), *copy;
	uint32_t word = entry_word(e), bytes = word_bytes(word);
	uint32_t to = pool_alloc(&c->pool, SEG_MOVED, word, stamp_end(entry_stamp(e, word)));

	if (to == 0)
		return false;
	copy = arena_at(&c->arena, to);
	if (pool_gen_of(&c->pool, to) != atomic_load(&sh->gen)) {
		entry_set_word(copy, word_with_state(word, ENTRY_DEAD));
		pool_free(&c->pool, to, bytes);
		return false;
	}
	memcpy(copy + 1, e + 1, bytes - sizeof *e);
	shard_write_begin(sh);
	table_replace(sh, hash, ref, to);
	queue_moved(sh, ref, to);
	entry_set_word(copy, word);
	shard_write_end(sh);
	entry_set_word(e, word_with_state(word, ENTRY_DEAD));
	pool_free(&c->pool, ref, bytes);
	atomic_fetch_add_explicit(&c->cleaned_bytes, bytes, memory_order_relaxed);
	return true;
}

static bool
must_stay(const struct cache *c, const struct entry *e, uint32_t word)
{
	uint16_t tally = class_of(c, entry_key(c, e, word)).tally;

	return word_is_protected(word) || (tally & CACHE_PROTECTED) != 0;
}

/* Whether it went. */
static bool
drop_locked(const struct work *w, struct shard *sh, const struct found *f, uint32_t word)
{
	struct cache *c = w->c;
	const struct entry *e = arena_at(&c->arena, f->ref);
	unsigned quota = quota_of_key(sh, entry_key(c, e, word), f->hash);
	uint64_t bytes = entry_footprint(e, word);

	if (must_stay(c, e, word) || (quota != 0 && !quota_lend(c, quota, bytes)))
		return false;
	entry_leave_locked(c, w->t, sh, f->ref, f->hash, LEAVE_EVICTED);
	if (quota != 0)
		quota_lent(c, quota, bytes);
	return true;
}

/* Bytes won. */
static uint32_t
clean_locked(const struct work *w, struct shard *sh, const struct found *f)
{
	struct cache *c = w->c;
	const struct entry *e = arena_at(&c->arena, f->ref);
	uint32_t word = entry_word(e);

	if (word_state(word) != ENTRY_LIVE ||
	    pool_gen_of(&c->pool, f->ref) != atomic_load(&sh->gen))
		return 0;
	if (entry_ended(e, word, w->t->now_ms))
		entry_leave_locked(c, w->t, sh, f->ref, f->hash, LEAVE_EXPIRED);
	else if (!(c->cleaner.drop && drop_locked(w, sh, f, word)) &&
	    !move_locked(c, sh, f->ref, f->hash))
		return 0;
	return word_bytes(word);
}

/* An entry whose shard cannot be had now is left for a later walk over the
 * segment. */
static uint32_t
clean_entry(const struct work *w, const struct found *f)
{
	struct shard *sh = shard_of(w->c, f->hash);
	uint32_t won;

	if (f->ref == w->keep || !work_lock_shard(w, sh))
		return 0;
	won = clean_locked(w, sh, f);
	work_unlock_shard(w, sh);
	return won;
}

static void
fetch(const struct cache *c, struct found *f, uint32_t ref, uint32_t word)
{
	const struct entry *e = arena_at(&c->arena, ref);

	f->ref = ref;
	f->hash = key_hash(c->seed, entry_key(c, e, word));
	cache_prefetch(c, f->hash);
	__builtin_prefetch(arena_at(&c->arena, link_get(&e->newer)), 1);
	__builtin_prefetch(arena_at(&c->arena, link_get(&e->older)), 1);
}

/* --- a step --------------------------------------------------------------------------- */

static bool
start(struct cache *c, bool stale, bool drop)
{
	struct cleaner *cl = &c->cleaner;
	const struct segment *s;

	cl->victim = pool_victim(&c->pool, stale);
	if (cl->victim == 0)
		return false;
	s = &c->pool.segs[cl->victim];
	cl->rewinds = 0;
	cl->drop = drop;
	cl->walk.at = cl->victim << c->pool.shift;
	cl->walk.end = cl->walk.at + (s->used >> REF_SHIFT);
	pool_inherit(&c->pool, cl->victim);
	return true;
}

/* Where entries die in the order of the log, the rest of the oldest segment is
 * what goes next anyway, and moving it would be for nothing. */
static bool
drains(const struct cache *c, uint32_t seg)
{
	return atomic_load(&c->pool.segs[seg].live) != 0 && evict_is_at(c, seg);
}

/* CLEAN_MORE: a victim is there, or some entries were evicted in place of
 * emptying it. */
static enum clean
choose(const struct work *w, bool urgent)
{
	struct cache *c = w->c;
	unsigned class, dear = atomic_load_explicit(&c->dear_class, memory_order_relaxed);
	uint32_t seg;

	if (atomic_load(&c->pool.has_stale)) {
		if (!all_shards_follow(w))
			return CLEAN_STUCK;
		return start(c, true, false) ? CLEAN_MORE : CLEAN_IDLE;
	}
	class = pool_best_class(&c->pool, &seg);
	if (class >= dear) {
		pool_close_lanes(&c->pool);
		class = pool_best_class(&c->pool, &seg);
	}
	if (seg != 0 && drains(c, seg) && evict_some(w, DRAIN_BYTES) != 0)
		return CLEAN_MORE;
	if (w->in_need && class >= DROP_CLASS)
		return start(c, false, true) ? CLEAN_MORE : CLEAN_IDLE;
	if (class >= (urgent ? FULL_CLASS : dear))
		return CLEAN_IDLE;
	return start(c, false, false) ? CLEAN_MORE : CLEAN_IDLE;
}
/* At the end of a walk: free, or again, or later. */
static enum clean
finish(const struct work *w)
{
	struct cache *c = w->c;
	struct cleaner *cl = &c->cleaner;
	bool empty = atomic_load(&c->pool.segs[cl->victim].live) == 0;

	if (!empty && ++cl->rewinds <= MAX_REWINDS) {
		cl->walk.at = cl->victim << c->pool.shift;
		return CLEAN_MORE;
	}
	pool_release(&c->pool, cl->victim);
	cl->victim = 0;
	return empty ? CLEAN_FREED : CLEAN_STUCK;
}

/* Up to BATCH live entries of the walk, their memory on its way. */
static unsigned
collect(const struct work *w, struct found *found, unsigned *seen, bool stale)
{
	struct cache *c = w->c;
	uint32_t ref, word;
	unsigned n = 0;

	while (n < BATCH && *seen < WALK_MAX && walk_next(c, &c->cleaner.walk, &ref, &word)) {
		++*seen;
		if (stale)
			drop_stale(w, ref, word);
		else if (word_state(word) == ENTRY_HOLE)
			pool_drop_hole(&c->pool, ref);
		else if (word_state(word) == ENTRY_LIVE)
			fetch(c, &found[n++], ref, word);
	}
	return n;
}

enum clean
clean_step(const struct work *w, uint32_t bytes, bool urgent)
{
	struct cache *c = w->c;
	struct cleaner *cl = &c->cleaner;
	struct found found[BATCH];
	uint32_t won = 0;
	unsigned seen = 0;

	assert(lock_held(&c->work));
	if (cl->victim == 0) {
		enum clean did = choose(w, urgent);

		if (did != CLEAN_MORE || cl->victim == 0)
			return did;
	}
	while (won < bytes && seen < WALK_MAX && cl->walk.at < cl->walk.end) {
		bool stale = c->pool.segs[cl->victim].gen != pool_gen(&c->pool);
		unsigned n;

		if (stale && !all_shards_follow(w))
			return CLEAN_STUCK;
		n = collect(w, found, &seen, stale);
		for (unsigned i = 0; i < n; i++)
			won += clean_entry(w, &found[i]);
	}
	return cl->walk.at < cl->walk.end ? CLEAN_MORE : finish(w);
}
