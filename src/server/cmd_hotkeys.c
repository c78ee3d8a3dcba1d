/* PANNIER.HOTKEYS: which keys are read most (hotkeys.h). */
#include "config.h"

#include "server/call.h"

#include "base/parse.h"
#include "server/door.h"
#include "server/hotkeys.h"
#include "server/server.h"
#include "server/session.h"

struct asked {
	const struct session *session;
	int64_t count;
	bool one; /* namespace */
	unsigned ns;
};

static bool
count_parse(struct call *c, struct slice text, struct asked *a)
{
	if (parse_i64(text, &a->count) == 0 && a->count >= 1 && a->count <= TOPK_COUNTERS_MAX)
		return true;
	reply_error(c->reply, "ERR COUNT is a number from 1 to %d, 10 for example",
	    TOPK_COUNTERS_MAX);
	return false;
}

static bool
parse(struct call *c, struct asked *a)
{
	for (uint32_t i = 1; i < c->argc; i += 2) {
		bool fine = i + 1 < c->argc;

		if (fine && slice_caseeq(c->argv[i], SLICE("count"))) {
			if (!count_parse(c, c->argv[i + 1], a))
				return false;
		} else if (fine && slice_caseeq(c->argv[i], SLICE("namespace"))) {
			if (!call_namespace(c, c->argv[i + 1], &a->ns))
				return false;
			a->one = true;
		} else {
			call_syntax_error(c);
			return false;
		}
	}
	return true;
}

static bool
wants(void *arg, unsigned ns)
{
	const struct asked *a = arg;

	return a->one ? ns == a->ns : door_owns_stats(a->session, ns);
}

static void
reply_key(struct call *c, const struct topk_item *it, double all)
{
	char text[HOTKEYS_KEY_MAX];

	reply_array(c->reply, 5);
	reply_bulk(c->reply, hotkeys_name(it, text));
	reply_bulk_str(c->reply, stats_ns_name(c->sl->server->names, it->ns));
	reply_double(c->reply, it->reads);
	reply_double(c->reply, hotkeys_error(it));
	reply_double(c->reply, all > 0 ? it->reads / all : 0);
}

static void
reply_hotkeys(struct call *c, const struct hotkeys *h, unsigned count)
{
	unsigned n = MIN(h->n, count);

	reply_map(c->reply, 3);
	reply_bulk_str(c->reply, "reads_per_second");
	reply_double(c->reply, h->reads_per_second);
	reply_bulk_str(c->reply, "sampled_reads");
	reply_int(c->reply, (int64_t)(h->sampled + 0.5));
	reply_bulk_str(c->reply, "keys");
	reply_array(c->reply, n);
	for (unsigned i = 0; i < n; i++)
		reply_key(c, &h->items[i], h->reads_per_second);
}

static void
reset(struct call *c)
{
	if (c->session->policy->confined) {
		reply_error(c->reply, "NOPERM only who sees all namespaces may reset hot keys");
		return;
	}
	hotkeys_reset(c->sl->server, c->now_ms);
	reply_ok(c->reply);
}

void
cmd_pannier_hotkeys(struct call *c)
{
	struct asked asked = { .session = c->session, .count = HOTKEYS_SHOWN };
	struct hotkeys h;
	int rc;

	if (c->argc == 2 && slice_caseeq(c->argv[1], SLICE("reset"))) {
		reset(c);
		return;
	}
	if (!parse(c, &asked))
		return;
	rc = hotkeys_take(c->sl->server, c->now_ms, wants, &asked, &h);
	if (rc != 0)
		call_put_failed(c, rc);
	else if (h.off)
		reply_error(c->reply, "ERR no keys are followed: hot_keys is 0");
	else
		reply_hotkeys(c, &h, (unsigned)asked.count);
	hotkeys_fini(&h);
}
