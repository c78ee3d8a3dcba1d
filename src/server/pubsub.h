/* pubsub.h - who listens to what, and messages on their way to them.
 *
 * One registry for the daemon, under one lock: the names that anybody listens
 * to, with how many do on each loop. A subscription itself belongs to its
 * session's loop. PUBLISH looks up, counts and numbers the message under the
 * lock, so that its answer is exact; then the loops that have listeners get one
 * shared message by loop_post(), which keeps the order of one publisher. Who
 * subscribes while a message is on its way does not get it: a subscription
 * knows the number of the last message before it. */
#ifndef PANNIER_SERVER_PUBSUB_H
#define PANNIER_SERVER_PUBSUB_H

#include "base/list.h"
#include "base/slice.h"
#include "proto/msg.h"

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD, PUBSUB_KINDS };

struct pubsub;
struct server_loop;
struct session;

/* A session's part. */
struct pubsub_client {
	struct list subs[PUBSUB_KINDS]; /* in the order of subscribing */
	unsigned n[PUBSUB_KINDS];
};

struct pubsub *pubsub_new(unsigned n_loops); /* NULL: no memory */
/* When no session is left and all tasks of the loops have run. NULL is fine. */
void pubsub_free(struct pubsub *p);

/* --- for a session, on its loop ------------------------------------------------ */

void pubsub_client_init(struct pubsub_client *c);
/* Silently drops all subscriptions. */
void pubsub_client_gone(struct session *s);
/* 0, also where it listens already; -ENOMEM with nothing changed. */
int pubsub_subscribe(struct session *s, enum pubsub_kind kind, struct slice name) MUST_CHECK;
void pubsub_unsubscribe(struct session *s, enum pubsub_kind kind, struct slice name);
/* The oldest of that kind, its name good until it is dropped; false: there is none. */
bool pubsub_oldest(const struct session *s, enum pubsub_kind kind, struct slice *name);
/* All of that kind, oldest first: *it NULL for the first, then as it was left. False: no
 * more. */
bool pubsub_next(const struct session *s, enum pubsub_kind kind, const struct list **it,
    struct slice *name);
bool pubsub_listens(const struct pubsub_client *c);

/* --- from any loop --------------------------------------------------------------- */

/* Hands the message to all who listen, those of this loop at once. How many
 * they are, a client for each of its subscriptions that match; -ENOMEM, and
 * then nobody gets it. */
int64_t pubsub_publish(struct server_loop *sl, bool shard, struct slice channel,
    struct slice text) MUST_CHECK;
/* Subscriptions to this name. */
size_t pubsub_listeners(struct server_loop *sl, enum pubsub_kind kind, struct slice name);
/* Names that anybody listens to. */
size_t pubsub_names(struct pubsub *p, enum pubsub_kind kind);
/* Writes an array of those names that match; pattern NULL: all. False, with
 * nothing written: the pattern takes too much work. */
bool pubsub_reply_names(struct pubsub *p, enum pubsub_kind kind, const struct slice *pattern,
    struct reply *r) MUST_CHECK;

#endif
