/* INFO's sections that Redis 7.0 has too, in its field names, for programs
 * that read them. A field is here if it is true: what this daemon has none of
 * (snapshots, replicas, transactions) is 0, as in a Redis that uses none. */
#include "config.h"

#include "server/info_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/address.h"
#include "server/door.h"
#include "server/internal.h"
#include "server/scripts.h"
#include "server/session.h"
#include "server/snapshots.h"
#include "server/tracking.h"
#include "server/version.h"

static void
print_system(struct info *i)
{
	struct utsname u;

	if (uname(&u) == 0)
		info_printf(i, "os:%s %s %s\r\n", u.sysname, u.release, u.machine);
	info_printf(i, "arch_bits:%zu\r\n", 8 * sizeof(void *));
	info_printf(i, "multiplexing_api:epoll\r\n"); /* src/net/loop.c asks for no other */
	info_printf(i, "monotonic_clock:POSIX clock_gettime\r\n");
	info_printf(i, "atomicvar_api:c11-builtin\r\n");
	info_printf(i, "gcc_version:%s\r\n", __VERSION__);
}

static void
print_executable(struct info *i)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path);

	if (n > 0)
		info_printf(i, "executable:%.*s\r\n", (int)n, path);
}

void
info_server(struct info *i)
{
	const struct server *s = i->sl->server;
	int64_t up = (i->now_ms - s->started_ms) / 1000;
	char version[REDIS_VERSION_MAX];

	server_redis_version(i->sl, version);
	info_printf(i, "redis_version:%s\r\n", version);
	info_printf(i, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r\n");
	info_printf(i, "redis_mode:standalone\r\n");
	info_printf(i, "pannier_version:%s\r\n", PANNIER_VERSION);
	info_printf(i, "pannier_threads:%u\r\n", s->n_loops);
	print_system(i);
	info_printf(i, "process_id:%ld\r\n", (long)getpid());
	info_printf(i, "process_supervised:%s\r\n",
	    getenv("NOTIFY_SOCKET") != NULL ? "systemd" : "no");
	info_printf(i, "run_id:%s\r\n", s->run_id);
	info_printf(i, "tcp_port:%u\r\n", server_tcp_port(s));
	info_printf(i, "server_time_usec:%" PRId64 "\r\n", clock_wall_us());
	info_printf(i, "uptime_in_seconds:%" PRId64 "\r\n", up);
	info_printf(i, "uptime_in_days:%" PRId64 "\r\n", up / 86400);
	info_printf(i, "hz:10\r\nconfigured_hz:10\r\n");
	print_executable(i);
	info_printf(i, "config_file:%s\r\n", s->config_path != NULL ? s->config_path : "");
	info_printf(i, "io_threads_active:%d\r\n", s->n_loops > 1);
}

void
info_clients(struct info *i)
{
	const struct server *s = i->sl->server;
	int64_t clients = 0, parked = 0;
	struct tracking_counts tracking;

	for (unsigned l = 0; l < s->n_loops; l++) {
		clients += counter_get(&s->loops[l].clients);
		parked += counter_get(&s->loops[l].parked);
	}
	info_printf(i, "connected_clients:%" PRId64 "\r\n", clients);
	info_printf(i, "cluster_connections:0\r\n");
	info_printf(i, "maxclients:%" PRIu64 "\r\n", server_config(i->sl)->max_clients);
	info_printf(i, "blocked_clients:%" PRId64 "\r\n", parked);
	tracking_counts(s->tracking, &tracking);
	info_printf(i, "tracking_clients:%" PRIu64 "\r\nclients_in_timeout_table:0\r\n",
	    tracking.clients);
}

/* --- memory ------------------------------------------------------------------ */

uint64_t
info_client_buffers(const struct server *s)
{
	uint64_t n = 0;

	for (unsigned l = 0; l < s->n_loops; l++)
		n += conn_pool_bytes(s->loops[l].pool);
	return n;
}

/* Our own: where the cache's bytes are. */
static void
print_arena(struct info *i, const struct cache_stats *cs)
{
	info_printf(i, "arena_budget_bytes:%" PRIu64 "\r\n", cs->budget_bytes);
	info_printf(i, "arena_used_bytes:%" PRIu64 "\r\n", cs->used_bytes);
	info_printf(i, "arena_live_bytes:%" PRIu64 "\r\n", cs->live_bytes);
	info_printf(i, "arena_user_bytes:%" PRIu64 "\r\n", cs->user_bytes);
	info_printf(i, "arena_table_bytes:%" PRIu64 "\r\n", cs->table_bytes);
	info_printf(i, "arena_dead_bytes:%" PRIu64 "\r\n", cs->dead_bytes);
	info_printf(i, "arena_free_bytes:%" PRIu64 "\r\n", cs->free_bytes);
	info_printf(i, "arena_pinned_bytes:%" PRIu64 "\r\n", cs->pinned_bytes);
	info_printf(i, "arena_protected_bytes:%" PRIu64 "\r\n", cs->protected_bytes);
	info_printf(i, "arena_protected_limit_bytes:%" PRIu64 "\r\n", cs->protected_limit);
	info_printf(i, "arena_protected_keys:%" PRIu64 "\r\n", cs->protected_entries);
	info_printf(i, "arena_cleaned_bytes:%" PRIu64 "\r\n", cs->cleaned_bytes);
	info_printf(i, "arena_shards:%u\r\n", cs->shards);
}

/* By memory pressure. */
static void
print_held(struct info *i)
{
	struct server *s = i->sl->server;
	uint64_t held_bytes;

	pthread_mutex_lock(&s->config_lock);
	held_bytes = s->memory.held_bytes;
	pthread_mutex_unlock(&s->config_lock);
	info_printf(i, "arena_held_bytes:%" PRIu64 "\r\n", held_bytes);
}

static void
print_limit(struct info *i)
{
	char policy[32] = "";
	int row = config_option_find(SLICE("eviction"));

	if (row >= 0)
		config_option_get(server_config(i->sl), (unsigned)row, true, policy,
		    sizeof policy);
	info_bytes(i, "maxmemory", server_memory_limit(i->sl->server, server_config(i->sl)));
	info_printf(i, "maxmemory_policy:%s\r\n", policy);
}

static const char *
allocator_name(void)
{
#ifdef HAVE_JEMALLOC
	return "jemalloc";
#else
	return "libc";
#endif
}

void
info_heap(const struct server *s, struct mem_heap *out)
{
	uint64_t resident = memory_resident();
	struct cache_stats cs;

	cache_stats(store_cache(s->store), &cs);
	mem_heap(out);
	/* The allocator counts pages that it has not touched. */
	resident -= MIN(resident, cs.used_bytes);
	out->resident = MAX(out->active, MIN(out->resident, resident));
}

/* Redis's ratio and bytes of what one has beyond the other. */
static void
print_excess(struct info *i, const char *name, uint64_t more, uint64_t less)
{
	info_printf(i, "%s_ratio:%.2f\r\n", name, less != 0 ? (double)more / (double)less : 0);
	info_printf(i, "%s_bytes:%" PRId64 "\r\n", name, (int64_t)(more - less));
}

/* As MEMORY STATS has it: the cache's arena lies beside the allocator. */
static void
print_heap(struct info *i, uint64_t rss, uint64_t arena)
{
	struct mem_heap heap;

	info_heap(i->sl->server, &heap);
	info_printf(i, "allocator_allocated:%zu\r\n", (size_t)heap.allocated);
	info_printf(i, "allocator_active:%zu\r\n", (size_t)heap.active);
	info_printf(i, "allocator_resident:%zu\r\n", (size_t)heap.resident);
	print_excess(i, "allocator_frag", heap.active, heap.allocated);
	print_excess(i, "allocator_rss", heap.resident, heap.active);
	print_excess(i, "rss_overhead", rss, heap.resident + arena);
}

static void
print_dataset(struct info *i, uint64_t used, const struct cache_stats *cs)
{
	uint64_t live = cs->live_bytes + cs->table_bytes;

	info_printf(i, "used_memory_overhead:%" PRIu64 "\r\n", used - MIN(used, cs->user_bytes));
	info_printf(i, "used_memory_dataset:%" PRIu64 "\r\n", cs->user_bytes);
	info_printf(i, "used_memory_dataset_perc:%.2f%%\r\n",
	    live != 0 ? 100.0 * (double)cs->user_bytes / (double)live : 0);
}

void
info_memory(struct info *i)
{
	const struct server *s = i->sl->server;
	uint64_t used = (uint64_t)info_used_memory(s), rss = memory_resident();
	uint64_t peak = MAX(used, (uint64_t)counter_get(&s->info.peak_bytes));
	struct cache_stats cs;

	cache_stats(store_cache(s->store), &cs);
	info_bytes(i, "used_memory", used);
	info_bytes(i, "used_memory_rss", rss);
	info_bytes(i, "used_memory_peak", peak);
	info_printf(i, "used_memory_peak_perc:%.2f%%\r\n", 100.0 * (double)used / (double)peak);
	print_dataset(i, used, &cs);
	print_heap(i, rss, cs.used_bytes);
	info_bytes(i, "total_system_memory",
	    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
	info_printf(i, "used_memory_lua:0\r\nused_memory_lua_human:0B\r\n"
	    "used_memory_scripts:0\r\nused_memory_scripts_human:0B\r\nused_memory_vm_eval:0\r\n"
	    "used_memory_scripts_eval:0\r\nnumber_of_functions:0\r\nnumber_of_libraries:0\r\n"
	    "used_memory_vm_functions:0\r\nused_memory_vm_total:0\r\n"
	    "used_memory_vm_total_human:0B\r\nused_memory_functions:0\r\n");
	info_printf(i, "number_of_cached_scripts:%u\r\n", scripts_count(s->scripts));
	print_limit(i);
	info_printf(i, "mem_fragmentation_ratio:%.2f\r\n", (double)rss / (double)used);
	info_printf(i, "mem_fragmentation_bytes:%" PRId64 "\r\n", (int64_t)(rss - used));
	info_printf(i, "mem_not_counted_for_evict:0\r\nmem_total_replication_buffers:0\r\n"
	    "mem_cluster_links:0\r\nmem_clients_slaves:0\r\n");
	info_printf(i, "mem_clients_normal:%" PRIu64 "\r\n", info_client_buffers(s));
	info_printf(i, "mem_aof_buffer:0\r\nmem_replication_backlog:0\r\n");
	info_printf(i, "mem_allocator:%s\r\n", allocator_name());
	info_printf(i, "active_defrag_running:0\r\nlazyfree_pending_objects:0\r\n"
	    "lazyfreed_objects:0\r\n");
	info_printf(i, "mem_heap_bytes:%zu\r\n", mem_used());
	print_arena(i, &cs);
	print_held(i);
}

/* --- counters ---------------------------------------------------------------- */

static void
print_saves(struct info *i, const struct snapshots_status *st)
{
	const struct server *s = i->sl->server;
	bool saving = st->state == SNAPSHOTS_SAVING;

	info_printf(i, "current_save_keys_processed:%" PRIu64 "\r\n",
	    saving ? st->save_now : 0);
	info_printf(i, "current_save_keys_total:%" PRIu64 "\r\n",
	    saving ? st->save_expected : 0);
	info_printf(i, "rdb_changes_since_last_save:%" PRId64 "\r\n",
	    MAX(snapshots_stored(s) - st->saved_stored, 0));
	info_printf(i, "rdb_bgsave_in_progress:%d\r\n", saving);
	info_printf(i, "rdb_last_save_time:%" PRId64 "\r\n",
	    (st->saved_unix_ms != 0 ? st->saved_unix_ms : s->started_unix_ms) / 1000);
	info_printf(i, "rdb_last_bgsave_status:%s\r\n", st->error[0] == '\0' ? "ok" : "err");
	info_printf(i, "rdb_last_bgsave_time_sec:%" PRId64 "\r\n",
	    st->saved_ms < 0 ? -1 : st->saved_ms / 1000);
	info_printf(i, "rdb_current_bgsave_time_sec:%" PRId64 "\r\n",
	    saving ? st->since_ms / 1000 : -1);
	info_printf(i, "rdb_saves:%" PRIu64 "\r\n", st->saves);
	info_printf(i, "rdb_last_cow_size:0\r\n");
	info_printf(i, "rdb_last_load_keys_expired:%" PRIu64 "\r\n", st->load_expired);
	info_printf(i, "rdb_last_load_keys_loaded:%" PRIu64 "\r\n", st->loaded);
}

/* loading is 0 even while a snapshot is loaded: libraries would wait for its end, and
 * clients are served. */
void
info_persistence(struct info *i)
{
	struct snapshots_status st;

	snapshots_status(i->sl->server->snapshots, &st);
	info_printf(i,
	    "loading:0\r\n"
	    "async_loading:%d\r\n"
	    "current_cow_peak:0\r\n"
	    "current_cow_size:0\r\n"
	    "current_cow_size_age:0\r\n"
	    "current_fork_perc:0.00\r\n", st.state == SNAPSHOTS_LOADING);
	print_saves(i, &st);
	info_printf(i,
	    "aof_enabled:0\r\n"
	    "aof_rewrite_in_progress:0\r\n"
	    "aof_rewrite_scheduled:0\r\n"
	    "aof_last_rewrite_time_sec:-1\r\n"
	    "aof_current_rewrite_time_sec:-1\r\n"
	    "aof_last_bgrewrite_status:ok\r\n"
	    "aof_last_write_status:ok\r\n"
	    "aof_last_cow_size:0\r\n"
	    "aof_rewrites:0\r\n"
	    "aof_rewrites_consecutive_failures:0\r\n"
	    "module_fork_in_progress:0\r\n"
	    "module_fork_last_cow_size:0\r\n");
}

static void
print_keyspace_counts(struct info *i)
{
	const struct server *s = i->sl->server;
	unsigned n = stats_ns_count(s->names);
	struct stats_sum_ns one, all = { 0 };

	for (unsigned id = 0; id < n; id++) {
		stats_sum_ns(s->stats, s->n_loops, id, &one);
		all.hits += one.hits;
		all.misses += one.misses;
		all.expired += one.expired;
		all.evicted += one.evicted;
	}
	info_printf(i, "expired_keys:%" PRId64 "\r\n", all.expired);
	info_printf(i, "evicted_keys:%" PRId64 "\r\n", all.evicted);
	info_printf(i, "keyspace_hits:%" PRId64 "\r\n", all.hits);
	info_printf(i, "keyspace_misses:%" PRId64 "\r\n", all.misses);
	info_printf(i, "hit_rate:%.4f\r\n", stats_hit_rate(all.hits, all.misses));
}

static void
print_rates(struct info *i)
{
	const struct info_sampler *r = &i->sl->server->info;

	info_printf(i, "instantaneous_ops_per_sec:%" PRId64 "\r\n", counter_get(&r->ops_per_sec));
	info_printf(i, "instantaneous_input_kbps:%.2f\r\n",
	    (double)counter_get(&r->input_bytes_per_sec) / 1024);
	info_printf(i, "instantaneous_output_kbps:%.2f\r\n",
	    (double)counter_get(&r->output_bytes_per_sec) / 1024);
}

static void
print_tracking(struct info *i)
{
	struct tracking_counts n;

	tracking_counts(i->sl->server->tracking, &n);
	info_printf(i, "tracking_total_keys:%" PRIu64 "\r\n", n.keys);
	info_printf(i, "tracking_total_items:%" PRIu64 "\r\n", n.items);
	info_printf(i, "tracking_total_prefixes:%" PRIu64 "\r\n", n.prefixes);
}

/* Of what a Redis that forks, replicates and defragments counts. Room is always made
 * within the command, so that there is no time by which eviction is behind. */
static void
print_nothing(struct info *i)
{
	info_printf(i,
	    "total_net_repl_input_bytes:0\r\n"
	    "total_net_repl_output_bytes:0\r\n"
	    "instantaneous_input_repl_kbps:0.00\r\n"
	    "instantaneous_output_repl_kbps:0.00\r\n"
	    "total_eviction_exceeded_time:0\r\n"
	    "current_eviction_exceeded_time:0\r\n"
	    "latest_fork_usec:0\r\n"
	    "total_forks:0\r\n"
	    "migrate_cached_sockets:0\r\n"
	    "slave_expires_tracked_keys:0\r\n"
	    "active_defrag_hits:0\r\n"
	    "active_defrag_misses:0\r\n"
	    "active_defrag_key_hits:0\r\n"
	    "active_defrag_key_misses:0\r\n"
	    "total_active_defrag_time:0\r\n"
	    "current_active_defrag_time:0\r\n"
	    "unexpected_error_replies:0\r\n"
	    "dump_payload_sanitizations:0\r\n");
}

void
info_stats(struct info *i)
{
	const struct server *s = i->sl->server;
	struct stats_sum_loop n;

	stats_sum_loop(s->stats, s->n_loops, &n);
	info_printf(i, "total_connections_received:%" PRId64 "\r\n", n.connections_received);
	info_printf(i, "total_commands_processed:%" PRId64 "\r\n", n.commands_processed);
	print_rates(i);
	info_printf(i, "total_net_input_bytes:%" PRId64 "\r\n", info_input_bytes(s));
	info_printf(i, "total_net_output_bytes:%" PRId64 "\r\n", info_output_bytes(s));
	info_printf(i, "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n");
	print_keyspace_counts(i);
	info_printf(i, "pubsub_channels:%zu\r\npubsub_patterns:%zu\r\npubsubshard_channels:%zu\r\n",
	    pubsub_names(s->pubsub, PUBSUB_CHANNEL), pubsub_names(s->pubsub, PUBSUB_PATTERN),
	    pubsub_names(s->pubsub, PUBSUB_SHARD));
	print_nothing(i);
	print_tracking(i);
	info_printf(i, "total_error_replies:%" PRId64 "\r\n", n.error_replies);
	info_printf(i, "loop_lag_max_us:%" PRId64 "\r\n",
	    timing_lag_max_us(i->sl->server, i->sl->timing.event_us));
	/* Of the rest each row of stats.def is a field. */
#define LOOP_STAT(name, help) \
	if (&n.name != &n.connections_received && &n.name != &n.commands_processed && \
	    &n.name != &n.error_replies) \
		info_printf(i, #name ":%" PRId64 "\r\n", n.name);
#include "stats/stats.def"
}

void
info_replication(struct info *i)
{
	info_printf(i,
	    "role:master\r\n"
	    "connected_slaves:0\r\n"
	    "master_failover_state:no-failover\r\n"
	    "master_replid:%s\r\n"
	    "master_replid2:0000000000000000000000000000000000000000\r\n"
	    "master_repl_offset:0\r\n"
	    "second_repl_offset:-1\r\n"
	    "repl_backlog_active:0\r\n"
	    "repl_backlog_size:0\r\n"
	    "repl_backlog_first_byte_offset:0\r\n"
	    "repl_backlog_histlen:0\r\n",
	    i->sl->server->run_id);
}

static void
print_cpu(struct info *i, const char *whose, const struct rusage *u)
{
	info_printf(i, "used_cpu_sys%s:%lld.%06ld\r\n", whose, (long long)u->ru_stime.tv_sec,
	    (long)u->ru_stime.tv_usec);
	info_printf(i, "used_cpu_user%s:%lld.%06ld\r\n", whose, (long long)u->ru_utime.tv_sec,
	    (long)u->ru_utime.tv_usec);
}

/* Of the thread that has the process's number: loop 0. In the kernel's ticks. */
static void
print_main_thread(struct info *i)
{
	char path[64], text[512];
	unsigned long user, sys;
	long ticks = sysconf(_SC_CLK_TCK);
	const char *end;
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/self/task/%ld/stat", (long)getpid());
	f = fopen(path, "re");
	if (f == NULL)
		return;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	end = strrchr(text, ')'); /* of its name, which may hold anything */
	if (end == NULL || ticks <= 0 || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
	    "%*u %lu %lu", &user, &sys) != 2)
		return;
	info_printf(i, "used_cpu_sys_main_thread:%.6f\r\n", (double)sys / (double)ticks);
	info_printf(i, "used_cpu_user_main_thread:%.6f\r\n", (double)user / (double)ticks);
}

void
info_cpu(struct info *i)
{
	struct rusage self, children;

	if (getrusage(RUSAGE_SELF, &self) == 0)
		print_cpu(i, "", &self);
	if (getrusage(RUSAGE_CHILDREN, &children) == 0)
		print_cpu(i, "_children", &children);
	print_main_thread(i);
}

void
info_cluster(struct info *i)
{
	info_printf(i, "cluster_enabled:0\r\n");
}

void
info_keyspace(struct info *i)
{
	struct cache_stats cs;

	if (i->session->policy->confined) {
		int64_t n = door_count_own(i->session);

		if (n > 0)
			info_printf(i, "db0:keys=%" PRId64 ",expires=0,avg_ttl=0\r\n", n);
		return;
	}
	cache_stats(store_cache(i->sl->server->store), &cs);
	if (cs.entries > 0)
		info_printf(i, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n",
		    cs.entries, cs.expiring);
}
