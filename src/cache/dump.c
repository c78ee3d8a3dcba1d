/* Walks each shard's queues from their oldest end, with a bookmark among the entries that
 * says how far it has come. Between two steps entries come, go, and move to the front:
 * they change places around the bookmark, and what it has not passed yet is newer than
 * it. What moves to the front is met there, so that the walk misses none.
 *
 * The bookmark is a marker (policy.c). When all that is older has left, whoever evicts
 * takes it out, and the walk begins again at the oldest end: that is the same place.
 *
 * A walk from the newest end would give the best entries first, but miss what is used
 * meanwhile; and who puts entries back would have to put them behind all others, into
 * segments whose age says the opposite of their place. */
#include "config.h"

#include "cache/dump.h"

#include <errno.h>
#include <string.h>

#include "cache/impl.h"

#define TURNS 64 /* of each shard, for all that it has */
/* A shard's turns come to more steps than its entries need when it is written as fast as
 * it is walked; then it has to be enough. */
#define TURNS_MOST (8 * TURNS)

/* All queues, those of quotas last. Protected entries are met first and once more at the
 * end: under LRU some of them lie in the policy's queue, and go back when they come up there
 * for eviction. */
#define STAGES (SHARD_QUEUES + 1)

static unsigned
stage_queue(unsigned stage)
{
	if (stage == 0 || stage == STAGES - 1)
		return QUEUE_PROTECTED;
	return stage <= QUEUE_PROTECTED ? stage - 1 : stage;
}

static struct entry *
at(const struct shard *sh, uint32_t ref)
{
	return arena_at(&sh->cache->arena, ref);
}

/* --- a step ---------------------------------------------------------------------------- */

static void
describe(const struct shard *sh, uint32_t ref, struct cache_dumped *out)
{
	struct cache *c = sh->cache;
	const struct entry *e = at(sh, ref);
	uint32_t word = entry_word(e);
	uint64_t stamp = entry_stamp(e, word);
	struct slice key = entry_key(c, e, word), value = entry_value(c, e, word);

	*out = (struct cache_dumped){ .key = key, .value = value,
		.expires_ms = stamp_expiry(stamp), .end_ms = stamp_end(stamp),
		.footprint = entry_footprint(e, word) + sizeof(uint32_t),
		.is_protected = word_is_protected(word), .bits = (uint8_t)word_policy(word),
		.cache = c, .ref = ref };
	if (stamp_has_record(stamp)) {
		out->record = record_of(value);
		out->value.len = (size_t)(out->record.ptr - value.ptr);
	}
	if (sh->policy->frequency != NULL && !out->is_protected)
		out->frequency = (uint8_t)sh->policy->frequency(sh, ref, key_hash(c->seed, key));
}

/* True: it was taken, or need not be. */
static bool
show(const struct shard *sh, uint32_t ref, int64_t now_ms, cache_dump_fn *fn, void *arg)
{
	const struct entry *e = at(sh, ref);
	struct cache_dumped d;

	__builtin_prefetch(at(sh, at(sh, e->newer)->newer));
	if (entry_ended(e, entry_word(e), now_ms))
		return true;
	describe(sh, ref, &d);
	return fn(arg, &d);
}

/* How many were met; *done: there are no newer ones. */
static unsigned
walk_locked(struct shard *sh, unsigned queue, unsigned most, int64_t now_ms,
    cache_dump_fn *fn, void *arg, bool *done)
{
	uint32_t head = queue_head(sh, queue), ref;
	unsigned n = 0;

	assert(lock_held(&sh->lock));
	shard_write_begin(sh);
	if (!sh->bookmarked)
		queue_bookmark(sh, at(sh, head)->newer);
	for (ref = sh->head->bookmark.newer; ref != head && n < most; ref = at(sh, ref)->newer) {
		if (queue_is_marker(sh, ref))
			continue;
		if (!show(sh, ref, now_ms, fn, arg))
			break;
		n++;
	}
	*done = ref == head;
	if (*done)
		queue_unbookmark(sh);
	else
		queue_bookmark(sh, ref);
	shard_write_end(sh);
	return n;
}

bool
cache_dump_pin(const struct cache_dumped *d, struct out_ref *ref)
{
	struct cache_cursor cur = { .cache = d->cache, .ref = d->ref, .value = d->value };
	const struct entry *e = arena_at(&d->cache->arena, d->ref);

	cur.shard = shard_of(d->cache,
	    key_hash(d->cache->seed, entry_key(d->cache, e, entry_word(e))));
	return cache_pin(&cur, ref);
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool
is_open(const struct cache_dump *d, unsigned shard)
{
	return (d->open[shard / 64] >> shard % 64 & 1) != 0;
}

static void
close_shard(struct cache_dump *d, unsigned shard)
{
	d->open[shard / 64] &= ~((uint64_t)1 << shard % 64);
}

static bool
any_open(const struct cache_dump *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(d->open); i++)
		if (d->open[i] != 0)
			return true;
	return false;
}

static void
begin_turn(struct cache_dump *d, unsigned shard)
{
	d->shard = shard;
	d->left = shard_get(&d->cache->shards[shard].count) / TURNS + 1;
}

static void
begin_stage(struct cache_dump *d, unsigned stage)
{
	d->stage = stage;
	d->tired = TURNS_MOST * (uint64_t)d->cache->n_shards;
	for (unsigned i = 0; i < d->cache->n_shards; i++)
		d->open[i / 64] |= (uint64_t)1 << i % 64;
	begin_turn(d, 0);
}

void
cache_dump_begin(struct cache *c, struct cache_dump *d)
{
	memset(d, 0, sizeof *d);
	d->cache = c;
	begin_stage(d, 0);
}

/* To the next shard that has more in this queue, or to the next queue. */
static bool
next_turn(struct cache_dump *d)
{
	unsigned n = d->cache->n_shards;

	if (any_open(d) && d->tired > 0) {
		d->tired--;
		begin_turn(d, (d->shard + 1) % n);
		return true;
	}
	cache_dump_end(d);
	do {
		if (++d->stage == STAGES)
			return false;
	} while (stage_queue(d->stage) > QUEUE_PROTECTED &&
	    !quota_has_any(d->cache, stage_queue(d->stage)));
	begin_stage(d, d->stage);
	return true;
}

bool
cache_dump_step(struct cache_dump *d, int64_t now_ms, cache_dump_fn *fn, void *arg)
{
	struct shard *sh = &d->cache->shards[d->shard];
	unsigned most = (unsigned)MIN(d->left, DUMP_STEP);
	bool done;

	if (!is_open(d, d->shard))
		return next_turn(d);
	shard_lock(sh);
	d->left -= walk_locked(sh, stage_queue(d->stage), most, now_ms, fn, arg, &done);
	shard_unlock(sh);
	if (done)
		close_shard(d, d->shard);
	return done || d->left == 0 ? next_turn(d) : true;
}

static void
unbookmark(struct shard *sh)
{
	if (!sh->bookmarked)
		return;
	shard_write_begin(sh);
	queue_unbookmark(sh);
	shard_write_end(sh);
}

void
cache_dump_end(struct cache_dump *d)
{
	for (unsigned i = 0; i < d->cache->n_shards; i++) {
		struct shard *sh = &d->cache->shards[i];

		shard_lock(sh);
		unbookmark(sh);
		shard_unlock(sh);
		close_shard(d, i);
	}
}

/* --- into another cache ------------------------------------------------------------------ */

/* The rank that the entry under the cursor had elsewhere. */
static void
restore_rank(const struct cache_cursor *cur, const struct cache_dumped *d)
{
	struct shard *sh = cur->shard;

	if (sh->policy->restore == NULL || d->is_protected ||
	    word_is_protected(entry_word(at(sh, cur->ref))))
		return;
	shard_write_begin(sh);
	sh->policy->restore(sh, base_of_key(sh, cur->key, cur->hash), cur->ref, cur->hash,
	    d->bits, d->frequency);
	shard_write_end(sh);
}

int
cache_restore(struct cache_cursor *cur, const struct cache_dumped *d, bool same_policy)
{
	uint16_t record_len = (uint16_t)d->record.len;
	struct slice parts[] = { d->value, d->record,
		{ (const char *)&record_len, sizeof record_len } };
	bool recorded = d->record.ptr != NULL;
	uint64_t len = d->value.len + (recorded ? d->record.len + sizeof record_len : 0), stamp;
	uint16_t class;
	int rc;

	assert(lock_held(&cur->shard->lock) && d->record.len <= CACHE_RECORD_MAX);
	stamp = stamp_of(MIN(d->expires_ms, EXPIRY_MAX), d->end_ms - d->expires_ms);
	if (d->expires_ms != CACHE_NEVER && stamp_end(stamp) <= cur->thread->now_ms)
		return -ETIME;
	if (cur->key.len + len > cache_max_entry(cur->cache))
		return -E2BIG;
	class = class_of(cur->cache, cur->key).tally;
	if ((class & CACHE_PROTECTED) && !protect_admits(cur, len, d->expires_ms))
		return -EDQUOT;
	rc = cursor_put(cur, class, parts, recorded ? 3 : 1, len,
	    stamp | (recorded ? STAMP_RECORD : 0));
	if (rc != 0)
		return rc;
	if (same_policy)
		restore_rank(cur, d);
	if (is_sampled(cur))
		sample_tell_locked(cur, class, true);
	return 0;
}
