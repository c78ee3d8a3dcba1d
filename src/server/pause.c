#include "config.h"

#include "server/pause.h"

#include "server/door.h"
#include "server/server.h"
#include "server/session.h"
#include "server/transaction.h"

#define TIMER_MAX_MS 86400000

static void
over(struct timer *t)
{
	struct server_loop *sl = container_of(t, struct server_loop, pause.timer);
	int64_t left_ms = sl->pause.end_ms - loop_now_ms(sl->loop);

	if (left_ms <= 0)
		pause_end(sl);
	else
		timer_start(t, MIN(left_ms, TIMER_MAX_MS));
}

void
pause_init(struct server_loop *sl)
{
	sl->pause.mode = PAUSE_OFF;
	timer_init(&sl->pause.timer, sl->loop, over);
}

void
pause_fini(struct server_loop *sl)
{
	timer_stop(&sl->pause.timer);
}

static void
update_doors(struct server_loop *sl)
{
	list_foreach(it, &sl->sessions)
		door_update(list_entry(it, struct session, link));
}

void
pause_begin(struct server_loop *sl, enum pause_mode mode, int64_t end_ms)
{
	struct pause *p = &sl->pause;

	p->end_ms = p->mode == PAUSE_OFF ? end_ms : MAX(p->end_ms, end_ms);
	p->mode = MAX(p->mode, mode);
	update_doors(sl);
	over(&p->timer);
}

void
pause_end(struct server_loop *sl)
{
	timer_stop(&sl->pause.timer);
	sl->pause.mode = PAUSE_OFF;
	update_doors(sl);
	list_foreach(it, &sl->sessions)
		session_unhold(list_entry(it, struct session, link));
}

/* What writes, or is heard by others. */
static bool
changes(const struct call *c)
{
	switch (c->cmd->id) {
	case CMD_ID_exec:
		return transaction_writes(c->session);
	case CMD_ID_publish:
	case CMD_ID_spublish:
		return true;
	default:
		return (c->cmd->flags & CMD_WRITE) != 0;
	}
}

bool
pause_holds(const struct call *c)
{
	switch (c->sl->pause.mode) {
	case PAUSE_ALL:
		return true;
	case PAUSE_WRITES:
		return changes(c);
	default:
		return false;
	}
}
