/* Advice for machines: metrics for Prometheus, and in JSON, for those who draw, a member
 * with all points of all curves. doc/metrics.md has the names. */
#include "config.h"

#include "server/advice.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/loop.h"
#include "server/internal.h"
#include "stats/metrics.h"

/* Of ADVICE_POINTS those that metrics have: a point is a series for each namespace. */
static const double told_factors[] = { 0.25, 0.5, 1, 2, 4 };
static const char *const wanted[] = { "0.5", "0.8", "0.9", "0.95", "0.99" };

static bool
is_enough(const struct advice *a)
{
	return a->curve.sampled >= ADVICE_ENOUGH;
}

/* --- families --------------------------------------------------------------------------- */

/* A value for each factor; `of` names the field. label NULL: of everything. */
static void
write_factors(struct metrics *m, const struct advice *a, const char *label, const char *text,
    double (*of)(const struct advice *a, const struct advice_point *p))
{
	char factor[16];

	for (size_t i = 0; i < ARRAY_LEN(told_factors) && is_enough(a); i++) {
		const struct advice_point *p = advice_point_of(a, told_factors[i]);

		if (p->cache_bytes == 0)
			continue;
		snprintf(factor, sizeof factor, "%g", p->factor);
		metrics_also(m, "factor", factor);
		metrics_double(m, label, text, of(a, p));
	}
}

static double
hit_ratio(const struct advice *a UNUSED, const struct advice_point *p)
{
	return p->hit_rate;
}

/* Seconds in a second. */
static double
origin_saved(const struct advice *a UNUSED, const struct advice_point *p)
{
	return p->origin_ms_saved / 1e3 / 3600;
}

static void
write_wanted(struct metrics *m, struct server *s, const struct advice *a)
{
	for (size_t i = 0; i < ARRAY_LEN(wanted) && is_enough(a); i++) {
		uint64_t bytes = advice_memory_for(s, a, strtod(wanted[i], NULL));

		if (bytes != 0)
			metrics_int(m, "hit_ratio", wanted[i], (int64_t)bytes);
	}
}

static void
write_policies(struct metrics *m, const struct advice *a)
{
	char factor[16];

	for (unsigned p = 0; p < SIM_POLICIES && is_enough(a); p++) {
		for (unsigned i = 0; i < SIM_SIZES; i++) {
			if (!a->policies[p].told[i])
				continue;
			snprintf(factor, sizeof factor, "%g", advice_size_factor(i));
			metrics_also(m, "factor", factor);
			metrics_double(m, "policy", advice_policy_name(p),
			    a->policies[p].hit_rate[i]);
		}
	}
}

static void
write_families(struct metrics *m, struct server *s)
{
	struct advice a;

	(void)advice_of(s, MRC_ALL, &a);
	metrics_family(m, "advice_sampled_reads", METRIC_GAUGE,
	    "Reads that the advice is learnt from, older ones counted for less.");
	metrics_double(m, NULL, NULL, a.curve.sampled);
	metrics_family(m, "advice_sample_bytes", METRIC_GAUGE, "Memory of the sample.");
	metrics_int(m, NULL, NULL, (int64_t)a.sample.memory_bytes);
	metrics_family(m, "advice_overall_hit_ratio", METRIC_GAUGE,
	    "What the hit ratio would be with so many times the memory.");
	write_factors(m, &a, NULL, NULL, hit_ratio);
	metrics_family(m, "advice_origin_saved_ratio", METRIC_GAUGE,
	    "Seconds of origins' time that so many times the memory would save in a second.");
	write_factors(m, &a, NULL, NULL, origin_saved);
	metrics_family(m, "advice_wanted_memory_bytes", METRIC_GAUGE,
	    "The least limit of memory for a hit ratio, up to 8 times the present one.");
	write_wanted(m, s, &a);
	metrics_family(m, "advice_policy_hit_ratio", METRIC_GAUGE,
	    "The hit ratio with another policy of eviction and so many times the memory.");
	write_policies(m, &a);
	metrics_family(m, "advice_hit_ratio", METRIC_GAUGE,
	    "The hit ratio of a namespace with so many times the memory.");
	for (unsigned id = 0; id < stats_ns_count(s->names); id++)
		if (advice_of(s, id, &a))
			write_factors(m, &a, METRICS_NAMESPACE, stats_ns_name(s->names, id),
			    hit_ratio);
}

/* --- JSON --------------------------------------------------------------------------------- */

static void
write_points(struct metrics *m, const struct advice *a)
{
	const char *before = "";

	for (unsigned i = 0; i < ADVICE_POINTS; i++) {
		const struct advice_point *p = &a->points[i];

		if (p->cache_bytes == 0)
			continue;
		metrics_printf(m,
		    "%s{\"factor\": %g, \"bytes\": %" PRIu64 ", \"hit_ratio\": %.6f, "
		    "\"misses_saved_per_hour\": %.0f, \"origin_ms_saved_per_hour\": %.0f, "
		    "\"%s_saved_per_hour_and_mib\": %.6g}", before, p->factor, p->memory_bytes,
		    p->hit_rate, p->misses_saved, p->origin_ms_saved,
		    a->has_origin ? "origin_ms" : "misses", advice_per_mib(a, p));
		before = ", ";
	}
}

static void
write_json_policies(struct metrics *m, const struct advice *a)
{
	const char *before = "";

	metrics_printf(m, ", \"eviction\": \"%s\", \"policies\": [",
	    advice_policy_name(a->eviction));
	for (unsigned p = 0; p < SIM_POLICIES && is_enough(a); p++) {
		for (unsigned i = 0; i < SIM_SIZES; i++) {
			if (!a->policies[p].told[i])
				continue;
			metrics_printf(m, "%s{\"policy\": \"%s\", \"factor\": %g, "
			    "\"bytes\": %" PRIu64 ", \"hit_ratio\": %.6f}", before,
			    advice_policy_name(p), advice_size_factor(i),
			    advice_point_of(a, advice_size_factor(i))->memory_bytes,
			    a->policies[p].hit_rate[i]);
			before = ", ";
		}
	}
	metrics_printf(m, "]");
}

static void
write_object(struct metrics *m, const char *namespace, const struct advice *a)
{
	metrics_printf(m, "%s\n{\"namespace\": ", namespace != NULL ? "," : "");
	if (namespace != NULL)
		metrics_string(m, namespace);
	else
		metrics_printf(m, "null");
	metrics_printf(m, ", \"bytes\": %" PRIu64 ", \"hit_ratio\": %.6f, "
	    "\"reads_per_second\": %.3f, \"sampled_reads\": %.0f, \"enough\": %s, "
	    "\"has_origin\": %s, \"curve\": [",
	    a->points[ADVICE_NOW].memory_bytes, a->points[ADVICE_NOW].hit_rate,
	    a->reads_per_second, a->curve.sampled, is_enough(a) ? "true" : "false",
	    a->has_origin ? "true" : "false");
	write_points(m, a);
	metrics_printf(m, "]");
	if (namespace == NULL)
		write_json_policies(m, a);
	metrics_printf(m, "}");
}

static void
write_member(struct metrics *m, struct server *s)
{
	struct advice a;

	metrics_member(m, "advice");
	metrics_printf(m, "[");
	if (advice_of(s, MRC_ALL, &a))
		write_object(m, NULL, &a);
	for (unsigned id = 0; id < stats_ns_count(s->names); id++)
		if (advice_of(s, id, &a))
			write_object(m, stats_ns_name(s->names, id), &a);
	metrics_printf(m, "]");
}

void
advice_metrics(struct metrics *m, struct server *s)
{
	if (store_mrc(s->store) != NULL) {
		advice_count(s, loop_now_ms(s->loops[0].loop));
		write_families(m, s);
	}
	if (m->format == METRICS_JSON)
		write_member(m, s);
}
