#include "config.h"

#include "store/tiers.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/redis_key.h"
#include "store/internal.h"
#include "store/near_walk.h"

#define STEP_US 300       /* of a walk, in one turn of the loop */
#define LOOK_MS 100       /* how often it is looked whether servers have moved */
#define OPEN_AGAIN_MS 500 /* what could not be opened */

/* What keys of a namespace are called at the server. */
struct mapping {
	char *server;       /* owned: what all of its keys begin with */
	size_t server_len;
	struct slice local; /* the namespace's prefix, which stands here instead of it */
};

struct tier {
	struct store_loop *sl;
	int origin; /* stats_id */
	struct routes *routes; /* holds cfg and the prefixes; NULL: there is no tracking */
	const struct config_origin *cfg;
	struct near *near;
	struct near_walk walk;
	struct timer walker, looker;
	struct redis_tracker *tracker; /* NULL: could not be opened */
	struct mapping *mappings;
	unsigned n_mappings;
	struct slice *prefixes; /* of the mappings, for the server */
	unsigned n_prefixes;
	struct log_gate gate;
	struct buf key;         /* one that is called differently here */
};

struct tiers {
	struct store_loop *sl;
	struct tier *tiers[STATS_ORIGINS]; /* by stats_id; made when first wanted */
};

static struct stats_origin *
stats_of(const struct tier *t)
{
	return &t->sl->stats->origins[t->origin];
}

/* --- walks ---------------------------------------------------------------------- */

static void
on_walk(struct timer *tm)
{
	struct tier *t = container_of(tm, struct tier, walker);
	int64_t begun_us = clock_mono_us();
	bool more = true;

	store_loop_set_now(t->sl, loop_now_ms(t->sl->loop));
	while (more && clock_mono_us() - begun_us < STEP_US)
		more = near_walk_step(&t->walk, t->sl);
	if (more)
		timer_start(tm, 0);
}

static void
drop_all(struct tier *t)
{
	near_walk_drop(&t->walk, t->sl);
	timer_start(&t->walker, 0);
}

/* --- what is heard ------------------------------------------------------------------ */

static void
on_verified(void *arg)
{
	struct tier *t = arg;

	struct near_loss back;

	if (!near_verified(t->near, loop_now_ms(t->sl->loop), &back))
		return;
	near_walk_soften(&t->walk, &back);
	timer_start(&t->walker, 0);
	log_info("origin %s: its invalidations are heard; what is fetched from now on is verified",
	    t->cfg->name);
}

static void
soften_all(struct tier *t, int64_t proof_ms)
{
	struct near_loss loss;

	if (!near_lost(t->near, proof_ms, loop_now_ms(t->sl->loop), &loss))
		return;
	near_walk_soften(&t->walk, &loss);
	timer_start(&t->walker, 0);
}

static void
on_lost(void *arg, int64_t proof_ms, const char *why)
{
	struct tier *t = arg;

	counter_inc(&stats_of(t)->channel_losses);
	log_warn("origin %s: its invalidations are not heard any more: %s; what is cached is "
	    "unverified, and served for up to %lld ms", t->cfg->name, why,
	    (long long)t->cfg->redis_unverified_max_ms);
	soften_all(t, proof_ms);
}

static void
on_refused(void *arg, const char *why)
{
	struct tier *t = arg;

	log_limited(&t->gate, LOG_LEVEL_WARN, "origin %s: its invalidations cannot be heard: %s; "
	    "what is fetched is served for up to %lld ms", t->cfg->name, why,
	    (long long)t->cfg->redis_unverified_max_ms);
}

static void
on_flush(void *arg)
{
	struct tier *t = arg;

	counter_inc(&stats_of(t)->flushes);
	drop_all(t);
}

/* What it is called here; {NULL, 0}: no memory. */
static struct slice
local_key(struct tier *t, const struct mapping *m, struct slice server_key)
{
	struct slice rest = slice_skip(server_key, m->server_len);

	if (slice_eq(slice_of(m->server, m->server_len), m->local))
		return server_key;
	buf_clear(&t->key);
	if (buf_append(&t->key, m->local.ptr, m->local.len) != 0 ||
	    buf_append(&t->key, rest.ptr, rest.len) != 0)
		return (struct slice){ NULL, 0 };
	return buf_slice(&t->key);
}

/* Of two namespaces, one within the other, it belongs to one alone. */
static void
on_key(void *arg, struct slice server_key)
{
	struct tier *t = arg;

	store_loop_set_now(t->sl, loop_now_ms(t->sl->loop));
	counter_inc(&stats_of(t)->invalidations);
	for (unsigned i = 0; i < t->n_mappings; i++) {
		const struct mapping *m = &t->mappings[i];
		struct slice key;

		if (!slice_has_prefix(server_key, slice_of(m->server, m->server_len)))
			continue;
		key = local_key(t, m, server_key);
		if (key.ptr == NULL)
			drop_all(t); /* which one cannot be said */
		else
			near_invalidate(t->sl, t->origin, key);
	}
}

/* --- what the server is to tell of ------------------------------------------------------ */

static void
mappings_free(struct tier *t)
{
	for (unsigned i = 0; i < t->n_mappings; i++)
		mem_free(t->mappings[i].server);
	mem_free(t->mappings);
	mem_free(t->prefixes);
	t->mappings = NULL;
	t->prefixes = NULL;
	t->n_mappings = t->n_prefixes = 0;
}

static int
add_mapping(struct tier *t, const struct config_namespace *ns)
{
	struct mapping *m = &t->mappings[t->n_mappings];
	struct slice prefix = slice_str(ns->prefix), before;
	struct slice key = redis_key_split(slice_str(t->cfg->redis_key), prefix, prefix.len,
	    &before);

	m->server = mem_alloc(MAX(before.len + key.len, 1u));
	if (m->server == NULL)
		return -ENOMEM;
	memcpy(m->server, before.ptr, before.len);
	memcpy(m->server + before.len, key.ptr, key.len);
	m->server_len = before.len + key.len;
	m->local = prefix;
	t->n_mappings++;
	return 0;
}

static int
compare(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	int d = memcmp(x->ptr, y->ptr, MIN(x->len, y->len));

	return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

/* Redis refuses prefixes of which one begins with another. */
static void
make_prefixes(struct tier *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_mappings; i++)
		t->prefixes[i] = slice_of(t->mappings[i].server, t->mappings[i].server_len);
	qsort(t->prefixes, t->n_mappings, sizeof *t->prefixes, compare);
	for (unsigned i = 0; i < t->n_mappings; i++)
		if (n == 0 || !slice_has_prefix(t->prefixes[i], t->prefixes[n - 1]))
			t->prefixes[n++] = t->prefixes[i];
	t->n_prefixes = n;
}

static int
make_mappings(struct tier *t)
{
	const struct config *cfg = routes_config(t->routes);
	int rc = 0;

	t->mappings = mem_calloc(cfg->n_namespaces, sizeof *t->mappings);
	t->prefixes = mem_calloc(cfg->n_namespaces, sizeof *t->prefixes);
	if (t->mappings == NULL || t->prefixes == NULL)
		rc = -ENOMEM;
	for (unsigned i = 0; i < cfg->n_namespaces && rc == 0; i++)
		if (near_tier_of(&cfg->namespaces[i]) == t->cfg)
			rc = add_mapping(t, &cfg->namespaces[i]);
	if (rc != 0) {
		mappings_free(t);
		return rc;
	}
	make_prefixes(t);
	return 0;
}

/* --- opening and closing --------------------------------------------------------------- */

static void
tier_open(struct tier *t)
{
	struct redis_tracker_opts o = {
		.loop = t->sl->loop,
		.cfg = t->cfg,
		.stats = stats_of(t),
		.verified = on_verified,
		.lost = on_lost,
		.refused = on_refused,
		.key = on_key,
		.flush = on_flush,
		.arg = t,
	};

	if (t->mappings == NULL && make_mappings(t) != 0)
		return;
	o.prefixes = t->prefixes;
	o.n_prefixes = t->n_prefixes;
	if (redis_tracker_open(&o, &t->tracker) != 0)
		t->tracker = NULL;
}

static void
on_look(struct timer *tm)
{
	struct tier *t = container_of(tm, struct tier, looker);

	if (t->tracker == NULL)
		tier_open(t);
	else if (near_take_moved(t->near))
		redis_tracker_look(t->tracker);
	timer_start(tm, t->tracker != NULL ? LOOK_MS : OPEN_AGAIN_MS);
}

static void
tier_close(struct tier *t)
{
	redis_tracker_close(t->tracker);
	t->tracker = NULL;
	timer_stop(&t->looker);
	mappings_free(t);
	routes_unref(t->routes);
	t->routes = NULL;
	t->cfg = NULL;
}

static void
tier_free(struct tier *t)
{
	if (t == NULL)
		return;
	tier_close(t);
	timer_stop(&t->walker);
	near_walk_fini(&t->walk);
	buf_fini(&t->key);
	mem_free(t);
}

static struct tier *
tier_new(struct tiers *all, int origin)
{
	struct tier *t = mem_zalloc(sizeof *t);

	if (t == NULL)
		return NULL;
	t->sl = all->sl;
	t->origin = origin;
	near_walk_init(&t->walk, origin);
	timer_init(&t->walker, t->sl->loop, on_walk);
	timer_init(&t->looker, t->sl->loop, on_look);
	buf_init(&t->key);
	all->tiers[origin] = t;
	return t;
}

struct tiers *
tiers_new(struct store_loop *sl)
{
	struct tiers *t = mem_zalloc(sizeof *t);

	if (t != NULL)
		t->sl = sl;
	return t;
}

void
tiers_free(struct tiers *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < STATS_ORIGINS; i++)
		tier_free(t->tiers[i]);
	mem_free(t);
}

/* --- another configuration -------------------------------------------------------------- */

static bool
is_tracked(const struct config *cfg, const struct config_origin *o)
{
	if (!near_is_tracked(o))
		return false;
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (near_tier_of(&cfg->namespaces[i]) == o)
			return true;
	return false;
}

static const struct config_origin *
tracked_origin(const struct routes *r, int origin)
{
	const struct config *cfg = routes_config(r);

	for (unsigned i = 0; i < cfg->n_origins; i++)
		if (cfg->origins[i].stats_id == origin && is_tracked(cfg, &cfg->origins[i]))
			return &cfg->origins[i];
	return NULL;
}

int
tiers_prepare(struct store *s, const struct routes *r)
{
	for (int i = 0; i < STATS_ORIGINS; i++) {
		const struct config_origin *o = tracked_origin(r, i);
		struct near_opts opts;
		struct near *near;

		if (o == NULL)
			continue;
		opts = (struct near_opts){ o->redis_unverified_max_ms, o->redis_revalidate_rate };
		if (store_near(s, i, &opts, &near) != 0)
			return -ENOMEM;
	}
	for (int i = 0; i < STATS_ORIGINS; i++)
		if (tracked_origin(r, i) == NULL)
			store_no_near(s, i);
	return 0;
}

/* Whether the server would be asked for the same. */
static bool
same_names(const struct tier *t, const struct routes *r, const struct config_origin *o)
{
	const struct config *cfg = routes_config(r);
	unsigned n = 0;

	for (unsigned i = 0; i < cfg->n_namespaces; i++) {
		if (near_tier_of(&cfg->namespaces[i]) != o)
			continue;
		if (n == t->n_mappings ||
		    !slice_eq(t->mappings[n++].local, slice_str(cfg->namespaces[i].prefix)))
			return false;
	}
	return n == t->n_mappings;
}

/* What is cached under its names may have come by any way until now. */
static void
tier_begin(struct tier *t, struct routes *r, const struct config_origin *o, bool was_tracked)
{
	t->routes = routes_ref(r);
	t->cfg = o;
	t->near = store_near_of(t->sl->store, t->origin);
	if (was_tracked)
		soften_all(t, loop_now_ms(t->sl->loop));
	else
		drop_all(t);
	timer_start(&t->looker, 0);
}

static void
configure_one(struct tiers *all, int origin, struct routes *r)
{
	const struct config_origin *o = tracked_origin(r, origin);
	struct tier *t = all->tiers[origin];
	bool was_tracked = t != NULL && t->routes != NULL;

	if (o == NULL) {
		if (was_tracked)
			tier_close(t);
		return;
	}
	if (t == NULL)
		t = tier_new(all, origin);
	if (t == NULL) {
		log_error("origin %s: no memory to hear its invalidations; a reload tries again",
		    o->name);
		return;
	}
	if (was_tracked && config_origin_same(t->cfg, o) && same_names(t, r, o))
		return;
	if (was_tracked)
		tier_close(t);
	tier_begin(t, r, o, was_tracked);
}

void
tiers_configure(struct tiers *t)
{
	for (int i = 0; i < STATS_ORIGINS; i++)
		configure_one(t, i, t->sl->origins->routes);
}

bool
tiers_status(const struct tiers *t, int origin, struct tier_status *out)
{
	const struct tier *tier = t->tiers[origin];

	if (tier == NULL || tier->routes == NULL)
		return false;
	*out = (struct tier_status){
		.verified = near_is_verified(tier->near),
		.walking = !near_walk_is_done(&tier->walk),
		.channels = { .error = "" },
	};
	if (tier->tracker != NULL)
		redis_tracker_state(tier->tracker, &out->channels);
	near_counts(tier->near, &out->counts);
	return true;
}
