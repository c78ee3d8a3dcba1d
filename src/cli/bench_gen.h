/* bench_gen.h - what the load is made of: draws, keys, sizes, values, and the
 * moments of an open loop. Pure but for the position that threads share. */
#ifndef PANNIER_CLI_BENCH_GEN_H
#define PANNIER_CLI_BENCH_GEN_H

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/draw.h"
#include "base/slice.h"
#include "cli/bench_opts.h"

/* --- Zipf --------------------------------------------------------------- */

/* Ranks by rejection-inversion (Hoermann, Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", 1996): no table,
 * any number of keys, little more than one draw for each rank. */
struct bench_zipf {
	uint64_t n;
	double skew;
	double low, high, accept;
};

void bench_zipf_init(struct bench_zipf *z, uint64_t n, double skew); /* skew > 0 */
uint64_t bench_zipf_draw(const struct bench_zipf *z, struct draw *r); /* 1 to n */

/* --- keys ----------------------------------------------------------------- */

/* A stream of key numbers, shared by all threads. */
struct bench_keys {
	const struct bench_opts *opts;
	struct bench_zipf zipf;
	const uint32_t *trace; /* the caller's */
	uint64_t trace_len;
	_Atomic(uint64_t) next;     /* of --scan, --grow, --trace */
	_Atomic(uint64_t) polluted; /* keys given out by --pollute */
};

void bench_keys_init(struct bench_keys *k, const struct bench_opts *o, const uint32_t *trace,
    uint64_t trace_len);
/* The key of the next request. After the end of a trace it starts again. */
uint64_t bench_keys_next(struct bench_keys *k, struct draw *r, bool set);

/* --- values ----------------------------------------------------------------- */

/* The size that a 64-bit draw stands for. */
uint64_t bench_size(const struct bench_sizes *s, uint64_t draw);
/* The size that a key always has. tests/bench/lib/keys.py has the same. */
uint64_t bench_size_of_key(const struct bench_sizes *s, uint64_t id);

/* Values are windows of one random text; where the window lies depends on the
 * key, so that a value of another key is noticed and none must be made. */
struct bench_values {
	char *text; /* owned */
	uint64_t max;
};

int bench_values_init(struct bench_values *v, uint64_t max_size) MUST_CHECK; /* 0, -ENOMEM */
void bench_values_fini(struct bench_values *v);
/* len is at most max_size. Good as long as v. */
struct slice bench_value(const struct bench_values *v, uint64_t id, uint64_t len);

/* --- the moments of an open loop --------------------------------------------- */

/* Moments follow from the start and the rate alone: a late answer delays none,
 * so the time that a request had to wait can be told. */
struct bench_pace {
	double interval_us; /* 0: closed loop */
	bool poisson;
	double first_us;    /* both from start_us on */
	double at_us;       /* the next one's */
	uint64_t n;         /* given out so far */
	int64_t start_us;
};

/* Thread `index` of `threads`, whose moments interleave. */
void bench_pace_init(struct bench_pace *p, const struct bench_opts *o, unsigned index,
    struct draw *r, int64_t start_us);
static inline int64_t
bench_pace_due_us(const struct bench_pace *p)
{
	return p->start_us + (int64_t)p->at_us;
}
void bench_pace_advance(struct bench_pace *p, struct draw *r);

#endif
