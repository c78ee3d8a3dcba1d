/* INFO: its sections and how they are chosen; the rates that need two looks. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <stdarg.h>

#include "base/mem.h"
#include "server/info.h"
#include "server/info_text.h"

enum { ALWAYS, ON_REQUEST }; /* in a plain INFO, or only by name and in "all" */

/* In the order of Redis. */
static const struct section {
	const char *name, *title;
	int when;
	void (*print)(struct info *i);
} sections[] = {
	{ "server", "Server", ALWAYS, info_server },
	{ "clients", "Clients", ALWAYS, info_clients },
	{ "memory", "Memory", ALWAYS, info_memory },
	{ "persistence", "Persistence", ALWAYS, info_persistence },
	{ "stats", "Stats", ALWAYS, info_stats },
	{ "replication", "Replication", ALWAYS, info_replication },
	{ "cpu", "CPU", ALWAYS, info_cpu },
	{ "modules", "Modules", ALWAYS, info_nothing },
	{ "commandstats", "Commandstats", ON_REQUEST, info_commandstats },
	{ "errorstats", "Errorstats", ALWAYS, info_errorstats },
	{ "latencystats", "Latencystats", ON_REQUEST, info_latencystats },
	{ "cluster", "Cluster", ALWAYS, info_cluster },
	{ "keyspace", "Keyspace", ALWAYS, info_keyspace },
	{ "namespaces", "Namespaces", ALWAYS, info_namespaces },
	{ "origins", "Origins", ALWAYS, info_origins },
	{ "advice", "Advice", ON_REQUEST, info_advice },
	{ "invalidations", "Invalidations", ALWAYS, info_invalidations },
};

/* --- writing ----------------------------------------------------------------- */

void
info_printf(struct info *i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (buf_vprintf(&i->text, fmt, ap) != 0)
		i->failed = true;
	va_end(ap);
}

void
info_bytes(struct info *i, const char *field, uint64_t bytes)
{
	static const char units[] = "BKMGTP";
	double n = (double)bytes;
	int unit = 0;

	for (; n >= 1024 && units[unit + 1] != '\0'; unit++)
		n /= 1024;
	info_printf(i, "%s:%llu\r\n%s_human:%.*f%c\r\n", field, (unsigned long long)bytes, field,
	    unit == 0 ? 0 : 2, n, units[unit]);
}

void
info_nothing(struct info *i)
{
	(void)i;
}

/* --- choosing ---------------------------------------------------------------- */

static void
choose(bool *chosen, struct slice word)
{
	bool all = slice_caseeq(word, SLICE("all")) || slice_caseeq(word, SLICE("everything"));
	bool usual = slice_caseeq(word, SLICE("default"));

	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (all || (usual && sections[i].when == ALWAYS) ||
		    slice_caseeq(word, slice_str(sections[i].name)))
			chosen[i] = true;
}

static void
print_chosen(struct info *info, const bool *chosen)
{
	const char *gap = "";

	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		if (!chosen[i])
			continue;
		info_printf(info, "%s# %s\r\n", gap, sections[i].title);
		sections[i].print(info);
		gap = "\r\n";
	}
}

void
info_write(struct info *info, const struct slice *words, uint32_t n)
{
	bool chosen[ARRAY_LEN(sections)] = { false };

	for (uint32_t i = 0; i < n; i++)
		choose(chosen, words[i]);
	print_chosen(info, chosen);
}

void
cmd_info(struct call *c)
{
	struct info info = { .sl = c->sl, .session = c->session, .now_ms = c->now_ms };

	buf_init(&info.text);
	if (c->argc == 1)
		info_write(&info, &SLICE("default"), 1);
	else
		info_write(&info, c->argv + 1, c->argc - 1);
	if (info.failed)
		call_put_failed(c, -ENOMEM);
	else
		reply_verbatim(c->reply, buf_slice(&info.text));
	buf_fini(&info.text);
}

/* --- rates and peaks --------------------------------------------------------- */

int64_t
info_used_memory(const struct server *s)
{
	struct cache_stats cs;

	cache_stats(store_cache(s->store), &cs);
	return (int64_t)(cs.live_bytes + cs.table_bytes + mem_used());
}

static void
set(struct counter *c, int64_t value)
{
	counter_add(c, value - counter_get(c));
}

/* The pools count what goes through their sockets. */
static int64_t
pools_sum(const struct server *s, uint64_t (*bytes)(const struct conn_pool *p))
{
	int64_t n = 0;

	for (unsigned i = 0; i < s->n_loops; i++)
		n += (int64_t)bytes(s->loops[i].pool);
	return n;
}

int64_t
info_input_bytes(const struct server *s)
{
	return pools_sum(s, conn_pool_bytes_in) - counter_get(&s->info.input_bytes_reset);
}

int64_t
info_output_bytes(const struct server *s)
{
	return pools_sum(s, conn_pool_bytes_out) - counter_get(&s->info.output_bytes_reset);
}

void
info_reset(struct server *s, int64_t event_us)
{
	stats_reset(s->stats, s->n_loops);
	histogram_reset(&s->lag_us);
	saved_reset(s);
	timing_lag_reset(s, event_us);
	set(&s->info.input_bytes_reset, pools_sum(s, conn_pool_bytes_in));
	set(&s->info.output_bytes_reset, pools_sum(s, conn_pool_bytes_out));
}

/* After a CONFIG RESETSTAT a count is smaller than before: no rate, once. */
static int64_t
rate(int64_t now, int64_t before, int64_t elapsed_us)
{
	return now < before ? 0 : (int64_t)((double)(now - before) * 1e6 / (double)elapsed_us);
}

void
info_sample(struct server *s)
{
	struct info_sampler *i = &s->info;
	int64_t now_us = loop_now_us(s->loops[0].loop), used = info_used_memory(s);
	int64_t elapsed_us = now_us - i->last_us;
	int64_t in = info_input_bytes(s), out = info_output_bytes(s);
	struct stats_sum_loop sum;

	stats_sum_loop(s->stats, s->n_loops, &sum);
	if (i->last_us != 0 && elapsed_us > 0) {
		set(&i->ops_per_sec,
		    rate(sum.commands_processed, i->last_commands, elapsed_us));
		set(&i->input_bytes_per_sec, rate(in, i->last_input_bytes, elapsed_us));
		set(&i->output_bytes_per_sec, rate(out, i->last_output_bytes, elapsed_us));
	}
	if (used > counter_get(&i->peak_bytes))
		set(&i->peak_bytes, used);
	i->last_us = now_us;
	i->last_commands = sum.commands_processed;
	i->last_input_bytes = in;
	i->last_output_bytes = out;
}
