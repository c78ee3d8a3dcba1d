#include "config.h"

#include "origin/redis_ask.h"

#include <errno.h>
#include <stdio.h>

#define ANSWER_MS 500

/* The node may be freed by who uses it last. */
static void
let_go(struct redis_ask *k)
{
	struct redis_node *n = k->node;

	timer_stop(&k->timer);
	k->node = NULL;
	if (n != NULL && --n->users == 0 && n->gone)
		redis_node_free(n);
}

static void
on_answer(struct redis_call *call, const struct redis_reply *r, const char *why)
{
	struct redis_ask *k = container_of(call, struct redis_ask, call);
	char text[300], said[160];

	if (r == NULL) {
		snprintf(text, sizeof text, "%s", why);
	} else if (redis_reply_is_error(r)) {
		redis_reply_text(r, said, sizeof said);
		snprintf(text, sizeof text, "%.130s: %s", k->node->to.name, said);
		r = NULL;
	} else {
		snprintf(text, sizeof text, "%.250s gives no usable answer",
		    k->node->to.name);
	}
	let_go(k);
	k->answer(k, r, text);
}

static void
on_silence(struct timer *t)
{
	struct redis_ask *k = container_of(t, struct redis_ask, timer);
	char doing[200], text[300];

	redis_conn_doing(k->call.conn, doing, sizeof doing);
	snprintf(text, sizeof text, "%s within %d ms", doing, ANSWER_MS);
	redis_call_cancel(&k->call);
	let_go(k);
	k->answer(k, NULL, text);
}

void
redis_ask_init(struct redis_ask *k, struct loop *l,
    void (*answer)(struct redis_ask *, const struct redis_reply *, const char *))
{
	*k = (struct redis_ask){ .call = { .done = on_answer }, .answer = answer };
	timer_init(&k->timer, l, on_silence);
}

int
redis_ask_node(struct redis_ask *k, struct redis_node *n, const struct slice *argv, uint32_t argc)
{
	struct redis_conn *c = redis_node_conn(n);

	if (c == NULL || redis_conn_call(c, &k->call, argv, argc) != 0)
		return -ENOTCONN;
	n->users++;
	k->node = n;
	timer_start(&k->timer, ANSWER_MS);
	return 0;
}

void
redis_ask_stop(struct redis_ask *k)
{
	redis_call_cancel(&k->call);
	let_go(k);
}
