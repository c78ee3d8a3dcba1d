/* EXPIRE, TTL, their forms in milliseconds and in Unix time, and PERSIST. */
#include "config.h"

#include "server/call.h"

#include "server/expiry.h"

enum {
	IF_NX = 1 << 0, /* only where the key has no expiry */
	IF_XX = 1 << 1, /* only where it has one */
	IF_GT = 1 << 2, /* only to a later one; no expiry is the latest */
	IF_LT = 1 << 3,
};

static const struct condition {
	struct slice name;
	unsigned flag;
} conditions[] = {
	{ { "nx", 2 }, IF_NX },
	{ { "xx", 2 }, IF_XX },
	{ { "gt", 2 }, IF_GT },
	{ { "lt", 2 }, IF_LT },
};

static unsigned
condition_find(struct slice word)
{
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
		if (slice_caseeq(word, conditions[i].name))
			return conditions[i].flag;
	return 0;
}

/* False: the error reply is written. */
static bool
conditions_parse(struct call *c, unsigned *flags)
{
	*flags = 0;
	for (uint32_t i = 3; i < c->argc; i++) {
		unsigned flag = condition_find(c->argv[i]);

		if (flag == 0) {
			reply_error(c->reply, "ERR Unsupported option %.*s",
			    (int)MIN(c->argv[i].len, 512), c->argv[i].ptr);
			return false;
		}
		*flags |= flag;
	}
	if ((*flags & IF_NX) && (*flags & (IF_XX | IF_GT | IF_LT)))
		reply_error(c->reply,
		    "ERR NX and XX, GT or LT options at the same time are not compatible");
	else if ((*flags & IF_GT) && (*flags & IF_LT))
		reply_error(c->reply,
		    "ERR GT and LT options at the same time are not compatible");
	else
		return true;
	return false;
}

static bool
conditions_hold(unsigned flags, int64_t old_ms, int64_t new_ms)
{
	bool has = old_ms != CACHE_NEVER;

	if ((flags & IF_NX) && has)
		return false;
	if ((flags & IF_XX) && !has)
		return false;
	if ((flags & IF_GT) && (!has || new_ms <= old_ms))
		return false;
	if ((flags & IF_LT) && has && new_ms >= old_ms)
		return false;
	return true;
}

static void
expire(struct call *c, unsigned form)
{
	enum expiry_status ok;
	struct store_cursor cur;
	int64_t expires_ms;
	unsigned flags;
	bool found, done;
	int rc = 0;

	if (!conditions_parse(c, &flags))
		return;
	ok = expiry_parse(c, c->argv[2], form | EXPIRY_SIGNED, &expires_ms);
	if (ok != EXPIRY_GOOD) {
		expiry_refuse(c, ok);
		return;
	}
	found = call_open(c, STORE_WRITE | STORE_VOIDS | STORE_TOUCH, &cur) == CACHE_HIT;
	done = found && conditions_hold(flags, cur.c.expires_ms, expires_ms);
	if (done && expires_ms > c->now_ms)
		rc = cache_set_expiry(&cur.c, expires_ms);
	else if (done || !found)
		cache_remove(&cur.c); /* a stale one too: it was not to be used any more */
	store_close(&cur);
	if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_int(c->reply, done);
}

void
cmd_expire(struct call *c)
{
	expire(c, EXPIRY_SECONDS);
}

void
cmd_pexpire(struct call *c)
{
	expire(c, EXPIRY_MS);
}

void
cmd_expireat(struct call *c)
{
	expire(c, EXPIRY_SECONDS | EXPIRY_ABSOLUTE);
}

void
cmd_pexpireat(struct call *c)
{
	expire(c, EXPIRY_ABSOLUTE);
}

/* Milliseconds, -1 without an expiry, -2 without the key. */
static int64_t
time_left(struct call *c)
{
	struct store_cursor cur;
	int64_t left = -2;

	if (call_open(c, STORE_COUNT, &cur) == CACHE_HIT)
		left = cur.c.expires_ms == CACHE_NEVER ? -1 : MAX(cur.c.expires_ms - c->now_ms, 0);
	store_close(&cur);
	return left;
}

void
cmd_ttl(struct call *c)
{
	int64_t ms = time_left(c);

	reply_int(c->reply, ms < 0 ? ms : ms / 1000 + (ms % 1000 >= 500));
}

void
cmd_pttl(struct call *c)
{
	reply_int(c->reply, time_left(c));
}

/* Unix time in milliseconds, or as time_left(). */
static int64_t
expire_time(struct call *c)
{
	int64_t left = time_left(c);

	return left < 0 ? left : unix_of_mono_ms(c->now_ms) + left;
}

void
cmd_expiretime(struct call *c)
{
	int64_t ms = expire_time(c);

	reply_int(c->reply, ms < 0 ? ms : (ms + 500) / 1000);
}

void
cmd_pexpiretime(struct call *c)
{
	reply_int(c->reply, expire_time(c));
}

void
cmd_persist(struct call *c)
{
	struct store_cursor cur;
	bool had;
	int rc = 0;

	had = call_open(c, STORE_WRITE | STORE_TOUCH, &cur) == CACHE_HIT &&
	    cur.c.expires_ms != CACHE_NEVER;
	if (had)
		rc = cache_set_expiry(&cur.c, CACHE_NEVER);
	store_close(&cur);
	if (rc != 0)
		call_put_failed(c, rc);
	else
		reply_int(c->reply, had);
}
