#include "config.h"

#include "proto/resp.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "proto/inline.h"

/* Two passes share the work. parse_whole() goes through a request that is here
 * as a whole, in some tens of instructions, and gives up on anything else,
 * without saying why. Then walk() finds out: it checks line by line, remembers
 * how far it came, never looks at a byte twice, and knows the errors. When it
 * has seen the request's end, parse_whole() does its work after all. So a
 * request that comes in many pieces costs two passes over its heads, and no
 * memory while it is incomplete.
 *
 * As Redis does, and for its clients' sake: the byte behind a CR and the two
 * bytes behind a bulk are skipped, whatever they are. */

/* Redis's own limits; what passes them is wrong, with or without AUTH. */
#define REDIS_MAX_BULK (512ll << 20)

void
resp_parser_init(struct resp_parser *p, const struct resp_limits *limits)
{
	*p = (struct resp_parser){ .limits = limits };
}

void
resp_parser_reset(struct resp_parser *p)
{
	p->stage = RESP_FRESH;
	p->pos = p->scanned = 0;
	p->args_left = 0;
}

void
resp_parser_fini(struct resp_parser *p)
{
	resp_parser_reset(p);
}

/* --- the fast pass -------------------------------------------------------------- */

#define ARG_MIN_BYTES 6 /* "$0\r\n\r\n" */

enum whole { WHOLE_YES, WHOLE_NO, WHOLE_NOMEM };

/* The number and the line end at p, in the form that string2ll() of Redis
 * takes; NULL: not here, or not of that form. Returns behind it. */
static inline const char *
take_count(const char *p, const char *end, uint64_t *out)
{
	const char *begin = p;
	uint64_t n = 0;
	unsigned d;

	while (p < end && (d = (unsigned char)*p - (unsigned)'0') <= 9) {
		n = n * 10 + d;
		p++;
	}
	if (unlikely(end - p < 2 || *p != '\r' || p == begin || p - begin > 18 ||
	        (*begin == '0' && p - begin > 1)))
		return NULL;
	*out = n;
	return p + 2;
}

static inline const char *
take_bulk(const char *p, const char *end, uint64_t max, struct slice *out)
{
	uint64_t n;

	if (unlikely(p == end || *p != '$'))
		return NULL;
	p = take_count(p + 1, end, &n);
	if (unlikely(p == NULL || n > max || (uint64_t)(end - p) < n + 2))
		return NULL;
	*out = slice_of(p, n);
	return p + n + 2;
}

/* Adds the multibulk request at *at to the batch and moves behind it. */
static inline enum whole
parse_whole(const struct resp_limits *l, struct batch *b, const char **at, const char *end)
{
	uint64_t argc;
	const char *p = take_count(*at + 1, end, &argc);
	size_t first = b->args_used;

	if (unlikely(p == NULL || argc == 0 || argc > l->max_args ||
	        argc > (uint64_t)(end - p) / ARG_MIN_BYTES))
		return WHOLE_NO;
	for (uint64_t i = 0; i < argc; i++) {
		if (unlikely(b->args_used == b->args_cap) && batch_grow_args(b) != 0) {
			b->args_used = first;
			return WHOLE_NOMEM;
		}
		p = take_bulk(p, end, l->max_bulk, &b->args[b->args_used]);
		if (unlikely(p == NULL)) {
			b->args_used = first;
			return WHOLE_NO;
		}
		b->args_used++;
	}
	b->req[b->n].argv = b->args + first;
	b->req[b->n].argc = (uint32_t)argc;
	*at = p;
	return WHOLE_YES;
}

/* --- the thorough pass ----------------------------------------------------------- */

enum walk {
	WALK_BULKS,  /* a multibulk request ends at p->pos */
	WALK_INLINE, /* an inline request's LF is in front of p->pos */
	WALK_EMPTY,  /* as above, and there is nothing in it */
	WALK_MORE,
	WALK_ERROR,
};

static enum walk
walk_fail(struct resp_parser *p, const char *error)
{
	p->error = error;
	return WALK_ERROR;
}

static enum walk
walk_more(struct resp_parser *p, size_t need)
{
	p->need = need;
	return WALK_MORE;
}

/* Looks for `end` in the line at p->pos, in what was not looked at before. Its
 * offset, or -1 where it is not there yet, or -2 where the line is too long.
 * The limit counts what is in front of `end`, so that the answer does not
 * depend on how the input is cut. */
static int64_t
find_line_end(struct resp_parser *p, const char *data, size_t len, char end)
{
	size_t have = MIN(len - p->pos, (size_t)p->limits->max_inline + 1);
	const char *line = data + p->pos;
	const char *at = have > p->scanned ?
	    memchr(line + p->scanned, end, have - p->scanned) : NULL;

	if (at != NULL)
		return at - data;
	p->scanned = have;
	return have > p->limits->max_inline ? -2 : -1;
}

/* The number behind the first byte of the line at p->pos, which moves behind
 * that line. WALK_BULKS: it is in *out. */
static enum walk
walk_count(struct resp_parser *p, const char *data, size_t len, const char *too_big,
    const char *invalid, int64_t *out)
{
	int64_t cr = find_line_end(p, data, len, '\r');
	struct slice digits;

	if (cr == -2)
		return walk_fail(p, too_big);
	if (cr == -1)
		return walk_more(p, len + 1);
	if ((size_t)cr + 2 > len)
		return walk_more(p, (size_t)cr + 2);
	digits = slice_of(data + p->pos + 1, (size_t)cr - p->pos - 1);
	if (parse_i64(digits, out) != 0)
		return walk_fail(p, invalid);
	p->pos = (size_t)cr + 2;
	p->scanned = 0;
	return WALK_BULKS;
}

static enum walk
walk_head(struct resp_parser *p, const char *data, size_t len)
{
	static const char invalid[] = "Protocol error: invalid multibulk length";
	int64_t n;
	enum walk rc = walk_count(p, data, len, "Protocol error: too big mbulk count string",
	    invalid, &n);

	if (rc != WALK_BULKS)
		return rc;
	if (n > p->limits->max_args)
		return walk_fail(p, p->limits->unauthenticated && n <= INT32_MAX ?
		    "Protocol error: unauthenticated multibulk length" : invalid);
	if (n <= 0)
		return WALK_EMPTY;
	p->args_left = (uint32_t)n;
	p->stage = RESP_BULKS;
	return WALK_BULKS;
}

static enum walk
walk_bulk(struct resp_parser *p, const char *data, size_t len)
{
	static const char invalid[] = "Protocol error: invalid bulk length";
	char first = data[p->pos];
	enum walk rc;
	int64_t n;

	if (first != '$') {
		snprintf(p->error_buf, sizeof p->error_buf,
		    "Protocol error: expected '$', got '%c'", first ? first : ' ');
		return walk_fail(p, p->error_buf);
	}
	rc = walk_count(p, data, len, "Protocol error: too big bulk count string", invalid, &n);
	if (rc != WALK_BULKS)
		return rc;
	if (n < 0)
		return walk_fail(p, invalid);
	if ((uint64_t)n > p->limits->max_bulk)
		return walk_fail(p, p->limits->unauthenticated && n <= REDIS_MAX_BULK ?
		    "Protocol error: unauthenticated bulk length" : invalid);
	p->pos += (size_t)n + 2;
	p->args_left--;
	return WALK_BULKS;
}

static enum walk
walk_inline(struct resp_parser *p, const char *data, size_t len)
{
	int64_t lf = find_line_end(p, data, len, '\n');

	if (lf == -2)
		return walk_fail(p, "Protocol error: too big inline request");
	if (lf == -1)
		return walk_more(p, len + 1);
	p->pos = (size_t)lf + 1;
	return WALK_INLINE;
}

/* Goes on with the open request, of which len > 0 bytes are here. */
static enum walk
walk(struct resp_parser *p, const char *data, size_t len)
{
	enum walk rc = WALK_BULKS;

	if (p->stage == RESP_FRESH)
		p->stage = data[0] == '*' ? RESP_COUNT : RESP_INLINE;
	if (p->stage == RESP_INLINE)
		return walk_inline(p, data, len);
	if (p->stage == RESP_COUNT)
		rc = walk_head(p, data, len);
	while (rc == WALK_BULKS && p->args_left > 0) {
		if (p->pos >= len)
			return walk_more(p, p->pos + 1);
		rc = walk_bulk(p, data, len);
	}
	if (rc == WALK_BULKS && p->pos > len)
		return walk_more(p, p->pos);
	return rc;
}

/* --- both ------------------------------------------------------------------------- */

/* The line that ends with the LF in front of p->pos. */
static enum parse_status
take_inline(struct resp_parser *p, struct batch *b, const char *data)
{
	struct slice line = slice_of(data, p->pos - 1);
	size_t first = b->args_used;
	uint32_t argc;
	int rc;

	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	rc = inline_split(b, line, &argc);
	if (rc != 0) {
		b->args_used = first;
		p->error = "Protocol error: unbalanced quotes in request";
		return rc == -ENOMEM ? PARSE_NOMEM : PARSE_ERROR;
	}
	b->req[b->n].argv = b->args + first;
	b->req[b->n].argc = argc;
	return PARSE_DONE;
}

static const struct resp_limits no_limits = { .max_args = UINT32_MAX, .max_bulk = UINT64_MAX };

/* What parse_whole() gave up on. PARSE_DONE: *at moved on, and b->req[b->n] is
 * filled, or has no arguments. */
static enum parse_status
parse_hard(struct resp_parser *p, struct batch *b, const char **at, const char *end)
{
	const char *data = *at;
	enum parse_status status = PARSE_DONE;

	b->req[b->n].argc = 0;
	switch (walk(p, data, (size_t)(end - data))) {
	case WALK_MORE:
		return PARSE_MORE;
	case WALK_ERROR:
		status = PARSE_ERROR;
		break;
	case WALK_EMPTY:
		break;
	case WALK_INLINE:
		status = take_inline(p, b, data);
		break;
	case WALK_BULKS:
		/* Limits may have changed since walk() checked them. */
		if (parse_whole(&no_limits, b, at, end) != WHOLE_YES)
			status = PARSE_NOMEM;
		break;
	}
	if (status == PARSE_DONE)
		*at = data + p->pos;
	resp_parser_reset(p);
	return status;
}

enum parse_status
resp_parse(struct resp_parser *p, const char *data, size_t len, struct batch *batch, size_t *used)
{
	const char *at = data, *end = data + len;
	enum parse_status status = PARSE_DONE;
	enum whole whole;

	batch_reset(batch);
	while (at < end && batch->n < BATCH_MAX) {
		whole = WHOLE_NO;
		if (likely(p->stage == RESP_FRESH && *at == '*'))
			whole = parse_whole(p->limits, batch, &at, end);
		if (unlikely(whole == WHOLE_NO))
			status = parse_hard(p, batch, &at, end);
		else if (unlikely(whole == WHOLE_NOMEM))
			status = PARSE_NOMEM;
		if (unlikely(status != PARSE_DONE))
			break;
		batch->req[batch->n].wire_len = (size_t)(at - data);
		batch->n += whole == WHOLE_YES || batch->req[batch->n].argc != 0;
	}
	*used = (size_t)(at - data);
	return status;
}
