/* invalidate.c - the walker.
 *
 * A walk has two parts. First it goes through the table of what is pending and
 * detaches the flights of keys that match, under their stripes. A flight lands under
 * its stripe too: so whatever was fetched before the walk began is in its shard from
 * then on, or will never be. Then it goes through the shards. Each step looks at some
 * buckets under the shard's lock and notes the keys that match (cache_scan_wanted());
 * without the lock each is opened as for any write, and looked at once more: it may
 * have been replaced meanwhile, also by something that no longer matches.
 *
 * What tags a fetched value has is known only when it lands. So the walk first notes its
 * tags, where a landing looks under its stripe (walker_tags_since()). If it looked before,
 * its value is in its shard when the walk has passed the stripe.
 *
 * A value that was stored after the request came may go as well. That is only one more
 * fetch.
 *
 * One loop walks, the one whose request found no walk under way: step by step, by a
 * timer that is due at once, so that sockets get their turn in between. */
#include "config.h"

#include "store/invalidate.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/internal.h"
#include "store/meta.h"
#include "store/pattern.h"
#include "store/walker.h"

#define STEP_US 500
/* What is softened ended so long ago: another loop goes by the clock of the beginning of its
 * turn, and must not find it fresh when we are through. */
#define SOFT_SLACK_MS 50
#define PATIENCE_MS 10 /* until memory is asked for again */
#define NAME_BYTES (sizeof(struct pattern) + sizeof(struct name))

struct name {
	struct name *next;
	enum invalidate_by by;
	uint32_t tag;
	uint32_t len;
	char text[]; /* of a prefix */
};

struct invalidation {
	_Atomic(unsigned) refs;
	struct list link;  /* in walker.next or walker.now */
	struct store_loop *home;
	struct loop_task task;
	bool soft;
	bool confined;
	uint64_t namespaces[CONFIG_NAMESPACES_MAX / 64];
	struct routes *routes; /* of `namespaces` */
	struct name *names;
	uint32_t n_names;
	uint64_t n_tags;
	size_t bytes;
	uint64_t keys;         /* the walker's: affected */
	uint64_t counted;      /* and for which of its visits last */
	/* Of the loop it came from: */
	invalidated_fn *done;  /* NULL: nobody asks any more */
	void *arg;
};

static void
count(struct store_loop *sl, struct slice key)
{
	counter_inc(&store_ns_stats(sl, namespace_of(sl, key))->invalidated);
}

/* What the cursor stands on, be it stale. A remembered negative must go too: it would be
 * an answer until its time is over. */
static void
end_value(struct store_cursor *cur, bool soft)
{
	struct meta m;

	meta_decode(cache_record(&cur->c), &m);
	if (soft && m.kind == META_VALUE)
		cache_soften_at(&cur->c, cur->sl->thread.now_ms - SOFT_SLACK_MS, 0);
	else
		cache_remove(&cur->c);
}

bool
store_invalidate(struct store_loop *sl, struct slice key, bool soft)
{
	struct store_cursor cur;
	bool there = store_open(sl, key, STORE_WRITE | STORE_VOIDS, &cur) == CACHE_HIT;

	if (!there)
		cache_take_stale(&cur.c);
	end_value(&cur, soft);
	store_close(&cur);
	if (there)
		count(sl, key);
	return there;
}

/* --- a request ------------------------------------------------------------------------ */

struct invalidation *
invalidation_new(struct store_loop *sl, bool soft)
{
	struct invalidation *inv = mem_zalloc(sizeof *inv);

	if (inv == NULL)
		return NULL;
	list_init(&inv->link);
	atomic_init(&inv->refs, 1);
	inv->home = sl;
	inv->soft = soft;
	inv->bytes = sizeof *inv;
	return inv;
}

void
invalidation_free(struct invalidation *inv)
{
	if (inv == NULL || atomic_fetch_sub(&inv->refs, 1) != 1)
		return;
	while (inv->names != NULL) {
		struct name *name = inv->names;

		inv->names = name->next;
		mem_free(name);
	}
	routes_unref(inv->routes);
	mem_free(inv);
}

int
invalidation_add(struct invalidation *inv, enum invalidate_by by, struct slice text)
{
	size_t len = by == INVALIDATE_PREFIX ? text.len : 0;
	struct name *name;

	if (inv->n_names >= INVALIDATE_PATTERNS_MAX || len > INVALIDATE_BYTES_MAX ||
	    inv->bytes + NAME_BYTES + len > INVALIDATE_BYTES_MAX)
		return -E2BIG;
	name = mem_alloc(sizeof *name + len);
	if (name == NULL)
		return -ENOMEM;
	*name = (struct name){ .next = inv->names, .by = by, .len = (uint32_t)len };
	if (by == INVALIDATE_TAG)
		name->tag = meta_tag_hash(text);
	else if (len != 0)
		memcpy(name->text, text.ptr, len);
	inv->names = name;
	inv->n_names++;
	inv->n_tags += by == INVALIDATE_TAG;
	inv->bytes += NAME_BYTES + len;
	return 0;
}

void
invalidation_confine(struct invalidation *inv,
    const uint64_t namespaces[CONFIG_NAMESPACES_MAX / 64])
{
	memcpy(inv->namespaces, namespaces, sizeof inv->namespaces);
	if (!inv->confined)
		inv->routes = routes_ref(inv->home->origins->routes);
	inv->confined = true;
}

static bool
concerns(const struct invalidation *inv, struct slice key)
{
	const struct routes *r = inv->routes;
	size_t i;

	if (!inv->confined)
		return true;
	i = (size_t)(routes_find(r, key) - routes_config(r)->namespaces);
	return (inv->namespaces[i / 64] >> (i % 64) & 1) != 0;
}

struct invalidation *
invalidation_ref(struct invalidation *inv)
{
	atomic_fetch_add(&inv->refs, 1);
	return inv;
}

static bool
name_meets(const struct name *name, struct slice key, const struct meta *m)
{
	if (name->by == INVALIDATE_TAG)
		return meta_has_tag(m, name->tag);
	return slice_has_prefix(key, (struct slice){ name->text, name->len });
}

bool
invalidation_meets(const struct invalidation *inv, struct slice key, struct slice record)
{
	struct meta m;

	if (!concerns(inv, key))
		return false;
	meta_decode(record, &m);
	for (const struct name *name = inv->names; name != NULL; name = name->next)
		if (name_meets(name, key, &m))
			return true;
	return false;
}

/* --- who asks --------------------------------------------------------------------------- */

static void
answered(struct loop *l, struct loop_task *t)
{
	struct invalidation *inv = container_of(t, struct invalidation, task);

	(void)l;
	if (inv->done != NULL)
		inv->done(inv->arg, inv->keys);
	invalidation_free(inv);
}

void
invalidation_leave(struct invalidation *inv)
{
	inv->done = NULL;
}

static bool
has_room_locked(const struct walker *w, const struct invalidation *inv)
{
	return w->n_names + inv->n_names <= INVALIDATE_PATTERNS_MAX &&
	    w->bytes + inv->bytes <= INVALIDATE_BYTES_MAX;
}

static void walker_due(struct timer *t);

int
invalidation_start(struct invalidation *inv, invalidated_fn *done, void *arg)
{
	struct store_loop *sl = inv->home;
	struct walker *w = &sl->store->walker;
	bool begins;

	inv->done = done;
	inv->arg = arg;
	inv->task.run = answered;
	lock_acquire(&w->lock);
	if (!has_room_locked(w, inv)) {
		lock_release(&w->lock);
		return -EBUSY;
	}
	w->n_names += inv->n_names;
	w->bytes += inv->bytes;
	list_push_tail(&w->next, &inv->link);
	begins = w->by == NULL;
	if (begins)
		w->by = sl;
	lock_release(&w->lock);
	if (begins) {
		timer_init(&w->timer, sl->loop, walker_due);
		timer_start(&w->timer, 0);
	}
	return 0;
}

/* --- what matches ------------------------------------------------------------------------- */

/* A key that is looked at by one that walks. */
struct visit {
	struct walker *w;
	struct slice key;
	bool counts; /* it has a value */
	bool soft, hard;
};

static bool
any_met(void *arg, const struct pattern *p)
{
	const struct visit *v = arg;

	return concerns(p->of, v->key);
}

/* Each request counts a key once, however many of its patterns match. */
static bool
all_met(void *arg, const struct pattern *p)
{
	struct visit *v = arg;
	struct invalidation *inv = p->of;

	if (!concerns(inv, v->key))
		return false;
	if (inv->soft)
		v->soft = true;
	else
		v->hard = true;
	if (v->counts && inv->counted != v->w->visits)
		inv->keys++;
	inv->counted = v->w->visits;
	return false;
}

/* All patterns that match the visit's key or the record of its value. */
static bool
ask_set(struct visit *v, struct slice record, pattern_met_fn *met)
{
	const struct pattern_set *set = &v->w->set;
	struct meta m;
	uint32_t tag;

	if (pattern_set_ask_key(set, v->key, met, v))
		return true;
	if (set->n_tags == 0 || !meta_decode(record, &m))
		return false;
	if (m.any_tag)
		return pattern_set_ask_tags(set, met, v);
	for (unsigned i = 0; i < m.n_tags; i++) {
		memcpy(&tag, m.tags + i * sizeof tag, sizeof tag);
		if (pattern_set_ask_tag(set, tag, met, v))
			return true;
	}
	return false;
}

static bool
wants(void *arg, struct slice key, struct slice record)
{
	struct visit v = { .w = arg, .key = key };

	return ask_set(&v, record, any_met);
}

static bool
wants_pending(void *arg, const struct pending *p)
{
	return wants(arg, p->key, (struct slice){ NULL, 0 });
}

/* --- a walk -------------------------------------------------------------------------------- */

static void
visit_key(struct walker *w, struct store_loop *sl, struct slice key)
{
	struct visit v = { .w = w, .key = key };
	struct store_cursor cur;

	w->visits++;
	v.counts = store_open(sl, key, STORE_WRITE | STORE_VOIDS, &cur) == CACHE_HIT;
	if (!v.counts)
		cache_take_stale(&cur.c);
	ask_set(&v, cache_record(&cur.c), all_met);
	if (v.hard || v.soft)
		end_value(&cur, !v.hard);
	store_close(&cur);
	if (v.counts && (v.hard || v.soft))
		count(sl, key);
}

static void
note_tags(struct walker *w)
{
	struct recent_tags *r = &w->recent;

	lock_acquire(&r->lock);
	for (uint32_t i = 0; i < w->set.n_tags; i++)
		r->tags[r->n++ % RECENT_TAGS] =
		    (uint32_t)w->set.all[w->set.n_prefixes + i].tag;
	lock_release(&r->lock);
}

static void
walk_stripe(struct walker *w, struct store_loop *sl)
{
	struct stripe *st = &sl->store->stripes[w->stripe++];
	struct store_news news;

	news_init(&news, sl);
	lock_acquire(&st->lock);
	flight_detach_locked(st, wants_pending, w);
	lease_void_locked(st, wants_pending, w, &news);
	lock_release(&st->lock);
	news_tell(&news);
}

/* False: there is no memory to note the keys. */
static bool
walk_shard(struct walker *w, struct store_loop *sl)
{
	struct slice run;

	buf_clear(&w->keys);
	if (cache_scan_wanted(sl->store->cache, &sl->thread, &w->cursor, wants, w, &w->keys) != 0)
		return false;
	run = buf_slice(&w->keys);
	while (run.len > 0)
		visit_key(w, sl, cache_scan_next(&run));
	return true;
}

/* One pattern for each name of the requests that it is for. */
static void
fill_set(struct walker *w, struct pattern *all)
{
	uint32_t n = 0;

	list_foreach(it, &w->now) {
		struct invalidation *inv = list_entry(it, struct invalidation, link);

		for (const struct name *name = inv->names; name != NULL; name = name->next) {
			const char *text = name->by == INVALIDATE_TAG ? NULL : name->text;

			all[n++] = (struct pattern){ .prefix = { text, name->len },
				.tag = name->tag, .of = inv };
		}
	}
	pattern_set_init(&w->set, all, n);
}

/* Takes all that waits. False: there is no memory. */
static bool
walk_begin(struct walker *w)
{
	struct pattern *all;
	uint32_t n = 0;

	lock_acquire(&w->lock);
	list_splice_tail(&w->now, &w->next);
	lock_release(&w->lock);
	list_foreach(it, &w->now)
		n += list_entry(it, struct invalidation, link)->n_names;
	all = mem_alloc(MAX(n, 1u) * sizeof *all);
	if (all == NULL)
		return false;
	fill_set(w, all);
	note_tags(w);
	list_foreach(it, &w->now)
		restore_bar(&w->by->store->restore, list_entry(it, struct invalidation, link));
	buf_init(&w->keys);
	w->cursor = 0;
	w->stripe = 0;
	w->walks++;
	counter_inc(&w->by->stats->invalidation_walks);
	return true;
}

/* Whether another walk is wanted; if not, this loop walks no more, and another may. */
static bool
walk_end(struct walker *w)
{
	struct list done;
	struct list *it;
	bool more;

	mem_free(w->set.all);
	w->set.all = NULL;
	buf_fini(&w->keys);
	list_init(&done);
	list_splice_tail(&done, &w->now);
	lock_acquire(&w->lock);
	list_foreach(link, &done) {
		const struct invalidation *inv = list_entry(link, struct invalidation, link);

		w->n_names -= inv->n_names;
		w->bytes -= inv->bytes;
	}
	more = !list_empty(&w->next);
	if (!more)
		w->by = NULL;
	lock_release(&w->lock);
	while ((it = list_pop_head(&done)) != NULL) {
		struct invalidation *inv = list_entry(it, struct invalidation, link);

		loop_post(inv->home->loop, &inv->task);
	}
	return more;
}

int64_t
walker_step(struct walker *w)
{
	struct store_loop *sl = w->by;

	if (w->set.all == NULL && !walk_begin(w))
		return PATIENCE_MS;
	if (w->stripe < STRIPES) {
		walk_stripe(w, sl);
		return 0;
	}
	if (!walk_shard(w, sl))
		return PATIENCE_MS;
	return w->cursor != 0 || walk_end(w) ? 0 : -1;
}

static void
walker_due(struct timer *t)
{
	struct walker *w = container_of(t, struct walker, timer);
	int64_t end_us = clock_mono_us() + STEP_US, wait_ms;

	store_loop_set_now(w->by, loop_now_ms(w->by->loop));
	do {
		wait_ms = walker_step(w);
	} while (wait_ms == 0 && clock_mono_us() < end_us);
	if (wait_ms >= 0)
		timer_start(t, wait_ms);
}

/* --- tags of what is fetched ---------------------------------------------------------------- */

uint64_t
walker_tags_mark(struct walker *w)
{
	uint64_t n;

	lock_acquire(&w->recent.lock);
	n = w->recent.n;
	lock_release(&w->recent.lock);
	return n;
}

bool
walker_tags_since(struct walker *w, uint64_t mark, const struct meta *m)
{
	const struct recent_tags *r = &w->recent;
	bool found;

	if (m->n_tags == 0 && !m->any_tag)
		return false;
	lock_acquire(&w->recent.lock);
	found = r->n - mark > RECENT_TAGS;
	for (; !found && mark < r->n; mark++)
		found = meta_has_tag(m, r->tags[mark % RECENT_TAGS]);
	lock_release(&w->recent.lock);
	return found;
}

/* --- its life ------------------------------------------------------------------------ */

void
walker_init(struct walker *w)
{
	lock_init(&w->lock);
	lock_init(&w->recent.lock);
	list_init(&w->next);
	list_init(&w->now);
}

static void
forget_all(struct list *requests)
{
	struct list *it;

	while ((it = list_pop_head(requests)) != NULL)
		invalidation_free(list_entry(it, struct invalidation, link));
}

void
walker_leave(struct walker *w, struct store_loop *sl)
{
	if (w->by == sl)
		timer_stop(&w->timer);
}

void
walker_fini(struct walker *w)
{
	forget_all(&w->next);
	forget_all(&w->now);
	if (w->set.all != NULL)
		buf_fini(&w->keys);
	mem_free(w->set.all);
	lock_fini(&w->lock);
	lock_fini(&w->recent.lock);
}
