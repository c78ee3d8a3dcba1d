/* MEMORY STATS, DOCTOR, PURGE, MALLOC-STATS: where the memory is (memory.h has the
 * plan), what is wrong with it, and what can be given back. */
#include "config.h"

#include "server/call.h"

#include <errno.h>
#include <inttypes.h>

#include "base/mem.h"
#include "server/help.h"
#include "server/info_text.h"
#include "server/server.h"

/* All that there is to know, of one moment. */
struct figures {
	struct memory_plan plan;
	uint64_t arena_bytes; /* as set now */
	struct cache_stats cache;
	struct mem_heap heap;
	uint64_t used, peak, resident, buffers;
};

static void
figures_take(struct server *s, struct figures *f)
{
	pthread_mutex_lock(&s->config_lock);
	f->plan = s->memory.plan;
	f->arena_bytes = s->memory.arena_bytes;
	pthread_mutex_unlock(&s->config_lock);
	cache_stats(store_cache(s->store), &f->cache);
	info_heap(s, &f->heap);
	f->used = (uint64_t)info_used_memory(s);
	f->peak = MAX(f->used, (uint64_t)counter_get(&s->info.peak_bytes));
	f->resident = memory_resident();
	f->buffers = info_client_buffers(s);
}

/* --- STATS ------------------------------------------------------------------------ */

static void
count(struct reply *r, const char *name, uint64_t n)
{
	reply_bulk_str(r, name);
	reply_int(r, (int64_t)n);
}

static void
ratio(struct reply *r, const char *name, double of, double to)
{
	reply_bulk_str(r, name);
	reply_double(r, to > 0 ? of / to : 0);
}

/* Redis's ratio and bytes of what one has beyond the other. */
static void
excess(struct reply *r, const char *ratio_name, const char *bytes_name, uint64_t more,
    uint64_t less)
{
	ratio(r, ratio_name, (double)more, (double)less);
	reply_bulk_str(r, bytes_name);
	reply_int(r, (int64_t)(more - less));
}

#define REDIS_FIELDS 26
#define OWN_FIELDS 10

static void
reply_totals(struct reply *r, const struct figures *f)
{
	count(r, "peak.allocated", f->peak);
	count(r, "total.allocated", f->used);
	count(r, "startup.allocated", f->plan.base_bytes);
	count(r, "replication.backlog", 0);
	count(r, "clients.slaves", 0);
	count(r, "clients.normal", f->buffers);
	count(r, "cluster.links", 0);
	count(r, "aof.buffer", 0);
	count(r, "lua.caches", 0);
	count(r, "functions.caches", 0);
}

static void
reply_dataset(struct reply *r, const struct figures *f)
{
	uint64_t live = f->cache.live_bytes + f->cache.table_bytes;

	count(r, "overhead.total", f->used - MIN(f->used, f->cache.user_bytes));
	count(r, "keys.count", f->cache.entries);
	count(r, "keys.bytes-per-key", f->cache.entries != 0 ? live / f->cache.entries : 0);
	count(r, "dataset.bytes", f->cache.user_bytes);
	ratio(r, "dataset.percentage", 100.0 * (double)f->cache.user_bytes, (double)live);
	ratio(r, "peak.percentage", 100.0 * (double)f->used, (double)f->peak);
}

static void
reply_heap(struct reply *r, const struct figures *f)
{
	count(r, "allocator.allocated", f->heap.allocated);
	count(r, "allocator.active", f->heap.active);
	count(r, "allocator.resident", f->heap.resident);
	excess(r, "allocator-fragmentation.ratio", "allocator-fragmentation.bytes",
	    f->heap.active, f->heap.allocated);
	excess(r, "allocator-rss.ratio", "allocator-rss.bytes", f->heap.resident, f->heap.active);
	excess(r, "rss-overhead.ratio", "rss-overhead.bytes", f->resident,
	    f->heap.resident + f->cache.used_bytes);
	excess(r, "fragmentation", "fragmentation.bytes", f->resident, f->used);
}

/* The plan, and what came of it. */
static void
reply_own(struct reply *r, const struct figures *f)
{
	count(r, "limit.bytes", f->plan.limit_bytes);
	count(r, "resident.bytes", f->resident);
	count(r, "buffers.budget", f->plan.buffers_bytes);
	count(r, "margin.bytes", f->plan.margin_bytes);
	count(r, "arena.planned", f->plan.arena_bytes);
	count(r, "arena.budget", f->cache.budget_bytes);
	count(r, "arena.used", f->cache.used_bytes);
	count(r, "arena.dead", f->cache.dead_bytes);
	count(r, "arena.free", f->cache.free_bytes);
	count(r, "arena.pinned", f->cache.pinned_bytes);
}

void
cmd_memory_stats(struct call *c)
{
	struct reply *r = c->reply;
	struct figures f;

	figures_take(c->sl->server, &f);
	reply_map(r, REDIS_FIELDS + OWN_FIELDS + (f.cache.entries != 0));
	reply_totals(r, &f);
	if (f.cache.entries != 0) {
		reply_bulk_str(r, "db.0");
		reply_map(r, 3);
		count(r, "overhead.hashtable.main", f.cache.table_bytes);
		count(r, "overhead.hashtable.expires", 0);
		count(r, "overhead.hashtable.slot-to-keys", 0);
	}
	reply_dataset(r, &f);
	reply_heap(r, &f);
	reply_own(r, &f);
}

/* --- DOCTOR --------------------------------------------------------------------------- */

#define LITTLE_BYTES (5u << 20) /* below, there is nothing to tell; as Redis */

static bool
over_limit(const struct figures *f)
{
	return f->resident > f->plan.limit_bytes;
}

static bool
arena_was_cut(const struct figures *f)
{
	return f->arena_bytes < f->plan.arena_bytes - f->plan.arena_bytes / 16;
}

static bool
buffers_are_full(const struct figures *f)
{
	return f->buffers > f->plan.buffers_bytes * 3 / 4;
}

static bool
heap_is_loose(const struct figures *f)
{
	uint64_t rest = f->resident - MIN(f->resident, f->cache.used_bytes);

	return rest > f->plan.base_bytes + 2 * f->heap.allocated + f->plan.margin_bytes;
}

static bool
cleaning_lags(const struct figures *f)
{
	return f->cache.dead_bytes > f->cache.budget_bytes / 4;
}

static bool
much_is_pinned(const struct figures *f)
{
	return f->cache.pinned_bytes > f->cache.budget_bytes / 16;
}

static const struct issue {
	bool (*holds)(const struct figures *f);
	const char *text;
} issues[] = {
	{ over_limit,
	    " * Over the limit: more is resident than the limit says. Within a second the cache "
	    "gives back what it can; if this stays, the rest of the process does not fit beside "
	    "the smallest cache: raise memory, or lower buffers_limit.\n" },
	{ arena_was_cut,
	    " * Small cache: code, heap and fetched bodies take more than was set aside for them, "
	    "and the cache makes room. Look at mem_heap_bytes and mem_clients_normal in INFO "
	    "memory; fewer or smaller responses at a time (max_connections, max_body) help.\n" },
	{ buffers_are_full,
	    " * Full buffers: clients hold more than three quarters of buffers_limit. Beyond it "
	    "those that hold most are closed. CLIENT LIST says who (tot-mem); smaller pipelines "
	    "and values, or a larger limit, help.\n" },
	{ heap_is_loose,
	    " * Loose heap: the allocator holds twice of what is in use, after a peak. MEMORY "
	    "PURGE gives it back.\n" },
	{ cleaning_lags,
	    " * Dead bytes: a quarter of the cache is entries that are gone and not yet cleaned "
	    "up. That passes by itself; if it does not, the process gets too little CPU.\n" },
	{ much_is_pinned,
	    " * Pinned values: large values that clients are slow to read take room that cannot "
	    "be reused. CLIENT LIST says who is slow (oll, omem, events=rw).\n" },
};

static int
diagnose(struct buf *to, const struct figures *f)
{
	bool ill = false;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(issues) && rc == 0; i++) {
		if (!issues[i].holds(f))
			continue;
		if (!ill)
			rc = buf_printf(to, "Sam, I detected a few issues in this Redis instance "
			    "memory implants:\n\n");
		if (rc == 0)
			rc = buf_printf(to, "%s\n", issues[i].text);
		ill = true;
	}
	if (rc == 0 && ill)
		rc = buf_printf(to, "I'm here to keep you safe, Sam. I want to help you.\n");
	else if (rc == 0)
		rc = buf_printf(to, "Hi Sam, I can't find any memory issue in your instance. I can "
		    "only account for what occurs on this base.\n");
	return rc;
}

void
cmd_memory_doctor(struct call *c)
{
	struct figures f;
	struct buf text;
	int rc;

	figures_take(c->sl->server, &f);
	buf_init(&text);
	if (f.used < LITTLE_BYTES && !over_limit(&f))
		rc = buf_printf(&text, "Hi Sam, this instance is empty or is using very little "
		    "memory, my issues detector can't be used in these conditions. Please, leave "
		    "for your mission on Earth and fill it with some data. The new Sam and I will "
		    "be back to our programming as soon as I finished rebooting.\n");
	else
		rc = diagnose(&text, &f);
	if (rc == 0)
		reply_verbatim(c->reply, buf_slice(&text));
	else
		call_put_failed(c, -ENOMEM);
	buf_fini(&text);
}

/* --- the allocator -------------------------------------------------------------------- */

void
cmd_memory_purge(struct call *c)
{
	mem_purge();
	reply_ok(c->reply);
}

struct printing {
	struct buf text;
	size_t max_bytes;
	int rc;
};

static void
print(void *arg, const char *text)
{
	struct printing *p = arg;

	if (p->rc == 0 && buf_len(&p->text) < p->max_bytes)
		p->rc = buf_append(&p->text, text, strlen(text));
}

void
cmd_memory_malloc_stats(struct call *c)
{
	struct printing p = { .max_bytes = call_reply_max(c) };

	buf_init(&p.text);
	if (!mem_print_stats(print, &p))
		reply_bulk_str(c->reply, "Stats not supported for the current allocator");
	else if (p.rc == 0)
		reply_verbatim(c->reply, buf_slice(&p.text));
	else
		call_put_failed(c, -ENOMEM);
	buf_fini(&p.text);
}

void
cmd_memory_help(struct call *c)
{
	static const char *const lines[] = {
		"DOCTOR",
		"    Return memory problems reports.",
		"MALLOC-STATS",
		"    Return internal statistics report from the memory allocator.",
		"PURGE",
		"    Attempt to purge dirty pages for reclamation by the allocator.",
		"STATS",
		"    Return information about the memory usage of the server.",
		"USAGE <key> [SAMPLES <count>]",
		"    Return memory in bytes used by <key> and its value. Nested values are",
		"    sampled up to <count> times (default: 5, 0 means sample all).",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
