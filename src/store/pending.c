#include "config.h"

#include <assert.h>

#include "store/internal.h"

void
pending_init(struct pending *p, struct store *s, struct slice key, uint64_t hash)
{
	*p = (struct pending){ .stripe = pending_stripe(s, hash), .hash = hash, .key = key };
	list_init(&p->waiters);
	list_init(&p->late);
}

struct pending **
pending_find_locked(struct stripe *st, uint64_t hash, struct slice key)
{
	struct pending **link = &st->buckets[hash / STRIPES % STRIPE_BUCKETS];

	assert(lock_held(&st->lock));
	while (*link != NULL && !((*link)->hash == hash && slice_eq((*link)->key, key)))
		link = &(*link)->next;
	return link;
}

/* Relaxed: the shard's lock, which both sides take, orders it. */
static void
count_locked(struct stripe *st, uint32_t by)
{
	assert(lock_held(&st->lock));
	atomic_store_explicit(&st->n, atomic_load_explicit(&st->n, memory_order_relaxed) + by,
	    memory_order_relaxed);
}

void
pending_announce_locked(struct stripe *st)
{
	count_locked(st, 1);
}

void
pending_withdraw_locked(struct stripe *st)
{
	count_locked(st, (uint32_t)-1);
}

void
pending_link_locked(struct pending **link, struct pending *p)
{
	assert(lock_held(&p->stripe->lock));
	p->next = *link;
	*link = p;
}

void
pending_unlink_locked(struct pending **link)
{
	struct pending *p = *link;

	*link = p->next;
	p->next = NULL;
	p->detached = true;
	count_locked(p->stripe, (uint32_t)-1);
}
