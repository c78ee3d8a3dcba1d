/* The crawler: gives back the bytes of entries whose time has come, though
 * nobody reads them.
 *
 * Each segment keeps, for each quarter of it, a time before which nothing in
 * it expires, in units of 64 ms. A round looks at these alone and walks only
 * quarters that are due; a walk costs a few ns an entry and finds the quarter's
 * next time. So an entry is gone at the latest one unit and one round after its
 * time, and entries written together with the same TTL, the common case, are
 * walked once.
 *
 * Rejected: a timing wheel, 4 to 8 bytes more for each entry with a TTL; heaps
 * and radix queues by segment, threaded through spare bits: several cold reads
 * of each entry during its life, where a walk reads memory in order. */
#include "config.h"

#include "cache/impl.h"

#define WALK_MAX 2048  /* entries looked at in a step */
#define DROP_MAX 128   /* entries expired in a step */
#define LOOK_MAX 8192  /* segments looked at in a step */
#define BATCH 16

struct due {
	uint32_t ref;
	uint64_t hash;
};

static void
fetch(struct cache *c, struct due *d, uint32_t ref, uint32_t word)
{
	const struct entry *e = arena_at(&c->arena, ref);

	d->ref = ref;
	d->hash = key_hash(c->seed, entry_key(c, e, word));
	cache_prefetch(c, d->hash);
	__builtin_prefetch(arena_at(&c->arena, link_get(&e->newer)), 1);
	__builtin_prefetch(arena_at(&c->arena, link_get(&e->older)), 1);
}

/* Up to BATCH entries whose time has come; the rest tells when to come again.
 * One that is being written now has a time not known yet: come again soon. */
static unsigned
collect(const struct work *w, struct due *due, unsigned *seen)
{
	struct cache *c = w->c;
	struct crawler *cr = &c->crawler;
	uint32_t ref, word, now = tick_of(w->t->now_ms);
	unsigned n = 0;

	while (n < BATCH && *seen < WALK_MAX && walk_next(c, &cr->walk, &ref, &word)) {
		const struct entry *e = arena_at(&c->arena, ref);

		++*seen;
		if (!(word & WORD_TTL))
			continue;
		if (word_state(word) == ENTRY_PENDING)
			cr->least = MIN(cr->least, now);
		if (word_state(word) != ENTRY_LIVE)
			continue;
		if (entry_ended(e, word, w->t->now_ms))
			fetch(c, &due[n++], ref, word);
		else
			cr->least = MIN(cr->least, tick_of(stamp_end(entry_stamp(e, word))));
	}
	return n;
}

static bool
expire_entry(const struct work *w, const struct due *d)
{
	struct cache *c = w->c;
	struct shard *sh = shard_of(c, d->hash);
	const struct entry *e = arena_at(&c->arena, d->ref);
	uint32_t word;

	if (!work_lock_shard(w, sh))
		return false;
	word = entry_word(e);
	if (word_state(word) == ENTRY_LIVE && entry_ended(e, word, w->t->now_ms) &&
	    pool_gen_of(&c->pool, d->ref) == atomic_load(&sh->gen)) {
		entry_leave_locked(c, w->t, sh, d->ref, d->hash, LEAVE_EXPIRED);
		table_adjust(sh);
	}
	work_unlock_shard(w, sh);
	return true;
}

/* An entry whose shard could not be had makes its quarter due again. */
static void
crawl(const struct work *w)
{
	struct crawler *cr = &w->c->crawler;
	struct pool *p = &w->c->pool;
	struct due due[BATCH];
	unsigned seen = 0, dropped = 0;

	while (seen < WALK_MAX && dropped < DROP_MAX && cr->walk.at < cr->walk.end) {
		unsigned n = collect(w, due, &seen);

		for (unsigned i = 0; i < n; i++)
			if (!expire_entry(w, &due[i]))
				cr->least = 0;
		dropped += n;
	}
	if (cr->walk.at < cr->walk.end)
		return;
	pool_crawl_end(p, cr->seg, cr->block, cr->least);
	cr->inside = false;
	cr->block++;
}

/* The next quarter that is due, from where the round stands. */
static bool
find_due(const struct work *w)
{
	struct crawler *cr = &w->c->crawler;
	struct pool *p = &w->c->pool;
	uint32_t now = tick_of(w->t->now_ms);
	uint32_t end = atomic_load_explicit(&p->next_slot, memory_order_acquire);
	unsigned looked = 0;

	for (; cr->seg < end && looked < LOOK_MAX; cr->seg++, cr->block = 0, looked++) {
		struct segment *s = &p->segs[cr->seg];

		for (; cr->block < SEG_BLOCKS; cr->block++) {
			if (atomic_load_explicit(&s->least[cr->block], memory_order_relaxed) >= now)
				continue;
			cr->least = TICK_NEVER;
			cr->inside = pool_crawl_begin(p, cr->seg, cr->block, &cr->walk.at,
			    &cr->walk.end);
			if (cr->inside)
				return true;
		}
	}
	cr->sweeping = cr->seg < end;
	return false;
}

bool
expire_step(const struct work *w)
{
	struct crawler *cr = &w->c->crawler;

	assert(lock_held(&w->c->work));
	if (!cr->sweeping) {
		if (w->t->now_ms - cr->swept_ms < 1 << TICK_SHIFT)
			return false;
		cr->swept_ms = w->t->now_ms;
		cr->sweeping = true;
		cr->seg = w->c->pool.first_slot;
		cr->block = 0;
	}
	if (cr->inside || find_due(w))
		crawl(w);
	return cr->sweeping;
}
