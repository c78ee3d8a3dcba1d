#include "config.h"

#include "cli/activation.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/inherit.h"
#include "server/server.h"

static char extra[INHERIT_MAX][INHERIT_NAME_MAX];
static unsigned n_extra;
static bool decided;

int
activation_begin(char *err, size_t err_size)
{
	int rc = inherit_from_systemd(getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
	    getenv("LISTEN_FDNAMES"), err, err_size);

	/* Meant for this process alone, and not for what it may start. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return rc < 0 ? rc : 0;
}

static bool
is_at_text(unsigned i, const char *text)
{
	struct config_listen l;
	struct config_error e;
	struct listen_opts o;
	bool is;

	if (text == NULL || config_admin_http_parse(slice_str(text), &l, &e) != 0)
		return false;
	o = server_listen_opts(&l);
	is = inherit_is_at(i, &o);
	config_listen_fini(&l);
	return is;
}

static bool
is_named(unsigned i, const struct config *c)
{
	for (unsigned k = 0; k < c->n_listens; k++) {
		struct listen_opts o = server_listen_opts(&c->listens[k]);

		if (inherit_is_at(i, &o))
			return true;
	}
	if (c->handover != NULL) {
		const struct listen_opts o = { .kind = LISTEN_UNIX, .path = c->handover };

		if (inherit_is_at(i, &o))
			return true;
	}
	return is_at_text(i, c->admin_http);
}

int
activation_add(struct config *c, struct config_error *e)
{
	struct config_error why;
	int rc = 0;

	for (unsigned i = 0; !decided && i < inherit_count(); i++)
		if (inherit_is_kept(i) && !is_named(i, c))
			snprintf(extra[n_extra++], sizeof extra[0], "%s", inherit_name(i));
	decided = true;
	for (unsigned i = 0; rc == 0 && i < n_extra; i++) {
		rc = config_listen_add(c, slice_str(extra[i]), &why);
		if (rc != 0)
			snprintf(e->text, sizeof e->text,
			    "the passed socket %s cannot be used: %.300s", extra[i], why.text);
	}
	return rc;
}
