/* The map of a Redis Cluster: which shard has which slot, by CLUSTER SLOTS, which every
 * version knows and which answers ports of TLS where it is asked over TLS. Any node may
 * be asked; one is drawn, and when it says nothing the next one. */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "origin/redis_ask.h"
#include "origin/redis_impl.h"

#define SHARDS_MAX 1000
#define REPLICAS_MAX 8
#define NO_SHARD 0

struct shard {
	struct redis_node *master;
	struct redis_node *replicas[REPLICAS_MAX];
	unsigned n_replicas;
};

struct slot_table {
	uint16_t shard_of[REDIS_SLOTS]; /* its number, from 1 on */
	struct shard *shards;           /* [cap]; [0] is none */
	unsigned n, cap;
};

struct cluster_map {
	struct transport *t;
	struct slot_table now;
	struct redis_ask ask;
	unsigned first, tried; /* of t->nodes */
	char asked_host[REDIS_HOST_MAX + 1]; /* whose answer it is; the node may be gone by then */
	bool known;
};

/* --- reading CLUSTER SLOTS ----------------------------------------------------------- */

/* What a reader of a reply needs. */
struct reading {
	struct transport *t;
	const char *asked_host; /* stands for a host that the server does not know itself */
	struct slice raw;
	size_t pos;
	struct slot_table *to;
};

static int
add_shard(struct slot_table *to, struct redis_node *master)
{
	if (to->n == to->cap) {
		unsigned cap = MAX(2 * to->cap, 8u);
		struct shard *more = mem_realloc(to->shards, cap * sizeof *more);

		if (more == NULL)
			return -ENOMEM;
		to->shards = more;
		to->cap = cap;
	}
	to->shards[to->n++] = (struct shard){ .master = master };
	return 0;
}

/* Over what is left of a value whose head was read. */
static bool
skip_elements(struct reading *in, int64_t n)
{
	struct resp_value v;

	for (; n > 0; n--) {
		if (!resp_reply_next(in->raw, &in->pos, &v))
			return false;
		if (v.type == RESP_ARRAY || v.type == RESP_SET || v.type == RESP_PUSH)
			n += v.n;
		else if (v.type == RESP_MAP)
			n += 2 * v.n;
	}
	return true;
}

/* [host, port, id, more]; a host of "?" is not known. 0, -EPROTO or -ENOMEM. */
static int
take_node(struct reading *in, struct redis_node **out)
{
	struct resp_value v, host, port;
	struct redis_address to;

	if (!resp_reply_next(in->raw, &in->pos, &v) || v.type != RESP_ARRAY || v.n < 2 ||
	    !resp_reply_next(in->raw, &in->pos, &host) ||
	    !resp_reply_next(in->raw, &in->pos, &port) || port.type != RESP_INT ||
	    (host.type != RESP_BULK && host.type != RESP_NIL) || !skip_elements(in, v.n - 2))
		return -EPROTO;
	if (host.text.len == 0 || slice_eq(host.text, SLICE("?")))
		host.text = slice_str(in->asked_host);
	if (port.n < 1 || port.n > 65535 ||
	    redis_address_tcp(&to, host.text, (unsigned)port.n, in->t->seeds[0].tls) != 0)
		return -EPROTO;
	*out = redis_node_at(in->t, &to);
	return *out != NULL ? 0 : -ENOMEM;
}

/* The number of the master's shard, made if it is new; or -errno. */
static int
shard_of_master(struct slot_table *to, struct redis_node *master)
{
	for (unsigned i = to->n; i-- > 1;)
		if (to->shards[i].master == master)
			return (int)i;
	if (to->n > SHARDS_MAX)
		return -EPROTO;
	return add_shard(to, master) == 0 ? (int)to->n - 1 : -ENOMEM;
}

/* [first, last, master, replica, ...] */
static int
take_range(struct reading *in)
{
	struct resp_value v, first, last;
	struct redis_node *n = NULL;
	int shard, rc;

	if (!resp_reply_next(in->raw, &in->pos, &v) || v.type != RESP_ARRAY || v.n < 3 ||
	    !resp_reply_next(in->raw, &in->pos, &first) || first.type != RESP_INT ||
	    !resp_reply_next(in->raw, &in->pos, &last) || last.type != RESP_INT ||
	    first.n < 0 || last.n < first.n || last.n >= REDIS_SLOTS)
		return -EPROTO;
	rc = take_node(in, &n);
	if (rc != 0)
		return rc;
	n->replica = false;
	shard = shard_of_master(in->to, n);
	if (shard < 0)
		return shard;
	for (int64_t slot = first.n; slot <= last.n; slot++)
		in->to->shard_of[slot] = (uint16_t)shard;
	in->to->shards[shard].n_replicas = 0;
	for (int64_t i = 3; i < v.n; i++) {
		struct shard *s = &in->to->shards[shard];

		rc = take_node(in, &n);
		if (rc != 0)
			return rc;
		n->replica = true;
		if (s->n_replicas < REPLICAS_MAX)
			s->replicas[s->n_replicas++] = n;
	}
	return 0;
}

/* 0, -EPROTO or -ENOMEM; *to is then to be freed all the same. */
static int
read_table(struct transport *t, const struct redis_reply *r, const char *host,
    struct slot_table *to)
{
	struct reading in = { .t = t, .asked_host = host, .raw = r->raw, .to = to };
	struct resp_value head;
	int rc = add_shard(to, NULL);

	if (rc != 0)
		return rc;
	if (r->head.type != RESP_ARRAY || r->head.n == 0 || r->head.n > REDIS_SLOTS ||
	    !resp_reply_next(in.raw, &in.pos, &head))
		return -EPROTO;
	for (int64_t i = 0; i < head.n && rc == 0; i++)
		rc = take_range(&in);
	return rc;
}

/* --- refreshing ----------------------------------------------------------------------- */

static bool
is_seed(const struct transport *t, const struct redis_node *n)
{
	for (unsigned i = 0; i < t->n_seeds; i++)
		if (strcmp(t->seeds[i].name, n->to.name) == 0)
			return true;
	return false;
}

/* Nodes that the table does not name leave: those of an older one, and of one that
 * turned out to be none. */
static void
sweep(struct cluster_map *m)
{
	struct transport *t = m->t;

	list_foreach (it, &t->nodes)
		list_entry(it, struct redis_node, link)->kept = false;
	for (unsigned i = 1; i < m->now.n; i++) {
		const struct shard *s = &m->now.shards[i];

		s->master->kept = true;
		for (unsigned r = 0; r < s->n_replicas; r++)
			s->replicas[r]->kept = true;
	}
	list_foreach_safe (it, &t->nodes) {
		struct redis_node *n = list_entry(it, struct redis_node, link);

		if (!n->kept && !is_seed(t, n))
			redis_node_leave(n);
	}
}

static void ask_next(struct cluster_map *m, const char *why);

static void
on_slots(struct redis_ask *k, const struct redis_reply *r, const char *why)
{
	struct cluster_map *m = container_of(k, struct cluster_map, ask);
	struct slot_table *table;
	int rc = -EPROTO;

	table = r != NULL ? mem_zalloc(sizeof *table) : NULL;
	if (table == NULL) {
		ask_next(m, r != NULL ? "no memory" : why);
		return;
	}
	rc = read_table(m->t, r, m->asked_host, table);
	if (rc == 0) {
		mem_free(m->now.shards);
		m->now = *table;
		m->known = true;
	} else {
		mem_free(table->shards);
	}
	sweep(m);
	mem_free(table);
	if (rc == 0)
		redis_refreshed(m->t, NULL);
	else
		ask_next(m, rc == -ENOMEM ? "no memory" : r->head.type == RESP_ARRAY &&
		    r->head.n == 0 ? "no slots are assigned" : why);
}

static struct redis_node *
nth_node(const struct transport *t, unsigned nth)
{
	list_foreach (it, &t->nodes)
		if (nth-- == 0)
			return list_entry(it, struct redis_node, link);
	return NULL;
}

static unsigned
count_nodes(const struct transport *t)
{
	unsigned n = 0;

	list_foreach (it, &t->nodes)
		n++;
	return n;
}

static void
ask_next(struct cluster_map *m, const char *why)
{
	static const struct slice argv[] = { { "CLUSTER", 7 }, { "SLOTS", 5 } };
	unsigned n = count_nodes(m->t);
	char last[200], text[300];

	snprintf(last, sizeof last, "%s", why);
	while (m->tried < n) {
		struct redis_node *at = nth_node(m->t, (m->first + m->tried++) % n);

		if (at == NULL)
			break;
		memcpy(m->asked_host, at->to.host, sizeof m->asked_host);
		if (redis_ask_node(&m->ask, at, argv, 2) == 0)
			return;
		snprintf(last, sizeof last, "%.199s", at->error);
	}
	snprintf(text, sizeof text, "no node tells the slots of the cluster: %s", last);
	redis_refreshed(m->t, text);
}

static void
cluster_refresh(struct transport *t)
{
	struct cluster_map *m = t->map;

	m->tried = 0;
	m->first = redis_random(t, count_nodes(t));
	ask_next(m, "");
}

/* --- the map ---------------------------------------------------------------------------- */

static struct redis_node *
cluster_route(struct transport *t, const struct attempt *a)
{
	struct cluster_map *m = t->map;
	const struct shard *s;

	if (!m->known)
		return NULL;
	s = &m->now.shards[m->now.shard_of[redis_slot(slice_of(a->key, a->key_len))]];
	return redis_choose(t, a, s->master, s->replicas, s->n_replicas);
}

static int
cluster_open(struct transport *t)
{
	struct cluster_map *m = mem_zalloc(sizeof *m);

	t->map = m;
	if (m == NULL)
		return -ENOMEM;
	m->t = t;
	redis_ask_init(&m->ask, t->opts.loop, on_slots);
	for (unsigned i = 0; i < t->n_seeds; i++)
		if (redis_node_at(t, &t->seeds[i]) == NULL)
			return -ENOMEM;
	return 0;
}

static void
cluster_close(struct transport *t)
{
	struct cluster_map *m = t->map;

	redis_ask_stop(&m->ask);
	mem_free(m->now.shards);
	mem_free(m);
}

/* A shard without slots has no keys. */
static bool
cluster_masters(const struct transport *t, redis_master_fn *each, void *arg)
{
	const struct cluster_map *m = t->map;

	for (unsigned i = 1; i < m->now.n; i++)
		if (m->now.shards[i].master != NULL && !each(arg, &m->now.shards[i].master->to))
			return false;
	return true;
}

const struct redis_map_ops redis_cluster = {
	.open = cluster_open,
	.close = cluster_close,
	.route = cluster_route,
	.masters = cluster_masters,
	.refresh = cluster_refresh,
};
