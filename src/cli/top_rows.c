#include "config.h"

#include "cli/top_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/stats_view.h"
#include "cli/table.h"
#include "config/text.h"

/* What a column makes of the figures of a row. */
enum form {
	RATE,      /* their sum, a second */
	BYTE_RATE,
	PERCENT,   /* the first, of the first two together */
	MEAN,      /* the first by the second, in us */
	COUNT, BYTES, MICROS,
	STATE,
};

struct shown {
	const char *title;
	enum form form;
	unsigned char n, from[3]; /* figures: columns of top.def */
};

/* What matters most comes first: a narrow terminal has no room for the last ones. */
static const struct shown ns_shown[] = {
	{ "reads/s", RATE, 2, { NS_hits, NS_misses } },
	{ "hit %", PERCENT, 2, { NS_hits, NS_misses } },
	{ "miss/s", RATE, 1, { NS_misses } },
	{ "fetch/s", RATE, 1, { NS_fetches } },
	{ "fail/s", RATE, 1, { NS_fetch_errors } },
	{ "entries", COUNT, 1, { NS_entries } },
	{ "bytes", BYTES, 1, { NS_bytes } },
	{ "wait99", MICROS, 1, { NS_wait_p99_us } },
	{ "coal/s", RATE, 2, { NS_coalesced, NS_lease_waits } },
	{ "stale/s", RATE, 3, { NS_stale_served, NS_stale_refreshing, NS_stale_on_error } },
	{ "neg/s", RATE, 1, { NS_negative_hits } },
	{ "store/s", RATE, 1, { NS_stored } },
	{ "evict/s", RATE, 1, { NS_evicted } },
	{ "expire/s", RATE, 1, { NS_expired } },
	{ "inval/s", RATE, 1, { NS_invalidated } },
};
static const struct shown origin_shown[] = {
	{ "breaker", STATE, 0, { 0 } },
	{ "req/s", RATE, 1, { ORIGIN_requests } },
	{ "err/s", RATE, 1, { ORIGIN_errors } },
	{ "p50", MICROS, 1, { ORIGIN_p50_us } },
	{ "p99", MICROS, 1, { ORIGIN_p99_us } },
	{ "flying", COUNT, 1, { ORIGIN_in_flight } },
	{ "queued", COUNT, 1, { ORIGIN_queued } },
	{ "ends", COUNT, 1, { ORIGIN_endpoints } },
	{ "out", COUNT, 1, { ORIGIN_endpoints_out } },
	{ "slow/s", RATE, 1, { ORIGIN_timeouts } },
	{ "retry/s", RATE, 1, { ORIGIN_retries } },
	{ "hedge/s", RATE, 1, { ORIGIN_hedges } },
	{ "refuse/s", RATE, 3, { ORIGIN_breaker_refused, ORIGIN_rate_refused, ORIGIN_shed } },
	{ "bytes/s", BYTE_RATE, 1, { ORIGIN_bytes } },
	{ "limit", COUNT, 1, { ORIGIN_limit } },
};
static const struct shown command_shown[] = {
	{ "calls/s", RATE, 1, { COMMAND_calls } },
	{ "mean", MEAN, 2, { COMMAND_usec, COMMAND_calls } },
	{ "fail/s", RATE, 1, { COMMAND_failed_calls } },
	{ "reject/s", RATE, 1, { COMMAND_rejected_calls } },
};

static const struct {
	const char *title;
	const struct shown *shown;
	unsigned n;
} layouts[TOP_TABLES] = {
	[TOP_NAMESPACES] = { "namespace", ns_shown, ARRAY_LEN(ns_shown) },
	[TOP_ORIGINS] = { "origin", origin_shown, ARRAY_LEN(origin_shown) },
	[TOP_COMMANDS] = { "command", command_shown, ARRAY_LEN(command_shown) },
};

unsigned
top_shown_columns(enum top_table_id table)
{
	return layouts[table].n + 1;
}

/* --- figures ---------------------------------------------------------------------------- */

const char *
top_number(double n, char *out, size_t size)
{
	static const char units[] = " kMGT";
	double v = n;
	unsigned u = 0;

	for (; (v >= 99999.5 || (u > 0 && v >= 999.5)) && u < 4; u++)
		v /= 1000;
	if (u > 0)
		snprintf(out, size, v < 99.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
	else
		snprintf(out, size, v < 99.95 && v > 0 ? "%.1f" : "%.0f", v);
	return out;
}

const char *
top_micros(double us, char *out, size_t size)
{
	if (us >= 999500)
		snprintf(out, size, "%.1fs", us / 1e6);
	else if (us >= 999.5)
		snprintf(out, size, us < 99950 ? "%.1fms" : "%.0fms", us / 1e3);
	else
		snprintf(out, size, us < 9.95 && us != (double)(int)us ? "%.1fus" : "%.0fus", us);
	return out;
}

/* Below 0: there is nothing to tell. */
static double
figure(const struct top_sample *s, const struct top_row *r, const struct shown *c)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < c->n; i++)
		sum += r->n[c->from[i]];
	switch (c->form) {
	case RATE:
	case BYTE_RATE:
		return top_rate(s, sum);
	case PERCENT:
		return sum > 0 ? 100.0 * (double)r->n[c->from[0]] / (double)sum : -1;
	case MEAN:
		return r->n[c->from[1]] > 0 ?
		    (double)r->n[c->from[0]] / (double)r->n[c->from[1]] : -1;
	case STATE:
		return 0;
	default:
		return (double)sum;
	}
}

static void
add_figure(struct table *t, const struct top_sample *s, const struct top_row *r,
    const struct shown *c)
{
	double n = figure(s, r, c);
	char text[VIEW_TEXT];

	if (c->form == STATE)
		table_add(t, "%s", r->state[0] != '\0' ? r->state : "-");
	else if (n < 0)
		table_add(t, "-");
	else if (c->form == PERCENT)
		table_add(t, "%.1f", n);
	else if (c->form == BYTES || c->form == BYTE_RATE)
		table_add(t, "%s", view_bytes((int64_t)n, text));
	else if (c->form == MICROS || c->form == MEAN)
		table_add(t, "%s", top_micros(n, text, sizeof text));
	else if (c->form == COUNT)
		table_add(t, "%s", view_count((int64_t)n, text));
	else
		table_add(t, "%s", top_number(n, text, sizeof text));
}

/* --- order ------------------------------------------------------------------------------- */

struct order {
	const struct top_sample *s;
	const struct shown *by; /* NULL: the name */
	bool reverse;
};

static int
compare(const void *a, const void *b, void *arg)
{
	const struct top_row *x = *(const struct top_row *const *)a;
	const struct top_row *y = *(const struct top_row *const *)b;
	const struct order *o = arg;
	int by_name = strcmp(x->name, y->name), by = 0;

	if (o->by == NULL)
		return o->reverse ? -by_name : by_name;
	if (o->by->form == STATE) {
		by = strcmp(y->state, x->state); /* open, half-open, closed */
	} else {
		double p = figure(o->s, x, o->by), q = figure(o->s, y, o->by);

		by = (p < q) - (p > q); /* the largest first */
	}
	if (o->reverse)
		by = -by;
	return by != 0 ? by : by_name;
}

/* The rows that are to be shown, in order; the caller's to free. */
static const struct top_row **
choose(const struct top_ui *ui, const struct top_sample *s, enum top_table_id table, unsigned *n)
{
	const struct top_table *t = &s->tables[table];
	const struct top_order *by = &ui->order[table];
	const struct top_row **rows = mem_calloc(MAX(t->n, 1), sizeof *rows);
	struct order o = { s, by->column == 0 ? NULL : &layouts[table].shown[by->column - 1],
		by->reverse };

	*n = 0;
	if (rows == NULL)
		return NULL;
	for (unsigned i = 0; i < t->n; i++)
		if (ui->filter[0] == '\0' || strcasestr(t->rows[i].name, ui->filter) != NULL)
			rows[(*n)++] = &t->rows[i];
	qsort_r(rows, *n, sizeof *rows, compare, &o);
	return rows;
}

/* --- lines ------------------------------------------------------------------------------- */

static void
add_titles(struct table *t, const struct top_order *by, enum top_table_id table, bool utf8)
{
	const char *mark = by->reverse ? (utf8 ? "\u2191" : "^") : (utf8 ? "\u2193" : "v");

	table_add(t, "%s%s", layouts[table].title, by->column == 0 ? mark : "");
	for (unsigned i = 0; i < layouts[table].n; i++)
		table_add(t, "%s%s", layouts[table].shown[i].title,
		    by->column == i + 1 ? mark : "");
}

static enum page_style
style_of(const struct top_row *r)
{
	if (strcmp(r->state, "open") == 0)
		return PAGE_ALARM;
	return strcmp(r->state, "half-open") == 0 ? PAGE_WARN : PAGE_PLAIN;
}

/* rows NULL: they have no style. */
static void
print_rows(const struct table *t, const struct top_row *const *rows, struct page *p)
{
	struct table_layout l = table_lay_out(t, p->width);
	char line[TABLE_ROW];

	for (unsigned i = 0; i < table_rows(t); i++) {
		table_row(t, &l, i, line, sizeof line);
		page_add(p, i == 0 ? PAGE_HEAD : rows != NULL ? style_of(rows[i - 1]) : PAGE_PLAIN,
		    "%s", line);
	}
}

void
top_rows(const struct top_ui *ui, const struct top_sample *s, enum top_table_id table,
    struct page *p)
{
	unsigned n;
	const struct top_row **rows = choose(ui, s, table, &n);
	struct table t;

	table_init(&t, top_shown_columns(table));
	add_titles(&t, &ui->order[table], table, p->utf8);
	for (unsigned i = 0; rows != NULL && i < n; i++) {
		table_add(&t, "%.40s", rows[i]->name);
		for (unsigned k = 0; k < layouts[table].n; k++)
			add_figure(&t, s, rows[i], &layouts[table].shown[k]);
	}
	p->failed |= rows == NULL || t.failed;
	if (!p->failed)
		print_rows(&t, rows, p);
	table_fini(&t);
	mem_free(rows);
}

/* --- hot keys ---------------------------------------------------------------------------- */

#define KEY_COLUMNS 5

static void
add_key(struct table *t, const struct top_key *k, const char *quoted)
{
	char rate[VIEW_TEXT], error[VIEW_TEXT];

	table_add(t, "%s", quoted);
	table_add(t, "%s", top_number(k->reads_per_second, rate, sizeof rate));
	table_add(t, "%s", top_number(k->error, error, sizeof error));
	table_add(t, "%.1f", 100 * k->share);
	table_add(t, "%.*s", (int)MIN(k->namespace.len, 40), k->namespace.ptr);
}

void
top_key_rows(const struct top_ui *ui, const struct top_sample *s, unsigned most,
    struct page *p)
{
	static const char *const titles[KEY_COLUMNS] = { "hot key", "reads/s", "+-", "share %",
		"namespace" };
	struct top_key k;
	struct table t;
	size_t pos = 0;

	if (s->hot_keys == NULL) {
		page_add(p, PAGE_HEAD, "hot keys: not told here");
		return;
	}
	table_init(&t, KEY_COLUMNS);
	for (unsigned i = 0; i < KEY_COLUMNS; i++)
		table_add(&t, "%s", titles[i]);
	for (unsigned n = 0; n < most && top_next_key(s, &pos, &k);) {
		char quoted[TABLE_CELL];
		struct text text = text_in(quoted, sizeof quoted);

		text_quote(&text, k.key);
		if (ui->filter[0] != '\0' && strcasestr(quoted, ui->filter) == NULL)
			continue;
		add_key(&t, &k, quoted);
		n++;
	}
	p->failed |= t.failed;
	if (!t.failed)
		print_rows(&t, NULL, p);
	table_fini(&t);
}
