#include "config.h"

#include "base/sha1.h"

#include <string.h>

#define BLOCK 64
#define LENGTH_AT (BLOCK - 8) /* of the last block: how many bits there were */

static uint32_t
rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* RFC 3174, section 5: f(t;B,C,D) and K(t). */
static uint32_t
mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
	if (t < 20)
		return ((b & c) | (~b & d)) + 0x5a827999;
	if (t < 40)
		return (b ^ c ^ d) + 0x6ed9eba1;
	if (t < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	return (b ^ c ^ d) + 0xca62c1d6;
}

static void
schedule(const unsigned char *block, uint32_t w[80])
{
	for (unsigned t = 0; t < 16; t++)
		w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
		    (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
	for (unsigned t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
}

static void
add_block(uint32_t h[5], const unsigned char *block)
{
	uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], w[80];

	schedule(block, w);
	for (unsigned t = 0; t < 80; t++) {
		uint32_t sum = rotate(a, 5) + mix(t, b, c, d) + e + w[t];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = sum;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* What is left over, a one bit, zeros, and the length: one block or two. */
static void
add_end(uint32_t h[5], struct slice rest, uint64_t bits)
{
	unsigned char last[2 * BLOCK] = { 0 };
	size_t blocks = rest.len < LENGTH_AT ? 1 : 2;

	if (rest.len != 0)
		memcpy(last, rest.ptr, rest.len);
	last[rest.len] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		last[blocks * BLOCK - 1 - i] = (unsigned char)(bits >> 8 * i);
	for (size_t i = 0; i < blocks; i++)
		add_block(h, last + i * BLOCK);
}

void
sha1(struct slice data, uint8_t out[SHA1_BYTES])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	size_t whole = data.len / BLOCK * BLOCK;

	for (size_t i = 0; i < whole; i += BLOCK)
		add_block(h, (const unsigned char *)data.ptr + i);
	add_end(h, slice_of(data.ptr + whole, data.len - whole), (uint64_t)data.len * 8);
	for (unsigned i = 0; i < SHA1_BYTES; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}

void
sha1_hex(const uint8_t digest[SHA1_BYTES], char out[SHA1_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < SHA1_BYTES; i++) {
		out[2 * i] = digits[digest[i] >> 4];
		out[2 * i + 1] = digits[digest[i] & 15];
	}
	out[SHA1_HEX] = '\0';
}

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
sha1_unhex(struct slice hex, uint8_t out[SHA1_BYTES])
{
	if (hex.len != SHA1_HEX)
		return false;
	for (unsigned i = 0; i < SHA1_BYTES; i++) {
		int high = digit_of(hex.ptr[2 * i]), low = digit_of(hex.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
