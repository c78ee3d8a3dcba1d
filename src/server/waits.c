#include "config.h"

#include "server/waits.h"

#include "base/clock.h"
#include "server/parked.h"
#include "server/server.h"

static const char *
cause_of(const struct store_waiter *w)
{
	if (w->ns->origin_cfg == NULL)
		return "lease";
	return w->joined ? "origin, another's fetch" : "origin";
}

void
waits_add(const struct parked *p, const struct store_waiter *w, struct slice key)
{
	const struct session *s = p->session;
	const struct config *cfg = server_config(s->sl);
	int64_t us = clock_mono_us() - w->since_us;
	struct slice argv[2] = { slice_str(p->cmd->name), key };
	bool lease = w->ns->origin_cfg == NULL;

	if (us >= s->sl->timing.event_us)
		latency_add(&s->sl->server->latency,
		    lease ? LATENCY_LEASE_WAIT : LATENCY_ORIGIN_WAIT, us / 1000,
		    clock_wall_ms() / 1000);
	if (cfg->slow_wait > 0 && us >= cfg->slow_wait * 1000)
		slowlog_add(&s->sl->server->slow_waits, s,
		    &(struct slow_what){ .argv = argv, .argc = key.len != 0 ? 2 : 1,
		        .spent_us = us, .of = 1, .cause = cause_of(w) },
		    cfg->slowlog_max_len);
}
