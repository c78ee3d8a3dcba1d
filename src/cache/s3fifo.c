/* S3-FIFO: "FIFO queues are all you need for cache eviction" (Yang, Zhang, Qiu,
 * Yue, Rashmi; SOSP 2023).
 *
 * New entries go to a small queue, a tenth of the bytes. What was used more
 * than once by the time it reaches the small queue's end moves to the main
 * queue; what was not goes, and leaves a fingerprint in the ghost. An entry
 * that comes back while its fingerprint is there goes to the main queue at
 * once. At the main queue's end an entry that was used since goes round again,
 * with one use less. So a scan passes through the small queue and leaves the
 * main one alone, and a use costs no move: it counts, up to three.
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
#define SMALL_SHARE_OF_BYTES 10
#define MOVED_ON_AFTER 1 /* uses in the small queue, more than so many */
/* Entries that one call may move; then the next one goes whatever it did. */
#define MOVES_MAX 64

#define GHOST_WAYS 8
/* A fingerprint for so many bytes of the budget: about one for each entry of
 * the smallest that are usual. */
#define GHOST_SHARE 128

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

static void
set_bits(const struct shard *sh, uint32_t ref, unsigned bits)
{
	struct entry *e = at(sh, ref);

	entry_set_word(e, word_with_policy(entry_word(e), bits));
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

static uint16_t *
ghost_bucket(const struct shard *sh, uint64_t hash)
{
	uint64_t buckets = sh->policy_bytes / (GHOST_WAYS * sizeof(uint16_t));
	uint16_t *all = (uint16_t *)(void *)sh->policy_mem;

	return all + (hash >> 16) % buckets * GHOST_WAYS;
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
	uint16_t *ways = ghost_bucket(sh, hash);

	for (unsigned i = GHOST_WAYS - 1; i > 0; i--)
		ways[i] = ways[i - 1];
	ways[0] = fingerprint(hash);
}

/* Whether it was there; it is not any more. */
static bool
ghost_take(struct shard *sh, uint64_t hash)
{
	uint16_t *ways = ghost_bucket(sh, hash);

	for (unsigned i = 0; i < GHOST_WAYS; i++) {
		if (ways[i] == fingerprint(hash)) {
			ways[i] = 0;
			return true;
		}
	}
	return false;
}

/* --- the queues --------------------------------------------------------------------- */

static void
insert(struct shard *sh, uint32_t ref, uint64_t hash)
{
	unsigned bits = ghost_take(sh, hash) ? IN_MAIN : 0;

	set_bits(sh, ref, bits);
	queue_push(sh, queue_of(bits), ref);
}

static void
touch(struct shard *sh, uint32_t ref, uint64_t hash)
{
	unsigned bits = bits_of(sh, ref);

	(void)hash;
	if ((bits & USES_MASK) < (bits & IN_MAIN ? USES_MASK : SMALL_USES_MAX))
		set_bits(sh, ref, bits + 1);
}

static void
remove_entry(struct shard *sh, uint32_t ref)
{
	queue_remove(sh, queue_of(bits_of(sh, ref)), ref);
}

static void
replace(struct shard *sh, uint32_t ref, uint32_t by, uint64_t hash)
{
	unsigned bits = bits_of(sh, ref);

	remove_entry(sh, ref);
	set_bits(sh, by, bits);
	queue_push(sh, queue_of(bits), by);
	touch(sh, by, hash);
}

static void
move_to_main(struct shard *sh, uint32_t ref, unsigned uses)
{
	remove_entry(sh, ref);
	set_bits(sh, ref, IN_MAIN | uses);
	queue_push(sh, MAIN, ref);
}

static bool
small_is_over(const struct shard *sh)
{
	uint64_t all = sh->queue_bytes[SMALL] + sh->queue_bytes[MAIN];

	return sh->queue_bytes[SMALL] * SMALL_SHARE_OF_BYTES > all;
}

/* The end of the queue whose turn it is, 0 where both are empty. */
static uint32_t
next_end(struct shard *sh)
{
	uint32_t small = queue_oldest(sh, SMALL), main_end = queue_oldest(sh, MAIN);

	if (small != 0 && (main_end == 0 || small_is_over(sh)))
		return small;
	return main_end;
}

/* Whether it may stay: then it has been moved. */
static bool
spare(struct shard *sh, uint32_t ref)
{
	unsigned bits = bits_of(sh, ref), uses = bits & USES_MASK;

	if (!(bits & IN_MAIN) && uses > MOVED_ON_AFTER)
		move_to_main(sh, ref, 0);
	else if ((bits & IN_MAIN) && uses > 0)
		move_to_main(sh, ref, uses - 1);
	else
		return false;
	return true;
}

static uint32_t
victim(struct shard *sh, uint32_t keep)
{
	uint32_t ref;

	for (int i = 0; i < MOVES_MAX; i++) {
		ref = next_end(sh);
		if (ref == keep && ref != 0)
			move_to_main(sh, ref, bits_of(sh, ref) & USES_MASK);
		else if (ref == 0 || !spare(sh, ref))
			return ref;
	}
	ref = next_end(sh);
	return ref == keep ? 0 : ref;
}

static void
evict(struct shard *sh, uint32_t ref, uint64_t hash)
{
	unsigned queue = queue_of(bits_of(sh, ref));

	queue_remove(sh, queue, ref);
	if (queue == SMALL)
		ghost_add(sh, hash);
}

const struct policy policy_s3fifo = {
	.name = "s3fifo",
	.by_bytes = true,
	.memory = ghost_bytes,
	.insert = insert,
	.replace = replace,
	.touch = touch,
	.remove = remove_entry,
	.victim = victim,
	.evict = evict,
};
