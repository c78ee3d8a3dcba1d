#include "config.h"

#include "server/follow.h"

#include "base/log.h"
#include "base/parse.h"
#include "server/internal.h"

void
follow_init(struct follow *f)
{
	machine_read(machine_root(), &f->seen);
	atomic_init(&f->auto_bytes, machine_memory(&f->seen));
}

void
follow_warn_locked(struct server *s, uint64_t memory)
{
	struct follow *f = &s->follow;
	char text[384];

	if (f->warned_memory == memory && f->warned_limit == f->seen.memory_limit)
		return;
	f->warned_memory = memory;
	f->warned_limit = f->seen.memory_limit;
	if (machine_exceeded(&f->seen, memory, text, sizeof text))
		log_warn("%s", text);
}

/* The least that the process works with, where the limit leaves less. */
static void
plan_least(const struct server *s, const struct config *cfg, struct memory_plan *out)
{
	uint64_t limit = s->memory.plan.limit_bytes, step = limit / 64;

	/* Where it is now, it works. */
	*out = s->memory.plan;
	while (limit > step && memory_plan(limit - step, out->base_bytes, cfg->buffers_limit,
	    out) == 0)
		limit -= step;
}

static void
follow_locked(struct server *s, uint64_t limit)
{
	const struct config *cfg = routes_config(s->routes);
	uint64_t was = s->memory.plan.limit_bytes;
	struct memory_plan plan;
	char from[FORMAT_MAX], to[FORMAT_MAX], err[256];

	format_bytes(from, was);
	format_bytes(to, limit);
	if (server_plan_memory(s, cfg, s->memory.plan.base_bytes, &plan, err, sizeof err) != 0) {
		plan_least(s, cfg, &plan);
		log_warn("%s; it goes on with %llu KiB", err,
		    (unsigned long long)plan.limit_bytes >> 10);
	} else {
		log_info("memory: auto is %s now, and was %s: the limit of the cgroup changed",
		    to, from);
	}
	memory_watch_follow(&s->memory, store_cache(s->store), &plan);
	counter_inc(&s->loops[0].stats.memory_follows);
	server_limit_tracking(s, cfg);
	server_post_limits(s);
}

void
follow_second(struct server *s)
{
	struct follow *f = &s->follow;
	struct machine seen;

	machine_read(machine_root(), &seen);
	pthread_mutex_lock(&s->config_lock);
	f->seen = seen;
	follow_warn_locked(s, routes_config(s->routes)->memory);
	if (machine_memory(&seen) != atomic_load(&f->auto_bytes)) {
		atomic_store(&f->auto_bytes, machine_memory(&seen));
		if (routes_config(s->routes)->memory == CONFIG_AUTO)
			follow_locked(s, machine_memory(&seen));
	}
	pthread_mutex_unlock(&s->config_lock);
}
