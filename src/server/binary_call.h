/* binary_call.h - what an operation of the binary protocol sees. Its request was
 * checked (binary_check()), so that arguments are there and of their types. It
 * writes one reply to b->c.reply->out, or reply_error(), or parks the call; other
 * requests go on either way. Otherwise as handlers of call.h. */
#ifndef PANNIER_SERVER_BINARY_CALL_H
#define PANNIER_SERVER_BINARY_CALL_H

#include "proto/binary.h"
#include "server/call.h"

struct binary_call {
	struct call c; /* hash: of the key; argv: not set */
	const struct binary_frame *f;
	struct binary_options o;
};

/* One for each row of binary.def. */
typedef void binary_handler(struct binary_call *b);
#define BINARY_OP(id, ...) binary_handler binary_op_##id;
#include "proto/binary.def"
#undef BINARY_OP

static inline uint32_t
binary_id(const struct binary_call *b)
{
	return b->c.reply->id;
}

static inline struct out *
binary_out(const struct binary_call *b)
{
	return b->c.reply->out;
}

/* The first argument of most. */
static inline struct slice
binary_key(const struct binary_call *b)
{
	return binary_bytes(&b->f->argv[0]);
}

/* [id, status] */
static inline void
binary_answer(struct binary_call *b, enum binary_status status)
{
	binary_reply(binary_out(b), binary_id(b), status);
}

/* [id, status, n] */
void binary_number(struct reply *r, enum binary_status status, int64_t n);

/* TOOBIG or OOM, as cache_put() answered. The first for a whole reply, the second
 * for an item of a batch. */
void binary_put_failed(struct binary_call *b, int rc);
void binary_put_failed_item(struct binary_call *b, struct out *items, int rc);

/* [id, done, [items]]; takes what is in items. TOOBIG where that is more than a
 * connection may have unsent. */
void binary_items_reply(struct call *c, struct reply *r, uint64_t n, struct out *items);

/* The token of a value: the same for the same bytes, until a restart. */
uint64_t binary_token(const struct server_loop *sl, struct slice value);
bool binary_token_is(const struct server_loop *sl, struct slice value, struct slice token);
/* 0: it is none that was ever given. */
uint64_t binary_token_number(struct slice token);
void binary_put_token(struct out *o, uint64_t token);

/* Of what writes keys of which some belong to origins (routed.h): true where it was
 * answered, or is parked until these have. */
bool binary_routed(struct binary_call *b) MUST_CHECK;

/* A plain GET of binary_session.c, and its waiters. */
void binary_get_missed(struct binary_call *b, struct store_cursor *cur);
void binary_get_large(struct binary_call *b, struct store_cursor *cur);

/* Ends the session's request of this id that waits, with CANCELLED; false: there
 * is none. */
bool binary_cancel(struct session *s, uint32_t id);

#endif
