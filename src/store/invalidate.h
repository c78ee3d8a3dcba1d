/* invalidate.h - what is known to be old goes, or becomes stale.
 *
 * Hard: the value is gone, as by a DEL. Soft: it is stale from now on, for its grace;
 * who asks for it next gets it while one fetch or load replaces it, and where there is
 * no grace it is gone too. Either way a fetch that began before does not store its
 * value, and a lease that was taken before is void.
 *
 * Keys are found at once. What is named by prefixes and tags takes a walk over the
 * cache, since no index of them is kept: the walker does it in short steps between the
 * turns of one loop. All that comes before a walk begins shares it, what comes later
 * shares the next one; so a storm of invalidations costs two walks at a time.
 *
 * Call from the loop's thread. */
#ifndef PANNIER_STORE_INVALIDATE_H
#define PANNIER_STORE_INVALIDATE_H

#include "store/store.h"

/* Whether there was a value that was not stale. */
bool store_invalidate(struct store_loop *sl, struct slice key, bool soft);

/* --- many keys -------------------------------------------------------------- */

enum invalidate_by { INVALIDATE_PREFIX, INVALIDATE_TAG };

/* What may wait or be on its way at a time, over all loops. */
#define INVALIDATE_PATTERNS_MAX 4096
#define INVALIDATE_BYTES_MAX (1u << 20)

/* A request; from invalidation_start() until done() it is the walker's. */
struct invalidation;
struct invalidation *invalidation_new(struct store_loop *sl, bool soft); /* NULL: no memory */
void invalidation_free(struct invalidation *inv); /* one that was not started; NULL is fine */
/* Another reference, which invalidation_free() gives back. */
struct invalidation *invalidation_ref(struct invalidation *inv);
/* Whether it is about a key, with this record. */
bool invalidation_meets(const struct invalidation *inv, struct slice key, struct slice record);
/* Borrows name. 0; -ENOMEM; -E2BIG: more than can ever be on its way. */
int invalidation_add(struct invalidation *inv, enum invalidate_by by, struct slice name) MUST_CHECK;
/* Only keys whose namespace has its bit set here, by its place in the configuration. */
void invalidation_confine(struct invalidation *inv,
    const uint64_t namespaces[CONFIG_NAMESPACES_MAX / 64]);
/* done() comes on the loop that it was made on, and never from within, with how many
 * keys had a value that was not stale. -EBUSY: too much is on its way; the request is
 * still the caller's. */
typedef void invalidated_fn(void *arg, uint64_t keys);
int invalidation_start(struct invalidation *inv, invalidated_fn *done, void *arg) MUST_CHECK;
/* Nobody is called any more; it is done all the same. */
void invalidation_leave(struct invalidation *inv);

#endif
