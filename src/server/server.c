/* server.c - builds the daemon from a configuration, and takes it apart. */
#include "config.h"

#include "server/advice.h"
#include "server/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "origin/origin.h"
#include "proto/command.h"
#include "server/admin_http.h"
#include "server/door.h"
#include "server/handover.h"
#include "server/internal.h"
#include "server/read_wait.h"
#include "server/scripts.h"
#include "server/snapshots.h"
#include "server/streams.h"
#include "server/takeover.h"
#include "server/tracking.h"
#include "store/tiers.h"

#define TRACKING_SHARE 4 /* of clients' buffers: what they track */

_Static_assert(CMD_COUNT <= STATS_COMMANDS, "stats.h must have room for every command");

static int fail(char *err, size_t size, int rc, const char *fmt, ...) PRINTF(4, 5);

static int
fail(char *err, size_t size, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, size, fmt, ap);
	va_end(ap);
	return rc;
}

const struct config *
server_config(const struct server_loop *sl)
{
	return routes_config(store_loop_routes(sl->store));
}

void
server_redis_version(const struct server_loop *sl, char out[REDIS_VERSION_MAX])
{
	int row = config_option_find(SLICE("redis_version"));

	out[0] = '\0';
	if (row >= 0)
		config_option_get(server_config(sl), (unsigned)row, false, out, REDIS_VERSION_MAX);
}

/* --- configuration ---------------------------------------------------------------- */

/* Of that name in another configuration, which may be NULL; 0: none. */
static unsigned
quota_of_name(const struct config *c, const char *name)
{
	for (unsigned i = 0; c != NULL && i < c->n_namespaces; i++)
		if (strcmp(c->namespaces[i].name, name) == 0)
			return c->namespaces[i].quota;
	return 0;
}

static uint64_t
quotas_of(const struct config *c)
{
	uint64_t all = 0;

	for (unsigned i = 0; c != NULL && i < c->n_namespaces; i++)
		all |= (uint64_t)1 << c->namespaces[i].quota;
	return all;
}

/* A namespace keeps its number, so that nothing has to be counted anew; others get one that
 * was nobody's, while there are such. Validation has seen that there are enough. */
static void
number_quotas(const struct config *old, struct config *cfg)
{
	uint64_t taken;

	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		struct config_namespace *ns = &cfg->namespaces[i];

		ns->quota = ns->min_memory != 0 || ns->max_memory != 0
		    ? quota_of_name(old, ns->name) : 0;
	}
	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		struct config_namespace *ns = &cfg->namespaces[i];

		if (ns->quota != 0 || (ns->min_memory == 0 && ns->max_memory == 0))
			continue;
		taken = quotas_of(cfg) | quotas_of(old) | 1;
		if (__builtin_ctzll(~taken) > CONFIG_QUOTAS_MAX)
			taken = quotas_of(cfg) | 1;
		ns->quota = (unsigned)__builtin_ctzll(~taken);
	}
}

int
server_number_names(struct server *s, struct config *cfg, char *err, size_t err_size)
{
	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		struct config_namespace *ns = &cfg->namespaces[i];

		ns->stats_id = stats_ns_id(s->names, ns->name);
		if (ns->stats_id < 0)
			return fail(err, err_size, -ENOSPC,
			    "namespace %s: at most %d may be used in the life of a process",
			    ns->name, STATS_NAMESPACES);
	}
	for (unsigned i = 0; i < cfg->n_origins; i++) {
		struct config_origin *o = &cfg->origins[i];

		o->stats_id = stats_origin_id(s->names, o->name);
		if (o->stats_id < 0)
			return fail(err, err_size, -ENOSPC,
			    "origin %s: at most %d may be used in the life of a process",
			    o->name, STATS_ORIGINS);
	}
	number_quotas(s->routes != NULL ? routes_config(s->routes) : NULL, cfg);
	return 0;
}

void
server_quota(const struct server *s, const struct config *cfg, unsigned stats_id,
    struct cache_quota_stats *out)
{
	*out = (struct cache_quota_stats){ 0 };
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (cfg->namespaces[i].stats_id == (int)stats_id && cfg->namespaces[i].quota != 0)
			cache_quota_stats(store_cache(s->store), cfg->namespaces[i].quota, out);
}

int
server_prepare_origins(const struct config *cfg, char *err, size_t err_size)
{
	return cfg->n_origins != 0 ? origin_prepare(cfg, err, err_size) : 0;
}

uint64_t
server_memory_limit(const struct server *s, const struct config *cfg)
{
	return cfg->memory != CONFIG_AUTO ? cfg->memory : atomic_load(&s->follow.auto_bytes);
}

int
server_plan_memory(const struct server *s, const struct config *cfg, uint64_t base_bytes,
    struct memory_plan *out, char *err, size_t err_size)
{
	uint64_t limit = server_memory_limit(s, cfg);
	char text[FORMAT_MAX];

	if (memory_plan(limit, base_bytes, cfg->buffers_limit, out) == 0)
		return 0;
	format_bytes(text, limit);
	return fail(err, err_size, -EINVAL,
	    "memory: %s leaves no room for a cache: the process itself needs %llu KiB, "
	    "clients' buffers %llu KiB; give it more, 32MiB for example",
	    text, (unsigned long long)base_bytes >> 10,
	    (unsigned long long)cfg->buffers_limit >> 10);
}

int
server_check_minimums(const struct config *cfg, const struct memory_plan *plan, char *err,
    size_t err_size)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		uint64_t min = cfg->namespaces[i].min_memory;

		sum += min >> 63 ? plan->arena_bytes / 100 * (min & 0xff) : min;
	}
	if (sum <= plan->arena_bytes / 2)
		return 0;
	return fail(err, err_size, -EINVAL,
	    "min_memory: all namespaces together ask for %llu KiB, and half of what the cache "
	    "has, with memory of %llu KiB, is %llu KiB: lower them, or raise memory",
	    (unsigned long long)sum >> 10, (unsigned long long)plan->limit_bytes >> 10,
	    (unsigned long long)plan->arena_bytes >> 11);
}

struct conn_limits
server_conn_limits(const struct server *s, const struct config *cfg)
{
	uint64_t share = s->memory.plan.buffers_bytes / s->n_loops;
	uint64_t output = cfg->output_limit != CONFIG_AUTO ? cfg->output_limit : share * 3 / 4;

	return (struct conn_limits){
		.input_bytes = server_max_value(s, cfg) + INPUT_SLACK,
		.output_hard_bytes = output,
		.output_soft_bytes = output / 2,
		.output_soft_ms = 10000,
		.output_pause_bytes = output / 4,
		.total_bytes = share,
		.beside = tracking_bytes(s->tracking),
		.beside_shares = s->n_loops,
	};
}

void
server_limit_tracking(const struct server *s, const struct config *cfg)
{
	tracking_set_limits(s->tracking, cfg->tracking_max_keys,
	    s->memory.plan.buffers_bytes / TRACKING_SHARE);
}

uint64_t
server_max_value(const struct server *s, const struct config *cfg)
{
	uint64_t fits = cache_max_entry(store_cache(s->store));
	uint64_t buffered = s->memory.plan.buffers_bytes / s->n_loops / 2;

	if (cfg->max_value != CONFIG_AUTO)
		return cfg->max_value;
	return MIN(fits, buffered);
}

struct resp_limits
server_resp_limits(const struct server *s, const struct config *cfg)
{
	return (struct resp_limits){
		.max_args = 1024 * 1024,
		.max_bulk = server_max_value(s, cfg),
		.max_inline = 64 * 1024,
	};
}

/* As in Redis: nobody makes the daemon wait for much before it is known who it is. */
struct resp_limits
server_stranger_limits(const struct resp_limits *known)
{
	return (struct resp_limits){
		.max_args = 10,
		.max_bulk = MIN(known->max_bulk, (uint64_t)16 * 1024),
		.max_inline = known->max_inline,
		.unauthenticated = true,
	};
}

/* --- parts --------------------------------------------------------------------------- */

static bool
tick_when_idle(void *arg)
{
	struct server_loop *sl = arg;

	store_loop_set_now(sl->store, loop_now_ms(sl->loop));
	return store_tick(sl->store, TICK_IDLE_US);
}

static int
server_loop_init(struct server *s, unsigned i)
{
	struct server_loop *sl = &s->loops[i];
	const struct config *cfg = routes_config(s->routes);
	struct conn_limits limits = server_conn_limits(s, cfg);
	int rc;

	sl->server = s;
	sl->limits = server_resp_limits(s, cfg);
	sl->stranger_limits = server_stranger_limits(&sl->limits);
	sl->doors = doors_ref(s->doors);
	list_init(&sl->sessions);
	list_init(&sl->watchers);
	batch_init(&sl->batch);
	if ((rc = loop_new(i, &sl->loop)) != 0 ||
	    (rc = stats_loop_init(&sl->stats)) != 0 ||
	    (rc = conn_pool_new(sl->loop, &limits, &sl->pool)) != 0 ||
	    (rc = store_loop_new(s->store, sl->loop, &sl->stats, &sl->store)) != 0)
		return rc;
	s->stats[i] = &sl->stats;
	timing_init(&sl->timing, clock_mono_us());
	timing_configure(sl, cfg);
	pause_init(sl);
	out_init(&sl->unheard);
	loop_set_idle(sl->loop, tick_when_idle, sl);
	return 0;
}

/* In passes over all loops, since requests wait across them: first all clients
 * go, then answers that were already on their way arrive, and then nothing
 * refers to another loop's part any more. */
static void
server_free_loops(struct server *s)
{
	struct server_loop *end = s->loops != NULL ? s->loops + s->n_loops : NULL;

	for (struct server_loop *sl = s->loops; sl < end; sl++)
		if (sl->pool != NULL)
			conn_pool_free(sl->pool);
	for (struct server_loop *sl = s->loops; sl < end; sl++)
		if (sl->loop != NULL)
			loop_run_tasks(sl->loop);
	for (struct server_loop *sl = s->loops; sl < end; sl++) {
		out_fini(&sl->unheard);
		store_loop_free(sl->store);
		read_spare_free(sl);
		binary_spare_free(sl);
		batch_fini(&sl->batch);
		doors_unref(sl->doors);
		loop_free(sl->loop);
		stats_loop_fini(&sl->stats);
	}
	mem_free(s->loops);
}

static int
server_make_loops(struct server *s, unsigned n, char *err, size_t err_size)
{
	s->loops = mem_calloc(n, sizeof *s->loops);
	s->stats = mem_calloc(n, sizeof *s->stats);
	s->pubsub = pubsub_new(n);
	s->scripts = scripts_new();
	if (s->loops == NULL || s->stats == NULL || s->pubsub == NULL || s->scripts == NULL ||
	    tracking_new(s) != 0)
		return fail(err, err_size, -ENOMEM, "out of memory");
	server_limit_tracking(s, routes_config(s->routes));
	for (unsigned i = 0; i < n; i++) {
		int rc = server_loop_init(s, i);

		if (rc != 0)
			return fail(err, err_size, rc, "event loop %u: %s", i, strerror(-rc));
	}
	return 0;
}

unsigned
server_listener(const struct server *s, const char *name)
{
	unsigned i = 0;

	while (i < s->n_listeners && listener_name(s->listeners[i]) != name)
		i++;
	return i;
}

struct listen_opts
server_listen_opts(const struct config_listen *l)
{
	return (struct listen_opts){
		.kind = l->is_unix ? LISTEN_UNIX : LISTEN_TCP,
		.path = l->path,
		.host = l->host,
		.port = l->port,
		.any_host = l->any_host,
		.mode = l->mode,
		.uid = l->uid,
		.gid = l->gid,
	};
}

static int
server_listen(struct server *s, const struct config *cfg, char *err, size_t err_size)
{
	int rc = doors_new(cfg, NULL, &s->doors, err, err_size);

	if (rc != 0)
		return rc;
	s->listeners = mem_calloc(cfg->n_listens + 1, sizeof(struct listener *));
	if (s->listeners == NULL)
		return fail(err, err_size, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < cfg->n_listens; i++) {
		struct listen_opts o = server_listen_opts(&cfg->listens[i]);

		o.refusal = TOO_MANY_CLIENTS;
		rc = listener_open(&o, &s->listeners[s->n_listeners], err, err_size);
		if (rc != 0)
			return rc;
		s->n_listeners++;
	}
	return 0;
}

static void
make_run_id(char out[41])
{
	unsigned char raw[20];

	if (getrandom(raw, sizeof raw, 0) != sizeof raw)
		memset(raw, 0, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

static int
server_make_store(struct server *s, char *err, size_t err_size)
{
	const struct config *cfg = routes_config(s->routes);
	/* The sample fills up only while serving. */
	uint64_t base = memory_base() + advice_bytes(cfg, server_memory_limit(s, cfg)) +
	    snapshots_bytes(cfg);
	int rc = server_plan_memory(s, cfg, base, &s->memory.plan, err, err_size);

	if (rc == 0)
		rc = server_check_minimums(cfg, &s->memory.plan, err, err_size);
	if (rc != 0)
		return rc;
	follow_warn_locked(s, cfg->memory); /* nobody else is there yet */
	s->memory.arena_bytes = s->memory.plan.arena_bytes;
	rc = store_new_from(s->routes, s->memory.arena_bytes, takeover_past(s->takeover),
	    &s->store);
	if (rc != 0)
		return fail(err, err_size, rc, "the cache's memory: %s", strerror(-rc));
	if (tiers_prepare(s->store, s->routes) != 0 || advice_start(s, cfg) != 0)
		return fail(err, err_size, -ENOMEM, "out of memory");
	return 0;
}

/* cfg becomes part of s->routes, or is freed. */
static int
server_make_routes(struct server *s, struct config *cfg, char *err, size_t err_size)
{
	int rc;

	s->names = stats_names_new();
	if (s->names == NULL) {
		config_free(cfg);
		return fail(err, err_size, -ENOMEM, "out of memory");
	}
	rc = server_number_names(s, cfg, err, err_size);
	if (rc != 0) {
		config_free(cfg);
		return rc;
	}
	s->routes = routes_new(cfg);
	return s->routes != NULL ? 0 : fail(err, err_size, -ENOMEM, "out of memory");
}

int
server_new(struct config *cfg, const char *config_path, struct server **out, char *err,
    size_t err_size)
{
	return server_new_from(cfg, config_path, NULL, out, err, err_size);
}

int
server_new_from(struct config *cfg, const char *config_path, struct takeover *t,
    struct server **out, char *err, size_t err_size)
{
	struct server *s = mem_zalloc(sizeof *s);
	int rc;

	if (s == NULL) {
		config_free(cfg);
		return fail(err, err_size, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&s->config_lock, NULL);
	pthread_mutex_init(&s->gate, NULL);
	s->takeover = t;
	takeover_choose(t, cfg);
	slowlog_init(&s->slowlog);
	slowlog_init(&s->slow_waits);
	latency_init(&s->latency);
	saved_init(&s->saved);
	memory_watch_init(&s->memory);
	follow_init(&s->follow);
	server_block_signals();
	s->started_ms = clock_mono_ms();
	s->started_unix_ms = clock_wall_ms();
	make_run_id(s->run_id);
	notify_init(&s->notify, NULL, NULL, NULL);
	atomic_init(&s->next_session_id, 1);
	s->n_loops = (unsigned)(cfg->threads != CONFIG_AUTO ? cfg->threads
	                                                    : machine_threads(&s->follow.seen));
	log_set_level((enum log_level)cfg->log_level);
	if ((rc = server_make_routes(s, cfg, err, err_size)) != 0)
		goto broken;
	/* Before memory is planned: libraries are part of what is there already. */
	if ((rc = server_prepare_origins(routes_config(s->routes), err, err_size)) != 0 ||
	    (rc = streams_new(s, &s->streams, err, err_size)) != 0)
		goto broken;
	if (config_path != NULL && (s->config_path = mem_strdup(config_path)) == NULL) {
		rc = fail(err, err_size, -ENOMEM, "out of memory");
		goto broken;
	}
	if ((rc = server_listen(s, routes_config(s->routes), err, err_size)) != 0 ||
	    (rc = admin_http_new(s, &s->admin_http, err, err_size)) != 0 ||
	    (rc = handover_new(s, &s->handover, err, err_size)) != 0 ||
	    (rc = server_make_store(s, err, err_size)) != 0 ||
	    (rc = server_make_loops(s, s->n_loops, err, err_size)) != 0)
		goto broken;
	rc = snapshots_new(s, routes_config(s->routes), &s->snapshots);
	if (rc != 0) {
		rc = fail(err, err_size, rc, "out of memory");
		goto broken;
	}
	s->tiers = tiers_new(s->loops[0].store);
	if (s->tiers == NULL) {
		rc = fail(err, err_size, -ENOMEM, "out of memory");
		goto broken;
	}
	*out = s;
	return 0;
broken:
	server_free(s);
	server_unblock_signals();
	return rc;
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n_listeners; i++)
		listener_close(s->listeners[i]);
	mem_free(s->listeners);
	admin_http_free(s->admin_http);
	handover_free(s->handover);
	tiers_free(s->tiers);
	if (s->snapshots != NULL)
		snapshots_stop(s->snapshots);
	server_free_loops(s);
	snapshots_free(s->snapshots);
	streams_free(s->streams);
	pubsub_free(s->pubsub);
	scripts_free(s->scripts);
	tracking_free(s->tracking);
	doors_unref(s->doors);
	mem_free(s->stats);
	store_free(s->store);
	routes_unref(s->routes);
	if (s->names != NULL)
		stats_names_free(s->names);
	mem_free(s->config_path);
	memory_watch_fini(&s->memory);
	slowlog_fini(&s->slowlog);
	slowlog_fini(&s->slow_waits);
	latency_fini(&s->latency);
	saved_fini(&s->saved);
	histogram_fini(&s->lag_us);
	notify_fini(&s->notify);
	pthread_mutex_destroy(&s->config_lock);
	pthread_mutex_destroy(&s->gate);
	mem_free(s);
}
