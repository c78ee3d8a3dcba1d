/* The plainest map: endpoint n is server n. */
#include "config.h"

#include <errno.h>

#include "base/mem.h"
#include "origin/redis_impl.h"

static int
standalone_open(struct transport *t)
{
	struct redis_node **servers = mem_calloc(t->n_seeds, sizeof *servers);

	t->map = servers;
	if (servers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < t->n_seeds; i++) {
		servers[i] = redis_node_at(t, &t->seeds[i]);
		if (servers[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void
standalone_close(struct transport *t)
{
	mem_free(t->map);
}

static struct redis_node *
standalone_route(struct transport *t, const struct attempt *a)
{
	struct redis_node **servers = t->map;

	return servers[a->endpoint];
}

static bool
standalone_masters(const struct transport *t, redis_master_fn *each, void *arg)
{
	for (unsigned i = 0; i < t->n_seeds; i++)
		if (!each(arg, &t->seeds[i]))
			return false;
	return true;
}

const struct redis_map_ops redis_standalone = {
	.open = standalone_open,
	.close = standalone_close,
	.route = standalone_route,
	.masters = standalone_masters,
};
