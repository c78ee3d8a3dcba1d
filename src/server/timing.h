/* timing.h - how long commands take, without a look at the clock for each.
 *
 * Reading the clock twice would cost as much as a GET. So:
 *
 *  - a command that may be long by what it does is timed by itself, always;
 *  - of short ones (see is_short()) one in TIMED_SHARE is timed and counts for
 *    all of them in statistics: at random distances, so that requests that come in turns are
 *    all seen. The first ones of a loop are all timed, and some more for each moment that
 *    goes by: where few come, that is all of them;
 *  - the reads of those that are timed are what hot keys are learnt from (store/hot.h);
 *  - that no short one was slow is told by the batch of requests that one read
 *    brought: the processor's counter is read before and behind it, a handful
 *    of instructions each. A batch that took longer than what is looked for is
 *    a suspect: its time by the clock, less that of its commands that were
 *    timed, is what its short ones took. Clients that do not pipeline have
 *    batches of one, and then it is known which one it was. Else the longest
 *    request of the batch is named, with a last argument that says of how many
 *    it is one. (To time each for a while afterwards was tried: a process that
 *    its CPU quota stops ten times a second would do little else);
 *  - where less than a millisecond is looked for, which many short commands
 *    together may take, each command is timed: who asks for that pays for it.
 *
 * The counter's unit is not known beforehand. It is compared with the clock since
 * the start whenever there is a suspect, and nothing is believed that the time of the
 * loop's turn speaks against: a counter that jumps costs a look, no wrong
 * entry. One for each loop. */
#ifndef PANNIER_SERVER_TIMING_H
#define PANNIER_SERVER_TIMING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/draw.h"
#include "base/util.h"
#include "proto/command.h"

#define TIMED_SHARE 128

struct call;
struct config;
struct request;
struct server;
struct server_loop;

struct timing {
	int64_t slow_us;        /* of SLOWLOG; INT64_MAX: nothing is slow */
	int64_t event_us;       /* of LATENCY; likewise */
	uint64_t suspect_ticks; /* a batch that takes longer is looked at */
	int share;              /* one in so many short commands is timed */
	int untimed;            /* short ones since the last that was timed; begins anywhere
	                         * below share, so that no rhythm of a client's agrees */
	unsigned warm;          /* that are still to be timed each */
	int64_t warmed_ms;      /* when some were added to these; 0: never */
	unsigned timed;         /* short ones since then */
	/* Of those that are timed, one in read_every is told for hot keys; how many were not
	 * since the last: long ones, short ones. */
	unsigned read_every, unread[2];
	struct draw draw;
	int64_t timed_us;       /* of all commands that were timed, ever */
	uint64_t ticks0;        /* at the start, */
	int64_t us0;            /* and the clock then */
};

void timing_init(struct timing *t, int64_t now_us);
/* What the configuration says from now on. */
void timing_configure(struct server_loop *sl, const struct config *cfg);

/* What Redis calls fast, and SET in its forms: nothing that works on all of a
 * value that is there. */
static inline bool
timing_is_short(const struct command *cmd)
{
	return (cmd->flags & CMD_FAST) || cmd->id == CMD_ID_set || cmd->id == CMD_ID_setex ||
	    cmd->id == CMD_ID_psetex;
}

/* Whether this one runs without being timed. */
static inline bool
timing_passes(struct timing *t, const struct command *cmd)
{
	return timing_is_short(cmd) && ++t->untimed < t->share;
}

/* For how many reads one of a command that is timed stands; 0: it is left out. EXEC's
 * commands have samples of their own. */
unsigned timing_read_weight(struct timing *t, const struct command *cmd);

/* The call was timed: counts it, and keeps it where it was slow. */
void timing_add(struct call *c, const struct command *cmd, int64_t spent_ns);

/* Requests that were served took so many ticks; of the time, timed_us went to commands
 * that were timed. c is for session and loop. */
void timing_suspect(struct call *c, const struct request *req, unsigned n, uint64_t ticks,
    int64_t timed_us);

/* The same of one call. */
void timing_suspect_call(struct call *c, uint64_t ticks, int64_t timed_us);

/* The longest turn of sl's loop since the last look: remembered in sl->lag_max_us, and
 * an event of LATENCY from event_us on. Any thread, as the next two. */
void timing_look(struct server_loop *sl, int64_t event_us);
/* Loop 0's, once a second: all loops' into server.lag_us. */
void timing_second(struct server *s);
/* The longest turn of any loop since timing_lag_reset(). */
int64_t timing_lag_max_us(struct server *s, int64_t event_us);
void timing_lag_reset(struct server *s, int64_t event_us);

static inline bool
timing_is_suspect(const struct timing *t, uint64_t begun_ticks)
{
	return unlikely(clock_ticks() - begun_ticks > t->suspect_ticks);
}

#endif
