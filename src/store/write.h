/* write.h - writes of keys that belong to an origin, as the namespace's `write:`
 * says (doc/origins.md): through and around wait for the origin, behind does not.
 *
 * Through and around. The origin is asked first. Only what it took is shown: the
 * cache is set (through) or the key removed (around) when it has answered. A write
 * that failed may have been carried out all the same, so the key is removed then
 * too, unless the origin refused it in so many words. Where two writes of a key
 * overlapped nobody knows which one the origin did last: the key is removed, and
 * the next read asks.
 *
 * Behind. The cache is changed at once; the write is queued, one for a key: a
 * newer one takes the place of what still waits. It belongs to the loop that it
 * came to first. Until the origin has it, a read that misses finds the value in the
 * queue. A write that the origin refuses is lost: it is counted and logged, and the
 * key leaves the cache. All else that goes wrong is tried again, with a back-off. */
#ifndef PANNIER_STORE_WRITE_H
#define PANNIER_STORE_WRITE_H

#include "store/store.h"

/* Borrowed for the call. */
struct store_write {
	const struct config_namespace *ns; /* routes_find() of the key; has an origin */
	struct slice key;
	bool remove;
	struct slice value;
	int64_t expires_ms; /* monotonic, in the future; CACHE_NEVER: as the namespace's ttl says */
};

enum write_end {
	WRITE_DONE,   /* the origin carried it out */
	WRITE_ABSENT, /* a removal, and it had no such key */
	WRITE_FAILED, /* error says why */
};

/* `error`: of WRITE_FAILED, one line, good until it returns. `was_cached`: of a
 * removal, whether the cache had the key. */
typedef void store_written(void *arg, enum write_end end, bool was_cached, const char *error);

/* Through or around. done() is called exactly once, later, on this loop, at the
 * latest when the origin's deadline is over; it goes on to its end whoever
 * leaves. 0; -EBUSY: too many requests wait already; -ENOMEM. */
int store_write_start(struct store_loop *sl, const struct store_write *w, store_written *done,
    void *arg) MUST_CHECK;

/* Behind: 0 once it is queued and the cache is changed. -ENOBUFS: the queue is
 * full, nothing was changed; what cache_put() answered: likewise; -ENOMEM. */
int store_write_behind(struct store_loop *sl, const struct store_write *w, bool *was_cached)
    MUST_CHECK;

/* Writes behind that are still to be carried out: of one origin, by its stats_id, or
 * of all, below 0. Any thread. */
struct store_behind {
	uint64_t n, bytes;
};
void store_behind_status(struct store *s, int stats_id, struct store_behind *out);
/* The stop has begun: what waits for its time is sent now. */
void store_behind_hurry(struct store_loop *sl);
/* Called on any loop's thread when the last one was carried out; for a stop. */
void store_on_behind_empty(struct store *s, void (*fn)(void *arg), void *arg);

#endif
