/* sha1.h - SHA-1 (RFC 3174), by which clients name scripts. Not for anything
 * that must withstand somebody who looks for collisions. Pure. */
#ifndef PANNIER_BASE_SHA1_H
#define PANNIER_BASE_SHA1_H

#include <stdint.h>

#include "base/slice.h"

#define SHA1_BYTES 20
#define SHA1_HEX 40

void sha1(struct slice data, uint8_t out[SHA1_BYTES]);
/* Lower case, with a NUL. */
void sha1_hex(const uint8_t digest[SHA1_BYTES], char out[SHA1_HEX + 1]);
/* In any case; false: it is none. */
bool sha1_unhex(struct slice hex, uint8_t out[SHA1_BYTES]);

#endif
