/* Who tracks, and how; the prefixes of those who do so with BCAST; and sessions by
 * their ids, for messages that go to another than the one that they are about. */
#include "config.h"

#include <errno.h>

#include "base/mem.h"
#include "server/door.h"
#include "server/tracking_impl.h"

/* --- sessions by id ---------------------------------------------------------------- */

static struct tracking *
tracking_of(const struct session *s)
{
	return s->sl->tracking->all;
}

static uint64_t
id_hash(int64_t id)
{
	uint64_t h = (uint64_t)id * 0x9e3779b97f4a7c15u;

	return h ^ h >> 32;
}

/* One that the table has no memory for cannot be found, which is no worse than
 * one that is gone. */
void
tracking_meet(struct session *s)
{
	struct tracking *tr = tracking_of(s);

	pthread_mutex_lock(&tr->lock);
	s->known = htab_add(&tr->ids, &s->id_node, id_hash((int64_t)s->id)) == 0;
	pthread_mutex_unlock(&tr->lock);
}

static struct session *
find_id_locked(const struct tracking *tr, int64_t id)
{
	for (struct htab_node *it = htab_first(&tr->ids, id_hash(id)); it != NULL;
	     it = htab_next(it)) {
		struct session *s = container_of(it, struct session, id_node);

		if (s->id == (uint64_t)id)
			return s;
	}
	return NULL;
}

/* One that sees only part of the keys knows only those who come by its listener. */
bool
tracking_knows(const struct session *s, int64_t id)
{
	struct tracking *tr = tracking_of(s);
	const struct session *other;
	bool known;

	pthread_mutex_lock(&tr->lock);
	other = find_id_locked(tr, id);
	known = other != NULL && (!s->policy->confined || other->listener == s->listener);
	pthread_mutex_unlock(&tr->lock);
	return known;
}

enum target
tracking_find(struct tracking_loop *here, int64_t id, struct session **s, struct loop **l)
{
	enum target where = TARGET_GONE;
	struct session *found;

	pthread_mutex_lock(&here->all->lock);
	found = find_id_locked(here->all, id);
	if (found != NULL)
		where = found->sl == here->sl ? TARGET_HERE : TARGET_ELSEWHERE;
	if (where == TARGET_HERE)
		*s = found;
	else if (where == TARGET_ELSEWHERE)
		*l = found->sl->loop; /* the session itself may go at any time */
	pthread_mutex_unlock(&here->all->lock);
	return where;
}

/* --- prefixes ------------------------------------------------------------------------ */

static struct prefix_name *
name_find_locked(const struct tracking *tr, struct slice text, uint64_t hash)
{
	for (struct htab_node *it = htab_first(&tr->names, hash); it != NULL; it = htab_next(it)) {
		struct prefix_name *n = container_of(it, struct prefix_name, node);

		if (slice_eq(n->text, text))
			return n;
	}
	return NULL;
}

static struct prefix_name *
name_new_locked(struct tracking *tr, struct slice text, uint64_t hash)
{
	struct prefix_name *n = mem_zalloc(sizeof *n + text.len);

	if (n == NULL || htab_add(&tr->names, &n->node, hash) != 0) {
		mem_free(n);
		return NULL;
	}
	if (text.len != 0)
		memcpy((char *)n + sizeof *n, text.ptr, text.len);
	n->text = slice_of((char *)n + sizeof *n, text.len);
	atomic_fetch_add_explicit(&tr->bytes, sizeof *n + text.len, memory_order_relaxed);
	return n;
}

static struct prefix_name *
name_get(struct tracking *tr, struct slice text)
{
	uint64_t hash = cache_hash(tr->cache, text);
	struct prefix_name *n;

	pthread_mutex_lock(&tr->lock);
	n = name_find_locked(tr, text, hash);
	if (n == NULL)
		n = name_new_locked(tr, text, hash);
	if (n != NULL)
		n->refs++;
	pthread_mutex_unlock(&tr->lock);
	return n;
}

static void
name_put(struct tracking *tr, struct prefix_name *n)
{
	bool last;

	pthread_mutex_lock(&tr->lock);
	last = --n->refs == 0;
	if (last)
		htab_del(&tr->names, &n->node);
	pthread_mutex_unlock(&tr->lock);
	if (!last)
		return;
	atomic_fetch_sub_explicit(&tr->bytes, sizeof *n + n->text.len, memory_order_relaxed);
	mem_free(n);
}

/* Behind the last that does not come after `text`. */
static struct list *
prefix_place(struct tracking_loop *tl, struct slice text, struct prefix **same)
{
	*same = NULL;
	list_foreach(it, &tl->prefixes) {
		struct prefix *p = list_entry(it, struct prefix, link);
		int cmp = slice_cmp(p->name->text, text);

		if (cmp == 0)
			*same = p;
		if (cmp >= 0)
			return it;
	}
	return &tl->prefixes;
}

/* With a reference; NULL: no memory. */
static struct prefix *
prefix_get(struct tracking_loop *tl, struct slice text)
{
	struct prefix *p;
	struct list *before = prefix_place(tl, text, &p);

	if (p == NULL) {
		p = mem_zalloc(sizeof *p);
		if (p == NULL || (p->name = name_get(tl->all, text)) == NULL) {
			mem_free(p);
			return NULL;
		}
		list_init(&p->uses);
		list_push_tail(before, &p->link); /* which is in front of it */
	}
	p->refs++;
	return p;
}

static void
prefix_release(struct tracking_loop *tl, struct prefix *p)
{
	if (--p->refs != 0)
		return;
	list_del(&p->link);
	name_put(tl->all, p->name);
	mem_free(p);
}

static void
use_free(struct prefix_use *u)
{
	list_del(&u->in_prefix);
	list_del(&u->in_tracker);
	prefix_release(u->tracker->home, u->prefix);
	mem_free(u);
}

static struct slice
use_text(const struct list *it)
{
	return list_entry(it, struct prefix_use, in_tracker)->prefix->name->text;
}

/* *made is set where it was not there before. */
static int
use_add(struct tracker *t, struct slice text, struct prefix_use **made)
{
	struct list *before = t->prefixes.next;
	struct prefix_use *u;

	*made = NULL;
	while (before != &t->prefixes && slice_cmp(use_text(before), text) < 0)
		before = before->next;
	if (before != &t->prefixes && slice_eq(use_text(before), text))
		return 0;
	u = mem_zalloc(sizeof *u);
	if (u == NULL || (u->prefix = prefix_get(t->home, text)) == NULL) {
		mem_free(u);
		return -ENOMEM;
	}
	u->tracker = t;
	list_push_tail(&u->prefix->uses, &u->in_prefix);
	list_push_tail(before, &u->in_tracker);
	*made = u;
	return 0;
}

bool
tracking_prefix(const struct session *s, const struct list **it, struct slice *prefix)
{
	const struct tracker *t = s->tracker;

	if (t == NULL)
		return false;
	*it = *it == NULL ? t->prefixes.next : (*it)->next;
	if (*it == &t->prefixes)
		return false;
	*prefix = use_text(*it);
	return true;
}

/* --- trackers --------------------------------------------------------------------------- */

void
tracker_unref(struct tracker *t)
{
	if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	atomic_fetch_sub(&t->home->all->n_gone, 1);
	mem_free(t);
}

static struct tracker *
tracker_new(struct session *s)
{
	struct tracker *t = mem_zalloc(sizeof *t);

	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	t->home = s->sl->tracking;
	t->session = s;
	t->everything.tracker = t;
	list_init(&t->link);
	list_init(&t->prefixes);
	return t;
}

static void
watch_all_locked(void *arg, unsigned shard)
{
	struct tracking *tr = arg;

	if (tr->shards[shard].n_bcast++ == 0)
		cache_notice_locked(tr->cache, shard, true);
}

static void
unwatch_all_locked(void *arg, unsigned shard)
{
	struct tracking *tr = arg;

	if (--tr->shards[shard].n_bcast == 0)
		cache_notice_locked(tr->cache, shard, false);
}

static void
watch_everything(struct tracker *t, bool on)
{
	struct tracking_loop *tl = t->home;

	if (on)
		atomic_fetch_add(&tl->n_bcast, 1);
	for (unsigned i = 0; i < tl->all->n_shards; i++)
		store_with_shard(tl->sl->store, i, on ? watch_all_locked : unwatch_all_locked,
		    tl->all);
	if (!on)
		atomic_fetch_sub(&tl->n_bcast, 1);
}

/* All of them or none. A client that names none is told of every key. */
static int
add_prefixes(struct tracker *t, const struct slice *prefixes, size_t n)
{
	static const struct slice all = { "", 0 };
	struct prefix_use **made;
	size_t i, n_made = 0;
	int rc = 0;

	if (n == 0) {
		prefixes = &all;
		n = 1;
	}
	made = mem_calloc(n, sizeof(struct prefix_use *));
	if (made == NULL)
		return -ENOMEM;
	for (i = 0; i < n && rc == 0; i++) {
		rc = use_add(t, prefixes[i], &made[n_made]);
		n_made += made[n_made] != NULL;
	}
	while (rc != 0 && n_made != 0)
		use_free(made[--n_made]);
	mem_free(made);
	return rc;
}

int
tracking_on(struct session *s, unsigned modes, int64_t redirect, const struct slice *prefixes,
    size_t n)
{
	struct tracker *t = s->tracker != NULL ? s->tracker : tracker_new(s);
	bool was_on;

	if (t == NULL)
		return -ENOMEM;
	s->tracker = t;
	was_on = (t->flags & TRACK_ON) != 0;
	if ((modes & TRACK_BCAST) && add_prefixes(t, prefixes, n) != 0)
		return -ENOMEM;
	t->flags = (t->flags & TRACK_CACHING) | TRACK_ON | (modes & TRACK_MODES);
	atomic_store(&t->redirect, redirect);
	if (was_on)
		return 0;
	atomic_fetch_add(&t->home->all->n_clients, 1);
	list_push_tail(&t->home->trackers, &t->link);
	if (modes & TRACK_BCAST)
		watch_everything(t, true);
	door_update(s);
	return 0;
}

/* What it has read is still told of, should it track again. */
void
tracking_off(struct session *s)
{
	struct tracker *t = s->tracker;

	if (!tracking_is_on(s))
		return;
	if (t->flags & TRACK_BCAST)
		watch_everything(t, false);
	list_foreach_safe(it, &t->prefixes)
		use_free(list_entry(it, struct prefix_use, in_tracker));
	list_del(&t->link);
	atomic_fetch_sub(&t->home->all->n_clients, 1);
	t->flags = 0;
	door_update(s);
}

void
tracking_reset(struct session *s)
{
	struct tracker *t = s->tracker;

	if (t == NULL)
		return;
	tracking_off(s);
	s->tracker = NULL;
	t->session = NULL;
	if (t->home->actor == t)
		t->home->actor = NULL;
	atomic_fetch_add(&t->home->all->n_gone, 1);
	atomic_store(&t->gone, true);
	tracker_unref(t);
}

void
tracking_part(struct session *s)
{
	struct tracking *tr = tracking_of(s);

	tracking_reset(s);
	pthread_mutex_lock(&tr->lock);
	if (s->known)
		htab_del(&tr->ids, &s->id_node);
	pthread_mutex_unlock(&tr->lock);
}

unsigned
tracking_flags(const struct session *s)
{
	return s->tracker != NULL ? s->tracker->flags : 0;
}

int64_t
tracking_redirect(const struct session *s)
{
	return tracking_is_on(s) ? atomic_load(&s->tracker->redirect) : -1;
}

void
tracking_set_caching(struct session *s)
{
	s->tracker->flags |= TRACK_CACHING;
}
