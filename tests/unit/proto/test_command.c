#include "config.h"

#include "unit/suite.h"

#include <ctype.h>
#include <stdio.h>

#include "base/util.h"
#include "proto/command.h"

/* Looks "client id" up as a request of argc words. */
static enum command_lookup
find(const char *first, const char *second, uint32_t argc, const struct command **out)
{
	struct slice argv[8];

	for (unsigned i = 0; i < 8; i++)
		argv[i] = SLICE("x");
	argv[0] = slice_str(first);
	if (second != NULL)
		argv[1] = slice_str(second);
	return command_find(argv, argc, out);
}

static uint32_t
good_argc(const struct command *cmd)
{
	return (uint32_t)(cmd->arity < 0 ? -cmd->arity : cmd->arity);
}

/* The row's own name, split at '|', every second letter upper case. */
static enum command_lookup
find_row(const struct command *cmd, uint32_t argc, const struct command **out)
{
	char name[64];
	char *sub;

	snprintf(name, sizeof name, "%s", cmd->name);
	for (size_t i = 0; name[i] != '\0'; i += 2)
		name[i] = (char)toupper((unsigned char)name[i]);
	sub = strchr(name, '|');
	if (sub != NULL)
		*sub++ = '\0';
	return find(name, sub, argc, out);
}

START_TEST(every_row_is_found_by_its_name_in_any_case)
{
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const struct command *cmd = &command_table[id], *got = NULL;
		enum command_lookup rc = find_row(cmd, good_argc(cmd), &got);

		ck_assert_uint_eq(cmd->id, id);
		if (cmd->container && cmd->arity < -1) {
			/* Enough words, but the second is no subcommand. */
			ck_assert_int_eq(rc, COMMAND_UNKNOWN_SUBCOMMAND);
			rc = COMMAND_FOUND;
		}
		ck_assert_int_eq(rc, COMMAND_FOUND);
		ck_assert_ptr_eq(got, cmd);
	}
}
END_TEST

START_TEST(too_few_and_too_many_words_are_a_wrong_arity)
{
	for (unsigned id = 0; id < CMD_COUNT; id++) {
		const struct command *cmd = &command_table[id], *got = NULL;
		uint32_t few = good_argc(cmd) - 1;

		if (few >= 1 && (cmd->parent == cmd->id || few >= 2)) {
			ck_assert_int_eq(find_row(cmd, few, &got), COMMAND_WRONG_ARITY);
			ck_assert_ptr_eq(got, cmd);
		}
		if (cmd->arity > 0) {
			ck_assert_int_eq(find_row(cmd, few + 2, &got), COMMAND_WRONG_ARITY);
			ck_assert_ptr_eq(got, cmd);
		}
	}
}
END_TEST

START_TEST(what_is_not_in_the_table_is_unknown)
{
	static const char *const names[] = { "", "g", "ge", "gett", "xget", "GE\x14", "get ",
		"client|id", "id", "setname", "docs", "resetstat", "commandcommandcommand",
		"g\xc5t", "`et", "flushal", "flushflushall", "abcdefgh12345678" };
	const struct command *got = &command_table[0];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		ck_assert_int_eq(find(names[i], NULL, 2, &got), COMMAND_UNKNOWN);
		ck_assert_ptr_null(got);
	}
}
END_TEST

static enum command_lookup
find_again(struct command_memo *memo, struct slice name, uint32_t argc, const struct command **out)
{
	const struct slice argv[3] = { name, SLICE("x"), SLICE("y") };

	return command_find_again(memo, argv, argc, out);
}

START_TEST(a_memo_answers_as_the_table_does)
{
	struct command_memo memo = { 0 };
	const struct command *got, *again;

	ck_assert_int_eq(find_again(&memo, SLICE("\0\0\0"), 2, &got), COMMAND_UNKNOWN);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned id = 0; id < CMD_COUNT; id++)
			for (uint32_t argc = 1; argc <= 3; argc++) {
				struct slice name = slice_str(command_table[id].name);
				const struct slice argv[3] = { name, SLICE("x"), SLICE("y") };

				ck_assert_int_eq(find_again(&memo, name, argc, &again),
				    command_find(argv, argc, &got));
				ck_assert_ptr_eq(again, got);
			}
	ck_assert_int_eq(find_again(&memo, SLICE("GeT"), 2, &got), COMMAND_FOUND);
	for (int i = 0; i < 2; i++) {
		const struct slice known[] = { SLICE("acl"), SLICE("whoami") };
		const struct slice other[] = { SLICE("acl"), SLICE("nosuch") };

		ck_assert_int_eq(command_find_again(&memo, known, 2, &got), COMMAND_FOUND);
		ck_assert_int_eq(got->id, CMD_ID_acl_whoami);
		ck_assert_int_eq(command_find_again(&memo, other, 2, &got),
		    COMMAND_UNKNOWN_SUBCOMMAND);
	}
	ck_assert_int_eq(find_again(&memo, SLICE("\0\0\0"), 2, &got), COMMAND_UNKNOWN);
	ck_assert_int_eq(find_again(&memo, SLICE("xyz"), 2, &got), COMMAND_UNKNOWN);
	ck_assert_int_eq(find_again(&memo, SLICE("xyz"), 2, &got), COMMAND_UNKNOWN);
}
END_TEST

START_TEST(an_unknown_subcommand_names_its_container)
{
	const struct command *got = NULL;

	ck_assert_int_eq(find("CLIENT", "nope", 2, &got), COMMAND_UNKNOWN_SUBCOMMAND);
	ck_assert_uint_eq(got->id, CMD_ID_client);
	ck_assert_int_eq(find("command", "get", 2, &got), COMMAND_UNKNOWN_SUBCOMMAND);
	ck_assert_uint_eq(got->id, CMD_ID_command);
	ck_assert_int_eq(find("config", "", 3, &got), COMMAND_UNKNOWN_SUBCOMMAND);
	ck_assert_uint_eq(got->id, CMD_ID_config);
	ck_assert_int_eq(find("client", NULL, 1, &got), COMMAND_WRONG_ARITY);
	ck_assert_int_eq(find("command", NULL, 1, &got), COMMAND_FOUND);
}
END_TEST

START_TEST(containers_are_the_rows_that_have_subcommands)
{
	bool has_sub[CMD_COUNT] = { false };

	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (command_table[id].parent != id)
			has_sub[command_table[id].parent] = true;
	for (unsigned id = 0; id < CMD_COUNT; id++)
		ck_assert_int_eq(command_table[id].container, has_sub[id]);
}
END_TEST

START_TEST(what_writes_never_overtakes)
{
	for (unsigned id = 0; id < CMD_COUNT; id++)
		if (command_table[id].flags & CMD_OVERTAKES)
			ck_assert_uint_eq(command_table[id].flags & (CMD_WRITE | CMD_ADMIN), 0);
	ck_assert(command_table[CMD_ID_get].flags & CMD_OVERTAKES);
	ck_assert(!(command_table[CMD_ID_hello].flags & CMD_OVERTAKES));
	ck_assert(!(command_table[CMD_ID_client_setname].flags & CMD_OVERTAKES));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("command");

	SUITE_ADD(s, "table", every_row_is_found_by_its_name_in_any_case,
	    too_few_and_too_many_words_are_a_wrong_arity, what_is_not_in_the_table_is_unknown,
	    a_memo_answers_as_the_table_does, an_unknown_subcommand_names_its_container,
	    containers_are_the_rows_that_have_subcommands, what_writes_never_overtakes);
	return suite_main(s);
}
