#include "config.h"

#include "server/large.h"

#include "base/mem.h"
#include "server/server.h"

/* Of what is set aside for clients' buffers; the reply may lie there twice while
 * it is made. */
#define SHARE 2

struct large {
	struct server *server;
	struct buf bytes;
};

bool
large_take(struct server *s)
{
	return !atomic_exchange(&s->large_taken, true);
}

void
large_give(struct server *s)
{
	atomic_store(&s->large_taken, false);
}

size_t
large_max(struct server *s)
{
	uint64_t buffers_bytes;

	pthread_mutex_lock(&s->config_lock);
	buffers_bytes = s->memory.plan.buffers_bytes;
	pthread_mutex_unlock(&s->config_lock);
	return buffers_bytes / SHARE;
}

static void
release(void *owner, uint64_t token UNUSED)
{
	struct large *l = owner;

	buf_fini(&l->bytes);
	large_give(l->server);
	mem_free(l);
}

static struct large *
large_new(struct server *s, struct buf *bytes)
{
	struct large *l = mem_alloc(sizeof *l);

	if (l == NULL) {
		large_give(s);
		return NULL;
	}
	*l = (struct large){ .server = s, .bytes = *bytes };
	buf_init(bytes);
	return l;
}

static struct out_ref
ref_to(struct large *l)
{
	return (struct out_ref){
		.ptr = buf_data(&l->bytes),
		.len = buf_len(&l->bytes),
		.release = release,
		.owner = l,
	};
}

bool
large_send(struct server *s, struct reply *r, struct buf *bytes)
{
	struct large *l = large_new(s, bytes);
	struct out_ref ref;

	if (l == NULL)
		return false;
	ref = ref_to(l);
	out_append_ref(r->out, &ref);
	return true;
}

bool
large_send_verbatim(struct server *s, struct reply *r, struct buf *text)
{
	struct large *l = large_new(s, text);
	struct out_ref ref;

	if (l == NULL)
		return false;
	ref = ref_to(l);
	reply_verbatim_ref(r, &ref);
	return true;
}
