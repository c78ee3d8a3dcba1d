/* Writes of keys that belong to an origin, in the binary protocol. */
#include "config.h"

#include "server/binary_call.h"
#include "server/routed.h"

/* The keys of a request, one after the other: routed_run() asks from 0 on. */
struct walk {
	const struct binary_call *b;
	const struct binary_value *all; /* NULL: there is one key */
	struct binary_cursor at;
	bool remove;
	int64_t expires_ms;
};

static void
item(const struct call *c, void *arg, uint32_t i, struct routed_item *out)
{
	struct walk *w = arg;
	const struct binary_frame *f = w->b->f;
	struct binary_value key = f->argv[0], value = f->argv[1];

	if (w->all != NULL && i == 0)
		w->at = binary_elements(f, w->all);
	if (w->all != NULL)
		binary_next(&w->at, &key);
	if (w->all != NULL && !w->remove)
		binary_next(&w->at, &value);
	*out = (struct routed_item){ .key = binary_bytes(&key), .remove = w->remove };
	if (!w->remove) {
		out->value = binary_bytes(&value);
		out->expires_ms = w->expires_ms;
	}
	routed_mode(c, out->key, &out->ns);
}

static void
answer_stored(struct reply *r, uint32_t removed)
{
	(void)removed;
	binary_reply(r->out, r->id, BINARY_stored);
}

static void
answer_deleted(struct reply *r, uint32_t removed)
{
	binary_reply(r->out, r->id, removed != 0 ? BINARY_done : BINARY_miss);
}

static void
answer_deleted_many(struct reply *r, uint32_t removed)
{
	binary_number(r, BINARY_done, removed);
}

/* The first key that is not the cache's alone; NULL: none. False: one of them cannot
 * be written, and the error is. */
static bool
look(struct binary_call *b, struct walk *w, uint32_t n, const struct config_namespace **first)
{
	struct routed_item it;

	*first = NULL;
	for (uint32_t i = 0; i < n; i++) {
		item(&b->c, w, i, &it);
		if (it.ns->write == WRITE_LOCAL)
			continue;
		if (!routed_admits(&b->c, it.ns))
			return false;
		if (*first == NULL)
			*first = it.ns;
	}
	return true;
}

static int64_t
expiry(const struct binary_call *b, unsigned argument)
{
	int64_t ttl_ms = binary_ttl(b->f, argument);

	return ttl_ms != 0 ? b->c.now_ms + ttl_ms : CACHE_NEVER;
}

/* Like routed_command(). */
static bool
run(struct binary_call *b, struct walk *w, uint32_t n, routed_answer *answer)
{
	const struct config_namespace *ns;

	if (!look(b, w, n, &ns))
		return true;
	if (ns == NULL)
		return false;
	if (answer == NULL || b->o.given != 0)
		routed_refuse(&b->c, ns, answer == NULL ? "INCR" : "a write with options");
	else
		routed_run(&b->c, n, item, w, answer);
	return true;
}

bool
binary_routed(struct binary_call *b)
{
	struct walk w = { .b = b };
	const struct binary_value *first = &b->f->argv[0];

	switch (b->f->a) {
	case BINARY_OP_set:
		w.expires_ms = expiry(b, 2);
		return run(b, &w, 1, answer_stored);
	case BINARY_OP_set_many:
		w.all = first;
		w.expires_ms = expiry(b, 1);
		return run(b, &w, (uint32_t)(first->n / 2), answer_stored);
	case BINARY_OP_delete:
		w.remove = true;
		return run(b, &w, 1, answer_deleted);
	case BINARY_OP_delete_many:
		w.all = first;
		w.remove = true;
		return run(b, &w, (uint32_t)first->n, answer_deleted_many);
	case BINARY_OP_incr:
		w.remove = true; /* there is no value to look at */
		return run(b, &w, 1, NULL);
	default:
		return false;
	}
}
