/* client.h - the command line's questions to a daemon, asked by libpannier: one at a
 * time, each within a time. One thread. */
#ifndef PANNIER_CLI_CLIENT_H
#define PANNIER_CLI_CLIENT_H

#include "base/buf.h"
#include "config/config.h"
#include "config/password.h"

struct client;

/* Rows of a table of options, for whoever asks a daemon. */
#define CLIENT_OPTION_SOCKET \
	{ "socket", 's', "ADDRESS", \
	    "unix:PATH, tcp:HOST:PORT or a path. Default: the first of PANNIER_LISTEN, or where " \
	    "serve listens by itself." }
#define CLIENT_OPTION_TIMEOUT \
	{ "timeout", 't', "DURATION", "How long to wait for an answer. [1s]" }
#define CLIENT_TIMEOUT_MS 1000

/* Does not connect yet: the first question does, and says the password that
 * PANNIER_PASSWORD_FILE or PANNIER_PASSWORD hold. 0; -ENOMEM, -EINVAL or what reading
 * the password said, with err set. */
int client_open(const struct config_listen *to, int timeout_ms, struct client **out,
    struct config_error *err) MUST_CHECK;
/* Where target_to_ask() says, of what --socket had, or NULL; -ENOENT too. */
int client_open_at(const char *address, int timeout_ms, struct client **out,
    struct config_error *err) MUST_CHECK;
void client_close(struct client *c); /* NULL is fine */

/* "unix:/run/x.sock" */
const char *client_name(const struct client *c);

/* Both: 0; -ECONNREFUSED: not reached; -ETIMEDOUT; -EACCES: the password, or that there
 * is none; -EPROTO: it is no pannier, or it refused; -ENOMEM; with err set: a sentence
 * that begins with the address. */
int client_ping(struct client *c, struct config_error *err) MUST_CHECK;
/* INFO's text of a section is appended to `text`, an inited buf. */
int client_info(struct client *c, const char *section, struct buf *text,
    struct config_error *err) MUST_CHECK;

/* The pieces, for who asks otherwise: the address as client_name() has it, and the
 * password from where serve has it too: text stays NULL where there is none. 0, or as
 * client_open(); the caller's then. */
void client_address(const struct config_listen *to, char *out, size_t size);
int client_password(struct password *out, struct config_error *err) MUST_CHECK;

/* The exit code for what these answered. */
int client_exit_code(int rc);

#endif
