/* SAVE, BGSAVE, LASTSAVE and PANNIER.SNAPSHOT (snapshots.h). SAVE owes its reply until the
 * snapshot is on the disk; nobody else waits for it. */
#include "config.h"

#include <errno.h>

#include "base/mem.h"
#include "server/call.h"
#include "server/server.h"
#include "server/session.h"
#include "server/snapshots.h"

static struct snapshots *
snapshots_of(const struct call *c)
{
	return c->sl->server->snapshots;
}

static void
reply_failure(struct reply *r, struct snapshots *sn)
{
	struct snapshots_status st;

	snapshots_status(sn, &st);
	reply_error(r, "ERR the snapshot could not be written to %s: %s", st.path, st.error);
}

/* False: the error is written. */
static bool
begin(struct call *c)
{
	switch (snapshots_save(snapshots_of(c))) {
	case 0:
		return true;
	case -ENOENT:
		reply_error(c->reply, "ERR no snapshot_path is configured");
		return false;
	case -EALREADY:
		reply_error(c->reply, "ERR Background save already in progress");
		return false;
	case -EBUSY:
		reply_error(c->reply, "ERR a snapshot is being loaded: one that was written now "
		    "would lack what is still to come");
		return false;
	default:
		reply_error(c->reply, "ERR no thread could be had, or the daemon is about to "
		    "stop");
		return false;
	}
}

/* --- SAVE ------------------------------------------------------------------------------- */

struct save_call {
	struct snapshots_waiter waiter;
	struct parked *parked;
};

static void
save_done(struct snapshots_waiter *w)
{
	struct save_call *sc = container_of(w, struct save_call, waiter);
	struct parked *p = sc->parked;

	if (!w->left) {
		if (w->failed)
			reply_failure(parked_reply(p), w->home->server->snapshots);
		else
			reply_ok(parked_reply(p));
		parked_done(p);
	}
	mem_free(sc);
}

static void
save_dropped(struct parked *p, void *arg)
{
	struct save_call *sc = arg;

	(void)p;
	if (snapshots_leave(sc->waiter.home->server->snapshots, &sc->waiter))
		mem_free(sc);
}

void
cmd_save(struct call *c)
{
	struct save_call *sc = mem_zalloc(sizeof *sc);

	if (sc == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	if (!begin(c)) {
		mem_free(sc);
		return;
	}
	snapshots_wait(snapshots_of(c), &sc->waiter, c->sl, save_done);
	sc->parked = call_park(c, save_dropped, sc);
	if (sc->parked == NULL && snapshots_leave(snapshots_of(c), &sc->waiter))
		mem_free(sc); /* it is written all the same */
}

/* --- the others ------------------------------------------------------------------------------ */

void
cmd_bgsave(struct call *c)
{
	if (c->argc > 2 || (c->argc == 2 && !slice_caseeq(c->argv[1], SLICE("schedule")))) {
		call_syntax_error(c);
		return;
	}
	if (begin(c))
		reply_status(c->reply, "Background saving started");
}

void
cmd_lastsave(struct call *c)
{
	struct snapshots_status st;

	snapshots_status(snapshots_of(c), &st);
	reply_int(c->reply, (st.saved_unix_ms != 0 ? st.saved_unix_ms :
	    c->sl->server->started_unix_ms) / 1000);
}

static void
field_int(struct reply *r, const char *name, int64_t n)
{
	reply_bulk_str(r, name);
	reply_int(r, n);
}

static void
field_text(struct reply *r, const char *name, const char *text)
{
	reply_bulk_str(r, name);
	if (text == NULL || text[0] == '\0')
		reply_nil(r);
	else
		reply_bulk_str(r, text);
}

static void
field_seconds(struct reply *r, const char *name, int64_t ms)
{
	reply_bulk_str(r, name);
	if (ms < 0)
		reply_nil(r);
	else
		reply_double(r, (double)ms / 1e3);
}

static void
reply_saved(struct reply *r, const struct snapshots_status *st)
{
	reply_bulk_str(r, "last_save");
	if (st->saved_unix_ms == 0)
		reply_nil(r);
	else
		reply_int(r, st->saved_unix_ms / 1000);
	field_seconds(r, "save_seconds", st->saved_ms);
	field_int(r, "save_entries", (int64_t)st->saved_entries);
	field_int(r, "save_bytes", (int64_t)st->saved_bytes);
	field_int(r, "save_left_out", (int64_t)st->saved_passed);
	field_int(r, "saves", (int64_t)st->saves);
	field_int(r, "save_failures", (int64_t)st->failures);
	field_text(r, "save_error", st->error);
}

static void
reply_loaded(struct reply *r, const struct snapshots_status *st)
{
	field_seconds(r, "load_seconds", st->load_ms);
	field_int(r, "load_entries", (int64_t)st->loaded);
	field_int(r, "load_expired", (int64_t)st->load_expired);
	field_int(r, "load_newer", (int64_t)st->load_newer);
	field_int(r, "load_tier", (int64_t)st->load_tier);
	field_int(r, "load_refused", (int64_t)st->load_refused);
	field_int(r, "load_no_room", (int64_t)st->load_passed);
	field_text(r, "load_error", st->load_error);
}

void
cmd_pannier_snapshot(struct call *c)
{
	static const char *const states[] = { "idle", "loading", "saving" };
	struct snapshots_status st;

	snapshots_status(snapshots_of(c), &st);
	reply_map(c->reply, 19);
	field_text(c->reply, "path", st.path);
	reply_bulk_str(c->reply, "state");
	reply_bulk_str(c->reply, states[st.state]);
	reply_bulk_str(c->reply, "progress");
	if (st.state == SNAPSHOTS_IDLE)
		reply_nil(c->reply);
	else
		reply_double(c->reply, st.progress);
	reply_saved(c->reply, &st);
	reply_loaded(c->reply, &st);
}
