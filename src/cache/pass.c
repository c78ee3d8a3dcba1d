#include "config.h"

#include "cache/pass.h"

#include <errno.h>

#include "cache/impl.h"

/* --- what is told ------------------------------------------------------------------ */

/* Each table is gone through twice: by who writes and by who reads. */
#define POOL_FIELDS(F) \
	F(next_slot) F(meta_pages) F(reserve) F(classes) F(moved_time) F(n_segs) F(n_free) \
	F(has_stale) F(written) F(filled) F(filling) F(gen) F(live[0]) F(live[1]) F(waste[0]) \
	F(waste[1])
#define EXTENTS_FIELDS(F) F(brk) F(table_pages) F(live_pages) F(released_pages)
#define CACHE_FIELDS(F) \
	F(cleaner.victim) F(cleaner.rewinds) F(cleaner.drop) F(cleaner.walk.at) \
	F(cleaner.walk.end) F(crawler.swept_ms) F(crawler.sweeping) F(crawler.inside) \
	F(crawler.seg) F(crawler.block) F(crawler.walk.at) F(crawler.walk.end) \
	F(crawler.least) F(reclass.shard) F(reclass.left) F(reclass.running) F(reclassify) \
	F(protected_bytes) F(ahead) F(dear_class) F(paced) F(paced_written) F(paced_filled) \
	F(paced_moved) F(move_cost) F(fresh_share) F(cleaned_bytes) F(wants_page) \
	F(evict_shard) F(evict_until)
#define SHARD_FIELDS(F) \
	F(table_pages) F(gen) F(oldest) F(marked) F(marker_next) F(markers_in) F(count) \
	F(expiring) F(n_protected) F(user_bytes) F(evicted) F(expired) F(policy_counted) \
	F(policy_hand)

#define PACK(field) pack_u64(p, (uint64_t)o->field);
#define UNPACK(field) o->field = (__typeof__(o->field + 0))unpack_u64(u);

uint64_t
cache_layout(void)
{
	const uint64_t sizes[] = { CACHE_LAYOUT, sizeof(struct region_head),
		sizeof(struct shard_head), sizeof(struct entry), sizeof(struct entry_large),
		sizeof(struct segment), sizeof(struct extent), REF_SHIFT, PAGE_SHIFT,
		GRANULE_SHIFT, SEG_CLASSES, SEG_LANES, SEG_LISTS, HOLE_UNITS_MAX, SHARD_QUEUES,
		SHARD_MARKERS, EXTENT_ORDERS };
	uint64_t layout = 0;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		layout = layout * 1099511628211u + sizes[i]; /* FNV's prime */
	return layout;
}

bool
cache_may_pass(struct cache *c)
{
	bool mapped = false;

	for (unsigned i = 0; i < c->n_shards && !mapped; i++) {
		shard_lock(&c->shards[i]);
		mapped = c->shards[i].mapped;
		shard_unlock(&c->shards[i]);
	}
	return !mapped;
}

void
cache_pass_begin(const struct cache *c, struct cache_past *out)
{
	*out = (struct cache_past){
		.fd = c->arena.fd,
		.bytes = c->arena.bytes,
		.reserve_pages = c->reserve_pages,
		.least_pages = c->least_pages,
		.granules = c->extents.limit,
		.policy = CACHE_LRU,
		.policy_shard_bytes = c->policy_shard_bytes,
		.shards = c->n_shards,
		.seed = c->seed,
	};
	while (policy_of((enum cache_policy)out->policy) != c->shards[0].policy)
		out->policy++;
}

#define PAST_FIELDS(F) \
	F(bytes) F(reserve_pages) F(least_pages) F(granules) F(policy) F(policy_shard_bytes) \
	F(shards) F(seed)

void
cache_past_pack(struct packer *p, const struct cache_past *o)
{
	PAST_FIELDS(PACK)
}

void
cache_past_unpack(struct unpacker *u, struct cache_past *o)
{
	PAST_FIELDS(UNPACK)
}

/* --- out --------------------------------------------------------------------------- */

static void
pack_pool(struct packer *p, const struct pool *o)
{
	POOL_FIELDS(PACK)
	pack_raw(p, o->holes, sizeof o->holes);
	for (unsigned k = 0; k < SEG_KINDS; k++) {
		const struct lane *l = &o->lanes[k];

		pack_raw(p, l->seg, sizeof l->seg);
		pack_raw(p, l->room, sizeof l->room);
		pack_u64(p, l->newest);
		pack_u64(p, l->most_behind);
	}
}

static void
pack_shard(struct packer *p, const struct shard *o)
{
	SHARD_FIELDS(PACK)
	for (unsigned q = 0; q < SHARD_QUEUES; q++)
		pack_u64(p, o->queue_bytes[q]);
	pack_raw(p, o->policy_mem, o->policy_mem != NULL ? o->policy_bytes : 0);
}

static void
pack_extents(struct packer *p, const struct extents *o)
{
	EXTENTS_FIELDS(PACK)
}

static void
pack_cache(struct packer *p, const struct cache *o)
{
	pack_u64(p, (uint64_t)arena_used(&o->arena));
	CACHE_FIELDS(PACK)
}

/* Somebody is in the middle of something there. */
static bool
any_is_busy(const struct cache *c)
{
	for (unsigned i = 0; i < c->n_shards; i++)
		if (c->shards[i].trimming || c->shards[i].bookmarked || c->shards[i].mapped)
			return true;
	return false;
}

bool
cache_pass_end(const struct cache *c, struct packer *p)
{
	if (atomic_load(&c->pool.pinned_bytes) != 0 || any_is_busy(c) ||
	    atomic_load(&c->extents.pinned_bytes) != 0)
		return false;
	pack_u64(p, cache_layout());
	pack_u64(p, c->seed);
	pack_u64(p, c->n_shards);
	pack_cache(p, c);
	pack_pool(p, &c->pool);
	pack_extents(p, &c->extents);
	for (unsigned i = 0; i < c->n_shards; i++)
		pack_shard(p, &c->shards[i]);
	return true;
}

/* --- in ---------------------------------------------------------------------------- */

static void
unpack_array(struct unpacker *u, void *to, size_t n)
{
	const char *at = unpack_raw(u, n);

	if (at != NULL && n != 0)
		memcpy(to, at, n);
}

static void
unpack_pool(struct unpacker *u, struct pool *o)
{
	POOL_FIELDS(UNPACK)
	unpack_array(u, o->holes, sizeof o->holes);
	for (unsigned k = 0; k < SEG_KINDS; k++) {
		struct lane *l = &o->lanes[k];

		unpack_array(u, l->seg, sizeof l->seg);
		unpack_array(u, l->room, sizeof l->room);
		l->newest = (unsigned)unpack_u64(u);
		l->most_behind = (uint32_t)unpack_u64(u);
		u->failed |= l->newest >= SEG_LANES;
	}
	u->failed |= o->next_slot > o->n_slots;
}

static void
unpack_shard(struct unpacker *u, struct shard *o)
{
	SHARD_FIELDS(UNPACK)
	for (unsigned q = 0; q < SHARD_QUEUES; q++)
		o->queue_bytes[q] = unpack_u64(u);
	unpack_array(u, o->policy_mem, o->policy_mem != NULL ? o->policy_bytes : 0);
}

static void
unpack_extents(struct unpacker *u, struct extents *o)
{
	EXTENTS_FIELDS(UNPACK)
	u->failed |= o->brk > o->limit;
}

static void
unpack_cache(struct unpacker *u, struct cache *o)
{
	atomic_store(&o->arena.used_pages, (int64_t)unpack_u64(u));
	CACHE_FIELDS(UNPACK)
}

int
cache_pass_take(struct cache *c, struct unpacker *u)
{
	if (unpack_u64(u) != cache_layout() || unpack_u64(u) != c->seed ||
	    unpack_u64(u) != c->n_shards)
		return -EINVAL;
	unpack_cache(u, c);
	unpack_pool(u, &c->pool);
	unpack_extents(u, &c->extents);
	for (unsigned i = 0; i < c->n_shards; i++)
		unpack_shard(u, &c->shards[i]);
	return u->failed ? -EINVAL : 0;
}

/* --- classes ----------------------------------------------------------------------- */

static void
recount_chain(struct cache *c, struct cache_thread *t, uint32_t ref)
{
	while (ref != 0) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e);
		struct cache_tally *tally = tally_of(c, t, entry_key(c, e, word));

		counter_inc(&tally->entries);
		counter_add(&tally->bytes, (int64_t)entry_footprint(e, word));
		ref = e->chain;
	}
}

void
cache_recount(struct cache *c, struct cache_thread *t)
{
	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];

		shard_lock(sh);
		for (uint32_t b = 0; b < table_size(sh); b++)
			recount_chain(c, t, *table_bucket(sh, b));
		shard_unlock(sh);
	}
}
