/* out.h - bytes on their way to a socket: copied ones, and large runs that
 * are written from where they lie, without a copy.
 *
 * Not thread-safe. An append that fails for lack of memory marks the whole
 * queue broken (out_failed()), so that encoders need not check every byte
 * they write: what was half written must not be sent, and the owner closes
 * that connection. */
#ifndef PANNIER_BASE_OUT_H
#define PANNIER_BASE_OUT_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

/* A run that somebody else owns. release(owner, token) is called once, when
 * its last byte is written or the queue is dropped, on the queue's thread. */
struct out_ref {
	const char *ptr;
	size_t len;
	void (*release)(void *owner, uint64_t token);
	void *owner;
	uint64_t token;
};

struct out {
	struct buf bytes;       /* copied bytes, of all gaps, in order */
	struct out_gap *gaps;   /* owned; refs, each behind some copied bytes */
	size_t gaps_head, gaps_tail, gaps_cap;
	uint64_t consumed;      /* copied bytes that are sent, ever: what gaps count from */
	size_t ref_bytes;       /* unsent bytes of all refs */
	bool failed;
};

void out_init(struct out *o);
/* Releases all refs; usable anew afterwards. */
void out_fini(struct out *o);
/* Likewise, and keeps the memory. */
void out_reset(struct out *o);

/* Unsent bytes, refs included. */
static inline size_t
out_len(const struct out *o)
{
	return buf_len(&o->bytes) + o->ref_bytes;
}

static inline bool
out_failed(const struct out *o)
{
	return o->failed;
}

/* No memory held, nothing unsent, not marked. */
static inline bool
out_is_bare(const struct out *o)
{
	return (o->bytes.cap | o->gaps_cap | o->failed) == 0;
}

/* The unsent bytes where all of them are copied ones; ptr NULL: not so. */
static inline struct slice
out_copied(const struct out *o)
{
	return likely(o->ref_bytes == 0 && !o->failed) ? buf_slice(&o->bytes) : slice_of(NULL, 0);
}

/* Room for n bytes to write at the answer, then out_commit(). NULL: no
 * memory, and the queue is marked. */
char *out_grow(struct out *o, size_t n);

static inline char *
out_reserve(struct out *o, size_t n)
{
	return likely(o->bytes.cap - o->bytes.tail >= n) ? buf_tail(&o->bytes) : out_grow(o, n);
}

static inline void
out_commit(struct out *o, size_t n)
{
	buf_commit(&o->bytes, n);
}

void out_append(struct out *o, const void *data, size_t n);
/* Takes the ref over, also on failure (then it is released at once). */
void out_append_ref(struct out *o, const struct out_ref *ref);
/* All of `from` goes behind the content of `to`; `from` is empty afterwards, and
 * no longer marked if it was: `to` is then. Cannot fail where `to` is empty. */
void out_move(struct out *to, struct out *from);

/* Fills at most n iovecs with the next unsent bytes; returns how many. Good
 * until the next call on this queue. */
int out_iov(const struct out *o, struct iovec *iov, int n);
/* n <= out_len() bytes were sent. */
void out_consume(struct out *o, size_t n);

/* Heap bytes held, whatever lies in them; not those of refs. */
size_t out_mem_bytes(const struct out *o);
/* Gives memory back where far more is held than `keep` and the content need. */
void out_shrink(struct out *o, size_t keep);

#endif
