/* template.h - a namespace's `path`: how a key becomes the path of a URL.
 *
 * {key} stands for the whole key, {rest} for the key behind the namespace's
 * prefix. Both are percent-encoded: only RFC 3986's unreserved characters
 * stay as they are, so that no key can add a segment, a query or a fragment.
 * Pure; any thread. */
#ifndef PANNIER_CONFIG_TEMPLATE_H
#define PANNIER_CONFIG_TEMPLATE_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/util.h"

/* For configuration time. NULL: good. Else what is wrong and what would be
 * right, as part of a sentence; static text. */
const char *template_check(struct slice text);

/* Appends the path for `key`, of which the first prefix_len bytes are the
 * namespace's prefix. `text` has passed template_check(). 0, -ENOMEM, or
 * -EINVAL where the key would make a "." or ".." segment, which servers and
 * proxies take for a step elsewhere; *to is then as it was. */
int template_expand(struct slice text, struct slice key, size_t prefix_len, struct buf *to)
    MUST_CHECK;

#endif
