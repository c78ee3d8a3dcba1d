#include "config.h"

#include "unit/suite.h"

#include "config/endpoint.h"
#include "config/redis_key.h"

static struct endpoint
parsed(const char *text)
{
	struct endpoint e;
	const char *why = endpoint_parse(slice_str(text), &e);

	ck_assert_msg(why == NULL, "%s %s", text, why);
	return e;
}

static void
check(const char *text, enum endpoint_kind kind, const char *authority, const char *path, bool name)
{
	struct endpoint e = parsed(text);

	ck_assert_int_eq(e.kind, kind);
	ck_assert_msg(slice_eq(e.authority, slice_str(authority)), "authority of %s", text);
	ck_assert_msg(slice_eq(e.path, slice_str(path)), "path of %s", text);
	ck_assert_msg(e.is_name == name, "name of %s", text);
}

START_TEST(endpoints_come_apart)
{
	check("http://127.0.0.1:8081", ENDPOINT_HTTP, "127.0.0.1:8081", "", false);
	check("http://127.0.0.1:8081/", ENDPOINT_HTTP, "127.0.0.1:8081", "", false);
	check("HTTP://localhost/", ENDPOINT_HTTP, "localhost", "", false);
	check("https://api.example.org/v1//", ENDPOINT_HTTPS, "api.example.org", "/v1", true);
	check("http://[::1]:80/a/b", ENDPOINT_HTTP, "[::1]:80", "/a/b", false);
	check("http://[fe80::1]", ENDPOINT_HTTP, "[fe80::1]", "", false);
	check("http://users_api:65535", ENDPOINT_HTTP, "users_api:65535", "", true);
	check("http+unix:///run/app.sock", ENDPOINT_HTTP_UNIX, "", "/run/app.sock", false);
}
END_TEST

START_TEST(bad_endpoints_are_refused_with_a_reason)
{
	static const char *const bad[] = { "", "127.0.0.1:80", "ftp://x", "file:///etc/passwd",
		"http:/x", "http://", "http://:80", "http://x:", "http://x:0", "http://x:65536",
		"http://x:80:80", "http://x:8o", "http://user:secret@x", "http://@x", "http://x y",
		"http://x\r\ny", "http://[::1", "http://[::g]", "http://[::1]x", "http://[1.2.3.4]",
		"http://x/?q", "http://x?q", "http://x#f", "http://x/{key}", "http://x/a b",
		"http://x/../y", "http://\xc3\xa4.de", "http+unix://run/x", "http+unix://",
		"http+unix:///a\nb", "redis://x" };
	struct endpoint e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(endpoint_parse(slice_str(bad[i]), &e) != NULL, "%s passed", bad[i]);
}
END_TEST

START_TEST(endpoints_of_redis_have_a_port)
{
	static const struct {
		const char *text, *host;
		enum endpoint_kind kind;
		unsigned port;
	} good[] = {
		{ "redis://127.0.0.1", "127.0.0.1", ENDPOINT_REDIS, 6379 },
		{ "REDIS://redis-0.redis:7000/", "redis-0.redis", ENDPOINT_REDIS, 7000 },
		{ "rediss://[::1]:6380", "[::1]", ENDPOINT_REDISS, 6380 },
		{ "rediss://[::1]", "[::1]", ENDPOINT_REDISS, 6379 },
	};
	static const char *const bad[] = { "", "http://x", "redis://", "redis://:1", "redis://x:0",
		"redis://x/3", "redis://u:p@x", "redis://[::1", "redis+unix://x", "redis:x", "redis://x?y" };
	struct endpoint e;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_ptr_null(endpoint_parse_redis(slice_str(good[i].text), &e));
		ck_assert(e.kind == good[i].kind && e.port == good[i].port);
		ck_assert(slice_eq(e.host, slice_str(good[i].host)));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(endpoint_parse_redis(slice_str(bad[i]), &e) != NULL, "%s passed", bad[i]);
	ck_assert_ptr_null(endpoint_parse_redis(SLICE("redis+unix:///run/r.sock"), &e));
	ck_assert(e.kind == ENDPOINT_REDIS_UNIX && slice_eq(e.path, SLICE("/run/r.sock")));
}
END_TEST

START_TEST(keys_are_called_by_their_template)
{
	struct slice before, key = SLICE("u:{a}");

	ck_assert(slice_eq(redis_key_split(SLICE("{key}"), key, 2, &before), key));
	ck_assert_uint_eq(before.len, 0);
	ck_assert(slice_eq(redis_key_split(SLICE("app:{rest}"), key, 2, &before), SLICE("{a}")));
	ck_assert(slice_eq(before, SLICE("app:")));
	ck_assert_ptr_null(redis_key_check(SLICE("{a}{rest}")));
	ck_assert_ptr_nonnull(redis_key_check(SLICE("{key}{rest}")));
	ck_assert_ptr_nonnull(redis_key_check(SLICE("")));
	ck_assert_ptr_nonnull(redis_key_check(SLICE("{key}:x")));
	ck_assert_ptr_nonnull(redis_key_check(SLICE("\n{key}")));
}
END_TEST

START_TEST(lengths_have_a_bound)
{
	char text[400] = "http+unix://";
	struct endpoint e;

	memset(text + 12, '/', 107);
	text[12 + 107] = '\0';
	ck_assert_ptr_null(endpoint_parse(slice_str(text), &e));
	strcat(text, "x");
	ck_assert_ptr_nonnull(endpoint_parse(slice_str(text), &e));
	memcpy(text, "http://", 7);
	memset(text + 7, 'a', 254);
	text[7 + 254] = '\0';
	ck_assert_ptr_nonnull(endpoint_parse(slice_str(text), &e));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("endpoint");

	SUITE_ADD(s, "endpoint", endpoints_come_apart, bad_endpoints_are_refused_with_a_reason,
	    endpoints_of_redis_have_a_port,
	    keys_are_called_by_their_template, lengths_have_a_bound);
	return suite_main(s);
}
