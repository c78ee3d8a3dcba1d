/* inline.h - requests as people type them: words between spaces, with Redis's
 * rules of quoting ("a\x00\n", 'it\'s'). Pure. */
#ifndef PANNIER_PROTO_INLINE_H
#define PANNIER_PROTO_INLINE_H

#include "proto/msg.h"

/* Appends the words of a line (without its LF) to b->args; quoted ones are
 * unescaped into b->scratch, others lie in the line. 0 with *argc set, -EINVAL
 * where quotes are unbalanced, -ENOMEM; the caller takes args_used back. */
int inline_split(struct batch *b, struct slice line, uint32_t *argc) MUST_CHECK;

#endif
