#include "config.h"

#include "server/session_pass.h"

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/client_name.h"
#include "server/door.h"
#include "server/server.h"
#include "server/session_impl.h"
#include "server/tracking.h"
#include "server/transaction.h"

enum {
	IS_AUTHENTICATED = 1 << 0,
	IS_NO_TOUCH = 1 << 1,
	IS_NO_EVICT = 1 << 2,
	IS_CLOSING = 1 << 3, /* when all is sent; so are those who watch others */
};

/* How far the connection has come: that decides who reads its input. */
enum stage { STAGE_UNDECIDED, STAGE_RESP, STAGE_PREFACE, STAGE_BINARY };

static enum stage
stage_of(const struct session *s)
{
	bool greeted;

	if (binary_session_began(s, &greeted))
		return greeted ? STAGE_BINARY : STAGE_PREFACE;
	return conn_handler(s->conn) == &session_handler ? STAGE_RESP : STAGE_UNDECIDED;
}

static void
set_stage(struct session *s, enum stage stage)
{
	if (stage == STAGE_RESP)
		conn_set_handler(s->conn, &session_handler);
	else if (stage == STAGE_PREFACE)
		binary_session_begin(s);
	else if (stage == STAGE_BINARY)
		binary_session_go_on(s);
}

bool
session_may_pass(const struct session *s)
{
	return s->n_parked == 0 && conn_goes_on(s->conn);
}

/* --- out --------------------------------------------------------------------------- */

static uint64_t
flags_of(const struct session *s)
{
	return (s->authenticated ? IS_AUTHENTICATED : 0) | (s->no_touch ? IS_NO_TOUCH : 0) |
	    (s->no_evict ? IS_NO_EVICT : 0) |
	    (s->closing || s->monitor != NULL || conn_is_finishing(s->conn) ? IS_CLOSING : 0);
}

static void
pack_subscriptions(const struct session *s, struct packer *p)
{
	for (unsigned kind = 0; kind < PUBSUB_KINDS; kind++) {
		const struct list *it = NULL;
		struct slice name;

		pack_u64(p, s->pubsub.n[kind]);
		while (pubsub_next(s, (enum pubsub_kind)kind, &it, &name))
			pack_bytes(p, name);
	}
}

static void
pack_tracking(const struct session *s, struct packer *p)
{
	const struct list *it = NULL;
	struct slice prefix;
	uint64_t n = 0;

	while (tracking_prefix(s, &it, &prefix))
		n++;
	pack_u64(p, tracking_flags(s));
	pack_u64(p, (uint64_t)tracking_redirect(s));
	pack_u64(p, n);
	it = NULL;
	while (tracking_prefix(s, &it, &prefix))
		pack_bytes(p, prefix);
}

int
session_pack(struct session *s, struct packer *p)
{
	struct slice in, out;
	int rc = conn_kept(s->conn, &in, &out);

	if (rc != 0)
		return rc;
	pack_text(p, s->addr);
	pack_u64(p, s->id);
	pack_u64(p, stage_of(s));
	pack_u64(p, s->wire);
	pack_u64(p, flags_of(s));
	pack_u64(p, s->replies);
	pack_u64(p, (uint64_t)s->created_ms);
	pack_u64(p, (uint64_t)session_active_ms(s));
	pack_text(p, s->name);
	pack_text(p, s->lib_name);
	pack_text(p, s->lib_ver);
	pack_subscriptions(s, p);
	pack_tracking(s, p);
	transaction_pack(s, p);
	pack_bytes(p, in);
	pack_bytes(p, out);
	return p->failed ? -ENOMEM : 0;
}

/* --- in ---------------------------------------------------------------------------- */

static const char *
listener_named(const struct server *s, struct slice name)
{
	for (unsigned i = 0; i < s->n_listeners; i++)
		if (slice_eq(slice_str(listener_name(s->listeners[i])), name))
			return listener_name(s->listeners[i]);
	return NULL;
}

static void
set_flags(struct session *s, uint64_t flags)
{
	s->authenticated = (flags & IS_AUTHENTICATED) != 0;
	s->no_touch = (flags & IS_NO_TOUCH) != 0;
	s->no_evict = (flags & IS_NO_EVICT) != 0;
}

static MUST_CHECK int
unpack_names(struct session *s, struct unpacker *u)
{
	char **names[] = { &s->name, &s->lib_name, &s->lib_ver };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(names) && rc == 0; i++)
		rc = client_name_set(names[i], unpack_bytes(u));
	return rc;
}

static MUST_CHECK int
unpack_subscriptions(struct session *s, struct unpacker *u)
{
	for (unsigned kind = 0; kind < PUBSUB_KINDS; kind++) {
		uint64_t n = unpack_count(u);

		for (uint64_t i = 0; i < n && !u->failed; i++) {
			struct slice name = unpack_bytes(u);
			int rc = u->failed ? -EINVAL
			                   : pubsub_subscribe(s, (enum pubsub_kind)kind, name);

			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

static MUST_CHECK int
unpack_tracking(struct session *s, struct unpacker *u)
{
	uint64_t flags = unpack_u64(u);
	int64_t redirect = (int64_t)unpack_u64(u);
	uint64_t n = unpack_count(u);
	struct slice *prefixes = mem_calloc(n + 1, sizeof *prefixes);
	int rc = 0;

	if (prefixes == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		prefixes[i] = unpack_bytes(u);
	if (!u->failed && (flags & TRACK_ON) != 0)
		rc = tracking_on(s, flags & TRACK_MODES, MAX(redirect, 0), prefixes, n);
	if (rc == 0 && !u->failed && (flags & TRACK_ON) != 0 && (flags & TRACK_CACHING) != 0)
		tracking_set_caching(s);
	mem_free(prefixes);
	return rc;
}

static MUST_CHECK int
unpack_rest(struct session *s, uint64_t flags, struct unpacker *u)
{
	struct slice in, out;
	int rc = unpack_names(s, u);

	if (rc == 0)
		rc = unpack_subscriptions(s, u);
	if (rc == 0)
		rc = unpack_tracking(s, u);
	if (rc == 0)
		rc = transaction_unpack(s, u);
	if (rc != 0)
		return rc;
	in = unpack_bytes(u);
	out = unpack_bytes(u);
	if (u->failed)
		return -EINVAL;
	if ((flags & IS_CLOSING) != 0)
		in.len = 0;
	rc = conn_preload(s->conn, in, out);
	if (rc == 0 && (flags & IS_CLOSING) != 0) {
		s->closing = true;
		conn_finish(s->conn);
	}
	return rc;
}

int
session_unpack(struct server_loop *sl, int fd, struct unpacker *u)
{
	const char *listener = listener_named(sl->server, unpack_bytes(u));
	uint64_t id = unpack_u64(u), stage = unpack_u64(u), wire = unpack_u64(u);
	uint64_t flags = unpack_u64(u), replies = unpack_u64(u);
	int64_t created_ms = (int64_t)unpack_u64(u), last_ms = (int64_t)unpack_u64(u);
	struct session *s;

	if (u->failed || stage > STAGE_BINARY || wire > WIRE_BINARY || replies > REPLY_SKIP ||
	    id == 0) {
		close(fd);
		return -EINVAL;
	}
	if (listener == NULL) {
		close(fd);
		return 1;
	}
	atomic_fetch_add(&sl->server->clients, 1);
	atomic_fetch_add(&sl->assigned, 1);
	s = session_make(sl, fd, listener, id);
	if (s == NULL)
		return -ENOMEM;
	set_stage(s, (enum stage)stage);
	s->wire = (enum wire)wire;
	s->replies = (enum reply_mode)replies;
	s->created_ms = created_ms;
	s->last_ms = last_ms;
	set_flags(s, flags);
	door_update(s);
	return unpack_rest(s, flags, u);
}
