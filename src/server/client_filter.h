/* client_filter.h - which connections CLIENT LIST and CLIENT KILL are about. */
#ifndef PANNIER_SERVER_CLIENT_FILTER_H
#define PANNIER_SERVER_CLIENT_FILTER_H

#include "server/session.h"

/* Every client is a normal one or listens; the other types that Redis knows are
 * empty. */
enum client_type { CLIENT_ANY, CLIENT_NORMAL, CLIENT_PUBSUB, CLIENT_NOBODY };

/* False: there is no such type, and the error reply is written. */
bool client_type_parse(struct call *c, struct slice word, enum client_type *out) MUST_CHECK;
bool client_is_of(const struct session *s, enum client_type type);

#endif
