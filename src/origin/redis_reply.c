#include "config.h"

#include "origin/redis_reply.h"

#include <errno.h>

#include "base/parse.h"

#define READ_BYTES (16 * 1024)
#define HEAD_MAX 24 /* of "$536870912\r\n" and a bit */

void
redis_reader_init(struct redis_reader *r, uint64_t max_body)
{
	*r = (struct redis_reader){ .max_body = max_body };
	buf_init(&r->in);
}

void
redis_reader_fini(struct redis_reader *r)
{
	blob_unref(r->blob);
	buf_fini(&r->in);
	*r = (struct redis_reader){ 0 };
}

void
redis_reader_rest(struct redis_reader *r)
{
	if (buf_len(&r->in) == 0)
		buf_fini(&r->in);
}

/* A blob has room for the line end, too, so that a body is read in one go. */
static uint64_t
body_rest(const struct redis_reader *r)
{
	return r->body_len + 2 - r->body_have;
}

static bool
reads_into_blob(const struct redis_reader *r)
{
	return r->stage == READER_BODY && r->blob != NULL && body_rest(r) >= READ_BYTES / 2 &&
	    buf_len(&r->in) == 0;
}

char *
redis_reader_room(struct redis_reader *r, size_t *room)
{
	if (reads_into_blob(r)) {
		*room = body_rest(r);
		return blob_mem(r->blob) + r->body_have;
	}
	if (buf_reserve(&r->in, READ_BYTES) != 0)
		return NULL;
	*room = r->in.cap - r->in.tail;
	return buf_tail(&r->in);
}

void
redis_reader_got(struct redis_reader *r, size_t n)
{
	if (reads_into_blob(r))
		r->body_have += n;
	else
		buf_commit(&r->in, n);
}

/* --- bodies ---------------------------------------------------------------- */

/* Of a reply that begins with $. 1: a body begins, 0: more is needed, 2: it is none
 * (nil), -EPROTO. */
static int
take_body_head(struct redis_reader *r, enum redis_want want)
{
	struct slice in = buf_slice(&r->in);
	const char *cr = memchr(in.ptr, '\r', MIN(in.len, HEAD_MAX));
	uint64_t n;

	if (cr == NULL)
		return in.len >= HEAD_MAX ? -EPROTO : 0;
	if (in.ptr + in.len - cr < 2)
		return 0;
	if (in.ptr[1] == '-')
		return 2;
	if (cr[1] != '\n' || parse_u64(slice_of(in.ptr + 1, (size_t)(cr - in.ptr) - 1), &n) != 0 ||
	    n > REDIS_BULK_MAX)
		return -EPROTO;
	buf_consume(&r->in, (size_t)(cr + 2 - in.ptr));
	r->stage = READER_BODY;
	r->body_len = n;
	r->body_have = 0;
	r->body_failed = 0;
	if (want == REDIS_WANT_BODY && n > r->max_body)
		r->body_failed = -EFBIG;
	else if (want == REDIS_WANT_BODY && (r->blob = blob_new(n + 2)) == NULL)
		r->body_failed = -ENOMEM;
	return 1;
}

/* What lies in the buffer of it. */
static void
move_body(struct redis_reader *r)
{
	struct slice in = buf_slice(&r->in);
	size_t n = MIN(in.len, body_rest(r));

	if (n == 0)
		return;
	if (r->blob != NULL)
		memcpy(blob_mem(r->blob) + r->body_have, in.ptr, n);
	for (size_t i = n > 2 ? n - 2 : 0; i < n; i++) {
		r->body_tail[0] = r->body_tail[1];
		r->body_tail[1] = in.ptr[i];
	}
	r->body_have += n;
	buf_consume(&r->in, n);
}

static int
finish_body(struct redis_reader *r, struct redis_reply *out)
{
	const char *end = r->blob != NULL ? blob_mem(r->blob) + r->body_len : r->body_tail;

	if (end[0] != '\r' || end[1] != '\n')
		return -EPROTO;
	if (r->blob != NULL)
		blob_truncate(r->blob, r->body_len);
	*out = (struct redis_reply){ .head = { .type = RESP_BULK }, .body = r->blob,
		.failed = r->body_failed };
	r->stage = READER_FRESH;
	return 1;
}

/* --- replies --------------------------------------------------------------- */

/* 1, 0 or -EPROTO. */
static int
begin(struct redis_reader *r, enum redis_want want)
{
	int rc = 2;

	/* The last reply's, which the caller is done with. */
	blob_unref(r->blob);
	r->blob = NULL;
	if (buf_len(&r->in) == 0)
		return 0;
	if (*buf_data(&r->in) == '$' && want != REDIS_WANT_ALL)
		rc = take_body_head(r, want);
	if (rc != 2)
		return rc;
	resp_reply_walk_init(&r->walk, REDIS_REPLY_MAX, REDIS_REPLY_DEPTH);
	r->stage = READER_WALKS;
	return 1;
}

static int
walk(struct redis_reader *r, struct redis_reply *out)
{
	int64_t n = resp_reply_walk(&r->walk, buf_data(&r->in), buf_len(&r->in));
	size_t pos = 0;

	if (n == 0 && buf_len(&r->in) > REDIS_REPLY_MAX)
		return -EPROTO;
	if (n <= 0)
		return (int)n;
	*out = (struct redis_reply){ .raw = slice_of(buf_data(&r->in), (size_t)n) };
	if (!resp_reply_next(out->raw, &pos, &out->head))
		return -EPROTO;
	/* Nothing is moved or overwritten before the next call. */
	buf_consume(&r->in, (size_t)n);
	r->stage = READER_FRESH;
	return 1;
}

int
redis_reader_next(struct redis_reader *r, enum redis_want want, struct redis_reply *out)
{
	int rc = 1;

	if (r->stage == READER_FRESH)
		rc = begin(r, want);
	if (rc <= 0)
		return rc;
	if (r->stage == READER_WALKS)
		return walk(r, out);
	move_body(r);
	return body_rest(r) == 0 ? finish_body(r, out) : 0;
}

/* --- errors ------------------------------------------------------------------ */

bool
redis_reply_is_error(const struct redis_reply *r)
{
	return r->head.type == RESP_ERROR;
}

bool
redis_reply_is(const struct redis_reply *r, const char *word)
{
	struct slice text = r->head.text;
	size_t n = strlen(word);

	return r->head.type == RESP_ERROR && slice_has_prefix(text, slice_str(word)) &&
	    (text.len == n || text.ptr[n] == ' ');
}

void
redis_reply_text(const struct redis_reply *r, char *text, size_t size)
{
	static const char *const kinds[] = { [RESP_STATUS] = "a status", [RESP_ERROR] = "an error",
		[RESP_INT] = "a number", [RESP_BULK] = "a string", [RESP_NIL] = "nil",
		[RESP_ARRAY] = "an array", [RESP_MAP] = "a map", [RESP_SET] = "a set",
		[RESP_PUSH] = "a push", [RESP_BOOL] = "a boolean", [RESP_DOUBLE] = "a number",
		[RESP_VERBATIM] = "a text", [RESP_BIGNUM] = "a number" };
	struct slice said = slice_str(kinds[r->head.type]);
	size_t n;

	if (redis_reply_is_error(r) && r->head.text.len != 0)
		said = r->head.text;
	n = MIN(said.len, size - 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)said.ptr[i];

		text[i] = (char)(c < ' ' || c == 127 ? ' ' : c);
	}
	text[n] = '\0';
}
