/* client.h - a small blocking client for the command line: one request, one
 * reply, each within a time. One thread. */
#ifndef PANNIER_CLI_CLIENT_H
#define PANNIER_CLI_CLIENT_H

#include "config/config.h"
#include "proto/resp.h"

struct client;

/* Connects, and says the password that PANNIER_PASSWORD_FILE or PANNIER_PASSWORD
 * hold. 0; -ENOMEM, -ETIMEDOUT, -EACCES or connect(2)'s errno, with err set: a
 * sentence that begins with the address. */
int client_open(const struct config_listen *to, int timeout_ms, struct client **out,
    struct config_error *err) MUST_CHECK;
void client_close(struct client *c); /* NULL is fine */

/* "unix:/run/x.sock" */
const char *client_name(const struct client *c);

/* Sends and waits for the whole reply, good until the next call. 0; -ENOMEM;
 * -ETIMEDOUT; -ECONNRESET; -EPROTO: no reply of Redis's protocol; with err. */
int client_ask(struct client *c, const struct slice *argv, uint32_t argc, struct slice *reply,
    struct config_error *err) MUST_CHECK;

/* The exit code for what these answered. */
int client_exit_code(int rc);

#endif
