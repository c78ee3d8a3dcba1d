/* activation.h - the sockets that systemd opened for the daemon (doc/operations.md
 * says what its user sees). Sockets that the configuration names are taken by their
 * address; the others become listeners of their own. */
#ifndef PANNIER_CLI_ACTIVATION_H
#define PANNIER_CLI_ACTIVATION_H

#include "config/config.h"

/* Once, before anything is listened on. 0; -EINVAL with err. */
int activation_begin(char *err, size_t err_size) MUST_CHECK;
/* Adds a listener to c for each passed socket that c does not name; the first c that is
 * given decides which these are, and later ones (reloads) get the same. */
int activation_add(struct config *c, struct config_error *e) MUST_CHECK;

#endif
