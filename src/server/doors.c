#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/door.h"

struct doors {
	atomic_uint refs;
	unsigned n;
	struct config_listen *listens; /* [n] */
	struct door_policy policy[];   /* [n + 1] */
};

static struct log_gate exposed_gate;

static MUST_CHECK int
no_memory(char *err, size_t err_size)
{
	snprintf(err, err_size, "out of memory");
	return -ENOMEM;
}

/* --- life ------------------------------------------------------------------------ */

static struct doors *
doors_alloc(unsigned n)
{
	struct doors *d = mem_zalloc(sizeof *d + (n + 1) * sizeof d->policy[0]);

	if (d == NULL)
		return NULL;
	atomic_init(&d->refs, 1);
	d->listens = mem_calloc(n + 1, sizeof *d->listens);
	if (d->listens != NULL)
		return d;
	mem_free(d);
	return NULL;
}

struct doors *
doors_ref(struct doors *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void
doors_unref(struct doors *d)
{
	if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < d->n; i++) {
		password_fini(&d->policy[i].password);
		config_listen_fini(&d->listens[i]);
	}
	mem_free(d->listens);
	mem_free(d);
}

/* --- rules ----------------------------------------------------------------------- */

static bool
same_text(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool
same_address(const struct config_listen *a, const struct config_listen *b)
{
	return same_text(a->path, b->path) || (same_text(a->host, b->host) && a->port == b->port);
}

/* What the configuration says of a listener now, or said at last. */
static const struct config_listen *
newest(const struct config *cfg, const struct config_listen *was)
{
	for (unsigned i = 0; i < cfg->n_listens; i++)
		if (same_address(&cfg->listens[i], was))
			return &cfg->listens[i];
	return was;
}

static MUST_CHECK int
take_password(const struct config *cfg, const struct config_listen *l, struct password *out,
    char *err, size_t err_size)
{
	const char *path = l->password_file != NULL ? l->password_file : cfg->password_file;
	const char *text = getenv("PANNIER_PASSWORD");
	struct config_error why;
	bool exposed = false;
	int rc;

	if (path == NULL && (text == NULL || *text == '\0'))
		return 0;
	if (path == NULL)
		return password_copy(out, slice_str(text)) == 0 ? 0 : no_memory(err, err_size);
	rc = password_read(path, out, &exposed, &why);
	if (rc != 0)
		snprintf(err, err_size, "%s", why.text);
	else if (exposed)
		log_limited(&exposed_gate, LOG_LEVEL_WARN,
		    "password file %s: every user of this machine may read it; chmod o= it", path);
	return rc;
}

static bool
is_named(const struct config_listen *l, const char *name)
{
	for (unsigned i = 0; i < l->n_namespaces; i++)
		if (strcmp(l->namespaces[i], name) == 0)
			return true;
	return false;
}

static void
take_namespaces(const struct config *cfg, const struct config_listen *l, struct door_policy *p)
{
	p->confined = l->n_namespaces != 0;
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (is_named(l, cfg->namespaces[i].name))
			p->own[i / 64] |= 1ull << (i % 64);
}

static bool
any_routed(const struct config *cfg)
{
	for (unsigned i = 0; i < cfg->n_namespaces; i++)
		if (cfg->namespaces[i].write != WRITE_LOCAL)
			return true;
	return false;
}

static bool
any_admin(const struct doors *d)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->listens[i].admin != 0)
			return true;
	return false;
}

static MUST_CHECK int
take_policy(const struct config *cfg, struct doors *d, unsigned i, char *err, size_t err_size)
{
	const struct config_listen *l = &d->listens[i];
	struct door_policy *p = &d->policy[i];

	p->read_only = l->read_only != 0;
	p->no_admin = any_admin(d) && l->admin == 0;
	p->uids = l->allow_uids;
	p->n_uids = l->n_allow_uids;
	p->gids = l->allow_gids;
	p->n_gids = l->n_allow_gids;
	take_namespaces(cfg, l, p);
	return take_password(cfg, l, &p->password, err, err_size);
}

static MUST_CHECK int
take_listens(const struct config *cfg, const struct doors *before, unsigned n, struct doors *d)
{
	for (; d->n < n; d->n++) {
		const struct config_listen *l = before == NULL ? &cfg->listens[d->n] :
		    newest(cfg, &before->listens[d->n]);

		if (config_listen_copy(&d->listens[d->n], l) != 0)
			return -ENOMEM;
	}
	return 0;
}

int
doors_new(const struct config *cfg, const struct doors *before, struct doors **out, char *err,
    size_t err_size)
{
	unsigned n = before == NULL ? cfg->n_listens : before->n;
	struct doors *d = doors_alloc(n);
	bool routed;
	int rc = 0;

	if (d == NULL)
		return no_memory(err, err_size);
	routed = any_routed(cfg);
	for (unsigned i = 0; i <= n; i++)
		d->policy[i].routes_writes = routed;
	if (take_listens(cfg, before, n, d) != 0)
		rc = no_memory(err, err_size);
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = take_policy(cfg, d, i, err, err_size);
	if (rc != 0) {
		doors_unref(d);
		return rc;
	}
	*out = d;
	return 0;
}

const struct door_policy *
doors_policy(const struct doors *d, unsigned i)
{
	return &d->policy[i < d->n ? i : d->n];
}

/* --- coming in -------------------------------------------------------------------- */

static bool
is_listed(uid_t uid, const uint32_t *uids, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (uids[i] == uid)
			return true;
	return false;
}

bool
door_lets_in(const struct door_policy *policy, int fd, struct peer *who)
{
	if (policy->n_uids == 0 && policy->n_gids == 0)
		return true;
	*who = (struct peer){ 0, (uid_t)-1, (gid_t)-1 };
	if (peer_read(fd, who) != 0)
		return false;
	return is_listed(who->uid, policy->uids, policy->n_uids) ||
	    peer_is_member(fd, who, policy->gids, policy->n_gids);
}
