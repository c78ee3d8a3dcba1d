/* commands.h - the subcommands of cli.def, each in a file of its own. Main thread. */
#ifndef PANNIER_CLI_COMMANDS_H
#define PANNIER_CLI_COMMANDS_H

struct cli;

#define SUBCOMMAND(name, help) \
	int name##_main(int argc, char **argv); \
	const struct cli *name##_cli(void);
#include "cli/cli.def"
#undef SUBCOMMAND

#endif
