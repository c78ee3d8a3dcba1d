#include "config.h"

#include "base/buf.h"

#include <assert.h>
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"

#define BUF_MIN 512

void
buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void
buf_fini(struct buf *b)
{
	mem_free(b->mem);
	buf_init(b);
}

static void
slide_down(struct buf *b)
{
	size_t len = buf_len(b);

	memmove(b->mem, b->mem + b->head, len);
	b->head = 0;
	b->tail = len;
}

int
buf_resize(struct buf *b, size_t cap)
{
	size_t len = buf_len(b);
	char *mem;

	assert(cap >= len && (b->mem != NULL || len == 0));
	if (b->head != 0) {
		mem = mem_alloc(cap);
		if (mem == NULL)
			return -ENOMEM;
		if (len != 0)
			memcpy(mem, b->mem + b->head, len);
		mem_free(b->mem);
	} else {
		mem = mem_realloc(b->mem, cap);
		if (mem == NULL)
			return -ENOMEM;
	}
	*b = (struct buf){ .mem = mem, .head = 0, .tail = len, .cap = cap };
	return 0;
}

int
buf_grow(struct buf *b, size_t n)
{
	size_t len = buf_len(b), want, cap;

	if (n > SIZE_MAX / 4 - len)
		return -ENOMEM;
	want = len + n;
	/* Sliding down costs len and yields head: done only where it pays, a
	 * byte moved for a byte won. Otherwise the memory at least doubles, so
	 * that a queue that is never quite empty stays linear. */
	if (b->mem != NULL && b->head >= len && want <= b->cap) {
		slide_down(b);
		return 0;
	}
	cap = b->mem == NULL ? BUF_MIN : 2 * b->cap;
	while (cap < want)
		cap *= 2;
	return buf_resize(b, cap);
}

int
buf_append(struct buf *b, const void *data, size_t n)
{
	int rc = buf_reserve(b, n);

	if (rc != 0)
		return rc;
	if (n != 0)
		memcpy(buf_tail(b), data, n);
	buf_commit(b, n);
	return 0;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n, rc;

	va_copy(again, ap);
	n = vsnprintf(b->mem ? buf_tail(b) : NULL, b->cap - b->tail, fmt, ap);
	if (n < 0) {
		rc = -EINVAL;
	} else if ((size_t)n < b->cap - b->tail) {
		buf_commit(b, (size_t)n);
		rc = 0;
	} else {
		rc = buf_reserve(b, (size_t)n + 1);
		if (rc == 0) {
			vsnprintf(buf_tail(b), (size_t)n + 1, fmt, again);
			buf_commit(b, (size_t)n);
		}
	}
	va_end(again);
	return rc;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return rc;
}

void
buf_shrink(struct buf *b, size_t keep)
{
	size_t len = buf_len(b);

	if (b->cap <= 2 * MAX(keep, MAX(len, BUF_MIN)))
		return;
	if (len == 0)
		buf_fini(b);
	else if (buf_resize(b, MAX(len, keep)) != 0)
		return; /* keeping more than needed is no failure */
}
