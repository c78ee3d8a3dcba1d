/* main.c - finds the subcommand and runs it. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/util.h"
#include "cli/commands.h"
#include "config/text.h"

static const struct subcommand {
	const char *name, *help;
	int (*run)(int argc, char **argv);
} subcommands[] = {
#define SUBCOMMAND(name, help) { #name, help, name##_main },
#include "cli/cli.def"
#undef SUBCOMMAND
};

static void
print_usage(FILE *to)
{
	fputs("Usage: pannier COMMAND [OPTION]...\n\n"
	      "A cache beside each pod: speaks Redis over a Unix socket, fetches each missing\n"
	      "key once, and stays within its memory limit.\n\n",
	    to);
	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		help_row(to, subcommands[i].name, subcommands[i].help);
	fprintf(to, "\n'pannier help COMMAND' has more on each.\n\n");
	help_row(to, "-h, --help", "Print this help.");
	help_row(to, "-V, --version", "Print the version.");
}

static const struct subcommand *
find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		if (strcmp(name, subcommands[i].name) == 0)
			return &subcommands[i];
	return NULL;
}

static int
unknown(const char *name)
{
	const char *names[ARRAY_LEN(subcommands) + 1] = { "help" }, *near;

	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		names[i + 1] = subcommands[i].name;
	near = nearest(slice_str(name), names, ARRAY_LEN(names));
	fprintf(stderr, "pannier: unknown %s \"%s\"", name[0] == '-' ? "option" : "command", name);
	if (near != NULL && name[0] != '-')
		fprintf(stderr, "; did you mean \"%s\"?", near);
	fprintf(stderr, "\nTry 'pannier --help'.\n");
	return EX_USAGE;
}

/* "help serve" is "serve --help". */
static int
help(int argc, char **argv)
{
	char flag[] = "--help";
	char *args[] = { argv[1], flag, NULL };
	const struct subcommand *s;

	if (argc < 2) {
		print_usage(stdout);
		return EX_OK;
	}
	s = find(argv[1]);
	return s != NULL ? s->run(2, args) : unknown(argv[1]);
}

static int
run(int argc, char **argv)
{
	const struct subcommand *s;

	if (argc < 2) {
		print_usage(stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help(1, argv + 1);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("pannier %s\n", PACKAGE_VERSION);
		return EX_OK;
	}
	s = find(argv[1]);
	return s != NULL ? s->run(argc - 1, argv + 1) : unknown(argv[1]);
}

int
main(int argc, char **argv)
{
	int code = run(argc, argv);

	/* A full disk or a closed pipe must not look like a success. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == EX_OK) {
		fprintf(stderr, "pannier: cannot write: %s\n", strerror(errno));
		code = EX_IOERR;
	}
	return code;
}
