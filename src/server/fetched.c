#include "config.h"

#include "server/fetched.h"

#include "server/call.h"
#include "server/server.h"

/* Of what the clients' buffers may be. The arena gives way to it, as it does to the
 * bodies while they arrive (memory.h). */
#define TIMES 2

static void
release(void *owner, uint64_t token UNUSED)
{
	blob_unref(owner);
}

enum fetched_way
fetched_way(struct server_loop *sl, struct blob *value, struct out_ref *ref)
{
	struct slice bytes = blob_slice(value);
	struct call c = { .sl = sl };
	uint64_t buffers = conn_pool_limits(sl->pool)->total_bytes * sl->server->n_loops;

	if (bytes.len < REF_MIN_BYTES)
		return FETCHED_COPY;
	if (blob_charge(value, &sl->server->fetched, TIMES * buffers)) {
		*ref = (struct out_ref){ .ptr = bytes.ptr, .len = bytes.len, .release = release,
			.owner = blob_ref(value) };
		return FETCHED_REF;
	}
	return bytes.len <= call_reply_max(&c) ? FETCHED_COPY : FETCHED_REFUSED;
}

void
reply_fetched(struct server_loop *sl, struct reply *r, struct blob *value)
{
	struct out_ref ref;

	switch (fetched_way(sl, value, &ref)) {
	case FETCHED_COPY:
		reply_bulk(r, blob_slice(value));
		break;
	case FETCHED_REF:
		reply_bulk_ref(r, &ref);
		break;
	case FETCHED_REFUSED:
		reply_error(r, "OVERLOAD " FETCHED_REFUSAL);
		break;
	}
}
