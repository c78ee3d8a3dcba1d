#include "config.h"

#include "server/bits.h"

#include "base/util.h"

static inline unsigned char
byte_at(struct slice s, uint64_t i)
{
	return (unsigned char)s.ptr[i];
}

static inline uint64_t
word_at(struct slice s, uint64_t i)
{
	uint64_t w;

	memcpy(&w, s.ptr + i, sizeof w);
	return w;
}

/* Of the byte in which `first` and `last` may lie, the bits in between. */
static inline unsigned
edge_mask(uint64_t byte, uint64_t first, uint64_t last)
{
	unsigned mask = 0xff;

	if (byte == first / 8)
		mask &= 0xffu >> (first % 8);
	if (byte == last / 8)
		mask &= 0xffu << (7 - last % 8);
	return mask;
}

uint64_t
bits_count(struct slice s, uint64_t first, uint64_t last)
{
	uint64_t n = 0, i = first / 8, end = last / 8;

	for (; i <= end && (i == first / 8 || i % 8 != 0); i++)
		n += (unsigned)__builtin_popcount(byte_at(s, i) & edge_mask(i, first, last));
	for (; i + 8 <= end; i += 8)
		n += (unsigned)__builtin_popcountll(word_at(s, i));
	for (; i <= end; i++)
		n += (unsigned)__builtin_popcount(byte_at(s, i) & edge_mask(i, first, last));
	return n;
}

int64_t
bits_find(struct slice s, bool bit, uint64_t first, uint64_t last)
{
	uint64_t none = bit ? 0 : UINT64_MAX, end = last / 8;

	for (uint64_t i = first / 8; i <= end; i++) {
		unsigned found;

		while (i > first / 8 && i + 8 <= end && word_at(s, i) == none)
			i += 8;
		found = (byte_at(s, i) ^ (unsigned)none) & edge_mask(i, first, last);
		if (found != 0)
			return (int64_t)(i * 8) + __builtin_clz(found << 24);
	}
	return -1;
}

uint64_t
bits_load(struct slice s, uint64_t at, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n; i++)
		value = value << 1 | bits_get(s, at + i);
	return value;
}

void
bits_store(char *s, uint64_t at, unsigned n, uint64_t value)
{
	for (unsigned i = 0; i < n; i++, at++) {
		unsigned mask = 0x80u >> (at % 8), byte = (unsigned char)s[at / 8];

		byte = (value >> (n - 1 - i)) & 1 ? byte | mask : byte & ~mask;
		s[at / 8] = (char)byte;
	}
}
