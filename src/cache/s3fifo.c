/* S3-FIFO: "FIFO queues are all you need for cache eviction" (Yang, Zhang, Qiu,
 * Yue, Rashmi; SOSP 2023).
 *
 * New entries go to a small queue, a twenty-fifth of the bytes. What was used
 * by the time it reaches the small queue's end moves to the main queue; what
 * was not goes. An entry that comes back while its fingerprint is in the ghost,
 * which remembers what left lately, goes to the main queue at once. At the main
 * queue's end an entry that was used since goes round again, with one use less.
 * So a scan passes through the small queue and leaves the main one alone, and a
 * use costs no move: it counts, up to three.
 *
 * In three things this departs from the paper, each for more hits on all streams
 * that were tried, or nearly all (tests/bench/hit_ratio.c; Zipf at 60 MiB): the
 * first use in the small queue is enough, not the second (.824 for .821); the
 * small queue has less than a tenth; and what leaves the main queue leaves a
 * fingerprint too (.8289 for .8274 with both). A ghost of more fingerprints than
 * there are entries is worse: .923 for .929 on a stream of large ones.
 *
 * In the entry's word: two bits of uses, one that says main. The ghost is a
 * table of buckets with eight fingerprints of 16 bits, newest first, instead of
 * the paper's queue: as good at telling "lately" (a bucket is a small queue,
 * and hashes spread over them), at two bytes a key. */
#include "config.h"

#include "cache/impl.h"

enum { SMALL, MAIN };

#define USES_MASK 3u
#define IN_MAIN 4u
#define SMALL_USES_MAX 2 /* more make no difference there, and are BITS_PROTECTED */
#define SMALL_SHARE_OF_BYTES 25
/* Entries that one call may move; then the next one goes whatever it did. */
#define MOVES_MAX 64

#define GHOST_WAYS 8
/* Memory for a fingerprint for so many bytes of the budget, which is one for each
 * small entry. */
#define GHOST_SHARE 320

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

static unsigned
bits_of(const struct shard *sh, uint32_t ref)
{
	return word_policy(entry_word(at(sh, ref)));
}

static unsigned
queue_of(unsigned bits)
{
	return bits & IN_MAIN ? MAIN : SMALL;
}

/* --- the ghost ------------------------------------------------------------------- */

static uint64_t
ghost_bytes(uint64_t budget_bytes)
{
	return budget_bytes / GHOST_SHARE * sizeof(uint16_t);
}

/* As many as are needed for a fingerprint for each entry: where entries are large
 * that is less than there is memory for. In powers of two, kept in
 * policy_counted, and slow to shrink: another number is another place for all. */
static uint64_t
ghost_buckets(struct shard *sh)
{
	uint64_t most = sh->policy_bytes / (GHOST_WAYS * sizeof(uint16_t));
	uint64_t needed = shard_get(&sh->count) / GHOST_WAYS;

	while (needed > sh->policy_counted)
		sh->policy_counted = MAX(2 * sh->policy_counted, 1);
	while (needed < sh->policy_counted / 3)
		sh->policy_counted /= 2;
	return MAX(MIN(sh->policy_counted, most), 1);
}

struct ghost {
	uint16_t *ways;
	unsigned n;
};

static struct ghost
ghost_of(struct shard *sh, uint64_t hash)
{
	uint64_t buckets = ghost_buckets(sh);
	uint16_t *all = (uint16_t *)(void *)sh->policy_mem;
	uint64_t n = (shard_get(&sh->count) + buckets - 1) / buckets;

	return (struct ghost){ all + (hash >> 16) % buckets * GHOST_WAYS,
		(unsigned)MAX(MIN(n, GHOST_WAYS), 1) };
}

/* Low bits choose table buckets elsewhere, but not here; 0 is an empty way. */
static uint16_t
fingerprint(uint64_t hash)
{
	return (uint16_t)hash != 0 ? (uint16_t)hash : 1;
}

static void
ghost_add(struct shard *sh, uint64_t hash)
{
	struct ghost g = ghost_of(sh, hash);

	for (unsigned i = g.n - 1; i > 0; i--)
		g.ways[i] = g.ways[i - 1];
	g.ways[0] = fingerprint(hash);
}

/* Whether it was there; it is not any more. */
static bool
ghost_take(struct shard *sh, uint64_t hash)
{
	struct ghost g = ghost_of(sh, hash);

	for (unsigned i = 0; i < g.n; i++) {
		if (g.ways[i] == fingerprint(hash)) {
			g.ways[i] = 0;
			return true;
		}
	}
	return false;
}

/* --- the queues --------------------------------------------------------------------- */

static void
insert(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	unsigned bits = ghost_take(sh, hash) ? IN_MAIN : 0;

	policy_set_bits(sh, ref, bits);
	queue_push(sh, base + queue_of(bits), ref);
}

static void
touch(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	unsigned bits = bits_of(sh, ref);

	(void)base;
	(void)hash;
	if ((bits & USES_MASK) < (bits & IN_MAIN ? USES_MASK : SMALL_USES_MAX))
		policy_set_bits(sh, ref, bits + 1);
}

static void
remove_entry(struct shard *sh, unsigned base, uint32_t ref)
{
	queue_remove(sh, base + queue_of(bits_of(sh, ref)), ref);
}

static void
replace(struct shard *sh, unsigned base, uint32_t ref, uint32_t by, uint64_t hash)
{
	unsigned bits = bits_of(sh, ref);

	remove_entry(sh, base, ref);
	policy_set_bits(sh, by, bits);
	queue_push(sh, base + queue_of(bits), by);
	touch(sh, base, by, hash);
}

static void
move_to_main(struct shard *sh, unsigned base, uint32_t ref, unsigned uses)
{
	remove_entry(sh, base, ref);
	policy_set_bits(sh, ref, IN_MAIN | uses);
	queue_push(sh, base + MAIN, ref);
}

static bool
small_is_over(const struct shard *sh, unsigned base)
{
	const uint64_t *bytes = &sh->queue_bytes[base];
	uint64_t all = bytes[SMALL] + bytes[MAIN];

	return bytes[SMALL] * SMALL_SHARE_OF_BYTES > all;
}

/* The end of the queue whose turn it is, 0 where both are empty. */
static uint32_t
next_end(struct shard *sh, unsigned base)
{
	uint32_t small = queue_oldest(sh, base + SMALL), main_end = queue_oldest(sh, base + MAIN);

	if (small != 0 && (main_end == 0 || small_is_over(sh, base)))
		return small;
	return main_end;
}

/* Whether it may stay: then it has been moved. */
static bool
spare(struct shard *sh, unsigned base, uint32_t ref)
{
	unsigned bits = bits_of(sh, ref), uses = bits & USES_MASK;

	if (!(bits & IN_MAIN) && uses > 0)
		move_to_main(sh, base, ref, 0);
	else if ((bits & IN_MAIN) && uses > 0)
		move_to_main(sh, base, ref, uses - 1);
	else
		return false;
	return true;
}

static uint32_t
victim(struct shard *sh, unsigned base, uint32_t keep)
{
	uint32_t ref;

	for (int i = 0; i < MOVES_MAX; i++) {
		ref = next_end(sh, base);
		if (ref == keep && ref != 0)
			move_to_main(sh, base, ref, bits_of(sh, ref) & USES_MASK);
		else if (ref == 0 || !spare(sh, base, ref))
			return ref;
	}
	ref = next_end(sh, base);
	return ref == keep ? 0 : ref;
}

static void
evict(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	remove_entry(sh, base, ref);
	ghost_add(sh, hash);
}

static unsigned
frequency_now(const struct shard *sh, uint32_t ref, uint64_t hash)
{
	(void)hash;
	return bits_of(sh, ref) & USES_MASK;
}

static void
restore(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash, unsigned bits,
    unsigned frequency)
{
	unsigned main_bits = bits & IN_MAIN, uses = bits & USES_MASK;

	(void)hash;
	(void)frequency;
	remove_entry(sh, base, ref);
	policy_set_bits(sh, ref, main_bits | MIN(uses, main_bits ? USES_MASK : SMALL_USES_MAX));
	queue_push(sh, base + queue_of(main_bits), ref);
}

const struct policy policy_s3fifo = {
	.name = "s3fifo",
	.by_bytes = true,
	.memory = ghost_bytes,
	.insert = insert,
	.replace = replace,
	.touch = touch,
	.frequency = frequency_now,
	.remove = remove_entry,
	.victim = victim,
	.evict = evict,
	.restore = restore,
};
