/* behind.c - writes that do not wait for their origin: `write: behind`.
 *
 * All that are still to be carried out stand in one table, one for a key, so that
 * a read finds them and a newer one takes the older one's place. Each
 * belongs to the loop that it first came to, in whose lane for the origin it waits
 * for its time. Only that loop sends it and frees it. Others change its value.
 *
 * The table changes while the key's shard is held, in the same turn as the cache:
 * so both show the same write as the last one. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/draw.h"
#include "base/log.h"
#include "base/mem.h"
#include "resil/retry.h"
#include "store/internal.h"

/* An origin that restarts is back within seconds; one that is down for long is
 * asked by each write once in ten. */
static const struct backoff_cfg retry_wait = { .jitter = BACKOFF_DECORRELATED,
	.base_us = 100 * 1000, .max_us = 10 * 1000 * 1000 };

struct behind_write {
	struct htab_node node;
	struct list due;      /* in its lane, or under way */
	struct behind_lane *lane;
	struct origin_set *origins;
	const struct config_namespace *ns;
	/* Under the lock: */
	struct blob *value;   /* NULL: a removal */
	int64_t expires_ms;
	int64_t since_ms;     /* since when the origin lacks it */
	uint64_t version;
	/* The loop's own: */
	uint64_t sent;        /* the version under way */
	bool sent_removal;
	uint32_t failures;    /* attempts in a row */
	int64_t due_ms;
	int64_t wait_us;      /* before the last attempt */
	size_t len;
	char key[];
};

/* Of one loop for one origin. */
struct behind_lane {
	struct store_loop *sl;
	int stats_id;
	struct list waiting;  /* by behind_write.due, in the order of due_ms */
	unsigned under_way;
	struct timer timer;
	struct draw draw;
};

static struct log_gate lost_gate;

static struct slice
key_of(const struct behind_write *b)
{
	return slice_of(b->key, b->len);
}

static size_t
size_of(const struct behind_write *b, const struct blob *value)
{
	return sizeof *b + b->len + (value != NULL ? blob_slice(value).len : 0);
}

/* --- the table --------------------------------------------------------------------- */

static struct behind_write *
find_locked(const struct behind *t, struct slice key, uint64_t hash)
{
	for (struct htab_node *n = htab_first(&t->writes, hash); n != NULL; n = htab_next(n)) {
		struct behind_write *b = container_of(n, struct behind_write, node);

		if (slice_eq(key_of(b), key))
			return b;
	}
	return NULL;
}

enum behind_found
behind_find(struct store *s, struct slice key, uint64_t hash, struct blob **value,
    int64_t *expires_ms)
{
	enum behind_found found = BEHIND_NONE;
	const struct behind_write *b;

	lock_acquire(&s->behind.lock);
	b = find_locked(&s->behind, key, hash);
	if (b != NULL) {
		found = b->value != NULL ? BEHIND_VALUE : BEHIND_REMOVED;
		*value = b->value != NULL ? blob_ref(b->value) : NULL;
		*expires_ms = b->expires_ms;
	}
	lock_release(&s->behind.lock);
	return found;
}

void
store_behind_status(struct store *s, int stats_id, struct store_behind *out)
{
	struct behind *t = &s->behind;

	*out = (struct store_behind){ 0 };
	lock_acquire(&t->lock);
	for (int i = 0; i < STATS_ORIGINS; i++) {
		if (stats_id >= 0 && i != stats_id)
			continue;
		out->n += t->origins[i].n;
		out->bytes += t->origins[i].bytes;
	}
	lock_release(&t->lock);
}

void
store_on_behind_empty(struct store *s, void (*fn)(void *arg), void *arg)
{
	s->behind.empty_arg = arg;
	s->behind.empty = fn;
}

/* The table no longer has it; nobody else can see it then. */
static void
forget_locked(struct behind *t, struct behind_write *b)
{
	struct store_behind *o = &t->origins[b->lane->stats_id];

	htab_del(&t->writes, &b->node);
	o->n--;
	o->bytes -= size_of(b, b->value);
	t->n--;
}

static void
write_free(struct behind_write *b)
{
	b->origins->fetches--;
	list_del(&b->due);
	blob_unref(b->value);
	mem_free(b);
}

static void
tell_if_empty(struct store *s)
{
	bool empty;

	lock_acquire(&s->behind.lock);
	empty = s->behind.n == 0;
	lock_release(&s->behind.lock);
	if (empty && s->behind.empty != NULL)
		s->behind.empty(s->behind.empty_arg);
}

/* --- lanes --------------------------------------------------------------------------- */

static void
lane_arm(struct behind_lane *lane)
{
	const struct behind_write *b;

	if (list_empty(&lane->waiting))
		return;
	b = list_entry(lane->waiting.next, struct behind_write, due);
	if (lane->under_way < b->ns->origin_cfg->write_parallel)
		timer_start(&lane->timer, b->due_ms - loop_now_ms(lane->sl->loop));
}

/* Most come behind all others, or nearly. */
static void
lane_add(struct behind_write *b, int64_t delay_ms)
{
	struct behind_lane *lane = b->lane;
	struct list *at = lane->waiting.prev;

	b->due_ms = loop_now_ms(lane->sl->loop) + delay_ms;
	while (at != &lane->waiting && list_entry(at, struct behind_write, due)->due_ms > b->due_ms)
		at = at->prev;
	list_push_head(at, &b->due);
	lane_arm(lane);
}

static int64_t
delay_ms(const struct behind_write *b)
{
	return b->lane->sl->hurried ? 0 : b->ns->origin_cfg->write_delay_ms;
}

static void lane_pump(struct behind_lane *lane);

static void
on_due(struct timer *t)
{
	lane_pump(container_of(t, struct behind_lane, timer));
}

static struct behind_lane *
lane_of(struct store_loop *sl, const struct config_origin *cfg)
{
	struct behind_lane **slot = &sl->lanes[cfg->stats_id];

	if (*slot != NULL)
		return *slot;
	*slot = mem_zalloc(sizeof **slot);
	if (*slot == NULL)
		return NULL;
	(*slot)->sl = sl;
	(*slot)->stats_id = cfg->stats_id;
	(*slot)->draw.state = (uint64_t)clock_mono_us();
	list_init(&(*slot)->waiting);
	timer_init(&(*slot)->timer, sl->loop, on_due);
	return *slot;
}

/* --- how an attempt ended ---------------------------------------------------------------- */

/* For how long the origin has lacked it. */
static int64_t
age_ms(const struct behind_write *b)
{
	struct store_loop *sl = b->lane->sl;
	int64_t since_ms;

	lock_acquire(&sl->store->behind.lock);
	since_ms = b->since_ms;
	lock_release(&sl->store->behind.lock);
	return loop_now_ms(sl->loop) - since_ms;
}

static void
lose(struct behind_write *b, const char *why)
{
	counter_inc(&store_ns_stats(b->lane->sl, b->ns)->writes_lost);
	/* The key is the application's data: it does not go into logs. */
	log_limited(&lost_gate, LOG_LEVEL_WARN,
	    "namespace %s: a write behind is lost after %" PRId64 " ms: %s", b->ns->name,
	    age_ms(b), why);
}

/* Whether it is the one that was sent that ends here; a newer one goes on. */
static bool
settle(struct behind_write *b)
{
	struct store *s = b->lane->sl->store;
	bool last;

	lock_acquire(&s->behind.lock);
	last = b->version == b->sent;
	if (last)
		forget_locked(&s->behind, b);
	lock_release(&s->behind.lock);
	return last;
}

static void
carried_out(struct behind_write *b)
{
	struct store_loop *sl = b->lane->sl;

	counter_inc(&store_ns_stats(sl, b->ns)->writes);
	b->failures = 0;
	if (settle(b))
		write_free(b);
	else
		lane_add(b, delay_ms(b));
}

/* The cache must not go on showing what the origin will never have. */
static void
given_up(struct behind_write *b, const char *why)
{
	struct store_loop *sl = b->lane->sl;

	lose(b, why);
	b->failures = 0;
	if (!settle(b)) {
		lane_add(b, delay_ms(b));
		return;
	}
	store_delete(sl, key_of(b));
	write_free(b);
}

static void
try_again(struct behind_write *b)
{
	counter_inc(&store_ns_stats(b->lane->sl, b->ns)->write_retries);
	if (b->failures++ == 0)
		b->wait_us = 0;
	b->wait_us = backoff_wait_us(&retry_wait, b->failures, b->wait_us,
	    draw_next(&b->lane->draw));
	lane_add(b, b->wait_us / 1000);
}

static bool
is_too_old(const struct behind_write *b)
{
	int64_t most_ms = b->ns->origin_cfg->write_give_up_ms;

	return most_ms != 0 && age_ms(b) >= most_ms;
}

static void
behind_done(void *arg, const struct origin_result *r)
{
	struct behind_write *b = arg;
	struct behind_lane *lane = b->lane;
	struct store_loop *sl = lane->sl;

	store_loop_set_now(sl, loop_now_ms(sl->loop));
	lane->under_way--;
	if (r->status == ORIGIN_DONE || (r->status == ORIGIN_NOT_FOUND && b->sent_removal)) {
		carried_out(b);
	} else {
		counter_inc(&store_ns_stats(sl, b->ns)->write_errors);
		if (sl->closing)
			lane_add(b, 0); /* behind_loop_free() counts it */
		else if (origin_refused_for_good(r) || r->status == ORIGIN_NOT_FOUND)
			given_up(b, r->error != NULL ? r->error : "the origin has no such key");
		else if (is_too_old(b))
			given_up(b, r->error);
		else
			try_again(b);
	}
	if (sl->closing)
		return;
	lane_pump(lane);
	tell_if_empty(sl->store);
}

/* --- attempts ---------------------------------------------------------------------------- */

/* 0, or -ENOMEM without a call of behind_done(). */
static int
send(struct behind_write *b)
{
	struct store_loop *sl = b->lane->sl;
	const struct config_origin *cfg = b->ns->origin_cfg;
	struct origin_client *client = origin_set_client(b->origins, sl, cfg);
	struct origin_fetch *fetch;
	struct blob *value;
	struct origin_request rq = { .ns = b->ns, .key = key_of(b),
		.deadline_ms = loop_now_ms(sl->loop) + cfg->deadline_ms, .background = true };
	int rc = -ENOMEM;

	lock_acquire(&sl->store->behind.lock);
	value = b->value != NULL ? blob_ref(b->value) : NULL;
	b->sent = b->version;
	rq.ttl_ms = write_ttl_ms(sl, b->expires_ms);
	lock_release(&sl->store->behind.lock);
	b->sent_removal = value == NULL;
	rq.op = b->sent_removal ? ORIGIN_REMOVE : ORIGIN_WRITE;
	if (value != NULL)
		rq.value = blob_slice(value);
	if (client != NULL)
		rc = origin_fetch_start(client, &rq, behind_done, b, &fetch);
	blob_unref(value);
	return rc;
}

/* Sends what is due, as many as may be under way. */
static void
lane_pump(struct behind_lane *lane)
{
	int64_t now_ms = loop_now_ms(lane->sl->loop);

	while (!list_empty(&lane->waiting)) {
		struct behind_write *b = list_entry(lane->waiting.next, struct behind_write, due);

		if (b->due_ms > now_ms || lane->under_way >= b->ns->origin_cfg->write_parallel)
			break;
		list_del(&b->due);
		lane->under_way++;
		if (send(b) != 0) {
			lane->under_way--;
			try_again(b);
		}
	}
	lane_arm(lane);
}

void
store_behind_hurry(struct store_loop *sl)
{
	sl->hurried = true;
	for (unsigned i = 0; i < STATS_ORIGINS; i++) {
		struct behind_lane *lane = sl->lanes[i];

		if (lane == NULL)
			continue;
		list_foreach(it, &lane->waiting) {
			struct behind_write *b = list_entry(it, struct behind_write, due);

			b->due_ms = MIN(b->due_ms, loop_now_ms(sl->loop));
		}
		lane_pump(lane);
	}
	tell_if_empty(sl->store);
}

static void
lane_free(struct behind_lane *lane)
{
	struct store *s = lane->sl->store;
	struct list *it;

	timer_stop(&lane->timer);
	while ((it = list_pop_head(&lane->waiting)) != NULL) {
		struct behind_write *b = list_entry(it, struct behind_write, due);

		lose(b, "pannier stops");
		lock_acquire(&s->behind.lock);
		forget_locked(&s->behind, b);
		lock_release(&s->behind.lock);
		write_free(b);
	}
	mem_free(lane);
}

void
behind_loop_free(struct store_loop *sl)
{
	for (unsigned i = 0; i < STATS_ORIGINS; i++)
		if (sl->lanes[i] != NULL)
			lane_free(sl->lanes[i]);
}

/* --- new ones ------------------------------------------------------------------------------ */

static struct behind_write *
write_new(struct store_loop *sl, const struct store_write *w)
{
	struct behind_write *b = mem_zalloc(sizeof *b + w->key.len);

	if (b == NULL)
		return NULL;
	b->lane = lane_of(sl, w->ns->origin_cfg);
	b->value = w->remove ? NULL : blob_of(w->value);
	if (b->lane == NULL || (!w->remove && b->value == NULL)) {
		blob_unref(b->value);
		mem_free(b);
		return NULL;
	}
	list_init(&b->due);
	b->origins = sl->origins;
	b->origins->fetches++;
	b->ns = w->ns;
	b->expires_ms = w->expires_ms;
	b->since_ms = loop_now_ms(sl->loop);
	b->version = 1;
	b->len = w->key.len;
	memcpy(b->key, w->key.ptr, w->key.len);
	return b;
}

/* The older one of the key takes over what b brings. Whose loop that is looks at
 * the version when its attempt is done. */
static void
merge_locked(struct store_behind *o, struct behind_write *old, struct behind_write *b)
{
	struct blob *value = old->value;

	o->bytes += size_of(b, b->value) - size_of(old, value);
	old->value = b->value;
	b->value = value;
	old->expires_ms = b->expires_ms;
	old->version++;
	if (old->sent == old->version - 1)
		old->since_ms = b->since_ms;
}

/* 0 where b was put in, 1 where an older one took over its value, -ENOBUFS, -ENOMEM. */
static int
enter(struct store *s, struct behind_write *b, uint64_t hash)
{
	struct behind *t = &s->behind;
	struct behind_write *old;
	struct store_behind *o;
	uint64_t freed;
	int rc = 0;

	lock_acquire(&t->lock);
	old = find_locked(t, key_of(b), hash);
	o = &t->origins[old != NULL ? old->lane->stats_id : b->lane->stats_id];
	freed = old != NULL ? size_of(old, old->value) : 0;
	if (o->bytes - freed + size_of(b, b->value) > b->ns->origin_cfg->write_queue_bytes) {
		rc = -ENOBUFS;
	} else if (old != NULL) {
		merge_locked(o, old, b);
		rc = 1;
	} else if (htab_add(&t->writes, &b->node, hash) != 0) {
		rc = -ENOMEM;
	} else {
		o->n++;
		o->bytes += size_of(b, b->value);
		t->n++;
	}
	lock_release(&t->lock);
	return rc;
}

/* What the cache cannot hold it does not show: a read finds it in the queue. */
static void
show(struct store_loop *sl, struct store_cursor *cur, const struct store_write *w)
{
	if (w->remove || cache_put(&cur->c, &w->value, 1, write_shown_until(sl, w)) != 0)
		cache_remove(&cur->c);
}

int
store_write_behind(struct store_loop *sl, const struct store_write *w, bool *was_cached)
{
	struct stats_ns *stats = store_ns_stats(sl, w->ns);
	struct behind_write *b;
	struct store_cursor cur;
	uint64_t hash = store_hash(sl, w->key);
	int rc;

	*was_cached = false;
	if (w->key.len + w->value.len > cache_max_entry(sl->store->cache))
		return -E2BIG;
	b = write_new(sl, w);
	if (b == NULL)
		return -ENOMEM;
	if (!store_is_atomic(sl))
		store_make_room(sl, w->key.len + w->value.len);
	*was_cached = store_open_hashed(sl, w->key, hash,
	    STORE_WRITE | (w->remove ? STORE_VOIDS : STORE_SETS), &cur) == CACHE_HIT;
	rc = enter(sl->store, b, hash);
	if (rc >= 0)
		show(sl, &cur, w);
	store_close(&cur);
	if (rc == 0) {
		lane_add(b, delay_ms(b));
		return 0;
	}
	write_free(b);
	if (rc > 0)
		counter_inc(&stats->writes_merged);
	else
		counter_inc(&stats->writes_refused);
	return MIN(rc, 0);
}
