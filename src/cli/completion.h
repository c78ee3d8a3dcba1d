/* completion.h - what shells complete `pannier` by, written from the tables of options.
 * Each shell has a set of functions that are called in this order: begin, then for each
 * subcommand command, its options, command_end, then end. Main thread. */
#ifndef PANNIER_CLI_COMPLETION_H
#define PANNIER_CLI_COMPLETION_H

#include <stdio.h>

#include "base/slice.h"
#include "cli/options.h"

struct shell {
	const char *name;
	void (*begin)(FILE *to);
	void (*command)(const struct cli *c, FILE *to);
	void (*option)(const struct cli *c, const struct cli_option *o, FILE *to);
	void (*command_end)(const struct cli *c, FILE *to);
	void (*end)(FILE *to);
};

extern const struct shell completion_shells[];
extern const unsigned completion_n_shells;

struct completion_command {
	const char *name, *help;
	const struct cli *(*cli)(void);
};

/* Of cli.def; the last one is "help". */
extern const struct completion_command completion_commands[];
extern const unsigned completion_n_commands;

/* What a value is: from what it is called. */
enum completion_kind { COMPLETE_NOTHING, COMPLETE_FILES, COMPLETE_WORDS };
enum completion_kind completion_kind(const char *arg);
/* What an argument that is no option is called; "": there is none. */
struct slice completion_argument(const struct cli *c);
/* The words of "a|b|c", with blanks between. */
void completion_print_words(struct slice arg, FILE *to);
/* The first sentence of a help, without its full stop. */
struct slice completion_brief(const char *help);

#endif
