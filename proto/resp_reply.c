#include "config.h"

#include <errno.h>

#include "base/parse.h"
#include "proto/resp.h"

/* A reply is walked with a stack of how many elements are owed at each depth,
 * never by recursion: its nesting is the peer's choice. */

/* These answer 1, 0 where the input is cut, or -EPROTO. */

/* p: behind the line that said n. */
static int
read_string(char type, const char *p, const char *end, uint64_t max_bulk, int64_t n,
    const char **next, struct resp_value *out)
{
	if (n == -1 && type == '$') {
		out->type = RESP_NIL;
		return 1;
	}
	if (n < 0 || (uint64_t)n > max_bulk)
		return -EPROTO;
	if ((uint64_t)(end - p) < (uint64_t)n + 2)
		return 0;
	if (p[n] != '\r' || p[n + 1] != '\n')
		return -EPROTO;
	*next = p + n + 2;
	out->type = type == '$' ? RESP_BULK : type == '!' ? RESP_ERROR : RESP_VERBATIM;
	out->text = slice_of(p, (size_t)n);
	if (type != '=')
		return 1;
	if (n < 4 || p[3] != ':')
		return -EPROTO;
	out->text = slice_skip(out->text, 4);
	return 1;
}

static int
read_aggregate(char type, int64_t n, struct resp_value *out)
{
	if (n == -1 && type == '*') {
		out->type = RESP_NIL;
		return 1;
	}
	if (n < 0 || n > RESP_REPLY_ELEMENTS)
		return -EPROTO;
	out->type = type == '*' ? RESP_ARRAY : type == '%' ? RESP_MAP :
	    type == '~' ? RESP_SET : RESP_PUSH;
	out->n = n;
	return 1;
}

/* Types that are one line. */
static int
read_line(char type, struct slice text, struct resp_value *out)
{
	out->text = text;
	switch (type) {
	case '+':
		out->type = RESP_STATUS;
		return 1;
	case '-':
		out->type = RESP_ERROR;
		return 1;
	case ':':
		out->type = RESP_INT;
		return parse_i64(text, &out->n) == 0 ? 1 : -EPROTO;
	case '_':
		out->type = RESP_NIL;
		return text.len == 0 ? 1 : -EPROTO;
	case '#':
		out->type = RESP_BOOL;
		out->n = text.len == 1 && text.ptr[0] == 't';
		return text.len == 1 && (out->n != 0 || text.ptr[0] == 'f') ? 1 : -EPROTO;
	case ',':
		out->type = RESP_DOUBLE;
		return text.len != 0 ? 1 : -EPROTO;
	case '(':
		out->type = RESP_BIGNUM;
		return text.len != 0 ? 1 : -EPROTO;
	default:
		return -EPROTO;
	}
}

/* *next: behind its head, and behind its text where it has one. */
static int
read_element(const char *p, const char *end, uint64_t max_bulk, const char **next,
    struct resp_value *out)
{
	size_t have = MIN((size_t)(end - p), (size_t)RESP_REPLY_LINE);
	const char *cr;
	struct slice line;
	int64_t n;

	if (have == 0)
		return 0;
	if (memchr("+-:$*_#,(!=%~>", *p, 14) == NULL)
		return -EPROTO;
	cr = memchr(p, '\r', have);
	if (cr == NULL)
		return have == RESP_REPLY_LINE ? -EPROTO : 0;
	if (end - cr < 2)
		return 0;
	if (cr[1] != '\n')
		return -EPROTO;
	line = slice_of(p + 1, (size_t)(cr - p) - 1);
	*next = cr + 2;
	*out = (struct resp_value){ .type = RESP_NIL };
	if (memchr("$!=*%~>", *p, 7) == NULL)
		return read_line(*p, line, out);
	if (parse_i64(line, &n) != 0)
		return -EPROTO;
	if (*p == '$' || *p == '!' || *p == '=')
		return read_string(*p, cr + 2, end, max_bulk, n, next, out);
	return read_aggregate(*p, n, out);
}

static bool
is_aggregate(enum resp_type type)
{
	return type == RESP_ARRAY || type == RESP_MAP || type == RESP_SET || type == RESP_PUSH;
}

void
resp_reply_walk_init(struct resp_reply_walk *w, uint64_t max_bulk, unsigned max_depth)
{
	*w = (struct resp_reply_walk){ .max_bulk = max_bulk,
		.max_depth = MIN(max_depth, RESP_REPLY_DEPTH - 1), .owed = { 1 } };
}

/* What a whole element means for the count of those that are owed. 0 or -EPROTO. */
static int
count_element(struct resp_reply_walk *w, const struct resp_value *v)
{
	int64_t n;

	w->owed[w->depth]--;
	if (!is_aggregate(v->type))
		return 0;
	n = v->type == RESP_MAP ? 2 * v->n : v->n;
	w->total += n;
	if (w->depth == w->max_depth || w->total > RESP_REPLY_ELEMENTS)
		return -EPROTO;
	w->owed[++w->depth] = n;
	return 0;
}

int64_t
resp_reply_walk(struct resp_reply_walk *w, const char *data, size_t len)
{
	const char *p = data + w->pos, *end = data + len;

	while (w->depth > 0 || w->owed[0] > 0) {
		struct resp_value v;
		int rc;

		if (w->owed[w->depth] == 0) {
			w->depth--;
			continue;
		}
		rc = read_element(p, end, w->max_bulk, &p, &v);
		if (rc > 0)
			rc = count_element(w, &v) == 0 ? 1 : -EPROTO;
		if (rc <= 0)
			return rc;
		w->pos = (size_t)(p - data);
	}
	return p - data;
}

int64_t
resp_reply_len(const char *data, size_t len, uint64_t max_bulk)
{
	struct resp_reply_walk w;

	resp_reply_walk_init(&w, max_bulk, RESP_REPLY_DEPTH - 1);
	return resp_reply_walk(&w, data, len);
}

bool
resp_reply_next(struct slice reply, size_t *pos, struct resp_value *out)
{
	const char *p = reply.ptr;

	if (*pos >= reply.len ||
	    read_element(p + *pos, p + reply.len, INT64_MAX, &p, out) != 1)
		return false;
	*pos = (size_t)(p - reply.ptr);
	return true;
}

int
resp_request(struct buf *b, const struct slice *argv, uint32_t argc)
{
	size_t room = REPLY_HEAD_MAX;
	char *p;
	int rc;

	for (uint32_t i = 0; i < argc; i++)
		room += argv[i].len + REPLY_HEAD_MAX;
	rc = buf_reserve(b, room);
	if (rc != 0)
		return rc;
	p = buf_tail(b);
	p += reply_head(p, '*', argc);
	for (uint32_t i = 0; i < argc; i++) {
		p += reply_head(p, '$', argv[i].len);
		if (argv[i].len != 0)
			memcpy(p, argv[i].ptr, argv[i].len);
		memcpy(p + argv[i].len, "\r\n", 2);
		p += argv[i].len + 2;
	}
	buf_commit(b, (size_t)(p - buf_tail(b)));
	return 0;
}
