/* W-TinyLFU: "TinyLFU: A Highly Efficient Cache Admission Policy" (Einziger,
 * Friedman, Manes; ACM Transactions on Storage 2017), as Caffeine has it.
 *
 * New entries go to a window, an LRU of a hundredth of the bytes. What drops
 * out of its end competes with the end of the main part: the one that was
 * asked for less often lately goes. The main part is an LRU in two pieces:
 * probation, and protected (four fifths of it) for what was used again there.
 *
 * How often keys were asked for, whether they are here or not, is estimated by
 * a count-min sketch of 4-bit counters behind a Bloom filter, the door, that
 * takes the first use of each key, for most keys come only once and would fill
 * the counters. All is halved, and the door emptied, while twenty times as many
 * uses as there are entries are counted, so that it forgets (ten times, as the
 * paper has it: .001 less on Zipf, .002 with scans). In the entry's word: two
 * bits that say which queue. */
#include "config.h"

#include <string.h>

#include "cache/impl.h"

enum { WINDOW, PROBATION, PROTECTED };

#define WINDOW_SHARE 100
#define PROTECTED_OF_TEN 8
#define MOVES_MAX 64

#define SKETCH_ROWS 4
#define COUNTERS_IN_ROW 32
#define COUNT_MAX 15
#define SAMPLE_TIMES 20
#define BLOCK_BYTES 64 /* all that is known of a key lies in two cache lines */
#define DOOR_BITS 3
#define DOOR_SHARE 4 /* of the memory */
/* A byte for so many bytes of the budget. */
#define MEMORY_SHARE 64

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
put_in(struct shard *sh, unsigned base, unsigned queue, uint32_t ref)
{
	policy_set_bits(sh, ref, queue);
	queue_push(sh, base + queue, ref);
}

static void
remove_entry(struct shard *sh, unsigned base, uint32_t ref)
{
	queue_remove(sh, base + queue_of(sh, ref), ref);
}

static void
move(struct shard *sh, unsigned base, uint32_t ref, unsigned to)
{
	remove_entry(sh, base, ref);
	put_in(sh, base, to, ref);
}

/* --- how often a key was asked for --------------------------------------------------- */

static uint64_t
memory(uint64_t budget_bytes)
{
	return budget_bytes / MEMORY_SHARE;
}

static uint64_t
mixed(uint64_t hash)
{
	hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9ull;
	return hash ^ hash >> 29;
}

/* The first blocks are the door's, the others the sketch's. */
static uint64_t
door_blocks(const struct shard *sh)
{
	return sh->policy_bytes / BLOCK_BYTES / DOOR_SHARE;
}

static uint8_t *
door_of(const struct shard *sh, uint64_t mix)
{
	return sh->policy_mem + ((mix >> 32) * door_blocks(sh) >> 32) * BLOCK_BYTES;
}

static uint8_t *
sketch_of(const struct shard *sh, uint64_t mix)
{
	uint64_t first = door_blocks(sh), blocks = sh->policy_bytes / BLOCK_BYTES - first;

	return sh->policy_mem + (first + ((mix >> 32) * blocks >> 32)) * BLOCK_BYTES;
}

static unsigned
door_bit(uint64_t mix, unsigned i)
{
	return (unsigned)(mix >> (9 * i)) % (BLOCK_BYTES * 8);
}

static bool
door_has(const uint8_t *block, uint64_t mix)
{
	for (unsigned i = 0; i < DOOR_BITS; i++) {
		unsigned bit = door_bit(mix, i);

		if (!(block[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

static void
door_add(uint8_t *block, uint64_t mix)
{
	for (unsigned i = 0; i < DOOR_BITS; i++) {
		unsigned bit = door_bit(mix, i);

		block[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

/* A row of a block has 32 counters, two in a byte. */
static unsigned
counter_at(uint64_t mix, unsigned row)
{
	return row * COUNTERS_IN_ROW + (unsigned)(mix >> (5 * row)) % COUNTERS_IN_ROW;
}

static unsigned
counter_read(const uint8_t *block, unsigned i)
{
	return block[i / 2] >> (i % 2 * 4) & COUNT_MAX;
}

static unsigned
sketch_read(const uint8_t *block, uint64_t mix)
{
	unsigned least = COUNT_MAX;

	for (unsigned row = 0; row < SKETCH_ROWS; row++)
		least = MIN(least, counter_read(block, counter_at(mix, row)));
	return least;
}

/* Only the least of a key's counters grow: the others are others' uses. */
static void
sketch_add(uint8_t *block, uint64_t mix)
{
	unsigned was = sketch_read(block, mix);

	if (was == COUNT_MAX)
		return;
	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		unsigned i = counter_at(mix, row);

		if (counter_read(block, i) == was)
			block[i / 2] += (uint8_t)(1u << (i % 2 * 4));
	}
}

static unsigned
frequency(const struct shard *sh, uint64_t hash)
{
	uint64_t mix = mixed(hash);

	return sketch_read(sketch_of(sh, mix), mix) + door_has(door_of(sh, mix), mix);
}

/* Block by block, as uses come in: all have been aged once when SAMPLE_TIMES as
 * many uses as there are entries were counted. Never all at once, which would
 * be a pause. */
static void
age(struct shard *sh)
{
	uint64_t blocks = sh->policy_bytes / BLOCK_BYTES, doors = door_blocks(sh);
	uint64_t sample = SAMPLE_TIMES * MAX(shard_get(&sh->count), 64);

	sh->policy_counted += blocks;
	for (; sh->policy_counted >= sample; sh->policy_counted -= sample) {
		uint8_t *block = sh->policy_mem + sh->policy_hand * BLOCK_BYTES;

		for (unsigned i = 0; i < BLOCK_BYTES; i++)
			block[i] = sh->policy_hand < doors ? 0 : block[i] >> 1 & 0x77;
		sh->policy_hand = (sh->policy_hand + 1) % blocks;
	}
}

static void
count_use(struct shard *sh, uint64_t hash)
{
	uint64_t mix = mixed(hash);
	uint8_t *door = door_of(sh, mix);

	if (door_has(door, mix))
		sketch_add(sketch_of(sh, mix), mix);
	else
		door_add(door, mix);
	age(sh);
}

static unsigned
frequency_of(const struct shard *sh, uint32_t ref)
{
	const struct entry *e = at(sh, ref);

	return frequency(sh, key_hash(sh->cache->seed, entry_key(sh->cache, e, entry_word(e))));
}

/* --- the queues ------------------------------------------------------------------------ */

static uint64_t
all_bytes(const uint64_t *bytes)
{
	return bytes[WINDOW] + bytes[PROBATION] + bytes[PROTECTED];
}

static void
insert(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	count_use(sh, hash);
	put_in(sh, base, WINDOW, ref);
}

/* What has been protected for longest makes place for what was just used. */
static void
protect(struct shard *sh, unsigned base, uint32_t ref)
{
	const uint64_t *bytes = &sh->queue_bytes[base];

	move(sh, base, ref, PROTECTED);
	for (int i = 0; i < 4; i++) {
		uint64_t most = (bytes[PROBATION] + bytes[PROTECTED]) / 10 * PROTECTED_OF_TEN;
		uint32_t oldest = queue_oldest(sh, base + PROTECTED);

		if (bytes[PROTECTED] <= most || oldest == ref || oldest == 0)
			return;
		move(sh, base, oldest, PROBATION);
	}
}

static void
touch(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	count_use(sh, hash);
	if (queue_of(sh, ref) == PROBATION)
		protect(sh, base, ref);
	else
		move(sh, base, ref, queue_of(sh, ref));
}

static void
replace(struct shard *sh, unsigned base, uint32_t ref, uint32_t by, uint64_t hash)
{
	unsigned queue = queue_of(sh, ref);

	remove_entry(sh, base, ref);
	put_in(sh, base, queue, by);
	touch(sh, base, by, hash);
}

static uint32_t
oldest_but(struct shard *sh, unsigned queue, uint32_t keep)
{
	uint32_t ref = queue_oldest(sh, queue);

	return ref != 0 && ref == keep ? queue_newer(sh, queue, ref) : ref;
}

static uint32_t
main_victim(struct shard *sh, unsigned base, uint32_t keep)
{
	uint32_t ref = oldest_but(sh, base + PROBATION, keep);

	return ref != 0 ? ref : oldest_but(sh, base + PROTECTED, keep);
}

/* Right after the cache has become full nearly all of it is window: that moves
 * on without a contest, some entries in each call. */
static void
spread_window(struct shard *sh, unsigned base)
{
	const uint64_t *bytes = &sh->queue_bytes[base];

	for (int i = 0; i < MOVES_MAX; i++) {
		uint32_t ref = queue_oldest(sh, base + WINDOW);

		if (ref == 0 || bytes[WINDOW] <= all_bytes(bytes) / 10)
			return;
		move(sh, base, ref, PROBATION);
	}
}

static uint32_t
victim(struct shard *sh, unsigned base, uint32_t keep)
{
	const uint64_t *bytes = &sh->queue_bytes[base];
	uint32_t candidate, other;

	spread_window(sh, base);
	candidate = oldest_but(sh, base + WINDOW, keep);
	other = main_victim(sh, base, keep);
	if (candidate == 0 || other == 0)
		return candidate != 0 ? candidate : other;
	if (bytes[WINDOW] <= all_bytes(bytes) / WINDOW_SHARE)
		return other;
	if (frequency_of(sh, candidate) <= frequency_of(sh, other))
		return candidate;
	move(sh, base, candidate, PROBATION);
	return other;
}

static void
evict(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash)
{
	(void)hash;
	remove_entry(sh, base, ref);
}

static unsigned
frequency_now(const struct shard *sh, uint32_t ref, uint64_t hash)
{
	(void)ref;
	return frequency(sh, hash);
}

/* insert() has counted one use. */
static void
restore(struct shard *sh, unsigned base, uint32_t ref, uint64_t hash, unsigned bits,
    unsigned uses)
{
	move(sh, base, ref, MIN(bits, (unsigned)PROTECTED));
	for (unsigned i = 1; i < MIN(uses, COUNT_MAX + 1u); i++)
		count_use(sh, hash);
}

const struct policy policy_tinylfu = {
	.name = "tinylfu",
	.by_bytes = true,
	.memory = memory,
	.insert = insert,
	.replace = replace,
	.touch = touch,
	.frequency = frequency_now,
	.remove = remove_entry,
	.victim = victim,
	.evict = evict,
	.restore = restore,
};
