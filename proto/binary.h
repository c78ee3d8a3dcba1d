/* binary.h - the binary protocol (PROTOCOL.md): frames read in place, replies
 * written. Bytes in, requests out; no I/O, and no allocation but that of the
 * output.
 *
 * Not thread-safe: all of it belongs to one connection's loop. */
#ifndef PANNIER_PROTO_BINARY_H
#define PANNIER_PROTO_BINARY_H

#include "base/out.h"
#include "proto/msg.h"
#include "proto/resp.h"

#define BINARY_MAGIC 0xc1
#define BINARY_VERSION 1
#define BINARY_NAME "pannier"
#define BINARY_HELLO_MAX 1024     /* bytes of the preface's frame */
#define BINARY_CLIENT_MAX 64
#define BINARY_TTL_MAX ((int64_t)1 << 47)
#define BINARY_DEPTH 4            /* levels of arrays and maps, the frame's counted */
#define BINARY_OPTIONS 16
#define BINARY_BATCH_KEYS 16384
#define BINARY_WAITING_MAX 1024   /* requests of one connection */
#define BINARY_TOKEN_MAX 16
#define BINARY_TOKEN_BYTES 8      /* of those that we make */

/* binary.def as numbers. */
enum binary_op {
#define BINARY_OP(id, number, ...) BINARY_OP_##id = (number),
#include "proto/binary.def"
#undef BINARY_OP
};
#define BINARY_OPS 17 /* one above the last */

enum binary_option {
#define BINARY_OPTION(id, number, ...) BINARY_OPTION_##id = (number),
#include "proto/binary.def"
#undef BINARY_OPTION
};

enum binary_status {
#define BINARY_STATUS(id, number, ...) BINARY_##id = (number),
#include "proto/binary.def"
#undef BINARY_STATUS
};

enum binary_error {
#define BINARY_ERROR(id, ...) BINARY_ERROR_##id,
#include "proto/binary.def"
#undef BINARY_ERROR
};

struct binary_op_row {
	const char *name;
	unsigned least;
	const char *types;   /* a letter for each argument */
	const char *options; /* words between spaces */
};
extern const struct binary_op_row binary_ops[BINARY_OPS]; /* name NULL: there is none */
/* "ARGS" ... */
const char *binary_error_code(enum binary_error e);

/* --- elements ----------------------------------------------------------------- */

enum binary_kind {
	BINARY_NIL, BINARY_FLAG, BINARY_UINT, BINARY_INT, /* INT: below zero */
	BINARY_BYTES, BINARY_ARRAY, BINARY_MAP, BINARY_OTHER,
};

/* Slices into the input, good as long as that. */
struct binary_value {
	const char *ptr; /* BYTES; ARRAY and MAP: their first element */
	uint64_t n;      /* bytes, elements, pairs; the number (INT: as int64_t) */
	enum binary_kind kind;
};

static inline struct slice
binary_bytes(const struct binary_value *v)
{
	return slice_of(v->ptr, v->n);
}

/* The elements of an array or map of a frame that was taken, one after the other:
 * n of an array, 2n of a map. */
struct binary_cursor {
	const unsigned char *p, *end;
};
void binary_next(struct binary_cursor *c, struct binary_value *out);

/* --- frames --------------------------------------------------------------------- */

#define BINARY_ARGS 4 /* kept of a frame; what may have more has an error */

/* [a, b, argument ..., options]: a request's op and id, or a reply's id and
 * status. What of it was checked: that the frame is one sound array of msgpack,
 * and that the first two are uints of 32 bits. */
struct binary_frame {
	uint32_t a, b;
	uint32_t argc;       /* options not counted; argv has the first ones */
	bool is_get;         /* of requests: [GET, id, key], the one that most are */
	bool is_set;         /* [SET, id, key, value] or [SET, id, key, value, ttl_ms] */
	bool has_options;
	bool nil_a;          /* of replies that answer nobody */
	struct binary_value argv[BINARY_ARGS];
	struct binary_value options; /* a MAP, the frame's last element */
	const unsigned char *end;
	size_t wire_len;     /* up to its end, from the start of the input */
};

static inline struct binary_cursor
binary_elements(const struct binary_frame *f, const struct binary_value *v)
{
	return (struct binary_cursor){ (const unsigned char *)v->ptr, f->end };
}

struct binary_batch {
	struct binary_frame req[BATCH_MAX];
	unsigned n;
};

/* Holds no memory, and nothing between two calls: a frame that is not complete
 * is known by its length. */
struct binary_parser {
	uint64_t max_frame;
	bool replies;      /* read as a client does: the first may be nil */
	size_t need;       /* after PARSE_MORE: bytes in all from the open frame on */
	const char *error; /* after PARSE_ERROR: why the stream is broken */
};

/* Puts whole frames of data into the batch; *used is where the first one begins
 * that is not in it. As resp_parse(), but never PARSE_NOMEM. */
enum parse_status binary_parse(struct binary_parser *p, const char *data, size_t len,
    struct binary_batch *b, size_t *used) MUST_CHECK;

/* --- requests ------------------------------------------------------------------- */

/* Whether the input is exactly one [GET, id, key]. */
bool binary_take_get(const char *data, size_t len, struct binary_frame *f) MUST_CHECK;

struct binary_options {
	uint32_t given; /* a bit for each number; flags that are false are not given */
	int64_t deadline_ms, grace_ms, ttl_ms, initial;
	struct slice if_token, if_value, lease;
};

static inline bool
binary_given(const struct binary_options *o, enum binary_option option)
{
	return (o->given & 1u << option) != 0;
}

struct binary_refusal {
	enum binary_error code;
	char text[128];
};

/* What of binary_check() an is_set has not passed yet. */
static inline bool
binary_set_fits(const struct binary_frame *f, uint64_t max_value)
{
	return f->argv[0].n <= max_value && f->argv[1].n <= max_value;
}

/* Whether there is such an operation, and its arguments and options are what
 * they must be; else why not. */
bool binary_check(const struct binary_frame *f, uint64_t max_value, struct binary_options *o,
    struct binary_refusal *why) MUST_CHECK;
/* Argument i of a checked request as a time to live; 0: none. */
int64_t binary_ttl(const struct binary_frame *f, unsigned i);

/* --- the preface ------------------------------------------------------------------ */

struct binary_hello {
	uint32_t version; /* the one that both speak; 0: refused */
	struct slice client; /* empty: not said */
	const char *error;
};

/* What a client sends, BINARY_MAGIC included. 0 and *used is moved on, also
 * where it is refused; the bytes needed in all, where it is not complete. */
size_t binary_hello_read(const char *data, size_t len, struct binary_hello *out, size_t *used)
    MUST_CHECK;

struct binary_offer {
	const char *server; /* "pannier 1.0" */
	uint64_t id, max_frame, max_value;
	uint32_t max_waiting;
	bool auth;          /* AUTH comes first */
	const char *const *features;
	unsigned n_features;
};

void binary_write_offer(struct out *o, const struct binary_offer *offer);
void binary_write_refusal(struct out *o, const char *error);
/* As clients send it. client NULL: not said. */
void binary_write_hello(struct out *o, const char *client);

/* --- writing ----------------------------------------------------------------------- */

/* Elements, in their shortest form. */
void binary_put_nil(struct out *o);
void binary_put_flag(struct out *o, bool yes);
void binary_put_uint(struct out *o, uint64_t n);
void binary_put_int(struct out *o, int64_t n);
void binary_put_bytes(struct out *o, struct slice s);
void binary_put_str(struct out *o, struct slice s); /* text */
void binary_put_text(struct out *o, const char *s);
void binary_put_array(struct out *o, size_t n);
void binary_put_map(struct out *o, size_t n);
/* Bytes that are sent from where they lie; takes the ref. */
void binary_put_ref(struct out *o, const struct out_ref *ref);

/* A frame around what is put in between. */
struct binary_mark {
	size_t tail, len;
};
struct binary_mark binary_begin(struct out *o);
void binary_end(struct out *o, struct binary_mark m);

/* Whole replies; the first is [id, status]. */
static inline void binary_reply(struct out *o, uint32_t id, enum binary_status status);
void binary_reply_wide(struct out *o, uint32_t id, enum binary_status status);
/* `code` is any word, text one line: control characters in it become spaces. */
void binary_reply_error(struct out *o, uint32_t id, const char *code, const char *text);
/* [15, code, text], an item of a batch. */
void binary_put_error(struct out *o, const char *code, const char *text);
/* The last words of a connection: for nobody. */
void binary_write_last(struct out *o, const char *text);

#define BINARY_HEAD_MAX 16 /* of a reply with one value, all but that */

/* The head of [id, status, bytes of this length]; p has BINARY_HEAD_MAX bytes. */
size_t binary_value_head(char *p, uint32_t id, enum binary_status status, size_t len);
/* The same for what is longer than the usual. */
void binary_reply_long(struct out *o, uint32_t id, enum binary_status status, struct slice value);

static inline void
binary_reply(struct out *o, uint32_t id, enum binary_status status)
{
	char *p;

	if (unlikely(id >= 128 || o->bytes.cap - o->bytes.tail < 4)) {
		binary_reply_wide(o, id, status);
		return;
	}
	p = buf_tail(&o->bytes);
	p[0] = 3;
	p[1] = (char)0x92;
	p[2] = (char)id;
	p[3] = (char)status;
	out_commit(o, 4);
}

/* [id, status, value]. The copy comes last, so that nothing need be kept over it. */
static inline void
binary_reply_value(struct out *o, uint32_t id, enum binary_status status, struct slice value)
{
	char *p;

	if (unlikely(id >= 128 || value.len > 120 || o->bytes.cap - o->bytes.tail < 128)) {
		binary_reply_long(o, id, status, value);
		return;
	}
	p = buf_tail(&o->bytes);
	p[0] = (char)(5 + value.len);
	p[1] = (char)0x93;
	p[2] = (char)id;
	p[3] = (char)status;
	p[4] = (char)0xc4;
	p[5] = (char)value.len;
	out_commit(o, 6 + value.len);
	memcpy(p + 6, value.ptr, value.len);
}

#endif
