/* Scripts of completion for bash, zsh and fish. */
#include "config.h"

#include "cli/completion.h"

#define MADE_BY(shell) "# Completion of pannier for " shell \
	"; written by `pannier completion " shell "`.\n"

/* Within single quotes of any of them; `more` are characters that want a backslash. */
static void
put_quoted(struct slice s, const char *quote, const char *more, FILE *to)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\'')
			fputs(quote, to);
		else if (strchr(more, s.ptr[i]) != NULL)
			fprintf(to, "\\%c", s.ptr[i]);
		else
			fputc(s.ptr[i], to);
	}
}

/* --- bash ------------------------------------------------------------------------------------ */

static const char bash_head[] =
    MADE_BY("bash")
    "\n"
    "_pannier()\n"
    "{\n"
    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD option='' words='' files=''\n"
    "\tCOMPREPLY=()\n"
    "\t# Readline cuts words at = and at :, and both stand alone then.\n"
    "\tcase $cur in\n"
    "\t--*=*) option=${cur%%=*} cur=${cur#*=} ;;\n"
    "\t*)\n"
    "\t\tif [ \"$cur\" = = ] || [ \"$cur\" = : ]; then cur='' at=$((at + 1)); fi\n"
    "\t\tif [ \"${COMP_WORDS[at - 1]}\" = : ]; then at=$((at - 2)); fi\n"
    "\t\tif [ \"${COMP_WORDS[at - 1]}\" = = ]; then at=$((at - 1)); fi\n"
    "\t\tif [ \"$at\" -gt 1 ]; then option=${COMP_WORDS[at - 1]}; fi ;;\n"
    "\tesac\n"
    "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -W \"";
static const char bash_cases[] =
    "\" -- \"$cur\")\n"
    "\t\treturn\n"
    "\tfi\n"
    "\t# The value of an option,\n"
    "\tcase ${COMP_WORDS[1]}' '$option in\n";
static const char bash_tail[] =
    "\t*) option='' ;;\n"
    "\tesac\n"
    "\t# or an option, or an argument.\n"
    "\tif [ -z \"$option\" ]; then\n"
    "\t\tcase ${COMP_WORDS[1]} in\n";
static const char bash_end[] =
    "\t\tesac\n"
    "\t\tcase $cur in\n"
    "\t\t-*) files='' ;;\n"
    "\t\tesac\n"
    "\tfi\n"
    "\tif [ -n \"$files\" ]; then\n"
    "\t\tcompopt -o filenames\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "\telse\n"
    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "\t\tcase ${#COMPREPLY[@]}${COMPREPLY[0]} in\n"
    "\t\t1*=) compopt -o nospace ;;\n"
    "\t\tesac\n"
    "\tfi\n"
    "}\n"
    "complete -F _pannier pannier\n";

static void
bash_begin(FILE *to)
{
	fputs(bash_head, to);
	for (unsigned i = 0; i < completion_n_commands; i++)
		fprintf(to, "%s ", completion_commands[i].name);
	fprintf(to, "--help --version%s", bash_cases);
}

static void
bash_command(const struct cli *c, FILE *to)
{
	(void)c;
	(void)to;
}

static void
bash_option(const struct cli *c, const struct cli_option *o, FILE *to)
{
	if (o->arg == NULL)
		return;
	fprintf(to, "\t'%s --%s'", c->name, o->name);
	if (o->letter != 0)
		fprintf(to, " | '%s -%c'", c->name, o->letter);
	switch (completion_kind(o->arg)) {
	case COMPLETE_FILES:
		fputs(") files=1 ;;\n", to);
		break;
	case COMPLETE_WORDS:
		fputs(") words='", to);
		completion_print_words(slice_str(o->arg), to);
		fputs("' ;;\n", to);
		break;
	default:
		fputs(") ;;\n", to);
	}
}

/* Its options, which stay words; where it takes a file and no option was begun, files. */
static void
bash_words(const struct cli *c, FILE *to)
{
	struct slice argument = completion_argument(c);

	fprintf(to, "\t\t%s) words='", c->name);
	if (slice_eq(argument, SLICE("COMMAND")))
		for (unsigned i = 0; i < completion_n_commands; i++)
			fprintf(to, "%s ", completion_commands[i].name);
	else if (memchr(argument.ptr, '|', argument.len) != NULL)
		completion_print_words(argument, to);
	for (unsigned i = 0; i < c->n; i++)
		fprintf(to, "%s--%s%s", i != 0 ? " " : "", c->options[i].name,
		    c->options[i].arg != NULL ? "=" : "");
	fprintf(to, " --help'%s ;;\n", slice_eq(argument, SLICE("FILE")) ? " files=1" : "");
}

static void
bash_finish(FILE *to)
{
	fputs(bash_tail, to);
	for (unsigned i = 0; i < completion_n_commands; i++)
		bash_words(completion_commands[i].cli(), to);
	fputs(bash_end, to);
}

/* --- zsh ------------------------------------------------------------------------------------- */

#define ZSH_QUOTE "'\\''"

static const char zsh_head[] =
    "#compdef pannier\n"
    MADE_BY("zsh")
    "\n"
    "_pannier()\n"
    "{\n"
    "\tlocal curcontext=$curcontext state line ret=1\n"
    "\tlocal -a commands\n"
    "\tcommands=(\n";
static const char zsh_cases[] =
    "\t)\n"
    "\t_arguments -C \\\n"
    "\t\t'(- *)'{-h,--help}'[Print this help]' \\\n"
    "\t\t'(- *)'{-V,--version}'[Print the version]' \\\n"
    "\t\t'1:command:->command' \\\n"
    "\t\t'*::argument:->argument' && ret=0\n"
    "\tcase $state in\n"
    "\tcommand) _describe -t commands command commands && ret=0 ;;\n"
    "\targument)\n"
    "\t\tcase $words[1] in\n";
static const char zsh_end[] =
    "\t\tesac ;;\n"
    "\tesac\n"
    "\treturn ret\n"
    "}\n"
    "\n"
    "if [ \"$funcstack[1]\" = _pannier ]; then\n"
    "\t_pannier \"$@\"\n"
    "else\n"
    "\tcompdef _pannier pannier\n"
    "fi\n";

static void
zsh_begin(FILE *to)
{
	fputs(zsh_head, to);
	for (unsigned i = 0; i < completion_n_commands; i++) {
		fprintf(to, "\t\t'%s:", completion_commands[i].name);
		put_quoted(completion_brief(completion_commands[i].help), ZSH_QUOTE, ":\\", to);
		fputs("'\n", to);
	}
	fputs(zsh_cases, to);
}

/* The action behind a value's or an argument's name. */
static void
zsh_action(struct slice arg, enum completion_kind kind, FILE *to)
{
	if (kind == COMPLETE_WORDS) {
		fputs(":value:(", to);
		completion_print_words(arg, to);
		fputc(')', to);
	} else {
		fprintf(to, ":%.*s:%s", (int)arg.len, arg.ptr,
		    kind == COMPLETE_FILES ? "_files" : " ");
	}
}

static void
zsh_command(const struct cli *c, FILE *to)
{
	fprintf(to, "\t\t%s)\n\t\t\t_arguments -s \\\n"
	    "\t\t\t\t'(- *)'{-h,--help}'[Print this help]' \\\n", c->name);
}

static void
zsh_option(const struct cli *c, const struct cli_option *o, FILE *to)
{
	const char *joint = o->arg != NULL ? "=" : "";

	(void)c;
	if (o->letter != 0)
		fprintf(to, "\t\t\t\t'(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter,
		    o->arg != NULL ? "+" : "", o->name, joint);
	else /* listen is the only one that may come again */
		fprintf(to, "\t\t\t\t'%s--%s%s[", strcmp(o->name, "listen") == 0 ? "*" : "",
		    o->name, joint);
	put_quoted(completion_brief(o->help), ZSH_QUOTE, "[]\\", to);
	fputc(']', to);
	if (o->arg != NULL)
		zsh_action(slice_str(o->arg), completion_kind(o->arg), to);
	fputs("' \\\n", to);
}

static void
zsh_command_end(const struct cli *c, FILE *to)
{
	struct slice argument = completion_argument(c);

	fputs("\t\t\t\t", to);
	if (slice_eq(argument, SLICE("COMMAND"))) {
		fputs("'1:command:{_describe -t commands command commands}' ", to);
	} else if (argument.len != 0) {
		fputs("'1", to);
		zsh_action(argument, memchr(argument.ptr, '|', argument.len) != NULL ?
		    COMPLETE_WORDS : COMPLETE_FILES, to);
		fputs("' ", to);
	}
	fputs("&& ret=0 ;;\n", to);
}

static void
zsh_finish(FILE *to)
{
	fputs(zsh_end, to);
}

/* --- fish ------------------------------------------------------------------------------------ */

#define FISH_QUOTE "\\'"
#define FISH_FIRST "complete -c pannier -n __fish_use_subcommand"
#define FISH_IN "complete -c pannier -n '__fish_seen_subcommand_from %s'"

static void
fish_begin(FILE *to)
{
	fputs(MADE_BY("fish") "\n"
	    "complete -c pannier -f\n"
	    FISH_FIRST " -s h -l help -d 'Print this help'\n"
	    FISH_FIRST " -s V -l version -d 'Print the version'\n", to);
	for (unsigned i = 0; i < completion_n_commands; i++) {
		fprintf(to, FISH_FIRST " -a %s -d '", completion_commands[i].name);
		put_quoted(completion_brief(completion_commands[i].help), FISH_QUOTE, "\\", to);
		fputs("'\n", to);
	}
}

static void
fish_command(const struct cli *c, FILE *to)
{
	struct slice argument = completion_argument(c);

	fprintf(to, "\n" FISH_IN " -s h -l help -d 'Print this help'\n", c->name);
	if (slice_eq(argument, SLICE("FILE"))) {
		fprintf(to, FISH_IN " -F\n", c->name);
	} else if (slice_eq(argument, SLICE("COMMAND"))) {
		fprintf(to, FISH_IN " -a '", c->name);
		for (unsigned i = 0; i < completion_n_commands; i++)
			fprintf(to, "%s%s", i != 0 ? " " : "", completion_commands[i].name);
		fputs("'\n", to);
	} else if (argument.len != 0) {
		fprintf(to, FISH_IN " -a '", c->name);
		completion_print_words(argument, to);
		fputs("'\n", to);
	}
}

static void
fish_option(const struct cli *c, const struct cli_option *o, FILE *to)
{
	fprintf(to, FISH_IN, c->name);
	if (o->letter != 0)
		fprintf(to, " -s %c", o->letter);
	fprintf(to, " -l %s -d '", o->name);
	put_quoted(completion_brief(o->help), FISH_QUOTE, "\\", to);
	fputc('\'', to);
	if (o->arg == NULL) {
		fputc('\n', to);
		return;
	}
	switch (completion_kind(o->arg)) {
	case COMPLETE_FILES:
		fputs(" -r -F\n", to);
		break;
	case COMPLETE_WORDS:
		fputs(" -x -a '", to);
		completion_print_words(slice_str(o->arg), to);
		fputs("'\n", to);
		break;
	default:
		fputs(" -x\n", to);
	}
}

const struct shell completion_shells[] = {
	{ "bash", bash_begin, bash_command, bash_option, NULL, bash_finish },
	{ "zsh", zsh_begin, zsh_command, zsh_option, zsh_command_end, zsh_finish },
	{ "fish", fish_begin, fish_command, fish_option, NULL, NULL },
};
const unsigned completion_n_shells = ARRAY_LEN(completion_shells);
