/* save.h - the store's contents as a snapshot. */
#ifndef PANNIER_STORE_SAVE_H
#define PANNIER_STORE_SAVE_H

#include <stdatomic.h>

#include "store/snapshot.h"
#include "store/store.h"

/* How far it is; any thread reads. */
struct save_progress {
	_Atomic(uint64_t) entries, bytes;
	_Atomic(uint64_t) passed; /* entries that could not be written: the value is too
	                           * large for a copy, and could not be held in place */
};

struct save_opts {
	int fd;
	const struct routes *routes; /* held by the caller; by them it is known what is kept true
	                              * by a tier: that is not written */
	bool (*stop)(void *arg); /* asked between blocks; true: -ECANCELED */
	void *arg;
	struct save_progress *progress;
};

/* Walks the cache in short holds of a shard's lock and writes while none is held. Any
 * thread but a loop's, one at a time; blocks on the descriptor. Memory: one block. 0 and
 * *out; -EBUSY while another one is under way, or the contents go to another process; or
 * what failed. */
int store_save(struct store *s, const struct save_opts *o, struct snapshot_sum *out) MUST_CHECK;

#endif
