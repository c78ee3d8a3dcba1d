/* resp.h - RESP2 and RESP3 requests, found in place. Bytes in, requests out.
 * https://redis.io/docs/reference/protocol-spec/ and the behaviour of Redis
 * 7.0's networking.c, whose error texts it gives. */
#ifndef PANNIER_PROTO_RESP_H
#define PANNIER_PROTO_RESP_H

#include "base/buf.h"
#include "proto/msg.h"

struct resp_limits {
	uint32_t max_args;   /* 1,048,576; 10 before AUTH */
	uint64_t max_bulk;   /* bytes of one argument; 16 KiB before AUTH */
	uint32_t max_inline; /* 64 KiB: an inline request or a count line */
	bool unauthenticated;/* say so where max_args or max_bulk is passed */
};

/* What is known of a request that is not complete yet, one for each
 * connection. Offsets are from that request's start. Holds no memory. */
struct resp_parser {
	const struct resp_limits *limits; /* the caller's, may be exchanged */
	enum resp_stage { RESP_FRESH, RESP_INLINE, RESP_COUNT, RESP_BULKS } stage;
	uint32_t args_left;  /* whose heads were not read yet */
	size_t pos;          /* where the next line begins; behind the input, where
	                      * the last bulk is not here yet */
	size_t scanned;      /* bytes of that line that hold no line end */
	size_t need;         /* after PARSE_MORE: bytes in all, from the start of
	                      * the open request, without which nothing goes on */
	const char *error;   /* after PARSE_ERROR: text behind "ERR " */
	char error_buf[48];
};

enum parse_status {
	PARSE_DONE,  /* all input is used, or the batch is full (used < len) */
	PARSE_MORE,  /* the rest behind `used` is the start of a request */
	PARSE_ERROR, /* answer "-ERR <error>", close after the batch is served */
	PARSE_NOMEM, /* for the request at `used`; the batch is good */
};

void resp_parser_init(struct resp_parser *p, const struct resp_limits *limits);
/* Forgets the open request: the next input may begin anywhere. */
void resp_parser_reset(struct resp_parser *p);
void resp_parser_fini(struct resp_parser *p);

/* Empties the batch and puts whole requests found in data into it; *used
 * is where the first request begins that is not in it. The next call gets the
 * same bytes from there on, with more behind, or resp_parser_reset() comes
 * before it. Empty requests (*0, *-1, a bare CR LF) are passed over, as Redis
 * does. Requests found before an error are in the batch and must be served. */
enum parse_status resp_parse(struct resp_parser *p, const char *data, size_t len,
    struct batch *batch, size_t *used) MUST_CHECK;

/* What a client sends that does not pipeline, as a rule. Arguments are slices
 * into the input, and the struct is not to be moved. */
#define RESP_SINGLE_ARGS 8
struct resp_single {
	struct request req;
	struct slice args[RESP_SINGLE_ARGS];
};

/* True: data, from its first byte to its last, is one multibulk request, and it
 * is in *out. False: it is not, or it has more arguments, or a limit forbids it;
 * resp_parse() tells. Knows nothing of an open request: only for data that
 * begins one. */
bool resp_take_single(const struct resp_limits *limits, const char *data, size_t len,
    struct resp_single *out) MUST_CHECK;

/* --- replies, read by clients: the command line, bench, Redis origins ---- */

enum resp_type {
	RESP_STATUS, RESP_ERROR, RESP_INT, RESP_BULK, RESP_NIL, RESP_ARRAY,
	RESP_MAP, RESP_SET, RESP_PUSH, RESP_BOOL, RESP_DOUBLE, RESP_VERBATIM, RESP_BIGNUM,
};

#define RESP_REPLY_DEPTH 16           /* COMMAND DOCS has 10 */
#define RESP_REPLY_ELEMENTS (1u << 24)
#define RESP_REPLY_LINE 65536         /* bytes of a status, error, number */

/* One element of a reply; aggregates are followed by their elements, depth
 * first. */
struct resp_value {
	enum resp_type type;
	struct slice text; /* bytes of everything but aggregates; of a verbatim
	                    * string without its format */
	int64_t n;         /* the integer, the bool, or how many elements (of a
	                    * map: pairs) follow */
};

/* Length of the whole reply at the start of data, 0 where it is not complete,
 * -EPROTO where it is none: a malformed one, more than the limits above, or a
 * string of more than max_bulk bytes. Looks at everything again each time:
 * ask again only when there is clearly more. Attributes and streamed
 * aggregates, which Redis never sends unasked, are refused. */
int64_t resp_reply_len(const char *data, size_t len, uint64_t max_bulk) MUST_CHECK;

/* Likewise for who reads a reply in pieces: no element is looked at twice. Holds no
 * memory. */
struct resp_reply_walk {
	uint64_t max_bulk;
	unsigned max_depth;  /* aggregates within each other; below RESP_REPLY_DEPTH */
	size_t pos;          /* behind the last whole element */
	unsigned depth;
	int64_t total;       /* elements, announced so far */
	int64_t owed[RESP_REPLY_DEPTH]; /* at each depth: that are still to come */
};

void resp_reply_walk_init(struct resp_reply_walk *w, uint64_t max_bulk, unsigned max_depth);
/* data: the whole reply from its start, as far as it came; what earlier calls were
 * given with more behind it. Answers as resp_reply_len(). */
int64_t resp_reply_walk(struct resp_reply_walk *w, const char *data, size_t len) MUST_CHECK;

/* The element at *pos of a complete reply, and moves on; false at its end. */
bool resp_reply_next(struct slice reply, size_t *pos, struct resp_value *out);

/* Appends a request as clients send it. 0 or -ENOMEM, with nothing written. */
int resp_request(struct buf *b, const struct slice *argv, uint32_t argc) MUST_CHECK;

#endif
