/* redis_tracker.h - all channels of one origin: one to each server that takes writes
 * (doc/near.md). It is verified while all of them are live.
 *
 * Belongs to one loop. Callbacks come from the loop, never from within a call. */
#ifndef PANNIER_ORIGIN_REDIS_TRACKER_H
#define PANNIER_ORIGIN_REDIS_TRACKER_H

#include "config/config.h"
#include "origin/redis_channel.h"
#include "stats/stats.h"

struct redis_tracker;

struct redis_tracker_opts {
	struct loop *loop;
	const struct config_origin *cfg; /* outlives the tracker, as do the prefixes */
	struct stats_origin *stats;      /* of the loop */
	const struct slice *prefixes;    /* see redis_channel.h */
	unsigned n_prefixes;
	void (*verified)(void *arg);
	void (*lost)(void *arg, int64_t proof_ms, const char *why); /* after verified() */
	void (*refused)(void *arg, const char *why); /* a channel cannot be had now */
	void (*key)(void *arg, struct slice server_key);
	void (*flush)(void *arg);
	void *arg;
};

/* 0, -ENOMEM, -EINVAL (an endpoint is none), -ENOTSUP (TLS cannot be had). */
int redis_tracker_open(const struct redis_tracker_opts *o, struct redis_tracker **out) MUST_CHECK;
void redis_tracker_close(struct redis_tracker *t); /* NULL is fine; without callbacks */
/* Servers were found to be others than was thought: they are asked, and verified()
 * comes (again) when all that are found have live channels. */
void redis_tracker_look(struct redis_tracker *t);

struct redis_tracker_state {
	unsigned channels, live, redirected;
	const char *error; /* of the first that is not live; "" if none says why */
};
void redis_tracker_state(const struct redis_tracker *t, struct redis_tracker_state *out);

#endif
