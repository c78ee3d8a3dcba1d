/* redis_reply.h - replies of a Redis server, RESP2 and RESP3, as they come in.
 *
 * Bytes go in where redis_reader_room() says, whole replies come out. Values of
 * keys go straight into a blob; all else is held until it is whole, so that counts
 * are only ever believed as far as elements have arrived. Does no I/O.
 * Not thread-safe.
 *
 * hiredis's reader was looked at and left: Debian's 0.14 has no RESP3, and it
 * allocates by the count that the server says. */
#ifndef PANNIER_ORIGIN_REDIS_REPLY_H
#define PANNIER_ORIGIN_REDIS_REPLY_H

#include "base/blob.h"
#include "base/buf.h"
#include "proto/resp.h"

#define REDIS_REPLY_DEPTH 10
/* Of a reply that is not a value: CLUSTER SLOTS of 1,000 nodes has 200 KB. */
#define REDIS_REPLY_MAX (16u * 1024 * 1024)
/* What Redis itself bounds a string by; more is a malformed reply. */
#define REDIS_BULK_MAX (512u * 1024 * 1024)

/* What the reply that comes next is for. */
enum redis_want {
	REDIS_WANT_ALL,     /* it is to be looked at as a whole */
	REDIS_WANT_BODY,    /* it is the value of a key, if it is a bulk string */
	REDIS_WANT_NOTHING, /* a bulk string is passed over without being held */
};

struct redis_reply {
	struct resp_value head; /* its first element; a body has no text */
	struct slice raw;       /* all of it, for resp_reply_next(); of a body nothing */
	struct blob *body;      /* REDIS_WANT_BODY; a reference of the reader's: take one
	                         * to keep it */
	int failed;             /* of a body that is not here: -EFBIG, -ENOMEM; else 0 */
};

struct redis_reader {
	uint64_t max_body;
	struct buf in;
	struct resp_reply_walk walk;
	struct blob *blob;   /* the body that is coming */
	uint64_t body_len;   /* its length */
	uint64_t body_have;  /* bytes of it, line end included, that came */
	char body_tail[2];   /* its last two bytes so far, where there is no blob */
	int body_failed;
	enum { READER_FRESH, READER_WALKS, READER_BODY } stage;
};

void redis_reader_init(struct redis_reader *r, uint64_t max_body);
void redis_reader_fini(struct redis_reader *r);

/* Where the next bytes may go, at least one; NULL: no memory. */
char *redis_reader_room(struct redis_reader *r, size_t *room) MUST_CHECK;
/* So many were put there. */
void redis_reader_got(struct redis_reader *r, size_t n);

/* 1: *out is the next reply, good until the next call on this reader; 0: more is
 * needed; -EPROTO: this is no reply, or one over the limits: the connection is of
 * no use any more; -ENOMEM likewise. Where a reply of a value begins, `want` says
 * what for: give the same until it is there. Pushes are never bodies. */
int redis_reader_next(struct redis_reader *r, enum redis_want want, struct redis_reply *out)
    MUST_CHECK;
/* "ERR syntax error" of an error, also the kind of any other reply: for messages, one
 * line without control characters. */
void redis_reply_text(const struct redis_reply *r, char *text, size_t size);
bool redis_reply_is_error(const struct redis_reply *r);
/* Whether it is an error that begins with this word. */
bool redis_reply_is(const struct redis_reply *r, const char *word);

/* Gives memory back that an idle connection does not need. */
void redis_reader_rest(struct redis_reader *r);

#endif
