/* pack.h - numbers and runs of bytes one behind the other, for another process of
 * this machine: host order, no padding. Who reads checks each length against what
 * is there, so that a message that was cut short or is no message is told from one
 * that is good, and never read beyond its end. */
#ifndef PANNIER_BASE_PACK_H
#define PANNIER_BASE_PACK_H

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/slice.h"

/* Writes; what does not fit into memory is noted, to be asked for once at the end. */
struct packer {
	struct buf *to;
	bool failed;
};

/* Reads; the same. What is read after a failure is 0 and empty. */
struct unpacker {
	struct slice from; /* what is left */
	bool failed;
};

static inline void
pack_raw(struct packer *p, const void *data, size_t n)
{
	if (!p->failed && n != 0)
		p->failed = buf_append(p->to, data, n) != 0;
}

static inline void
pack_u64(struct packer *p, uint64_t n)
{
	pack_raw(p, &n, sizeof n);
}

static inline void
pack_bytes(struct packer *p, struct slice s)
{
	pack_u64(p, s.len);
	pack_raw(p, s.ptr, s.len);
}

/* NULL becomes "". */
static inline void
pack_text(struct packer *p, const char *s)
{
	pack_bytes(p, slice_str(s != NULL ? s : ""));
}

/* n bytes, good as long as what is read from; NULL after a failure. */
static inline const char *
unpack_raw(struct unpacker *u, uint64_t n)
{
	const char *at = u->from.ptr;

	u->failed |= n > u->from.len;
	if (u->failed)
		return NULL;
	u->from = slice_skip(u->from, (size_t)n);
	return at;
}

static inline uint64_t
unpack_u64(struct unpacker *u)
{
	uint64_t n = 0;
	const char *at = unpack_raw(u, sizeof n);

	if (at != NULL)
		memcpy(&n, at, sizeof n);
	return n;
}

static inline struct slice
unpack_bytes(struct unpacker *u)
{
	uint64_t n = unpack_u64(u);
	const char *at = unpack_raw(u, n);

	return at != NULL ? slice_of(at, (size_t)n) : slice_of("", 0);
}

/* A count of things of which each takes at least 8 bytes: so many there can be. */
static inline uint64_t
unpack_count(struct unpacker *u)
{
	uint64_t n = unpack_u64(u);

	u->failed |= n > u->from.len / sizeof n;
	return u->failed ? 0 : n;
}

#endif
