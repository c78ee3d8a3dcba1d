/* Birth and death of a cache, its layout in the arena, and what concerns all
 * of it. */
#include "config.h"

#include "cache/cache.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "cache/impl.h"
#include "cache/pass.h"

#define SEG_SHIFT_MIN 13 /* 64 KiB, in references */
#define SEG_SHIFT_MAX 15 /* 256 KiB */
#define SEGMENTS_AIM 512 /* below that many, segments are smaller */
#define SEGMENTS_LEAST 24
#define SMALL_SHARE 4    /* of a segment: the largest entry that lies in one */
#define MAX_ENTRY_SHARE 4
#define SHARDS_AUTO_MAX 64
#define POLICY_ALIGN 4096
#define SHARD_AUTO_BYTES (4u << 20)
/* Address space, as multiples or shares of reserve_bytes. */
#define TABLES_SHARE 4
#define VALUES_TIMES 4

struct layout {
	unsigned seg_shift;
	uint32_t first_slot, n_slots;
	uint32_t granules;
	uint64_t shards_at, segs_at, extents_at, tables_at, values_at;
	uint64_t bytes;
	uint64_t fixed_pages; /* taken at the start */
	uint64_t least_pages; /* of a budget that it works with */
};

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static unsigned
log2_of(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

static unsigned
shards_for(const struct cache_opts *o)
{
	uint64_t n = o->budget_bytes / SHARD_AUTO_BYTES;

	if (o->shards != 0)
		return o->shards;
	return n >= SHARDS_AUTO_MAX ? SHARDS_AUTO_MAX : 1u << log2_of(MAX(n, 4));
}

static unsigned
seg_shift_for(uint64_t budget_bytes)
{
	unsigned shift = SEG_SHIFT_MAX;

	while (shift > SEG_SHIFT_MIN && (budget_bytes >> (shift + REF_SHIFT)) < SEGMENTS_AIM)
		shift--;
	return shift;
}

/* What references reach comes first: shards' heads, then segments. Behind it,
 * on pages of their own: segments' and extents' tables, hash tables, values of
 * large entries. */
static void
layout_of(struct layout *l, uint64_t budget, uint64_t reserve, unsigned shards)
{
	uint64_t heads = PAGE_BYTES + (uint64_t)shards * sizeof(struct shard_head);
	uint64_t seg_bytes, at;

	l->seg_shift = seg_shift_for(budget);
	seg_bytes = 1ull << (l->seg_shift + REF_SHIFT);
	l->first_slot = (uint32_t)MAX(round_up(heads, seg_bytes) / seg_bytes, SEG_LISTS);
	l->n_slots = (uint32_t)MIN(l->first_slot + reserve / seg_bytes, REF_REACH / seg_bytes);
	l->granules = (uint32_t)(VALUES_TIMES * reserve >> GRANULE_SHIFT);
	l->shards_at = PAGE_BYTES;
	at = l->n_slots * seg_bytes;
	l->segs_at = at;
	at = round_up(at + POOL_META_BYTES(l->n_slots), PAGE_BYTES);
	l->extents_at = at;
	at = round_up(at + EXTENT_TABLE_BYTES(l->granules), PAGE_BYTES);
	l->tables_at = at;
	at += round_up(reserve / TABLES_SHARE, (uint64_t)shards << PAGE_SHIFT);
	l->values_at = at;
	l->bytes = at + ((uint64_t)l->granules << GRANULE_SHIFT);
	l->fixed_pages = (round_up(heads, PAGE_BYTES) >> PAGE_SHIFT) + shards;
	l->least_pages = 2 * l->fixed_pages + (SEGMENTS_LEAST * seg_bytes >> PAGE_SHIFT);
}

static int
opts_check(const struct cache_opts *o, uint64_t reserve, unsigned shards)
{
	if (o->budget_bytes < CACHE_BUDGET_MIN || o->budget_bytes > reserve || reserve > REF_REACH)
		return -EINVAL;
	if (shards > CACHE_SHARDS_MAX || (shards & (shards - 1)) != 0)
		return -EINVAL;
	if (policy_of(o->policy) == NULL)
		return -EINVAL;
	return 0;
}

static void
write_region_head(const struct cache *c, const struct layout *l)
{
	struct region_head *h = (void *)c->arena.base;

	*h = (struct region_head){ .magic = "pannier", .version = 1, .shards = c->n_shards,
		.seg_shift = l->seg_shift, .first_slot = l->first_slot, .n_slots = l->n_slots,
		.stride_shift = PAGE_SHIFT + log2_of(c->n_shards), .seed = c->seed,
		.shards_at = l->shards_at, .segs_at = l->segs_at, .extents_at = l->extents_at,
		.tables_at = l->tables_at, .values_at = l->values_at };
}

static void
set_mark_gap(struct cache *c)
{
	uint64_t segs = (uint64_t)arena_budget(&c->arena) / c->pool.seg_pages;

	atomic_store(&c->mark_gap, (uint32_t)MAX(segs * 4 / (SHARD_MARKERS * 3), 1));
}

static int
init_arena(struct cache *c, const struct layout *l, uint64_t budget)
{
	char *base;
	int rc = arena_init(&c->arena, l->bytes, budget >> PAGE_SHIFT);

	if (rc != 0)
		return rc;
	base = c->arena.base;
	if (!arena_take(&c->arena, l->fixed_pages) ||
	    !pool_init(&c->pool, &c->arena, (void *)(base + l->segs_at), l->seg_shift,
	    l->first_slot, l->n_slots)) {
		arena_fini(&c->arena);
		return -EINVAL;
	}
	extents_init(&c->extents, &c->arena, (void *)(base + l->extents_at), base + l->values_at,
	    l->granules);
	write_region_head(c, l);
	return 0;
}

static void
fini_arena(struct cache *c)
{
	extents_fini(&c->extents);
	pool_fini(&c->pool);
	arena_fini(&c->arena);
}

static void
init_shards(struct cache *c, uint64_t shards_at, uint64_t tables_at, enum cache_policy policy,
    bool attach)
{
	struct shard_head *heads = (void *)(c->arena.base + shards_at);
	unsigned bits = log2_of(c->n_shards);

	c->shard_shift = 64 - bits;
	for (unsigned i = 0; i < c->n_shards; i++) {
		struct shard *sh = &c->shards[i];

		(attach ? shard_attach : shard_init)(sh, c, &heads[i],
		    c->arena.base + tables_at + ((uint64_t)i << PAGE_SHIFT), PAGE_SHIFT + bits);
		sh->policy = policy_of(policy);
		sh->slow_touch = sh->policy->touch != NULL ? ~0u : BITS_OWN << WORD_POLICY_SHIFT;
		if (c->policy_mem != NULL) {
			sh->policy_bytes = c->policy_shard_bytes;
			sh->policy_mem = c->policy_mem + i * sh->policy_bytes;
		}
	}
}

/* Lies on the heap, but counts against the budget. By the first budget, for
 * good: what it tells of is statistics, of which less is worth a little less. */
static int
policy_alloc(struct cache *c, const struct policy *p, uint64_t budget_bytes)
{
	uint64_t bytes;

	if (p->memory == NULL)
		return 0;
	bytes = round_up(p->memory(budget_bytes) / c->n_shards + 1, POLICY_ALIGN);
	if (!arena_take(&c->arena, bytes * c->n_shards >> PAGE_SHIFT))
		return -EINVAL;
	c->policy_mem = mem_calloc(c->n_shards, bytes);
	c->policy_shard_bytes = bytes;
	return c->policy_mem != NULL ? 0 : -ENOMEM;
}

/* The heap gives 16 bytes of alignment; some want cache lines of their own. *mem is what to
 * free. */
static void *
alloc_lines(size_t bytes, void **mem)
{
	*mem = mem_zalloc(bytes + 63);
	return (void *)(((uintptr_t)*mem + 63) & ~(uintptr_t)63);
}

/* Where address space is limited (ulimit -v, valgrind) and the caller did not
 * ask for any, less of it does as well. */
static int
init_in_reserve(struct cache *c, const struct cache_opts *o)
{
	uint64_t reserve = o->reserve_bytes != 0 ? o->reserve_bytes : REF_REACH;
	struct layout l;
	int rc;

	do {
		rc = opts_check(o, reserve, c->n_shards);
		if (rc != 0)
			return rc;
		layout_of(&l, o->budget_bytes, reserve, c->n_shards);
		if (o->budget_bytes >> PAGE_SHIFT < l.least_pages)
			return -EINVAL;
		rc = init_arena(c, &l, o->budget_bytes);
		c->reserve_pages = reserve >> PAGE_SHIFT;
		reserve /= 2;
	} while (rc == -ENOMEM && o->reserve_bytes == 0 && reserve >= o->budget_bytes);
	if (rc != 0)
		return rc;
	rc = policy_alloc(c, policy_of(o->policy), o->budget_bytes);
	if (rc != 0) {
		fini_arena(c);
		return rc;
	}
	c->least_pages = l.least_pages;
	c->small_max = c->pool.seg_bytes / SMALL_SHARE;
	init_shards(c, l.shards_at, l.tables_at, o->policy, false);
	return 0;
}

/* --- another process's -------------------------------------------------------------- */

static bool
head_fits(const struct cache *c, const struct region_head *h)
{
	return memcmp(h->magic, "pannier", sizeof h->magic) == 0 && h->version == 1 &&
	    h->shards == c->n_shards && h->seed == c->seed && h->first_slot >= SEG_LISTS &&
	    h->stride_shift == PAGE_SHIFT + log2_of(c->n_shards) &&
	    h->shards_at + c->n_shards * sizeof(struct shard_head) <= h->segs_at &&
	    h->segs_at < h->extents_at && h->extents_at < h->tables_at &&
	    h->tables_at < h->values_at && h->values_at < c->arena.bytes;
}

static int
attach_arena(struct cache *c, const struct cache_past *past, uint64_t budget_bytes)
{
	uint64_t budget = MAX(MIN(budget_bytes >> PAGE_SHIFT, past->reserve_pages),
	    past->least_pages);
	const struct region_head *h;
	char *base;
	int rc = arena_attach(&c->arena, past->fd, past->bytes, budget);

	if (rc != 0)
		return rc;
	base = c->arena.base;
	h = (const void *)base;
	if (!head_fits(c, h)) {
		arena_fini(&c->arena);
		return -EINVAL;
	}
	pool_attach(&c->pool, &c->arena, (void *)(base + h->segs_at), h->seg_shift,
	    h->first_slot, h->n_slots);
	extents_init(&c->extents, &c->arena, (void *)(base + h->extents_at),
	    base + h->values_at, (uint32_t)past->granules);
	return 0;
}

static int
init_from_past(struct cache *c, const struct cache_opts *o)
{
	const struct cache_past *past = o->past;
	const struct region_head *h;
	int rc;

	if (past->policy != o->policy || past->shards == 0 || past->shards > CACHE_SHARDS_MAX ||
	    (past->shards & (past->shards - 1)) != 0)
		return -EINVAL;
	rc = attach_arena(c, past, o->budget_bytes);
	if (rc != 0)
		return rc;
	if (past->policy_shard_bytes != 0) {
		c->policy_shard_bytes = past->policy_shard_bytes;
		c->policy_mem = mem_calloc(c->n_shards, past->policy_shard_bytes);
		if (c->policy_mem == NULL) {
			fini_arena(c);
			return -ENOMEM;
		}
	}
	h = (const void *)c->arena.base;
	c->reserve_pages = past->reserve_pages;
	c->least_pages = past->least_pages;
	c->small_max = c->pool.seg_bytes / SMALL_SHARE;
	init_shards(c, h->shards_at, h->tables_at, o->policy, true);
	return 0;
}

int
cache_new(const struct cache_opts *o, struct cache **out)
{
	struct cache *c = mem_zalloc(sizeof *c);
	int rc;

	if (c == NULL)
		return -ENOMEM;
	c->n_shards = o->past != NULL ? (unsigned)o->past->shards : shards_for(o);
	c->seed = o->past != NULL ? o->past->seed : o->seed;
	c->sample_below = &sample_none;
	c->classify = o->classify;
	c->classify_arg = o->classify_arg;
	cache_protect(c, o->protected_bytes);
	c->quota_of = o->quota_of;
	c->unmap = o->unmap;
	c->shards = alloc_lines(c->n_shards * sizeof *c->shards, &c->shards_mem);
	c->quotas = alloc_lines(CACHE_QUOTAS * sizeof *c->quotas, &c->quotas_mem);
	if (c->shards_mem == NULL || c->quotas_mem == NULL)
		rc = -ENOMEM;
	else
		rc = o->past != NULL ? init_from_past(c, o) : init_in_reserve(c, o);
	if (rc != 0) {
		mem_free(c->quotas_mem);
		mem_free(c->shards_mem);
		mem_free(c);
		return rc;
	}
	lock_init(&c->work);
	lock_init(&c->remap_lock);
	set_mark_gap(c);
	work_init(c);
	*out = c;
	return 0;
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->n_shards; i++)
		lock_fini(&c->shards[i].lock);
	lock_fini(&c->work);
	quota_fini(c);
	fini_arena(c);
	mem_free(c->policy_mem);
	mem_free(c->quotas_mem);
	mem_free(c->shards_mem);
	mem_free(c);
}

/* --- hints ------------------------------------------------------------------------- */

void
cache_prefetch(const struct cache *c, uint64_t hash)
{
	const struct shard *sh = shard_of(c, hash);

	__builtin_prefetch(table_chain(sh, hash));
}

/* --- all of it ------------------------------------------------------------------------ */

uint64_t
cache_max_entry(const struct cache *c)
{
	return (uint64_t)pages_bytes(arena_budget(&c->arena)) / MAX_ENTRY_SHARE;
}

uint64_t
cache_count(const struct cache *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->n_shards; i++)
		n += shard_get(&c->shards[i].count);
	return n;
}

int
cache_resize(struct cache *c, uint64_t budget_bytes)
{
	uint64_t pages = budget_bytes >> PAGE_SHIFT;

	if (budget_bytes < CACHE_BUDGET_MIN || pages < c->least_pages || pages > c->reserve_pages)
		return -EINVAL;
	atomic_store(&c->arena.budget_pages, (int64_t)pages);
	set_mark_gap(c);
	return 0;
}

static void
sum_shards(const struct cache *c, struct cache_stats *out)
{
	for (unsigned i = 0; i < c->n_shards; i++) {
		const struct shard *sh = &c->shards[i];

		out->entries += shard_get(&sh->count);
		out->expiring += shard_get(&sh->expiring);
		out->protected_entries += shard_get(&sh->n_protected);
		out->user_bytes += shard_get(&sh->user_bytes);
		out->evicted += shard_get(&sh->evicted);
		out->expired += shard_get(&sh->expired);
		out->table_bytes += (uint64_t)table_size(sh) * sizeof(uint32_t);
	}
}

static uint64_t
not_negative(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

void
cache_stats(const struct cache *c, struct cache_stats *out)
{
	const struct pool *p = &c->pool;
	int64_t segs = (int64_t)atomic_load(&p->n_segs) * p->seg_bytes;
	int64_t empty = (int64_t)atomic_load(&p->n_free) * p->seg_bytes;
	int64_t left = pages_bytes(arena_budget(&c->arena) - arena_used(&c->arena));
	int64_t values = pages_bytes(atomic_load(&c->extents.live_pages));

	*out = (struct cache_stats){ .shards = c->n_shards };
	sum_shards(c, out);
	out->budget_bytes = (uint64_t)pages_bytes(arena_budget(&c->arena));
	out->used_bytes = (uint64_t)pages_bytes(arena_used(&c->arena));
	out->live_bytes = not_negative(pool_live(p) + values);
	out->dead_bytes = not_negative(segs - empty - pool_live(p) - pool_waste(p));
	out->free_bytes = not_negative(empty + left);
	out->pinned_bytes = not_negative(atomic_load(&p->pinned_bytes) +
	    atomic_load(&c->extents.pinned_bytes));
	out->protected_bytes = not_negative(atomic_load(&c->protected_bytes));
	out->protected_limit = protect_limit(c);
	out->cleaned_bytes = not_negative(atomic_load(&c->cleaned_bytes));
}
