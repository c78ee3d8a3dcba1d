/* value.h - a value that outlives its cursor: what GETSET, GETDEL and the like
 * answer after they have changed the entry. */
#ifndef PANNIER_SERVER_VALUE_H
#define PANNIER_SERVER_VALUE_H

#include "base/out.h"
#include "proto/msg.h"
#include "store/store.h"

struct value {
	bool there;
	bool pinned;
	struct out_ref ref; /* of the cache, where pinned */
	char *heap;         /* a copy too large for small[]; owned */
	size_t len;
	char small[512];
};

/* No value yet: replies as nil. */
void value_init(struct value *v);
/* Takes the value of an open cursor that was a hit. 0 or -ENOMEM. */
int value_keep(struct value *v, struct store_cursor *cur) MUST_CHECK;
/* Its bytes, good while v holds them. */
struct slice value_slice(const struct value *v);
/* Writes it, or nil; either way v holds nothing afterwards. */
void value_reply(struct value *v, struct reply *r);
void value_drop(struct value *v);

/* What a counter that is made begins with. */
struct value_start {
	int64_t number, expires_ms;
};
/* Adds delta to the number that the entry of an open cursor is, and stores it with
 * the time to live that it had. 0, -EINVAL: it is no 64-bit number, -ERANGE: nor
 * is the sum, or what cache_put() answered. */
int value_add(struct store_cursor *cur, enum cache_result found, const struct value_start *start,
    int64_t delta, int64_t *sum) MUST_CHECK;

#endif
