/* SETBIT, GETBIT, BITCOUNT, BITPOS. BITFIELD is in cmd_bitfield.c, BITOP in
 * cmd_bitop.c. */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/bit_offset.h"
#include "server/bits.h"
#include "server/range.h"
#include "server/server.h"
#include "server/splice.h"

bool
bit_offset_parse(struct call *c, struct slice text, unsigned unit, uint64_t *out)
{
	bool counted = unit > 0 && text.len > 0 && text.ptr[0] == '#';
	int64_t n;

	/* Checked before and after the product: a wrapped one would be an offset
	 * that nobody asked for. */
	if (parse_i64(counted ? slice_skip(text, 1) : text, &n) == 0 && n >= 0 &&
	    !__builtin_mul_overflow(n, counted ? (int64_t)unit : 1, &n) &&
	    (uint64_t)n / 8 < c->sl->limits.max_bulk) {
		*out = (uint64_t)n;
		return true;
	}
	reply_error(c->reply, "ERR bit offset is not an integer or out of range");
	return false;
}

/* The bit that was there. Nothing is copied where it is that already, and the
 * value long enough. */
static int
set_bit(struct store_cursor *cur, enum cache_result found, uint64_t at, bool on, bool *was)
{
	struct slice old = value_or_empty(cur, found);
	unsigned mask = 0x80u >> (at % 8), byte = 0;
	char text;

	*was = bits_get(old, at);
	if (at / 8 < old.len) {
		if (*was == on)
			return 0;
		byte = (unsigned char)old.ptr[at / 8];
	}
	text = (char)(on ? byte | mask : byte & ~mask);
	return splice_put(cur, found, at / 8, slice_of(&text, 1));
}

void
cmd_setbit(struct call *c)
{
	struct store_cursor cur;
	enum cache_result found;
	uint64_t at;
	int64_t on;
	bool was;
	int rc;

	if (!bit_offset_parse(c, c->argv[2], 0, &at))
		return;
	if (parse_i64(c->argv[3], &on) != 0 || (on != 0 && on != 1)) {
		reply_error(c->reply, "ERR bit is not an integer or out of range");
		return;
	}
	found = call_open(c, STORE_WRITE | STORE_TOUCH, &cur);
	found = splice_make_room(c, found, at / 8 + 1, &cur);
	rc = set_bit(&cur, found, at, on != 0, &was);
	store_close(&cur);
	if (rc == 0)
		reply_int(c->reply, was);
	else
		call_put_failed(c, rc);
}

void
cmd_getbit(struct call *c)
{
	struct store_cursor cur;
	enum cache_result found;
	bool bit;
	uint64_t at;

	if (!bit_offset_parse(c, c->argv[2], 0, &at))
		return;
	found = call_open(c, STORE_TOUCH | STORE_COUNT, &cur);
	bit = bits_get(value_or_empty(&cur, found), at);
	store_close(&cur);
	reply_int(c->reply, bit);
}

/* --- ranges ------------------------------------------------------------------ */

struct bit_range {
	int64_t start, end;
	bool in_bits, has_end;
};

enum range_error { RANGE_GOOD, RANGE_NOT_INTEGER, RANGE_SYNTAX };

static enum range_error
unit_parse(struct slice word, bool *in_bits)
{
	*in_bits = slice_caseeq(word, SLICE("bit"));
	return *in_bits || slice_caseeq(word, SLICE("byte")) ? RANGE_GOOD : RANGE_SYNTAX;
}

/* [start end [BYTE | BIT]]. Which mistake is found first is Redis's order. */
static enum range_error
count_range_parse(const struct call *c, struct bit_range *out)
{
	*out = (struct bit_range){ 0, -1, false, true };
	if (c->argc == 2)
		return RANGE_GOOD;
	if (c->argc == 3 || c->argc > 5)
		return RANGE_SYNTAX;
	if (parse_i64(c->argv[2], &out->start) != 0 || parse_i64(c->argv[3], &out->end) != 0)
		return RANGE_NOT_INTEGER;
	if (range_reversed(out->start, out->end)) {
		out->start = INT64_MAX;
		return RANGE_GOOD;
	}
	return c->argc == 5 ? unit_parse(c->argv[4], &out->in_bits) : RANGE_GOOD;
}

/* [start [end [BYTE | BIT]]], likewise. */
static enum range_error
find_range_parse(const struct call *c, struct bit_range *out)
{
	*out = (struct bit_range){ 0, -1, false, c->argc > 4 };
	if (c->argc > 6)
		return RANGE_SYNTAX;
	if (c->argc > 3 && parse_i64(c->argv[3], &out->start) != 0)
		return RANGE_NOT_INTEGER;
	if (c->argc == 6 && unit_parse(c->argv[5], &out->in_bits) != RANGE_GOOD)
		return RANGE_SYNTAX;
	return out->has_end && parse_i64(c->argv[4], &out->end) != 0 ? RANGE_NOT_INTEGER
	                                                              : RANGE_GOOD;
}

/* To positions of bits in a value; false: nothing lies in between. */
static bool
bit_range_clamp(struct bit_range *r, size_t len)
{
	if (!range_clamp(&r->start, &r->end, r->in_bits ? (uint64_t)len * 8 : len))
		return false;
	if (!r->in_bits) {
		r->start *= 8;
		r->end = r->end * 8 + 7;
	}
	return true;
}

static void
refuse_range(struct call *c, enum range_error why)
{
	if (why == RANGE_NOT_INTEGER)
		call_not_integer(c);
	else
		call_syntax_error(c);
}

/* An absent key is 0 before the range is looked at, as in Redis. */
void
cmd_bitcount(struct call *c)
{
	enum range_error error = RANGE_GOOD;
	struct store_cursor cur;
	struct bit_range r;
	uint64_t n = 0;

	if (call_open(c, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT) {
		error = count_range_parse(c, &r);
		if (error == RANGE_GOOD && bit_range_clamp(&r, cur.c.value.len))
			n = bits_count(cur.c.value, (uint64_t)r.start, (uint64_t)r.end);
	}
	store_close(&cur);
	if (error == RANGE_GOOD)
		reply_int(c->reply, (int64_t)n);
	else
		refuse_range(c, error);
}

/* Behind a value there are zeros without end, unless the range has one. */
static int64_t
find_bit(struct slice value, bool bit, struct bit_range *r)
{
	int64_t at;

	if (!bit_range_clamp(r, value.len))
		return -1;
	at = bits_find(value, bit, (uint64_t)r->start, (uint64_t)r->end);
	return at < 0 && !bit && !r->has_end ? (int64_t)value.len * 8 : at;
}

void
cmd_bitpos(struct call *c)
{
	enum range_error error = RANGE_GOOD;
	struct store_cursor cur;
	struct bit_range r;
	int64_t bit, at;

	if (parse_i64(c->argv[2], &bit) != 0) {
		call_not_integer(c);
		return;
	}
	if (bit != 0 && bit != 1) {
		reply_error(c->reply, "ERR The bit argument must be 1 or 0.");
		return;
	}
	at = bit == 0 ? 0 : -1;
	if (call_open(c, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT) {
		error = find_range_parse(c, &r);
		if (error == RANGE_GOOD)
			at = find_bit(cur.c.value, bit != 0, &r);
	}
	store_close(&cur);
	if (error == RANGE_GOOD)
		reply_int(c->reply, at);
	else
		refuse_range(c, error);
}
