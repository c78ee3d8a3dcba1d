/* BITFIELD and BITFIELD_RO: integers of any width up to 64 bits, at any bit.
 *
 * All operations are read before the first is done, so that a mistake in the
 * last one changes nothing. What writes works on a copy of the part of the value
 * that the operations write to, which is put back once. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/bit_offset.h"
#include "server/bits.h"
#include "server/server.h"
#include "server/splice.h"

enum field_verb { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field_op {
	enum field_verb verb;
	enum field_overflow overflow;
	bool is_signed;
	unsigned bits;
	uint64_t at;
	int64_t arg;
};

/* Wide enough for every sum of two numbers of 64 bits. */
__extension__ typedef __int128 wide;

/* --- numbers ------------------------------------------------------------------- */

static wide
field_load(const struct field_op *op, struct slice value)
{
	uint64_t raw = bits_load(value, op->at, op->bits);

	if (op->is_signed && (raw >> (op->bits - 1)) & 1)
		return (wide)raw - ((wide)1 << op->bits);
	return raw;
}

/* What n becomes in so many bits; false: it does not fit, and shall not. */
static bool
field_fit(const struct field_op *op, wide *n)
{
	wide size = (wide)1 << op->bits;
	wide max = op->is_signed ? size / 2 - 1 : size - 1;
	wide min = op->is_signed ? -(size / 2) : 0;

	if (*n >= min && *n <= max)
		return true;
	if (op->overflow == OVERFLOW_FAIL)
		return false;
	if (op->overflow == OVERFLOW_SAT) {
		*n = *n > max ? max : min;
		return true;
	}
	*n &= size - 1;
	if (*n > max)
		*n -= size;
	return true;
}

/* SET of a negative number to an unsigned field takes its 64 bits. */
static wide
field_target(const struct field_op *op, wide old)
{
	if (op->verb == FIELD_INCRBY)
		return old + op->arg;
	return op->is_signed ? (wide)op->arg : (wide)(uint64_t)op->arg;
}

/* Answers it; true: `value` was changed. */
static bool
field_write(struct reply *r, const struct field_op *op, char *value, size_t len)
{
	wide old = field_load(op, slice_of(value, len)), n = field_target(op, old);

	if (!field_fit(op, &n)) {
		reply_nil(r);
		return false;
	}
	reply_int(r, (int64_t)(op->verb == FIELD_SET ? old : n));
	bits_store(value, op->at, op->bits, (uint64_t)n);
	return n != old;
}

/* --- arguments ------------------------------------------------------------------ */

static bool
encoding_parse(struct call *c, struct slice text, struct field_op *op)
{
	int64_t bits;

	op->is_signed = text.len > 0 && text.ptr[0] == 'i';
	if ((op->is_signed || (text.len > 0 && text.ptr[0] == 'u')) &&
	    parse_i64(slice_skip(text, 1), &bits) == 0 && bits >= 1 &&
	    bits <= (op->is_signed ? 64 : 63)) {
		op->bits = (unsigned)bits;
		return true;
	}
	reply_error(c->reply, "ERR Invalid bitfield type. Use something like i16 u8. "
	                      "Note that u64 is not supported but i64 is.");
	return false;
}

static bool
overflow_parse(struct call *c, struct slice word, enum field_overflow *out)
{
	if (slice_caseeq(word, SLICE("wrap")))
		*out = OVERFLOW_WRAP;
	else if (slice_caseeq(word, SLICE("sat")))
		*out = OVERFLOW_SAT;
	else if (slice_caseeq(word, SLICE("fail")))
		*out = OVERFLOW_FAIL;
	else
		reply_error(c->reply, "ERR Invalid OVERFLOW type specified");
	return !c->reply->failed;
}

static bool
verb_parse(struct call *c, uint32_t i, enum field_verb *out)
{
	uint32_t left = c->argc - i - 1;

	if (slice_caseeq(c->argv[i], SLICE("get")) && left >= 2)
		*out = FIELD_GET;
	else if (slice_caseeq(c->argv[i], SLICE("set")) && left >= 3)
		*out = FIELD_SET;
	else if (slice_caseeq(c->argv[i], SLICE("incrby")) && left >= 3)
		*out = FIELD_INCRBY;
	else
		call_syntax_error(c);
	return !c->reply->failed;
}

/* One operation from argv[*i] on, which moves behind it. */
static bool
op_parse(struct call *c, uint32_t *i, struct field_op *op)
{
	if (!verb_parse(c, *i, &op->verb) || !encoding_parse(c, c->argv[*i + 1], op) ||
	    !bit_offset_parse(c, c->argv[*i + 2], op->bits, &op->at))
		return false;
	*i += 3;
	if (op->verb == FIELD_GET)
		return true;
	if (parse_i64(c->argv[(*i)++], &op->arg) == 0)
		return true;
	call_not_integer(c);
	return false;
}

/* ops has room for a third of the arguments. False: the error is written. */
static bool
ops_parse(struct call *c, struct field_op *ops, size_t *n)
{
	enum field_overflow overflow = OVERFLOW_WRAP;

	*n = 0;
	for (uint32_t i = 2; i < c->argc;) {
		if (slice_caseeq(c->argv[i], SLICE("overflow")) && i + 1 < c->argc) {
			if (!overflow_parse(c, c->argv[i + 1], &overflow))
				return false;
			i += 2;
			continue;
		}
		ops[*n] = (struct field_op){ .overflow = overflow };
		if (!op_parse(c, &i, &ops[(*n)++]))
			return false;
	}
	return true;
}

/* --- the part that is written ----------------------------------------------------- */

/* Bytes [from, to) of the value, copied; beyond the value's end they are zeros. */
struct window {
	uint64_t from, to;
	char *bytes; /* owned */
};

static uint64_t
op_from(const struct field_op *op)
{
	return op->at / 8;
}

static uint64_t
op_to(const struct field_op *op)
{
	return (op->at + op->bits - 1) / 8 + 1;
}

/* From the first byte that is written to the last; empty: none is. */
static struct window
window_of(const struct field_op *ops, size_t n)
{
	struct window w = { .from = UINT64_MAX };

	for (size_t i = 0; i < n; i++) {
		if (ops[i].verb == FIELD_GET)
			continue;
		w.from = MIN(w.from, op_from(&ops[i]));
		w.to = MAX(w.to, op_to(&ops[i]));
	}
	return w;
}

static int
window_open(struct window *w, struct slice value)
{
	w->bytes = mem_zalloc(w->to - w->from);
	if (w->bytes == NULL)
		return -ENOMEM;
	if (value.len > w->from)
		memcpy(w->bytes, value.ptr + w->from, MIN(value.len, w->to) - w->from);
	return 0;
}

/* A field as it is by now: where it lies half in the window, from both. */
static wide
window_load(const struct window *w, const struct field_op *op, struct slice value)
{
	struct field_op moved = *op;
	char text[16] = { 0 };
	uint64_t first = op_from(op);

	for (uint64_t i = first; i < op_to(op); i++) {
		if (i >= w->from && i < w->to)
			text[i - first] = w->bytes[i - w->from];
		else if (i < value.len)
			text[i - first] = value.ptr[i];
	}
	moved.at -= 8 * first;
	return field_load(&moved, slice_of(text, sizeof text));
}

/* Answers it; true: the window was changed. */
static bool
window_do(struct window *w, const struct field_op *op, struct slice value, struct reply *r)
{
	struct field_op moved = *op;

	if (op->verb == FIELD_GET) {
		reply_int(r, (int64_t)window_load(w, op, value));
		return false;
	}
	moved.at -= 8 * w->from;
	return field_write(r, &moved, w->bytes, w->to - w->from);
}

/* --- the commands ---------------------------------------------------------------- */

static void
read_fields(struct call *c, const struct field_op *ops, size_t n)
{
	struct store_cursor cur;
	enum cache_result found = call_open(c, STORE_TOUCH | STORE_COUNT, &cur);
	struct slice value = value_or_empty(&cur, found);

	reply_array(c->reply, n);
	for (size_t i = 0; i < n; i++)
		reply_int(c->reply, (int64_t)field_load(&ops[i], value));
	store_close(&cur);
}

/* The replies go to `answers` first: nothing may be said before it is stored. */
static int
write_window(struct store_cursor *cur, enum cache_result found, const struct field_op *ops,
    size_t n, struct reply *answers)
{
	struct slice old = value_or_empty(cur, found);
	struct window w = window_of(ops, n);
	bool changed = w.to > old.len;
	int rc;

	if (w.to > cache_max_entry(cur->c.cache))
		return -E2BIG;
	rc = window_open(&w, old);
	if (rc != 0)
		return rc;
	reply_array(answers, n);
	for (size_t i = 0; i < n; i++)
		changed |= window_do(&w, &ops[i], old, answers);
	if (changed)
		rc = splice_put(cur, found, w.from, slice_of(w.bytes, w.to - w.from));
	mem_free(w.bytes);
	return rc;
}

static void
write_fields(struct call *c, const struct field_op *ops, size_t n)
{
	struct out out;
	struct reply answers = { .out = &out, .wire = c->reply->wire };
	struct store_cursor cur;
	enum cache_result found;
	int rc;

	out_init(&out);
	found = call_open(c, STORE_WRITE | STORE_TOUCH, &cur);
	found = splice_make_room(c, found, window_of(ops, n).to, &cur);
	rc = write_window(&cur, found, ops, n, &answers);
	store_close(&cur);
	if (rc == 0)
		out_move(c->reply->out, &out);
	else
		call_put_failed(c, rc);
	out_fini(&out);
}

static void
bitfield(struct call *c, bool read_only)
{
	struct field_op *ops = mem_calloc(c->argc / 3 + 1, sizeof *ops);
	size_t n;

	if (ops == NULL)
		call_put_failed(c, -ENOMEM);
	else if (!ops_parse(c, ops, &n))
		; /* said already */
	else if (window_of(ops, n).to == 0)
		read_fields(c, ops, n);
	else if (read_only)
		reply_error(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
	else
		write_fields(c, ops, n);
	mem_free(ops);
}

void
cmd_bitfield(struct call *c)
{
	bitfield(c, false);
}

void
cmd_bitfield_ro(struct call *c)
{
	bitfield(c, true);
}
