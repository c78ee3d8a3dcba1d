/* blob.h - immutable bytes shared by reference count, also between threads:
 * a fetched body on its way to many waiters. */
#ifndef PANNIER_BASE_BLOB_H
#define PANNIER_BASE_BLOB_H

#include "base/slice.h"

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

#endif
