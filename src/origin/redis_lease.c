#include "config.h"

#include "origin/redis_lease.h"

#include <errno.h>

#include "base/parse.h"

#define PREFIX SLICE("pannier:lease:")

/* Only who has the lease, and never over what another has written: a value that was
 * fetched before is older. */
static const char fill_script[] =
    "if redis.call('GET',KEYS[2])~=ARGV[1] then return 0 end "
    "redis.call('DEL',KEYS[2]) "
    "if ARGV[3]=='0' then redis.call('SET',KEYS[1],ARGV[2],'NX') "
    "else redis.call('SET',KEYS[1],ARGV[2],'NX','PX',ARGV[3]) end "
    "return 1";
static const char release_script[] =
    "if redis.call('GET',KEYS[1])~=ARGV[1] then return 0 end "
    "return redis.call('DEL',KEYS[1])";

/* The part between the first { and the } behind it decides on the slot, if there is one. */
static bool
has_tag(struct slice key)
{
	const char *open = key.len != 0 ? memchr(key.ptr, '{', key.len) : NULL;
	size_t rest = open != NULL ? key.len - (size_t)(open - key.ptr) : 0;
	const char *close = open != NULL ? memchr(open, '}', rest) : NULL;

	return close != NULL && close > open + 1;
}

int
redis_lease_name(struct slice server_key, bool cluster, struct buf *name)
{
	bool tagged = has_tag(server_key);
	int rc = buf_append(name, PREFIX.ptr, PREFIX.len);

	if (!tagged && cluster && server_key.len != 0 &&
	    (memchr(server_key.ptr, '}', server_key.len) != NULL ||
	    memchr(server_key.ptr, '{', server_key.len) != NULL))
		return -EINVAL;
	if (rc == 0 && !tagged)
		rc = buf_append(name, "{", 1);
	if (rc == 0)
		rc = buf_append(name, server_key.ptr, server_key.len);
	if (rc == 0 && !tagged)
		rc = buf_append(name, "}", 1);
	return rc;
}

static void
add(struct redis_lease_request *out, struct slice arg)
{
	out->argv[out->argc++] = arg;
}

static void
fill(const struct origin_request *rq, struct slice server_key, struct slice lease,
    struct redis_lease_request *out)
{
	struct slice ms = slice_of(out->ms, format_i64(out->ms, MAX(rq->ttl_ms, 0)));

	if (rq->etag.len != 0) {
		add(out, SLICE("EVAL"));
		add(out, slice_str(fill_script));
		add(out, SLICE("2"));
		add(out, server_key);
		add(out, lease);
		add(out, rq->etag);
		add(out, rq->value);
		add(out, ms);
		return;
	}
	add(out, SLICE("SET"));
	add(out, server_key);
	add(out, rq->value);
	add(out, SLICE("NX"));
	if (rq->ttl_ms > 0) {
		add(out, SLICE("PX"));
		add(out, ms);
	}
}

void
redis_lease_request(const struct origin_request *rq, struct slice server_key, struct slice lease,
    struct redis_lease_request *out)
{
	out->argc = 0;
	if (rq->op == ORIGIN_FILL) {
		fill(rq, server_key, lease, out);
	} else if (rq->op == ORIGIN_ACQUIRE) {
		add(out, SLICE("SET"));
		add(out, lease);
		add(out, rq->etag);
		add(out, SLICE("NX"));
		add(out, SLICE("PX"));
		add(out, slice_of(out->ms, format_i64(out->ms, MAX(rq->ttl_ms, 1))));
	} else {
		add(out, SLICE("EVAL"));
		add(out, slice_str(release_script));
		add(out, SLICE("1"));
		add(out, lease);
		add(out, rq->etag);
	}
}
