/* blob.h - immutable bytes shared by reference count, also between threads:
 * a fetched body on its way to many waiters. */
#ifndef PANNIER_BASE_BLOB_H
#define PANNIER_BASE_BLOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"

struct blob;

/* Room for `len` bytes, to be filled through blob_mem() before it is shared.
 * One reference, the caller's. NULL: no memory. */
struct blob *blob_new(size_t len);
/* A copy of s. */
struct blob *blob_of(struct slice s);
char *blob_mem(struct blob *b);
struct slice blob_slice(const struct blob *b);
/* Fewer bytes than were asked for at blob_new(); only before it is shared. */
void blob_truncate(struct blob *b, size_t len);
struct blob *blob_ref(struct blob *b);
void blob_unref(struct blob *b); /* NULL is fine */

/* The bytes of blobs that were charged to it and are still there. It must outlive
 * them. */
struct blob_account {
	_Atomic(uint64_t) bytes;
};

/* Charges the blob's bytes to the account until its end, once however many ask; always to
 * the same account. False: it would come to more than `most`, and it is not the only one. */
bool blob_charge(struct blob *b, struct blob_account *a, uint64_t most) MUST_CHECK;

#endif
