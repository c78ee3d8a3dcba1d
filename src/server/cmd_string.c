/* Commands that write whole values, and STRLEN. GET and MGET, which read
 * through, are in cmd_read.c. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/parse.h"
#include "server/expiry.h"
#include "server/lease.h"
#include "server/server.h"
#include "server/set_args.h"
#include "server/splice.h"
#include "server/value.h"

/* Options of SET and GETEX. They come in any order; one that is given twice
 * counts once, and of two times the later one counts. */
enum {
	OPT_NX = 1 << 0,
	OPT_XX = 1 << 1,
	OPT_GET = 1 << 2,
	OPT_KEEPTTL = 1 << 3,
	OPT_PERSIST = 1 << 4,
	OPT_EX = 1 << 5,
	OPT_PX = 1 << 6,
	OPT_EXAT = 1 << 7,
	OPT_PXAT = 1 << 8,
	OPT_IFEQ = 1 << 9, /* of Valkey 8.1 */
	OPT_LEASE = 1 << 10,
	OPT_GRACE = 1 << 11,

	OPT_TIMES = OPT_EX | OPT_PX | OPT_EXAT | OPT_PXAT,
	OPT_LIVES = OPT_TIMES | OPT_KEEPTTL | OPT_PERSIST, /* at most one of them */
	OPT_UNPLAIN = OPT_NX | OPT_XX | OPT_KEEPTTL | OPT_IFEQ | OPT_LEASE | OPT_GRACE,
	OPT_OF_SET = OPT_UNPLAIN | OPT_GET | OPT_TIMES,
	OPT_WITH_ARGUMENT = OPT_TIMES | OPT_IFEQ | OPT_LEASE | OPT_GRACE,
	OPT_OF_GETEX = OPT_PERSIST | OPT_TIMES,
};

static const struct set_option {
	struct slice name;
	unsigned flag;
	unsigned excludes;
	unsigned form; /* of the time that follows */
} set_options[] = {
	{ { "ex", 2 }, OPT_EX, OPT_LIVES & ~OPT_EX, EXPIRY_SECONDS },
	{ { "px", 2 }, OPT_PX, OPT_LIVES & ~OPT_PX, EXPIRY_MS },
	{ { "nx", 2 }, OPT_NX, OPT_XX | OPT_IFEQ, 0 },
	{ { "xx", 2 }, OPT_XX, OPT_NX | OPT_IFEQ, 0 },
	{ { "ifeq", 4 }, OPT_IFEQ, OPT_NX | OPT_XX | OPT_IFEQ, 0 },
	{ { "lease", 5 }, OPT_LEASE, OPT_LEASE, 0 },
	{ { "grace", 5 }, OPT_GRACE, OPT_GRACE, 0 },
	{ { "get", 3 }, OPT_GET, 0, 0 },
	{ { "keepttl", 7 }, OPT_KEEPTTL, OPT_LIVES & ~OPT_KEEPTTL, 0 },
	{ { "persist", 7 }, OPT_PERSIST, OPT_LIVES & ~OPT_PERSIST, 0 },
	{ { "exat", 4 }, OPT_EXAT, OPT_LIVES & ~OPT_EXAT, EXPIRY_SECONDS | EXPIRY_ABSOLUTE },
	{ { "pxat", 4 }, OPT_PXAT, OPT_LIVES & ~OPT_PXAT, EXPIRY_ABSOLUTE },
};

struct set_args {
	unsigned flags;
	unsigned form;
	struct slice time; /* as written; good with OPT_TIMES */
	struct slice expected; /* of OPT_IFEQ */
	uint64_t token;        /* of OPT_LEASE; 0: what was given can be none */
	struct slice grace;    /* of OPT_GRACE, as written */
	int64_t grace_ms;      /* for cache_put_graced() */
};

static const struct set_option *
set_option_find(struct slice word)
{
	for (size_t i = 0; i < ARRAY_LEN(set_options); i++)
		if (slice_caseeq(word, set_options[i].name))
			return &set_options[i];
	return NULL;
}

static void
set_args_take(struct set_args *out, const struct set_option *o, struct slice argument)
{
	if (o->flag == OPT_IFEQ) {
		out->expected = argument;
	} else if (o->flag == OPT_LEASE) {
		out->token = lease_token_parse(argument);
	} else if (o->flag == OPT_GRACE) {
		out->grace = argument;
	} else {
		out->form = o->form;
		out->time = argument;
	}
}

/* False: the error reply is written. */
static bool
set_args_parse(struct call *c, uint32_t first, unsigned allowed, struct set_args *out)
{
	*out = (struct set_args){ .grace_ms = CACHE_USUAL_GRACE };
	for (uint32_t i = first; i < c->argc; i++) {
		const struct set_option *o = set_option_find(c->argv[i]);

		if (o == NULL || !(o->flag & allowed) || (out->flags & o->excludes))
			goto refuse;
		out->flags |= o->flag;
		if (!(o->flag & OPT_WITH_ARGUMENT))
			continue;
		if (++i == c->argc)
			goto refuse;
		set_args_take(out, o, c->argv[i]);
	}
	return true;
refuse:
	call_syntax_error(c);
	return false;
}

enum set_outcome { SET_DONE, SET_REFUSED, SET_FAILED, SET_VOID };

static bool
set_allowed(const struct store_cursor *cur, bool found, const struct set_args *args)
{
	if (args->flags & OPT_IFEQ)
		return found && slice_eq(cur->c.value, args->expected);
	return !(found ? (args->flags & OPT_NX) : (args->flags & OPT_XX));
}

/* Under the open cursor. With OPT_GET the old value is kept in `old`. */
static enum set_outcome
set_entry(struct store_cursor *cur, bool found, struct slice value, const struct set_args *args,
    int64_t expires_ms, struct value *old, int *rc)
{
	unsigned flags = args->flags;

	*rc = 0;
	if ((flags & OPT_LEASE) && !store_lease_stands(cur, args->token))
		return SET_VOID;
	if (found && (flags & OPT_GET))
		*rc = value_keep(old, cur);
	if (*rc != 0)
		return SET_FAILED;
	if (!set_allowed(cur, found, args))
		return SET_REFUSED;
	if (found && (flags & OPT_KEEPTTL))
		expires_ms = cur->c.expires_ms;
	store_will_put(cur);
	*rc = cache_put_graced(&cur->c, &value, 1, expires_ms, args->grace_ms);
	return *rc == 0 ? SET_DONE : SET_FAILED;
}

/* To put a value of this length. */
static enum cache_result
open_to_put(struct call *c, size_t len, unsigned flags, struct store_cursor *cur)
{
	store_make_room(c->store, c->argv[1].len + len);
	return call_open(c, flags | STORE_WRITE, cur);
}

/* SET_FAILED, SET_VOID: the error reply is written. */
static enum set_outcome
set_key(struct call *c, struct slice value, const struct set_args *args, int64_t expires_ms,
    struct value *old)
{
	unsigned how = 0, flags = args->flags;
	struct store_cursor cur;
	enum set_outcome outcome;
	bool found;
	int rc;

	/* A put is a use by itself; a key that is only looked at is not put. */
	if (flags & (OPT_NX | OPT_IFEQ | OPT_GET))
		how |= STORE_TOUCH;
	if (flags & OPT_GET)
		how |= STORE_COUNT;
	found = open_to_put(c, value.len, how, &cur) == CACHE_HIT;
	outcome = set_entry(&cur, found, value, args, expires_ms, old, &rc);
	store_close(&cur);
	if (outcome == SET_FAILED) {
		value_drop(old);
		call_put_failed(c, rc);
	} else if (outcome == SET_VOID) {
		reply_error(c->reply, "LEASE this token is void: the key was set, deleted or "
		    "flushed, the lease time is over, or its client left");
	}
	return outcome;
}

/* The old value, or nil, is the answer. */
static void
set_and_get(struct call *c, struct slice value, const struct set_args *args, int64_t expires_ms)
{
	struct value old;

	value_init(&old);
	switch (set_key(c, value, args, expires_ms, &old)) {
	case SET_DONE:
	case SET_REFUSED:
		value_reply(&old, c->reply);
		break;
	case SET_FAILED:
	case SET_VOID:
		break;
	}
}

static void
set_plain(struct call *c, struct slice value, int64_t expires_ms)
{
	struct store_cursor cur;
	int rc;

	open_to_put(c, value.len, STORE_SETS, &cur);
	rc = cache_put(&cur.c, &value, 1, expires_ms);
	store_close(&cur);
	if (rc == 0)
		reply_ok(c->reply);
	else
		call_put_failed(c, rc);
}

static void
set_if(struct call *c, struct slice value, const struct set_args *args, int64_t expires_ms)
{
	struct value none;

	value_init(&none);
	switch (set_key(c, value, args, expires_ms, &none)) {
	case SET_DONE:
		reply_ok(c->reply);
		break;
	case SET_REFUSED:
		reply_nil(c->reply);
		break;
	case SET_FAILED:
	case SET_VOID:
		break;
	}
}

/* False: the error reply is written. */
static bool
take_grace(struct call *c, struct set_args *args)
{
	if (!(args->flags & OPT_GRACE))
		return true;
	if (parse_i64(args->grace, &args->grace_ms) != 0) {
		call_not_integer(c);
	} else if (args->grace_ms < 0 || args->grace_ms > CACHE_GRACE_MOST) {
		reply_error(c->reply, "ERR GRACE takes 0 to %lld milliseconds",
		    (long long)CACHE_GRACE_MOST);
	} else {
		return true;
	}
	return false;
}

/* False: the error reply is written. */
static bool
set_parse(struct call *c, struct set_args *args, int64_t *expires_ms)
{
	enum expiry_status ok = EXPIRY_GOOD;

	*expires_ms = CACHE_NEVER;
	if (!set_args_parse(c, 3, OPT_OF_SET, args) || !take_grace(c, args))
		return false;
	if (args->flags & OPT_TIMES)
		ok = expiry_parse(c, args->time, args->form, expires_ms);
	if (ok != EXPIRY_GOOD)
		expiry_refuse(c, ok);
	return ok == EXPIRY_GOOD;
}

void
cmd_set(struct call *c)
{
	struct set_args args;
	int64_t expires_ms;

	if (!set_parse(c, &args, &expires_ms))
		return;
	if (args.flags & OPT_GET)
		set_and_get(c, c->argv[2], &args, expires_ms);
	else if (args.flags & OPT_UNPLAIN)
		set_if(c, c->argv[2], &args, expires_ms);
	else
		set_plain(c, c->argv[2], expires_ms);
}

/* Of SETEX and PSETEX. False: the error reply is written. */
static bool
setex_parse(struct call *c, unsigned form, int64_t *expires_ms)
{
	enum expiry_status ok = expiry_parse(c, c->argv[2], form, expires_ms);

	if (ok != EXPIRY_GOOD)
		expiry_refuse(c, ok);
	return ok == EXPIRY_GOOD;
}

static void
set_with_expiry(struct call *c, unsigned form)
{
	int64_t expires_ms;

	if (setex_parse(c, form, &expires_ms))
		set_plain(c, c->argv[3], expires_ms);
}

enum set_kind
set_plain_parse(struct call *c, struct set_plain *out)
{
	struct set_args args = { 0 };
	bool good;

	*out = (struct set_plain){ .value = c->argv[c->cmd->id == CMD_ID_set ? 2 : 3] };
	if (c->cmd->id == CMD_ID_set)
		good = set_parse(c, &args, &out->expires_ms);
	else
		good = setex_parse(c, c->cmd->id == CMD_ID_setex ? EXPIRY_SECONDS : EXPIRY_MS,
		    &out->expires_ms);
	if (!good)
		return SET_IS_WRONG;
	return args.flags & (OPT_UNPLAIN | OPT_GET) ? SET_IS_CONDITIONAL : SET_IS_PLAIN;
}

void
cmd_setex(struct call *c)
{
	set_with_expiry(c, EXPIRY_SECONDS);
}

void
cmd_psetex(struct call *c)
{
	set_with_expiry(c, EXPIRY_MS);
}

void
cmd_setnx(struct call *c)
{
	const struct set_args args = { .flags = OPT_NX };
	struct value none;
	enum set_outcome outcome;

	value_init(&none);
	outcome = set_key(c, c->argv[2], &args, CACHE_NEVER, &none);
	if (outcome != SET_FAILED)
		reply_int(c->reply, outcome == SET_DONE);
}

void
cmd_getset(struct call *c)
{
	const struct set_args args = { .flags = OPT_GET };

	set_and_get(c, c->argv[2], &args, CACHE_NEVER);
}

void
cmd_getdel(struct call *c)
{
	struct store_cursor cur;
	struct value old;
	int rc = 0;

	value_init(&old);
	if (call_open(c, STORE_WRITE | STORE_VOIDS | STORE_COUNT, &cur) == CACHE_HIT)
		rc = value_keep(&old, &cur);
	if (rc == 0)
		cache_remove(&cur.c); /* a stale one too */
	store_close(&cur);
	if (rc == 0)
		value_reply(&old, c->reply);
	else
		call_put_failed(c, rc);
}

/* Of Valkey 9: a lock's holder lets go of it, and of nobody else's. */
void
cmd_delifeq(struct call *c)
{
	struct store_cursor cur;
	bool equal = call_open(c, STORE_WRITE, &cur) == CACHE_HIT &&
	    slice_eq(cur.c.value, c->argv[2]);

	if (equal)
		cache_remove(&cur.c);
	store_close(&cur);
	reply_int(c->reply, equal);
}

/* A hit's new expiry, as GETEX's options say. */
static int
getex_apply(struct call *c, struct store_cursor *cur, unsigned flags, int64_t expires_ms)
{
	if (flags & OPT_PERSIST)
		return cache_set_expiry(&cur->c, CACHE_NEVER);
	if (!(flags & OPT_TIMES))
		return 0;
	if (expires_ms > c->now_ms)
		return cache_set_expiry(&cur->c, expires_ms);
	cache_remove(&cur->c);
	return 0;
}

/* A bad time for a key that is not there answers nil, as in Redis. */
void
cmd_getex(struct call *c)
{
	unsigned how = STORE_TOUCH | STORE_COUNT;
	int64_t expires_ms = CACHE_NEVER;
	enum expiry_status ok = EXPIRY_GOOD;
	struct store_cursor cur;
	struct set_args args;
	struct value old;
	int rc = 0;

	if (!set_args_parse(c, 2, OPT_OF_GETEX, &args))
		return;
	if (args.flags & OPT_TIMES)
		ok = expiry_parse(c, args.time, args.form, &expires_ms);
	if (args.flags != 0)
		how |= STORE_WRITE;
	value_init(&old);
	if (call_open(c, how, &cur) == CACHE_MISS)
		ok = EXPIRY_GOOD;
	else if (ok == EXPIRY_GOOD && (rc = value_keep(&old, &cur)) == 0)
		rc = getex_apply(c, &cur, args.flags, expires_ms);
	store_close(&cur);
	if (ok != EXPIRY_GOOD) {
		expiry_refuse(c, ok);
	} else if (rc != 0) {
		value_drop(&old);
		call_put_failed(c, rc);
	} else {
		value_reply(&old, c->reply);
	}
}

/* Nothing is set where one of them can never fit. */
static int
mset_check(const struct call *c)
{
	uint64_t most = cache_max_entry(store_cache(c->sl->server->store));

	for (uint32_t i = 1; i < c->argc; i += 2)
		if (c->argv[i].len + c->argv[i + 1].len > most)
			return -E2BIG;
	return 0;
}

static bool
any_exists(struct call *c)
{
	struct store_cursor cur;
	bool found = false;

	for (uint32_t i = 1; !found && i < c->argc; i += 2) {
		found = store_open(c->store, c->argv[i], STORE_TOUCH, &cur) == CACHE_HIT;
		store_close(&cur);
	}
	return found;
}

/* *done: false where `nx` kept it from being done. */
static int
mset_all(struct call *c, bool nx, bool *done)
{
	struct store_atomic a;
	size_t large = 0;
	int rc = 0;

	store_atomic_init(&a, c->store);
	for (uint32_t i = 1; i < c->argc; i += 2)
		if (c->argv[i + 1].len > STORE_LARGE_BYTES)
			large += c->argv[i].len + c->argv[i + 1].len;
	store_make_room(c->store, large);
	for (uint32_t i = 1; i < c->argc; i += 2)
		store_atomic_add(&a, c->argv[i], store_hash(c->store, c->argv[i]));
	store_atomic_begin(&a);
	*done = !nx || !any_exists(c);
	for (uint32_t i = 1; *done && rc == 0 && i < c->argc; i += 2)
		rc = store_set(c->store, c->argv[i], c->argv[i + 1], CACHE_NEVER);
	store_atomic_end(&a);
	return rc;
}

/* False: the error reply is written. */
static bool
mset(struct call *c, bool nx, bool *done)
{
	int rc;

	if (c->argc % 2 == 0) {
		call_wrong_args(c);
		return false;
	}
	rc = mset_check(c);
	if (rc == 0)
		rc = mset_all(c, nx, done);
	if (rc != 0)
		call_put_failed(c, rc);
	return rc == 0;
}

void
cmd_mset(struct call *c)
{
	bool done;

	if (mset(c, false, &done))
		reply_ok(c->reply);
}

void
cmd_msetnx(struct call *c)
{
	bool done;

	if (mset(c, true, &done))
		reply_int(c->reply, done);
}

void
cmd_strlen(struct call *c)
{
	struct store_cursor cur;
	size_t len = 0;

	if (call_open(c, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
		len = cur.c.value.len;
	store_close(&cur);
	reply_int(c->reply, (int64_t)len);
}

/* Not beyond what a SET may bring. */
static bool
append_fits(const struct call *c, size_t old_len, size_t more)
{
	return more == 0 || old_len + more <= c->sl->limits.max_bulk;
}

void
cmd_append(struct call *c)
{
	struct slice parts[2] = { { "", 0 }, c->argv[2] };
	int64_t expires_ms = CACHE_NEVER;
	struct store_cursor cur;
	enum cache_result found = call_open(c, STORE_WRITE, &cur);
	bool fits;
	int rc = 0;

	found = call_make_room(c, found, value_or_empty(&cur, found).len + parts[1].len,
	    STORE_WRITE, &cur);
	if (found == CACHE_HIT) {
		parts[0] = cur.c.value;
		expires_ms = cur.c.expires_ms;
	}
	fits = append_fits(c, parts[0].len, parts[1].len);
	if (fits)
		rc = cache_put(&cur.c, parts, 2, expires_ms);
	store_close(&cur);
	if (!fits)
		reply_error(c->reply,
		    "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
	else if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_int(c->reply, (int64_t)(parts[0].len + parts[1].len));
}
