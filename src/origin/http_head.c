#include "config.h"

#include "origin/http_head.h"

#include "base/parse.h"
#include "base/util.h"
#include "origin/http_date.h"

#define RETRY_AFTER_MAX_S 86400

void
http_head_init(struct http_head *h)
{
	*h = (struct http_head){ .content_length = -1, .retry_after_s = -1,
		.retry_at_s = -1 };
	cache_control_init(&h->cache);
}

static bool
refuse(struct http_head *h, const char *why)
{
	h->broken = why;
	return false;
}

/* "HTTP/1.1 200 OK", "HTTP/2 200 ". */
static bool
status_line(struct http_head *h, struct slice line)
{
	const char *space = memchr(line.ptr, ' ', line.len);
	struct slice code;
	int status = 0;

	if (space == NULL)
		return refuse(h, "malformed status line");
	code = slice_skip(line, (size_t)(space + 1 - line.ptr));
	for (size_t i = 0; i < 3; i++) {
		if (i >= code.len || code.ptr[i] < '0' || code.ptr[i] > '9')
			return refuse(h, "malformed status line");
		status = status * 10 + (code.ptr[i] - '0');
	}
	if (status < 100 || (code.len > 3 && code.ptr[3] != ' '))
		return refuse(h, "malformed status line");
	h->reading = status;
	return true;
}

/* tchar of RFC 9110, 5.6.2. */
static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)
			return false;
	}
	return s.len != 0;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c < ' ' && c != '\t') || c == 127)
			return true;
	}
	return false;
}

static struct slice
trim(struct slice s)
{
	while (s.len != 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_skip(s, 1);
	while (s.len != 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* RFC 9112, 6.3: lengths that differ are an error that nothing can mend. */
static bool
content_length(struct http_head *h, struct slice value)
{
	uint64_t n;

	/* parse_u64() takes no leading zeros, which HTTP allows. */
	while (value.len > 1 && value.ptr[0] == '0')
		value = slice_skip(value, 1);
	if (parse_u64(value, &n) != 0 || n > INT64_MAX)
		return refuse(h, "malformed Content-Length");
	if (h->content_length >= 0 && h->content_length != (int64_t)n)
		return refuse(h, "conflicting lengths");
	h->content_length = (int64_t)n;
	return true;
}

/* Seconds or a date; what is neither says nothing. */
static void
retry_after(struct http_head *h, struct slice value)
{
	uint64_t n;

	while (value.len > 1 && value.ptr[0] == '0')
		value = slice_skip(value, 1);
	if (parse_u64(value, &n) == 0)
		h->retry_after_s = (int64_t)MIN(n, RETRY_AFTER_MAX_S);
	else if (http_date_parse(value, &h->retry_at_s) != 0)
		h->retry_at_s = -1;
}

static size_t
keep_text(char *to, size_t have, size_t most, struct slice value)
{
	if (have != 0 || value.len > most)
		return have;
	memcpy(to, value.ptr, value.len);
	return value.len;
}

/* An entity-tag is quoted, maybe behind W/ (RFC 9110, 8.8.3); what is not cannot be
 * sent back. */
static bool
is_etag(struct slice s)
{
	if (slice_has_prefix(s, SLICE("W/")))
		s = slice_skip(s, 2);
	return s.len >= 2 && s.ptr[0] == '"' &&
	    memchr(s.ptr + 1, '"', s.len - 1) == s.ptr + s.len - 1;
}

static void
add_tags(struct http_head *h, struct slice value)
{
	bool more = h->tags_len != 0;

	if (value.len + more > sizeof h->tags - h->tags_len) {
		h->tags_over = true;
		return;
	}
	if (more)
		h->tags[h->tags_len++] = ' ';
	memcpy(h->tags + h->tags_len, value.ptr, value.len);
	h->tags_len += value.len;
}

/* What a value is asked for with again, and found by. True: it was one of these. */
static bool
keepsake(struct http_head *h, struct slice name, struct slice value)
{
	int64_t when;

	if (slice_caseeq(name, SLICE("etag"))) {
		if (is_etag(value))
			h->etag_len = keep_text(h->etag, h->etag_len, sizeof h->etag, value);
		return true;
	}
	if (slice_caseeq(name, SLICE("last-modified"))) {
		if (http_date_parse(value, &when) == 0)
			h->last_modified_len = keep_text(h->last_modified,
			    h->last_modified_len, sizeof h->last_modified, value);
		return true;
	}
	if (!slice_caseeq(name, SLICE("surrogate-key")) && !slice_caseeq(name, SLICE("cache-tag")))
		return false;
	add_tags(h, value);
	return true;
}

/* The names that the framing and the body's meaning hang on. */
static bool
field(struct http_head *h, struct slice name, struct slice value)
{
	if (slice_caseeq(name, SLICE("content-length")))
		return content_length(h, value);
	if (slice_caseeq(name, SLICE("transfer-encoding"))) {
		h->has_coding = true;
		if (!slice_caseeq(value, SLICE("chunked")))
			return refuse(h, "unknown Transfer-Encoding");
	} else if (slice_caseeq(name, SLICE("content-encoding"))) {
		/* Whoever reads the value could not know that it is packed. */
		if (h->reading == 200 && !slice_caseeq(value, SLICE("identity")))
			return refuse(h, "Content-Encoding that was not asked for");
	} else if (slice_caseeq(name, SLICE("retry-after"))) {
		retry_after(h, value);
	} else if (!keepsake(h, name, value)) {
		cache_control_field(&h->cache, name, value);
	}
	return true;
}

static bool
field_line(struct http_head *h, struct slice line)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	struct slice name, value;

	/* A folded line could hide half of a Cache-Control. */
	if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return refuse(h, "folded header line");
	if (colon == NULL)
		return refuse(h, "malformed header line");
	name = slice_of(line.ptr, (size_t)(colon - line.ptr));
	value = trim(slice_skip(line, name.len + 1));
	if (!is_token(name) || has_control(value))
		return refuse(h, "malformed header line");
	/* Of an interim answer nothing is kept, of a trailer neither. */
	if (h->reading < 200 || h->complete)
		return true;
	return field(h, name, value);
}

/* 1xx but for 101, which nobody asked for, is followed by the answer. */
static bool
end_of_head(struct http_head *h)
{
	if (h->reading == 101)
		return refuse(h, "switch of protocols that was not asked for");
	if (h->reading >= 200 && !h->complete) {
		if (h->has_coding && h->content_length >= 0)
			return refuse(h, "conflicting framing");
		h->complete = true;
		h->status = h->reading;
	}
	return true;
}

bool
http_head_line(struct http_head *h, struct slice line)
{
	if (h->broken != NULL)
		return false;
	h->bytes += line.len;
	h->lines++;
	if (h->bytes > HTTP_HEAD_MAX_BYTES)
		return refuse(h, "headers over " STRINGIFY(HTTP_HEAD_MAX_BYTES) " bytes");
	if (h->lines > HTTP_HEAD_MAX_LINES)
		return refuse(h, "more than " STRINGIFY(HTTP_HEAD_MAX_LINES) " header lines");
	if (line.len != 0 && line.ptr[line.len - 1] == '\n')
		line.len--;
	if (line.len != 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (line.len == 0)
		return end_of_head(h);
	if (!h->complete && slice_has_prefix(line, SLICE("HTTP/")))
		return status_line(h, line);
	return field_line(h, line);
}

int64_t
http_head_retry_after_ms(const struct http_head *h, int64_t now_unix_s)
{
	int64_t s = h->retry_after_s;

	if (s < 0 && h->retry_at_s >= 0)
		s = MIN(h->retry_at_s - now_unix_s, RETRY_AFTER_MAX_S);
	return s > 0 ? s * 1000 : 0;
}

void
http_head_validity(const struct http_head *h, int64_t now_unix_s, int64_t took_ms,
    struct origin_validity *v)
{
	cache_control_validity(&h->cache, now_unix_s, took_ms, v);
	v->etag = slice_of(h->etag, h->etag_len);
	v->last_modified = slice_of(h->last_modified, h->last_modified_len);
	v->tags = slice_of(h->tags, h->tags_len);
	v->any_tag = h->tags_over;
}
