/* guard.h - what stands before an origin: whether a request may go now, which
 * endpoint it goes to, and what its end says about the origin.
 *
 * A guard is one for an origin in the whole process, shared by all loops under one lock
 * of its own (a fetch costs 70,000 instructions, the lock 14). It puts the pure parts of
 * src/resil together and knows neither transports nor timers; who waits for what is
 * origin.c's. All calls take the loop's time in microseconds.
 *
 * Thread-safe. Nothing is allocated but where it says so, and no callback is called;
 * waiting loops are woken by loop_post(). */
#ifndef PANNIER_ORIGIN_GUARD_H
#define PANNIER_ORIGIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "net/loop.h"
#include "resil/breaker.h"
#include "resil/health.h"

/* --- all of a process ----------------------------------------------------------- */

/* Guards by the origin's name, so that a reload finds them again. */
struct guards;
struct guards *guards_new(void);     /* NULL: no memory */
void guards_free(struct guards *gs); /* NULL is fine; guards in use live on */
/* Before clients of this configuration are made: each of its origins has a guard from now
 * on. An origin whose options are as they were keeps its own, with all that it has learnt;
 * others begin anew. 0, or -ENOMEM: some may have begun anew nevertheless. */
int guards_configure(struct guards *gs, const struct config *cfg) MUST_CHECK;

struct guard;
/* A reference to the origin's; where gs is NULL or has it with other options (a loop that
 * has yet to take up a reload), one of its own. NULL: no memory. */
struct guard *guard_get(struct guards *gs, const struct config_origin *cfg);
void guard_unref(struct guard *g); /* NULL is fine */

/* --- loops that ask --------------------------------------------------------------- */

struct guard_member;
/* wake(arg) is called on the loop when a place has become free for it. NULL: no memory. */
struct guard_member *guard_join(struct guard *g, struct loop *l, void (*wake)(void *arg),
    void *arg);
/* wake() is not called any more. On its loop. */
void guard_leave(struct guard_member *m);

/* --- a request's way -------------------------------------------------------------- */

enum guard_verdict {
	GUARD_GO,
	GUARD_WAIT, /* not yet: wait_us, or until wake() */
	GUARD_NO,   /* retry_us says when it may be another answer; 0: not known */
};

struct guard_answer {
	enum guard_verdict verdict;
	bool dry;         /* it would not have gone: count it */
	bool dry_open;    /* likewise by the breaker */
	int64_t wait_us;  /* of GUARD_WAIT */
	int64_t retry_us; /* of GUARD_NO */
	bool forced, probing; /* GUARD_NO of the breaker: by command; half open, probes are out */
};

/* Would the breaker refuse it? Takes nothing. */
struct guard_answer guard_look(struct guard *g, int64_t now_us);
/* A turn by the rate limit: GO, WAIT for wait_us and then go, or NO. */
struct guard_answer guard_turn(struct guard *g, int64_t now_us, int64_t deadline_us);
/* A turn that was taken is not needed: nothing was sent. */
void guard_turn_back(struct guard *g);

enum guard_try {
	GUARD_FIRST, /* of its fetch */
	GUARD_AGAIN, /* another endpoint, or a retry */
	GUARD_HEDGE,
};

/* What a request under way holds. Copied freely; not to be looked into but for `endpoint`. */
struct guard_pass {
	unsigned endpoint;
	enum guard_try try;
	struct breaker_permit permit;
	bool has_permit;
	int64_t from_us;
};

/* A place in the limit, the breaker's permit and an endpoint: GO, each owes one
 * guard_done(); WAIT: no place, see guard_rest(); NO: the breaker. `tried`: endpoints, a bit
 * for each, that are asked only where all were. */
struct guard_answer guard_enter(struct guard_member *m, int64_t now_us, enum guard_try try,
    uint64_t tried, struct guard_pass *out);

enum guard_end {
	GUARD_GOOD,      /* an answer */
	GUARD_BUSY,      /* it asks to come back later (429): no fault, but no time to learn from */
	GUARD_BUSY_FAULT, /* likewise, and a fault (503) */
	GUARD_FAULT,     /* another one that counts against the endpoint (500), or none */
	GUARD_CUT,       /* cut off by its deadline */
	GUARD_UNREACHED, /* no connection; nothing was sent */
	GUARD_PASSED_ON, /* likewise, but another endpoint is asked: says nothing of the origin */
	GUARD_CANCELLED, /* nobody wants it any more: says nothing */
};

/* What changed by it, for those who count. */
struct guard_news {
	bool opened, closed; /* the breaker */
	bool ejected;        /* the endpoint */
};
struct guard_news guard_done(struct guard_member *m, const struct guard_pass *p,
    enum guard_end end, int64_t took_us, int64_t now_us);

/* May a failed request be sent once more, as its n-th retry (1: the first)? GO: in wait_us,
 * and the budget has counted it; NO. *backoff_us: 0 before the first one, kept between. */
struct guard_answer guard_retry(struct guard *g, int64_t now_us, unsigned n, int64_t *backoff_us,
    int64_t retry_after_us, int64_t deadline_us);

/* How long after the start of a first request a second one is due; below 0: none. */
int64_t guard_hedge_delay(struct guard *g, int64_t now_us);
/* That time is over, and no answer. GO: as guard_enter(). NO: it is not sent; where `dry`,
 * it would have been. */
struct guard_answer guard_hedge(struct guard_member *m, int64_t now_us, uint64_t tried,
    struct guard_pass *out);
/* The second one won; the first had been under way for so long. */
void guard_hedge_won(struct guard *g, int64_t first_took_us, int64_t now_us);

/* --- the queue -------------------------------------------------------------------- */

enum guard_queue {
	GUARD_QUEUE_WAIT,       /* it waits, and is counted until guard_unqueue() */
	GUARD_QUEUE_SHED,       /* likewise, after the loop's oldest is given up */
	GUARD_QUEUE_FULL,       /* refused: `waiting` of them wait, who can all still make it */
	GUARD_QUEUE_LATE,       /* refused: behind those it cannot make its deadline */
};

/* `ahead` wait on this loop before it, `room` is how many this loop may have under way.
 * oldest_deadline_us: of the one that would be given up for it; INT64_MAX: there is none. */
enum guard_queue guard_queue(struct guard_member *m, int64_t now_us, uint32_t ahead, uint32_t room,
    int64_t deadline_us, int64_t oldest_deadline_us, uint32_t *waiting);
void guard_unqueue(struct guard_member *m);
/* Its turn has come: can it still make its deadline? */
bool guard_in_time(struct guard *g, int64_t now_us, int64_t deadline_us);
/* How long before its deadline one that waits has to begin; 0: not known. */
int64_t guard_service_us(struct guard *g);
/* The loop has let go all that can go. starved: some wait for a place of the limit, and
 * for nothing else; they are woken. */
void guard_rest(struct guard_member *m, bool starved, int64_t now_us);

/* --- health checks ------------------------------------------------------------------ */

/* Whether this loop is the one that checks; the first that asks is, until it leaves. */
bool guard_is_checker(struct guard_member *m);
/* See health_poll(). *changed: of HEALTH_STOP, whether it is down now and was not. */
enum health_action guard_check_poll(struct guard *g, unsigned endpoint, int64_t now_us,
    uint32_t *check, int64_t *wake_us, bool *changed);
/* True: it is up or down now, and was not. */
bool guard_check_report(struct guard *g, unsigned endpoint, uint32_t check, bool ok,
    int64_t now_us);

/* --- what people ask and tell -------------------------------------------------------- */

enum guard_endpoint_state {
	GUARD_ENDPOINT_IN,
	GUARD_ENDPOINT_EJECTED, /* for its failures, until left_us is over */
	GUARD_ENDPOINT_DOWN,    /* its checks fail */
	GUARD_ENDPOINT_OUT,     /* by command */
};

struct guard_endpoint {
	enum guard_endpoint_state state;
	int64_t left_us;    /* of an ejection */
	uint32_t in_flight;
	uint32_t failures;  /* in a row */
	uint32_t share_pct; /* of its share, while it starts slowly */
	uint64_t checks_passed, checks_failed;
};

struct guard_view {
	enum breaker_state breaker;
	enum breaker_force force;
	struct breaker_view window;
	struct breaker_counts breaker_counts;
	bool breaker_enabled, panic;
	uint32_t in_flight, waiting;
	uint32_t limit;      /* 0: none but connections */
	int64_t service_us;  /* what a request takes; 0: not known */
	int64_t hedge_us;    /* when a second one is due; below 0: never */
	int64_t rate_wait_us; /* until the next turn */
	double retries_left; /* in the budget */
	unsigned n_endpoints, n_out; /* that are not in */
};

/* -ENOENT: there is no such origin. */
int guards_view(struct guards *gs, const char *name, int64_t now_us, struct guard_view *out);
/* "closed", "open", "half-open", or "off". */
const char *guard_breaker_name(const struct guard_view *v);
/* -ERANGE: it has no such endpoint. */
int guards_view_endpoint(struct guards *gs, const char *name, unsigned endpoint, int64_t now_us,
    struct guard_endpoint *out);
int guards_force(struct guards *gs, const char *name, enum breaker_force force, int64_t now_us);
/* Takes an endpoint out until it is put back in. -ENOENT, -ERANGE as above. */
int guards_eject(struct guards *gs, const char *name, unsigned endpoint);
/* In again, from an ejection of either kind; not where its checks fail. */
int guards_restore(struct guards *gs, const char *name, unsigned endpoint, int64_t now_us);

#endif
