/* How a reference becomes part of a curve.
 *
 * The stack holds the sampled keys by their last use. A read of a key above which lie
 * d bytes of others, of a sample that holds a share R of all keys, would have been a hit in
 * every LRU cache of at least d / R and its own bytes. So each read adds one to the
 * bucket of that size, and the hit rate of a cache is the sum of the buckets up to its
 * size, over all reads. A key that is not in the stack was a miss in all caches.
 *
 * Expiry. An entry whose time is over is a miss in all of them, and takes no room. What
 * is peculiar: a small cache loses an entry, its client fills it again, and from then on
 * it lives longer there than in a larger cache that kept it. So a key has two ends,
 * see struct mrc_key; a read between the two is a hit from its distance on up to the
 * size from which the entry had been kept, which takes one from that size's bucket.
 *
 * The sample is full: the threshold is lowered by an eighth, and what is above leaves.
 * Counts are kept in the unit of the present share, so they shrink with it.
 *
 * Correction. By chance the sample has more or fewer of the hottest keys than its share, which
 * shifts the whole curve. How many reads there were is known (mrc_count()); the
 * difference to those seen is taken for hits of the hottest keys (SHARDS-adj).
 *
 * Rejected: a heap for the exact fixed-size variant (lowering by an eighth costs eight looks
 * for each key that leaves, and no memory); counters by namespace alone with curves
 * of their own stacks (namespaces compete for the same memory). */
#include "config.h"

#include "stats/mrc.h"

#include <errno.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "stats/mrc_stack.h"
#include "stats/pace.h"

#define WHOLE UINT32_MAX      /* below, where all is sampled */
#define LOWER_SHIFT 3         /* by an eighth */
#define HOT_SHARE 256         /* a key that was used later than all but so few of them */
#define MEMORY_FOR_CURVES 4   /* a quarter */
/* A half-life in steps, and what is left after one: 2^(-1/8). */
#define FADE_STEPS 8
#define FADE_STEP 0.91700404320467123
#define FADE_STEPS_MAX 512

/* float: sums stay far below 2^24, since they fade and shrink with the share. */
struct curve {
	float hits[MRC_BUCKETS];
	double seen;      /* references in the sample */
	double expected;  /* what mrc_count() says there should be */
	double reads;     /* of mrc_count() */
	bool told;        /* it was called */
};

struct mrc {
	struct lock lock;
	_Atomic(uint32_t) *below;
	uint32_t threshold; /* what *below says, or would if it were not 0 */
	struct mrc_stack stack;
	uint32_t sweep_at;
	uint64_t most_bytes;
	int64_t half_life_ms;
	uint64_t memory_bytes;
	unsigned n_curves, curves_max;
	struct curve all;
	struct curve *curves[MRC_NAMESPACES]; /* made when they are needed */
	uint64_t counted[MRC_NAMESPACES];     /* the last word of mrc_count() */
	double seconds;
	int64_t ticked_ms, faded_ms; /* 0: not yet */
	uint64_t references;
	struct pace pace;
};

/* --- life -------------------------------------------------------------------------- */

static uint32_t
keys_for(uint64_t bytes)
{
	uint64_t fixed = sizeof(struct mrc) + mrc_stack_memory(0);
	uint64_t each = mrc_stack_memory(1) - mrc_stack_memory(0);

	return (uint32_t)MIN((bytes - bytes / MEMORY_FOR_CURVES - fixed) / each, MRC_KEYS_MAX);
}

static void
set_threshold(struct mrc *m, uint32_t threshold)
{
	m->threshold = threshold;
	atomic_store_explicit(m->below, threshold, memory_order_relaxed);
}

int
mrc_new(const struct mrc_opts *o, struct mrc **out)
{
	struct mrc *m;

	if (o->memory_bytes < MRC_MEMORY_MIN || o->memory_bytes > MRC_MEMORY_MAX)
		return -EINVAL;
	m = mem_zalloc(sizeof *m);
	if (m == NULL)
		return -ENOMEM;
	if (mrc_stack_init(&m->stack, keys_for(o->memory_bytes)) != 0) {
		mem_free(m);
		return -ENOMEM;
	}
	lock_init(&m->lock);
	m->below = o->below;
	m->most_bytes = o->most_bytes;
	m->half_life_ms = o->half_life_ms;
	m->memory_bytes = sizeof *m + mrc_stack_memory(m->stack.max);
	m->curves_max = (unsigned)MIN((o->memory_bytes - m->memory_bytes) / sizeof(struct curve),
	    MRC_NAMESPACES);
	pace_begin(&m->pace, MRC_CALM, MRC_CREDIT, 0);
	set_threshold(m, WHOLE);
	*out = m;
	return 0;
}

void
mrc_free(struct mrc *m)
{
	if (m == NULL)
		return;
	atomic_store_explicit(m->below, 0, memory_order_relaxed);
	lock_fini(&m->lock);
	for (unsigned i = 0; i < MRC_NAMESPACES; i++)
		mem_free(m->curves[i]);
	mrc_stack_fini(&m->stack);
	mem_free(m);
}

/* --- the share ---------------------------------------------------------------------- */

static double
share(const struct mrc *m)
{
	return m->threshold == WHOLE ? 1 : (double)m->threshold / 0x1p32;
}

static void
curve_shrink(struct curve *c, double by)
{
	for (unsigned i = 0; i < MRC_BUCKETS; i++)
		c->hits[i] *= (float)by;
	c->seen *= by;
	c->expected *= by;
}

static void
shrink_all(struct mrc *m, double by)
{
	curve_shrink(&m->all, by);
	for (unsigned i = 0; i < MRC_NAMESPACES; i++)
		if (m->curves[i] != NULL)
			curve_shrink(m->curves[i], by);
}

static void
lower_locked(struct mrc *m, uint32_t threshold)
{
	double was = share(m);

	assert(lock_held(&m->lock));
	for (uint32_t i = 1; i <= m->stack.max; i++) {
		struct mrc_key *k = mrc_stack_at(&m->stack, i);

		if (k != NULL && (uint32_t)k->hash >= threshold)
			mrc_stack_drop(&m->stack, k);
	}
	set_threshold(m, threshold);
	shrink_all(m, share(m) / was);
}

/* Too many references for their time: half of them, as far as may be. */
static void
check_rate_locked(struct mrc *m, int64_t now_ms)
{
	uint32_t least = WHOLE / MRC_LEAST_SHARE;

	assert(lock_held(&m->lock));
	if (!pace_is_over(&m->pace, now_ms) || m->threshold <= least)
		return;
	lower_locked(m, MAX(m->threshold / 2, least));
	pace_lowered(&m->pace);
}

/* What is used so rarely that no cache that is asked about would keep it. */
static void
forget_old_locked(struct mrc *m)
{
	struct mrc_stack *s = &m->stack;
	double most = (double)m->most_bytes * share(m);

	for (;;) {
		struct mrc_key *k = mrc_stack_oldest(s);

		if (k == NULL || s->n == 1 || (double)(s->bytes - k->bytes) < most)
			return;
		mrc_stack_drop(s, k);
	}
}

/* Keys whose time is over take no room in any cache: one is looked at by each
 * reference. */
static void
sweep_locked(struct mrc *m, int64_t now_ms)
{
	struct mrc_key *k = &m->stack.keys[m->sweep_at];

	if (m->sweep_at++ == m->stack.max)
		m->sweep_at = 1;
	if (k->slot != 0 && k->near_ms <= now_ms)
		mrc_stack_drop(&m->stack, k);
}

/* --- references ----------------------------------------------------------------------- */

/* NULL: there is no memory for one, and it counts for the whole only. */
static struct curve *
curve_of_locked(struct mrc *m, unsigned ns)
{
	if (m->curves[ns] == NULL && m->n_curves < m->curves_max) {
		m->curves[ns] = mem_zalloc(sizeof *m->curves[ns]);
		if (m->curves[ns] != NULL) {
			m->n_curves++;
			m->memory_bytes += sizeof *m->curves[ns];
		}
	}
	return m->curves[ns];
}

static void
count_locked(struct mrc *m, unsigned ns, int bucket, float n)
{
	struct curve *c = curve_of_locked(m, ns);

	m->all.hits[bucket] += n;
	if (c != NULL)
		c->hits[bucket] += n;
}

/* A sign of -1: what is seen can't be judged, as if it had not been there. */
static void
seen_locked(struct mrc *m, unsigned ns, bool judged)
{
	struct curve *c = curve_of_locked(m, ns), *both[] = { &m->all, c };

	for (unsigned i = 0; i < ARRAY_LEN(both) && both[i] != NULL; i++) {
		if (judged)
			both[i]->seen++;
		else
			both[i]->expected--;
	}
}

static int64_t
time_of(int64_t expires_ms)
{
	return expires_ms == 0 ? INT64_MAX : expires_ms;
}

static uint32_t
size_of(uint64_t bytes)
{
	return (uint32_t)MIN(bytes, UINT32_MAX);
}

/* The least cache that has it still, where so many bytes of the sample were used since. */
static unsigned
bucket_of(const struct mrc *m, const struct mrc_key *k, uint64_t above)
{
	double bytes = (double)above / share(m) + (double)k->bytes;
	double units = bytes / (1u << MRC_UNIT_BITS);

	if (units >= (double)(INT64_C(1) << MRC_MAX_BITS))
		return MRC_BUCKETS - 1;
	return loglin_bucket((int64_t)units, MRC_SUB_BITS);
}

static void
add_locked(struct mrc *m, const struct mrc_ref *r)
{
	struct mrc_key *k;

	while (m->stack.n == m->stack.max)
		lower_locked(m, m->threshold - (m->threshold >> LOWER_SHIFT));
	if ((uint32_t)r->hash >= m->threshold)
		return;
	k = mrc_stack_add(&m->stack, r->hash, size_of(r->bytes));
	k->near_ms = k->far_ms = time_of(r->expires_ms);
	forget_old_locked(m);
}

/* It is in the stack, and its time is not over. */
static void
read_locked(struct mrc *m, struct mrc_key *k, const struct mrc_ref *r, bool hit)
{
	unsigned bucket = bucket_of(m, k, mrc_stack_above(&m->stack, k));

	if (k->far_ms > r->now_ms) {
		count_locked(m, r->ns, (int)bucket, 1);
	} else if (bucket < k->refilled) {
		count_locked(m, r->ns, (int)bucket, 1);
		count_locked(m, r->ns, k->refilled, -1);
		/* Larger caches fill it now: with about as much time. */
		k->far_ms = k->near_ms;
	}
	k->missed = (uint16_t)(hit ? 0 : bucket + 1);
	mrc_stack_use(&m->stack, k, hit ? size_of(r->bytes) : k->bytes);
}

/* Half of all reads, as a rule, are of keys that were used just now: where they stand
 * among each other only caches could tell that are far smaller than any that is asked
 * about. So they stay where they are, which is most of the work. */
static bool
is_hot_locked(struct mrc *m, struct mrc_key *k, const struct mrc_ref *r)
{
	uint32_t since = mrc_stack_since(&m->stack, k);
	uint64_t mean = m->stack.bytes / m->stack.n;

	if (since > m->stack.n / HOT_SHARE || k->bytes != size_of(r->bytes) ||
	    k->far_ms <= r->now_ms)
		return false;
	k->missed = 0;
	count_locked(m, r->ns, (int)bucket_of(m, k, since * mean), 1);
	return true;
}

static bool
begin(struct mrc *m, const struct mrc_ref *r)
{
	lock_acquire(&m->lock);
	check_rate_locked(m, r->now_ms);
	if ((uint32_t)r->hash >= m->threshold) {
		lock_release(&m->lock);
		return false;
	}
	m->references++;
	sweep_locked(m, r->now_ms);
	return true;
}

/* NULL: not there, or its time is over. */
static struct mrc_key *
find_locked(struct mrc *m, const struct mrc_ref *r)
{
	struct mrc_key *k = mrc_stack_find(&m->stack, r->hash);

	if (k == NULL || k->near_ms > r->now_ms)
		return k;
	mrc_stack_drop(&m->stack, k);
	return NULL;
}

void
mrc_hit(struct mrc *m, const struct mrc_ref *r)
{
	struct mrc_key *k;

	if (!begin(m, r))
		return;
	k = find_locked(m, r);
	seen_locked(m, r->ns, k != NULL);
	if (k == NULL)
		add_locked(m, r); /* it was there before there was a sample */
	else if (!is_hot_locked(m, k, r))
		read_locked(m, k, r, true);
	lock_release(&m->lock);
}

void
mrc_miss(struct mrc *m, const struct mrc_ref *r)
{
	struct mrc_key *k;

	if (!begin(m, r))
		return;
	k = find_locked(m, r);
	seen_locked(m, r->ns, true);
	if (k != NULL)
		read_locked(m, k, r, false);
	lock_release(&m->lock);
}

/* What the cache had lost, and a larger one had not: only smaller ones take the new
 * end in time. Otherwise all do. */
static void
write_times(struct mrc_key *k, const struct mrc_ref *r)
{
	k->near_ms = time_of(r->expires_ms);
	if (k->missed == 0 || k->far_ms <= r->now_ms || k->far_ms > k->near_ms) {
		k->far_ms = k->near_ms;
		k->refilled = 0;
	} else {
		k->refilled = MAX(k->refilled, (uint16_t)(k->missed - 1));
	}
	k->missed = 0;
}

void
mrc_put(struct mrc *m, const struct mrc_ref *r)
{
	struct mrc_key *k;

	if (!begin(m, r))
		return;
	k = find_locked(m, r);
	if (k != NULL) {
		write_times(k, r);
		mrc_stack_use(&m->stack, k, size_of(r->bytes));
	} else {
		add_locked(m, r);
	}
	lock_release(&m->lock);
}

void
mrc_drop(struct mrc *m, uint64_t hash)
{
	struct mrc_key *k;

	lock_acquire(&m->lock);
	k = mrc_stack_find(&m->stack, hash);
	if (k != NULL)
		mrc_stack_drop(&m->stack, k);
	lock_release(&m->lock);
}

void
mrc_clear(struct mrc *m)
{
	lock_acquire(&m->lock);
	mrc_stack_clear(&m->stack);
	lock_release(&m->lock);
}

static void
curve_reset(struct curve *c)
{
	*c = (struct curve){ .told = c->told };
}

void
mrc_reset(struct mrc *m, int64_t now_ms)
{
	lock_acquire(&m->lock);
	mrc_stack_clear(&m->stack);
	curve_reset(&m->all);
	for (unsigned i = 0; i < MRC_NAMESPACES; i++)
		if (m->curves[i] != NULL)
			curve_reset(m->curves[i]);
	m->seconds = 0;
	m->ticked_ms = m->faded_ms = now_ms;
	pace_begin(&m->pace, MRC_CALM, MRC_CREDIT, now_ms);
	set_threshold(m, WHOLE);
	lock_release(&m->lock);
}

void
mrc_set_most(struct mrc *m, uint64_t most_bytes)
{
	lock_acquire(&m->lock);
	m->most_bytes = most_bytes;
	lock_release(&m->lock);
}

/* --- time and totals -------------------------------------------------------------------- */

static void
count_reads(struct curve *c, double reads, double expected)
{
	c->reads += reads;
	c->expected += expected;
	c->told = true;
}

void
mrc_count(struct mrc *m, unsigned ns, uint64_t reads)
{
	struct curve *c;
	double more;

	lock_acquire(&m->lock);
	more = (double)(reads < m->counted[ns] ? reads : reads - m->counted[ns]);
	m->counted[ns] = reads;
	c = reads != 0 ? curve_of_locked(m, ns) : m->curves[ns];
	if (c != NULL)
		count_reads(c, more, more * share(m));
	count_reads(&m->all, more, more * share(m));
	lock_release(&m->lock);
}

static void
fade_locked(struct mrc *m, double by)
{
	shrink_all(m, by);
	m->all.reads *= by;
	for (unsigned i = 0; i < MRC_NAMESPACES; i++)
		if (m->curves[i] != NULL)
			m->curves[i]->reads *= by;
	m->seconds *= by;
}

void
mrc_tick(struct mrc *m, int64_t now_ms)
{
	int64_t step_ms = m->half_life_ms / FADE_STEPS;
	double by = 1;

	lock_acquire(&m->lock);
	if (m->ticked_ms != 0)
		m->seconds += (double)(now_ms - m->ticked_ms) / 1e3;
	else
		m->faded_ms = now_ms;
	m->ticked_ms = now_ms;
	for (int i = 0; step_ms > 0 && now_ms - m->faded_ms >= step_ms && i < FADE_STEPS_MAX; i++) {
		m->faded_ms += step_ms;
		by *= FADE_STEP;
	}
	if (by < 1)
		fade_locked(m, by);
	lock_release(&m->lock);
}

/* --- curves ------------------------------------------------------------------------------- */

bool
mrc_curve(struct mrc *m, unsigned ns, struct mrc_curve *out)
{
	const struct curve *c;

	*out = (struct mrc_curve){ 0 };
	lock_acquire(&m->lock);
	c = ns == MRC_ALL ? &m->all : m->curves[ns];
	if (c != NULL && c->seen > 0) {
		for (unsigned i = 0; i < MRC_BUCKETS; i++)
			out->hits[i] = (double)c->hits[i];
		out->sampled = c->seen;
		out->expected = c->told ? MAX(c->expected, 0) : c->seen;
		out->reads = c->told ? c->reads : c->seen / share(m);
		out->seconds = m->seconds;
	}
	lock_release(&m->lock);
	return out->expected > 0;
}

static double
bucket_end(unsigned i)
{
	return (double)loglin_low(i, MRC_SUB_BITS) * (1u << MRC_UNIT_BITS);
}

static double
rate_of(const struct mrc_curve *c, double hits)
{
	double all = hits + (c->expected - c->sampled);

	return c->expected <= 0 ? 0 : MIN(MAX(all / c->expected, 0.0), 1.0);
}

double
mrc_hit_rate(const struct mrc_curve *c, uint64_t bytes)
{
	double hits = 0;

	if (bytes == 0)
		return 0;
	for (unsigned i = 0; i < MRC_BUCKETS; i++) {
		double low = bucket_end(i), high = bucket_end(i + 1);

		if ((double)bytes < high)
			return rate_of(c, hits + c->hits[i] * ((double)bytes - low) / (high - low));
		hits += c->hits[i];
	}
	return rate_of(c, hits);
}

uint64_t
mrc_bytes_for(const struct mrc_curve *c, double hit_rate, uint64_t most_bytes)
{
	uint64_t low = 0, high = most_bytes;

	if (mrc_hit_rate(c, high) < hit_rate)
		return 0;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (mrc_hit_rate(c, middle) < hit_rate)
			low = middle;
		else
			high = middle;
	}
	return high;
}

void
mrc_stats(struct mrc *m, struct mrc_stats *out)
{
	lock_acquire(&m->lock);
	*out = (struct mrc_stats){ .memory_bytes = m->memory_bytes, .keys = m->stack.n,
		.keys_max = m->stack.max, .share = share(m), .references = m->references };
	lock_release(&m->lock);
}
