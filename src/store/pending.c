#include "config.h"

#include <assert.h>

#include "store/internal.h"

struct stripe *
pending_stripe(struct store *s, uint64_t hash)
{
	return &s->stripes[hash % STRIPES];
}

void
pending_init(struct pending *p, struct store *s, struct slice key, uint64_t hash)
{
	*p = (struct pending){ .stripe = pending_stripe(s, hash), .hash = hash, .key = key };
	list_init(&p->waiters);
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

void
pending_unlink_locked(struct pending **link)
{
	struct pending *p = *link;

	assert(lock_held(&p->stripe->lock));
	*link = p->next;
	p->next = NULL;
	p->detached = true;
}
