/* From a limit of memory to the bytes that entries have: the plan (memory.h) says what the
 * arena gets of it, and how full the arena gets is measured where the cache is full,
 * and else what it reaches as a rule (doc/store.md). */
#include "config.h"

#include "server/advice.h"

#include <inttypes.h>

#include "base/parse.h"
#include "server/internal.h"

#define MEMORY_SHARE 256
#define USUAL_FILL 0.93
#define MOST_FACTOR 8

static const double factors[ADVICE_POINTS] = {
	0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 6, MOST_FACTOR,
};

double
advice_factor(unsigned i)
{
	return factors[i];
}

/* --- limits --------------------------------------------------------------------- */

struct sizes {
	uint64_t limit, base, buffers;
	double fill; /* of the arena, by entries */
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
	return MIN(MAX(limit / MEMORY_SHARE, MRC_MEMORY_MIN), MRC_MEMORY_MAX);
}

int
advice_start(struct server *s, const struct config *cfg)
{
	uint64_t limit = s->memory.plan.limit_bytes, bytes = advice_bytes(cfg, limit);

	return bytes != 0 ? store_learn(s->store, bytes, limit * MOST_FACTOR) : 0;
}

void
advice_count(struct server *s, int64_t now_ms)
{
	struct mrc *m = store_mrc(s->store);

	if (m == NULL)
		return;
	for (unsigned id = 0; id < stats_ns_count(s->names); id++) {
		struct stats_sum_ns n;

		stats_sum_ns(s->stats, s->n_loops, id, &n);
		mrc_count(m, id, (uint64_t)MAX(n.hits + n.misses, 0));
	}
	mrc_tick(m, now_ms);
}

/* --- what it is worth ------------------------------------------------------------- */

/* Milliseconds that a miss costs at the namespace's origin; 0: it has none, or that was
 * never asked. */
static double
miss_ms(struct server *s, unsigned ns)
{
	struct stats_sum_origin sum;
	int origin = -1;
	double us;

	pthread_mutex_lock(&s->config_lock);
	for (unsigned i = 0; i < routes_config(s->routes)->n_namespaces; i++) {
		const struct config_namespace *n = &routes_config(s->routes)->namespaces[i];

		if ((unsigned)n->stats_id == ns && n->origin_cfg != NULL)
			origin = n->origin_cfg->stats_id;
	}
	pthread_mutex_unlock(&s->config_lock);
	if (origin < 0)
		return 0;
	stats_sum_origin(s->stats, s->n_loops, (unsigned)origin, &sum);
	us = histogram_mean(&sum.latency_us);
	histogram_sum_fini(&sum.latency_us);
	return us / 1e3;
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
	double ms = miss_ms(s, ns), now;
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
	if (!mrc_curve(m, ns, &out->curve))
		return false;
	out->reads_per_second = per_second(&out->curve);
	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		struct advice_point *p = &out->points[i];

		p->factor = factors[i];
		p->memory_bytes = (uint64_t)((double)z.limit * factors[i]);
		p->cache_bytes = entries_of(&z, p->memory_bytes);
		p->hit_rate = mrc_hit_rate(&out->curve, p->cache_bytes);
	}
	for (unsigned i = 0; i < ADVICE_POINTS; i++)
		if (out->points[i].cache_bytes != 0)
			out->points[i].misses_saved = (out->points[i].hit_rate -
			    out->points[ADVICE_NOW].hit_rate) * out->reads_per_second * 3600;
	for (unsigned id = 0; id < stats_ns_count(s->names); id++)
		if (ns == MRC_ALL || ns == id)
			add_origin(s, id, out);
	return true;
}

uint64_t
advice_memory_for(struct server *s, const struct advice *a, double hit_rate)
{
	uint64_t low = 0, high = a->points[ADVICE_POINTS - 1].memory_bytes;
	struct sizes z;

	sizes_take(s, &z);
	if (mrc_hit_rate(&a->curve, entries_of(&z, high)) < hit_rate)
		return 0;
	while (high - low > 64 << 10) {
		uint64_t middle = low + (high - low) / 2;

		if (mrc_hit_rate(&a->curve, entries_of(&z, middle)) < hit_rate)
			low = middle;
		else
			high = middle;
	}
	return high;
}

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
