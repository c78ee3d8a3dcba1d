/* splice.h - writing into the middle of a value: SETRANGE, SETBIT. */
#ifndef PANNIER_SERVER_SPLICE_H
#define PANNIER_SERVER_SPLICE_H

#include "server/call.h"

/* The value that an open cursor stands on; empty where it was a miss. */
struct slice value_or_empty(const struct store_cursor *cur, enum cache_result found);

/* Puts `bytes` at `offset`, with zeros in front of it where the value ended
 * before. The time to live stays. The results of cache_put(). Costs a copy of
 * the value: readers may hold the old one pinned. */
int splice_put(struct store_cursor *cur, enum cache_result found, uint64_t offset,
    struct slice bytes) MUST_CHECK;

/* call_make_room() for a splice that ends at `end`; the cursor was opened with
 * STORE_WRITE | STORE_TOUCH. */
enum cache_result splice_make_room(struct call *c, enum cache_result found, uint64_t end,
    struct store_cursor *cur);

/* False, with the error reply written: nothing that a SET may bring is so long. */
bool splice_fits(struct call *c, uint64_t offset, uint64_t len);

#endif
