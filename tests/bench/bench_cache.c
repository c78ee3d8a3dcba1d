/* bench_cache - the store alone, measured against the figures of issue 3.
 *
 *   bench_cache overhead            bytes an entry beyond key and value
 *   bench_cache phases [MiB [GETs]] live share while value sizes shift, with so
 *                                   many random GETs for each SET
 *   bench_cache expire [entries]    how fast expired bytes come back
 *   bench_cache pauses [MiB]        the longest call of each kind
 *   bench_cache get|set|setget [n]  a loop for callgrind: --toggle-collect=loop_get,
 *                                   loop_set, loop_setget
 *   bench_cache threads [n]         operations a second of n threads
 *
 * Times are CPU time of the thread, so that other load on the machine does
 * not show. */
#include "config.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/impl.h"

#define MIB ((uint64_t)1 << 20)
#define FOR_CALLGRIND __attribute__((noinline, noclone))

static struct cache_tally tally[CACHE_CLASSES];
static struct cache_thread me = { .now_ms = 1000, .tally = tally };
static char bytes[1 << 20];

static void
must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "bench_cache: %s\n", what);
		exit(1);
	}
}

static struct cache *
cache_of(uint64_t budget)
{
	struct cache_opts o = { .budget_bytes = budget, .seed = 42 };
	struct cache *c = NULL;

	must(cache_new(&o, &c) == 0, "cannot make a cache");
	return c;
}

static double
cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static double
unit(uint64_t x)
{
	return (double)(mix(x) >> 11) * 0x1p-53;
}

/* len bytes that start with the number and the rest a fixed text. */
static struct slice
key_of(char *to, size_t len, uint64_t id)
{
	memset(to, 'k', len);
	for (size_t i = 0; i < 16 && i < len; i++)
		to[i] = "0123456789abcdef"[id >> (4 * i) & 15];
	return slice_of(to, len);
}

static void
put(struct cache *c, struct slice key, size_t len, int64_t expires_ms)
{
	struct cache_cursor cur;
	struct slice value = slice_of(bytes, len);

	cache_open(c, &me, key, cache_hash(c, key), 0, &cur);
	must(cache_put(&cur, &value, 1, expires_ms) == 0, "no room for an entry");
	cache_close(&cur);
}

static bool
get(struct cache *c, struct slice key, unsigned flags)
{
	struct cache_cursor cur;
	bool hit = cache_open(c, &me, key, cache_hash(c, key), flags, &cur) == CACHE_HIT;

	cache_close(&cur);
	return hit;
}

/* --- overhead ------------------------------------------------------------------- */

static uint64_t
rss(void)
{
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");

	must(f != NULL && fscanf(f, "%lu %lu", &size, &resident) == 2, "no /proc/self/statm");
	fclose(f);
	return (uint64_t)resident << PAGE_SHIFT;
}

static void
overhead_of(size_t key_len, size_t value_len, uint64_t n, bool ttl)
{
	struct cache *c = cache_of(1024 * MIB);
	uint64_t before;
	char key[64];

	memset(bytes, 'v', sizeof bytes);
	before = rss();
	for (uint64_t i = 0; i < n; i++)
		put(c, key_of(key, key_len, i), value_len, ttl ? 1000000 + (int64_t)i : 0);
	must(cache_count(c) == n, "entries went missing");
	printf("overhead %zu+%zu %s: %.1f bytes\n", key_len, value_len, ttl ? "with TTL" : "no TTL  ",
	    (double)(rss() - before) / (double)n - (double)(key_len + value_len));
	cache_free(c);
}

/* In processes of their own, so that one does not see what another left. */
static int
overhead(void)
{
	static const struct { size_t key, value; uint64_t n; } shapes[] = {
		{ 16, 32, 2000000 }, { 32, 200, 1000000 },
	};

	for (unsigned i = 0; i < 2 * ARRAY_LEN(shapes); i++) {
		fflush(stdout);
		if (fork() == 0) {
			overhead_of(shapes[i / 2].key, shapes[i / 2].value, shapes[i / 2].n, i & 1);
			exit(0);
		}
		wait(NULL);
	}
	return 0;
}

/* --- phases ----------------------------------------------------------------------- */

struct phase {
	const char *name;
	double least, most; /* bytes of a value, log-uniform between */
	double times;       /* the limit */
};

static const struct phase phases_table[] = {
	{ "64 B - 16 KiB", 64, 16384, 4 },
	{ "64 - 512 B", 64, 512, 4 },
	{ "4 - 16 KiB", 4096, 16384, 4 },
};

#define PHASE_KEY 24

struct load {
	struct cache *c;
	uint64_t budget;
	unsigned gets;
	uint64_t next;            /* id of the next key */
	uint64_t *ids;            /* that may be live */
	uint64_t n_ids, cap_ids;
	uint64_t first[ARRAY_LEN(phases_table) + 1]; /* id that each begins with */
	uint64_t peak_used, peak_resident;
	double longest_us, spent_us;
	uint64_t evicted_before;
};

static size_t
size_in(const struct phase *p, uint64_t id)
{
	return (size_t)(p->least * pow(p->most / p->least, unit(id * 2 + 1)));
}

static size_t
size_of(const struct load *l, uint64_t id)
{
	unsigned p = ARRAY_LEN(phases_table) - 1;

	while (l->first[p] > id)
		p--;
	return size_in(&phases_table[p], id);
}

static void
remember(struct load *l, uint64_t id)
{
	if (l->n_ids == l->cap_ids) {
		l->cap_ids = MAX(2 * l->cap_ids, 1024);
		l->ids = realloc(l->ids, l->cap_ids * sizeof *l->ids);
		must(l->ids != NULL, "no memory");
	}
	l->ids[l->n_ids++] = id;
}

/* A GET of an entry that is live, each as likely as the others. */
static void
random_get(struct load *l, uint64_t seed)
{
	char key[PHASE_KEY];

	while (l->n_ids != 0) {
		uint64_t i = mix(seed++) % l->n_ids;

		if (get(l->c, key_of(key, sizeof key, l->ids[i]), CACHE_TOUCH))
			return;
		l->ids[i] = l->ids[--l->n_ids];
	}
}

/* Share of the newest bytes, as many as are live, that are there. */
static double
newest(const struct load *l)
{
	struct cache_stats s;
	uint64_t sum = 0, found = 0;
	char key[PHASE_KEY];

	cache_stats(l->c, &s);
	for (uint64_t id = l->next; id > 0 && sum < s.user_bytes; id--) {
		uint64_t len = PHASE_KEY + size_of(l, id - 1);

		sum += len;
		if (get(l->c, key_of(key, sizeof key, id - 1), 0))
			found += len;
	}
	return (double)found / (double)sum;
}

static void
one_set(struct load *l, const struct phase *p)
{
	char key[PHASE_KEY];
	size_t len = size_in(p, l->next);
	struct slice k = key_of(key, sizeof key, l->next);
	double start = cpu_us(), took;

	put(l->c, k, len, CACHE_NEVER);
	for (unsigned g = 0; g < l->gets; g++)
		random_get(l, l->next * 8 + g);
	took = cpu_us() - start;
	l->spent_us += took;
	l->longest_us = MAX(l->longest_us, took);
	if (l->gets != 0)
		remember(l, l->next);
	l->next++;
}

static void
sample(struct load *l, struct cache_stats *s)
{
	cache_stats(l->c, s);
	l->peak_used = MAX(l->peak_used, s->used_bytes);
	l->peak_resident = MAX(l->peak_resident, arena_resident(&l->c->arena));
}

static void
run_phase(struct load *l, unsigned i)
{
	const struct phase *p = &phases_table[i];
	double least = 1, budget = (double)l->budget;
	uint64_t written = 0, mark = 0, from = l->next, moved;
	struct cache_stats s;
	bool full = i != 0;

	for (unsigned k = i; k <= ARRAY_LEN(phases_table); k++)
		l->first[k] = k == i ? l->next : UINT64_MAX;
	l->longest_us = l->spent_us = 0;
	cache_stats(l->c, &s);
	moved = s.cleaned_bytes;
	while ((double)written < p->times * budget) {
		written += PHASE_KEY + size_in(p, l->next);
		one_set(l, p);
		if (written - mark < l->budget / 256)
			continue;
		mark = written;
		sample(l, &s);
		full |= s.evicted != 0;
		if (full)
			least = MIN(least, (double)s.user_bytes / budget);
	}
	sample(l, &s);
	printf("%-14s live %.3f least %.3f newest %.4f moved/set %.2f us/set %.2f longest %.0f us"
	    " table %.3f dead %.3f\n", p->name,
	    (double)s.user_bytes / budget, least, newest(l),
	    (double)(s.cleaned_bytes - moved) / (double)written,
	    l->spent_us / (double)(l->next - from), l->longest_us,
	    (double)s.table_bytes / budget, (double)s.dead_bytes / budget);
	fflush(stdout);
}

static int
phases(uint64_t mib, unsigned gets)
{
	struct load l = { .c = cache_of(mib * MIB), .budget = mib * MIB, .gets = gets };

	printf("%lu MiB, %u GETs a SET\n", (unsigned long)mib, gets);
	for (unsigned i = 0; i < ARRAY_LEN(phases_table); i++)
		run_phase(&l, i);
	printf("peak used/budget %.4f resident/budget %.4f\n",
	    (double)l.peak_used / (double)l.budget, (double)l.peak_resident / (double)l.budget);
	free(l.ids);
	cache_free(l.c);
	return 0;
}

/* --- expiry ------------------------------------------------------------------------- */

static int
expire(uint64_t n)
{
	struct cache *c = cache_of(1024 * MIB);
	double spent = 0, longest = 0, longest_open = 0;
	char key[16];
	uint64_t ticks = 0;

	for (uint64_t i = 0; i < n; i++)
		put(c, key_of(key, sizeof key, i), 32, 60000 + (int64_t)(i % 1000));
	must(cache_count(c) == n, "entries went missing");
	me.now_ms = 61000 + (1 << TICK_SHIFT);
	while (cache_count(c) != 0) {
		double start = cpu_us(), took;

		cache_tick(c, &me, 700);
		took = cpu_us() - start;
		spent += took;
		longest = MAX(longest, took);
		ticks++;
		me.now_ms++;
		start = cpu_us();
		get(c, key_of(key, sizeof key, mix(ticks) % n), 0);
		longest_open = MAX(longest_open, cpu_us() - start);
	}
	printf("expire %lu at once: %.0f ms, %.0f ns each, %lu ticks of 0.7 ms, longest tick %.0f us,"
	    " longest open %.0f us\n", (unsigned long)n, spent / 1000,
	    spent * 1000 / (double)n, (unsigned long)ticks, longest, longest_open);
	cache_free(c);
	return 0;
}

/* --- pauses ------------------------------------------------------------------------- */

enum { CALL_PUT, CALL_GET, CALL_TICK, CALL_FLUSH, CALL_RESIZE, CALLS };
static const char *const call_names[CALLS] = { "put", "get", "tick(200)", "flush", "resize" };
static double longest_call[CALLS];

static void
timed(int call, double start)
{
	longest_call[call] = MAX(longest_call[call], cpu_us() - start);
}

static void
mixed_calls(struct cache *c, uint64_t n, uint64_t ids, size_t most)
{
	char key[16];

	for (uint64_t i = 0; i < n; i++) {
		struct slice k = key_of(key, sizeof key, mix(i) % ids);
		double start = cpu_us();

		if (i % 4 == 0) {
			put(c, k, mix(i) % most, i % 3 == 0 ? me.now_ms + 500 : 0);
			timed(CALL_PUT, start);
		} else if (i % 64 == 1) {
			me.now_ms += 1;
			cache_tick(c, &me, 200);
			timed(CALL_TICK, start);
		} else {
			get(c, k, CACHE_TOUCH);
			timed(CALL_GET, start);
		}
	}
}

static int
pauses(uint64_t mib)
{
	struct cache *c = cache_of(mib * MIB);
	double start;

	mixed_calls(c, mib * 40000, mib * 4000, 400);
	mixed_calls(c, mib * 4000, mib * 4000, 16000);
	start = cpu_us();
	must(cache_resize(c, mib * MIB / 4) == 0, "cannot resize");
	timed(CALL_RESIZE, start);
	mixed_calls(c, mib * 4000, mib * 4000, 400);
	must(cache_resize(c, mib * MIB) == 0, "cannot resize");
	mixed_calls(c, mib * 40000, mib * 4000, 400);
	start = cpu_us();
	cache_flush(c, &me);
	timed(CALL_FLUSH, start);
	mixed_calls(c, mib * 4000, mib * 4000, 400);
	for (int i = 0; i < CALLS; i++)
		printf("longest %-9s %.0f us\n", call_names[i], longest_call[i]);
	cache_free(c);
	return 0;
}

/* --- loops for callgrind ------------------------------------------------------------ */

#define LOOP_IDS 100000

FOR_CALLGRIND void loop_get(struct cache *c, uint64_t n);
FOR_CALLGRIND void loop_set(struct cache *c, uint64_t n);
FOR_CALLGRIND void loop_setget(struct cache *c, uint64_t n);

/* The caller's share, making the key, is kept out of it. */
static char loop_keys[LOOP_IDS][16];

void
loop_get(struct cache *c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		get(c, slice_of(loop_keys[i * 7919 % LOOP_IDS], 16), CACHE_TOUCH);
}

void
loop_set(struct cache *c, uint64_t n)
{
	uint64_t *id;

	for (uint64_t i = 0; i < n; i++) {
		id = (uint64_t *)(void *)loop_keys[0];
		*id = 1000000 + i;
		put(c, slice_of(loop_keys[0], 16), 100, CACHE_NEVER);
	}
}

void
loop_setget(struct cache *c, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		struct slice key = slice_of(loop_keys[i * 7919 % LOOP_IDS], 16);

		if (!get(c, key, CACHE_TOUCH))
			put(c, key, 100, CACHE_NEVER);
		get(c, slice_of(loop_keys[mix(i) % LOOP_IDS], 16), CACHE_TOUCH);
	}
}

static int
loops(const char *what, uint64_t n)
{
	bool sets = strcmp(what, "get") != 0;
	/* Small enough to evict where it is about writing. */
	struct cache *c = cache_of(sets ? 8 * MIB : 64 * MIB);
	double start;

	for (uint64_t i = 0; i < LOOP_IDS; i++) {
		key_of(loop_keys[i], 16, i);
		put(c, slice_of(loop_keys[i], 16), 100, CACHE_NEVER);
	}
	start = cpu_us();
	if (strcmp(what, "get") == 0)
		loop_get(c, n);
	else if (strcmp(what, "set") == 0)
		loop_set(c, n);
	else
		loop_setget(c, n);
	printf("%s: %.3f us each\n", what, (cpu_us() - start) / (double)n);
	cache_free(c);
	return 0;
}

/* --- threads ---------------------------------------------------------------------------- */

#define THREAD_OPS 4000000
#define THREADS_MAX 64

static void *
thread_main(void *arg)
{
	struct cache *c = arg;
	struct cache_tally *t = calloc(CACHE_CLASSES, sizeof *t);
	struct cache_thread self = { .now_ms = 1000, .tally = t };
	uint64_t seed = mix((uint64_t)(uintptr_t)t);
	char key[16];

	for (uint64_t i = 0; i < THREAD_OPS; i++) {
		struct slice k = key_of(key, sizeof key, mix(seed + i) % 1000000);
		struct slice v = slice_of(bytes, 100);
		struct cache_cursor cur;

		cache_open(c, &self, k, cache_hash(c, k), CACHE_TOUCH, &cur);
		if (i % 10 == 0)
			must(cache_put(&cur, &v, 1, CACHE_NEVER) == 0, "no room for an entry");
		cache_close(&cur);
	}
	free(t);
	return NULL;
}

static int
threads(unsigned n)
{
	struct cache *c = cache_of(64 * MIB);
	pthread_t ids[THREADS_MAX];
	struct timespec a, b;
	double took;

	n = MIN(n, THREADS_MAX);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < n; i++)
		must(pthread_create(&ids[i], NULL, thread_main, c) == 0, "no thread");
	for (unsigned i = 0; i < n; i++)
		pthread_join(ids[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	took = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%u threads: %.2f million operations a second\n", n,
	    (double)n * THREAD_OPS / took / 1e6);
	cache_free(c);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;

	if (strcmp(what, "overhead") == 0)
		return overhead();
	if (strcmp(what, "phases") == 0)
		return phases(n ? n : 256, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0);
	if (strcmp(what, "expire") == 0)
		return expire(n ? n : 2000000);
	if (strcmp(what, "pauses") == 0)
		return pauses(n ? n : 64);
	if (strcmp(what, "get") == 0 || strcmp(what, "set") == 0 || strcmp(what, "setget") == 0)
		return loops(what, n ? n : 1000000);
	if (strcmp(what, "threads") == 0)
		return threads(n ? (unsigned)n : 1);
	fprintf(stderr, "usage: bench_cache overhead | phases [MiB [GETs]] | expire [n] |"
	    " pauses [MiB] | get|set|setget [n] | threads [n]\n");
	return 2;
}
