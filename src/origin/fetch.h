/* fetch.h - between fetch.c (attempts and ends) and fetch_queue.c (the way to an attempt). For
 * these two alone. */
#ifndef PANNIER_ORIGIN_FETCH_H
#define PANNIER_ORIGIN_FETCH_H

#include "origin/origin_impl.h"

#define FETCH_WHY_MAX 320
#define FETCH_LEGS 2

/* One attempt, and what it holds of the guard. */
struct leg {
	struct origin_fetch *f;
	struct attempt *attempt; /* NULL: not under way */
	struct guard_pass pass;
	int64_t started_us;
};

enum fetch_state {
	FETCH_PAUSED, /* waits for its turn, or backs off: until f->pause */
	FETCH_QUEUED,
	FETCH_SENT,   /* one or two legs are under way */
	FETCH_DOOMED, /* its end is known, and is told in a later turn */
};

struct origin_fetch {
	struct list link;
	struct list queue_link;
	struct origin_client *oc;
	struct origin_request request; /* its slices point into `text` */
	enum fetch_state state;
	struct leg legs[FETCH_LEGS];   /* the second one is a hedge */
	struct timer timer; /* at the deadline; queued: when it is too late; doomed: now */
	struct timer pause; /* ... or when the second leg is due */
	origin_done *done;
	void *arg;
	int64_t started_ms;
	int64_t backoff_us;
	uint64_t tried;                /* endpoints that failed */
	unsigned sent, retries, failovers;
	bool has_turn;                 /* of the rate limit, not used yet */
	bool failed;                   /* `why` is of an attempt */
	bool final;                    /* as of struct origin_result */
	enum origin_status status;     /* how it failed last, or is to end */
	int http_status;
	char why[FETCH_WHY_MAX];
	char text[];
};

static inline int64_t
fetch_now_us(const struct origin_fetch *f)
{
	return loop_now_us(f->oc->loop);
}

static inline int64_t
fetch_deadline_us(const struct origin_fetch *f)
{
	int64_t ms = f->request.deadline_ms;

	return ms <= INT64_MAX / 1000 ? ms * 1000 : INT64_MAX;
}

/* Timers never fire early. */
static inline int64_t
ms_up(int64_t us)
{
	return us / 1000 + (us % 1000 != 0);
}

/* fetch.c */
/* How it failed, or is to end. */
void fetch_note(struct origin_fetch *f, enum origin_status status, int http_status,
    const char *fmt, ...) PRINTF(4, 5);
/* It fails with what was noted, in a turn of its own: also from where no done() may be
 * called. */
void fetch_doom(struct origin_fetch *f);
/* The guard let it pass, with f->legs[0].pass. */
void fetch_send(struct origin_fetch *f);

/* fetch_queue.c */
/* From its turn by the rate limit to fetch_send(). */
void fetch_ask(struct origin_fetch *f);
/* Likewise, with its turn. */
void fetch_go(struct origin_fetch *f);
/* It is told so; nothing is sent. Where something was sent before, its failure says more. */
void fetch_refuse(struct origin_fetch *f, struct counter *which, const char *fmt, ...)
    PRINTF(3, 4);
void fetch_unqueue(struct origin_fetch *f); /* also if it is not queued */

#endif
