#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/config_args.h"
#include "config/machine.h"

enum { OPT_CONFIG, OPT_EFFECTIVE, OPT_REFERENCE, OPT_OTHER };

static const struct cli_option own[] = {
	{ "effective", 'e', NULL, "Print every value, with where it came from." },
	{ "reference", 0, NULL, "Print the tables of doc/config.md." },
};

static struct cli cli = {
	.name = "check",
	.usage = "[FILE] [OPTION]...",
	.about = "Checks a configuration, the environment and options together, as serve would\n"
	         "read them, and tells every error. Exits with 0, 78 (configuration) or 66 (no\n"
	         "such file).\n",
};

const struct cli *
check_cli(void)
{
	config_args_options(&cli, own, ARRAY_LEN(own));
	return &cli;
}

struct check {
	struct config_args args;
	bool effective, reference;
};

static int
parse(int argc, char **argv, struct check *k)
{
	int i, rc = 0;

	while (rc == 0 && (i = cli_next(&cli, argc, argv)) != CLI_END) {
		if (i == CLI_HELP || i == CLI_WRONG)
			return i;
		if (i == OPT_EFFECTIVE)
			k->effective = true;
		else if (i == OPT_REFERENCE)
			k->reference = true;
		else
			rc = config_args_take(&k->args, &cli, ARRAY_LEN(own), i);
	}
	if (rc == 0 && optind < argc)
		k->args.path = argv[optind++];
	if (rc == 0)
		rc = cli_no_arguments(&cli, argc, argv);
	return rc == 0 ? CLI_END : CLI_WRONG;
}

static void
tell_error(void *arg, const char *text)
{
	unsigned *n = arg;

	++*n;
	fprintf(stderr, "%s\n", text);
}

static void
tell_warning(const char *text)
{
	fprintf(stderr, "warning: %s\n", text);
}

static void
look_at_memory(const struct config *c)
{
	struct machine m;
	char text[384];

	machine_read(machine_root(), &m);
	if (machine_exceeded(&m, c->memory, text, sizeof text))
		tell_warning(text);
}

static int
check(const struct check *k)
{
	struct config *c = NULL;
	unsigned n = 0;
	int rc = config_check(k->args.path, k->args.flags, k->args.n_flags, environ, &c, tell_error,
	    &n);

	config_args_look_at(environ, tell_warning);
	if (rc != 0) {
		fprintf(stderr, "%u %s\n", n, n == 1 ? "error" : "errors");
		return config_exit_code(rc);
	}
	look_at_memory(c);
	if (k->effective)
		config_print(c, true, stdout);
	else
		printf("%s: OK\n", k->args.path != NULL ? k->args.path : "no file");
	config_free(c);
	return EX_OK;
}

int
check_main(int argc, char **argv)
{
	struct check k = { .effective = false };
	int rc;

	check_cli(); /* its options */
	config_args_init(&k.args);
	rc = parse(argc, argv, &k);
	if (rc != CLI_END)
		return rc == CLI_HELP ? EX_OK : EX_USAGE;
	if (!k.reference)
		return check(&k);
	config_print_reference(stdout);
	return EX_OK;
}
