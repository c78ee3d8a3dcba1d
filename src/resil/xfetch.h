/* xfetch.h - refresh before the end, by chance: the nearer the end and the longer a
 * fetch takes, the likelier. One of many readers does it, most probably just in time, and
 * nobody has to agree with anybody. (A. Vattani, F. Chierichetti, K. Lowenstein, "Optimal
 * Probabilistic Cache Stampede Prevention", VLDB 2015.)
 *
 * Pure: randomness is an argument. Any unit of time, as long as it is one. */
#ifndef PANNIER_RESIL_XFETCH_H
#define PANNIER_RESIL_XFETCH_H

#include <stdbool.h>
#include <stdint.h>

/* left: until it expires; delta: how long the last fetch took; beta: 1 is the paper's
 * best, more is earlier, 0 is never early. True where -beta * delta * ln(U) >= left,
 * with U of (0, 1] from random; always where left is 0 or less. */
bool xfetch_due(int64_t left, int64_t delta, double beta, uint64_t random);

/* Shorter by up to pct (0 to 100) percent, evenly, so that what was stored at once does not
 * expire at once. Never longer: a ttl is a promise. Never below 1 where ttl is at
 * least 1; a ttl of 0 or less is left as it is. */
int64_t ttl_jitter(int64_t ttl, uint32_t pct, uint64_t random);

#endif
