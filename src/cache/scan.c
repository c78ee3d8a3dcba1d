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
#include <limits.h>

#include "cache/impl.h"

#define POINT_BITS SCAN_POINT_BITS
#define POINT_END SCAN_END
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

uint64_t
scan_point(uint64_t hash)
{
	return reverse(hash);
}

uint32_t
scan_bucket(uint32_t n, uint64_t point, uint64_t *end)
{
	uint32_t i = table_index(n, reverse(point));
	unsigned level = table_level(n);
	/* Buckets that are split, and those that came of it, have a bit more. */
	unsigned bits = i >= 1u << level || i < n - (1u << level) ? level + 1 : level;
	uint64_t size = POINT_END >> bits;

	*end = (point & ~(size - 1)) + size;
	return i;
}

/* A walk, and what it is to find. */
struct scan {
	const struct cache *c;
	const struct cache_thread *t;
	cache_wanted_fn *wants; /* NULL: all keys that have not expired */
	void *arg;
	size_t count, found;
	uint64_t point;
	struct buf *keys;
};

static bool
is_seen(const struct scan *s, const struct entry *e, uint32_t word)
{
	if (s->wants == NULL)
		return !entry_expired(e, word, s->t->now_ms);
	return s->wants(s->arg, entry_key(s->c, e, word), entry_record(s->c, e, word));
}

static size_t
bucket_bytes(const struct scan *s, uint32_t ref)
{
	const struct cache *c = s->c;
	size_t bytes = 0;

	while (ref != 0) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e);

		if (is_seen(s, e, word))
			bytes += sizeof(uint32_t) + entry_key(c, e, word).len;
		ref = e->chain;
	}
	return bytes;
}

static void
bucket_keys(struct scan *s, uint32_t ref)
{
	const struct cache *c = s->c;
	struct buf *keys = s->keys;

	while (ref != 0) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e), len;

		if (is_seen(s, e, word)) {
			struct slice key = entry_key(c, e, word);

			len = (uint32_t)key.len;
			memcpy(buf_tail(keys), &len, sizeof len);
			memcpy(buf_tail(keys) + sizeof len, key.ptr, key.len);
			buf_commit(keys, sizeof len + key.len);
			s->found++;
		}
		ref = e->chain;
	}
}

/* Some buckets of one shard; what does not fit into `keys` is answered as the
 * bytes it needs, to be had without the lock. */
static size_t
scan_shard(struct scan *s, struct shard *sh)
{
	size_t bytes = 0;

	shard_enter(s->t, sh);
	for (int k = 0; k < BUCKETS_MAX && s->found < s->count && s->point < POINT_END; k++) {
		uint64_t end;
		uint32_t i = scan_bucket(table_size(sh), s->point, &end);
		uint32_t ref = *table_bucket(sh, i);

		bytes = bucket_bytes(s, ref);
		if (bytes > s->keys->cap - s->keys->tail)
			break;
		if (bytes != 0)
			bucket_keys(s, ref);
		s->point = end;
		bytes = 0;
	}
	shard_leave(s->t, sh);
	return bytes;
}

uint64_t
cache_scan_start(const struct cache *c, uint64_t random)
{
	uint64_t shard = random % c->n_shards;

	return shard << POINT_BITS | ((random >> 24) & (POINT_END - 1));
}

/* Gets on by at most `holds_max` times with a shard's lock. */
static int
scan(struct scan *s, struct cache *c, uint64_t *cursor, unsigned holds_max)
{
	uint64_t shard = *cursor >> POINT_BITS;

	s->point = *cursor & (POINT_END - 1);
	while (shard < c->n_shards && s->found < s->count && holds_max > 0) {
		size_t bytes = scan_shard(s, &c->shards[shard]);
		int rc = bytes == 0 ? 0 : buf_reserve(s->keys, bytes);

		if (rc != 0)
			return rc;
		holds_max -= bytes == 0;
		if (s->point == POINT_END) {
			s->point = 0;
			shard++;
		}
	}
	*cursor = shard >= c->n_shards ? 0 : shard << POINT_BITS | s->point;
	return 0;
}

int
cache_scan(struct cache *c, struct cache_thread *t, uint64_t *cursor, size_t count,
    struct buf *keys)
{
	struct scan s = { .c = c, .t = t, .count = MAX(count, 1), .keys = keys };

	return scan(&s, c, cursor, UINT_MAX);
}

int
cache_scan_wanted(struct cache *c, struct cache_thread *t, uint64_t *cursor,
    cache_wanted_fn *wants, void *arg, struct buf *keys)
{
	struct scan s = { .c = c, .t = t, .wants = wants, .arg = arg, .count = SIZE_MAX,
		.keys = keys };

	return scan(&s, c, cursor, 1);
}

struct slice
cache_scan_next(struct slice *run)
{
	struct slice key;
	uint32_t len;

	memcpy(&len, run->ptr, sizeof len);
	key = slice_of(run->ptr + sizeof len, len);
	*run = slice_skip(*run, sizeof len + len);
	return key;
}
