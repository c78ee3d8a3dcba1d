#include "config.h"

#include "store/tier_fetch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/draw.h"
#include "base/mem.h"
#include "store/internal.h"

#define PAUSE_MIN_MS 10 /* between looks of who waits; an invalidation comes before */
#define PAUSE_MAX_MS 250
#define TOKEN_BYTES 33

struct tier_fetch {
	struct store_loop *sl;
	struct origin_set *os;
	struct origin_request rq; /* its slices lie in `bytes` */
	uint64_t hash;
	origin_done *done;        /* NULL: it was called */
	void *arg;
	struct origin_fetch *fetch;
	bool leased;              /* the lease is ours */
	bool tier_failed;
	int64_t wait_until_ms;    /* for others; 0: none yet */
	int64_t pause_ms;
	/* While it waits: */
	struct list in_loop;      /* origin_set.tier_waits */
	struct list in_bucket;    /* tier_waits, under its lock */
	bool woken;               /* likewise: the task is on its way, or has run */
	struct timer timer;
	struct loop_task wake;
	struct blob *value;       /* on its way to the tier */
	char token[TOKEN_BYTES];
	char bytes[];
};

static void read_tier(struct tier_fetch *f);
static void load(struct tier_fetch *f);

static struct stats_ns *
stats_of(const struct tier_fetch *f)
{
	return store_ns_stats(f->sl, f->rq.ns);
}

static int64_t
left_ms(const struct tier_fetch *f)
{
	return MAX(f->rq.deadline_ms - loop_now_ms(f->sl->loop), 1);
}

/* --- its end --------------------------------------------------------------------- */

static void
fetch_free(struct tier_fetch *f)
{
	timer_stop(&f->timer);
	list_del(&f->in_loop);
	blob_unref(f->value);
	f->os->fetches--;
	mem_free(f);
}

/* The flight may be gone when it returns. */
static void
answer(struct tier_fetch *f, const struct origin_result *r)
{
	origin_done *done = f->done;

	f->done = NULL;
	done(f->arg, r);
}

static void
answer_and_free(struct tier_fetch *f, const struct origin_result *r)
{
	answer(f, r);
	fetch_free(f);
}

/* 0, or -ENOMEM: done will not be called. */
static int
ask_tier(struct tier_fetch *f, enum origin_op op, int64_t deadline_ms, origin_done *done)
{
	const struct config_origin *tier = f->rq.ns->tier_cfg;
	struct origin_client *c = origin_set_client(f->os, f->sl, tier);
	struct origin_request rq = { .op = op, .ns = f->rq.ns, .key = f->rq.key,
		.background = f->rq.background, .etag = slice_str(f->leased ? f->token : ""),
		.deadline_ms = MIN(deadline_ms, loop_now_ms(f->sl->loop) + tier->deadline_ms) };

	if (op == ORIGIN_READ)
		rq.etag = SLICE("");
	if (op == ORIGIN_ACQUIRE) {
		rq.etag = slice_str(f->token);
		rq.ttl_ms = f->rq.ns->origin_cfg->deadline_ms + tier->deadline_ms;
	}
	if (op == ORIGIN_FILL) {
		rq.value = blob_slice(f->value);
		rq.ttl_ms = f->rq.ttl_ms;
	}
	return c != NULL && !f->os->closing ? origin_fetch_start(c, &rq, done, f, &f->fetch) :
	    -ENOMEM;
}

/* --- behind the answer --------------------------------------------------------------- */

static void
on_filled(void *arg, const struct origin_result *r)
{
	struct tier_fetch *f = arg;

	if (r->status == ORIGIN_DONE)
		counter_inc(&stats_of(f)->tier_filled);
	else if (r->status >= ORIGIN_FAILED)
		counter_inc(&stats_of(f)->tier_errors);
	fetch_free(f);
}

/* What could not be said ends with the lease's time. */
static void
tell_tier(struct tier_fetch *f, enum origin_op op)
{
	int64_t until_ms = loop_now_ms(f->sl->loop) + f->rq.ns->tier_cfg->deadline_ms;

	if (ask_tier(f, op, until_ms, on_filled) != 0)
		fetch_free(f);
}

static bool
may_fill(const struct tier_fetch *f, const struct origin_result *r)
{
	return r->status == ORIGIN_OK && r->ttl_ms != 0 && !f->tier_failed;
}

static void
on_loaded(void *arg, const struct origin_result *r)
{
	struct tier_fetch *f = arg;

	f->fetch = NULL;
	if (may_fill(f, r)) {
		f->value = blob_ref(r->body);
		f->rq.ttl_ms = r->ttl_ms == ORIGIN_TTL_UNSAID ? f->rq.ns->ttl_ms : r->ttl_ms;
	}
	answer(f, r);
	if (f->value != NULL)
		tell_tier(f, ORIGIN_FILL);
	else if (f->leased)
		tell_tier(f, ORIGIN_RELEASE);
	else
		fetch_free(f);
}

static void
fail(struct tier_fetch *f)
{
	answer_and_free(f, &(struct origin_result){ .status = ORIGIN_FAILED,
	    .error = "out of memory", .ttl_ms = ORIGIN_TTL_UNSAID });
}

static void
load(struct tier_fetch *f)
{
	struct origin_client *c = origin_set_client(f->os, f->sl, f->rq.ns->origin_cfg);

	if (c == NULL || f->os->closing ||
	    origin_fetch_start(c, &f->rq, on_loaded, f, &f->fetch) != 0)
		fail(f);
}

/* Local coalescing is what is left. */
static void
load_without_tier(struct tier_fetch *f)
{
	counter_inc(&stats_of(f)->tier_errors);
	f->tier_failed = true;
	load(f);
}

/* --- waiting for another ------------------------------------------------------------------ */

/* It waits no more; true: unless somebody has woken it, who will see to it. */
static bool
leave_bucket(struct tier_fetch *f)
{
	struct tier_waits *w = &f->sl->store->tier_waits;
	bool was_there;

	lock_acquire(&w->lock);
	was_there = !f->woken;
	if (was_there) {
		list_del(&f->in_bucket);
		atomic_fetch_sub_explicit(&w->n, 1, memory_order_relaxed);
	}
	lock_release(&w->lock);
	return was_there;
}

static void
go_on(struct tier_fetch *f)
{
	timer_stop(&f->timer);
	list_del(&f->in_loop);
	if (loop_now_ms(f->sl->loop) >= f->wait_until_ms) {
		counter_inc(&stats_of(f)->shared_late);
		load(f);
		return;
	}
	read_tier(f);
}

static void
on_pause_over(struct timer *t)
{
	struct tier_fetch *f = container_of(t, struct tier_fetch, timer);

	if (leave_bucket(f))
		go_on(f);
}

static void
on_wake(struct loop *l, struct loop_task *t)
{
	(void)l;
	go_on(container_of(t, struct tier_fetch, wake));
}

void
tier_waits_wake(struct tier_waits *w, uint64_t hash)
{
	if (atomic_load_explicit(&w->n, memory_order_relaxed) == 0)
		return;
	lock_acquire(&w->lock);
	list_foreach_safe(it, &w->buckets[hash % TIER_WAIT_BUCKETS]) {
		struct tier_fetch *f = list_entry(it, struct tier_fetch, in_bucket);

		if (f->hash != hash)
			continue;
		list_del(&f->in_bucket);
		f->woken = true;
		atomic_fetch_sub_explicit(&w->n, 1, memory_order_relaxed);
		loop_post(f->sl->loop, &f->wake);
	}
	lock_release(&w->lock);
}

/* Half of the time that is left, so that there is some to fetch it ourselves. Pauses that
 * differ, lest all ask together. */
static void
wait_for_other(struct tier_fetch *f)
{
	struct tier_waits *w = &f->sl->store->tier_waits;
	int64_t now_ms = loop_now_ms(f->sl->loop);

	if (f->wait_until_ms == 0) {
		counter_inc(&stats_of(f)->shared_waits);
		f->wait_until_ms = now_ms + left_ms(f) / 2;
		f->pause_ms = PAUSE_MIN_MS;
	}
	list_push_tail(&f->os->tier_waits, &f->in_loop);
	lock_acquire(&w->lock);
	f->woken = false;
	list_push_tail(&w->buckets[f->hash % TIER_WAIT_BUCKETS], &f->in_bucket);
	atomic_fetch_add_explicit(&w->n, 1, memory_order_relaxed);
	lock_release(&w->lock);
	timer_start(&f->timer, MIN(f->pause_ms + (int64_t)(draw_mix(f->hash ^ (uint64_t)now_ms) %
	    (uint64_t)f->pause_ms), MAX(f->wait_until_ms - now_ms, 1)));
	f->pause_ms = MIN(f->pause_ms * 2, PAUSE_MAX_MS);
}

void
tier_fetch_end_all(struct origin_set *os)
{
	list_foreach_safe(it, &os->tier_waits) {
		struct tier_fetch *f = list_entry(it, struct tier_fetch, in_loop);

		leave_bucket(f);
		answer_and_free(f, &(struct origin_result){ .status = ORIGIN_FAILED,
		    .error = "stopping", .ttl_ms = ORIGIN_TTL_UNSAID });
	}
}

/* --- the tier ------------------------------------------------------------------------------- */

static void
on_acquired(void *arg, const struct origin_result *r)
{
	struct tier_fetch *f = arg;

	f->fetch = NULL;
	if (r->status == ORIGIN_NOT_FOUND) {
		wait_for_other(f);
	} else if (r->status == ORIGIN_DONE) {
		/* Whoever had it before may have filled it since we looked. */
		f->leased = true;
		counter_inc(&stats_of(f)->shared_leases);
		read_tier(f);
	} else {
		load_without_tier(f);
	}
}

static void
on_absent(struct tier_fetch *f)
{
	if (!f->rq.ns->shared_lease || f->leased)
		load(f);
	else if (ask_tier(f, ORIGIN_ACQUIRE, loop_now_ms(f->sl->loop) + left_ms(f) / 2,
	    on_acquired) != 0)
		fail(f);
}

static void
on_read(void *arg, const struct origin_result *r)
{
	struct tier_fetch *f = arg;

	f->fetch = NULL;
	if (r->status == ORIGIN_NOT_FOUND) {
		on_absent(f);
	} else if (r->status == ORIGIN_OK) {
		counter_inc(&stats_of(f)->tier_hits);
		answer(f, r);
		if (f->leased)
			tell_tier(f, ORIGIN_RELEASE);
		else
			fetch_free(f);
	} else {
		load_without_tier(f);
	}
}

/* A tier that hangs leaves half of the time to the origin. */
static void
read_tier(struct tier_fetch *f)
{
	if (ask_tier(f, ORIGIN_READ, loop_now_ms(f->sl->loop) + left_ms(f) / 2, on_read) != 0)
		fail(f);
}

/* --- its start -------------------------------------------------------------------------------- */

static struct slice
keep(char **at, struct slice s)
{
	struct slice kept = slice_of(*at, s.len);

	if (s.len != 0)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return kept;
}

/* Whoever guesses it could end somebody's lease, and cause one fetch too many. */
static void
make_token(struct tier_fetch *f)
{
	uint64_t random[2] = { 0, 0 };

	if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random[0] = draw_mix(f->hash ^ (uint64_t)loop_now_us(f->sl->loop));
	snprintf(f->token, sizeof f->token, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
}

int
tier_fetch_start(struct store_loop *sl, struct origin_set *os, const struct origin_request *rq,
    origin_done *done, void *arg)
{
	struct tier_fetch *f = mem_alloc(sizeof *f + rq->key.len + rq->etag.len +
	    rq->last_modified.len);
	char *at;

	if (f == NULL)
		return -ENOMEM;
	*f = (struct tier_fetch){ .sl = sl, .os = os, .rq = *rq, .done = done, .arg = arg,
		.hash = store_hash(sl, rq->key), .wake.run = on_wake };
	at = f->bytes;
	f->rq.key = keep(&at, rq->key);
	f->rq.etag = keep(&at, rq->etag);
	f->rq.last_modified = keep(&at, rq->last_modified);
	list_init(&f->in_loop);
	list_init(&f->in_bucket);
	timer_init(&f->timer, sl->loop, on_pause_over);
	make_token(f);
	if (ask_tier(f, ORIGIN_READ, loop_now_ms(sl->loop) + left_ms(f) / 2, on_read) != 0) {
		mem_free(f);
		return -ENOMEM;
	}
	os->fetches++;
	return 0;
}

void
tier_waits_init(struct tier_waits *w)
{
	lock_init(&w->lock);
	for (unsigned i = 0; i < TIER_WAIT_BUCKETS; i++)
		list_init(&w->buckets[i]);
}

void
tier_waits_fini(struct tier_waits *w)
{
	lock_fini(&w->lock);
}
