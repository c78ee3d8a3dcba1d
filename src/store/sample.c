/* What hot.h is told, of reads that the server samples; and the curves of stats/mrc.h: reads
 * as they are counted, and what the cache says of writes and removals, both of sampled keys
 * only. Protected entries are left out: they are never evicted, so no memory changes their
 * hits. */
#include "config.h"

#include "stats/mrc.h"
#include "stats/sims.h"
#include "store/internal.h"

/* What was seen an hour and a half ago counts half. */
#define HALF_LIFE_MS (90 * INT64_C(60000))
/* Of the memory three eighths are for simulations of policies. */
#define SIMS_BYTES(memory) ((memory) / 8 * 3)

/* Of a sampled key. */
static void
tell_read(struct store *s, const struct mrc_ref *r, bool hit)
{
	if (hit)
		mrc_hit(s->mrc, r);
	else
		mrc_miss(s->mrc, r);
	if (sims_wants(s->sims, r->hash))
		sims_read(s->sims, r, hit);
}

NOINLINE void
sample_read(const struct store_cursor *cur, const struct config_namespace *ns, bool hit)
{
	struct mrc_ref r = { .hash = cur->c.hash, .ns = (unsigned)ns->stats_id,
		.now_ms = cur->sl->thread.now_ms };

	if (cur->sl->hot_weight != 0)
		hot_read(cur, ns);
	if (ns->class == CLASS_PROTECTED || !mrc_wants(&cur->sl->store->sample_below, r.hash))
		return;
	if (hit) {
		r.bytes = cache_footprint(&cur->c);
		r.expires_ms = cur->c.expires_ms;
	}
	tell_read(cur->sl->store, &r, hit);
}

/* Under the shard's lock. */
static void
on_sampled(void *arg, const struct cache_cursor *cur, uint16_t class, uint64_t bytes)
{
	struct store *s = arg;
	struct mrc_ref r = { .hash = cur->hash, .ns = class, .bytes = bytes,
		.expires_ms = cur->expires_ms, .now_ms = cur->thread->now_ms };

	if (bytes == 0) {
		mrc_drop(s->mrc, cur->hash);
		sims_drop(s->sims, cur->hash);
	} else if (!(class & CACHE_PROTECTED)) {
		mrc_put(s->mrc, &r);
		if (sims_wants(s->sims, r.hash))
			sims_put(s->sims, &r);
	}
}

int
store_learn(struct store *s, uint64_t memory_bytes, uint64_t most_bytes)
{
	struct mrc_opts o = { .memory_bytes = memory_bytes - SIMS_BYTES(memory_bytes),
		.most_bytes = most_bytes, .half_life_ms = HALF_LIFE_MS, .below = &s->sample_below };
	int rc = sims_new(SIMS_BYTES(memory_bytes), HALF_LIFE_MS, &s->sims);

	if (rc == 0)
		rc = mrc_new(&o, &s->mrc);
	if (rc == 0)
		cache_on_sample(s->cache, &s->sample_below, on_sampled, s);
	return rc;
}

void
sample_clear(struct store *s)
{
	if (s->mrc == NULL)
		return;
	mrc_clear(s->mrc);
	sims_clear(s->sims);
}

struct mrc *
store_mrc(struct store *s)
{
	return s->mrc;
}

struct sims *
store_sims(struct store *s)
{
	return s->sims;
}
