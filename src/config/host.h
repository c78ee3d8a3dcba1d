/* host.h - where TCP may be listened on: loopback, as who may connect may read
 * everything; where only statistics are served any address. Pure; any thread. */
#ifndef PANNIER_CONFIG_HOST_H
#define PANNIER_CONFIG_HOST_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/util.h"

/* NULL: good. Else what is wrong, static text; without any_host it ends where the
 * caller adds an example. */
const char *host_wrong(struct slice host, bool any_host) MUST_CHECK;

#endif
