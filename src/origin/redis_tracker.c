/* Who the servers are is learnt as a transport learns it, from a map of its own that
 * never carries a request. */
#include "config.h"

#include "origin/redis_tracker.h"

#include <errno.h>

#include "base/mem.h"
#include "origin/redis_impl.h"

struct server {
	struct list link;
	struct redis_tracker *tracker;
	struct redis_channel *channel;
	bool found; /* by the last look */
};

struct redis_tracker {
	struct redis_tracker_opts opts;
	struct transport *transport;
	struct list servers;
	bool known;    /* who they are */
	bool verified; /* and said so */
};

static bool
all_live(const struct redis_tracker *t)
{
	list_foreach(it, &t->servers)
		if (redis_channel_state(list_entry(it, struct server, link)->channel) != TRACK_LIVE)
			return false;
	return t->known && !list_empty(&t->servers);
}

static void
look_verified(struct redis_tracker *t)
{
	if (!all_live(t))
		return;
	t->verified = true;
	t->opts.verified(t->opts.arg);
}

static void
on_live(void *arg, struct redis_channel *c)
{
	(void)c;
	look_verified(((struct server *)arg)->tracker);
}

static void
on_lost(void *arg, struct redis_channel *c, int64_t proof_ms, const char *why)
{
	struct redis_tracker *t = ((struct server *)arg)->tracker;
	bool was = t->verified;

	(void)c;
	t->verified = false;
	redis_tracker_look(t);
	if (was)
		t->opts.lost(t->opts.arg, proof_ms, why);
}

/* It may be no server of ours any more. */
static void
on_refused(void *arg, struct redis_channel *c, const char *why)
{
	struct redis_tracker *t = ((struct server *)arg)->tracker;

	(void)c;
	redis_tracker_look(t);
	t->opts.refused(t->opts.arg, why);
}

static void
on_key(void *arg, struct slice server_key)
{
	const struct redis_tracker *t = ((struct server *)arg)->tracker;

	t->opts.key(t->opts.arg, server_key);
}

static void
on_flush(void *arg)
{
	const struct redis_tracker *t = ((struct server *)arg)->tracker;

	t->opts.flush(t->opts.arg);
}

/* --- who they are --------------------------------------------------------------------- */

static void
server_free(struct server *s)
{
	list_del(&s->link);
	redis_channel_close(s->channel);
	mem_free(s);
}

static int
server_add(struct redis_tracker *t, const struct redis_address *to)
{
	const struct config_origin *cfg = t->opts.cfg;
	struct server *s = mem_zalloc(sizeof *s);
	struct redis_channel_opts o = {
		.node = &t->transport->node_opts,
		.to = to,
		.prefixes = t->opts.prefixes,
		.n_prefixes = t->opts.n_prefixes,
		.track = { cfg->redis_tracking_ping_ms, cfg->redis_tracking_timeout_ms },
		.live = on_live,
		.lost = on_lost,
		.refused = on_refused,
		.key = on_key,
		.flush = on_flush,
		.arg = s,
	};

	if (s == NULL)
		return -ENOMEM;
	s->tracker = t;
	s->found = true;
	if (redis_channel_open(&o, &s->channel) != 0) {
		mem_free(s);
		return -ENOMEM;
	}
	list_push_tail(&t->servers, &s->link);
	return 0;
}

/* False: no memory. Then who is there now is not all, and the next look tries again. */
static bool
on_master(void *arg, const struct redis_address *to)
{
	struct redis_tracker *t = arg;

	list_foreach(it, &t->servers) {
		struct server *s = list_entry(it, struct server, link);

		if (strcmp(redis_channel_address(s->channel)->name, to->name) == 0) {
			s->found = true;
			return true;
		}
	}
	return server_add(t, to) == 0;
}

/* A server that takes no writes any more needs no channel; one that is new has none
 * yet, so nothing is verified until it has one. What is here was told of by those that
 * had the keys until now: a key that moves is told of as it is removed there. */
static void
on_servers(void *arg)
{
	struct redis_tracker *t = arg;

	list_foreach(it, &t->servers)
		list_entry(it, struct server, link)->found = false;
	t->known = t->transport->ops->masters(t->transport, on_master, t);
	list_foreach_safe(it, &t->servers)
		if (!list_entry(it, struct server, link)->found)
			server_free(list_entry(it, struct server, link));
	look_verified(t);
}

void
redis_tracker_look(struct redis_tracker *t)
{
	redis_refresh(t->transport);
}

/* --- its life ---------------------------------------------------------------------------- */

int
redis_tracker_open(const struct redis_tracker_opts *o, struct redis_tracker **out)
{
	struct transport_opts to = { .loop = o->loop, .cfg = o->cfg, .stats = o->stats };
	struct redis_tracker *t = mem_zalloc(sizeof *t);
	int rc;

	if (t == NULL)
		return -ENOMEM;
	t->opts = *o;
	list_init(&t->servers);
	rc = redis_transport.open(&to, &t->transport);
	if (rc == 0)
		rc = redis_watch_servers(t->transport, on_servers, t);
	if (rc != 0) {
		redis_tracker_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

void
redis_tracker_close(struct redis_tracker *t)
{
	if (t == NULL)
		return;
	list_foreach_safe(it, &t->servers)
		server_free(list_entry(it, struct server, link));
	if (t->transport != NULL)
		redis_transport.close(t->transport);
	mem_free(t);
}

void
redis_tracker_state(const struct redis_tracker *t, struct redis_tracker_state *out)
{
	*out = (struct redis_tracker_state){ .error = "" };
	list_foreach(it, &t->servers) {
		const struct redis_channel *c = list_entry(it, struct server, link)->channel;
		bool live = redis_channel_state(c) == TRACK_LIVE;

		out->channels++;
		out->live += live;
		out->redirected += live && redis_channel_is_redirected(c);
		if (!live && out->error[0] == '\0')
			out->error = redis_channel_error(c);
	}
	if (!t->known && out->error[0] == '\0')
		out->error = t->transport->why;
}
