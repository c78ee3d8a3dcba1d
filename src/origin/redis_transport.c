/* Redis or Valkey as a transport; redis_impl.h says how its files fit together. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/mem.h"
#include "config/endpoint.h"
#include "origin/redis_impl.h"

#define KEY_BYTES_MAX (512u * 1024 * 1024) /* Redis's own */
#define CONNECT_MIN_MS 100
#define CONNECT_MAX_MS 10000
#define SILENT_MAX_MS 5000
/* Between two refreshes that failures or redirections ask for; doubles while they fail. */
#define REFRESH_PAUSE_MS 50
#define REFRESH_PAUSE_MAX_MS 2000

/* --- the map ---------------------------------------------------------------------------- */

struct redis_node *
redis_node_at(struct transport *t, const struct redis_address *to)
{
	struct redis_node *n;

	list_foreach (it, &t->nodes) {
		n = list_entry(it, struct redis_node, link);
		if (strcmp(n->to.name, to->name) == 0) {
			n->gone = false;
			return n;
		}
	}
	n = redis_node_new(&t->node_opts, to);
	if (n != NULL)
		list_push_tail(&t->nodes, &n->link);
	return n;
}

void
redis_node_leave(struct redis_node *n)
{
	n->gone = true;
	if (n->users == 0)
		redis_node_free(n);
}

unsigned
redis_random(struct transport *t, unsigned n)
{
	/* splitmix64 */
	uint64_t z = t->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ z >> 31) % MAX(n, 1u));
}

struct redis_node *
redis_choose(struct transport *t, const struct attempt *a, struct redis_node *master,
    struct redis_node *const *replicas, unsigned n_replicas)
{
	int from = t->opts.cfg->redis_read_from;
	unsigned n = n_replicas + (from == REDIS_READ_ANY);

	if (a->rq == NULL || a->rq->op != ORIGIN_READ || from == REDIS_READ_MASTER)
		return master;
	for (unsigned i = 0; i < n; i++) {
		unsigned nth = t->turn++ % n;
		struct redis_node *at = nth < n_replicas ? replicas[nth] : master;

		if (at != NULL && !redis_node_is_down(at))
			return at;
	}
	return master;
}

static void
refresh_now(struct transport *t)
{
	timer_stop(&t->timer);
	t->refreshing = true;
	t->asked_ms = loop_now_ms(t->opts.loop);
	t->ops->refresh(t);
}

/* Loops and pods shall not all ask in the same moment. */
void
redis_refresh(struct transport *t)
{
	int64_t pause_ms = REFRESH_PAUSE_MS << MIN(t->refresh_failures, 6u);
	int64_t wait_ms = 0;

	if (t->ops->refresh == NULL || t->refreshing)
		return;
	pause_ms = MIN(pause_ms, REFRESH_PAUSE_MAX_MS);
	if (t->asked_ms != 0)
		wait_ms = t->asked_ms + pause_ms + redis_random(t, (unsigned)pause_ms / 2 + 1) -
		    loop_now_ms(t->opts.loop);
	if (!timer_armed(&t->timer) ||
	    t->timer.due_us > (loop_now_ms(t->opts.loop) + MAX(wait_ms, 0)) * 1000)
		timer_start(&t->timer, wait_ms);
}

static void
on_refresh_timer(struct timer *tm)
{
	refresh_now(container_of(tm, struct transport, timer));
}

void
redis_refreshed(struct transport *t, const char *why)
{
	int64_t every_ms = t->opts.cfg->redis_refresh_ms;
	struct list ready;

	t->refreshing = false;
	t->refresh_failures = why != NULL ? t->refresh_failures + 1 : 0;
	snprintf(t->why, sizeof t->why, "%s", why != NULL ? why : "");
	if (why != NULL)
		redis_refresh(t);
	else
		timer_start(&t->timer, every_ms - every_ms / 20 +
		    redis_random(t, (unsigned)(every_ms / 10) + 1));
	if (why == NULL && t->servers != NULL)
		t->servers(t->servers_arg);
	list_init(&ready);
	list_splice_tail(&ready, &t->waiting);
	while (!list_empty(&ready)) {
		struct attempt *a = list_entry(list_pop_head(&ready), struct attempt, wait_link);

		if (why != NULL)
			redis_attempt_fail(a, "%s", why);
		else if (t->ops->route(t, a) == NULL)
			redis_attempt_fail(a, "no server has the slot of the key");
		else
			redis_attempt_go(a);
	}
}

static void
on_node_down(void *arg, struct redis_node *n UNUSED, const char *why UNUSED)
{
	redis_refresh(arg);
}

/* --- operations --------------------------------------------------------------------------- */

static const char *
transport_check(struct transport *t UNUSED, const struct origin_request *rq)
{
	return rq->key.len > KEY_BYTES_MAX ? "key too long for Redis" : NULL;
}

static bool
transport_has_room(const struct transport *t)
{
	const struct config_origin *cfg = t->opts.cfg;

	return t->busy < (uint64_t)cfg->redis_connections * cfg->redis_pipeline;
}

/* Where TLS is wanted: its files are read with the first request. 0 or -errno; why in
 * t->why. */
static int
ensure_tls(struct transport *t)
{
	int rc;

	if (t->tls != NULL || !t->seeds[0].tls)
		return 0;
	rc = redis_tls_new(&t->tls_opts, &t->tls, t->why, sizeof t->why);
	t->node_opts.conn.tls = t->tls;
	return rc;
}

int
redis_watch_servers(struct transport *t, void (*fn)(void *arg), void *arg)
{
	int rc = ensure_tls(t);

	if (rc != 0)
		return rc;
	t->servers = fn;
	t->servers_arg = arg;
	if (t->ops->refresh != NULL)
		redis_refresh(t);
	else
		fn(arg);
	return 0;
}

static int
begin(struct transport *t, unsigned endpoint, const struct origin_request *rq,
    attempt_done *done, void *arg, struct attempt **out)
{
	struct attempt *a = redis_attempt_new(t, rq);

	if (a == NULL)
		return -ENOMEM;
	a->done = done;
	a->arg = arg;
	a->endpoint = endpoint;
	*out = a;
	if (ensure_tls(t) != 0)
		redis_attempt_fail(a, "%s", t->why);
	else
		redis_attempt_go(a);
	return 0;
}

static int
transport_start(struct transport *t, unsigned endpoint, const struct origin_request *rq,
    attempt_done *done, void *arg, struct attempt **out)
{
	return begin(t, endpoint, rq, done, arg, out);
}

static int
transport_probe(struct transport *t, unsigned endpoint, const char *path UNUSED,
    attempt_done *done, void *arg, struct attempt **out)
{
	return begin(t, endpoint, NULL, done, arg, out);
}

/* --- opening ------------------------------------------------------------------------------- */

static int
parse_seeds(struct transport *t)
{
	const struct config_origin *cfg = t->opts.cfg;
	struct endpoint e;

	if (cfg->n_redis_endpoints == 0)
		return -EINVAL;
	t->seeds = mem_calloc(cfg->n_redis_endpoints, sizeof *t->seeds);
	if (t->seeds == NULL)
		return -ENOMEM;
	for (; t->n_seeds < cfg->n_redis_endpoints; t->n_seeds++) {
		struct redis_address *to = &t->seeds[t->n_seeds];
		struct slice text = slice_str(cfg->redis_endpoints[t->n_seeds]);
		int rc = endpoint_parse_redis(text, &e) == NULL ? 0 : -EINVAL;

		if (rc == 0 && e.kind == ENDPOINT_REDIS_UNIX)
			rc = redis_address_unix(to, e.path);
		else if (rc == 0)
			rc = redis_address_tcp(to, e.host, e.port, e.kind == ENDPOINT_REDISS);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void
set_options(struct transport *t)
{
	const struct config_origin *cfg = t->opts.cfg;
	struct redis_node_opts *o = &t->node_opts;

	t->tls_opts = (struct redis_tls_opts){ .ca_file = cfg->tls_ca_file,
		.cert_file = cfg->tls_cert_file, .key_file = cfg->tls_key_file,
		.server_name = cfg->tls_server_name, .trust_all = !cfg->tls_verify };
	o->conn = (struct redis_conn_opts){ .loop = t->opts.loop, .name = "pannier",
		.database = cfg->redis_database, .max_body = cfg->max_body_bytes,
		.read_only = cfg->redis_mode == REDIS_CLUSTER &&
		    cfg->redis_read_from != REDIS_READ_MASTER,
		.connect_ms = MIN(MAX(cfg->deadline_ms, CONNECT_MIN_MS), CONNECT_MAX_MS),
		.ping_ms = cfg->redis_ping_ms,
		.silent_ms = MIN(cfg->redis_ping_ms, SILENT_MAX_MS) };
	o->username = cfg->redis_username;
	o->password_file = cfg->redis_password_file;
	o->password_env = cfg->redis_password_env;
	o->connections = cfg->redis_connections;
	o->check_role = cfg->redis_mode == REDIS_SENTINEL;
	o->down = on_node_down;
	o->arg = t;
}

static void
transport_close(struct transport *t)
{
	if (t == NULL)
		return;
	list_foreach_safe (it, &t->attempts)
		redis_attempt_free(list_entry(it, struct attempt, link));
	if (t->map != NULL)
		t->ops->close(t);
	list_foreach_safe (it, &t->nodes)
		redis_node_free(list_entry(it, struct redis_node, link));
	timer_stop(&t->timer);
	redis_tls_free(t->tls);
	mem_free(t->seeds);
	mem_free(t);
}

static int
transport_open(const struct transport_opts *o, struct transport **out)
{
	static const struct redis_map_ops *const maps[] = {
		[REDIS_STANDALONE] = &redis_standalone, [REDIS_SENTINEL] = &redis_sentinel,
		[REDIS_CLUSTER] = &redis_cluster,
	};
	struct transport *t = mem_zalloc(sizeof *t);
	int rc;

	if (t == NULL)
		return -ENOMEM;
	t->opts = *o;
	t->ops = maps[o->cfg->redis_mode];
	list_init(&t->nodes);
	list_init(&t->attempts);
	list_init(&t->waiting);
	timer_init(&t->timer, o->loop, on_refresh_timer);
	if (getrandom(&t->random, sizeof t->random, 0) < 0)
		t->random = (uintptr_t)t;
	set_options(t);
	rc = parse_seeds(t);
	if (rc == 0)
		rc = t->ops->open(t);
	if (rc != 0) {
		transport_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

static unsigned
transport_endpoints(const struct config_origin *cfg)
{
	return cfg->redis_mode == REDIS_STANDALONE ? cfg->n_redis_endpoints : 1;
}

static const char *
transport_endpoint_name(const struct config_origin *cfg, unsigned endpoint)
{
	return cfg->redis_endpoints[endpoint];
}

/* Files are looked at now, so that a wrong one is an error at the start. */
static int
transport_prepare(const struct config_origin *cfg, char *err, size_t err_size)
{
	struct redis_tls_opts o = { .ca_file = cfg->tls_ca_file, .cert_file = cfg->tls_cert_file,
		.key_file = cfg->tls_key_file };
	struct password p = { NULL, 0 };
	struct config_error why = { "" };
	struct redis_tls *tls = NULL;
	bool wants_tls = false;
	struct endpoint e;
	int rc = redis_password(cfg->redis_password_file, cfg->redis_password_env, &p, &why);

	password_fini(&p);
	if (rc == 0)
		rc = redis_password(cfg->redis_sentinel_password_file, NULL, &p, &why);
	password_fini(&p);
	for (unsigned i = 0; i < cfg->n_redis_endpoints; i++)
		if (endpoint_parse_redis(slice_str(cfg->redis_endpoints[i]), &e) == NULL)
			wants_tls |= e.kind == ENDPOINT_REDISS;
	if (rc == 0 && wants_tls)
		rc = redis_tls_new(&o, &tls, why.text, sizeof why.text);
	redis_tls_free(tls);
	if (rc == 0)
		return 0;
	snprintf(err, err_size, "origin %s: %s", cfg->name, why.text);
	return rc == -ENOTSUP ? rc : -EINVAL;
}

const struct transport_ops redis_transport = {
	.prepare = transport_prepare,
	.open = transport_open,
	.close = transport_close,
	.endpoints = transport_endpoints,
	.endpoint_name = transport_endpoint_name,
	.has_room = transport_has_room,
	.check = transport_check,
	.start = transport_start,
	.cancel = redis_attempt_cancel,
	.cut_off = redis_attempt_cut_off,
	.probe = transport_probe,
};
