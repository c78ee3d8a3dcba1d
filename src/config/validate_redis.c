/* validate_redis.c - what the options of a Redis origin say together. */
#include <config.h>

#include "config/endpoint.h"
#include "config/load.h"

/* What all checks of one origin need. */
struct redis_check {
	const struct config_origin *o;
	const struct node *node; /* its redis: */
	struct place at;
	struct diag *d;
};

/* An option that only some modes have. */
static void
only_for(const struct redis_check *k, const char *key, bool good, const char *modes)
{
	struct place where = { .up = &k->at, .key = key };
	const struct node *n = node_member(k->node, key);

	if (n != NULL && !good)
		diag_error(k->d, n->at, &where, "is for mode: %s; leave it out", modes);
}

static enum endpoint_kind
kind_of(const struct config_origin *o, unsigned i)
{
	struct endpoint e;

	if (o->redis_endpoints[i] == NULL ||
	    endpoint_parse_redis(slice_str(o->redis_endpoints[i]), &e) != NULL)
		return ENDPOINT_REDIS;
	return e.kind;
}

bool
redis_is_over_tls(const struct config_origin *o)
{
	for (unsigned i = 0; i < o->n_redis_endpoints; i++)
		if (kind_of(o, i) == ENDPOINT_REDISS)
			return true;
	return false;
}

/* Those that are found through others are spoken to as these are. */
static void
check_schemes(const struct redis_check *k)
{
	struct place list = { .up = &k->at, .key = "endpoints" };
	struct place where = { .up = &list, .index = 0 };

	for (unsigned i = 1; i < k->o->n_redis_endpoints; i++) {
		bool tls = kind_of(k->o, i) == ENDPOINT_REDISS;

		where.index = i;
		if (tls != (kind_of(k->o, 0) == ENDPOINT_REDISS))
			diag_error(k->d, node_member(k->node, "endpoints")->at, &where,
			    "must be over TLS (rediss://) where the others are, and not where not");
	}
}

static void
check_password(const struct redis_check *k)
{
	const struct node *env = node_member(k->node, "password_env");
	struct place where = { .up = &k->at, .key = "password_env" };

	if (env != NULL && k->o->redis_password_file != NULL)
		diag_error(k->d, env->at, &where, "stands beside password_file:; leave one out");
	where.key = "username";
	if (k->o->redis_username != NULL && k->o->redis_password_file == NULL && env == NULL)
		diag_error(k->d, node_member(k->node, "username")->at, &where,
		    "needs password_file: or password_env:, and there is none");
}

static void
check_tracking(const struct redis_check *k)
{
	struct place where = { .up = &k->at, .key = "tracking" };

	if (k->o->redis_tracking == REDIS_TRACKING_TRUE &&
	    k->o->redis_read_from != REDIS_READ_MASTER)
		diag_error(k->d, node_member(k->node, "tracking")->at, &where,
		    "needs read_from: master; a replica may answer with an older value than "
		    "the one that was told of");
}

static void
check_redis(const struct redis_check *k)
{
	bool sentinel = k->o->redis_mode == REDIS_SENTINEL;
	bool alone = k->o->redis_mode == REDIS_STANDALONE;

	if (sentinel && k->o->redis_master_name == NULL)
		diag_error(k->d, k->node->at, &k->at,
		    "mode: sentinel needs master_name:, and there is none");
	only_for(k, "master_name", sentinel, "sentinel");
	only_for(k, "sentinel_username", sentinel, "sentinel");
	only_for(k, "sentinel_password_file", sentinel, "sentinel");
	only_for(k, "read_from", !alone || k->o->redis_read_from == REDIS_READ_MASTER,
	    "sentinel or cluster");
	only_for(k, "database", k->o->redis_mode != REDIS_CLUSTER || k->o->redis_database == 0,
	    "standalone or sentinel");
	check_password(k);
	check_tracking(k);
	if (!alone)
		check_schemes(k);
}

void
validate_redis(struct config_origin *o, const struct node *n, const struct place *origin,
    struct diag *d)
{
	const struct node *http = node_member(n, "http"), *redis = node_member(n, "redis");
	struct redis_check k = { .o = o, .node = redis, .d = d,
		.at = { .up = origin, .key = "redis" } };

	o->kind = redis != NULL ? ORIGIN_REDIS : ORIGIN_HTTP;
	if (http != NULL && redis != NULL)
		diag_error(d, redis->at, origin, "has http: and redis:; write two origins");
	else if (http == NULL && redis == NULL)
		diag_error(d, n->at, origin, "an origin needs http: or redis:, and there is none");
	else if (redis != NULL && redis->kind == NODE_MAPPING && d->n == 0)
		check_redis(&k);
	if (o->redis_tracking == REDIS_TRACKING_AUTO)
		o->redis_tracking = o->redis_read_from == REDIS_READ_MASTER;
}
