#include "config.h"

#include "cli/bench_gen.h"

#include <errno.h>

#include "base/mem.h"

/* --- Zipf ---------------------------------------------------------------
 * h(x) = x^-s is the density's envelope, H its integral, and inverse(H) maps a
 * uniform draw to a point whose nearest whole number is accepted, nearly
 * always at once. Near s = 1 the textbook forms divide nought by nought, so
 * series stand in. */

/* log1p(x) / x */
static double
log1p_ratio(double x)
{
	return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x * (1.0 / 3 - 0.25 * x));
}

/* expm1(x) / x */
static double
expm1_ratio(double x)
{
	return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x * 0.5 * (1 + x / 3 * (1 + 0.25 * x));
}

static double
zipf_h(double skew, double x)
{
	return exp(-skew * log(x));
}

static double
zipf_integral(double skew, double x)
{
	double lx = log(x);

	return expm1_ratio((1 - skew) * lx) * lx;
}

static double
zipf_inverse(double skew, double y)
{
	double t = fmax(y * (1 - skew), -1);

	return exp(log1p_ratio(t) * y);
}

void
bench_zipf_init(struct bench_zipf *z, uint64_t n, double skew)
{
	*z = (struct bench_zipf){ .n = n, .skew = skew };
	z->low = zipf_integral(skew, 1.5) - 1;
	z->high = zipf_integral(skew, (double)n + 0.5);
	z->accept = 2 - zipf_inverse(skew, zipf_integral(skew, 2.5) - zipf_h(skew, 2));
}

uint64_t
bench_zipf_draw(const struct bench_zipf *z, struct draw *r)
{
	for (;;) {
		double u = z->high + draw_unit(draw_next(r)) * (z->low - z->high);
		double x = zipf_inverse(z->skew, u);
		double k = fmin(fmax(floor(x + 0.5), 1), (double)z->n);

		if (k - x <= z->accept ||
		    u >= zipf_integral(z->skew, k + 0.5) - zipf_h(z->skew, k))
			return (uint64_t)k;
	}
}

/* --- keys ------------------------------------------------------------------ */

void
bench_keys_init(struct bench_keys *k, const struct bench_opts *o, const uint32_t *trace,
    uint64_t trace_len)
{
	k->opts = o;
	k->trace = trace;
	k->trace_len = trace_len;
	atomic_init(&k->next, 0);
	atomic_init(&k->polluted, 0);
	if (o->zipf > 0)
		bench_zipf_init(&k->zipf, o->keyspace, o->zipf);
}

static uint64_t
take(_Atomic(uint64_t) *counter)
{
	return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --grow: one of the newest keys, or the first before there is any. */
static uint64_t
recent(struct bench_keys *k, struct draw *r)
{
	uint64_t written = atomic_load_explicit(&k->next, memory_order_relaxed);
	uint64_t window = MIN(written, k->opts->keyspace);

	return window == 0 ? 0 : written - 1 - draw_below(draw_next(r), window);
}

static uint64_t
number(struct bench_keys *k, struct draw *r, bool set)
{
	const struct bench_opts *o = k->opts;

	if (k->trace != NULL)
		return k->trace[take(&k->next) % k->trace_len];
	if (o->scan)
		return take(&k->next) % o->keyspace;
	if (o->grow)
		return set ? take(&k->next) : recent(k, r);
	if (o->zipf > 0)
		return bench_zipf_draw(&k->zipf, r) - 1;
	return draw_below(draw_next(r), o->keyspace);
}

uint64_t
bench_keys_next(struct bench_keys *k, struct draw *r, bool set)
{
	const struct bench_opts *o = k->opts;

	/* Behind all others, so that no two ever meet. */
	if (o->pollute > 0 && draw_unit(draw_next(r)) < o->pollute)
		return o->first_key + o->keyspace + take(&k->polluted);
	return o->first_key + number(k, r, set);
}

/* --- values ------------------------------------------------------------------ */

uint64_t
bench_size(const struct bench_sizes *s, uint64_t draw)
{
	double ratio;

	switch (s->kind) {
	case BENCH_FIXED:
		break;
	case BENCH_SIZES_UNIFORM:
		return s->min + draw_below(draw, s->max - s->min + 1);
	case BENCH_LOGUNIFORM:
		ratio = (double)(s->max + 1) / (double)s->min;
		return MIN(s->max, (uint64_t)((double)s->min * pow(ratio, draw_unit(draw))));
	}
	return s->min;
}

uint64_t
bench_size_of_key(const struct bench_sizes *s, uint64_t id)
{
	return s->kind == BENCH_FIXED ? s->min : bench_size(s, draw_mix(id + 1));
}

#define WINDOWS 65536 /* places where a value may begin */

int
bench_values_init(struct bench_values *v, uint64_t max_size)
{
	/* No '*' among them: the floor of tests/bench takes one at the start of a
	 * line for a request. */
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	struct draw r = { 42 };
	uint64_t len = max_size + WINDOWS;

	v->max = max_size;
	v->text = mem_alloc(len);
	if (v->text == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < len; i++)
		v->text[i] = letters[draw_below(draw_next(&r), sizeof letters - 1)];
	return 0;
}

void
bench_values_fini(struct bench_values *v)
{
	mem_free(v->text);
	v->text = NULL;
}

struct slice
bench_value(const struct bench_values *v, uint64_t id, uint64_t len)
{
	return slice_of(v->text + draw_below(draw_mix(~id), WINDOWS), len);
}

/* --- pace ----------------------------------------------------------------------- */

static double
gap_us(const struct bench_pace *p, struct draw *r)
{
	return -log(1 - draw_unit(draw_next(r))) * p->interval_us;
}

void
bench_pace_init(struct bench_pace *p, const struct bench_opts *o, unsigned index,
    struct draw *r, int64_t start_us)
{
	*p = (struct bench_pace){ .start_us = start_us, .poisson = o->arrivals == BENCH_POISSON };
	if (o->rate <= 0)
		return;
	p->interval_us = 1e6 / o->rate * (double)o->threads;
	p->first_us = p->poisson ? gap_us(p, r) : p->interval_us * index / (double)o->threads;
	p->at_us = p->first_us;
}

void
bench_pace_advance(struct bench_pace *p, struct draw *r)
{
	p->n++;
	if (p->poisson)
		p->at_us += gap_us(p, r);
	else
		/* Multiplied, not summed up: no drift. */
		p->at_us = p->first_us + (double)p->n * p->interval_us;
}
