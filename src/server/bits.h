/* bits.h - strings as arrays of bits, the most significant of a byte first.
 * Pure. */
#ifndef PANNIER_SERVER_BITS_H
#define PANNIER_SERVER_BITS_H

#include <stdint.h>

#include "base/slice.h"

static inline bool
bits_get(struct slice s, uint64_t at)
{
	return at / 8 < s.len && ((unsigned char)s.ptr[at / 8] >> (7 - at % 8)) & 1;
}

/* Bits that are set in [first, last]; last < 8 * s.len. */
uint64_t bits_count(struct slice s, uint64_t first, uint64_t last);
/* The first bit of that kind in [first, last], or -1. */
int64_t bits_find(struct slice s, bool bit, uint64_t first, uint64_t last);

/* Up to 64 bits from `at` on; beyond the end there are zeros. */
uint64_t bits_load(struct slice s, uint64_t at, unsigned n);
/* The low n bits of value; all of them lie in the string. */
void bits_store(char *s, uint64_t at, unsigned n, uint64_t value);

#endif
