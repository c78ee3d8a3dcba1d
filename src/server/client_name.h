/* client_name.h - names that clients give themselves and their library. They
 * stand in lines of CLIENT LIST, so neither spaces nor control characters. */
#ifndef PANNIER_SERVER_CLIENT_NAME_H
#define PANNIER_SERVER_CLIENT_NAME_H

#include "base/slice.h"
#include "base/util.h"

/* Behind "ERR "; takes what it was. */
#define CLIENT_NAME_INVALID "%s cannot contain spaces, newlines or special characters."

bool client_name_valid(struct slice name);
/* Exchanges *to, which mem_free() takes; an empty name is none (NULL). 0, or
 * -ENOMEM with *to untouched. */
int client_name_set(char **to, struct slice name) MUST_CHECK;

#endif
