#include "config.h"

#include "server/metrics.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "origin/guard.h"
#include "proto/command.h"
#include "server/advice.h"
#include "server/hotkeys.h"
#include "server/info_text.h"
#include "server/internal.h"
#include "server/session.h"
#include "server/snapshots.h"
#include "server/streams.h"
#include "server/timing.h"
#include "server/version.h"
#include "store/write.h"

static void
one_int(struct metrics *m, const char *name, enum metric_type type, const char *help, int64_t value)
{
	metrics_family(m, name, type, help);
	metrics_int(m, NULL, NULL, value);
}

static void
one_double(struct metrics *m, const char *name, enum metric_type type, const char *help,
    double value)
{
	metrics_family(m, name, type, help);
	metrics_double(m, NULL, NULL, value);
}

/* --- the process -------------------------------------------------------------------- */

static double
seconds_of(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void
write_process(struct metrics *m, struct server *s)
{
	struct rusage u = { 0 };

	metrics_family(m, "info", METRIC_GAUGE, "Always 1; the version that runs.");
	metrics_int(m, "version", PANNIER_VERSION, 1);
	one_double(m, "start_time_seconds", METRIC_GAUGE, "Unix time of the start.",
	    (double)s->started_unix_ms / 1e3);
	one_double(m, "uptime_seconds", METRIC_GAUGE,
	    "Time since the start, by a clock that nobody sets.",
	    (double)(clock_mono_ms() - s->started_ms) / 1e3);
	getrusage(RUSAGE_SELF, &u);
	one_double(m, "cpu_user_seconds", METRIC_COUNTER, "CPU time in user mode.",
	    seconds_of(&u.ru_utime));
	one_double(m, "cpu_system_seconds", METRIC_COUNTER, "CPU time in the kernel.",
	    seconds_of(&u.ru_stime));
	one_int(m, "threads", METRIC_GAUGE, "Event loops that serve clients.", s->n_loops);
	one_double(m, "loop_lag_max_seconds", METRIC_GAUGE,
	    "Longest turn of an event loop since the last CONFIG RESETSTAT.",
	    (double)timing_lag_max_us(s, s->loops[0].timing.event_us) / 1e6);
	one_int(m, "draining", METRIC_GAUGE, "1 while a stop answers what is under way.",
	    s->draining);
}

/* --- memory --------------------------------------------------------------------------- */

static void
write_memory(struct metrics *m, const struct server *s)
{
	struct cache_stats cs;

	cache_stats(store_cache(s->store), &cs);
	one_int(m, "memory_limit_bytes", METRIC_GAUGE,
	    "What the whole process may use (memory).",
	    (int64_t)server_memory_limit(s, server_config(&s->loops[0])));
	one_int(m, "memory_resident_bytes", METRIC_GAUGE, "What the kernel counts as resident.",
	    (int64_t)memory_resident());
	one_int(m, "memory_heap_bytes", METRIC_GAUGE, "Heap in use beside the cache.",
	    (int64_t)mem_used());
	one_int(m, "memory_clients_bytes", METRIC_GAUGE, "Buffers of all clients.",
	    (int64_t)info_client_buffers(s));
	one_int(m, "cache_budget_bytes", METRIC_GAUGE, "What the cache may use of the limit.",
	    (int64_t)cs.budget_bytes);
	one_int(m, "cache_used_bytes", METRIC_GAUGE, "Pages of the cache in use.",
	    (int64_t)cs.used_bytes);
	one_int(m, "cache_live_bytes", METRIC_GAUGE, "Entries with their headers.",
	    (int64_t)cs.live_bytes);
	one_int(m, "cache_user_bytes", METRIC_GAUGE, "Keys and values alone.",
	    (int64_t)cs.user_bytes);
	one_int(m, "cache_table_bytes", METRIC_GAUGE, "Hash tables.", (int64_t)cs.table_bytes);
	one_int(m, "cache_dead_bytes", METRIC_GAUGE,
	    "Of removed entries, until their segments are cleaned.", (int64_t)cs.dead_bytes);
	one_int(m, "cache_cleaned_bytes", METRIC_COUNTER, "Entries moved by the cleaner.",
	    (int64_t)cs.cleaned_bytes);
	one_int(m, "cache_protected_bytes", METRIC_GAUGE, "Entries that are never evicted.",
	    (int64_t)cs.protected_bytes);
	one_int(m, "cache_entries", METRIC_GAUGE, "Keys in the cache.",
	    (int64_t)cache_count(store_cache(s->store)));
}

/* --- clients ---------------------------------------------------------------------------- */

static void
write_clients(struct metrics *m, const struct server *s)
{
	struct stats_sum_loop n;
	int64_t clients = 0, parked = 0;

	for (unsigned l = 0; l < s->n_loops; l++) {
		clients += counter_get(&s->loops[l].clients);
		parked += counter_get(&s->loops[l].parked);
	}
	one_int(m, "clients", METRIC_GAUGE, "Connections now.", clients);
	one_int(m, "clients_max", METRIC_GAUGE, "Connections allowed (max_clients).",
	    (int64_t)server_config(&s->loops[0])->max_clients);
	one_int(m, "requests_waiting", METRIC_GAUGE,
	    "Requests that wait for an origin, a lease or other loops.", parked);
	one_int(m, "received_bytes", METRIC_COUNTER, "Read from clients.", info_input_bytes(s));
	one_int(m, "sent_bytes", METRIC_COUNTER, "Written to clients.", info_output_bytes(s));
	stats_sum_loop(s->stats, s->n_loops, &n);
#define LOOP_STAT(name, help) one_int(m, #name, METRIC_COUNTER, help, n.name);
#include "stats/stats.def"
}

/* --- tables: a family for each column, a value for each row -------------------------------- */

/* A column of a struct of sums. */
struct column {
	const char *name;
	enum metric_type type;
	const char *help;
	size_t offset;
};

static int64_t
field_of(const void *sums, const struct column *c)
{
	return *(const int64_t *)(const void *)((const char *)sums + c->offset);
}

static const struct column ns_columns[] = {
#define NS_STAT(name, help) \
	{ "namespace_" #name, METRIC_COUNTER, help, offsetof(struct stats_sum_ns, name) },
#include "stats/stats.def"
	{ "namespace_stored", METRIC_COUNTER, "Values stored.",
	    offsetof(struct stats_sum_ns, stored) },
	{ "namespace_evicted", METRIC_COUNTER, "Entries evicted to make room.",
	    offsetof(struct stats_sum_ns, evicted) },
	{ "namespace_evicted_over_max", METRIC_COUNTER,
	    "Entries of those that went because the namespace had its max_memory.",
	    offsetof(struct stats_sum_ns, over_max) },
	{ "namespace_expired", METRIC_COUNTER, "Entries whose time was over.",
	    offsetof(struct stats_sum_ns, expired) },
	{ "namespace_put_refused", METRIC_COUNTER, "Values refused for lack of room.",
	    offsetof(struct stats_sum_ns, refused) },
	{ "namespace_entries", METRIC_GAUGE, "Keys in the cache.",
	    offsetof(struct stats_sum_ns, entries) },
	{ "namespace_bytes", METRIC_GAUGE, "Their entries, headers included.",
	    offsetof(struct stats_sum_ns, bytes) },
};

/* Of namespaces that have one. */
static void
write_quotas(struct metrics *m, const struct server *s, unsigned n, bool max)
{
	struct cache_quota_stats quota;

	if (max)
		metrics_family(m, "namespace_max_bytes", METRIC_GAUGE,
		    "What its max_memory comes to, where it has one.");
	else
		metrics_family(m, "namespace_min_bytes", METRIC_GAUGE,
		    "What its min_memory comes to, where it has one.");
	for (unsigned id = 0; id < n; id++) {
		server_quota(s, server_config(&s->loops[0]), id, &quota);
		if ((max ? quota.max_bytes : quota.min_bytes) != 0)
			metrics_int(m, METRICS_NAMESPACE, stats_ns_name(s->names, id),
			    (int64_t)(max ? quota.max_bytes : quota.min_bytes));
	}
}

static int
write_namespaces(struct metrics *m, const struct server *s)
{
	unsigned n = stats_ns_count(s->names);
	struct stats_sum_ns *sums = mem_calloc(n, sizeof *sums);

	if (sums == NULL)
		return -ENOMEM;
	for (unsigned id = 0; id < n; id++)
		stats_sum_ns(s->stats, s->n_loops, id, &sums[id]);
	for (size_t c = 0; c < ARRAY_LEN(ns_columns); c++) {
		metrics_family(m, ns_columns[c].name, ns_columns[c].type, ns_columns[c].help);
		for (unsigned id = 0; id < n; id++)
			metrics_int(m, METRICS_NAMESPACE, stats_ns_name(s->names, id),
			    field_of(&sums[id], &ns_columns[c]));
	}
	write_quotas(m, s, n, false);
	write_quotas(m, s, n, true);
	mem_free(sums);
	return 0;
}

static const struct column stream_columns[] = {
#define STREAM_STAT(name, help) \
	{ "stream_" #name, METRIC_COUNTER, help, offsetof(struct stream_sum, name) },
#include "stats/stats.def"
};

static void
write_streams(struct metrics *m, const struct server *s)
{
	unsigned n = streams_count(s->streams);
	struct stream_sum sum;

	metrics_family(m, "stream_connected", METRIC_GAUGE,
	    "1 while a stream of invalidations is connected to its broker.");
	for (unsigned i = 0; i < n; i++)
		metrics_int(m, "stream", stream_config(streams_get(s->streams, i))->name,
		    stream_is_connected(streams_get(s->streams, i)));
	for (size_t c = 0; c < ARRAY_LEN(stream_columns); c++) {
		metrics_family(m, stream_columns[c].name, stream_columns[c].type,
		    stream_columns[c].help);
		for (unsigned i = 0; i < n; i++) {
			stream_sum(streams_get(s->streams, i), &sum);
			metrics_int(m, "stream", stream_config(streams_get(s->streams, i))->name,
			    field_of(&sum, &stream_columns[c]));
		}
	}
}

static const struct column origin_columns[] = {
#define ORIGIN_STAT(name, help) \
	{ "origin_" #name, METRIC_COUNTER, help, offsetof(struct stats_sum_origin, name) },
#include "stats/stats.def"
};

static void
write_write_queues(struct metrics *m, struct server *s, unsigned n)
{
	struct store_behind q;

	metrics_family(m, "origin_write_queue_entries", METRIC_GAUGE,
	    "Writes behind that are still to be carried out.");
	for (unsigned id = 0; id < n; id++) {
		store_behind_status(s->store, (int)id, &q);
		metrics_int(m, "origin", stats_origin_name(s->names, id), (int64_t)q.n);
	}
	metrics_family(m, "origin_write_queue_bytes", METRIC_GAUGE, "Their keys and values.");
	for (unsigned id = 0; id < n; id++) {
		store_behind_status(s->store, (int)id, &q);
		metrics_int(m, "origin", stats_origin_name(s->names, id), (int64_t)q.bytes);
	}
}

/* What the guard of an origin says of one thing. */
static int64_t
breaker_of(const struct guard_view *v)
{
	return v->breaker == BREAKER_CLOSED ? 0 : v->breaker == BREAKER_OPEN ? 1 : 2;
}

static int64_t
in_flight_of(const struct guard_view *v)
{
	return v->in_flight;
}

static int64_t
waiting_of(const struct guard_view *v)
{
	return v->waiting;
}

static int64_t
limit_of(const struct guard_view *v)
{
	return v->limit;
}

static int64_t
endpoints_of(const struct guard_view *v)
{
	return v->n_endpoints;
}

static int64_t
out_of(const struct guard_view *v)
{
	return v->n_out;
}

static const struct {
	const char *name, *help;
	int64_t (*value)(const struct guard_view *v);
} guard_gauges[] = {
	{ "origin_breaker_state", "0: closed, 1: open, 2: half-open.", breaker_of },
	{ "origin_in_flight", "Requests under way.", in_flight_of },
	{ "origin_queued", "Requests that wait for their turn.", waiting_of },
	{ "origin_concurrency_limit", "How many may be under way; 0: as many as there are "
	    "connections.", limit_of },
	{ "origin_endpoints", "Endpoints configured.", endpoints_of },
	{ "origin_endpoints_out", "Of these, the ones that are not asked: ejected, down, or "
	    "taken out.", out_of },
};

static void
write_guards(struct metrics *m, struct server *s, unsigned n)
{
	struct guards *guards = store_guards(s->store);
	int64_t now_us = clock_mono_us();
	struct guard_view v;

	for (size_t g = 0; g < ARRAY_LEN(guard_gauges); g++) {
		metrics_family(m, guard_gauges[g].name, METRIC_GAUGE, guard_gauges[g].help);
		for (unsigned id = 0; id < n; id++)
			if (guards_view(guards, stats_origin_name(s->names, id), now_us, &v) == 0)
				metrics_int(m, "origin", stats_origin_name(s->names, id),
				    guard_gauges[g].value(&v));
	}
}

static int
write_origins(struct metrics *m, struct server *s)
{
	unsigned n = stats_origin_count(s->names);
	struct stats_sum_origin *sums;

	if (n == 0)
		return 0;
	sums = mem_calloc(n, sizeof *sums);
	if (sums == NULL)
		return -ENOMEM;
	for (unsigned id = 0; id < n; id++)
		stats_sum_origin(s->stats, s->n_loops, id, &sums[id]);
	for (size_t c = 0; c < ARRAY_LEN(origin_columns); c++) {
		metrics_family(m, origin_columns[c].name, origin_columns[c].type,
		    origin_columns[c].help);
		for (unsigned id = 0; id < n; id++)
			metrics_int(m, "origin", stats_origin_name(s->names, id),
			    field_of(&sums[id], &origin_columns[c]));
	}
	metrics_family(m, "origin_latency_seconds", METRIC_HISTOGRAM,
	    "Time of requests that the origin answered.");
	for (unsigned id = 0; id < n; id++) {
		metrics_histogram(m, "origin", stats_origin_name(s->names, id),
		    &sums[id].latency_us, 1e-6);
		histogram_sum_fini(&sums[id].latency_us);
	}
	mem_free(sums);
	write_write_queues(m, s, n);
	write_guards(m, s, n);
	return 0;
}

/* --- commands: those that were called ------------------------------------------------------ */

static const struct column command_columns[] = {
	{ "commands", METRIC_COUNTER, "Calls of a command.",
	    offsetof(struct stats_sum_command, calls) },
	{ "command_rejected", METRIC_COUNTER, "Calls refused before they ran.",
	    offsetof(struct stats_sum_command, rejected) },
	{ "command_failed", METRIC_COUNTER, "Calls that ended in an error.",
	    offsetof(struct stats_sum_command, failed) },
};

static bool
was_called(const struct stats_sum_command *n)
{
	return n->calls != 0 || n->rejected != 0 || n->failed != 0;
}

static void
write_command_latency(struct metrics *m, const struct server *s,
    const struct stats_sum_command *sums)
{
	metrics_family(m, "command_seconds", METRIC_HISTOGRAM,
	    "Time in the handler of those calls that were timed: one short one in 128, of few "
	    "all, and all others.");
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		struct histogram_sum h;

		if (!was_called(&sums[id]))
			continue;
		stats_sum_latency(s->stats, s->n_loops, id, &h);
		metrics_histogram(m, "command", command_table[id].name, &h, 1e-9);
		histogram_sum_fini(&h);
	}
}

static int
write_commands(struct metrics *m, const struct server *s)
{
	struct stats_sum_command *sums = mem_calloc(CMD_COUNT, sizeof *sums);

	if (sums == NULL)
		return -ENOMEM;
	for (unsigned id = 0; id < CMD_COUNT; id++)
		stats_sum_command(s->stats, s->n_loops, id, &sums[id]);
	for (size_t c = 0; c < ARRAY_LEN(command_columns); c++) {
		metrics_family(m, command_columns[c].name, command_columns[c].type,
		    command_columns[c].help);
		for (unsigned id = 0; id < CMD_COUNT; id++)
			if (was_called(&sums[id]))
				metrics_int(m, "command", command_table[id].name,
				    field_of(&sums[id], &command_columns[c]));
	}
	write_command_latency(m, s, sums);
	mem_free(sums);
	return 0;
}

int
metrics_write(struct server *s, enum metrics_format format, struct buf *out)
{
	struct metrics m;
	int rc;

	metrics_begin(&m, format);
	write_process(&m, s);
	write_memory(&m, s);
	write_clients(&m, s);
	rc = write_namespaces(&m, s);
	if (rc == 0)
		rc = write_origins(&m, s);
	if (rc == 0 && streams_count(s->streams) != 0)
		write_streams(&m, s);
	if (rc == 0)
		rc = write_commands(&m, s);
	if (rc == 0)
		time_metrics(&m, s);
	if (rc == 0) {
		advice_metrics(&m, s);
		snapshots_metrics(&m, s->snapshots);
	}
	if (rc == 0)
		hotkeys_json(&m, s);
	if (metrics_end(&m) != 0)
		rc = -ENOMEM;
	if (rc == 0)
		*out = m.text;
	else
		buf_fini(&m.text);
	return rc;
}
