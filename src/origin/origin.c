/* The origins of a loop: a client for each, with its transport, its part of the guard, its
 * queue and its open fetches. What becomes of a fetch is fetch.c's. */
#include "config.h"

#include "origin/origin.h"

#include <errno.h>

#include "base/mem.h"
#include "origin/origin_impl.h"

/* By enum origin_kind. */
static const struct transport_ops *const transports[] = {
	[ORIGIN_HTTP] = &http_transport,
	[ORIGIN_REDIS] = &redis_transport,
};

const struct transport_ops *
transport_of(const struct config_origin *cfg)
{
	return transports[cfg->kind];
}

static void
on_room(void *arg)
{
	fetch_pump(arg);
}

static int
client_open(struct origin_client *oc, struct guards *guards)
{
	int rc = oc->ops->open(&(struct transport_opts){ .loop = oc->loop, .cfg = oc->cfg,
	    .stats = oc->stats, .ended = on_room, .arg = oc }, &oc->transport);

	if (rc != 0) {
		oc->transport = NULL;
		return rc;
	}
	oc->guard = guard_get(guards, oc->cfg);
	if (oc->guard != NULL)
		oc->member = guard_join(oc->guard, oc->loop, on_room, oc);
	return oc->member != NULL ? origin_checks_new(oc, &oc->checks) : -ENOMEM;
}

int
origin_client_new(struct loop *l, struct guards *guards, const struct config_origin *cfg,
    struct stats_origin *stats, struct origin_client **out)
{
	struct origin_client *oc = mem_zalloc(sizeof *oc);
	int rc;

	if (oc == NULL)
		return -ENOMEM;
	oc->loop = l;
	oc->cfg = cfg;
	oc->stats = stats;
	oc->ops = transport_of(cfg);
	oc->n_endpoints = oc->ops->endpoints(cfg);
	list_init(&oc->open);
	for (unsigned i = 0; i < QUEUES; i++)
		list_init(&oc->queue[i]);
	rc = client_open(oc, guards);
	if (rc != 0) {
		origin_client_free(oc);
		return rc;
	}
	*out = oc;
	return 0;
}

void
origin_client_free(struct origin_client *oc)
{
	if (oc == NULL)
		return;
	oc->closing = true;
	while (!list_empty(&oc->open))
		fetch_close(fetch_first(oc));
	origin_checks_free(oc->checks);
	if (oc->member != NULL)
		guard_leave(oc->member);
	guard_unref(oc->guard);
	if (oc->transport != NULL)
		oc->ops->close(oc->transport);
	mem_free(oc);
}

int
origin_fetch_start(struct origin_client *oc, const struct origin_request *rq, origin_done *done,
    void *arg, struct origin_fetch **out)
{
	struct origin_fetch *f;

	if (oc->closing)
		return -ENOMEM;
	f = fetch_new(oc, rq, done, arg);
	if (f == NULL)
		return -ENOMEM;
	fetch_begin(f);
	*out = f;
	return 0;
}

int
origin_prepare(const struct config *cfg, char *err, size_t err_size)
{
	int rc = 0;

	for (unsigned i = 0; i < cfg->n_origins && rc == 0; i++)
		rc = transport_of(&cfg->origins[i])->prepare(&cfg->origins[i], err, err_size);
	return rc;
}

unsigned
origin_endpoints(const struct config_origin *cfg)
{
	return transport_of(cfg)->endpoints(cfg);
}

const char *
origin_endpoint_name(const struct config_origin *cfg, unsigned endpoint)
{
	return transport_of(cfg)->endpoint_name(cfg, endpoint);
}
