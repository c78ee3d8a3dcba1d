/* slow_backend - the demo's backend as a program, for integration tests:
 *
 *   slow_backend [--port N] [--latency MS] [--bytes N] [--fail PERCENT]
 *                [--max-age S] [--threads N]
 *
 * Prints "listening PORT" when it accepts, "requests N peak N" at each SIGUSR1
 * and when SIGTERM or SIGINT ends it. Killed, it is a backend that died. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/parse.h"
#include "cli/backend.h"

static int
number(const char *text)
{
	uint64_t n;

	if (parse_u64(slice_str(text), &n) != 0 || n > 1000000000) {
		fprintf(stderr, "slow_backend: %s is no number\n", text);
		exit(EX_USAGE);
	}
	return (int)n;
}

static void
parse_options(int argc, char **argv, struct backend_opts *o)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' }, { "latency", required_argument, NULL, 'l' },
		{ "bytes", required_argument, NULL, 'b' }, { "fail", required_argument, NULL, 'f' },
		{ "max-age", required_argument, NULL, 'm' },
		{ "threads", required_argument, NULL, 't' }, { NULL, 0, NULL, 0 } };
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int n = opt != '?' ? number(optarg) : 0;

		switch (opt) {
		case 'p': o->port = (uint16_t)n; break;
		case 'l': o->latency_ms = (unsigned)n; break;
		case 'b': o->value_bytes = (unsigned)n; break;
		case 'f': o->fail_percent = (unsigned)n; break;
		case 'm': o->max_age_s = n; break;
		case 't': o->threads = (unsigned)n; break;
		default: exit(EX_USAGE);
		}
	}
}

int
main(int argc, char **argv)
{
	struct backend_opts o = { .latency_ms = 20, .value_bytes = 400, .max_age_s = -1, .threads = 1 };
	struct backend *b;
	char err[256];
	sigset_t set;
	int got;

	parse_options(argc, argv, &o);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL); /* its threads have them blocked, too */
	if (backend_start(&o, &b, err, sizeof err) != 0) {
		fprintf(stderr, "slow_backend: %s\n", err);
		return EX_UNAVAILABLE;
	}
	printf("listening %u\n", backend_port(b));
	do {
		fflush(stdout);
		while (sigwait(&set, &got) != 0)
			;
		printf("requests %llu peak %llu\n", (unsigned long long)backend_requests(b),
		    (unsigned long long)backend_peak(b));
	} while (got == SIGUSR1);
	backend_stop(b);
	return EXIT_SUCCESS;
}
