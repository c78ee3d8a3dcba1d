#include "config.h"

#include "cli/bench_wire.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"

void
bench_wire_init(struct bench_wire *w, const struct bench_opts *o)
{
	const char *prefix = o->key_prefix;
	int digits = (int)(o->key_size - strlen(prefix)), get, set;
	/* How many arguments a SET has depends on the expiry: see put_resp_set(). */
	const char *get_form = "*2\r\n$3\r\nGET\r\n$%d\r\n%s%0*d";
	const char *set_form = "*3\r\n$3\r\nSET\r\n$%d\r\n%s%0*d";

	*w = (struct bench_wire){ .protocol = (enum bench_protocol)o->protocol };
	if (w->protocol == BENCH_BINARY) {
		get = set = snprintf(w->get_head, sizeof w->get_head, "%s%0*d", prefix, digits, 0);
	} else if (w->protocol == BENCH_MEMCACHE) {
		get = snprintf(w->get_head, sizeof w->get_head, "get %s%0*d", prefix, digits, 0);
		set = snprintf(w->set_head, sizeof w->set_head, "set %s%0*d", prefix, digits, 0);
	} else {
		get = snprintf(w->get_head, sizeof w->get_head, get_form, (int)o->key_size, prefix,
		    digits, 0);
		set = snprintf(w->set_head, sizeof w->set_head, set_form, (int)o->key_size, prefix,
		    digits, 0);
	}
	w->get_head_len = (size_t)get;
	w->set_head_len = (size_t)set;
}

static char *
put(char *at, const void *data, size_t n)
{
	memcpy(at, data, n);
	return at + n;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

/* A head with the key's number over its last zeroes. */
static char *
put_head(char *at, const char *head, size_t len, uint64_t id)
{
	char *digit = at + len;

	memcpy(at, head, len);
	for (; id >= 10; id /= 10)
		*--digit = (char)('0' + id % 10);
	*--digit = (char)('0' + id);
	return at + len;
}

size_t
bench_wire_key(const struct bench_wire *w, char *at, uint64_t id)
{
	return (size_t)(put_head(at, w->get_head, w->get_head_len, id) - at);
}

int
bench_wire_get(const struct bench_wire *w, struct buf *out, uint64_t id)
{
	char *at;

	if (buf_reserve(out, w->get_head_len + 2) != 0)
		return -ENOMEM;
	at = put_head(buf_tail(out), w->get_head, w->get_head_len, id);
	at = PUT(at, "\r\n");
	buf_commit(out, (size_t)(at - buf_tail(out)));
	return 0;
}

/* A bulk string of a number. */
static char *
put_bulk_number(char *at, int64_t n)
{
	char text[FORMAT_MAX];
	size_t len = format_i64(text, n);

	at = PUT(at, "$");
	at += format_u64(at, len);
	at = PUT(at, "\r\n");
	at = put(at, text, len);
	return PUT(at, "\r\n");
}

static char *
put_resp_set(const struct bench_wire *w, char *at, uint64_t id, struct slice value,
    const struct bench_expiry *expiry)
{
	char *start = at;

	at = put_head(at, w->set_head, w->set_head_len, id);
	at = PUT(at, "\r\n$");
	at += format_u64(at, value.len);
	at = PUT(at, "\r\n");
	at = put(at, value.ptr, value.len);
	at = PUT(at, "\r\n");
	if (expiry->ttl_ms == 0 && expiry->at_unix_ms == 0)
		return at;
	start[1] = '5';
	if (expiry->at_unix_ms != 0) {
		at = PUT(at, "$4\r\nPXAT\r\n");
		return put_bulk_number(at, expiry->at_unix_ms);
	}
	at = PUT(at, "$2\r\nPX\r\n");
	return put_bulk_number(at, expiry->ttl_ms);
}

/* Seconds, rounded up: memcached knows no finer time. From 30 days on it
 * takes the number for a Unix time. */
static uint64_t
memcache_exptime(const struct bench_expiry *expiry)
{
	int64_t ms = expiry->at_unix_ms != 0 ? expiry->at_unix_ms : expiry->ttl_ms;

	return (uint64_t)(ms + 999) / 1000;
}

static char *
put_memcache_set(const struct bench_wire *w, char *at, uint64_t id, struct slice value,
    const struct bench_expiry *expiry)
{
	at = put_head(at, w->set_head, w->set_head_len, id);
	at = PUT(at, " 0 ");
	at += format_u64(at, memcache_exptime(expiry));
	at = PUT(at, " ");
	at += format_u64(at, value.len);
	at = PUT(at, "\r\n");
	at = put(at, value.ptr, value.len);
	return PUT(at, "\r\n");
}

int
bench_wire_set(const struct bench_wire *w, struct buf *out, uint64_t id, struct slice value,
    const struct bench_expiry *expiry)
{
	char *at;

	/* 128: lengths, line ends and the expiry. */
	if (buf_reserve(out, w->set_head_len + value.len + 128) != 0)
		return -ENOMEM;
	if (w->protocol == BENCH_MEMCACHE)
		at = put_memcache_set(w, buf_tail(out), id, value, expiry);
	else
		at = put_resp_set(w, buf_tail(out), id, value, expiry);
	buf_commit(out, (size_t)(at - buf_tail(out)));
	return 0;
}

/* Digits at *at; false where there is none, or too many. Moves behind them. */
static bool
number(const char **at, const char *end, uint64_t *out)
{
	const char *p = *at;
	uint64_t n = 0;

	while (p < end && p - *at < 12 && *p >= '0' && *p <= '9')
		n = n * 10 + (uint64_t)(*p++ - '0');
	if (p == *at)
		return false;
	*at = p;
	*out = n;
	return true;
}

/* The length of the line at the start of data, its end included; 0: no end. */
static size_t
line_len(struct slice data)
{
	const char *end = memchr(data.ptr, '\n', data.len);

	return end == NULL ? 0 : (size_t)(end - data.ptr) + 1;
}

/* No line is this long; what has no end by then is no reply. */
#define LINE_MAX_LEN 4096

static int64_t
no_line(struct slice data)
{
	return data.len > LINE_MAX_LEN ? -EPROTO : 0;
}

static struct slice
words(struct slice data, size_t line)
{
	size_t len = line - 1;

	if (len > 0 && data.ptr[len - 1] == '\r')
		len--;
	return slice_of(data.ptr, len);
}

static int64_t
resp_bulk(struct slice data, struct bench_reply *out)
{
	const char *at = data.ptr + 1, *end = data.ptr + data.len;
	uint64_t len;
	size_t head;

	if (end - at < 2 || memchr(at, '\n', MIN(data.len - 1, 16)) == NULL)
		return data.len > 16 ? -EPROTO : 0;
	if (at[0] == '-') {
		out->answer = BENCH_NOTHING;
		return data.len < 5 ? 0 : memcmp(at, "-1\r\n", 4) == 0 ? 5 : -EPROTO;
	}
	if (!number(&at, end, &len) || at[0] != '\r' || at[1] != '\n')
		return -EPROTO;
	head = (size_t)(at + 2 - data.ptr);
	if (data.len < head + len + 2)
		return 0;
	out->answer = BENCH_VALUE;
	out->text = slice_of(data.ptr + head, len);
	return (int64_t)(head + len + 2);
}

static int64_t
resp_reply(struct slice data, struct bench_reply *out)
{
	size_t line;

	if (likely(data.ptr[0] == '$'))
		return resp_bulk(data, out);
	line = line_len(data);
	if (line == 0)
		return no_line(data);
	out->text = slice_skip(words(data, line), 1);
	if (data.ptr[0] == '+')
		out->answer = BENCH_STORED;
	else if (data.ptr[0] == '-')
		out->answer = BENCH_ERROR;
	else
		return -EPROTO;
	return (int64_t)line;
}

/* VALUE key flags bytes\r\n data \r\n END\r\n */
static int64_t
memcache_value(struct slice data, size_t line, struct bench_reply *out)
{
	const char *at = data.ptr + 6, *end = data.ptr + line;
	uint64_t skipped, len;
	size_t all;

	at = memchr(at, ' ', (size_t)(end - at));
	if (at == NULL)
		return -EPROTO;
	at++;
	if (!number(&at, end, &skipped) || *at++ != ' ' || !number(&at, end, &len))
		return -EPROTO;
	all = line + len + 2 + 5;
	if (data.len < all)
		return 0;
	if (memcmp(data.ptr + line + len, "\r\nEND\r\n", 7) != 0)
		return -EPROTO;
	out->answer = BENCH_VALUE;
	out->text = slice_of(data.ptr + line, len);
	return (int64_t)all;
}

static int64_t
memcache_reply(struct slice data, struct bench_reply *out)
{
	size_t line = line_len(data);

	if (line == 0)
		return no_line(data);
	if (slice_has_prefix(data, SLICE("VALUE ")))
		return memcache_value(data, line, out);
	out->text = words(data, line);
	if (slice_eq(out->text, SLICE("END")))
		out->answer = BENCH_NOTHING;
	else if (slice_eq(out->text, SLICE("STORED")))
		out->answer = BENCH_STORED;
	else if (memmem(out->text.ptr, out->text.len, "ERROR", 5) != NULL)
		out->answer = BENCH_ERROR;
	else
		return -EPROTO;
	return (int64_t)line;
}

int64_t
bench_wire_reply(const struct bench_wire *w, struct slice data, struct bench_reply *out)
{
	if (data.len == 0)
		return 0;
	return w->protocol == BENCH_MEMCACHE ? memcache_reply(data, out) : resp_reply(data, out);
}
