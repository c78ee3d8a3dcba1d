/* RENAME, RENAMENX and COPY: a value moves or is copied to another key, with
 * its time to live. Both keys are held meanwhile, so that nobody sees neither. */
#include "config.h"

#include "server/call.h"

#include "server/value.h"

enum move_outcome { MOVE_DONE, MOVE_NO_SOURCE, MOVE_TARGET_EXISTS, MOVE_FAILED };

struct move {
	bool replace, remove;
	unsigned read_flags; /* of store_open(), for the source */
};

static bool
exists(struct call *c, struct slice key)
{
	struct store_cursor cur;
	bool found = store_open(c->store, key, STORE_TOUCH, &cur) == CACHE_HIT;

	store_close(&cur);
	return found;
}

static int
put_kept(struct call *c, const struct value *v, int64_t expires_ms)
{
	struct slice part = value_slice(v);
	struct store_cursor cur;
	int rc;

	store_open(c->store, c->argv[2], STORE_WRITE, &cur);
	rc = cache_put(&cur.c, &part, 1, expires_ms);
	store_close(&cur);
	return rc;
}

/* Within the bracket. The source goes last: a failure has changed nothing. */
static enum move_outcome
move_held(struct call *c, const struct move *m, struct value *v, int *rc)
{
	struct store_cursor cur;
	int64_t expires_ms = CACHE_NEVER;
	bool found = call_open(c, m->read_flags | STORE_TOUCH, &cur) == CACHE_HIT;

	*rc = 0;
	if (found) {
		expires_ms = cur.c.expires_ms;
		*rc = value_keep(v, &cur);
	}
	store_close(&cur);
	if (!found)
		return MOVE_NO_SOURCE;
	if (*rc != 0)
		return MOVE_FAILED;
	if (slice_eq(c->argv[1], c->argv[2]))
		return m->replace ? MOVE_DONE : MOVE_TARGET_EXISTS;
	if (!m->replace && exists(c, c->argv[2]))
		return MOVE_TARGET_EXISTS;
	*rc = put_kept(c, v, expires_ms);
	if (*rc != 0)
		return MOVE_FAILED;
	if (m->remove)
		store_delete(c->store, c->argv[1]);
	return MOVE_DONE;
}

/* MOVE_FAILED: the error reply is written. */
static enum move_outcome
move(struct call *c, const struct move *m)
{
	enum move_outcome outcome;
	struct store_atomic a;
	struct value v;
	int rc;

	value_init(&v);
	store_atomic_init(&a, c->store);
	store_atomic_add(&a, c->argv[1], c->hash);
	store_atomic_add(&a, c->argv[2], store_hash(c->store, c->argv[2]));
	store_atomic_begin(&a);
	outcome = move_held(c, m, &v, &rc);
	store_atomic_end(&a);
	value_drop(&v);
	if (outcome == MOVE_FAILED)
		call_put_failed(c, rc);
	return outcome;
}

static void
no_such_key(struct call *c)
{
	reply_error(c->reply, "ERR no such key");
}

void
cmd_rename(struct call *c)
{
	const struct move m = { .replace = true, .remove = true };

	switch (move(c, &m)) {
	case MOVE_NO_SOURCE:
		no_such_key(c);
		break;
	case MOVE_FAILED:
		break;
	default:
		reply_ok(c->reply);
		break;
	}
}

void
cmd_renamenx(struct call *c)
{
	const struct move m = { .remove = true };
	enum move_outcome outcome = move(c, &m);

	if (outcome == MOVE_NO_SOURCE)
		no_such_key(c);
	else if (outcome != MOVE_FAILED)
		reply_int(c->reply, outcome == MOVE_DONE);
}

void
cmd_copy(struct call *c)
{
	struct move m = { .read_flags = STORE_COUNT };
	enum move_outcome outcome;

	for (uint32_t i = 3; i < c->argc; i++) {
		if (slice_caseeq(c->argv[i], SLICE("replace"))) {
			m.replace = true;
		} else if (!slice_caseeq(c->argv[i], SLICE("db")) || ++i == c->argc) {
			call_syntax_error(c);
			return;
		} else if (!call_database(c, c->argv[i])) {
			return;
		}
	}
	if (slice_eq(c->argv[1], c->argv[2])) {
		reply_error(c->reply, "ERR source and destination objects are the same");
		return;
	}
	outcome = move(c, &m);
	if (outcome != MOVE_FAILED)
		reply_int(c->reply, outcome == MOVE_DONE);
}
