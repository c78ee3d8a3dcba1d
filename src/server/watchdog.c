#include "config.h"

#include "server/watchdog.h"

#include "server/server.h"

static void
beat_run(struct loop *l UNUSED, struct loop_task *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, beat);
	struct server *s = sl->server;

	if (atomic_fetch_sub(&s->watchdog.beating, 1) == 1)
		notify_tell(&s->notify, "WATCHDOG=1");
}

static void
on_time(struct timer *t)
{
	struct watchdog *w = container_of(t, struct watchdog, timer);
	struct server *s = container_of(w, struct server, watchdog);

	timer_start(t, s->notify.watchdog_ms);
	if (atomic_load(&w->beating) != 0)
		return; /* a loop has not come round yet; the manager waits, and counts */
	atomic_store(&w->beating, s->n_loops);
	for (unsigned i = 0; i < s->n_loops; i++)
		loop_post(s->loops[i].loop, &s->loops[i].beat);
}

void
watchdog_start(struct server *s)
{
	if (s->notify.watchdog_ms == 0)
		return;
	for (unsigned i = 0; i < s->n_loops; i++)
		s->loops[i].beat.run = beat_run;
	atomic_init(&s->watchdog.beating, 0);
	timer_init(&s->watchdog.timer, s->loops[0].loop, on_time);
	s->watchdog.started = true;
	timer_start(&s->watchdog.timer, 0);
}

void
watchdog_stop(struct server *s)
{
	if (s->watchdog.started)
		timer_stop(&s->watchdog.timer);
}
