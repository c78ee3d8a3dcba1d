#include "config.h"

#include "origin/redis_answer.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "origin/redis_slot.h"

/* By the word that an error begins with. What is not listed is about the request:
 * neither the server's fault nor of any use to repeat. */
static const struct meaning {
	const char *word;
	bool fault, repeatable, final;
	enum redis_turn turn;
	const char *help; /* behind the server's text */
} meanings[] = {
	{ "MOVED", true, true, false, REDIS_MOVED, "; it is a Cluster, set mode: cluster" },
	{ "ASK", true, true, false, REDIS_ASK, "; it is a Cluster, set mode: cluster" },
	{ "LOADING", true, true, false, REDIS_STAYS, "" },
	{ "BUSY", true, true, false, REDIS_STAYS, "" },
	{ "TRYAGAIN", false, true, false, REDIS_STAYS, "" },
	{ "MASTERDOWN", true, true, false, REDIS_LOST, "" },
	{ "CLUSTERDOWN", true, true, false, REDIS_LOST, "" },
	{ "READONLY", true, true, false, REDIS_LOST, "" },
	{ "NOREPLICAS", true, true, false, REDIS_STAYS, "" },
	{ "MISCONF", true, false, false, REDIS_STAYS, "" },
	{ "OOM", true, false, false, REDIS_STAYS, "" },
	{ "NOAUTH", true, false, false, REDIS_STAYS, "; see username and password_file" },
	{ "WRONGPASS", true, false, false, REDIS_STAYS, "; see username and password_file" },
	{ "NOPERM", true, false, true, REDIS_STAYS, "; see username" },
};

static const struct meaning *
meaning_of(const struct redis_reply *r)
{
	static const struct meaning plain = { "", false, false, true, REDIS_STAYS, "" };

	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (redis_reply_is(r, meanings[i].word))
			return &meanings[i];
	return &plain;
}

enum redis_turn
redis_answer_of_error(const struct redis_reply *r, const char *name, char *text, size_t size,
    struct attempt_answer *out)
{
	const struct meaning *m = meaning_of(r);
	char said[200];

	redis_reply_text(r, said, sizeof said);
	snprintf(text, size, "%s: %s%s", name, said, m->help);
	out->end = ATTEMPT_ANSWERED;
	out->fault = m->fault;
	out->repeatable = m->repeatable;
	out->result.status = ORIGIN_FAILED;
	out->result.final = m->final;
	out->result.error = text;
	return m->turn;
}

/* The word at *s, which moves behind it. */
static struct slice
take_word(struct slice *s)
{
	const char *blank = s->len != 0 ? memchr(s->ptr, ' ', s->len) : NULL;
	struct slice word = slice_of(s->ptr, blank != NULL ? (size_t)(blank - s->ptr) : s->len);

	*s = slice_skip(*s, blank != NULL ? word.len + 1 : word.len);
	return word;
}

int
redis_parse_redirect(struct slice text, unsigned *slot, struct slice *host, unsigned *port)
{
	struct slice number, address;
	const char *colon;
	uint64_t n;

	take_word(&text);
	number = take_word(&text);
	address = take_word(&text);
	if (parse_u64(number, &n) != 0 || n >= REDIS_SLOTS)
		return -EINVAL;
	*slot = (unsigned)n;
	/* IPv6 addresses come without []. */
	colon = address.len != 0 ? memrchr(address.ptr, ':', address.len) : NULL;
	if (colon == NULL)
		return -EINVAL;
	*host = slice_of(address.ptr, (size_t)(colon - address.ptr));
	if (parse_u64(slice_skip(address, host->len + 1), &n) != 0 || n < 1 || n > 65535)
		return -EINVAL;
	*port = (unsigned)n;
	return 0;
}
