#include <config.h>

#include "config/template.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* RFC 3986, 2.3. */
static bool
is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

/* What path and query may hold besides (RFC 3986, 3.3 and 3.4). */
static bool
is_literal(unsigned char c)
{
	return is_unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@/?", c) != NULL);
}

static bool
is_hex(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
is_escape(struct slice s)
{
	return s.len >= 3 && s.ptr[0] == '%' && is_hex((unsigned char)s.ptr[1]) &&
	    is_hex((unsigned char)s.ptr[2]);
}

/* Whether a segment of the path, which ends at the query, is "." or "..". */
static bool
has_dot_segment(struct slice path)
{
	size_t begin = 0;

	for (size_t i = 0; i <= path.len; i++) {
		bool end = i == path.len || path.ptr[i] == '?';

		if (!end && path.ptr[i] != '/')
			continue;
		if (slice_eq(slice_of(path.ptr + begin, i - begin), SLICE(".")) ||
		    slice_eq(slice_of(path.ptr + begin, i - begin), SLICE("..")))
			return true;
		if (end)
			break;
		begin = i + 1;
	}
	return false;
}

static size_t
placeholder_len(struct slice s)
{
	if (slice_has_prefix(s, SLICE("{key}")))
		return 5;
	return slice_has_prefix(s, SLICE("{rest}")) ? 6 : 0;
}

const char *
template_check(struct slice text)
{
	if (text.len == 0 || text.ptr[0] != '/')
		return "must begin with /, as in /users/{rest}";
	for (size_t i = 0; i < text.len;) {
		struct slice s = slice_skip(text, i);

		if (s.ptr[0] == '{') {
			if (placeholder_len(s) == 0)
				return "knows the placeholders {key} and {rest} only";
			i += placeholder_len(s);
		} else if (s.ptr[0] == '}') {
			return "has a } that closes nothing";
		} else if (s.ptr[0] == '%') {
			if (!is_escape(s))
				return "has a % that two hexadecimal digits do not follow";
			i += 3;
		} else if (s.ptr[0] == '#') {
			return "must not have a fragment (#): it is never sent to a server";
		} else if (!is_literal((unsigned char)s.ptr[0])) {
			return "has a character that must be percent-encoded in a URL";
		} else {
			i++;
		}
	}
	if (has_dot_segment(text))
		return "must not have . or .. as a segment";
	return NULL;
}

static int
append_encoded(struct buf *to, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";

	if (s.len > SIZE_MAX / 8 || buf_reserve(to, s.len * 3) != 0)
		return -ENOMEM;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		char *at = buf_tail(to);

		if (is_unreserved(c)) {
			at[0] = (char)c;
			buf_commit(to, 1);
		} else {
			at[0] = '%';
			at[1] = digits[c >> 4];
			at[2] = digits[c & 15];
			buf_commit(to, 3);
		}
	}
	return 0;
}

static int
append_part(struct buf *to, struct slice *text, struct slice key, size_t prefix_len)
{
	size_t n = placeholder_len(*text);
	int rc;

	if (n != 0) {
		rc = append_encoded(to, slice_skip(key, n == 6 ? MIN(prefix_len, key.len) : 0));
	} else {
		for (n = 1; n < text->len && text->ptr[n] != '{'; n++)
			;
		rc = buf_append(to, text->ptr, n);
	}
	*text = slice_skip(*text, n);
	return rc;
}

int
template_expand(struct slice text, struct slice key, size_t prefix_len, struct buf *to)
{
	size_t before = buf_len(to);
	struct slice left = text;
	int rc = 0;

	while (left.len != 0 && rc == 0)
		rc = append_part(to, &left, key, prefix_len);
	if (rc == 0 && has_dot_segment(slice_skip(buf_slice(to), before)))
		rc = -EINVAL;
	if (rc != 0)
		to->tail = to->head + before;
	return rc;
}
