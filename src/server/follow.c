#include "config.h"

#include "server/follow.h"

#include "base/clock.h"
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
follow_look_locked(struct server *s)
{
	struct follow *f = &s->follow;

	machine_read(machine_root(), &f->seen);
	atomic_store(&f->auto_bytes, machine_memory(&f->seen));
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

static void
purge(struct server *s)
{
	int64_t begun_us = clock_mono_us(), spent_us;

	memory_purge(store_cache(s->store));
	spent_us = clock_mono_us() - begun_us;
	counter_inc(&s->loops[0].stats.pressure_purges);
	if (spent_us >= s->loops[0].timing.event_us)
		latency_add(&s->latency, LATENCY_MEMORY_PURGE, spent_us / 1000,
		    clock_wall_ms() / 1000);
}

static void
hold_locked(struct server *s)
{
	memory_watch_hold(&s->memory,
	    s->memory.plan.limit_bytes / PRESSURE_STEPS * s->follow.pressure.steps);
}

static void
take_step(struct server *s)
{
	unsigned steps = s->follow.pressure.steps;

	counter_inc(&s->loops[0].stats.pressure_steps);
	if (steps == 1)
		log_warn("memory: the cgroup is short of it; the cache gives some up for now");
	else if (steps == PRESSURE_MOST)
		log_warn("memory: the cgroup is short of it still; the cache gave up all that it "
		    "may: raise the limit, or lower memory");
}

static void
act(struct server *s, enum pressure_act what)
{
	const struct pressure *p = &s->follow.pressure;

	if (p->pressed) {
		counter_inc(&s->loops[0].stats.pressure_looks);
		if (p->stalled_ms * 1000 >= s->loops[0].timing.event_us)
			latency_add(&s->latency, LATENCY_MEMORY_PRESSURE, p->stalled_ms,
			    clock_wall_ms() / 1000);
	}
	if (what == PRESSURE_PURGE)
		purge(s);
	else if (what == PRESSURE_TAKE)
		take_step(s);
	else if (what == PRESSURE_GIVE && p->steps == 0)
		log_info("memory: the cgroup has enough again; the cache has all of its own");
}

/* Switched off, the cache has at once all that it gave up; and on again, it begins anew. */
static enum pressure_act
decide_locked(struct server *s)
{
	struct follow *f = &s->follow;

	if (routes_config(s->routes)->pressure)
		return pressure_decide(&f->pressure, &f->seen, loop_now_ms(s->loops[0].loop));
	f->pressure = (struct pressure){ 0 };
	return PRESSURE_NONE;
}

void
follow_second(struct server *s)
{
	struct follow *f = &s->follow;
	struct machine seen;
	enum pressure_act what;

	machine_read(machine_root(), &seen);
	pthread_mutex_lock(&s->config_lock);
	f->seen = seen;
	what = decide_locked(s);
	follow_warn_locked(s, routes_config(s->routes)->memory);
	if (machine_memory(&seen) != atomic_load(&f->auto_bytes)) {
		atomic_store(&f->auto_bytes, machine_memory(&seen));
		if (routes_config(s->routes)->memory == CONFIG_AUTO)
			follow_locked(s, machine_memory(&seen));
	}
	hold_locked(s);
	pthread_mutex_unlock(&s->config_lock);
	act(s, what);
}
