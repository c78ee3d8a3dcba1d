/* tracking.h - CLIENT TRACKING: clients keep values of their own, and are told
 * when one of them changes.
 *
 * A client in the usual mode is remembered with each key that it reads, before
 * it reads: in a table beside the key's shard, under the shard's lock. Whoever
 * changes a key holds that lock too, and takes what is remembered of it out of
 * the table. So each change either finds the key remembered, or comes before the
 * reading; nothing can fall in between. What was taken out is the message: it
 * goes to its client's loop by loop_post(), needs no memory on the way, and
 * comes behind the reply that it is about. A client that waits for a reply
 * when a message comes gets it at once and once more behind that reply, which
 * may be older than the change.
 *
 * With BCAST a client is told of all keys with certain prefixes: changes are
 * noted, sorted, and handed to the loops that have such clients. Where memory is
 * short they are told that everything may have changed.
 *
 * The table is bounded, in keys and in bytes; what is beyond is forgotten, and its
 * clients are told as if it had changed. */
#ifndef PANNIER_SERVER_TRACKING_H
#define PANNIER_SERVER_TRACKING_H

#include "server/session.h"

struct tracking;
struct tracking_loop;

enum {
	TRACK_ON = 1 << 0,
	TRACK_BCAST = 1 << 1,
	TRACK_OPTIN = 1 << 2,
	TRACK_OPTOUT = 1 << 3,
	TRACK_NOLOOP = 1 << 4,
	TRACK_CACHING = 1 << 5, /* CLIENT CACHING was said for the next command */
	TRACK_BROKEN = 1 << 6,  /* who should get the messages is gone */
	TRACK_MODES = TRACK_BCAST | TRACK_OPTIN | TRACK_OPTOUT | TRACK_NOLOOP,
};

/* When all loops are there, before they run; sets their `tracking`. 0, -ENOMEM. */
int tracking_new(struct server *s) MUST_CHECK;
/* When no session is left and all tasks of the loops have run. NULL is fine. */
void tracking_free(struct tracking *tr);
/* Any thread. max_keys 0: as many as fit into max_bytes. */
void tracking_set_limits(struct tracking *tr, uint64_t max_keys, uint64_t max_bytes);
/* Bytes of what is remembered, good for the life of tr. */
const _Atomic(uint64_t) *tracking_bytes(const struct tracking *tr);
/* Forgets some of what clients read that are gone. */
void tracking_tick(struct server_loop *sl);

/* Any thread. */
struct tracking_counts {
	uint64_t clients, keys, items, prefixes;
};
void tracking_counts(struct tracking *tr, struct tracking_counts *out);

/* --- a session's, on its loop --------------------------------------------------- */

/* It can be found by its id from now on. */
void tracking_meet(struct session *s);
void tracking_part(struct session *s); /* its end: all is forgotten */
/* Whether it may redirect to that session. */
bool tracking_knows(const struct session *s, int64_t id);
/* RESET: likewise, but that it stays known. */
void tracking_reset(struct session *s);

unsigned tracking_flags(const struct session *s);  /* TRACK_ON and so on; 0: it does not */
int64_t tracking_redirect(const struct session *s); /* -1: it does not track; 0: to nobody */
/* With `modes` from now on, prefixes (BCAST alone) beside those that it has. 0, or
 * -ENOMEM with nothing changed. */
int tracking_on(struct session *s, unsigned modes, int64_t redirect, const struct slice *prefixes,
    size_t n) MUST_CHECK;
void tracking_off(struct session *s);
void tracking_set_caching(struct session *s);
/* Its prefixes in order: *it NULL for the first, then as it was left. False: no
 * more. */
bool tracking_prefix(const struct session *s, const struct list **it, struct slice *prefix);
#define TRACKING_PREFIXES_MAX 1024 /* of one client */

/* --- around a command ------------------------------------------------------------- */

static inline bool
tracking_is_on(const struct session *s)
{
	return unlikely(s->tracker != NULL) && (tracking_flags(s) & TRACK_ON);
}

/* For sessions that track, around a handler. False: the error is written, and the
 * handler must not run. */
bool tracking_before(struct call *c) MUST_CHECK;
void tracking_after(struct call *c);
/* A command was refused: what CLIENT CACHING said is over. */
void tracking_refused(struct session *s, const struct command *cmd);
/* Everything was flushed. */
void tracking_flushed(struct server_loop *sl);
/* Tells what this loop has changed; no lock may be held. Where sl->tracking_due. */
void tracking_settle(struct server_loop *sl);

#endif
