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

static void
view_memory(const struct info_doc *d, FILE *to)
{
	int64_t used = info_doc_int(d, "Memory", "used_memory");
	int64_t limit = info_doc_int(d, "Memory", "maxmemory");
	char a[VIEW_TEXT], b[VIEW_TEXT], share[VIEW_TEXT];

	fprintf(to, "memory     %s used", view_bytes(used, a));
	if (limit != 0)
		fprintf(to, " of %s (%s)", view_bytes(limit, b), view_share(used, limit, share));
	fprintf(to, ", peak %s", view_bytes(info_doc_int(d, "Memory", "used_memory_peak"), a));
	fprintf(to, ", resident %s\n", view_bytes(info_doc_int(d, "Memory", "used_memory_rss"), a));
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

static void
add_counts(struct table *t, struct slice line, const char *const *names, size_t n)
{
	char text[VIEW_TEXT];

	for (size_t i = 0; i < n; i++)
		table_add(t, "%s", view_count(info_field_int(line, names[i]), text));
}

static void
add_head(struct table *t, const char *const *titles, size_t n)
{
	for (size_t i = 0; i < n; i++)
		table_add(t, "%s", titles[i]);
}

static void
add_namespace(struct table *t, const struct info_line *l)
{
	static const char *const rest[] = { "coalesced", "fetches", "fetch_errors", "entries" };
	int64_t hits = info_field_int(l->value, "hits");
	int64_t misses = info_field_int(l->value, "misses");
	char name[TABLE_CELL], text[VIEW_TEXT];

	info_name(l->key, "ns_", name, sizeof name);
	table_add(t, "%s", name);
	table_add(t, "%s", view_count(hits + misses, text));
	table_add(t, "%s", view_count(hits, text));
	table_add(t, "%s", view_count(misses, text));
	table_add(t, "%s", view_share(hits, hits + misses, text));
	add_counts(t, l->value, rest, ARRAY_LEN(rest));
	table_add(t, "%s", view_bytes(info_field_int(l->value, "bytes"), text));
}

static void
add_origin(struct table *t, const struct info_line *l)
{
	static const char *const counts[] = { "requests", "errors", "timeouts", "not_found" };
	char name[TABLE_CELL], text[VIEW_TEXT];

	info_name(l->key, "origin_", name, sizeof name);
	table_add(t, "%s", name);
	add_counts(t, l->value, counts, ARRAY_LEN(counts));
	table_add(t, "%s", view_bytes(info_field_int(l->value, "bytes"), text));
	table_add(t, "%s", view_us(info_field_int(l->value, "p50_us"), text));
	table_add(t, "%s", view_us(info_field_int(l->value, "p99_us"), text));
}

/* Nothing where the section has no lines. */
static MUST_CHECK int
view_table(const struct info_doc *d, const char *section, const char *const *titles, size_t n,
    void (*add)(struct table *t, const struct info_line *l), FILE *to)
{
	struct table t;
	bool any = false;
	int rc;

	table_init(&t, (unsigned)n);
	add_head(&t, titles, n);
	for (unsigned i = 0; i < d->n; i++) {
		if (!slice_eq(d->lines[i].section, slice_str(section)))
			continue;
		add(&t, &d->lines[i]);
		any = true;
	}
	if (any) {
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
	static const char *const ns[] = { "namespace", "requests", "hits", "misses", "hit rate",
		"coalesced", "fetches", "errors", "entries", "bytes" };
	static const char *const origins[] = { "origin", "requests", "errors", "timeouts",
		"not found", "bytes", "p50", "p99" };
	int rc;

	view_server(d, from, to);
	view_memory(d, to);
	view_requests(d, to);
	view_hits(d, to);
	rc = view_table(d, "Namespaces", ns, ARRAY_LEN(ns), add_namespace, to);
	if (rc == 0)
		rc = view_table(d, "Origins", origins, ARRAY_LEN(origins), add_origin, to);
	return rc;
}
