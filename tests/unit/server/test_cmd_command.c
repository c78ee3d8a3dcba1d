#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "base/mem.h"
#include "proto/resp.h"
#include "server/call.h"

#define MAX_BULK 65536

static const struct recorded {
	const char *name, *info, *docs;
} recorded[] = {
#define RECORDED(name, info, docs) { name, info, docs },
#include "command_redis.def"
#undef RECORDED
};

/* --- a call, and its reply as text ---------------------------------------------- */

static struct out out;
static struct buf text;

/* "COMMAND INFO get" by its words. */
static void
call(cmd_handler *handler, enum command_id id, enum wire wire, const char *const *words, uint32_t n)
{
	struct reply reply = { .out = &out, .wire = wire };
	struct slice argv[8];
	struct call c = {
		.cmd = &command_table[id], .argv = argv, .argc = n, .reply = &reply
	};

	for (uint32_t i = 0; i < n; i++)
		argv[i] = slice_str(words[i]);
	out_fini(&out);
	handler(&c);
}

#define CALL(sub, wire, ...) \
	call(cmd_command_##sub, CMD_ID_command_##sub, wire, \
	    (const char *const[]){ "COMMAND", #sub, __VA_ARGS__ }, \
	    ARRAY_LEN(((const char *const[]){ "COMMAND", #sub, __VA_ARGS__ })))

static struct slice
sent(void)
{
	return buf_slice(&out.bytes);
}

static void
add(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_eq(buf_vprintf(&text, fmt, ap), 0);
	va_end(ap);
}

static void print_next(struct slice reply, size_t *pos);

static void
forget_from(size_t begin)
{
	text.tail = text.head + begin;
}

static void
print_elements(struct slice reply, size_t *pos, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		size_t begin = buf_len(&text);

		add("%s", i != 0 ? " " : "");
		print_next(reply, pos);
		if (n == 10 && i == 9) /* a row of COMMAND INFO: its subcommands */
			forget_from(begin);
	}
}

static void
print_pairs(struct slice reply, size_t *pos, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		size_t begin = buf_len(&text);

		add("%s", i != 0 ? " " : "");
		print_next(reply, pos);
		add(": ");
		print_next(reply, pos);
		if (strstr(buf_data(&text) + begin, "'subcommands'") != NULL)
			forget_from(begin);
	}
}

/* As command_redis.def has it. */
static void
print_next(struct slice reply, size_t *pos)
{
	struct resp_value v;

	ck_assert(resp_reply_next(reply, pos, &v));
	switch (v.type) {
	case RESP_ARRAY:
	case RESP_SET:
		add(v.type == RESP_SET ? "~[" : "[");
		print_elements(reply, pos, v.n);
		add("]");
		break;
	case RESP_MAP:
		add("{");
		print_pairs(reply, pos, v.n);
		add("}");
		break;
	case RESP_NIL:
		add("nil");
		break;
	case RESP_BULK:
		add("'%.*s'", (int)v.text.len, v.text.ptr);
		break;
	default:
		add("%.*s", (int)v.text.len, v.text.ptr);
		break;
	}
}

/* The element behind the first `skip` of the last reply. */
static const char *
printed(unsigned skip)
{
	struct resp_value v;
	size_t pos = 0;

	ck_assert_int_eq(resp_reply_len(sent().ptr, sent().len, MAX_BULK), (int64_t)sent().len);
	while (skip-- > 0)
		ck_assert(resp_reply_next(sent(), &pos, &v));
	buf_clear(&text);
	print_next(sent(), &pos);
	add("%c", '\0');
	return buf_data(&text);
}

/* How many elements or pairs the last reply has. */
static int64_t
count(void)
{
	struct resp_value v;
	size_t pos = 0;

	ck_assert(resp_reply_next(sent(), &pos, &v));
	return v.n;
}

/* --- the same as Redis ------------------------------------------------------------ */

START_TEST(info_is_what_redis_said)
{
	for (unsigned i = 0; i < ARRAY_LEN(recorded); i++) {
		CALL(info, WIRE_RESP3, recorded[i].name);
		ck_assert_str_eq(printed(1), recorded[i].info);
	}
}
END_TEST

/* Redis's blocks around one argument, and the names and types that it has for
 * some arguments, are not in its own syntax. */
static bool
has_own_arguments(const char *name)
{
	static const char *const names[] = {
		"client|list", "client|kill", "client|pause", "client|reply", "client|no-evict",
		"config|get", "incrbyfloat", "setbit", "bitfield", "psubscribe",
	};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

START_TEST(docs_are_what_redis_said)
{
	for (unsigned i = 0; i < ARRAY_LEN(recorded); i++) {
		if (has_own_arguments(recorded[i].name))
			continue;
		CALL(docs, WIRE_RESP3, recorded[i].name);
		ck_assert_str_eq(printed(2), recorded[i].docs);
	}
}
END_TEST

START_TEST(every_row_but_ours_is_compared)
{
	/* CLIENT SETINFO and NO-TOUCH are of 7.2, DELIFEQ of Valkey, CL.THROTTLE of redis-cell,
	 * PANNIER.LEASE, INVALIDATE, ADVISE, HOTKEYS, MONITOR, SLOWLOG, SNAPSHOT and ORIGIN with
	 * its six are ours. */
	ck_assert_uint_eq(ARRAY_LEN(recorded), CMD_COUNT - 18);
}
END_TEST

START_TEST(in_resp2_maps_and_sets_are_arrays)
{
	CALL(info, WIRE_RESP2, "get");
	ck_assert(slice_eq(sent(),
	    SLICE("*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
	          "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n"
	          "*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n"
	          "$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n"
	          "$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n"
	          "$5\r\nlimit\r\n:0\r\n*0\r\n")));
	CALL(docs, WIRE_RESP2, "get");
	ck_assert(slice_eq(sent(),
	    SLICE("*2\r\n$3\r\nget\r\n*10\r\n$7\r\nsummary\r\n$22\r\nGet the value of a key\r\n"
	          "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n$10\r\ncomplexity\r\n"
	          "$4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n*6\r\n$4\r\nname\r\n$3\r\nkey\r\n"
	          "$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n")));
}
END_TEST

/* --- names, counts, filters -------------------------------------------------------- */

START_TEST(names_are_found_in_any_case_and_strangers_are_nil)
{
	CALL(info, WIRE_RESP2, "GeT", "nope", "CLIENT|ID", "client", "get|x", "|");
	ck_assert_int_eq(count(), 6);
	ck_assert_ptr_nonnull(strstr(printed(0), "'get'"));
	ck_assert_ptr_nonnull(strstr(printed(0), " nil ['client|id'"));
	ck_assert_ptr_nonnull(strstr(printed(0), "] ['client' "));
	ck_assert_ptr_nonnull(strstr(printed(0), " nil nil]"));
	CALL(docs, WIRE_RESP3, "nope", "GeT", "get|id", "", "client|", "command|docs");
	ck_assert_int_eq(count(), 2);
}
END_TEST

START_TEST(all_commands_are_in_every_form)
{
	int64_t top = 0;

	for (unsigned id = 0; id < CMD_COUNT; id++)
		top += command_table[id].parent == id;
	for (enum wire wire = WIRE_RESP2; wire <= WIRE_RESP3; wire++) {
		CALL(count, wire);
		ck_assert_int_eq(count(), top);
		call(cmd_command, CMD_ID_command, wire, (const char *const[]){ "COMMAND" }, 1);
		ck_assert_int_eq(count(), top);
		printed(0);
		CALL(info, wire);
		ck_assert_int_eq(count(), top);
		CALL(docs, wire);
		ck_assert_int_eq(count(), wire == WIRE_RESP2 ? 2 * top : top);
		printed(0);
		CALL(list, wire);
		ck_assert_int_eq(count(), CMD_COUNT);
	}
}
END_TEST

static bool
sent_has(struct slice part)
{
	return memmem(sent().ptr, sent().len, part.ptr, part.len) != NULL;
}

START_TEST(subcommands_are_within_their_container)
{
	CALL(docs, WIRE_RESP3, "config");
	ck_assert(sent_has(SLICE("$11\r\nsubcommands\r\n%5\r\n$10\r\nconfig|get\r\n%")));
	CALL(info, WIRE_RESP3, "config");
	ck_assert(sent_has(SLICE("*5\r\n*10\r\n$10\r\nconfig|get\r\n:-3\r\n")));
}
END_TEST

START_TEST(keys_of_requests_are_found)
{
	CALL(getkeys, WIRE_RESP3, "MSET", "a", "1", "b");
	ck_assert_str_eq(printed(0), "['a' 'b']");
	CALL(getkeys, WIRE_RESP3, "object", "ENCODING", "k");
	ck_assert_str_eq(printed(0), "['k']");
	CALL(getkeysandflags, WIRE_RESP3, "bitop", "and", "a", "b", "c");
	ck_assert_str_eq(printed(0),
	    "[['a' ~[OW update]] ['b' ~[RO access]] ['c' ~[RO access]]]");
	CALL(getkeysandflags, WIRE_RESP3, "set", "a", "get", "Get");
	ck_assert_str_eq(printed(0), "[['a' ~[RW access update]]]");
	CALL(getkeysandflags, WIRE_RESP3, "set", "a", "get");
	ck_assert_str_eq(printed(0), "[['a' ~[OW update]]]");
	CALL(getkeys, WIRE_RESP3, "nosuch", "a");
	ck_assert(slice_eq(sent(), SLICE("-ERR Invalid command specified\r\n")));
	CALL(getkeys, WIRE_RESP3, "client", "id");
	ck_assert(slice_eq(sent(), SLICE("-ERR The command has no key arguments\r\n")));
	CALL(getkeys, WIRE_RESP3, "get", "a", "b");
	ck_assert(slice_eq(sent(),
	    SLICE("-ERR Invalid number of arguments specified for command\r\n")));
}
END_TEST

START_TEST(filters_choose)
{
	CALL(list, WIRE_RESP2, "FILTERBY", "PATTERN", "GET*");
	ck_assert_str_eq(printed(0), "['get' 'getset' 'getdel' 'getex' 'getrange' 'getbit']");
	CALL(list, WIRE_RESP2, "filterby", "pattern", "config|?et");
	ck_assert_str_eq(printed(0), "['config|get' 'config|set']");
	CALL(list, WIRE_RESP2, "FILTERBY", "ACLCAT", "KeySpace");
	ck_assert_ptr_nonnull(strstr(printed(0), "'flushall'"));
	ck_assert_ptr_null(strstr(printed(0), "'get'"));
	CALL(list, WIRE_RESP2, "FILTERBY", "ACLCAT", "@keyspace");
	ck_assert_str_eq(printed(0), "[]");
	CALL(list, WIRE_RESP2, "FILTERBY", "MODULE", "x");
	ck_assert_str_eq(printed(0), "[]");
	CALL(list, WIRE_RESP2, "FILTERBY", "ACLCAT");
	ck_assert_str_eq(printed(0), "ERR syntax error");
	CALL(list, WIRE_RESP2, "BY", "ACLCAT", "read");
	ck_assert_str_eq(printed(0), "ERR syntax error");
	CALL(list, WIRE_RESP2, "FILTERBY", "NAME", "read");
	ck_assert_str_eq(printed(0), "ERR syntax error");
	CALL(list, WIRE_RESP2, "FILTERBY", "PATTERN", "a", "b");
	ck_assert_str_eq(printed(0), "ERR syntax error");
}
END_TEST

START_TEST(help_is_statuses)
{
	CALL(help, WIRE_RESP3);
	ck_assert_ptr_nonnull(strstr(printed(0), "[COMMAND <subcommand> [<arg> [value] [opt] ...]."));
	ck_assert_ptr_nonnull(strstr(printed(0), "DOCS [<command-name> ...]"));
	ck_assert_ptr_null(strchr(printed(0), '\''));
}
END_TEST

START_TEST(without_memory_the_reply_is_marked)
{
	unsigned long n = 0, seen;

	do {
		mem_fail_nth(++n, 0);
		CALL(docs, WIRE_RESP3);
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		ck_assert_int_eq(out_failed(&out), seen >= n);
	} while (seen >= n);
	ck_assert_uint_gt(n, 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cmd_command");

	SUITE_ADD(s, "as redis", info_is_what_redis_said, docs_are_what_redis_said,
	    every_row_but_ours_is_compared, in_resp2_maps_and_sets_are_arrays);
	SUITE_ADD(s, "choice", names_are_found_in_any_case_and_strangers_are_nil,
	    all_commands_are_in_every_form, subcommands_are_within_their_container,
	    keys_of_requests_are_found, filters_choose, help_is_statuses, without_memory_the_reply_is_marked);
	return suite_main(s);
}
