#include "config.h"

#include "proto/resp.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "proto/inline.h"

/* Two passes share the work. take_requests() goes through requests that are
 * here as a whole, in some tens of instructions each, and stops at anything
 * else, without saying why. Then walk() finds out: it checks line by line,
 * remembers how far it came, never looks at a byte twice, and knows the errors.
 * When it has seen the request's end, take_requests() does its work after all.
 * So a request that comes in many pieces costs two passes over its heads, and
 * no memory while it is incomplete.
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

static inline uint32_t
load_le32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return le32toh(v);
}

/* A number read from a line, and what is behind that line. */
struct count {
	const char *p;
	uint64_t n; /* NO_COUNT: not here, or not of the form that string2ll() of
	             * Redis takes */
};
#define NO_COUNT UINT64_MAX

static struct count
take_long_count(const char *p, const char *end)
{
	const char *begin = p;
	uint64_t n = 0;
	unsigned d;

	while (p < end && (d = (unsigned char)*p - (unsigned)'0') <= 9) {
		n = n * 10 + d;
		p++;
	}
	if (end - p < 2 || *p != '\r' || p == begin || p - begin > 18 ||
	    (*begin == '0' && p - begin > 1))
		return (struct count){ p, NO_COUNT };
	return (struct count){ p + 2, n };
}

/* Counts of one and two digits take one or two comparisons of four bytes: the
 * digit's place is zero in the pattern, so that exclusive-or leaves the digit's
 * value, and nothing else where all is well. Behind `enough`, too little is
 * left for that. */
static inline struct count
take_count(const char *p, const char *enough, const char *end, char type)
{
	const uint32_t one = (uint32_t)type | '0' << 8 | '\r' << 16 | (uint32_t)'\n' << 24;
	const uint32_t two = '0' | '0' << 8 | '\r' << 16 | (uint32_t)'\n' << 24;
	uint32_t x;

	if (unlikely(p >= enough))
		return (struct count){ p, NO_COUNT };
	x = load_le32(p) ^ one;
	x = x >> 8 | x << 24;
	if (likely(x <= 9))
		return (struct count){ p + 4, x };
	if (unlikely(*p != type))
		return (struct count){ p, NO_COUNT };
	x = load_le32(p + 1) ^ two;
	if (likely(x <= 0x909 && (x & 0xff) - 1 < 9))
		return (struct count){ p + 5, (x & 0xff) * 10 + (x >> 8) };
	return take_long_count(p + 1, end);
}

/* Finds arguments from p on, as many as fit between out and last; returns
 * behind them, or NULL. */
static ALWAYS_INLINE const char *
take_bulks(const char *p, const char *enough, const char *end, uint64_t max, struct slice *out,
    const struct slice *last)
{
	struct count c;

	do {
		c = take_count(p, enough, end, '$');
		/* Not by a pointer: n may lead out of the address space. */
		if (unlikely(c.n > max || (uintptr_t)c.p + c.n + 2 > (uintptr_t)end))
			return NULL;
		*out++ = slice_of(c.p, c.n);
		p = c.p + c.n + 2;
	} while (out < last);
	return p;
}

/* Puts multibulk requests from *at on into the batch, up to `upto` in all, and
 * moves *at behind them. Stops where one is cut, empty, wrong, or no multibulk.
 * 0 or -ENOMEM. */
static ALWAYS_INLINE int
take_requests(const struct resp_limits *l, struct batch *b, unsigned upto, const char *data,
    const char **at, const char *end)
{
	const char *enough = end - *at >= ARG_MIN_BYTES ? end - ARG_MIN_BYTES + 1 : *at;
	const char *p = *at, *next;
	uint64_t max_bulk = MIN(l->max_bulk, (uint64_t)INT64_MAX);
	struct slice *args = b->args_cap != 0 ? b->args + b->args_used : NULL;
	size_t room = b->args_cap - b->args_used;
	unsigned n = b->n;
	int rc = 0;

	for (; n < upto; n++, p = next) {
		struct count argc = take_count(p, enough, end, '*');

		if (unlikely(argc.n - 1 >= l->max_args ||
		        argc.n * ARG_MIN_BYTES > (uint64_t)(end - argc.p)))
			break;
		/* No more than a few times the bytes that are here. */
		if (unlikely(room < argc.n)) {
			b->n = n;
			b->args_used = b->args_cap - room;
			rc = batch_grow_args(b, argc.n);
			if (rc != 0)
				break;
			args = b->args + b->args_used;
			room = b->args_cap - b->args_used;
		}
		next = take_bulks(argc.p, enough, end, max_bulk, args, args + argc.n);
		if (unlikely(next == NULL))
			break;
		b->req[n] = (struct request){ args, (uint32_t)argc.n, (size_t)(next - data) };
		args += argc.n;
		room -= argc.n;
	}
	b->n = n;
	b->args_used = b->args_cap - room;
	*at = p;
	return rc;
}

bool
resp_take_single(const struct resp_limits *l, const char *data, size_t len,
    struct resp_single *out)
{
	const char *end = data + len, *enough = end - ARG_MIN_BYTES + 1;
	struct count argc;

	if (unlikely(len < ARG_MIN_BYTES))
		return false;
	argc = take_count(data, enough, end, '*');
	if (unlikely(argc.n - 1 >= MIN(l->max_args, (uint32_t)RESP_SINGLE_ARGS)))
		return false;
	out->req = (struct request){ out->args, (uint32_t)argc.n, len };
	return take_bulks(argc.p, enough, end, MIN(l->max_bulk, (uint64_t)INT64_MAX), out->args,
	    out->args + argc.n) == end;
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
take_inline(struct resp_parser *p, struct batch *b, const char *data, size_t wire_len)
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
	if (argc != 0)
		b->req[b->n++] = (struct request){ b->args + first, argc, wire_len };
	return PARSE_DONE;
}

static const struct resp_limits no_limits = { .max_args = UINT32_MAX, .max_bulk = INT64_MAX };

/* What take_requests() stopped at. PARSE_DONE: *at moved on. */
static NOINLINE enum parse_status
parse_hard(struct resp_parser *p, struct batch *b, const char *data, const char **at,
    const char *end)
{
	const char *begin = *at, *again = begin;
	enum parse_status status = PARSE_DONE;

	switch (walk(p, begin, (size_t)(end - begin))) {
	case WALK_MORE:
		return PARSE_MORE;
	case WALK_ERROR:
		status = PARSE_ERROR;
		break;
	case WALK_EMPTY:
		break;
	case WALK_INLINE:
		status = take_inline(p, b, begin, (size_t)(begin - data) + p->pos);
		break;
	case WALK_BULKS:
		/* Limits may have changed since walk() checked them. */
		if (take_requests(&no_limits, b, b->n + 1, data, &again, end) != 0)
			status = PARSE_NOMEM;
		break;
	}
	if (status == PARSE_DONE)
		*at = begin + p->pos;
	resp_parser_reset(p);
	return status;
}

enum parse_status
resp_parse(struct resp_parser *p, const char *data, size_t len, struct batch *batch, size_t *used)
{
	const char *at = data, *end = data + len;
	enum parse_status status = PARSE_DONE;

	batch_reset(batch);
	while (status == PARSE_DONE) {
		if (p->stage == RESP_FRESH &&
		    take_requests(p->limits, batch, BATCH_MAX, data, &at, end) != 0) {
			status = PARSE_NOMEM;
			break;
		}
		if (at == end || batch->n == BATCH_MAX)
			break;
		status = parse_hard(p, batch, data, &at, end);
	}
	*used = (size_t)(at - data);
	return status;
}
