#include "config.h"

#include "base/blob.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"

struct blob {
	atomic_uint refs;
	size_t len;
	char mem[];
};

struct blob *
blob_new(size_t len)
{
	struct blob *b;

	if (len > SIZE_MAX / 2)
		return NULL;
	b = mem_alloc(sizeof *b + len);
	if (b == NULL)
		return NULL;
	atomic_init(&b->refs, 1);
	b->len = len;
	return b;
}

struct blob *
blob_of(struct slice s)
{
	struct blob *b = blob_new(s.len);

	if (b != NULL && s.len != 0)
		memcpy(b->mem, s.ptr, s.len);
	return b;
}

char *
blob_mem(struct blob *b)
{
	return b->mem;
}

struct slice
blob_slice(const struct blob *b)
{
	return slice_of(b->mem, b->len);
}

void
blob_truncate(struct blob *b, size_t len)
{
	assert(len <= b->len);
	b->len = len;
}

struct blob *
blob_ref(struct blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
blob_unref(struct blob *b)
{
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		mem_free(b);
}
