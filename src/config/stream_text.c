#include <config.h>

#include "config/stream_text.h"

#include <errno.h>

#include "base/parse.h"

bool
stream_endpoint_parse(struct slice text, struct slice *host, uint16_t *port)
{
	const char *colon = text.len != 0 ? memrchr(text.ptr, ':', text.len) : NULL;
	uint64_t n;

	if (colon == NULL || colon == text.ptr)
		return false;
	*host = slice_of(text.ptr, (size_t)(colon - text.ptr));
	if (parse_u64(slice_skip(text, host->len + 1), &n) != 0 || n == 0 || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	if (host->ptr[0] == '[' && host->ptr[host->len - 1] == ']' && host->len > 2)
		*host = slice_of(host->ptr + 1, host->len - 2);
	else if (memchr(host->ptr, ':', host->len) != NULL)
		return false;
	for (size_t i = 0; i < host->len; i++)
		if (host->ptr[i] <= ' ' || strchr("/@[]", host->ptr[i]) != NULL)
			return false;
	return true;
}

bool
template_cut(struct slice *rest, char separator, struct slice *out)
{
	const char *end;

	if (rest->ptr == NULL)
		return false;
	end = rest->len != 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
	*out = slice_of(rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len);
	if (end != NULL)
		*rest = slice_skip(*rest, out->len + 1);
	else
		*rest = (struct slice){ NULL, 0 };
	return true;
}

static bool
field_is_good(struct slice field)
{
	struct slice path, name;

	while (template_cut(&field, '|', &path))
		while (template_cut(&path, '.', &name))
			if (name.len == 0)
				return false;
	return true;
}

int
template_part_next(struct slice *rest, struct template_part *out)
{
	const char *end;

	if (rest->len == 0)
		return 0;
	out->is_field = rest->ptr[0] == '{' && !(rest->len > 1 && rest->ptr[1] == '{');
	if (!out->is_field) {
		size_t skip = rest->ptr[0] == '{'; /* the first of two */

		end = memchr(rest->ptr + skip + (skip != 0), '{', rest->len - skip - (skip != 0));
		out->text = slice_of(rest->ptr + skip,
		    end != NULL ? (size_t)(end - rest->ptr) - skip : rest->len - skip);
		*rest = slice_skip(*rest, skip + out->text.len);
		return 1;
	}
	end = memchr(rest->ptr, '}', rest->len);
	if (end == NULL)
		return -EINVAL;
	out->text = slice_of(rest->ptr + 1, (size_t)(end - rest->ptr) - 1);
	*rest = slice_skip(*rest, out->text.len + 2);
	return field_is_good(out->text) ? 1 : -EINVAL;
}

const char *
template_text_check(struct slice text)
{
	struct template_part part;
	int rc;

	if (text.len == 0)
		return "is empty; write for example \"user:{after.id}\"";
	while ((rc = template_part_next(&text, &part)) > 0)
		;
	return rc == 0 ? NULL : "has a { without a name and a } behind it; write for example "
	                        "\"user:{after.id}\", and {{ for a brace";
}
