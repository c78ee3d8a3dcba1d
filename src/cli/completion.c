#include "config.h"

#include "cli/completion.h"

#include <getopt.h>
#include <string.h>
#include <sysexits.h>

#include "cli/commands.h"

static const struct cli cli = {
	.name = "completion",
	.usage = "bash|zsh|fish|table",
	.about = "Prints the script by which a shell completes the commands and options of\n"
	         "pannier: source it, or put it where the shell looks; make install does. table:\n"
	         "for programs, a line for each option, cut by tabs: command, option, letter,\n"
	         "value, help.\n",
};

const struct cli *
completion_cli(void)
{
	return &cli;
}

/* --- what the tables say ----------------------------------------------------------------- */

/* It has no table, for it takes a command's name. */
static const struct cli *
help_cli(void)
{
	static const struct cli none = { .name = "help", .usage = "[COMMAND]", .about = "" };

	return &none;
}

const struct completion_command completion_commands[] = {
#define SUBCOMMAND(name, help) { #name, help, name##_cli },
#include "cli/cli.def"
#undef SUBCOMMAND
	{ "help", "Print the help of a command.", help_cli },
};
const unsigned completion_n_commands = ARRAY_LEN(completion_commands);

enum completion_kind
completion_kind(const char *arg)
{
	static const char *const files[] = { "FILE", "PATH", "ADDRESS" };

	if (arg != NULL && strchr(arg, '|') != NULL)
		return COMPLETE_WORDS;
	for (size_t i = 0; arg != NULL && i < ARRAY_LEN(files); i++)
		if (strcmp(arg, files[i]) == 0)
			return COMPLETE_FILES;
	return COMPLETE_NOTHING;
}

struct slice
completion_argument(const struct cli *c)
{
	struct slice s = slice_of(c->usage, strcspn(c->usage, " "));

	if (s.len > 1 && s.ptr[0] == '[')
		s = slice_of(s.ptr + 1, strcspn(s.ptr + 1, "] "));
	return slice_eq(s, SLICE("OPTION")) ? SLICE("") : s;
}

void
completion_print_words(struct slice arg, FILE *to)
{
	for (size_t i = 0; i < arg.len; i++)
		fputc(arg.ptr[i] == '|' ? ' ' : arg.ptr[i], to);
}

struct slice
completion_brief(const char *help)
{
	const char *end = strstr(help, ". ");
	size_t len = end != NULL ? (size_t)(end - help) : strlen(help);

	while (len > 0 && help[len - 1] == '.')
		len--;
	return slice_of(help, len);
}

/* --- the table, for programs -------------------------------------------------------------- */

static void
table_command(const struct cli *c, FILE *to)
{
	fprintf(to, "%s\t\t\t%s\t", c->name, c->usage);
	for (const char *p = c->about; *p != '\0'; p++)
		if (*p != '\n' || p[1] != '\0')
			fputc(*p == '\n' ? ' ' : *p, to);
	fputc('\n', to);
}

static void
table_option(const struct cli *c, const struct cli_option *o, FILE *to)
{
	char letter[2] = { o->letter, '\0' };

	fprintf(to, "%s\t%s\t%s\t%s\t%s\n", c->name, o->name, letter,
	    o->arg != NULL ? o->arg : "", o->help);
}

static const struct shell table = { "table", NULL, table_command, table_option, NULL, NULL };

/* --- the command ---------------------------------------------------------------------------- */

static void
print(const struct shell *s, FILE *to)
{
	if (s->begin != NULL)
		s->begin(to);
	for (unsigned i = 0; i < completion_n_commands; i++) {
		const struct cli *c = completion_commands[i].cli();

		s->command(c, to);
		for (unsigned k = 0; k < c->n; k++)
			s->option(c, &c->options[k], to);
		if (s->command_end != NULL)
			s->command_end(c, to);
	}
	if (s->end != NULL)
		s->end(to);
}

int
completion_main(int argc, char **argv)
{
	int i = cli_next(&cli, argc, argv);

	if (i != CLI_END)
		return i == CLI_HELP ? EX_OK : EX_USAGE;
	if (optind + 1 != argc)
		return cli_usage_error(&cli, "which shell? bash, zsh or fish");
	if (strcmp(argv[optind], table.name) == 0) {
		print(&table, stdout);
		return EX_OK;
	}
	for (unsigned k = 0; k < completion_n_shells; k++) {
		if (strcmp(argv[optind], completion_shells[k].name) == 0) {
			print(&completion_shells[k], stdout);
			return EX_OK;
		}
	}
	return cli_usage_error(&cli, "\"%s\" is no shell that is known: bash, zsh or fish",
	    argv[optind]);
}
