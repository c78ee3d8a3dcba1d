#include "config.h"

#include "cli/bench_binary.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

/* A number of `width` bytes behind a header; how many bytes that is. */
static size_t
put_wide(char *at, unsigned header, uint64_t n, unsigned width)
{
	at[0] = (char)header;
	for (unsigned i = 0; i < width; i++)
		at[width - i] = (char)(n >> 8 * i);
	return 1 + width;
}

static size_t
put_uint(char *at, uint64_t n)
{
	if (n < 0x80) {
		at[0] = (char)n;
		return 1;
	}
	if (n <= UINT8_MAX)
		return put_wide(at, 0xcc, n, 1);
	if (n <= UINT16_MAX)
		return put_wide(at, 0xcd, n, 2);
	return n <= UINT32_MAX ? put_wide(at, 0xce, n, 4) : put_wide(at, 0xcf, n, 8);
}

size_t
bench_binary_bytes(char head[8], size_t len)
{
	if (len <= UINT8_MAX)
		return put_wide(head, 0xc4, len, 1);
	return len <= UINT16_MAX ? put_wide(head, 0xc5, len, 2) : put_wide(head, 0xc6, len, 4);
}

/* As str where that is a byte shorter. */
int
bench_binary_key(char head[320], const char *prefix, int digits)
{
	size_t len = strlen(prefix) + (size_t)digits, at = 1;

	if (len < 32)
		head[0] = (char)(0xa0 | len);
	else
		at = put_wide(head, 0xc4, len, 1);
	return (int)at + snprintf(head + at, 320 - at, "%s%0*d", prefix, digits, 0);
}

char *
bench_binary_head(char *at, enum binary_op op, unsigned n, uint32_t wire_id, size_t arguments)
{
	char inner[8];
	size_t len = 2;

	inner[0] = (char)(0x90 | n);
	inner[1] = (char)op;
	len += put_uint(inner + len, wire_id);
	at += put_uint(at, len + arguments);
	memcpy(at, inner, len);
	return at + len;
}

size_t
bench_binary_ttl(char at[16], const struct bench_expiry *expiry)
{
	int64_t ttl_ms = expiry->ttl_ms;

	if (expiry->at_unix_ms != 0)
		ttl_ms = MAX(expiry->at_unix_ms - clock_wall_ms(), 1);
	return ttl_ms == 0 ? 0 : put_uint(at, (uint64_t)ttl_ms);
}

/* --- replies ------------------------------------------------------------------ */

/* A msgpack unsigned integer at *p; false: it is not all here, or is none. */
static bool
take_uint(const unsigned char **p, const unsigned char *end, uint64_t *n)
{
	unsigned width;

	if (*p == end)
		return false;
	if (**p < 0x80) {
		*n = *(*p)++;
		return true;
	}
	if (**p < 0xcc || **p > 0xce)
		return false;
	width = 1u << (**p - 0xcc);
	if ((size_t)(end - *p) < 1 + width)
		return false;
	*n = 0;
	for (unsigned i = 1; i <= width; i++)
		*n = *n << 8 | (*p)[i];
	*p += 1 + width;
	return true;
}

/* Bytes or text that reach up to the frame's end. */
static bool
take_last(const unsigned char *p, const unsigned char *end, struct slice *out)
{
	uint64_t len;
	unsigned width;

	if (p == end)
		return false;
	if (*p >= 0xa0 && *p <= 0xbf) {
		len = *p++ & 0x1f;
	} else if ((*p >= 0xc4 && *p <= 0xc6) || (*p >= 0xd9 && *p <= 0xdb)) {
		width = 1u << (*p >= 0xd9 ? *p - 0xd9 : *p - 0xc4);
		if ((size_t)(end - p) < 1 + width)
			return false;
		len = 0;
		for (unsigned i = 1; i <= width; i++)
			len = len << 8 | p[i];
		p += 1 + width;
	} else {
		return false;
	}
	*out = slice_of(p, len);
	return len == (size_t)(end - p);
}

static bool
take_error(const unsigned char *p, const unsigned char *end, struct slice *out)
{
	/* Behind the code, which is short. */
	if (p == end || *p < 0xa0 || *p > 0xbf || (size_t)(end - p) < 1 + (*p & 0x1fu))
		return false;
	return take_last(p + 1 + (*p & 0x1f), end, out);
}

static bool
take_status(const unsigned char *p, const unsigned char *end, uint64_t status,
    struct bench_reply *out)
{
	out->text = slice_of(p, 0);
	switch (status) {
	case BINARY_hit:
	case BINARY_stale:
	case BINARY_filled:
	case BINARY_coalesced:
		out->answer = BENCH_VALUE;
		return take_last(p, end, &out->text);
	case BINARY_miss:
	case BINARY_negative:
		out->answer = BENCH_NOTHING;
		return true;
	case BINARY_stored:
		out->answer = BENCH_STORED;
		return true;
	case BINARY_error:
		out->answer = BENCH_ERROR;
		return take_error(p, end, &out->text);
	default:
		return false;
	}
}

int64_t
bench_binary_reply(struct slice data, struct bench_reply *out)
{
	const unsigned char *p = (const unsigned char *)data.ptr, *end = p + data.len;
	uint64_t len, id, status;

	if (!take_uint(&p, end, &len))
		return data.len > 4 || (*p >= 0x80 && (*p < 0xcc || *p > 0xce)) ? -EPROTO : 0;
	if ((size_t)(end - p) < len)
		return 0;
	end = p + len;
	if (len < 3 || *p < 0x92 || *p > 0x9f)
		return -EPROTO;
	p++;
	if (!take_uint(&p, end, &id) || !take_uint(&p, end, &status) || id > UINT32_MAX ||
	    !take_status(p, end, status, out))
		return -EPROTO;
	out->wire_id = (uint32_t)id;
	return (const char *)end - data.ptr;
}

/* --- the preface ----------------------------------------------------------------- */

static int
refuse(char *err, size_t err_size, int rc, const char *why)
{
	snprintf(err, err_size, "the server does not speak the binary protocol: %s", why);
	return rc;
}

int
bench_binary_hello(int fd, char *err, size_t err_size)
{
	static const char hello[] = "\xc1\x0a\x92\xa7" BINARY_NAME "\x01";
	char answer[2048];
	struct binary_hello h;
	size_t have = 0, used;
	ssize_t n;

	if (write(fd, hello, sizeof hello - 1) != (ssize_t)sizeof hello - 1)
		return refuse(err, err_size, -errno, strerror(errno));
	do {
		n = read(fd, answer + have, sizeof answer - have);
		if (n <= 0)
			return refuse(err, err_size, n < 0 ? -errno : -EPROTO, "no answer");
		have += (size_t)n;
		if ((unsigned char)answer[0] != BINARY_MAGIC)
			return refuse(err, err_size, -EPROTO, "another answer");
	} while (binary_hello_read(answer, have, &h, &used) != 0 && have < sizeof answer);
	if (h.version != BINARY_VERSION)
		return refuse(err, err_size, -EPROTO, "another version");
	return 0;
}
