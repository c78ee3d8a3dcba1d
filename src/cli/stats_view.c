#include "config.h"

#include "cli/stats_view.h"

#include <errno.h>
#include <inttypes.h>

#include "base/parse.h"
#include "cli/table.h"

/* --- figures --------------------------------------------------------------------- */

const char *
view_age(int64_t seconds, char *out)
{
	int64_t s = seconds > 0 ? seconds : 0;

	if (s >= 86400)
		snprintf(out, VIEW_TEXT, "%" PRId64 "d %" PRId64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, VIEW_TEXT, "%" PRId64 "h %" PRId64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, VIEW_TEXT, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
	else
		snprintf(out, VIEW_TEXT, "%" PRId64 "s", s);
	return out;
}

const char *
view_bytes(int64_t bytes, char *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	unsigned u = 0;

	/* From 999.95 on it would be written as 1000.0. */
	for (; v >= 999.95 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1024;
	snprintf(out, VIEW_TEXT, u == 0 ? "%.0f%s" : "%.1f%s", v, units[u]);
	return out;
}

const char *
view_count(int64_t n, char *out)
{
	char digits[24];
	size_t len = format_i64(digits, n), at = 0;

	for (size_t i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

const char *
view_share(int64_t part, int64_t whole, char *out)
{
	if (whole <= 0)
		snprintf(out, VIEW_TEXT, "-");
	else
		snprintf(out, VIEW_TEXT, "%.1f %%", 100.0 * (double)part / (double)whole);
	return out;
}

const char *
view_us(int64_t us, char *out)
{
	if (us >= 1000000)
		snprintf(out, VIEW_TEXT, "%.2f s", (double)us / 1e6);
	else
		snprintf(out, VIEW_TEXT, "%.2f ms", (double)us / 1e3);
	return out;
}

/* --- the head ---------------------------------------------------------------------- */

static void
view_server(const struct info_doc *d, const char *from, FILE *to)
{
	struct slice version = info_doc_get(d, "Server", "pannier_version");
	struct slice config = info_doc_get(d, "Server", "config_file");
	char age[VIEW_TEXT];

	if (version.len != 0)
		fprintf(to, "pannier %.*s", (int)version.len, version.ptr);
	else /* any server that speaks INFO may be asked */
		fprintf(to, "redis %.*s", (int)info_doc_get(d, "Server", "redis_version").len,
		    info_doc_get(d, "Server", "redis_version").ptr);
	fprintf(to, " at %s, pid %" PRId64 ", up %s", from, info_doc_int(d, "Server", "process_id"),
	    view_age(info_doc_int(d, "Server", "uptime_in_seconds"), age));
	if (version.len != 0)
		fprintf(to, ", threads %" PRId64, info_doc_int(d, "Server", "pannier_threads"));
	fputc('\n', to);
	if (config.len != 0)
		fprintf(to, "config     %.*s\n", (int)config.len, config.ptr);
}

/* The limit is for what is resident. */
static void
view_memory(const struct info_doc *d, FILE *to)
{
	int64_t resident = info_doc_int(d, "Memory", "used_memory_rss");
	int64_t limit = info_doc_int(d, "Memory", "maxmemory");
	char a[VIEW_TEXT], b[VIEW_TEXT], share[VIEW_TEXT];

	fprintf(to, "memory     %s resident", view_bytes(resident, a));
	if (limit != 0)
		fprintf(to, " of %s (%s)", view_bytes(limit, b),
		    view_share(resident, limit, share));
	fprintf(to, ", %s used, peak %s\n",
	    view_bytes(info_doc_int(d, "Memory", "used_memory"), a),
	    view_bytes(info_doc_int(d, "Memory", "used_memory_peak"), b));
}

/* Its own part of that. */
static void
view_cache(const struct info_doc *d, FILE *to)
{
	int64_t budget = info_doc_int(d, "Memory", "arena_budget_bytes");
	char a[VIEW_TEXT], b[VIEW_TEXT], c[VIEW_TEXT], e[VIEW_TEXT];

	if (budget == 0)
		return;
	fprintf(to, "cache      %s of %s used: %s entries, %s tables\n",
	    view_bytes(info_doc_int(d, "Memory", "arena_used_bytes"), a), view_bytes(budget, b),
	    view_bytes(info_doc_int(d, "Memory", "arena_live_bytes"), c),
	    view_bytes(info_doc_int(d, "Memory", "arena_table_bytes"), e));
}

static void
view_requests(const struct info_doc *d, FILE *to)
{
	char a[VIEW_TEXT], b[VIEW_TEXT], c[VIEW_TEXT];

	fprintf(to, "clients    %s connected, %s waiting, %s refused\n",
	    view_count(info_doc_int(d, "Clients", "connected_clients"), a),
	    view_count(info_doc_int(d, "Clients", "blocked_clients"), b),
	    view_count(info_doc_int(d, "Stats", "rejected_connections"), c));
	fprintf(to, "commands   %s, %s a second, %s errors\n",
	    view_count(info_doc_int(d, "Stats", "total_commands_processed"), a),
	    view_count(info_doc_int(d, "Stats", "instantaneous_ops_per_sec"), b),
	    view_count(info_doc_int(d, "Stats", "total_error_replies"), c));
}

static void
view_hits(const struct info_doc *d, FILE *to)
{
	int64_t hits = info_doc_int(d, "Stats", "keyspace_hits");
	int64_t misses = info_doc_int(d, "Stats", "keyspace_misses");
	int64_t keys = info_field_int(info_doc_get(d, "Keyspace", "db0"), "keys");
	char share[VIEW_TEXT], a[VIEW_TEXT], b[VIEW_TEXT], c[VIEW_TEXT];

	fprintf(to, "hit rate   %s, %s hits, %s misses\n", view_share(hits, hits + misses, share),
	    view_count(hits, a), view_count(misses, b));
	fprintf(to, "entries    %s, %s evicted, %s expired\n", view_count(keys, c),
	    view_count(info_doc_int(d, "Stats", "evicted_keys"), a),
	    view_count(info_doc_int(d, "Stats", "expired_keys"), b));
}

/* --- tables ------------------------------------------------------------------------ */

/* What a column makes of the fields of a row; of several their sum. */
enum form {
	COUNT,
	BYTES,
	SHARE,  /* the first, of the first two together */
	MICROS,
	MILLIS,
	WORD,   /* as it stands there */
	SWITCH, /* 1: yes */
};

struct column {
	const char *title;
	enum form form;
	const char *fields[3];
};

static const struct column reads[] = {
	{ "reads", COUNT, { "hits", "misses" } },
	{ "hits", COUNT, { "hits" } },
	{ "misses", COUNT, { "misses" } },
	{ "hit rate", SHARE, { "hits", "misses" } },
	{ "coalesced", COUNT, { "coalesced", "lease_waits" } },
	{ "fetches", COUNT, { "fetches" } },
	{ "errors", COUNT, { "fetch_errors" } },
	{ "entries", COUNT, { "entries" } },
	{ "bytes", BYTES, { "bytes" } },
};
static const struct column keeps[] = {
	{ "stale", COUNT, { "stale_served", "stale_refreshing", "stale_on_error" } },
	{ "negative", COUNT, { "negative_hits" } },
	{ "stored", COUNT, { "stored" } },
	{ "evicted", COUNT, { "evicted" } },
	{ "expired", COUNT, { "expired" } },
	{ "invalidated", COUNT, { "invalidated" } },
	{ "wait p99", MICROS, { "wait_p99_us" } },
	{ "origin saved", MILLIS, { "origin_ms_saved" } },
};
static const struct column origins[] = {
	{ "breaker", WORD, { "breaker" } },
	{ "requests", COUNT, { "requests" } },
	{ "errors", COUNT, { "errors" } },
	{ "timeouts", COUNT, { "timeouts" } },
	{ "retries", COUNT, { "retries" } },
	{ "refused", COUNT, { "breaker_refused", "rate_refused", "shed" } },
	{ "flying", COUNT, { "in_flight" } },
	{ "ejected", COUNT, { "endpoints_out" } },
	{ "p50", MICROS, { "p50_us" } },
	{ "p99", MICROS, { "p99_us" } },
	{ "bytes", BYTES, { "bytes" } },
};
static const struct column streams[] = {
	{ "connected", SWITCH, { "connected" } },
	{ "messages", COUNT, { "messages" } },
	{ "malformed", COUNT, { "malformed" } },
	{ "gaps", COUNT, { "gaps" } },
};

static const struct layout {
	const char *section, *prefix, *title;
	const struct column *columns;
	unsigned n;
} layouts[] = {
	{ "Namespaces", "ns_", "namespace", reads, ARRAY_LEN(reads) },
	{ "Namespaces", "ns_", "namespace", keeps, ARRAY_LEN(keeps) },
	{ "Origins", "origin_", "origin", origins, ARRAY_LEN(origins) },
	{ "Invalidations", "stream_", "stream", streams, ARRAY_LEN(streams) },
};

static void
add_cell(struct table *t, struct slice line, const struct column *c)
{
	struct slice word = info_field(line, c->fields[0]);
	char text[VIEW_TEXT];
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(c->fields) && c->fields[i] != NULL; i++)
		sum += info_field_int(line, c->fields[i]);
	switch (c->form) {
	case COUNT:
		table_add(t, "%s", view_count(sum, text));
		break;
	case BYTES:
		table_add(t, "%s", view_bytes(sum, text));
		break;
	case SHARE:
		table_add(t, "%s", view_share(info_field_int(line, c->fields[0]), sum, text));
		break;
	case MICROS:
		table_add(t, "%s", view_us(sum, text));
		break;
	case MILLIS:
		table_add(t, "%s", sum < 60000 ? view_us(sum * 1000, text) :
		    view_age(sum / 1000, text));
		break;
	case WORD:
		table_add(t, "%.*s", word.len != 0 ? (int)word.len : 1,
		    word.len != 0 ? word.ptr : "-");
		break;
	case SWITCH:
		table_add(t, sum != 0 ? "yes" : "no");
	}
}

/* A name may be any prefix of a key, and must not speak to the terminal. */
static void
add_name(struct table *t, struct slice key, const char *prefix)
{
	char name[TABLE_CELL];

	info_name(key, prefix, name, sizeof name);
	for (char *p = name; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	table_add(t, "%s", name);
}

/* Nothing where the section has no lines. */
static MUST_CHECK int
view_table(const struct info_doc *d, const struct layout *l, FILE *to)
{
	struct table t;
	bool any = false;
	int rc;

	table_init(&t, l->n + 1);
	table_add(&t, "%s", l->title);
	for (unsigned k = 0; k < l->n; k++)
		table_add(&t, "%s", l->columns[k].title);
	for (unsigned i = 0; i < d->n; i++) {
		if (!slice_eq(d->lines[i].section, slice_str(l->section)) ||
		    !slice_has_prefix(d->lines[i].key, slice_str(l->prefix)))
			continue;
		add_name(&t, d->lines[i].key, l->prefix);
		for (unsigned k = 0; k < l->n; k++)
			add_cell(&t, d->lines[i].value, &l->columns[k]);
		any = true;
	}
	if (any && !t.failed) {
		fputc('\n', to);
		table_print(&t, to);
	}
	rc = t.failed ? -ENOMEM : 0;
	table_fini(&t);
	return rc;
}

int
stats_view(const struct info_doc *d, const char *from, FILE *to)
{
	int rc = 0;

	view_server(d, from, to);
	view_memory(d, to);
	view_cache(d, to);
	view_requests(d, to);
	view_hits(d, to);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(layouts); i++)
		rc = view_table(d, &layouts[i], to);
	return rc;
}
