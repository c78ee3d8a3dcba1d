/* origin_impl.h - what origin.c (the client of a loop), fetch.c (the life of a fetch) and
 * origin_check.c (health checks) share. Nobody else includes it. */
#ifndef PANNIER_ORIGIN_ORIGIN_IMPL_H
#define PANNIER_ORIGIN_ORIGIN_IMPL_H

#include "base/list.h"
#include "origin/guard.h"
#include "origin/origin.h"
#include "origin/transport.h"

/* Of those that wait: requests that somebody waits for, and refreshes. */
enum { QUEUE_FRONT, QUEUE_BACK, QUEUES };

struct origin_checks;

struct origin_client {
	struct loop *loop;
	const struct config_origin *cfg;
	struct stats_origin *stats;
	const struct transport_ops *ops;
	struct transport *transport;
	struct guard *guard;
	struct guard_member *member;
	struct origin_checks *checks; /* NULL: none configured */
	unsigned n_endpoints;
	struct list open;             /* by origin_fetch.link */
	struct list queue[QUEUES];    /* by origin_fetch.queue_link, oldest first */
	unsigned n_queued[QUEUES];
	bool closing;
};

/* fetch.c */
/* A fetch in no list yet. NULL: no memory. */
struct origin_fetch *fetch_new(struct origin_client *oc, const struct origin_request *rq,
    origin_done *done, void *arg);
/* Sends it off, or lets it wait. Calls no done(). */
void fetch_begin(struct origin_fetch *f);
/* Answers it with "closed". */
void fetch_close(struct origin_fetch *f);
/* Lets those go that wait, as many as can. Calls no done(). */
void fetch_pump(struct origin_client *oc);
/* The first open fetch; there is one. */
struct origin_fetch *fetch_first(struct origin_client *oc);

/* origin_check.c */
/* 0 or -ENOMEM; *out is NULL where no checks are configured. */
int origin_checks_new(struct origin_client *oc, struct origin_checks **out) MUST_CHECK;
void origin_checks_free(struct origin_checks *c); /* before the transport; NULL is fine */

#endif
