/* MONITOR, and PANNIER.MONITOR for who wants to see less (monitor.h). */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/monitor.h"
#include "server/server.h"

#define SAMPLE_MAX 1000000

void
cmd_monitor(struct call *c)
{
	monitor_begin(c, &(struct monitor_wanted){ .sample = 1, .ns = -1 });
}

static bool
sample_parse(struct call *c, struct slice text, struct monitor_wanted *w)
{
	int64_t n;

	if (parse_i64(text, &n) != 0 || n < 1 || n > SAMPLE_MAX) {
		reply_error(c->reply, "ERR SAMPLE is a number from 1 to %d: one command in so many",
		    SAMPLE_MAX);
		return false;
	}
	w->sample = (unsigned)n;
	return true;
}

static bool
option_parse(struct call *c, struct slice name, struct slice value, struct monitor_wanted *w)
{
	unsigned ns;

	if (slice_caseeq(name, SLICE("sample")))
		return sample_parse(c, value, w);
	if (slice_caseeq(name, SLICE("match"))) {
		w->pattern = value;
		return true;
	}
	if (!slice_caseeq(name, SLICE("namespace"))) {
		call_syntax_error(c);
		return false;
	}
	if (!call_namespace(c, value, &ns))
		return false;
	w->ns = (int)ns;
	return true;
}

void
cmd_pannier_monitor(struct call *c)
{
	struct monitor_wanted w = { .sample = 1, .ns = -1 };

	if (c->argc % 2 == 0) {
		call_syntax_error(c);
		return;
	}
	for (uint32_t i = 1; i < c->argc; i += 2)
		if (!option_parse(c, c->argv[i], c->argv[i + 1], &w))
			return;
	monitor_begin(c, &w);
}
