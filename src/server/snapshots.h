/* snapshots.h - the snapshot of a server (doc/snapshot.md): loaded in the background when
 * it starts, written by a thread of its own on demand and when it stops.
 *
 * One thing at a time: a snapshot is written, or loaded, or neither. Any thread may call
 * what is not said to be loop 0's. */
#ifndef PANNIER_SERVER_SNAPSHOTS_H
#define PANNIER_SERVER_SNAPSHOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/loop.h"

struct config;
struct server;
struct server_loop;
struct snapshots;
struct metrics;

/* What they may take of the limit, beside large values; 0: none is configured. */
uint64_t snapshots_bytes(const struct config *cfg);

/* 0 or -ENOMEM. */
int snapshots_new(struct server *s, const struct config *cfg, struct snapshots **out) MUST_CHECK;
/* Before the loops run: what lies at the path is looked at, and a thread begins to load it.
 * What is wrong with it is logged; the daemon starts all the same. */
void snapshots_load(struct snapshots *sn);
/* When no loop runs any more: what is under way is given up. */
void snapshots_stop(struct snapshots *sn);
void snapshots_free(struct snapshots *sn); /* NULL is fine */

/* Begins to write one. 0; -EALREADY: one is being written; -EBUSY: one is being loaded;
 * -ENOENT: no path is configured; -EAGAIN: no thread could be had, or the daemon stops. */
int snapshots_save(struct snapshots *sn) MUST_CHECK;

/* Who wants to know how the one that is being written ends; the caller's, untouched until
 * done() is called on its loop, or snapshots_leave(). */
struct snapshots_waiter {
	struct list link;
	struct loop_task task;
	struct server_loop *home;
	void (*done)(struct snapshots_waiter *w);
	bool failed;
	bool left;
};
/* Right after a snapshots_save() that succeeded, on the same loop. */
void snapshots_wait(struct snapshots *sn, struct snapshots_waiter *w, struct server_loop *sl,
    void (*done)(struct snapshots_waiter *w));
/* True: the waiter is the caller's again. False: done() is on its way, and will find
 * w->left set. */
bool snapshots_leave(struct snapshots *sn, struct snapshots_waiter *w);

/* Everything is answered; the loops are about to end. True: one is written first, as the
 * configuration or SHUTDOWN says, and `then` is called on loop 0 when it is. More than one
 * call is as one. */
bool snapshots_save_at_stop(struct snapshots *sn, void (*then)(struct server *s));
/* What SHUTDOWN says of that; 0: as it is configured. */
enum { SNAPSHOT_AS_CONFIGURED, SNAPSHOT_AT_STOP, SNAPSHOT_NOT_AT_STOP };
void snapshots_set_at_stop(struct snapshots *sn, int how);
bool snapshots_has_path(const struct snapshots *sn);

/* Whether /readyz says no for it. */
bool snapshots_holds_ready(struct snapshots *sn);

enum snapshots_state { SNAPSHOTS_IDLE, SNAPSHOTS_LOADING, SNAPSHOTS_SAVING };

struct snapshots_status {
	const char *path;         /* good as long as the server; NULL: none */
	enum snapshots_state state;
	double progress;          /* of what is under way, 0 to 1 */
	int64_t since_ms;         /* how long it is under way */
	/* The last one that was written: */
	int64_t saved_unix_ms;    /* 0: none by this process */
	int64_t saved_ms;         /* how long it took; -1: none */
	uint64_t saved_entries, saved_bytes, saved_passed;
	int64_t saved_stored;     /* how many values had been stored when it began */
	uint64_t save_now, save_expected; /* entries, while one is written */
	uint64_t saves, failures;
	char error[192];          /* of the last one, where that failed; else empty */
	/* The one that was loaded, or is: */
	bool load_ended;
	int64_t load_ms;          /* how long it took, or takes; -1: there was none */
	uint64_t loaded, load_expired, load_newer, load_tier, load_refused, load_passed;
	char load_error[192];
};
void snapshots_status(struct snapshots *sn, struct snapshots_status *out);

/* Values stored since the start. Any thread. */
int64_t snapshots_stored(const struct server *s);

/* Rows of /metrics. */
void snapshots_metrics(struct metrics *m, struct snapshots *sn);

#endif
