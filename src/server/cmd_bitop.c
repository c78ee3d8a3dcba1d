/* BITOP: one value of several, bit by bit. All keys are held meanwhile. Only
 * the result is kept beside the cache: sources are joined to it one by one. */
#include "config.h"

#include "server/call.h"

#include <errno.h>

#include "base/mem.h"
#include "server/splice.h"

enum bit_verb { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT };

static bool
verb_parse(struct call *c, enum bit_verb *out)
{
	struct slice word = c->argv[1];

	if (slice_caseeq(word, SLICE("and")))
		*out = BIT_AND;
	else if (slice_caseeq(word, SLICE("or")))
		*out = BIT_OR;
	else if (slice_caseeq(word, SLICE("xor")))
		*out = BIT_XOR;
	else if (slice_caseeq(word, SLICE("not")))
		*out = BIT_NOT;
	else
		goto refuse;
	if (*out != BIT_NOT || c->argc == 4)
		return true;
	reply_error(c->reply, "ERR BITOP NOT must be called with a single source key.");
	return false;
refuse:
	call_syntax_error(c);
	return false;
}

/* Short values have zeros behind them. */
static void
join(enum bit_verb verb, char *to, size_t len, struct slice from)
{
	switch (verb) {
	case BIT_AND:
		for (size_t i = 0; i < from.len; i++)
			to[i] &= from.ptr[i];
		memset(to + from.len, 0, len - from.len);
		break;
	case BIT_OR:
		for (size_t i = 0; i < from.len; i++)
			to[i] |= from.ptr[i];
		break;
	case BIT_XOR:
		for (size_t i = 0; i < from.len; i++)
			to[i] ^= from.ptr[i];
		break;
	case BIT_NOT:
		for (size_t i = 0; i < from.len; i++)
			to[i] = (char)~from.ptr[i];
		break;
	}
}

/* Of argv[i]. */
static enum cache_result
open_source(struct call *c, uint32_t i, unsigned flags, struct store_cursor *cur)
{
	return store_open(c->store, c->argv[i], flags, cur);
}

static size_t
longest(struct call *c)
{
	struct store_cursor cur;
	size_t len = 0;

	for (uint32_t i = 3; i < c->argc; i++) {
		if (open_source(c, i, STORE_TOUCH | STORE_COUNT, &cur) == CACHE_HIT)
			len = MAX(len, cur.c.value.len);
		store_close(&cur);
	}
	return len;
}

static void
join_all(struct call *c, enum bit_verb verb, char *to, size_t len)
{
	struct store_cursor cur;

	/* The first is taken as it is: of AND, zeros would stay zeros. */
	for (uint32_t i = 3; i < c->argc; i++) {
		enum cache_result found = open_source(c, i, 0, &cur);

		join(i == 3 && verb != BIT_NOT ? BIT_OR : verb, to, len,
		    value_or_empty(&cur, found));
		store_close(&cur);
	}
}

/* Within the bracket. An empty result is no key. */
static int
bitop_held(struct call *c, enum bit_verb verb, size_t *len)
{
	struct slice part;
	char *to;
	int rc;

	*len = longest(c);
	if (*len == 0) {
		store_delete(c->store, c->argv[2]);
		return 0;
	}
	to = mem_zalloc(*len);
	if (to == NULL)
		return -ENOMEM;
	join_all(c, verb, to, *len);
	part = slice_of(to, *len);
	rc = store_set(c->store, c->argv[2], part, CACHE_NEVER);
	mem_free(to);
	return rc;
}

void
cmd_bitop(struct call *c)
{
	enum bit_verb verb;
	struct store_atomic a;
	size_t len;
	int rc;

	if (!verb_parse(c, &verb))
		return;
	store_atomic_init(&a, c->store);
	for (uint32_t i = 2; i < c->argc; i++)
		store_atomic_add(&a, c->argv[i], store_hash(c->store, c->argv[i]));
	store_atomic_begin(&a);
	rc = bitop_held(c, verb, &len);
	store_atomic_end(&a);
	if (rc == 0)
		reply_int(c->reply, (int64_t)len);
	else
		call_put_failed(c, rc);
}
