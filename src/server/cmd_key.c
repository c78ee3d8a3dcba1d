/* Whole keys: remove, look for, count, flush. Times to live are in
 * cmd_expire.c, walks in cmd_scan.c. */
#include "config.h"

#include "server/call.h"

#include "server/door.h"
#include "server/invalidate.h"
#include "server/server.h"
#include "server/session.h"
#include "server/tracking.h"
#include "server/walk.h"

void
cmd_del(struct call *c)
{
	int64_t n = 0;

	for (uint32_t i = 1; i < c->argc; i++)
		n += store_delete(c->store, c->argv[i]);
	reply_int(c->reply, n);
}

/* The cache never frees a value within the request, so both are the same. */
void
cmd_unlink(struct call *c)
{
	cmd_del(c);
}

static bool
key_exists(struct call *c, struct slice key, unsigned flags)
{
	struct store_cursor cur;
	bool found = store_open(c->store, key, flags, &cur) == CACHE_HIT;

	store_close(&cur);
	return found;
}

/* A key that is named twice counts twice. */
static void
count_existing(struct call *c, unsigned flags)
{
	int64_t n = 0;

	for (uint32_t i = 1; i < c->argc; i++)
		n += key_exists(c, c->argv[i], flags);
	reply_int(c->reply, n);
}

/* Redis does not count this as a use. */
void
cmd_exists(struct call *c)
{
	count_existing(c, STORE_COUNT);
}

void
cmd_touch(struct call *c)
{
	count_existing(c, STORE_COUNT | STORE_TOUCH);
}

void
cmd_type(struct call *c)
{
	reply_status(c->reply, key_exists(c, c->argv[1], STORE_COUNT) ? "string" : "none");
}

void
cmd_dbsize(struct call *c)
{
	if (unlikely(c->session->policy->confined))
		reply_int(c->reply, door_count_own(c->session));
	else
		reply_int(c->reply, (int64_t)cache_count(store_cache(c->sl->server->store)));
}

static void
answer_ok(struct reply *r, uint64_t keys)
{
	(void)keys;
	reply_ok(r);
}

/* Who sees only some keys removes those, one by one, in the background; within a
 * transaction, which cannot wait, at once. What others add meanwhile may be missed. */
static void
flush_own(struct call *c)
{
	if (!store_is_atomic(c->store))
		invalidate_own(c, answer_ok);
	else if (walk_delete_own(c))
		reply_ok(c->reply);
}

/* ASYNC or SYNC: the keys are gone at once, the memory comes back in the
 * background either way. */
static void
flush(struct call *c)
{
	if (c->argc > 2 || (c->argc == 2 && !slice_caseeq(c->argv[1], SLICE("async")) &&
	    !slice_caseeq(c->argv[1], SLICE("sync")))) {
		call_syntax_error(c);
		return;
	}
	if (unlikely(c->session->policy->confined)) {
		flush_own(c);
		return;
	}
	store_flush(c->store);
	tracking_flushed(c->sl);
	reply_ok(c->reply);
}

void
cmd_flushall(struct call *c)
{
	flush(c);
}

/* There is one database. */
void
cmd_flushdb(struct call *c)
{
	flush(c);
}
