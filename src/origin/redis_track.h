/* redis_track.h - the life of one channel of invalidations, without its sockets:
 * when it is opened, asked for a sign of life, given up and opened again
 * (doc/near.md).
 *
 *            open                tracking answered OK
 *   DOWN ---------> OPENING -----------------------------> LIVE
 *    ^                 |  broken, or not OK in time           |
 *    +-----------------+  <---- broken, or a PING unanswered -+
 *
 * A PING says more than that somebody is there. The server executes it behind every
 * write that was executed before it was sent, so its answer comes behind the
 * invalidations of all of these: proof_ms is when the last answered one was sent.
 *
 * Pure: clock and randomness are arguments. Milliseconds of the monotonic clock. */
#ifndef PANNIER_ORIGIN_REDIS_TRACK_H
#define PANNIER_ORIGIN_REDIS_TRACK_H

#include <stdbool.h>
#include <stdint.h>

enum track_state {
	TRACK_DOWN,
	TRACK_OPENING, /* connecting, greeting, asking for tracking */
	TRACK_LIVE,
};

struct track_opts {
	int64_t ping_interval_ms; /* from one answer to the next PING */
	int64_t ping_timeout_ms;  /* for an answer, and for all of the opening */
};

struct track {
	struct track_opts opts;
	enum track_state state;
	int64_t due_ms;   /* when track_step() is to be called again, at the latest */
	int64_t ping_ms;  /* when the one that is open was sent; 0: none is */
	int64_t proof_ms; /* of LIVE, and of the last time it was that; 0: never was */
	uint32_t attempts; /* of opening, since it was last live and stayed so */
};

enum track_wish {
	TRACK_WAIT,  /* until due_ms, or for an event */
	TRACK_OPEN,  /* connect and ask for tracking; track_live() or track_down() is to follow */
	TRACK_PING,  /* send one; track_pong() is to follow */
	TRACK_CLOSE, /* it is given up: close what there is, and say track_down() */
};

/* Opened at once. */
void track_init(struct track *t, const struct track_opts *o, int64_t now_ms);
/* What is to be done now; to be called again when that is done, until it says
 * TRACK_WAIT. */
enum track_wish track_step(struct track *t, int64_t now_ms);
/* The server has confirmed the tracking, asked for at asked_ms: it tells of every write
 * that it executes from then on. */
void track_live(struct track *t, int64_t asked_ms, int64_t now_ms);
/* The PING is answered, on all connections of the channel. */
void track_pong(struct track *t, int64_t now_ms);
/* What there was is closed. True: it was live, so what was proven until proof_ms is all
 * that is known now. */
bool track_down(struct track *t, int64_t now_ms, uint64_t random);

#endif
