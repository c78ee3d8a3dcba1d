/* hole.h - places of dead entries, kept by size for entries of just that size.
 *
 * Where entries die in about the order they were written, the log needs none
 * of this: its oldest segment empties by itself. Where reads keep some of them
 * alive, deaths are scattered over all segments, and to win a segment many
 * live bytes must be moved. Then a new entry is better put where one of the
 * same size has died. It works for small ones, of which there are few sizes and
 * many of each; where sizes shift, fewer fit, and the cleaner takes over again.
 *
 * All calls: pool.lock is held. A hole lies in a segment that may be written
 * (pool_holes_ok); who makes a segment unwritable need not take its holes out,
 * hole_take() does when it meets one. */
#ifndef PANNIER_CACHE_HOLE_H
#define PANNIER_CACHE_HOLE_H

#include "cache/segment.h"

/* A dead entry becomes a hole. */
void hole_add(struct pool *p, uint32_t ref);
/* And is a dead entry again. */
void hole_drop(struct pool *p, uint32_t ref);
/* One of so many bytes, taken out; 0: there is none. */
uint32_t hole_take(struct pool *p, uint32_t bytes);
/* Forgets them all. */
void holes_reset(struct pool *p);

#endif
