/* snapshots_impl.h - what snapshots.c and snapshots_load.c share. */
#ifndef PANNIER_SERVER_SNAPSHOTS_IMPL_H
#define PANNIER_SERVER_SNAPSHOTS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/server.h"
#include "server/snapshots.h"
#include "store/restore.h"
#include "store/save.h"

/* A block goes from the thread, which reads, to a loop, which puts its entries back, and
 * nobody has it twice. */
struct loader {
	struct snapshot_reader reader;
	struct snapshot_block blocks[2]; /* one is read while the other is put back */
	struct snapshot_sum sum;         /* by the file's tail */
	struct server_loop *sl;          /* who puts back */
	struct loop_task task;
	struct timer timer;              /* the loop's */
	bool timer_ready;
	bool same_policy;
	/* The loop's, while it has a block: */
	struct snapshot_block *block;
	uint64_t seen_bytes, skip_bytes; /* of the arena that it came from, about */
	unsigned char meta[1024];
	/* Under snapshots.lock: */
	bool busy;                       /* the loop has a block */
	pthread_cond_t idle;
	/* The loop's while it is busy, else the thread's: */
	bool given_up;                   /* nothing more is put back, because: */
	const char *why;
	_Atomic(uint64_t) counts[RESTORED_KINDS], passed, too_large;
};

struct snapshots {
	struct server *server;
	char *path; /* NULL: none */
	pthread_mutex_t lock; /* a leaf, for all that is not atomic or said to be a loop's */
	struct snapshots_status status;
	int64_t begun_ms; /* of what is under way */
	struct list waiters;
	bool live;        /* there is a thread, to be joined */
	pthread_t thread;
	_Atomic(bool) stop;
	struct loop_task ended; /* to loop 0 */
	/* Of a save: */
	struct routes *routes; /* a reference */
	struct save_progress progress;
	uint64_t expected; /* entries */
	int64_t stored;    /* when it began */
	/* Of the end of the server: */
	int at_stop;
	bool stopping, saving_last;
	void (*then)(struct server *s);
	struct loader load;
};

int snapshots_thread(struct snapshots *sn, void *(*fn)(void *arg)) MUST_CHECK;
/* The thread's last act. */
void snapshots_thread_ended(struct snapshots *sn);
/* No loop has a block: what it took is given back. */
void loader_fini(struct snapshots *sn);
/* No loop runs any more. */
void loader_stop(struct snapshots *sn);
void loader_status(struct snapshots *sn, struct snapshots_status *out);

#endif
