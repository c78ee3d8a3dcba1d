#include "config.h"

#include "server/latency.h"

#include "base/util.h"

const char *const latency_names[LATENCY_EVENTS] = {
	[LATENCY_COMMAND] = "command",
	[LATENCY_FAST_COMMAND] = "fast-command",
	[LATENCY_CACHE_CYCLE] = "cache-cycle",
	[LATENCY_LOOP_STALL] = "loop-stall",
	[LATENCY_MEMORY_PRESSURE] = "memory-pressure",
	[LATENCY_MEMORY_PURGE] = "memory-purge",
	[LATENCY_ORIGIN_WAIT] = "origin-wait",
	[LATENCY_LEASE_WAIT] = "lease-wait",
};

void
latency_init(struct latency *l)
{
	pthread_mutex_init(&l->lock, NULL);
	for (unsigned i = 0; i < LATENCY_EVENTS; i++)
		l->series[i] = (struct latency_series){ 0 };
}

void
latency_fini(struct latency *l)
{
	pthread_mutex_destroy(&l->lock);
}

const struct latency_sample *
latency_sample(const struct latency_series *s, unsigned i)
{
	unsigned oldest = s->next + LATENCY_SAMPLES - s->n;

	return &s->samples[(oldest + i) % LATENCY_SAMPLES];
}

static void
push(struct latency_series *s, int64_t ms, int64_t unix_s)
{
	unsigned last = (s->next + LATENCY_SAMPLES - 1) % LATENCY_SAMPLES;

	s->max_ms = MAX(s->max_ms, ms);
	if (s->n > 0 && s->samples[last].unix_s == unix_s) {
		s->samples[last].ms = MAX(s->samples[last].ms, ms);
		return;
	}
	s->samples[s->next] = (struct latency_sample){ unix_s, ms };
	s->next = (s->next + 1) % LATENCY_SAMPLES;
	s->n = MIN(s->n + 1, LATENCY_SAMPLES);
}

void
latency_add(struct latency *l, enum latency_event e, int64_t ms, int64_t unix_s)
{
	pthread_mutex_lock(&l->lock);
	push(&l->series[e], ms, unix_s);
	pthread_mutex_unlock(&l->lock);
}

void
latency_get(struct latency *l, enum latency_event e, struct latency_series *out)
{
	pthread_mutex_lock(&l->lock);
	*out = l->series[e];
	pthread_mutex_unlock(&l->lock);
}

bool
latency_reset(struct latency *l, enum latency_event e)
{
	bool was;

	pthread_mutex_lock(&l->lock);
	was = l->series[e].n > 0;
	l->series[e] = (struct latency_series){ 0 };
	pthread_mutex_unlock(&l->lock);
	return was;
}
