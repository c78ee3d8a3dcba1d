/* sim - streams of requests, and what caches that cost nothing would make of
 * them: the yardsticks beside which hit ratios are measured.
 *
 *     sim gen FILE BENCH-OPTION...     writes the keys that `pannier bench`
 *                                      with these options would ask for
 *     sim run TRACE KEY-BYTES VALUE-SIZES WARMUP BYTES...
 *                                      one line of JSON for each BYTES
 *
 * lru: exact LRU over the whole cache, entries without overhead. belady: the
 * entry whose next use is farthest goes first, and one that is not worth its
 * room is not let in. With sizes that differ this is not quite the optimum,
 * which is NP-hard to find, but nothing that cannot see the future beats it. */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cli/bench_gen.h"
#include "cli/bench_trace.h"

#define NONE UINT32_MAX

/* A trace with its keys renumbered from 0 on, in order of appearance. */
struct stream {
	uint32_t *key;     /* [n] */
	uint32_t *next;    /* [n]: when the same key comes again; NONE: never */
	uint64_t *size;    /* [n_keys]: bytes of key and value */
	uint64_t n, n_keys, warmup;
};

struct lru {
	uint32_t *prev, *next; /* [n_keys + 1]; the last one is the list's head */
};

/* Entries in the cache, the one whose next use is farthest on top. */
struct heap {
	uint32_t *key;  /* by place */
	uint32_t *at;   /* [n_keys]: place, or NONE */
	uint32_t *due;  /* [n_keys]: next use */
	uint32_t n;
};

static void
die(const char *what)
{
	fprintf(stderr, "sim: %s\n", what);
	exit(1);
}

static void *
zeroes(uint64_t n, size_t size)
{
	void *p = mem_calloc(n, size);

	if (p == NULL)
		die("no memory");
	return p;
}

/* --- the stream -------------------------------------------------------------- */

static void
renumber(struct stream *s, const struct bench_trace *t, uint32_t *id_of)
{
	uint64_t mask = 1;
	uint32_t *table;

	while (mask < t->n * 2)
		mask *= 2;
	table = zeroes(mask, sizeof *table);
	memset(table, 0xff, mask * sizeof *table);
	mask--;
	for (uint64_t i = 0; i < t->n; i++) {
		uint64_t h = draw_mix(t->ids[i] + 1) & mask;

		while (table[h] != NONE && id_of[table[h]] != t->ids[i])
			h = (h + 1) & mask;
		if (table[h] == NONE) {
			id_of[s->n_keys] = t->ids[i];
			table[h] = (uint32_t)s->n_keys++;
		}
		s->key[i] = table[h];
	}
	mem_free(table);
}

static void
look_ahead(struct stream *s)
{
	uint32_t *later = zeroes(s->n_keys, sizeof *later);

	memset(later, 0xff, s->n_keys * sizeof *later);
	for (uint64_t i = s->n; i-- > 0;) {
		s->next[i] = later[s->key[i]];
		later[s->key[i]] = (uint32_t)i;
	}
	mem_free(later);
}

static void
stream_load(struct stream *s, const char *path, uint64_t key_bytes,
    const struct bench_sizes *sizes)
{
	struct bench_trace t = { 0 };
	uint32_t *id_of;
	char err[512];

	if (bench_trace_load(path, &t, err, sizeof err) != 0)
		die(err);
	if (t.n >= NONE)
		die("the trace is too long");
	s->n = t.n;
	s->key = zeroes(s->n, sizeof *s->key);
	s->next = zeroes(s->n, sizeof *s->next);
	id_of = zeroes(s->n, sizeof *id_of);
	renumber(s, &t, id_of);
	s->size = zeroes(s->n_keys, sizeof *s->size);
	for (uint64_t k = 0; k < s->n_keys; k++)
		s->size[k] = key_bytes + bench_size_of_key(sizes, id_of[k]);
	look_ahead(s);
	mem_free(id_of);
	bench_trace_fini(&t);
}

/* --- LRU ------------------------------------------------------------------------ */

static void
unlink_key(struct lru *l, uint32_t k)
{
	l->next[l->prev[k]] = l->next[k];
	l->prev[l->next[k]] = l->prev[k];
	l->prev[k] = l->next[k] = NONE;
}

static void
link_first(struct lru *l, uint32_t head, uint32_t k)
{
	l->next[k] = l->next[head];
	l->prev[k] = head;
	l->prev[l->next[k]] = k;
	l->next[head] = k;
}

static double
run_lru(const struct stream *s, uint64_t capacity)
{
	uint32_t head = (uint32_t)s->n_keys;
	struct lru l = { zeroes(s->n_keys + 1, 4), zeroes(s->n_keys + 1, 4) };
	uint64_t used = 0, hits = 0;

	memset(l.prev, 0xff, (s->n_keys + 1) * 4);
	memset(l.next, 0xff, (s->n_keys + 1) * 4);
	l.prev[head] = l.next[head] = head;
	for (uint64_t i = 0; i < s->n; i++) {
		uint32_t k = s->key[i];
		bool hit = l.next[k] != NONE;

		hits += hit && i >= s->warmup;
		if (hit)
			unlink_key(&l, k);
		else if (s->size[k] > capacity)
			continue;
		else
			used += s->size[k];
		link_first(&l, head, k);
		while (used > capacity) {
			used -= s->size[l.prev[head]];
			unlink_key(&l, l.prev[head]);
		}
	}
	mem_free(l.prev);
	mem_free(l.next);
	return (double)hits / (double)(s->n - s->warmup);
}

/* --- Belady --------------------------------------------------------------------- */

static void
place(struct heap *h, uint32_t at, uint32_t k)
{
	h->key[at] = k;
	h->at[k] = at;
}

static void
sift_up(struct heap *h, uint32_t at)
{
	uint32_t k = h->key[at];

	while (at > 0 && h->due[h->key[(at - 1) / 2]] < h->due[k]) {
		place(h, at, h->key[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(h, at, k);
}

static void
sift_down(struct heap *h, uint32_t at)
{
	uint32_t k = h->key[at];

	for (;;) {
		uint64_t child = 2 * (uint64_t)at + 1;

		if (child + 1 < h->n && h->due[h->key[child + 1]] > h->due[h->key[child]])
			child++;
		if (child >= h->n || h->due[h->key[child]] <= h->due[k])
			break;
		place(h, at, h->key[child]);
		at = (uint32_t)child;
	}
	place(h, at, k);
}

static uint32_t
pop_farthest(struct heap *h)
{
	uint32_t k = h->key[0];

	h->at[k] = NONE;
	if (--h->n > 0) {
		place(h, 0, h->key[h->n]);
		sift_down(h, 0);
	}
	return k;
}

static double
run_belady(const struct stream *s, uint64_t capacity)
{
	struct heap h = { zeroes(s->n_keys, 4), zeroes(s->n_keys, 4), zeroes(s->n_keys, 4), 0 };
	uint64_t used = 0, hits = 0;

	memset(h.at, 0xff, s->n_keys * 4);
	for (uint64_t i = 0; i < s->n; i++) {
		uint32_t k = s->key[i];
		bool hit = h.at[k] != NONE;

		hits += hit && i >= s->warmup;
		if (!hit && s->size[k] > capacity)
			continue;
		h.due[k] = s->next[i];
		if (!hit) {
			used += s->size[k];
			place(&h, h.n++, k);
		}
		sift_up(&h, h.at[k]); /* its next use is never nearer than before */
		while (used > capacity)
			used -= s->size[pop_farthest(&h)];
	}
	mem_free(h.key);
	mem_free(h.at);
	mem_free(h.due);
	return (double)hits / (double)(s->n - s->warmup);
}

/* --- the two verbs ----------------------------------------------------------------- */

static void
generate(int argc, char **argv)
{
	struct bench_keys keys = { 0 };
	struct bench_opts o;
	struct draw rng;
	char err[512];
	FILE *f = fopen(argv[0], "wb");

	if (f == NULL)
		die("cannot write the file");
	if (bench_opts_parse(argc, argv, &o, err, sizeof err) != BENCH_PARSED)
		die(err);
	rng.state = draw_mix(o.seed);
	bench_keys_init(&keys, &o, NULL, 0);
	for (uint64_t i = 0; i < o.requests; i++) {
		uint32_t word = htonl((uint32_t)bench_keys_next(&keys, &rng, false));

		fwrite(&word, sizeof word, 1, f);
	}
	if (fclose(f) != 0)
		die("cannot write the file");
}

static void
simulate(int argc, char **argv)
{
	struct stream s = { 0 };
	struct bench_sizes sizes;
	uint64_t key_bytes, bytes, all = 0;

	if (parse_u64(slice_str(argv[1]), &key_bytes) != 0 ||
	    bench_sizes_parse(slice_str(argv[2]), &sizes) != 0 ||
	    parse_u64(slice_str(argv[3]), &s.warmup) != 0)
		die("malformed number");
	stream_load(&s, argv[0], key_bytes, &sizes);
	if (s.warmup >= s.n)
		die("nothing is left after the warm-up");
	for (uint64_t k = 0; k < s.n_keys; k++)
		all += s.size[k];
	for (int i = 4; i < argc; i++) {
		if (parse_bytes(slice_str(argv[i]), &bytes) != 0)
			die("malformed number of bytes");
		printf("{\"bytes\":%llu,\"requests\":%llu,\"keys\":%llu,\"all_bytes\":%llu,"
		       "\"lru\":%.6f,\"belady\":%.6f}\n",
		    (unsigned long long)bytes, (unsigned long long)s.n, (unsigned long long)s.n_keys,
		    (unsigned long long)all, run_lru(&s, bytes), run_belady(&s, bytes));
	}
	mem_free(s.key);
	mem_free(s.next);
	mem_free(s.size);
}

int
main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "gen") == 0)
		generate(argc - 2, argv + 2);
	else if (argc >= 7 && strcmp(argv[1], "run") == 0)
		simulate(argc - 2, argv + 2);
	else
		die("usage: sim gen FILE OPTION... | sim run TRACE KEY-BYTES SIZES WARMUP BYTES...");
	return 0;
}
