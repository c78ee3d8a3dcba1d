/* Walking all keys while tables grow and shrink.
 *
 * A table is walked in the order of its hashes with their low bits reversed.
 * In that order a bucket is an interval, since it holds all hashes that end in
 * certain bits; a split halves an interval and a merge joins two neighbours
 * that were halves. The cursor is a point: everything before it was seen. The
 * bucket that contains the point is walked as a whole, and the point moves to
 * the end of its interval as that is now. So a key is missed never, and met
 * twice only where a merge came between. (As Redis's SCAN, for linear hashing.)
 *
 * cursor: shard << POINT_BITS | point. Fits into 53 bits, for clients that
 * keep numbers in doubles. */
#include "config.h"

#include <errno.h>

#include "cache/impl.h"

#define POINT_BITS 40
#define POINT_END ((uint64_t)1 << POINT_BITS)
#define BUCKETS_MAX 64 /* at one hold of the lock */

static uint64_t
reverse(uint64_t point)
{
	point = __builtin_bswap64(point);
	point = (point & 0x0f0f0f0f0f0f0f0f) << 4 | (point >> 4 & 0x0f0f0f0f0f0f0f0f);
	point = (point & 0x3333333333333333) << 2 | (point >> 2 & 0x3333333333333333);
	point = (point & 0x5555555555555555) << 1 | (point >> 1 & 0x5555555555555555);
	return point >> (64 - POINT_BITS);
}

/* The bucket at the point, and where its interval ends. */
static uint32_t
bucket_at(uint32_t n, uint64_t point, uint64_t *end)
{
	uint32_t i = table_index(n, reverse(point));
	unsigned level = table_level(n);
	/* Buckets that are split, and those that came of it, have a bit more. */
	unsigned bits = i >= 1u << level || i < n - (1u << level) ? level + 1 : level;
	uint64_t size = POINT_END >> bits;

	*end = (point & ~(size - 1)) + size;
	return i;
}

static bool
is_seen(const struct cache_thread *t, const struct entry *e, uint32_t word)
{
	return !entry_expired(e, word, t->now_ms);
}

static size_t
bucket_bytes(const struct cache *c, const struct cache_thread *t, uint32_t ref)
{
	size_t bytes = 0;

	while (ref != 0) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e);

		if (is_seen(t, e, word))
			bytes += sizeof(uint32_t) + entry_key(c, e, word).len;
		ref = e->chain;
	}
	return bytes;
}

static size_t
bucket_keys(const struct cache *c, const struct cache_thread *t, uint32_t ref, struct buf *keys)
{
	size_t n = 0;

	while (ref != 0) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e), len;

		if (is_seen(t, e, word)) {
			struct slice key = entry_key(c, e, word);

			len = (uint32_t)key.len;
			memcpy(buf_tail(keys), &len, sizeof len);
			memcpy(buf_tail(keys) + sizeof len, key.ptr, key.len);
			buf_commit(keys, sizeof len + key.len);
			n++;
		}
		ref = e->chain;
	}
	return n;
}

/* Some buckets of one shard; what does not fit into `keys` is answered as the
 * bytes it needs, to be had without the lock. */
static size_t
scan_shard(const struct cache *c, const struct cache_thread *t, struct shard *sh,
    uint64_t *point, size_t count, size_t *found, struct buf *keys)
{
	size_t bytes = 0;

	shard_enter(t, sh);
	for (int k = 0; k < BUCKETS_MAX && *found < count && *point < POINT_END; k++) {
		uint64_t end;
		uint32_t i = bucket_at(table_size(sh), *point, &end);
		uint32_t ref = *table_bucket(sh, i);

		bytes = bucket_bytes(c, t, ref);
		if (bytes > keys->cap - keys->tail)
			break;
		*found += bucket_keys(c, t, ref, keys);
		*point = end;
		bytes = 0;
	}
	shard_leave(t, sh);
	return bytes;
}

uint64_t
cache_scan_start(const struct cache *c, uint64_t random)
{
	uint64_t shard = random % c->n_shards;

	return shard << POINT_BITS | ((random >> 24) & (POINT_END - 1));
}

int
cache_scan(struct cache *c, struct cache_thread *t, uint64_t *cursor, size_t count,
    struct buf *keys)
{
	uint64_t shard = *cursor >> POINT_BITS, point = *cursor & (POINT_END - 1);
	size_t found = 0;

	count = MAX(count, 1);
	while (shard < c->n_shards && found < count) {
		size_t bytes = scan_shard(c, t, &c->shards[shard], &point, count, &found, keys);

		if (bytes != 0) {
			int rc = buf_reserve(keys, bytes);

			if (rc != 0)
				return rc;
		}
		if (point == POINT_END) {
			point = 0;
			shard++;
		}
	}
	*cursor = shard >= c->n_shards ? 0 : shard << POINT_BITS | point;
	return 0;
}
