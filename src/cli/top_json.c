/* `pannier top --json`. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/info_doc.h"
#include "cli/top_ui.h"

static void
figures(const struct top_sample *s, const struct top_row *r, unsigned table, FILE *to)
{
	unsigned n;
	const struct top_column *c = top_columns(table, &n);

	for (unsigned i = 0; i < n; i++) {
		if (c[i].kind == COUNTER)
			fprintf(to, ",\"%s_per_second\":%.3f", c[i].name, top_rate(s, r->n[i]));
		else
			fprintf(to, ",\"%s\":%" PRId64, c[i].name, r->n[i]);
	}
}

/* null where nothing was read. */
static void
hit_rate(int64_t hits, int64_t misses, FILE *to)
{
	if (hits + misses > 0)
		fprintf(to, ",\"hit_rate\":%.4f", (double)hits / (double)(hits + misses));
	else
		fputs(",\"hit_rate\":null", to);
}

static void
table(const struct top_sample *s, enum top_table_id id, FILE *to)
{
	const struct top_table *t = &s->tables[id];

	fprintf(to, ",\"%s\":[", top_table_name(id));
	for (unsigned i = 0; i < t->n; i++) {
		const struct top_row *r = &t->rows[i];

		fputs(i != 0 ? ",{\"name\":" : "{\"name\":", to);
		info_json_string(slice_str(r->name), to);
		if (id == TOP_NAMESPACES)
			hit_rate(r->n[NS_hits], r->n[NS_misses], to);
		if (id == TOP_ORIGINS) {
			fputs(",\"breaker\":", to);
			info_json_string(slice_str(r->state), to);
		}
		figures(s, r, id, to);
		fputc('}', to);
	}
	fputc(']', to);
}

static void
latency(const struct top_sample *s, FILE *to)
{
	const char *gap = "";

	fputs(",\"latency\":[", to);
	for (unsigned i = 0; i < TOP_BUCKETS; i++) {
		if (s->latency[i] == 0)
			continue;
		fprintf(to, "%s{\"at_most_us\":%" PRId64 ",\"calls\":%" PRId64 "}", gap,
		    top_bucket_us(i), s->latency[i]);
		gap = ",";
	}
	fputc(']', to);
}

/* As /stats.json has keys: bytes that are no printable ASCII as \xXX. */
static void
key_string(struct slice key, FILE *to)
{
	fputc('"', to);
	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.ptr[i];

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c >= ' ' && c < 0x7f)
			fputc(c, to);
		else
			fprintf(to, "\\\\x%02x", c);
	}
	fputc('"', to);
}

static void
hot_keys(const struct top_sample *s, FILE *to)
{
	const char *gap = "";
	struct top_key k;
	size_t pos = 0;

	fputs(",\"hot_keys\":[", to);
	while (top_next_key(s, &pos, &k)) {
		fprintf(to, "%s{\"key\":", gap);
		key_string(k.key, to);
		fputs(",\"namespace\":", to);
		info_json_string(k.namespace, to);
		fprintf(to, ",\"reads_per_second\":%.3f,\"error\":%.3f,\"share\":%.4f}",
		    k.reads_per_second, k.error, k.share);
		gap = ",";
	}
	fputc(']', to);
}

static void
head(const char *from, int64_t wall_ms, FILE *to)
{
	fprintf(to, "{\"time_ms\":%" PRId64 ",\"address\":", wall_ms);
	info_json_string(slice_str(from), to);
}

void
top_json(const struct top_sample *s, const char *from, int64_t wall_ms, FILE *to)
{
	head(from, wall_ms, to);
	fputs(",\"version\":", to);
	info_json_string(slice_str(s->version), to);
	fprintf(to, ",\"seconds\":%.3f,\"since_start\":%s,\"restarted\":%s", s->seconds,
	    s->since_start ? "true" : "false", s->restarted ? "true" : "false");
	hit_rate(s->totals.n[TOTAL_hits], s->totals.n[TOTAL_misses], to);
	figures(s, &s->totals, TOP_TABLES, to);
	for (unsigned t = 0; t < TOP_TABLES; t++)
		table(s, (enum top_table_id)t, to);
	latency(s, to);
	hot_keys(s, to);
	fputs("}\n", to);
}

void
top_json_trouble(const char *trouble, const char *from, int64_t wall_ms, FILE *to)
{
	head(from, wall_ms, to);
	fputs(",\"error\":", to);
	info_json_string(slice_str(trouble), to);
	fputs("}\n", to);
}
