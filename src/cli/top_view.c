/* The page of `pannier top`: a head that stays, and the panes below it. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/stats_view.h"
#include "cli/top_rows.h"
#include "cli/top_ui.h"
#include "config/text.h"

#define NUMBER 16
#define BAR_MAX 40
#define KEYS_AMONG_ALL 5
#define GRAPH_MIN 12 /* characters, else there is none */

/* --- the head ----------------------------------------------------------------------------- */

static const char *
rate(const struct top_sample *s, int64_t n, char *out)
{
	return top_number(top_rate(s, n), out, NUMBER);
}

static void
view_daemon(const struct top_ui *ui, const struct top_sample *s, const char *from,
    struct page *p)
{
	const int64_t *n = s->totals.n;
	char age[VIEW_TEXT], span[48];

	if (s->since_start)
		snprintf(span, sizeof span, "since the start");
	else
		snprintf(span, sizeof span, "over %.1f s%s", s->seconds,
		    s->restarted ? ", began anew" : "");
	page_add(p, PAGE_TITLE, "%s%s  up %s  %s%s  pid %" PRId64 "  %s",
	    s->version[0] != '\0' ? "pannier " : "redis", s->version,
	    view_age(n[TOTAL_uptime_seconds], age), span, ui->paused ? "  PAUSED" : "",
	    n[TOTAL_process_id], from);
}

/* What of a line's width is left for a graph is filled with the newest values. */
static void
view_graph(const struct top_ui *ui, const double *values, double max, const char *text,
    struct page *p)
{
	unsigned used = (unsigned)strlen(text) + 2, n = 0;
	char graph[4 * TOP_HISTORY + 1] = "", *at = graph;

	if (p->width > used + GRAPH_MIN)
		n = MIN(p->width - used, ui->n_history);
	for (unsigned i = ui->n_history - n; i < ui->n_history; i++) {
		if (values[i] < 0)
			at = stpcpy(at, " ");
		else {
			page_column(p, max > 0 ? values[i] / max : 0, at);
			at += strlen(at);
		}
	}
	page_add(p, PAGE_PLAIN, "%s  %s", text, graph);
}

static void
view_hits(const struct top_ui *ui, const struct top_sample *s, struct page *p)
{
	int64_t hits = s->totals.n[TOTAL_hits], misses = s->totals.n[TOTAL_misses];
	char share[VIEW_TEXT], a[NUMBER], b[NUMBER], text[128];

	snprintf(text, sizeof text, "hit rate  %-8s %6s hits/s %6s misses/s",
	    view_share(hits, hits + misses, share), rate(s, hits, a), rate(s, misses, b));
	view_graph(ui, ui->hit_rates, 1, text, p);
}

static void
view_commands(const struct top_ui *ui, const struct top_sample *s, struct page *p)
{
	const int64_t *n = s->totals.n;
	char a[NUMBER], b[NUMBER], text[128];
	double max = 0;

	for (unsigned i = 0; i < ui->n_history; i++)
		max = MAX(max, ui->rates[i]);
	snprintf(text, sizeof text, "commands  %6s/s %8s errors/s %6" PRId64 " clients",
	    rate(s, n[TOTAL_commands], a), rate(s, n[TOTAL_errors], b), n[TOTAL_clients]);
	view_graph(ui, ui->rates, max, text, p);
}

/* What is resident is what the limit is for. */
static void
view_memory(const struct top_sample *s, struct page *p)
{
	int64_t resident = s->totals.n[TOTAL_memory_resident_bytes];
	int64_t limit = s->totals.n[TOTAL_memory_limit_bytes];
	double share = limit > 0 ? (double)resident / (double)limit : 0;
	unsigned width = p->width == 0 ? 30 : p->width > 55 ? MIN(p->width - 50, BAR_MAX) : 0;
	char bar[3 * BAR_MAX + 1], a[VIEW_TEXT], b[VIEW_TEXT], c[VIEW_TEXT];

	page_bar(p, share, width, bar);
	if (limit > 0)
		page_add(p, share > 1 ? PAGE_ALARM : PAGE_PLAIN,
		    "memory    %s%s%s of %s resident (%s)", bar, width > 0 ? " " : "",
		    view_bytes(resident, a), view_bytes(limit, b),
		    view_share(resident, limit, c));
	else
		page_add(p, PAGE_PLAIN, "memory    %s resident, no limit", view_bytes(resident, a));
}

static void
view_cache(const struct top_sample *s, struct page *p)
{
	const int64_t *n = s->totals.n;
	char a[VIEW_TEXT], b[VIEW_TEXT], c[VIEW_TEXT], d[NUMBER], e[NUMBER];

	page_add(p, n[TOTAL_oom_errors] > 0 ? PAGE_WARN : PAGE_PLAIN,
	    "cache     %s entries, %s of %s, %s evicted/s, %s expired/s",
	    view_count(n[TOTAL_entries], a), view_bytes(n[TOTAL_cache_live_bytes], b),
	    view_bytes(n[TOTAL_cache_budget_bytes], c), rate(s, n[TOTAL_evicted], d),
	    rate(s, n[TOTAL_expired], e));
}

static void
view_head(const struct top_ui *ui, const struct top_sample *s, const char *from, struct page *p)
{
	view_daemon(ui, s, from, p);
	view_hits(ui, s, p);
	view_commands(ui, s, p);
	view_memory(s, p);
	view_cache(s, p);
}

/* --- panes -------------------------------------------------------------------------------- */

static const char *const pane_names[PANES] = { "all", "namespaces", "origins", "latency",
	"keys", "commands" };

static void
view_tabs(const struct top_ui *ui, struct page *p)
{
	char line[160];
	struct text t = text_in(line, sizeof line);

	for (unsigned i = 0; i < PANES; i++)
		text_add(&t, i == ui->pane ? "[%u %s]" : " %u %s ", i + 1, pane_names[i]);
	if (ui->filter[0] != '\0')
		text_add(&t, " /%s", ui->filter);
	page_add(p, PAGE_DIM, "%s", line);
}

static void
view_bucket(const struct top_sample *s, unsigned i, int64_t all, int64_t most, struct page *p)
{
	unsigned width = p->width == 0 ? BAR_MAX : p->width > 40 ? MIN(p->width - 36, BAR_MAX) : 0;
	char bar[3 * BAR_MAX + 1], us[NUMBER], n[NUMBER], share[VIEW_TEXT];

	page_bar(p, (double)s->latency[i] / (double)most, width, bar);
	page_add(p, PAGE_PLAIN, "%8s  %s  %7s/s  %s",
	    top_micros((double)top_bucket_us(i), us, sizeof us), bar, rate(s, s->latency[i], n),
	    view_share(s->latency[i], all, share));
}

static void
view_latency(const struct top_sample *s, struct page *p)
{
	int64_t all = 0, most = 0;
	unsigned first = TOP_BUCKETS, last = 0;
	char a[NUMBER], b[NUMBER], c[NUMBER];

	for (unsigned i = 0; i < TOP_BUCKETS; i++) {
		if (s->latency[i] == 0)
			continue;
		first = MIN(first, i);
		last = i;
		all += s->latency[i];
		most = MAX(most, s->latency[i]);
	}
	if (all == 0) {
		page_add(p, PAGE_HEAD, s->has_latency ? "latency: no commands" :
		    "latency: not told here");
		return;
	}
	page_add(p, PAGE_HEAD, "latency of commands, at most: p50 %s, p99 %s, p99.9 %s",
	    top_micros((double)top_latency_us(s, 0.5), a, sizeof a),
	    top_micros((double)top_latency_us(s, 0.99), b, sizeof b),
	    top_micros((double)top_latency_us(s, 0.999), c, sizeof c));
	for (unsigned i = first; i <= last; i++)
		view_bucket(s, i, all, most, p);
}

/* Nothing of origins where there are none. */
static void
view_everything(const struct top_ui *ui, const struct top_sample *s, struct page *p)
{
	top_rows(ui, s, TOP_NAMESPACES, p);
	if (s->tables[TOP_ORIGINS].n != 0) {
		page_add(p, PAGE_PLAIN, "%s", "");
		top_rows(ui, s, TOP_ORIGINS, p);
	}
	if (s->hot_keys != NULL) {
		page_add(p, PAGE_PLAIN, "%s", "");
		top_key_rows(ui, s, KEYS_AMONG_ALL, p);
	}
	page_add(p, PAGE_PLAIN, "%s", "");
	view_latency(s, p);
}

static void
view_help(struct page *p)
{
	static const char *const lines[] = {
		"Tab, 1 to 6      the next pane, or this one; also left and right",
		"up, down, pages  scroll; also j k g G",
		"s S, < >         sort by the next column, or the last",
		"r                turn the order round",
		"/                show rows whose name has a text; Esc: all again",
		"p, space         pause, and go on",
		"+ -              a longer or shorter interval",
		"h ?              this help",
		"q, ^C            quit",
		"",
		"Rates are of one interval. Percentiles of waits and origins are since the",
		"daemon began to count. Latency is what a command took inside the daemon, without",
		"those that ask for this page; each line has calls up to its time.",
		"",
		"wait99: how long misses waited for a value, 99 in 100 at most.",
		"coal: waited for another's fetch or load. stale: served after their time.",
		"neg: remembered that the origin has none. slow: cut off by their deadline.",
		"ends, out: endpoints, and those that get no requests now.",
	};

	page_add(p, PAGE_HEAD, "Keys");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		page_add(p, PAGE_PLAIN, "  %s", lines[i]);
}

unsigned
top_view(const struct top_ui *ui, const struct top_sample *s, const char *from, struct page *p)
{
	unsigned stays;

	if (s == NULL) {
		page_add(p, PAGE_TITLE, "pannier top  %s", from);
		return p->n;
	}
	view_head(ui, s, from, p);
	view_tabs(ui, p);
	stays = p->n;
	if (ui->help)
		view_help(p);
	else if (ui->pane == PANE_ALL)
		view_everything(ui, s, p);
	else if (ui->pane == PANE_LATENCY)
		view_latency(s, p);
	else if (ui->pane == PANE_KEYS)
		top_key_rows(ui, s, UINT32_MAX, p);
	else
		top_rows(ui, s, ui->pane == PANE_NAMESPACES ? TOP_NAMESPACES :
		    ui->pane == PANE_ORIGINS ? TOP_ORIGINS : TOP_COMMANDS, p);
	return stays;
}

void
top_view_all(const struct top_ui *ui, const struct top_sample *s, const char *from,
    struct page *p)
{
	view_head(ui, s, from, p);
	page_add(p, PAGE_PLAIN, "%s", "");
	view_everything(ui, s, p);
	page_add(p, PAGE_PLAIN, "%s", "");
	top_rows(ui, s, TOP_COMMANDS, p);
}

void
top_view_foot(const struct top_ui *ui, const char *trouble, struct page *p)
{
	char every[VIEW_TEXT];

	if (ui->typing)
		page_add(p, PAGE_PLAIN, "names with: %s_   Enter: keep, Esc: all", ui->filter);
	else if (trouble != NULL)
		page_add(p, PAGE_ALARM, "AWAY, trying again: %s", trouble);
	else
		page_add(p, PAGE_DIM,
		    "q quit  h help  Tab pane  s sort  / filter  p %s  +- every %s",
		    ui->paused ? "go on" : "pause",
		    top_micros(ui->interval_ms * 1e3, every, sizeof every));
}
