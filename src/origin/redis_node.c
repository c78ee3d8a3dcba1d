#include "config.h"

#include "origin/redis_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* After the first failure, and at most. */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 1000

struct node_conn {
	struct redis_node *node;
	struct redis_conn *conn;
	struct redis_login login;
	struct password password; /* until it is up */
};

struct redis_node *
redis_node_new(const struct redis_node_opts *o, const struct redis_address *to)
{
	struct redis_node *n = mem_zalloc(sizeof *n);

	if (n == NULL)
		return NULL;
	n->opts = o;
	n->to = *to;
	list_init(&n->link);
	snprintf(n->error, sizeof n->error, "no connection to %s", to->name);
	return n;
}

static void
conn_drop(struct node_conn *nc)
{
	struct redis_node *n = nc->node;

	for (unsigned i = 0; i < n->n_conns; i++)
		if (n->conns[i] == nc)
			n->conns[i] = n->conns[--n->n_conns];
	redis_conn_close(nc->conn);
	password_fini(&nc->password);
	mem_free(nc);
}

void
redis_node_free(struct redis_node *n)
{
	if (n == NULL)
		return;
	while (n->n_conns > 0)
		conn_drop(n->conns[0]);
	list_del(&n->link);
	mem_free(n);
}

/* --- callbacks ------------------------------------------------------------------ */

static void
on_up(void *arg)
{
	struct node_conn *nc = arg;
	struct redis_node *n = nc->node;

	password_fini(&nc->password);
	n->failures = 0;
	if (n->opts->up != NULL)
		n->opts->up(n->opts->arg, n, nc->conn);
}

static void
on_push(void *arg, const struct redis_reply *r)
{
	struct node_conn *nc = arg;

	if (nc->node->opts->push != NULL)
		nc->node->opts->push(nc->node->opts->arg, nc->node, r);
}

static void
pause_after_failure(struct redis_node *n)
{
	int64_t pause_ms = PAUSE_MIN_MS << MIN(n->failures, 10u);

	n->failures++;
	n->retry_ms = loop_now_ms(n->opts->conn.loop) + MIN(pause_ms, PAUSE_MAX_MS);
}

static void
on_down(void *arg, bool unreached, const char *why)
{
	struct node_conn *nc = arg;
	struct redis_node *n = nc->node;

	snprintf(n->error, sizeof n->error, "%s", why);
	if (unreached)
		pause_after_failure(n);
	conn_drop(nc);
	if (n->opts->down != NULL)
		n->opts->down(n->opts->arg, n, n->error);
}

/* --- connections ------------------------------------------------------------------ */

int
redis_password(const char *file, const char *env, struct password *out, struct config_error *why)
{
	const char *text = env != NULL ? getenv(env) : "";
	bool exposed;

	*out = (struct password){ NULL, 0 };
	if (file != NULL)
		return password_read(file, out, &exposed, why);
	if (text == NULL || (env != NULL && *text == '\0')) {
		snprintf(why->text, sizeof why->text,
		    "the environment variable %s is not set; password_env names it", env);
		return -EINVAL;
	}
	if (password_copy(out, slice_str(text)) == 0)
		return 0;
	snprintf(why->text, sizeof why->text, "out of memory");
	return -ENOMEM;
}

static int
conn_open(struct redis_node *n, struct node_conn *nc)
{
	const struct redis_node_opts *o = n->opts;
	struct redis_conn_opts c = o->conn;
	struct config_error why = { "no memory" };
	int rc = redis_password(o->password_file, o->password_env, &nc->password, &why);

	nc->node = n;
	nc->login = (struct redis_login){ o->username,
		slice_of(nc->password.text, nc->password.len) };
	c.to = &n->to;
	c.login = &nc->login;
	c.role = !o->check_role ? NULL : n->replica ? "slave" : "master";
	c.up = on_up;
	c.push = on_push;
	c.down = on_down;
	c.arg = nc;
	if (rc == 0)
		rc = redis_conn_open(&c, &nc->conn);
	if (rc != 0)
		snprintf(n->error, sizeof n->error, "%.120s: %.170s", n->to.name, why.text);
	return rc;
}

static struct redis_conn *
conn_new(struct redis_node *n)
{
	struct node_conn *nc = mem_zalloc(sizeof *nc);

	if (nc == NULL) {
		snprintf(n->error, sizeof n->error, "%s: no memory", n->to.name);
		return NULL;
	}
	if (conn_open(n, nc) != 0) {
		pause_after_failure(n);
		password_fini(&nc->password);
		mem_free(nc);
		return NULL;
	}
	n->conns[n->n_conns++] = nc;
	return nc->conn;
}

bool
redis_node_is_down(const struct redis_node *n)
{
	return n->n_conns == 0 && n->failures != 0 &&
	    n->retry_ms > loop_now_ms(n->opts->conn.loop);
}

struct redis_conn *
redis_node_conn(struct redis_node *n)
{
	unsigned most = MIN(MAX(n->opts->connections, 1u), (unsigned)REDIS_NODE_CONNS);
	struct redis_conn *best = NULL, *another = NULL;

	for (unsigned i = 0; i < n->n_conns; i++) {
		struct redis_conn *c = n->conns[i]->conn;

		if (!redis_conn_is_over(c) &&
		    (best == NULL || redis_conn_load(c) < redis_conn_load(best)))
			best = c;
	}
	if (best != NULL && (redis_conn_load(best) == 0 || n->n_conns >= most))
		return best;
	if (n->failures == 0 || n->retry_ms <= loop_now_ms(n->opts->conn.loop))
		another = n->n_conns < most ? conn_new(n) : NULL;
	return another != NULL ? another : best;
}
