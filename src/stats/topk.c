/* How it works. Each counter has a key and a count. A read of a key that has a counter adds to
 * it; a read of another takes over the counter with the least count, and is given that count
 * as well, for so often it may have been read before: `over` remembers it. A heap finds the
 * least, a table of hashes the key's.
 *
 * Decay. Counts are kept as of the time base_ms: a read that comes later is worth more
 * (forward decay: Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009), so that nothing has to be
 * touched as time goes by. Before worths become too large for the arithmetic all are scaled
 * down.
 *
 * Rejected: the paper's list of buckets, which needs counts that grow by one; a count-min
 * sketch with a heap beside it, which takes more memory for the same error; admission by
 * chance (RAP), which does better on flat streams, but has no bound to promise. */
#include "config.h"

#include "stats/topk.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

#define WORTH_STEP_MS 128      /* the worth of a read is worked out so often */
#define WORTH_MAX 0x1p60
#define NONE UINT16_MAX
#define ARITY 4                /* of the heap */

struct counter_of {
	struct topk_item item; /* as of base_ms */
	uint32_t at;           /* in the heap */
};

/* What the heap compares lies together. */
struct heap_node {
	double reads;
	uint32_t counter;
};

struct topk {
	struct counter_of *counters;
	struct heap_node *heap;
	uint16_t *table; /* by hash, linear probing; NONE: free */
	struct topk_sum *sums; /* by namespace */
	uint32_t n, max, mask;
	unsigned groups;
	double worth;      /* of a read now */
	int64_t worth_ms;  /* when that was worked out */
	int64_t base_ms, began_ms;
};

/* --- life ------------------------------------------------------------------------- */

static uint32_t
table_size(unsigned counters)
{
	uint32_t n = 4;

	while (n < 2 * counters)
		n *= 2;
	return n;
}

int
topk_new(unsigned counters, unsigned groups, int64_t now_ms, struct topk **out)
{
	struct topk *t;

	if (counters == 0 || counters > TOPK_COUNTERS_MAX)
		return -EINVAL;
	t = mem_zalloc(sizeof *t);
	if (t == NULL)
		return -ENOMEM;
	t->max = counters;
	t->groups = groups;
	t->mask = table_size(counters) - 1;
	t->counters = mem_calloc(counters, sizeof *t->counters);
	t->heap = mem_calloc(counters, sizeof *t->heap);
	t->table = mem_calloc(t->mask + 1, sizeof *t->table);
	t->sums = mem_calloc(groups, sizeof *t->sums);
	if (t->counters == NULL || t->heap == NULL || t->table == NULL || t->sums == NULL) {
		topk_free(t);
		return -ENOMEM;
	}
	topk_reset(t, now_ms);
	*out = t;
	return 0;
}

void
topk_free(struct topk *t)
{
	if (t == NULL)
		return;
	mem_free(t->counters);
	mem_free(t->heap);
	mem_free(t->table);
	mem_free(t->sums);
	mem_free(t);
}

void
topk_reset(struct topk *t, int64_t now_ms)
{
	memset(t->table, 0xff, (t->mask + 1) * sizeof *t->table);
	for (unsigned g = 0; g < t->groups; g++)
		t->sums[g] = (struct topk_sum){ 0, 0 };
	t->n = 0;
	t->worth = 1;
	t->worth_ms = t->base_ms = t->began_ms = now_ms;
}

/* --- time ------------------------------------------------------------------------- */

static double
worth_at(const struct topk *t, int64_t now_ms)
{
	return exp2((double)MAX(now_ms - t->base_ms, 0) / TOPK_HALF_LIFE_MS);
}

/* What is from so long ago that it counts for nothing may become 0. */
static void
rebase(struct topk *t, int64_t now_ms)
{
	double by = 1 / worth_at(t, now_ms);

	for (uint32_t i = 0; i < t->n; i++) {
		struct topk_item *it = &t->counters[i].item;

		it->reads *= by;
		it->over *= by;
		it->variance *= by * by;
		t->heap[t->counters[i].at].reads = it->reads;
	}
	for (unsigned g = 0; g < t->groups; g++) {
		t->sums[g].reads *= by;
		t->sums[g].samples *= by;
	}
	t->base_ms = now_ms;
}

static inline void
set_worth(struct topk *t, int64_t now_ms)
{
	if (likely(now_ms - t->worth_ms < WORTH_STEP_MS))
		return;
	if (worth_at(t, now_ms) > WORTH_MAX)
		rebase(t, now_ms);
	t->worth = worth_at(t, now_ms);
	t->worth_ms = now_ms;
}

/* --- the table -------------------------------------------------------------------- */

/* Where it is, or the free place where it would be. */
static uint32_t
table_find(const struct topk *t, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & t->mask;

	while (t->table[at] != NONE && t->counters[t->table[at]].item.hash != hash)
		at = (at + 1) & t->mask;
	return at;
}

/* Who stands behind it because their places were taken move up. */
static void
table_drop(struct topk *t, uint32_t hole)
{
	for (uint32_t at = (hole + 1) & t->mask; t->table[at] != NONE; at = (at + 1) & t->mask) {
		uint32_t home = (uint32_t)t->counters[t->table[at]].item.hash & t->mask;

		if (((at - home) & t->mask) < ((at - hole) & t->mask))
			continue;
		t->table[hole] = t->table[at];
		hole = at;
	}
	t->table[hole] = NONE;
}

/* --- the heap --------------------------------------------------------------------- */

static void
heap_put(struct topk *t, uint32_t at, struct heap_node node)
{
	t->heap[at] = node;
	t->counters[node.counter].at = at;
}

/* Its count has grown. */
static void
heap_sink(struct topk *t, uint32_t at)
{
	struct heap_node node = t->heap[at];

	for (;;) {
		uint32_t first = ARITY * at + 1, least = first;

		if (first >= t->n)
			break;
		for (uint32_t i = first + 1; i < MIN(first + ARITY, t->n); i++)
			if (t->heap[i].reads < t->heap[least].reads)
				least = i;
		if (node.reads <= t->heap[least].reads)
			break;
		heap_put(t, at, t->heap[least]);
		at = least;
	}
	heap_put(t, at, node);
}

static void
heap_rise(struct topk *t, uint32_t at)
{
	struct heap_node node = t->heap[at];

	while (at > 0 && t->heap[(at - 1) / ARITY].reads > node.reads) {
		heap_put(t, at, t->heap[(at - 1) / ARITY]);
		at = (at - 1) / ARITY;
	}
	heap_put(t, at, node);
}

/* --- reads ------------------------------------------------------------------------ */

static void
item_name(struct topk_item *it, const struct topk_read *r)
{
	it->hash = r->hash;
	it->ns = r->ns;
	it->key_len = (uint32_t)r->key.len;
	memcpy(it->key, r->key.ptr, MIN(r->key.len, TOPK_KEY_BYTES));
}

static double
variance_of(const struct topk *t, const struct topk_read *r)
{
	return t->worth * t->worth * r->weight * (r->weight - 1.0);
}

static void
add_known(struct topk *t, uint32_t counter, const struct topk_read *r)
{
	struct counter_of *c = &t->counters[counter];

	c->item.reads += t->worth * r->weight;
	c->item.variance += variance_of(t, r);
	t->heap[c->at].reads = c->item.reads;
	heap_sink(t, c->at);
}

static void
add_new(struct topk *t, uint32_t place, const struct topk_read *r)
{
	struct counter_of *c = &t->counters[t->n];

	item_name(&c->item, r);
	c->item.reads = t->worth * r->weight;
	c->item.over = 0;
	c->item.variance = variance_of(t, r);
	t->table[place] = (uint16_t)t->n;
	heap_put(t, t->n, (struct heap_node){ c->item.reads, t->n });
	heap_rise(t, t->n++);
}

static void
take_over(struct topk *t, const struct topk_read *r)
{
	uint32_t counter = t->heap[0].counter;
	struct topk_item *it = &t->counters[counter].item;

	table_drop(t, table_find(t, it->hash));
	item_name(it, r);
	it->over = it->reads;
	it->reads += t->worth * r->weight;
	it->variance = variance_of(t, r);
	t->table[table_find(t, r->hash)] = (uint16_t)counter;
	t->heap[0].reads = it->reads;
	heap_sink(t, 0);
}

void
topk_add(struct topk *t, const struct topk_read *r)
{
	uint32_t place = table_find(t, r->hash);

	set_worth(t, r->now_ms);
	t->sums[r->ns].samples += t->worth;
	t->sums[r->ns].reads += t->worth * r->weight;
	if (t->table[place] != NONE)
		add_known(t, t->table[place], r);
	else if (t->n < t->max)
		add_new(t, place, r);
	else
		take_over(t, r);
}

/* --- asking ----------------------------------------------------------------------- */

unsigned
topk_counters(const struct topk *t)
{
	return t->max;
}

unsigned
topk_items(const struct topk *t, int64_t now_ms, struct topk_item *out)
{
	double by = 1 / worth_at(t, now_ms);

	for (uint32_t i = 0; i < t->n; i++) {
		out[i] = t->counters[i].item;
		out[i].reads *= by;
		out[i].over *= by;
		out[i].variance *= by * by;
	}
	return t->n;
}

double
topk_reads(const struct topk *t, uint64_t hash, int64_t now_ms)
{
	uint16_t counter = t->table[table_find(t, hash)];

	return counter == NONE ? 0 : t->counters[counter].item.reads / worth_at(t, now_ms);
}

double
topk_least(const struct topk *t, int64_t now_ms)
{
	return t->n < t->max ? 0 : t->heap[0].reads / worth_at(t, now_ms);
}

struct topk_sum
topk_sum(const struct topk *t, unsigned ns, int64_t now_ms)
{
	double by = 1 / worth_at(t, now_ms);

	return (struct topk_sum){ t->sums[ns].reads * by, t->sums[ns].samples * by };
}

double
topk_seconds(const struct topk *t, int64_t now_ms)
{
	double life_s = TOPK_HALF_LIFE_MS / 1e3, age_s = (double)(now_ms - t->began_ms) / 1e3;

	return MAX(life_s / M_LN2 * (1 - exp2(-age_s / life_s)), 1.0);
}

/* Redis counts on from c with a chance of 1 in 10 (c - 5) + 1: to get from 5 to c takes
 * 5 (c - 5)^2 + (c - 5) reads. */
unsigned
topk_lfu(double reads)
{
	if (reads < 0.5)
		return 0;
	return (unsigned)MIN(5 + (sqrt(1 + 20 * reads) - 1) / 10 + 0.5, 255.0);
}
