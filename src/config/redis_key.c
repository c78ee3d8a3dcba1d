#include <config.h>

#include "config/redis_key.h"

#define KEY_TEXT_MAX 255

static bool
ends_with(struct slice text, struct slice end)
{
	return text.len >= end.len && slice_eq(slice_skip(text, text.len - end.len), end);
}

static struct slice
without_end(struct slice text)
{
	size_t n = ends_with(text, SLICE("{rest}")) ? 6 : 5;

	return slice_of(text.ptr, text.len - n);
}

const char *
redis_key_check(struct slice text)
{
	if (text.len > KEY_TEXT_MAX)
		return "is longer than 255 bytes";
	if (!ends_with(text, SLICE("{key}")) && !ends_with(text, SLICE("{rest}")))
		return "must end with {key} or {rest}, as in \"app:{key}\"";
	text = without_end(text);
	if (memmem(text.ptr, text.len, "{key}", 5) != NULL ||
	    memmem(text.ptr, text.len, "{rest}", 6) != NULL)
		return "must have one of {key} and {rest}, at its end";
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 127)
			return "has a control character";
	return NULL;
}

struct slice
redis_key_split(struct slice text, struct slice key, size_t prefix_len, struct slice *before)
{
	*before = without_end(text);
	return ends_with(text, SLICE("{rest}")) ? slice_skip(key, prefix_len) : key;
}
