/* validate_guard.c - what no value of an origin's guard alone can tell. */
#include <config.h>

#include "config/load.h"
#include "config/schema.h"
#include "config/value.h"

/* One row must not be more than another one of its group. */
struct pair {
	const char *group, *low, *high;
	bool (*applies)(const struct config_guard *g); /* NULL: always */
};

static bool
is_adaptive(const struct config_guard *g)
{
	return g->concurrency.adaptive;
}

/* A limit of 0 is one that is not said. */
static bool
is_adaptive_from(const struct config_guard *g)
{
	return g->concurrency.adaptive && g->concurrency.limit != 0;
}

static bool
is_by_calls(const struct config_guard *g)
{
	return g->breaker.window == GUARD_BY_CALLS;
}

static const struct pair pairs[] = {
	{ "concurrency", "min", "max", is_adaptive },
	{ "concurrency", "min", "limit", is_adaptive_from },
	{ "concurrency", "limit", "max", is_adaptive_from },
	{ "breaker", "min_calls", "window_calls", is_by_calls },
	{ "breaker", "open_time", "open_time_max", NULL },
	{ "retry", "backoff", "backoff_max", NULL },
	{ "ejection", "time", "time_max", NULL },
};

static int64_t
amount_of(const struct field *f, const struct config_origin *o)
{
	const void *at = field_at(f, o);

	return f->kind == VALUE_COUNT32 ? *(const uint32_t *)at : *(const int64_t *)at;
}

/* What stands in the file is marked, be it the one or the other. */
static void
check_pair(const struct pair *p, const struct config_origin *o, const struct node *origin,
    const struct place *at, struct diag *d)
{
	const struct schema *group = schema_find(&origin_schema, slice_str(p->group))->sub;
	const struct field *low = schema_find(group, slice_str(p->low));
	const struct field *high = schema_find(group, slice_str(p->high));
	const struct node *n = node_member(origin, p->group), *key = node_member(n, p->low);
	struct place in = { .up = at, .key = p->group }, where = { .up = &in, .key = p->low };
	char is[64], most[64];

	if (amount_of(low, o) <= amount_of(high, o))
		return;
	if (key == NULL)
		key = node_member(n, p->high);
	value_text(low, o, false, is, sizeof is);
	value_text(high, o, false, most, sizeof most);
	diag_error(d, key != NULL ? key->at : origin->at, &where,
	    "\"%s\" is more than %s, which is %s", is, p->high, most);
}

static void
check_health_path(const struct config_origin *o, const struct node *origin,
    const struct place *at, struct diag *d)
{
	struct place in = { .up = at, .key = "health" }, where = { .up = &in, .key = "path" };
	const char *path = o->guard.health.path;

	if (path != NULL && strchr(path, '{') != NULL)
		diag_error(d, node_member(node_member(origin, "health"), "path")->at, &where,
		    "\"%s\" has a placeholder, and a check is about no key; write for example "
		    "/healthz", path);
	if (path == NULL && o->guard.health.enabled && o->n_endpoints != 0)
		diag_error(d, node_member(node_member(origin, "health"), "enabled")->at, &in,
		    "needs path:, for example path: /healthz");
}

void
validate_guard(const struct config_origin *o, const struct node *origin, const struct place *at,
    struct diag *d)
{
	for (unsigned i = 0; i < ARRAY_LEN(pairs); i++)
		if (pairs[i].applies == NULL || pairs[i].applies(&o->guard))
			check_pair(&pairs[i], o, origin, at, d);
	check_health_path(o, origin, at, d);
}
