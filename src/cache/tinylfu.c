/* W-TinyLFU: "TinyLFU: A Highly Efficient Cache Admission Policy" (Einziger,
 * Friedman, Manes; ACM Transactions on Storage 2017), as Caffeine has it.
 *
 * New entries go to a window, an LRU of a hundredth of the bytes. What drops
 * out of its end competes with the end of the main part: the one that was
 * asked for less often lately goes. The main part is an LRU in two pieces:
 * probation, and protected (four fifths of it) for what was used again there.
 *
 * How often keys were asked for, whether they are here or not, is estimated by
 * a count-min sketch of 4-bit counters, halved all when as many uses as ten
 * times the entries were counted, so that it forgets. In the entry's word: two
 * bits that say which queue. */
#include "config.h"

#include "cache/impl.h"

enum { WINDOW, PROBATION, PROTECTED };

#define WINDOW_SHARE 100
#define PROTECTED_OF_TEN 8
#define MOVES_MAX 64

#define SKETCH_ROWS 4
#define COUNT_MAX 15
#define SAMPLE_TIMES 10
/* A byte, two counters, for so many bytes of the budget: about four counters
 * for each entry of the smallest that are usual. */
#define SKETCH_SHARE 64

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

static unsigned
queue_of(const struct shard *sh, uint32_t ref)
{
	return word_policy(entry_word(at(sh, ref)));
}

static void
put_in(struct shard *sh, unsigned queue, uint32_t ref)
{
	struct entry *e = at(sh, ref);

	entry_set_word(e, word_with_policy(entry_word(e), queue));
	queue_push(sh, queue, ref);
}

static void
move(struct shard *sh, uint32_t ref, unsigned to)
{
	queue_remove(sh, queue_of(sh, ref), ref);
	put_in(sh, to, ref);
}

/* --- the sketch -------------------------------------------------------------------- */

static uint64_t
sketch_bytes(uint64_t budget_bytes)
{
	return budget_bytes / SKETCH_SHARE;
}

/* The counter of a key in a row: rows use different bits of a mixed hash. */
static uint64_t
counter_at(const struct shard *sh, uint64_t hash, unsigned row)
{
	uint64_t h = (hash + row * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	return (h >> 24) % (sh->policy_bytes * 2);
}

static unsigned
counter_read(const struct shard *sh, uint64_t i)
{
	return sh->policy_mem[i / 2] >> (i % 2 * 4) & COUNT_MAX;
}

static unsigned
frequency(const struct shard *sh, uint64_t hash)
{
	unsigned least = COUNT_MAX;

	for (unsigned row = 0; row < SKETCH_ROWS; row++)
		least = MIN(least, counter_read(sh, counter_at(sh, hash, row)));
	return least;
}

static void
halve_all(struct shard *sh)
{
	for (uint64_t i = 0; i < sh->policy_bytes; i++)
		sh->policy_mem[i] = sh->policy_mem[i] >> 1 & 0x77;
	sh->policy_counted /= 2;
}

/* Only the least of a key's counters grow: the others are others' uses. */
static void
count_use(struct shard *sh, uint64_t hash)
{
	unsigned was = frequency(sh, hash);

	if (was < COUNT_MAX) {
		for (unsigned row = 0; row < SKETCH_ROWS; row++) {
			uint64_t i = counter_at(sh, hash, row);

			if (counter_read(sh, i) == was)
				sh->policy_mem[i / 2] += (uint8_t)(1u << (i % 2 * 4));
		}
	}
	if (++sh->policy_counted >= SAMPLE_TIMES * MAX(shard_get(&sh->count), 64))
		halve_all(sh);
}

static unsigned
frequency_of(const struct shard *sh, uint32_t ref)
{
	const struct entry *e = at(sh, ref);

	return frequency(sh, key_hash(sh->cache->seed, entry_key(sh->cache, e, entry_word(e))));
}

/* --- the queues ------------------------------------------------------------------------ */

static uint64_t
all_bytes(const struct shard *sh)
{
	return sh->queue_bytes[WINDOW] + sh->queue_bytes[PROBATION] + sh->queue_bytes[PROTECTED];
}

static void
insert(struct shard *sh, uint32_t ref, uint64_t hash)
{
	count_use(sh, hash);
	put_in(sh, WINDOW, ref);
}

/* What has been protected for longest makes place for what was just used. */
static void
protect(struct shard *sh, uint32_t ref)
{
	move(sh, ref, PROTECTED);
	for (int i = 0; i < 4; i++) {
		uint64_t most = (sh->queue_bytes[PROBATION] + sh->queue_bytes[PROTECTED]) / 10 *
		    PROTECTED_OF_TEN;
		uint32_t oldest = queue_oldest(sh, PROTECTED);

		if (sh->queue_bytes[PROTECTED] <= most || oldest == ref || oldest == 0)
			return;
		move(sh, oldest, PROBATION);
	}
}

static void
touch(struct shard *sh, uint32_t ref, uint64_t hash)
{
	count_use(sh, hash);
	if (queue_of(sh, ref) == PROBATION)
		protect(sh, ref);
	else
		move(sh, ref, queue_of(sh, ref));
}

static void
remove_entry(struct shard *sh, uint32_t ref)
{
	queue_remove(sh, queue_of(sh, ref), ref);
}

static void
replace(struct shard *sh, uint32_t ref, uint32_t by, uint64_t hash)
{
	unsigned queue = queue_of(sh, ref);

	queue_remove(sh, queue, ref);
	put_in(sh, queue, by);
	touch(sh, by, hash);
}

static uint32_t
oldest_but(struct shard *sh, unsigned queue, uint32_t keep)
{
	uint32_t ref = queue_oldest(sh, queue);

	return ref != 0 && ref == keep ? queue_newer(sh, queue, ref) : ref;
}

static uint32_t
main_victim(struct shard *sh, uint32_t keep)
{
	uint32_t ref = oldest_but(sh, PROBATION, keep);

	return ref != 0 ? ref : oldest_but(sh, PROTECTED, keep);
}

/* Right after the cache has become full nearly all of it is window: that moves
 * on without a contest, some entries in each call. */
static void
spread_window(struct shard *sh)
{
	for (int i = 0; i < MOVES_MAX; i++) {
		uint32_t ref = queue_oldest(sh, WINDOW);

		if (ref == 0 || sh->queue_bytes[WINDOW] <= all_bytes(sh) / 10)
			return;
		move(sh, ref, PROBATION);
	}
}

static uint32_t
victim(struct shard *sh, uint32_t keep)
{
	uint32_t candidate, other;

	spread_window(sh);
	candidate = oldest_but(sh, WINDOW, keep);
	other = main_victim(sh, keep);
	if (candidate == 0 || other == 0)
		return candidate != 0 ? candidate : other;
	if (sh->queue_bytes[WINDOW] <= all_bytes(sh) / WINDOW_SHARE)
		return other;
	if (frequency_of(sh, candidate) <= frequency_of(sh, other))
		return candidate;
	move(sh, candidate, PROBATION);
	return other;
}

static void
evict(struct shard *sh, uint32_t ref, uint64_t hash)
{
	(void)hash;
	remove_entry(sh, ref);
}

const struct policy policy_tinylfu = {
	.name = "tinylfu",
	.by_bytes = true,
	.memory = sketch_bytes,
	.insert = insert,
	.replace = replace,
	.touch = touch,
	.remove = remove_entry,
	.victim = victim,
	.evict = evict,
};
