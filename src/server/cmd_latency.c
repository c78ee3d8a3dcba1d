/* LATENCY: what took long, by kind and time, and how long commands take. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "server/help.h"
#include "server/server.h"

static struct latency *
latency_of(struct call *c)
{
	return &c->sl->server->latency;
}

/* LATENCY_EVENTS: there is none of that name. */
static unsigned
event_find(struct slice name)
{
	unsigned e = 0;

	while (e < LATENCY_EVENTS && !slice_eq(name, slice_str(latency_names[e])))
		e++;
	return e;
}

static bool
series_of(struct call *c, struct slice name, struct latency_series *out)
{
	unsigned e = event_find(name);

	if (e == LATENCY_EVENTS)
		return false;
	latency_get(latency_of(c), e, out);
	return out->n > 0;
}

/* --- samples --------------------------------------------------------------------- */

void
cmd_latency_latest(struct call *c)
{
	struct latency_series all[LATENCY_EVENTS];
	size_t n = 0;

	for (unsigned e = 0; e < LATENCY_EVENTS; e++) {
		latency_get(latency_of(c), e, &all[e]);
		n += all[e].n > 0;
	}
	reply_array(c->reply, n);
	for (unsigned e = 0; e < LATENCY_EVENTS; e++) {
		const struct latency_sample *last;

		if (all[e].n == 0)
			continue;
		last = latency_sample(&all[e], all[e].n - 1);
		reply_array(c->reply, 4);
		reply_bulk_str(c->reply, latency_names[e]);
		reply_int(c->reply, last->unix_s);
		reply_int(c->reply, last->ms);
		reply_int(c->reply, all[e].max_ms);
	}
}

void
cmd_latency_history(struct call *c)
{
	struct latency_series s;

	if (!series_of(c, c->argv[2], &s))
		s.n = 0;
	reply_array(c->reply, s.n);
	for (unsigned i = 0; i < s.n; i++) {
		reply_array(c->reply, 2);
		reply_int(c->reply, latency_sample(&s, i)->unix_s);
		reply_int(c->reply, latency_sample(&s, i)->ms);
	}
}

void
cmd_latency_reset(struct call *c)
{
	int64_t n = 0;

	for (unsigned e = 0; c->argc == 2 && e < LATENCY_EVENTS; e++)
		n += latency_reset(latency_of(c), e);
	for (uint32_t i = 2; i < c->argc; i++) {
		unsigned e = event_find(c->argv[i]);

		n += e < LATENCY_EVENTS && latency_reset(latency_of(c), e);
	}
	reply_int(c->reply, n);
}

/* Text, or an error where there was no memory for it; frees it. */
static void
reply_text(struct call *c, struct buf *text, int rc)
{
	if (rc == 0)
		reply_verbatim(c->reply, buf_slice(text));
	else
		call_put_failed(c, -ENOMEM);
	buf_fini(text);
}

/* --- GRAPH: a column for each sample, and below it how long ago that was -------------- */

#define COLUMNS 80
#define ROWS 4
#define LABEL_MAX 4

struct graph {
	const struct latency_series *series;
	int64_t now_s, low_ms, high_ms;
	unsigned from, n; /* the samples that are shown: the newest */
};

/* What is ROWS high is what took longest; a cell has three steps. */
static char
cell(const struct graph *g, unsigned column, int row_from_below)
{
	int64_t ms = latency_sample(g->series, g->from + column)->ms;
	int64_t span = MAX(g->high_ms - g->low_ms, (int64_t)1);
	int step = (int)((ms - g->low_ms) * (ROWS * 3 - 1) / span) - 3 * row_from_below;

	return step < 0 ? ' ' : step > 2 ? '|' : "_o#"[step];
}

static int
print_cells(struct buf *to, const struct graph *g)
{
	char line[COLUMNS];
	int rc = 0;

	for (int row = ROWS - 1; row >= 0 && rc == 0; row--) {
		for (unsigned i = 0; i < g->n; i++)
			line[i] = cell(g, i, row);
		rc = buf_printf(to, "%.*s\n", (int)g->n, line);
	}
	return rc;
}

/* "12s", "3m", "2h", "9d", read from above to below. */
static void
label(char out[LABEL_MAX + 1], int64_t ago_s)
{
	static const struct { int64_t s; char unit; } units[] = {
		{ 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' },
	};
	unsigned u = 0, n;

	while (u + 1 < ARRAY_LEN(units) && ago_s < units[u].s)
		u++;
	n = (unsigned)(MAX(ago_s, (int64_t)0) / units[u].s);
	snprintf(out, LABEL_MAX + 1, "%u%c", MIN(n, 999u), units[u].unit);
}

static int
print_labels(struct buf *to, const struct graph *g)
{
	char labels[COLUMNS][LABEL_MAX + 1], line[COLUMNS];
	int rc = buf_printf(to, "\n");

	for (unsigned i = 0; i < g->n; i++) {
		int64_t at_s = latency_sample(g->series, g->from + i)->unix_s;

		memset(labels[i], ' ', sizeof labels[i]);
		label(labels[i], MAX(g->now_s - at_s, (int64_t)0));
	}
	for (unsigned row = 0; row < LABEL_MAX && rc == 0; row++) {
		for (unsigned i = 0; i < g->n; i++)
			line[i] = labels[i][row] != '\0' ? labels[i][row] : ' ';
		rc = buf_printf(to, "%.*s\n", (int)g->n, line);
	}
	return rc;
}

static void
graph_init(struct graph *g, const struct latency_series *s)
{
	*g = (struct graph){ .series = s, .now_s = clock_wall_ms() / 1000, .low_ms = INT64_MAX };
	g->n = MIN(s->n, COLUMNS);
	g->from = s->n - g->n;
	for (unsigned i = 0; i < g->n; i++) {
		int64_t ms = latency_sample(s, g->from + i)->ms;

		g->low_ms = MIN(g->low_ms, ms);
		g->high_ms = MAX(g->high_ms, ms);
	}
}

void
cmd_latency_graph(struct call *c)
{
	struct latency_series s;
	struct slice name = c->argv[2];
	struct graph g;
	struct buf text;
	int rc;

	if (!series_of(c, name, &s)) {
		reply_error(c->reply, "ERR No samples available for event '%.*s'",
		    (int)MIN(name.len, 512), name.ptr);
		return;
	}
	graph_init(&g, &s);
	buf_init(&text);
	rc = buf_printf(&text,
	    "%.*s - high %" PRId64 " ms, low %" PRId64 " ms (all time high %" PRId64 " ms)\n"
	    "----------------------------------------"
	    "----------------------------------------\n",
	    (int)name.len, name.ptr, g.high_ms, g.low_ms, s.max_ms);
	if (rc == 0)
		rc = print_cells(&text, &g);
	if (rc == 0)
		rc = print_labels(&text, &g);
	reply_text(c, &text, rc);
}

/* --- DOCTOR ------------------------------------------------------------------------------ */

static const char *const advice[LATENCY_EVENTS] = {
	[LATENCY_COMMAND] =
	    "- Commands that work on a whole value or on all keys took long. PANNIER.SLOWLOG "
	    "COMMANDS says which, and why; KEYS, a FLUSHALL inside of MULTI, BITOP and LCS are the "
	    "usual ones.\n",
	[LATENCY_FAST_COMMAND] =
	    "- Commands that never take long did: the process had to wait for CPU or memory. "
	    "Look at the CPU quota of its container (throttled_usec in cpu.stat), at other "
	    "processes of the machine, and whether it swaps.\n",
	[LATENCY_CACHE_CYCLE] =
	    "- The cache's own work (expiry, cleaning, giving memory back) took long, which is "
	    "bounded to about a millisecond: the process had to wait for CPU or memory.\n",
	[LATENCY_LOOP_STALL] =
	    "- A loop took long over one turn, and its other clients waited meanwhile. Many "
	    "large replies in one pipeline do that, and so does waiting for CPU.\n",
	[LATENCY_MEMORY_PRESSURE] =
	    "- Tasks waited for memory, of the container or of the whole machine. Raise the "
	    "container's limit, or lower memory; the cache gives way meanwhile (pressure_steps "
	    "in INFO stats).\n",
	[LATENCY_MEMORY_PURGE] =
	    "- Giving unused memory back took long, as it does where there is much of it.\n",
	[LATENCY_ORIGIN_WAIT] =
	    "- Reads waited for their origin. PANNIER.SLOWLOG WAITS says for which keys, "
	    "PANNIER.ORIGIN STATE whether requests queue; stale_after and "
	    "stale_while_revalidate let readers go on with what is there.\n",
	[LATENCY_LEASE_WAIT] =
	    "- Reads waited for another client that was to load the key. PANNIER.SLOWLOG WAITS "
	    "says for which keys; what the clients do between their GET and their SET takes so "
	    "long.\n",
};

static double
mean(const struct latency_series *s)
{
	double sum = 0;

	for (unsigned i = 0; i < s->n; i++)
		sum += (double)latency_sample(s, i)->ms;
	return sum / s->n;
}

static double
deviation(const struct latency_series *s)
{
	double sum = 0, middle = mean(s);

	for (unsigned i = 0; i < s->n; i++) {
		double d = (double)latency_sample(s, i)->ms - middle;

		sum += d < 0 ? -d : d;
	}
	return sum / s->n;
}

static int
diagnose(struct buf *to, unsigned nth, const char *name, const struct latency_series *s)
{
	int64_t now_s = clock_wall_ms() / 1000;
	double span = (double)(now_s - latency_sample(s, 0)->unix_s);

	return buf_printf(to,
	    "%u. %s: %u latency spikes (average %.0fms, mean deviation %.0fms, period %.2f sec). "
	    "Worst all time event %" PRId64 "ms.\n",
	    nth, name, s->n, mean(s), deviation(s), MAX(span, 0.0) / s->n, s->max_ms);
}

static int
report(struct buf *to, const struct latency_series all[LATENCY_EVENTS])
{
	unsigned nth = 0;
	int rc = buf_printf(to, "Dave, I have observed latency spikes in this Redis instance. "
	    "You don't mind talking about it, do you Dave?\n\n");

	for (unsigned e = 0; e < LATENCY_EVENTS && rc == 0; e++)
		if (all[e].n > 0)
			rc = diagnose(to, ++nth, latency_names[e], &all[e]);
	if (rc == 0)
		rc = buf_printf(to, "\nI have a few advices for you:\n\n");
	for (unsigned e = 0; e < LATENCY_EVENTS && rc == 0; e++)
		if (all[e].n > 0)
			rc = buf_printf(to, "%s", advice[e]);
	return rc;
}

void
cmd_latency_doctor(struct call *c)
{
	struct latency_series all[LATENCY_EVENTS];
	struct buf text;
	bool any = false;
	int rc;

	for (unsigned e = 0; e < LATENCY_EVENTS; e++) {
		latency_get(latency_of(c), e, &all[e]);
		any |= all[e].n > 0;
	}
	buf_init(&text);
	if (any)
		rc = report(&text, all);
	else if (server_config(c->sl)->latency_threshold == 0)
		rc = buf_printf(&text, "I'm sorry, Dave, I can't do that. Latency monitoring is "
		    "disabled in this Redis instance. You may use \"CONFIG SET "
		    "latency-monitor-threshold <milliseconds>.\" in order to enable it. If we "
		    "weren't in a deep space mission I'd suggest to take a look at "
		    "https://redis.io/topics/latency-monitor.\n");
	else
		rc = buf_printf(&text, "Dave, no latency spike was observed during the lifetime "
		    "of this Redis instance, not in the slightest bit. I honestly think you "
		    "ought to sit down calmly, take a stress pill, and think things over.\n");
	reply_text(c, &text, rc);
}

/* --- HISTOGRAM ---------------------------------------------------------------------------- */

/* From a microsecond, which is 1024 ns, each the double of the one before. */
#define STEPS 27

/* The longest of a step as Redis's histogram, of two digits, has it. */
static int64_t
step_ns(unsigned step)
{
	int64_t ns = (int64_t)1024 << step;

	return ns + ns / 128 - 1;
}

/* The timed calls stand for all: the steps say how many of those came to so much. */
static void
reply_histogram(struct reply *r, const struct histogram_sum *h, int64_t calls)
{
	uint64_t timed = histogram_at_most(h, INT64_MAX), before = 0;
	uint64_t at_most[STEPS];
	size_t n = 0;

	for (unsigned i = 0; i < STEPS; i++) {
		at_most[i] = histogram_at_most(h, i + 1 < STEPS ? step_ns(i) : INT64_MAX);
		n += at_most[i] > (i > 0 ? at_most[i - 1] : 0);
	}
	reply_map(r, 2);
	reply_bulk_str(r, "calls");
	reply_int(r, calls);
	reply_bulk_str(r, "histogram_usec");
	reply_map(r, n);
	for (unsigned i = 0; i < STEPS; i++) {
		if (at_most[i] > before) {
			reply_int(r, step_ns(i) / 1000);
			reply_int(r, (int64_t)((double)at_most[i] / (double)timed * (double)calls));
		}
		before = at_most[i];
	}
}

/* Its name and histogram, where it was ever timed; r NULL: only whether. */
static bool
reply_command(struct call *c, unsigned id, struct reply *r)
{
	const struct server *s = c->sl->server;
	struct stats_sum_command n;
	struct histogram_sum h;
	bool any;

	stats_sum_command(s->stats, s->n_loops, id, &n);
	stats_sum_latency(s->stats, s->n_loops, id, &h);
	any = n.calls > 0 && histogram_at_most(&h, INT64_MAX) > 0;
	if (any && r != NULL) {
		reply_bulk_str(r, command_table[id].name);
		reply_histogram(r, &h, n.calls);
	}
	histogram_sum_fini(&h);
	return any;
}

static void
reply_chosen(struct call *c, const bool chosen[CMD_COUNT])
{
	bool any[CMD_COUNT];
	size_t n = 0;

	for (unsigned id = 0; id < CMD_COUNT; id++) {
		any[id] = chosen[id] && reply_command(c, id, NULL);
		n += any[id];
	}
	reply_map(c->reply, n);
	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (any[id])
			reply_command(c, id, c->reply);
}

void
cmd_latency_histogram(struct call *c)
{
	bool chosen[CMD_COUNT];

	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const char *parent = command_table[command_table[id].parent].name;

		chosen[id] = c->argc == 2;
		for (uint32_t i = 2; i < c->argc; i++)
			chosen[id] |= slice_caseeq(c->argv[i], slice_str(parent)) ||
			    slice_caseeq(c->argv[i], slice_str(command_table[id].name));
	}
	reply_chosen(c, chosen);
}

void
cmd_latency_help(struct call *c)
{
	static const char *const lines[] = {
		"DOCTOR",
		"    Return a human readable latency analysis report.",
		"GRAPH <event>",
		"    Return an ASCII latency graph for the <event> class.",
		"HISTORY <event>",
		"    Return time-latency samples for the <event> class.",
		"LATEST",
		"    Return the latest latency samples for all events.",
		"RESET [<event> ...]",
		"    Reset latency data of one or more <event> classes.",
		"    (default: reset all data for all event classes)",
		"HISTOGRAM [COMMAND ...]",
		("    Return a cumulative distribution of latencies in the format of a histogram "
		"for the specified command names."),
		"    If no commands are specified then all histograms are replied.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
