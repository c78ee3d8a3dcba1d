/* SHUTDOWN: the daemon ends as by a signal. Nothing is answered; the connection is closed
 * with all others. */
#include "config.h"

#include "server/call.h"
#include "server/server.h"
#include "server/session.h"
#include "server/snapshots.h"

struct asked {
	bool save, nosave, now, force, abort;
};

static bool
parse(struct call *c, struct asked *a)
{
	const struct {
		const char *word;
		bool *is;
	} words[] = { { "save", &a->save }, { "nosave", &a->nosave }, { "now", &a->now },
		{ "force", &a->force }, { "abort", &a->abort } };

	for (uint32_t i = 1; i < c->argc; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(words) && !slice_caseeq(c->argv[i], slice_str(words[k].word)))
			k++;
		if (k == ARRAY_LEN(words))
			return false;
		*words[k].is = true;
	}
	return !(a->save && a->nosave) &&
	    !(a->abort && (a->save || a->nosave || a->now || a->force));
}

/* A stop is not called off. */
static void
refuse_abort(struct call *c)
{
	reply_error(c->reply, "ERR No shutdown in progress.");
}

void
cmd_shutdown(struct call *c)
{
	struct server *s = c->sl->server;
	struct asked a = { .now = false };

	if (!parse(c, &a)) {
		call_syntax_error(c);
		return;
	}
	if (a.abort) {
		refuse_abort(c);
		return;
	}
	if (a.save && !snapshots_has_path(s->snapshots)) {
		reply_error(c->reply, "ERR no snapshot_path is configured");
		return;
	}
	snapshots_set_at_stop(s->snapshots, a.save ? SNAPSHOT_AT_STOP :
	    a.nosave ? SNAPSHOT_NOT_AT_STOP : SNAPSHOT_AS_CONFIGURED);
	c->session->closing = true;
	server_shutdown(s, a.now);
}
