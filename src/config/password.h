/* password.h - a password, from a file or the environment: never from argv,
 * where every user of the machine would see it. */
#ifndef PANNIER_CONFIG_PASSWORD_H
#define PANNIER_CONFIG_PASSWORD_H

#include "config/config.h"

#define PASSWORD_MAX 4096 /* bytes */

/* Owned; wiped when it is freed. */
struct password {
	char *text; /* NULL: none */
	size_t len;
};

/* The whole file, without one line end behind it. 0; -EINVAL, -ENOMEM, or what
 * open(2) said, with why set. *exposed: any user of the machine may read it. */
int password_read(const char *path, struct password *out, bool *exposed, struct config_error *why)
    MUST_CHECK;
int password_copy(struct password *out, struct slice text) MUST_CHECK;
void password_fini(struct password *p);
/* Takes as long for a wrong one as for the right one: it cannot be guessed byte by
 * byte. No password equals nothing. */
bool password_equals(const struct password *p, struct slice given);

#endif
