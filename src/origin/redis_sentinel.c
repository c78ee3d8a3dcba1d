/* The map of a master that Sentinel watches. One sentinel after the other is asked for the
 * master's address until one knows it (the Sentinel clients' guideline,
 * https://redis.io/docs/reference/sentinel-clients/); the master's own ROLE then has the
 * last word, in the greeting of its connections. A sentinel that speaks RESP3 also tells
 * of +switch-master; with others a failure, or the timer, makes us ask again. */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/parse.h"
#include "origin/redis_ask.h"
#include "origin/redis_impl.h"

#define REPLICAS_MAX 16
#define CONNECT_MS 1000

struct sentinel_map {
	struct transport *t;
	struct redis_node_opts opts;      /* of sentinels */
	struct redis_node **sentinels;    /* [t->n_seeds] */
	unsigned first, tried;            /* whom this refresh asks */
	struct redis_ask ask, ask_replicas;
	struct redis_node *master;        /* NULL: not known */
	struct redis_node *replicas[REPLICAS_MAX];
	unsigned n_replicas;
};

/* --- answers --------------------------------------------------------------------- */

static void
keep(struct redis_node *n, bool replica)
{
	n->kept = true;
	n->replica = replica;
}

/* All that the map knows now stay. */
static void
sweep(struct sentinel_map *m)
{
	list_foreach (it, &m->t->nodes)
		list_entry(it, struct redis_node, link)->kept = false;
	for (unsigned i = 0; i < m->n_replicas; i++)
		keep(m->replicas[i], true);
	keep(m->master, false);
	list_foreach_safe (it, &m->t->nodes) {
		struct redis_node *n = list_entry(it, struct redis_node, link);

		if (!n->kept)
			redis_node_leave(n);
	}
}

static void
finish(struct sentinel_map *m)
{
	sweep(m);
	redis_refreshed(m->t, NULL);
}

static void ask_next(struct sentinel_map *m, const char *why);

/* The node at an address of the server's words; NULL: it is none, or no memory. */
static struct redis_node *
node_of(struct transport *t, struct slice host, struct slice port)
{
	struct redis_address to;
	uint64_t n;

	if (parse_u64(port, &n) != 0 || n > 65535 ||
	    redis_address_tcp(&to, host, (unsigned)n, t->seeds[0].tls) != 0)
		return NULL;
	return redis_node_at(t, &to);
}

/* One replica: its fields and their values; *pos moves behind them. */
static struct redis_node *
take_replica(struct transport *t, const struct redis_reply *r, size_t *pos)
{
	struct slice ip = SLICE(""), port = SLICE(""), flags = SLICE("");
	struct resp_value of, name, value;
	int64_t pairs;

	if (!resp_reply_next(r->raw, pos, &of) || (of.type != RESP_ARRAY && of.type != RESP_MAP))
		return NULL;
	pairs = of.type == RESP_MAP ? of.n : of.n / 2;
	for (int64_t i = 0; i < pairs; i++) {
		if (!resp_reply_next(r->raw, pos, &name) || !resp_reply_next(r->raw, pos, &value))
			return NULL;
		if (slice_eq(name.text, SLICE("ip")))
			ip = value.text;
		else if (slice_eq(name.text, SLICE("port")))
			port = value.text;
		else if (slice_eq(name.text, SLICE("flags")))
			flags = value.text;
	}
	/* "slave", or "slave,s_down,disconnected". */
	return slice_eq(flags, SLICE("slave")) ? node_of(t, ip, port) : NULL;
}

static void
on_replicas(struct redis_ask *k, const struct redis_reply *r, const char *why UNUSED)
{
	struct sentinel_map *m = container_of(k, struct sentinel_map, ask_replicas);
	int64_t n = r != NULL && r->head.type == RESP_ARRAY ? r->head.n : 0;
	struct resp_value head;
	size_t pos = 0;

	m->n_replicas = 0;
	if (n > 0 && !resp_reply_next(r->raw, &pos, &head))
		n = 0;
	for (int64_t i = 0; i < n && m->n_replicas < REPLICAS_MAX; i++) {
		struct redis_node *node = take_replica(m->t, r, &pos);

		if (node != NULL && node != m->master)
			m->replicas[m->n_replicas++] = node;
	}
	finish(m);
}

/* Without replicas the master serves reads: no reason to fail. */
static void
ask_for_replicas(struct sentinel_map *m, struct redis_node *sentinel)
{
	const struct config_origin *cfg = m->t->opts.cfg;
	const struct slice argv[] = { SLICE("SENTINEL"), SLICE("replicas"),
		slice_str(cfg->redis_master_name) };

	if (cfg->redis_read_from == REDIS_READ_MASTER ||
	    redis_ask_node(&m->ask_replicas, sentinel, argv, 3) != 0)
		finish(m);
}

static void
on_master(struct redis_ask *k, const struct redis_reply *r, const char *why)
{
	struct sentinel_map *m = container_of(k, struct sentinel_map, ask);
	struct redis_node *sentinel = m->sentinels[(m->first + m->tried) % m->t->n_seeds];
	struct resp_value v, host, port;
	struct redis_node *n = NULL;
	char text[300];
	size_t pos = 0;

	if (r != NULL && r->head.type == RESP_NIL) {
		snprintf(text, sizeof text, "%.150s knows no master %.64s; see master_name",
		    sentinel->to.name, m->t->opts.cfg->redis_master_name);
		why = text;
	} else if (r != NULL && r->head.type == RESP_ARRAY && r->head.n == 2 &&
	    resp_reply_next(r->raw, &pos, &v) && resp_reply_next(r->raw, &pos, &host) &&
	    resp_reply_next(r->raw, &pos, &port)) {
		n = node_of(m->t, host.text, port.text);
	}
	if (n == NULL) {
		m->tried++;
		ask_next(m, why);
		return;
	}
	m->master = n;
	n->replica = false;
	m->first = (m->first + m->tried) % m->t->n_seeds;
	ask_for_replicas(m, sentinel);
}

/* --- questions -------------------------------------------------------------------- */

/* why: what the one before said. */
static void
ask_next(struct sentinel_map *m, const char *why)
{
	const struct slice argv[] = { SLICE("SENTINEL"), SLICE("get-master-addr-by-name"),
		slice_str(m->t->opts.cfg->redis_master_name) };
	char last[200], text[300];

	snprintf(last, sizeof last, "%s", why);
	for (; m->tried < m->t->n_seeds; m->tried++) {
		struct redis_node *s = m->sentinels[(m->first + m->tried) % m->t->n_seeds];

		if (redis_ask_node(&m->ask, s, argv, 3) == 0)
			return;
		snprintf(last, sizeof last, "%.199s", s->error);
	}
	snprintf(text, sizeof text, "no sentinel tells the master: %s", last);
	redis_refreshed(m->t, text);
}

static void
sentinel_refresh(struct transport *t)
{
	struct sentinel_map *m = t->map;

	m->tried = 0;
	ask_next(m, "");
}

static void
on_sentinel_up(void *arg UNUSED, struct redis_node *n UNUSED, struct redis_conn *c)
{
	static const struct slice argv[] = { { "SUBSCRIBE", 9 }, { "+switch-master", 14 } };

	/* In RESP2 it could not be asked anything more. */
	if (redis_conn_is_resp3(c) && redis_conn_subscribe(c, argv, 2) != 0)
		return; /* then the timer finds out */
}

static void
on_sentinel_push(void *arg, struct redis_node *n UNUSED, const struct redis_reply *r)
{
	struct sentinel_map *m = arg;
	struct resp_value head, kind;
	size_t pos = 0;

	if (resp_reply_next(r->raw, &pos, &head) && resp_reply_next(r->raw, &pos, &kind) &&
	    slice_eq(kind.text, SLICE("message")))
		redis_refresh(m->t);
}

/* --- the map ----------------------------------------------------------------------- */

static struct redis_node *
sentinel_route(struct transport *t, const struct attempt *a)
{
	struct sentinel_map *m = t->map;

	return redis_choose(t, a, m->master, m->replicas, m->n_replicas);
}

static int
sentinel_open(struct transport *t)
{
	const struct config_origin *cfg = t->opts.cfg;
	struct sentinel_map *m = mem_zalloc(sizeof *m);

	t->map = m;
	if (m == NULL)
		return -ENOMEM;
	m->t = t;
	m->opts = t->node_opts;
	m->opts.conn.database = 0;
	m->opts.conn.connect_ms = MIN(t->node_opts.conn.connect_ms, CONNECT_MS);
	m->opts.username = cfg->redis_sentinel_username;
	m->opts.password_file = cfg->redis_sentinel_password_file;
	m->opts.password_env = NULL;
	m->opts.connections = 1;
	m->opts.check_role = false;
	m->opts.up = on_sentinel_up;
	m->opts.push = on_sentinel_push;
	m->opts.down = NULL;
	m->opts.arg = m;
	redis_ask_init(&m->ask, t->opts.loop, on_master);
	redis_ask_init(&m->ask_replicas, t->opts.loop, on_replicas);
	m->first = redis_random(t, t->n_seeds);
	m->sentinels = mem_calloc(t->n_seeds, sizeof *m->sentinels);
	for (unsigned i = 0; m->sentinels != NULL && i < t->n_seeds; i++) {
		m->sentinels[i] = redis_node_new(&m->opts, &t->seeds[i]);
		if (m->sentinels[i] == NULL)
			return -ENOMEM;
	}
	return m->sentinels != NULL ? 0 : -ENOMEM;
}

static void
sentinel_close(struct transport *t)
{
	struct sentinel_map *m = t->map;

	redis_ask_stop(&m->ask);
	redis_ask_stop(&m->ask_replicas);
	for (unsigned i = 0; m->sentinels != NULL && i < t->n_seeds; i++)
		redis_node_free(m->sentinels[i]);
	mem_free(m->sentinels);
	mem_free(m);
}

static bool
sentinel_masters(const struct transport *t, redis_master_fn *each, void *arg)
{
	const struct sentinel_map *m = t->map;

	return m->master == NULL || each(arg, &m->master->to);
}

const struct redis_map_ops redis_sentinel = {
	.open = sentinel_open,
	.close = sentinel_close,
	.route = sentinel_route,
	.masters = sentinel_masters,
	.refresh = sentinel_refresh,
};
