/* slice.h - a borrowed run of bytes. Owns nothing; whoever hands one out
 * says until when it is good. Not NUL-terminated. */
#ifndef PANNIER_BASE_SLICE_H
#define PANNIER_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *ptr;
	size_t len;
};

/* For string literals only. */
#define SLICE(lit) ((struct slice){ (lit), sizeof(lit) - 1 })

static inline struct slice
slice_of(const void *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, strlen(s) };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII only, so that no locale can change what a command means. */
/* As memcmp(); a part comes before the whole. */
static inline int
slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int cmp = n != 0 ? memcmp(a.ptr, b.ptr, n) : 0;

	return cmp != 0 ? cmp : (a.len > b.len) - (a.len < b.len);
}

static inline bool
slice_caseeq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	    (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The rest of s behind its first n bytes; n <= s.len. */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
	return (struct slice){ s.ptr + n, s.len - n };
}

#endif
