#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/stats_view.h"

enum { OPT_SOCKET, OPT_TIMEOUT, OPT_JSON, OPT_WATCH };

static const struct cli_option options[] = {
	CLIENT_OPTION_SOCKET,
	CLIENT_OPTION_TIMEOUT,
	{ "json", 'j', NULL, "All that INFO says, as one line of JSON." },
	{ "watch", 'w', "DURATION", "Again and again, so far apart, until ^C." },
};

static const struct cli cli = {
	.name = "stats",
	.usage = "[OPTION]...",
	.about = "Shows what a daemon does: memory against its limit, hit rates by namespace,\n"
	         "what its origins answer.\n",
	.options = options,
	.n = ARRAY_LEN(options),
	.n_shown = ARRAY_LEN(options),
};

const struct cli *
stats_cli(void)
{
	return &cli;
}

struct stats_args {
	const char *socket;
	int timeout_ms, watch_ms; /* 0: once */
	bool json;
};

static int
parse(int argc, char **argv, struct stats_args *a)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		if (i == OPT_SOCKET)
			a->socket = optarg;
		else if (i == OPT_JSON)
			a->json = true;
		else if (i == OPT_TIMEOUT)
			rc = cli_duration(&cli, "timeout", optarg, &a->timeout_ms);
		else
			rc = cli_duration(&cli, "watch", optarg, &a->watch_ms);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

static MUST_CHECK int
show(const struct client *c, const struct stats_args *a, struct slice text,
    struct config_error *err)
{
	struct info_doc d;
	int rc = info_doc_read(text, &d);

	if (rc == 0 && a->json)
		info_doc_json(&d, stdout);
	else if (rc == 0)
		rc = stats_view(&d, client_name(c), stdout);
	info_doc_fini(&d);
	if (rc != 0)
		snprintf(err->text, sizeof err->text, "out of memory");
	fflush(stdout);
	return rc;
}

static MUST_CHECK int
ask(struct client *c, const struct stats_args *a, struct config_error *err)
{
	struct buf text;
	int rc;

	buf_init(&text);
	rc = client_info(c, "everything", &text, err);
	if (rc == 0 && a->watch_ms != 0 && !a->json && isatty(STDOUT_FILENO))
		printf("\033[H\033[J"); /* home, clear what is below */
	if (rc == 0)
		rc = show(c, a, buf_slice(&text), err);
	buf_fini(&text);
	return rc;
}

static MUST_CHECK int
run(struct client *c, const struct stats_args *a, struct config_error *err)
{
	int rc = ask(c, a, err);

	while (rc == 0 && a->watch_ms != 0 && !ferror(stdout)) {
		poll(NULL, 0, a->watch_ms);
		if (!a->json && !isatty(STDOUT_FILENO))
			printf("\n");
		rc = ask(c, a, err);
	}
	return rc;
}

int
stats_main(int argc, char **argv)
{
	struct stats_args a = { .timeout_ms = CLIENT_TIMEOUT_MS };
	struct config_error err;
	struct client *c = NULL;
	int rc = parse(argc, argv, &a);

	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	rc = client_open_at(a.socket, a.timeout_ms, &c, &err);
	if (rc == 0)
		rc = run(c, &a, &err);
	if (rc != 0)
		cli_error(&cli, "%s", err.text);
	client_close(c);
	return client_exit_code(rc);
}
