/* address.h - where a running server listens, for CONFIG GET and INFO, and who a
 * client is. */
#ifndef PANNIER_SERVER_ADDRESS_H
#define PANNIER_SERVER_ADDRESS_H

#include <stdbool.h>

struct server;
struct session;

/* Of the first listener of the kind; 0 and "" where there is none. */
unsigned server_tcp_port(const struct server *s);
const char *server_unix_path(const struct server *s);

#define ADDRESS_MAX 160 /* a socket's path has at most 107 bytes */

bool session_is_unix(const struct session *s);
/* As CLIENT LIST shows them; each has room for ADDRESS_MAX bytes. Clients of a Unix
 * socket have no address: Redis shows the socket's twice, with a port of 0. */
void session_addresses(const struct session *s, char *local, char *peer);

#endif
