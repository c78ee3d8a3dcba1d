#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "proto/command.h"
#include "proto/syntax.h"

static struct syntax_arg args[SYNTAX_ARGS_MAX];
static char text[2048];

/* name:type TOKEN? +* (children), ? optional, * multiple, + its token too. */
static void
print(const struct syntax_arg *a, unsigned n)
{
	for (unsigned i = 0; i < n; i += a[i].size) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof text - len, "%s%s:%s%s%.*s%s%s%s", i ? " " : "", a[i].name,
		    syntax_type_name(a[i].type), a[i].token.len ? "=" : "", (int)a[i].token.len,
		    a[i].token.ptr, a[i].optional ? "?" : "", a[i].multiple ? "*" : "",
		    a[i].multiple_token ? "+" : "");
		if (a[i].size == 1)
			continue;
		strcat(text, "(");
		print(a + i + 1, a[i].size - 1);
		strcat(text, ")");
	}
}

static const char *
tree(const char *syntax)
{
	int n = syntax_parse(syntax, args, SYNTAX_ARGS_MAX);

	text[0] = '\0';
	if (n < 0)
		return n == -EINVAL ? "malformed" : "?";
	print(args, (unsigned)n);
	return text;
}

START_TEST(words_are_arguments_and_capitals_are_tokens)
{
	ck_assert_str_eq(tree(""), "");
	ck_assert_str_eq(tree("key"), "key:key");
	ck_assert_str_eq(tree("key seconds value"), "key:key seconds:integer value:string");
	ck_assert_str_eq(tree("PERSIST"), "persist:pure-token=PERSIST");
	ck_assert_str_eq(tree("KEYS key INDEX index"), "key:key=KEYS index:integer=INDEX");
}
END_TEST

START_TEST(brackets_are_optional_and_angles_are_choices)
{
	ck_assert_str_eq(tree("[message]"), "message:string?");
	ck_assert_str_eq(tree("[GET]"), "get:pure-token=GET?");
	ck_assert_str_eq(tree("[NX | XX]"), "condition:oneof?(nx:pure-token=NX xx:pure-token=XX)");
	ck_assert_str_eq(tree("<A | b>"), "a_b:oneof(a:pure-token=A b:string)");
	ck_assert_str_eq(tree("[EX seconds | KEEPTTL]"),
	    "expiration:oneof?(seconds:integer=EX keepttl:pure-token=KEEPTTL)");
	ck_assert_str_eq(tree("[TYPE <NORMAL | MASTER>]"),
	    "normal_master:oneof=TYPE?(normal:pure-token=NORMAL master:pure-token=MASTER)");
	ck_assert_str_eq(tree("[FILTERBY <MODULE module-name | PATTERN pattern>]"),
	    "filterby:oneof=FILTERBY?(module-name:string=MODULE pattern:pattern=PATTERN)");
}
END_TEST

START_TEST(a_token_belongs_to_all_that_stands_behind_it_in_its_group)
{
	ck_assert_str_eq(tree("cursor [MATCH pattern] [COUNT count]"),
	    "cursor:integer pattern:pattern=MATCH? count:integer=COUNT?");
	ck_assert_str_eq(tree("[AUTH username password]"),
	    "username_password:block=AUTH?(username:string password:string)");
	ck_assert_str_eq(tree("[protover [AUTH username password] [SETNAME clientname]]"),
	    "arguments:block?(protover:integer username_password:block=AUTH?(username:string "
	    "password:string) clientname:string=SETNAME?)");
}
END_TEST

START_TEST(what_is_written_twice_may_be_repeated)
{
	ck_assert_str_eq(tree("key [key ...]"), "key:key*");
	ck_assert_str_eq(tree("[section [section ...]]"), "section:string?*");
	ck_assert_str_eq(tree("key value [key value ...]"), "key_value:block*(key:key value:string)");
	ck_assert_str_eq(tree("[ID client-id [client-id ...]]"), "client-id:integer=ID?*");
	ck_assert_str_eq(tree("x [GET pattern [GET pattern ...]]"), "x:string pattern:pattern=GET?*+");
}
END_TEST

START_TEST(malformed_texts_are_refused)
{
	static const char *const bad[] = { "[key", "key]", "<a", "a>", "<a]", "[]", "<>", "<a|>", "<|a>",
		"[a |]", "| a", "a | b", "...", "a ...", "[a ...]", "key [value ...]", "key [key value ...]",
		"a [b c [a ...]]" };

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(strcmp(tree(bad[i]), "malformed") == 0, "'%s' gave %s", bad[i], text);
}
END_TEST

START_TEST(too_many_arguments_are_refused)
{
	ck_assert_int_eq(syntax_parse("a b c", args, 3), 3);
	ck_assert_int_eq(syntax_parse("a b c d", args, 3), -EINVAL);
	ck_assert_int_eq(syntax_parse("[a b c]", args, 3), -EINVAL);
	ck_assert_int_eq(syntax_parse("A B C D", args, 3), -EINVAL);
}
END_TEST

START_TEST(names_that_are_too_long_are_cut)
{
	static char syntax[400];

	strcpy(syntax, "<");
	for (unsigned i = 0; i < 8; i++)
		strcat(syntax, i ? " | a-name-of-thirty-two-characters" : "b-name-of-thirty-two-characters");
	strcat(syntax, ">");
	ck_assert_int_eq(syntax_parse(syntax, args, SYNTAX_ARGS_MAX), 9);
	ck_assert_uint_eq(strlen(args[0].name), SYNTAX_NAME_MAX - 1);
}
END_TEST

START_TEST(every_row_of_the_table_can_be_parsed)
{
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const struct command *cmd = &command_table[id];
		int n = syntax_parse(cmd->syntax, args, SYNTAX_ARGS_MAX);

		ck_assert_msg(n >= 0, "%s: %s", cmd->name, cmd->syntax);
		ck_assert_msg((n == 0) == (cmd->syntax[0] == '\0'), "%s", cmd->name);
	}
}
END_TEST

/* What must be there, and no more than may be there, fits the arity. */
START_TEST(arguments_agree_with_the_arity)
{
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const struct command *cmd = &command_table[id];
		int n = syntax_parse(cmd->syntax, args, SYNTAX_ARGS_MAX);
		int must = cmd->parent == cmd->id ? 1 : 2, more = 0;

		if (cmd->container || cmd->id == CMD_ID_quit)
			continue; /* arguments of subcommands; any, for old clients */
		if (cmd->id == CMD_ID_command_getkeys || cmd->id == CMD_ID_command_getkeysandflags)
			continue; /* Redis lists none of theirs */
		if (cmd->id == CMD_ID_client_kill)
			continue; /* one word, or options of two */
		for (int i = 0; i < n; i += (int)args[i].size) {
			must += args[i].optional ? 0 : args[i].type == SYNTAX_BLOCK ? (int)args[i].size - 1 :
			    args[i].type != SYNTAX_ONEOF || args[i + 1].type == SYNTAX_PURE_TOKEN ? 1 : 2;
			more += args[i].optional || args[i].multiple;
		}
		ck_assert_msg(cmd->arity == (more ? -must : must), "%s: %d, not %d", cmd->name,
		    cmd->arity, more ? -must : must);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("syntax");

	SUITE_ADD(s, "tree", words_are_arguments_and_capitals_are_tokens,
	    brackets_are_optional_and_angles_are_choices,
	    a_token_belongs_to_all_that_stands_behind_it_in_its_group,
	    what_is_written_twice_may_be_repeated, malformed_texts_are_refused,
	    too_many_arguments_are_refused, names_that_are_too_long_are_cut);
	SUITE_ADD(s, "table", every_row_of_the_table_can_be_parsed, arguments_agree_with_the_arity);
	return suite_main(s);
}
