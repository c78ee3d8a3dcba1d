#include "config.h"

#include "stats/stats.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "stats/base.h"

int
stats_loop_init(struct stats_loop *s)
{
	*s = (struct stats_loop){ 0 };
	s->ns = mem_calloc(STATS_NAMESPACES, sizeof *s->ns);
	s->origins = mem_calloc(STATS_ORIGINS, sizeof *s->origins);
	s->commands = mem_calloc(STATS_COMMANDS, sizeof *s->commands);
	s->tally = mem_calloc(CACHE_CLASSES, sizeof *s->tally);
	s->errors = mem_calloc(STATS_ERRORS, sizeof *s->errors);
	s->base = mem_zalloc(sizeof *s->base);
	if (s->base != NULL)
		lock_init(&s->base->lock);
	if (s->ns != NULL && s->origins != NULL && s->commands != NULL && s->tally != NULL &&
	    s->errors != NULL && s->base != NULL)
		return 0;
	stats_loop_fini(s);
	return -ENOMEM;
}

void
stats_ns_time(struct stats_loop *s, unsigned id, enum stats_time which, int64_t value)
{
	_Atomic(struct stats_times *) *at = &s->ns[id].times;
	struct stats_times *t = atomic_load_explicit(at, memory_order_relaxed);

	if (unlikely(t == NULL)) {
		t = mem_zalloc(sizeof *t);
		if (t == NULL)
			return;
		atomic_store_explicit(at, t, memory_order_release);
	}
	histogram_add(&t->h[which], value);
}

static void
times_fini(struct stats_ns *ns)
{
	struct stats_times *t = atomic_load(&ns->times);

	for (unsigned i = 0; t != NULL && i < STATS_TIMES; i++)
		histogram_fini(&t->h[i]);
	mem_free(t);
}

void
stats_loop_fini(struct stats_loop *s)
{
	for (unsigned i = 0; s->ns != NULL && i < STATS_NAMESPACES; i++)
		times_fini(&s->ns[i]);
	for (unsigned i = 0; s->origins != NULL && i < STATS_ORIGINS; i++)
		histogram_fini(&s->origins[i].latency_us);
	for (unsigned i = 0; s->commands != NULL && i < STATS_COMMANDS; i++)
		histogram_fini(&s->commands[i].latency_ns);
	if (s->base != NULL)
		lock_fini(&s->base->lock);
	mem_free(s->ns);
	mem_free(s->origins);
	mem_free(s->commands);
	mem_free(s->tally);
	mem_free(s->errors);
	mem_free(s->base);
	*s = (struct stats_loop){ 0 };
}

/* --- what a loop's counters say, added to *out ------------------------------ */

static void
add_loop(struct stats_sum_loop *out, const struct stats_loop *s)
{
#define LOOP_STAT(name, help) out->name += counter_get(&s->name);
#include "stats/stats.def"
}

static void
add_ns(struct stats_sum_ns *out, const struct stats_loop *s, unsigned id)
{
	const struct stats_ns *ns = &s->ns[id];
	const struct cache_tally *t = &s->tally[id];

#define NS_STAT(name, help) out->name += counter_get(&ns->name);
#include "stats/stats.def"
	out->stored += counter_get(&t->stored);
	out->evicted += counter_get(&t->evicted);
	out->over_max += counter_get(&t->over_max);
	out->expired += counter_get(&t->expired);
	out->refused += counter_get(&t->refused);
	out->entries += counter_get(&t->entries);
	out->bytes += counter_get(&t->bytes);
}

static void
add_origin(struct stats_sum_origin *out, const struct stats_origin *o)
{
#define ORIGIN_STAT(name, help) out->name += counter_get(&o->name);
#include "stats/stats.def"
}

static void
add_command(struct stats_sum_command *out, const struct stats_command *c)
{
	out->calls += counter_get(&c->calls);
	out->usec += counter_get(&c->usec);
	out->rejected += counter_get(&c->rejected);
	out->failed += counter_get(&c->failed);
}

/* --- sums ------------------------------------------------------------------- */

void
stats_sum_loop(struct stats_loop *const *loops, unsigned n, struct stats_sum_loop *out)
{
	*out = (struct stats_sum_loop){ 0 };
	for (unsigned i = 0; i < n; i++) {
		struct stats_base *base = loops[i]->base;

		lock_acquire(&base->lock);
		add_loop(out, loops[i]);
#define LOOP_STAT(name, help) out->name -= base->loop.name;
#include "stats/stats.def"
		lock_release(&base->lock);
	}
}

void
stats_sum_ns(struct stats_loop *const *loops, unsigned n, unsigned id, struct stats_sum_ns *out)
{
	*out = (struct stats_sum_ns){ 0 };
	for (unsigned i = 0; i < n; i++) {
		struct stats_base *base = loops[i]->base;

		lock_acquire(&base->lock);
		add_ns(out, loops[i], id);
#define NS_STAT(name, help) out->name -= base->ns[id].name;
#include "stats/stats.def"
		out->stored -= base->ns[id].stored;
		out->evicted -= base->ns[id].evicted;
		out->over_max -= base->ns[id].over_max;
		out->expired -= base->ns[id].expired;
		out->refused -= base->ns[id].refused;
		lock_release(&base->lock);
	}
}

void
stats_sum_origin(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct stats_sum_origin *out)
{
	*out = (struct stats_sum_origin){ 0 };
	histogram_sum_init(&out->latency_us);
	for (unsigned i = 0; i < n; i++) {
		const struct stats_origin *o = &loops[i]->origins[id];
		struct stats_base *base = loops[i]->base;

		lock_acquire(&base->lock);
		add_origin(out, o);
#define ORIGIN_STAT(name, help) out->name -= base->origins[id].name;
#include "stats/stats.def"
		lock_release(&base->lock);
		histogram_sum_add(&out->latency_us, &o->latency_us);
	}
}

void
stats_sum_command(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct stats_sum_command *out)
{
	*out = (struct stats_sum_command){ 0 };
	for (unsigned i = 0; i < n; i++) {
		struct stats_base *base = loops[i]->base;

		lock_acquire(&base->lock);
		add_command(out, &loops[i]->commands[id]);
		out->calls -= base->commands[id].calls;
		out->usec -= base->commands[id].usec;
		out->rejected -= base->commands[id].rejected;
		out->failed -= base->commands[id].failed;
		lock_release(&base->lock);
	}
}

void
stats_sum_latency(struct stats_loop *const *loops, unsigned n, unsigned id,
    struct histogram_sum *out)
{
	histogram_sum_init(out);
	for (unsigned i = 0; i < n; i++)
		histogram_sum_add(out, &loops[i]->commands[id].latency_ns);
}

static const struct histogram *
time_of(const struct stats_loop *s, unsigned id, enum stats_time which)
{
	const struct stats_times *t =
	    atomic_load_explicit(&s->ns[id].times, memory_order_acquire);

	return t != NULL ? &t->h[which] : NULL;
}

void
stats_sum_time(struct stats_loop *const *loops, unsigned n, unsigned id, enum stats_time which,
    struct histogram_sum *out)
{
	histogram_sum_init(out);
	for (unsigned i = 0; i < n; i++) {
		const struct histogram *h = time_of(loops[i], id, which);

		if (h != NULL)
			histogram_sum_add(out, h);
	}
}

void
stats_sum_time_totals(struct stats_loop *const *loops, unsigned n, unsigned id,
    enum stats_time which, int64_t *count, int64_t *sum)
{
	*count = *sum = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct histogram *h = time_of(loops[i], id, which);

		if (h != NULL)
			histogram_totals(h, count, sum);
	}
}

static void
reset_times(struct stats_ns *ns)
{
	struct stats_times *t = atomic_load_explicit(&ns->times, memory_order_acquire);

	for (unsigned i = 0; t != NULL && i < STATS_TIMES; i++)
		histogram_reset(&t->h[i]);
}

static void
reset_locked(struct stats_base *base, struct stats_loop *s)
{
	assert(lock_held(&base->lock));
	base->loop = (struct stats_sum_loop){ 0 };
	add_loop(&base->loop, s);
	memset(base->ns, 0, sizeof base->ns);
	for (unsigned i = 0; i < STATS_NAMESPACES; i++) {
		add_ns(&base->ns[i], s, i);
		reset_times(&s->ns[i]);
	}
	memset(base->origins, 0, sizeof base->origins);
	for (unsigned i = 0; i < STATS_ORIGINS; i++) {
		add_origin(&base->origins[i], &s->origins[i]);
		histogram_reset(&s->origins[i].latency_us);
	}
	memset(base->commands, 0, sizeof base->commands);
	for (unsigned i = 0; i < STATS_COMMANDS; i++) {
		add_command(&base->commands[i], &s->commands[i]);
		histogram_reset(&s->commands[i].latency_ns);
	}
	for (unsigned i = 0; i < STATS_ERRORS; i++)
		base->errors[i] = counter_get(&s->errors[i].n);
}

void
stats_reset(struct stats_loop *const *loops, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		lock_acquire(&loops[i]->base->lock);
		reset_locked(loops[i]->base, loops[i]);
		lock_release(&loops[i]->base->lock);
	}
}

double
stats_hit_rate(int64_t hits, int64_t misses)
{
	int64_t reads = hits + misses;

	return reads <= 0 ? 0 : (double)hits / (double)reads;
}
