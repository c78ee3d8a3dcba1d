/* hot.h - which keys are read most: each loop follows what its own clients read
 * (stats/topk.h), from the reads that the server samples; who asks looks at all loops.
 * doc/operations.md says what it is good for. */
#ifndef PANNIER_STORE_HOT_H
#define PANNIER_STORE_HOT_H

#include "stats/topk.h"
#include "store/store.h"

/* Reads from now on are told, each for so many; 0, as at first: none is. Returns what held
 * before. The loop's own thread. */
unsigned store_hot_sample(struct store_loop *sl, unsigned weight);

/* Calls look() with what the loop has, under its lock, where nothing may be locked or
 * called out; not at all where none are followed (hot_keys: 0). Any thread. */
void store_hot_look(struct store_loop *sl, void (*look)(struct topk *t, void *arg), void *arg);

#endif
