/* entry.h - how an entry lies in the arena.
 *
 *   0  chain   next entry of the hash bucket          } references, 0: none
 *   4  newer   neighbours in the policy's queue       }
 *   8  older                                          }
 *  12  word    value length 16 | key length 10 | TTL 1 | state 2 | policy 3
 *  16  stamp   8 bytes, only where TTL is set: 47 bits of milliseconds, when
 *              it expires, a bit that says that a record lies behind the value,
 *              and 16 bits of how long it is kept after that
 *      key, value, padded to 8 bytes
 *
 * A value length at its maximum marks a large entry: instead of key and value
 * a struct entry_large follows, which names an extent that holds both. Its key
 * length is then cut to the field's maximum, so that a lookup compares one
 * field for entries of either kind.
 *
 * A record is what the cache's user keeps of an entry beside its value. It and its
 * length, in two bytes behind it, end the value as it lies here and as its length says:
 * so whatever moves, counts or frees entries need not know of it.
 *
 * Who may look: links belong to the shard's lock. The word is read without it
 * by whoever walks a segment (hence the atomics), and what makes up the size
 * never changes while the memory is in use. Key bytes are constant from LIVE
 * on, until the segment is emptied. */
#ifndef PANNIER_CACHE_ENTRY_H
#define PANNIER_CACHE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"
#include "cache/arena.h"

enum entry_state {
	ENTRY_PENDING, /* has a place, is not published yet */
	ENTRY_LIVE,
	ENTRY_DEAD,
	ENTRY_HOLE,    /* dead, and on offer for an entry of the same size */
};

struct entry {
	uint32_t chain;
	uint32_t newer;
	uint32_t older;
	uint32_t word;
};

struct entry_large {
	uint32_t extent;
	uint32_t key_len;
	uint64_t value_len;
};

#define WORD_VALUE_MAX 0xffffu
#define WORD_KEY_SHIFT 16
#define WORD_KEY_MAX 0x3ffu
#define WORD_KEY_MASK (WORD_KEY_MAX << WORD_KEY_SHIFT)
#define WORD_TTL (1u << 26)
#define WORD_STATE_SHIFT 27
#define WORD_STATE_MASK (3u << WORD_STATE_SHIFT)
#define WORD_POLICY_SHIFT 29
#define WORD_POLICY_MASK (7u << WORD_POLICY_SHIFT)

#define EXPIRY_MAX (((int64_t)1 << 47) - 1)
#define EXPIRY_BYTES 8

/* A stamp is expiry and grace: until its expiry an entry is there, and then for
 * its grace it is only for those who ask for stale ones. Expiry 0: never. The
 * grace is a number of 12 bits and a power of four, so that 16 bits reach from
 * 1 ms to centuries, exact to a thousandth.
 *
 * The bit between the two, that of a record, is the sign of the expiry where
 * that is read with it. So such an entry looks as if it had expired long ago, and
 * a hit of one without a record needs no look at the bit (stamp_seen()). */
#define STAMP_RECORD ((uint64_t)1 << 47)
#define GRACE_SHIFT 48
#define GRACE_DIGITS 12
#define GRACE_MAX ((((int64_t)1 << GRACE_DIGITS) - 1) << 30)

/* Never less than what is asked for. */
static inline uint64_t
stamp_of(int64_t expires_ms, int64_t grace_ms)
{
	uint64_t digits, power = 0;

	if (expires_ms == 0 || likely(grace_ms == 0))
		return (uint64_t)expires_ms;
	digits = (uint64_t)MIN(grace_ms, GRACE_MAX);
	while (digits >> GRACE_DIGITS != 0) {
		digits = (digits + 3) >> 2;
		power++;
	}
	return (uint64_t)expires_ms | digits << GRACE_SHIFT |
	    power << (GRACE_SHIFT + GRACE_DIGITS);
}

/* Another expiry, with the grace that `old` has, or with this one. */
static inline uint64_t
stamp_regraced(uint64_t old, int64_t expires_ms, int64_t grace_ms)
{
	uint64_t grace = old >> GRACE_SHIFT << GRACE_SHIFT;

	if (expires_ms == 0 || grace == 0)
		return stamp_of(expires_ms, grace_ms);
	return (uint64_t)expires_ms | grace;
}

static inline int64_t
stamp_expiry(uint64_t stamp)
{
	return (int64_t)(stamp & EXPIRY_MAX);
}

static inline bool
stamp_has_record(uint64_t stamp)
{
	return (stamp & STAMP_RECORD) != 0;
}

/* The expiry; below 0 where there is a record. */
static inline int64_t
stamp_seen(uint64_t stamp)
{
	return (int64_t)(stamp << (64 - GRACE_SHIFT)) >> (64 - GRACE_SHIFT);
}

/* When it goes for good; 0: never. */
static inline int64_t
stamp_end(uint64_t stamp)
{
	uint64_t grace = stamp >> GRACE_SHIFT;

	if (likely(stamp <= (uint64_t)EXPIRY_MAX))
		return (int64_t)stamp;
	if (stamp_expiry(stamp) == 0)
		return 0;
	return stamp_expiry(stamp) + (int64_t)((grace & ((1u << GRACE_DIGITS) - 1)) <<
	    2 * (grace >> GRACE_DIGITS));
}

static inline uint32_t
entry_word(const struct entry *e)
{
	return __atomic_load_n(&e->word, __ATOMIC_ACQUIRE);
}

static inline void
entry_set_word(struct entry *e, uint32_t word)
{
	__atomic_store_n(&e->word, word, __ATOMIC_RELEASE);
}

static inline enum entry_state
word_state(uint32_t word)
{
	return (enum entry_state)((word & WORD_STATE_MASK) >> WORD_STATE_SHIFT);
}

static inline uint32_t
word_with_state(uint32_t word, enum entry_state state)
{
	return (word & ~WORD_STATE_MASK) | (uint32_t)state << WORD_STATE_SHIFT;
}

static inline unsigned
word_policy(uint32_t word)
{
	return word >> WORD_POLICY_SHIFT;
}

static inline uint32_t
word_with_policy(uint32_t word, unsigned bits)
{
	return (word & ~WORD_POLICY_MASK) | bits << WORD_POLICY_SHIFT;
}

static inline bool
word_is_large(uint32_t word)
{
	return (word & WORD_VALUE_MAX) == WORD_VALUE_MAX;
}

static inline size_t
word_value_len(uint32_t word)
{
	return word & WORD_VALUE_MAX;
}

static inline size_t
word_key_len(uint32_t word)
{
	return (word & WORD_KEY_MASK) >> WORD_KEY_SHIFT;
}

/* The key length field of a key so long, as large entries have it too. */
static inline uint32_t
word_of_key_len(size_t key_len)
{
	return (uint32_t)MIN(key_len, WORD_KEY_MAX) << WORD_KEY_SHIFT;
}

/* Bytes in the segment, header and padding included. */
static inline uint32_t
word_bytes(uint32_t word)
{
	size_t payload = word_is_large(word) ? sizeof(struct entry_large)
	                                     : word_value_len(word) + word_key_len(word);

	payload += sizeof(struct entry) + (word & WORD_TTL ? EXPIRY_BYTES : 0);
	return (uint32_t)((payload + 7) & ~(size_t)7);
}

static inline char *
entry_body(const struct entry *e, uint32_t word)
{
	return (char *)(uintptr_t)(e + 1) + EXPIRY_BYTES * !!(word & WORD_TTL);
}

static inline struct entry_large *
entry_large(const struct entry *e, uint32_t word)
{
	return (struct entry_large *)(void *)entry_body(e, word);
}

/* CACHE_NEVER is 0 here too: a TTL that was taken away keeps its place. */
static inline uint64_t
entry_stamp(const struct entry *e, uint32_t word)
{
	if (!(word & WORD_TTL))
		return 0;
	return __atomic_load_n((const uint64_t *)(const void *)(e + 1), __ATOMIC_RELAXED);
}

static inline int64_t
entry_expiry(const struct entry *e, uint32_t word)
{
	return stamp_expiry(entry_stamp(e, word));
}

static inline void
entry_set_stamp(struct entry *e, uint64_t stamp)
{
	__atomic_store_n((uint64_t *)(void *)(e + 1), stamp, __ATOMIC_RELAXED);
}

static inline bool
entry_expired(const struct entry *e, uint32_t word, int64_t now_ms)
{
	int64_t expires_ms = entry_expiry(e, word);

	return expires_ms != 0 && expires_ms <= now_ms;
}

/* Its grace is over too. */
static inline bool
entry_ended(const struct entry *e, uint32_t word, int64_t now_ms)
{
	int64_t end_ms = stamp_end(entry_stamp(e, word));

	return end_ms != 0 && end_ms <= now_ms;
}

/* Links are also read without the lock, by who guesses at a shard's age. */
static inline uint32_t
link_get(const uint32_t *link)
{
	return __atomic_load_n(link, __ATOMIC_RELAXED);
}

static inline void
link_set(uint32_t *link, uint32_t ref)
{
	__atomic_store_n(link, ref, __ATOMIC_RELAXED);
}

#endif
