#include "config.h"

#include "cli/top_sample.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/info_doc.h"
#include "proto/resp.h"

/* --- columns ----------------------------------------------------------------------- */

#define NS(id, kind) { #id, kind, NULL, NULL },
static const struct top_column ns_columns[] = {
#include "cli/top.def"
};
#undef NS
#define ORIGIN(id, kind) { #id, kind, NULL, NULL },
static const struct top_column origin_columns[] = {
#include "cli/top.def"
};
#undef ORIGIN
#define COMMAND(id, kind) { #id, kind, NULL, NULL },
static const struct top_column command_columns[] = {
#include "cli/top.def"
};
#undef COMMAND
#define TOTAL(id, kind, section, field) { #id, kind, section, field },
static const struct top_column total_columns[] = {
#include "cli/top.def"
};
#undef TOTAL

_Static_assert(TOTAL_COLUMNS <= TOP_COLUMNS && NS_COLUMNS <= TOP_COLUMNS &&
    ORIGIN_COLUMNS <= TOP_COLUMNS && COMMAND_COLUMNS <= TOP_COLUMNS, "rows are too short");

static const struct {
	const char *name, *section, *prefix;
	const struct top_column *columns;
	unsigned n;
} layouts[TOP_TABLES + 1] = {
	[TOP_NAMESPACES] = { "namespaces", "Namespaces", "ns_", ns_columns, NS_COLUMNS },
	[TOP_ORIGINS] = { "origins", "Origins", "origin_", origin_columns, ORIGIN_COLUMNS },
	[TOP_COMMANDS] = { "commands", "Commandstats", "cmdstat_", command_columns,
	    COMMAND_COLUMNS },
	[TOP_TABLES] = { "totals", NULL, NULL, total_columns, TOTAL_COLUMNS },
};

const struct top_column *
top_columns(unsigned table, unsigned *n)
{
	assert(table <= TOP_TABLES);
	*n = layouts[table].n;
	return layouts[table].columns;
}

const char *
top_table_name(unsigned table)
{
	return layouts[table].name;
}

/* --- INFO -------------------------------------------------------------------------- */

#define NAME_SIZE 1024

static void
copy(char *out, size_t size, struct slice s)
{
	snprintf(out, size, "%.*s", (int)s.len, s.ptr);
}

static MUST_CHECK int
read_row(const struct info_line *l, unsigned table, struct top_row *out)
{
	char name[NAME_SIZE];

	info_name(l->key, layouts[table].prefix, name, sizeof name);
	out->name = mem_strdup(name);
	if (out->name == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < layouts[table].n; i++)
		out->n[i] = info_field_int(l->value, layouts[table].columns[i].name);
	copy(out->state, sizeof out->state, info_field(l->value, "breaker"));
	return 0;
}

static MUST_CHECK int
read_table(const struct info_doc *d, unsigned table, struct top_table *out)
{
	struct slice section = slice_str(layouts[table].section);
	unsigned n = 0;
	int rc = 0;

	for (unsigned i = 0; i < d->n; i++)
		n += slice_eq(d->lines[i].section, section);
	out->rows = mem_calloc(MAX(n, 1), sizeof *out->rows);
	if (out->rows == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < d->n && rc == 0; i++)
		if (slice_eq(d->lines[i].section, section))
			rc = read_row(&d->lines[i], table, &out->rows[out->n++]);
	return rc;
}

static int64_t
read_total(const struct info_doc *d, const struct top_column *c)
{
	const char *slash = strchr(c->field, '/');
	char line[32];

	if (slash == NULL)
		return info_doc_int(d, c->section, c->field);
	snprintf(line, sizeof line, "%.*s", (int)(slash - c->field), c->field);
	return info_field_int(info_doc_get(d, c->section, line), slash + 1);
}

int
top_sample_read(struct slice info, int64_t now_us, struct top_sample *out)
{
	struct info_doc d;
	int rc = info_doc_read(info, &d);

	*out = (struct top_sample){ .time_us = now_us, .since_start = true };
	for (unsigned i = 0; rc == 0 && i < TOTAL_COLUMNS; i++)
		out->totals.n[i] = read_total(&d, &total_columns[i]);
	if (rc == 0) {
		copy(out->version, sizeof out->version,
		    info_doc_get(&d, "Server", "pannier_version"));
		copy(out->run_id, sizeof out->run_id, info_doc_get(&d, "Server", "run_id"));
		out->seconds = (double)MAX(out->totals.n[TOTAL_uptime_seconds], 1);
	}
	for (unsigned t = 0; rc == 0 && t < TOP_TABLES; t++)
		rc = read_table(&d, t, &out->tables[t]);
	info_doc_fini(&d);
	return rc;
}

static void
row_fini(struct top_row *r)
{
	mem_free(r->name);
}

void
top_sample_fini(struct top_sample *s)
{
	for (unsigned t = 0; t < TOP_TABLES; t++) {
		for (unsigned i = 0; i < s->tables[t].n; i++)
			row_fini(&s->tables[t].rows[i]);
		mem_free(s->tables[t].rows);
	}
	mem_free(s->hot_keys);
	*s = (struct top_sample){ 0 };
}

/* --- LATENCY HISTOGRAM --------------------------------------------------------------- */

/* The next element must be of this type. */
static bool
take(struct slice reply, size_t *pos, enum resp_type type, struct resp_value *out)
{
	return resp_reply_next(reply, pos, out) && out->type == type;
}

static unsigned
bucket_of(int64_t us)
{
	return us < 2 ? 0 : MIN(63 - (unsigned)__builtin_clzll((unsigned long long)us),
	    TOP_BUCKETS - 1);
}

/* Those that top sends itself. */
static bool
is_own(struct slice command)
{
	return slice_eq(command, SLICE("info")) || slice_has_prefix(command, SLICE("latency")) ||
	    slice_eq(command, SLICE("pannier.hotkeys"));
}

/* name [calls N histogram_usec [us count ...]]: the counts are of all that took at most
 * so long, so each has those before it. A step is the double of the last, and its calls
 * took half of it at least. */
static bool
add_command(struct top_sample *s, struct slice reply, size_t *pos)
{
	struct resp_value v, us;
	int64_t last = 0, n;
	bool counts;

	if (!take(reply, pos, RESP_BULK, &v))
		return false;
	counts = !is_own(v.text);
	if (!take(reply, pos, RESP_ARRAY, &v) || v.n != 4 ||
	    !take(reply, pos, RESP_BULK, &v) || !take(reply, pos, RESP_INT, &v) ||
	    !take(reply, pos, RESP_BULK, &v) || !take(reply, pos, RESP_ARRAY, &v))
		return false;
	n = v.n / 2;
	for (int64_t i = 0; i < n; i++) {
		if (!take(reply, pos, RESP_INT, &us) || !take(reply, pos, RESP_INT, &v))
			return false;
		if (counts)
			s->latency[bucket_of(us.n)] += MAX(v.n - last, 0);
		last = v.n;
	}
	return true;
}

void
top_sample_latency(struct top_sample *s, struct slice reply)
{
	struct resp_value v;
	size_t pos = 0;

	if (!take(reply, &pos, RESP_ARRAY, &v))
		return;
	s->has_latency = true;
	for (int64_t i = 0; i < v.n / 2; i++)
		if (!add_command(s, reply, &pos))
			return;
}

/* --- PANNIER.HOTKEYS ------------------------------------------------------------------- */

int
top_sample_hot_keys(struct top_sample *s, struct slice reply)
{
	if (reply.len == 0 || reply.ptr[0] != '*')
		return 0;
	s->hot_keys = mem_alloc(reply.len);
	if (s->hot_keys == NULL)
		return -ENOMEM;
	memcpy(s->hot_keys, reply.ptr, reply.len);
	s->hot_keys_len = reply.len;
	return 0;
}

static bool
take_double(struct slice reply, size_t *pos, double *out)
{
	struct resp_value v;
	char text[32];

	if (!take(reply, pos, RESP_BULK, &v))
		return false;
	copy(text, sizeof text, v.text);
	*out = strtod(text, NULL);
	return true;
}

/* reads_per_second N sampled_reads N keys [[key namespace N N N] ...] */
static bool
skip_to_keys(struct slice reply, size_t *pos)
{
	struct resp_value v;

	return take(reply, pos, RESP_ARRAY, &v) && v.n == 6 &&
	    take(reply, pos, RESP_BULK, &v) && take(reply, pos, RESP_BULK, &v) &&
	    take(reply, pos, RESP_BULK, &v) && take(reply, pos, RESP_INT, &v) &&
	    take(reply, pos, RESP_BULK, &v) && take(reply, pos, RESP_ARRAY, &v);
}

bool
top_next_key(const struct top_sample *s, size_t *pos, struct top_key *out)
{
	struct slice reply = slice_of(s->hot_keys, s->hot_keys_len);
	struct resp_value v, key, ns;

	if (s->hot_keys == NULL || (*pos == 0 && !skip_to_keys(reply, pos)) ||
	    !take(reply, pos, RESP_ARRAY, &v) || v.n != 5 || !take(reply, pos, RESP_BULK, &key) ||
	    !take(reply, pos, RESP_BULK, &ns))
		return false;
	out->key = key.text;
	out->namespace = ns.text;
	return take_double(reply, pos, &out->reads_per_second) &&
	    take_double(reply, pos, &out->error) && take_double(reply, pos, &out->share);
}

/* --- differences ---------------------------------------------------------------------- */

/* As servers of metrics do: a counter that went down was set to 0 in between. */
static int64_t
growth(int64_t from, int64_t to, bool *anew)
{
	if (to >= from)
		return to - from;
	*anew = true;
	return to;
}

/* Columns of a row are of one life: where one began anew, all did. from NULL: it is new. */
static bool
row_diff(const struct top_row *from, const struct top_row *to, unsigned table,
    struct top_row *out)
{
	bool anew = false;

	memcpy(out->state, to->state, sizeof out->state);
	memcpy(out->n, to->n, sizeof out->n);
	for (unsigned i = 0; from != NULL && i < layouts[table].n; i++)
		if (layouts[table].columns[i].kind == COUNTER)
			out->n[i] = growth(from->n[i], to->n[i], &anew);
	if (anew)
		memcpy(out->n, to->n, sizeof out->n);
	return anew;
}

static const struct top_row *
find_row(const struct top_table *t, const char *name, unsigned hint)
{
	if (hint < t->n && strcmp(t->rows[hint].name, name) == 0)
		return &t->rows[hint];
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->rows[i].name, name) == 0)
			return &t->rows[i];
	return NULL;
}

static MUST_CHECK int
table_diff(const struct top_table *from, const struct top_table *to, unsigned table,
    struct top_table *out)
{
	out->rows = mem_calloc(MAX(to->n, 1), sizeof *out->rows);
	if (out->rows == NULL)
		return -ENOMEM;
	for (; out->n < to->n; out->n++) {
		const struct top_row *row = &to->rows[out->n];
		struct top_row *made = &out->rows[out->n];

		made->name = mem_strdup(row->name);
		if (made->name == NULL)
			return -ENOMEM;
		row_diff(from != NULL ? find_row(from, row->name, out->n) : NULL, row, table,
		    made);
	}
	return 0;
}

/* Not each call is timed, and counts are scaled up to all: a bucket may lose some to
 * others without having begun anew. */
static void
latency_diff(const struct top_sample *from, const struct top_sample *to, struct top_sample *out)
{
	out->has_latency = to->has_latency;
	memcpy(out->latency, to->latency, sizeof out->latency);
	for (unsigned i = 0; from != NULL && !out->restarted && i < TOP_BUCKETS; i++)
		out->latency[i] = MAX(to->latency[i] - from->latency[i], 0);
}

int
top_sample_diff(const struct top_sample *before, const struct top_sample *to,
    struct top_sample *out)
{
	bool other = before != NULL && strcmp(before->run_id, to->run_id) != 0;
	const struct top_sample *from = other ? NULL : before;
	int rc = 0;

	*out = (struct top_sample){
		.time_us = to->time_us,
		.seconds = to->seconds,
		.since_start = before == NULL,
		.restarted = other,
	};
	if (from != NULL)
		out->seconds = (double)MAX(to->time_us - from->time_us, 1) / 1e6;
	memcpy(out->version, to->version, sizeof out->version);
	memcpy(out->run_id, to->run_id, sizeof out->run_id);
	out->restarted |= row_diff(from != NULL ? &from->totals : NULL, &to->totals, TOP_TABLES,
	    &out->totals);
	for (unsigned t = 0; rc == 0 && t < TOP_TABLES; t++)
		rc = table_diff(from != NULL ? &from->tables[t] : NULL, &to->tables[t], t,
		    &out->tables[t]);
	latency_diff(from, to, out);
	if (rc == 0 && to->hot_keys != NULL) /* which are rates already */
		rc = top_sample_hot_keys(out, slice_of(to->hot_keys, to->hot_keys_len));
	return rc;
}

double
top_rate(const struct top_sample *s, int64_t n)
{
	return s->seconds > 0 ? (double)n / s->seconds : 0;
}

/* Steps begin at 1024 ns and double, with two digits: 1, 2, 4, 8, 16, 33, 66, 132 ... */
int64_t
top_bucket_us(unsigned bucket)
{
	int64_t ns = (int64_t)1024 << bucket;

	return (ns + ns / 128 - 1) / 1000;
}

int64_t
top_latency_us(const struct top_sample *s, double q)
{
	int64_t all = 0, sum = 0;

	for (unsigned i = 0; i < TOP_BUCKETS; i++)
		all += s->latency[i];
	for (unsigned i = 0; i < TOP_BUCKETS && all > 0; i++) {
		sum += s->latency[i];
		if ((double)sum >= q * (double)all)
			return top_bucket_us(i);
	}
	return 0;
}
