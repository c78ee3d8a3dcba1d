/* KEYS and SCAN: walks over all keys.
 *
 * Both collect what matches and then answer. What a request may cost is
 * bounded: a pattern by its steps (base/glob.h), SCAN by the bytes of keys it
 * looks at and KEYS by the bytes it would answer (large.h). A client that needs more than
 * one SCAN gives gets a cursor, as ever. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/glob.h"
#include "base/parse.h"
#include "server/door.h"
#include "server/large.h"
#include "server/server.h"
#include "server/session.h"
#include "server/walk.h"

#define TOO_MANY_KEYS "ERR too many keys match for one reply, use SCAN"
#define SCAN_COUNT_DEFAULT 10
#define SCAN_BYTES_MAX (4u << 20)  /* of keys looked at in one SCAN */
#define WALK_STEP_FIRST 16         /* keys asked of the cache at a time */
#define WALK_STEP_MAX 256
#define WALK_STEP_BYTES (64u << 10) /* a step that brings more is too wide */
#define GLOB_STEPS_BASE (16u << 20) /* some ten milliseconds */
#define GLOB_STEPS_KEY 128         /* and so much more for every key */

/* What is looked for, and what was found. */
struct walk {
	const struct session *s; /* who asks, where it does not see all keys */
	struct slice pattern; /* ptr NULL: every key */
	uint64_t steps;
	struct buf keys;      /* one step's, as cache_scan() writes them */
	struct buf found;     /* likewise */
	size_t n_found, n_seen, bytes_seen;
	size_t step;
};

enum walk_end { WALK_DONE, WALK_NOMEM, WALK_SPENT };

static void
walk_init(struct walk *w, const struct call *c, struct slice pattern)
{
	*w = (struct walk){ .steps = GLOB_STEPS_BASE, .step = WALK_STEP_FIRST };
	if (c->session->policy->confined)
		w->s = c->session;
	if (!slice_eq(pattern, SLICE("*")))
		w->pattern = pattern;
	buf_init(&w->keys);
	buf_init(&w->found);
}

static void
walk_fini(struct walk *w)
{
	buf_fini(&w->keys);
	buf_fini(&w->found);
}

static enum walk_end
walk_key(struct walk *w, struct slice key)
{
	enum glob_result r = GLOB_YES;
	uint32_t len = (uint32_t)key.len;

	w->n_seen++;
	w->bytes_seen += key.len;
	w->steps += GLOB_STEPS_KEY;
	if (unlikely(w->s != NULL) && !door_owns_key(w->s, key))
		return WALK_DONE;
	if (w->pattern.ptr != NULL)
		r = glob_match(w->pattern, key, false, &w->steps);
	if (r == GLOB_SPENT)
		return WALK_SPENT;
	if (r == GLOB_NO)
		return WALK_DONE;
	if (buf_append(&w->found, &len, sizeof len) != 0 ||
	    buf_append(&w->found, key.ptr, key.len) != 0)
		return WALK_NOMEM;
	w->n_found++;
	return WALK_DONE;
}

/* Up to about `count` keys further. */
static enum walk_end
walk_step(struct walk *w, struct store_loop *store, uint64_t *cursor, size_t count)
{
	struct slice run;

	buf_clear(&w->keys);
	if (store_scan(store, cursor, MIN(count, w->step), &w->keys) != 0)
		return WALK_NOMEM;
	w->step = buf_len(&w->keys) > WALK_STEP_BYTES ? 1 : MIN(w->step * 2, WALK_STEP_MAX);
	run = buf_slice(&w->keys);
	while (run.len > 0) {
		enum walk_end end = walk_key(w, cache_scan_next(&run));

		if (end != WALK_DONE)
			return end;
	}
	return WALK_DONE;
}

static void
walk_failed(struct call *c, enum walk_end end)
{
	if (end == WALK_NOMEM)
		call_put_failed(c, -ENOMEM);
	else
		reply_error(c->reply, "ERR the pattern takes too much work");
}

static void
reply_found(struct reply *r, const struct walk *w)
{
	struct slice run = buf_slice(&w->found);

	reply_array(r, w->n_found);
	while (run.len > 0)
		reply_bulk(r, cache_scan_next(&run));
}

/* --- KEYS ------------------------------------------------------------------ */

/* Until it is through, fails, or has found more than may be answered. */
static enum walk_end
walk_all(struct walk *w, struct store_loop *store, uint64_t *cursor, size_t max)
{
	enum walk_end end;

	do {
		end = walk_step(w, store, cursor, SIZE_MAX);
	} while (end == WALK_DONE && *cursor != 0 && buf_len(&w->found) <= max);
	return end;
}

/* As a large reply, which the caller has taken. False: no memory. */
static bool
reply_many(struct call *c, const struct walk *w)
{
	struct out text;
	struct reply r = { .out = &text, .wire = c->reply->wire };
	bool sent = false;

	out_init(&text);
	reply_found(&r, w);
	if (out_failed(&text))
		large_give(c->sl->server);
	else
		sent = large_send(c->sl->server, c->reply, &text.bytes);
	out_fini(&text);
	return sent;
}

/* More than a connection's output may be: where the one large reply that may be under way
 * is not taken, and suffices. */
static void
keys_many(struct call *c, struct walk *w, uint64_t cursor)
{
	size_t most = large_max(c->sl->server);
	enum walk_end end = WALK_DONE;

	if (most < buf_len(&w->found) || !large_take(c->sl->server)) {
		reply_error(c->reply, TOO_MANY_KEYS);
		return;
	}
	if (cursor != 0)
		end = walk_all(w, c->store, &cursor, most);
	if (end == WALK_DONE && buf_len(&w->found) <= most) {
		if (!reply_many(c, w))
			call_put_failed(c, -ENOMEM);
		return;
	}
	large_give(c->sl->server);
	if (end != WALK_DONE)
		walk_failed(c, end);
	else
		reply_error(c->reply, TOO_MANY_KEYS);
}

void
cmd_keys(struct call *c)
{
	size_t max = call_reply_max(c);
	uint64_t cursor = 0;
	enum walk_end end;
	struct walk w;

	walk_init(&w, c, c->argv[1]);
	end = walk_all(&w, c->store, &cursor, max);
	if (end != WALK_DONE)
		walk_failed(c, end);
	else if (buf_len(&w.found) > max)
		keys_many(c, &w, cursor);
	else
		reply_found(c->reply, &w);
	walk_fini(&w);
}

/* --- FLUSHALL of a confined client ----------------------------------------- */

bool
walk_delete_own(struct call *c)
{
	enum walk_end end;
	uint64_t cursor = 0;
	struct walk w;

	walk_init(&w, c, SLICE("*"));
	do {
		struct slice run;

		end = walk_step(&w, c->store, &cursor, SIZE_MAX);
		run = buf_slice(&w.found);
		while (run.len > 0)
			store_delete(c->store, cache_scan_next(&run));
		buf_clear(&w.found);
	} while (end == WALK_DONE && cursor != 0);
	if (end != WALK_DONE)
		walk_failed(c, end);
	walk_fini(&w);
	return end == WALK_DONE;
}

/* --- SCAN ------------------------------------------------------------------ */

struct scan_args {
	struct slice pattern;
	int64_t count;
	bool strings; /* TYPE leaves any: there are only strings */
};

/* As strtoul() reads it, which is what Redis does: a sign is fine, so is
 * nothing at all, and a NUL is the end. */
static bool
cursor_parse(struct slice s, uint64_t *cursor)
{
	const char *nul = memchr(s.ptr, '\0', s.len);
	uint64_t n = 0;
	bool negative;

	if (nul != NULL)
		s.len = (size_t)(nul - s.ptr);
	negative = s.len > 1 && s.ptr[0] == '-';
	if (s.len > 1 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
		s = slice_skip(s, 1);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n))
			return false;
	}
	*cursor = negative ? 0 - n : n;
	return true;
}

/* One option and its value; false: the error reply is written. */
static bool
scan_option(struct call *c, struct slice name, struct slice value, struct scan_args *out)
{
	if (slice_caseeq(name, SLICE("match"))) {
		out->pattern = value;
		return true;
	}
	if (slice_caseeq(name, SLICE("type"))) {
		out->strings = slice_caseeq(value, SLICE("string"));
		return true;
	}
	if (slice_caseeq(name, SLICE("count"))) {
		if (parse_i64(value, &out->count) != 0) {
			call_not_integer(c);
			return false;
		}
		if (out->count >= 1)
			return true;
	}
	call_syntax_error(c);
	return false;
}

static bool
scan_args_parse(struct call *c, struct scan_args *out)
{
	*out = (struct scan_args){ SLICE("*"), SCAN_COUNT_DEFAULT, true };
	for (uint32_t i = 2; i < c->argc; i += 2) {
		if (i + 1 == c->argc) {
			call_syntax_error(c);
			return false;
		}
		if (!scan_option(c, c->argv[i], c->argv[i + 1], out))
			return false;
	}
	return true;
}

static void
reply_scan(struct reply *r, uint64_t cursor, const struct walk *w)
{
	char text[FORMAT_MAX];

	reply_array(r, 2);
	reply_bulk(r, slice_of(text, format_u64(text, cursor)));
	reply_found(r, w);
}

void
cmd_scan(struct call *c)
{
	struct scan_args args;
	enum walk_end end;
	uint64_t cursor;
	struct walk w;

	if (!cursor_parse(c->argv[1], &cursor)) {
		reply_error(c->reply, "ERR invalid cursor");
		return;
	}
	if (!scan_args_parse(c, &args))
		return;
	walk_init(&w, c, args.pattern);
	do {
		end = walk_step(&w, c->store, &cursor, (uint64_t)args.count - w.n_seen);
	} while (end == WALK_DONE && cursor != 0 && w.n_seen < (uint64_t)args.count &&
	    w.bytes_seen < SCAN_BYTES_MAX);
	if (!args.strings) {
		buf_clear(&w.found);
		w.n_found = 0;
	}
	if (end == WALK_DONE)
		reply_scan(c->reply, cursor, &w);
	else
		walk_failed(c, end);
	walk_fini(&w);
}
