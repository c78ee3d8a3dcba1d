/* text.h - words for people: bounded text, quoted input, suggestions, and
 * help in columns. Pure but for the FILE that is written to. */
#ifndef PANNIER_CONFIG_TEXT_H
#define PANNIER_CONFIG_TEXT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"
#include "base/util.h"

/* Text in a caller's array: always ends in NUL, what does not fit is cut. */
struct text {
	char *out;
	size_t size, len;
};

static inline struct text
text_in(char *out, size_t size)
{
	out[0] = '\0';
	return (struct text){ out, size, 0 };
}

void text_add(struct text *t, const char *fmt, ...) PRINTF(2, 3);
void text_vadd(struct text *t, const char *fmt, va_list ap) PRINTF(2, 0);
/* The input as it was, in double quotes, with bytes that a terminal should
 * not get escaped, and shortened where it is long. */
void text_quote(struct text *t, struct slice input);

/* The candidate that `word` was probably meant to be, or NULL where none is
 * near: at most a third of its letters wrong, '-' and '_' and case alike. */
const char *nearest(struct slice word, const char *const *candidates, size_t n);

/* "  head        prose that goes on in its own column", at most 80 wide. */
#define HELP_COLUMN 29
void help_row(FILE *to, const char *head, const char *prose);

/* "25%", as CONFIG_SHARE(), or bytes. 0, or as parse_bytes(). */
int share_parse(struct slice s, uint64_t *out) MUST_CHECK;

#endif
