/* reload.c - another configuration while running. A configuration is immutable
 * and exchanged as a whole: each loop takes the new one in a turn of its own,
 * and the old one goes when the last reference does. */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/door.h"
#include "server/internal.h"
#include "server/session.h"
#include "store/tiers.h"

struct adopt {
	struct loop_task task;
	struct server_loop *sl;
	struct origin_set *origins;
	struct doors *doors;
};

/* Who is in stays in, by the rules of now. */
static void
change_doors(struct server_loop *sl, struct doors *d)
{
	list_foreach(it, &sl->sessions) {
		struct session *s = list_entry(it, struct session, link);

		s->policy = doors_policy(d, s->listener);
		door_update(s);
	}
	doors_unref(sl->doors);
	sl->doors = d;
}

/* As configuration and memory are now, which is what counts, however many changes were
 * posted meanwhile. */
static void
take_limits(struct server_loop *sl)
{
	struct server *s = sl->server;
	const struct config *cfg = server_config(sl);
	struct conn_limits conn;

	pthread_mutex_lock(&s->config_lock);
	conn = server_conn_limits(s, cfg);
	sl->limits = server_resp_limits(s, cfg);
	pthread_mutex_unlock(&s->config_lock);
	sl->stranger_limits = server_stranger_limits(&sl->limits);
	conn_pool_set_limits(sl->pool, &conn);
}

static void
limit_run(struct loop *l UNUSED, struct loop_task *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, limit);

	atomic_store(&sl->limiting, false);
	take_limits(sl);
}

void
server_post_limits(struct server *s)
{
	for (unsigned i = 0; i < s->n_loops; i++) {
		struct server_loop *sl = &s->loops[i];

		sl->limit.run = limit_run;
		if (!atomic_exchange(&sl->limiting, true))
			loop_post(sl->loop, &sl->limit);
	}
}

static void
adopt_run(struct loop *l, struct loop_task *t)
{
	struct adopt *a = container_of(t, struct adopt, task);

	(void)l;
	store_loop_set_routes(a->sl->store, &a->origins);
	if (a->sl == &a->sl->server->loops[0])
		tiers_configure(a->sl->server->tiers);
	take_limits(a->sl);
	change_doors(a->sl, a->doors);
	timing_configure(a->sl, routes_config(store_loop_routes(a->sl->store)));
	mem_free(a);
}

static void
free_adopts(struct adopt **all, unsigned n)
{
	for (unsigned i = 0; i < n && all[i] != NULL; i++) {
		origin_set_free(all[i]->origins);
		mem_free(all[i]);
	}
	mem_free(all);
}

/* All or none, so that no loop is left behind for lack of memory. */
static struct adopt **
make_adopts(unsigned n, struct routes *r)
{
	struct adopt **all = mem_calloc(n, sizeof *all);

	for (unsigned i = 0; all != NULL && i < n; i++) {
		all[i] = mem_zalloc(sizeof *all[i]);
		if (all[i] != NULL)
			all[i]->origins = origin_set_new(r);
		if (all[i] == NULL || all[i]->origins == NULL) {
			free_adopts(all, n);
			return NULL;
		}
	}
	return all;
}

static void
apply_memory(struct server *s, const struct memory_plan *plan)
{
	if (plan->limit_bytes != s->memory.plan.limit_bytes && cache_resize(store_cache(s->store),
	    plan->arena_bytes) == 0)
		s->memory.arena_bytes = plan->arena_bytes;
	s->memory.plan = *plan;
	s->memory.above_bytes = 0;
}

/* The loops get it by post, this one too: nothing changes under a handler. */
static void
hand_out(struct server *s, struct adopt **all)
{
	for (unsigned i = 0; i < s->n_loops; i++) {
		*all[i] = (struct adopt){
			.task.run = adopt_run,
			.sl = &s->loops[i],
			.origins = all[i]->origins,
			.doors = doors_ref(s->doors),
		};
		loop_post(s->loops[i].loop, &all[i]->task);
	}
	mem_free(all);
}

static int
publish_locked(struct server *s, struct config *cfg, char *err, size_t err_size)
{
	struct memory_plan plan;
	struct doors *doors = NULL;
	struct routes *r;
	struct adopt **all = NULL;
	int rc;

	if (cfg->memory == CONFIG_AUTO)
		follow_look_locked(s);
	rc = server_plan_memory(s, cfg, s->memory.plan.base_bytes, &plan, err, err_size);
	if (rc == 0)
		rc = server_check_minimums(cfg, &plan, err, err_size);
	if (rc == 0)
		rc = server_prepare_origins(cfg, err, err_size);
	if (rc == 0)
		rc = server_number_names(s, cfg, err, err_size);
	if (rc == 0)
		rc = doors_new(cfg, s->doors, &doors, err, err_size);
	if (rc != 0) {
		config_free(cfg);
		return rc;
	}
	r = routes_new(cfg);
	if (r != NULL)
		all = make_adopts(s->n_loops, r);
	if (all == NULL || store_prepare(s->store, r) != 0 || tiers_prepare(s->store, r) != 0) {
		if (all != NULL)
			free_adopts(all, s->n_loops);
		routes_unref(r);
		doors_unref(doors);
		snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	log_set_level((enum log_level)routes_config(r)->log_level);
	apply_memory(s, &plan);
	follow_warn_locked(s, routes_config(r)->memory);
	server_limit_tracking(s, routes_config(r));
	store_set_routes(s->store, r);
	doors_unref(s->doors);
	s->doors = doors;
	hand_out(s, all);
	routes_unref(s->routes);
	s->routes = r;
	return 0;
}

int
server_publish(struct server *s, struct config *cfg, char *err, size_t err_size)
{
	int rc;

	pthread_mutex_lock(&s->config_lock);
	rc = publish_locked(s, cfg, err, err_size);
	pthread_mutex_unlock(&s->config_lock);
	return rc;
}

int
server_config_set(struct server *s, unsigned row, struct slice value, struct config_error *err)
{
	struct config *cfg;
	int rc;

	pthread_mutex_lock(&s->config_lock);
	cfg = config_clone(routes_config(s->routes));
	if (cfg == NULL) {
		snprintf(err->text, sizeof err->text, "out of memory");
		rc = -ENOMEM;
	} else if ((rc = config_option_set(cfg, row, value, err)) != 0) {
		config_free(cfg);
	} else {
		rc = publish_locked(s, cfg, err->text, sizeof err->text);
	}
	pthread_mutex_unlock(&s->config_lock);
	return rc;
}

/* Options that only a restart changes keep their old value, and say so. */
static void
warn_of_restart(const struct config *old, const struct config *new)
{
	char was[128], is[128];

	for (unsigned row = 0; row < config_option_count(); row++) {
		if (config_option_runtime(row))
			continue;
		config_option_get(old, row, false, was, sizeof was);
		config_option_get(new, row, false, is, sizeof is);
		if (strcmp(was, is) != 0)
			log_warn("reload: %s changed from %s to %s, which needs a restart",
			    config_option_name(row), was, is);
	}
	if (old->n_streams != new->n_streams)
		log_warn("reload: invalidations changed, which needs a restart");
	if (old->n_listens != new->n_listens)
		log_warn("reload: listen changed, which needs a restart");
}

bool
server_reload(struct server *s)
{
	struct config *cfg;
	char err[512];

	if (s->reload == NULL) {
		log_warn("reload: there is no configuration to read again");
		return false;
	}
	if (s->reload(s->reload_arg, &cfg, err, sizeof err) != 0) {
		log_error("reload: %s; the old configuration stays", err);
		return false;
	}
	warn_of_restart(routes_config(s->routes), cfg);
	if (server_publish(s, cfg, err, sizeof err) != 0) {
		log_error("reload: %s; the old configuration stays", err);
		return false;
	}
	log_info("reload: done");
	return true;
}
