/* target.h - the socket that `serve` takes where none is named, and that
 * `ping` and `stats` then find again. */
#ifndef PANNIER_CLI_TARGET_H
#define PANNIER_CLI_TARGET_H

#include <stddef.h>

#include "config/config.h"

/* As --listen takes it: the first of /run/pannier/pannier.sock,
 * $XDG_RUNTIME_DIR/pannier.sock and /tmp/pannier-UID.sock whose directory can
 * be written. In /tmp for this user alone. */
void target_to_listen(char *out, size_t size);

/* Where a client connects: `text` (unix:PATH, tcp:HOST:PORT or a path), else
 * the first of PANNIER_LISTEN, else the first of those above that is there.
 * 0, or -EINVAL, -ENOENT, -ENOMEM with err set; *out must be freed with
 * config_listen_fini(). */
int target_to_ask(const char *text, struct config_listen *out, struct config_error *err)
    MUST_CHECK;

#endif
