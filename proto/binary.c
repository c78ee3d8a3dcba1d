/* binary.c - frames into their elements.
 *
 * msgpack-c's unpacker is not used for what comes in. It builds a tree of
 * objects in a zone of its own and believes what headers promise: the five
 * bytes dd 10 00 00 00 make it ask for 8.6 GB (msgpack-c 4.0.0). A request is
 * flat but for its options and the keys of a batch, so all it takes is to read
 * one header after the other, in place, each checked against the end of its
 * frame. An element takes a byte at least, so no array can promise more than
 * the frame has bytes left, and no work is done that bytes were not sent for. */
#include "config.h"

#include "proto/binary.h"

#include <endian.h>

const struct binary_op_row binary_ops[BINARY_OPS] = {
#define BINARY_OP(id, number, name, command, least, types, options, ...) \
	[number] = { name, least, types, options },
#include "proto/binary.def"
#undef BINARY_OP
};

const char *
binary_error_code(enum binary_error e)
{
	static const char *const codes[] = {
#define BINARY_ERROR(id, code, ...) [BINARY_ERROR_##id] = code,
#include "proto/binary.def"
#undef BINARY_ERROR
	};
	return codes[e];
}

/* --- elements ------------------------------------------------------------------- */

static const char promises_too_much[] = "an element is longer than its frame";
static const char not_an_array[] = "a frame must hold one array";
static const char too_deep[] = "arrays and maps may have 4 levels";
static const char behind_the_array[] = "bytes stand behind the array in its frame";
static const char no_such_byte[] = "0xc1 begins no element";

static inline size_t
left(const struct binary_cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* A number of `width` bytes, most significant first; false: they are not there. */
static inline bool
take_number(struct binary_cursor *c, unsigned width, uint64_t *n)
{
	uint64_t v = 0;

	if (left(c) < width)
		return false;
	for (unsigned i = 0; i < width; i++)
		v = v << 8 | c->p[i];
	c->p += width;
	*n = v;
	return true;
}

/* What a header says; the length of an ext leaves out its type. */
static const struct head {
	uint8_t kind;
	uint8_t width;   /* bytes of the number that follows the header */
	uint8_t is_sign; /* that number is signed */
	uint8_t skip;    /* bytes to pass over behind it, which no value has */
} heads[32] = {
	[0x00] = { BINARY_NIL, 0, 0, 0 },  /* c0 */
	[0x02] = { BINARY_FLAG, 0, 0, 0 }, /* c2 false */
	[0x03] = { BINARY_FLAG, 0, 0, 0 },
	[0x04] = { BINARY_BYTES, 1, 0, 0 }, /* c4 bin */
	[0x05] = { BINARY_BYTES, 2, 0, 0 },
	[0x06] = { BINARY_BYTES, 4, 0, 0 },
	[0x07] = { BINARY_OTHER, 1, 0, 1 }, /* c7 ext */
	[0x08] = { BINARY_OTHER, 2, 0, 1 },
	[0x09] = { BINARY_OTHER, 4, 0, 1 },
	[0x0a] = { BINARY_OTHER, 0, 0, 4 }, /* ca float */
	[0x0b] = { BINARY_OTHER, 0, 0, 8 },
	[0x0c] = { BINARY_UINT, 1, 0, 0 }, /* cc uint */
	[0x0d] = { BINARY_UINT, 2, 0, 0 },
	[0x0e] = { BINARY_UINT, 4, 0, 0 },
	[0x0f] = { BINARY_UINT, 8, 0, 0 },
	[0x10] = { BINARY_UINT, 1, 1, 0 }, /* d0 int */
	[0x11] = { BINARY_UINT, 2, 1, 0 },
	[0x12] = { BINARY_UINT, 4, 1, 0 },
	[0x13] = { BINARY_UINT, 8, 1, 0 },
	[0x14] = { BINARY_OTHER, 0, 0, 2 }, /* d4 fixext */
	[0x15] = { BINARY_OTHER, 0, 0, 3 },
	[0x16] = { BINARY_OTHER, 0, 0, 5 },
	[0x17] = { BINARY_OTHER, 0, 0, 9 },
	[0x18] = { BINARY_OTHER, 0, 0, 17 },
	[0x19] = { BINARY_BYTES, 1, 0, 0 }, /* d9 str */
	[0x1a] = { BINARY_BYTES, 2, 0, 0 },
	[0x1b] = { BINARY_BYTES, 4, 0, 0 },
	[0x1c] = { BINARY_ARRAY, 2, 0, 0 }, /* dc array */
	[0x1d] = { BINARY_ARRAY, 4, 0, 0 },
	[0x1e] = { BINARY_MAP, 2, 0, 0 },   /* de map */
	[0x1f] = { BINARY_MAP, 4, 0, 0 },
};

/* A number of so many bytes with its sign. */
static int64_t
signed_of(uint64_t n, unsigned width)
{
	unsigned shift = 64 - 8 * width;

	return (int64_t)(n << shift) >> shift;
}

/* Behind a header of 0xc0 to 0xdf. */
static const char *
take_wide(struct binary_cursor *c, unsigned byte, struct binary_value *v)
{
	const struct head *h = &heads[byte & 0x1f];
	uint64_t skip = h->skip;

	if (byte == BINARY_MAGIC)
		return no_such_byte;
	v->kind = h->kind;
	v->n = byte & 1; /* of a flag */
	if (h->width != 0 && !take_number(c, h->width, &v->n))
		return promises_too_much;
	if (h->is_sign && signed_of(v->n, h->width) < 0) {
		v->n = (uint64_t)signed_of(v->n, h->width);
		v->kind = BINARY_INT;
	}
	v->ptr = (const char *)c->p;
	if (v->kind == BINARY_BYTES)
		skip = v->n;
	else if (v->kind == BINARY_OTHER && h->width != 0)
		skip += v->n;
	if (skip > left(c))
		return promises_too_much;
	c->p += skip;
	return NULL;
}

/* Reads one header, and passes over bytes that belong to it; the elements of an
 * array or map come next. NULL, or what is wrong. */
static inline const char *
take(struct binary_cursor *c, struct binary_value *v)
{
	unsigned byte;

	if (unlikely(c->p == c->end))
		return promises_too_much;
	byte = *c->p++;
	v->ptr = (const char *)c->p;
	if (byte < 0x80) {
		v->kind = BINARY_UINT;
		v->n = byte;
	} else if (byte >= 0xe0) {
		v->kind = BINARY_INT;
		v->n = (uint64_t)(int64_t)(int8_t)byte;
	} else if (byte >= 0xc0) {
		return take_wide(c, byte, v);
	} else if (byte >= 0xa0) {
		v->kind = BINARY_BYTES;
		v->n = byte & 0x1f;
		if (v->n > left(c))
			return promises_too_much;
		c->p += v->n;
	} else {
		v->kind = byte >= 0x90 ? BINARY_ARRAY : BINARY_MAP;
		v->n = byte & 0x0f;
	}
	return NULL;
}

void
binary_next(struct binary_cursor *c, struct binary_value *out)
{
	if (take(c, out) != NULL)
		*out = (struct binary_value){ .kind = BINARY_NIL };
}

/* Elements of an array or map. */
static inline uint64_t
parts(const struct binary_value *v)
{
	return v->kind == BINARY_MAP ? 2 * v->n : v->n;
}

/* Passes over what is in an array or map of this level. */
static const char *
skip_inside(struct binary_cursor *c, const struct binary_value *v, unsigned level)
{
	uint64_t n = parts(v);
	struct binary_value inner;
	const char *wrong;

	if (level > BINARY_DEPTH)
		return too_deep;
	if (n > left(c))
		return promises_too_much;
	for (uint64_t i = 0; i < n; i++) {
		wrong = take(c, &inner);
		if (wrong == NULL && (inner.kind == BINARY_ARRAY || inner.kind == BINARY_MAP))
			wrong = skip_inside(c, &inner, level + 1);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

/* --- frames ------------------------------------------------------------------------ */

static const char *
take_uint32(struct binary_cursor *c, const char *what, uint32_t *out)
{
	struct binary_value v;
	const char *wrong = take(c, &v);

	if (wrong != NULL)
		return wrong;
	if (v.kind != BINARY_UINT || v.n > UINT32_MAX)
		return what;
	*out = (uint32_t)v.n;
	return NULL;
}

/* Those behind the first two. */
static const char *
take_arguments(struct binary_cursor *c, uint64_t n, struct binary_frame *f)
{
	struct binary_value v;
	const char *wrong;

	for (uint64_t i = 0; i < n; i++) {
		wrong = take(c, &v);
		if (wrong == NULL && (v.kind == BINARY_ARRAY || v.kind == BINARY_MAP))
			wrong = skip_inside(c, &v, 2);
		if (wrong != NULL)
			return wrong;
		if (v.kind == BINARY_MAP && i == n - 1) {
			f->options = v;
			f->has_options = true;
			break;
		}
		if (i < BINARY_ARGS)
			f->argv[i] = v;
		f->argc++;
	}
	return NULL;
}

/* The first of a reply: an id, or nil. */
static const char *
take_answered(struct binary_cursor *c, struct binary_frame *f)
{
	f->nil_a = left(c) > 0 && *c->p == 0xc0;
	if (!f->nil_a)
		return take_uint32(c, "a reply's first element is its id", &f->a);
	f->a = 0;
	c->p++;
	return NULL;
}

static const char *
take_frame(const struct binary_parser *p, struct binary_cursor *c, struct binary_frame *f)
{
	struct binary_value array;
	const char *wrong = take(c, &array);

	f->argc = 0;
	f->is_get = f->is_set = f->has_options = f->nil_a = false;
	f->end = c->end;
	if (wrong != NULL)
		return wrong;
	if (array.kind != BINARY_ARRAY)
		return not_an_array;
	if (array.n < 2)
		return "a request is [op, id, ...]";
	if (array.n > left(c))
		return promises_too_much;
	if (p->replies)
		wrong = take_answered(c, f);
	else
		wrong = take_uint32(c, "op must be an integer of 0 to 4294967295", &f->a);
	if (wrong == NULL)
		wrong = take_uint32(c, p->replies ? "a reply's second element is its status" :
		    "id must be an integer of 0 to 4294967295", &f->b);
	if (wrong == NULL)
		wrong = take_arguments(c, array.n - 2, f);
	if (wrong == NULL && c->p != c->end)
		wrong = behind_the_array;
	return wrong;
}

static inline uint32_t
load_le16(const unsigned char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return le16toh(v);
}

#define SHORT_MAX 120 /* bytes of a frame that take_short() tries */

/* [GET, id, key], the key as fixstr or bin 8, in some ten instructions. False: it
 * is something else, or broken. */
static ALWAYS_INLINE bool
take_short(const unsigned char *p, size_t len, struct binary_frame *f)
{
	const unsigned char *end = p + len;
	size_t key_len;

	if (unlikely(len < 4 || load_le16(p) != (BINARY_OP_get << 8 | 0x93)))
		return false;
	p += 2;
	if (likely(*p < 0x80)) {
		f->b = *p++;
	} else if (*p == 0xcd && len >= 6) {
		f->b = (uint32_t)p[1] << 8 | p[2];
		p += 3;
	} else {
		return false;
	}
	key_len = *p - 0xa0u;
	if (key_len > 0x1f) {
		if (*p != 0xc4 || end - p < 2)
			return false;
		key_len = *++p;
	}
	if (unlikely((size_t)(end - p) != key_len + 1))
		return false;
	f->a = BINARY_OP_get;
	f->argc = 1;
	f->is_get = true;
	f->is_set = false;
	f->has_options = f->nil_a = false;
	f->argv[0] = (struct binary_value){ (const char *)p + 1, key_len, BINARY_BYTES };
	f->end = end;
	return true;
}

/* Bytes in one of their shorter forms. False: something else, or broken. */
static ALWAYS_INLINE bool
take_short_bytes(struct binary_cursor *c, struct binary_value *v)
{
	const unsigned char *p = c->p;
	size_t have = left(c), head = 1;
	uint64_t n;

	if (unlikely(have < 3))
		return false;
	n = *p - 0xa0u;
	if (n > 0x1f) {
		head = *p - 0xc4u;
		if (head > 1)
			return false;
		n = head == 0 ? p[1] : (uint64_t)p[1] << 8 | p[2];
		head += 2;
	}
	if (unlikely(n > have - head))
		return false;
	*v = (struct binary_value){ (const char *)p + head, n, BINARY_BYTES };
	c->p = p + head + n;
	return true;
}

/* [SET, id, key, value] with or without a time to live, in the forms that most have.
 * False: it is something else, or broken. */
static bool
take_set(struct binary_cursor c, struct binary_frame *f)
{
	uint32_t argc = *c.p - 0x92u;

	if (argc - 2 > 1 || left(&c) < 6 || c.p[1] != BINARY_OP_set)
		return false;
	c.p += 2;
	if (likely(*c.p < 0x80)) {
		f->b = *c.p++;
	} else if (*c.p == 0xcd) {
		f->b = (uint32_t)c.p[1] << 8 | c.p[2];
		c.p += 3;
	} else {
		return false;
	}
	if (!take_short_bytes(&c, &f->argv[0]) || !take_short_bytes(&c, &f->argv[1]))
		return false;
	if (argc == 3 && (take(&c, &f->argv[2]) != NULL || f->argv[2].kind != BINARY_UINT ||
	    f->argv[2].n - 1 >= (uint64_t)BINARY_TTL_MAX))
		return false;
	f->a = BINARY_OP_set;
	f->argc = argc;
	f->is_set = true;
	f->is_get = f->has_options = f->nil_a = false;
	f->end = c.end;
	return c.p == c.end;
}

/* The reply [id, status, bytes], as a hit has it. False: something else, or broken. */
static bool
take_hit(struct binary_cursor c, struct binary_frame *f)
{
	if (left(&c) < 6 || *c.p++ != 0x93)
		return false;
	if (likely(*c.p < 0x80)) {
		f->a = *c.p++;
	} else if (*c.p == 0xcd) {
		f->a = (uint32_t)c.p[1] << 8 | c.p[2];
		c.p += 3;
	} else {
		return false;
	}
	f->b = *c.p++;
	if (f->b >= 0x80 || !take_short_bytes(&c, &f->argv[0]))
		return false;
	f->argc = 1;
	f->is_get = f->is_set = f->has_options = f->nil_a = false;
	f->end = c.end;
	return c.p == c.end;
}

bool
binary_take_get(const char *data, size_t len, struct binary_frame *f)
{
	const unsigned char *p = (const unsigned char *)data;

	if (len < 2 || *p > SHORT_MAX || *p != len - 1)
		return false;
	f->wire_len = len;
	return take_short(p + 1, len - 1, f);
}

/* The bytes of a length, 0 where they are not all here, -1 where it is none. */
static int
take_length(const unsigned char *p, size_t have, uint64_t *len)
{
	struct binary_cursor c = { p + 1, p + have };
	unsigned width;

	if (*p < 0x80) {
		*len = *p;
		return 1;
	}
	if (*p < 0xcc || *p > 0xce)
		return -1;
	width = 1u << (*p - 0xcc);
	return take_number(&c, width, len) ? (int)(1 + width) : 0;
}

static enum parse_status
broken(struct binary_parser *p, const char *why)
{
	p->error = why;
	return PARSE_ERROR;
}

/* Of the frame that begins at p. PARSE_DONE: its body is here, *head + *len bytes. */
static inline enum parse_status
frame_length(struct binary_parser *ps, const unsigned char *p, size_t have, int *head,
    uint64_t *len)
{
	*head = take_length(p, have, len);
	if (unlikely(*head < 0))
		return broken(ps, "a frame begins with its length, an unsigned integer");
	ps->need = have + 1;
	if (*head == 0)
		return PARSE_MORE;
	if (unlikely(*len == 0))
		return broken(ps, "a frame has at least one byte");
	if (unlikely(*len > ps->max_frame))
		return broken(ps, "the frame is longer than max_frame");
	if (have - (size_t)*head >= *len)
		return PARSE_DONE;
	ps->need = (size_t)*head + *len;
	return PARSE_MORE;
}

enum parse_status
binary_parse(struct binary_parser *ps, const char *data, size_t len, struct binary_batch *b,
    size_t *used)
{
	const unsigned char *begin = (const unsigned char *)data, *p = begin, *end = p + len;
	enum parse_status status = PARSE_DONE;

	for (b->n = 0; p < end && b->n < BATCH_MAX; b->n++) {
		struct binary_frame *f = &b->req[b->n];
		uint64_t body = *p;
		int head = 1;
		struct binary_cursor c;
		const char *wrong;

		if (likely(body <= SHORT_MAX && body < (size_t)(end - p)) &&
		    take_short(p + 1, body, f)) {
			p += 1 + body;
			f->wire_len = (size_t)(p - begin);
			continue;
		}
		status = frame_length(ps, p, (size_t)(end - p), &head, &body);
		if (status != PARSE_DONE)
			break;
		c = (struct binary_cursor){ p + head, p + head + body };
		wrong = (ps->replies ? take_hit(c, f) : take_set(c, f)) ? NULL :
		    take_frame(ps, &c, f);
		if (unlikely(wrong != NULL)) {
			status = broken(ps, wrong);
			break;
		}
		p += (size_t)head + body;
		f->wire_len = (size_t)(p - begin);
	}
	*used = (size_t)(p - begin);
	return status;
}

/* --- the preface ---------------------------------------------------------------------- */

/* 1 to 64 printable characters without spaces. */
static bool
is_client_name(const struct binary_value *v)
{
	if (v->kind != BINARY_BYTES || v->n == 0 || v->n > BINARY_CLIENT_MAX)
		return false;
	for (uint64_t i = 0; i < v->n; i++)
		if (v->ptr[i] <= ' ' || v->ptr[i] >= 0x7f)
			return false;
	return true;
}

/* The map of a preface. NULL, or what is wrong. */
static const char *
take_hello_options(struct binary_cursor *c, uint32_t *min, struct slice *client)
{
	struct binary_value map = { 0 }, key = { 0 }, value = { 0 };
	const char *wrong = take(c, &map);
	struct binary_cursor inside = *c;

	if (wrong == NULL && map.kind != BINARY_MAP)
		wrong = "the preface's third element is a map";
	if (wrong == NULL)
		wrong = skip_inside(c, &map, 2);
	for (uint64_t i = 0; wrong == NULL && i < map.n; i++) {
		take(&inside, &key);
		if (key.kind == BINARY_ARRAY || key.kind == BINARY_MAP)
			return "the keys of the preface's map are text";
		take(&inside, &value);
		if (key.kind == BINARY_BYTES && slice_eq(binary_bytes(&key), SLICE("min"))) {
			if (value.kind != BINARY_UINT || value.n > *min)
				return "min is a number up to the version";
			*min = (uint32_t)value.n;
		} else if (key.kind == BINARY_BYTES &&
		    slice_eq(binary_bytes(&key), SLICE("client"))) {
			if (!is_client_name(&value))
				return "client is 1 to 64 printable characters without spaces";
			*client = binary_bytes(&value);
		} else if (value.kind == BINARY_ARRAY || value.kind == BINARY_MAP) {
			wrong = skip_inside(&inside, &value, 3);
		}
	}
	return wrong;
}

static const char *
take_hello(struct binary_cursor *c, struct binary_hello *h)
{
	struct binary_value v = { 0 };
	uint64_t n;
	uint32_t version = 0, min;
	const char *wrong = take(c, &v);

	n = v.n;
	if (wrong != NULL)
		return wrong;
	if (v.kind != BINARY_ARRAY || n < 2 || n > 3)
		return "a preface is [\"" BINARY_NAME "\", version, {options}]";
	wrong = take(c, &v);
	if (wrong != NULL)
		return wrong;
	if (v.kind != BINARY_BYTES || !slice_eq(binary_bytes(&v), SLICE(BINARY_NAME)))
		return "the protocol's name is " BINARY_NAME;
	wrong = take_uint32(c, "the version is a number from 1 on", &version);
	if (wrong != NULL || version == 0)
		return wrong != NULL ? wrong : "the version is a number from 1 on";
	min = version;
	if (n == 3)
		wrong = take_hello_options(c, &min, &h->client);
	if (wrong == NULL && c->p != c->end)
		wrong = behind_the_array;
	if (wrong == NULL && min > BINARY_VERSION)
		wrong = "no version that both speak";
	if (wrong == NULL)
		h->version = MIN(version, BINARY_VERSION);
	return wrong;
}

size_t
binary_hello_read(const char *data, size_t len, struct binary_hello *out, size_t *used)
{
	const unsigned char *p = (const unsigned char *)data + 1;
	struct binary_parser ps = { .max_frame = BINARY_HELLO_MAX };
	enum parse_status status;
	uint64_t body = 0;
	int head = 0;

	*out = (struct binary_hello){ .version = 0 };
	*used = len;
	if (len < 2)
		return 2;
	status = frame_length(&ps, p, len - 1, &head, &body);
	if (status == PARSE_MORE)
		return 1 + ps.need;
	if (status == PARSE_ERROR) {
		out->error = body > BINARY_HELLO_MAX ?
		    "a preface has at most 1024 bytes" : ps.error;
		return 0;
	}
	*used = 1 + (size_t)head + body;
	out->error = take_hello(&(struct binary_cursor){ p + head, p + head + body }, out);
	return 0;
}
