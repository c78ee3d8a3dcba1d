#include "config.h"

#include "proto/inline.h"

#include <errno.h>

/* sdssplitargs() of Redis, but for NUL, which is a byte like others here:
 * there it ends the line, and what follows waits for ever. */

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Unquoted, a word goes on over VT and FF; so it does in Redis. */
static bool
ends_word(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static char
unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	default:
		return c;
	}
}

/* One byte of a text in double quotes, at p; returns behind it. */
static const char *
take_escaped(const char *p, const char *end, char *to)
{
	if (*p != '\\' || end - p < 2) {
		*to = *p;
		return p + 1;
	}
	if (p[1] == 'x' && end - p >= 4 && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
		*to = (char)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
		return p + 4;
	}
	*to = unescape(p[1]);
	return p + 2;
}

/* From behind the opening quote at p to behind the closing one; NULL where it
 * is missing, or something other than a blank follows. */
static const char *
take_quoted(const char *p, const char *end, char quote, char **to)
{
	while (p < end && *p != quote) {
		if (quote == '"') {
			p = take_escaped(p, end, (*to)++);
		} else {
			if (*p == '\\' && end - p >= 2 && p[1] == '\'')
				p++;
			*(*to)++ = *p++;
		}
	}
	if (p == end || (p + 1 < end && !is_blank(p[1])))
		return NULL;
	return p + 1;
}

/* A word that has quotes in it, unescaped to `to`. */
static const char *
take_word(const char *p, const char *end, char **to)
{
	while (p < end && !ends_word(*p)) {
		if (*p == '"' || *p == '\'')
			return take_quoted(p + 1, end, *p, to);
		*(*to)++ = *p++;
	}
	return p;
}

/* The word at *p, which moves behind it. */
static int
split_word(struct batch *b, const char **p, const char *end, struct slice *out)
{
	const char *begin = *p, *q = begin;
	char *to;

	while (q < end && !ends_word(*q) && *q != '"' && *q != '\'')
		q++;
	if (q == end || ends_word(*q)) {
		*out = slice_of(begin, (size_t)(q - begin));
		*p = q;
		return 0;
	}
	/* Unescaped, the rest of the line is never longer than it is now. */
	if (b->scratch_cap - b->scratch_used < (size_t)(end - begin)) {
		int rc = batch_grow_scratch(b, (size_t)(end - begin));

		if (rc != 0)
			return rc;
	}
	to = b->scratch + b->scratch_used;
	*p = take_word(begin, end, &to);
	if (*p == NULL)
		return -EINVAL;
	*out = slice_of(b->scratch + b->scratch_used, (size_t)(to - b->scratch) - b->scratch_used);
	b->scratch_used += out->len;
	return 0;
}

int
inline_split(struct batch *b, struct slice line, uint32_t *argc)
{
	const char *p = line.ptr, *end = line.ptr + line.len;
	struct slice word;
	int rc;

	*argc = 0;
	for (;;) {
		while (p < end && is_blank(*p))
			p++;
		if (p == end)
			return 0;
		rc = split_word(b, &p, end, &word);
		if (rc == 0 && b->args_used == b->args_cap)
			rc = batch_grow_args(b, 1);
		if (rc != 0)
			return rc;
		b->args[b->args_used++] = word;
		++*argc;
	}
}
