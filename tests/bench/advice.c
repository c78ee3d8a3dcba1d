/* advice - how far the curves of src/stats/mrc.h are from full simulations.
 *
 *     advice TRACE VALUE-SIZES REQUESTS-A-SECOND MEMORY [SEED]
 *
 * One line of JSON: the mean and the largest difference over 32 sizes of cache from
 * a hundredth of all bytes to all of them. TRACE as of `sim run`; the clock goes on as if
 * so many requests came in a second, by which the share of the sample depends; MEMORY
 * is what the sample may take; SEED makes another choice of keys. The stream is cache-aside: what misses is put. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "tests/bench/ideal_lru.h"
#include "cli/bench_gen.h"
#include "cli/bench_trace.h"
#include "stats/mrc.h"

#define SIZES 32
#define ENTRY_BYTES 40 /* beside the value: key and overhead */

struct stream {
	struct bench_trace trace; /* its keys numbered from 0 on */
	struct bench_sizes sizes;
	uint32_t *ids;            /* [n_keys], as they were */
	uint32_t n_keys;
	uint64_t all_bytes;
	double per_ms;
	uint64_t seed; /* of the hash */
};

static void
die(const char *what)
{
	fprintf(stderr, "advice: %s\n", what);
	exit(1);
}

static uint64_t
bytes_of(const struct stream *s, uint32_t k)
{
	return ENTRY_BYTES + bench_size_of_key(&s->sizes, s->ids[k]);
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Numbers from 0 on take the place of ids, in their order. */
static void
renumber(struct stream *s)
{
	struct bench_trace *t = &s->trace;

	s->ids = mem_alloc(t->n * sizeof *s->ids);
	if (s->ids == NULL)
		die("no memory");
	memcpy(s->ids, t->ids, t->n * sizeof *s->ids);
	qsort(s->ids, t->n, sizeof *s->ids, by_number);
	for (uint64_t i = 0; i < t->n; i++)
		if (i == 0 || s->ids[i] != s->ids[s->n_keys - 1])
			s->ids[s->n_keys++] = s->ids[i];
	for (uint64_t i = 0; i < t->n; i++) {
		uint32_t *at = bsearch(&t->ids[i], s->ids, s->n_keys, sizeof *at, by_number);

		t->ids[i] = (uint32_t)(at - s->ids);
	}
}

static void
load(struct stream *s, const char *path)
{
	char err[512];

	if (bench_trace_load(path, &s->trace, err, sizeof err) != 0)
		die(err);
	if (s->trace.n == 0)
		die("the trace is empty");
	renumber(s);
	for (uint32_t k = 0; k < s->n_keys; k++)
		s->all_bytes += bytes_of(s, k);
}

/* The cache that serves has half of all bytes; which one must not matter. */
static void
learn(const struct stream *s, struct mrc *m, _Atomic(uint32_t) *below)
{
	struct ideal_lru real;

	ideal_init(&real, s->n_keys, s->all_bytes / 2);
	for (uint64_t i = 0; i < s->trace.n; i++) {
		uint32_t id = s->trace.ids[i];
		struct mrc_ref r = { .hash = draw_mix(s->seed +
			(id + UINT64_C(1)) * 0x9e3779b97f4a7c15u),
			.bytes = bytes_of(s, id),
			.now_ms = 1 + (int64_t)((double)i / s->per_ms) };
		bool hit = ideal_read(&real, id, r.now_ms), wanted = mrc_wants(below, r.hash);

		if (!hit)
			ideal_put(&real, id, r.bytes, 0);
		if (wanted && hit)
			mrc_hit(m, &r);
		else if (wanted)
			mrc_miss(m, &r);
		if (wanted && !hit)
			mrc_put(m, &r);
		if (i % 1024 == 1023 || i + 1 == s->trace.n)
			mrc_count(m, 0, i + 1);
	}
	ideal_fini(&real);
}

static double
simulate(const struct stream *s, uint64_t capacity)
{
	struct ideal_lru l;
	uint64_t hits = 0;

	ideal_init(&l, s->n_keys, capacity);
	for (uint64_t i = 0; i < s->trace.n; i++) {
		uint32_t id = s->trace.ids[i];

		if (ideal_read(&l, id, 0))
			hits++;
		else
			ideal_put(&l, id, bytes_of(s, id), 0);
	}
	ideal_fini(&l);
	return (double)hits / (double)s->trace.n;
}

static void
compare(const struct stream *s, struct mrc *m)
{
	double sum = 0, most = 0;
	struct mrc_curve c;
	struct mrc_stats st;

	mrc_stats(m, &st);
	if (!mrc_curve(m, MRC_ALL, &c))
		die("nothing was learnt");
	printf("{\"points\":[");
	for (int i = 0; i < SIZES; i++) {
		double power = (double)i / (SIZES - 1) - 1;
		uint64_t bytes = (uint64_t)((double)s->all_bytes * pow(100, power));
		double is = simulate(s, bytes), said = mrc_hit_rate(&c, bytes);

		sum += fabs(is - said);
		most = fmax(most, fabs(is - said));
		printf("%s[%llu,%.4f,%.4f]", i == 0 ? "" : ",", (unsigned long long)bytes, is, said);
	}
	printf("],\"mean_error\":%.5f,\"largest_error\":%.5f,\"share\":%.6f,\"keys\":%u,"
	       "\"memory_bytes\":%llu,\"references\":%llu}\n",
	    sum / SIZES, most, st.share, st.keys, (unsigned long long)st.memory_bytes,
	    (unsigned long long)st.references);
}

int
main(int argc, char **argv)
{
	static _Atomic(uint32_t) below;
	struct mrc_opts o = { .below = &below };
	struct stream s = { 0 };
	struct mrc *m;
	uint64_t rate;

	if (argc != 5 && argc != 6)
		die("usage: advice TRACE VALUE-SIZES REQUESTS-A-SECOND MEMORY [SEED]");
	if (bench_sizes_parse(slice_str(argv[2]), &s.sizes) != 0 ||
	    parse_u64(slice_str(argv[3]), &rate) != 0 || rate == 0 ||
	    parse_bytes(slice_str(argv[4]), &o.memory_bytes) != 0 ||
	    (argc == 6 && parse_u64(slice_str(argv[5]), &s.seed) != 0))
		die("malformed number");
	s.seed = draw_mix(s.seed) * (argc == 6);
	s.per_ms = (double)rate / 1e3;
	load(&s, argv[1]);
	o.most_bytes = 2 * s.all_bytes;
	if (mrc_new(&o, &m) != 0)
		die("no such memory");
	learn(&s, m, &below);
	compare(&s, m);
	mrc_free(m);
	bench_trace_fini(&s.trace);
	mem_free(s.ids);
	return 0;
}
