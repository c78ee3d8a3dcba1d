/* msg.h - the request and the reply that both codecs share. No I/O.
 *
 * A handler reads a struct request and writes one reply through the reply_*
 * calls; it never sees the wire. Not thread-safe: both belong to one loop. */
#ifndef PANNIER_PROTO_MSG_H
#define PANNIER_PROTO_MSG_H

#include <stdarg.h>
#include <stdint.h>

#include "base/out.h"
#include "base/slice.h"

/* Slices into the connection's input: good until that input is consumed, or
 * the batch is filled anew (arguments that came in quotes lie there). */
struct request {
	struct slice *argv; /* argv[0] is the command's name; argc >= 1 */
	uint32_t argc;
	size_t wire_len;    /* bytes of input up to this request's end, counted
	                     * from the start of the batch */
};

#define BATCH_MAX 64

/* The requests found in one read. One for each loop, used again and again.
 * Grows with arguments that were really received, never with announced ones,
 * and gives the memory of unusually large requests back when filled anew. */
struct batch {
	struct request req[BATCH_MAX];
	unsigned n;
	struct slice *args; /* storage of all argv, owned */
	size_t args_used, args_cap;
	char *scratch;      /* arguments that had to be unescaped, owned */
	size_t scratch_used, scratch_cap;
};

void batch_init(struct batch *b);
void batch_fini(struct batch *b);

#define BATCH_ARGS_KEEP 8192
#define BATCH_SCRATCH_KEEP 65536
void batch_shrink(struct batch *b); /* batch_reset() calls it */

/* Empties it; codecs do that first. */
static inline void
batch_reset(struct batch *b)
{
	b->n = 0;
	b->args_used = b->scratch_used = 0;
	if (unlikely(b->args_cap > BATCH_ARGS_KEEP || b->scratch_cap > BATCH_SCRATCH_KEEP))
		batch_shrink(b);
}

/* Room for n more arguments, or n bytes of scratch, behind what is used; that
 * may move. 0 or -ENOMEM. */
int batch_grow_args(struct batch *b, size_t n) MUST_CHECK;
int batch_grow_scratch(struct batch *b, size_t n) MUST_CHECK;

enum wire { WIRE_RESP2, WIRE_RESP3, WIRE_BINARY };

struct reply {
	struct out *out;
	enum wire wire;
	uint32_t id;   /* WIRE_BINARY: of the request */
	bool failed;   /* an error was written; for statistics */
	char code[32]; /* its first word; empty where that is longer or the whole */
};

static inline void reply_ok(struct reply *r);                 /* +OK */
void reply_status(struct reply *r, const char *text);         /* no CR or LF in it */
/* The whole text, with its code: "ERR syntax error". Control characters of
 * the result (a key or an origin's words may hold some) become spaces. Of these
 * calls this alone serves WIRE_BINARY too. */
void reply_error(struct reply *r, const char *fmt, ...) PRINTF(2, 3);
void reply_verror(struct reply *r, const char *fmt, va_list ap) PRINTF(2, 0);
static inline void reply_int(struct reply *r, int64_t n);
static inline void reply_bulk(struct reply *r, struct slice s);
void reply_bulk_str(struct reply *r, const char *s);
void reply_bulk_i64(struct reply *r, int64_t n);
/* A bulk string whose bytes are sent from where they lie; takes the ref. */
void reply_bulk_ref(struct reply *r, const struct out_ref *ref);
static inline void reply_nil(struct reply *r);                /* $-1, or _ in RESP3 */
void reply_nil_array(struct reply *r);                        /* *-1, or _ */
void reply_bool(struct reply *r, bool yes);                   /* :1, or #t */
void reply_double(struct reply *r, double d);                 /* bulk, or , */
/* txt: a bulk string, or =txt: in RESP3. */
void reply_verbatim(struct reply *r, struct slice text);
void reply_verbatim_ref(struct reply *r, const struct out_ref *ref); /* takes the ref */
/* Headers of aggregates; the caller then writes their elements. */
void reply_array(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t pairs);                /* *2n, or % */
void reply_set(struct reply *r, size_t n);                    /* *n, or ~ */
void reply_push(struct reply *r, size_t n);                   /* *n, or > */

/* --- the hot replies, in line -------------------------------------------------- */

/* "$123\r\n" for 0 to 999, to be copied as eight bytes. */
struct reply_head {
	char text[7];
	uint8_t len;
};
#define REPLY_HEADS 1000
extern const struct reply_head reply_heads[REPLY_HEADS];

#define REPLY_HEAD_MAX 32 /* the longest head, a CRLF, and what is copied too much */

/* "<type><n>\r\n" of a number that reply_heads has not; returns its length. */
size_t reply_head_long(char *p, char type, int64_t n);

/* p has room for REPLY_HEAD_MAX bytes. */
static inline size_t
reply_head(char *p, char type, uint64_t n)
{
	if (unlikely(n >= REPLY_HEADS))
		return reply_head_long(p, type, (int64_t)n);
	memcpy(p, &reply_heads[n], 8);
	p[0] = type;
	return reply_heads[n].len;
}

/* What reply_bulk() does for a long string, or where there is no room. */
void reply_bulk_long(struct reply *r, struct slice s);

/* The string comes last, so that nothing need be kept over the call of memcpy(). */
static inline void
reply_bulk(struct reply *r, struct slice s)
{
	struct buf *b = &r->out->bytes;
	char *p;
	size_t head;

	if (unlikely(s.len >= REPLY_HEADS || b->cap - b->tail < s.len + REPLY_HEAD_MAX)) {
		reply_bulk_long(r, s);
		return;
	}
	p = buf_tail(b);
	head = reply_head(p, '$', s.len);
	memcpy(p + head + s.len, "\r\n", 2);
	buf_commit(b, head + s.len + 2);
	if (likely(s.len != 0))
		memcpy(p + head, s.ptr, s.len);
}

static inline void
reply_ok(struct reply *r)
{
	char *p = out_reserve(r->out, 5);

	if (unlikely(p == NULL))
		return;
	memcpy(p, "+OK\r\n", 5);
	out_commit(r->out, 5);
}

static inline void
reply_int(struct reply *r, int64_t n)
{
	char *p = out_reserve(r->out, REPLY_HEAD_MAX);

	/* As a number without sign, a negative one is too large for the table. */
	if (likely(p != NULL))
		out_commit(r->out, reply_head(p, ':', (uint64_t)n));
}

static inline void
reply_nil(struct reply *r)
{
	char *p = out_reserve(r->out, 5);

	if (unlikely(p == NULL))
		return;
	if (r->wire == WIRE_RESP3) {
		memcpy(p, "_\r\n", 3);
		out_commit(r->out, 3);
	} else {
		memcpy(p, "$-1\r\n", 5);
		out_commit(r->out, 5);
	}
}

#endif
