#include <config.h>

#include "config/endpoint.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/parse.h"
#include "config/template.h"

#define HOST_MAX 253 /* of a DNS name, RFC 1035 */

static bool
take_scheme(struct slice *text, struct slice scheme)
{
	if (text->len < scheme.len || !slice_caseeq(slice_of(text->ptr, scheme.len), scheme))
		return false;
	*text = slice_skip(*text, scheme.len);
	return true;
}

static const char *
parse_unix(struct slice path, struct endpoint *out)
{
	if (path.len == 0 || path.ptr[0] != '/')
		return out->kind == ENDPOINT_REDIS_UNIX ?
		    "must be redis+unix:// and an absolute path: redis+unix:///run/redis.sock" :
		    "must be http+unix:// and an absolute path: http+unix:///run/app.sock";
	if (path.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return "names a socket whose path is longer than 107 bytes";
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char)path.ptr[i] < ' ' || path.ptr[i] == 127)
			return "has a control character";
	out->path = path;
	return NULL;
}

static bool
is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_';
}

static bool
is_address(int family, struct slice host)
{
	unsigned char addr[sizeof(struct in6_addr)];
	char text[HOST_MAX + 1];

	if (host.len >= sizeof text)
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return inet_pton(family, text, addr) == 1;
}

static const char *
check_host(struct slice host, struct endpoint *out)
{
	if (host.len == 0)
		return "has no host";
	if (host.len > HOST_MAX)
		return "has a host of more than 253 bytes";
	for (size_t i = 0; i < host.len; i++)
		if (!is_host_char(host.ptr[i]))
			return "has a character in its host that no host name has";
	out->is_name = !is_address(AF_INET, host) && !slice_caseeq(host, SLICE("localhost"));
	return NULL;
}

static const char *
parse_port(struct slice port, struct endpoint *out)
{
	uint64_t n;

	if (parse_u64(port, &n) != 0 || n < 1 || n > 65535)
		return "has a port that is not between 1 and 65535";
	out->port = (unsigned)n;
	return NULL;
}

static const char *
parse_authority(struct slice a, struct endpoint *out)
{
	const char *colon;
	const char *why;
	struct slice host = a;

	out->authority = a;
	if (a.len != 0 && a.ptr[0] == '[') {
		const char *end = memchr(a.ptr, ']', a.len);
		size_t len = end != NULL ? (size_t)(end - a.ptr) : 0;

		if (len < 1 || !is_address(AF_INET6, slice_of(a.ptr + 1, len - 1)))
			return "has no IPv6 address between its [ and ]";
		out->host = slice_of(a.ptr, len + 1);
		host = slice_skip(a, len + 1);
		if (host.len == 0)
			return NULL;
		if (host.ptr[0] != ':')
			return "has text behind its ]";
		return parse_port(slice_skip(host, 1), out);
	}
	colon = a.len != 0 ? memchr(a.ptr, ':', a.len) : NULL;
	if (colon != NULL)
		host.len = (size_t)(colon - a.ptr);
	out->host = host;
	why = check_host(host, out);
	if (why == NULL && colon != NULL)
		why = parse_port(slice_skip(a, host.len + 1), out);
	return why;
}

static const char *
parse_base(struct slice path, struct endpoint *out)
{
	const char *why;

	if (path.len != 0 && memchr(path.ptr, '{', path.len) != NULL)
		return "must not have a placeholder: that belongs to the namespace's path";
	if (path.len != 0 && memchr(path.ptr, '?', path.len) != NULL)
		return "must not have a query: that belongs to the namespace's path";
	why = path.len != 0 ? template_check(path) : NULL;
	while (path.len != 0 && path.ptr[path.len - 1] == '/')
		path.len--;
	out->path = path;
	return why;
}

const char *
endpoint_parse(struct slice text, struct endpoint *out)
{
	struct slice authority;
	const char *why;

	*out = (struct endpoint){ .kind = ENDPOINT_HTTP };
	if (take_scheme(&text, SLICE("http+unix://"))) {
		out->kind = ENDPOINT_HTTP_UNIX;
		return parse_unix(text, out);
	}
	if (take_scheme(&text, SLICE("https://")))
		out->kind = ENDPOINT_HTTPS;
	else if (!take_scheme(&text, SLICE("http://")))
		return "must begin with http://, https:// or http+unix://";
	authority = text;
	for (authority.len = 0; authority.len < text.len; authority.len++)
		if (memchr("/?#", text.ptr[authority.len], 3) != NULL)
			break;
	if (authority.len != 0 && memchr(authority.ptr, '@', authority.len) != NULL)
		return "must not carry a user or password";
	why = parse_authority(authority, out);
	return why != NULL ? why : parse_base(slice_skip(text, authority.len), out);
}

const char *
endpoint_parse_redis(struct slice text, struct endpoint *out)
{
	const char *why;

	*out = (struct endpoint){ .kind = ENDPOINT_REDIS };
	if (take_scheme(&text, SLICE("redis+unix://"))) {
		out->kind = ENDPOINT_REDIS_UNIX;
		return parse_unix(text, out);
	}
	if (take_scheme(&text, SLICE("rediss://")))
		out->kind = ENDPOINT_REDISS;
	else if (!take_scheme(&text, SLICE("redis://")))
		return "must begin with redis://, rediss:// or redis+unix://";
	if (text.len != 0 && memchr(text.ptr, '@', text.len) != NULL)
		return "must not carry a user or password; see username and password_file";
	if (text.len != 0 && text.ptr[text.len - 1] == '/')
		text.len--;
	if (text.len != 0 && memchr(text.ptr, '/', text.len) != NULL)
		return "must not have a path; a database stands in database:";
	why = parse_authority(text, out);
	if (out->port == 0)
		out->port = ENDPOINT_REDIS_PORT;
	return why;
}
