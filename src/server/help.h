/* help.h - the replies of CLIENT HELP, CONFIG HELP and their like. */
#ifndef PANNIER_SERVER_HELP_H
#define PANNIER_SERVER_HELP_H

#include "server/call.h"

/* Of the container that cmd belongs to, or is, in capitals. */
#define CONTAINER_NAME_MAX 32
void container_name(char out[CONTAINER_NAME_MAX], const struct command *cmd);

/* An array of status lines as Redis has them: a head with the container's
 * name, the n lines, and HELP itself. */
void help_reply(struct call *c, const char *const *lines, size_t n);

#endif
