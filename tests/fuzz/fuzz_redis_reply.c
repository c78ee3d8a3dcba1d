/* fuzz_redis_reply.c - any bytes as what a Redis server sends: read whole and in pieces
 * they must be the same replies and end with the same error, for each use of a reply;
 * and no more is ever held than came. The first byte says the use and the pieces. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "origin/redis_reply.h"

#define MAX_BODY 100

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(#cond, __LINE__); \
	} while (0)

NORETURN static void
check_failed(const char *cond, int line)
{
	fprintf(stderr, "fuzz_redis_reply.c:%d: %s\n", line, cond);
	abort();
}

static void
note(struct buf *found, const struct redis_reply *r)
{
	struct resp_value v;
	size_t pos = 0;
	char text[40];

	redis_reply_text(r, text, sizeof text);
	CHECK(buf_printf(found, "%d %d %s;", (int)r->head.type, r->failed, text) == 0);
	while (resp_reply_next(r->raw, &pos, &v))
		CHECK(buf_append(found, v.text.ptr, v.text.len) == 0);
	CHECK(pos == r->raw.len);
	if (r->body != NULL) {
		CHECK(blob_slice(r->body).len <= MAX_BODY);
		CHECK(buf_append(found, blob_slice(r->body).ptr, blob_slice(r->body).len) == 0);
	}
}

static struct buf
replies(const uint8_t *data, size_t n, size_t step, enum redis_want want)
{
	struct redis_reader reader;
	struct redis_reply r;
	struct buf found;
	int rc = 0;

	buf_init(&found);
	redis_reader_init(&reader, MAX_BODY);
	for (size_t at = 0; at < n && rc >= 0;) {
		size_t room, take;
		char *to = redis_reader_room(&reader, &room);

		CHECK(to != NULL && room > 0);
		take = MIN(MIN(room, step), n - at);
		memcpy(to, data + at, take);
		redis_reader_got(&reader, take);
		at += take;
		while ((rc = redis_reader_next(&reader, want, &r)) > 0)
			note(&found, &r);
		CHECK(rc == 0 || rc == -EPROTO);
		CHECK(reader.in.cap <= 4 * n + 65536);
	}
	CHECK(buf_printf(&found, "end %d", rc) == 0);
	redis_reader_fini(&reader);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole, pieces;
	enum redis_want want;

	if (n == 0)
		return 0;
	want = (enum redis_want)(data[0] % 3);
	whole = replies(data + 1, n - 1, n, want);
	pieces = replies(data + 1, n - 1, (size_t)data[0] / 3 + 1, want);
	CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
