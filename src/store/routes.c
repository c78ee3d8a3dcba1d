#include "config.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "store/store.h"

struct routes {
	atomic_uint refs;
	struct config *cfg;
	struct nsmap *map;
};

struct routes *
routes_new(struct config *cfg)
{
	struct routes *r = mem_alloc(sizeof *r);

	if (r == NULL)
		goto fail;
	r->map = nsmap_new(cfg);
	if (r->map == NULL)
		goto fail;
	atomic_init(&r->refs, 1);
	r->cfg = cfg;
	return r;
fail:
	mem_free(r);
	config_free(cfg);
	return NULL;
}

struct routes *
routes_ref(struct routes *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void
routes_unref(struct routes *r)
{
	if (r == NULL || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	nsmap_free(r->map);
	config_free(r->cfg);
	mem_free(r);
}

const struct config *
routes_config(const struct routes *r)
{
	return r->cfg;
}

const struct config_namespace *
routes_find(const struct routes *r, struct slice key)
{
	return &r->cfg->namespaces[nsmap_find(r->map, key)];
}
