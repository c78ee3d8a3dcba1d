/* http_head.h - the head of an answer, line by line: status, framing, how
 * long it may be kept, and whether it is sound. Pure.
 *
 * libcurl reads the wire and is lenient where a browser must be. A cache must
 * not be: what one answer smuggles in, it would serve for hours. So here
 * every line is looked at once more, and a head that RFC 9112 calls invalid,
 * or that is larger than any honest one, fails the fetch. */
#ifndef PANNIER_ORIGIN_HTTP_HEAD_H
#define PANNIER_ORIGIN_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/util.h"
#include "origin/cache_control.h"

#define HTTP_HEAD_MAX_BYTES 65536 /* of all heads and trailers of one answer */
#define HTTP_HEAD_MAX_LINES 256
/* Longer ones are passed over; of tags those beyond are only known to be there. */
#define HTTP_ETAG_MAX 256
#define HTTP_DATE_MAX 64
#define HTTP_TAGS_MAX 2048

struct http_head {
	int status;          /* of the answer, not of a 1xx before it; 0: not here yet */
	bool complete;       /* its last line was read; what comes are trailers */
	bool has_coding;     /* Transfer-Encoding stands in it */
	int64_t content_length; /* -1: not said */
	struct cache_control cache;
	int64_t retry_after_s; /* Retry-After (RFC 9110, 10.2.3): so long, -1: not said; */
	int64_t retry_at_s;    /* or not before then, in seconds since 1970, -1: not said */
	/* Validators (RFC 9110, 8.8) as they came, the first of each; 0 bytes: none. */
	size_t etag_len, last_modified_len;
	char etag[HTTP_ETAG_MAX], last_modified[HTTP_DATE_MAX];
	/* Of all Surrogate-Key and Cache-Tag lines, with blanks between. */
	size_t tags_len;
	bool tags_over;      /* there were more */
	char tags[HTTP_TAGS_MAX];
	const char *broken;  /* why it is refused; static text; NULL: sound */
	size_t bytes, lines; /* read so far */
	int reading;         /* status of the head whose lines come, or 0 */
};

void http_head_init(struct http_head *h);
/* One line as received, with its end. False: refused, h->broken says why. */
bool http_head_line(struct http_head *h, struct slice line) MUST_CHECK;

/* What it says of keeping it; slices point into h. As cache_control_validity(). */
void http_head_validity(const struct http_head *h, int64_t now_unix_s, int64_t took_ms,
    struct origin_validity *v);
/* What Retry-After says, in ms from now; 0: nothing. At most a day. */
int64_t http_head_retry_after_ms(const struct http_head *h, int64_t now_unix_s);

#endif
