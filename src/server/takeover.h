/* takeover.h - the new process's side of a hand-over (doc/handover.md). Before its loops
 * run, on one thread. */
#ifndef PANNIER_SERVER_TAKEOVER_H
#define PANNIER_SERVER_TAKEOVER_H

#include "cache/pass.h"
#include "server/server.h"

struct takeover;

/* Asks who listens on the path of `handover:`; its listeners are in inherit.h then. 0; 1:
 * nobody is there, *out is NULL; -errno with err. */
int takeover_begin(const char *path, struct takeover **out, char *err, size_t err_size)
    MUST_CHECK;
/* Those contents do not fit to this configuration: they are not taken. NULL is fine. */
void takeover_choose(struct takeover *t, const struct config *cfg);
/* What the cache begins with; NULL: nothing. */
const struct cache_past *takeover_past(const struct takeover *t);
/* s is complete: takes all that the other one has, and its place. 0: the other one is no
 * more than a process that ends; -errno with err: it goes on. */
int takeover_finish(struct takeover *t, struct server *s, char *err, size_t err_size)
    MUST_CHECK;
void takeover_free(struct takeover *t); /* NULL is fine */

#endif
