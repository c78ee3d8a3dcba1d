/* write.c - writes that wait for their origin: `write: through` and `around`. */
#include "config.h"

#include "store/write.h"

#include <errno.h>

#include "base/mem.h"
#include "store/internal.h"

/* A key with writes under way, on whatever loops. */
struct written_key {
	struct htab_node node; /* in store.through_keys, under through_lock */
	unsigned n;            /* of those */
	bool overlapped;       /* two of them were under way at a time */
	size_t len;
	char key[];
};

struct through {
	struct store_loop *sl;
	struct origin_set *origins;
	const struct config_namespace *ns;
	struct written_key *key;
	bool remove;
	struct blob *value; /* what the cache is to get; NULL: nothing */
	int64_t expires_ms;
	store_written *done;
	void *arg;
	struct loop_task failed; /* it could not even begin */
};

static struct slice
key_of(const struct through *t)
{
	return slice_of(t->key->key, t->key->len);
}

/* --- keys with writes under way ----------------------------------------------------- */

static struct written_key *
find_locked(const struct store *s, struct slice key, uint64_t hash)
{
	for (struct htab_node *n = htab_first(&s->through_keys, hash); n != NULL;
	     n = htab_next(n)) {
		struct written_key *k = container_of(n, struct written_key, node);

		if (slice_eq(slice_of(k->key, k->len), key))
			return k;
	}
	return NULL;
}

static struct written_key *
add_locked(struct store *s, struct slice key, uint64_t hash)
{
	struct written_key *k = mem_zalloc(sizeof *k + key.len);

	if (k == NULL)
		return NULL;
	k->len = key.len;
	memcpy(k->key, key.ptr, key.len);
	if (htab_add(&s->through_keys, &k->node, hash) == 0)
		return k;
	mem_free(k);
	return NULL;
}

/* NULL: no memory. */
static struct written_key *
key_enter(struct store *s, struct slice key, uint64_t hash)
{
	struct written_key *k;

	lock_acquire(&s->through_lock);
	k = find_locked(s, key, hash);
	if (k == NULL)
		k = add_locked(s, key, hash);
	if (k != NULL && k->n++ > 0)
		k->overlapped = true;
	lock_release(&s->through_lock);
	return k;
}

static void
key_leave_locked(struct store *s, struct written_key *k)
{
	if (--k->n != 0)
		return;
	htab_del(&s->through_keys, &k->node);
	mem_free(k);
}

/* --- the end ---------------------------------------------------------------------------- */

static void
through_free(struct through *t)
{
	blob_unref(t->value);
	mem_free(t);
}

/* What the cache is to show from now on; whether it had the key. Within the lock,
 * so that the next write of this key to end finds its trace, or this one finds
 * that one's. */
static bool
show_locked(struct through *t, const struct origin_result *r)
{
	struct store_loop *sl = t->sl;

	if (origin_refused_for_good(r))
		return false;
	/* Of a tier that tells of its writes: another process may have written behind us, and
	 * its invalidation may be here already. */
	if (r->status == ORIGIN_DONE && t->value != NULL && !t->key->overlapped &&
	    near_of(sl->store, t->ns) == NULL &&
	    store_set(sl, key_of(t), blob_slice(t->value), t->expires_ms) == 0)
		return false;
	return store_delete(sl, key_of(t));
}

static enum write_end
end_of(const struct through *t, const struct origin_result *r)
{
	if (r->status == ORIGIN_DONE)
		return WRITE_DONE;
	return t->remove && r->status == ORIGIN_NOT_FOUND ? WRITE_ABSENT : WRITE_FAILED;
}

static const char *
error_of(const struct origin_result *r)
{
	if (r->error != NULL)
		return r->error;
	return "the origin has nothing by that name that could be written";
}

static void
through_done(void *arg, const struct origin_result *r)
{
	struct through *t = arg;
	struct store_loop *sl = t->sl;
	struct store *s = sl->store;
	struct stats_ns *stats = store_ns_stats(sl, t->ns);
	enum write_end end = end_of(t, r);
	bool was_cached;

	store_loop_set_now(sl, loop_now_ms(sl->loop));
	counter_inc(end == WRITE_FAILED ? &stats->write_errors : &stats->writes);
	lock_acquire(&s->through_lock);
	was_cached = show_locked(t, r);
	key_leave_locked(s, t->key);
	lock_release(&s->through_lock);
	atomic_fetch_sub(&s->waiting, 1);
	t->done(t->arg, end, was_cached, end == WRITE_FAILED ? error_of(r) : NULL);
	t->origins->fetches--;
	through_free(t);
}

static void
failed_to_start(struct loop *l, struct loop_task *task)
{
	(void)l;
	through_done(container_of(task, struct through, failed),
	    &(struct origin_result){ .status = ORIGIN_FAILED, .error = "out of memory" });
}

/* --- the start -------------------------------------------------------------------------- */

int64_t
write_ttl_ms(const struct store_loop *sl, int64_t expires_ms)
{
	if (expires_ms == CACHE_NEVER)
		return 0;
	return MAX(expires_ms - loop_now_ms(sl->loop), 1);
}

int64_t
write_shown_until(const struct store_loop *sl, const struct store_write *w)
{
	if (w->expires_ms != CACHE_NEVER || w->ns->ttl_ms == 0)
		return w->expires_ms;
	return loop_now_ms(sl->loop) + w->ns->ttl_ms;
}

static struct through *
through_new(struct store_loop *sl, const struct store_write *w)
{
	struct through *t = mem_zalloc(sizeof *t);

	if (t == NULL)
		return NULL;
	*t = (struct through){ .sl = sl, .origins = sl->origins, .ns = w->ns,
		.remove = w->remove, .expires_ms = write_shown_until(sl, w),
		.failed.run = failed_to_start };
	if (!w->remove && w->ns->write == WRITE_THROUGH) {
		t->value = blob_of(w->value);
		if (t->value == NULL)
			goto fail;
	}
	t->key = key_enter(sl->store, w->key, store_hash(sl, w->key));
	if (t->key != NULL)
		return t;
fail:
	through_free(t);
	return NULL;
}

static void
send(struct through *t, const struct store_write *w)
{
	struct store_loop *sl = t->sl;
	const struct config_origin *cfg = t->ns->origin_cfg;
	struct origin_client *client = origin_set_client(t->origins, sl, cfg);
	struct origin_fetch *fetch;
	struct origin_request rq = {
		.op = w->remove ? ORIGIN_REMOVE : ORIGIN_WRITE, .ns = t->ns, .key = w->key,
		.value = w->value, .ttl_ms = write_ttl_ms(sl, w->expires_ms),
		.deadline_ms = loop_now_ms(sl->loop) + cfg->deadline_ms,
	};

	if (client == NULL || origin_fetch_start(client, &rq, through_done, t, &fetch) != 0)
		loop_defer(sl->loop, &t->failed);
}

int
store_write_start(struct store_loop *sl, const struct store_write *w, store_written *done,
    void *arg)
{
	struct store *s = sl->store;
	struct through *t;

	if (atomic_fetch_add(&s->waiting, 1) >= routes_config(sl->origins->routes)->wait_limit) {
		atomic_fetch_sub(&s->waiting, 1);
		counter_inc(&store_ns_stats(sl, w->ns)->wait_refused);
		return -EBUSY;
	}
	t = through_new(sl, w);
	if (t == NULL) {
		atomic_fetch_sub(&s->waiting, 1);
		return -ENOMEM;
	}
	t->done = done;
	t->arg = arg;
	origin_sets_sweep(sl);
	t->origins->fetches++;
	send(t, w);
	return 0;
}
