/* handover.h - the old process's side of a hand-over (doc/handover.md): listens for a
 * successor on the socket of `handover:`, and gives it listeners, contents and clients.
 *
 * Loop 0's. The loops stand still at a barrier while the state is written; until the
 * successor has said that it has taken everything, nothing is given up, and whatever fails
 * the loops just go on. */
#ifndef PANNIER_SERVER_HANDOVER_H
#define PANNIER_SERVER_HANDOVER_H

#include "server/server.h"

struct handover;

/* 0 with *out NULL where the configuration has no such socket; -errno with err. */
int handover_new(struct server *s, struct handover **out, char *err, size_t err_size) MUST_CHECK;
/* All of these take NULL. */
void handover_start(struct handover *h);
/* Gives up what is under way. While the loops still run, or after. */
void handover_stop(struct handover *h);
void handover_free(struct handover *h);
struct listener *handover_listener(const struct handover *h);

#endif
