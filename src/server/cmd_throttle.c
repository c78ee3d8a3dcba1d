/* CL.THROTTLE, as the module redis-cell has it. The state is an ordinary key, whose value
 * is its theoretical arrival time in nanoseconds of the monotonic clock, and
 * which expires then. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/parse.h"
#include "resil/gcra.h"

#define NS_PER_MS 1000000

struct request_args {
	struct gcra limit;
	int64_t quantity;
};

/* False: the error reply is written. */
static bool
read_numbers(struct call *c, int64_t n[4])
{
	n[3] = 1;
	if (c->argc > 6) {
		call_wrong_args(c);
		return false;
	}
	for (uint32_t i = 2; i < c->argc; i++) {
		if (parse_i64(c->argv[i], &n[i - 2]) != 0) {
			call_not_integer(c);
			return false;
		}
	}
	return true;
}

static bool
read_args(struct call *c, struct request_args *out)
{
	int64_t n[4] = { 0 };
	int rc;

	if (!read_numbers(c, n))
		return false;
	out->quantity = n[3];
	rc = gcra_init(&out->limit, n[0], n[1], n[2]);
	if (rc == -EINVAL && n[0] < 0)
		reply_error(c->reply, "ERR max_burst must not be negative");
	else if (rc == -EINVAL)
		reply_error(c->reply, "ERR count and period must be at least 1");
	else if (rc != 0)
		reply_error(c->reply, "ERR max_burst, count and period are out of range: a unit "
		    "must take at least 1 ns, and the burst at most 73 years");
	else if (out->quantity < 0)
		reply_error(c->reply, "ERR quantity must not be negative");
	else
		return true;
	return false;
}

/* The open entry's state; false: it is something else. */
static bool
read_state(const struct store_cursor *cur, enum cache_result found, int64_t *tat_ns)
{
	*tat_ns = 0;
	return found == CACHE_MISS || parse_i64(cur->c.value, tat_ns) == 0;
}

static int
write_state(struct store_cursor *cur, int64_t tat_ns)
{
	char text[FORMAT_MAX];
	struct slice part = slice_of(text, format_i64(text, tat_ns));

	return cache_put(&cur->c, &part, 1, tat_ns / NS_PER_MS + (tat_ns % NS_PER_MS != 0));
}

static void
reply_answer(struct reply *r, const struct gcra *limit, const struct gcra_answer *a)
{
	reply_array(r, 5);
	reply_int(r, a->limited);
	reply_int(r, limit->limit);
	reply_int(r, a->remaining);
	reply_int(r, gcra_seconds(a->retry_after_ns));
	reply_int(r, gcra_seconds(a->reset_after_ns));
}

/* With quantity 0 it is a look: nothing is written. */
void
cmd_cl_throttle(struct call *c)
{
	struct request_args args;
	struct gcra_answer a;
	struct store_cursor cur;
	enum cache_result found;
	int64_t tat_ns;
	int rc = 0;

	if (!read_args(c, &args))
		return;
	found = call_open(c, STORE_WRITE | STORE_TOUCH, &cur);
	if (!read_state(&cur, found, &tat_ns)) {
		store_close(&cur);
		call_not_integer(c);
		return;
	}
	gcra_take(&args.limit, tat_ns, c->now_ms * NS_PER_MS, args.quantity, &a);
	if (!a.limited && args.quantity > 0)
		rc = write_state(&cur, a.tat_ns);
	store_close(&cur);
	if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_answer(c->reply, &args.limit, &a);
}
