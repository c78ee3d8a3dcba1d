/* bit_offset.h - bit offsets as SETBIT, GETBIT and BITFIELD take them. */
#ifndef PANNIER_SERVER_BIT_OFFSET_H
#define PANNIER_SERVER_BIT_OFFSET_H

#include "server/call.h"

/* `unit` > 0: "#3" is allowed and means three times so many bits. The byte
 * that it lies in is one that a value can have. False: the error reply is
 * written. */
bool bit_offset_parse(struct call *c, struct slice text, unsigned unit, uint64_t *out);

#endif
