#include "config.h"

#include "cli/config_args.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "config/schema.h"
#include "config/text.h"
#include "config/value.h"

#define NAME_SIZE 48
#define WORDS_SIZE 1024

/* Filled by config_args_options(): the main thread's. */
static struct cli_option table[CLI_OPTIONS_MAX];
static char names[CLI_OPTIONS_MAX][NAME_SIZE];
static char words[WORDS_SIZE]; /* "a|b" of each option whose values have names */

/* "log-level" for log_level. */
static const char *
flag_name(unsigned row)
{
	char *name = names[row];

	snprintf(name, NAME_SIZE, "%s", config_option_name(row));
	for (char *p = name; *p != '\0'; p++)
		if (*p == '_')
			*p = '-';
	return name;
}

/* What a value is called; *used of the words are taken. */
static const char *
flag_arg(const struct field *f, size_t *used)
{
	const char *values[16], *start = words + *used;
	unsigned n = value_names(f, values, ARRAY_LEN(values));
	struct text t;

	if (n == 0 || *used == sizeof words)
		return value_metavar(f);
	t = text_in(words + *used, sizeof words - *used);
	for (unsigned i = 0; i < n; i++)
		text_add(&t, "%s%s", i != 0 ? "|" : "", values[i]);
	*used += t.len + 1;
	return start;
}

static void
print_more(FILE *to)
{
	fputs("\nOptions of the configuration stand over the environment (PANNIER_MEMORY, ...),\n"
	      "which stands over the file:\n\n",
	    to);
	config_print_flags(to);
}

void
config_args_options(struct cli *c, const struct cli_option *own, unsigned n_own)
{
	unsigned n = 0;
	size_t used = 0;

	assert(n_own + 2 + config_option_count() <= CLI_OPTIONS_MAX);
	table[n++] = (struct cli_option){ "config", 'c', "FILE",
		"Read FILE; without it, PANNIER_CONFIG names one, or there is none." };
	for (unsigned i = 0; i < n_own; i++)
		table[n++] = own[i];
	c->n_shown = n;
	table[n++] = (struct cli_option){ .name = "listen", .arg = "ADDRESS",
		.help = CONFIG_LISTEN_HELP };
	for (unsigned row = 0; row < config_option_count(); row++) {
		const struct field *f = &config_schema.fields[row];

		table[n++] = (struct cli_option){ .name = flag_name(row),
			.arg = flag_arg(f, &used), .help = f->help };
	}
	c->options = table;
	c->n = n;
	c->more = print_more;
}

void
config_args_init(struct config_args *a)
{
	const char *path = getenv("PANNIER_CONFIG");

	*a = (struct config_args){ .path = path != NULL && *path != '\0' ? path : NULL };
}

int
config_args_take(struct config_args *a, const struct cli *c, unsigned n_own, int index)
{
	int row = index - (int)n_own - 2;

	if (index == 0) {
		a->path = optarg;
		return 0;
	}
	assert(row >= -1);
	if (a->n_flags == CONFIG_ARGS_MAX)
		return cli_usage_error(c, "more than %d options", CONFIG_ARGS_MAX);
	a->flags[a->n_flags++] = (struct config_override){
		.name = row < 0 ? "listen" : config_option_name((unsigned)row),
		.value = optarg,
	};
	return 0;
}

int
config_exit_code(int rc)
{
	switch (rc) {
	case 0:
		return EX_OK;
	case -EINVAL:
		return EX_CONFIG;
	case -ENOMEM:
		return EX_OSERR;
	default:
		return EX_NOINPUT;
	}
}

void
config_args_look_at(char *const *environ_vars, void (*tell)(const char *text))
{
	const char *known[CLI_OPTIONS_MAX] = { "listen", "config", "password" }, *near;
	unsigned n = 3;
	char text[256];

	for (unsigned row = 0; row < config_option_count(); row++)
		known[n++] = config_option_name(row);
	for (; *environ_vars != NULL; environ_vars++) {
		const char *name = *environ_vars + strlen("PANNIER_");
		size_t len = strcspn(*environ_vars, "=");
		struct text t = text_in(text, sizeof text);

		if (strncmp(*environ_vars, "PANNIER_", strlen("PANNIER_")) != 0)
			continue;
		len -= strlen("PANNIER_");
		near = nearest(slice_of(name, len), known, n);
		if (near == NULL || (strlen(near) == len && strncasecmp(near, name, len) == 0))
			continue;
		text_add(&t, "the environment's PANNIER_%.*s is no option; did you mean PANNIER_",
		    (int)MIN(len, 40), name);
		for (; *near != '\0'; near++)
			text_add(&t, "%c", toupper((unsigned char)*near));
		text_add(&t, "?");
		tell(text);
	}
}
