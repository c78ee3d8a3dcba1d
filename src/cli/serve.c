#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/activation.h"
#include "cli/commands.h"
#include "cli/config_args.h"
#include "cli/target.h"
#include "config/text.h"
#include "server/admin_http.h"
#include "server/seccomp.h"
#include "server/server.h"
#include "server/takeover.h"

/* As shells have it for what a signal ended. */
#define SIGNAL_EXIT 128

enum { OPT_CONFIG, OPT_TAKEOVER };

static const struct cli_option own[] = {
	{ "takeover", 0, NULL, "Take the place of the daemon that listens on `handover`." },
};

static struct cli cli = {
	.name = "serve",
	.usage = "[OPTION]...",
	.about = "Runs the daemon, in the foreground, until SIGTERM or SIGINT; the second one\n"
	         "stops it at once. SIGHUP reads the configuration again. Without options it is a\n"
	         "plain cache on a Unix socket of its own choice.\n",
};

const struct cli *
serve_cli(void)
{
	config_args_options(&cli, own, ARRAY_LEN(own));
	return &cli;
}

static MUST_CHECK int
parse(int argc, char **argv, struct config_args *a, bool *takeover)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		if (i == OPT_TAKEOVER)
			*takeover = true;
		else
			rc = config_args_take(a, &cli, ARRAY_LEN(own), i);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

/* File, environment and flags once more; also for SIGHUP. */
static MUST_CHECK int
load(void *arg, struct config **out, char *err, size_t err_size)
{
	const struct config_args *a = arg;
	struct config *c = NULL;
	struct config_error e;
	char listen[160];
	int rc = config_load(a->path, a->flags, a->n_flags, environ, &c, &e);

	if (rc == 0)
		rc = activation_add(c, &e);
	if (rc == 0 && c->n_listens == 0) {
		target_to_listen(listen, sizeof listen);
		rc = config_listen_add(c, slice_str(listen), &e);
	}
	if (rc != 0) {
		config_free(c);
		snprintf(err, err_size, "%s", e.text);
		return rc;
	}
	*out = c;
	return 0;
}

/* 0 with *out NULL: there is nobody whose place could be taken. */
static MUST_CHECK int
begin_takeover(const struct config_args *a, struct takeover **out, char *err, size_t err_size)
{
	struct config *c = NULL;
	struct config_error e;
	int rc = config_load(a->path, a->flags, a->n_flags, environ, &c, &e);

	if (rc != 0) {
		snprintf(err, err_size, "%s", e.text);
	} else if (c->handover == NULL) {
		snprintf(err, err_size, "--takeover: the configuration has no handover: PATH, the "
		    "socket of the daemon whose place is to be taken");
		rc = -EINVAL;
	} else {
		rc = takeover_begin(c->handover, out, err, err_size);
		if (rc == 1)
			log_info("take-over: nobody listens on %s; this is a start as any other",
			    c->handover);
	}
	config_free(c);
	return MIN(rc, 0);
}

static void
tell_warning(const char *text)
{
	log_warn("%s", text);
}

static int
start_exit_code(int rc)
{
	switch (rc) {
	case -EADDRINUSE:
		return EX_UNAVAILABLE;
	case -EINVAL:
	case -ENAMETOOLONG:
		return EX_CONFIG;
	case -EACCES:
	case -EPERM:
		return EX_NOPERM;
	case -ENOENT:
	case -ENOTDIR:
	case -EROFS:
		return EX_CANTCREAT;
	default:
		return EX_OSERR;
	}
}

static int
serve(struct config_args *a, struct config *cfg, struct takeover *t)
{
	struct server *s = NULL;
	char err[512] = "";
	int rc = server_new_from(cfg, a->path, t, &s, err, sizeof err), code;

	if (rc != 0) {
		cli_error(&cli, "%s", err[0] != '\0' ? err : strerror(-rc));
		return start_exit_code(rc);
	}
	server_notify(s);
	config_args_look_at(environ, tell_warning);
	for (unsigned i = 0; i < s->n_listeners; i++)
		log_info("listening on %s", listener_name(s->listeners[i]));
	if (admin_http_name(s->admin_http) != NULL)
		log_info("metrics and health on %s", admin_http_name(s->admin_http));
	rc = seccomp_start(server_config(&s->loops[0]), err, sizeof err);
	if (rc != 0) {
		cli_error(&cli, "%s", err);
		server_free(s);
		return EX_OSERR;
	}
	rc = server_run(s, load, a);
	if (rc != 0 && t == NULL)
		cli_error(&cli, "%s", strerror(-rc));
	code = s->cut_by != 0 ? SIGNAL_EXIT + s->cut_by : EX_OK;
	if (rc != 0)
		code = t != NULL ? EX_UNAVAILABLE : EX_OSERR;
	server_free(s);
	return code;
}

int
serve_main(int argc, char **argv)
{
	struct config_args a;
	struct config *cfg = NULL;
	struct takeover *t = NULL;
	bool takeover = false;
	char err[512];
	int rc;

	serve_cli(); /* its options */
	config_args_init(&a);
	rc = parse(argc, argv, &a, &takeover);
	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	rc = activation_begin(err, sizeof err);
	if (rc == 0 && takeover && (rc = begin_takeover(&a, &t, err, sizeof err)) != 0) {
		cli_error(&cli, "%s", err);
		return rc == -EINVAL ? EX_CONFIG : EX_UNAVAILABLE;
	}
	if (rc == 0)
		rc = load(&a, &cfg, err, sizeof err);
	if (rc != 0) {
		cli_error(&cli, "%s", err);
		return config_exit_code(rc);
	}
	rc = serve(&a, cfg, t);
	takeover_free(t);
	return rc;
}
