/* The keys, who is sampled, and the counts; sim.c has the caches.
 *
 * All caches share the keys' table, which keeps those too that no cache holds, oldest
 * forgotten by chance, for what policies remember of them. Where nearly all are held the share
 * is lowered by an eighth.
 *
 * What the application does depends on the cache that there is: what missed there is
 * written, what hit is not. So a simulated cache that lost what the real one has fills it at
 * the read, and a write after a miss is no use in one that had it. Ends in time are those
 * of the real cache in all of them. */
#include "config.h"

#include "stats/sims.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"
#include "stats/pace.h"

#define WHOLE UINT32_MAX
#define KEYS_MAX UINT16_MAX
#define LOWER_SHIFT 3
#define LOOKS 64        /* for a key that no cache holds */
#define RESIZED 0.05

struct sims {
	struct lock lock;
	_Atomic(uint32_t) below;
	struct pace pace;
	struct sim sims[SIM_COUNT];
	uint64_t sizes[SIM_SIZES];  /* of the caches that they stand for */
	bool has_sizes;
	struct sim_key *keys;       /* [max + 1]; number 0 is none */
	uint16_t *chains;           /* [max] */
	uint32_t max, n;
	uint16_t spare;
	uint32_t hand;              /* where a key that nobody holds is looked for */
	uint64_t memory_bytes;
	double reads, hits[SIM_COUNT];
	double expected;            /* reads that should be in the sample */
	uint64_t counted;           /* the last word of sims_count() */
	int64_t half_life_ms, faded_ms; /* 0: not yet */
};

/* --- life ------------------------------------------------------------------------------ */

static uint32_t
keys_for(uint64_t bytes)
{
	uint64_t fixed = sizeof(struct sims) + sizeof(struct sim_key);

	uint64_t each = sizeof(struct sim_key) + sizeof(uint16_t);

	return (uint32_t)MIN((bytes - fixed) / each, KEYS_MAX);
}

/* No key is there any more. */
static void
clear_locked(struct sims *s)
{
	for (unsigned i = 0; i < SIM_COUNT; i++)
		sim_clear(&s->sims[i]);
	memset(s->chains, 0, s->max * sizeof *s->chains);
	memset(s->keys, 0, (s->max + 1) * sizeof *s->keys);
	for (uint32_t i = 1; i < s->max; i++)
		s->keys[i].next = (uint16_t)(i + 1);
	s->spare = 1;
	s->n = 0;
}

static void
forget_counts_locked(struct sims *s)
{
	s->reads = s->expected = 0;
	memset(s->hits, 0, sizeof s->hits);
}

static uint32_t
threshold(const struct sims *s)
{
	return atomic_load_explicit(&s->below, memory_order_relaxed);
}

static double
share(const struct sims *s)
{
	return threshold(s) == WHOLE ? 1 : (double)threshold(s) / 0x1p32;
}

static void
begin_locked(struct sims *s, int64_t now_ms)
{
	atomic_store_explicit(&s->below, WHOLE, memory_order_relaxed);
	pace_begin(&s->pace, SIMS_CALM, SIMS_CREDIT, now_ms);
	s->faded_ms = now_ms;
	clear_locked(s);
	forget_counts_locked(s);
}

int
sims_new(uint64_t memory_bytes, int64_t half_life_ms, struct sims **out)
{
	struct sims *s;

	if (memory_bytes < SIMS_MEMORY_MIN)
		return -EINVAL;
	s = mem_zalloc(sizeof *s);
	if (s == NULL)
		return -ENOMEM;
	s->max = keys_for(memory_bytes);
	s->keys = mem_calloc(s->max + 1, sizeof *s->keys);
	s->chains = mem_calloc(s->max, sizeof *s->chains);
	if (s->keys == NULL || s->chains == NULL) {
		mem_free(s->keys);
		mem_free(s->chains);
		mem_free(s);
		return -ENOMEM;
	}
	lock_init(&s->lock);
	s->memory_bytes = sizeof *s + (s->max + 1) * sizeof *s->keys + s->max * sizeof *s->chains;
	s->half_life_ms = half_life_ms;
	for (unsigned i = 0; i < SIM_COUNT; i++)
		s->sims[i] = (struct sim){ .policy = (enum sim_policy)(i / SIM_SIZES), .index = i,
			.keys = s->keys, .n_keys = s->max };
	begin_locked(s, 0);
	*out = s;
	return 0;
}

void
sims_free(struct sims *s)
{
	if (s == NULL)
		return;
	lock_fini(&s->lock);
	mem_free(s->keys);
	mem_free(s->chains);
	mem_free(s);
}

/* --- keys -------------------------------------------------------------------------------- */

static uint16_t *
chain_of(const struct sims *s, uint64_t hash)
{
	return &s->chains[(hash >> 32) * s->max >> 32];
}

static uint16_t
find_locked(const struct sims *s, uint64_t hash)
{
	uint16_t i = *chain_of(s, hash);

	while (i != 0 && s->keys[i].hash != hash)
		i = s->keys[i].next;
	return i;
}

static void
drop_locked(struct sims *s, uint16_t key)
{
	struct sim_key *k = &s->keys[key];
	uint16_t *link = chain_of(s, k->hash);

	for (unsigned i = 0; i < SIM_COUNT; i++)
		sim_drop(&s->sims[i], key);
	while (*link != key)
		link = &s->keys[*link].next;
	*link = k->next;
	*k = (struct sim_key){ .next = s->spare };
	s->spare = key;
	s->n--;
}

static void
fit_locked(struct sims *s)
{
	for (unsigned i = 0; i < SIM_COUNT; i++) {
		s->sims[i].capacity = (uint64_t)((double)s->sizes[i % SIM_SIZES] * share(s));
		sim_fit(&s->sims[i]);
	}
}

static void
scale_counts_locked(struct sims *s, double by)
{
	s->reads *= by;
	s->expected *= by;
	for (unsigned i = 0; i < SIM_COUNT; i++)
		s->hits[i] *= by;
}

static void
lower_locked(struct sims *s, uint32_t to)
{
	double was = share(s);

	assert(lock_held(&s->lock));
	for (uint32_t i = 1; i <= s->max; i++)
		if (s->keys[i].used && (uint32_t)s->keys[i].hash >= to)
			drop_locked(s, (uint16_t)i);
	atomic_store_explicit(&s->below, to, memory_order_relaxed);
	scale_counts_locked(s, share(s) / was);
	fit_locked(s);
}

/* All places are taken: some key that no cache holds goes. Where none is found soon, nearly
 * all are held: the share is too large. A quarter of idle keys makes that one in 10^8. */
static void
make_place_locked(struct sims *s)
{
	for (unsigned i = 0; i < LOOKS && s->spare == 0; i++) {
		s->hand = s->hand % s->max + 1;
		if (s->keys[s->hand].held == 0)
			drop_locked(s, (uint16_t)s->hand);
	}
	while (s->spare == 0)
		lower_locked(s, threshold(s) - (threshold(s) >> LOWER_SHIFT));
}

/* 0: it is not sampled any more. */
static uint16_t
add_locked(struct sims *s, const struct mrc_ref *r)
{
	uint16_t i, *chain;

	if (s->spare == 0)
		make_place_locked(s);
	if ((uint32_t)r->hash >= threshold(s))
		return 0;
	i = s->spare;
	chain = chain_of(s, r->hash);
	s->spare = s->keys[i].next;
	s->keys[i] = (struct sim_key){ .hash = r->hash, .next = *chain, .used = true };
	*chain = i;
	s->n++;
	return i;
}

/* What the real entry has. */
static void
describe_locked(struct sims *s, uint16_t key, const struct mrc_ref *r)
{
	struct sim_key *k = &s->keys[key];
	uint32_t bytes = (uint32_t)MIN(r->bytes, UINT32_MAX);

	k->expires_ms = r->expires_ms == 0 ? INT64_MAX : r->expires_ms;
	if (bytes == k->bytes)
		return;
	for (unsigned i = 0; i < SIM_COUNT; i++)
		sim_resized(&s->sims[i], key, (int64_t)bytes - (int64_t)k->bytes);
	k->bytes = bytes;
}

static bool
begin(struct sims *s, const struct mrc_ref *r)
{
	uint32_t least = WHOLE / SIMS_LEAST_SHARE, now;

	lock_acquire(&s->lock);
	now = threshold(s);
	if (pace_is_over(&s->pace, r->now_ms) && now > least) {
		lower_locked(s, MAX(now / 2, least));
		pace_lowered(&s->pace);
	}
	if ((uint32_t)r->hash < threshold(s) && s->has_sizes)
		return true;
	lock_release(&s->lock);
	return false;
}

/* 0: it is not there, or its time is over. */
static uint16_t
find_live_locked(struct sims *s, const struct mrc_ref *r)
{
	uint16_t key = find_locked(s, r->hash);

	if (key != 0 && s->keys[key].expires_ms <= r->now_ms) {
		drop_locked(s, key);
		key = 0;
	}
	return key;
}

/* --- references ----------------------------------------------------------------------------- */

bool
sims_wants(const struct sims *s, uint64_t hash)
{
	return (uint32_t)hash < threshold(s);
}

/* In every cache, as the application would write it where it is missing. */
static void
put_locked(struct sims *s, uint16_t key, bool is_use)
{
	for (unsigned i = 0; i < SIM_COUNT; i++)
		sim_put(&s->sims[i], key, is_use);
	s->keys[key].missed = false;
}

void
sims_read(struct sims *s, const struct mrc_ref *r, bool hit)
{
	uint16_t key;

	if (!begin(s, r))
		return;
	key = find_live_locked(s, r);
	if (key == 0 && hit) {
		/* It was there before there was a sample: nobody knows since when. */
		key = add_locked(s, r);
		if (key != 0) {
			describe_locked(s, key, r);
			put_locked(s, key, false);
		}
		s->expected--;
		lock_release(&s->lock);
		return;
	}
	s->reads++;
	if (key != 0 && hit)
		describe_locked(s, key, r);
	for (unsigned i = 0; i < SIM_COUNT && key != 0; i++) {
		bool had = sim_read(&s->sims[i], key);

		s->hits[i] += had;
		if (!had && hit)
			sim_put(&s->sims[i], key, false);
	}
	if (key != 0)
		s->keys[key].missed = !hit;
	lock_release(&s->lock);
}

void
sims_put(struct sims *s, const struct mrc_ref *r)
{
	uint16_t key;

	if (!begin(s, r))
		return;
	key = find_live_locked(s, r);
	if (key == 0)
		key = add_locked(s, r);
	if (key != 0) {
		describe_locked(s, key, r);
		put_locked(s, key, !s->keys[key].missed);
	}
	lock_release(&s->lock);
}

void
sims_drop(struct sims *s, uint64_t hash)
{
	uint16_t key;

	lock_acquire(&s->lock);
	key = find_locked(s, hash);
	if (key != 0)
		drop_locked(s, key);
	lock_release(&s->lock);
}

void
sims_clear(struct sims *s)
{
	lock_acquire(&s->lock);
	clear_locked(s);
	lock_release(&s->lock);
}

void
sims_reset(struct sims *s, int64_t now_ms)
{
	lock_acquire(&s->lock);
	begin_locked(s, now_ms);
	fit_locked(s);
	lock_release(&s->lock);
}

/* --- sizes, time and what it comes to ------------------------------------------------ */

static bool
has_changed(const struct sims *s, const uint64_t bytes[SIM_SIZES])
{
	for (unsigned i = 0; i < SIM_SIZES; i++)
		if (fabs((double)bytes[i] - (double)s->sizes[i]) > RESIZED * (double)s->sizes[i])
			return true;
	return false;
}

void
sims_resize(struct sims *s, const uint64_t bytes[SIM_SIZES])
{
	lock_acquire(&s->lock);
	if (has_changed(s, bytes)) {
		memcpy(s->sizes, bytes, sizeof s->sizes);
		s->has_sizes = true;
		forget_counts_locked(s);
		for (unsigned i = 0; i < SIM_COUNT; i++)
			s->sims[i].has_evicted = false;
		fit_locked(s);
	}
	lock_release(&s->lock);
}

void
sims_count(struct sims *s, uint64_t reads)
{
	lock_acquire(&s->lock);
	s->expected += (double)(reads < s->counted ? reads : reads - s->counted) * share(s);
	s->counted = reads;
	lock_release(&s->lock);
}

void
sims_tick(struct sims *s, int64_t now_ms)
{
	lock_acquire(&s->lock);
	if (s->half_life_ms > 0 && s->faded_ms != 0 && now_ms > s->faded_ms)
		scale_counts_locked(s, exp2(-(double)(now_ms - s->faded_ms) /
		    (double)s->half_life_ms));
	s->faded_ms = now_ms;
	lock_release(&s->lock);
}

static void
tell_locked(const struct sims *s, unsigned size, struct sims_result *out)
{
	const struct sim *lru = &s->sims[size];

	out->told[size] = s->reads >= SIMS_READS_ENOUGH && s->sizes[size] != 0 &&
	    (!lru->has_evicted || lru->count >= SIMS_ENTRIES_ENOUGH);
	for (unsigned p = 0; p < SIM_POLICIES && out->told[size]; p++)
		out->above_lru[p][size] = (s->hits[p * SIM_SIZES + size] - s->hits[size]) /
		    MAX(s->expected, 1.0);
}

void
sims_result(struct sims *s, struct sims_result *out)
{
	lock_acquire(&s->lock);
	*out = (struct sims_result){ .memory_bytes = s->memory_bytes, .keys = s->n,
		.keys_max = s->max, .share = share(s), .reads = s->reads };
	for (unsigned i = 0; i < SIM_SIZES; i++)
		tell_locked(s, i, out);
	lock_release(&s->lock);
}
