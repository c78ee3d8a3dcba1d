/* redis_slot.h - which of a Redis Cluster's 16,384 slots a key lies in: CRC16 (XMODEM)
 * of the key, or of what stands between its first { and the next }, where that is
 * something. Redis Cluster specification, "Key distribution model". Pure. */
#ifndef PANNIER_ORIGIN_REDIS_SLOT_H
#define PANNIER_ORIGIN_REDIS_SLOT_H

#include "base/slice.h"

#define REDIS_SLOTS 16384

unsigned redis_slot(struct slice key);

#endif
