/* Two things that are told apart by one bit. An entry that a loss made stale expired
 * at an odd millisecond, which names the loss; one that was fetched without a channel
 * expires at an even one. So what expired by itself never looks like the other,
 * which may still be served. (One that was verified and whose own time ends at just
 * that millisecond does; it was right at the proof too, and so stays within the bound.) */
#include "config.h"

#include "store/near.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "resil/gcra.h"

#define LOSSES 16 /* that are remembered; what is stale by an older one is not served */

struct near {
	/* Odd while verified. Written by the channel's thread; read under a shard's lock
	 * by who puts, which is what orders it against the walk. */
	_Atomic(uint64_t) epoch;
	_Atomic(bool) moved;
	bool live; /* the channel's thread: verified() was said, and no loss since */
	_Atomic(int64_t) unverified_max_ms;
	struct lock lock; /* a leaf, for what follows */
	struct bucket bucket;
	struct near_loss losses[LOSSES];
	uint64_t n_losses;
	struct near_counts counts;
};

static void
set_opts(struct near *n, const struct near_opts *o)
{
	uint32_t rate = MAX(o->revalidate_per_s, 1u);

	atomic_store_explicit(&n->unverified_max_ms, o->unverified_max_ms, memory_order_relaxed);
	if (bucket_init(&n->bucket, rate, 1000000, MAX(rate / 10, 1u)) != 0)
		assert(!"a rate of uint32_t a second is a rate");
}

struct near *
near_new(const struct near_opts *o)
{
	struct near *n = mem_zalloc(sizeof *n);

	if (n == NULL)
		return NULL;
	lock_init(&n->lock);
	set_opts(n, o);
	return n;
}

void
near_free(struct near *n)
{
	if (n == NULL)
		return;
	lock_fini(&n->lock);
	mem_free(n);
}

void
near_configure(struct near *n, const struct near_opts *o)
{
	lock_acquire(&n->lock);
	set_opts(n, o);
	lock_release(&n->lock);
}

/* --- the channel ------------------------------------------------------------------- */

static uint64_t
epoch_of(const struct near *n)
{
	return atomic_load_explicit(&n->epoch, memory_order_acquire);
}

bool
near_is_verified(const struct near *n)
{
	return epoch_of(n) % 2 == 1;
}

static void
set_verified(struct near *n, bool yes)
{
	uint64_t epoch = epoch_of(n);

	while ((epoch % 2 == 1) != yes &&
	    !atomic_compare_exchange_weak_explicit(&n->epoch, &epoch, epoch + 1,
	    memory_order_acq_rel, memory_order_acquire))
		continue;
}

const char *
near_state_name(const struct near *n)
{
	if (n == NULL)
		return "off";
	return near_is_verified(n) ? "verified" : "unverified";
}

/* Gives it a name of its own. */
static void
remember(struct near *n, struct near_loss *l)
{
	const struct near_loss *last;

	lock_acquire(&n->lock);
	last = &n->losses[(n->n_losses + LOSSES - 1) % LOSSES];
	if (n->n_losses > 0 && l->lost_ms <= last->lost_ms)
		l->lost_ms = last->lost_ms + 2;
	n->losses[n->n_losses++ % LOSSES] = *l;
	n->counts.losses += !l->back;
	lock_release(&n->lock);
}

bool
near_verified(struct near *n, int64_t now_ms, struct near_loss *out)
{
	n->live = true;
	if (near_is_verified(n))
		return false;
	set_verified(n, true);
	*out = (struct near_loss){ .lost_ms = now_ms | 1, .back = true,
		.until_ms = now_ms +
		    atomic_load_explicit(&n->unverified_max_ms, memory_order_relaxed) };
	remember(n, out);
	return true;
}

void
near_moved(struct near *n)
{
	set_verified(n, false);
	atomic_store_explicit(&n->moved, true, memory_order_release);
}

bool
near_take_moved(struct near *n)
{
	return atomic_load_explicit(&n->moved, memory_order_relaxed) &&
	    atomic_exchange_explicit(&n->moved, false, memory_order_acq_rel);
}

bool
near_lost(struct near *n, int64_t proof_ms, int64_t now_ms, struct near_loss *out)
{
	if (!n->live)
		return false;
	n->live = false;
	set_verified(n, false);
	*out = (struct near_loss){ .lost_ms = now_ms | 1,
		.until_ms = proof_ms +
		    atomic_load_explicit(&n->unverified_max_ms, memory_order_relaxed) };
	remember(n, out);
	return true;
}

/* --- a fetch ------------------------------------------------------------------------ */

uint64_t
near_begin(const struct near *n)
{
	return epoch_of(n);
}

int64_t
near_expiry(const struct near *n, uint64_t begun, int64_t begun_ms, int64_t expires_ms)
{
	uint64_t epoch = epoch_of(n);
	int64_t until_ms;

	if (epoch % 2 == 1)
		return begun == epoch ? expires_ms : NEAR_NOT_KEPT;
	until_ms = (begun_ms +
	    atomic_load_explicit(&n->unverified_max_ms, memory_order_relaxed)) & ~(int64_t)1;
	/* 0 would be never. */
	until_ms = MAX(until_ms, 2);
	return expires_ms == 0 || expires_ms > until_ms ? until_ms : expires_ms & ~(int64_t)1;
}

/* --- what is stale -------------------------------------------------------------------- */

static bool
may_serve_locked(const struct near *n, int64_t expired_ms, int64_t now_ms)
{
	uint64_t remembered = MIN(n->n_losses, (uint64_t)LOSSES);

	assert(lock_held(&n->lock));
	for (uint64_t i = 0; i < remembered; i++)
		if (n->losses[i].lost_ms == expired_ms)
			return now_ms < n->losses[i].until_ms;
	return false;
}

bool
near_may_serve(struct near *n, int64_t expired_ms, int64_t now_ms)
{
	bool yes;

	if (expired_ms % 2 == 0)
		return false;
	lock_acquire(&n->lock);
	yes = may_serve_locked(n, expired_ms, now_ms);
	lock_release(&n->lock);
	return yes;
}

bool
near_may_refresh(struct near *n, int64_t now_ms)
{
	bool yes;

	lock_acquire(&n->lock);
	yes = bucket_take(&n->bucket, now_ms * 1000, 0, NULL) == 0;
	n->counts.refreshed += yes;
	n->counts.deferred += !yes;
	lock_release(&n->lock);
	return yes;
}

void
near_counts(const struct near *n, struct near_counts *out)
{
	struct lock *lock = (struct lock *)(uintptr_t)&n->lock;

	lock_acquire(lock);
	*out = n->counts;
	lock_release(lock);
}
