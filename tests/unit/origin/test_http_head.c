#include "config.h"

#include "unit/suite.h"

#include <stdio.h>

#include "origin/http_head.h"

/* Feeds `text` line by line; false where a line is refused. */
static bool
feed(struct http_head *h, const char *text)
{
	while (*text != '\0') {
		const char *end = strchr(text, '\n');
		size_t len = end != NULL ? (size_t)(end + 1 - text) : strlen(text);

		if (!http_head_line(h, slice_of(text, len)))
			return false;
		text += len;
	}
	return true;
}

static void
check_refused(const char *text, const char *why)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert_msg(!feed(&h, text), "%s passed", text);
	ck_assert_msg(strstr(h.broken, why) != NULL, "%s: %s", text, h.broken);
	ck_assert(!http_head_line(&h, SLICE("X: y\r\n")));
}

START_TEST(a_sound_head_is_read)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert(feed(&h, "HTTP/1.1 200 OK\r\nContent-Length:  005 \r\nX-Empty:\r\n"
	    "CACHE-CONTROL: max-age=60\r\nSet-Cookie: \xc3\xa4\tb\r\n"));
	ck_assert(!h.complete);
	ck_assert(feed(&h, "\r\n"));
	ck_assert(h.complete);
	ck_assert_int_eq(h.status, 200);
	ck_assert_int_eq(h.content_length, 5);
	ck_assert_int_eq(cache_control_ttl_ms(&h.cache, 0, 0), 60000);
}
END_TEST

START_TEST(lines_of_http_2_and_bare_line_feeds_are_read)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert(feed(&h, "HTTP/2 404 \r\nContent-Length: 0\n\n"));
	ck_assert_int_eq(h.status, 404);
}
END_TEST

START_TEST(interim_answers_leave_no_trace)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert(feed(&h, "HTTP/1.1 103 Early Hints\r\nCache-Control: no-store\r\n"
	    "Content-Length: 7\r\n\r\n"));
	ck_assert(!h.complete);
	ck_assert_int_eq(h.status, 0);
	ck_assert(feed(&h, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
	ck_assert_int_eq(h.status, 200);
	ck_assert_int_eq(h.content_length, 5);
	ck_assert_int_eq(cache_control_ttl_ms(&h.cache, 0, 0), CACHE_CONTROL_UNSAID);
}
END_TEST

START_TEST(trailers_change_nothing)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert(feed(&h, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"));
	ck_assert(feed(&h, "Cache-Control: no-store\r\nContent-Length: 9\r\n\r\n"));
	ck_assert_int_eq(h.content_length, -1);
	ck_assert_int_eq(cache_control_ttl_ms(&h.cache, 0, 0), CACHE_CONTROL_UNSAID);
	ck_assert(!feed(&h, "HTTP/1.1 500 Split\r\n"));
}
END_TEST

START_TEST(conflicting_framing_is_refused)
{
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "conflicting");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "conflicting framing");
	check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	    "conflicting framing");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n", "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n", "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n", "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n", "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length:\r\n", "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n",
	    "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n",
	    "Content-Length");
	check_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
	    "Transfer-Encoding");
}
END_TEST

START_TEST(the_same_length_twice_is_no_conflict)
{
	struct http_head h;

	http_head_init(&h);
	ck_assert(feed(&h, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"));
	ck_assert_int_eq(h.content_length, 5);
}
END_TEST

START_TEST(malformed_lines_are_refused)
{
	check_refused("HTTP/1.1 200 OK\r\nno colon\r\n", "malformed header");
	check_refused("HTTP/1.1 200 OK\r\n: empty name\r\n", "malformed header");
	check_refused("HTTP/1.1 200 OK\r\nCache-Control : no-store\r\n", "malformed header");
	check_refused("HTTP/1.1 200 OK\r\nX\x01: y\r\n", "malformed header");
	check_refused("HTTP/1.1 200 OK\r\nX: a\rb\r\n", "malformed header");
	check_refused("HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n", "folded");
	check_refused("HTTP/1.1\r\n", "status line");
	check_refused("HTTP/1.1 20\r\n", "status line");
	check_refused("HTTP/1.1 2000 OK\r\n", "status line");
	check_refused("HTTP/1.1 099 OK\r\n", "status line");
	check_refused("HTTP/1.1 101 Switching\r\n\r\n", "switch");
	check_refused("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", "Content-Encoding");
}
END_TEST

START_TEST(heads_have_a_bound)
{
	static char line[HTTP_HEAD_MAX_BYTES + 8];
	struct http_head h;

	memset(line, 'a', sizeof line);
	memcpy(line, "X: ", 3);
	http_head_init(&h);
	ck_assert(http_head_line(&h, slice_of(line, HTTP_HEAD_MAX_BYTES)));
	ck_assert(!http_head_line(&h, SLICE("\n")));
	ck_assert_ptr_nonnull(strstr(h.broken, "65536"));
	http_head_init(&h);
	for (unsigned i = 0; i < HTTP_HEAD_MAX_LINES; i++)
		ck_assert(http_head_line(&h, SLICE("X: y\r\n")));
	ck_assert(!http_head_line(&h, SLICE("X: y\r\n")));
}
END_TEST

START_TEST(endless_interim_answers_have_a_bound)
{
	struct http_head h;
	unsigned n = 0;

	http_head_init(&h);
	while (feed(&h, "HTTP/1.1 100 Continue\r\n\r\n"))
		n++;
	ck_assert_uint_eq(n, HTTP_HEAD_MAX_LINES / 2);
}
END_TEST

static int64_t
retry_after_ms(const char *value, int64_t now_unix_s)
{
	struct http_head h;
	char text[256];

	snprintf(text, sizeof text, "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\n\r\n", value);
	http_head_init(&h);
	ck_assert(feed(&h, text));
	return http_head_retry_after_ms(&h, now_unix_s);
}

START_TEST(retry_after_is_seconds_or_a_date)
{
	static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";

	ck_assert_int_eq(retry_after_ms("3", 0), 3000);
	ck_assert_int_eq(retry_after_ms("0007", 0), 7000);
	ck_assert_int_eq(retry_after_ms("0", 0), 0);
	ck_assert_int_eq(retry_after_ms("999999999", 0), 86400000);
	ck_assert_int_eq(retry_after_ms(date, 784111777 - 5), 5000);
	ck_assert_int_eq(retry_after_ms(date, 784111777), 0);
	ck_assert_int_eq(retry_after_ms(date, 784111777 + 100), 0);
	ck_assert_int_eq(retry_after_ms(date, 0), 86400000);
	ck_assert_int_eq(retry_after_ms("soon", 0), 0);
	ck_assert_int_eq(retry_after_ms("-1", 0), 0);
}
END_TEST

static struct origin_validity
validity_of(struct http_head *h, const char *lines)
{
	struct origin_validity v = { 0 };

	http_head_init(h);
	ck_assert(feed(h, "HTTP/1.1 200 OK\r\n"));
	ck_assert(feed(h, lines));
	ck_assert(feed(h, "\r\n"));
	http_head_validity(h, 0, 0, &v);
	return v;
}

START_TEST(validators_are_kept_where_they_are_some)
{
	static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	static const char *const good[] = { "\"a\"", "W/\"a b\"", "\"\"" };
	static const char *const bad[] = { "a", "\"a", "a\"", "w/\"a\"", "\"a\"b\"", "\"", "" };
	struct http_head h;
	char line[HTTP_ETAG_MAX + 64];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		snprintf(line, sizeof line, "ETag: %s\r\nETag: \"other\"\r\n", good[i]);
		ck_assert(slice_eq(validity_of(&h, line).etag, slice_str(good[i])));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof line, "ETag: %s\r\n", bad[i]);
		ck_assert_uint_eq(validity_of(&h, line).etag.len, 0);
	}
	snprintf(line, sizeof line, "ETag: \"%0*d\"\r\n", HTTP_ETAG_MAX, 0);
	ck_assert_uint_eq(validity_of(&h, line).etag.len, 0);
	snprintf(line, sizeof line, "last-modified: %s\r\n", date);
	ck_assert(slice_eq(validity_of(&h, line).last_modified, slice_str(date)));
	ck_assert_uint_eq(validity_of(&h, "Last-Modified: yesterday\r\n").last_modified.len, 0);
}
END_TEST

START_TEST(tags_of_both_names_are_gathered)
{
	struct http_head h;
	struct origin_validity v = validity_of(&h,
	    "Surrogate-Key: a b\r\nCache-Tag: c,d\r\nsurrogate-key: e\r\n");
	char line[HTTP_TAGS_MAX + 64];

	ck_assert(slice_eq(v.tags, SLICE("a b c,d e")));
	ck_assert(!v.any_tag);
	snprintf(line, sizeof line, "Cache-Tag: %0*d\r\nCache-Tag: x\r\n", HTTP_TAGS_MAX, 0);
	v = validity_of(&h, line);
	ck_assert_uint_eq(v.tags.len, HTTP_TAGS_MAX);
	ck_assert(v.any_tag);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_head");

	SUITE_ADD(s, "head", a_sound_head_is_read, lines_of_http_2_and_bare_line_feeds_are_read,
	    interim_answers_leave_no_trace, trailers_change_nothing, conflicting_framing_is_refused,
	    the_same_length_twice_is_no_conflict, malformed_lines_are_refused, heads_have_a_bound,
	    endless_interim_answers_have_a_bound, retry_after_is_seconds_or_a_date,
	    validators_are_kept_where_they_are_some, tags_of_both_names_are_gathered);
	return suite_main(s);
}
