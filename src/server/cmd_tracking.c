/* CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO: what a client that keeps
 * values of its own says, and asks. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "base/parse.h"
#include "server/server.h"
#include "server/tracking.h"

struct args {
	unsigned modes;
	int64_t redirect;
	struct slice *prefixes; /* owned */
	size_t n;
};

/* --- CLIENT TRACKING ------------------------------------------------------------ */

/* Each answers false where the error reply is written. */

static bool
parse_redirect(struct call *c, struct slice id, struct args *a)
{
	if (a->redirect != 0)
		reply_error(c->reply,
		    "ERR A client can only redirect to a single other client");
	else if (parse_i64(id, &a->redirect) != 0)
		call_not_integer(c);
	else if (!tracking_knows(c->session, a->redirect))
		reply_error(c->reply, "ERR The client ID you want redirect to does not exist");
	else
		return true;
	return false;
}

static bool
parse_mode(struct slice word, struct args *a)
{
	static const struct {
		struct slice name;
		unsigned mode;
	} modes[] = {
		{ { "bcast", 5 }, TRACK_BCAST }, { { "optin", 5 }, TRACK_OPTIN },
		{ { "optout", 6 }, TRACK_OPTOUT }, { { "noloop", 6 }, TRACK_NOLOOP },
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (slice_caseeq(word, modes[i].name)) {
			a->modes |= modes[i].mode;
			return true;
		}
	return false;
}

static bool
parse_options(struct call *c, struct args *a)
{
	for (uint32_t i = 3; i < c->argc; i++) {
		bool more = i + 1 < c->argc;

		if (more && slice_caseeq(c->argv[i], SLICE("redirect"))) {
			if (!parse_redirect(c, c->argv[++i], a))
				return false;
		} else if (more && slice_caseeq(c->argv[i], SLICE("prefix"))) {
			a->prefixes[a->n++] = c->argv[++i];
		} else if (!parse_mode(c->argv[i], a)) {
			call_syntax_error(c);
			return false;
		}
	}
	return true;
}

/* Why these modes cannot be, by themselves or for a client that has others; NULL:
 * they can. */
static const char *
modes_clash(unsigned old, unsigned modes, size_t n_prefixes)
{
	unsigned opts = TRACK_OPTIN | TRACK_OPTOUT;

	if (!(modes & TRACK_BCAST) && n_prefixes != 0)
		return "ERR PREFIX option requires BCAST mode to be enabled";
	if ((old & TRACK_ON) && ((old ^ modes) & TRACK_BCAST))
		return "ERR You can't switch BCAST mode on/off before disabling tracking for "
		    "this client, and then re-enabling it with a different mode.";
	if ((modes & TRACK_BCAST) && (modes & opts))
		return "ERR OPTIN and OPTOUT are not compatible with BCAST";
	if ((modes & opts) == opts)
		return "ERR You can't specify both OPTIN mode and OPTOUT mode";
	if (((modes | old) & opts) == opts)
		return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for "
		    "this client, and then re-enabling it with a different mode.";
	return NULL;
}

static bool
overlaps(struct slice a, struct slice b)
{
	return slice_has_prefix(a, b) || slice_has_prefix(b, a);
}

static void
refuse_prefix(struct call *c, struct slice a, const char *what, struct slice b)
{
	reply_error(c->reply, "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. "
	    "Prefixes for a single client must not overlap.", (int)MIN(a.len, 512), a.ptr, what,
	    (int)MIN(b.len, 512), b.ptr);
}

/* One that a client has already overlaps with itself, as in Redis. */
static bool
prefixes_agree(struct call *c, const struct args *a)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct list *it = NULL;
		struct slice had;

		while (tracking_prefix(c->session, &it, &had))
			if (overlaps(had, a->prefixes[i])) {
				refuse_prefix(c, a->prefixes[i], "an existing", had);
				return false;
			}
		for (size_t k = i + 1; k < a->n; k++)
			if (overlaps(a->prefixes[i], a->prefixes[k])) {
				refuse_prefix(c, a->prefixes[i], "another provided",
				    a->prefixes[k]);
				return false;
			}
	}
	return true;
}

static bool
has_room(const struct call *c, const struct args *a)
{
	const struct list *it = NULL;
	struct slice prefix;
	size_t n = a->n;

	while (tracking_prefix(c->session, &it, &prefix))
		n++;
	return n <= TRACKING_PREFIXES_MAX;
}

static void
switch_on(struct call *c, const struct args *a)
{
	const char *why = modes_clash(tracking_flags(c->session), a->modes, a->n);
	int rc;

	if (why != NULL) {
		reply_error(c->reply, "%s", why);
		return;
	}
	if (!has_room(c, a)) {
		reply_error(c->reply, "ERR at most %d prefixes for one client",
		    TRACKING_PREFIXES_MAX);
		return;
	}
	if ((a->modes & TRACK_BCAST) && !prefixes_agree(c, a))
		return;
	/* What has changed before does not concern it. */
	if (!tracking_is_on(c->session) && !store_is_atomic(c->store))
		tracking_settle(c->sl);
	rc = tracking_on(c->session, a->modes, a->redirect, a->prefixes, a->n);
	if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_ok(c->reply);
}

void
cmd_client_tracking(struct call *c)
{
	struct args a = { .prefixes = mem_calloc(c->argc, sizeof a.prefixes[0]) };

	if (a.prefixes == NULL) {
		call_put_failed(c, -ENOMEM);
		return;
	}
	if (parse_options(c, &a)) {
		if (slice_caseeq(c->argv[2], SLICE("on"))) {
			switch_on(c, &a);
		} else if (slice_caseeq(c->argv[2], SLICE("off"))) {
			tracking_off(c->session);
			reply_ok(c->reply);
		} else {
			call_syntax_error(c);
		}
	}
	mem_free(a.prefixes);
}

/* --- CLIENT CACHING --------------------------------------------------------------- */

void
cmd_client_caching(struct call *c)
{
	unsigned flags = tracking_flags(c->session);
	bool yes = slice_caseeq(c->argv[2], SLICE("yes"));

	if (!(flags & TRACK_ON)) {
		reply_error(c->reply, "ERR CLIENT CACHING can be called only when the client is in "
		    "tracking mode with OPTIN or OPTOUT mode enabled");
	} else if (!yes && !slice_caseeq(c->argv[2], SLICE("no"))) {
		call_syntax_error(c);
	} else if (!(flags & (yes ? TRACK_OPTIN : TRACK_OPTOUT))) {
		reply_error(c->reply, yes ?
		    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode." :
		    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
	} else {
		tracking_set_caching(c->session);
		reply_ok(c->reply);
	}
}

/* --- questions -------------------------------------------------------------------- */

void
cmd_client_getredir(struct call *c)
{
	reply_int(c->reply, tracking_redirect(c->session));
}

static void
reply_flags(struct reply *r, unsigned flags)
{
	const char *words[8];
	size_t n = 0;

	words[n++] = flags & TRACK_ON ? "on" : "off";
	if (flags & TRACK_BCAST)
		words[n++] = "bcast";
	if (flags & TRACK_OPTIN) {
		words[n++] = "optin";
		if (flags & TRACK_CACHING)
			words[n++] = "caching-yes";
	}
	if (flags & TRACK_OPTOUT) {
		words[n++] = "optout";
		if (flags & TRACK_CACHING)
			words[n++] = "caching-no";
	}
	if (flags & TRACK_NOLOOP)
		words[n++] = "noloop";
	if (flags & TRACK_BROKEN)
		words[n++] = "broken_redirect";
	reply_array(r, n);
	for (size_t i = 0; i < n; i++)
		reply_bulk_str(r, words[i]);
}

void
cmd_client_trackinginfo(struct call *c)
{
	const struct list *it = NULL;
	struct reply *r = c->reply;
	struct slice prefix;
	size_t n;

	reply_map(r, 3);
	reply_bulk_str(r, "flags");
	reply_flags(r, tracking_flags(c->session));
	reply_bulk_str(r, "redirect");
	reply_int(r, tracking_redirect(c->session));
	reply_bulk_str(r, "prefixes");
	for (n = 0; tracking_prefix(c->session, &it, &prefix); n++)
		;
	reply_array(r, n);
	for (it = NULL; tracking_prefix(c->session, &it, &prefix);)
		reply_bulk(r, prefix);
}
