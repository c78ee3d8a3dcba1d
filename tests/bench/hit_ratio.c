/* hit_ratio - what share of a trace's requests each policy answers, in the store
 * alone: cache-aside from empty, no sockets, in seconds. For work on policies;
 * `./dev bench hitratio` measures whole daemons.
 *
 *     hit_ratio TRACE KEY-BYTES VALUE-SIZES BYTES...
 *
 * The arguments are those of `sim run`, which tells what an ideal LRU and
 * Belady's choice make of the same trace; `sim gen` makes traces. The policies
 * run the real thing: lookups, memory, cleaning. `live` is the share of the
 * budget that is keys and values in the end, `moved` the bytes that the cleaner
 * moved for each byte set. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cache/cache.h"
#include "cli/bench_gen.h"
#include "cli/bench_trace.h"

#define KEY_MAX 64
#define VALUE_MAX (1u << 20)
#define TICK_EVERY 1024 /* requests */
#define TICK_US 100

struct stream {
	struct bench_trace trace;
	struct bench_sizes sizes;
	uint64_t key_bytes;
};

static struct cache_tally tally[CACHE_CLASSES];
static struct cache_thread me = { .now_ms = 1000, .tally = tally };

static void
die(const char *what)
{
	fprintf(stderr, "hit_ratio: %s\n", what);
	exit(1);
}

/* Whether it hit; *set grows by what was put otherwise. */
static bool
request(struct cache *c, const struct stream *s, uint32_t id, uint64_t *set)
{
	static const char bytes[VALUE_MAX];
	char text[KEY_MAX + 1];
	struct slice key = slice_of(text, s->key_bytes), value;
	struct cache_cursor cur;
	bool hit;

	snprintf(text, sizeof text, "%0*u", (int)s->key_bytes, id);
	hit = cache_open(c, &me, key, cache_hash(c, key), CACHE_TOUCH, &cur) == CACHE_HIT;
	cache_close(&cur);
	if (hit)
		return true;
	value = slice_of(bytes, bench_size_of_key(&s->sizes, id));
	*set += key.len + value.len;
	cache_open(c, &me, key, cache_hash(c, key), 0, &cur);
	if (cache_put(&cur, &value, 1, CACHE_NEVER) != 0)
		die("no room for an entry");
	cache_close(&cur);
	return false;
}

static void
run(const struct stream *s, uint64_t budget, enum cache_policy policy, const char *name)
{
	struct cache_opts o = { .budget_bytes = budget, .policy = policy, .seed = 42 };
	struct cache_stats st;
	struct cache *c;
	uint64_t set = 0, hits = 0;

	if (cache_new(&o, &c) != 0)
		die("cannot make a cache of so many bytes");
	for (uint64_t i = 0; i < s->trace.n; i++) {
		hits += request(c, s, s->trace.ids[i], &set);
		if (i % TICK_EVERY == 0)
			cache_tick(c, &me, TICK_US);
	}
	cache_stats(c, &st);
	printf("%-8s %.4f  live %.3f  moved %.2f\n", name, (double)hits / (double)s->trace.n,
	    (double)st.user_bytes / (double)budget, (double)st.cleaned_bytes / (double)set);
	fflush(stdout);
	cache_free(c);
}

int
main(int argc, char **argv)
{
	struct stream s = { 0 };
	uint64_t budget;
	char err[512];

	if (argc < 5)
		die("usage: hit_ratio TRACE KEY-BYTES VALUE-SIZES BYTES...");
	if (parse_u64(slice_str(argv[2]), &s.key_bytes) != 0 || s.key_bytes < 10 ||
	    s.key_bytes > KEY_MAX)
		die("keys have 10 to 64 bytes");
	if (bench_sizes_parse(slice_str(argv[3]), &s.sizes) != 0 || s.sizes.max > VALUE_MAX)
		die("malformed sizes of values, or some above 1 MiB");
	if (bench_trace_load(argv[1], &s.trace, err, sizeof err) != 0)
		die(err);
	for (int i = 4; i < argc; i++) {
		if (parse_bytes(slice_str(argv[i]), &budget) != 0)
			die("malformed number of bytes");
		printf("%s\n", argv[i]);
		run(&s, budget, CACHE_LRU, "lru");
		run(&s, budget, CACHE_S3FIFO, "s3fifo");
		run(&s, budget, CACHE_TINYLFU, "tinylfu");
	}
	bench_trace_fini(&s.trace);
	return 0;
}
