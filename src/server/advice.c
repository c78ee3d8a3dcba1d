/* From a limit of memory to the bytes that entries have: the plan (memory.h) says what the
 * arena gets of it, and how full the arena gets is measured where the cache is full,
 * and else what it reaches as a rule (doc/store.md). */
#include "config.h"

#include "server/advice.h"

#include <inttypes.h>
#include <math.h>

#include "base/parse.h"
#include "server/internal.h"
#include "server/saved.h"

#define MEMORY_SHARE 256
#define MEMORY_MIN (64u << 10) /* as of the option */
#define USUAL_FILL 0.93
#define MOST_FACTOR 8

static const double factors[ADVICE_POINTS] = {
	0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, MOST_FACTOR,
};

static const double size_factors[SIM_SIZES] = { 0.25, 0.5, 1, 2, 4 };
static const char *const policies[SIM_POLICIES] = { "lru", "s3fifo", "tinylfu" };
_Static_assert((int)SIM_LRU == (int)CACHE_LRU && (int)SIM_S3FIFO == (int)CACHE_S3FIFO &&
    (int)SIM_TINYLFU == (int)CACHE_TINYLFU, "policies have the same numbers everywhere");

double
advice_size_factor(unsigned i)
{
	return size_factors[i];
}

const char *
advice_policy_name(unsigned i)
{
	return policies[i];
}

double
advice_factor(unsigned i)
{
	return factors[i];
}

/* --- limits --------------------------------------------------------------------- */

struct sizes {
	uint64_t limit, base, buffers;
	double fill; /* of the arena, by entries */
	enum sim_policy eviction;
};

static double
fill_of(struct server *s)
{
	struct cache_stats st;

	cache_stats(store_cache(s->store), &st);
	if (st.evicted == 0 || st.budget_bytes == 0 || st.live_bytes < st.budget_bytes / 2)
		return USUAL_FILL;
	return MIN((double)st.live_bytes / (double)st.budget_bytes, 1.0);
}

static void
sizes_take(struct server *s, struct sizes *z)
{
	z->fill = fill_of(s);
	pthread_mutex_lock(&s->config_lock);
	z->limit = s->memory.plan.limit_bytes;
	z->base = s->memory.plan.base_bytes;
	z->buffers = routes_config(s->routes)->buffers_limit;
	z->eviction = (enum sim_policy)routes_config(s->routes)->eviction;
	pthread_mutex_unlock(&s->config_lock);
}

/* What entries may have of a limit; 0: the process does not fit into it. */
static uint64_t
entries_of(const struct sizes *z, uint64_t limit)
{
	struct memory_plan plan;

	if (memory_plan(limit, z->base, z->buffers, &plan) != 0)
		return 0;
	return (uint64_t)((double)plan.arena_bytes * z->fill);
}

/* --- learning ------------------------------------------------------------------- */

uint64_t
advice_bytes(const struct config *cfg, uint64_t limit)
{
	if (!cfg->advice)
		return 0;
	if (cfg->advice_memory != CONFIG_AUTO)
		return cfg->advice_memory;
	return MIN(MAX(limit / MEMORY_SHARE, MEMORY_MIN), MRC_MEMORY_MAX);
}

/* The simulated caches have what the real one would have. */
static void
resize(struct server *s)
{
	uint64_t bytes[SIM_SIZES];
	struct sizes z;

	sizes_take(s, &z);
	for (unsigned i = 0; i < SIM_SIZES; i++)
		bytes[i] = entries_of(&z, (uint64_t)((double)z.limit * size_factors[i]));
	sims_resize(store_sims(s->store), bytes);
}

int
advice_start(struct server *s, const struct config *cfg)
{
	uint64_t limit = s->memory.plan.limit_bytes, bytes = advice_bytes(cfg, limit);
	int rc;

	if (bytes == 0)
		return 0;
	rc = store_learn(s->store, bytes, limit * MOST_FACTOR);
	if (rc == 0)
		resize(s);
	return rc;
}

void
advice_count(struct server *s, int64_t now_ms)
{
	struct mrc *m = store_mrc(s->store);
	uint64_t reads = 0;

	if (m == NULL)
		return;
	saved_count(s, now_ms);
	for (unsigned id = 0; id < stats_ns_count(s->names); id++) {
		struct stats_sum_ns n;

		stats_sum_ns(s->stats, s->n_loops, id, &n);
		mrc_count(m, id, (uint64_t)MAX(n.hits + n.misses, 0));
		reads += (uint64_t)MAX(n.hits + n.misses, 0);
	}
	mrc_tick(m, now_ms);
	sims_count(store_sims(s->store), reads);
	sims_tick(store_sims(s->store), now_ms);
	resize(s);
}

void
advice_reset(struct server *s, int64_t now_ms)
{
	if (store_mrc(s->store) == NULL)
		return;
	mrc_reset(store_mrc(s->store), now_ms);
	sims_reset(store_sims(s->store), now_ms);
}

/* --- what it is worth ------------------------------------------------------------- */

const struct advice_point *
advice_point_of(const struct advice *a, double factor)
{
	const struct advice_point *p = a->points;

	while (p->factor < factor)
		p++;
	return p;
}

double
advice_per_mib(const struct advice *a, const struct advice_point *p)
{
	const struct advice_point *now = &a->points[ADVICE_NOW], *to = p == now ? p + 1 : p;
	double saved = a->has_origin ? to->origin_ms_saved : to->misses_saved;
	double mib = ((double)to->memory_bytes - (double)now->memory_bytes) / (1 << 20);

	return mib != 0 && to->cache_bytes != 0 ? saved / mib : 0;
}

static double
per_second(const struct mrc_curve *c)
{
	return c->reads / MAX(c->seconds, 1.0);
}

/* Adds what the namespace's misses cost its origin to all points. */
static void
add_origin(struct server *s, unsigned ns, struct advice *a)
{
	double ms = saved_fetch_us(s, ns) / 1e3, now;
	struct mrc_curve c;

	if (ms <= 0 || !mrc_curve(store_mrc(s->store), ns, &c))
		return;
	a->has_origin = true;
	now = mrc_hit_rate(&c, a->points[ADVICE_NOW].cache_bytes);
	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		struct advice_point *p = &a->points[i];

		if (p->cache_bytes == 0)
			continue;
		p->origin_ms_saved += (mrc_hit_rate(&c, p->cache_bytes) - now) *
		    per_second(&c) * 3600 * ms;
	}
}

/* By how much the policy is above LRU with so many times the memory: straight between
 * the sizes that are simulated, by their logarithm. */
static double
above_lru(const struct sims_result *r, enum sim_policy policy, double factor)
{
	const double *above = r->above_lru[policy];
	unsigned i = 0;

	while (i + 1 < SIM_SIZES && (size_factors[i + 1] < factor || !r->told[i]))
		i++;
	if (i + 1 == SIM_SIZES || factor <= size_factors[i])
		return above[i];
	return above[i] + (above[i + 1] - above[i]) * log2(factor / size_factors[i]);
}

static double
hit_rate_of(const struct advice *a, enum sim_policy policy, uint64_t cache_bytes, double factor)
{
	double rate = mrc_hit_rate(&a->curve, cache_bytes);

	/* Nothing changes that a cache holds nothing, or all. */
	if (policy != SIM_LRU && cache_bytes != 0)
		rate += above_lru(&a->sims, policy, factor);
	return MIN(MAX(rate, 0.0), 1.0);
}

static void
add_policies(struct advice *a)
{
	for (unsigned p = 0; p < SIM_POLICIES; p++) {
		for (unsigned i = 0; i < SIM_SIZES; i++) {
			uint64_t bytes = advice_point_of(a, size_factors[i])->cache_bytes;

			a->policies[p].told[i] = a->sims.told[i] && bytes != 0;
			a->policies[p].hit_rate[i] = hit_rate_of(a, (enum sim_policy)p, bytes,
			    size_factors[i]);
		}
	}
}

static void
add_points(const struct sizes *z, struct advice *a)
{
	const struct advice_point *now = &a->points[ADVICE_NOW];

	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		struct advice_point *p = &a->points[i];

		p->factor = factors[i];
		p->memory_bytes = (uint64_t)((double)z->limit * factors[i]);
		p->cache_bytes = entries_of(z, p->memory_bytes);
		p->hit_rate = hit_rate_of(a, a->eviction, p->cache_bytes, p->factor);
	}
	for (unsigned i = 0; i < ADVICE_POINTS; i++)
		if (a->points[i].cache_bytes != 0)
			a->points[i].misses_saved = (a->points[i].hit_rate - now->hit_rate) *
			    a->reads_per_second * 3600;
}

bool
advice_of(struct server *s, unsigned ns, struct advice *out)
{
	struct mrc *m = store_mrc(s->store);
	struct sizes z;

	*out = (struct advice){ .reads_per_second = 0 };
	if (m == NULL)
		return false;
	sizes_take(s, &z);
	mrc_set_most(m, entries_of(&z, z.limit * MOST_FACTOR));
	mrc_stats(m, &out->sample);
	sims_result(store_sims(s->store), &out->sims);
	out->sample.memory_bytes += out->sims.memory_bytes;
	if (!mrc_curve(m, ns, &out->curve))
		return false;
	out->reads_per_second = per_second(&out->curve);
	if (ns == MRC_ALL)
		out->eviction = z.eviction;
	add_points(&z, out);
	if (ns == MRC_ALL)
		add_policies(out);
	for (unsigned id = 0; id < stats_ns_count(s->names); id++)
		if (ns == MRC_ALL || ns == id)
			add_origin(s, id, out);
	return true;
}

static double
hit_rate_at(const struct advice *a, const struct sizes *z, uint64_t limit)
{
	return hit_rate_of(a, a->eviction, entries_of(z, limit),
	    (double)limit / (double)MAX(z->limit, 1));
}

uint64_t
advice_memory_for(struct server *s, const struct advice *a, double hit_rate)
{
	uint64_t low = 0, high = a->points[ADVICE_POINTS - 1].memory_bytes;
	struct sizes z;

	sizes_take(s, &z);
	if (hit_rate_at(a, &z, high) < hit_rate)
		return 0;
	while (high - low > 64 << 10) {
		uint64_t middle = low + (high - low) / 2;

		if (hit_rate_at(a, &z, middle) < hit_rate)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* --- sentences ---------------------------------------------------------------------- */

static int
say_saved(const struct advice *a, const struct advice_point *p, struct buf *text)
{
	double s = p->origin_ms_saved / 1e3;
	const char *verb = p->factor > 1 ? "save" : "cost";

	if (a->has_origin)
		return buf_printf(text, " and %s %.0f s of origin time an hour", verb,
		    s < 0 ? -s : s);
	return buf_printf(text, " and %s %.0f misses an hour", verb,
	    p->misses_saved < 0 ? -p->misses_saved : p->misses_saved);
}

static int
say_point(const struct advice *a, const char *times, double factor, struct buf *text)
{
	const struct advice_point *p = advice_point_of(a, factor), *now = &a->points[ADVICE_NOW];
	double change = p->hit_rate - now->hit_rate;
	int rc;

	if (p->cache_bytes == 0)
		return 0;
	rc = buf_printf(text, "%s the memory (%.0f MiB) would ", times,
	    (double)p->memory_bytes / (1 << 20));
	if (rc != 0)
		return rc;
	if (change > -0.005 && change < 0.005)
		return buf_printf(text, "leave the hit rate at %.2f.\n", p->hit_rate);
	rc = buf_printf(text, "%s the hit rate from %.2f to %.2f", change > 0 ? "raise" : "lower",
	    now->hit_rate, p->hit_rate);
	if (rc == 0)
		rc = say_saved(a, p, text);
	return rc == 0 ? buf_printf(text, ".\n") : rc;
}

int
advice_say(const struct advice *a, struct buf *text)
{
	int rc;

	if (a->sample.keys_max == 0)
		return buf_printf(text, "Nothing is learnt: advice is off.\n");
	if (a->curve.sampled < ADVICE_ENOUGH)
		return buf_printf(text, "It is too early to say: %.0f reads were looked at, and %d "
		    "are needed.\n", a->curve.sampled, ADVICE_ENOUGH);
	rc = say_point(a, "Twice", 2, text);
	if (rc == 0)
		rc = say_point(a, "Four times", 4, text);
	if (rc == 0)
		rc = say_point(a, "Half", 0.5, text);
	return rc;
}
