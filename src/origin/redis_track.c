#include "config.h"

#include "origin/redis_track.h"

#include <assert.h>

#include "base/util.h"
#include "resil/retry.h"

/* Between attempts. The first comes soon: most losses are restarts of the server or
 * of what stands between. */
static const struct backoff_cfg backoff = {
	.jitter = BACKOFF_DECORRELATED,
	.base_us = 50 * 1000,
	.max_us = 5 * 1000 * 1000,
};

void
track_init(struct track *t, const struct track_opts *o, int64_t now_ms)
{
	*t = (struct track){ .opts = *o, .state = TRACK_DOWN, .due_ms = now_ms };
}

static enum track_wish
step_live(struct track *t, int64_t now_ms)
{
	if (t->ping_ms != 0)
		return TRACK_CLOSE;
	t->ping_ms = now_ms;
	t->due_ms = now_ms + t->opts.ping_timeout_ms;
	return TRACK_PING;
}

enum track_wish
track_step(struct track *t, int64_t now_ms)
{
	if (now_ms < t->due_ms)
		return TRACK_WAIT;
	switch (t->state) {
	case TRACK_DOWN:
		t->state = TRACK_OPENING;
		t->due_ms = now_ms + t->opts.ping_timeout_ms;
		return TRACK_OPEN;
	case TRACK_LIVE:
		return step_live(t, now_ms);
	default:
		return TRACK_CLOSE;
	}
}

void
track_live(struct track *t, int64_t asked_ms, int64_t now_ms)
{
	assert(t->state == TRACK_OPENING);
	t->state = TRACK_LIVE;
	t->ping_ms = 0;
	t->proof_ms = asked_ms;
	t->due_ms = now_ms + t->opts.ping_interval_ms;
}

void
track_pong(struct track *t, int64_t now_ms)
{
	if (t->state != TRACK_LIVE || t->ping_ms == 0)
		return;
	t->proof_ms = t->ping_ms;
	t->ping_ms = 0;
	t->attempts = 0;
	t->due_ms = now_ms + t->opts.ping_interval_ms;
}

/* A server that accepts and then closes must not be asked without end: only a PING
 * that was answered starts the count again. */
bool
track_down(struct track *t, int64_t now_ms, uint64_t random)
{
	bool was_live = t->state == TRACK_LIVE;
	int64_t wait_us;

	t->attempts++;
	wait_us = backoff_wait_us(&backoff, t->attempts, backoff.base_us << MIN(t->attempts, 6u),
	    random);
	t->state = TRACK_DOWN;
	t->ping_ms = 0;
	t->due_ms = now_ms + MAX(wait_us / 1000, 1);
	return was_live;
}
