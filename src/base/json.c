#include "config.h"

#include "base/json.h"

#include <errno.h>

/* What is left of the text. A scan takes what it knows off the front. */
struct scan {
	const char *at, *end;
	unsigned depth;
};

static bool scan_value(struct scan *s, struct json *out);

static void
skip_blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' ||
	    *s->at == '\r'))
		s->at++;
}

static bool
take(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool
is_digit(const struct scan *s)
{
	return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool
scan_digits(struct scan *s)
{
	if (!is_digit(s))
		return false;
	while (is_digit(s))
		s->at++;
	return true;
}

static bool
scan_number(struct scan *s)
{
	take(s, '-');
	if (!take(s, '0') && !scan_digits(s))
		return false;
	if (take(s, '.') && !scan_digits(s))
		return false;
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			take(s, '-');
		return scan_digits(s);
	}
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool
scan_escape(struct scan *s)
{
	if (s->at == s->end)
		return false;
	if (*s->at++ != 'u')
		return strchr("\"\\/bfnrt", s->at[-1]) != NULL && s->at[-1] != '\0';
	for (int i = 0; i < 4; i++, s->at++)
		if (s->at == s->end || hex_digit(*s->at) < 0)
			return false;
	return true;
}

static bool
scan_string(struct scan *s)
{
	if (!take(s, '"'))
		return false;
	while (s->at < s->end) {
		unsigned char c = (unsigned char)*s->at++;

		if (c == '"')
			return true;
		if (c < ' ' || (c == '\\' && !scan_escape(s)))
			return false;
	}
	return false;
}

static bool
scan_word(struct scan *s, struct slice word)
{
	if ((size_t)(s->end - s->at) < word.len || memcmp(s->at, word.ptr, word.len) != 0)
		return false;
	s->at += word.len;
	return true;
}

/* Behind the bracket that opens it. */
static bool
scan_inside(struct scan *s, bool members)
{
	char end = members ? '}' : ']';
	struct json value;

	skip_blanks(s);
	if (take(s, end))
		return true;
	do {
		skip_blanks(s);
		if (members) {
			if (!scan_string(s))
				return false;
			skip_blanks(s);
			if (!take(s, ':'))
				return false;
		}
		if (!scan_value(s, &value))
			return false;
		skip_blanks(s);
	} while (take(s, ','));
	return take(s, end);
}

static bool
scan_container(struct scan *s, bool members)
{
	bool fine;

	if (s->depth == JSON_DEPTH_MAX)
		return false;
	s->depth++;
	s->at++;
	fine = scan_inside(s, members);
	s->depth--;
	return fine;
}

static enum json_kind
kind_at(const struct scan *s)
{
	switch (s->at < s->end ? *s->at : '\0') {
	case '"':
		return JSON_STRING;
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case 'n':
		return JSON_NULL;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	default:
		return JSON_NUMBER;
	}
}

static bool
scan_kind(struct scan *s, enum json_kind kind)
{
	switch (kind) {
	case JSON_STRING:
		return scan_string(s);
	case JSON_OBJECT:
	case JSON_ARRAY:
		return scan_container(s, kind == JSON_OBJECT);
	case JSON_NULL:
		return scan_word(s, SLICE("null"));
	case JSON_TRUE:
		return scan_word(s, SLICE("true"));
	case JSON_FALSE:
		return scan_word(s, SLICE("false"));
	default:
		return scan_number(s);
	}
}

static bool
scan_value(struct scan *s, struct json *out)
{
	const char *begin;

	skip_blanks(s);
	begin = s->at;
	out->kind = kind_at(s);
	if (!scan_kind(s, out->kind))
		return false;
	out->raw = slice_of(begin, (size_t)(s->at - begin));
	return true;
}

bool
json_read(struct slice text, struct json *out)
{
	struct scan s = { text.ptr, text.ptr + text.len, 0 };

	if (text.len == 0 || !scan_value(&s, out))
		return false;
	skip_blanks(&s);
	return s.at == s.end;
}

void
json_walk_init(struct json_walk *w, struct json of)
{
	w->members = of.kind == JSON_OBJECT;
	w->rest = of.kind == JSON_OBJECT || of.kind == JSON_ARRAY ? slice_skip(of.raw, 1)
	                                                          : SLICE("");
}

/* What was checked cannot fail here but by its end. */
bool
json_next(struct json_walk *w, struct json *key, struct json *value)
{
	struct scan s = { w->rest.ptr, w->rest.ptr + w->rest.len, 0 };

	skip_blanks(&s);
	take(&s, ',');
	*key = (struct json){ .kind = JSON_NONE };
	if (w->members && !scan_value(&s, key))
		return false;
	skip_blanks(&s);
	if (w->members)
		take(&s, ':');
	if (!scan_value(&s, value))
		return false;
	w->rest = slice_of(s.at, (size_t)(s.end - s.at));
	return true;
}

struct json
json_member(struct json of, struct slice name)
{
	struct json found = { .kind = JSON_NONE }, key, value;
	struct json_walk w;

	if (of.kind != JSON_OBJECT)
		return found;
	json_walk_init(&w, of);
	while (json_next(&w, &key, &value))
		if (key.kind == JSON_STRING &&
		    slice_eq(slice_of(key.raw.ptr + 1, key.raw.len - 2), name))
			found = value;
	return found;
}

/* --- texts -------------------------------------------------------------------- */

static unsigned
hex4(const char *p)
{
	unsigned n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 4 | (unsigned)hex_digit(p[i]);
	return n;
}

static size_t
put_utf8(unsigned code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* Behind "\u"; false: half of a pair. */
static bool
take_code(const char **p, const char *end, unsigned *code)
{
	unsigned low;

	*code = hex4(*p);
	*p += 4;
	if (*code < 0xd800 || *code > 0xdfff)
		return true;
	if (*code > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return false;
	low = hex4(*p + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return false;
	*p += 6;
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static int
append_escape(const char **p, const char *end, struct buf *to)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	char c = *(*p)++, text[4];
	unsigned code;

	if (c != 'u')
		return buf_append(to, &bytes[strchr(names, c) - names], 1);
	if (!take_code(p, end, &code))
		return -EINVAL;
	return buf_append(to, text, put_utf8(code, text));
}

static int
append_string(struct slice raw, struct buf *to)
{
	const char *p = raw.ptr + 1, *end = raw.ptr + raw.len - 1;
	int rc = 0;

	while (p < end && rc == 0) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((escape != NULL ? escape : end) - p);

		rc = buf_append(to, p, plain);
		p += plain;
		if (rc == 0 && escape != NULL) {
			p++;
			rc = append_escape(&p, end, to);
		}
	}
	return rc;
}

int
json_text(struct json of, struct buf *to)
{
	switch (of.kind) {
	case JSON_STRING:
		return append_string(of.raw, to);
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		return buf_append(to, of.raw.ptr, of.raw.len);
	default:
		return -EINVAL;
	}
}
