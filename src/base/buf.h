/* buf.h - a growable run of bytes, read at one end and written at the other.
 *
 * Not thread-safe. A slice of its content is good until the next call that
 * may write or free. A failed append leaves the content as it was. */
#ifndef PANNIER_BASE_BUF_H
#define PANNIER_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

struct buf {
	char *mem;    /* owned; NULL while nothing was ever written */
	size_t head;  /* first byte not consumed */
	size_t tail;  /* first byte free */
	size_t cap;
};

void buf_init(struct buf *b);
void buf_fini(struct buf *b); /* also makes it usable anew */

static inline size_t
buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

static inline char *
buf_data(const struct buf *b)
{
	/* As a number: NULL plus 0 is undefined for a pointer. */
	return (char *)((uintptr_t)b->mem + b->head);
}

static inline struct slice
buf_slice(const struct buf *b)
{
	return slice_of(buf_data(b), b->tail - b->head);
}

/* At least n bytes free behind the content. 0 or -ENOMEM. */
int buf_grow(struct buf *b, size_t n) MUST_CHECK;

static inline MUST_CHECK int
buf_reserve(struct buf *b, size_t n)
{
	return likely(b->cap - b->tail >= n) ? 0 : buf_grow(b, n);
}

/* Where to write; up to what was reserved. Then say how much with commit. */
static inline char *
buf_tail(struct buf *b)
{
	return (char *)((uintptr_t)b->mem + b->tail);
}

static inline void
buf_commit(struct buf *b, size_t n)
{
	b->tail += n;
}

/* Drops n <= buf_len() bytes from the front; keeps the memory. */
static inline void
buf_consume(struct buf *b, size_t n)
{
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

static inline void
buf_clear(struct buf *b)
{
	b->head = b->tail = 0;
}

/* Exactly cap >= buf_len() bytes of memory, for who knows what will come. 0 or
 * -ENOMEM with everything as it was. */
int buf_resize(struct buf *b, size_t cap) MUST_CHECK;

int buf_append(struct buf *b, const void *data, size_t n) MUST_CHECK;
int buf_printf(struct buf *b, const char *fmt, ...) MUST_CHECK PRINTF(2, 3);
int buf_vprintf(struct buf *b, const char *fmt, va_list ap) MUST_CHECK PRINTF(2, 0);
/* Gives memory back where far more is held than `keep` and the content need. */
void buf_shrink(struct buf *b, size_t keep);

#endif
