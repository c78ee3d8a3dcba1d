#include "config.h"

#include "server/address.h"

#include <stdlib.h>
#include <string.h>

#include "server/server.h"

static const struct listener *
first_of_kind(const struct server *s, enum listen_kind kind)
{
	for (unsigned i = 0; i < s->n_listeners; i++)
		if (s->listeners[i] != NULL && listener_opts(s->listeners[i])->kind == kind)
			return s->listeners[i];
	return NULL;
}

/* The name has the port that was really taken, where the option was 0. */
unsigned
server_tcp_port(const struct server *s)
{
	const struct listener *l = first_of_kind(s, LISTEN_TCP);
	const char *colon = l != NULL ? strrchr(listener_name(l), ':') : NULL;

	return colon != NULL ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

const char *
server_unix_path(const struct server *s)
{
	const struct listener *l = first_of_kind(s, LISTEN_UNIX);

	return l != NULL ? listener_opts(l)->path : "";
}
