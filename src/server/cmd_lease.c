/* PANNIER.LEASE: the explicit form of leases, for clients that know of them. Any
 * client can send it, and use the token by SET key value LEASE token. */
#include "config.h"

#include "server/call.h"

#include <stdio.h>

#include "base/parse.h"
#include "server/lease.h"
#include "server/read_wait.h"
#include "server/session.h"

#define WAIT_MAX_MS 3600000 /* as of lease_time */

uint64_t
lease_token_parse(struct slice text)
{
	uint64_t token;

	return parse_u64(text, &token) == 0 ? token : 0;
}

/* --- replies -------------------------------------------------------------------- */

/* Always three: what it is, a value, a token. */
static void
reply_kind(struct reply *r, const char *kind)
{
	reply_array(r, 3);
	reply_status(r, kind);
}

static void
reply_token(struct reply *r, const struct store_waiter *w)
{
	char text[FORMAT_MAX];

	if (w->granted)
		reply_bulk(r, slice_of(text, format_u64(text, w->token)));
	else
		reply_nil(r);
}

static void
lease_value(struct reply *r, struct store_cursor *cur, const struct store_waiter *w, bool stale)
{
	reply_kind(r, w->granted ? "LEASE" : stale ? "STALE" : "HIT");
	reply_value(r, cur);
	reply_token(r, w);
}

static void
lease_fetched(struct server_loop *sl, struct reply *r, struct blob *value)
{
	struct out_ref ref;
	enum fetched_way way = fetched_way(sl, value, &ref);

	if (way == FETCHED_REFUSED) {
		reply_error(r, "OVERLOAD " FETCHED_REFUSAL);
		return;
	}
	reply_kind(r, "HIT");
	if (way == FETCHED_REF)
		reply_bulk_ref(r, &ref);
	else
		reply_bulk(r, blob_slice(value));
	reply_nil(r);
}

static void
lease_none(struct reply *r, const struct store_waiter *w)
{
	reply_kind(r, w->granted ? "LEASE" : "MISS");
	reply_nil(r);
	reply_token(r, w);
}

static const struct read_form lease_form = {
	.value = lease_value,
	.fetched = lease_fetched,
	.none = lease_none,
};

/* --- the command ------------------------------------------------------------------ */

static void
lease_release(struct call *c)
{
	reply_int(c->reply, store_lease_release(c->store, c->argv[1], c->hash,
	    lease_token_parse(c->argv[3])));
}

/* How long to wait from now on is when to stop, and 0 is not to wait at all. False:
 * the error reply is written. */
static bool
wait_parse(struct call *c, int64_t *deadline_ms)
{
	int64_t ms;

	if (parse_i64(c->argv[3], &ms) != 0) {
		call_not_integer(c);
	} else if (ms < 0 || ms > WAIT_MAX_MS) {
		reply_error(c->reply, "ERR WAIT takes 0 to %d milliseconds", WAIT_MAX_MS);
	} else {
		*deadline_ms = c->now_ms + ms;
		return true;
	}
	return false;
}

static void
lease_ask(struct call *c, int64_t deadline_ms)
{
	struct store_cursor cur;

	if (store_get_cached(c->store, c->argv[1], c->hash, &cur) == CACHE_HIT) {
		lease_value(c->reply, &cur, &(struct store_waiter){ .granted = false }, false);
		store_close(&cur);
		return;
	}
	read_missed(c, &cur, &(struct read_opts){ .form = &lease_form, .wants_token = true,
	    .deadline_ms = deadline_ms });
}

void
cmd_pannier_lease(struct call *c)
{
	int64_t deadline_ms = 0;

	if (c->argc == 2)
		lease_ask(c, 0);
	else if (c->argc == 4 && slice_caseeq(c->argv[2], SLICE("release")))
		lease_release(c);
	else if (c->argc != 4 || !slice_caseeq(c->argv[2], SLICE("wait")))
		call_syntax_error(c);
	else if (wait_parse(c, &deadline_ms))
		lease_ask(c, deadline_ms);
}
