/* What is under way, also for the store on its way to another process (doc/handover.md). */
#include "config.h"

#include "store/internal.h"
#include "store/restore.h"

uint64_t
store_waiting(const struct store *s)
{
	return atomic_load(&s->waiting);
}

uint64_t
store_flights(const struct store *s)
{
	return atomic_load(&s->flights);
}

bool
store_is_quiet(struct store *s)
{
	struct store_behind left;

	store_behind_status(s, -1, &left);
	return left.n == 0 && atomic_load(&s->waiting) == 0 && atomic_load(&s->flights) == 0 &&
	    !store_is_restoring(s) && s->through_keys.n == 0 && s->walker.by == NULL &&
	    list_empty(&s->walker.next);
}

bool
store_freeze(struct store *s)
{
	int free = 0;

	return atomic_compare_exchange_strong(&s->saving, &free, -1);
}

void
store_thaw(struct store *s)
{
	atomic_store(&s->saving, 0);
}

void
store_void_leases(struct store_loop *sl)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *st = &sl->store->stripes[i];
		struct store_news news;

		if (!stripe_busy(st))
			continue;
		news_init(&news, sl);
		lock_acquire(&st->lock);
		lease_void_locked(st, NULL, NULL, &news);
		lock_release(&st->lock);
		news_tell(&news);
	}
}
