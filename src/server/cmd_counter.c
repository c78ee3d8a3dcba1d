/* INCR, DECR, INCRBY, DECRBY: a value that is a 64-bit number in its shortest
 * decimal form. The time to live stays as it is. */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"

/* The open entry's number plus delta, stored. False: the error reply is
 * written, after the cursor was closed. */
static bool
add_to_entry(struct call *c, struct store_cursor *cur, enum cache_result found, int64_t delta,
    int64_t *sum)
{
	int64_t n = 0, expires_ms = CACHE_NEVER;
	char text[FORMAT_MAX];
	struct slice part = { text, 0 };
	int rc;

	if (found == CACHE_HIT) {
		expires_ms = cur->c.expires_ms;
		if (parse_i64(cur->c.value, &n) != 0) {
			store_close(cur);
			call_not_integer(c);
			return false;
		}
	}
	if (__builtin_add_overflow(n, delta, sum)) {
		store_close(cur);
		reply_error(c->reply, "ERR increment or decrement would overflow");
		return false;
	}
	part.len = format_i64(text, *sum);
	rc = cache_put(&cur->c, &part, 1, expires_ms);
	store_close(cur);
	if (rc != 0)
		call_put_failed(c, rc);
	return rc == 0;
}

static void
add(struct call *c, int64_t delta)
{
	struct store_cursor cur;
	enum cache_result found = call_open(c, STORE_WRITE, &cur);
	int64_t sum;

	if (add_to_entry(c, &cur, found, delta, &sum))
		reply_int(c->reply, sum);
}

void
cmd_incr(struct call *c)
{
	add(c, 1);
}

void
cmd_decr(struct call *c)
{
	add(c, -1);
}

void
cmd_incrby(struct call *c)
{
	int64_t delta;

	if (parse_i64(c->argv[2], &delta) != 0)
		call_not_integer(c);
	else
		add(c, delta);
}

void
cmd_decrby(struct call *c)
{
	int64_t delta;

	if (parse_i64(c->argv[2], &delta) != 0)
		call_not_integer(c);
	else if (delta == INT64_MIN)
		reply_error(c->reply, "ERR decrement would overflow");
	else
		add(c, -delta);
}
