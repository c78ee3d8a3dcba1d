/* Changes for those who track by prefix. Noted under the lock of the shard, as they
 * come; when no lock is held any more, at the end of a read's requests at the latest,
 * they are sorted, each key once, and handed to the loops that have such clients. There
 * each prefix is looked up in them, and the array of its keys encoded once.
 *
 * A client that does not want to hear of itself is left out for keys that it was the
 * last to change. That only its own loop can have noted, and sees at once. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "server/door.h"
#include "server/tracking_impl.h"

#define CHANGED_KEEP 4096 /* bytes kept for the next ones */

/* In tracking_loop.changed, with the key behind it. */
struct noted {
	uint64_t by; /* the session's id; 0: nobody's command, or that of one who does not track */
	uint64_t len;
};

struct change {
	struct slice key;
	uint64_t by;
};

struct changes {
	_Atomic(unsigned) refs;
	size_t n;
	struct change *items; /* sorted by key */
	struct changes_to {
		struct loop_task task;
		struct changes *changes;
		struct tracking_loop *tl;
	} to[];               /* a loop each; then the items, then the keys */
};

void
bcast_note(struct tracking_loop *tl, struct slice key, enum cache_change how)
{
	bool known = how == CACHE_WRITTEN && tl->actor != NULL;
	struct noted head = { .by = known ? tl->actor->session->id : 0, .len = key.len };

	tracking_due(tl);
	if (tl->changed_lost)
		return;
	if (buf_len(&tl->changed) + key.len > atomic_load(&tl->all->max_bytes) ||
	    buf_reserve(&tl->changed, sizeof head + key.len) != 0) {
		tl->changed_lost = true;
		return;
	}
	memcpy(buf_tail(&tl->changed), &head, sizeof head);
	if (key.len != 0)
		memcpy(buf_tail(&tl->changed) + sizeof head, key.ptr, key.len);
	buf_commit(&tl->changed, sizeof head + key.len);
	tl->n_changed++;
}

/* --- one list for all loops ------------------------------------------------------------ */

static int
change_cmp(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	int cmp = slice_cmp(x->key, y->key);

	/* Of one key, as they came: they were noted one behind the other. */
	return cmp != 0 ? cmp : (x->key.ptr > y->key.ptr) - (x->key.ptr < y->key.ptr);
}

static void
changes_sort(struct changes *ch)
{
	size_t n = 0;

	qsort(ch->items, ch->n, sizeof ch->items[0], change_cmp);
	for (size_t i = 0; i < ch->n; i++) {
		if (n != 0 && slice_eq(ch->items[n - 1].key, ch->items[i].key))
			n--;
		ch->items[n++] = ch->items[i];
	}
	ch->n = n;
}

/* NULL: no memory. */
static struct changes *
changes_new(const struct tracking_loop *tl)
{
	size_t head = sizeof(struct changes) + tl->all->n_loops * sizeof(struct changes_to);
	size_t items = tl->n_changed * sizeof(struct change), len = buf_len(&tl->changed);
	struct changes *ch = mem_zalloc(head + items + len);
	char *at;

	if (ch == NULL)
		return NULL;
	atomic_init(&ch->refs, 1);
	ch->n = tl->n_changed;
	ch->items = (void *)((char *)ch + head);
	at = (char *)ch + head + items;
	memcpy(at, buf_data(&tl->changed), len);
	for (size_t i = 0; i < ch->n; i++) {
		struct noted noted;

		memcpy(&noted, at, sizeof noted);
		at += sizeof noted;
		ch->items[i] = (struct change){ slice_of(at, noted.len), noted.by };
		at += noted.len;
	}
	changes_sort(ch);
	return ch;
}

static void
changes_unref(struct changes *ch)
{
	if (atomic_fetch_sub(&ch->refs, 1) == 1)
		mem_free(ch);
}

/* --- to the clients of a loop ------------------------------------------------------------ */

/* The first that does not come before the prefix. */
static size_t
first_at(const struct changes *ch, struct slice prefix)
{
	size_t low = 0, high = ch->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(ch->items[mid].key, prefix) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Those that `but` has not made, 0: all. Answers how many. */
static size_t
encode(const struct change *items, size_t n, uint64_t but, struct out *out)
{
	struct reply r = { .out = out, .wire = WIRE_RESP3 };
	size_t wanted = 0;

	for (size_t i = 0; i < n; i++)
		wanted += but == 0 || items[i].by != but;
	if (wanted == 0)
		return 0;
	reply_array(&r, wanted);
	for (size_t i = 0; i < n; i++)
		if (but == 0 || items[i].by != but)
			reply_bulk(&r, items[i].key);
	return wanted;
}

/* Without memory for the array it is everything. */
static void
tell_array(struct tracker *t, const struct out *out)
{
	struct slice text = out_copied(out);

	tracker_tell(t, (struct news){ .array = text });
}

static void
tell_others(struct tracker *t, const struct change *items, size_t n)
{
	struct out out;

	out_init(&out);
	if (encode(items, n, t->session->id, &out) != 0)
		tell_array(t, &out);
	out_fini(&out);
}

/* own: the changes were made on this loop. */
static void
tell_prefix(const struct prefix *p, const struct change *items, size_t n, bool own)
{
	struct out all;

	out_init(&all);
	encode(items, n, 0, &all);
	list_foreach(it, &p->uses) {
		struct tracker *t = list_entry(it, struct prefix_use, in_prefix)->tracker;

		if (!door_owns_prefix(t->session, p->name->text))
			continue; /* since a reload */
		if (own && (t->flags & TRACK_NOLOOP))
			tell_others(t, items, n);
		else
			tell_array(t, &all);
	}
	out_fini(&all);
}

static void
changes_here(struct tracking_loop *tl, const struct changes *ch, bool own)
{
	list_foreach(it, &tl->prefixes) {
		const struct prefix *p = list_entry(it, struct prefix, link);
		size_t from = first_at(ch, p->name->text), to = from;

		while (to < ch->n && slice_has_prefix(ch->items[to].key, p->name->text))
			to++;
		if (to != from)
			tell_prefix(p, &ch->items[from], to - from, own);
	}
}

static void
changes_arrived(struct loop *l UNUSED, struct loop_task *task)
{
	struct changes_to *to = container_of(task, struct changes_to, task);

	changes_here(to->tl, to->changes, false);
	changes_unref(to->changes);
}

static void
changes_send(struct tracking_loop *tl, struct changes *ch)
{
	struct tracking *tr = tl->all;

	for (unsigned i = 0; i < tr->n_loops; i++) {
		struct changes_to *to = &ch->to[i];

		if (&tr->loops[i] == tl || atomic_load(&tr->loops[i].n_bcast) == 0)
			continue;
		*to = (struct changes_to){ .task.run = changes_arrived, .changes = ch,
			.tl = &tr->loops[i] };
		atomic_fetch_add(&ch->refs, 1);
		loop_post(tr->loops[i].sl->loop, &to->task);
	}
	changes_here(tl, ch, true);
	changes_unref(ch);
}

void
bcast_settle(struct tracking_loop *tl)
{
	struct changes *ch = NULL;

	if (tl->n_changed == 0 && !tl->changed_lost)
		return;
	if (!tl->changed_lost)
		ch = changes_new(tl);
	tl->n_changed = 0;
	tl->changed_lost = false;
	buf_clear(&tl->changed);
	buf_shrink(&tl->changed, CHANGED_KEEP);
	if (ch != NULL)
		changes_send(tl, ch);
	else
		tracking_tell_everything(tl);
}
