/* INFO's lines of commands, errors, namespaces, origins and streams, from the rows of
 * commands.def and stats.def. */
#include "config.h"

#include "server/info_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "origin/guard.h"
#include "proto/command.h"
#include "server/door.h"
#include "server/internal.h"
#include "server/session.h"
#include "server/streams.h"
#include "store/near.h"
#include "store/write.h"

void
info_commandstats(struct info *i)
{
	const struct server *s = i->sl->server;

	for (unsigned id = 0; id < CMD_COUNT; id++) {
		struct stats_sum_command n;

		stats_sum_command(s->stats, s->n_loops, id, &n);
		if (n.calls == 0 && n.rejected == 0 && n.failed == 0)
			continue;
		info_printf(i,
		    "cmdstat_%s:calls=%" PRId64 ",usec=%" PRId64
		    ",usec_per_call=%.2f,rejected_calls=%" PRId64 ",failed_calls=%" PRId64 "\r\n",
		    command_table[id].name, n.calls, n.usec,
		    n.calls != 0 ? (double)n.usec / (double)n.calls : 0.0, n.rejected, n.failed);
	}
}

/* Of the calls that were timed; timing.h says which. */
void
info_latencystats(struct info *i)
{
	const struct server *s = i->sl->server;

	for (unsigned id = 0; id < CMD_COUNT; id++) {
		struct histogram_sum h;

		stats_sum_latency(s->stats, s->n_loops, id, &h);
		if (h.count > 0)
			info_printf(i,
			    "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n",
			    command_table[id].name, (double)histogram_quantile(&h, 0.5) / 1e3,
			    (double)histogram_quantile(&h, 0.99) / 1e3,
			    (double)histogram_quantile(&h, 0.999) / 1e3);
		histogram_sum_fini(&h);
	}
}

/* A name may be any prefix of a key: what could end a field or a line, and
 * what no terminal should see, is written as %XX. */
void
info_name_print(struct info *i, const char *name)
{
	for (const char *p = name; *p != '\0'; p++) {
		if (*p > ' ' && *p < 0x7f && strchr("%,:=", *p) == NULL)
			info_printf(i, "%c", *p);
		else
			info_printf(i, "%%%02X", (unsigned char)*p);
	}
}

/* Of what was timed, in microseconds. */
static void
print_time(struct info *i, unsigned id, enum stats_time which, const char *name, double unit_us)
{
	const struct server *s = i->sl->server;
	struct histogram_sum h;

	stats_sum_time(s->stats, s->n_loops, id, which, &h);
	info_printf(i, ",%s_p50_us=%.3f,%s_p99_us=%.3f", name,
	    (double)histogram_quantile(&h, 0.5) * unit_us, name,
	    (double)histogram_quantile(&h, 0.99) * unit_us);
	histogram_sum_fini(&h);
}

static void
print_namespace(struct info *i, unsigned id)
{
	struct server *s = i->sl->server;
	struct cache_quota_stats quota;
	struct stats_sum_ns n;

	stats_sum_ns(s->stats, s->n_loops, id, &n);
	server_quota(s, server_config(i->sl), id, &quota);
	info_printf(i, "ns_");
	info_name_print(i, stats_ns_name(s->names, id));
	info_printf(i, ":");
#define NS_STAT(name, help) info_printf(i, #name "=%" PRId64 ",", n.name);
#include "stats/stats.def"
	info_printf(i,
	    "hit_rate=%.4f,stored=%" PRId64 ",evicted=%" PRId64 ",expired=%" PRId64
	    ",refused=%" PRId64 ",entries=%" PRId64 ",bytes=%" PRId64
	    ",evicted_over_max=%" PRId64 ",min_bytes=%" PRIu64 ",max_bytes=%" PRIu64
	    ",origin_ms_saved=%" PRId64,
	    stats_hit_rate(n.hits, n.misses), n.stored, n.evicted, n.expired,
	    n.refused, n.entries, n.bytes, n.over_max, quota.min_bytes, quota.max_bytes,
	    saved_us(s, id) / 1000);
	print_time(i, id, STATS_COMMAND_NS, "command", 1e-3);
	print_time(i, id, STATS_WAIT_US, "wait", 1);
	print_time(i, id, STATS_FETCH_US, "fetch", 1);
	info_printf(i, "\r\n");
}

void
info_errorstats(struct info *i)
{
	const struct server *s = i->sl->server;
	struct stats_sum_error errors[STATS_ERRORS];
	unsigned n = stats_sum_errors(s->stats, s->n_loops, errors);

	for (unsigned k = 0; k < n; k++) {
		info_printf(i, "errorstat_");
		info_name_print(i, errors[k].name);
		info_printf(i, ":count=%" PRId64 "\r\n", errors[k].n);
	}
}

void
info_namespaces(struct info *i)
{
	unsigned n = stats_ns_count(i->sl->server->names);

	saved_count(i->sl->server, i->now_ms);
	for (unsigned id = 0; id < n; id++)
		if (door_owns_stats(i->session, id))
			print_namespace(i, id);
}

/* What is so now; of an origin that is configured no more there is nothing. */
static void
print_guard(struct info *i, const char *name)
{
	struct guard_view v;

	if (guards_view(store_guards(i->sl->server->store), name, clock_mono_us(), &v) != 0)
		return;
	info_printf(i, "breaker=%s,in_flight=%u,queued=%u,limit=%u,endpoints=%u,endpoints_out=%u,",
	    guard_breaker_name(&v), v.in_flight, v.waiting, v.limit, v.n_endpoints, v.n_out);
}

/* Of a shared tier. */
static void
print_near(struct info *i, unsigned id)
{
	const struct near *n = store_near_of(i->sl->server->store, (int)id);
	struct near_counts counts = { 0 };

	if (n != NULL)
		near_counts(n, &counts);
	info_printf(i, "tracking=%s,refreshed=%" PRIu64 ",deferred=%" PRIu64 ",",
	    near_state_name(n), counts.refreshed, counts.deferred);
}

static void
print_origin(struct info *i, unsigned id)
{
	const struct server *s = i->sl->server;
	struct stats_sum_origin n;
	struct store_behind behind;

	stats_sum_origin(s->stats, s->n_loops, id, &n);
	info_printf(i, "origin_");
	info_name_print(i, stats_origin_name(s->names, id));
	info_printf(i, ":");
#define ORIGIN_STAT(name, help) info_printf(i, #name "=%" PRId64 ",", n.name);
#include "stats/stats.def"
	store_behind_status(s->store, (int)id, &behind);
	info_printf(i, "write_queue=%" PRIu64 ",write_queue_bytes=%" PRIu64 ",", behind.n,
	    behind.bytes);
	print_near(i, id);
	print_guard(i, stats_origin_name(s->names, id));
	info_printf(i, "p50_us=%" PRId64 ",p99_us=%" PRId64 ",max_us=%" PRId64 "\r\n",
	    histogram_quantile(&n.latency_us, 0.5), histogram_quantile(&n.latency_us, 0.99),
	    histogram_max(&n.latency_us));
	histogram_sum_fini(&n.latency_us);
}

void
info_origins(struct info *i)
{
	unsigned n = stats_origin_count(i->sl->server->names);

	if (i->session->policy->confined) /* tenants may share them */
		return;
	for (unsigned id = 0; id < n; id++)
		print_origin(i, id);
}

static void
print_stream(struct info *i, const struct stream *stream)
{
	struct stream_sum n;

	stream_sum(stream, &n);
	info_printf(i, "stream_");
	info_name_print(i, stream_config(stream)->name);
	info_printf(i, ":connected=%d", stream_is_connected(stream));
#define STREAM_STAT(name, help) info_printf(i, "," #name "=%" PRIu64, n.name);
#include "stats/stats.def"
	info_printf(i, "\r\n");
}

void
info_invalidations(struct info *i)
{
	const struct streams *all = i->sl->server->streams;

	if (i->session->policy->confined)
		return;
	for (unsigned k = 0; k < streams_count(all); k++)
		print_stream(i, streams_get(all, k));
}
