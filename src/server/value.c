#include "config.h"

#include "server/value.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"

#define PIN_MIN_BYTES 16384 /* as reply_value() */

void
value_init(struct value *v)
{
	v->there = v->pinned = false;
	v->heap = NULL;
	v->len = 0;
}

int
value_keep(struct value *v, struct store_cursor *cur)
{
	struct slice s = cur->c.value;

	if (s.len > sizeof v->small) {
		v->pinned = s.len >= PIN_MIN_BYTES && cache_pin(&cur->c, &v->ref);
		if (!v->pinned) {
			v->heap = mem_slicedup(s);
			if (v->heap == NULL)
				return -ENOMEM;
		}
	} else if (s.len != 0) {
		memcpy(v->small, s.ptr, s.len);
	}
	v->len = s.len;
	v->there = true;
	return 0;
}

struct slice
value_slice(const struct value *v)
{
	if (v->pinned)
		return slice_of(v->ref.ptr, v->len);
	return slice_of(v->heap != NULL ? v->heap : v->small, v->len);
}

void
value_reply(struct value *v, struct reply *r)
{
	if (!v->there) {
		reply_nil(r);
	} else if (v->pinned) {
		v->pinned = false; /* the reply owns the pin now */
		reply_bulk_ref(r, &v->ref);
	} else {
		reply_bulk(r, slice_of(v->heap != NULL ? v->heap : v->small, v->len));
	}
	value_drop(v);
}

void
value_drop(struct value *v)
{
	if (v->pinned)
		v->ref.release(v->ref.owner, v->ref.token);
	mem_free(v->heap);
	value_init(v);
}

int
value_add(struct store_cursor *cur, enum cache_result found, const struct value_start *start,
    int64_t delta, int64_t *sum)
{
	int64_t n = start->number, expires_ms = start->expires_ms;
	char text[FORMAT_MAX];
	struct slice part = { text, 0 };

	if (found == CACHE_HIT) {
		expires_ms = cur->c.expires_ms;
		if (parse_i64(cur->c.value, &n) != 0)
			return -EINVAL;
	}
	if (__builtin_add_overflow(n, delta, sum))
		return -ERANGE;
	part.len = format_i64(text, *sum);
	return cache_put(&cur->c, &part, 1, expires_ms);
}
