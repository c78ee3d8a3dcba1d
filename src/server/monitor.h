/* monitor.h - MONITOR and PANNIER.MONITOR: clients that see what others ask for.
 *
 * Each loop has a list of those who watch (watchers); while there are any, its sessions are
 * guarded, so that nobody pays for it else. The loop that ran a command writes its line, once
 * however many see it, and sends it to the watchers' loops by loop_post(). Who does not read is
 * closed by its output limit, or when MONITOR_QUEUE_BYTES are on their way to it; nobody waits. */
#ifndef PANNIER_SERVER_MONITOR_H
#define PANNIER_SERVER_MONITOR_H

#include "base/list.h"
#include "base/slice.h"

struct call;
struct command;
struct monitor;
struct server_loop;
struct session;

#define MONITOR_QUEUE_BYTES (4u << 20) /* from other loops, not delivered yet */
/* Of a line; longer arguments are cut, and further ones are only counted. */
#define MONITOR_ARG_BYTES (256u << 10)
#define MONITOR_LINE_BYTES (1u << 20)

struct monitor_wanted {
	unsigned sample;      /* one command in so many; 1: all */
	struct slice pattern; /* of the first key; ptr NULL: any command */
	int ns;               /* the first key's namespace; below 0: any command */
};

/* Begins to watch; the reply is owed until all loops know of it. A session that watches
 * already goes on as it did. */
void monitor_begin(struct call *c, const struct monitor_wanted *wanted);
/* The session watches no more. On its loop. */
void monitor_end(struct session *s);

/* run(), and the call is shown: a script's before it, so that what it calls comes behind;
 * any other's when it was run, so that EXEC comes behind its commands. */
void monitor_run(struct session *s, struct call *c, void (*run)(struct session *s, struct call *c));
/* A command of this loop is run: where somebody watches. `script`: by a script. */
void monitor_feed(const struct call *c, const struct command *cmd, bool script);
static inline bool
monitor_is_on(const struct list *watchers)
{
	return !list_empty(watchers);
}

#endif
