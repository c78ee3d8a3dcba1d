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

/* Slices into the connection's input: good until that input is consumed. */
struct request {
	struct slice *argv; /* argv[0] is the command's name */
	uint32_t argc;
	size_t wire_len;    /* bytes of input up to this request's end, counted
	                     * from the start of the batch */
};

#define BATCH_MAX 64

/* The requests found in one read. One for each loop, used again and again. */
struct batch {
	struct request req[BATCH_MAX];
	unsigned n;
	struct slice *args; /* storage of all argv, owned */
	size_t args_used, args_cap;
};

void batch_init(struct batch *b);
void batch_fini(struct batch *b);

enum wire { WIRE_RESP2, WIRE_RESP3 };

struct reply {
	struct out *out;
	enum wire wire;
	bool failed; /* an error was written; for statistics */
};

void reply_ok(struct reply *r);                        /* +OK */
void reply_status(struct reply *r, const char *text);  /* no CR or LF in it */
/* The whole text, with its code: "ERR syntax error". Control characters of
 * the result (a key or an origin's words may hold some) become spaces. */
void reply_error(struct reply *r, const char *fmt, ...) PRINTF(2, 3);
void reply_verror(struct reply *r, const char *fmt, va_list ap) PRINTF(2, 0);
void reply_int(struct reply *r, int64_t n);
void reply_bulk(struct reply *r, struct slice s);
void reply_bulk_str(struct reply *r, const char *s);
void reply_bulk_i64(struct reply *r, int64_t n);
/* A bulk string whose bytes are sent from where they lie; takes the ref. */
void reply_bulk_ref(struct reply *r, const struct out_ref *ref);
void reply_nil(struct reply *r);                       /* $-1, or _ in RESP3 */
void reply_nil_array(struct reply *r);                 /* *-1, or _ */
void reply_bool(struct reply *r, bool yes);            /* :1, or #t */
void reply_double(struct reply *r, double d);          /* bulk, or , */
/* txt: a bulk string, or =txt: in RESP3. */
void reply_verbatim(struct reply *r, struct slice text);
/* Headers of aggregates; the caller then writes their elements. */
void reply_array(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t pairs);         /* *2n, or % */
void reply_set(struct reply *r, size_t n);             /* *n, or ~ */
void reply_push(struct reply *r, size_t n);            /* *n, or > */

#endif
