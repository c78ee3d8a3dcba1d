/* What messages of streams mean. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "config/stream_text.h"
#include "origin/stream_format.h"

static struct config_stream json_stream = { .name = (char *)(uintptr_t)"s",
	.format = STREAM_JSON };

/* "k:a p:b !t:c" for a key, a prefix and a soft tag; or "malformed". */
static const char *
meaning_of(const struct config_stream *cfg, struct slice message)
{
	static char text[512];
	struct stream_change c;
	struct slice rest;
	struct buf changes;
	size_t at = 0;
	int rc;

	buf_init(&changes);
	text[0] = '\0';
	rc = stream_format_read(cfg, message, &changes);
	if (rc != 0) {
		ck_assert_int_eq(rc, -EINVAL);
		ck_assert_uint_eq(buf_len(&changes), 0);
		buf_fini(&changes);
		return "malformed";
	}
	rest = buf_slice(&changes);
	while (stream_format_next(&rest, &c))
		at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%c:%.*s", at != 0 ? " " : "",
		    c.soft ? "!" : "", "kpt"[c.by], (int)c.name.len, c.name.ptr);
	buf_fini(&changes);
	return text;
}

#define ck_means(cfg, message, expected) \
	ck_assert_str_eq(meaning_of(cfg, slice_str(message)), expected)

START_TEST(objects_name_keys_prefixes_and_tags)
{
	ck_means(&json_stream, "{\"keys\":[\"a\",\"b\"],\"prefixes\":[\"p:\"],\"tags\":[\"t\"]}",
	    "k:a k:b p:p: t:t");
	ck_means(&json_stream, "{\"key\":\"a\"}", "k:a");
	ck_means(&json_stream, "{\"keys\":\"a\",\"tag\":\"t\",\"prefix\":\"\"}", "k:a p: t:t");
	ck_means(&json_stream, "[{\"key\":\"a\"},{\"key\":\"b\",\"soft\":true}]", "k:a !k:b");
	ck_means(&json_stream, "{\"keys\":[],\"more\":1}", "");
	ck_means(&json_stream, "[]", "");
	ck_means(&json_stream, "", "");
	ck_means(&json_stream, "{\"key\":\"\\u00e4\"}", "k:\xc3\xa4");
}
END_TEST

START_TEST(what_names_nothing_is_malformed)
{
	static const char *const bad[] = { "{", "1", "\"a\"", "{}", "{\"id\":1}", "{\"keys\":[1]}",
		"{\"key\":{}}", "[1]", "[{\"key\":\"a\"},1]", "{\"key\":null}",
		"{\"key\":\"\\ud800\"}" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_means(&json_stream, bad[i], "malformed");
}
END_TEST

START_TEST(soft_is_what_the_message_says_or_else_the_stream)
{
	struct config_stream soft = json_stream;

	soft.soft = 1;
	ck_means(&soft, "{\"key\":\"a\"}", "!k:a");
	ck_means(&soft, "{\"key\":\"a\",\"soft\":false}", "k:a");
	ck_means(&json_stream, "{\"key\":\"a\",\"soft\":true}", "!k:a");
	ck_means(&json_stream, "{\"key\":\"a\",\"soft\":\"yes\"}", "k:a");
}
END_TEST

START_TEST(templates_take_fields_of_any_message)
{
	char *keys[] = { (char *)(uintptr_t)"user:{after.id|before.id}",
		(char *)(uintptr_t)"list:{table}" };
	char *tags[] = { (char *)(uintptr_t)"t{{{table}}" };
	struct config_stream cfg = json_stream;

	cfg.keys = keys;
	cfg.n_keys = 2;
	cfg.tags = tags;
	cfg.n_tags = 1;
	ck_means(&cfg, "{\"before\":null,\"after\":{\"id\":7},\"table\":\"u\"}",
	    "k:user:7 k:list:u t:t{u}");
	ck_means(&cfg, "{\"before\":{\"id\":\"x\"},\"after\":null}", "k:user:x");
	ck_means(&cfg, "{\"after\":{\"id\":null},\"before\":{\"id\":true}}", "k:user:true");
	ck_means(&cfg, "{\"keys\":[\"a\"]}", "malformed");
	ck_means(&cfg, "{\"after\":{\"id\":[1]}}", "malformed");
	ck_means(&cfg, "[]", "malformed");
	cfg.soft = 1;
	ck_means(&cfg, "{\"table\":1}", "!k:list:1 !t:t{1}");
}
END_TEST

START_TEST(plain_messages_are_keys_one_a_line)
{
	struct config_stream cfg = json_stream;

	cfg.format = STREAM_PLAIN;
	ck_means(&cfg, "a\nb c\r\n\n{}", "k:a k:b c k:{}");
	ck_means(&cfg, "\n", "");
	ck_means(&cfg, "", "");
}
END_TEST

START_TEST(endpoints_are_host_and_port)
{
	static const char *const bad[] = { "", "a", ":1", "a:", "a:0", "a:65536", "a:x", "a b:1",
		"amqp://a:1", "u@a:1", "::1:5", "[]:5" };
	struct slice host;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!stream_endpoint_parse(slice_str(bad[i]), &host, &port), "%s", bad[i]);
	ck_assert(stream_endpoint_parse(SLICE("rabbit-1.example:5672"), &host, &port));
	ck_assert(slice_eq(host, SLICE("rabbit-1.example")));
	ck_assert_uint_eq(port, 5672);
	ck_assert(stream_endpoint_parse(SLICE("[::1]:9092"), &host, &port));
	ck_assert(slice_eq(host, SLICE("::1")));
}
END_TEST

START_TEST(templates_are_checked)
{
	static const char *const bad[] = { "", "{", "{}", "a{", "{a.}", "{.a}", "{a||b}", "{a|}",
		"{a..b}" };
	static const char *const good[] = { "a", "{a}", "x{a.b|c}y", "{{", "{{a}", "a}", "{a}{b}" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(template_text_check(slice_str(bad[i])) != NULL, "%s", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ck_assert_msg(template_text_check(slice_str(good[i])) == NULL, "%s", good[i]);
}
END_TEST

START_TEST(without_memory_nothing_is_appended)
{
	struct buf changes;
	int rc = -ENOMEM;

	for (unsigned long nth = 1; rc != 0; nth++) {
		buf_init(&changes);
		mem_fail_nth(nth, 0);
		rc = stream_format_read(&json_stream,
		    SLICE("[{\"keys\":[\"a\",\"b\"]},{\"tag\":\"c\"}]"), &changes);
		mem_fail_nth(0, 0);
		ck_assert(rc == 0 || rc == -ENOMEM);
		ck_assert(rc == 0 || buf_len(&changes) == 0);
		buf_fini(&changes);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("stream_format");

	SUITE_ADD(s, "messages", objects_name_keys_prefixes_and_tags,
	    what_names_nothing_is_malformed,
	    soft_is_what_the_message_says_or_else_the_stream,
	    templates_take_fields_of_any_message, plain_messages_are_keys_one_a_line,
	    without_memory_nothing_is_appended);
	SUITE_ADD(s, "texts", endpoints_are_host_and_port, templates_are_checked);
	return suite_main(s);
}
