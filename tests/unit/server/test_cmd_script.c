#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/door.h"
#include "server/scripts.h"
#include "unit/server/handlers.h"

#define RELEASE "if redis.call('get', KEYS[1]) == ARGV[1] then " \
	"return redis.call('del', KEYS[1]) else return 0 end"
#define EXTEND "if redis.call('get', KEYS[1]) == ARGV[1] then " \
	"return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"
#define ACQUIRE_ALL "for i, key in ipairs(KEYS) do if redis.call('exists', key) == 1 then " \
	"return 0 end end for i, key in ipairs(KEYS) do " \
	"redis.call('set', key, ARGV[1], 'PX', ARGV[2]) end return #KEYS"
#define UNKNOWN "-ERR unknown script: pannier has no Lua"

/* "EVAL script words", where the script has spaces. */
static const char *
ask_script(const char *command, const char *script, const char *words)
{
	struct slice argv[16] = { slice_str(command), slice_str(script) };
	uint32_t argc = 2;

	for (const char *p = words; *p != '\0';) {
		size_t n = strcspn(p, " ");

		argv[argc++] = slice_of(p, n);
		p += n + (p[n] == ' ');
	}
	return ask_args(argv, argc);
}

#define ck_eval(script, words, expected) \
	ck_assert_str_eq(ask_script("EVAL", script, words), expected)

static void
ck_begins(const char *reply, const char *with)
{
	ck_assert_msg(strncmp(reply, with, strlen(with)) == 0, "%s does not begin with %s", reply,
	    with);
}

/* --- the form ------------------------------------------------------------------- */

static const char *
form_of(const char *text)
{
	static struct script_form form;

	if (!script_form(slice_str(text), &form))
		return "none";
	form.text[form.len] = '\0';
	return form.text;
}

START_TEST(how_a_script_is_written_does_not_matter)
{
	const char *plain = "return redis . call ( \"get\" , KEYS [ 1 ] ) ~= 1";

	ck_assert_str_eq(form_of("return redis.call('get', KEYS[1]) ~= 1"), plain);
	ck_assert_str_eq(form_of("return redis.call(\"GET\",KEYS[1])~=1;"), plain);
	ck_assert_str_eq(form_of("--[[ a\n]]return -- b\n\tredis . call([[get]],KEYS[1] )~=1"), plain);
	ck_assert_str_eq(form_of("return redis.call([==[\nGet]==],KEYS[1])~=--[=[ ]] ]=]1\r\n"), plain);
	ck_assert_str_eq(form_of("return 'Get'"), "return \"Get\"");
	ck_assert_str_eq(form_of("a..b<=c>=d==e~=f"), "a .. b <= c >= d == e ~= f");
	ck_assert_str_eq(form_of("x=1.5 y2=0x1F"), "x = 1.5 y2 = 0x1F");
}
END_TEST

START_TEST(what_is_no_lua_or_could_be_misread_has_no_form)
{
	static const char *const texts[] = {
		"", " \n", "-- only a comment", "--[[ open", "'open", "\"open\n\"", "[[open", "[==[a]=]",
		"'a\\n'", "'\"'", "\"'\"", "[[\"]]", "#!lua\nreturn 1", "a ? b", "a\x01", "\xc3\xa4",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		ck_assert_str_eq(form_of(texts[i]), "none");
}
END_TEST

START_TEST(a_long_text_has_no_form)
{
	static char text[100000];
	struct script_form form;

	memset(text, 'a', sizeof text);
	ck_assert(!script_form(slice_of(text, sizeof text), &form));
	ck_assert(!script_form(slice_of(text, sizeof form.text + 1), &form));
	memset(text, ' ', sizeof text);
	text[0] = 'x';
	ck_assert(script_form(slice_of(text, sizeof text), &form));
	for (size_t i = 0; i < sizeof text; i += 2)
		text[i] = '+';
	ck_assert(!script_form(slice_of(text, sizeof text), &form));
}
END_TEST

START_TEST(lines_are_those_that_lua_counts)
{
	static const char text[] = "redis.call('get',\n\r\n'x')\n--[[\n\n]] redis.pcall(1)\rx =\n"
	    "y + -- c\nz return -1";
	struct script_form form;

	ck_assert(script_form(slice_str(text), &form));
	ck_assert_uint_eq(form.n_marks, 3);
	ck_assert_uint_eq(form.lines[0], 1);
	ck_assert_uint_eq(form.lines[1], 6);
	ck_assert_uint_eq(form.lines[2], 9);
}
END_TEST

/* Any bytes: nothing is read behind the end. Valgrind and ASan look. */
START_TEST(random_texts_are_read_to_their_end_and_no_further)
{
	static const char chars[] = "-[]=\"'\\ \n\rredis.call(x)1+;";
	unsigned short seed[3] = { 1, 2, 3 };

	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)nrand48(seed) % 40;
		char *text = malloc(len + 1);
		struct script_form form;

		for (size_t k = 0; k < len; k++)
			text[k] = chars[(size_t)nrand48(seed) % (sizeof chars - 1)];
		text = realloc(text, MAX(len, 1));
		if (script_form(slice_of(text, len), &form))
			ck_assert_uint_le(form.len, sizeof form.text);
		free(text);
	}
}
END_TEST

/* --- the registry ---------------------------------------------------------------- */

START_TEST(every_row_has_a_form_and_no_two_are_the_same)
{
	static const char *const texts[] = {
#define SCRIPT(run, who, text) text,
#include "server/scripts.def"
#undef SCRIPT
	};
	struct scripts *s = scripts_new();
	struct script script;

	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		ck_assert(scripts_load(s, slice_str(texts[i]), &script));
		ck_assert_uint_eq(script.row, i);
	}
	ck_assert_uint_eq(scripts_count(s), ARRAY_LEN(texts));
	scripts_free(s);
}
END_TEST

START_TEST(registry_has_a_bound_and_forgets_the_first)
{
	struct scripts *s = scripts_new();
	struct script script;
	char text[1024], first[SHA1_HEX + 1];

	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof text, "%s -- %d", RELEASE, i);
		ck_assert(scripts_load(s, slice_str(text), &script));
		if (i == 0)
			sha1_hex(script.sha, first);
	}
	ck_assert_uint_eq(scripts_count(s), 512);
	ck_assert(!scripts_find(s, slice_str(first), &script));
	ck_assert(scripts_load(s, slice_str(text), &script));
	ck_assert_uint_eq(scripts_count(s), 512);
	scripts_flush(s);
	ck_assert_uint_eq(scripts_count(s), 0);
	scripts_free(s);
}
END_TEST

START_TEST(scripts_are_found_by_the_sha1_of_their_text)
{
	char hex[SHA1_HEX + 1], words[64], expected[64];
	uint8_t digest[SHA1_BYTES];

	sha1(SLICE(RELEASE), digest);
	sha1_hex(digest, hex);
	snprintf(words, sizeof words, "%s 1 k t", hex);
	snprintf(expected, sizeof expected, "$40\r\n%s\r\n", hex);
	ck_begins(ask_script("EVALSHA", hex, "1 k t"),
	    "-NOSCRIPT No matching script. Please use EVAL.\r\n");
	ck_assert_str_eq(ask_script("SCRIPT", "LOAD", ""),
	    "-ERR wrong number of arguments for 'script|load' command\r\n");
	ck_assert_str_eq(ask_args((const struct slice[]){ SLICE("SCRIPT"), SLICE("LOAD"),
	    SLICE(RELEASE) }, 3), expected);
	ck_assert_str_eq(ask_script("EVALSHA", hex, "1 k t"), ":0\r\n");
	for (char *p = hex; *p != '\0'; p++)
		*p = (char)(*p >= 'a' ? *p - 32 : *p);
	ck_assert_str_eq(ask_script("EVALSHA", hex, "1 k t"), ":0\r\n");
	ck_reply("SCRIPT FLUSH", "+OK\r\n");
	ck_begins(ask_script("EVALSHA", hex, "1 k t"), "-NOSCRIPT");
	ck_eval(RELEASE, "1 k t", ":0\r\n"); /* loads it */
	ck_assert_str_eq(ask_script("EVALSHA", hex, "1 k t"), ":0\r\n");
}
END_TEST

START_TEST(other_scripts_are_refused_with_what_would_be_right)
{
	static const char *const texts[] = {
		"return 1", "", "return redis.call('get', KEYS[1])", RELEASE " x",
		"if redis.call('get', KEYS[1]) == ARGV[2] then return redis.call('del', KEYS[1]) "
		"else return 0 end",
		"if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) "
		"else return 1 end",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		ck_begins(ask_script("EVAL", texts[i], "1 k t"), UNKNOWN);
		ck_assert(strstr(ask_script("EVAL", texts[i], "0"), "doc/compatibility.md") != NULL);
	}
	ck_begins(ask("SCRIPT LOAD nonsense"), UNKNOWN);
}
END_TEST

/* --- running ----------------------------------------------------------------------- */

START_TEST(only_the_owner_releases_and_extends)
{
	ck_reply("SET lock t1 PX 1000", "+OK\r\n");
	ck_eval(RELEASE, "1 lock t2", ":0\r\n");
	ck_eval(EXTEND, "1 lock t2 5000", ":0\r\n");
	ck_reply("PTTL lock", ":1000\r\n");
	ck_eval(EXTEND, "1 lock t1 5000", ":1\r\n");
	ck_reply("PTTL lock", ":5000\r\n");
	now_ms += 5000;
	ck_eval(EXTEND, "1 lock t1 5000", ":0\r\n");
	ck_reply("SET lock t2", "+OK\r\n");
	ck_eval(RELEASE, "1 lock t1", ":0\r\n");
	ck_reply("GET lock", "$2\r\nt2\r\n");
	ck_eval(RELEASE, "1 lock t2", ":1\r\n");
	ck_reply("EXISTS lock", ":0\r\n");
}
END_TEST

START_TEST(several_keys_are_taken_all_or_none)
{
	ck_eval(ACQUIRE_ALL, "3 a b c t1 1000", ":3\r\n");
	ck_eval(ACQUIRE_ALL, "2 d b t2 1000", ":0\r\n");
	ck_reply("EXISTS d", ":0\r\n");
	now_ms += 1000;
	ck_eval(ACQUIRE_ALL, "2 d b t2 1000", ":2\r\n");
	ck_eval(ACQUIRE_ALL, "0", ":0\r\n");
	ck_eval(ACQUIRE_ALL, "2 e e t3 1000", ":2\r\n");
}
END_TEST

START_TEST(a_large_value_under_the_key_is_compared_and_not_copied)
{
	static char big[100000];
	struct slice set[] = { SLICE("SET"), SLICE("k"), slice_of(big, sizeof big) };
	struct slice eval[] = { SLICE("EVAL"), SLICE(RELEASE), SLICE("1"), SLICE("k"),
		slice_of(big, sizeof big) };

	memset(big, 'x', sizeof big);
	ck_assert_str_eq(ask_args(set, 3), "+OK\r\n");
	eval[4].len--;
	ck_assert_str_eq(ask_args(eval, 5), ":0\r\n");
	eval[4].len++;
	ck_assert_str_eq(ask_args(eval, 5), ":1\r\n");
}
END_TEST

START_TEST(errors_tell_script_and_line)
{
	ck_reply("SET k t", "+OK\r\n");
	ck_eval("if redis.call('get', KEYS[1]) == ARGV[1]\nthen return\n redis.call('pexpire', "
	    "KEYS[1], ARGV[2]) else return 0 end", "1 k t x",
	    "-ERR value is not an integer or out of range script: "
	    "3b0be1f95abb2434b1b92c38208e2359f83cee33, on @user_script:3.\r\n");
	ck_begins(ask_script("EVAL", RELEASE, "0"), "-ERR Lua redis lib command arguments must be "
	    "strings or integers script: ");
	ck_eval(RELEASE, "2 k", "-ERR Number of keys can't be greater than number of args\r\n");
	ck_eval(RELEASE, "-1 k", "-ERR Number of keys can't be negative\r\n");
	ck_eval(RELEASE, "x k", "-ERR value is not an integer or out of range\r\n");
}
END_TEST

START_TEST(read_only_scripts_and_listeners_do_not_write)
{
	static struct door_policy policy;

	ck_reply("SET k t", "+OK\r\n");
	ck_begins(ask_script("EVAL_RO", RELEASE, "1 k t"),
	    "-ERR Write commands are not allowed from read-only scripts. script: ");
	ck_assert_str_eq(ask_script("EVAL_RO", RELEASE, "1 k x"), ":0\r\n");
	policy = *session->policy;
	policy.read_only = true;
	session->policy = &policy;
	ck_begins(ask_script("EVAL", RELEASE, "1 k t"),
	    "-READONLY You can't write against a read only replica. script: ");
	ck_reply("GET k", "$1\r\nt\r\n");
}
END_TEST

START_TEST(commands_inside_count_in_commandstats)
{
	ck_reply("SET k t", "+OK\r\n");
	ck_eval(EXTEND, "1 k t x", ask_script("EVAL", EXTEND, "1 k t x"));
	ck_reply_has("INFO commandstats", "cmdstat_get:calls=2,");
	ck_assert(strstr(ask("INFO commandstats"), "cmdstat_pexpire:calls=2,") != NULL);
	ck_assert(strstr(ask("INFO memory"), "number_of_cached_scripts:1\r\n") != NULL);
}
END_TEST

START_TEST(without_memory_a_script_changes_nothing_or_all)
{
	unsigned failed = 0;

	for (unsigned long n = 1;; n++) {
		unsigned long seen;
		const char *reply;

		ck_reply("SET k t", "+OK\r\n");
		mem_fail_nth(n, 0);
		reply = ask_script("EVAL", EXTEND, "1 k t 5000");
		seen = mem_fail_seen();
		mem_fail_nth(0, 0);
		if (seen < n) {
			ck_assert_str_eq(reply, ":1\r\n");
			break;
		}
		if (strcmp(reply, ":1\r\n") == 0)
			continue;
		ck_assert_msg(strncmp(reply, "-OOM", 4) == 0 || strcmp(reply, "closed") == 0, "%s",
		    reply);
		failed++;
	}
	ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(rest_of_script_answers_as_redis)
{
	ck_reply("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n");
	ck_reply("SCRIPT FLUSH now", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option\r\n");
	ck_reply("SCRIPT FLUSH async", "+OK\r\n");
	ck_reply("SCRIPT EXISTS a b", "*2\r\n:0\r\n:0\r\n");
	ck_reply_has("SCRIPT HELP", "+SCRIPT <subcommand>");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scripts");

	SUITE_ADD(s, "form", how_a_script_is_written_does_not_matter,
	    what_is_no_lua_or_could_be_misread_has_no_form, a_long_text_has_no_form,
	    lines_are_those_that_lua_counts, random_texts_are_read_to_their_end_and_no_further,
	    every_row_has_a_form_and_no_two_are_the_same, registry_has_a_bound_and_forgets_the_first);
	SUITE_ADD_FIXTURE(s, "commands", handlers_setup, handlers_teardown,
	    scripts_are_found_by_the_sha1_of_their_text,
	    other_scripts_are_refused_with_what_would_be_right, only_the_owner_releases_and_extends,
	    several_keys_are_taken_all_or_none,
	    a_large_value_under_the_key_is_compared_and_not_copied, errors_tell_script_and_line,
	    read_only_scripts_and_listeners_do_not_write, commands_inside_count_in_commandstats,
	    without_memory_a_script_changes_nothing_or_all, rest_of_script_answers_as_redis);
	return suite_main(s);
}
