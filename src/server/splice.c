#include "config.h"

#include "server/splice.h"

#include <errno.h>

#include "base/mem.h"
#include "server/server.h"

struct slice
value_or_empty(const struct store_cursor *cur, enum cache_result found)
{
	return found == CACHE_HIT ? cur->c.value : SLICE("");
}

/* Zeros that nobody wrote cost no memory, however many: the heap gets them as
 * pages that are not there yet. */
int
splice_put(struct store_cursor *cur, enum cache_result found, uint64_t offset, struct slice bytes)
{
	static const char few[512];
	struct slice old = value_or_empty(cur, found), parts[4];
	uint64_t end = offset + bytes.len;
	size_t pad = offset > old.len ? (size_t)(offset - old.len) : 0;
	char *many = NULL;
	int rc;

	if (end > cache_max_entry(cur->c.cache))
		return -E2BIG;
	if (pad > sizeof few && (many = mem_zalloc(pad)) == NULL)
		return -ENOMEM;
	parts[0] = slice_of(old.ptr, MIN(old.len, (size_t)offset));
	parts[1] = slice_of(many != NULL ? many : few, pad);
	parts[2] = bytes;
	parts[3] = end < old.len ? slice_skip(old, (size_t)end) : SLICE("");
	rc = cache_put(&cur->c, parts, ARRAY_LEN(parts),
	    found == CACHE_HIT ? cur->c.expires_ms : CACHE_NEVER);
	mem_free(many);
	return rc;
}

enum cache_result
splice_make_room(struct call *c, enum cache_result found, uint64_t end, struct store_cursor *cur)
{
	uint64_t len = MAX(end, value_or_empty(cur, found).len);

	return call_make_room(c, found, len, STORE_WRITE | STORE_TOUCH, cur);
}

bool
splice_fits(struct call *c, uint64_t offset, uint64_t len)
{
	uint64_t end;

	if (!__builtin_add_overflow(offset, len, &end) && end <= c->sl->limits.max_bulk)
		return true;
	reply_error(c->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
	return false;
}
