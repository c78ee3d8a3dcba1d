/* tracking_impl.h - what the files that implement tracking.h share, and nobody else.
 *
 *   tracking.c        the table of keys, the change of a key, limits
 *   tracker.c         who tracks, with which prefixes, and who is known by id
 *   tracking_send.c   messages to clients, also by way of others
 *   tracking_bcast.c  changes for those who track by prefix */
#ifndef PANNIER_SERVER_TRACKING_IMPL_H
#define PANNIER_SERVER_TRACKING_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/htab.h"
#include "server/server.h"
#include "server/tracking.h"

/* A message for another loop, about a tracker. */
struct parcel {
	struct loop_task task;
	struct tracker *tracker; /* a reference */
	struct slice array;      /* the keys, encoded; NULL: everything */
};

/* A session's part. Its loop's own but for what is said; outlives the session while
 * anything refers to it. */
struct tracker {
	_Atomic(unsigned) refs;  /* the session's, one for each key, parcels */
	_Atomic(bool) gone;      /* the session has let go of it */
	_Atomic(int64_t) redirect; /* written at home */
	struct tracking_loop *home;
	struct session *session; /* NULL: gone */
	unsigned flags;
	struct list link;        /* in home->trackers while on */
	struct list prefixes;    /* struct prefix_use, in order */
	struct parcel everything; /* one such message is always possible, */
	_Atomic(bool) everything_sent; /* and this one is on its way */
};

/* A key that a client has read. In the table of its shard; taken out, it is a
 * message to the client's loop. */
struct tracked {
	union {
		struct htab_node node;
		struct loop_task task;
	};
	struct tracker *tracker; /* a reference; NULL: not a key, but everything */
	uint32_t len;
	char key[];
};

/* Under the lock of the cache's shard of the same number. */
struct track_shard {
	struct htab keys;
	size_t hand;     /* for limits */
	size_t swept;    /* the next slot to look for those who are gone */
	unsigned n_bcast; /* trackers of all loops */
	bool noticed;    /* for `keys` */
} __attribute__((aligned(64)));

/* A prefix of any loop; under tracking.lock. */
struct prefix_name {
	struct htab_node node;
	unsigned refs; /* loops */
	struct slice text; /* behind it */
};

/* A prefix on one loop. */
struct prefix {
	struct list link; /* in tracking_loop.prefixes, in order */
	struct list uses;
	unsigned refs;    /* uses */
	struct prefix_name *name;
};

struct prefix_use {
	struct list in_prefix, in_tracker;
	struct tracker *tracker;
	struct prefix *prefix;
};

struct tracking_loop {
	struct tracking *all;
	struct server_loop *sl;
	struct list trackers;      /* that are on */
	struct list prefixes;
	struct tracker *actor;     /* whose command is running, if it tracks */
	struct loop_task *first, **last; /* keys that have changed here: struct tracked */
	struct tracked flushed;    /* a place in that list, where there is no memory */
	bool flushed_used;
	struct buf changed;        /* keys for prefixes: struct noted, then the key */
	size_t n_changed;
	bool changed_lost;         /* some were not noted */
	struct loop_task settle;
	bool settle_deferred;
	struct loop_task everything; /* posted by any loop */
	_Atomic(bool) everything_posted;
	_Atomic(unsigned) n_bcast; /* trackers of this loop with prefixes */
};

struct tracking {
	struct cache *cache;
	unsigned n_loops, n_shards;
	struct track_shard *shards;
	void *shards_mem;
	_Atomic(uint64_t) n_clients, n_keys, n_items, bytes;
	_Atomic(uint64_t) n_gone;  /* trackers that only keys refer to */
	_Atomic(uint64_t) max_keys, max_bytes;
	_Atomic(unsigned) next_shard; /* for limits */
	unsigned sweep_shard;      /* loop 0's */
	pthread_mutex_t lock;      /* ids and names */
	struct htab ids;           /* sessions, by session.id_node */
	struct htab names;         /* of prefixes */
	struct tracking_loop loops[];
};

static inline struct tracking_loop *
tracking_loop_of(struct tracking *tr, const struct loop *l)
{
	return &tr->loops[loop_index(l)];
}

/* --- tracking.c ------------------------------------------------------------------ */

void tracked_free(struct tracked *k);
/* There is something to tell on this loop. */
void tracking_due(struct tracking_loop *tl);

/* --- tracker.c ------------------------------------------------------------------- */

void tracker_unref(struct tracker *t);

enum target { TARGET_HERE, TARGET_ELSEWHERE, TARGET_GONE };
/* Where the session with this id is; seen from loop `here`. *s is set where it is
 * here, *l where it is elsewhere. */
enum target tracking_find(struct tracking_loop *here, int64_t id, struct session **s,
    struct loop **l);

/* --- tracking_send.c ------------------------------------------------------------- */

/* What a client is told: a key, several ones encoded as an array, or neither,
 * which is everything. */
struct news {
	struct slice key, array;
};
/* At the tracker's home. No session ends within. */
void tracker_tell(struct tracker *t, struct news n);
void tracking_tell_keys(struct tracking_loop *tl);
/* All trackers of all loops. */
void tracking_tell_everything(struct tracking_loop *tl);
void tracking_everything_run(struct loop *l, struct loop_task *t);

/* --- tracking_bcast.c -------------------------------------------------------------- */

void bcast_note(struct tracking_loop *tl, struct slice key, enum cache_change how);
void bcast_settle(struct tracking_loop *tl);

#endif
