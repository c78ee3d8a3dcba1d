/* request.c - requests into their frames. */
#include "config.h"

#include "clients/c/src/impl.h"

/* What each flag is among the options of an operation. */
static const struct condition {
	unsigned flag;
	enum binary_option option;
	bool has_bytes;
} conditions[] = {
	{ PANNIER_IF_ABSENT, BINARY_OPTION_if_absent, false },
	{ PANNIER_IF_PRESENT, BINARY_OPTION_if_present, false },
	{ PANNIER_IF_TOKEN, BINARY_OPTION_if_token, true },
	{ PANNIER_IF_VALUE, BINARY_OPTION_if_value, true },
	{ PANNIER_WITH_LEASE, BINARY_OPTION_lease, true },
};
#define CONDITIONS (PANNIER_IF_ABSENT | PANNIER_IF_PRESENT | PANNIER_IF_TOKEN | \
	PANNIER_IF_VALUE | PANNIER_WITH_LEASE)

#define SHORT_KEY 120 /* a frame with it has a length of one byte */

static bool
is_many(enum pannier_op op)
{
	return op == PANNIER_OP_GET_MANY || op == PANNIER_OP_SET_MANY ||
	    op == PANNIER_OP_DELETE_MANY;
}

static bool
waits(enum pannier_op op)
{
	return op == PANNIER_OP_GET || op == PANNIER_OP_GET_MANY || op == PANNIER_OP_LEASE;
}

size_t
request_items(const struct pannier_request *r)
{
	return r->op == PANNIER_OP_SET_MANY ? r->n_many / 2 : r->n_many;
}

bool
request_may_repeat(const struct pannier_request *r)
{
	return r->op != PANNIER_OP_INCR && r->op != PANNIER_OP_CANCEL && r->op != PANNIER_OP_AUTH &&
	    (r->flags & CONDITIONS) == 0;
}

static unsigned
allowed_flags(enum pannier_op op)
{
	if (waits(op))
		return PANNIER_META | PANNIER_WITH_DEADLINE;
	if (op == PANNIER_OP_SET)
		return CONDITIONS;
	if (op == PANNIER_OP_SET_MANY)
		return PANNIER_IF_ABSENT | PANNIER_IF_PRESENT;
	return op == PANNIER_OP_DELETE ? PANNIER_IF_TOKEN | PANNIER_IF_VALUE : 0;
}

static bool
time_fits(int64_t ms)
{
	return ms >= 0 && ms <= BINARY_TTL_MAX;
}

static bool
is_token(struct pannier_bytes b)
{
	return b.len >= 1 && b.len <= BINARY_TOKEN_MAX;
}

/* What can be told without the server. NULL, or what is wrong. */
static const char *
look(const struct pannier_request *r)
{
	unsigned condition = r->flags & CONDITIONS;

	if (r->op < 1 || r->op >= BINARY_OPS || binary_ops[r->op].name == NULL)
		return "there is no such operation";
	if ((r->flags & ~allowed_flags(r->op)) != 0)
		return "a flag that the operation does not have";
	if ((condition & (condition - 1)) != 0)
		return "at most one condition may be given";
	if (!time_fits(r->ttl_ms) || !time_fits(r->grace_ms))
		return "ttl_ms and grace_ms are 0 to 2^47";
	if (r->deadline_ms > TIMEOUT_MOST_MS || r->timeout_ms > TIMEOUT_MOST_MS)
		return "deadline_ms and timeout_ms are 0 to 3,600,000";
	if ((condition & (PANNIER_IF_TOKEN | PANNIER_WITH_LEASE)) != 0 && !is_token(r->condition))
		return "a token has 1 to 16 bytes";
	if (r->op == PANNIER_OP_RELEASE && !is_token(r->value))
		return "a lease has 1 to 16 bytes";
	if (is_many(r->op) && request_items(r) > BINARY_BATCH_KEYS)
		return "at most 16,384 keys at a time";
	if (r->op == PANNIER_OP_SET_MANY && r->n_many % 2 != 0)
		return "a key without a value";
	return NULL;
}

/* Bytes that the frame has at most. 0: more than a frame may have. */
static size_t
bound(const struct pannier_request *r)
{
	size_t n = 256, parts[] = { r->key.len, r->value.len, r->condition.len };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (__builtin_add_overflow(n, parts[i], &n))
			return 0;
	for (size_t i = 0; i < (is_many(r->op) ? r->n_many : 0); i++)
		if (__builtin_add_overflow(n, r->many[i].len + 5, &n))
			return 0;
	return n <= UINT32_MAX ? n : 0;
}

/* --- arguments -------------------------------------------------------------------- */

static void
put(struct out *o, struct pannier_bytes b)
{
	binary_put_bytes(o, slice_from(b));
}

static unsigned
count_arguments(const struct pannier_request *r)
{
	bool ttl = r->ttl_ms != 0, one = r->key.ptr != NULL;

	switch (r->op) {
	case PANNIER_OP_SET: return 2 + ttl;
	case PANNIER_OP_TOUCH:
	case PANNIER_OP_SET_MANY: return 1 + ttl;
	case PANNIER_OP_INCR:
	case PANNIER_OP_RELEASE: return 2;
	case PANNIER_OP_FLUSH: return 0;
	case PANNIER_OP_STATS:
	case PANNIER_OP_PING: return one;
	case PANNIER_OP_AUTH: return 1 + (r->value.ptr != NULL);
	default: return 1;
	}
}

static void
put_many(struct out *o, const struct pannier_request *r)
{
	binary_put_array(o, r->n_many);
	for (size_t i = 0; i < r->n_many; i++)
		put(o, r->many[i]);
}

static void
put_arguments(struct out *o, const struct pannier_request *r, unsigned n)
{
	if (n == 0)
		return;
	if (r->op == PANNIER_OP_CANCEL) {
		binary_put_uint(o, r->target);
		return;
	}
	if (is_many(r->op))
		put_many(o, r);
	else if (r->op == PANNIER_OP_STATS)
		binary_put_str(o, slice_from(r->key));
	else
		put(o, r->key);
	if (r->op == PANNIER_OP_INCR)
		binary_put_int(o, r->delta);
	else if (r->op == PANNIER_OP_SET || r->op == PANNIER_OP_RELEASE ||
	    (r->op == PANNIER_OP_AUTH && n == 2))
		put(o, r->value);
	if (r->ttl_ms != 0 && (r->op == PANNIER_OP_SET || r->op == PANNIER_OP_TOUCH ||
	    r->op == PANNIER_OP_SET_MANY))
		binary_put_int(o, r->ttl_ms);
}

/* --- options ---------------------------------------------------------------------- */

static void
put_number(struct out *o, enum binary_option option, int64_t n)
{
	binary_put_uint(o, option);
	binary_put_int(o, n);
}

static bool
has_grace(const struct pannier_request *r)
{
	return r->grace_ms != 0 && (r->op == PANNIER_OP_SET || r->op == PANNIER_OP_SET_MANY);
}

static bool
has_deadline(const struct pannier_request *r, uint32_t timeout_ms)
{
	return waits(r->op) && ((timeout_ms != 0 && r->op != PANNIER_OP_GET) ||
	    (r->flags & PANNIER_WITH_DEADLINE) != 0);
}

static unsigned
count_options(const struct pannier_request *r, uint32_t timeout_ms)
{
	bool incr = r->op == PANNIER_OP_INCR;

	return has_deadline(r, timeout_ms) + ((r->flags & PANNIER_META) != 0) + has_grace(r) +
	    ((r->flags & CONDITIONS) != 0) + (incr && r->ttl_ms != 0) + (incr && r->initial != 0);
}

static void
put_condition(struct out *o, const struct pannier_request *r)
{
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		if ((r->flags & conditions[i].flag) == 0)
			continue;
		binary_put_uint(o, conditions[i].option);
		if (conditions[i].has_bytes)
			put(o, r->condition);
		else
			binary_put_flag(o, true);
	}
}

/* In the order of their numbers. The sidecar waits a little less than we do, so that its
 * answer comes first. */
static void
put_options(struct out *o, const struct pannier_request *r, uint32_t timeout_ms)
{
	if (has_deadline(r, timeout_ms))
		put_number(o, BINARY_OPTION_deadline_ms,
		    (r->flags & PANNIER_WITH_DEADLINE) != 0 ? r->deadline_ms :
		    (int64_t)timeout_ms * 9 / 10);
	if ((r->flags & PANNIER_META) != 0) {
		binary_put_uint(o, BINARY_OPTION_meta);
		binary_put_flag(o, true);
	}
	if (has_grace(r))
		put_number(o, BINARY_OPTION_grace_ms, r->grace_ms);
	put_condition(o, r);
	if (r->op == PANNIER_OP_INCR && r->ttl_ms != 0)
		put_number(o, BINARY_OPTION_ttl_ms, r->ttl_ms);
	if (r->op == PANNIER_OP_INCR && r->initial != 0)
		put_number(o, BINARY_OPTION_initial, r->initial);
}

/* A GET and nothing else: what most requests are. A deadline would make it longer and
 * the sidecar's work more; CANCEL does the same when it is needed. */
static int
write_get(struct out *o, uint32_t id, struct slice key)
{
	size_t id_len = id < 0x80 ? 1 : 3, head_len = key.len < 32 ? 1 : 2;
	size_t body = 2 + id_len + head_len + key.len;
	char *p;

	if (buf_reserve(&o->bytes, 1 + body) != 0)
		return PANNIER_E_NOMEM;
	p = buf_tail(&o->bytes);
	*p++ = (char)body;
	*p++ = (char)0x93;
	*p++ = BINARY_OP_get;
	if (id_len == 3) {
		*p++ = (char)0xcd;
		*p++ = (char)(id >> 8);
	}
	*p++ = (char)id;
	if (head_len == 2)
		*p++ = (char)0xc4;
	*p++ = (char)(head_len == 2 ? key.len : 0xa0 | key.len);
	if (key.len != 0)
		memcpy(p, key.ptr, key.len);
	buf_commit(&o->bytes, 1 + body);
	return 0;
}

int
request_write(struct out *o, uint32_t id, const struct pannier_request *r, uint32_t timeout_ms,
    const char **why)
{
	unsigned n_args, n_options;
	struct binary_mark m;
	size_t most;

	if (likely(r->op == PANNIER_OP_GET && r->flags == 0 && r->key.len <= SHORT_KEY &&
	        r->timeout_ms <= TIMEOUT_MOST_MS && id <= UINT16_MAX && out_len(o) <= SEND_QUEUE_MOST))
		return write_get(o, id, slice_from(r->key));
	*why = look(r);
	if (*why != NULL)
		return PANNIER_E_ARGS;
	most = bound(r);
	if (most == 0 || out_len(o) > SEND_QUEUE_MOST) {
		*why = most == 0 ? "longer than a frame can be" : "too much waits to be sent";
		return PANNIER_E_ARGS;
	}
	/* Nothing of what follows can fail, and half a frame is never sent. */
	if (buf_reserve(&o->bytes, most) != 0)
		return PANNIER_E_NOMEM;
	n_args = count_arguments(r);
	n_options = count_options(r, timeout_ms);
	m = binary_begin(o);
	binary_put_array(o, 2 + n_args + (n_options != 0));
	binary_put_uint(o, r->op);
	binary_put_uint(o, id);
	put_arguments(o, r, n_args);
	if (n_options != 0)
		binary_put_map(o, n_options);
	put_options(o, r, timeout_ms);
	binary_end(o, m);
	return 0;
}
