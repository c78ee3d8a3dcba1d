/* PANNIER.INVALIDATE: what is known to be old goes or becomes stale, by its keys at
 * once, by prefixes and tags when the store's walk is done; until then the reply is
 * owed. FLUSHALL of a client that sees only some namespaces is the same. */
#include "config.h"

#include "server/invalidate.h"

#include <errno.h>

#include "base/mem.h"
#include "server/door.h"
#include "server/session.h"
#include "store/invalidate.h"

struct sweep {
	struct parked *parked;
	struct invalidation *inv;
	void (*answer)(struct reply *r, uint64_t keys);
};

static void
sweep_dropped(struct parked *p, void *arg)
{
	struct sweep *sw = arg;

	(void)p;
	invalidation_leave(sw->inv);
	mem_free(sw);
}

static void
sweep_done(void *arg, uint64_t keys)
{
	struct sweep *sw = arg;
	struct parked *p = sw->parked;

	sw->answer(parked_reply(p), keys);
	mem_free(sw);
	parked_done(p);
}

static void
refuse(struct call *c, int rc)
{
	if (rc == -EBUSY)
		reply_error(c->reply, "OVERLOAD too many invalidations are on their way");
	else if (rc == -E2BIG)
		reply_error(c->reply, "ERR at most %d prefixes and tags of together %d bytes in "
		    "one request", INVALIDATE_PATTERNS_MAX, INVALIDATE_BYTES_MAX);
	else
		call_put_failed(c, rc);
}

static int
sweep_start(struct call *c, struct sweep *sw)
{
	if (c->session->policy->confined)
		invalidation_confine(sw->inv, c->session->policy->own);
	return invalidation_start(sw->inv, sweep_done, sw);
}

void
invalidate_later(struct call *c, struct invalidation *inv,
    void (*answer)(struct reply *r, uint64_t keys))
{
	struct sweep *sw = mem_alloc(sizeof *sw);
	int rc;

	if (sw == NULL) {
		invalidation_free(inv);
		call_put_failed(c, -ENOMEM);
		return;
	}
	*sw = (struct sweep){ .inv = inv, .answer = answer };
	rc = sweep_start(c, sw);
	if (rc != 0) {
		invalidation_free(inv);
		mem_free(sw);
		refuse(c, rc);
		return;
	}
	sw->parked = call_park(c, sweep_dropped, sw);
	if (sw->parked == NULL) { /* it is done all the same */
		invalidation_leave(inv);
		mem_free(sw);
		return;
	}
	parked_keeps_order(sw->parked);
}

/* --- the command ------------------------------------------------------------------ */

static void
answer_count(struct reply *r, uint64_t keys)
{
	reply_int(r, (int64_t)keys);
}

static int
add_names(struct call *c, const struct command_names *n, struct invalidation *inv)
{
	int rc = 0;

	for (uint32_t i = n->first; i < c->argc && rc == 0; i++)
		rc = invalidation_add(inv,
		    n->by == NAMED_TAGS ? INVALIDATE_TAG : INVALIDATE_PREFIX, c->argv[i]);
	return rc;
}

static void
by_walk(struct call *c, const struct command_names *n)
{
	struct invalidation *inv;
	int rc;

	if (store_is_atomic(c->store)) {
		reply_error(c->reply, "ERR Command not allowed inside a transaction");
		return;
	}
	inv = invalidation_new(c->store, n->soft);
	rc = inv == NULL ? -ENOMEM : add_names(c, n, inv);
	if (rc == 0) {
		invalidate_later(c, inv, answer_count);
		return;
	}
	invalidation_free(inv);
	refuse(c, rc);
}

void
cmd_pannier_invalidate(struct call *c)
{
	struct command_names n = command_names(c->argv, c->argc);
	int64_t keys = 0;

	if (n.first == c->argc) {
		call_syntax_error(c);
		return;
	}
	if (n.by != NAMED_KEYS) {
		by_walk(c, &n);
		return;
	}
	for (uint32_t i = n.first; i < c->argc; i++)
		keys += store_invalidate(c->store, c->argv[i], n.soft);
	reply_int(c->reply, keys);
}

/* --- FLUSHALL ---------------------------------------------------------------------- */

void
invalidate_own(struct call *c, void (*answer)(struct reply *r, uint64_t keys))
{
	struct invalidation *inv = invalidation_new(c->store, false);
	int rc = inv == NULL ? -ENOMEM : invalidation_add(inv, INVALIDATE_PREFIX, SLICE(""));

	if (rc == 0) {
		invalidate_later(c, inv, answer);
		return;
	}
	invalidation_free(inv);
	refuse(c, rc);
}
