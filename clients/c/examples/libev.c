/* libev.c - asks for all keys that are given at once, in a loop of libev. */
#include "config.h"

#include <pannier-libev.h>

#include <stdio.h>

struct asked {
	const char *key;
	struct ev_loop *loop;
	struct pannier_conn *conn;
};

static void
answered(void *arg, const struct pannier_reply *r)
{
	struct asked *a = arg;

	printf("%s: %s %.*s\n", a->key, pannier_status_name(r->status), (int)r->value.len,
	    (const char *)r->value.ptr);
	if (pannier_conn_pending(a->conn) == 0)
		ev_break(a->loop, EVBREAK_ALL);
}

int
main(int argc, char **argv)
{
	struct ev_loop *loop = ev_default_loop(0);
	struct asked asked[64];
	struct pannier_conn *c;
	struct pannier_ev adapter;
	int rc;

	if (loop == NULL || pannier_conn_new(NULL, &c) != 0) {
		fprintf(stderr, "libev: no memory, or PANNIER_SOCKET is no address\n");
		return 1;
	}
	pannier_ev_start(&adapter, loop, c);
	for (int i = 1; i < argc && i < 64; i++) {
		asked[i] = (struct asked){ argv[i], loop, c };
		rc = pannier_send(c, &(struct pannier_request){ .op = PANNIER_OP_GET,
		    .key = pannier_str(argv[i]) }, answered, &asked[i], NULL);
		if (rc != 0)
			printf("%s: %s\n", argv[i], pannier_status_name(rc));
	}
	pannier_ev_update(&adapter);
	if (pannier_conn_pending(c) != 0)
		ev_run(loop, 0);
	pannier_ev_stop(&adapter);
	pannier_conn_free(c);
	return 0;
}
