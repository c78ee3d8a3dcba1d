#include "config.h"

#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sysexits.h>

#include "base/parse.h"
#include "config/text.h"

#define ROW_CODE 1000 /* of the first option; beyond all letters */
#define HELP_CODE 999

static void
vcomplain(const struct cli *c, const char *fmt, va_list ap)
{
	fprintf(stderr, "pannier %s: ", c->name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
cli_error(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(c, fmt, ap);
	va_end(ap);
}

int
cli_usage_error(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(c, fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'pannier %s --help'.\n", c->name);
	return EX_USAGE;
}

static void
print_option(const struct cli_option *o, FILE *to)
{
	char head[64];
	struct text t = text_in(head, sizeof head);

	if (o->letter != 0)
		text_add(&t, "-%c, --%s", o->letter, o->name);
	else
		text_add(&t, "    --%s", o->name);
	if (o->arg != NULL)
		text_add(&t, "=%s", o->arg);
	help_row(to, head, o->help);
}

static void
print_help(const struct cli *c, FILE *to)
{
	fprintf(to, "Usage: pannier %s %s\n\n%s\n", c->name, c->usage, c->about);
	for (unsigned i = 0; i < c->n_shown; i++)
		print_option(&c->options[i], to);
	help_row(to, "-h, --help", "Print this help.");
	if (c->more != NULL)
		c->more(to);
}

static void
getopt_tables(const struct cli *c, struct option *longs, char *letters)
{
	*letters++ = ':';
	*letters++ = 'h';
	for (unsigned i = 0; i < c->n; i++) {
		const struct cli_option *o = &c->options[i];

		*longs++ = (struct option){ o->name,
			o->arg != NULL ? required_argument : no_argument, NULL, ROW_CODE + (int)i };
		if (o->letter == 0)
			continue;
		*letters++ = o->letter;
		if (o->arg != NULL)
			*letters++ = ':';
	}
	*longs++ = (struct option){ "help", no_argument, NULL, HELP_CODE };
	*longs = (struct option){ 0 };
	*letters = '\0';
}

/* "--max" where several begin so. True: told. */
static bool
told_ambiguous(const struct cli *c, const char *word, size_t len)
{
	char all[512];
	struct text t = text_in(all, sizeof all);
	unsigned found = 0;

	for (unsigned i = 0; i < c->n; i++)
		if (strncmp(c->options[i].name, word, len) == 0)
			text_add(&t, "%s--%s", found++ != 0 ? ", " : "", c->options[i].name);
	if (found < 2)
		return false;
	cli_usage_error(c, "option --%.*s could be %s", (int)len, word, all);
	return true;
}

static void
unknown_long(const struct cli *c, const char *word)
{
	const char *names[CLI_OPTIONS_MAX + 1] = { "help" }, *near;
	size_t len = strcspn(word, "=");

	if (told_ambiguous(c, word, len))
		return;
	for (unsigned i = 0; i < c->n; i++)
		names[i + 1] = c->options[i].name;
	near = nearest(slice_of(word, len), names, c->n + 1);
	if (near != NULL)
		cli_usage_error(c, "unknown option --%.*s; did you mean --%s?", (int)len, word,
		    near);
	else
		cli_usage_error(c, "unknown option --%.*s", (int)len, word);
}

/* What getopt_long() answered with '?': optopt tells letters and options that
 * take no value; of an unknown long one it is 0. */
static void
unknown_option(const struct cli *c, char **argv)
{
	if (optopt >= ROW_CODE)
		cli_usage_error(c, "option --%s takes no value",
		    c->options[optopt - ROW_CODE].name);
	else if (optopt == HELP_CODE)
		cli_usage_error(c, "option --help takes no value");
	else if (optopt != 0)
		cli_usage_error(c, "unknown option -%c", optopt);
	else
		unknown_long(c, argv[optind - 1] + 2);
}

static int
index_of_letter(const struct cli *c, int letter)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->options[i].letter == letter)
			return (int)i;
	return CLI_WRONG;
}

int
cli_next(const struct cli *c, int argc, char **argv)
{
	struct option longs[CLI_OPTIONS_MAX + 2];
	char letters[2 * CLI_OPTIONS_MAX + 3];
	int code;

	getopt_tables(c, longs, letters);
	opterr = 0;
	code = getopt_long(argc, argv, letters, longs, NULL);
	switch (code) {
	case -1:
		return CLI_END;
	case 'h':
	case HELP_CODE:
		print_help(c, stdout);
		return CLI_HELP;
	case ':':
		cli_usage_error(c, "option %s wants a value", argv[optind - 1]);
		return CLI_WRONG;
	case '?':
		unknown_option(c, argv);
		return CLI_WRONG;
	default:
		return code >= ROW_CODE ? code - ROW_CODE : index_of_letter(c, code);
	}
}

int
cli_no_arguments(const struct cli *c, int argc, char **argv)
{
	if (optind >= argc)
		return 0;
	return cli_usage_error(c, "what is \"%s\"? No argument is wanted here", argv[optind]);
}

int
cli_duration(const struct cli *c, const char *option, const char *text, int *out_ms)
{
	int64_t ms;

	if (parse_duration_ms(slice_str(text), &ms) != 0 || ms < 1 || ms > INT_MAX)
		return cli_usage_error(c,
		    "--%s: \"%s\" is no duration; write for example 1s or 250ms", option, text);
	*out_ms = (int)ms;
	return 0;
}
