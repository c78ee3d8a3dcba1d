/* SETRANGE, GETRANGE and its old name SUBSTR: parts of values. */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/range.h"
#include "server/splice.h"

/* With nothing to write, even an absent key stays as it is. */
void
cmd_setrange(struct call *c)
{
	struct slice bytes = c->argv[3];
	struct store_cursor cur;
	enum cache_result found;
	int64_t offset;
	size_t len;
	int rc = 0;

	if (parse_i64(c->argv[2], &offset) != 0) {
		call_not_integer(c);
		return;
	}
	if (offset < 0) {
		reply_error(c->reply, "ERR offset is out of range");
		return;
	}
	if (bytes.len > 0 && !splice_fits(c, (uint64_t)offset, bytes.len))
		return;
	found = call_open(c, STORE_WRITE | STORE_TOUCH, &cur);
	if (bytes.len > 0)
		found = splice_make_room(c, found, (uint64_t)offset + bytes.len, &cur);
	len = value_or_empty(&cur, found).len;
	if (bytes.len > 0) {
		rc = splice_put(&cur, found, (uint64_t)offset, bytes);
		len = MAX(len, (size_t)offset + bytes.len);
	}
	store_close(&cur);
	if (rc == 0)
		reply_int(c->reply, (int64_t)len);
	else
		call_put_failed(c, rc);
}

#define PIN_MIN_BYTES 16384 /* as reply_value() */

static void
reply_part(struct reply *r, struct store_cursor *cur, struct slice part)
{
	struct out_ref ref;

	if (part.len < PIN_MIN_BYTES || !cache_pin(&cur->c, &ref)) {
		reply_bulk(r, part);
		return;
	}
	ref.ptr += part.ptr - cur->c.value.ptr;
	ref.len = part.len;
	reply_bulk_ref(r, &ref);
}

void
cmd_getrange(struct call *c)
{
	struct slice part = SLICE("");
	struct store_cursor cur;
	int64_t start, end;

	if (parse_i64(c->argv[2], &start) != 0 || parse_i64(c->argv[3], &end) != 0) {
		call_not_integer(c);
		return;
	}
	if (call_open(c, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT &&
	    !range_reversed(start, end) && range_clamp(&start, &end, cur.c.value.len))
		part = slice_of(cur.c.value.ptr + start, (size_t)(end - start + 1));
	reply_part(c->reply, &cur, part);
	store_close(&cur);
}

void
cmd_substr(struct call *c)
{
	cmd_getrange(c);
}
