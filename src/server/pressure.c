#include "config.h"

#include "server/pressure.h"

#include "base/util.h"

/* In percent, since the last look; the total may begin anew where the cgroup changes. */
static unsigned
stall_share(struct pressure *p, const struct machine *m, int64_t now_ms)
{
	int64_t passed_ms = now_ms - p->look_ms;
	uint64_t stalled_us = m->stall_us > p->stall_us ? m->stall_us - p->stall_us : 0;
	bool known = p->any && m->has_stalls && passed_ms > 0;

	p->any = true;
	p->look_ms = now_ms;
	p->stall_us = m->stall_us;
	p->stalled_ms = known ? (int64_t)MIN(stalled_us / 1000, (uint64_t)passed_ms) : 0;
	return known ? (unsigned)(100 * p->stalled_ms / passed_ms) : 0;
}

static bool
high_is_at(const struct machine *m, unsigned percent)
{
	return m->high_bytes != 0 && m->high_used / percent >= m->high_bytes / 100;
}

static enum pressure_act
give(struct pressure *p, int64_t now_ms)
{
	int64_t wait_ms = p->wait_ms != 0 ? p->wait_ms : CALM_MS;

	if (p->calm_ms == 0)
		p->calm_ms = now_ms;
	if (now_ms - MAX(p->calm_ms, p->gave_ms) < wait_ms)
		return PRESSURE_NONE;
	if (p->steps == 0) {
		p->purged = false;
		p->wait_ms = 0;
		return PRESSURE_NONE;
	}
	p->steps--;
	p->gave_ms = now_ms;
	return PRESSURE_GIVE;
}

/* What was given back was too much, or came too soon. */
static void
wait_longer(struct pressure *p, int64_t now_ms)
{
	int64_t wait_ms = p->wait_ms != 0 ? p->wait_ms : CALM_MS;

	if (p->gave_ms != 0 && now_ms - p->gave_ms < 2 * wait_ms)
		p->wait_ms = MIN(2 * wait_ms, CALM_MOST_MS);
	p->gave_ms = 0;
}

static enum pressure_act
take(struct pressure *p, const struct machine *m, int64_t now_ms)
{
	bool ours = high_is_at(m, HIGH_PRESSED_PCT) || m->own_stalls;

	p->calm_ms = 0;
	wait_longer(p, now_ms);
	if (p->act_ms != 0 && now_ms - p->act_ms < SETTLE_MS)
		return PRESSURE_NONE;
	if (!p->purged || (!ours && now_ms - p->purge_ms >= PURGE_GAP_MS)) {
		p->purged = true;
		p->purge_ms = p->act_ms = now_ms;
		return PRESSURE_PURGE;
	}
	if (!ours || p->steps == PRESSURE_MOST)
		return PRESSURE_NONE;
	p->steps++;
	p->act_ms = now_ms;
	return PRESSURE_TAKE;
}

enum pressure_act
pressure_decide(struct pressure *p, const struct machine *m, int64_t now_ms)
{
	unsigned share = stall_share(p, m, now_ms);
	bool stalls = share >= PRESSED_PCT;

	p->pressed = (stalls && p->stalls) || high_is_at(m, HIGH_PRESSED_PCT);
	p->stalls = stalls;
	if (p->pressed)
		return take(p, m, now_ms);
	if (share < CALM_PCT && !high_is_at(m, HIGH_CALM_PCT))
		return give(p, now_ms);
	p->calm_ms = 0;
	return PRESSURE_NONE;
}
