#include "config.h"

#include "server/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/server.h"
#include "server/session.h"

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

bool
session_is_unix(const struct session *s)
{
	return strncmp(s->addr, "unix:", 5) == 0;
}

void
session_addresses(const struct session *s, char *local, char *peer)
{
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "0";
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof a;

	if (session_is_unix(s)) {
		snprintf(local, ADDRESS_MAX, "%s:0", s->addr + 5);
		snprintf(peer, ADDRESS_MAX, "%s:0", s->addr + 5);
		return;
	}
	snprintf(local, ADDRESS_MAX, "%s", strchr(s->addr, ':') + 1);
	if (getpeername(conn_fd(s->conn), (struct sockaddr *)&a, &len) == 0)
		getnameinfo((struct sockaddr *)&a, len, host, sizeof host, port, sizeof port,
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(peer, ADDRESS_MAX, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
