/* config_args.h - options of the subcommands that read a configuration: a
 * flag for each row of config.def, --listen and --config. */
#ifndef PANNIER_CLI_CONFIG_ARGS_H
#define PANNIER_CLI_CONFIG_ARGS_H

#include "cli/options.h"
#include "config/config.h"

#define CONFIG_ARGS_MAX 64

struct config_args {
	const char *path; /* NULL: none */
	struct config_override flags[CONFIG_ARGS_MAX]; /* values point into argv */
	unsigned n_flags;
};

/* --config and the subcommand's own options come first, and are those that
 * its help lists itself; *more is the rest of it. */
void config_args_options(struct cli *c, const struct cli_option *own, unsigned n_own);

/* PANNIER_CONFIG names the file where no option does. */
void config_args_init(struct config_args *a);
/* An option that cli_next() answered; own ones are numbered from 1 on.
 * 0, or EX_USAGE after it was told what. */
int config_args_take(struct config_args *a, const struct cli *c, unsigned n_own, int index)
    MUST_CHECK;

/* The exit code for what config_load() answered. */
int config_exit_code(int rc);
/* A variable PANNIER_... that is nearly the name of an option is likely a
 * mistake: tells of each. */
void config_args_look_at(char *const *environ_vars, void (*tell)(const char *text));

#endif
