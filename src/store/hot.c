#include "config.h"

#include "store/hot.h"

#include "store/internal.h"

/* The sampling of advice has a compare of each key's hash with a threshold (sample.c), which
 * costs what it costs; while a sampled command runs, the threshold is above all hashes. So
 * a read that is not sampled pays nothing for this. */
#define ALL_HASHES UINT32_MAX

int
hot_init(struct store_loop *sl, unsigned counters)
{
	lock_init(&sl->hot_lock);
	return counters == 0 ? 0 :
	    topk_new(counters, STATS_NAMESPACES, loop_now_ms(sl->loop), &sl->hot);
}

void
hot_fini(struct store_loop *sl)
{
	topk_free(sl->hot);
	lock_fini(&sl->hot_lock);
}

unsigned
store_hot_sample(struct store_loop *sl, unsigned weight)
{
	unsigned before = sl->hot_weight;

	sl->hot_weight = sl->hot != NULL ? weight : 0;
	sl->sample_below = sl->hot_weight != 0 ? ALL_HASHES :
	    atomic_load_explicit(&sl->store->sample_below, memory_order_relaxed);
	return before;
}

void
hot_read(const struct store_cursor *cur, const struct config_namespace *ns)
{
	struct store_loop *sl = cur->sl;
	struct topk_read r = { .hash = cur->c.hash, .key = cur->c.key,
		.ns = (uint16_t)ns->stats_id, .weight = sl->hot_weight,
		.now_ms = sl->thread.now_ms };

	lock_acquire(&sl->hot_lock);
	topk_add(sl->hot, &r);
	lock_release(&sl->hot_lock);
}

void
store_hot_look(struct store_loop *sl, void (*look)(struct topk *t, void *arg), void *arg)
{
	if (sl->hot == NULL)
		return;
	lock_acquire(&sl->hot_lock);
	look(sl->hot, arg);
	lock_release(&sl->hot_lock);
}
