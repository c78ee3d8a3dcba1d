/* address.h - where a running server listens, for CONFIG GET and INFO. */
#ifndef PANNIER_SERVER_ADDRESS_H
#define PANNIER_SERVER_ADDRESS_H

struct server;

/* Of the first listener of the kind; 0 and "" where there is none. */
unsigned server_tcp_port(const struct server *s);
const char *server_unix_path(const struct server *s);

#endif
