/* validate.c - what no value alone can tell. */
#include <config.h>

#include <errno.h>

#include "base/mem.h"
#include "config/endpoint.h"
#include "config/load.h"
#include "config/schema.h"
#include "config/text.h"

/* --- listeners ------------------------------------------------------------------ */

static void
check_listen(const struct config_listen *l, const struct node *n, const struct place *at,
    struct diag *d)
{
	if (n == NULL || n->kind != NODE_MAPPING)
		return;
	if (l->path != NULL && l->host != NULL)
		diag_error(d, n->at, at, "has unix: and tcp:; write two listeners");
	else if (node_member(n, "unix") == NULL && node_member(n, "tcp") == NULL)
		diag_error(d, n->at, at, "needs unix: or tcp:, and there is none");
	for (unsigned i = 0; i < listen_schema.n; i++) {
		const struct field *f = &listen_schema.fields[i];
		const struct node *extra = node_member(n, f->key);

		if (extra != NULL && listen_field_is_unix(f) && l->path == NULL && l->host != NULL)
			diag_error(d, extra->at, at, "%s: belongs to a Unix socket, not to TCP",
			    f->key);
	}
}

void
validate_listens(struct config *c, const struct tree *t, struct diag *d)
{
	const struct node *list = node_member(t->root, "listen");
	struct place up = { .key = "listen" }, at = { .up = &up };

	for (; at.index < c->n_listens; at.index++) {
		struct config_listen *l = &c->listens[at.index];

		check_listen(l, node_element(list, at.index), &at, d);
		l->is_unix = l->path != NULL;
	}
}

static bool
same_text(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Port 0 is another one each time. */
static void
check_same_listens(const struct config *c, struct diag *d)
{
	struct place where = { .key = "listen" };
	struct mark nowhere = { 0, 0 };

	for (unsigned i = 0; i < c->n_listens; i++) {
		for (unsigned j = 0; j < i; j++) {
			const struct config_listen *a = &c->listens[i], *b = &c->listens[j];

			if (same_text(a->path, b->path))
				diag_error(d, nowhere, &where, "two listeners on %s", a->path);
			else if (same_text(a->host, b->host) && a->port == b->port && a->port != 0)
				diag_error(d, nowhere, &where, "two listeners on %s:%u", a->host,
				    a->port);
		}
	}
}

/* --- limits ---------------------------------------------------------------------- */

static void
check_limit(const struct config *c, const struct tree *t, const char *name, uint64_t value,
    struct diag *d)
{
	struct place where = { .key = name };
	int row = config_option_find(slice_str(name));
	const struct node *n = node_member(t->root, name);
	struct mark at = { 0, 0 };
	char limit[64], memory[64];

	if (value == CONFIG_AUTO || c->memory == CONFIG_AUTO || value <= c->memory)
		return;
	if (n != NULL && c->sources[row] == CONFIG_FILE)
		at = n->at;
	config_option_get(c, (unsigned)row, false, limit, sizeof limit);
	config_option_get(c, (unsigned)config_option_find(SLICE("memory")), false, memory,
	    sizeof memory);
	diag_error(d, at, &where, "\"%s\" is more than memory, which is %s", limit, memory);
}

static void
check_admin_http(const struct config *c, const struct tree *t, struct diag *d)
{
	const struct node *n = node_member(t->root, "admin_http");
	struct place where = { .key = "admin_http" };
	struct mark nowhere = { 0, 0 };
	struct config_listen l;
	struct config_error why;

	if (c->admin_http == NULL)
		return;
	if (config_admin_http_parse(slice_str(c->admin_http), &l, &why) == 0)
		config_listen_fini(&l);
	else
		diag_error(d, n != NULL ? n->at : nowhere, &where, "%s", why.text);
}

void
validate_limits(const struct config *c, const struct tree *t, struct diag *d)
{
	check_limit(c, t, "max_value", c->max_value, d);
	check_limit(c, t, "output_limit", c->output_limit, d);
	check_limit(c, t, "buffers_limit", c->buffers_limit, d);
	check_admin_http(c, t, d);
	validate_quotas(c, t, d);
}

/* --- namespaces ------------------------------------------------------------------ */

/* The file's list begins at element 1: 0 is the default namespace's. */
struct ns_check {
	const struct config *c;
	const struct config_namespace *ns;
	const struct node *node;
	struct place at;
	struct diag *d;
};

/* The place of a key, or where it is not written that of the namespace. */
static struct mark
ns_mark(const struct ns_check *k, const char *key)
{
	const struct node *n = node_member(k->node, key);

	return n != NULL ? n->at : k->node->at;
}

static const struct config_origin *
find_origin(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_origins; i++)
		if (same_text(c->origins[i].name, name))
			return &c->origins[i];
	return NULL;
}

static void
unknown_origin(const struct ns_check *k, const char *key, const char *name)
{
	const char *names[CONFIG_ORIGINS_MAX], *near;
	struct place where = { .up = &k->at, .key = key };
	unsigned n = 0;

	for (unsigned i = 0; i < k->c->n_origins; i++)
		if (k->c->origins[i].name != NULL)
			names[n++] = k->c->origins[i].name;
	near = nearest(slice_str(name), names, n);
	diag_error(k->d, ns_mark(k, key), &where, "\"%s\" is not among origins:%s%s%s", name,
	    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
	    near != NULL ? "\"?" : "");
}

static bool
is_redis(const struct ns_check *k)
{
	const struct config_origin *o =
	    k->ns->origin != NULL ? find_origin(k->c, k->ns->origin) : NULL;

	return o != NULL && o->kind == ORIGIN_REDIS;
}

/* What is written to the origin would stay old in the tier. */
static void
check_ns_tier(const struct ns_check *k)
{
	const struct config_namespace *ns = k->ns;
	const struct config_origin *tier = find_origin(k->c, ns->tier);

	if (ns->shared_lease && ns->tier == NULL)
		diag_error(k->d, ns_mark(k, "shared_lease"), &k->at,
		    "shared_lease: needs tier:, and there is none");
	if (ns->tier == NULL)
		return;
	if (tier == NULL)
		unknown_origin(k, "tier", ns->tier);
	else if (tier->kind != ORIGIN_REDIS)
		diag_error(k->d, ns_mark(k, "tier"), &k->at,
		    "tier: must name an origin that has redis:");
	if (ns->origin == NULL || is_redis(k))
		diag_error(k->d, ns_mark(k, "tier"), &k->at,
		    "tier: stands in front of an origin that has http:; for a Redis alone write "
		    "origin: %s", ns->tier);
	if (ns->write != WRITE_LOCAL && ns->write != WRITE_REFUSED)
		diag_error(k->d, ns_mark(k, "write"), &k->at,
		    "write: must be local or refused where there is a tier:, which would keep the "
		    "old value");
}

static void
check_ns_origin(const struct ns_check *k)
{
	struct place path = { .up = &k->at, .key = "path" };
	const struct config_namespace *ns = k->ns;

	if (ns->origin != NULL && find_origin(k->c, ns->origin) == NULL)
		unknown_origin(k, "origin", ns->origin);
	if (is_redis(k)) {
		if (ns->path != NULL)
			diag_error(k->d, ns_mark(k, "path"), &k->at,
			    "path: is for HTTP; what a key is called in Redis says key: of "
			    "the origin");
		return;
	}
	if (ns->origin != NULL && node_member(k->node, "path") == NULL)
		diag_error(k->d, ns_mark(k, "origin"), &k->at,
		    "origin: needs path:, for example path: /%s/{rest}", ns->origin);
	if (ns->path != NULL && node_member(k->node, "origin") == NULL)
		diag_error(k->d, ns_mark(k, "path"), &k->at,
		    "path: needs origin:, and there is none");
	if (ns->write != WRITE_LOCAL && ns->origin == NULL)
		diag_error(k->d, ns_mark(k, "write"), &k->at,
		    "write: needs origin:, and there is none");
	if (ns->path != NULL && strstr(ns->path, "{key}") == NULL &&
	    strstr(ns->path, "{rest}") == NULL)
		diag_error(k->d, ns_mark(k, "path"), &path,
		    "\"%s\" has neither {key} nor {rest}; all keys would fetch the same", ns->path);
}

static void
check_ns_coalesce(const struct ns_check *k)
{
	if (k->ns->coalesce == COALESCE_LEASE && k->ns->origin != NULL)
		diag_error(k->d, ns_mark(k, "coalesce"), &k->at,
		    "coalesce: lease is for code that loads by itself; with origin: leave it out");
}

static void
check_ns_freshness(const struct ns_check *k)
{
	const struct config_namespace *ns = k->ns;

	for (size_t i = 0; i < namespace_schema.n && ns->origin == NULL; i++) {
		const struct field *f = &namespace_schema.fields[i];

		if (namespace_field_is_routed(f) && node_member(k->node, f->key) != NULL)
			diag_error(k->d, ns_mark(k, f->key), &k->at,
			    "%s: needs origin:, and there is none", f->key);
	}
	if (ns->fallback == FALLBACK_VALUE && ns->fallback_value == NULL)
		diag_error(k->d, ns_mark(k, "fallback"), &k->at,
		    "fallback: value needs fallback_value:, for example fallback_value: \"{}\"");
	if (ns->fallback != FALLBACK_VALUE && ns->fallback_value != NULL)
		diag_error(k->d, ns_mark(k, "fallback_value"), &k->at,
		    "fallback_value: needs fallback: value");
}

/* As Varnish has it, a grace is both: while another is fetched, and where that fails. */
static void
spread_grace(const struct ns_check *k, struct config_namespace *ns)
{
	if (ns->origin == NULL || node_member(k->node, "grace") == NULL)
		return;
	if (node_member(k->node, "stale_while_revalidate") == NULL)
		ns->swr_ms = ns->grace_ms;
	if (node_member(k->node, "stale_if_error") == NULL)
		ns->sie_ms = ns->grace_ms;
}

/* "user:" is user, "a/b." is a_b; NULL: no memory. */
static char *
name_of_prefix(const char *prefix)
{
	char *name = *prefix == '\0' ? mem_strdup("default") : mem_strdup(prefix);
	size_t end = 0;

	for (size_t i = 0; name != NULL && i < 64 && name[i] != '\0'; i++) {
		unsigned char c = (unsigned char)name[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			end = i + 1;
		else if (c != '-' && c != '.')
			name[i] = '_';
	}
	if (name != NULL)
		name[end] = '\0';
	return name;
}

static MUST_CHECK int
check_ns_name(const struct ns_check *k, struct config_namespace *ns)
{
	struct place name = { .up = &k->at, .key = "name" };
	bool is_default = ns->prefix != NULL && *ns->prefix == '\0';

	if (ns->name == NULL && ns->prefix != NULL) {
		ns->name = name_of_prefix(ns->prefix);
		if (ns->name == NULL)
			return -ENOMEM;
	}
	if (ns->name == NULL)
		return 0;
	if (*ns->name == '\0')
		diag_error(k->d, k->node->at, &k->at,
		    "no name can be made from the prefix; add name:");
	else if ((strcmp(ns->name, "default") == 0) != is_default)
		diag_error(k->d, ns_mark(k, "name"), &name,
		    is_default ? "the namespace of prefix \"\" is called default; leave name: out" :
		                 "default is the namespace of prefix \"\"; write another name:");
	return 0;
}

static void
check_ns_unique(const struct ns_check *k)
{
	struct place prefix = { .up = &k->at, .key = "prefix" };

	for (const struct config_namespace *o = k->c->namespaces + 1; o != k->ns; o++) {
		unsigned i = (unsigned)(o - k->c->namespaces) - 1;

		if (same_text(o->prefix, k->ns->prefix))
			diag_error(k->d, ns_mark(k, "prefix"), &prefix,
			    "\"%s\" is the prefix of namespaces[%u] too", o->prefix, i);
		else if (same_text(o->name, k->ns->name) && *o->name != '\0')
			diag_error(k->d, ns_mark(k, "name"), &k->at,
			    "is called \"%s\", as namespaces[%u] is; give it a name: of its own",
			    o->name, i);
	}
}

static MUST_CHECK int
check_namespaces(struct config *c, const struct tree *t, struct diag *d)
{
	struct place up = { .key = "namespaces" };
	const struct node *list = node_member(t->root, "namespaces");
	int rc = 0;

	for (unsigned i = 1; i < c->n_namespaces && rc == 0; i++) {
		struct ns_check k = { .c = c, .ns = &c->namespaces[i], .d = d,
			.node = node_element(list, i - 1), .at = { .up = &up, .index = i - 1 } };

		if (k.node->kind != NODE_MAPPING)
			continue;
		rc = check_ns_name(&k, &c->namespaces[i]);
		check_ns_unique(&k);
		check_ns_origin(&k);
		check_ns_tier(&k);
		check_ns_coalesce(&k);
		check_ns_freshness(&k);
		spread_grace(&k, &c->namespaces[i]);
	}
	return rc;
}

/* --- origins ---------------------------------------------------------------------- */

static bool
is_over_tls(const struct config_origin *o)
{
	struct endpoint e;

	if (redis_is_over_tls(o))
		return true;
	for (unsigned i = 0; i < o->n_endpoints; i++)
		if (o->endpoints[i] != NULL &&
		    endpoint_parse(slice_str(o->endpoints[i]), &e) == NULL &&
		    e.kind == ENDPOINT_HTTPS)
			return true;
	return false;
}

static void
check_tls(const struct config_origin *o, const struct node *tls, const struct place *at,
    struct diag *d)
{
	struct place key = { .up = at, .key = "key_file" };

	if (o->tls_key_file != NULL && o->tls_cert_file == NULL)
		diag_error(d, node_member(tls, "key_file")->at, &key,
		    "needs cert_file:, and there is none");
	key.key = "server_name";
	if (o->tls_server_name != NULL && o->kind != ORIGIN_REDIS)
		diag_error(d, node_member(tls, "server_name")->at, &key,
		    "is for redis:; of http: the name in the URL counts");
	if (!is_over_tls(o) &&
	    (o->tls_ca_file != NULL || o->tls_cert_file != NULL || !o->tls_verify))
		diag_error(d, tls->at, at,
		    "is for endpoints over https or rediss, and there is none");
}

/* Before namespaces: what they may say depends on it. */
static void
check_kinds(struct config *c, const struct tree *t, struct diag *d)
{
	struct place up = { .key = "origins" };
	const struct node *map = node_member(t->root, "origins");

	for (unsigned i = 0; i < c->n_origins; i++) {
		struct config_origin *o = &c->origins[i];
		struct place at = { .up = &up, .key = o->name };
		const struct node *n = o->name != NULL ? node_member(map, o->name) : NULL;

		if (n != NULL && n->kind == NODE_MAPPING)
			validate_redis(o, n, &at, d);
	}
}

static void
check_statuses(const struct config_origin *o, const struct node *list, const struct place *up,
    struct diag *d)
{
	struct place where = { .up = up, .key = "not_found_status" };

	for (unsigned i = 0; i < o->n_not_found_status; i++) {
		const char *s = o->not_found_status[i];

		if (s == NULL || (strlen(s) == 3 && (s[0] == '4' || s[0] == '5') &&
		    strspn(s, "0123456789") == 3))
			continue;
		diag_error(d, node_element(list, i)->at, &where,
		    "\"%s\" is no status from 400 to 599, for example 403", s);
	}
}

/* An origin whose endpoints are wrong is told only that. */
static void
check_origins(const struct config *c, const struct tree *t, struct diag *d)
{
	struct place up = { .key = "origins" };
	const struct node *map = node_member(t->root, "origins");

	for (unsigned i = 0; i < c->n_origins && d->n == 0; i++) {
		const struct config_origin *o = &c->origins[i];
		struct place origin = { .up = &up, .key = o->name };
		struct place at = { .up = &origin, .key = "tls" };
		const struct node *tls = node_member(node_member(map, o->name), "tls");
		const struct node *http = node_member(node_member(map, o->name), "http");
		struct place http_at = { .up = &origin, .key = "http" };

		if (http != NULL)
			check_statuses(o, node_member(http, "not_found_status"), &http_at, d);
		if (tls != NULL)
			check_tls(o, tls, &at, d);
		validate_guard(o, node_member(map, o->name), &origin, d);
	}
}

/* --- what listeners say of namespaces --------------------------------------------- */

static bool
is_namespace(const struct config *c, const char *name)
{
	for (unsigned i = 1; i < c->n_namespaces; i++)
		if (same_text(c->namespaces[i].name, name))
			return true;
	return strcmp(name, "default") == 0;
}

static void
unknown_namespace(const struct config *c, const char *name, struct mark mark,
    const struct place *at, struct diag *d)
{
	const char *names[CONFIG_NAMESPACES_MAX] = { "default" }, *near;
	unsigned n = 1;

	for (unsigned i = 1; i < c->n_namespaces; i++)
		if (c->namespaces[i].name != NULL)
			names[n++] = c->namespaces[i].name;
	near = nearest(slice_str(name), names, n);
	diag_error(d, mark, at, "\"%s\" is the name of no namespace%s%s%s", name,
	    near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
	    near != NULL ? "\"?" : "");
}

static void
check_listen_namespaces(const struct config *c, const struct tree *t, struct diag *d)
{
	const struct node *list = node_member(t->root, "listen"), *n;
	struct place up = { .key = "listen" }, listen = { .up = &up };
	struct mark nowhere = { 0, 0 };

	for (; listen.index < c->n_listens; listen.index++) {
		const struct config_listen *l = &c->listens[listen.index];
		struct place names = { .up = &listen, .key = "namespaces" }, at = { .up = &names };

		n = node_member(node_element(list, listen.index), "namespaces");
		for (; at.index < l->n_namespaces; at.index++) {
			const struct node *e = node_element(n, at.index);

			if (l->namespaces[at.index] != NULL &&
			    !is_namespace(c, l->namespaces[at.index]))
				unknown_namespace(c, l->namespaces[at.index],
				    e != NULL ? e->at : nowhere, &at, d);
		}
	}
}

/* --- all ------------------------------------------------------------------------- */

/* Element 0 is the namespace of prefix "": that of the file, or a plain one. */
static MUST_CHECK int
place_default(struct config *c)
{
	struct config_namespace *all = c->namespaces, found;
	unsigned i = 1;

	while (i < c->n_namespaces && *all[i].prefix != '\0')
		i++;
	if (i == c->n_namespaces) {
		if (schema_defaults(&namespace_schema, &all[0]) != 0)
			return -ENOMEM;
		all[0].name = mem_strdup("default");
		all[0].prefix = mem_strdup("");
		return all[0].name != NULL && all[0].prefix != NULL ? 0 : -ENOMEM;
	}
	found = all[i];
	memmove(&all[i], &all[i + 1], (c->n_namespaces - i - 1) * sizeof *all);
	all[0] = found;
	c->n_namespaces--;
	return 0;
}

void
config_resolve(struct config *c)
{
	for (unsigned i = 0; i < c->n_origins; i++)
		c->origins[i].index = i;
	for (unsigned i = 0; i < c->n_namespaces; i++) {
		struct config_namespace *ns = &c->namespaces[i];

		if (ns->origin != NULL)
			ns->origin_cfg = find_origin(c, ns->origin);
		if (ns->tier != NULL)
			ns->tier_cfg = find_origin(c, ns->tier);
	}
}

int
validate(struct config *c, const struct tree *t, struct diag *d)
{
	int rc;

	check_same_listens(c, d);
	validate_limits(c, t, d);
	check_kinds(c, t, d);
	rc = check_namespaces(c, t, d);
	check_listen_namespaces(c, t, d);
	check_origins(c, t, d);
	validate_streams(c, t, d);
	if (rc != 0 || d->n != 0)
		return rc;
	rc = place_default(c);
	if (rc == 0)
		config_resolve(c);
	return rc;
}
