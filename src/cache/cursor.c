/* One key: lookup, and what can be done with what was found. */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "cache/impl.h"

/* Rounds of making room without any progress: pins, or other threads' cursors,
 * hold what there is. */
#define HOPELESS_MAX 64
#define ROUNDS_MAX 65536

static struct entry *
at(const struct cache_cursor *cur, uint32_t ref)
{
	return arena_at(&cur->cache->arena, ref);
}

/* Not memcmp(): most keys are short, and without any call cache_open() needs no
 * stack frame. */
static inline bool
same_bytes(const char *a, const char *b, size_t n)
{
	uint64_t x, y;

	if (unlikely(n < 8)) {
		for (size_t i = 0; i < n; i++)
			if (a[i] != b[i])
				return false;
		return true;
	}
	for (size_t i = 0; i + 8 < n; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			return false;
	}
	memcpy(&x, a + n - 8, 8);
	memcpy(&y, b + n - 8, 8);
	return x == y;
}

static inline bool
same_key(const struct cache *c, const struct entry *e, uint32_t word, struct slice key)
{
	if (unlikely(word_is_large(word))) {
		struct slice have = entry_key(c, e, word);

		return have.len == key.len && same_bytes(have.ptr, key.ptr, key.len);
	}
	return same_bytes(entry_body(e, word), key.ptr, key.len);
}

struct found {
	uint32_t ref; /* 0: nothing */
	uint32_t word;
	const struct entry *e;
};

static ALWAYS_INLINE struct found
find(const struct cache *c, const struct shard *sh, struct slice key, uint64_t hash)
{
	uint32_t ref = *table_chain(sh, hash), want = word_of_key_len(key.len);

	while (likely(ref != 0)) {
		const struct entry *e = arena_at(&c->arena, ref);
		uint32_t word = entry_word(e);

		if (likely((word & WORD_KEY_MASK) == want && same_key(c, e, word, key)))
			return (struct found){ ref, word, e };
		ref = e->chain;
	}
	return (struct found){ 0, 0, NULL };
}

static ALWAYS_INLINE void
stand_on_found(struct cache_cursor *cur, const struct cache *c, struct found f)
{
	cur->ref = f.ref;
	cur->value = entry_value(c, f.e, f.word);
	cur->expires_ms = stamp_seen(entry_stamp(f.e, f.word));
}

/* 0 where there is none. */
static uint64_t
own_stamp(const struct cache_cursor *cur)
{
	const struct entry *e = at(cur, cur->ref);

	return entry_stamp(e, entry_word(e));
}

static bool
has_record(const struct cache_cursor *cur)
{
	return stamp_has_record(own_stamp(cur));
}

/* After stand_on_found(), which takes all of it for the value. */
static NOINLINE void
part_from_record(struct cache_cursor *cur)
{
	struct slice record = record_of(cur->value);

	cur->value.len = (size_t)(record.ptr - cur->value.ptr);
	cur->expires_ms &= EXPIRY_MAX;
}

static void
stand_on_nothing(struct cache_cursor *cur)
{
	cur->ref = 0;
	cur->value = (struct slice){ NULL, 0 };
	cur->expires_ms = CACHE_NEVER;
}

/* Where a use is more than a move to the front of the first queue. */
static NOINLINE enum cache_result
touch_slowly(const struct cache_cursor *cur)
{
	struct shard *sh = cur->shard;
	unsigned base = base_of_key(sh, cur->key, cur->hash);

	if (sh->policy->touch != NULL)
		sh->policy->touch(sh, base, cur->ref, cur->hash);
	else
		queue_relink(sh, base, cur->ref);
	return CACHE_HIT;
}

static void
touch(const struct cache_cursor *cur)
{
	struct shard *sh = cur->shard;

	if (likely(!(entry_word(at(cur, cur->ref)) & sh->slow_touch)))
		queue_touch(&cur->cache->arena, sh, cur->ref);
	else
		touch_slowly(cur);
}

static NOINLINE void
leave(struct cache_cursor *cur, enum leave why)
{
	entry_leave_locked(cur->cache, cur->thread, cur->shard, cur->ref, cur->hash, why);
	cur->changed++;
	stand_on_nothing(cur);
}

/* A stale entry is none but for who asks for it. The cursor knows where it is
 * all the same: a put replaces it. */
static bool
is_stale(const struct cache_cursor *cur)
{
	return cur->ref != 0 && cur->value.ptr == NULL;
}

static void
stand_on_stale(struct cache_cursor *cur)
{
	shard_changed(cur->shard, cur->thread, cur->key, cur->hash, CACHE_LOST);
	cur->value = (struct slice){ NULL, 0 };
	cur->expires_ms = CACHE_NEVER;
}

/* What is rare is a call at the end, for the same reason. What has a record looks
 * as if its time were over. */
static NOINLINE enum cache_result
open_expired(struct cache_cursor *cur, unsigned flags)
{
	const struct entry *e = at(cur, cur->ref);
	uint32_t word = entry_word(e);

	if (has_record(cur) && !entry_expired(e, word, cur->thread->now_ms)) {
		part_from_record(cur);
		if ((flags & CACHE_TOUCH) && !cur->thread->no_touch)
			touch(cur);
		return flags & CACHE_RECORD ? CACHE_HIT_RECORD : CACHE_HIT;
	}
	if (entry_ended(e, word, cur->thread->now_ms))
		leave(cur, LEAVE_EXPIRED);
	else
		stand_on_stale(cur);
	return CACHE_MISS;
}

/* What the cursor already knows comes in registers. */
static ALWAYS_INLINE enum cache_result
look_locked(struct cache_cursor *cur, struct cache *c, struct shard *sh, struct slice key,
    uint64_t hash, unsigned flags)
{
	struct found f = find(c, sh, key, hash);

	if (unlikely(f.ref == 0)) {
		stand_on_nothing(cur);
		return CACHE_MISS;
	}
	stand_on_found(cur, c, f);
	if (cur->expires_ms != CACHE_NEVER && unlikely(cur->expires_ms <= cur->thread->now_ms))
		return open_expired(cur, flags);
	if ((flags & CACHE_TOUCH) && likely(!cur->thread->no_touch)) {
		if (unlikely(f.word & sh->slow_touch))
			return touch_slowly(cur);
		queue_touch(&c->arena, sh, f.ref);
	}
	return CACHE_HIT;
}

static NOINLINE enum cache_result
open_late(struct cache_cursor *cur, unsigned flags)
{
	shard_enter(cur->thread, cur->shard);
	cur->changed = cur->thread->hold != NULL; /* cache_close() looks closer then */
	return look_locked(cur, cur->cache, cur->shard, cur->key, cur->hash, flags);
}

enum cache_result
cache_open(struct cache *c, struct cache_thread *t, struct slice key, uint64_t hash,
    unsigned flags, struct cache_cursor *cur)
{
	struct shard *sh = shard_of(c, hash);

	cur->cache = c;
	cur->thread = t;
	cur->shard = sh;
	cur->key = key;
	cur->hash = hash;
	cur->changed = 0;
	/* It has missed a flush, or somebody holds it, maybe this thread, together
	 * with others (hold.c): who holds some is always late. A flush that comes between
	 * the two comes while this call lasts, as it may. */
	if (unlikely(!shard_follows(sh, pool_gen(&c->pool)) || !lock_try(&sh->lock)))
		return open_late(cur, flags);
	return look_locked(cur, c, sh, key, hash, flags);
}

bool
cache_take_stale(struct cache_cursor *cur)
{
	const struct entry *e = at(cur, cur->ref);

	assert(lock_held(&cur->shard->lock));
	if (!is_stale(cur))
		return false;
	stand_on_found(cur, cur->cache, (struct found){ cur->ref, entry_word(e), e });
	if (has_record(cur))
		part_from_record(cur);
	touch(cur);
	return true;
}

struct slice
cache_record(const struct cache_cursor *cur)
{
	const struct entry *e = at(cur, cur->ref);

	assert(lock_held(&cur->shard->lock));
	if (cur->ref == 0 || is_stale(cur) || !has_record(cur))
		return (struct slice){ NULL, 0 };
	return record_of(entry_value(cur->cache, e, entry_word(e)));
}

void
cache_remove(struct cache_cursor *cur)
{
	assert(lock_held(&cur->shard->lock));
	if (is_sampled(cur))
		sample_tell_locked(cur, 0, false);
	if (cur->ref != 0)
		leave(cur, is_stale(cur) ? LEAVE_STALE : LEAVE_REMOVED);
}

static NOINLINE void
close_changed(struct cache_cursor *cur)
{
	struct cache_hold *hold = cur->thread->hold;

	if (hold != NULL) {
		if (cur->changed > 1)
			table_adjust(cur->shard);
		hold->owed += cur->changed - 1;
		return;
	}
	table_adjust(cur->shard);
	shard_unlock(cur->shard);
	work_after_write(cur->cache, cur->thread, cur->changed);
}

void
cache_close(struct cache_cursor *cur)
{
	if (cur->changed == 0)
		shard_unlock(cur->shard);
	else
		close_changed(cur);
}

/* --- put --------------------------------------------------------------------------- */

/* Of no use as a size where it overflows: larger than any entry. */
static uint64_t
parts_len(const struct slice *parts, unsigned n)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		if (parts[i].len > UINT64_MAX / 4 - len)
			return UINT64_MAX / 2;
		len += parts[i].len;
	}
	return len;
}

static void
copy_parts(char *to, const struct slice *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (parts[i].len != 0 && to != parts[i].ptr)
			memcpy(to, parts[i].ptr, parts[i].len);
		to += parts[i].len;
	}
}

/* Whether copying the parts over the value could overwrite what is still to
 * be read. A part that stays where it is does no harm. */
static bool
parts_clash(struct slice value, const struct slice *parts, unsigned n)
{
	const char *to = value.ptr;

	for (unsigned i = 0; i < n; i++) {
		if (parts[i].ptr < value.ptr + value.len &&
		    parts[i].ptr + parts[i].len > value.ptr && parts[i].ptr != to)
			return true;
		to += parts[i].len;
	}
	return false;
}

static bool
is_pinned(const struct cache_cursor *cur, const struct entry *e, uint32_t word)
{
	struct cache *c = cur->cache;

	if (word_is_large(word))
		return extent_pinned(&c->extents, entry_large(e, word)->extent);
	return pool_pinned(&c->pool, cur->ref);
}

static void
store_stamp(struct cache_cursor *cur, struct entry *e, uint64_t stamp)
{
	bool had = entry_expiry(e, entry_word(e)) != CACHE_NEVER;

	shard_add(&cur->shard->expiring, (stamp_expiry(stamp) != CACHE_NEVER) - had);
	entry_set_stamp(e, stamp);
	if (stamp != 0)
		pool_expiry(&cur->cache->pool, cur->ref, stamp_end(stamp));
}

/* The value under the cursor as it lies there, with its record. */
static inline struct slice
raw_value(const struct cache_cursor *cur, const struct entry *e, uint32_t word)
{
	if (unlikely(stamp_has_record(entry_stamp(e, word))))
		return entry_value(cur->cache, e, word);
	return cur->value;
}

/* A value of the same length takes the old one's place: no room, no moving. */
static bool
rewrite(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, uint64_t stamp)
{
	struct entry *e = at(cur, cur->ref);
	uint32_t word = entry_word(e);
	struct slice raw = raw_value(cur, e, word);

	if (len != raw.len || is_stale(cur) || (stamp != 0 && !(word & WORD_TTL)) ||
	    pool_gen_of(&cur->cache->pool, cur->ref) != pool_gen(&cur->cache->pool) ||
	    is_pinned(cur, e, word) || parts_clash(raw, parts, n) ||
	    word_is_protected(word) != ((class & CACHE_PROTECTED) != 0))
		return false;
	shard_changed(cur->shard, cur->thread, cur->key, cur->hash, CACHE_WRITTEN);
	shard_write_begin(cur->shard);
	copy_parts((char *)(uintptr_t)raw.ptr, parts, n);
	if (word & WORD_TTL)
		store_stamp(cur, e, stamp);
	shard_write_end(cur->shard);
	touch(cur);
	cur->value = raw;
	cur->expires_ms = stamp_seen(stamp);
	return true;
}

/* A flush came since the cursor was opened. What is put comes after it, and the
 * shard's entries are garbage, that under the cursor too; only the memory of
 * that one stays until the put is done. */
static void
follow_flush(struct cache_cursor *cur, uint32_t gen)
{
	if (atomic_load(&cur->shard->gen) == gen)
		return;
	shard_follow_locked(cur->shard, gen);
	cur->ref = 0;
}

/* Under the shard's lock, and the entry below the cursor stays. */
static NOINLINE uint32_t
alloc_in_need(struct cache_cursor *cur, uint64_t len, uint64_t stamp)
{
	struct cache *c = cur->cache;
	bool large = entry_is_large(c, cur->key.len, len);
	struct work w = { .c = c, .t = cur->thread, .mine = cur->shard, .keep = cur->ref,
		.in_need = cur->key.len + len <= c->pool.seg_bytes };
	unsigned hopeless = 0;
	uint32_t ref = 0, held = 0;

	for (unsigned i = 0; ref == 0 && i < ROUNDS_MAX && hopeless < HOPELESS_MAX; i++) {
		follow_flush(cur, pool_gen(&c->pool));
		/* What stays in it keeps the segment from being emptied: or the cleaner
		 * would choose it again and again. */
		if (held == 0 && cur->ref != 0 && pool_pin(&c->pool, cur->ref, INT64_MAX))
			held = pool_seg_of(&c->pool, cur->ref);
		if (work_make_room(&w, cur->key.len + len, large)) {
			hopeless = 0;
		} else {
			hopeless++;
			sched_yield();
		}
		ref = entry_alloc(c, cur->key, len, stamp);
	}
	if (held != 0)
		pool_unpin(&c->pool, held);
	return ref;
}

static void
publish(struct cache_cursor *cur, uint16_t class, unsigned base, uint32_t ref)
{
	struct cache_tally *tally = tally_of_class(cur->thread, class);
	struct cache *c = cur->cache;
	struct shard *sh = cur->shard;
	struct entry *e = at(cur, ref), *old_e;
	uint32_t word, old;

	if (unlikely(pool_gen_of(&c->pool, ref) != shard_gen(sh)))
		follow_flush(cur, pool_gen_of(&c->pool, ref));
	shard_changed(sh, cur->thread, cur->key, cur->hash, CACHE_WRITTEN);
	old = cur->ref;
	old_e = at(cur, old);
	if (old != 0)
		entry_count_locked(tally, sh, old_e, entry_word(old_e), -1);
	shard_write_begin(sh);
	entry_set_word(e, word_with_state(entry_word(e), ENTRY_LIVE));
	if (old != 0) {
		table_replace(sh, cur->hash, old, ref);
		entry_relist_locked(sh, base, old, ref, cur->hash, class);
	} else {
		table_insert(sh, cur->hash, ref);
		entry_enlist_locked(sh, base, ref, cur->hash, class);
	}
	shard_write_end(sh);
	word = entry_word(e);
	entry_count_locked(tally, sh, e, word, 1);
	if (old != 0)
		entry_free(c, old, old_e, entry_word(old_e));
	stand_on_found(cur, c, (struct found){ ref, word, e });
}

static int
put_in(struct cache_cursor *cur, uint16_t class, unsigned base, const struct slice *parts,
    unsigned n, uint64_t len, uint64_t stamp)
{
	struct cache *c = cur->cache;
	uint32_t ref = entry_alloc(c, cur->key, len, stamp), word;
	struct entry *e;

	if (unlikely(ref == 0))
		ref = alloc_in_need(cur, len, stamp);
	if (unlikely(ref == 0))
		return -ENOMEM;
	e = at(cur, ref);
	word = entry_word(e);
	copy_parts((char *)(uintptr_t)entry_value(c, e, word).ptr, parts, n);
	policy_mark(cur->shard, pool_time(&c->pool),
	    atomic_load_explicit(&c->mark_gap, memory_order_relaxed));
	publish(cur, class, base, ref);
	cur->changed += (uint32_t)MIN(entry_footprint(e, word), 1u << 30);
	return 0;
}

/* With a quota: its maximum comes first. */
static NOINLINE int
put_in_quota(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, uint64_t stamp)
{
	unsigned quota = quota_look(cur->shard, cur->key, cur->hash);
	uint64_t bytes = footprint_of(cur->cache, cur->key.len, len, stamp != 0), has = 0;
	int rc;

	if (quota == 0 || (class & CACHE_PROTECTED))
		return put_in(cur, class, quota_base(quota), parts, n, len, stamp);
	if (cur->ref != 0 && !word_is_protected(entry_word(at(cur, cur->ref))))
		has = entry_footprint(at(cur, cur->ref), entry_word(at(cur, cur->ref)));
	rc = quota_admit(cur, quota, bytes, has);
	if (rc != 0)
		return rc;
	rc = put_in(cur, class, quota_base(quota), parts, n, len, stamp);
	quota_came(cur->cache, quota, bytes);
	return rc;
}

static NOINLINE int
put(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, uint64_t stamp)
{
	if (unlikely(shard_is_mapped(cur->shard)))
		return put_in_quota(cur, class, parts, n, len, stamp);
	return put_in(cur, class, 0, parts, n, len, stamp);
}

/* The stamp of what is put where the caller names no grace. */
static uint64_t
usual_stamp(const struct cache_cursor *cur, int64_t expires_ms, int64_t class_grace_ms)
{
	if (unlikely(expires_ms != CACHE_NEVER && expires_ms == cur->expires_ms))
		return own_stamp(cur) & ~STAMP_RECORD;
	return stamp_of(MIN(expires_ms, EXPIRY_MAX), class_grace_ms);
}

/* Such a class may have a value so long, of this expiry; and it is put. */
static ALWAYS_INLINE int
put_stamped(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, int64_t expires_ms, uint64_t stamp)
{
	struct cache_tally *tally = tally_of_class(cur->thread, class);
	int rc = 0;

	if (unlikely((class & CACHE_PROTECTED) && !protect_admits(cur, len, expires_ms))) {
		counter_inc(&tally->refused);
		return -EDQUOT;
	}
	if (cur->ref == 0 || !rewrite(cur, class, parts, n, len, stamp))
		rc = put(cur, class, parts, n, len, stamp);
	if (likely(rc == 0))
		counter_inc(&tally->stored);
	else if (rc == -EDQUOT)
		counter_inc(&tally->refused);
	if (is_sampled(cur) && rc == 0)
		sample_tell_locked(cur, class, true);
	return rc;
}

int
cache_put_graced(struct cache_cursor *cur, const struct slice *parts, unsigned n_parts,
    int64_t expires_ms, int64_t grace_ms)
{
	struct cache *c = cur->cache;
	uint64_t len = parts_len(parts, n_parts);
	struct cache_class class;

	assert(lock_held(&cur->shard->lock));
	if (unlikely(expires_ms != CACHE_NEVER && expires_ms <= cur->thread->now_ms)) {
		cache_remove(cur);
		return 0;
	}
	if (unlikely(cur->key.len + len > cache_max_entry(c)))
		return -E2BIG;
	/* Of the same key, so of the same class, as what is there. */
	class = class_of(c, cur->key);
	return put_stamped(cur, class.tally, parts, n_parts, len, expires_ms,
	    likely(grace_ms < 0) ? usual_stamp(cur, expires_ms, class.grace_ms) :
	    stamp_of(MIN(expires_ms, EXPIRY_MAX), grace_ms));
}

int
cache_put_record(struct cache_cursor *cur, struct slice value, int64_t expires_ms,
    int64_t stale_ms, struct slice record)
{
	uint16_t record_len = (uint16_t)record.len;
	struct slice parts[] = { value, record,
		{ (const char *)&record_len, sizeof record_len } };
	uint64_t len = value.len + record.len + sizeof record_len, stamp;
	int rc;

	assert(lock_held(&cur->shard->lock) && record.len <= CACHE_RECORD_MAX);
	stamp = stamp_of(MIN(expires_ms, EXPIRY_MAX), stale_ms);
	if (expires_ms != CACHE_NEVER && stamp_end(stamp) <= cur->thread->now_ms) {
		cache_remove(cur);
		return 0;
	}
	if (cur->key.len + len > cache_max_entry(cur->cache))
		return -E2BIG;
	rc = put_stamped(cur, class_of(cur->cache, cur->key).tally, parts, 3, len, expires_ms,
	    stamp | STAMP_RECORD);
	if (rc != 0)
		return rc;
	part_from_record(cur);
	return 0;
}

int
cursor_put(struct cache_cursor *cur, uint16_t class, const struct slice *parts, unsigned n,
    uint64_t len, uint64_t stamp)
{
	return put(cur, class, parts, n, len, stamp);
}

/* A hit's entry gets another stamp, in its place where it has one for it; what it
 * says of a record stays. */
static int
restamp(struct cache_cursor *cur, uint16_t class, uint64_t stamp)
{
	struct entry *e = at(cur, cur->ref);

	if (!(entry_word(e) & WORD_TTL)) {
		/* No place for it: the entry moves to one that has it. */
		int rc = stamp == 0 ? 0 : put(cur, class, &cur->value, 1, cur->value.len, stamp);

		if (rc == 0 && is_sampled(cur))
			sample_tell_locked(cur, class, true);
		return rc;
	}
	shard_changed(cur->shard, cur->thread, cur->key, cur->hash, CACHE_WRITTEN);
	shard_write_begin(cur->shard);
	store_stamp(cur, e, stamp | (own_stamp(cur) & STAMP_RECORD));
	shard_write_end(cur->shard);
	cur->expires_ms = stamp_expiry(stamp);
	if (is_sampled(cur))
		sample_tell_locked(cur, class, true);
	return 0;
}

int
cache_set_expiry(struct cache_cursor *cur, int64_t expires_ms)
{
	struct cache_class class;

	assert(lock_held(&cur->shard->lock));
	if (cur->ref == 0 || is_stale(cur))
		return 0;
	if (expires_ms != CACHE_NEVER && expires_ms <= cur->thread->now_ms) {
		cache_remove(cur);
		return 0;
	}
	class = class_of(cur->cache, cur->key);
	return restamp(cur, class.tally,
	    stamp_regraced(own_stamp(cur), MIN(expires_ms, EXPIRY_MAX), class.grace_ms));
}

/* The stamp that ends it then. It never is 0, which would be never. */
static uint64_t
softened_stamp(const struct cache_cursor *cur, int64_t class_grace_ms, int64_t ended_ms,
    int64_t stale_ms)
{
	uint64_t stamp = stamp_regraced(own_stamp(cur), ended_ms, class_grace_ms);

	return stamp_end(stamp) - ended_ms < stale_ms ? stamp_of(ended_ms, stale_ms) : stamp;
}

/* Of a hit's entry; false: it can only go. */
static bool
soften_entry(struct cache_cursor *cur, int64_t ended_ms, int64_t stale_ms)
{
	struct cache_class class = class_of(cur->cache, cur->key);
	uint64_t stamp = softened_stamp(cur, class.grace_ms, MAX(ended_ms, 1), stale_ms);

	return stamp_end(stamp) != stamp_expiry(stamp) && restamp(cur, class.tally, stamp) == 0;
}

bool
cache_soften_at(struct cache_cursor *cur, int64_t ended_ms, int64_t stale_ms)
{
	/* cache_take_stale() may have shown it. */
	bool ended = cur->expires_ms != CACHE_NEVER && cur->expires_ms <= cur->thread->now_ms;

	assert(lock_held(&cur->shard->lock));
	if (cur->ref == 0 || is_stale(cur))
		return cur->ref != 0;
	if (!ended && !soften_entry(cur, ended_ms, stale_ms)) {
		cache_remove(cur);
		return false;
	}
	cur->value = (struct slice){ NULL, 0 };
	cur->expires_ms = CACHE_NEVER;
	return true;
}

bool
cache_soften(struct cache_cursor *cur, int64_t stale_ms)
{
	return cache_soften_at(cur, cur->thread->now_ms, stale_ms);
}
