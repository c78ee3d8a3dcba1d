#include "config.h"

#include "store/quotas.h"

#include <string.h>

_Static_assert(CACHE_QUOTAS == CONFIG_QUOTAS_MAX && CACHE_SHARE(1) == CONFIG_SHARE(1),
    "both layers mean the same");

unsigned
quotas_find(const void *map, struct slice key)
{
	return routes_find(map, key)->quota;
}

void
quotas_unmap(const void *map)
{
	routes_unref((struct routes *)(uintptr_t)map);
}

static bool
has_quotas(const struct config *c)
{
	for (unsigned i = 0; i < c->n_namespaces; i++)
		if (c->namespaces[i].quota != 0)
			return true;
	return false;
}

/* Whether each key has the same quota by both. */
static bool
same_quotas(const struct config *a, const struct config *b)
{
	if (!has_quotas(a) && !has_quotas(b))
		return true;
	if (a->n_namespaces != b->n_namespaces)
		return false;
	for (unsigned i = 0; i < a->n_namespaces; i++)
		if (a->namespaces[i].quota != b->namespaces[i].quota ||
		    strcmp(a->namespaces[i].prefix, b->namespaces[i].prefix) != 0)
			return false;
	return true;
}

void
quotas_set(struct cache *c, const struct routes *old, struct routes *r)
{
	const struct config *cfg = routes_config(r);
	struct cache_quota set[CACHE_QUOTAS + 1] = { { 0 } };

	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		set[cfg->namespaces[i].quota] = (struct cache_quota){
			.min_bytes = cfg->namespaces[i].min_memory,
			.max_bytes = cfg->namespaces[i].max_memory,
		};
	for (unsigned q = 1; q <= CACHE_QUOTAS; q++)
		cache_set_quota(c, q, &set[q]);
	if (old == NULL ? has_quotas(cfg) : !same_quotas(routes_config(old), cfg))
		cache_remap(c, has_quotas(cfg) ? routes_ref(r) : NULL);
}
