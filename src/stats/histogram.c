#include "config.h"

#include "stats/histogram.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/loglin.h"
#include "base/mem.h"

#define VALUE_MAX (((int64_t)1 << HISTOGRAM_MAX_BITS) - 1)

static bool
reset_pending(const struct histogram *h)
{
	return atomic_load_explicit(&h->resets_done, memory_order_acquire) !=
	    atomic_load_explicit(&h->resets_wanted, memory_order_relaxed);
}

static void
counter_set(struct counter *c, int64_t n)
{
	atomic_store_explicit(&c->n, n, memory_order_relaxed);
}

static void
clear(struct histogram *h)
{
	unsigned wanted = atomic_load_explicit(&h->resets_wanted, memory_order_relaxed);

	for (unsigned p = 0; p < HISTOGRAM_POWERS; p++) {
		struct counter *steps = atomic_load_explicit(&h->powers[p], memory_order_relaxed);

		for (unsigned i = 0; steps != NULL && i < HISTOGRAM_PER_POWER; i++)
			counter_set(&steps[i], 0);
	}
	counter_set(&h->count, 0);
	counter_set(&h->sum, 0);
	counter_set(&h->max, 0);
	/* Behind the zeroes: who sees this sees no old value any more. */
	atomic_store_explicit(&h->resets_done, wanted, memory_order_release);
}

static struct counter *
own_steps(struct histogram *h, unsigned power)
{
	struct counter *s = atomic_load_explicit(&h->powers[power], memory_order_relaxed);

	if (unlikely(s == NULL)) {
		s = mem_calloc(HISTOGRAM_PER_POWER, sizeof *s);
		atomic_store_explicit(&h->powers[power], s, memory_order_release);
	}
	return s;
}

void
histogram_add(struct histogram *h, int64_t value)
{
	struct counter *steps;
	unsigned bucket;

	if (unlikely(reset_pending(h)))
		clear(h);
	value = MAX(value, 0);
	counter_inc(&h->count);
	counter_add(&h->sum, value);
	if (value > counter_get(&h->max))
		counter_set(&h->max, value);
	bucket = loglin_bucket(MIN(value, VALUE_MAX), HISTOGRAM_SUB_BITS);
	steps = own_steps(h, bucket / HISTOGRAM_PER_POWER);
	if (steps != NULL)
		counter_inc(&steps[bucket % HISTOGRAM_PER_POWER]);
}

void
histogram_reset(struct histogram *h)
{
	atomic_fetch_add(&h->resets_wanted, 1);
}

void
histogram_fini(struct histogram *h)
{
	for (unsigned p = 0; p < HISTOGRAM_POWERS; p++) {
		mem_free(atomic_load(&h->powers[p]));
		atomic_store(&h->powers[p], NULL);
	}
	clear(h);
}

void
histogram_totals(const struct histogram *h, int64_t *count, int64_t *sum)
{
	if (reset_pending(h))
		return;
	*count += counter_get(&h->count);
	*sum += counter_get(&h->sum);
}

void
histogram_sum_init(struct histogram_sum *s)
{
	*s = (struct histogram_sum){ 0 };
}

/* Without memory for the sum nothing is added. */
static void
add_steps(struct histogram_sum *s, unsigned power, const struct counter *from)
{
	uint64_t *to;

	if (s->buckets == NULL)
		s->buckets = mem_calloc(HISTOGRAM_BUCKETS, sizeof *s->buckets);
	if (s->buckets == NULL)
		return;
	to = s->buckets + (size_t)power * HISTOGRAM_PER_POWER;
	for (unsigned i = 0; i < HISTOGRAM_PER_POWER; i++)
		to[i] += (uint64_t)counter_get(&from[i]);
}

void
histogram_sum_add(struct histogram_sum *s, const struct histogram *h)
{
	if (reset_pending(h))
		return;
	s->count += counter_get(&h->count);
	s->sum += counter_get(&h->sum);
	s->max = MAX(s->max, counter_get(&h->max));
	for (unsigned p = 0; p < HISTOGRAM_POWERS; p++) {
		const struct counter *from =
		    atomic_load_explicit(&h->powers[p], memory_order_acquire);

		if (from != NULL)
			add_steps(s, p, from);
	}
}

void
histogram_sum_fini(struct histogram_sum *s)
{
	mem_free(s->buckets);
	histogram_sum_init(s);
}

/* Of the values in buckets: s->count may be ahead of them, for want of memory
 * or because a writer was between the two. */
static uint64_t
bucketed(const struct histogram_sum *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; s->buckets != NULL && i < HISTOGRAM_BUCKETS; i++)
		n += s->buckets[i];
	return n;
}

uint64_t
histogram_at_most(const struct histogram_sum *s, int64_t value)
{
	uint64_t n = 0;

	for (unsigned i = 0; s->buckets != NULL && i < HISTOGRAM_BUCKETS; i++)
		if (loglin_middle(i, HISTOGRAM_SUB_BITS) <= value)
			n += s->buckets[i];
	return n;
}

int64_t
histogram_quantile(const struct histogram_sum *s, double q)
{
	uint64_t n = bucketed(s), rank, seen = 0;
	double share = MIN(MAX(q, 0.0), 1.0) * (double)n;

	if (n == 0)
		return 0;
	rank = (uint64_t)share;
	if ((double)rank < share || rank == 0)
		rank++;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += s->buckets[i];
		if (seen >= rank)
			return MIN(loglin_middle(i, HISTOGRAM_SUB_BITS), s->max);
	}
	return s->max;
}

int64_t
histogram_max(const struct histogram_sum *s)
{
	return s->max;
}

double
histogram_mean(const struct histogram_sum *s)
{
	return s->count == 0 ? 0 : (double)s->sum / (double)s->count;
}

unsigned
histogram_steps(const struct histogram_sum *s, struct histogram_step out[HISTOGRAM_STEPS])
{
	unsigned n = 0, last = HISTOGRAM_STEPS;

	for (unsigned i = 0; s->buckets != NULL && i < HISTOGRAM_BUCKETS; i++) {
		unsigned step;

		if (s->buckets[i] == 0)
			continue;
		step = loglin_bucket(loglin_low(i, HISTOGRAM_SUB_BITS), HISTOGRAM_STEP_BITS);
		if (step != last)
			out[n++] = (struct histogram_step){
				.from = loglin_low(step, HISTOGRAM_STEP_BITS),
				.below = loglin_low(step + 1, HISTOGRAM_STEP_BITS) };
		out[n - 1].n += s->buckets[i];
		last = step;
	}
	return n;
}
