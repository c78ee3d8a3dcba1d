/* redis_channel.h - invalidations of one Redis server, as they come: client tracking in
 * broadcast mode, over RESP3 pushes on one connection, or, where HELLO 3 is refused,
 * redirected to a second one that subscribes (doc/near.md). Opens itself again for
 * ever; when it is asked and given up is redis_track.h's.
 *
 * Belongs to one loop. Callbacks come from the loop, never from within a call; the
 * channel may be closed in them. */
#ifndef PANNIER_ORIGIN_REDIS_CHANNEL_H
#define PANNIER_ORIGIN_REDIS_CHANNEL_H

#include "origin/redis_node.h"
#include "origin/redis_track.h"

struct redis_channel;

struct redis_channel_opts {
	const struct redis_node_opts *node; /* how to connect; callbacks are not looked at */
	const struct redis_address *to;     /* copied */
	/* Of the server's keys; none begins with another one, and "" is alone. They and what
	 * `node` points to outlive the channel. */
	const struct slice *prefixes;
	unsigned n_prefixes;
	struct track_opts track;
	/* It tells of every write that the server executes from now on. */
	void (*live)(void *arg, struct redis_channel *c);
	/* After live(): what was written after proof_ms may never be told. */
	void (*lost)(void *arg, struct redis_channel *c, int64_t proof_ms, const char *why);
	/* It could not be opened, or its tracking is refused; it will be tried again. */
	void (*refused)(void *arg, struct redis_channel *c, const char *why);
	/* Only while it is live, and before that for what is told early. */
	void (*key)(void *arg, struct slice server_key);
	void (*flush)(void *arg);
	void *arg;
};

/* 0 or -ENOMEM. */
int redis_channel_open(const struct redis_channel_opts *o, struct redis_channel **out) MUST_CHECK;
void redis_channel_close(struct redis_channel *c); /* NULL is fine; lost() is not called */

enum track_state redis_channel_state(const struct redis_channel *c);
const struct redis_address *redis_channel_address(const struct redis_channel *c);
/* Whether it is live over RESP2, with two connections. */
bool redis_channel_is_redirected(const struct redis_channel *c);
/* Why it is not live; "" before the first attempt. One line. */
const char *redis_channel_error(const struct redis_channel *c);

#endif
