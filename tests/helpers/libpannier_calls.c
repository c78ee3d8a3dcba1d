/* libpannier_calls.c - each call of a client once, against the daemon that $PANNIER_SOCKET
 * names; says which claim does not hold. */
#include "config.h"

#include <pannier.h>

#include <stdio.h>

static int failed;

#define CLAIM(what) \
	do { \
		if (!(what)) { \
			printf("line %d: %s\n", __LINE__, #what); \
			failed = 1; \
		} \
	} while (0)

static int
is(struct pannier_bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.ptr, text, b.len) == 0;
}

static void
values(struct pannier_client *c)
{
	struct pannier_bytes k = pannier_str("k"), none = pannier_bytes(NULL, 0);
	struct pannier_reply *r;
	int64_t sum = 0;

	CLAIM(pannier_get(c, k, &r) == PANNIER_MISS && r->value.ptr == NULL);
	pannier_reply_free(r);
	CLAIM(pannier_set(c, k, pannier_str("v"), 60000) == PANNIER_STORED);
	CLAIM(pannier_get_entry(c, k, &r) == PANNIER_HIT && is(r->value, "v") && r->left_ms > 0 &&
	    r->left_ms <= 60000);
	CLAIM(pannier_set_if(c, k, pannier_str("other"), 0, 0, PANNIER_IF_TOKEN, r->token) ==
	    PANNIER_STORED);
	CLAIM(pannier_set_if(c, k, pannier_str("third"), 0, 0, PANNIER_IF_TOKEN, r->token) ==
	    PANNIER_REFUSED);
	pannier_reply_free(r);
	CLAIM(pannier_set_if(c, k, pannier_str(""), 0, 0, PANNIER_IF_ABSENT, none) == PANNIER_REFUSED);
	CLAIM(pannier_peek(c, k, &r) == PANNIER_HIT && r->number == 5 && r->left_ms == PANNIER_UNKNOWN);
	pannier_reply_free(r);
	CLAIM(pannier_touch(c, k, 1000) == PANNIER_DONE);
	CLAIM(pannier_incr(c, k, 1, 0, 0, &sum) == PANNIER_ERROR);
	CLAIM(strncmp(pannier_client_error(c), "NOTINT: ", 8) == 0);
	CLAIM(pannier_incr(c, pannier_str("n"), 2, 40, 60000, &sum) == PANNIER_STORED && sum == 42);
	CLAIM(pannier_delete(c, k) == PANNIER_DONE && pannier_delete(c, k) == PANNIER_MISS);
}

static void
batches(struct pannier_client *c)
{
	struct pannier_bytes pairs[] = { pannier_str("a"), pannier_str("1"), pannier_str("b"),
		pannier_str("2") };
	struct pannier_bytes keys[] = { pannier_str("b"), pannier_str("none"), pannier_str("a") };
	struct pannier_reply *r;
	int64_t n = 0;

	CLAIM(pannier_set_many(c, pairs, 2, 60000, &r) == PANNIER_STORED);
	pannier_reply_free(r);
	CLAIM(pannier_get_many(c, keys, 3, &r) == PANNIER_DONE && r->n_items == 3 &&
	    is(r->items[0].value, "2") && r->items[1].status == PANNIER_MISS &&
	    is(r->items[2].value, "1"));
	pannier_reply_free(r);
	CLAIM(pannier_delete_many(c, keys, 3, &n) == PANNIER_DONE && n == 2);
}

static int
fails(void *arg, struct pannier_bytes key, struct pannier_load *into)
{
	(void)arg;
	(void)key;
	(void)into;
	return 7;
}

static void
leases(struct pannier_client *c)
{
	struct pannier_bytes k = pannier_str("leased");
	struct pannier_reply *r;

	CLAIM(pannier_lease(c, k, 0, &r) == PANNIER_LEASE && r->token.len > 0);
	CLAIM(pannier_release(c, k, r->token) == PANNIER_DONE);
	CLAIM(pannier_release(c, k, r->token) == PANNIER_MISS);
	pannier_reply_free(r);
	/* Twice: the first one gave its lease back, or this would wait. */
	for (int i = 0; i < 2; i++) {
		CLAIM(pannier_get_or_load(c, k, NULL, fails, NULL, &r) == PANNIER_E_LOADER && r->number == 7);
		pannier_reply_free(r);
	}
}

static int
loads(void *arg, struct pannier_bytes key, struct pannier_load *into)
{
	(void)key;
	return pannier_load_put(into, arg, strlen(arg));
}

/* A stale value stands in while the loader fails. */
static void
grace(struct pannier_client *c)
{
	const struct pannier_how brief = { .ttl_ms = 1, .grace_ms = 600000 };
	const struct pannier_how how = { .ttl_ms = 60000, .grace_ms = 600000 };
	struct pannier_bytes k = pannier_str("graced");
	char old[] = "old", newer[] = "new";
	struct pannier_reply *r;

	CLAIM(pannier_get_or_load(c, k, &brief, loads, old, &r) == PANNIER_FILLED);
	pannier_reply_free(r);
	while (pannier_peek(c, k, NULL) == PANNIER_HIT)
		;
	CLAIM(pannier_get(c, k, NULL) == PANNIER_MISS);
	CLAIM(pannier_get_or_load(c, k, &how, fails, NULL, &r) == PANNIER_STALE && is(r->value, "old"));
	pannier_reply_free(r);
	CLAIM(pannier_get_or_load(c, k, &how, loads, newer, &r) == PANNIER_FILLED);
	pannier_reply_free(r);
	CLAIM(pannier_get_or_load(c, k, &how, fails, NULL, &r) == PANNIER_HIT && is(r->value, "new"));
	pannier_reply_free(r);
}

static void
statistics(struct pannier_client *c)
{
	struct pannier_bytes section = pannier_str("");
	struct pannier_reply *r;
	size_t sections = 0;

	CLAIM(pannier_stats(c, "everything", &r) == PANNIER_DONE && r->n_fields > 50);
	for (size_t i = 0; i < r->n_fields; i++) {
		CLAIM(r->fields[i].section.len > 0 && r->fields[i].name.len > 0);
		sections += section.len != r->fields[i].section.len ||
		    memcmp(section.ptr, r->fields[i].section.ptr, section.len) != 0;
		section = r->fields[i].section;
	}
	CLAIM(sections > 5 && is(r->fields[0].section, "Server"));
	pannier_reply_free(r);
	CLAIM(pannier_stats(c, "clients", &r) == PANNIER_DONE && is(r->fields[0].section, "Clients"));
	pannier_reply_free(r);
}

int
main(void)
{
	struct pannier_client *c;

	if (pannier_client_new(NULL, &c) != 0)
		return 2;
	CLAIM(pannier_ping(c) == PANNIER_DONE);
	values(c);
	batches(c);
	leases(c);
	grace(c);
	statistics(c);
	CLAIM(pannier_flush(c) == PANNIER_DONE);
	CLAIM(strcmp(pannier_version(), "1.0.0") == 0);
	pannier_client_free(c);
	return failed;
}
