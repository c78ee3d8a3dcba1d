#include "config.h"

#include "base/blob.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"

struct blob {
	atomic_uint refs;
	_Atomic(struct blob_account *) account; /* NULL: not charged */
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
	atomic_init(&b->account, NULL);
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

static void
blob_free(struct blob *b)
{
	struct blob_account *a = atomic_load_explicit(&b->account, memory_order_relaxed);

	if (a != NULL)
		atomic_fetch_sub(&a->bytes, b->len);
	mem_free(b);
}

void
blob_unref(struct blob *b)
{
	if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		blob_free(b);
}

bool
blob_charge(struct blob *b, struct blob_account *a, uint64_t most)
{
	struct blob_account *none = NULL;
	uint64_t before;

	if (atomic_load(&b->account) != NULL)
		return true;
	before = atomic_fetch_add(&a->bytes, b->len);
	if (before != 0 && before + b->len > most) {
		atomic_fetch_sub(&a->bytes, b->len);
		return atomic_load(&b->account) != NULL; /* another thread was faster */
	}
	if (!atomic_compare_exchange_strong(&b->account, &none, a))
		atomic_fetch_sub(&a->bytes, b->len);
	return true;
}
