/* checksum.h - XXH3 of 64 bits over bytes that leave the process: snapshots. */
#ifndef PANNIER_CACHE_CHECKSUM_H
#define PANNIER_CACHE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t checksum_of(const void *data, size_t n, uint64_t seed);

/* The same in parts. */
struct checksum {
	unsigned char state[576] __attribute__((aligned(64)));
};
void checksum_init(struct checksum *c, uint64_t seed);
void checksum_add(struct checksum *c, const void *data, size_t n); /* n may be 0 */
uint64_t checksum_end(const struct checksum *c);

#endif
