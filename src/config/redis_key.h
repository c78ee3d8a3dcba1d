/* redis_key.h - what a key is called at a Redis server: the `key` of an origin. Text,
 * then {key} (all of it) or {rest} (what stands behind the namespace's prefix) at the
 * end, so that names can be told back from the server's. Pure; any thread. */
#ifndef PANNIER_CONFIG_REDIS_KEY_H
#define PANNIER_CONFIG_REDIS_KEY_H

#include "base/slice.h"

/* NULL: good. Else what is wrong and what would be right, as part of a sentence. */
const char *redis_key_check(struct slice text);

/* The server's key is `before` and then the result, a part of `key`. `text` is a good
 * one; `key` begins with the namespace's prefix of prefix_len bytes. */
struct slice redis_key_split(struct slice text, struct slice key, size_t prefix_len,
    struct slice *before);

#endif
