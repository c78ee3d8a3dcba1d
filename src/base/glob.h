/* glob.h - the patterns of KEYS, SCAN and CONFIG GET. Pure. */
#ifndef PANNIER_BASE_GLOB_H
#define PANNIER_BASE_GLOB_H

#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

enum glob_result { GLOB_NO, GLOB_YES, GLOB_SPENT };

/* Whether the pattern matches all of text, as Redis 7.0's stringmatchlen()
 * has it: * ? [abc] [a-z] [^x] and \ before a character that shall stand for
 * itself. An empty text is matched by the empty pattern alone, not by "*".
 *
 * The work is taken off *steps, about one for each byte looked at; GLOB_SPENT
 * when it does not suffice, with *steps at 0. Never more than
 * pattern.len * text.len. */
enum glob_result glob_match(struct slice pattern, struct slice text, bool nocase, uint64_t *steps)
    MUST_CHECK;

#endif
