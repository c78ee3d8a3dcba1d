#include "config.h"

#include "origin/redis_slot.h"

#include <stdint.h>

/* Polynomial 0x1021, nothing reflected, begins with 0; bit by bit: a miss costs tens of
 * thousands of instructions anyway, a table 512 bytes. */
static uint16_t
crc16(struct slice s)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < s.len; i++) {
		crc ^= (uint16_t)((unsigned char)s.ptr[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

/* The part that counts. */
static struct slice
hash_tag(struct slice key)
{
	const char *open = key.len != 0 ? memchr(key.ptr, '{', key.len) : NULL;
	const char *end = key.ptr + key.len, *close;

	if (open == NULL)
		return key;
	close = memchr(open, '}', (size_t)(end - open));
	if (close == NULL || close == open + 1)
		return key;
	return slice_of(open + 1, (size_t)(close - open) - 1);
}

unsigned
redis_slot(struct slice key)
{
	return crc16(hash_tag(key)) % REDIS_SLOTS;
}
