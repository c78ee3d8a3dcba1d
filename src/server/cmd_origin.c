/* PANNIER.ORIGIN: what the guards of the origins know, and how people overrule them. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/clock.h"
#include "origin/guard.h"
#include "origin/origin.h"
#include "server/help.h"
#include "server/server.h"
#include "store/near.h"

#define STATE_PAIRS 18
#define ENDPOINT_PAIRS 8

static const struct config *
config_of(const struct call *c)
{
	return routes_config(store_loop_routes(c->store));
}

/* NULL: there is none, and the error reply is written. */
static const struct config_origin *
find_origin(struct call *c)
{
	const struct config *cfg = config_of(c);

	for (unsigned i = 0; i < cfg->n_origins; i++)
		if (slice_eq(c->argv[2], slice_str(cfg->origins[i].name)))
			return &cfg->origins[i];
	reply_error(c->reply, "ERR no such origin; PANNIER.ORIGIN LIST names them");
	return NULL;
}

/* What a guard answered; a reload may have taken the origin away meanwhile. */
static bool
told(struct call *c, int rc)
{
	if (rc == 0)
		return true;
	reply_error(c->reply, rc == -ENOENT ? "ERR no such origin; PANNIER.ORIGIN LIST names them" :
	    "ERR no such endpoint; PANNIER.ORIGIN STATE names them");
	return false;
}

void
cmd_pannier_origin_list(struct call *c)
{
	const struct config *cfg = config_of(c);

	reply_array(c->reply, cfg->n_origins);
	for (unsigned i = 0; i < cfg->n_origins; i++)
		reply_bulk_str(c->reply, cfg->origins[i].name);
}

/* --- state ----------------------------------------------------------------------------- */

static void
pair_text(struct reply *r, const char *name, const char *value)
{
	reply_bulk_str(r, name);
	reply_bulk_str(r, value);
}

static void
pair_int(struct reply *r, const char *name, int64_t value)
{
	reply_bulk_str(r, name);
	reply_int(r, value);
}

static const char *
force_name(enum breaker_force force)
{
	static const char *const names[] = { [BREAKER_AUTO] = "auto",
		[BREAKER_FORCE_CLOSED] = "closed", [BREAKER_FORCE_OPEN] = "open" };

	return names[force];
}

static const char *
endpoint_state_name(enum guard_endpoint_state state)
{
	static const char *const names[] = { [GUARD_ENDPOINT_IN] = "in",
		[GUARD_ENDPOINT_EJECTED] = "ejected", [GUARD_ENDPOINT_DOWN] = "down",
		[GUARD_ENDPOINT_OUT] = "out" };

	return names[state];
}

static void
reply_endpoint(struct reply *r, const char *name, const struct guard_endpoint *e)
{
	reply_map(r, ENDPOINT_PAIRS);
	pair_text(r, "endpoint", name);
	pair_text(r, "state", endpoint_state_name(e->state));
	pair_int(r, "back-in-ms", e->left_us / 1000);
	pair_int(r, "in-flight", e->in_flight);
	pair_int(r, "failures-in-a-row", e->failures);
	pair_int(r, "share-percent", e->share_pct);
	pair_int(r, "checks-passed", (int64_t)e->checks_passed);
	pair_int(r, "checks-failed", (int64_t)e->checks_failed);
}

static void
reply_endpoints(struct call *c, const struct config_origin *o, int64_t now_us)
{
	struct guards *gs = store_guards(c->sl->server->store);
	unsigned n = origin_endpoints(o);

	reply_bulk_str(c->reply, "endpoints");
	reply_array(c->reply, n);
	for (unsigned i = 0; i < n; i++) {
		struct guard_endpoint e = { 0 };

		/* Of one that a reload has just taken away nothing is known. */
		(void)!guards_view_endpoint(gs, o->name, i, now_us, &e);
		reply_endpoint(c->reply, origin_endpoint_name(o, i), &e);
	}
}

static void
reply_view(struct reply *r, const struct config_origin *o, const struct guard_view *v)
{
	pair_text(r, "name", o->name);
	pair_text(r, "breaker", guard_breaker_name(v));
	pair_text(r, "forced", force_name(v->force));
	pair_int(r, "open-for-ms", v->force == BREAKER_AUTO ? v->window.open_left_us / 1000 : 0);
	pair_int(r, "window-calls", v->window.calls);
	pair_int(r, "window-failed", v->window.failed);
	pair_int(r, "window-slow", v->window.slow);
	pair_int(r, "opened", (int64_t)v->breaker_counts.opened);
	pair_int(r, "in-flight", v->in_flight);
	pair_int(r, "limit", v->limit);
	pair_int(r, "queued", v->waiting);
	pair_int(r, "service-us", v->service_us);
	pair_int(r, "hedge-after-us", v->hedge_us);
	pair_int(r, "next-turn-us", v->rate_wait_us);
	pair_int(r, "retries-left", (int64_t)v->retries_left);
	pair_int(r, "panic", v->panic);
}

void
cmd_pannier_origin_state(struct call *c)
{
	const struct config_origin *o = find_origin(c);
	int64_t now_us = clock_mono_us();
	struct guard_view v;

	if (o == NULL || !told(c, guards_view(store_guards(c->sl->server->store), o->name, now_us,
	    &v)))
		return;
	reply_map(c->reply, STATE_PAIRS);
	reply_view(c->reply, o, &v);
	pair_text(c->reply, "tracking", near_state_name(store_near_of(c->sl->server->store,
	    o->stats_id)));
	reply_endpoints(c, o, now_us);
}

/* --- orders -------------------------------------------------------------------------------- */

void
cmd_pannier_origin_force(struct call *c)
{
	static const struct {
		struct slice word;
		enum breaker_force force;
	} words[] = {
		{ { "OPEN", 4 }, BREAKER_FORCE_OPEN }, { { "CLOSED", 6 }, BREAKER_FORCE_CLOSED },
		{ { "AUTO", 4 }, BREAKER_AUTO },
	};
	const struct config_origin *o = find_origin(c);

	for (unsigned i = 0; o != NULL && i < ARRAY_LEN(words); i++) {
		if (!slice_caseeq(c->argv[3], words[i].word))
			continue;
		if (told(c, guards_force(store_guards(c->sl->server->store), o->name,
		    words[i].force, clock_mono_us())))
			reply_ok(c->reply);
		return;
	}
	if (o != NULL)
		reply_error(c->reply, "ERR the state must be OPEN, CLOSED or AUTO");
}

/* The endpoint by what the configuration calls it; the number of one that is none is out of
 * range. */
static unsigned
find_endpoint(const struct call *c, const struct config_origin *o)
{
	unsigned n = origin_endpoints(o), i = 0;

	while (i < n && !slice_eq(c->argv[3], slice_str(origin_endpoint_name(o, i))))
		i++;
	return i;
}

void
cmd_pannier_origin_eject(struct call *c)
{
	const struct config_origin *o = find_origin(c);

	if (o != NULL && told(c, guards_eject(store_guards(c->sl->server->store), o->name,
	    find_endpoint(c, o))))
		reply_ok(c->reply);
}

void
cmd_pannier_origin_restore(struct call *c)
{
	const struct config_origin *o = find_origin(c);

	if (o != NULL && told(c, guards_restore(store_guards(c->sl->server->store), o->name,
	    find_endpoint(c, o), clock_mono_us())))
		reply_ok(c->reply);
}

void
cmd_pannier_origin_help(struct call *c)
{
	static const char *const lines[] = {
		"LIST",
		"    Return the names of the origins.",
		"STATE <name>",
		"    Return what the origin's guard knows: of its breaker, queue and endpoints.",
		"FORCE <name> OPEN|CLOSED|AUTO",
		"    Force the circuit breaker into a state, or let it decide again.",
		"EJECT <name> <endpoint>",
		"    Ask this endpoint no more until it is restored.",
		"RESTORE <name> <endpoint>",
		"    Ask it again, also if it was ejected for its failures.",
	};

	help_reply(c, lines, ARRAY_LEN(lines));
}
