#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/options.h"

enum { OPT_SOCKET, OPT_TIMEOUT, OPT_QUIET };

static const struct cli_option options[] = {
	CLIENT_OPTION_SOCKET,
	CLIENT_OPTION_TIMEOUT,
	{ "quiet", 'q', NULL, "Print nothing; the exit code tells." },
};

static const struct cli cli = {
	.name = "ping",
	.usage = "[OPTION]...",
	.about = "Asks a daemon for a sign of life. Exits with 0 when it answered, and with 69\n"
	         "(unavailable) when it did not.\n",
	.options = options,
	.n = ARRAY_LEN(options),
	.n_shown = ARRAY_LEN(options),
};

const struct cli *
ping_cli(void)
{
	return &cli;
}

struct ping {
	const char *socket;
	int timeout_ms;
	bool quiet;
};

static int
parse(int argc, char **argv, struct ping *p)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		if (i == OPT_SOCKET)
			p->socket = optarg;
		else if (i == OPT_QUIET)
			p->quiet = true;
		else
			rc = cli_duration(&cli, "timeout", optarg, &p->timeout_ms);
	}
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

static int
ask(struct client *c, const struct ping *p, struct config_error *err)
{
	int64_t start_us = clock_mono_us();
	int rc = client_ping(c, err);

	if (rc == 0 && !p->quiet)
		printf("PONG from %s in %.2f ms\n", client_name(c),
		    (double)(clock_mono_us() - start_us) / 1000.0);
	return rc;
}

int
ping_main(int argc, char **argv)
{
	struct ping p = { .timeout_ms = CLIENT_TIMEOUT_MS };
	struct config_error err;
	struct client *c = NULL;
	int rc = parse(argc, argv, &p);

	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	rc = client_open_at(p.socket, p.timeout_ms, &c, &err);
	if (rc == 0)
		rc = ask(c, &p, &err);
	if (rc != 0 && !p.quiet)
		cli_error(&cli, "%s", err.text);
	client_close(c);
	return client_exit_code(rc);
}
