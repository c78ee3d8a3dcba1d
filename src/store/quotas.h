/* quotas.h - minimums and maximums of namespaces, from the configuration to the cache. A map
 * of the cache's (cache_remap()) is a reference to routes. Any thread. */
#ifndef PANNIER_STORE_QUOTAS_H
#define PANNIER_STORE_QUOTAS_H

#include "cache/cache.h"
#include "store/store.h"

/* For cache_opts. */
unsigned quotas_find(const void *map, struct slice key);
void quotas_unmap(const void *map);

/* The cache goes by r from now on; `old` is what it goes by, NULL: nothing. Keys are counted anew
 * only where some have another quota than before. */
void quotas_set(struct cache *c, const struct routes *old, struct routes *r);

#endif
