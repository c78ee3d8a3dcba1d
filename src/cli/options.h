/* options.h - what the subcommands share: options from a table, help, and
 * errors that name the program. For the main thread of the program. */
#ifndef PANNIER_CLI_OPTIONS_H
#define PANNIER_CLI_OPTIONS_H

#include <stdio.h>

#include "base/util.h"

#define CLI_OPTIONS_MAX 48

struct cli_option {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	const char *arg;  /* what its value is called, "one|of|these"; NULL: it takes none */
	const char *help;
};

/* What a subcommand is, for its options and its help. --help is in all. */
struct cli {
	const char *name;   /* "ping" */
	const char *usage;  /* "[OPTION]..." */
	const char *about;  /* a paragraph, ends in a line feed */
	const struct cli_option *options;
	unsigned n;
	unsigned n_shown;   /* how many of them cli_help() lists itself */
	void (*more)(FILE *to); /* the rest of the help, or NULL */
};

enum { CLI_END = -1, CLI_WRONG = -2, CLI_HELP = -3 };

/* The next option's index, with its value in optarg; CLI_END: those left from
 * optind on are no options; CLI_WRONG: it was told what; CLI_HELP: printed. */
int cli_next(const struct cli *c, int argc, char **argv) MUST_CHECK;
/* "pannier ping: ..." on standard error. */
void cli_error(const struct cli *c, const char *fmt, ...) PRINTF(2, 3);
/* Likewise, with a hint at --help. The exit code: EX_USAGE. */
int cli_usage_error(const struct cli *c, const char *fmt, ...) PRINTF(2, 3);
/* Arguments that are no options, where none are wanted: 0 or EX_USAGE. */
int cli_no_arguments(const struct cli *c, int argc, char **argv) MUST_CHECK;
/* "1s", "250ms"; 0 or EX_USAGE after it was told what. */
int cli_duration(const struct cli *c, const char *option, const char *text, int *out_ms)
    MUST_CHECK;

#endif
